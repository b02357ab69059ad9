"""How far apart two recordings are where agreement spike for spike is not to be expected."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from ..errors import InputError
from .intervals import MIN_INTERVALS, isi_cv
from .rates import neuron_rates
from .trains import Trains, spiking_populations

_DECIMALS = 9


def ks_distance(a: ArrayLike, b: ArrayLike) -> float:
    """Largest difference between two empirical distribution functions (Kolmogorov-Smirnov), in [0, 1].

    NaN is left out; NaN is returned where a sample is then empty. Values are rounded to nine decimals first:
    a rate is a count over a duration, and the same rate reached at another dt differs in its last bit, which
    would split ties and inflate the distance.

    Source
    ------
    Two-sample statistic of ``scipy.stats.ks_2samp``.
    """
    from scipy.stats import ks_2samp

    first, second = (np.round(np.asarray(x, dtype=float).ravel(), _DECIMALS) for x in (a, b))
    first, second = first[~np.isnan(first)], second[~np.isnan(second)]
    if first.size == 0 or second.size == 0:
        return float("nan")
    # Only the statistic is wanted; the p-value computed beside it divides by zero for single values.
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(ks_2samp(first, second, method="asymp").statistic)


def wasserstein_distance(a: ArrayLike, b: ArrayLike) -> float:
    """Area between two empirical distribution functions, in the unit of the sample (first Wasserstein distance).

    Mean distance over which the mass of one sample must be moved to make the other: a shift by c gives c, where
    `ks_distance` says only how many values the shift carries past each other. NaN is left out; NaN is returned where
    a sample is then empty, or holds an infinite value.

    Source
    ------
    Ramdas, Garcia Trillos & Cuturi (2017), Entropy 19, 47, section 2.3. doi:10.3390/e19020047; computed by
    ``scipy.stats.wasserstein_distance``.
    """
    from scipy.stats import wasserstein_distance as scipy_distance

    first, second = (np.asarray(x, dtype=float).ravel() for x in (a, b))
    first, second = first[~np.isnan(first)], second[~np.isnan(second)]
    if first.size == 0 or second.size == 0 or not (np.isfinite(first).all() and np.isfinite(second).all()):
        return float("nan")
    return float(scipy_distance(first, second))


def check_same_window(a: Trains, b: Trains) -> None:
    """Do two populations have the same number of trials and windows of the same length in ms?

    Raises
    ------
    InputError
    """
    if a.n_trials != b.n_trials:
        raise InputError(
            f"recordings: {a.n_trials} trials of {a.population} against {b.n_trials} of {b.population}; "
            "trial k of one is compared with trial k of the other, so give as many trials."
        )
    length_a, length_b = a.n_steps * a.dt_ms, b.n_steps * b.dt_ms
    if abs(length_a - length_b) > 1e-9 * length_a:
        raise InputError(
            f"recordings: windows of {length_a:g} ms against {length_b:g} ms; give a stop_ms that both recordings reach."
        )


def distances(
    recording_a: xr.DataTree,
    recording_b: xr.DataTree,
    *,
    start_ms: float = 0.0,
    stop_ms: float | None = None,
    min_intervals: int = MIN_INTERVALS,
) -> xr.Dataset:
    """Distances between two recordings, population by population.

    Parameters
    ----------
    recording_a, recording_b : xarray.DataTree
        With the same spiking populations; dt and number of trials may differ.

    Returns
    -------
    xarray.Dataset, (population,)
        ``rate_ks``: between the rates of the neurons, each the mean over trials. ``isi_cv_ks``: between the
        CVs of all trains with at least `min_intervals` intervals, NaN without any. ``rate_wasserstein`` [Hz] and
        ``isi_cv_wasserstein``: the same by `wasserstein_distance`. ``rate_difference`` [Hz]:
        mean rate of b minus that of a. NaN where a population has no neurons. ``n_neurons_a`` and ``n_neurons_b``;
        ``n_cv_a`` and ``n_cv_b``.

    Notes
    -----
    A distance needs a yardstick: see `seed_spread`. Neurons of one network are not independent samples, so no
    p-value is given.
    """
    names = spiking_populations(recording_a)
    other = spiking_populations(recording_b)
    if set(names) != set(other):
        raise InputError(
            f"recordings hold different spiking populations: {', '.join(names)} against {', '.join(other)}."
        )
    columns: dict[str, list[float]] = {}
    for name in names:
        rate_a, rate_b = (
            neuron_rates(r, name, start_ms=start_ms, stop_ms=stop_ms).mean("trial").values
            for r in (recording_a, recording_b)
        )
        cv_a, cv_b = (
            isi_cv(r, name, min_intervals=min_intervals, start_ms=start_ms, stop_ms=stop_ms).values
            for r in (recording_a, recording_b)
        )
        line = {
            "rate_ks": ks_distance(rate_a, rate_b),
            "isi_cv_ks": ks_distance(cv_a, cv_b),
            "rate_wasserstein": wasserstein_distance(rate_a, rate_b),
            "isi_cv_wasserstein": wasserstein_distance(cv_a, cv_b),
            "rate_difference": float(rate_b.mean() - rate_a.mean()) if rate_a.size and rate_b.size else np.nan,
            "n_neurons_a": rate_a.size,
            "n_neurons_b": rate_b.size,
            "n_cv_a": int(np.isfinite(cv_a).sum()),
            "n_cv_b": int(np.isfinite(cv_b).sum()),
        }
        for key, value in line.items():
            columns.setdefault(key, []).append(value)
    return xr.Dataset(
        {
            key: (
                "population",
                np.asarray(column),
                {"units": "Hz" if key in ("rate_difference", "rate_wasserstein") else "1"},
            )
            for key, column in columns.items()
        },
        coords={"population": list(names)},
        attrs={"min_intervals": min_intervals},
    )


def seed_spread(
    recordings: Sequence[xr.DataTree],
    *,
    start_ms: float = 0.0,
    stop_ms: float | None = None,
    min_intervals: int = MIN_INTERVALS,
) -> xr.Dataset:
    """Distances between all pairs of recordings that differ in their seed only: the yardstick of a distance.

    Returns
    -------
    xarray.Dataset, (pair, population)
        As in `distances`; coordinate ``pair`` names the two seeds.
    """
    if len(recordings) < 2:
        raise InputError(f"recordings: a spread over seeds needs at least 2, got {len(recordings)}.")
    pairs = list(combinations(recordings, 2))
    tables = [distances(a, b, start_ms=start_ms, stop_ms=stop_ms, min_intervals=min_intervals) for a, b in pairs]
    labels = [f"{a.attrs.get('seed', '?')} / {b.attrs.get('seed', '?')}" for a, b in pairs]
    return xr.concat(tables, dim="pair").assign_coords(pair=labels)


def wilson_interval(fraction: float, n: int) -> tuple[float, float]:
    """95 % interval of a proportion observed on `n` cases, for instance an accuracy on a test set.

    Source
    ------
    Wilson (1927), J. Am. Stat. Assoc. 22, 209. doi:10.1080/01621459.1927.10502953
    """
    if n < 1 or not 0 <= fraction <= 1:
        raise InputError(f"wilson_interval: needs a fraction in [0, 1] and n >= 1, got {fraction:g} and {n}.")
    z2 = 1.959963984540054**2
    centre = (fraction + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (fraction * (1 - fraction) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return max(centre - half, 0.0), min(centre + half, 1.0)
