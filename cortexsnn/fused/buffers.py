"""Memory of rows used again: bringing in fresh pages can take longer than a kernel's whole work on them.

torch has no cache for memory of the CPU, and the system takes large blocks back when they are freed. A buffer here is a numpy array
that a tensor borrows; the array's count of references tells whether anything still uses it.
"""

from __future__ import annotations

import sys
import threading
from math import prod

import numpy as np
import torch

IDLE = 2**28
"""Bytes that are kept while nobody uses them."""
SMALLEST = 2**16
"""Bytes below which memory is taken as it comes."""
_FREE = 3
"""References to an array that only the list and the question itself hold."""


class Buffers:
    """Arrays of bytes, lent to tensors."""

    def __init__(self) -> None:
        self._arrays: list[np.ndarray] = []
        self._lock = threading.Lock()

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """A tensor on the CPU whose numbers are whatever was there."""
        size = prod(shape) * dtype.itemsize
        if size < SMALLEST:
            return torch.empty(shape, dtype=dtype)
        with self._lock:
            array = self._take(size)
            self._arrays.append(array)
            tensor = torch.from_numpy(array)
        return tensor[:size].view(dtype).view(shape)

    def _take(self, size: int) -> np.ndarray:
        """The smallest free array that is not much too large, or a new one; of the free ones only so many are kept."""
        fitting, idle = -1, 0
        for k in range(len(self._arrays) - 1, -1, -1):
            array = self._arrays[k]
            if sys.getrefcount(array) > _FREE:
                continue
            idle += array.nbytes
            if idle > IDLE:
                del self._arrays[k]
                fitting -= fitting > k
            elif size <= array.nbytes <= 2 * size and (fitting < 0 or array.nbytes < self._arrays[fitting].nbytes):
                fitting = k
        return self._arrays.pop(fitting) if fitting >= 0 else np.empty(-(-size // 64) * 64, dtype=np.uint8)


BUFFERS = Buffers()
