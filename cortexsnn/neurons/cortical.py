"""Cells of a cortical column with units: a pyramidal cell with a soma and a distal apical compartment, a point cell, and terminals of axons.

Every gate is a state of its own and each equation is linear in its own variable, so that exponential Euler is exact in each of them over a step.
"""

from __future__ import annotations

from typing import Any

RECEPTORS: dict[str, str | float] = {
    "Mg": 1 / 3.57, "E_E": "0 mV", "E_I": "-75 mV", "E_K": "-90 mV", "tau_A": "2 ms", "tau_N": "80 ms", "tau_G": "6 ms", "tau_Mg": "2 ms",
}  # fmt: skip
"""Parameters of every cell: block by magnesium, reversal potentials, time constants of AMPA, NMDA, GABA_A and of the block."""
LAYERS = {
    "L5": {
        "C_s": "260 pF", "g_Ls": "13 nS", "C_d": "120 pF", "g_Ld": "10 nS", "g_c": "25 nS", "G_P": "40 nS", "G_K": "45 nS",
        "b_b": "21.2 nS", "b_w": "4 nS",
    },
    "L23": {
        "C_s": "110 pF", "g_Ls": "5.5 nS", "C_d": "50 pF", "g_Ld": "4.2 nS", "g_c": "10.5 nS", "G_P": "16 nS", "G_K": "18 nS",
        "b_b": "8.8 nS", "b_w": "1.7 nS",
    },
}  # fmt: skip
"""Ours: input resistances of 50 and 118 Mohm, 20 ms, plateaus of 45 to 50 ms. Jumps are charges over time constants."""


def _receptors(place: str, voltage: str, charge: bool) -> tuple[str, dict[str, Any]]:
    """Equations of AMPA, NMDA and GABA_A conductances at a place, and their ports."""
    tau_G = "tau_Gd" if place == "d" else "tau_G"
    equations = (
        f"dg_A{place}/dt = -g_A{place}/tau_A : siemens\n"
        f"dg_N{place}/dt = -g_N{place}/tau_N : siemens\n"
        f"dg_G{place}/dt = -g_G{place}/{tau_G} : siemens\n"
        f"dB_{place}/dt = (1/(1 + Mg*exp(-{voltage}/(16.13*mV))) - B_{place})/tau_Mg : 1\n"
    )
    excitatory = _ports((f"g_A{place}", f"g_N{place}"), "excitatory", charge)
    return equations, {**excitatory, **_ports((f"g_G{place}",), "inhibitory", charge)}


def _ports(names: tuple[str, ...], receptor: str, charge: bool) -> dict[str, Any]:
    port = {"unit": "siemens", "kind": "jump", "receptor": receptor} | ({"charge": "conserved"} if charge else {})
    return {name: dict(port) for name in names}


def _jump(amount: str, tau: str, charge: bool) -> str:
    """What a spike adds to the cell's own conductance; with the charge of amount times tau at any step."""
    return f"{amount}*exprel(-dt/{tau})" if charge else amount


def pyramidal(layer: str = "L5", plateau: float = 1.0, charge: bool = True) -> dict[str, Any]:
    """A soma and a distal apical compartment, coupled, with two ways to a plateau there.

    The gate m (calcium-like, voltage only) opens where a backpropagating spike meets apical depolarisation (Larkum, Zhu and Sakmann 1999, the
    phenomenon; midpoint and slope as in public code of Naud and Sprekeler 2018); NMDA conductances, whose block follows the voltage (Jahr and Stevens
    1990), open where there is glutamate. The slow potassium gate n ends it. GABA_B acts on the apical compartment. All other numbers are ours.

    Parameters
    ----------
    layer : {"L5", "L23"}
        A large or a small cell.
    plateau : float
        Times the conductance of the gate m; 0 for none.
    charge : bool
        Whether jumps conserve charge over time steps.
    """
    if layer not in LAYERS:
        raise ValueError(f"expected a layer of {', '.join(LAYERS)}, got {layer!r:.40}")
    if not plateau >= 0:
        raise ValueError(f"expected a plateau of 0 or more, got {plateau:g}")
    soma, soma_ports = _receptors("s", "Vs", charge)
    dendrite, dendrite_ports = _receptors("d", "Vd", charge)
    own = dict(LAYERS[layer])
    if not charge:
        own["b_b"] = {"L5": "18 nS", "L23": "7.5 nS"}[layer]
    own["G_P"] = f"{plateau * float(own['G_P'].split()[0]):g} nS"
    return {
        "description": f"Pyramidal cell of {layer}: soma and distal apical compartment with plateaus.",
        "equations": (
            "dVs/dt = (g_Ls*(E_L - Vs) + g_c*(Vd - Vs) + g_w*(E_K - Vs) + (g_As + g_Ns*B_s)*(E_E - Vs) + g_Gs*(E_I - Vs))/C_s "
            ": volt (unless refractory)\n"
            "dVd/dt = (g_Ld*(E_L - Vd) + g_c*(Vs - Vd) + g_b*(E_b - Vd) + G_P*m*(E_P - Vd) + (G_K*n + g_B)*(E_K - Vd)"
            " + (g_Ad + g_Nd*B_d)*(E_E - Vd) + g_Gd*(E_I - Vd))/C_d : volt\n"
            "dm/dt = (1/(1 + exp(-(Vd - V_m)/k)) - m)/tau_P : 1\n"
            "dn/dt = (1/(1 + exp(-(Vd - V_n)/k)) - n)/tau_n : 1\n"
            "dg_b/dt = -g_b/tau_b : siemens\n"
            "dg_w/dt = -g_w/tau_w : siemens\n"
            f"{soma}{dendrite}"
            "dx_B/dt = -x_B/tau_Br : siemens\n"
            "dg_B/dt = (x_B - g_B)/tau_B : siemens"
        ),
        "ports": {**soma_ports, **dendrite_ports, **_ports(("x_B",), "inhibitory", charge)},
        "threshold": "Vs > V_T",
        "threshold_scale": "5 mV",
        "reset": f"Vs = V_R\ng_b += {_jump('b_b', 'tau_b', charge)}\ng_w += {_jump('b_w', 'tau_w', charge)}",
        "refractory": "2 ms",
        "method": "exponential_euler",
        "parameters": {
            **own, "V_m": "-38 mV", "V_n": "-35 mV", "k": "6 mV", "tau_P": "4 ms", "tau_n": "60 ms", "E_P": "20 mV", "tau_b": "3 ms",
            "E_b": "0 mV", "tau_w": "100 ms", "E_L": "-70 mV", "V_T": "-50 mV", "V_R": "-55 mV", **RECEPTORS, "tau_Gd": "12 ms",
            "tau_Br": "45 ms", "tau_B": "90 ms",
        },
        "initial": {"Vs": "-70 mV", "Vd": "-70 mV"},
    }  # fmt: skip


