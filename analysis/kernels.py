"""Loops over spikes that no array operation does fast, compiled by numba where it is installed (extra ``fast``).

Each has its twin in numpy where it is used; tests hold the two together.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np


@cache
def interval_sums() -> Callable[..., None] | None:
    """``f(train, step, last, n, total, squares)``: takes spikes in order of time into the sums of intervals; None without numba."""

    def add(
        train: np.ndarray, step: np.ndarray, last: np.ndarray, n: np.ndarray, total: np.ndarray, squares: np.ndarray
    ) -> None:
        for k in range(train.size):
            i = train[k]
            if last[i] >= 0:
                interval = step[k] - last[i]
                n[i] += 1
                total[i] += interval
                squares[i] += interval * interval
            last[i] = step[k]

    return _compiled(add)


@cache
def shared_counts() -> Callable[..., None] | None:
    """``f(indptr, neuron, count, products)`` for counts by row (a bin): adds every pair of entries of a row once, to (i, j) or to
    (j, i) as they stand, and the squares to the diagonal, so that ``P + P.T`` less one diagonal is ``counts.T @ counts``;
    None without numba."""

    def add(indptr: np.ndarray, neuron: np.ndarray, count: np.ndarray, products: np.ndarray) -> None:
        for row in range(indptr.size - 1):
            stop = indptr[row + 1]
            for a in range(indptr[row], stop):
                line, c = products[neuron[a]], count[a]
                for b in range(a, stop):
                    line[neuron[b]] += c * count[b]

    return _compiled(add)


def _compiled(function: Callable[..., None]) -> Callable[..., None] | None:
    try:
        import numba
    except ImportError:
        return None
    found: Any = numba.njit(cache=True, nogil=True)(function)
    return found
