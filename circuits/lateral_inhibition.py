"""Feed-forward E/I layers with lateral inhibition and no normalisation layer, for classification.

Source: "Training Deep Normalization-Free Spiking Neural Networks with Lateral Inhibition", arXiv 2509.23253, as
implemented in its authors' public code.
"""

from __future__ import annotations

from typing import Any, Literal

from ..errors import InputError
from ..neurons import piece
from ..spec import Circuit
from .ei_stack import Stack

SOURCES = (
    "Training Deep Normalization-Free Spiking Neural Networks with Lateral Inhibition, arXiv 2509.23253 (equations, "
    "E-I Init, E-I Prop; zero replacement as in the authors' code)",
    "Layer sizes, number of steps and optimiser for the digits are ours.",
)


def build(
    n_inputs: int = 64, hidden: tuple[int, ...] = (128, 128), n_classes: int = 10, ratio: int = 4, tau: float = 2.0,
    steps: int = 8, residual: bool = False, divisor: Literal["layer_minimum", "leak"] = "layer_minimum", leak: float = 0.1,
    initialise: bool = True, straight_through: bool = True, scale_gradient: bool = True, batch_norm: bool = False,
) -> Circuit:  # fmt: skip
    """An E/I stack: ``hidden`` layers of E cells, each with ``E // ratio`` interneurons, and an E/I read-out.

    Parameters
    ----------
    n_inputs : int
        Channels of the real-valued input ``image``, values in [0, 1].
    hidden : tuple of int
        E cells per hidden layer.
    n_classes : int
    ratio : int
        E cells per interneuron.
    tau : float
        Membrane time constant of E cells, in steps.
    steps : int
        Default duration.
    residual : bool
        From the second layer on, a layer's output is its spikes plus the output of the layer before (the sum of SEW-ResNet);
        all hidden layers then need one size.
    divisor : {"layer_minimum", "leak"}
        As published, or local with a leak term (see ``cortexsnn.neurons.lateral_inhibition.ei_excitatory``).
    leak : float
        Of the local divisor.
    initialise, straight_through, scale_gradient : bool
        E-I Init and the two rules of E-I Prop; off for ablations.
    batch_norm : bool
        For comparison: E cells with one signed input, normalised (``cortexsnn.train.normalise``), in place of division.

    Returns
    -------
    Circuit
        Populations E1, I1, E2, … and ``out`` (the read-out) with ``I_out``; weights at the mean of E-I Init for inputs of
        rate 0.2, to be set from data by ``cortexsnn.initialise``.

    Raises
    ------
    InputError
        A size that leaves a layer without E or I cells.
    """
    hidden = tuple(int(n) for n in hidden)
    if not hidden or n_inputs < 1:
        raise InputError(
            f"lateral_inhibition: expected at least one hidden layer and one input, got {hidden} and {n_inputs}"
        )
    if not tau >= 1:
        raise InputError(f"lateral_inhibition: expected tau >= 1 step, got {tau:g}")
    if residual and len(set(hidden)) > 1:
        raise InputError(f"lateral_inhibition: residual sums need hidden layers of one size, got {hidden}")
    stack = Stack("lateral_inhibition", "image", (n_inputs,), ratio, scale_gradient, initialise)
    stack.neurons["ei_excitatory"] = _excitatory(divisor, leak, straight_through, batch_norm)
    stack.neurons["ei_interneuron"] = piece("ei_interneuron", divides=not batch_norm)
    for k, size in enumerate(hidden, start=1):
        before = stack.source
        stack.layer(
            f"E{k}", f"I{k}", size, "ei_excitatory", "ei_interneuron", parameters={"tau": float(tau)},
            divides=not batch_norm, port="x" if batch_norm else None,
        )  # fmt: skip
        if residual and k > 1:
            stack.relay(f"S{k}", before)
    stack.readout(n_classes)
    return stack.circuit(
        "Feed-forward E/I layers: graded fast interneurons whose inhibition is subtracted and in the divisor, Dale's law.",
        SOURCES,
        steps,
    )


def _excitatory(divisor: str, leak: float, straight_through: bool, batch_norm: bool) -> dict[str, Any]:
    if batch_norm:
        return piece("normalised_lif")
    found = piece("ei_excitatory", divisor=divisor, leak=leak)
    if not straight_through and divisor == "layer_minimum":
        found["equations"] = "I_used = where(I_div == 0, m, I_div) : 1\ndrive = g_E*(I_EE - I_sub)/I_used + b_E : 1"
    return found
