"""E-I Init: weights of an E/I layer from the statistics of its input on one batch (arXiv 2509.23253, eqs. 53 and 54)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch

from ..emit.to_torch import Network
from ..errors import InputError
from ..realise import stream
from ..spec import Initialisation


@torch.no_grad()
def initialise(network: Network, batch: Mapping[str, torch.Tensor]) -> None:
    """Initialise layer by layer; a layer sees the activity of those already initialised.

    Parameters
    ----------
    network : Network
    batch : mapping
        Inputs (step, trial, channel).

    Raises
    ------
    InputError
        Names, shapes or numbers of the batch do not fit, or it holds no activity; the network is then as it was.

    Warns
    -----
    UserWarning
        The layer before is silent or constant; the published rule would divide by zero. The layer is then initialised for
        one spike per step among the inputs of a cell.
    """
    drive, _, _ = network.drive(batch)
    sources = {rule: network.pathway(rule.excitatory).pathway.pre for rule in network.training_data.initialisation}
    for source in dict.fromkeys(sources.values()):
        if source in drive and not bool((drive[source] != 0).any()):
            raise InputError(
                f"inputs.{source}: the batch is silent, E-I Init cannot scale to it; initialise with real samples"
            )
    for rule, source in sources.items():
        if source in drive:
            activity = drive[source]
        else:
            outputs, _ = network(batch)
            activity = next(iter(outputs[source].values()))
        _initialise_layer(network, rule, activity.double())


def _initialise_layer(network: Network, rule: Initialisation, x: torch.Tensor) -> None:
    d = rule.fan_in or _fan_in(network, rule.excitatory)
    samples = x.reshape(-1, x.shape[-1])
    mean, square = float(x.mean()), float((x * x).mean())
    variance = float(samples.var(dim=0).mean()) if samples.shape[0] > 1 else 0.0
    if not (mean > 0 and variance > 0):
        warnings.warn(
            f"the input of '{rule.excitatory}' has mean {mean:g} and variance {variance:g} over the batch, E-I Init needs both above 0 (several "
            "different samples that are not negative); it assumes one spike per step instead",
            stacklevel=3,
        )
        mean = square = 1 / d
        variance = mean * (1 - mean)
    beta = (variance / (d * (square + variance))) ** 0.5
    for name in (rule.excitatory, rule.to_inhibitory):
        magnitude = network.pathway(name).magnitude
        drawn = stream(network.realisation.seed, "ei_init", name).standard_exponential(magnitude.numel())
        magnitude.copy_(torch.from_numpy(beta * drawn))
    inhibitory = network.pathway(rule.inhibitory)
    inhibitory.magnitude.fill_(1 / _fan_in(network, rule.inhibitory))
    if rule.gain is not None:
        network.numbers[rule.gain.replace(".", ":")].fill_((square + variance) ** 0.5 / (d**0.5 * mean))


def _fan_in(network: Network, name: str) -> int:
    """The largest number of edges onto one cell: of a convolution, onto a cell away from the border, if there is one."""
    edges = network.realisation.edges[name]
    return int(torch.bincount(torch.from_numpy(edges.post)).max())
