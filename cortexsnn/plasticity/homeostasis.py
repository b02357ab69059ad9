"""Rules that hold a cell's activity: inhibition that balances excitation, slow scaling, sums of weights kept."""

from __future__ import annotations

from typing import Any

from ..units import parse_quantity
from .spike_timing import _zero


def inhibitory_stdp(
    w_max: float | str, rate: float = 0.01, target: str = "5 Hz", tau: str = "20 ms",
) -> dict[str, Any]:  # fmt: skip
    """Inhibition grows until its target fires at a stated rate (Vogels et al. 2011): ``w += rate w_max (b - 2 target tau)`` at an arrival,
    ``w += rate w_max a`` where the target fires.

    Parameters
    ----------
    w_max : number with the unit of the weight
    rate : float, fraction of w_max
    target : rate at which changes cancel
    tau : time
    """
    return {
        "description": "Inhibitory homeostatic plasticity (Vogels et al. 2011).",
        "equations": "da/dt = -a/tau : 1\ndb/dt = -b/tau : 1",
        "on_pre": "a += 1\nw += rate*w_max*(b - 2*target*tau)",
        "on_post": "b += 1\nw += rate*w_max*a",
        "parameters": {"w_max": w_max, "rate": rate, "target": target, "tau": tau},
        "bounds": {"min": _zero(w_max), "max": w_max},
    }


def scaling(
    w_max: float | str, interval: str, gain: str = "1e-4 Hz", target: str = "5 Hz", tau: str = "10000 ms",
) -> dict[str, Any]:  # fmt: skip
    """All weights onto a cell are scaled by how far its rate is from a target: ``dw/dt = gain w (target - a)/target`` with the rate ``a`` of
    the target, low-pass filtered (van Rossum, Bi and Turrigiano 2000, without their integral term; the error is relative here).

    Parameters
    ----------
    w_max : number with the unit of the weight
    interval : time
        Between changes; a whole number of steps.
    gain : rate
    target : rate
    tau : time
        Of the filter of the rate.
    """
    return {
        "description": "Homeostatic scaling (after van Rossum, Bi and Turrigiano 2000).",
        "equations": "da/dt = -a/tau : hertz",
        "on_post": "a += 1/tau",
        "every": {interval: "w *= 1 + gain*interval*(target - a)/target"},
        "parameters": {"gain": gain, "target": target, "tau": tau, "interval": interval},
        "bounds": {"min": _zero(w_max), "max": w_max},
    }


def normalisation(w_max: float | str, total: float | str, interval: str) -> dict[str, Any]:
    """The sum of the weights onto a cell is put back to ``total`` at intervals, all of them scaled alike.

    Parameters
    ----------
    w_max, total : numbers with the unit of the weight
    interval : time, a whole number of steps
    """
    return {
        "description": "Sums of weights kept.",
        "sums": {"now": "w"},
        "every": {interval: "w *= total/where(now > 0*total, now, total)"},
        "parameters": {"total": total},
        "bounds": {"min": _zero(w_max), "max": w_max},
    }


def log_decay(w_max: float | str, target: float | str, lam: float, interval: str) -> dict[str, Any]:
    """Every magnitude is pulled towards a target in log space: ``w = target (w/target)**lam`` at intervals (Massey et al. 2026).

    Ratios of weights shrink, their order stays; weights below the target grow, one of 0 from a thousandth of the target.

    Parameters
    ----------
    w_max, target : numbers with the unit of the weight, > 0
    lam : float, between 0 and 1
        At each interval; for another interval its power by the ratio of the intervals.
    interval : time, a whole number of steps
    """
    if not 0 < lam <= 1:
        raise ValueError(f"lam: expected a number above 0 and not above 1, got {lam:g}")
    if parse_quantity(target).value <= 0:
        raise ValueError(f"target: expected a number above 0, got {target}")
    return {
        "description": "Magnitudes pulled towards a target in log space (Massey et al. 2026).",
        "every": {interval: "w = target*exp(lam*log(clip(w, target/1000, w_max)/target))"},
        "parameters": {"w_max": w_max, "target": target, "lam": lam},
        "bounds": {"min": _zero(w_max), "max": w_max},
    }
