"""Samples that are lists of events, binned into steps when a batch asks for them: a set of many samples never is one dense array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..errors import InputError
from .data import Part
from .encode import Encoder


@dataclass(frozen=True)
class EventData:
    """Events of many samples.

    times : float64 (event,), ms from the beginning of the sample
    channels : int64 (event,)
    first : int64 (sample + 1,); sample s owns the events first[s] to first[s + 1]
    labels : int64 (sample,)
    """

    times: np.ndarray
    channels: np.ndarray
    first: np.ndarray
    labels: np.ndarray
    n_channels: int

    @staticmethod
    def of(
        times: Sequence[np.ndarray], channels: Sequence[np.ndarray], labels: np.ndarray, n_channels: int
    ) -> EventData:
        """From one array for each sample.

        Raises
        ------
        InputError
            Lengths that differ, or a channel that is not there; names the sample.
        """
        if not len(times) == len(channels) == len(labels):
            raise InputError(
                f"events: {len(times)} lists of times, {len(channels)} of channels, {len(labels)} labels; expected as many of each"
            )
        for s, (t, c) in enumerate(zip(times, channels, strict=True)):
            if len(t) != len(c):
                raise InputError(f"events: sample {s} has {len(t)} times but {len(c)} channels")
            if not np.isfinite(t).all():
                raise InputError(f"events: sample {s} has times that are no numbers")
            if len(c) and (c.min() < 0 or c.max() >= n_channels):
                raise InputError(
                    f"events: sample {s} has channels from {c.min()} to {c.max()}, expected 0 to {n_channels - 1}"
                )
        sizes = np.cumsum([0, *(len(t) for t in times)])
        return EventData(np.concatenate(times), np.concatenate(channels).astype(np.int64), sizes, labels, n_channels)

    def part(self) -> Part:
        """The samples by number, for ``fit``: ``images`` is (sample, 1), to be encoded by :meth:`encoder`."""
        return Part(np.arange(len(self.labels), dtype=float)[:, None], self.labels)

    def binned(self, sample: int, n_steps: int, step_ms: float, coarser: int = 1) -> np.ndarray:
        """Spikes (step, channel) of a sample, uint8: at most one per step and channel; later events are left out."""
        chosen = slice(self.first[sample], self.first[sample + 1])
        step = np.floor(self.times[chosen] / step_ms).astype(np.int64)
        inside = (step >= 0) & (step < n_steps)
        rows = np.zeros((n_steps, -(-self.n_channels // coarser)), np.uint8)
        rows[step[inside], self.channels[chosen][inside] // coarser] = 1
        return rows

    def encoder(self, n_steps: int, step_ms: float, coarser: int = 1) -> Encoder:
        """Samples by number, (sample, 1), to rows (step, sample, channel); ``coarser`` neighbouring channels become one."""

        def encode(samples: torch.Tensor) -> torch.Tensor:
            numbers = samples.reshape(-1).long().tolist()
            rows = np.stack([self.binned(s, n_steps, step_ms, coarser) for s in numbers], axis=1)
            return torch.from_numpy(rows).to(samples.dtype)

        return encode
