"""Recordings made by hand, in the form every engine returns, for tests of what reads recordings."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

TRANSMITTERS = {"E": "excitatory", "I": "inhibitory"}


def make_recording(
    spikes: Mapping[str, np.ndarray],
    *,
    dt_ms: float = 1.0,
    engine: str = "numpy",
    seed: int = 0,
    v_shift: float = 0.0,
) -> xr.DataTree:
    """A recording with the given spikes (trial, step, neuron) and a ramp as membrane potential."""
    nodes: dict[str, xr.Dataset] = {"/": xr.Dataset(attrs={"dt_ms": dt_ms, "engine": engine, "seed": seed})}
    for name, values in spikes.items():
        _, n_steps, n_neurons = values.shape
        ramp = np.broadcast_to(np.linspace(-70, -49, n_steps)[None, :, None], values.shape).copy()
        ramp[:, n_steps // 2 :] += v_shift
        dims = ("trial", "step", "neuron")
        nodes[name] = xr.Dataset(
            {
                "spikes": (dims, values.astype(bool)),
                "v": (dims, ramp, {"units": "mV"}),
                "distance": (dims, ramp + 50, {"units": "mV"}),
            },
            coords={"time": ("step", np.arange(n_steps) * dt_ms, {"units": "ms"})},
            attrs={
                "kind": "input" if name == "image" else "spiking",
                "transmitter": TRANSMITTERS.get(name, "mixed"),
                "size": n_neurons,
                "shape": [n_neurons],
            },
        )
    return xr.DataTree.from_dict(nodes)


def poisson(shape: tuple[int, ...], probability: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) < probability


def two_populations(seed: int = 0, *, engine: str = "numpy", v_shift: float = 0.0) -> xr.DataTree:
    spikes = {"E": poisson((2, 100, 80), 0.05, seed), "I": poisson((2, 100, 20), 0.1, seed + 1)}
    return make_recording(spikes, engine=engine, seed=seed, v_shift=v_shift)
