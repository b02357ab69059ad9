"""Time as whole steps: everything but ``dt`` itself is an integer number of steps, or an error."""

from __future__ import annotations

import numpy as np

from .errors import UnitError
from .units import TIME, expect

TOLERANCE = 1e-6
"""How far, in steps, a written time may be from the grid; far above rounding, far below a real half step."""
MAX_STEPS = 2**31 - 2
MAX_DELAY = 2**20
"""Longest delay, in steps: every engine keeps that many steps of what a source sent."""


def to_steps(time_ms: float, dt_ms: float) -> int:
    """Whole steps in ``time_ms``.

    Raises
    ------
    UnitError
        Negative, or no multiple of ``dt_ms``; the message names the nearest multiples.
    """
    if time_ms < 0:
        raise UnitError(f"expected a time >= 0, got {time_ms:g} ms; give a positive one")
    ratio = time_ms / dt_ms
    if ratio > MAX_STEPS:
        raise UnitError(f"{time_ms:g} ms are more than 2**31 steps of {dt_ms:g} ms; give a shorter time or a larger dt")
    n = round(ratio)
    if abs(ratio - n) > TOLERANCE:
        below, above = int(ratio) * dt_ms, (int(ratio) + 1) * dt_ms
        raise UnitError(
            f"{time_ms:.12g} ms is no multiple of dt = {dt_ms:g} ms; use {below:.12g} ms or {above:.12g} ms"
        )
    return n


def read_steps(value: float | str, dt_ms: float) -> int:
    """Whole steps in a written time such as ``"2 ms"``."""
    return to_steps(expect(value, TIME), dt_ms)


def check_steps(times_ms: np.ndarray, dt_ms: float) -> None:
    """Refuse listed times, any shape, as :func:`to_steps` refuses one; the message quotes the first that is wrong."""
    with np.errstate(over="ignore", invalid="ignore"):
        ratio = times_ms / dt_ms
        wrong = (times_ms < 0) | (ratio > MAX_STEPS) | ~(np.abs(ratio - np.rint(ratio)) <= TOLERANCE)
    if wrong.any():
        to_steps(float(times_ms[wrong][0]), dt_ms)


def round_to_steps(times_ms: np.ndarray, dt_ms: float, at_least: int) -> np.ndarray:
    """Drawn times, (n,) ms, to the nearest step but at least ``at_least`` steps; int32."""
    return np.maximum(np.rint(times_ms / dt_ms), at_least).astype(np.int32)
