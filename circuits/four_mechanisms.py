"""One circuit that combines lateral inhibition, self-prediction, dynamic gating and learned dynamics in every E cell."""

from __future__ import annotations

from ..neurons import piece
from ..spec import Circuit
from .ei_stack import Stack


def build(
    n_inputs: int = 64, hidden: tuple[int, ...] = (64, 64), n_classes: int = 10, ratio: int = 4, steps: int = 16,
    reading: str = "A", degree: int = 3, gate: float = 0.02,
) -> Circuit:  # fmt: skip
    """An E/I stack whose E cells have a polynomial membrane, gated by their input, and predict that input.

    Parameters
    ----------
    n_inputs, hidden, n_classes, ratio, steps
        As for ``lateral_inhibition``.
    reading : {"A", "B", "C"}
        Of the self-prediction.
    degree : int
        Of the membrane polynomial.
    gate : float
        Mean conductance that one presynaptic spike opens, before training.

    Raises
    ------
    InputError
        A layer without I cells.
    """
    stack = Stack("four_mechanisms", "image", (n_inputs,), ratio)
    stack.neurons.update(
        gate=piece("gate"),
        membrane=piece("polynomial", degree=degree),
        drive=piece("ei_drive"),
        prediction=piece("self_prediction", reading=reading, tau=2.0, rate=0.2, history="drive"),
        interneuron=piece("ei_interneuron"),
    )
    for k, size in enumerate(hidden, start=1):
        before = stack.source
        stack.layer(f"E{k}", f"I{k}", int(size), "drive", "interneuron")
        stack.populations[f"E{k}"]["neuron"] = ["gate", "membrane", "drive", "prediction"]
        stack.projections[f"{before}_E{k}_gate"] = {
            "pre": before, "post": f"E{k}", "port": "g_in", "connect": "all", "trainable": True,
            "weight": {"distribution": "exponential", "mean": gate},
        }  # fmt: skip
    stack.readout(n_classes)
    return stack.circuit(
        "E/I layers of gated, self-predicting cells with a learned polynomial membrane; Dale's law.",
        (
            "Lateral inhibition: arXiv 2509.23253. Gating: arXiv 2509.03281. Learned dynamics: arXiv 2510.07341. Self-prediction: idea of "
            "arXiv 2601.21823, whose equation is not known to us. The combination and all sizes are ours.",
        ),
        steps,
    )
