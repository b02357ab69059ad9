"""What each paradigm shows: frames and commands of every trial, its condition, and when the response is taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ...errors import InputError
from ...train.data import Part
from ...train.frame_spikes import FrameCode
from ...train.scan import World
from .config import Mismatch, Oddball, Omission, ParadigmConfig, Repetition, Sequence, Surround, TopDown

RIGHT = 1
TRIES = 1000
LEAD = 4
"""Frames of nothing before a train of stimuli: the network comes to rest."""


class Trials(NamedTuple):
    """Trials of a paradigm; a slot is as long as a frame of the world.

    frames : float (slot, trial, pixel); NaN where nothing is shown
    commands : int (slot, trial)
    labels : str (trial,)
    window : first slot of the response and the first after it
    more : float (trial, channel), or 0: how much more the command's channels fire [Hz]
    repeats : windows of earlier responses, where there are any
    """

    frames: np.ndarray
    commands: np.ndarray
    labels: np.ndarray
    window: tuple[int, int]
    more: np.ndarray | float = 0.0
    repeats: tuple[tuple[int, int], ...] = ()


class Stage(NamedTuple):
    """What a paradigm is made from."""

    world: World
    code: FrameCode
    digits: Part
    random: np.random.Generator

    @property
    def pixels(self) -> int:
        return self.code.pixels

    def slots(self, path: str, ms: int) -> int:
        """A time in slots."""
        if ms % self.code.ms:
            raise InputError(f"paradigms.{path}: expected a whole number of frames of {self.code.ms} ms, got {ms}")
        return ms // self.code.ms

    def patches(self, n: int) -> np.ndarray:
        """Different windows of the digits, (patch, pixel)."""
        return self.world.scans(self.digits, n, self.random).frames[0]

    def pair(self, path: str, distance: float) -> np.ndarray:
        """Two windows so different, (2, pixel)."""
        for _ in range(TRIES):
            pair = self.patches(2)
            if np.sqrt(((pair[0] - pair[1]) ** 2).mean()) >= distance:
                return pair
        raise InputError(
            f"paradigms.{path}: no two windows were found that differ by {distance:g}; expected a smaller distance"
        )

    def nothing(self, slots: int, trials: int) -> np.ndarray:
        return np.full((slots, trials, self.pixels), np.nan)


def _train(stage: Stage, patches: np.ndarray, on: int, off: int) -> np.ndarray:
    """Stimuli (trial, position, pixel) one after the other, on and off for so many slots each."""
    trials, n, pixels = patches.shape
    frames = np.full((n, on + off, trials, pixels), np.nan)
    frames[:, :on] = patches.transpose(1, 0, 2)[:, None]
    return np.concatenate([stage.nothing(LEAD, trials), frames.reshape(-1, trials, pixels)])


def _still(frames: np.ndarray) -> np.ndarray:
    return np.zeros(frames.shape[:2], dtype=int)


def oddball(config: Oddball, stage: Stage) -> Trials:
    """Trains of ``before`` stimuli and a last one; of each pair both stimuli take every role."""
    on, off = stage.slots("oddball.shown", config.shown), stage.slots("oddball.pause", config.pause)
    trains, labels = [], []
    for _ in range(config.pairs):
        pair, others = stage.pair("oddball.distance", config.distance), stage.patches(config.others)
        for own, other in (pair, pair[::-1]):
            size = (config.trials, config.before, stage.pixels)
            before = {
                "deviant": np.broadcast_to(other, size), "standard": np.broadcast_to(own, size),
                "control": others[stage.random.integers(0, config.others, size[:2])],
            }  # fmt: skip
            for label, first in before.items():
                trains.append(np.concatenate([first, np.broadcast_to(own, (config.trials, 1, stage.pixels))], axis=1))
                labels += [label] * config.trials
    frames = _train(stage, np.concatenate(trains), on, off)
    start = LEAD + config.before * (on + off)
    return Trials(frames, _still(frames), np.array(labels), (start, start + on))


def omission(config: Omission, stage: Stage) -> Trials:
    """A train whose next stimulus does not come, also after a train at random times but for the last pause; it comes; nothing at all."""
    on, off = stage.slots("omission.shown", config.shown), stage.slots("omission.pause", config.pause)
    if off < 2:  # no pause is shorter than a slot: all would be alike, and the control would have the rhythm, too
        raise InputError(
            f"paradigms.omission.pause: expected two frames of {stage.code.ms} ms or more, so that pauses can differ, got {config.pause}"
        )
    patch, n = stage.patches(1)[0], config.trials
    regular = _train(stage, np.broadcast_to(patch, (n, config.before + 1, stage.pixels)), on, off)
    start = LEAD + config.before * (on + off)
    omitted, irregular, blank = regular.copy(), np.full_like(regular, np.nan), np.full_like(regular, np.nan)
    omitted[start:] = np.nan
    for trial in range(n):
        at = LEAD
        for gap in (*stage.random.permutation(_gaps(config.before - 1, off, stage.random)), off):
            irregular[at : at + on, trial] = patch
            at += on + gap
    parts = {"omitted": omitted, "irregular": irregular, "blank": blank, "shown": regular}
    frames = np.concatenate(list(parts.values()), axis=1)
    return Trials(frames, _still(frames), np.repeat(list(parts), n), (start, start + on + off))


def _gaps(n: int, mean: int, random: np.random.Generator) -> np.ndarray:
    """Pauses of one slot at least, with the sum of ``n`` of the mean."""
    cuts = np.sort(random.choice(np.arange(1, n * mean), n - 1, replace=False))
    return np.diff(np.concatenate([[0], cuts, [n * mean]]))


def repetition(config: Repetition, stage: Stage) -> Trials:
    """A sequence of frames again and again; in the control other sequences, and this one at last."""
    on, n = stage.slots("repetition.shown", config.shown), config.trials
    own = stage.patches(config.length)
    repeated = np.broadcast_to(np.tile(own, (config.repeats, 1)), (n, config.repeats * config.length, stage.pixels))
    control = stage.patches(n * (config.repeats - 1) * config.length).reshape(n, -1, stage.pixels)
    control = np.concatenate([control, np.broadcast_to(own, (n, *own.shape))], axis=1)
    frames = _train(stage, np.concatenate([repeated, control]), on, 0)
    long = config.length * on
    windows = tuple((LEAD + k * long, LEAD + (k + 1) * long) for k in range(config.repeats))
    return Trials(frames, _still(frames), np.repeat(["repeated", "control"], n), windows[-1], repeats=windows)


def sequence(config: Sequence, stage: Stage) -> Trials:
    """Scans whose last frame is their own, the same frames after another scan, and after the scan in any order."""
    n, k = config.trials, config.before
    world = stage.world._replace(frames=k + 1, still=0.0, turn=0.0)
    scans = world.scans(stage.digits, n, stage.random)
    own, last = scans.frames[:k], scans.frames[k : k + 1]
    same_way = np.arange(n)
    for way in (-1, 1):  # another scan of the same command, so that frames alone break the prediction
        members = np.flatnonzero(scans.moves[0] == way)
        same_way[members] = np.roll(members, 1)
    mixed = np.take_along_axis(
        own, stage.random.permuted(np.tile(np.arange(k)[:, None], (1, n)), axis=0)[..., None], axis=0
    )
    parts = {"expected": own, "violation": own[:, same_way], "random": mixed}
    frames = np.concatenate([np.concatenate([before, last]) for before in parts.values()], axis=1)
    commands = np.tile(scans.commands[: k + 1], (1, len(parts)))
    return Trials(frames, commands, np.repeat(list(parts), n), (k, k + 1))


def mismatch(config: Mismatch, stage: Stage) -> Trials:
    """The window moves with the command, then goes on or halts, with the command or without; each alone; neither."""
    before, halt = stage.slots("mismatch.before", config.before), stage.slots("mismatch.halt", config.halt)
    n, total = config.trials, before + halt
    world = stage.world._replace(frames=total, still=0.0, turn=0.0)
    scans = world.scans(stage.digits, n, stage.random)
    moving, command = scans.frames[:total], scans.commands
    halted = moving.copy()
    halted[before:] = moving[before - 1]
    nothing, quiet = stage.nothing(total, n), np.zeros_like(command)
    parts = {
        "match": (moving, command), "halt": (halted, command), "replay": (halted, quiet), "command only": (nothing, command),
        "frames only": (moving, quiet), "off": (nothing, quiet),
    }  # fmt: skip
    frames, commands = (np.concatenate([p[k] for p in parts.values()], axis=1) for k in (0, 1))
    return Trials(frames, commands, np.repeat(list(parts), n), (before, total))


def surround(config: Surround, stage: Stage) -> Trials:
    """Gratings of two orientations in the middle half of the window, and around it."""
    on, side = stage.slots("surround.shown", config.shown), stage.world.window
    stripes = np.tile((np.arange(side) % 2).astype(float), (side, 1))
    gratings = (stripes, stripes.T)
    inside = np.zeros((side, side), dtype=bool)
    edge = side // 4
    if not edge:  # the middle would be all there is: centre, same and orthogonal alike, the annulus blank
        raise InputError(
            f"paradigms.surround: expected world.window of 4 or more, which has a middle and an annulus around it, got {side}; "
            "take a larger window, or leave out the paradigm"
        )
    inside[edge : side - edge, edge : side - edge] = True
    half = config.trials // 2
    parts: dict[str, list[np.ndarray]] = {}
    for centre, other in (gratings, gratings[::-1]):
        shown = {
            "centre": np.where(inside, centre, np.nan), "same": centre, "orthogonal": np.where(inside, centre, other),
            "annulus": np.where(inside, np.nan, centre), "blank": np.full((side, side), np.nan),
        }  # fmt: skip
        for label, picture in shown.items():
            parts.setdefault(label, []).append(np.tile(picture.ravel(), (half, 1)))
    patches = np.concatenate([np.concatenate(p) for p in parts.values()])
    frames = _train(stage, patches[:, None], on, 0)
    return Trials(frames, _still(frames), np.repeat(list(parts), 2 * half), (LEAD, LEAD + on))


def top_down(config: TopDown, stage: Stage) -> Trials:
    """A window that moves to the right, with more of its command, or as much more of any channels."""
    on, n = stage.slots("top_down.shown", config.shown), config.trials
    world = stage.world._replace(frames=on, still=0.0, turn=0.0)
    scans = world.scans(stage.digits, n, stage.random)
    as_shown = (scans.moves[0] == RIGHT)[None, :, None]
    moving = np.where(as_shown, scans.frames[:on], scans.frames[:on][::-1])  # what moved left, from its end
    more, channels = (config.gain - 1) * stage.code.command_rate, stage.code.commands
    featured = np.where(np.arange(channels) < channels // 2, 0.0, more)
    anywhere = stage.random.permuted(np.tile(featured, (n, 1)), axis=1)
    extra = np.concatenate([np.zeros((n, channels)), np.tile(featured, (n, 1)), anywhere])
    frames, commands = np.tile(moving, (1, 3, 1)), np.full((on, 3 * n), RIGHT)
    return Trials(frames, commands, np.repeat(["plain", "featured", "anywhere"], n), (0, on), extra)


BUILDERS: dict[str, Callable[..., Trials]] = {
    "oddball": oddball, "omission": omission, "repetition": repetition, "sequence": sequence, "mismatch": mismatch, "surround": surround,
    "top_down": top_down,
}  # fmt: skip


def trials_of(name: str, config: ParadigmConfig, stage: Stage) -> Trials:
    """The trials of a paradigm by name."""
    return BUILDERS[name](config, stage)
