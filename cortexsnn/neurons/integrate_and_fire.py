"""Integrate-and-fire neurons in discrete time, as machine-learning papers write them: no units, threshold 1, pulse port ``x``.

Trainable per population unless ``per`` says otherwise. A hard reset returns to 0, a soft one subtracts the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

Reset = Literal["soft", "hard"]
Per = Literal["population", "neuron"]


def lif(
    tau: float = 2.0, threshold: float = 1.0, reset: Reset = "soft", decay_input: bool = True,
    trainable: Sequence[Literal["tau", "v_th"]] = (), per: Per = "population",
) -> dict[str, Any]:  # fmt: skip
    """Leaky integrate-and-fire: ``u = (1 - 1/tau) u + x/tau``, or ``+ x`` without ``decay_input``; spikes at ``u >= v_th``.

    Parameters
    ----------
    tau : float, >= 1
        Membrane time constant in steps.
    threshold : float, > 0
    reset : {"soft", "hard"}
    decay_input : bool
        Whether the input is scaled by 1/tau (SpikingJelly's ``decay_input``).
    trainable : sequence of {"tau", "v_th"}
    per : {"population", "neuron"}
    """
    _at_least("tau", tau, 1.0)
    gain = "/tau" if decay_input else ""
    found = {
        "description": "Leaky integrate-and-fire.",
        "update": f"u = (1 - 1/tau)*u + x{gain}",
        "parameters": {"tau": tau, "v_th": _above_zero("threshold", threshold)},
    }
    bounds = {"tau": {"per": per, "min": 1.0}, "v_th": {"per": per, "min": 0.01}}
    return {**found, **spiking(reset), "trainable": {name: bounds[name] for name in trainable}}


def parametric_lif(
    tau: float = 2.0, threshold: float = 1.0, reset: Reset = "soft", decay_input: bool = True, per: Per = "population",
) -> dict[str, Any]:  # fmt: skip
    """LIF with a learned time constant: ``k = 1/(1 + exp(-w))``, ``u = (1 - k) u + k x`` (Fang et al. 2021, arXiv 2007.05785).

    Parameters
    ----------
    tau : float, > 1
        Initial time constant in steps; ``w = -ln(tau - 1)``, and ``tau = 1 + exp(-w)`` at any time.
    threshold, reset, decay_input, per
        As for :func:`lif`.
    """
    import math

    if not tau > 1:
        raise ValueError(f"expected tau > 1, got {tau:g}; a neuron without memory has no time constant to learn")
    gain = "k*" if decay_input else ""
    return {
        "description": "Leaky integrate-and-fire with a learned time constant 1 + exp(-w).",
        "equations": "k = 1/(1 + exp(-w)) : 1",
        "update": f"u = (1 - k)*u + {gain}x",
        "parameters": {"w": -math.log(tau - 1), "v_th": _above_zero("threshold", threshold)},
        **spiking(reset),
        "trainable": {"w": {"per": per}},
    }


def normalised_lif(tau: float = 2.0, reset: Reset = "soft", temporal: bool = False) -> dict[str, Any]:
    """LIF with a gain and an offset of its own per cell, ``u = (1 - 1/tau) u + k_x x + b_x``: batch normalisation, folded.

    While a network trains, ``cortexsnn.train.normalise`` normalises ``x`` over the batch; folding puts the running statistics
    into ``k_x`` and ``b_x``. Spikes at u >= 1.

    Parameters
    ----------
    tau : float, >= 1
        Steps.
    reset : {"soft", "hard"}
    temporal : bool
        With a port ``p_x``, a gain of all cells in each step that multiplies ``k_x x + b_x`` (Duan et al. 2022, temporal effective batch
        normalisation); an input with rows of its own drives it.
    """
    _at_least("tau", tau, 1.0)
    arriving = "p_x*(k_x*x + b_x)" if temporal else "k_x*x + b_x"
    return {
        "description": "LIF behind a folded batch normalisation.",
        "update": f"u = (1 - 1/tau)*u + {arriving}",
        "ports": {"x": {"kind": "pulse"}, **({"p_x": {"kind": "pulse"}} if temporal else {})},
        "threshold": "u >= 1",
        "reset": "u -= 1" if reset == "soft" else "u = 0",
        "parameters": {"tau": tau, "k_x": 1.0, "b_x": 0.0},
    }


def double_exponential(tau_m: float = 5.0, tau_s: float = 3.0, threshold: float = 1.0) -> dict[str, Any]:
    """A cell with a double-exponential response that forgets all its input when it fires (Zhu et al. 2023, time-based training):
    ``m = (m + x)(1 - 1/tau_m)``, ``n = (n + x)(1 - 1/tau_s)``, ``u = (m - n) tau_m/(tau_m - tau_s)``.

    Parameters
    ----------
    tau_m, tau_s : float, tau_m > tau_s >= 1
        Steps.
    threshold : float, > 0
    """
    _at_least("tau_s", tau_s, 1.0)
    if not tau_m > tau_s:
        raise ValueError(f"expected tau_m > tau_s, got {tau_m:g} and {tau_s:g}")
    return {
        "description": "Double-exponential response, forgotten at a spike.",
        "update": "m = (m + x)*(1 - 1/tau_m)\nn = (n + x)*(1 - 1/tau_s)\nu = (m - n)*((1/tau_s)/(1/tau_s - 1/tau_m))",
        "ports": {"x": {"kind": "pulse"}},
        "threshold": "u >= v_th",
        "reset": "m = 0\nn = 0",
        "parameters": {"tau_m": tau_m, "tau_s": tau_s, "v_th": _above_zero("threshold", threshold)},
    }


def thresholding_lif(
    w: float = 0.5, leak: float = 0.25, normalised: bool = False, trained: bool = True, lowest: float = 0.02,
) -> dict[str, Any]:  # fmt: skip
    """LIF with a learned threshold ``tanh(w)``, one number for a population (Wang, Cheng and Lim 2022, LTMD): ``u = leak u + x``, spikes
    at ``u > tanh(w)``, reset to 0. Train it with ``surrogate="rectangle(0.5)"`` and ``detach_reset=False``, as published code does.

    Parameters
    ----------
    w : float
        At the start.
    leak : float, in [0, 1]
        Factor per step.
    normalised : bool
        With ``k_x`` and ``b_x`` for a folded batch normalisation, as :func:`normalised_lif`.
    trained : bool
        Whether training changes w.
    lowest : float
        Bound of w, so that the threshold stays above 0; ours, the published code has none.
    """
    if not 0 <= leak <= 1 or w < lowest:
        raise ValueError(f"expected a leak in [0, 1] and w of at least {lowest:g}, got {leak:g} and {w:g}")
    found: dict[str, Any] = {
        "description": "LIF with a learned threshold (LTMD).",
        "equations": "theta = tanh(w) : 1",
        "update": f"u = leak*u + {'k_x*x + b_x' if normalised else 'x'}",
        "ports": {"x": {"kind": "pulse"}},
        "threshold": "u > theta",
        "reset": "u = 0",
        "parameters": {"w": w, "leak": leak, **({"k_x": 1.0, "b_x": 0.0} if normalised else {})},
    }
    return {**found, "trainable": {"w": {"min": lowest}}} if trained else found


def adaptive_lif(
    tau: float = 2.0, tau_adaptation: float = 20.0, strength: float = 0.2, threshold: float = 1.0,
    decay_input: bool = True, trainable: Sequence[Literal["beta"]] = (), per: Per = "population",
) -> dict[str, Any]:  # fmt: skip
    """LIF whose threshold rises with its own spikes: ``b = rho b + s``, spikes at ``u >= v_th + beta b``, soft reset by the
    momentary threshold. After the LSNN's neuron (Bellec et al. 2018, arXiv 1803.09574); a factor (1 - rho) is part of beta here.

    Parameters
    ----------
    tau, tau_adaptation : float, >= 1
        Steps; ``rho = exp(-1/tau_adaptation)``.
    strength : float, >= 0
        beta.
    threshold, decay_input, per
        As for :func:`lif`.
    """
    _at_least("tau", tau, 1.0)
    _at_least("tau_adaptation", tau_adaptation, 1.0)
    _at_least("strength", strength, 0.0)
    gain = "/tau" if decay_input else ""
    return {
        "description": "Leaky integrate-and-fire with an adaptive threshold.",
        "update": f"u = (1 - 1/tau)*u + x{gain}",
        "ports": {"x": {"kind": "pulse"}},
        "threshold": "u >= v_th + beta*b",
        "reset": "u -= v_th + beta*b",
        "after_reset": "b = exp(-1/tau_b)*b + spiked",
        "parameters": {
            "tau": tau, "tau_b": tau_adaptation, "beta": strength, "v_th": _above_zero("threshold", threshold),
        },
        "trainable": {name: {"per": per, "min": 0} for name in trainable},
    }  # fmt: skip


def complementary_lif(tau: float = 2.0) -> dict[str, Any]:
    """LIF with a complementary state that remembers spikes and deepens the reset (CLIF; Huang et al. 2024, arXiv 2402.04663).

    ``v = (1 - 1/tau) v + x``, ``c = c sig(v/tau)``; a spike at ``v >= 1`` adds 1 to ``c`` and takes ``1 + sig(c)`` from ``v``.

    Parameters
    ----------
    tau : float, >= 1
        Steps.
    """
    _at_least("tau", tau, 1.0)
    return {
        "description": "Complementary leaky integrate-and-fire.",
        "update": "u = (1 - 1/tau)*u + x\nc = c/(1 + exp(-u/tau))",
        "ports": {"x": {"kind": "pulse"}},
        "threshold": "u >= 1",
        "reset": "c += 1\nu -= 1 + 1/(1 + exp(-c))",
        "parameters": {"tau": tau},
    }


def gated_lif(
    decay: float = 0.25, leak: float = 0.0625, reset_by: float = 0.5, conductance: float = 0.5, threshold: float = 0.5,
    gates: tuple[float, float, float] = (0.0, 0.0, 0.0), per: Per = "population",
) -> dict[str, Any]:  # fmt: skip
    """LIF with learned mixtures of two decays, two inputs and two resets (GLIF; Yao et al. 2022, arXiv 2210.13768).

    With gates ``al, be, ga`` between 0 and 1 and last step's spike ``z``::

        u = (1 - al (1 - decay)) u (1 - ga z) - (1 - al) leak + (1 - be (1 - g)) x - (1 - ga) reset_by z

    The published neuron has one conductance ``g`` per time step; here it is one number, so that any number of steps runs.

    Parameters
    ----------
    decay, conductance : float, between 0 and 1
    leak, reset_by, threshold : float
    gates : three floats
        Logits of al (exponential against linear decay), be (gated against plain input), ga (hard against soft reset).
    per : {"population", "neuron"}
        Everything is trainable.
    """
    between = {"decay": decay, "conductance": conductance}
    for name, value in between.items():
        if not 0 <= value <= 1:
            raise ValueError(f"expected {name} in [0, 1], got {value:g}")
    bounds: dict[str, Any] = {"per": per}
    unit: dict[str, Any] = {**bounds, "min": 0, "max": 1}
    return {
        "description": "Gated leaky integrate-and-fire.",
        "equations": "al = 1/(1 + exp(-l_al)) : 1\nbe = 1/(1 + exp(-l_be)) : 1\nga = 1/(1 + exp(-l_ga)) : 1",
        "update": "u = (1 - al*(1 - decay))*u*(1 - ga*z) - (1 - al)*leak + (1 - be*(1 - g_x))*x - (1 - ga)*v_re*z",
        "ports": {"x": {"kind": "pulse"}},
        "threshold": "u >= v_th",
        "after_reset": "z = spiked",  # the reset is part of the next update
        "parameters": {
            "decay": decay, "leak": leak, "v_re": reset_by, "g_x": conductance, "v_th": _above_zero("threshold", threshold),
            "l_al": gates[0], "l_be": gates[1], "l_ga": gates[2],
        },
        "trainable": {
            "decay": unit, "g_x": unit, "leak": bounds, "v_re": bounds, "l_al": bounds, "l_be": bounds, "l_ga": bounds,
        },
    }  # fmt: skip


def spiking(reset: Reset) -> dict[str, Any]:
    """Port, threshold and reset of a neuron with membrane u and threshold v_th."""
    return {
        "ports": {"x": {"kind": "pulse"}},
        "threshold": "u >= v_th",
        "reset": "u -= v_th" if reset == "soft" else "u = 0",
    }


def _at_least(name: str, value: float, bound: float) -> None:
    if not value >= bound:
        raise ValueError(f"expected {name} >= {bound:g}, got {value:g}")


def _above_zero(name: str, value: float) -> float:
    if not value > 0:
        raise ValueError(f"expected {name} > 0, got {value:g}")
    return value
