"""Pseudo-derivatives of the spike: a step forward, a smooth bump backward, at distance to threshold over threshold_scale."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch

from ..errors import EngineError, unknown
from ..expression import compile_tree, substitute
from .to_torch_library import torch_library

SURROGATES: dict[str, tuple[str, float]] = {
    # 1 at threshold for alpha 2 (Fang et al. 2021, arXiv 2007.05785)
    "atan": ("alpha/2 / (1 + (pi/2*alpha*x)*(pi/2*alpha*x))", 2.0),
    # the derivative of a sigmoid, 1 at threshold for alpha 4
    "sigmoid": ("alpha * (1/(1 + exp(-alpha*x))) * (1 - 1/(1 + exp(-alpha*x)))", 4.0),
    # SuperSpike (Zenke and Ganguli 2018, doi:10.1162/neco_a_01086)
    "fast_sigmoid": ("1 / ((1 + alpha*abs(x)) * (1 + alpha*abs(x)))", 10.0),
    # Bellec et al. 2018, arXiv 1803.09574, there times a damping factor
    "triangle": ("clip(1 - abs(x)/alpha, 0, inf)", 1.0),
    # Wu et al. 2018, doi:10.3389/fnins.2018.00331
    "rectangle": ("where(abs(x) < alpha, 1, 0) / (2*alpha)", 0.5),
    # a normal density with standard deviation alpha
    "gaussian": ("exp(-0.5*(x/alpha)*(x/alpha)) / (alpha*sqrt(2*pi))", 0.4),
}
"""Name -> derivative in the language of circuit files, and default width or steepness."""


def expression(text: str) -> str:
    """The derivative called ``"atan"`` or ``"sigmoid(4)"`` as an expression of ``x``.

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
    return substitute(derivative, {"alpha": repr(alpha)})


def surrogate(text: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """The derivative called ``"atan"`` or ``"sigmoid(4)"`` on tensors.

    Raises
    ------
    EngineError
        As :func:`expression`.
    """
    derivative = expression(text)
    return lambda x: compile_tree(derivative, torch_library(x.dtype))({"x": x})  # type: ignore[no-any-return]


class Spike(torch.autograd.Function):
    """Forward the given 0/1 spikes, backward the pseudo-derivative at ``distance``."""

    @staticmethod
    def forward(
        ctx: Any, distance: torch.Tensor, spikes: torch.Tensor, derivative: Callable[..., torch.Tensor]
    ) -> torch.Tensor:
        ctx.save_for_backward(distance)
        ctx.save_for_forward(distance)
        ctx.derivative = derivative
        return spikes

    @staticmethod
    def jvp(ctx: Any, *tangents: torch.Tensor | None) -> torch.Tensor | None:
        (distance,) = ctx.saved_tensors
        return None if tangents[0] is None else tangents[0] * ctx.derivative(distance)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (distance,) = ctx.saved_tensors
        return gradients[0] * ctx.derivative(distance), None, None


class ScaleGradient(torch.autograd.Function):
    """Forward unchanged, backward times a constant."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor, scale: float) -> torch.Tensor:
        ctx.scale = scale
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradients[0] * ctx.scale, None
