"""Codes and cells of first spikes: every input and every cell fires once at most, at a time in [0, 1] on a grid of steps; 1 is silence."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import InputError
from ..ranges import COUNT, check_number
from ..structure import real_numbers

T_MAX = 1.0
GRID = 1e-6
"""Steps by which rounding may take a time off the grid."""

CELL: dict[str, Any] = {
    "update": "v = v + x*(1 - fired)\nfired = fired", "ports": {"x": {"kind": "pulse", "receptor": "excitatory"}},
    "threshold": "v > theta and fired == 0", "reset": "fired = 1", "initial": {"fired": 0.0},
}  # fmt: skip
"""Integrates without a leak and spikes once, and keeps its potential from then on; as in a circuit file, less its threshold ``theta``."""


def latencies(values: np.ndarray, n_steps: int) -> np.ndarray:
    """Times of values in [0, 1] on a grid of ``n_steps``: 1 at once, less later, 0 never.

    Raises
    ------
    InputError
        Values outside [0, 1], or no step.
    """
    check_number("n_steps", n_steps, COUNT, whole=True)
    found = _shares("values", values)
    return np.where(found > 0, np.minimum(np.floor((1 - found) * n_steps), n_steps - 1) / n_steps, T_MAX)


def spike_rows(samples: np.ndarray, n_steps: int) -> np.ndarray:
    """Input spikes (step, sample, input) of times (sample, input) on the grid.

    Raises
    ------
    InputError
        Times outside [0, 1] or off the grid, or no step.
    """
    check_number("n_steps", n_steps, COUNT, whole=True)
    times = checked_times("samples", samples)
    steps = np.rint(times * n_steps).astype(np.int64)
    if np.abs(steps - times * n_steps).max() > GRID:
        raise InputError(
            f"samples: expected times on a grid of {n_steps} steps; make them with as many, as latencies does"
        )
    rows = np.zeros((n_steps, *times.shape), bool)
    sample, channel = np.nonzero(times < T_MAX)
    rows[steps[sample, channel], sample, channel] = True
    return rows


def checked_times(path: str, samples: Any, n_inputs: int | None = None) -> np.ndarray:
    """Samples (sample, input) of input times as numbers.

    Raises
    ------
    InputError
        Another shape, or times outside [0, 1].
    """
    found = _shares(path, samples)
    if found.ndim != 2 or not found.size or n_inputs not in (None, found.shape[1]):
        raise InputError(f"{path}: expected times (sample, {n_inputs or 'input'}), got {found.shape}")
    return found


def _shares(path: str, values: Any) -> np.ndarray:
    found = real_numbers(path, values).astype(float, copy=False)
    if not ((found >= 0) & (found <= T_MAX)).all():  # NaN neither
        raise InputError(f"{path}: expected numbers from 0 to {T_MAX:g}, got {found.min():g} to {found.max():g}")
    return found


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
