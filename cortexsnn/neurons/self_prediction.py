"""Self-prediction: a current that a neuron makes from its own input and output history and adds to its own input.

The idea is that of "General Self-Prediction Enhancement for Spiking Neurons" (arXiv 2601.21823). **The published update equation
is not known to us.** What follows is the smallest family that holds every reading compatible with what is known::

    x_in[t] = x[t] + p[t-1]                       the neuron's own rule, with x_in in place of x
    p[t]    = a p[t-1] + b_x x[t] + b_s s[t]      input and spike of the same step; it acts in the next one

with an update rate ``al`` = sig(r) and the readings A, B and C, which are ours. None of them is "the paper's neuron".
"""

from __future__ import annotations

import math
from typing import Any, Literal

Reading = Literal["A", "B", "C"]
READINGS: dict[str, tuple[str, str, str]] = {
    # name: (a, b_x, b_s); al_p is the update rate, tau the wrapped neuron's time constant in steps
    "A": ("1 - 1/({tau})", "al_p", "-al_p"),
    "B": ("1 - al_p", "al_p/({tau})", "-al_p"),
    "C": ("1 - al_p", "-al_p/({tau})", "al_p"),
}
"""A relaxes with tau and is driven by input minus output; B is a running mean of charge added minus charge removed; C its negative."""


def self_prediction(
    reading: Reading | None = None, tau: float | str = "tau", rate: float = 0.5, trainable: bool = True,
    coefficients: tuple[float, float, float] | None = None, port: str = "x", unit: str = "1", scale: float | str = 1.0,
    detach: tuple[Literal["input", "spikes"], ...] = (), per: Literal["population", "neuron"] = "population",
    history: str | None = None, terms: Literal["both", "input", "output"] = "both",
) -> dict[str, Any]:  # fmt: skip
    """A prediction current for any neuron with a pulse port: ``neuron: [lif, prediction]``.

    Parameters
    ----------
    reading : {"A", "B", "C"}
        Coefficients by name; A unless ``coefficients`` are given.
    tau : float or str
        Time constant in steps: a number, or an expression in the wrapped neuron's parameters, by default its ``tau``
        (``"1 + exp(-w)"`` for a parametric LIF, whose learned time constant then shapes the prediction as well).
    rate : float, between 0 and 1
        Initial update rate al = 1/(1 + exp(-r)); r is trainable.
    coefficients : (a, b_x, b_s), optional
        Fixed numbers in place of a reading: (0.9, 0, -0.2) is spike-triggered adaptation, (0.9, 0.1, 0) an input filter.
    port : str
        Pulse port that is predicted and that receives the current.
    unit : str
        Unit of that port.
    scale : float or str
        What one spike counts in that unit, for example ``"100 pA"``.
    detach : sequence of {"input", "spikes"}
        History that is hidden from the gradient. Hiding the input removes the path without spikes that the idea is about.
    per : {"population", "neuron"}
        Granularity of the learned rate.
    history : str, optional
        What counts as input, an expression in the neuron's names; what arrives at ``port`` unless given. A neuron whose input
        another piece makes names it here: ``"drive"`` behind an ``ei_drive``.
    terms : {"both", "input", "output"}
        Controls with the same states and parameters: "output" leaves b_s alone, which is spike-triggered adaptation; "input"
        leaves b_x alone, a slow filter of the input.
    """
    if coefficients is not None and reading is not None:
        raise ValueError("expected a reading or coefficients, got both; leave one out")
    if not 0 < rate < 1:
        raise ValueError(f"expected rate between 0 and 1, got {rate:g}")
    if coefficients is None:
        a, b_x, b_s = (text.format(tau=tau) for text in READINGS[reading or "A"])
        parameters: dict[str, Any] = {"r_p": math.log(rate / (1 - rate))}
        equations = ["al_p = 1/(1 + exp(-r_p)) : 1"]
    else:
        a, b_x, b_s = "a_p", "b_x", "b_s"
        parameters, equations = dict(zip((a, b_x, b_s), coefficients, strict=True)), []
        if abs(coefficients[0]) >= 1:
            raise ValueError(f"expected |a| < 1, got {coefficients[0]:g}; the prediction would grow without bound")
    seen = history or port
    x = f"straight_through({seen}, 0)" if "input" in detach else seen
    s = "straight_through(spiked, 0)" if "spikes" in detach else "spiked"
    if unit != "1":
        equations.append(f"p : {unit}")
        parameters["spike_p"] = scale
        s = f"{s}*spike_p"
    kept = [
        f"({a})*p",
        *([f"({b_x})*{x}"] if terms != "output" else []),
        *([f"({b_s})*{s}"] if terms != "input" else []),
    ]
    learned = trainable and coefficients is None
    return {
        "description": f"Self-prediction of port {port}, {f'reading {reading or chr(65)}' if coefficients is None else 'fixed coefficients'}.",
        "equations": "\n".join(equations),
        "adds": {port: "p"},
        "after_reset": f"p = {' + '.join(kept)}",
        "parameters": parameters,
        "trainable": {"r_p": {"per": per}} if learned else {},
    }


def distal_prediction(
    coefficients: tuple[float, float, float] = (0.5, 0.25, -0.5), port: str = "I", soma: str = "v",
    tau_d: str = "20 ms", tau_in: str = "5 ms", R_d: str = "100 Mohm", E_d: str = "-70 mV", g_c: str = "5 nS",
    spike: str = "100 pA",
) -> dict[str, Any]:  # fmt: skip
    """A distal compartment that receives the prediction current, in units, for a neuron with a soma and a pulse port [amp].

    The compartment has a voltage of its own, ``tau_d dv_d/dt = E_d - v_d + R_d (I_p + I_d) + R_d g_c (v - v_d)``; synapses of
    other cells (a top-down prediction) reach it through the jump port ``I_d``; it drives the soma with ``g_c (v_d - v)``.
    ``I_p[t] = a I_p + b_x I + b_s * spike`` is the internal prediction, formed after the reset of every step.

    Parameters
    ----------
    coefficients : (a, b_x, b_s)
    port, soma : str
        The soma's pulse port and voltage.
    tau_d, tau_in, R_d, E_d, g_c, spike : str
        Time constants, input resistance, rest, coupling, current of one spike.
    """
    a, b_x, b_s = coefficients
    if abs(a) >= 1:
        raise ValueError(f"expected |a| < 1, got {a:g}; the prediction would grow without bound")
    return {
        "description": "Distal compartment that receives the neuron's own prediction and top-down input.",
        "equations": (
            f"dv_d/dt = (E_d - v_d + R_d*(I_p + I_d) + R_d*g_c*({soma} - v_d))/tau_d : volt\n"
            "dI_d/dt = -I_d/tau_in : amp\n"
            "I_p : amp"
        ),
        "ports": {"I_d": {"unit": "amp", "kind": "jump"}},
        "adds": {port: f"g_c*(v_d - {soma})"},
        "after_reset": f"I_p = a_p*I_p + b_x*{port} + b_s*spiked*spike_p",
        "parameters": {
            "a_p": a, "b_x": b_x, "b_s": b_s, "tau_d": tau_d, "tau_in": tau_in, "R_d": R_d, "E_d": E_d, "g_c": g_c, "spike_p": spike,
        },
        "initial": {"v_d": E_d},
    }  # fmt: skip
