"""Losses of spike counts and of first spikes with their gradients by the times of spikes, and what output spikes decide (Zhu et al. 2023)."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch.nn import functional

from ..errors import InputError, unknown
from ..ranges import NOT_NEGATIVE, check_number
from .labels import check_labels

Loss = Literal["count", "count+", "first_spike"]
LOSSES: tuple[Loss, ...] = get_args(Loss)
SILENT = -3.0
"""Logit of a class that never fires, for first spikes."""


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
    desired, undesired : float
        Spikes.
    enhanced : bool
        "count+" of the authors; else "count".
    balanced : bool
        Times ``max(R/10, 1)`` for the label's class, R the ratio of other counts to the label's over the batch.

    Raises
    ------
    InputError
        Labels or numbers that do not fit.
    """
    check_labels("labels", labels, *spikes.shape[1:])
    check_number("desired", desired, NOT_NEGATIVE)
    check_number("undesired", undesired, NOT_NEGATIVE)
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
    """T times the cross-entropy of ``1 - t/T`` with the time t of a class' first spike, a mean over samples; silent classes have a logit of -3.

    Parameters
    ----------
    spikes : (step, sample, class)
    labels : (sample,)

    Raises
    ------
    InputError
        Labels that do not fit.
    """
    check_labels("labels", labels, *spikes.shape[1:])
    n_steps = len(spikes)
    fires = spikes.detach().sum(0) > 0
    first = spikes.detach().argmax(0)
    logits = torch.where(fires, 1 - (first + 1) / n_steps, SILENT).to(spikes.dtype)
    value = n_steps * functional.cross_entropy(logits, labels)
    by_logit = logits.softmax(1) - functional.one_hot(labels, logits.shape[1])
    by_time = torch.zeros_like(spikes).scatter(0, first[None], (-by_logit * fires)[None].to(spikes.dtype))
    found: torch.Tensor = _Times.apply(spikes, value, by_time / spikes.shape[1])
    return found


def decide(spikes: torch.Tensor, loss: Loss, until: int | None = None) -> torch.Tensor:
    """Classes (sample,) of output spikes (step, sample, class) seen ``until`` a step: most spikes, earlier ones counting a little more, or
    the first one.

    Raises
    ------
    InputError
        An unknown loss, or more steps than there are, or none.
    """
    n_steps = len(spikes)
    if loss not in LOSSES:
        raise InputError(f"loss: {unknown('loss', loss, LOSSES)}")
    if until is not None and not 1 <= until <= n_steps:
        raise InputError(f"until: expected a step from 1 to {n_steps}, got {until!r:.60}")
    seen = spikes[:until]
    steps = torch.arange(len(seen), dtype=spikes.dtype)
    if loss == "first_spike":
        first = torch.where(seen.sum(0) > 0, seen.argmax(0), n_steps)
        return first.argmin(1)
    return torch.einsum("tbk,t->bk", seen, 1.1 - steps / (10 * n_steps)).argmax(1)
