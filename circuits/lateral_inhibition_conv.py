"""Convolutional E/I layers with lateral inhibition, average pooling and an E/I read-out.

Source: arXiv 2509.23253 as implemented in its authors' public code: W_EE and W_IE are convolutions, W_EI is a 1 x 1 convolution
over channels, the smallest divisor is taken over all channels and positions of a layer. Sizes here are ours, for 8 x 8 images.
"""

from __future__ import annotations

from ..errors import InputError
from ..neurons import piece
from ..spec import Circuit
from .ei_stack import Stack
from .lateral_inhibition import SOURCES


def build(
    shape: tuple[int, int, int] = (1, 8, 8), channels: tuple[int, ...] = (16, 16, 32), kernel: int = 3, pool: tuple[int, ...] = (2, 3),
    n_classes: int = 10, ratio: int = 4, tau: float = 2.0, steps: int = 4, residual: bool = False,
) -> Circuit:  # fmt: skip
    """A stack of convolutional E/I layers of stride 1 with padding that keeps rows and columns.

    Parameters
    ----------
    shape : (channels, rows, columns)
        Of the real-valued input ``image``.
    channels : tuple of int
        E channels per layer; a layer has ``E // ratio`` I channels.
    kernel : int, odd
    pool : tuple of int
        Layers (counted from 1) that are followed by 2 x 2 average pooling.
    n_classes, ratio, tau, steps
        As for ``lateral_inhibition``.
    residual : bool
        Where a layer keeps the shape of the one before, its output is its spikes plus that layer's output.

    Raises
    ------
    InputError
        An even kernel, a layer without I channels, or rows and columns that a pooling does not divide.
    """
    if kernel < 1 or kernel % 2 == 0:
        raise InputError(f"lateral_inhibition_conv: expected an odd kernel, got {kernel}")
    if not channels or len(shape) != 3:
        raise InputError("lateral_inhibition_conv: expected at least one layer and a shape (channels, rows, columns)")
    if not tau >= 1:
        raise InputError(f"lateral_inhibition_conv: expected tau >= 1 step, got {tau:g}")
    beyond = sorted(k for k in pool if not 1 <= k <= len(channels))
    if beyond:
        raise InputError(
            f"lateral_inhibition_conv: pool names layer {beyond[0]}; there are layers 1 to {len(channels)}"
        )
    stack = Stack("lateral_inhibition_conv", "image", tuple(shape), ratio)
    stack.neurons.update(ei_excitatory=piece("ei_excitatory"), ei_interneuron=piece("ei_interneuron"))
    for k, cells in enumerate(channels, start=1):
        before, before_shape = stack.source, stack.shape
        stack.layer(
            f"E{k}", f"I{k}", cells, "ei_excitatory", "ei_interneuron", kernel, 1, kernel // 2, {"tau": float(tau)}
        )
        if residual and k > 1 and stack.shape == before_shape:
            stack.relay(f"S{k}", before)
        if k in pool:
            stack.average_pool(f"P{k}", 2)
    stack.readout(n_classes)
    return stack.circuit(
        "Convolutional E/I layers with lateral inhibition, average pooling, Dale's law.",
        SOURCES,
        steps,
    )
