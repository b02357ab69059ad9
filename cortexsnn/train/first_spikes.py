"""Codes and cells of first spikes: every input and every cell fires once at most, at a time in [0, 1] on a grid of steps; 1 is silence."""

from __future__ import annotations

from typing import Any

import numpy as np

T_MAX = 1.0

CELL: dict[str, Any] = {
    "update": "v = v + x*(1 - fired)\nfired = fired", "ports": {"x": {"kind": "pulse", "receptor": "excitatory"}},
    "threshold": "v > theta and fired == 0", "reset": "fired = 1", "initial": {"fired": 0.0},
}  # fmt: skip
"""Integrates without a leak and spikes once, and keeps its potential from then on; as in a circuit file, less its threshold ``theta``."""


def latencies(values: np.ndarray, n_steps: int) -> np.ndarray:
    """Times of values in [0, 1] on a grid of ``n_steps``: 1 at once, less later, 0 never."""
    steps = np.floor((1 - np.asarray(values)) * n_steps)
    return np.where(np.asarray(values) > 0, np.minimum(steps, n_steps - 1) / n_steps, T_MAX)


def spike_rows(samples: np.ndarray, n_steps: int) -> np.ndarray:
    """Input spikes (step, sample, input) of times on the grid."""
    rows = np.zeros((n_steps, *samples.shape), bool)
    steps = np.rint(samples * n_steps).astype(np.int64)
    sample, channel = np.nonzero(samples < T_MAX)
    rows[steps[sample, channel], sample, channel] = True
    return rows


def first_crossings(weights: np.ndarray, thresholds: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """When, and with which potential, the sum of the weights of all inputs so far is first above the threshold, both (cell,).

    Inputs at the same time act together. Silent cells have t_max and the potential at the end.

    Parameters
    ----------
    weights : (cell, input);  thresholds : (cell,);  times : (input,)
    """
    active = np.flatnonzero(times < T_MAX)
    if not active.size:
        return np.full(len(weights), T_MAX), np.zeros(len(weights))
    order = active[np.argsort(times[active], kind="stable")]
    at = times[order]
    last = np.append(at[1:] != at[:-1], True)  # of those at the same time
    potentials = np.cumsum(weights[:, order], axis=1)[:, last]
    crossed = potentials > thresholds[:, None]
    fires = crossed.any(1)
    where = np.where(fires, crossed.argmax(1), potentials.shape[1] - 1)
    return np.where(fires, at[last][where], T_MAX), potentials[np.arange(len(weights)), where]
