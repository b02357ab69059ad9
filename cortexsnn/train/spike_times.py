"""Training by the times of spikes: gradients that live on spikes alone, and losses of counts and first spikes.

Zhu et al. 2023 (time-based training), equations as in the code that the authors published. Cells have a double-exponential response and forget
all input when they fire (piece ``double_exponential``); time is in steps, and a gradient on a spike is that of the loss by its time: descent moves
a spike with a positive one to an earlier step.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from torch.nn import functional

from ..errors import InputError
from ..library import load
from ..spec import Array, Circuit
from .first_spikes import latencies, spike_rows

Kernel = Literal["exponential", "original"]
Loss = Literal["count", "count+", "first_spike"]
LOSSES: tuple[Loss, ...] = ("count", "count+", "first_spike")
STEEPEST = 4.0
"""Largest factor from the time of a spike to a weight, as published: beyond, the potential crosses its threshold too flatly."""
LEAST_RISE = 0.05
"""Of a potential in a step, for a spike to be written there."""
SILENT = -3.0
"""Logit of a class that never fires, for first spikes."""


@dataclass(frozen=True)
class Response:
    """Time constants in steps: of the membrane, of the synapse, and of the kernel that times go back through."""

    tau_m: float = 5.0
    tau_s: float = 3.0
    tau_gradient: float = 2.5
    threshold: float = 1.0
    kernel: Kernel = "exponential"

    def __post_init__(self) -> None:
        if not (self.tau_m > self.tau_s >= 1 and self.tau_gradient >= 1 and self.threshold > 0):
            raise InputError(
                f"response: expected tau_m > tau_s >= 1, tau_gradient >= 1 and a threshold above 0, got {self}"
            )

    @property
    def decays(self) -> tuple[float, float, float]:
        """Factors per step of the three traces."""
        return 1 - 1 / self.tau_m, 1 - 1 / self.tau_s, 1 - 1 / self.tau_gradient

    @property
    def scale(self) -> float:
        """Of the difference of the two traces."""
        return (1 / self.tau_s) / (1 / self.tau_s - 1 / self.tau_m)

    def psp(self, n_steps: int) -> torch.Tensor:
        """Response to a spike in the step it comes and after, (step,)."""
        k = torch.arange(1, n_steps + 1, dtype=torch.float64)
        slow, fast, _ = self.decays
        return (slow**k - fast**k) * self.scale


class _Layer(torch.autograd.Function):
    """Spikes (step, trial, pre) to spikes (step, trial, post); the gradient of a spike is by its time."""

    @staticmethod
    def forward(
        ctx: Any,
        spikes: torch.Tensor,
        weights: torch.Tensor,
        response: Response,
        threshold: float,
        labels: torch.Tensor | None,
    ) -> torch.Tensor:
        slow, fast, back = response.decays
        current = spikes @ weights
        m = n = g = before = torch.zeros_like(current[0])
        fired, slopes, back_slopes = [], [], []
        for arriving in current:
            m, n, g = (m + arriving) * slow, (n + arriving) * fast, (g + arriving) * back
            u = (m - n) * response.scale
            slope = u - before
            out = (u >= threshold).to(u.dtype)
            fired.append(out)
            slopes.append(slope)
            back_slopes.append(g if response.kernel == "exponential" else slope)
            m, n, g, before = (x * (1 - out) for x in (m, n, g, u))
        ctx.response = response
        found, rising = torch.stack(fired), torch.stack(slopes)
        if labels is not None:
            _force(found, rising, labels)
        ctx.save_for_backward(spikes, weights, found, rising, torch.stack(back_slopes))
        return found

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None, None, None]:
        spikes, weights, fired, slopes, back_slopes = ctx.saved_tensors
        by_time = gradients[0] * fired
        to_weights = by_time * _inverse(slopes, STEEPEST)
        to_times = by_time * _inverse(back_slopes, float("inf"))
        return (
            _to_input_times(to_times, fired, weights, ctx.response) * (spikes > 0),
            _to_weights(to_weights, fired, spikes, ctx.response),
            None,
            None,
            None,
        )


def _force(fired: torch.Tensor, slopes: torch.Tensor, labels: torch.Tensor) -> None:
    """Write a spike into the label's cell at the last step in which its potential rises: a silent cell has no gradient at all."""
    samples = torch.arange(len(labels))
    rises = slopes[:, samples, labels] > LEAST_RISE
    last = len(rises) - 1 - rises.flip(0).to(torch.int8).argmax(0)
    some = rises.any(0)
    fired[last[some], samples[some], labels[some]] = 1.0


