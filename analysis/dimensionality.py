"""Dimensionality of population activity: participation ratio and principal components of binned spike counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import xarray as xr
from scipy import sparse

from ..errors import InputError
from .trains import labelled, trains

MIN_COUNTS = 10
"""Fewest bins for which a covariance is used."""
LARGEST = 8192
"""Largest side of a matrix of products, half a gigabyte: neurons or bins, whichever are fewer."""


def participation_ratio(
    recording: xr.DataTree,
    population: str,
    bin_ms: float,
    *,
    estimator: Literal["unbiased", "sample"] = "unbiased",
    min_counts: int = MIN_COUNTS,
    start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> xr.DataArray:
    """Number of dimensions that share the variance of the counts, ``tr(C)**2/tr(C C)`` with C their covariance.

    N for N independent neurons of equal variance, 1 where all follow one signal. With T bins the ratio of the sample
    covariance is too low: about ``N/(1 + (N + 1)/(T - 1))`` for N independent Gaussian neurons.

    Parameters
    ----------
    bin_ms : float, ms, multiple of dt
        Bins of all trials are the observations; an incomplete last one is left out.
    estimator : "unbiased" or "sample"
        The ratio of unbiased estimates of numerator and denominator, for any distribution, if bins are independent (bins
        shorter than the correlation time are not); the ratio itself is consistent, its bias vanishes with T much faster
        than that of the sample ratio, and it can leave [1, N]. Or the ratio of the sample covariance.
    min_counts : int, >= 4
        With fewer bins, NaN.

    Returns
    -------
    xarray.DataArray, scalar, dimensionless
        NaN where no count varies or the estimate of the denominator is not positive. ``attrs["n_neurons"]`` and
        ``n_varying`` (neurons whose count varies); ``n_defined``, 0 where it is NaN, else 1.

    Raises
    ------
    InputError
        `bin_ms` off the grid, an option out of range, or neurons and bins both above LARGEST.

    Source
    ------
    Gao et al. (2017), bioRxiv 214262. doi:10.1101/214262 (participation ratio)
    Himeno, Yamada (2014), J. Multivar. Anal. 130, 27. doi:10.1016/j.jmva.2014.04.020 (unbiased traces)
    """
    if estimator not in ("unbiased", "sample"):
        raise InputError(f"estimator: expected 'unbiased' or 'sample', got {estimator!r}.")
    found = _products(recording, population, bin_ms, min_counts, start_ms, stop_ms)
    value = np.nan
    if found.n_counts >= min_counts and found.n_varying:
        n = found.n_counts
        trace, squares = np.trace(found.products) / (n - 1), float(np.sum(found.products**2)) / (n - 1) ** 2
        numerator, denominator = trace**2, squares
        if estimator == "unbiased":
            fourth = float(np.sum(found.norms**2)) / (n - 1)
            scale = (n - 1) / (n * (n - 2) * (n - 3))
            numerator = scale * (2 * squares + (n * n - 3 * n + 1) * trace**2 - n * fourth)
            denominator = scale * ((n - 1) * (n - 2) * squares + trace**2 - n * fourth)
        # Not positive by more than rounding: with few bins the estimate can be.
        value = numerator / denominator if denominator > 1e-12 * squares else np.nan
    return labelled(
        xr.DataArray(value), "participation_ratio", "1", population, bin_ms=bin_ms, estimator=estimator,
        n_counts=found.n_counts, min_counts=min_counts, n_neurons=found.n_neurons, n_varying=found.n_varying,
        n_defined=int(np.isfinite(value)),
    )  # fmt: skip


def principal_components(
    recording: xr.DataTree,
    population: str,
    bin_ms: float,
    *,
    shares: Sequence[float] = (0.5, 0.8, 0.9, 0.95),
    min_counts: int = MIN_COUNTS,
    start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> xr.Dataset:
    """Variance along the principal components of the counts, and how many components hold a share of it.

    Of the sample covariance: with few bins the first components are too large.

    Parameters
    ----------
    bin_ms : float, ms, multiple of dt
    shares : in (0, 1]
    min_counts : int, >= 4
        With fewer bins, NaN.

    Returns
    -------
    xarray.Dataset
        ``variance`` (component), descending, as many as there are neurons or bins, whichever are fewer;
        ``n_components`` (share), fewest components with at least that share of the total. NaN where no count varies.

    Raises
    ------
    InputError
        As :func:`participation_ratio`; a share outside of (0, 1].
    """
    wanted = np.asarray(shares, dtype=float)
    if wanted.ndim != 1 or not ((wanted > 0) & (wanted <= 1)).all():
        raise InputError(f"shares: expected numbers in (0, 1], got {shares}.")
    found = _products(recording, population, bin_ms, min_counts, start_ms, stop_ms)
    variance, numbers = np.full(found.products.shape[0], np.nan), np.full(wanted.size, np.nan)
    if found.n_counts >= min_counts and found.n_varying:
        eigenvalues = np.linalg.eigvalsh(found.products)[::-1] / (found.n_counts - 1)
        variance = np.where(eigenvalues > 1e-12 * eigenvalues[0], eigenvalues, 0)  # below is rounding
        reached = np.cumsum(variance) / variance.sum()
        numbers = np.array([np.argmax(reached >= share - 1e-12) + 1 for share in wanted], dtype=float)
    return xr.Dataset(
        {"variance": ("component", variance, {"units": "1"}), "n_components": ("share", numbers, {"units": "1"})},
        coords={"share": wanted},
        attrs={
            "population": population, "bin_ms": bin_ms, "n_counts": found.n_counts, "min_counts": min_counts,
            "n_neurons": found.n_neurons, "n_varying": found.n_varying,
        },
    )  # fmt: skip


class _Products(NamedTuple):
    """Products of the counts around their means over bins.

    products : (n, n)
        Between neurons summed over bins, or between bins summed over neurons where these are fewer: both have the same
        eigenvalues other than 0.
    norms : (bin,)
        Squared length of each bin's counts.
    """

    products: np.ndarray
    norms: np.ndarray
    n_counts: int
    n_neurons: int
    n_varying: int


def _products(
    recording: xr.DataTree, population: str, bin_ms: float, min_counts: int, start_ms: float, stop_ms: float | None
) -> _Products:
    if min_counts < 4:
        raise InputError(f"min_counts: {min_counts} given; the estimates need at least 4 bins.")
    found = trains(recording, population, start_ms=start_ms, stop_ms=stop_ms)
    counts = found.binned(found.steps(bin_ms, "bin_ms")).astype(float)
    n_counts, n_neurons = counts.shape
    if min(n_counts, n_neurons) > LARGEST:
        raise InputError(
            f"recording.{population}: {n_neurons} neurons and {n_counts} bins, and one of them may be at most {LARGEST}; "
            "use longer bins or a shorter window."
        )
    total, squares = _sum(counts, 0), _sum(counts.multiply(counts), 0)
    mean = total / n_counts
    # Sums of integers are exact: a count that never varies gives exactly 0.
    n_varying = int((n_counts * squares > total * total).sum())
    along = np.asarray(counts @ mean)
    norms = np.maximum(_sum(counts.multiply(counts), 1) - 2 * along + mean @ mean, 0)
    if n_neurons <= n_counts:
        products = (counts.T @ counts).toarray() - np.outer(total, mean)
    else:
        products = (counts @ counts.T).toarray() - along[:, None] - along + mean @ mean
    return _Products(products, norms, n_counts, n_neurons, n_varying)


def _sum(counts: sparse.csr_array, axis: int) -> np.ndarray:
    return np.asarray(counts.sum(axis=axis), dtype=float).reshape(-1)
