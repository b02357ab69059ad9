"""Learned membrane dynamics: the voltage of the next step as a polynomial of the present one.

"Learning Neuron Dynamics within Deep Spiking Neural Networks" (arXiv 2510.07341) and "Discretized Quadratic Integrate-and-Fire
Neuron Model for Deep Spiking Neural Networks" (arXiv 2510.05168). Degree, initial values, guard and reset of the former are not
known to us; the defaults are ours: a LIF start, degree 3, hard reset, a guard of two thresholds.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

from .integrate_and_fire import Per, Reset, spiking

CLIP = "u = clip(u, -u_max, u_max)\n"
"""The guard: part of the update, so every engine has it at the same place."""


def polynomial(
    degree: int = 3, coefficients: Sequence[float] | None = None, reset: Reset = "hard",
    guard: float | None = 2.0, threshold: float = 1.0, trainable: bool | Sequence[int] = True,
    per: Per = "population",
) -> dict[str, Any]:  # fmt: skip
    """``u = c_K u^K + ... + c_1 u + c_0 + x`` by Horner's rule; spikes at ``u >= v_th``.

    Parameters
    ----------
    degree : int, >= 1
        K.
    coefficients : K + 1 floats, optional
        c_0 to c_K at the start; (0, 0.5, 0, ...) unless given, which is a LIF neuron.
    reset : {"hard", "soft"}
    guard : float or None
        The polynomial is evaluated at u clipped to plus or minus ``guard`` thresholds. None: no guard.
    threshold : float, > 0
    trainable : bool or sequence of int
        Whether the coefficients are learned, or which of them (0 is the constant drive c_0); one set per population (as
        published) or per neuron.

    Warns
    -----
    UserWarning
        Without a guard, where these coefficients let the voltage grow without bound; states the condition.
    """
    if degree < 1 or not threshold > 0 or (guard is not None and not guard > 0):
        raise ValueError("expected degree >= 1, threshold > 0 and guard > 0 or none; correct the one that is not")
    c = list(coefficients) if coefficients is not None else [0.0, 0.5, *[0.0] * (degree - 1)]
    if len(c) != degree + 1:
        raise ValueError(f"expected {degree + 1} coefficients for degree {degree}, got {len(c)}")
    learned = range(degree + 1 if trainable else 0) if isinstance(trainable, bool) else trainable
    if not set(learned) <= set(range(degree + 1)):
        raise ValueError(f"expected trainable among 0 to {degree}, got {list(learned)}")
    top = max((k for k in range(degree + 1) if c[k] or k in learned), default=0)
    reason = divergence(c, reset)
    if reason is None and top in learned and top > 0:
        reason = f"training can give c_{top} a value that lets large u grow ({_CONDITION if top > 1 else 'a slope of 1 or more'})"
    if guard is None and reason:
        warnings.warn(f"polynomial without a guard: {reason}; set guard: 2", stacklevel=2)
    horner = f"c_{degree}"
    for k in range(degree - 1, -1, -1):
        horner = f"({horner})*u + c_{k}"
    return {
        "description": f"Polynomial membrane of degree {degree}, {reset} reset, {'guarded' if guard else 'no guard'}.",
        "update": f"{CLIP if guard else ''}u = {horner} + x",
        **spiking(reset),
        "parameters": {
            **{f"c_{k}": value for k, value in enumerate(c)}, **_bounds(threshold, guard),
        },
        "trainable": {f"c_{k}": {"per": per} for k in learned},
    }  # fmt: skip


_CONDITION = "odd degree with a positive, even degree with a negative top coefficient, or any with a soft reset"


def divergence(coefficients: Sequence[float], reset: str) -> str | None:
    """Why ``u -> f(u) + x`` can grow without bound, or None.

    A hard reset keeps u below the threshold, so only large negative u can run away; a soft one leaves large positive u too.
    """
    degree = max((k for k, c in enumerate(coefficients) if c), default=0)
    top = coefficients[degree]
    if degree <= 1:
        grows = degree == 1 and (top >= 1 or (top <= -1 and reset == "soft"))
        return f"the slope c_1 = {top:g} lets large u grow" if grows else None
    if (degree % 2 == 1) == (top > 0):
        return f"c_{degree} = {top:g} sends large negative u to larger negative u ({'odd' if degree % 2 else 'even'} degree)"
    if reset == "soft":
        return f"c_{degree} = {top:g} makes large u larger in size, and a soft reset takes only one threshold away"
    return None


def quadratic(
    reading: Literal["identity", "plain"] = "identity", a: float = 0.25, u_rest: float = 0.0, u_critical: float = 0.5,
    threshold: float = 1.0, reset: Reset = "hard", guard: float | None = 2.0,
    trainable: Sequence[Literal["a", "u_1", "u_2"]] = (), window: float = 1.0,
) -> dict[str, Any]:  # fmt: skip
    """Quadratic integrate-and-fire in discrete time, in the two readings that the published recurrence admits.

    Parameters
    ----------
    reading : {"identity", "plain"}
        identity (I, a Euler step): ``u + a (u - u_1)(u - u_2) + x``; plain (N): ``a (u - u_1)(u - u_2) + x``.
    a, u_rest, u_critical : float
        u_1 and u_2 are u_rest and u_critical.
    threshold, reset, guard
        As for :func:`polynomial`.
    window : float, > 0
        Width of the surrogate derivative; :func:`window_width` gives one from the statistics of the input.
    """
    if not threshold > 0 or not window > 0 or (guard is not None and not guard > 0):
        raise ValueError("expected threshold > 0, window > 0 and guard > 0 or none; correct the one that is not")
    identity = 1.0 if reading == "identity" else 0.0
    c = (a * u_rest * u_critical, identity - a * (u_rest + u_critical), a)
    reason = divergence(c, reset)
    if reason is None and "a" in trainable:
        reason = f"training can give a a sign that lets large u grow ({_CONDITION})"
    if guard is None and reason:
        warnings.warn(f"quadratic without a guard: {reason}; set guard: 2", stacklevel=2)
    return {
        "description": f"Quadratic integrate-and-fire, reading {reading}.",
        "update": f"{CLIP if guard else ''}u = {'u + ' if reading == 'identity' else ''}a*(u - u_1)*(u - u_2) + x",
        **spiking(reset),
        "threshold_scale": window,
        "parameters": {
            "a": a, "u_1": u_rest, "u_2": u_critical, **_bounds(threshold, guard),
        },
        "trainable": {name: {} for name in trainable},
    }  # fmt: skip


def _bounds(threshold: float, guard: float | None) -> dict[str, float]:
    return {"v_th": threshold, **({"u_max": guard * threshold} if guard else {})}


def window_width(a: float, u_1: float, u_2: float, std_u: float, std_x: float) -> float:
    """Half-width of a rectangular surrogate for a quadratic neuron: the standard deviation of ``f(u) + x``.

    For independent normal u and x with mean 0: ``Var f = a^2 (2 s_u^4 + (u_1 + u_2)^2 s_u^2)``. This formula is ours; the
    published one was not available to us. Use it as ``window`` together with ``surrogate="rectangle(1)"``.

    Parameters
    ----------
    a, u_1, u_2 : float
    std_u, std_x : float
        Standard deviations of the membrane after reset and of the input.
    """
    variance = a**2 * (2 * std_u**4 + (u_1 + u_2) ** 2 * std_u**2)
    return float((std_x**2 + variance) ** 0.5)
