"""Batch normalisation of a port while a network trains, folded into the cell's gain and offset for every engine.

Running statistics belong to a batch, and a simulated neuron has none: what is exported is ``k_x x + b_x`` per cell, times a gain
``p_x`` per step where the normalisation is temporal. Feed-forward populations only, since a port's arrivals of all steps must be known
at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import torch
from torch.nn import functional

from ..emit.to_torch import Network
from ..errors import InputError

GAIN, OFFSET, STEP_GAIN = "k_x", "b_x", "p_x"
"""Parameters and port of a cell that take the folded normalisation; see ``cortexsnn.neurons`` ``normalised_lif``."""


class BatchNorm(torch.nn.BatchNorm1d):
    """Torch's, per cell, over steps and trials together."""

    def forward(self, rows: torch.Tensor, start: int = 0) -> torch.Tensor:
        """Rows (step, trial, cell) that begin with step ``start``."""
        return super().forward(rows.reshape(-1, rows.shape[-1])).view_as(rows)


class TemporalBatchNorm(BatchNorm):
    """Temporal effective batch normalisation (Duan et al. 2022): the same, times a learned gain of each step.

    The published gain is unconstrained; here it is a softplus, above 0, for a negative one would turn excitation into inhibition.
    """

    def __init__(self, size: int, n_steps: int, dtype: torch.dtype) -> None:
        super().__init__(size, dtype=dtype)
        self.raw = torch.nn.Parameter(torch.full((n_steps,), math.log(math.e - 1), dtype=dtype))  # softplus of it is 1

    @property
    def gains(self) -> torch.Tensor:
        """(step,)"""
        return functional.softplus(self.raw)

    def forward(self, rows: torch.Tensor, start: int = 0) -> torch.Tensor:
        """As above.

        Raises
        ------
        InputError
            More steps than there are gains.
        """
        gains = self.gains[start : start + len(rows)]
        if len(gains) < len(rows):
            raise InputError(
                f"a temporal normalisation of {len(self.raw)} steps, the run has {start + len(rows)}; make it for as many steps"
            )
        return super().forward(rows) * gains[:, None, None]


def add_batch_norm(network: Network, populations: Iterable[str], port: str = "x") -> None:
    """Normalise what arrives at a port of each population, over steps and trials (torch's BatchNorm1d, per cell).

    Raises
    ------
    InputError
        A population that is recurrent, or lacks the port or the parameters k_x and b_x.
    """
    for name in populations:
        size = _checked(network, name, (port,))
        network.normalisation[f"{name}:{port}"] = BatchNorm(size, dtype=network.dtype)


def add_temporal_batch_norm(network: Network, populations: Iterable[str], n_steps: int, port: str = "x") -> None:
    """As :func:`add_batch_norm`, with a gain of its own for each of ``n_steps``.

    Raises
    ------
    InputError
        As above, or a population without the port p_x and an input with rows of its own on it.
    """
    for name in populations:
        size = _checked(network, name, (port, STEP_GAIN))
        _gain_input(network, name)
        network.normalisation[f"{name}:{port}"] = TemporalBatchNorm(size, n_steps, network.dtype)


def _checked(network: Network, name: str, ports: tuple[str, ...]) -> int:
    recurrent = {name for members, is_recurrent in network.components if is_recurrent for name in members}
    step = network.program.population(name)
    if not {*ports} <= {*step.ports} or not {GAIN, OFFSET} <= {*step.parameters} or name in recurrent:
        raise InputError(
            f"{name}: batch normalisation needs a feed-forward population with port {' and '.join(ports)} and parameters {GAIN}, {OFFSET}"
        )
    return step.size


def _gain_input(network: Network, name: str) -> str:
    """The input that gives the gain of each step."""
    for pathway in network.program.pathways:
        onto = pathway.post == name and any(d.port == STEP_GAIN for d in pathway.deliveries)
        if onto and pathway.pre in network.realisation.rows:
            return pathway.pre
    raise InputError(f"{name}: no input with rows of its own reaches port {STEP_GAIN}; add one with rows: 1.0")


@torch.no_grad()
def fold(network: Network) -> None:
    """Put running statistics, scale and shift into k_x and b_x, gains of steps into the rows of their input, and take the normalisation out.

    The network then computes, in every mode, what it computed in evaluation mode (up to rounding).
    """
    for key in list(network.normalisation):
        name = key.split(":")[0]
        norm = network.normalisation[key]
        assert isinstance(norm, BatchNorm)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
        shift = norm.bias.double() - norm.running_mean.double() * scale
        network.override(name, {GAIN: scale.numpy(), OFFSET: shift.numpy()})
        if isinstance(norm, TemporalBatchNorm):
            source = _gain_input(network, name)
            rows = {**network.realisation.rows, source: norm.gains.double().numpy()[:, None]}
            network.realisation = replace(network.realisation, rows=rows)
        del network.normalisation[key]
