"""Generated CUDA programs on the CPU: ``cuda_on_cpu.h`` in place of CUDA, thrust and curand, one thread per block, compiled by g++.

What a program computes then depends on what the generated code says and on the order of its calls, not on a GPU.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_HERE = Path(__file__).parent
_LAUNCH = re.compile(r"\b(\w+)<<<(.*?)>>>\(", re.DOTALL)
_REPLACED = ("cuda", "cuda_profiler_api", "curand", "curand_kernel")
_THRUST = (
    "copy",
    "count",
    "device_vector",
    "execution_policy",
    "host_vector",
    "reduce",
    "sort",
    "system_error",
    "unique",
)
_FLAGS = ("-x", "c++", "-std=c++17", "-O1", "-w", "-ffp-contract=off", "-I.", "-Iempty", "-include", "cuda_on_cpu.h")


def compile_on_cpu(sources: Path, folder: Path, like: Path | None = None) -> None:
    """Compile generated sources to ``folder / "main"``; files that are the same in ``like``, compiled before, are taken from there."""
    shutil.copytree(sources, folder)
    shutil.copy(_HERE / "cuda_on_cpu.h", folder)
    for name in (*_REPLACED, *(f"thrust/{name}" for name in _THRUST)):
        empty = folder / "empty" / f"{name}.h"
        empty.parent.mkdir(parents=True, exist_ok=True)
        empty.touch()
    for file in [*folder.rglob("*.cu"), *folder.rglob("*.h")]:
        file.write_text(_LAUNCH.sub(r"launch(\1, \2)(", file.read_text()))
    units = [path.relative_to(folder) for path in sorted(folder.rglob("*.cu"))]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(lambda unit: _compile(folder, unit, like), units))
    _gcc(folder, [*(f"{unit}.o" for unit in units), "-o", "main"])


def _compile(folder: Path, unit: Path, like: Path | None) -> None:
    if like is not None and (like / unit).is_file() and (like / unit).read_bytes() == (folder / unit).read_bytes():
        shutil.copy(like / f"{unit}.o", folder / f"{unit}.o")
    else:
        _gcc(folder, [*_FLAGS, "-c", str(unit), "-o", f"{unit}.o"])


def _gcc(folder: Path, arguments: list[str]) -> None:
    done = subprocess.run(["g++", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:3000]


def run(folder: Path) -> None:
    """Run a program that :func:`compile_on_cpu` made."""
    (folder / "results").mkdir(exist_ok=True)
    command = [str(folder / "main"), "--results_dir", "results/"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "ERROR" not in done.stdout + done.stderr
