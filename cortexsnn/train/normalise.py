"""Batch normalisation of a port while a network trains, folded into the cell's gain and offset for every engine.

Running statistics belong to a batch, and a simulated neuron has none: what is exported is ``k_x x + b_x`` per cell, times a gain
``p_x`` per step where the normalisation is temporal. Feed-forward populations only, since a port's arrivals of all steps must be known
at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional

from ..emit.to_torch import Network
from ..errors import InputError, unknown
from ..ranges import COUNT, check_number

GAIN, OFFSET, STEP_GAIN = "k_x", "b_x", "p_x"
"""Parameters and port of a cell that take the folded normalisation; see ``cortexsnn.neurons`` ``normalised_lif``."""


class BatchNorm(torch.nn.BatchNorm1d):
    """Torch's, per cell, over steps and trials together."""

    def forward(self, rows: torch.Tensor, start: int = 0) -> torch.Tensor:
        """Rows (step, trial, cell) that begin with step ``start``.

        Raises
        ------
        InputError
            One step of one trial, in training mode: that has no variance.
        """
        if self.training and len(rows) * rows.shape[1] < 2:
            raise InputError(
                "batch normalisation: one step of one trial has no variance; train on more of either, or call eval()"
            )
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
            As above, or more steps than there are gains.
        """
        gains = self.gains[start : start + len(rows)]
        if len(gains) < len(rows):
            raise InputError(
                f"a temporal normalisation of {len(self.raw)} steps, the run has {start + len(rows)}; make it for as many steps"
            )
        return super().forward(rows) * gains[:, None, None]


def add_batch_norm(network: Network, populations: Iterable[str], port: str = "x") -> None:
    """Normalise what arrives at a port of each population, over steps and trials (torch's BatchNorm1d, per cell).

    A scale below 0, which would turn excitation into inhibition, is put back to 0 by every forward call.

    Raises
    ------
    InputError
        A population that is unknown, recurrent or normalised already, or lacks the port or the parameters k_x and b_x, or trains them.
    """
    for name in _names(populations):
        size = _checked(network, name, (port,))
        network.normalisation[f"{name}:{port}"] = BatchNorm(size, dtype=network.dtype)


def add_temporal_batch_norm(network: Network, populations: Iterable[str], n_steps: int, port: str = "x") -> None:
    """As :func:`add_batch_norm`, with a gain of its own for each of ``n_steps``.

    Raises
    ------
    InputError
        As above, or a number of steps below 1, a population that has an offset b_x, or whose port p_x is not driven by an input of its own
        with rows: the gains of steps could then not be folded.
    """
    check_number("n_steps", n_steps, COUNT, whole=True)
    for name in _names(populations):
        size = _checked(network, name, (port, STEP_GAIN))
        _gain_input(network, name, n_steps)
        network.normalisation[f"{name}:{port}"] = TemporalBatchNorm(size, n_steps, network.dtype)


def _names(populations: Iterable[str]) -> tuple[str, ...]:
    if isinstance(populations, str):
        raise InputError(
            f"populations: expected several names, got the text '{populations:.60}'; write a list of names"
        )
    return tuple(populations)


def _checked(network: Network, name: str, ports: tuple[str, ...]) -> int:
    known = [p.name for p in network.program.populations]
    if name not in known:
        raise InputError(f"populations: {unknown('population', name, known)}")
    recurrent = {name for members, is_recurrent in network.components if is_recurrent for name in members}
    step = network.program.population(name)
    if not {*ports} <= {*step.ports} or not {GAIN, OFFSET} <= {*step.parameters} or name in recurrent:
        raise InputError(
            f"{name}: batch normalisation needs a feed-forward population with port {' and '.join(ports)} and parameters {GAIN}, {OFFSET}"
        )
    trained = [key for key in (GAIN, OFFSET) if network.number(name, key) is not None]
    if trained:
        raise InputError(
            f"{name}: {' and '.join(trained)} would take the folded normalisation, and is trained itself; leave one out"
        )
    if any(key.split(":")[0] == name for key in network.normalisation):
        raise InputError(f"{name}: is normalised already; call fold first")
    return step.size


def _gain_input(network: Network, name: str, n_steps: int) -> str:
    """The input that gives the gain of each step, and nothing else."""
    onto = [p for p in network.program.pathways if p.post == name and any(d.port == STEP_GAIN for d in p.deliveries)]
    source = onto[0].pre if len(onto) == 1 else ""
    if source not in network.realisation.rows:
        raise InputError(f"{name}: port {STEP_GAIN} needs one input with rows of its own; add one with rows: 1.0")
    also = [p.post for p in network.program.pathways if p.pre == source and p is not onto[0]]
    if also or len(onto[0].deliveries) > 1 or network.pathway(onto[0].name).longest:
        raise InputError(
            f"{name}: gains of steps go into the rows of input {source}, which {'also reaches ' + ', '.join(also) if also else 'does more'}; "
            f"give {name} an input of its own that reaches {STEP_GAIN} alone, without a delay"
        )
    if len(network.realisation.rows[source]) not in (1, n_steps):
        raise InputError(
            f"{name}: input {source} has rows of {len(network.realisation.rows[source])} steps and the normalisation gains of {n_steps}; "
            "make it for as many steps"
        )
    if bool((_parameter(network, name, OFFSET) != 0).any()):
        raise InputError(
            f"{name}: has an offset {OFFSET}, which gains of steps would not multiply; normalise over batches, or set it to 0"
        )
    return source


def _parameter(network: Network, name: str, key: str) -> np.ndarray:
    """(1,) or (cell,), as it is now."""
    found = network.overrides.get(name, {}).get(key, network.realisation.parameters[name][key])
    return np.asarray(found, dtype=float)


@torch.no_grad()
def fold(network: Network) -> None:
    """Put running statistics, scale and shift into k_x and b_x, gains of steps into the rows of their input, and take the normalisation out.

    The network then computes, in every mode, what it computed in evaluation mode (up to rounding). A gain and an offset that are there
    already are kept: ``k_x (scale x + shift) + b_x``.
    """
    for key in list(network.normalisation):
        name = key.split(":")[0]
        norm = network.normalisation[key]
        assert isinstance(norm, BatchNorm)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = (norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)).cpu().numpy()
        shift = norm.bias.double().cpu().numpy() - norm.running_mean.double().cpu().numpy() * scale
        gain, offset = _parameter(network, name, GAIN), _parameter(network, name, OFFSET)
        if isinstance(norm, TemporalBatchNorm):
            source = _gain_input(network, name, len(norm.raw))
            gains = norm.gains.double().cpu().numpy()[:, None]
            rows = {**network.realisation.rows, source: network.realisation.rows[source] * gains}
            network.realisation = replace(network.realisation, rows=rows)
        network.override(name, {GAIN: gain * scale, OFFSET: gain * shift + offset})
        del network.normalisation[key]
