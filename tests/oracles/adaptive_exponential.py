"""The circuit ``adaptive_exponential`` as a Brian2 user would write it by hand: an independent opinion."""

from __future__ import annotations

import brian2 as b2
from brian_common import (
    Drive,
    Edges,
    PerNeuron,
    Spikes,
    brian_settings,
    constants,
    drawn,
    fill,
    quantity,
    read_circuit,
    run,
)

EQUATIONS = """
dv/dt = (g_L*(E_L - v) + g_L*Delta_T*exp((v - V_T)/Delta_T) - w + I_syn)/C : volt (unless refractory)
dw/dt = (a*(v - E_L) - w)/tau_w : amp
dg_e/dt = -g_e/tau_e : siemens
dg_i/dt = -g_i/tau_i : siemens
I_syn = g_e*(E_e - v) + g_i*(E_i - v) : amp
V_T : volt (constant)
tau_w : second (constant)
b : amp (constant)
"""
STATES = {"v": b2.mV, "w": b2.pA, "g_e": b2.nS, "g_i": b2.nS}
PARAMETERS = {"V_T": b2.mV, "tau_w": b2.ms, "b": b2.pA}
ON_PRE = {
    "E_E": "g_e_post += w_syn",
    "E_I": "g_e_post += w_syn",
    "I_E": "g_i_post += w_syn",
    "I_I": "g_i_post += w_syn",
    "drive_E": "g_e_post += w_syn",
    "drive_I": "g_e_post += w_syn",
}


def simulate(
    edges: Edges,
    drive: Drive,
    initial: PerNeuron,
    parameters: PerNeuron,
    duration_ms: float,
    target: str = "numpy",
) -> Spikes:
    """Run the drawn realisation; types and the rule for delays are in ``brian_common``.

    Parameters
    ----------
    edges : weights in nS, delays in ms
    drive : input -> bool, (step, channel)
    initial : v in mV, w in pA, g_e and g_i in nS; what is not given starts at 0
    parameters : V_T in mV (E, I), tau_w in ms (E), b in pA (E)
    duration_ms : float, ms
    target : Brian2's code generation target

    Returns
    -------
    population -> (steps, neurons)
    """
    circuit = read_circuit("adaptive_exponential")
    with brian_settings(quantity(circuit["dt"]), target):
        groups = {}
        for name, population in circuit["populations"].items():
            namespace = constants(circuit, name)
            uniform = {key: namespace.pop(key) for key in PARAMETERS if key in namespace}
            groups[name] = b2.NeuronGroup(
                population["size"],
                EQUATIONS,
                threshold="v > V_peak",
                reset="v = V_R; w += b",
                refractory=namespace.pop("t_ref"),
                method="rk2",
                namespace=namespace,
            )
            fill(groups[name], initial.get(name, {}), STATES)
            fill(groups[name], drawn(circuit, name, parameters), PARAMETERS)
            for key, value in uniform.items():
                setattr(groups[name], key, value)
        return run(circuit, groups, edges, drive, ON_PRE, ("siemens", b2.nS), duration_ms)
