"""Lateral inhibition inside a layer, with units: E cells excite spiking interneurons, which shunt them one step later.

The third and most biological of the lateral-inhibition circuits. No number is from a paper: it keeps of arXiv 2509.23253 the idea
that a layer is balanced by its own inhibition, and replaces everything that is not local or not a cell: interneurons spike and are
driven by their own layer's E cells, inhibition is a conductance that reverses at rest (a shunt), and nothing is summed over a layer.
"""

from __future__ import annotations

from typing import Any

from ..errors import InputError
from ..spec import Circuit

CELL: dict[str, Any] = {
    "description": "Conductance-based LIF: AMPA-like excitation, shunting inhibition that reverses at rest.",
    "equations": (
        "dv/dt = (g_L*(E_L - v) + g_e*(E_e - v) + g_i*(E_L - v) + I)/C_m : volt (unless refractory)\n"
        "dg_e/dt = -g_e/tau_e : siemens\n"
        "dg_i/dt = -g_i/tau_i : siemens"
    ),
    "ports": {
        "I": {"unit": "amp", "kind": "pulse", "receptor": "excitatory"},
        "g_e": {"unit": "siemens", "kind": "jump", "receptor": "excitatory"},
        "g_i": {"unit": "siemens", "kind": "jump", "receptor": "inhibitory"},
    },
    "threshold": "v > V_T",
    "threshold_scale": "5 mV",
    "reset": "v = V_R",
    "refractory": "2 ms",
    "method": "exponential_euler",
    "parameters": {
        "C_m": "100 pF", "g_L": "10 nS", "E_L": "-70 mV", "V_T": "-50 mV", "V_R": "-65 mV", "E_e": "0 mV", "tau_e": "3 ms", "tau_i": "6 ms",
    },
    "initial": {"v": "-70 mV"},
}  # fmt: skip
READOUT: dict[str, Any] = {
    "description": "Leaky sum of incoming spikes, signed by the transmitter of the source.",
    "equations": "dy/dt = -y/tau_r : 1",
    "ports": {"y": {"kind": "jump"}},
    "output": "logit = y",
    "parameters": {"tau_r": "20 ms"},
    "method": "exact",
}


def build(
    n_inputs: int = 64, hidden: tuple[int, ...] = (96,), n_classes: int = 10, ratio: int = 4, steps: int = 30,
    drive: float = 400.0, excitation: float = 2.0, inhibition: float = 4.0,
) -> Circuit:  # fmt: skip
    """E/I layers with recurrent lateral inhibition.

    Parameters
    ----------
    n_inputs : int
        Channels of the real-valued input ``image``, values in [0, 1].
    hidden : tuple of int
        E cells per layer; each has ``E // ratio`` spiking interneurons.
    n_classes, ratio : int
    steps : int
        Default duration, ms.
    drive : float
        Mean current that an image of mean value 0.3 injects into an E cell of the first layer [pA].
    excitation, inhibition : float
        Mean conductance that one spike of a whole layer would add to a target [nS], times 10: E to I and to the next E, I to E.

    Raises
    ------
    InputError
        A layer without E or I cells.
    """
    hidden = tuple(int(n) for n in hidden)
    if ratio < 1 or n_inputs < 1 or n_classes < 1:
        raise InputError(
            f"lateral_inhibition_recurrent: expected ratio, n_inputs and n_classes of at least 1, got {ratio}, {n_inputs} and {n_classes}"
        )
    if not hidden or min(hidden) // ratio < 1:
        raise InputError(
            f"lateral_inhibition_recurrent: every layer needs at least ratio = {ratio} cells, got {hidden}; enlarge it or lower ratio"
        )
    populations: dict[str, Any] = {}
    projections: dict[str, Any] = {}

    def connect(pre: str, post: str, port: str, mean: str, delay: str = "0 ms") -> None:
        projections[f"{pre}_{post}"] = {
            "pre": pre, "post": post, "port": port, "connect": "all", "delay": delay, "trainable": True,
            "weight": {"distribution": "exponential", "mean": mean},
        }  # fmt: skip

    before = "image"
    for k, size in enumerate(hidden, start=1):
        e, i, n_i = f"E{k}", f"I{k}", size // ratio
        populations[e] = {"size": size, "neuron": "cell", "transmitter": "excitatory"}
        populations[i] = {"size": n_i, "neuron": "cell", "transmitter": "inhibitory", "parameters": {"C_m": "50 pF"}}
        if k == 1:
            connect(before, e, "I", f"{drive / (0.3 * n_inputs):.6g}")
            projections[f"{before}_{e}"]["weight"]["mean"] += " pA"
        else:
            connect(before, e, "g_e", f"{10 * excitation / hidden[k - 2]:.6g} nS")
        connect(e, i, "g_e", f"{10 * excitation / size:.6g} nS")
        connect(i, e, "g_i", f"{10 * inhibition / n_i:.6g} nS", "1 ms")
        before = e
    populations["out"] = {"size": n_classes, "neuron": "readout", "transmitter": "excitatory"}
    for source, size in ((before, hidden[-1]), (f"I{len(hidden)}", hidden[-1] // ratio)):
        connect(source, "out", "y", f"{2 / size:.6g}")
    return Circuit(
        name="lateral_inhibition_recurrent",
        description="E/I layers with recurrent lateral inhibition: spiking interneurons, shunting conductances, Dale's law.",
        sources=(
            "Idea of a layer balanced by lateral inhibition: arXiv 2509.23253. All equations and numbers are ours; passive membrane and "
            "synaptic time constants are usual values.",
        ),
        dt="1 ms",
        duration=f"{steps} ms",
        neurons={"cell": CELL, "readout": READOUT},
        populations=populations,
        inputs={"image": {"size": n_inputs, "kind": "current"}},
        projections=projections,
        readout="out",
    )
