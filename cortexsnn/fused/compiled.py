"""Kernels compiled with g++, kept in the cache of compiled programs, and called on the threads that torch's own operations have."""

from __future__ import annotations

import ctypes
import hashlib
import shutil
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path

import torch

from ..emit.compilers import Compiler, processor
from ..emit.program_cache import ProgramCache
from ..errors import EngineError
from .cpp import HEADER, Kernel

_FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-std=c++17", "-w")
_CONTRACTION = {"double": "-ffp-contract=off", "float": "-ffp-contract=fast"}
"""In double precision sums and products round as in every engine; in single precision speed comes first."""


def number_of(dtype: torch.dtype) -> str:
    """The C++ type of a kernel's numbers."""
    return "float" if dtype == torch.float32 else "double"


@cache
def why_not() -> str | None:
    """Why kernels cannot be compiled here, None if they can."""
    if shutil.which("g++") is None:
        return "no C++ compiler: install g++"
    return ProgramCache().why_not_written()


def refuse_twice() -> None:
    """Refuse a derivative from which another is to be taken, which would leave out all that went through a kernel.

    Raises
    ------
    EngineError
        Called within a backward pass with ``create_graph=True``.
    """
    if torch.is_grad_enabled():
        raise EngineError("compiled kernels have no gradients of gradients; make the network with fused=False")


class Function:
    """A compiled kernel."""

    def __init__(self, kernel: Kernel, number: str) -> None:
        self.kernel = kernel
        key = hashlib.sha256(
            "\0".join((kernel.text, number, _header(), *_FLAGS, _CONTRACTION[number], *_openmp(), processor())).encode()
        ).hexdigest()[:32]
        library = ProgramCache().program(f"fused-{key}", lambda folder: _compile(kernel, number, folder)) / "main"
        self._library = ctypes.CDLL(str(library))
        self._kernel = self._library[kernel.name]
        self._call = self._library["in_threads"]
        self._call.restype = None
        self._call.argtypes = [*[ctypes.c_void_p] * 3, ctypes.c_int64, ctypes.c_int64]

    def __call__(self, arrays: Mapping[str, torch.Tensor], sizes: Mapping[str, int], units: int) -> None:
        """Run all units of work; arrays are contiguous, on the CPU, and of the kernel's number where they are not indices."""
        pointers = (ctypes.c_void_p * len(self.kernel.arrays))(*(arrays[n].data_ptr() for n in self.kernel.arrays))
        numbers = (ctypes.c_int64 * len(self.kernel.sizes))(*(sizes[n] for n in self.kernel.sizes))
        threads = max(1, min(torch.get_num_threads(), units))
        self._call(self._kernel, pointers, numbers, units, threads)


@cache
def _openmp() -> tuple[str, ...]:
    """What to link for OpenMP: nothing where torch has brought its own, for a second pool of threads would wait beside the first."""
    return () if hasattr(ctypes.CDLL(None), "GOMP_parallel") else ("-fopenmp",)


@cache
def _header() -> str:
    return resources.files(__package__).joinpath("fused.h").read_text()


def _compile(kernel: Kernel, number: str, folder: Path) -> None:
    reason = why_not()
    if reason:
        raise EngineError(f"fused kernels cannot be compiled here: {reason}; or make the network with fused=False")
    (folder / "fused.h").write_text(_header())
    (folder / "kernel.cpp").write_text(kernel.text)
    compiler = Compiler(
        "g++",
        ["g++"],
        folder,
        without_space="free some space, or name another folder in CORTEXSNN_CACHE",
        otherwise="this is an error of the package or of the compiler; please report it",
    )
    compiler(*_FLAGS, _CONTRACTION[number], "-fopenmp", "-I.", "-c", "kernel.cpp", "-o", "kernel.o")
    compiler("-shared", "kernel.o", "-o", "main", *_openmp())


@cache
def by_hand(name: str, body: str, arrays: tuple[str, ...], sizes: tuple[str, ...], dtype: torch.dtype) -> Function:
    """A function of a text that is not generated, for numbers of type T."""
    number = number_of(dtype)
    return function(Kernel(name, f"{HEADER}typedef {number} T;\n{body}", arrays, sizes), number)


@lru_cache(maxsize=256)
def function(kernel: Kernel, number: str) -> Function:
    """The compiled form of a kernel, loaded once per process."""
    return Function(kernel, number)
