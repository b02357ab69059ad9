"""Distances between spike trains without a parameter, by integrating a profile over time: ISI and SPIKE."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from .ragged import Ragged, one_train


def isi_distance(a: ArrayLike, b: ArrayLike, start_ms: float, stop_ms: float) -> float:
    """ISI-distance: mean over time of ``|x_a - x_b| / max(x_a, x_b)``, x being the interval that holds the time.

    Parameters
    ----------
    a, b : array_like, (spike,), ms, ascending, within the window
    start_ms, stop_ms : float, ms
        The window over which is integrated, exactly.

    Returns
    -------
    float, dimensionless, in [0, 1)
        0 for trains of equal intervals where they overlap, also for two empty trains.

    Notes
    -----
    At the edges as in PySpike. The interval before the first spike is the longer one of the time from `start_ms` to
    that spike and the interval after it, with one spike alone the time from `start_ms`; correspondingly behind the
    last spike. An empty train counts as two spikes, at `start_ms` and `stop_ms`.

    Raises
    ------
    InputError
        Times that are not finite, not ascending or outside of the window, or an empty window.

    Source
    ------
    Kreuz, Haas, Morelli, Abarbanel & Politi (2007), J. Neurosci. Methods 165, 151. doi:10.1016/j.jneumeth.2007.05.031;
    in this form, with the edges: Kreuz, Mulansky & Bozanic (2015), J. Neurophysiol. 113, 3432.
    doi:10.1152/jn.00848.2014; Mulansky & Kreuz (2016), SoftwareX 5, 183. doi:10.1016/j.softx.2016.07.006
    """
    length = window_length(start_ms, stop_ms)
    return float(isi_pairs(one_train("a", a, start_ms, stop_ms), one_train("b", b, start_ms, stop_ms), length)[0])


def spike_distance(a: ArrayLike, b: ArrayLike, start_ms: float, stop_ms: float) -> float:
    """SPIKE-distance: mean over time of how far the surrounding spikes are from those of the other train.

    Every spike has the distance to the nearest spike of the other train. Within an interval x between two spikes this
    distance is interpolated linearly, S(t); the dissimilarity is ``(S_a x_b + S_b x_a) / (2 <x>**2)`` with
    ``<x> = (x_a + x_b)/2``, which is linear between spikes, so the integral is exact. It has no time scale to choose.

    Parameters
    ----------
    a, b : array_like, (spike,), ms, ascending, within the window
    start_ms, stop_ms : float, ms

    Returns
    -------
    float, dimensionless, >= 0
        0 for equal trains, also for two empty ones.

    Notes
    -----
    At the edges as in PySpike: an auxiliary spike stands before the first spike, at `start_ms` or, where that is
    earlier, one first interval before the first spike, and correspondingly one behind the last. These make the
    first and last interval x and are candidates for the nearest spike of the other train; S is constant from the edge
    to the first spike and from the last spike to the edge. An empty train counts as two spikes, at `start_ms` and
    `stop_ms`. One case differs from PySpike 0.9: a train of one single spike exactly at `start_ms`. There PySpike
    lets S run to the distance of `stop_ms` from the other train; here S stays constant behind the only spike, as it
    does for a spike a moment later, so that the distance does not jump.

    Raises
    ------
    InputError
        Times that are not finite, not ascending or outside of the window, or an empty window.

    Source
    ------
    Kreuz, Chicharro, Houghton, Andrzejak & Mormann (2013), J. Neurophysiol. 109, 1457.
    doi:10.1152/jn.00873.2012; edges: Satuvuori et al. (2017), J. Neurosci. Methods 287, 25.
    doi:10.1016/j.jneumeth.2017.05.028; Mulansky & Kreuz (2016), SoftwareX 5, 183. doi:10.1016/j.softx.2016.07.006
    """
    length = window_length(start_ms, stop_ms)
    return float(spike_pairs(one_train("a", a, start_ms, stop_ms), one_train("b", b, start_ms, stop_ms), length)[0])


def window_length(start_ms: float, stop_ms: float) -> float:
    if not (np.isfinite(start_ms) and np.isfinite(stop_ms) and start_ms < stop_ms):
        raise InputError(f"window: expected finite start_ms < stop_ms, got {start_ms} and {stop_ms}.")
    return float(stop_ms - start_ms)


class _Side(NamedTuple):
    """One of the two trains at every stretch of time, (stretch,): the spikes around it, and their distance from the other train."""

    before: np.ndarray
    after: np.ndarray
    near_before: np.ndarray
    near_after: np.ndarray

    @property
    def interval(self) -> np.ndarray:
        return self.after - self.before

    def at(self, time: np.ndarray) -> np.ndarray:
        """Distance from the other train, interpolated at a time within the stretch."""
        passed = np.zeros(time.size)
        np.divide(time - self.before, self.interval, out=passed, where=self.interval > 0)
        return self.near_before + (self.near_after - self.near_before) * passed


class _Stretches(NamedTuple):
    """Times between successive spikes of either train, for many pairs.

    pair : (stretch,); left, right : (stretch,), ms; a, b : the two trains
    """

    pair: np.ndarray
    left: np.ndarray
    right: np.ndarray
    a: _Side
    b: _Side


def isi_pairs(a: Ragged, b: Ragged, length: float) -> np.ndarray:
    s = _stretches(a, b, length)
    x, y = s.a.interval, s.b.interval
    longer = np.maximum(x, y)
    ratio = np.zeros(longer.size)
    np.divide(np.abs(x - y), longer, out=ratio, where=longer > 0)  # an interval of 0 holds no time
    return np.bincount(s.pair, ratio * (s.right - s.left), minlength=a.counts.size) / length


def spike_pairs(a: Ragged, b: Ragged, length: float) -> np.ndarray:
    s = _stretches(a, b, length)
    x, y = s.a.interval, s.b.interval
    both = x + y
    # Linear in time, hence the mean of the values at both ends.
    mean = ((s.a.at(s.left) + s.a.at(s.right)) * y + (s.b.at(s.left) + s.b.at(s.right)) * x) / 2
    value = np.zeros(both.size)
    np.divide(2 * mean, both * both, out=value, where=both > 0)
    return np.bincount(s.pair, value * (s.right - s.left), minlength=a.counts.size) / length


def _stretches(a: Ragged, b: Ragged, length: float) -> _Stretches:
    n = a.counts.size
    a, b = _never_empty(a, length), _never_empty(b, length)
    pair = np.concatenate([np.arange(n), a.train, b.train])
    times = np.concatenate([np.zeros(n), a.times, b.times])
    order = np.lexsort((times, pair))  # stable: of equal times the window's beginning comes first, then a, then b
    pair, times = pair[order], times[order]
    is_a = (order >= n) & (order < n + a.times.size)
    is_b = order >= n + a.times.size
    edged_a, edged_b = _with_edges(a, length), _with_edges(b, length)
    # Where the last spike up to here, or the front edge, stands among the trains with edges: two edges per train.
    at_a, at_b = np.cumsum(is_a) + 2 * pair, np.cumsum(is_b) + 2 * pair
    near_a = _nearest(times[is_a], edged_b, at_b[is_a])
    near_b = _nearest(times[is_b], edged_a, at_a[is_b])
    right = np.append(times[1:], length)
    right[np.append(np.diff(pair) != 0, True)] = length
    side_a = _side(edged_a, _between_edges(a, near_a), at_a)
    side_b = _side(edged_b, _between_edges(b, near_b), at_b)
    return _Stretches(pair, times, right, side_a, side_b)


def _never_empty(r: Ragged, length: float) -> Ragged:
    """Empty trains replaced by a spike at either end of the window."""
    empty = r.counts == 0
    counts = np.where(empty, 2, r.counts)
    times = np.empty(counts.sum())
    times[np.repeat(~empty, counts)] = r.times
    ends = np.cumsum(counts)[empty]
    times[ends - 2], times[ends - 1] = 0.0, length
    return Ragged(times, counts)


def _with_edges(r: Ragged, length: float) -> np.ndarray:
    """Times with an auxiliary spike before and behind every train: at the edge, or an interval away where that is further."""
    first, last = r.starts, r.starts + r.counts - 1
    more = r.counts > 1
    second = np.where(more, first + 1, first)
    last_but_one = np.where(more, last - 1, last)
    front = np.where(more, np.minimum(0.0, 2 * r.times[first] - r.times[second]), 0.0)
    back = np.where(more, np.maximum(length, 2 * r.times[last] - r.times[last_but_one]), length)
    return _framed(r, r.times, front, back)


def _between_edges(r: Ragged, near: np.ndarray) -> np.ndarray:
    """Distances to the other train, those of the auxiliary spikes being that of the spike beside them."""
    return _framed(r, near, near[r.starts], near[r.starts + r.counts - 1])


def _framed(r: Ragged, inner: np.ndarray, front: np.ndarray, back: np.ndarray) -> np.ndarray:
    framed = np.empty(inner.size + 2 * r.counts.size)
    trains = np.arange(r.counts.size)
    framed[np.arange(inner.size) + 2 * r.train + 1] = inner
    framed[r.starts + 2 * trains] = front
    framed[r.starts + r.counts + 2 * trains + 1] = back
    return framed


def _nearest(times: np.ndarray, edged: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Distance from the nearest spike of the other train, its auxiliary ones included."""
    return np.minimum(np.abs(times - edged[at]), np.abs(edged[at + 1] - times))


def _side(edged: np.ndarray, near: np.ndarray, at: np.ndarray) -> _Side:
    return _Side(edged[at], edged[at + 1], near[at], near[at + 1])
