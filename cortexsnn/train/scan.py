"""Sequences of frames: a window that moves over digits in an ordered series, and the command that moves it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..errors import InputError
from .data import Part

SIDE = 8
"""Pixels of a digit, each way."""
MOVES = (-1, 1)
"""Left, right."""


class Scans(NamedTuple):
    """Sequences of windows.

    frames : float (frame + 1, sample, pixel), in [0, 1]; the last is only a target
    moves : int (frame, sample), -1, 0 or 1: what the window does between a frame and the next
    commands : int (frame, sample): what the command says; the moves unless uncoupled
    covered : bool (frame, sample, pixel): what is not seen
    """

    frames: np.ndarray
    moves: np.ndarray
    commands: np.ndarray
    covered: np.ndarray

    @property
    def occluded(self) -> np.ndarray:
        """Frames of which something is not seen, (frame, sample)."""
        return np.asarray(self.covered.any(-1))

    @property
    def targets(self) -> np.ndarray:
        """The next frames, (frame, sample, pixel)."""
        return self.frames[1:]

    @property
    def shown(self) -> np.ndarray:
        """What is seen, (frame, sample, pixel), NaN elsewhere."""
        return np.where(self.covered, np.nan, self.frames[:-1])


class World(NamedTuple):
    """How sequences are drawn.

    frames : int
        Shown, one after the other.
    window : int
        Pixels of the window, each way.
    turn : float
        Probability that the window moves in another way than before.
    still : float
        Share of ways that are no movement.
    occluded : float
        Probability that a frame is occluded, after the first two.
    cover : float
        Share of the window that is then covered, from one of its four sides; all of it with 1.
    coupled : bool
        Whether the command says how the window moves; else that of another sequence.
    ordered : bool
        Whether frames come in their order; else in any order, commands in theirs: a control with the same frames.
    """

    frames: int = 6
    window: int = 4
    turn: float = 0.2
    still: float = 0.15
    occluded: float = 0.25
    cover: float = 0.5
    coupled: bool = True
    ordered: bool = True

    def scans(self, digits: Part, n: int, random: np.random.Generator) -> Scans:
        """``n`` sequences over digits that stand side by side in the order of their classes, 0 after 9.

        Raises
        ------
        InputError
            A number out of range, or a class without a digit.
        """
        self._check(digits)
        moves = self._moves(n, random)
        reach = self.frames * abs(MOVES[0])
        strips = _strips(digits, n, 1 + -(-(2 * reach + self.window) // SIDE), random)
        row = random.integers(0, SIDE - self.window + 1, n)
        at = reach + random.integers(0, SIDE, n) + np.concatenate([np.zeros((1, n), int), moves.cumsum(0)])
        across, down = np.arange(self.window), row[:, None] + np.arange(self.window)
        frames = strips[
            np.arange(n)[None, :, None, None], down[None, :, :, None], (at[..., None] + across)[:, :, None, :]
        ]
        frames = frames.reshape(self.frames + 1, n, -1)
        occluded = random.random(moves.shape) < self.occluded
        occluded[:2] = False
        covered = occluded[..., None] & self._covers()[random.integers(0, 4, moves.shape)]
        commands = moves if self.coupled else moves[:, np.roll(np.arange(n), 1)]
        if not self.ordered:
            order = random.permuted(np.broadcast_to(np.arange(self.frames + 1)[:, None], frames.shape[:2]), axis=0)
            frames = np.take_along_axis(frames, order[..., None], axis=0)
        return Scans(frames, moves, commands, covered)

    def _covers(self) -> np.ndarray:
        """What is covered from the left, the right, above, below: (side, pixel)."""
        row, column = np.divmod(np.arange(self.window**2), self.window)
        last = self.window - 1
        return np.stack([column, last - column, row, last - row]) < round(self.cover * self.window)

    def _moves(self, n: int, random: np.random.Generator) -> np.ndarray:
        ways = np.where(random.random((self.frames, n)) < self.still, 0, random.choice(MOVES, (self.frames, n)))
        for k in range(1, self.frames):
            kept = random.random(n) >= self.turn
            ways[k, kept] = ways[k - 1, kept]
        return ways

    def _check(self, digits: Part) -> None:
        wrong = {
            "frames: expected 2 at least": self.frames < 2,
            f"window: expected 1 to {SIDE}": not 1 <= self.window <= SIDE,
            "turn, still, occluded, cover: expected shares between 0 and 1": not all(
                0 <= p <= 1 for p in (self.turn, self.still, self.occluded, self.cover)
            ),
            f"digits: expected images of {SIDE} x {SIDE} of every class, 0 to 9": digits.images.shape[1:] != (SIDE * SIDE,) or len(np.unique(digits.labels)) != 10,
        }  # fmt: skip
        if found := [text for text, is_wrong in wrong.items() if is_wrong]:
            raise InputError("; ".join(found))


def _strips(digits: Part, n: int, length: int, random: np.random.Generator) -> np.ndarray:
    """Digits side by side, one of each class and in its order from a random one on, (sample, row, column)."""
    first = random.integers(0, 10, n)
    images = digits.images.reshape(-1, SIDE, SIDE)
    by_class = [np.flatnonzero(digits.labels == c) for c in range(10)]
    chosen = np.array([[random.choice(by_class[(c + k) % 10]) for k in range(length)] for c in first])
    return np.concatenate([images[chosen[:, k]] for k in range(length)], axis=2)
