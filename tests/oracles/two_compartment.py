"""The circuit ``two_compartment`` as a Brian2 user would write it by hand: an independent opinion."""

from __future__ import annotations

import brian2 as b2
from brian_common import (
    Drive,
    Edges,
    PerNeuron,
    Spikes,
    brian_settings,
    constants,
    fill,
    quantity,
    read_circuit,
    run,
)

PYRAMIDAL = """
dVs/dt = (g_Ls*(E_L - Vs) + g_c*(Vd - Vs) + g_w*(E_K - Vs) + g_As*(E_E - Vs))/C_s : volt (unless refractory)
dVd/dt = (g_Ld*(E_L - Vd) + g_c*(Vs - Vd) + g_b*(E_b - Vd) + I_plateau + I_apical)/C_d : volt
I_plateau = G_P*m*(E_P - Vd) + G_K*n*(E_K - Vd) : amp
I_apical = g_Ad*(E_E - Vd) + g_Gd*(E_I - Vd) : amp
dm/dt = (1/(1 + exp((V_m - Vd)/k)) - m)/tau_P : 1
dn/dt = (1/(1 + exp((V_n - Vd)/k)) - n)/tau_n : 1
dg_b/dt = -g_b/tau_b : siemens
dg_w/dt = -g_w/tau_w : siemens
dg_As/dt = -g_As/tau_A : siemens
dg_Ad/dt = -g_Ad/tau_A : siemens
dg_Gd/dt = -g_Gd/tau_Gd : siemens
"""
INTERNEURON = """
dv/dt = (g_L*(E_L - v) + g_w*(E_K - v) + g_A*(E_E - v))/C : volt (unless refractory)
dg_w/dt = -g_w/tau_w : siemens
dg_A/dt = -g_A/tau_A : siemens
"""
CONDUCTANCES = ("g_b", "g_w", "g_As", "g_Ad", "g_Gd", "g_A")
STATES = {"Vs": b2.mV, "Vd": b2.mV, "v": b2.mV, "m": 1, "n": 1, **dict.fromkeys(CONDUCTANCES, b2.nS)}
ON_PRE = {
    "basal_E": "g_As_post += w_syn",
    "apical_E": "g_Ad_post += w_syn",
    "basal_I": "g_A_post += w_syn",
    "E_E": "g_As_post += w_syn",
    "E_I": "g_A_post += w_syn",
    "I_E": "g_Gd_post += w_syn",
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
    initial : Vs, Vd and v in mV, gates in 1, conductances in nS; what is not given starts at 0
    parameters : not used, nothing is drawn per neuron
    duration_ms : float, ms
    target : Brian2's code generation target

    Returns
    -------
    population -> (steps, neurons)
    """
    del parameters
    circuit = read_circuit("two_compartment")
    with brian_settings(quantity(circuit["dt"]), target):
        pyramidal = b2.NeuronGroup(
            circuit["populations"]["E"]["size"],
            PYRAMIDAL,
            threshold="Vs > V_T",
            reset="Vs = V_R; g_b += b_b; g_w += b_w",
            refractory=2 * b2.ms,
            method="exponential_euler",
            namespace=constants(circuit, "E"),
        )
        interneurons = b2.NeuronGroup(
            circuit["populations"]["I"]["size"],
            INTERNEURON,
            threshold="v > V_T",
            reset="v = V_R; g_w += b_w",
            refractory=2 * b2.ms,
            method="exponential_euler",
            namespace=constants(circuit, "I"),
        )
        groups = {"E": pyramidal, "I": interneurons}
        for name, group in groups.items():
            fill(group, initial.get(name, {}), STATES)
        return run(circuit, groups, edges, drive, ON_PRE, ("siemens", b2.nS), duration_ms)
