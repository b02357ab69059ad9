"""Interspike intervals: their moments per train in one pass over the spikes, coefficient of variation, local variation."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ..errors import InputError
from .kernels import interval_sums
from .trains import Piece, Trains, labelled, trains

MIN_INTERVALS = 10
"""Fewest intervals for which a CV is reported. Below it the estimate is dominated by its own bias."""


class IntervalMoments:
    """Sums over the intervals of every train, grown piece by piece.

    Attributes
    ----------
    n, total, squares : (train,)
        Number of intervals, their sum [steps] and sum of squares; exact up to 2**53.
    n_pairs, local : (train,)
        Pairs of successive intervals (a, b) and their sum of ``((a - b)/(a + b))**2``.
    """

    def __init__(self, n_trains: int) -> None:
        self.n = np.zeros(n_trains, dtype=np.int64)
        self.total, self.squares = np.zeros(n_trains), np.zeros(n_trains)
        self.n_pairs, self.local = np.zeros(n_trains, dtype=np.int64), np.zeros(n_trains)
        self._last = np.full(n_trains, -1, dtype=np.int64)
        self._interval = np.zeros(n_trains, dtype=np.int64)  # the last one; 0 before there is one

    def add(self, piece: Piece) -> np.ndarray:
        """Take in a piece; returns the interval that ends at each of its spikes [steps], 0 where there is none."""
        here, ends = piece.present, np.append(piece.starts[1:], piece.step.size) - 1
        interval = np.diff(piece.step.astype(np.int64), prepend=0)
        first = piece.step[piece.starts] - self._last[here]
        interval[piece.starts] = np.where(self._last[here] >= 0, first, 0)
        before = np.concatenate([[0], interval[:-1]])
        before[piece.starts] = self._interval[here]
        both = (interval > 0) & (before > 0)
        ratio = np.zeros(interval.size)
        np.divide(interval - before, interval + before, out=ratio, where=both)
        as_float = interval.astype(float)
        for sums, values in (
            (self.n, interval > 0), (self.total, as_float), (self.squares, as_float * as_float),
            (self.n_pairs, both), (self.local, ratio * ratio),
        ):  # fmt: skip
            sums[here] += np.add.reduceat(values, piece.starts, dtype=sums.dtype)
        self._last[here], self._interval[here] = piece.step[ends], interval[ends]
        return interval

    def cv(self, least: int) -> np.ndarray:
        """Standard deviation (n - 1 in the denominator) over mean, (train,); NaN below ``least`` intervals."""
        n = np.where(self.n >= max(least, 2), self.n, np.nan)
        variance = np.maximum(n * self.squares - self.total * self.total, 0) / (n * (n - 1))
        return np.asarray(np.sqrt(variance) * n / np.where(self.total > 0, self.total, np.nan))

    def local_variation(self, least: int) -> np.ndarray:
        """Mean of ``3 ((a - b)/(a + b))**2`` over successive intervals, (train,); NaN below ``least`` intervals."""
        enough = (self.n >= max(least, 2)) & (self.n_pairs > 0)
        return np.asarray(3 * self.local / np.where(enough, self.n_pairs, np.nan))


def interval_moments(found: Trains, *, pairs: bool = True) -> IntervalMoments:
    """Moments of the intervals of all trains; without those of pairs, a compiled loop may do it."""
    moments, compiled = IntervalMoments(found.n_trains), None if pairs else interval_sums()
    if compiled is None:
        for piece in found.pieces():
            moments.add(piece)
        return moments
    last = np.full(found.n_trains, -1, dtype=np.int64)
    for train, step in found.raw():
        compiled(train, step, last, moments.n, moments.total, moments.squares)
    return moments


def intervals(
    recording: xr.DataTree, population: str, *, start_ms: float = 0.0, stop_ms: float | None = None
) -> xr.DataArray:
    """Interspike intervals of every neuron, within trials.

    Returns
    -------
    xarray.DataArray, (interval,), ms
        Coordinates ``trial`` and ``neuron`` say whose interval it is, as positions.
    """
    found = trains(recording, population, start_ms=start_ms, stop_ms=stop_ms)
    moments, steps, owners = IntervalMoments(found.n_trains), [], []
    for piece in found.pieces():
        ended = moments.add(piece)
        steps.append(ended[ended > 0])
        owners.append(piece.train[ended > 0])
    step = np.concatenate(steps) if steps else np.zeros(0, np.int64)
    train = np.concatenate(owners) if owners else np.zeros(0, np.int64)
    order = np.argsort(train, kind="stable")
    trial, neuron = np.divmod(train[order], found.n_neurons)
    array = xr.DataArray(
        step[order] * found.dt_ms,
        dims="interval",
        coords={"trial": ("interval", trial), "neuron": ("interval", neuron)},
    )
    return labelled(array, "isi", "ms", population)


def isi_cv(
    recording: xr.DataTree, population: str, *, min_intervals: int = MIN_INTERVALS, start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> xr.DataArray:  # fmt: skip
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
        ``attrs["min_intervals"]`` and ``attrs["n_defined"]`` belong to every statistic made with it.
    """
    return _of_moments(recording, population, "isi_cv", IntervalMoments.cv, min_intervals, start_ms, stop_ms)


def local_variation(
    recording: xr.DataTree, population: str, *, min_intervals: int = MIN_INTERVALS, start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> xr.DataArray:  # fmt: skip
    """Local variation of the interspike intervals, per trial and neuron: insensitive to slow changes of rate.

    1 for a Poisson process, 0 for a regular train, ``3/(2 k + 1)`` for a gamma process of shape k.

    Parameters
    ----------
    min_intervals : int, >= 2
        A train with fewer intervals gets NaN.

    Returns
    -------
    xarray.DataArray, (trial, neuron), dimensionless

    Source
    ------
    Shinomoto, Shima, Tanji (2003), Neural Comput. 15, 2823. doi:10.1162/089976603322518759
    """
    return _of_moments(recording, population, "lv", IntervalMoments.local_variation, min_intervals, start_ms, stop_ms)


def _of_moments(
    recording: xr.DataTree, population: str, name: str, measure: object, least: int, start_ms: float,
    stop_ms: float | None,
) -> xr.DataArray:  # fmt: skip
    if least < 2:
        raise InputError(f"min_intervals: {least} given; a measure of variation needs at least 2.")
    found = trains(recording, population, start_ms=start_ms, stop_ms=stop_ms)
    moments = interval_moments(found, pairs=measure is not IntervalMoments.cv)
    values = measure(moments, least).reshape(found.n_trials, found.n_neurons)  # type: ignore[operator]
    array = xr.DataArray(values, dims=("trial", "neuron"))
    return labelled(array, name, "1", population, min_intervals=least, n_defined=int(np.isfinite(values).sum()))
