"""What gradients are like: how far they reach back in time, and what those through rates cost and where they point."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional

from ..emit.to_torch import Network
from .data import Part
from .encode import Encoder, repeated
from .fit import input_name, scores
from .memory import peak_above
from .rates import Rows, rate_scores, readout_of

BATCH, REPEATS = 64, 5
"""Images of a batch on which gradients are looked at, and how often they are timed."""


def input_gradient(network: Network, part: Part, encode: Encoder) -> np.ndarray:
    """Norm over samples and channels of the gradient of the cross-entropy of the last step's scores, (step,).

    The mean score of a training loss would be reached from every step without any memory; the last step's only through states.

    Parameters
    ----------
    network : Network
        A classifier with one input.
    part : Part
    encode : callable
        Samples to rows, as in training.
    """
    rows = encode(torch.as_tensor(part.images, dtype=network.dtype)).detach().clone().requires_grad_()
    outputs, _ = network({input_name(network): rows})
    readout = readout_of(network)
    last = outputs[readout][str(network.emitted_name(readout))][-1]
    functional.cross_entropy(last, torch.as_tensor(part.labels)).backward()
    assert rows.grad is not None
    return np.asarray(rows.grad.flatten(1).norm(dim=1).numpy(), dtype=float)


def _loss(network: Network, part: Part, n_steps: int, by_rates: bool) -> Callable[[], torch.Tensor]:
    """The loss of a batch, with its gradient through rates or through time; the batch is rows of their own in each step."""
    network.train()
    images = torch.as_tensor(part.images[:BATCH], dtype=network.dtype)
    rows, labels = {input_name(network): repeated(n_steps)(images).contiguous()}, torch.as_tensor(part.labels[:BATCH])

    def loss() -> torch.Tensor:
        found = rate_scores(network, rows) if by_rates else scores(network, network(rows)[0])
        return functional.cross_entropy(found, labels)

    return loss


class Compared(NamedTuple):
    """The gradient through rates beside that through time: cosine, and ratio of norms."""

    cosine: float
    ratio: float


def compare_rates(network: Network, rows: Rows, labels: torch.Tensor) -> list[Compared]:
    """Of every trained projection, in the order of ``network.parameters()``, on inputs (step, trial, channel) and labels (trial,)."""
    weights = [p for p in network.parameters() if p.requires_grad]
    by_rates, by_time = (
        torch.autograd.grad(functional.cross_entropy(found, labels), weights)
        for found in (rate_scores(network, rows), scores(network, network(rows)[0]))
    )
    return [
        Compared(float(functional.cosine_similarity(a.flatten(), b.flatten(), dim=0)), float(a.norm() / b.norm()))
        for a, b in zip(by_rates, by_time, strict=True)
    ]


def cosine_of_rates(network: Network, part: Part, n_steps: int) -> float:
    """Of the gradients through rates and through time, all weights together, on a batch of images."""
    weights = [p for p in network.parameters() if p.requires_grad]
    by_rates, by_time = (
        torch.cat([g.flatten() for g in torch.autograd.grad(_loss(network, part, n_steps, rates)(), weights)])
        for rates in (True, False)
    )
    return float(functional.cosine_similarity(by_rates, by_time, dim=0))


def peak(network: Network, part: Part, n_steps: int, by_rates: bool) -> dict[str, float]:
    """Megabytes that a batch forward and backward needs at most beside a warm network, its input among them, and of the input itself.

    For a process of its own, see :func:`.memory.peak_above`.
    """
    _loss(network, part, 2, by_rates)().backward()
    network.zero_grad(set_to_none=True)
    found = peak_above(lambda: _loss(network, part, n_steps, by_rates)().backward())
    n_trials, n_channels = part.images[:BATCH].shape
    return {"peak": found, "input": n_steps * n_trials * n_channels * network._anchor.element_size() / 1e6}


def cost(network: Network, part: Part, n_steps: int, by_rates: bool) -> dict[str, float]:
    """``kept``: megabytes from the way forward for the way back, each tensor's memory once; ``seconds``: milliseconds of both ways, a median."""
    loss, kept = _loss(network, part, n_steps, by_rates), dict[int, int]()

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss().backward()
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        loss().backward()
        seconds.append(time.perf_counter() - start)
    network.zero_grad(set_to_none=True)
    return {"kept": sum(kept.values()) / 1e6, "seconds": 1e3 * median(seconds)}
