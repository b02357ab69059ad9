"""Frames and commands as spikes of the inputs of a column."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .scan import MOVES

Spikes = dict[str, np.ndarray]
"""Input -> bool (step, sample, channel)."""


class FrameCode(NamedTuple):
    """How frames become spikes; all numbers are ours.

    An ON channel fires in proportion to its pixel, an OFF channel to what is missing to 1; both are silent where nothing is shown. Their spikes
    are regular with a random phase: a pixel then says as much in 50 ms as a Poisson channel in half a second.

    ms : int
        Of a frame, in steps of 1 ms.
    pixels : int
    copies : int
        Channels of each kind and pixel.
    most, least : float
        Rate of a channel at its largest and with nothing [Hz].
    commands : int
        Channels of the command, half of them for each way; Poisson.
    command_rate : float
        Of the channels of the way that is commanded [Hz].
    """

    ms: int = 50
    pixels: int = 16
    copies: int = 2
    most: float = 200.0
    least: float = 2.0
    commands: int = 32
    command_rate: float = 30.0

    @property
    def channels(self) -> int:
        """Of the thalamus: ON, OFF, in turn for each copy."""
        return 2 * self.pixels * self.copies

    def thalamus(self, shown: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Spikes of frames (frame, sample, pixel), NaN where nothing is shown: (step, sample, channel)."""
        on, off = np.nan_to_num(shown), np.nan_to_num(1 - shown)
        rate = np.concatenate([on, off] * self.copies, axis=-1) * (self.most / 1000) + self.least / 1000
        steps, found = (
            np.arange(1, self.ms + 1)[:, None, None],
            np.empty((len(rate), self.ms, *rate.shape[1:]), dtype=bool),
        )
        phase = random.random(rate.shape[1:])
        for k, each in enumerate(rate):
            passed = np.floor(phase + steps * each)
            found[k] = np.diff(passed, axis=0, prepend=np.floor(phase)[None]) > 0
            phase = (phase + self.ms * each) % 1
        return found.reshape(-1, *rate.shape[1:])

    def command(self, commands: np.ndarray, random: np.random.Generator, more: np.ndarray | float = 0.0) -> np.ndarray:
        """Spikes of commands (frame, sample) of -1, 0 or 1, with so much more in a channel (sample, channel) [Hz]: (step, sample, channel)."""
        way = np.repeat(MOVES, self.commands // len(MOVES))
        rate = (np.where(commands[..., None] == way, self.command_rate, 1.0) + more) / 1000
        return random.random((len(commands) * self.ms, *rate.shape[1:])) < np.repeat(rate, self.ms, axis=0)


def noise(steps: int, samples: int, channels: int, rate: float, random: np.random.Generator) -> np.ndarray:
    """Spikes of Poisson channels at a rate [Hz], (step, sample, channel)."""
    return random.random((steps, samples, channels), dtype=np.float32) < rate / 1000
