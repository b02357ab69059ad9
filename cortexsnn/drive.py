"""Poisson input drawn when it is looked at: the same spikes in every engine, and no array of all of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy.stats import poisson

CHUNK = 1024
"""Steps per stream."""
MAX_COUNT = 1000.0
"""Largest mean number of spikes per step in a channel of many sources."""
SMALLEST = 2.0**-53
"""Least positive uniform number: rarer counts do not occur."""


def stream_key(seed: int, *what: object) -> np.ndarray:
    """Key of a Philox generator, (2,) uint64: SHA-256 of the seed and the names of what is drawn."""
    digest = hashlib.sha256("/".join(map(str, (seed, *what))).encode()).digest()
    return np.frombuffer(digest[:16], dtype=np.uint64)


def stream(seed: int, *what: object) -> np.random.Generator:
    """Generator of one draw, counter-based."""
    return np.random.Generator(np.random.Philox(key=stream_key(seed, *what)))


@dataclass(frozen=True)
class PoissonDrive:
    """Spikes or counts of a Poisson input, like an array (trial, step, channel); ``drive[trial, step]`` is one row.

    A count is the number of entries above a uniform number in the channel's table of tails P(count >= 1), P(count >= 2) …,
    so one uniform number per step and channel decides; a table of one entry gives spikes, at most one per step.

    mean : float64, (channel,), spikes per step
    counts : bool, whether a channel may spike more than once per step (many sources in one channel)
    """

    seed: int
    name: str
    mean: np.ndarray
    counts: bool
    n_trials: int
    n_steps: int
    _open: dict[str, object] = field(default_factory=dict, repr=False, compare=False)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.n_trials, self.n_steps, self.mean.size

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.float64 if self.counts else bool)

    @cached_property
    def table(self) -> np.ndarray:
        """Which row of ``tails`` is a channel's, int32, (channel,)."""
        return np.unique(self.mean, return_inverse=True)[1].reshape(-1).astype(np.int32)

    @cached_property
    def tails(self) -> np.ndarray:
        """P(count >= k) for k = 1, 2 …, float64, (table, length)."""
        mean = np.unique(self.mean)
        if not self.counts:
            return mean[:, None]
        length = int(poisson.isf(SMALLEST, mean.max(initial=0))) + 1
        tails = poisson.sf(np.arange(length), mean[:, None])
        return np.where(tails < SMALLEST, 0.0, tails)

    def keys(self) -> np.ndarray:
        """Keys of all streams, uint64, (trial, chunk, 2)."""
        starts = range(0, self.n_steps, CHUNK)
        keys = [[self._key(trial, start) for start in starts] for trial in range(self.n_trials)]
        return np.array(keys, np.uint64).reshape(self.n_trials, len(starts), 2)

    def _key(self, trial: int, start: int) -> np.ndarray:
        return stream_key(self.seed, "poisson", trial, self.name, start)

    def __getitem__(self, where: tuple[int, int]) -> np.ndarray:
        """Row of a trial and step, (channel,); one step after the other is cheapest."""
        trial, step = where
        start, n = step - step % CHUNK, self.mean.size
        if self._open.get("next") != (trial, step) or step == start:
            philox = np.random.Philox(key=self._key(trial, start))
            before = (step - start) * n
            philox.advance(before // 4)
            generator = np.random.Generator(philox)
            generator.random(before % 4)
            self._open["generator"] = generator
        self._open["next"] = (trial, step + 1)
        uniform = self._open["generator"].random(n)  # type: ignore[attr-defined]
        if not self.counts:
            return uniform < self.mean
        count = np.zeros(n)
        for k in range(self.tails.shape[1]):
            above = uniform < self.tails[self.table, k]
            if not above.any():
                break
            count += above
        return count

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        rows = np.empty(self.shape, self.dtype)
        for trial in range(self.n_trials):
            for step in range(self.n_steps):
                rows[trial, step] = self[trial, step]
        return rows if dtype is None else rows.astype(dtype)


Drive = np.ndarray | PoissonDrive
"""(trial, step, channel) in coherent units: numbers, or spikes as bool."""


def rows(drive: Drive, first: int, last: int) -> np.ndarray:
    """Rows of some steps, (trial, step, channel)."""
    if not isinstance(drive, PoissonDrive):
        return np.asarray(drive[:, first:last])
    found = np.empty((drive.n_trials, last - first, drive.mean.size), drive.dtype)
    for trial in range(drive.n_trials):
        for k in range(last - first):
            found[trial, k] = drive[trial, first + k]
    return found
