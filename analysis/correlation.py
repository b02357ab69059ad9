"""Correlations of spike counts: between pairs of neurons over time, and of signal and noise over trials."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from scipy import sparse

from ..errors import InputError
from .kernels import shared_bits, shared_counts
from .trains import labelled, trains
from .tuning import stimulus_of_trial

MIN_SPIKES = 10
"""Fewest spikes of a neuron, over all trials, for which its correlations are reported."""
ALL_PAIRS = 4000
"""Largest number of neurons for which the whole matrix is computed; beyond, pairs are sampled."""
SAMPLED_PAIRS = 1_000_000
_BLOCK = 20_000
_BITS_SHARE, _DENSE_SHARE = 0.04, 0.2
"""Shares of filled bins above which counting shared bits, and beyond it a dense product, is faster than pairs of entries."""


def pairwise_correlation(
    recording: xr.DataTree,
    population: str,
    bin_ms: float,
    *,
    measure: Literal["correlation", "covariance"] = "correlation",
    min_spikes: int = MIN_SPIKES,
    n_pairs: int | None = None,
    seed: int = 0,
    start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> xr.DataArray:
    """Pearson correlation, or covariance (n - 1 in the denominator), of binned counts; trials are joined.

    Parameters
    ----------
    bin_ms : float, ms, multiple of dt
        A last incomplete bin of a trial is left out.
    measure : {"correlation", "covariance"}
    min_spikes : int
        Neurons with fewer spikes get NaN, as those with a constant count do.
    n_pairs : int, optional
        Sample so many different pairs, at least 1; None for all pairs of at most 4 000 neurons, else a million sampled pairs.
    seed : int
        Of the sample.

    Returns
    -------
    xarray.DataArray
        (neuron, neuron_b), or for sampled pairs (pair,) with coordinates ``neuron`` and ``neuron_b``. Dimensionless, or
        spikes squared for the covariance. ``attrs["n_defined"]``: neurons with enough spikes.
    """
    if measure not in ("correlation", "covariance"):
        raise InputError(f"measure: expected 'correlation' or 'covariance', got {measure!r}.")
    if n_pairs is not None and n_pairs < 1:
        raise InputError(f"n_pairs: expected at least 1 pair, got {n_pairs}; leave it out for all pairs.")
    found = trains(recording, population, start_ms=start_ms, stop_ms=stop_ms)
    counts = found.binned(found.steps(bin_ms, "bin_ms"))
    n_bins, n = counts.shape
    total = np.bincount(counts.indices, counts.data, minlength=n)
    squares = np.bincount(counts.indices, counts.data.astype(float) ** 2, minlength=n)
    variance = _covariance(squares, total, total, n_bins)
    defined = (total >= max(min_spikes, 1)) & (variance > 0)
    scale = np.sqrt(np.where(defined, variance, np.nan)) if measure == "correlation" else np.where(defined, 1.0, np.nan)
    if n_pairs is None and n <= ALL_PAIRS:
        values = _covariance(_products(counts), total[:, None], total[None, :], n_bins)
        values /= scale[:, None]
        values /= scale[None, :]
        if measure == "correlation":
            np.fill_diagonal(values, np.where(defined, 1.0, np.nan))
        array = xr.DataArray(values, dims=("neuron", "neuron_b"))
    else:
        a, b = _pairs(n, n_pairs or SAMPLED_PAIRS, seed)
        counts = counts.tocsc().astype(float)
        shared = np.concatenate(
            [
                np.asarray(counts[:, a[k : k + _BLOCK]].multiply(counts[:, b[k : k + _BLOCK]]).sum(axis=0)).reshape(-1)
                for k in range(0, a.size, _BLOCK)
            ]
            or [np.zeros(0)]
        )
        values = _covariance(shared, total[a], total[b], n_bins) / (scale[a] * scale[b])
        array = xr.DataArray(values, dims="pair", coords={"neuron": ("pair", a), "neuron_b": ("pair", b)})
    return labelled(
        array,
        measure,
        "1" if measure == "correlation" else "spikes**2",
        population,
        bin_ms=bin_ms,
        n_bins=n_bins,
        min_spikes=min_spikes,
        n_defined=int(defined.sum()),
    )


def mean_correlation(matrix: xr.DataArray) -> float:
    """Mean over pairs of different neurons of what :func:`pairwise_correlation` gives, NaN left out; NaN without a pair."""
    values = matrix.values
    if matrix.ndim == 2:
        values = values[np.triu_indices(values.shape[0], 1)]
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else float("nan")


def signal_and_noise_correlation(
    recording: xr.DataTree,
    population: str,
    stimulus: ArrayLike,
    *,
    min_trials: int = 4,
    seed: int = 0,
    start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> xr.Dataset:
    """Correlation of mean responses over stimuli, and of the variability around them over trials.

    Noise: counts minus the mean of their stimulus, correlated over all trials. Signal: the covariance of mean responses over
    stimuli, between means of two disjoint halves of the trials, so that noise shared by two neurons does not enter; averaged
    over the two ways to combine the halves and normalised by the signal variances found in the same way.

    Parameters
    ----------
    stimulus : (trial,)
        What was shown, numbers or strings; at least two different stimuli.
    min_trials : int, >= 4
        Fewest trials of every stimulus; with fewer, an error.
    seed : int
        Of the halves.

    Returns
    -------
    xarray.Dataset, (neuron, neuron_b)
        ``signal`` and ``noise``; NaN where a variance is not positive. A signal correlation is a ratio of estimates and can
        leave [-1, 1]. ``attrs["n_defined"]``: neurons with a positive variance of both.

    Raises
    ------
    InputError
        Not one label per trial, NaN among them, or too few stimuli or trials.

    Source
    ------
    Averbeck, Latham, Pouget (2006), Nat. Rev. Neurosci. 7, 358. doi:10.1038/nrn1888
    """
    found = trains(recording, population, start_ms=start_ms, stop_ms=stop_ms)
    kinds, which = stimulus_of_trial(stimulus, found.n_trials)
    counts = found.counts().astype(float)
    fewest = int(np.bincount(which).min())
    if kinds.size < 2 or fewest < max(min_trials, 4):
        raise InputError(
            f"stimulus: expected at least 2 stimuli of {max(min_trials, 4)} trials each, got {kinds.size} and {fewest}."
        )
    means = np.stack([counts[which == k].mean(axis=0) for k in range(kinds.size)])
    noise = _normalised(_centred_product(counts - means[which], counts - means[which], found.n_trials - kinds.size))
    random = np.random.default_rng(seed)
    halves = [[], []]  # type: list[list[np.ndarray]]
    for k in range(kinds.size):
        order = random.permutation(np.flatnonzero(which == k))
        for half in (0, 1):
            halves[half].append(counts[order[half::2]].mean(axis=0))
    first, second = (np.stack(h) - np.stack(h).mean(axis=0) for h in halves)
    shared = _centred_product(first, second, kinds.size - 1)
    signal, dims = _normalised((shared + shared.T) / 2), ("neuron", "neuron_b")
    return xr.Dataset(
        {
            "signal": (dims, signal, {"units": "1"}),
            "noise": (dims, noise, {"units": "1"}),
        },
        attrs={
            "population": population, "n_stimuli": int(kinds.size), "min_trials": max(min_trials, 4), "seed": seed,
            "n_defined": int(np.isfinite(np.diag(signal) + np.diag(noise)).sum()),
        },
    )  # fmt: skip


def _covariance(products: np.ndarray, a: np.ndarray, b: np.ndarray, n: int) -> np.ndarray:
    """Sums of products and sums to covariances; with integer counts both terms are exact, so equal ones cancel to 0."""
    if n < 2:
        return np.full(np.broadcast_shapes(products.shape, a.shape, b.shape), np.nan)
    return np.asarray((products * n - a * b) / (n * (n - 1)))


def _products(counts: sparse.csr_array) -> np.ndarray:
    """``counts.T @ counts``, dense (neuron, neuron): sparse where few bins are filled, else block by block."""
    n_bins, n = counts.shape
    share = counts.nnz / max(n_bins * n, 1)
    if share <= _DENSE_SHARE:
        compiled = shared_bits() if share > _BITS_SHARE else shared_counts()
        if compiled is None:
            return np.asarray((counts.T @ counts).toarray(), dtype=float)
        once = np.zeros((n, n))
        compiled(counts.indptr, counts.indices, counts.data.astype(float), once)
        return once + once.T - np.diag(np.diag(once))
    products = np.zeros((n, n))
    for first in range(0, n_bins, _BLOCK):
        block = counts[first : first + _BLOCK].toarray().astype(float)
        products += block.T @ block
    return products


def _pairs(n: int, n_pairs: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Different pairs (a < b), all of them where no more exist, numbered row by row of the upper triangle."""
    exist = n * (n - 1) // 2
    random = np.random.default_rng(seed)
    if n_pairs >= exist:
        a, b = np.triu_indices(n, 1)
        return a, b
    chosen = np.unique(random.integers(0, exist, int(1.1 * n_pairs) + 10))
    while chosen.size < n_pairs:
        chosen = np.unique(np.append(chosen, random.integers(0, exist, n_pairs)))
    chosen = random.permutation(chosen)[:n_pairs]
    # Row b of the lower triangle begins at b (b - 1)/2.
    b = ((1 + np.sqrt(1 + 8 * chosen)) // 2).astype(np.int64)
    b -= b * (b - 1) // 2 > chosen  # the root may be one too large in its last bit
    b += b * (b + 1) // 2 <= chosen
    return chosen - b * (b - 1) // 2, b


def _centred_product(x: np.ndarray, y: np.ndarray, freedom: int) -> np.ndarray:
    return np.asarray(x.T @ y / freedom)


def _normalised(covariance: np.ndarray) -> np.ndarray:
    scale = np.sqrt(np.where(np.diag(covariance) > 0, np.diag(covariance), np.nan))
    return np.asarray(covariance / scale[:, None] / scale[None, :])
