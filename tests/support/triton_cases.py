"""Triton's kernels against torch operations: ``python triton_cases.py DEVICE CASE…``; prints the worst differences of each case.

On "cpu" the kernels run in Triton's interpreter, whose switch is an environment variable read at import: hence a process of its
own. Recurrent components go step by step, as on a GPU.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

DEVICE = sys.argv[1]
if DEVICE == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"

import numpy as np
import torch
import triton.language as tl
from triton.language.extra import libdevice
from triton.runtime.interpreter import TensorHandle

import everything_trainable as trainable
from cortexsnn.emit.to_torch_fused import FusedComponents
from fused_circuits import CIRCUITS

LIBRARY = {
    "expm1": np.expm1, "log1p": np.log1p, "log10": np.log10, "tan": np.tan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh,
    "atan": np.arctan, "asin": np.arcsin, "acos": np.arccos,
}  # fmt: skip
"""Functions of CUDA's library, which the interpreter lacks."""


def interpret() -> None:
    """Let networks on the CPU take the way of a GPU."""

    def on_numbers(function: Callable[[np.ndarray], np.ndarray]) -> Callable[[Any], Any]:
        def call(x: Any) -> Any:
            values = function(x.handle.data).astype(x.handle.data.dtype)
            return tl.core.tensor(TensorHandle(values, x.handle.dtype), x.type)

        return call

    for name, function in LIBRARY.items():
        setattr(libdevice, name, on_numbers(function))
    FusedComponents._on_gpu = property(lambda self: True)  # type: ignore[assignment, method-assign]
    FusedComponents.why_not = FusedComponents._why_not_on_gpu  # type: ignore[method-assign]


def worst(name: str) -> tuple[float, float, float]:
    """Largest differences of what is returned and of gradients, relative to the largest entry; the number of spikes."""
    circuit, inputs, n_steps, n_trials = CIRCUITS[name]()
    networks = [network.to(DEVICE) for network in trainable.networks(circuit)]
    networks[1].fused = None
    rows = {n: torch.tensor(np.asarray(r, float), device=DEVICE) for n, r in (inputs or {}).items()} or None
    found = []
    for network in networks:
        outputs, _ = network(rows, None, None if rows else n_steps, n_trials)
        generator, loss = torch.Generator().manual_seed(1), torch.zeros((), dtype=torch.float64, device=DEVICE)
        for values in (v for population in outputs.values() for v in population.values()):
            scale = values.detach().abs().max().clamp(min=1e-3)
            mix = torch.rand(values.shape, generator=generator, dtype=torch.float64).to(DEVICE)
            loss = loss + (values / scale * mix).sum()
        found.append((outputs, trainable.gradients(network, loss)))
    (eager, there), (fused, here) = found
    output = max(_difference(eager[p][n], fused[p][n]) for p in eager for n in eager[p])
    gradient = max(_difference(g, here[n]) if n in here else float(g.abs().max()) for n, g in there.items())
    return output, gradient, sum(float(o["spikes"].detach().sum()) for o in eager.values() if "spikes" in o)


def _difference(a: torch.Tensor, b: torch.Tensor) -> float:
    a, b = a.detach(), b.detach()
    return float((a - b).abs().max() / a.abs().max().clamp(min=1e-300))


if __name__ == "__main__":
    if DEVICE == "cpu":
        interpret()
    for case in sys.argv[2:]:
        print(case, *worst(case))
