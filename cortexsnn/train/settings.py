"""How to train, and what torch makes of it: parameter groups, optimiser, schedule of the learning rate."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..emit.to_torch import Network
from ..errors import InputError, unknown
from ..ranges import COUNT, NOT_NEGATIVE, check_fields

SCHEDULES = ("one_cycle", "constant", "cosine", "exponential")
OPTIMISERS = ("adam", "sgd")
GRADIENTS = ("time", "rate")
PRECISIONS = {"full": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Settings:
    """How to train.

    Parameters
    ----------
    epochs, batch : int
    learning_rate : float
        Constant, or the largest one of a schedule.
    number_rate : float
        Times the learning rate for trainable numbers (time constants, thresholds, initial values), which have other units than weights.
    clip : float
        Largest norm of the gradient.
    label_smoothing : float
    n_steps : int
        Steps each image is presented.
    optimiser : {"adam", "sgd"}
        Stochastic gradient descent has momentum 0.9.
    schedule : {"one_cycle", "constant", "cosine", "exponential"}
        Constant where trainings stop at different epochs and must not differ by their place in a schedule; exponential falls to a
        hundredth.
    truncate : int, optional
        Gradients go back through so many steps: the batch runs in windows, states go on from one to the next, gradients do not,
        and each window has a loss of its own. Memory is that of a window.
    recompute : int, optional
        So many steps are kept at once; what lies before is computed again on the way back. Exact; memory for time.
    precision : {"full", "bfloat16", "float16"}
        Matrix products in that precision (torch's autocast); states and weights stay in float32. With float16 the loss is scaled so that
        small gradients are not lost, and a step whose gradient overflows is left out.
    gradient : {"time", "rate"}
        Back through every step, or through rates (``cortexsnn.train.rates``): feed-forward circuits, weights alone; memory grows with the
        input alone.
    patience : int, optional
        Stop after so many epochs without a better one.
    """

    epochs: int = 60
    batch: int = 64
    learning_rate: float = 4e-3
    clip: float = 1.0
    label_smoothing: float = 0.0
    n_steps: int = 8
    optimiser: str = "adam"
    schedule: str = "one_cycle"
    number_rate: float = 1.0
    truncate: int | None = None
    recompute: int | None = None
    precision: str = "full"
    gradient: str = "time"
    patience: int | None = None

    def __post_init__(self) -> None:
        for name, known in (
            ("optimiser", OPTIMISERS),
            ("schedule", SCHEDULES),
            ("precision", PRECISIONS),
            ("gradient", GRADIENTS),
        ):
            if getattr(self, name) not in known:
                raise InputError(f"settings.{name}: {unknown(name, getattr(self, name), known)}")
        given = [name for name in ("truncate", "recompute", "patience") if getattr(self, name) is not None]
        check_fields("settings", self, COUNT, "epochs", "batch", "n_steps", *given, whole=True)
        check_fields("settings", self, NOT_NEGATIVE, "learning_rate", "clip", "number_rate", "label_smoothing")
        if self.label_smoothing > 1:
            raise InputError(f"settings.label_smoothing: expected at most 1, got {self.label_smoothing}")
        if self.gradient == "rate" and (self.truncate or self.recompute or self.precision != "full"):
            raise InputError(
                "settings.gradient: rate goes back through no steps; leave out truncate, recompute and precision"
            )
        if self.truncate and self.recompute:
            raise InputError("settings: truncate and recompute exclude each other; a truncated run is short already")


def scaler_of(network: Network, settings: Settings) -> torch.amp.GradScaler:
    """What scales a loss for float16; it does nothing in other precisions."""
    return torch.amp.GradScaler(network._anchor.device.type, enabled=settings.precision == "float16")


def optimiser_of(network: Network, settings: Settings) -> torch.optim.Optimizer:
    """The optimiser; trainable numbers are a group of their own where they have a rate of their own."""
    groups = [{"params": list(network.parameters())}]
    numbers = list(network.numbers.parameters())
    if settings.number_rate != 1.0 and numbers:
        chosen = {id(p) for p in numbers}
        groups = [
            {"params": [p for p in network.parameters() if id(p) not in chosen]},
            {"params": numbers, "lr": settings.learning_rate * settings.number_rate},  # type: ignore[dict-item]
        ]
        groups = [g for g in groups if g["params"]]
    if settings.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=0.9)
    return torch.optim.Adam(groups, lr=settings.learning_rate)


def schedule_of(
    optimiser: torch.optim.Optimizer, settings: Settings, total_steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """The schedule of the learning rate over all steps."""
    schedulers = torch.optim.lr_scheduler
    match settings.schedule:
        case "constant":
            return schedulers.ConstantLR(optimiser, factor=1.0)
        case "cosine":
            return schedulers.CosineAnnealingLR(optimiser, total_steps)
        case "exponential":
            return schedulers.ExponentialLR(optimiser, 0.01 ** (1 / total_steps))
    return schedulers.OneCycleLR(optimiser, [g["lr"] for g in optimiser.param_groups], total_steps=total_steps)
