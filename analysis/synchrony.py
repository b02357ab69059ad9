"""Synchrony of a population: how much of the neurons' variability survives averaging over them."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ..errors import InputError
from .counts import MIN_COUNTS
from .trains import labelled, trains


def synchrony(
    recording: xr.DataTree, population: str, bin_ms: float, *, min_counts: int = MIN_COUNTS, start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> xr.DataArray:  # fmt: skip
    """Golomb and Rinzel's chi of binned counts, per trial: standard deviation of the population mean over time, divided by the
    root mean square of the neurons' standard deviations.

    1 for identical trains, ``1/sqrt(N)`` for N independent neurons of equal rate, 0 where the mean never changes.

    Parameters
    ----------
    bin_ms : float, ms, multiple of dt
        A last incomplete bin is left out.
    min_counts : int, >= 2
        With fewer bins, NaN.

    Returns
    -------
    xarray.DataArray, (trial,), dimensionless, in [0, 1]
        NaN for a trial without variability (silence) and without neurons. ``attrs["independent"]``: ``1/sqrt(N)``, to compare with.

    Source
    ------
    Golomb, Rinzel (1993), Phys. Rev. E 48, 4810. doi:10.1103/PhysRevE.48.4810
    """
    _check(min_counts)
    found = trains(recording, population, start_ms=start_ms, stop_ms=stop_ms)
    counts = found.binned(found.steps(bin_ms, "bin_ms"))
    n_bins = counts.shape[0] // found.n_trials
    values = np.full(found.n_trials, np.nan)
    for trial in range(found.n_trials if found.n_neurons and n_bins >= min_counts else 0):
        here = counts[trial * n_bins : (trial + 1) * n_bins].astype(float)
        mean = np.asarray(here.mean(axis=0)).reshape(-1)
        single = float((np.asarray(here.multiply(here).mean(axis=0)).reshape(-1) - mean * mean).mean())
        if single > 0:
            values[trial] = np.sqrt(np.asarray(here.mean(axis=1)).reshape(-1).var() / single)
    return labelled(
        xr.DataArray(values, dims="trial"), "synchrony", "1", population, bin_ms=bin_ms, n_bins=n_bins,
        min_counts=min_counts, independent=1 / np.sqrt(found.n_neurons or np.nan), n_defined=int(np.isfinite(values).sum()),
    )  # fmt: skip


def population_fano(
    recording: xr.DataTree, population: str, bin_ms: float, *, min_counts: int = MIN_COUNTS, start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> xr.DataArray:  # fmt: skip
    """Variance over mean of the whole population's count per bin, per trial; 1 for independent Poisson neurons.

    Parameters
    ----------
    bin_ms, min_counts
        As in :func:`synchrony`.

    Returns
    -------
    xarray.DataArray, (trial,), dimensionless; NaN for a silent trial
    """
    _check(min_counts)
    found = trains(recording, population, start_ms=start_ms, stop_ms=stop_ms)
    counts = np.asarray(found.binned(found.steps(bin_ms, "bin_ms")).sum(axis=1)).reshape(found.n_trials, -1)
    mean, n_bins = counts.mean(axis=1), counts.shape[1]
    values = np.full(found.n_trials, np.nan)
    if n_bins >= min_counts:
        np.divide(counts.var(axis=1, ddof=1), mean, out=values, where=mean > 0)
    return labelled(
        xr.DataArray(values, dims="trial"), "population_fano", "1", population, bin_ms=bin_ms, n_bins=n_bins,
        min_counts=min_counts, n_defined=int(np.isfinite(values).sum()),
    )  # fmt: skip


def _check(min_counts: int) -> None:
    if min_counts < 2:
        raise InputError(f"min_counts: {min_counts} given; a variance needs at least 2.")
