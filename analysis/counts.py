"""Variability of spike counts: Fano factor over windows or over trials."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr

from ..errors import InputError
from .trains import labelled, trains

MIN_COUNTS = 10
"""Fewest counts for which a variance is reported."""


def fano_factor(
    recording: xr.DataTree,
    population: str,
    window_ms: float,
    *,
    over: Literal["window", "trial"] = "window",
    min_counts: int = MIN_COUNTS,
    start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> xr.DataArray:
    """Variance (n - 1 in the denominator) over mean of spike counts in windows of equal length.

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
    found = trains(recording, population, start_ms=start_ms, stop_ms=stop_ms)
    width = found.steps(window_ms, "window_ms")
    n_windows = found.n_steps // width
    counts = found.binned(width).tocoo()
    trial, window = np.divmod(counts.coords[0], n_windows)
    kept, n_kept, n = (trial, found.n_trials, n_windows) if over == "window" else (window, n_windows, found.n_trials)
    at, shape = kept * found.n_neurons + counts.coords[1], (n_kept, found.n_neurons)
    values = counts.data.astype(float)
    total = np.bincount(at, values, minlength=n_kept * found.n_neurons).reshape(shape)
    squares = np.bincount(at, values * values, minlength=n_kept * found.n_neurons).reshape(shape)
    fano = np.full(shape, np.nan)
    if n >= min_counts:
        # Counts are integers, so both terms are exact and a constant count gives exactly 0.
        np.divide(n * squares - total * total, (n - 1) * total, out=fano, where=total > 0)
    array = xr.DataArray(fano, dims=("trial" if over == "window" else "window", "neuron"))
    return labelled(
        array, "fano", "1", population, window_ms=window_ms, n_counts=n, min_counts=min_counts,
        n_defined=int(np.isfinite(fano).sum()),
    )  # fmt: skip
