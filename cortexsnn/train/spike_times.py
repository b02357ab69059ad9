"""Training by the times of spikes (Zhu et al. 2023, time-based training), equations as in the code that the authors published.

Cells have a double-exponential response and forget all input when they fire (piece ``double_exponential``). Layers, their gradients and the
losses are in ``time_gradient`` and ``time_losses``; time is in steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch

from ..emit.to_torch_numbers import clamp
from ..errors import InputError, unknown
from ..library import load
from ..ranges import COUNT, NOT_NEGATIVE, POSITIVE, check_fields, check_number
from ..spec import Array, Circuit
from .first_spikes import latencies, spike_rows
from .labels import check_labels
from .time_gradient import Clipping, Response, spike_layer
from .time_losses import LOSSES, Loss, count_loss, decide, first_spike_loss

VARIANCE = 1e-5
"""Added to that of a cell's weights before they are divided by its root, as published."""
LARGEST_RAW = 4.0
"""Bound of weights before they are standardised, as published."""
LEAST_SCALE = 0.1
"""Bound of a scale, ours: a step of the optimiser must not turn a threshold negative."""


class TimeLayer(torch.nn.Module):
    """Weights standardised over the inputs of each cell: ``(w - mean)/sqrt(var + 1e-5) a + b``, a and b learned per cell.

    A cell whose weights and threshold are both divided by a spikes as before, so each forward call moves the scale a into the threshold, which
    the optimiser itself does not see.
    """

    threshold: torch.Tensor

    def __init__(self, n_pre: int, n_post: int, response: Response, generator: torch.Generator) -> None:
        super().__init__()
        self.response = response
        self.raw = torch.nn.Parameter((2 * torch.rand(n_pre, n_post, generator=generator) - 1) * 3**0.5)
        self.scale = torch.nn.Parameter(torch.ones(n_post))
        self.shift = torch.nn.Parameter(torch.zeros(n_post))
        self.register_buffer("threshold", torch.full((n_post,), response.threshold))

    @property
    def weights(self) -> torch.Tensor:
        """(pre, post)"""
        variance, mean = torch.var_mean(self.raw, 0, correction=0)
        return (self.raw - mean) / torch.sqrt(variance + VARIANCE) * self.scale + self.shift

    @torch.no_grad()
    def absorb(self) -> None:
        """Move scales into thresholds and hold raw weights in their bounds.

        Numbers that are in place are not touched: a write would spoil the graph of an earlier forward call.
        """
        clamp(self.raw, -LARGEST_RAW, LARGEST_RAW)
        if bool((self.scale != 1).any()):
            self.scale.clamp_(min=LEAST_SCALE)
            self.threshold.div_(self.scale)
            self.shift.div_(self.scale)
            self.scale.fill_(1.0)

    def forward(
        self, spikes: torch.Tensor, labels: torch.Tensor | None = None, clipping: Clipping | None = None
    ) -> torch.Tensor:
        """Spikes (step, trial, pre) to (step, trial, post); see :func:`.time_gradient.spike_layer`."""
        self.absorb()
        return spike_layer(spikes, self.weights, self.threshold, self.response, labels, clipping)


