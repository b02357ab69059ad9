"""Edges of a projection as arrays, in memory or, where they are many, in files."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

LARGE = 40_000_000
"""Edges of a circuit beyond which their arrays lie on disk and are read where they are needed."""
BLOCK = 2**21
"""Numbers drawn at a time."""


@dataclass(frozen=True)
class Edges:
    """Edges of one projection in their order of arrival within a step: by presynaptic cell, then as listed.

    pre, post : int32, (edge,), indices into the whole populations
    values : float64, (parameter,), magnitudes in coherent units
    index : int64, (edge,), or None: which parameter an edge uses (shared kernels); None means its own, or the only one
    delay : int32, (edge,) or (1,), steps
    folder : keeps the files of arrays that lie on disk
    """

    pre: np.ndarray
    post: np.ndarray
    values: np.ndarray
    index: np.ndarray | None
    delay: np.ndarray
    folder: Any = field(default=None, repr=False, compare=False)

    @property
    def weight(self) -> np.ndarray:
        """Magnitude of every edge, (edge,)."""
        if self.index is not None:
            return self.values[self.index]
        return np.broadcast_to(self.values, self.pre.shape) if self.values.size == 1 else self.values

    @property
    def max_delay(self) -> int:
        return int(self.delay.max(initial=0))


class Growing:
    """An array that grows by appending: a list in memory, or a file in ``folder`` (a TemporaryDirectory)."""

    def __init__(self, dtype: Any, folder: tempfile.TemporaryDirectory[str] | None, name: str) -> None:
        self.dtype, self.parts, self.size = np.dtype(dtype), list[np.ndarray](), 0
        self.path = None if folder is None else Path(folder.name) / name
        self.file = None if self.path is None else self.path.open("wb")

    def append(self, values: np.ndarray) -> None:
        values = np.ascontiguousarray(values, self.dtype)
        self.size += values.size
        if self.file is None:
            self.parts.append(values)
        else:
            values.tofile(self.file)

    def finish(self) -> np.ndarray:
        """All that was appended; a file is mapped, and read only where it is looked at."""
        if self.file is None or self.path is None:
            return np.concatenate(self.parts) if self.parts else np.zeros(0, self.dtype)
        self.file.close()
        return np.memmap(self.path, self.dtype, "r") if self.size else np.zeros(0, self.dtype)
