"""Circuits with inputs for the tests of fused kernels: (circuit, inputs, steps, trials) by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import cortexsnn as cx
import mechanisms
from cuda_programs import delays


def _shipped(name: str) -> tuple[cx.Circuit, None, int, int]:
    steps = {"adaptive_exponential": 700, "two_compartment": 500, "conductance_ei": 250}.get(name, 200)
    return cx.load(name), None, steps, 2


def _rows(circuit: cx.Circuit, n_steps: int, scale: float, spikes: bool = False) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    rows = {n: random.random((n_steps, 3, d.n)) for n, d in circuit.inputs.items()}
    return {n: (r < 0.3).astype(float) if spikes else r * scale for n, r in rows.items()}


def _driven(circuit: cx.Circuit, n_steps: int = 40, scale: float = 1.0, spikes: bool = False) -> tuple[Any, ...]:
    return circuit, _rows(circuit, n_steps, scale, spikes), n_steps, 3


def _initialised(name: str, n_steps: int = 16) -> tuple[Any, ...]:
    """A circuit whose weights fit its input, so that it spikes."""
    circuit = cx.load(name)
    rows = _rows(circuit, n_steps, 1.0)
    network = cx.to_torch(circuit, dtype=torch.float64)
    cx.initialise(network, {n: torch.tensor(r) for n, r in rows.items()})
    return cx.from_torch(circuit, network), rows, n_steps, 3


def delayed() -> tuple[Any, ...]:
    random = np.random.default_rng(0)
    return delays(), {"s": random.random((60, 3, 8)) < 0.3, "c": random.integers(0, 9, (60, 3, 6)) / 8}, 60, 3


CIRCUITS: dict[str, Callable[[], tuple[Any, ...]]] = {
    **{name: lambda name=name: _shipped(name) for name in ("izhikevich", "conductance_ei", "adaptive_exponential", "two_compartment")},  # type: ignore[misc]
    **{name: lambda name=name: (cx.load(name), None, 60, 1) for name in ("cuba", "coba", "hodgkin_huxley")},  # type: ignore[misc]
    "brunel2000": lambda: (cx.load("brunel2000", state="A", n_excitatory=400, j=1.0), None, 200, 1),
    "feedforward": lambda: _driven(cx.load("feedforward"), scale=2.0),
    "lateral_inhibition": lambda: _initialised("lateral_inhibition"),
    "lateral_inhibition_conv": lambda: _driven(cx.load("lateral_inhibition_conv"), 10, 0.3),
    "lateral_inhibition_local": lambda: _initialised("lateral_inhibition_local", 10),
    "lateral_inhibition_recurrent": lambda: _driven(cx.load("lateral_inhibition_recurrent"), scale=3.0),
    "shuffled_prediction": lambda: _driven(cx.load("shuffled_prediction"), scale=2.0),
    "four_mechanisms": lambda: _initialised("four_mechanisms"),
    "conductances": lambda: _driven(mechanisms.conductances(), 60, spikes=True),
    "delays": delayed,
}  # fmt: skip
