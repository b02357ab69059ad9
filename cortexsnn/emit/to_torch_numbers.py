"""Numbers on their way into a network: inputs checked, trainable numbers held in bounds, propagators as tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ..errors import InputError
from ..expression import compile_tree
from ..program import Propagator
from .to_torch_library import torch_library


def real_rows(name: str, given: Any) -> torch.Tensor:
    try:
        rows = torch.as_tensor(given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"inputs.{name}: expected a tensor (step, trial, channel); {error!s:.100}") from None
    if rows.is_complex():
        raise InputError(f"inputs.{name}: expected real numbers, got {rows.dtype}; convert it")
    return rows


def check_rows(name: str, rows: torch.Tensor, spikes: bool) -> None:
    """Refuse NaN and infinity, and spikes that are neither 0 nor 1; with as few passes as that takes."""
    if spikes:
        squares = rows.detach() * rows.detach()  # 0, 1 and infinity are their own squares, nothing else is
        if torch.equal(squares, rows.detach()) and float(squares.sum()) < float("inf"):
            return
    if not bool(torch.isfinite(rows).all()):
        raise InputError(f"inputs.{name}: NaN or infinity among the numbers; give finite ones")
    if spikes:
        raise InputError(f"inputs.{name}: spikes are 0 or 1; for graded values declare the input with kind: current")


def capturing(tensor: torch.Tensor) -> bool:
    """Whether a CUDA graph is being captured: nothing may then wait for the GPU, so numbers cannot be looked at."""
    return tensor.is_cuda and torch.cuda.is_current_stream_capturing()


def clamp(values: torch.Tensor, low: float, high: float) -> None:
    if capturing(values) or bool((values < low).any()) or bool((values > high).any()):
        values.clamp_(low, high)


def propagate(propagator: Propagator, env: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Entries of P and Q by ``torch.linalg.matrix_exp``, differentiable."""
    n = len(propagator.states)
    like = env["dt"]
    library = torch_library(like.dtype)
    entries = [
        torch.as_tensor(compile_tree(t, library)(env), dtype=like.dtype, device=like.device)
        for row in propagator.matrix
        for t in row
    ]
    stacked = torch.stack(torch.broadcast_tensors(*(e.reshape(-1) for e in entries)), dim=-1)
    a = stacked.view(-1, n, n)
    top = torch.cat([a, torch.eye(n).to(a).expand_as(a)], dim=2)
    block = torch.cat([top, torch.zeros_like(top)], dim=1)
    result = torch.linalg.matrix_exp(block * like)
    return {
        propagator.name(kind, i, j): result[:, i, offset + j]
        for i in range(n) for j in range(n) for kind, offset in (("P", 0), ("Q", n))
    }  # fmt: skip
