"""The circuit ``conductance_ei`` as a Brian2 user would write it by hand: an independent opinion."""

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

EQUATIONS = """
dv/dt = ((E_L - v) + g_e/g_L*(E_e - v) + g_i/g_L*(E_i - v))/(C/g_L) : volt (unless refractory)
dg_e/dt = -g_e/tau_e : siemens
dg_i/dt = -g_i/tau_i : siemens
"""
STATES = {"v": b2.mV, "g_e": b2.nS, "g_i": b2.nS}
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
    initial : v in mV, g_e and g_i in nS; what is not given starts at 0
    parameters : not used, nothing is drawn per neuron
    duration_ms : float, ms
    target : Brian2's code generation target

    Returns
    -------
    population -> (steps, neurons)
    """
    del parameters
    circuit = read_circuit("conductance_ei")
    with brian_settings(quantity(circuit["dt"]), target):
        groups = {}
        for name, population in circuit["populations"].items():
            groups[name] = b2.NeuronGroup(
                population["size"],
                EQUATIONS,
                threshold="v > V_T",
                reset="v = V_R",
                refractory=5 * b2.ms,
                method="exponential_euler",
                namespace=constants(circuit, name),
            )
            fill(groups[name], initial.get(name, {}), STATES)
        return run(circuit, groups, edges, drive, ON_PRE, ("siemens", b2.nS), duration_ms)
