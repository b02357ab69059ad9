"""Lempel-Ziv complexity of spike trains: how many words a train is made of, and what that says about its class."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from ..errors import InputError
from .trains import labelled, trains


def lempel_ziv(strings: ArrayLike, *, normalised: bool = False) -> np.ndarray:
    """Number of words in binary strings, parsed from left to right into the shortest blocks that did not occur before.

    A new word may overlap what it is looked up in, up to its own last symbol but one; an unfinished last word counts.

    Parameters
    ----------
    strings : (..., n), of 0 and 1, n >= 1
    normalised : bool
        Times ``log2(n)/n``: bits per symbol, the entropy rate of an ergodic source as n grows. For finite n it is off (6 % too high for
        a fair coin at n = 1024, 5 % too low for one 1 in 50 at n = 4096), so that strings of different length cannot be compared.

    Returns
    -------
    (...), int64, or float64 if normalised

    Raises
    ------
    InputError
        Other numbers than 0 and 1, or empty strings.

    Source
    ------
    Lempel and Ziv (1976), IEEE Trans. Inf. Theory 22, 75. doi:10.1109/TIT.1976.1055501
    """
    given = _array("strings", strings)
    if given.ndim < 1 or given.shape[-1] < 1:
        raise InputError(f"strings: expected (..., n) with n >= 1, got shape {given.shape}.")
    bits = given.astype(bool)
    if given.dtype != bool and not (given == bits).all():
        raise InputError("strings: expected 0 and 1; bin counts of spikes first, a bin with any spike is 1.")
    n = given.shape[-1]
    words = np.array([_words(row.tobytes()) for row in bits.reshape(-1, n)], np.int64).reshape(given.shape[:-1])
    return words * np.log2(n) / n if normalised else words


def _array(path: str, values: ArrayLike) -> np.ndarray:
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError):
        raise InputError(f"{path}: expected an array, got rows of different lengths or no numbers.") from None


def _words(text: bytes) -> int:
    """Words of one string, a byte a symbol; the search is that of bytes."""
    begin = count = 0
    while begin < len(text):
        length = 1
        while begin + length <= len(text) and text.find(text[begin : begin + length], 0, begin + length - 1) >= 0:
            length += 1
        count += 1
        begin += length
    return count


def lempel_ziv_complexity(
    recording: xr.DataTree,
    population: str,
    *,
    bin_ms: float | None = None,
    normalised: bool = True,
    start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> xr.DataArray:
    """Lempel-Ziv complexity of every neuron's train in every trial.

    It sees the order of spikes beside their rate: a shuffled train with the same rate is a control that belongs to it.

    Parameters
    ----------
    bin_ms : float, optional
        A bin with any spike is 1; one step unless given. A last incomplete bin is left out.
    normalised : bool
        Bits per bin, as of :func:`lempel_ziv`, instead of a number of words.

    Returns
    -------
    xarray.DataArray, (trial, neuron), "bit" or "1"
        The attribute ``n_bins`` says how long the strings were: only equal ones can be compared.

    Source
    ------
    As :func:`lempel_ziv`.
    """
    found = trains(recording, population, start_ms=start_ms, stop_ms=stop_ms)
    width = 1 if bin_ms is None else found.steps(bin_ms, "bin_ms")
    n_bins = found.n_steps // width
    if n_bins < 1:
        raise InputError(f"bin_ms: a bin of {width} steps is longer than the {found.n_steps} steps of the window.")
    counts = found.binned(width)
    shape = (found.n_trials, n_bins, found.n_neurons)
    values = np.empty((found.n_trials, found.n_neurons))
    for trial in range(found.n_trials):
        rows = counts[trial * n_bins : (trial + 1) * n_bins].toarray() > 0
        values[trial] = lempel_ziv(rows.T, normalised=normalised)
    return labelled(
        xr.DataArray(values, dims=("trial", "neuron")), "lempel_ziv_complexity", "bit" if normalised else "1", population,
        n_bins=shape[1], bin_ms=width * found.dt_ms, normalised=int(normalised),
    )  # fmt: skip


def nearest_mean(features: ArrayLike, labels: ArrayLike, others: ArrayLike) -> np.ndarray:
    """Classes of samples by the nearest class mean (Euclidean) of other samples: a read-out without free parameters.

    Parameters
    ----------
    features : (sample, feature)
        Such as a row of complexities, one for each neuron.
    labels : (sample,), whole numbers or names
    others : (other, feature)

    Returns
    -------
    (other,), of the labels' type

    Raises
    ------
    InputError
        Shapes that do not fit, features that are no numbers or all constant, or labels that are no classes.
    """
    from sklearn.neighbors import NearestCentroid

    x, y, z = _array("features", features), _array("labels", labels), _array("others", others)
    if x.dtype.kind not in "biuf" or z.dtype.kind not in "biuf":
        raise InputError(f"features: expected real numbers, got {x.dtype} and {z.dtype}.")
    x, z = x.astype(float), z.astype(float)
    if y.dtype.kind not in "biuUS":
        raise InputError(f"labels: expected whole numbers or names, got {y.dtype}.")
    if x.ndim != 2 or z.ndim != 2 or y.shape != x.shape[:1] or z.shape[1] != x.shape[1]:
        raise InputError(
            f"features: expected (sample, feature), (sample,) and (other, feature), got {x.shape}, {y.shape} and {z.shape}."
        )
    if not (np.isfinite(x).all() and np.isfinite(z).all()):
        raise InputError("features: NaN or infinity among them; leave silent or constant features out.")
    if np.unique(y).size < 2:
        raise InputError("labels: expected at least two classes.")
    if (x == x[0]).all():
        raise InputError("features: expected one that differs between samples, all are constant or there are none.")
    return np.asarray(NearestCentroid().fit(x, y).predict(z))
