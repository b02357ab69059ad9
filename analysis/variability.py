"""Irregularity of spike trains: interspike intervals, their coefficient of variation, Fano factor."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr

from ..errors import InputError
from .rates import _labelled, _to_steps, dt_ms, spike_trains

MIN_INTERVALS = 10
"""Fewest intervals for which a CV is reported. Below it the estimate is dominated by its own bias."""


def intervals(
    recording: xr.DataTree, population: str, *, start_ms: float = 0.0, stop_ms: float | None = None
) -> xr.DataArray:
    """Interspike intervals of every neuron, within trials.

    Returns
    -------
    xarray.DataArray, (interval,), ms
        Coordinates ``trial`` and ``neuron`` say whose interval it is, as positions.
    """
    steps, trial, neuron = _intervals(recording, population, start_ms, stop_ms)
    array = xr.DataArray(
        steps * dt_ms(recording),
        dims="interval",
        coords={"trial": ("interval", trial), "neuron": ("interval", neuron)},
    )
    return _labelled(array, "isi", "ms", population)


def isi_cv(
    recording: xr.DataTree,
    population: str,
    *,
    min_intervals: int = MIN_INTERVALS,
    start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> xr.DataArray:
    """Coefficient of variation of the interspike intervals, per trial and neuron.

    Standard deviation (n - 1 in the denominator) over mean. A Poisson process gives 1; a process with one
    spike per step of probability p at most, ``sqrt(1 - p)``; a regular train 0.

    Parameters
    ----------
    min_intervals : int, >= 2
        A train with fewer intervals gets NaN.

    Returns
    -------
    xarray.DataArray, (trial, neuron), dimensionless
        ``attrs["min_intervals"]`` and ``attrs["n_defined"]`` belong to every statement made with it.
    """
    if min_intervals < 2:
        raise InputError(f"min_intervals: {min_intervals} given; a standard deviation needs at least 2.")
    spikes = spike_trains(recording, population, start_ms=start_ms, stop_ms=stop_ms)
    n_trials, n_neurons = spikes.sizes["trial"], spikes.sizes["neuron"]
    steps, trial, neuron = _intervals(recording, population, start_ms, stop_ms)
    train = trial * n_neurons + neuron
    count = np.bincount(train, minlength=n_trials * n_neurons)
    enough = count >= min_intervals
    total = np.bincount(train, weights=steps, minlength=count.size)
    mean = np.divide(total, count, out=np.full(count.size, np.nan), where=enough)
    # Two passes: deviations are taken before squaring, so that a regular train gives exactly 0.
    squares = np.bincount(train, weights=(steps - mean[train]) ** 2, minlength=count.size)
    variance = np.divide(squares, count - 1, out=np.full(count.size, np.nan), where=enough)
    array = xr.DataArray((np.sqrt(variance) / mean).reshape(n_trials, n_neurons), dims=("trial", "neuron"))
    array = _labelled(array, "isi_cv", "1", population)
    array.attrs |= {"min_intervals": min_intervals, "n_defined": int(enough.sum())}
    return array


def fano_factor(
    recording: xr.DataTree,
    population: str,
    window_ms: float,
    *,
    over: Literal["window", "trial"] = "window",
    min_counts: int = 10,
    start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> xr.DataArray:
    """Variance over mean of spike counts in windows of equal length.

    Parameters
    ----------
    window_ms : float, ms, multiple of dt
        Windows do not overlap; an incomplete last one is left out.
    over : "window" or "trial"
        Variance over the windows of a trial (a stationary run), or over trials in each window (repetitions of
        one stimulus).
    min_counts : int, >= 2
        With fewer counts the result is NaN, as it is for a neuron that never fires.

    Returns
    -------
    xarray.DataArray, (trial, neuron) or (window, neuron), dimensionless
    """
    if over not in ("window", "trial"):
        raise InputError(f"over: expected 'window' or 'trial', got {over!r}.")
    if min_counts < 2:
        raise InputError(f"min_counts: {min_counts} given; a variance needs at least 2.")
    spikes = spike_trains(recording, population, start_ms=start_ms, stop_ms=stop_ms)
    width = _to_steps(window_ms, dt_ms(recording), "window_ms")
    n_windows = spikes.sizes["step"] // width if width > 0 else 0
    if n_windows == 0:
        raise InputError(f"window_ms: {window_ms:g} ms must be positive and no longer than the recording.")
    values = spikes.values[:, : n_windows * width]
    counts = values.reshape(values.shape[0], n_windows, width, -1).sum(axis=2)
    axis = 1 if over == "window" else 0
    kept = ("trial", "neuron") if over == "window" else ("window", "neuron")
    mean = counts.mean(axis=axis)
    defined = (mean > 0) & (counts.shape[axis] >= min_counts)
    variance = counts.var(axis=axis, ddof=1) if counts.shape[axis] > 1 else np.zeros_like(mean)
    fano = np.divide(variance, mean, out=np.full(mean.shape, np.nan), where=defined)
    array = _labelled(xr.DataArray(fano, dims=kept), "fano", "1", population)
    array.attrs |= {"window_ms": window_ms, "n_counts": counts.shape[axis], "min_counts": min_counts}
    return array


def _intervals(
    recording: xr.DataTree, population: str, start_ms: float, stop_ms: float | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Intervals in steps with their trial and neuron, ordered by trial, neuron, time."""
    spikes = spike_trains(recording, population, start_ms=start_ms, stop_ms=stop_ms)
    trial, neuron, step = np.nonzero(spikes.transpose("trial", "neuron", "step").values)
    same = (np.diff(trial) == 0) & (np.diff(neuron) == 0)
    return np.diff(step)[same], trial[1:][same], neuron[1:][same]
