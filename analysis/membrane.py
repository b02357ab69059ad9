"""Fixed points and slopes of a polynomial membrane ``u -> f(u)``, f(u) = c_0 + c_1 u + ... + c_K u^K, without input."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.polynomial import polynomial
from numpy.typing import ArrayLike


class FixedPoint(NamedTuple):
    """A voltage that stays where it is; stable where the slope of f there is below 1 in size, ringing where it is negative."""

    u: float
    slope: float

    @property
    def stable(self) -> bool:
        return abs(self.slope) < 1


def fixed_points(coefficients: ArrayLike, low: float = -np.inf, high: float = np.inf) -> list[FixedPoint]:
    """Real zeros of ``f(u) - u`` between ``low`` and ``high``, in order.

    Parameters
    ----------
    coefficients : (K + 1,)
        c_0 to c_K.
    """
    c = np.atleast_1d(np.asarray(coefficients, dtype=float))
    shifted = np.pad(c, (0, max(0, 2 - c.size)))
    shifted[1] -= 1.0
    roots = polynomial.polyroots(np.trim_zeros(shifted, "b")) if np.any(shifted[1:]) else np.zeros(0)
    real = np.sort(roots[np.abs(roots.imag) < 1e-9].real)
    slope = polynomial.polyder(c) if c.size > 1 else np.zeros(1)
    return [FixedPoint(float(u), float(polynomial.polyval(u, slope))) for u in real if low <= u <= high]


def steepest(coefficients: ArrayLike, low: float, high: float) -> float:
    """Largest size of f' on an interval: above 1, gradients through time can explode there."""
    c = np.atleast_1d(np.asarray(coefficients, dtype=float))
    slope = polynomial.polyder(c) if c.size > 1 else np.zeros(1)
    turning = polynomial.polyroots(polynomial.polyder(slope)) if slope.size > 2 else np.zeros(0)
    points = [low, high, *(float(t.real) for t in turning if abs(t.imag) < 1e-9 and low < t.real < high)]
    return float(np.abs(polynomial.polyval(np.array(points), slope)).max())
