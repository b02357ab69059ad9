"""Kernels of Triton's text, for CUDA: written to the cache of programs, imported from there, compiled by Triton for the GPU."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec, module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import torch

from ..emit.program_cache import ProgramCache
from .cpp import Kernel

BLOCK = 256
"""Cells of a program that holds some cells."""
LARGEST_BLOCK = 16384
"""Cells that a program can hold which needs all of a trial."""


def why_not() -> str | None:
    """Why Triton's kernels cannot run here, None if they can."""
    return None if find_spec("triton") else "Triton is not installed: pip install triton"


class TritonFunction:
    """A kernel; ``by_trial`` where a program holds all cells of a trial."""

    def __init__(self, kernel: Kernel, number: str, by_trial: bool) -> None:
        self.kernel, self.number, self.by_trial = kernel, number, by_trial
        digest = hashlib.sha256(kernel.text.encode()).hexdigest()[:32]
        folder = ProgramCache().program(f"triton-{digest}", lambda new: _write(kernel, new))
        name = f"cortexsnn_triton_{digest}"
        loader = SourceFileLoader(name, str(folder / "main"))
        spec = spec_from_loader(name, loader)
        assert spec is not None
        module = module_from_spec(spec)
        loader.exec_module(module)
        self._kernel: Any = getattr(module, kernel.name)

    def __call__(self, arrays: Mapping[str, torch.Tensor], sizes: Mapping[str, int]) -> None:
        """Run all cells of all trials."""
        cells, trials = sizes["cells"], sizes["trials"]
        block = 1 << (cells - 1).bit_length() if self.by_trial else BLOCK
        grid = (trials if self.by_trial else -(-cells * trials // block),)
        given = [arrays[n] for n in self.kernel.arrays] + [sizes[n] for n in self.kernel.sizes]
        # In double precision products and sums are rounded one by one, as torch does.
        self._kernel[grid](*given, BLOCK=block, BY_TRIAL=self.by_trial, enable_fp_fusion=self.number == "float")


def _write(kernel: Kernel, folder: Path) -> None:
    (folder / "main").write_text(kernel.text)


@lru_cache(maxsize=256)
def function(kernel: Kernel, number: str, by_trial: bool) -> TritonFunction:
    """The kernel, imported once per process."""
    return TritonFunction(kernel, number, by_trial)
