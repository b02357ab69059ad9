"""torch's meaning of the expression language."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from ..expression import Library


class StraightThrough(torch.autograd.Function):
    """Forward the first argument, backward to the second unchanged."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor, gradient_to: torch.Tensor) -> torch.Tensor:
        del gradient_to
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[None, torch.Tensor]:
        return None, gradients[0]


def _exprel(x: torch.Tensor) -> torch.Tensor:
    """(exp(x) - 1)/x; near 0 its series, so that neither value nor gradient divides 0 by 0."""
    small = x.abs() < 1e-5
    safe = torch.where(small, torch.ones_like(x), x)
    return torch.where(small, 1 + x / 2 + x * x / 6, torch.expm1(safe) / safe)


def _straight_through(value: torch.Tensor, gradient_to: torch.Tensor) -> torch.Tensor:
    value, gradient_to = torch.broadcast_tensors(value, gradient_to)
    return StraightThrough.apply(value, gradient_to) if torch.is_grad_enabled() else value


_UNARY = [
    "exp",
    "log",
    "log10",
    "log1p",
    "expm1",
    "sqrt",
    "sin",
    "cos",
    "tan",
    "sinh",
    "cosh",
    "tanh",
    "arctan",
    "arcsin",
    "arccos",
    "abs",
    "sign",
    "floor",
    "ceil",
]


@cache
def torch_library(dtype: torch.dtype) -> Library:
    """torch's meaning of the expression language; numbers and conditions become tensors of ``dtype``, never of another."""

    def tensor(x: Any) -> torch.Tensor:
        return x.to(dtype) if isinstance(x, torch.Tensor) else torch.as_tensor(x, dtype=dtype)

    def on_tensors(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        return lambda *arguments: function(*map(tensor, arguments))

    def clip(x: Any, low: Any, high: Any) -> torch.Tensor:
        if isinstance(low, torch.Tensor) or isinstance(high, torch.Tensor):
            return torch.minimum(torch.maximum(tensor(x), tensor(low)), tensor(high))
        return tensor(x).clamp(low, high)

    def where(condition: Any, a: Any, b: Any) -> torch.Tensor:
        return torch.where(torch.as_tensor(condition), tensor(a), tensor(b))

    special = {"exprel": _exprel, "int": torch.trunc, "straight_through": _straight_through}
    functions = {name: on_tensors(f) for name, f in {**{n: getattr(torch, n) for n in _UNARY}, **special}.items()}
    return Library(
        {**functions, "clip": clip, "where": where},
        all_of=lambda a, b: torch.as_tensor(a) & torch.as_tensor(b),
        any_of=lambda a, b: torch.as_tensor(a) | torch.as_tensor(b),
        negate=lambda a: ~torch.as_tensor(a),
        divide=_divided,
    )


def _divided(a: Any, b: Any) -> Any:
    """A quotient that is rounded once: torch makes ``number / tensor`` of a reciprocal and a product."""
    if isinstance(b, torch.Tensor) and not isinstance(a, torch.Tensor):
        return torch.full((), a, dtype=b.dtype, device=b.device) / b
    return a / b
