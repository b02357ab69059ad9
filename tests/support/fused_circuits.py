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


def many_delays() -> tuple[Any, ...]:
    """More delays than a kernel writes out, of spikes and values, with factors of either end."""
    drawn = {"distribution": "uniform", "low": "1 ms", "high": "9 ms"}
    cell = {
        "update": "v = 0.75*v + x", "ports": {"x": {"kind": "pulse"}}, "threshold": "v >= 1", "reset": "v -= 1",
        "parameters": {"k": {"distribution": "uniform", "low": 0.5, "high": 1.5}}, "trainable": {"k": {"per": "neuron"}},
    }  # fmt: skip
    graded = {"update": "u = 0.5*u + x", "ports": {"x": {"kind": "pulse"}}, "output": "r = clip(u, 0, inf)"}
    weight = {"distribution": "uniform", "low": 0.05, "high": 0.3}
    edges = {"connect": {"probability": 0.7}, "weight": weight, "delay": drawn, "trainable": True}
    circuit = cx.Circuit(
        name="many_delays", dt="1 ms", neurons={"cell": cell, "graded": graded},
        inputs={"s": {"size": 8, "kind": "spikes"}, "c": {"size": 6, "kind": "current"}},
        populations={
            "A": {"size": 10, "neuron": "cell", "transmitter": "excitatory"}, "B": {"size": 7, "neuron": "cell", "transmitter": "inhibitory"},
            "G": {"size": 5, "neuron": "graded", "transmitter": "excitatory"},
        },
        projections={
            "s_A": {"pre": "s", "post": "A", "port": "x", **edges}, "c_B": {"pre": "c", "post": "B", "port": "x", **edges},
            "A_B": {"pre": "A", "post": "B", "deliver": {"x": "k"}, **edges},
            "B_A": {"pre": "B", "post": "A", "deliver": {"x": "1 - 0.5*clip(v_post, 0, 1)"}, **edges},
            "A_G": {"pre": "A", "post": "G", "port": "x", **edges},
            "G_A": {"pre": "G", "post": "A", "deliver": {"x": "r*k_post"}, **edges}, "G_B": {"pre": "G", "post": "B", "port": "x", **edges},
        },
    )  # fmt: skip
    random = np.random.default_rng(0)
    return circuit, {"s": random.random((60, 3, 8)) < 0.4, "c": random.integers(0, 9, (60, 3, 6)) / 8}, 60, 3


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
    "many_delays": many_delays,
    "potjans_diesmann2014": lambda: (cx.load("potjans_diesmann2014", scale=0.005), None, 60, 1),
}  # fmt: skip