def point_cell(
    C: str = "90 pF", g_L: str = "10 nS", E_L: str = "-68 mV", V_T: str = "-48 mV", V_R: str = "-58 mV", refractory: str = "1 ms",
    b_w: str = "0 nS", charge: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """A cell of one compartment with AMPA, NMDA and GABA_A conductances and adaptation by a potassium conductance.

    Parameters
    ----------
    C, g_L, E_L, V_T, V_R, refractory : str
        The defaults are those of a fast-spiking cell; ours.
    b_w : str
        Jump of the adaptation at a spike, decaying in 100 ms.
    charge : bool
        Whether jumps conserve charge over time steps.
    """
    equations, ports = _receptors("s", "v", charge)
    return {
        "description": "Point cell with AMPA, NMDA, GABA_A and adaptation.",
        "equations": (
            "dv/dt = (g_L*(E_L - v) + g_w*(E_K - v) + (g_As + g_Ns*B_s)*(E_E - v) + g_Gs*(E_I - v))/C : volt (unless refractory)\n"
            f"dg_w/dt = -g_w/tau_w : siemens\n{equations}"
        ),
        "ports": ports,
        "threshold": "v > V_T",
        "threshold_scale": "5 mV",
        "reset": f"v = V_R\ng_w += {_jump('b_w', 'tau_w', charge)}",
        "refractory": refractory,
        "method": "exponential_euler",
        "parameters": {
            "C": C, "g_L": g_L, "E_L": E_L, "V_T": V_T, "V_R": V_R, "b_w": b_w, "tau_w": "100 ms", **RECEPTORS,
        },
        "initial": {"v": E_L},
    }  # fmt: skip


def terminal(utilisation: float = 0.5, tau_recovery: str = "200 ms", tau_facilitation: str = "5 ms") -> dict[str, Any]:
    """The terminals of an axon onto one class of cells, with depression and facilitation: a spike that arrives is passed on at once, and
    ``deliver: {port: (u + U*(1 - u))*x}`` gives it the share of the weight that is released.

    Tsodyks, Pawelzik and Markram 1998, the equations of the rule ``short_term``. All synapses of an axon onto a class share these states, so they are
    kept once a cell and not once an edge; the spike comes through the port ``s``, by a weight of 1.

    Parameters
    ----------
    utilisation : float, in (0, 1]
    tau_recovery, tau_facilitation : time
    """
    if not 0 < utilisation <= 1:
        raise ValueError(f"expected a utilisation in (0, 1], got {utilisation:g}")
    return {
        "description": "Terminals of an axon with short-term plasticity (Tsodyks, Pawelzik and Markram 1998).",
        "equations": (
            "ds/dt = -s/tau_s : 1\ndu/dt = -u/tau_facilitation : 1\ndx/dt = (1 - x)/tau_recovery : 1"
        ),
        "ports": {"s": {"kind": "jump", "receptor": "any"}},
        "threshold": "s > 0.3",  # an arrival of 1 is 0.37 at least after the update, at 1 ms or less
        "reset": "s = 0\nu += U*(1 - u)\nx -= u*x",
        "method": "exact",
        "parameters": {"U": utilisation, "tau_recovery": tau_recovery, "tau_facilitation": tau_facilitation, "tau_s": "1 ms"},
        "initial": {"x": 1.0},
    }  # fmt: skip


def opponent_readout(tau: str = "20 ms") -> dict[str, Any]:
    """A graded read-out of spikes that all excite: what comes through ``plus`` raises it, through ``minus`` lowers it.

    Parameters
    ----------
    tau : time
        Of both traces.
    """
    ports = {name: {"kind": "jump", "receptor": "excitatory"} for name in ("plus", "minus")}
    return {
        "description": "Graded read-out with two opponent traces of spikes.",
        "equations": "dplus/dt = -plus/tau : 1\ndminus/dt = -minus/tau : 1",
        "ports": ports,
        "output": "y = plus - minus + bias",
        "method": "exact",
        "parameters": {"tau": tau, "bias": 0.0},
        "trainable": {"bias": {"per": "neuron"}},
    }
