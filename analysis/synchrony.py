"""Synchrony of a population: how much of the neurons' variability survives averaging over them."""

from __future__ import annotations

import numpy as np
import xarray as xr

from .trains import labelled, trains


def synchrony(
    recording: xr.DataTree, population: str, bin_ms: float, *, start_ms: float = 0.0, stop_ms: float | None = None
) -> xr.DataArray:
    """Golomb and Rinzel's chi of binned counts, per trial: standard deviation of the population mean over time, divided by the
    root mean square of the neurons' standard deviations.

    1 for identical trains, ``1/sqrt(N)`` for N independent neurons of equal rate, 0 where the mean never changes.

    Parameters
    ----------
    bin_ms : float, ms, multiple of dt

    Returns
    -------
    xarray.DataArray, (trial,), dimensionless, in [0, 1]
        NaN for a trial without variability (silence). ``attrs["independent"]``: ``1/sqrt(N)``, to compare with.

    Source
    ------
    Golomb, Rinzel (1993), Phys. Rev. E 48, 4810. doi:10.1103/PhysRevE.48.4810
    """
    found = trains(recording, population, start_ms=start_ms, stop_ms=stop_ms)
    counts = found.binned(found.steps(bin_ms, "bin_ms"))
    n_bins = counts.shape[0] // found.n_trials
    values = np.full(found.n_trials, np.nan)
    for trial in range(found.n_trials):
        here = counts[trial * n_bins : (trial + 1) * n_bins].astype(float)
        mean = np.asarray(here.mean(axis=0)).reshape(-1)
        single = float((np.asarray(here.multiply(here).mean(axis=0)).reshape(-1) - mean * mean).mean())
        if single > 0:
            values[trial] = np.sqrt(np.asarray(here.mean(axis=1)).reshape(-1).var() / single)
    return labelled(
        xr.DataArray(values, dims="trial"), "synchrony", "1", population, bin_ms=bin_ms, n_bins=n_bins,
        independent=1 / np.sqrt(found.n_neurons), n_defined=int(np.isfinite(values).sum()),
    )  # fmt: skip


def population_fano(
    recording: xr.DataTree, population: str, bin_ms: float, *, start_ms: float = 0.0, stop_ms: float | None = None
) -> xr.DataArray:
    """Variance over mean of the whole population's count per bin, per trial; 1 for independent Poisson neurons.

    Returns
    -------
    xarray.DataArray, (trial,), dimensionless; NaN for a silent trial
    """
    found = trains(recording, population, start_ms=start_ms, stop_ms=stop_ms)
    counts = np.asarray(found.binned(found.steps(bin_ms, "bin_ms")).sum(axis=1)).reshape(found.n_trials, -1)
    mean, n_bins = counts.mean(axis=1), counts.shape[1]
    values = np.full(found.n_trials, np.nan)
    if n_bins > 1:
        np.divide(counts.var(axis=1, ddof=1), mean, out=values, where=mean > 0)
    return labelled(
        xr.DataArray(values, dims="trial"), "population_fano", "1", population, bin_ms=bin_ms, n_bins=n_bins,
        n_defined=int(np.isfinite(values).sum()),
    )  # fmt: skip
