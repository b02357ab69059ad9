"""The leaky integrate-and-fire cell of ``torch_kernels`` fused by hand in numba: what the choice of C++ is measured against."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import pi
from typing import Any

import numba
import numpy as np
import torch


@numba.njit(parallel=True, fastmath=False)
def _forward(x: np.ndarray, spikes: np.ndarray, decay: np.float32) -> None:
    steps, n = x.shape
    block = 4096
    for k in numba.prange((n + block - 1) // block):
        v = np.zeros(block, np.float32)
        for t in range(steps):
            for j in range(k * block, min(n, (k + 1) * block)):
                u = decay * v[j - k * block] + x[t, j]
                fired = u > np.float32(1)
                spikes[t, j] = np.float32(1) if fired else np.float32(0)
                v[j - k * block] = u - np.float32(1) if fired else u


@numba.njit(parallel=True, fastmath=False)
def _reverse(x: np.ndarray, to_spikes: np.ndarray, to_x: np.ndarray, decay: np.float32) -> None:
    steps, n = x.shape
    block = 4096
    for k in numba.prange((n + block - 1) // block):
        path = np.zeros((steps + 1, block), np.float32)
        back = np.zeros(block, np.float32)
        first, last = k * block, min(n, (k + 1) * block)
        for t in range(steps):
            for j in range(first, last):
                u = decay * path[t, j - first] + x[t, j]
                path[t + 1, j - first] = u - np.float32(1) if u > np.float32(1) else u
        for t in range(steps - 1, -1, -1):
            for j in range(first, last):
                u = decay * path[t, j - first] + x[t, j]
                y = np.float32(pi) * (u - np.float32(1))
                adjoint = back[j - first] + to_spikes[t, j] / (np.float32(1) + y * y)
                to_x[t, j] = adjoint
                back[j - first] = decay * adjoint


class _Cells(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, decay: float) -> torch.Tensor:
        ctx.save_for_backward(x)
        ctx.decay = np.float32(decay)
        spikes = torch.empty_like(x)
        _forward(x.detach().numpy().reshape(len(x), -1), spikes.numpy().reshape(len(x), -1), ctx.decay)
        return spikes

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        (x,) = ctx.saved_tensors
        to_x = torch.empty_like(x)
        flat = (len(x), -1)
        _reverse(
            x.numpy().reshape(flat),
            gradients[0].contiguous().numpy().reshape(flat),
            to_x.numpy().reshape(flat),
            ctx.decay,
        )
        return to_x, None


def lif(shape: tuple[int, int, int], decay: float = 0.5) -> tuple[Callable[[], object], float]:
    """Forward and backward as a function, and the seconds of the first call."""
    numba.set_num_threads(torch.get_num_threads())
    generator = torch.Generator().manual_seed(0)
    x, weights = torch.rand(shape, generator=generator).requires_grad_(), torch.rand(shape, generator=generator)

    def run() -> None:
        torch.autograd.backward(_Cells.apply(x, decay), weights)
        x.grad = None

    start = time.perf_counter()
    run()
    return run, time.perf_counter() - start
