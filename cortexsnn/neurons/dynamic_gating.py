"""Dynamic gated neuron: presynaptic activity opens a conductance that forgets the membrane ("A Brain-Inspired Gating
Mechanism Unlocks Robust Computation in Spiking Neural Networks", arXiv 2509.03281, eqs. 5-8).

Both traces decay alike, so the sums ``g = C D`` and ``h = W D`` per cell stand for all synapses. Each step, in this order::

    g = lambda_s g + C x,   h = lambda_s h + W x           spikes of this step included
    rho = phi(1 - dt (g_l + g))
    u = rho u + dt h - theta z                             z: spike of the last step; the reset is not multiplied by rho
    spike where u >= theta

Which phi made the published tables is not known to us; clamp reduces to a LIF neuron for C = 0, sigmoid never does.
"""

from __future__ import annotations

from typing import Any, Literal


def dynamic_gating(
    tau_m: float = 10.0, tau_s: float = 2.0, threshold: float = 1.0, phi: Literal["clamp", "sigmoid"] = "clamp",
    form: Literal["full", "simplified"] = "full", reversal: float = 1.0, dt: float = 1.0,
    trainable: tuple[Literal["reversal"], ...] = (),
) -> dict[str, Any]:  # fmt: skip
    """The gated neuron without units; ports ``g_in`` (weights C) and, in the full form, ``h_in`` (weights W).

    A recurrent variant needs nothing more: projections onto the same ports with a delay of one step.

    Parameters
    ----------
    tau_m, tau_s : float
        Membrane and trace time constants in the unit of ``dt``: g_l = 1/tau_m, lambda_s = exp(-dt/tau_s).
    threshold : float
    phi : {"clamp", "sigmoid"}
        clamp is to [0, 1].
    form : {"full", "simplified"}
        Simplified: one reversal potential E per cell, W = E C, so only C arrives.
    reversal : float
        E of the simplified form; trainable where listed.
    dt : float
        Length of a step in the equations, independent of the circuit's.
    """
    if min(tau_m, tau_s, threshold, dt) <= 0:
        raise ValueError("expected tau_m, tau_s, threshold and dt > 0; correct the one that is not")
    gate = "1 - h_t*(g_l + g)"
    ports: dict[str, Any] = {"g_in": {"kind": "pulse"}}
    if form == "full":
        ports["h_in"] = {"kind": "pulse"}
    update = [
        "g = lambda_s*g + g_in",
        f"rho = {'clip(' + gate + ', 0, 1)' if phi == 'clamp' else '1/(1 + exp(-(' + gate + ')))'}",
    ]
    drive = "E_rev*g"
    if form == "full":
        update.insert(1, "h = lambda_s*h + h_in")
        drive = "h"
    return {
        "description": f"Dynamic gated neuron, {form} form, phi = {phi}.",
        "equations": "lambda_s = exp(-h_t/tau_s) : 1",
        "update": "\n".join([*update, f"u = rho*u + h_t*{drive} - v_th*z"]),
        "ports": ports,
        "threshold": "u >= v_th",
        "after_reset": "z = spiked",
        "parameters": {
            "g_l": 1 / tau_m, "tau_s": tau_s, "h_t": dt, "v_th": threshold, **({"E_rev": reversal} if form == "simplified" else {}),
        },
        "trainable": {"E_rev": {"per": "neuron"}} if form == "simplified" and "reversal" in trainable else {},
    }  # fmt: skip


def gate(tau_s: float = 2.0, state: str = "u") -> dict[str, Any]:
    """The gate alone, to stand before any neuron in discrete time: ``neuron: [gate, lif]``.

    ``g = lambda_s g + g_in`` opens with presynaptic activity; before the neuron's own update its membrane is multiplied by
    ``clip(1 - g, 0, 1)``. With g = 0 the neuron is what it was; its own leak stays its own.

    Parameters
    ----------
    tau_s : float, > 0
        Steps.
    state : str
        The membrane of the neuron that follows.
    """
    if tau_s <= 0:
        raise ValueError(f"expected tau_s > 0, got {tau_s:g}")
    return {
        "description": "Input-driven conductance that shrinks the membrane before the neuron's update.",
        "equations": "lambda_s = exp(-1/tau_s) : 1",
        "update": f"g = lambda_s*g + g_in\n{state} = clip(1 - g, 0, 1)*{state}",
        "modifies": [state],
        "ports": {"g_in": {"kind": "pulse", "receptor": "any"}},
        "parameters": {"tau_s": tau_s},
    }


def conductance_gating(
    C_m: str = "100 pF", g_L: str = "10 nS", E_L: str = "-70 mV", V_T: str = "-50 mV",
    tau_e: str = "5 ms", tau_i: str = "10 ms", E_e: str = "0 mV", E_i: str = "-80 mV",
) -> dict[str, Any]:  # fmt: skip
    """The same gate seen as conductance synapses with units: ``-C_i D_i (v - E_i)`` with ``E_i = E_L + (W_i/C_i)(V_T - E_L)``.

    One reversal potential per transmitter: this is the simplified form with two values of E. Forward Euler with the gate
    clamped to [0, 1], the same order and the same reset by V_T - E_L in the next step as :func:`dynamic_gating`: with
    ``u = (v - E_L)/(V_T - E_L)`` both compute the same.

    Parameters
    ----------
    C_m, g_L, E_L, V_T : str
        Membrane.
    tau_e, tau_i, E_e, E_i : str
        Decay and reversal of the conductances on the jump ports ``g_e`` and ``g_i``.
    """
    return {
        "description": "Gating as conductance synapses, forward Euler.",
        "equations": (
            "v : volt\ng_e : siemens\ng_i : siemens\n"
            "rho = clip(1 - dt*(g_L + g_e + g_i)/C_m, 0, 1) : 1\n"
            "h = g_e*(E_e - E_L) + g_i*(E_i - E_L) : amp"
        ),
        # A jump has arrived when the update begins and counts fully; the decay comes before the next arrival.
        "update": "v = E_L + rho*(v - E_L) + dt*h/C_m - (V_T - E_L)*z",
        "ports": {
            "g_e": {"unit": "siemens", "kind": "jump", "receptor": "excitatory"},
            "g_i": {"unit": "siemens", "kind": "jump", "receptor": "inhibitory"},
        },
        "threshold": "v >= V_T",
        "threshold_scale": "20 mV",
        "after_reset": "z = spiked\ng_e = exp(-dt/tau_e)*g_e\ng_i = exp(-dt/tau_i)*g_i",
        "parameters": {
            "C_m": C_m, "g_L": g_L, "E_L": E_L, "V_T": V_T, "tau_e": tau_e, "tau_i": tau_i, "E_e": E_e, "E_i": E_i,
        },
        "initial": {"v": E_L},
    }  # fmt: skip