def _inverse(slopes: torch.Tensor, steepest: float) -> torch.Tensor:
    """``-1/slope`` within its bounds; 0 where the potential does not rise."""
    rising = slopes > 0
    return torch.where(rising, (-1 / torch.where(rising, slopes, 1.0)).clamp(min=-steepest), 0.0)


def _to_weights(
    coefficients: torch.Tensor, fired: torch.Tensor, spikes: torch.Tensor, response: Response
) -> torch.Tensor:
    """Sum over output spikes of a coefficient times what each input had brought since the output spike before, (pre, post).

    A trace that forgets at a spike is one that never forgets, less its value then, decayed: so these are products of whole rows.
    """
    found = torch.zeros(spikes.shape[-1], coefficients.shape[-1], dtype=spikes.dtype)
    for decay, sign in zip(response.decays[:2], (1.0, -1.0), strict=True):
        trace, rows = torch.zeros_like(spikes[0]), []
        for arriving in spikes:
            trace = (trace + arriving) * decay
            rows.append(trace)
        later, at_resets = torch.zeros_like(coefficients[0]), []
        for step in range(len(spikes) - 1, -1, -1):  # what the next output spike takes back of the trace at this one
            later = later * decay
            at_resets.append(later * fired[step])
            later = torch.where(fired[step] > 0, coefficients[step], later + coefficients[step])
        taken = coefficients - torch.stack(at_resets[::-1])
        found += sign * torch.stack(rows).flatten(0, 1).t() @ taken.flatten(0, 1)
    return found * response.scale


def _to_input_times(
    coefficients: torch.Tensor, fired: torch.Tensor, weights: torch.Tensor, response: Response
) -> torch.Tensor:
    """From output spikes to all steps since the one before, through the kernel, (step, trial, pre)."""
    slow, fast, back = response.decays
    if response.kernel == "exponential":
        parts = [(back, 1.0, 0)]
    else:  # eps(k) - eps(k - 1), of which eps(0) is 0
        parts = [
            (slow, response.scale, 0),
            (fast, -response.scale, 0),
            (slow, -response.scale, 1),
            (fast, response.scale, 1),
        ]
    total = torch.zeros_like(coefficients)
    for decay, factor, shift in parts:
        now, rows = torch.zeros_like(coefficients[0]), []
        for step in range(len(coefficients) - 1, -1, -1):
            now = torch.where(fired[step] > 0, coefficients[step], now * decay)
            rows.append(now)
        part = torch.stack(rows[::-1])
        if shift:
            part = torch.where(fired > 0, 0.0, part / decay)  # a kernel one step shorter; its value at 0 is nothing
        total += factor * decay * part
    return -(total @ weights.t())


