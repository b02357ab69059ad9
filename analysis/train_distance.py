"""Distances between spike trains: van Rossum, Victor-Purpura, SPIKE and ISI.

The four functions on arrays of times are pure. What compares recordings hands many pairs of trains at once to the same
code, which loops over no spikes (Victor-Purpura: over the spikes of the shorter train, all pairs at a time).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from ..errors import InputError
from .distance import check_same_window
from .trains import Trains, labelled, trains

Kind = Literal["van_rossum", "victor_purpura", "spike", "isi"]
KINDS = ("van_rossum", "victor_purpura", "spike", "isi")

BATCH = 1 << 20
"""Spikes, or entries of a cost table, that are compared at a time."""
_DECIMALS = 9


class _Ragged(NamedTuple):
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

    def take(self, which: np.ndarray) -> _Ragged:
        """The trains at these positions."""
        counts = self.counts[which]
        shift = self.starts[which] - (np.cumsum(counts) - counts)
        return _Ragged(self.times[np.arange(counts.sum()) + np.repeat(shift, counts)], counts)


_Distance = Callable[[_Ragged, _Ragged], np.ndarray]


def van_rossum(a: ArrayLike, b: ArrayLike, tau_ms: float) -> float:
    """Van Rossum distance: root of the integrated squared difference of two trains, each filtered with a decaying exponential.

    Parameters
    ----------
    a, b : array_like, (spike,), ms, ascending
    tau_ms : float, ms, > 0
        Time constant of the filter. Towards 0 every spike without an exact partner counts; towards infinity the
        number of spikes alone does.

    Returns
    -------
    float, dimensionless
        ``sqrt(2/tau * integral (f_a - f_b)**2 dt)`` with ``f(t) = sum_k H(t - t_k) exp(-(t - t_k)/tau)``, the integral
        to infinity, not to the end of a window. A spike more is a distance of 1, so n spikes far apart from each
        other are sqrt(n) away from an empty train; two empty trains are 0 apart. Van Rossum's own normalisation
        (1/tau before the integral) gives this value over sqrt(2).

    Raises
    ------
    InputError
        Times that are not finite or not ascending, or no positive tau.

    Source
    ------
    van Rossum (2001), Neural Comput. 13, 751. doi:10.1162/089976601300014321. Normalisation and the
    recursion that makes it linear in the number of spikes: Houghton & Kreuz (2012), Network 23, 48.
    doi:10.3109/0954898X.2012.673048
    """
    return float(_van_rossum(_one("a", a), _one("b", b), _positive("tau_ms", tau_ms))[0])


def victor_purpura(a: ArrayLike, b: ArrayLike, cost_per_ms: float) -> float:
    """Victor-Purpura distance: least cost of changing one train into the other.

    Deleting or inserting a spike costs 1, moving it by d costs ``cost_per_ms * d``; spikes further apart than
    ``2/cost_per_ms`` are never moved onto each other.

    Parameters
    ----------
    a, b : array_like, (spike,), ms, ascending
    cost_per_ms : float, 1/ms, >= 0
        At 0 the distance is the difference of the numbers of spikes.

    Returns
    -------
    float, dimensionless
        From an empty train: the number of spikes of the other; two empty trains are 0 apart.

    Raises
    ------
    InputError
        Times that are not finite or not ascending, or a negative cost.

    Source
    ------
    Victor & Purpura (1996), J. Neurophysiol. 76, 1310, D^spike[q]. doi:10.1152/jn.1996.76.2.1310
    """
    return float(_victor_purpura(_one("a", a), _one("b", b), _cost(cost_per_ms))[0])


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
    length = _length(start_ms, stop_ms)
    return float(_isi(_one("a", a, start_ms, stop_ms), _one("b", b, start_ms, stop_ms), length)[0])


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
    length = _length(start_ms, stop_ms)
    return float(_spike(_one("a", a, start_ms, stop_ms), _one("b", b, start_ms, stop_ms), length)[0])


def train_distance(
    recording_a: xr.DataTree,
    recording_b: xr.DataTree,
    population: str,
    kind: Kind,
    *,
    tau_ms: float | None = None,
    cost_per_ms: float | None = None,
    start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> xr.DataArray:
    """Distance between the trains of the same neuron in two recordings: how far two engines or settings are apart.

    Parameters
    ----------
    recording_a, recording_b : xarray.DataTree
        With equally many neurons and trials of the population; dt may differ.
    population : str
    kind : {"van_rossum", "victor_purpura", "spike", "isi"}
        See the functions `van_rossum`, `victor_purpura`, `spike_distance` and `isi_distance`.
    tau_ms : float, ms
        For "van_rossum" and only there; no default, since the time scale is the question asked.
    cost_per_ms : float, 1/ms
        For "victor_purpura" and only there.
    start_ms, stop_ms : float, ms
        The same window in both, a multiple of either dt.

    Returns
    -------
    xarray.DataArray, (trial, neuron), dimensionless
        Silent trains have distances too (see the functions), two silent ones 0: ``attrs["n_both_silent"]`` says how
        many of the ``attrs["n_defined"]`` are such pairs, which a mean may have to leave out.

    Raises
    ------
    InputError
        Populations or windows that differ, an unknown kind, or a time scale missing or not used.
    """
    distance, scale = _chosen(kind, tau_ms, cost_per_ms)
    found_a = trains(recording_a, population, start_ms=start_ms, stop_ms=stop_ms)
    found_b = trains(recording_b, population, start_ms=start_ms, stop_ms=stop_ms)
    check_same_window(found_a, found_b)
    if found_a.n_neurons != found_b.n_neurons:
        raise InputError(
            f"recordings: {population} has {found_a.n_neurons} neurons in one and {found_b.n_neurons} in the other; "
            "neuron k is compared with neuron k, so record the same neurons in both."
        )
    a, b = _times(found_a), _times(found_b)
    same = np.arange(found_a.n_trains)
    values = _of_pairs(a, b, same, same, distance(found_a.n_steps * found_a.dt_ms))
    array = xr.DataArray(values.reshape(found_a.n_trials, found_a.n_neurons), dims=("trial", "neuron"))
    return labelled(
        array, f"{kind}_distance", "1", population, kind=kind, **scale, n_defined=values.size,
        n_both_silent=int(((a.counts == 0) & (b.counts == 0)).sum()),
    )  # fmt: skip


def train_distances(
    recording: xr.DataTree,
    population: str,
    kind: Kind,
    *,
    tau_ms: float | None = None,
    cost_per_ms: float | None = None,
    trial: int = 0,
    start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> xr.DataArray:
    """Distances between the trains of all pairs of neurons within a trial.

    Parameters
    ----------
    recording : xarray.DataTree
    population : str
    kind, tau_ms, cost_per_ms
        As in `train_distance`.
    trial : int
    start_ms, stop_ms : float, ms

    Returns
    -------
    xarray.DataArray, (neuron, neuron_b), dimensionless
        Symmetric, with zeros on the diagonal.

    Raises
    ------
    InputError
        As `train_distance`, or no such trial.
    """
    distance, scale = _chosen(kind, tau_ms, cost_per_ms)
    found = trains(recording, population, start_ms=start_ms, stop_ms=stop_ms)
    if not 0 <= trial < found.n_trials:
        raise InputError(f"trial: expected 0 to {found.n_trials - 1}, got {trial}; the recording has no such trial.")
    n = found.n_neurons
    one = _times(found).take(np.arange(trial * n, (trial + 1) * n))
    left, right = np.triu_indices(n, 1)
    values = np.zeros((n, n))
    values[left, right] = _of_pairs(one, one, left, right, distance(found.n_steps * found.dt_ms))
    values += values.T
    array = xr.DataArray(values, dims=("neuron", "neuron_b"))
    return labelled(
        array, f"{kind}_distance", "1", population, kind=kind, **scale, trial=trial, n_defined=values.size,
        n_silent=int((one.counts == 0).sum()),
    )  # fmt: skip


def _chosen(
    kind: str, tau_ms: float | None, cost_per_ms: float | None
) -> tuple[Callable[[float], _Distance], dict[str, float]]:
    """Function from the length of the window [ms] to the distance, and its time scale for the attributes."""
    if kind not in KINDS:
        raise InputError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}.")
    for name, value, owner in (("tau_ms", tau_ms, "van_rossum"), ("cost_per_ms", cost_per_ms, "victor_purpura")):
        if kind == owner and value is None:
            raise InputError(f"{name}: kind {kind!r} has a time scale and none was given; give {name}.")
        if kind != owner and value is not None:
            raise InputError(f"{name}: given with kind {kind!r}, which has no such parameter; leave it out.")
    if tau_ms is not None:
        tau = _positive("tau_ms", tau_ms)
        return lambda length: lambda a, b: _van_rossum(a, b, tau), {"tau_ms": tau}
    if cost_per_ms is not None:
        cost = _cost(cost_per_ms)
        return lambda length: lambda a, b: _victor_purpura(a, b, cost), {"cost_per_ms": cost}
    exact = _spike if kind == "spike" else _isi
    return lambda length: lambda a, b: exact(a, b, length), {}


def _positive(name: str, value: float) -> float:
    if not 0 < value < np.inf:
        raise InputError(f"{name}: expected a finite time above 0 ms, got {value}.")
    return float(value)


def _cost(cost_per_ms: float) -> float:
    if not 0 <= cost_per_ms < np.inf:
        raise InputError(f"cost_per_ms: expected a finite cost of at least 0 per ms, got {cost_per_ms}.")
    return float(cost_per_ms)


def _length(start_ms: float, stop_ms: float) -> float:
    if not (np.isfinite(start_ms) and np.isfinite(stop_ms) and start_ms < stop_ms):
        raise InputError(f"window: expected finite start_ms < stop_ms, got {start_ms} and {stop_ms}.")
    return float(stop_ms - start_ms)


def _one(name: str, given: ArrayLike, start_ms: float = 0.0, stop_ms: float | None = None) -> _Ragged:
    """One train, its times counted from `start_ms`."""
    times = np.asarray(given, dtype=float)
    if times.ndim != 1 or not np.isfinite(times).all() or (np.diff(times) < 0).any():
        raise InputError(f"{name}: expected one row of finite spike times in ms in ascending order; sort them first.")
    if stop_ms is not None and times.size and not (start_ms <= times[0] and times[-1] <= stop_ms):
        raise InputError(
            f"{name}: spikes from {times[0]:g} to {times[-1]:g} ms leave the window of {start_ms:g} to {stop_ms:g} ms; "
            "cut the train or widen the window."
        )
    return _Ragged(times - start_ms, np.array([times.size]))


def _times(found: Trains) -> _Ragged:
    """All trains of a window, in memory."""
    pieces = list(found.pieces())
    train = np.concatenate([p.train for p in pieces]) if pieces else np.zeros(0, np.int64)
    step = np.concatenate([p.step for p in pieces]) if pieces else np.zeros(0, np.int32)
    # Each piece is in order of train and later ones hold later spikes, so a stable sort leaves times ascending.
    order = np.argsort(train, kind="stable")
    # The same time reached at another dt differs in its last bit: such spikes are to coincide.
    times = np.round(step[order] * found.dt_ms, _DECIMALS)
    return _Ragged(times, np.bincount(train, minlength=found.n_trains).astype(np.int64))


def _of_pairs(a: _Ragged, b: _Ragged, left: np.ndarray, right: np.ndarray, distance: _Distance) -> np.ndarray:
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


def _van_rossum(a: _Ragged, b: _Ragged, tau: float) -> np.ndarray:
    """Per pair. Between spikes the difference of the filtered trains decays from x to x exp(-gap/tau); the integral over its
    square is a sum of positive terms, which keeps its accuracy where the trains nearly agree."""
    pair = np.concatenate([a.train, b.train])
    times = np.concatenate([a.times, b.times])
    order = np.lexsort((times, pair))
    pair, times = pair[order], times[order]
    if not pair.size:
        return np.zeros(a.counts.size)
    x = np.where(order < a.times.size, 1.0, -1.0)  # the jump at each spike, then the difference just behind it
    within = np.diff(pair) == 0
    gap = np.full(pair.size, np.inf)  # to the next spike
    gap[:-1][within] = np.diff(times)[within]
    # x[k] = jump[k] + decay[k] x[k-1], solved for all k in log2(n) sweeps; decay is 0 at the first spike of a pair.
    decay, shift = np.append(0.0, np.exp(-gap[:-1] / tau)), 1
    while shift < pair.size and decay.max() > 1e-20:  # what is left out is below the last bit of what is summed
        x[shift:] += decay[shift:] * x[:-shift]
        decay = np.append(np.zeros(shift), decay[shift:] * decay[:-shift])
        shift *= 2
    squares = np.bincount(pair, x * x * -np.expm1(-2 * gap / tau), minlength=a.counts.size)
    return np.asarray(np.sqrt(squares))


def _victor_purpura(a: _Ragged, b: _Ragged, cost: float) -> np.ndarray:
    """Per pair, by groups of pairs of similar length, so that little of the tables is padding."""
    values = np.zeros(a.counts.size)
    longer = np.maximum(a.counts, b.counts)
    order = np.argsort(longer, kind="stable")
    first = 0
    while first < order.size:
        # Pairs that fit: the last one of them is the longest and sets the width of the table.
        fit = (longer[order[first:]] + 1) * np.arange(1, order.size - first + 1) <= BATCH
        last = first + max(1, int(fit.sum()))
        group = order[first:last]
        values[group] = _edit_costs(a.take(group), b.take(group), cost)
        first = last
    return values


def _edit_costs(a: _Ragged, b: _Ragged, cost: float) -> np.ndarray:
    """Least costs of pairs: row i of the table holds the costs between the first i spikes of one and all beginnings of the other."""
    swapped = a.counts > b.counts
    n_short, n_long = np.minimum(a.counts, b.counts), np.maximum(a.counts, b.counts)
    width = int(n_long.max())
    padded_a, padded_b = _padded(a, width), _padded(b, width)
    down = np.argsort(-n_short, kind="stable")  # pairs that are done are then the last rows
    short = np.where(swapped[:, None], padded_b, padded_a)[down]
    long = np.where(swapped[:, None], padded_a, padded_b)[down]
    n_short, n_long = n_short[down], n_long[down]
    position = np.arange(width + 1.0)
    table = np.tile(position, (n_short.size, 1))
    values = n_long.astype(float)
    for i in range(int(n_short.max())):
        going = int((n_short > i).sum())
        table = table[:going]
        moved = table[:, :-1] + cost * np.abs(short[:going, i : i + 1] - long[:going])
        best = np.full(table.shape, i + 1.0)
        best[:, 1:] = np.minimum(table[:, 1:] + 1, moved)
        # Inserting spikes adds 1 per column: a running minimum of the cost less the column.
        table = np.minimum.accumulate(best - position, axis=1) + position
        done = np.flatnonzero(n_short[:going] == i + 1)
        values[done] = table[done, n_long[done]]
    found = np.empty_like(values)
    found[down] = values
    return found


def _padded(r: _Ragged, width: int) -> np.ndarray:
    """Times as (train, width); zeros behind the last spike are never looked at."""
    table = np.zeros((r.counts.size, width))
    table[r.train, np.arange(r.times.size) - np.repeat(r.starts, r.counts)] = r.times
    return table


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


def _isi(a: _Ragged, b: _Ragged, length: float) -> np.ndarray:
    s = _stretches(a, b, length)
    x, y = s.a.interval, s.b.interval
    longer = np.maximum(x, y)
    ratio = np.zeros(longer.size)
    np.divide(np.abs(x - y), longer, out=ratio, where=longer > 0)  # an interval of 0 holds no time
    return np.bincount(s.pair, ratio * (s.right - s.left), minlength=a.counts.size) / length


def _spike(a: _Ragged, b: _Ragged, length: float) -> np.ndarray:
    s = _stretches(a, b, length)
    x, y = s.a.interval, s.b.interval
    both = x + y
    # Linear in time, hence the mean of the values at both ends.
    mean = ((s.a.at(s.left) + s.a.at(s.right)) * y + (s.b.at(s.left) + s.b.at(s.right)) * x) / 2
    value = np.zeros(both.size)
    np.divide(2 * mean, both * both, out=value, where=both > 0)
    return np.bincount(s.pair, value * (s.right - s.left), minlength=a.counts.size) / length


def _stretches(a: _Ragged, b: _Ragged, length: float) -> _Stretches:
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


def _never_empty(r: _Ragged, length: float) -> _Ragged:
    """Empty trains replaced by a spike at either end of the window."""
    empty = r.counts == 0
    counts = np.where(empty, 2, r.counts)
    times = np.empty(counts.sum())
    times[np.repeat(~empty, counts)] = r.times
    ends = np.cumsum(counts)[empty]
    times[ends - 2], times[ends - 1] = 0.0, length
    return _Ragged(times, counts)


def _with_edges(r: _Ragged, length: float) -> np.ndarray:
    """Times with an auxiliary spike before and behind every train: at the edge, or an interval away where that is further."""
    first, last = r.starts, r.starts + r.counts - 1
    more = r.counts > 1
    second = np.where(more, first + 1, first)
    last_but_one = np.where(more, last - 1, last)
    front = np.where(more, np.minimum(0.0, 2 * r.times[first] - r.times[second]), 0.0)
    back = np.where(more, np.maximum(length, 2 * r.times[last] - r.times[last_but_one]), length)
    return _framed(r, r.times, front, back)


def _between_edges(r: _Ragged, near: np.ndarray) -> np.ndarray:
    """Distances to the other train, those of the auxiliary spikes being that of the spike beside them."""
    return _framed(r, near, near[r.starts], near[r.starts + r.counts - 1])


def _framed(r: _Ragged, inner: np.ndarray, front: np.ndarray, back: np.ndarray) -> np.ndarray:
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
