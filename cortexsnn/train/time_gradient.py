"""A layer of cells with a double-exponential response, and gradients by the times of its spikes (Zhu et al. 2023).

Gradients live on spikes alone; one on a spike is that of the loss by its time, in steps: descent moves a spike with a positive one to an
earlier step. Equations as in the code that the authors published.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch

from ..errors import InputError, unknown
from ..ranges import COUNT, POSITIVE, check_fields

Kernel = Literal["exponential", "original"]
STEEPEST = 4.0
"""Largest factor from the time of a spike to a weight, as published: beyond, the potential crosses its threshold too flatly."""
LEAST_RISE = 0.05
"""Of a potential in a step, for a spike to be written there."""


@dataclass(frozen=True)
class Response:
    """Time constants in steps: of the membrane, of the synapse, and of the kernel that times go back through."""

    tau_m: float = 5.0
    tau_s: float = 3.0
    tau_gradient: float = 2.5
    threshold: float = 1.0
    kernel: Kernel = "exponential"

    def __post_init__(self) -> None:
        check_fields("response", self, COUNT, "tau_s", "tau_m", "tau_gradient")
        check_fields("response", self, POSITIVE, "threshold")
        if not self.tau_m > self.tau_s:
            raise InputError(f"response: expected tau_m > tau_s, got {self.tau_m:g} and {self.tau_s:g}")
        if self.kernel not in get_args(Kernel):
            raise InputError(f"response.kernel: {unknown('kernel', self.kernel, get_args(Kernel))}")

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


@dataclass
class Clipping:
    """Spikes that had a gradient on the way back, and those of them where a bound stood for ``-1/slope``: there sums of times are not kept."""

    spikes: int = 0
    clipped: int = 0

    @property
    def share(self) -> float:
        """Of the spikes; 0 where there was none."""
        return self.clipped / max(self.spikes, 1)


def spike_layer(
    spikes: torch.Tensor,
    weights: torch.Tensor,
    thresholds: torch.Tensor,
    response: Response,
    labels: torch.Tensor | None = None,
    clipping: Clipping | None = None,
) -> torch.Tensor:
    """Spikes of a layer, whose gradient is by their times.

    Parameters
    ----------
    spikes : (step, trial, pre), 0 or 1
    weights : (pre, post)
    thresholds : (post,)
    response : Response
        Its ``threshold`` is not used here.
    labels : (trial,), optional
        One spike is written into the label's cell, so that it has a gradient.
    clipping : Clipping, optional
        Counts on the way back.

    Returns
    -------
    (step, trial, post)
    """
    found: torch.Tensor = _Layer.apply(spikes, weights, thresholds, response, labels, clipping)
    return found


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        spikes: torch.Tensor,
        weights: torch.Tensor,
        thresholds: torch.Tensor,
        response: Response,
        labels: torch.Tensor | None,
        clipping: Clipping | None,
    ) -> torch.Tensor:
        slow, fast, back = response.decays
        current = spikes @ weights
        m = n = g = before = torch.zeros_like(current[0])
        fired, slopes, back_slopes = [], [], []
        for arriving in current:
            m, n, g = (m + arriving) * slow, (n + arriving) * fast, (g + arriving) * back
            u = (m - n) * response.scale
            slope = u - before
            out = (u >= thresholds).to(u.dtype)
            fired.append(out)
            slopes.append(slope)
            back_slopes.append(g if response.kernel == "exponential" else slope)
            m, n, g, before = (x * (1 - out) for x in (m, n, g, u))
        ctx.response, ctx.clipping = response, clipping
        found, rising = torch.stack(fired), torch.stack(slopes)
        if labels is not None:
            _force(found, rising, labels)
        ctx.save_for_backward(spikes, weights, found, rising, torch.stack(back_slopes))
        return found

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        spikes, weights, fired, slopes, back_slopes = ctx.saved_tensors
        by_time = gradients[0] * fired
        if ctx.clipping is not None:
            counted = by_time != 0
            bounded = (slopes * STEEPEST < 1) | (back_slopes <= 0)
            ctx.clipping.spikes += int(counted.sum())
            ctx.clipping.clipped += int((counted & bounded).sum())
        to_weights = by_time * _inverse(slopes, STEEPEST)
        to_times = by_time * _inverse(back_slopes, float("inf"))
        return (
            _to_input_times(to_times, fired, weights, ctx.response) * (spikes > 0),
            _to_weights(to_weights, fired, spikes, ctx.response),
            None,
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
