"""The circuit ``izhikevich`` as a Brian2 user would write it by hand: an independent opinion."""

from __future__ import annotations

import brian2 as b2
import numpy as np
from brian_common import Drive, Edges, PerNeuron, Spikes, brian_settings, fill, quantity, read_circuit, run
from numpy.typing import NDArray

EQUATIONS = """
dv/dt = (0.04/ms/mV)*v**2 + (5/ms)*v + 140*mV/ms - u + I : volt
du/dt = a*(b*v - u) : volt/second
I : volt/second
a : hertz (constant)
b : hertz (constant)
c : volt (constant)
d : volt/second (constant)
"""
STATES = {"v": b2.mV, "u": b2.mV / b2.ms}
PARAMETERS = {"a": b2.kHz, "b": b2.kHz, "c": b2.mV, "d": b2.mV / b2.ms}
ON_PRE = {
    "E_E": "I_post += w_syn",
    "E_I": "I_post += w_syn",
    "I_E": "I_post -= w_syn",
    "I_I": "I_post -= w_syn",
    "noise_excitatory_E": "I_post += w_syn",
    "noise_excitatory_I": "I_post += w_syn",
    "noise_inhibitory_E": "I_post -= w_syn",
    "noise_inhibitory_I": "I_post -= w_syn",
}


def published_parameters(population: str, r: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """a, b in 1/ms, c in mV, d in mV/ms from the drawn ``r``, as in the code of Izhikevich (2003)."""
    one = np.ones_like(r)
    if population == "E":
        return {"a": 0.02 * one, "b": 0.2 * one, "c": -65 + 15 * r**2, "d": 8 - 6 * r**2}
    return {"a": 0.02 + 0.08 * r, "b": 0.25 - 0.05 * r, "c": -65 * one, "d": 2 * one}


def simulate(
    edges: Edges,
    drive: Drive,
    initial: PerNeuron,
    parameters: PerNeuron,
    duration_ms: float,
    target: str = "numpy",
) -> Spikes:
    """Run the drawn realisation; types and the rule for delays are in ``brian_common``.

    A synaptic current holds for the one update after its arrival: it is cleared right after the state update,
    before the slot in which spikes are delivered.

    Parameters
    ----------
    edges : weights in mV/ms, delays in ms
    drive : input -> bool, (step, channel)
    initial : v in mV, u in mV/ms; what is not given starts at 0
    parameters : r of E and I, between 0 and 1
    duration_ms : float, ms
    target : Brian2's code generation target

    Returns
    -------
    population -> (steps, neurons)
    """
    circuit = read_circuit("izhikevich")
    with brian_settings(quantity(circuit["dt"]), target):
        groups = {}
        for name, population in circuit["populations"].items():
            groups[name] = b2.NeuronGroup(
                population["size"], EQUATIONS, threshold="v >= 30*mV", reset="v = c; u += d", method="euler"
            )
            groups[name].run_regularly("I = 0*volt/second", when="after_groups")
            fill(groups[name], initial.get(name, {}), STATES)
            fill(groups[name], published_parameters(name, parameters[name]["r"]), PARAMETERS)
        return run(circuit, groups, edges, drive, ON_PRE, ("volt/second", b2.mV / b2.ms), duration_ms)
