"""Surrogate-gradient training of a network whose read-out predicts the next frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from ..emit.to_torch import Network
from ..errors import InputError, NumericalError
from ..ranges import COUNT, NOT_NEGATIVE, check_fields
from .fit import LARGEST_LOSS
from .penalties import Outputs, Penalty
from .rates import readout_of
from .settings import Settings
from .windows import windows

Batch = tuple[Mapping[str, np.ndarray], np.ndarray]
"""Rows of every input (step, sample, channel), and targets (frame, sample, number)."""


@dataclass(frozen=True)
class FrameSettings:
    """How to train.

    Parameters
    ----------
    updates, batch : int
    ms : int
        Steps of a frame.
    weight_rate : float
        Largest change of a weight in an update, as a part of the mean weight of its projection.
    bias_rate : float
        Largest change of the read-out's own numbers, its bias.
    clip : float
        Largest norm of the gradient.
    truncate : int
        Gradients go back through so many steps, whole frames.
    start : float, optional
        Of the bias of the read-out; as it is unless given.
    """

    updates: int = 400
    batch: int = 32
    ms: int = 50
    weight_rate: float = 0.02
    bias_rate: float = 1e-3
    clip: float = 1.0
    truncate: int = 100
    start: float | None = None

    def __post_init__(self) -> None:
        check_fields("settings", self, COUNT, "updates", "batch", "ms", "truncate", whole=True)
        check_fields("settings", self, NOT_NEGATIVE, "weight_rate", "bias_rate", "clip")
        if self.truncate % self.ms:
            raise InputError(
                f"settings.truncate: expected whole frames of {self.ms} steps, got {self.truncate}; a loss is of whole frames"
            )


def fit_frames(
    network: Network, draw: Callable[[], Batch], settings: FrameSettings, penalty: Penalty | None = None,
    report: Callable[[int, float], object] = lambda update, error: None,
) -> list[float]:  # fmt: skip
    """Train in place; the mean squared error of every update.

    The prediction is the read-out's mean over the second half of a frame, the target what follows that frame. The learning rate falls to a
    tenth along a cosine.

    Parameters
    ----------
    network : Network
        With a read-out of as many numbers as a target has.
    draw : callable
        The next batch.
    settings : FrameSettings
    penalty : callable(outputs), optional
        A further term of the loss.
    report : callable(update, error), optional

    Raises
    ------
    NumericalError
        The loss is no longer finite or has exploded.
    """
    if settings.start is not None:
        _set_bias(network, settings.start)
    optimiser = _optimiser(network, settings)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda k: 0.55 + 0.45 * float(np.cos(np.pi * k / settings.updates))
    )
    window = Settings(batch=settings.batch, truncate=settings.truncate)
    errors = []
    network.train()
    for update in range(settings.updates):
        inputs, target = draw()
        rows = {name: torch.as_tensor(np.asarray(r, dtype=np.float32)) for name, r in inputs.items()}
        targets = torch.as_tensor(target, dtype=network.dtype)
        optimiser.zero_grad(set_to_none=True)
        total, frame = 0.0, 0
        for outputs, share in windows(network, rows, window):
            found = predicted(network, outputs, settings.ms)
            error = ((found - targets[frame : frame + len(found)]) ** 2).mean()
            loss = error if penalty is None else error + penalty(outputs)
            (loss * share).backward()
            total, frame = total + float(error.detach()) * share, frame + len(found)
        if not total <= LARGEST_LOSS:
            raise NumericalError(
                f"the error became {total:g} in update {update}; lower the learning rates or clip more"
            )
        torch.nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
        optimiser.step()
        schedule.step()
        errors.append(total)
        report(update, total)
    network.project()
    network.eval()
    return errors


def predicted(network: Network, outputs: Outputs, ms: int) -> torch.Tensor:
    """The read-out's mean over the second half of every frame, (frame, sample, number)."""
    readout = readout_of(network)
    found = outputs[readout][str(network.emitted_name(readout))]
    return found.unflatten(0, (-1, ms))[:, ms // 2 :].mean(1)


def _optimiser(network: Network, settings: FrameSettings) -> torch.optim.Optimizer:
    """Adam whose step is relative to a projection's mean weight: weights of a circuit in units differ by orders of magnitude."""
    numbers = _numbers_of_readout(network)
    groups = []
    for name, values in network.named_parameters():
        relative = settings.weight_rate * float(values.detach().abs().mean())
        groups.append({"params": [values], "lr": settings.bias_rate if name in numbers else relative})
    return torch.optim.Adam(groups)


@torch.no_grad()
def _set_bias(network: Network, start: float) -> None:
    for values in _numbers_of_readout(network).values():
        values.fill_(start)


def _numbers_of_readout(network: Network) -> dict[str, torch.nn.Parameter]:
    """Trainable numbers of the read-out, by the parameter's name."""
    own = f"{readout_of(network)}:"
    return {name: p for name, p in network.named_parameters() if name.split(".")[-1].startswith(own)}
