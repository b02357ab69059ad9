"""Surrogate-gradient training of a classifier with a graded read-out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn import functional

from ..emit.to_torch import Network
from ..errors import InputError, NumericalError
from .data import Part
from .encode import Encoder, repeated
from .initialise import initialise

Outputs = Mapping[str, Mapping[str, torch.Tensor]]
Penalty = Callable[[Outputs], torch.Tensor]


@dataclass(frozen=True)
class Settings:
    """How to train.

    Parameters
    ----------
    epochs, batch : int
    learning_rate : float
        Constant, or the peak of the one-cycle schedule.
    clip : float
        Largest norm of the gradient.
    label_smoothing : float
    n_steps : int
        Steps each image is presented.
    optimiser : {"adam", "sgd"}
        Stochastic gradient descent has momentum 0.9.
    schedule : {"one_cycle", "constant"}
        Constant where trainings stop at different epochs and must not differ by their place in a schedule.
    """

    epochs: int = 60
    batch: int = 64
    learning_rate: float = 4e-3
    clip: float = 1.0
    label_smoothing: float = 0.0
    n_steps: int = 8
    optimiser: str = "adam"
    schedule: str = "one_cycle"


@dataclass
class History:
    """Per epoch: mean training loss, validation loss and accuracy in [0, 1]; ``best`` is the epoch of the checkpoint."""

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    best: int = 0


def fit(
    network: Network,
    train: Part,
    validation: Part,
    settings: Settings,
    seed: int,
    report: Callable[[int, History], object] = lambda e, h: None,
    encode: Encoder | None = None,
    penalty: Penalty | None = None,
    until: float | None = None,
) -> History:
    """Train in place and leave the network at its best epoch on the validation part.

    Deterministic for a seed on one machine and number of threads. Magnitudes stay >= 0: every forward call projects.

    Parameters
    ----------
    network : Network
        With a read-out; initialised here from the first batch where its circuit names an initialisation.
    train, validation : Part
    settings : Settings
    seed : int
        Order of the batches.
    report : callable(epoch, history)
        Called after every epoch.
    encode : callable, optional
        Samples (sample, …) to input rows (step, sample, channel); repeats images for ``settings.n_steps`` unless given.
    penalty : callable(outputs), optional
        A further term of the loss, from what the network returned.
    until : float, between 0 and 1, optional
        Stop at the first epoch whose validation accuracy, mean with the two epochs before, reaches this, and keep the weights of
        that epoch: to compare networks at equal accuracy, without favouring a lucky epoch.

    Raises
    ------
    InputError
        The circuit has no read-out or not exactly one input.
    NumericalError
        The loss is no longer finite; names epoch and batch.
    """
    name = input_name(network)
    generator = torch.Generator().manual_seed(seed)
    labels = torch.as_tensor(train.labels)
    images = torch.as_tensor(train.images, dtype=network.dtype)
    encode = encode or repeated(settings.n_steps)
    initialise(network, {name: encode(images[: 4 * settings.batch])})
    optimiser = _optimiser(network, settings)
    per_epoch = -(-len(labels) // settings.batch)
    schedule = _schedule(optimiser, settings, settings.epochs * per_epoch)
    history, best, kept = History(), (-1.0, 0.0), copy.deepcopy(network.state_dict())
    for epoch in range(settings.epochs):
        network.train()
        total = 0.0
        for chosen in torch.randperm(len(labels), generator=generator).split(settings.batch):
            optimiser.zero_grad(set_to_none=True)
            outputs, _ = network({name: encode(images[chosen])})
            loss = functional.cross_entropy(
                scores(network, outputs), labels[chosen], label_smoothing=settings.label_smoothing
            )
            if penalty is not None:
                loss = loss + penalty(outputs)
            if not torch.isfinite(loss):
                raise NumericalError(
                    f"the loss became {float(loss)} in epoch {epoch}; lower the learning rate or clip more"
                )
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * len(chosen)
        history.loss.append(total / len(labels))
        _validate(network, name, validation, encode, history)
        reached = (history.validation_accuracy[-1], -history.validation_loss[-1])
        if until is not None or reached > best:
            best, history.best, kept = reached, epoch, copy.deepcopy(network.state_dict())
        report(epoch, history)
        if until is not None and epoch >= 2 and np.mean(history.validation_accuracy[-3:]) >= until:
            break
    network.load_state_dict(kept)
    network.project()
    network.eval()
    return history


def _optimiser(network: Network, settings: Settings) -> torch.optim.Optimizer:
    if settings.optimiser == "sgd":
        return torch.optim.SGD(network.parameters(), lr=settings.learning_rate, momentum=0.9)
    return torch.optim.Adam(network.parameters(), lr=settings.learning_rate)


def _schedule(
    optimiser: torch.optim.Optimizer, settings: Settings, total_steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    if settings.schedule == "constant":
        return torch.optim.lr_scheduler.ConstantLR(optimiser, factor=1.0)
    return torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, total_steps=total_steps)


def use_one_thread() -> None:
    """Small matrices gain nothing from more threads, and several trainings share the cores."""
    torch.set_num_threads(1)


def scores(network: Network, outputs: Outputs) -> torch.Tensor:
    """Class scores, (trial, class): the mean over steps of the read-out."""
    readout = str(network.training_data.readout)
    return outputs[readout][str(network.emitted_name(readout))].mean(0)


@torch.no_grad()
def predict(network: Network, samples: np.ndarray, encode: Encoder) -> tuple[np.ndarray, Outputs]:
    """Predicted classes (sample,) and everything the network returned, in evaluation mode."""
    network.eval()
    outputs, _ = network({input_name(network): encode(torch.as_tensor(samples, dtype=network.dtype))})
    return scores(network, outputs).argmax(1).numpy(), outputs


def input_name(network: Network) -> str:
    """The one input of a classifier.

    Raises
    ------
    InputError
        No read-out, or not exactly one input.
    """
    if network.training_data.readout is None:
        raise InputError(
            "readout: the circuit names none; add 'readout: name' of a graded population to train a classifier"
        )
    names = [d.name for d in network.program.inputs if d.kind not in ("poisson", "counts")]
    if len(names) != 1:
        raise InputError(f"inputs: a classifier takes exactly one, the circuit has {', '.join(names) or 'none'}")
    return names[0]


@torch.no_grad()
def _validate(network: Network, name: str, part: Part, encode: Encoder, history: History) -> None:
    network.eval()
    outputs, _ = network({name: encode(torch.as_tensor(part.images, dtype=network.dtype))})
    found, labels = scores(network, outputs), torch.as_tensor(part.labels)
    history.validation_loss.append(float(functional.cross_entropy(found, labels)))
    history.validation_accuracy.append(float((found.argmax(1) == labels).double().mean()))