class TimeNetwork(torch.nn.Module):
    """Layers of cells with a double-exponential response, trained by spike times.

    Parameters
    ----------
    sizes : (inputs, hidden …, classes)
    response : Response
    seed : int
    """

    thresholds: torch.Tensor

    def __init__(self, sizes: tuple[int, ...], response: Response, seed: int = 0) -> None:
        super().__init__()
        if len(sizes) < 2 or min(sizes) < 1:
            raise InputError(f"sizes: expected at least inputs and classes, got {sizes}")
        self.sizes, self.response = tuple(sizes), response
        self.register_buffer("thresholds", torch.full((len(sizes) - 1,), response.threshold, dtype=torch.float64))
        generator = torch.Generator().manual_seed(seed)
        self.weights = torch.nn.ParameterList(
            torch.nn.Parameter((2 * torch.rand(a, b, generator=generator) - 1) * (3 / a) ** 0.5)
            for a, b in pairwise(sizes)
        )

    def forward(self, spikes: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """Input spikes (step, trial, channel) to those of the classes, (step, trial, class).

        With labels (trial,), for training, one spike is written into the label's cell, so that it has a gradient.
        """
        for k, weights in enumerate(self.weights, start=1):
            written = labels if k == len(self.weights) else None
            spikes = _Layer.apply(spikes, weights, self.response, float(self.thresholds[k - 1]), written)
        return spikes

    @torch.no_grad()
    def initialise(self, spikes: torch.Tensor, per_cell: float) -> None:
        """Choose each layer's threshold so that its cells spike ``per_cell`` times on average."""
        for k, weights in enumerate(self.weights):
            low, high = 1e-4, 1e4
            for _ in range(40):
                middle = (low * high) ** 0.5
                found = float(_Layer.apply(spikes, weights, self.response, middle, None).sum(0).mean())
                low, high = (low, middle) if found < per_cell else (middle, high)
            self.thresholds[k] = middle
            spikes = _Layer.apply(spikes, weights, self.response, middle, None)

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
        names = ["x_L1", *(f"L{k}_L{k + 1}" for k in range(1, len(self.weights)))]
        thresholds = {f"populations.L{k}.parameters.v_th": v for k, v in enumerate(self.thresholds.tolist(), start=1)}
        return circuit.with_parameters(thresholds).with_parameters(
            {
                f"projections.{n}.weight": Array(w.detach().double().numpy().copy())
                for n, w in zip(names, self.weights, strict=True)
            }
        )


# -- losses -------------------------------------------------------------------------------------------------------------


class _Times(torch.autograd.Function):
    """A loss of output spikes, with its gradient by the times of spikes as given."""

    @staticmethod
    def forward(ctx: Any, spikes: torch.Tensor, value: torch.Tensor, by_time: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(by_time)
        return value

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (by_time,) = ctx.saved_tensors
        return gradients[0] * by_time, None, None


def count_loss(
    spikes: torch.Tensor,
    labels: torch.Tensor,
    desired: float,
    undesired: float,
    enhanced: bool = True,
    balanced: bool = False,
) -> torch.Tensor:
    """``T/2 sum (n - n*)^2/T^2`` over classes, a mean over samples; n* is ``desired`` for the label and ``undesired`` for others, and counts
    beyond them are no error.

    Each spike of a class gets ``-(n - n*)/T``, with the enhanced loss divided by n: its total then does not depend on how many spikes carry it.

    Parameters
    ----------
    spikes : (step, sample, class)
    labels : (sample,)
    enhanced : bool
        "count+" of the authors; else "count".
    balanced : bool
        Times ``max(R/10, 1)`` for the label's class, R the ratio of other counts to the label's over the batch.
    """
    n_steps, counts = len(spikes), spikes.detach().sum(0)
    target = functional.one_hot(labels, spikes.shape[-1]).bool()
    wanted = torch.where(target, desired, undesired)
    counted = torch.where(target, counts.clamp(max=desired), counts.clamp(min=undesired))
    delta = (counted - wanted) / n_steps
    value = 0.5 * n_steps * (delta**2).sum(1).mean()
    factor = torch.ones_like(delta)
    if balanced:
        ratio = counts[~target].sum() / counts[target].sum().clamp(min=1)
        factor = torch.where(target, (ratio / 10).clamp(min=1), 1.0)
    per_spike = -delta * factor
    if enhanced:
        per_spike = per_spike / counts.clamp(min=1)
    by_time = spikes.detach() * per_spike / spikes.shape[1]
    found: torch.Tensor = _Times.apply(spikes, value, by_time)
    return found


def first_spike_loss(spikes: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """T times the cross-entropy of ``1 - t/T`` with the time t of a class' first spike, a mean over samples; silent classes have a logit of -3."""
    n_steps = len(spikes)
    fires = spikes.detach().sum(0) > 0
    first = spikes.detach().argmax(0)
    logits = torch.where(fires, 1 - (first + 1) / n_steps, SILENT).to(spikes.dtype)
    value = n_steps * functional.cross_entropy(logits, labels)
    by_logit = logits.softmax(1) - functional.one_hot(labels, logits.shape[1])
    by_time = torch.zeros_like(spikes).scatter(0, first[None], (-by_logit * fires)[None].to(spikes.dtype))
    found: torch.Tensor = _Times.apply(spikes, value, by_time / spikes.shape[1])
    return found


# -- training -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TimeSettings:
    """How to train by spike times; the published settings of MNIST unless stated.

    Parameters
    ----------
    loss : {"count", "count+", "first_spike"}
    desired, undesired : float
        Spikes of the label's class and of others.
    epochs, batch : int
    learning_rate, weight_decay : float
        Of AdamW, with a cosine schedule.
    per_cell : float
        Spikes of a cell that thresholds are chosen for, before training.
    """

    loss: Loss = "count+"
    desired: float = 5.0
    undesired: float = 1.0
    epochs: int = 40
    batch: int = 50
    learning_rate: float = 5e-3
    weight_decay: float = 0.0
    per_cell: float = 0.6

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise InputError(f"settings.loss: expected one of {', '.join(LOSSES)}, got {self.loss!r:.60}")
        if min(self.epochs, self.batch) < 1 or not self.learning_rate > 0 or not self.per_cell > 0:
            raise InputError("settings: expected epochs, batch, learning_rate and per_cell above 0")


def loss_of(spikes: torch.Tensor, labels: torch.Tensor, settings: TimeSettings) -> torch.Tensor:
    """The loss that settings name."""
    if settings.loss == "first_spike":
        return first_spike_loss(spikes, labels)
    return count_loss(spikes, labels, settings.desired, settings.undesired, settings.loss == "count+", balanced=True)


def decide(spikes: torch.Tensor, loss: Loss, until: int | None = None) -> torch.Tensor:
    """Classes (sample,) of output spikes (step, sample, class) seen ``until`` a step: most spikes, earlier ones counting a little more, or
    the first one."""
    n_steps = len(spikes)
    seen = spikes[:until]
    steps = torch.arange(len(seen), dtype=spikes.dtype)
    if loss == "first_spike":
        first = torch.where(seen.sum(0) > 0, seen.argmax(0), n_steps)
        return first.argmin(1)
    return torch.einsum("tbk,t->bk", seen, 1.1 - steps / (10 * n_steps)).argmax(1)


def fit_times(
    network: TimeNetwork, train: tuple[torch.Tensor, torch.Tensor], validation: tuple[torch.Tensor, torch.Tensor],
    settings: TimeSettings, seed: int,
) -> list[float]:  # fmt: skip
    """Train in place and leave the network at its best epoch; validation accuracy of every epoch.

    Parameters
    ----------
    train, validation : (spikes, labels)
        (step, sample, channel) and (sample,).
    seed : int
        Order of the samples.

    Raises
    ------
    InputError
        Spikes and labels that do not fit the network.
    """
    for path, (spikes, labels) in (("train", train), ("validation", validation)):
        if spikes.ndim != 3 or spikes.shape[1:] != (len(labels), network.sizes[0]) or not len(labels):
            raise InputError(
                f"{path}: expected spikes (step, sample, {network.sizes[0]}) and as many labels, got {tuple(spikes.shape)} and {tuple(labels.shape)}"
            )
        if int(labels.min()) < 0 or int(labels.max()) >= network.sizes[-1]:
            raise InputError(
                f"{path}: labels from {int(labels.min())} to {int(labels.max())}, there are {network.sizes[-1]} classes"
            )
    network.initialise(train[0][:, : 4 * settings.batch], settings.per_cell)
    optimiser = torch.optim.AdamW(network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    per_epoch = -(-len(train[1]) // settings.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.epochs * per_epoch)
    generator, history, kept = torch.Generator().manual_seed(seed), list[float](), network.state_dict()
    for _ in range(settings.epochs):
        for chosen in torch.randperm(len(train[1]), generator=generator).split(settings.batch):
            optimiser.zero_grad(set_to_none=True)
            labels = train[1][chosen]
            loss_of(network(train[0][:, chosen], labels), labels, settings).backward()
            optimiser.step()
            schedule.step()
        with torch.no_grad():
            found = decide(network(validation[0]), settings.loss)
        history.append(float((found == validation[1]).double().mean()))
        if history[-1] == max(history):
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
