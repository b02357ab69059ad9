"""The statistics by which activity is compared where spikes cannot be: a few numbers per population and trial."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from ..errors import InputError, unknown
from .intervals import MIN_INTERVALS, interval_moments
from .trains import Trains, spiking_populations, trains

STATISTICS = {
    "rate": "Hz", "rate_variation": "1", "isi_cv": "1", "lv": "1", "correlation": "1", "synchrony": "1",
}  # fmt: skip
"""Name -> unit."""
BIN_MS = 5.0


def activity_statistics(
    recording: xr.DataTree,
    *,
    statistics: Sequence[str] = tuple(STATISTICS),
    bin_ms: float = BIN_MS,
    min_intervals: int = MIN_INTERVALS,
    start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> xr.DataArray:
    """Statistics of every spiking population and trial.

    Parameters
    ----------
    statistics : sequence of str
        ``rate``: mean over neurons [Hz]; ``rate_variation``: standard deviation over mean of the neurons' rates;
        ``isi_cv``, ``lv``: mean over the trains with at least `min_intervals` intervals; ``correlation``: mean covariance of
        different neurons' binned counts over their mean variance (for equal variances the mean correlation coefficient);
        ``synchrony``: variance of the population's mean count over the mean of the neurons' variances, the square of
        Golomb and Rinzel's chi.
    bin_ms : float, ms, multiple of dt
        For the last two.

    Returns
    -------
    xarray.DataArray, (population, trial, statistic)
        NaN where nothing defines it: no spikes, too few intervals, one neuron or none. Coordinate ``units`` by statistic;
        ``attrs["n_defined"]``: values that are not NaN.
    """
    if not len(statistics):
        raise InputError(f"statistics: expected at least one of {', '.join(STATISTICS)}, got none.")
    for name in statistics:
        if name not in STATISTICS:
            raise InputError(f"statistics: {unknown('statistic', name, STATISTICS)}")
    names = spiking_populations(recording)
    rows = [
        _of_population(trains(recording, n, start_ms=start_ms, stop_ms=stop_ms), statistics, bin_ms, min_intervals)
        for n in names
    ]
    if len({r.shape for r in rows}) > 1:
        raise InputError("recording: its populations differ in their number of trials; compare them one by one.")
    values = np.stack(rows) if rows else np.zeros((0, 0, len(statistics)))
    return xr.DataArray(
        values,
        dims=("population", "trial", "statistic"),
        coords={
            "population": list(names),
            "statistic": list(statistics),
            "units": ("statistic", [STATISTICS[s] for s in statistics]),
        },
        name="activity",
        attrs={"bin_ms": bin_ms, "min_intervals": min_intervals, "n_defined": int(np.isfinite(values).sum())},
    )


def _of_population(found: Trains, wanted: Sequence[str], bin_ms: float, min_intervals: int) -> np.ndarray:
    """(trial, statistic)."""
    if not found.n_neurons:
        return np.full((found.n_trials, len(wanted)), np.nan)
    columns: dict[str, np.ndarray] = {}
    if {"rate", "rate_variation"} & {*wanted}:
        rates = found.counts() / found.seconds
        columns["rate"] = rates.mean(axis=1)
        columns["rate_variation"] = _ratio(rates.std(axis=1), columns["rate"])
    if {"isi_cv", "lv"} & {*wanted}:
        moments, shape = interval_moments(found), (found.n_trials, found.n_neurons)
        columns["isi_cv"] = _mean_of_defined(moments.cv(min_intervals).reshape(shape))
        columns["lv"] = _mean_of_defined(moments.local_variation(min_intervals).reshape(shape))
    if {"correlation", "synchrony"} & {*wanted}:
        shared, single = _variances(found, found.steps(bin_ms, "bin_ms"))
        n = found.n_neurons
        # Var(sum) = sum of variances + sum of covariances: no pair needs to be looked at.
        columns["synchrony"] = _ratio(shared / n, single)
        columns["correlation"] = (columns["synchrony"] * n - 1) / (n - 1) if n > 1 else np.full(single.shape, np.nan)
    return np.stack([columns[name] for name in wanted], axis=1)


def _variances(found: Trains, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Variance of the population's count over N, and mean variance of a neuron's count, over the bins of each trial."""
    counts = found.binned(width).astype(float)
    n_bins = counts.shape[0] // found.n_trials
    shared, single = np.zeros((2, found.n_trials))
    for trial in range(found.n_trials):
        here = counts[trial * n_bins : (trial + 1) * n_bins]
        shared[trial] = np.asarray(here.sum(axis=1)).reshape(-1).var() / found.n_neurons
        mean = np.asarray(here.mean(axis=0)).reshape(-1)
        single[trial] = (np.asarray(here.multiply(here).mean(axis=0)).reshape(-1) - mean * mean).mean()
    return shared, single


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.full(b.shape, np.nan), where=b > 0)


def _mean_of_defined(values: np.ndarray) -> np.ndarray:
    defined = np.isfinite(values)
    return _ratio(np.where(defined, values, 0.0).sum(axis=1), defined.sum(axis=1))
