"""Batch normalisation of a port while a network trains, folded into the cell's gain and offset for every engine.

Running statistics belong to a batch, and a simulated neuron has none: what is exported is ``k_x x + b_x`` per cell. Feed-forward
populations only, since a port's arrivals of all steps must be known at once.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from ..emit.to_torch import Network
from ..errors import InputError

GAIN, OFFSET = "k_x", "b_x"
"""Parameters of a cell that take the folded normalisation; see ``cortexsnn.neurons`` ``normalised_lif``."""


def add_batch_norm(network: Network, populations: Iterable[str], port: str = "x") -> None:
    """Normalise what arrives at a port of each population, over steps and trials (torch's BatchNorm1d, per cell).

    Raises
    ------
    InputError
        A population that is recurrent, or lacks the port or the parameters k_x and b_x.
    """
    recurrent = {name for members, is_recurrent in network.components if is_recurrent for name in members}
    for name in populations:
        step = network.program.population(name)
        if port not in step.ports or not {GAIN, OFFSET} <= set(step.parameters) or name in recurrent:
            raise InputError(
                f"{name}: batch normalisation needs a feed-forward population with port {port} and parameters {GAIN}, {OFFSET}"
            )
        norm = torch.nn.BatchNorm1d(step.size, dtype=network.dtype)
        network.normalisation[f"{name}:{port}"] = norm


@torch.no_grad()
def fold(network: Network) -> None:
    """Put running statistics, scale and shift into k_x and b_x, and take the normalisation out.

    The network then computes, in every mode, what it computed in evaluation mode (up to rounding).
    """
    for key in list(network.normalisation):
        name = key.split(":")[0]
        norm = network.normalisation[key]
        assert isinstance(norm, torch.nn.BatchNorm1d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
        shift = norm.bias.double() - norm.running_mean.double() * scale
        network.override(name, {GAIN: scale.numpy(), OFFSET: shift.numpy()})
        del network.normalisation[key]
