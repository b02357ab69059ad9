"""Cells of E/I layers with lateral inhibition ("Training Deep Normalization-Free Spiking Neural Networks with Lateral
Inhibition", arXiv 2509.23253; equations as in its authors' public code), and a local variant that is ours.
"""

from __future__ import annotations

from typing import Any, Literal

INHIBITORY = {"kind": "pulse", "receptor": "inhibitory"}
EXCITATORY = {"kind": "pulse", "receptor": "excitatory"}


def ei_drive(
    divisor: Literal["layer_minimum", "leak"] = "layer_minimum", leak: float = 1.0, port: str = "x"
) -> dict[str, Any]:
    """Balanced input for any neuron with a pulse port: ``neuron: [lif, drive]``; adds ``g_E (I_EE - I_sub)/D + b_E`` to it.

    Parameters
    ----------
    divisor : {"layer_minimum", "leak"}
        layer_minimum, as published: D is I_div, and where that is exactly 0 the smallest positive value in the layer stands
        in, with the gradient passed straight to the cell's own I_div. leak, ours: D = leak + I_div, which no other cell of
        the layer enters and which stays finite without inhibition, as a leak conductance does.
    leak : float, > 0
    port : str
        Port of the neuron that receives the balanced input.
    """
    if not leak > 0:
        raise ValueError(f"expected leak > 0, got {leak:g}")
    local = divisor == "leak"
    used = "g_leak + I_div" if local else "straight_through(where(I_div == 0, m, I_div), I_div)"
    found: dict[str, Any] = {
        "description": "Excitation minus inhibition, over inhibition.",
        "equations": f"I_used = {used} : 1\ndrive = g_E*(I_EE - I_sub)/I_used + b_E : 1",
        "adds": {port: "drive"},
        "ports": {"I_EE": EXCITATORY, "I_sub": INHIBITORY, "I_div": INHIBITORY},
        "parameters": {"g_E": 1.0, "b_E": 0.0, **({"g_leak": leak} if local else {})},
        "trainable": {"g_E": {"per": "neuron", "min": 0}, "b_E": {"per": "neuron"}},
    }  # fmt: skip
    if not local:
        found["reductions"] = {"m": {"op": "min_positive", "of": "I_div"}}
    return found


def ei_excitatory(
    tau: float = 2.0, divisor: Literal["layer_minimum", "leak"] = "layer_minimum", leak: float = 1.0
) -> dict[str, Any]:
    """Spiking E cell: ``u = (1 - 1/tau) u + g_E (I_EE - I_sub)/D + b_E``, spikes at u >= 1, soft reset.

    Parameters
    ----------
    tau : float, >= 1
        Steps.
    divisor, leak
        As for :func:`ei_drive`, which is the same drive for other neurons.
    """
    if not tau >= 1:
        raise ValueError(f"expected tau >= 1, got {tau:g}")
    found = ei_drive(divisor, leak)
    del found["adds"]
    return {
        **found,
        "description": "Spiking E cell: (excitation - inhibition) / inhibition, leak 1/tau per step, soft reset.",
        "update": "u = (1 - 1/tau)*u + drive",
        "threshold": "u >= 1",
        "reset": "u -= 1",
        "parameters": {"tau": tau, **found["parameters"]},
    }


def ei_interneuron(divides: bool = True) -> dict[str, Any]:
    """Fast graded I cell, at steady state within the step: ``r = max(0, x)``; ``g_I`` weighs its part in the divisor.

    Parameters
    ----------
    divides : bool
        Whether there is a trainable ``g_I``; the read-out's interneurons only subtract.
    """
    return {
        "description": "Fast graded I cell.",
        "ports": {"x": EXCITATORY},
        "output": "r = clip(x, 0, inf)",
        "parameters": {"g_I": 1.0} if divides else {},
        "trainable": {"g_I": {"per": "neuron", "min": 0}} if divides else {},
    }


def ei_readout() -> dict[str, Any]:
    """Graded class evidence: excitation minus subtractive inhibition; the class score is its mean over steps."""
    return {
        "description": "Graded read-out of an E/I stack.",
        "ports": {"I_EE": EXCITATORY, "I_sub": INHIBITORY},
        "output": "logit = I_EE - I_sub",
    }
