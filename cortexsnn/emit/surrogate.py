"""Pseudo-derivatives of the spike: a step forward, a smooth bump backward, at distance to threshold over threshold_scale."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch

from ..errors import EngineError, unknown

Derivative = Callable[[torch.Tensor, float], torch.Tensor]


def atan(x: torch.Tensor, alpha: float) -> torch.Tensor:
    """``alpha/2 / (1 + (pi/2 alpha x)^2)``, 1 at threshold for alpha 2 (Fang et al. 2021, arXiv 2007.05785)."""
    return alpha / 2 / (1 + (torch.pi / 2 * alpha * x) ** 2)


def sigmoid(x: torch.Tensor, alpha: float) -> torch.Tensor:
    """``alpha s (1 - s)`` with ``s = sigmoid(alpha x)``; 1 at threshold for alpha 4."""
    s = torch.sigmoid(alpha * x)
    return alpha * s * (1 - s)


def fast_sigmoid(x: torch.Tensor, alpha: float) -> torch.Tensor:
    """``1 / (1 + alpha |x|)^2`` (SuperSpike; Zenke and Ganguli 2018, doi:10.1162/neco_a_01086)."""
    return 1 / (1 + alpha * x.abs()) ** 2


def triangle(x: torch.Tensor, alpha: float) -> torch.Tensor:
    """``max(0, 1 - |x|/alpha)`` (Bellec et al. 2018, arXiv 1803.09574, there times a damping factor)."""
    return (1 - x.abs() / alpha).clamp(min=0)


def rectangle(x: torch.Tensor, alpha: float) -> torch.Tensor:
    """``1/(2 alpha)`` where ``|x| < alpha`` (Wu et al. 2018, doi:10.3389/fnins.2018.00331)."""
    return (x.abs() < alpha).to(x.dtype) / (2 * alpha)


def gaussian(x: torch.Tensor, alpha: float) -> torch.Tensor:
    """Normal density with standard deviation alpha."""
    return torch.exp(-0.5 * (x / alpha) ** 2) / (alpha * (2 * torch.pi) ** 0.5)


SURROGATES: dict[str, tuple[Derivative, float]] = {
    "atan": (atan, 2.0),
    "sigmoid": (sigmoid, 4.0),
    "fast_sigmoid": (fast_sigmoid, 10.0),
    "triangle": (triangle, 1.0),
    "rectangle": (rectangle, 0.5),
    "gaussian": (gaussian, 0.4),
}
"""Name -> derivative and default width or steepness."""


def surrogate(text: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """Derivative called ``"atan"`` or ``"sigmoid(4)"``.

    Raises
    ------
    EngineError
        Unknown name or a steepness that is not positive.
    """
    found = re.fullmatch(r"\s*(\w+)\s*(?:\(\s*([0-9.eE+-]+)\s*\))?\s*", text)
    name = found[1] if found else text
    if name not in SURROGATES:
        raise EngineError(f"surrogate: {unknown('surrogate', name, SURROGATES)}")
    derivative, default = SURROGATES[name]
    try:
        alpha = float(found[2]) if found and found[2] else default
    except ValueError:
        alpha = 0.0
    if not 0 < alpha < float("inf"):
        raise EngineError(f"surrogate: expected a positive number in '{text}', for example '{name}({default:g})'")
    return lambda x: derivative(x, alpha)


class Spike(torch.autograd.Function):
    """Forward the given 0/1 spikes, backward the pseudo-derivative at ``distance``."""

    @staticmethod
    def forward(
        ctx: Any, distance: torch.Tensor, spikes: torch.Tensor, derivative: Callable[..., torch.Tensor]
    ) -> torch.Tensor:
        ctx.save_for_backward(distance)
        ctx.derivative = derivative
        return spikes

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (distance,) = ctx.saved_tensors
        return gradients[0] * ctx.derivative(distance), None, None


class StraightThrough(torch.autograd.Function):
    """Forward the first argument, backward to the second unchanged."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor, gradient_to: torch.Tensor) -> torch.Tensor:
        del gradient_to
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[None, torch.Tensor]:
        return None, gradients[0]


class ScaleGradient(torch.autograd.Function):
    """Forward unchanged, backward times a constant."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor, scale: float) -> torch.Tensor:
        ctx.scale = scale
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradients[0] * ctx.scale, None
