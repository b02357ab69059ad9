"""Rules of spike timing: pairs, triplets, and pairs whose change waits for a reward.

Amplitudes are fractions of the largest weight ``w_max``. All pairs of spikes count unless ``nearest``: then a spike sets its trace to 1.
"""

from __future__ import annotations

from typing import Any, Literal

Dependence = Literal["additive", "multiplicative"]


def pair_stdp(
    w_max: float | str, a_plus: float = 0.005, a_minus: float = 0.00525, tau_plus: str = "20 ms", tau_minus: str = "20 ms",
    dependence: Dependence = "additive", nearest: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Pairs of spikes: ``+ a_plus exp(-D/tau_plus)`` for a target that fires D after an arrival, ``- a_minus exp(-D/tau_minus)`` before it.

    Song, Miller and Abbott 2000 (additive; the defaults are theirs); with ``multiplicative``, potentiation is times (w_max - w)/w_max and
    depression times w/w_max (Rubin, Lee and Sompolinsky 2001).

    Parameters
    ----------
    w_max : number with the unit of the weight
    a_plus, a_minus : float, fractions of w_max
    tau_plus, tau_minus : time
    dependence : {"additive", "multiplicative"}
    nearest : bool
        Only the nearest spikes pair.
    """
    up, down = ("(w_max - w)", "w") if dependence == "multiplicative" else ("w_max", "w_max")
    step = "=" if nearest else "+="
    return {
        "description": "Pairs of spikes (Song, Miller and Abbott 2000).",
        "equations": "dx/dt = -x/tau_plus : 1\ndy/dt = -y/tau_minus : 1",
        "on_pre": f"x {step} 1\nw -= a_minus*{down}*y",
        "on_post": f"y {step} 1\nw += a_plus*{up}*x",
        "parameters": {
            "w_max": w_max, "a_plus": a_plus, "a_minus": a_minus, "tau_plus": tau_plus, "tau_minus": tau_minus,
        },
        "bounds": {"min": _zero(w_max), "max": w_max},
    }  # fmt: skip


def triplet_stdp(
    w_max: float | str, a2_plus: float = 0.0, a3_plus: float = 6.5e-3, a2_minus: float = 7.1e-3, a3_minus: float = 0.0,
    tau_plus: str = "16.8 ms", tau_minus: str = "33.7 ms", tau_x: str = "101 ms", tau_y: str = "114 ms", nearest: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Triplets of spikes (Pfister and Gerstner 2006): ``w -= r1 (a2_minus + a3_minus r2)`` and ``w += r1 (a2_plus + a3_plus o2)``.

    The slow traces are read before the spike adds to them. The defaults are those of the minimal model of visual cortex, all pairs, as
    public implementations of the paper's table give them.

    Parameters
    ----------
    w_max : number with the unit of the weight
    a2_plus, a3_plus, a2_minus, a3_minus : float, fractions of w_max
    tau_plus, tau_minus : time
        Of the fast traces, r1 and o1.
    tau_x, tau_y : time
        Of the slow traces, r2 and o2.
    nearest : bool
    """
    step = "=" if nearest else "+="
    return {
        "description": "Triplets of spikes (Pfister and Gerstner 2006).",
        "equations": (
            "dr1/dt = -r1/tau_plus : 1\ndr2/dt = -r2/tau_x : 1\ndo1/dt = -o1/tau_minus : 1\ndo2/dt = -o2/tau_y : 1"
        ),
        "on_pre": f"w -= w_max*o1*(a2_minus + a3_minus*r2)\nr1 {step} 1\nr2 {step} 1",
        "on_post": f"w += w_max*r1*(a2_plus + a3_plus*o2)\no1 {step} 1\no2 {step} 1",
        "parameters": {
            "w_max": w_max, "a2_plus": a2_plus, "a3_plus": a3_plus, "a2_minus": a2_minus, "a3_minus": a3_minus,
            "tau_plus": tau_plus, "tau_minus": tau_minus, "tau_x": tau_x, "tau_y": tau_y,
        },
        "bounds": {"min": _zero(w_max), "max": w_max},
    }  # fmt: skip


def reward_stdp(
    w_max: float | str, reward: str, interval: str, rate: float = 1.0, a_plus: float = 0.005, a_minus: float = 0.00525,
    tau_plus: str = "20 ms", tau_minus: str = "20 ms", tau_eligibility: str = "1000 ms",
) -> dict[str, Any]:  # fmt: skip
    """Pairs of spikes leave an eligibility that a reward turns into weight: ``dw/dt = rate w_max c reward / tau_eligibility``.

    Izhikevich 2007 (a synaptic tag ``c`` times dopamine) and Florian 2007 (MSTDPET, where ``rate`` is the learning rate).

    Parameters
    ----------
    w_max : number with the unit of the weight
    reward : str
        The third factor: an input of one channel, or a population of one cell; a plain number.
    interval : time
        Between changes of the weight: the circuit's own step, or a few.
    rate : float
    a_plus, a_minus, tau_plus, tau_minus
        As in :func:`pair_stdp`; they are what the eligibility changes by.
    tau_eligibility : time
    """
    return {
        "description": "Pairs of spikes and a reward (Izhikevich 2007, Florian 2007).",
        "equations": "dx/dt = -x/tau_plus : 1\ndy/dt = -y/tau_minus : 1\ndc/dt = -c/tau_eligibility : 1",
        "on_pre": "x += 1\nc -= a_minus*y",
        "on_post": "y += 1\nc += a_plus*x",
        "every": {interval: "w += rate*w_max*c*reward*interval/tau_eligibility"},
        "signals": {"reward": reward},
        "parameters": {
            "w_max": w_max, "rate": rate, "a_plus": a_plus, "a_minus": a_minus, "tau_plus": tau_plus, "tau_minus": tau_minus,
            "tau_eligibility": tau_eligibility, "interval": interval,
        },
        "bounds": {"min": _zero(w_max), "max": w_max},
    }  # fmt: skip


def _zero(w_max: float | str) -> float | str:
    """Nothing, in the unit of the largest weight."""
    return f"0 {w_max.split(maxsplit=1)[1]}" if isinstance(w_max, str) and len(w_max.split(maxsplit=1)) > 1 else 0.0
