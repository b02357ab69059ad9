"""Spike times of many trains in one array, and how distances are taken over many pairs of them at a time."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from .trains import Trains

_DECIMALS = 9
BATCH = 1 << 20
"""Spikes, or entries of a cost table, that are compared at a time."""


class Ragged(NamedTuple):
    """Spike times of several trains one after the other, ascending within a train, from the beginning of the window.

    times : float64, (spike,), ms
    counts : int64, (train,)
    """

    times: np.ndarray
    counts: np.ndarray

    @property
    def starts(self) -> np.ndarray:
        return np.asarray(np.cumsum(self.counts) - self.counts)

    @property
    def train(self) -> np.ndarray:
        """Train of every spike, (spike,)."""
        return np.repeat(np.arange(self.counts.size), self.counts)

    def take(self, which: np.ndarray) -> Ragged:
        """The trains at these positions."""
        counts = self.counts[which]
        shift = self.starts[which] - (np.cumsum(counts) - counts)
        return Ragged(self.times[np.arange(counts.sum()) + np.repeat(shift, counts)], counts)


Distance = Callable[[Ragged, Ragged], np.ndarray]


def one_train(name: str, given: ArrayLike, start_ms: float = 0.0, stop_ms: float | None = None) -> Ragged:
    """One train, its times counted from `start_ms`."""
    times = np.asarray(given, dtype=float)
    if times.ndim != 1 or not np.isfinite(times).all() or (np.diff(times) < 0).any():
        raise InputError(f"{name}: expected one row of finite spike times in ms in ascending order; sort them first.")
    if stop_ms is not None and times.size and not (start_ms <= times[0] and times[-1] <= stop_ms):
        raise InputError(
            f"{name}: spikes from {times[0]:g} to {times[-1]:g} ms leave the window of {start_ms:g} to {stop_ms:g} ms; "
            "cut the train or widen the window."
        )
    return Ragged(times - start_ms, np.array([times.size]))


def times_of(found: Trains) -> Ragged:
    """All trains of a window, in memory."""
    pieces = list(found.pieces())
    train = np.concatenate([p.train for p in pieces]) if pieces else np.zeros(0, np.int64)
    step = np.concatenate([p.step for p in pieces]) if pieces else np.zeros(0, np.int32)
    # Each piece is in order of train and later ones hold later spikes, so a stable sort leaves times ascending.
    order = np.argsort(train, kind="stable")
    # The same time reached at another dt differs in its last bit: such spikes are to coincide.
    times = np.round(step[order] * found.dt_ms, _DECIMALS)
    return Ragged(times, np.bincount(train, minlength=found.n_trains).astype(np.int64))


def of_pairs(a: Ragged, b: Ragged, left: np.ndarray, right: np.ndarray, distance: Distance) -> np.ndarray:
    """Distance of train left[k] of a from train right[k] of b for every k, a batch of pairs at a time."""
    values = np.zeros(left.size)
    if not left.size:
        return values
    # Two more per train: auxiliary spikes, and so that silent pairs fill a batch too.
    batch = np.cumsum(a.counts[left] + b.counts[right] + 4) // BATCH
    edges = np.concatenate([[0], np.flatnonzero(np.diff(batch)) + 1, [left.size]])
    for first, last in pairwise(edges):
        values[first:last] = distance(a.take(left[first:last]), b.take(right[first:last]))
    return values