class TimeNetwork(torch.nn.Module):
    """Layers of cells with a double-exponential response, trained by spike times.

    Parameters
    ----------
    sizes : (inputs, hidden …, classes)
    response : Response
    seed : int

    Attributes
    ----------
    clipping : Clipping
        Of all ways back since it was last replaced.

    Raises
    ------
    InputError
        Fewer than two sizes, or one that is no whole number above 0.
    """

    def __init__(self, sizes: tuple[int, ...], response: Response, seed: int = 0) -> None:
        super().__init__()
        if len(sizes) < 2:
            raise InputError(f"sizes: expected at least inputs and classes, got {sizes}")
        for k, size in enumerate(sizes):
            check_number(f"sizes.{k}", size, COUNT, whole=True)
        self.sizes, self.response, self.clipping = tuple(sizes), response, Clipping()
        generator = torch.Generator().manual_seed(seed)
        self.layers = torch.nn.ModuleList(TimeLayer(a, b, response, generator) for a, b in pairwise(sizes))

    @property
    def stack(self) -> list[TimeLayer]:
        """Layers, first to last."""
        return [cast(TimeLayer, layer) for layer in self.layers]

    def forward(self, spikes: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """Input spikes (step, trial, channel) to those of the classes, (step, trial, class).

        With labels (trial,), for training, one spike is written into the label's cell, so that it has a gradient.

        Raises
        ------
        InputError
            Spikes or labels that do not fit the network.
        """
        self._check("spikes", spikes)
        if labels is not None:
            check_labels("labels", labels, spikes.shape[1], self.sizes[-1])
        for layer in self.stack:
            spikes = layer(spikes, labels if layer is self.layers[-1] else None, self.clipping)
        return spikes

    def _check(self, path: str, spikes: object) -> None:
        """Refuse what is no spikes of this network."""
        dtype = next(self.parameters()).dtype
        expected = f"expected spikes (step, sample, {self.sizes[0]}), {dtype}"
        if not isinstance(spikes, torch.Tensor):
            raise InputError(f"{path}: {expected}, got {type(spikes).__name__}; make it a torch tensor")
        if spikes.ndim != 3 or spikes.shape[2] != self.sizes[0] or not spikes.numel() or spikes.dtype != dtype:
            raise InputError(f"{path}: {expected}, got {tuple(spikes.shape)}, {spikes.dtype}")
        if not bool(((spikes == 0) | (spikes == 1)).all()):
            raise InputError(f"{path}: spikes are 0 or 1, other numbers came; turn graded values into latencies first")

    @torch.no_grad()
    def initialise(self, spikes: torch.Tensor, per_cell: float) -> None:
        """Choose each layer's threshold, the same for its cells, so that over the last third of the steps a cell spikes as often, on average,
        as ``per_cell`` spikes in all steps would make it.

        Raises
        ------
        InputError
            Spikes that do not fit the network, or no threshold gives as many.
        """
        self._check("spikes", spikes)
        window = -(-len(spikes) // 3)
        wanted = per_cell * window / len(spikes)
        for k, layer in enumerate(self.stack, start=1):

            def rate(threshold: float, layer: TimeLayer = layer, spikes: torch.Tensor = spikes) -> float:
                layer.threshold.fill_(threshold)
                return float(layer(spikes)[-window:].sum(0).mean())

            low, high = 1e-4, 1e4
            most = rate(low)
            if most < wanted:
                raise InputError(
                    f"per_cell: layer {k} spikes {most * len(spikes) / window:.3g} times a cell at most with these spikes, not {per_cell:g} times; "
                    "ask for less, or give samples that are not silent"
                )
            for _ in range(40):
                middle = (low * high) ** 0.5
                low, high = (low, middle) if rate(middle) < wanted else (middle, high)
            layer.threshold.fill_(low)
            spikes = layer(spikes)

    def circuit(self, n_steps: int) -> Circuit:
        """The network as a circuit, whose cells of the last population are the classes."""
        response = self.response
        cell = {
            "piece": "double_exponential",
            "tau_m": response.tau_m,
            "tau_s": response.tau_s,
            "threshold": response.threshold,
        }
        circuit = load(
            "feedforward", pieces=[cell], n_inputs=self.sizes[0], hidden=self.sizes[1:], n_classes=self.sizes[-1], steps=n_steps, spikes=True
        )  # fmt: skip
        numbers: dict[str, Array] = {}
        for k, layer in enumerate(self.stack, start=1):
            layer.absorb()
            numbers[f"populations.L{k}.parameters.v_th"] = Array(_plain(layer.threshold))
            numbers[f"projections.{f'L{k - 1}' if k > 1 else 'x'}_L{k}.weight"] = Array(_plain(layer.weights))
        return circuit.with_parameters(numbers)


def _plain(values: torch.Tensor) -> np.ndarray:
    found: np.ndarray = values.detach().double().numpy().copy()
    return found


@dataclass(frozen=True)
class TimeSettings:
    """How to train by spike times; the published settings of MNIST but for rates, which are for trainings of some hundred steps.

    Parameters
    ----------
    loss : {"count", "count+", "first_spike"}
    desired, undesired : float
        Spikes of the label's class and of others.
    epochs, batch : int
    learning_rate, weight_decay : float
        Of AdamW, with a cosine schedule.
    norm_rate : float
        Learning rate of scales and shifts of weights, which do not decay.
    per_cell : float
        Spikes of a cell that thresholds are chosen for, before training.
    """

    loss: Loss = "count+"
    desired: float = 5.0
    undesired: float = 1.0
    epochs: int = 40
    batch: int = 50
    learning_rate: float = 0.2
    norm_rate: float = 0.02
    weight_decay: float = 0.0
    per_cell: float = 0.6

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise InputError(f"settings.loss: {unknown('loss', self.loss, LOSSES)}")
        check_fields("settings", self, COUNT, "epochs", "batch", whole=True)
        check_fields("settings", self, NOT_NEGATIVE, "desired", "undesired", "weight_decay")
        check_fields("settings", self, POSITIVE, "learning_rate", "norm_rate", "per_cell")
        if self.desired < self.undesired:
            raise InputError(
                f"settings.desired: expected at least as many spikes as undesired ones, {self.undesired:g}, got {self.desired:g}"
            )


def loss_of(spikes: torch.Tensor, labels: torch.Tensor, settings: TimeSettings) -> torch.Tensor:
    """The loss that settings name."""
    if settings.loss == "first_spike":
        return first_spike_loss(spikes, labels)
    return count_loss(spikes, labels, settings.desired, settings.undesired, settings.loss == "count+", balanced=True)


@dataclass
class TimeHistory:
    """Of every epoch: validation accuracy, and the share of spikes with a gradient where a bound stood for a factor of it."""

    accuracy: list[float] = field(default_factory=list)
    clipped: list[float] = field(default_factory=list)


def fit_times(
    network: TimeNetwork, train: tuple[torch.Tensor, torch.Tensor], validation: tuple[torch.Tensor, torch.Tensor],
    settings: TimeSettings, seed: int,
) -> TimeHistory:  # fmt: skip
    """Train in place and leave the network at its best epoch by validation accuracy.

    Parameters
    ----------
    train, validation : (spikes, labels)
        (step, sample, channel) and (sample,).
    seed : int
        Order of the samples.

    Raises
    ------
    InputError
        Spikes and labels that do not fit the network, or are too silent for its cells to spike.
    """
    for path, (spikes, labels) in (("train", train), ("validation", validation)):
        network._check(path, spikes)
        check_labels(path, labels, spikes.shape[1], network.sizes[-1])
    network.initialise(train[0][:, : 4 * settings.batch], settings.per_cell)
    norms = [p for layer in network.stack for p in (layer.scale, layer.shift)]
    groups: list[dict[str, Any]] = [
        {"params": [layer.raw for layer in network.stack]},
        {"params": norms, "lr": settings.norm_rate, "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, settings.learning_rate, weight_decay=settings.weight_decay)
    per_epoch = -(-len(train[1]) // settings.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.epochs * per_epoch)
    generator, history, kept = torch.Generator().manual_seed(seed), TimeHistory(), network.state_dict()
    for _ in range(settings.epochs):
        network.clipping = Clipping()
        for chosen in torch.randperm(len(train[1]), generator=generator).split(settings.batch):
            optimiser.zero_grad(set_to_none=True)
            labels = train[1][chosen]
            loss_of(network(train[0][:, chosen], labels), labels, settings).backward()
            optimiser.step()
            schedule.step()
        with torch.no_grad():
            found = decide(network(validation[0]), settings.loss)
        history.clipped.append(network.clipping.share)
        history.accuracy.append(float((found == validation[1]).double().mean()))
        if history.accuracy[-1] == max(history.accuracy):
            kept = {n: t.clone() for n, t in network.state_dict().items()}
    network.load_state_dict(kept)
    return history


def samples(images: np.ndarray, labels: np.ndarray, n_steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images in [0, 1] as latencies on a grid of steps: spikes (step, sample, pixel) and labels (sample,)."""
    rows = spike_rows(latencies(images, n_steps), n_steps)
    return torch.tensor(rows, dtype=torch.float32), torch.as_tensor(labels)


@torch.no_grad()
def accuracies(
    network: TimeNetwork, spikes: torch.Tensor, labels: torch.Tensor, loss: Loss
) -> tuple[list[float], float]:
    """Accuracy of what is decided after each step, and spikes of all classes per sample."""
    found = network(spikes)
    right = [float((decide(found, loss, k) == labels).double().mean()) for k in range(1, len(found) + 1)]
    return right, float(found.sum((0, 2)).mean())
