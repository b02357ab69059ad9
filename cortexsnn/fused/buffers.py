"""Memory of rows used again: bringing in fresh pages can take longer than a kernel's whole work on them.

torch has no cache for memory of the CPU, and the system takes large blocks back when they are freed. A tensor borrows a view of an
array; when the view is gone, the array is free again.
"""

from __future__ import annotations

import contextlib
import weakref
from math import prod

import numpy as np
import torch

IDLE = 2**28
"""Bytes that are kept while nobody uses them."""
SMALLEST = 2**16
"""Bytes below which memory is taken as it comes."""


class Buffers:
    """Arrays of bytes, lent to tensors."""

    def __init__(self) -> None:
        self._free: list[np.ndarray] = []  # by pop and append alone: views end in any thread

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """A tensor on the CPU whose numbers are whatever was there."""
        size = prod(shape) * dtype.itemsize
        if size < SMALLEST:
            return torch.empty(shape, dtype=dtype)
        array = self._take(size)
        view = array[:size]
        weakref.finalize(view, self._free.append, array).atexit = False
        return torch.from_numpy(view).view(dtype).view(shape)

    def _take(self, size: int) -> np.ndarray:
        """The smallest free array that is not much too large, or a new one; of the free ones only the newest are kept."""
        free = list[np.ndarray]()
        while self._free:
            with contextlib.suppress(IndexError):  # another thread was faster
                free.append(self._free.pop())
        fitting = min((a for a in free if size <= a.nbytes <= 2 * size), key=lambda a: a.nbytes, default=None)
        idle, kept = 0, list[np.ndarray]()
        for array in free:
            idle += array.nbytes
            if array is not fitting and idle <= IDLE:
                kept.append(array)
        self._free.extend(reversed(kept))
        return np.empty(-(-size // 64) * 64, dtype=np.uint8) if fitting is None else fitting


BUFFERS = Buffers()
