"""Distances between spike trains with a time scale or a cost: van Rossum, Victor-Purpura."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from .ragged import BATCH, Ragged, one_train


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
    return float(van_rossum_pairs(one_train("a", a), one_train("b", b), positive("tau_ms", tau_ms))[0])


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
    return float(victor_purpura_pairs(one_train("a", a), one_train("b", b), checked_cost(cost_per_ms))[0])


def positive(name: str, value: float) -> float:
    if not 0 < value < np.inf:
        raise InputError(f"{name}: expected a finite time above 0 ms, got {value}.")
    return float(value)


def checked_cost(cost_per_ms: float) -> float:
    if not 0 <= cost_per_ms < np.inf:
        raise InputError(f"cost_per_ms: expected a finite cost of at least 0 per ms, got {cost_per_ms}.")
    return float(cost_per_ms)


def van_rossum_pairs(a: Ragged, b: Ragged, tau: float) -> np.ndarray:
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


def victor_purpura_pairs(a: Ragged, b: Ragged, cost: float) -> np.ndarray:
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


def _edit_costs(a: Ragged, b: Ragged, cost: float) -> np.ndarray:
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


def _padded(r: Ragged, width: int) -> np.ndarray:
    """Times as (train, width); zeros behind the last spike are never looked at."""
    table = np.zeros((r.counts.size, width))
    table[r.train, np.arange(r.times.size) - np.repeat(r.starts, r.counts)] = r.times
    return table
