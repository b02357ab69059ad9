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
def bin_counts() -> Callable[..., int] | None:
    """``f(row, neuron, at, indptr, indices, counts)`` for events in order of `row`: fills a compressed matrix of counts by row and
    returns its number of entries; `at` is -1 for every neuron at the beginning. None without numba."""

    def fill(
        row: np.ndarray, neuron: np.ndarray, at: np.ndarray, indptr: np.ndarray, indices: np.ndarray, counts: np.ndarray
    ) -> int:
        n, begin, current = 0, 0, 0
        for k in range(row.size):
            while current < row[k]:
                current += 1
                indptr[current] = begin = n
            i = neuron[k]
            if at[i] >= begin:  # this neuron has an entry in this row
                counts[at[i]] += 1
            else:
                at[i], indices[n], counts[n] = n, i, 1
                n += 1
        indptr[current + 1 :] = n
        return n

    return _compiled(fill)


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


@cache
def shared_bits() -> Callable[..., None] | None:
    """As :func:`shared_counts`, for rows with many entries, most of them 1: one bit an entry, 64 rows a word, the bits that two
    neurons share counted a word at a time; entries above 1 are added one by one. None without numba."""
    ones, twos, fours = np.uint64(0x5555555555555555), np.uint64(0x3333333333333333), np.uint64(0x0F0F0F0F0F0F0F0F)
    bytes_, one, words = np.uint64(0x0101010101010101), np.uint64(1), 256

    def add(indptr: np.ndarray, neuron: np.ndarray, count: np.ndarray, products: np.ndarray) -> None:
        rows, n = indptr.size - 1, products.shape[0]
        bits = np.zeros((n, words), dtype=np.uint64)
        for first in range(0, rows, 64 * words):
            bits[:] = 0
            for row in range(first, min(first + 64 * words, rows)):
                word, bit = (row - first) >> 6, one << np.uint64(row & 63)
                for a in range(indptr[row], indptr[row + 1]):
                    bits[neuron[a], word] |= bit
                    if count[a] == 1:
                        continue
                    line, c = products[neuron[a]], count[a]
                    for b in range(indptr[row], indptr[row + 1]):
                        if count[b] == 1 or b >= a:
                            line[neuron[b]] += c * count[b] - 1
            for i in range(n):
                these = bits[i]
                for j in range(i, n):
                    those, shared = bits[j], np.uint64(0)
                    for w in range(words):
                        # The population count of a word, which the compiler has an instruction for.
                        x = these[w] & those[w]
                        x -= (x >> one) & ones
                        x = (x & twos) + ((x >> np.uint64(2)) & twos)
                        x = (x + (x >> np.uint64(4))) & fours
                        shared += (x * bytes_) >> np.uint64(56)
                    products[i, j] += shared

    return _compiled(add)


def _compiled(function: Callable[..., Any]) -> Callable[..., Any] | None:
    try:
        import numba
    except ImportError:
        return None
    found: Any = numba.njit(cache=True, nogil=True)(function)
    return found
