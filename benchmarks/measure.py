"""What benchmarks share: a program run and watched from outside, medians, the file that a benchmark leaves."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from cortexsnn.recording import installed

HERE = Path(__file__).parent
_LAUNCH = """
import json, os, subprocess, sys, time
start = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(process.pid, 0)
print(json.dumps([time.perf_counter() - start, used.ru_maxrss / 1e3, status]))
"""
"""A new process begins with the peak memory of the one that starts it, so a small one does."""


def run_program(command: Sequence[str], folder: Path) -> tuple[float, float]:
    """Time [s] and peak memory [MB] of a command; of compilers and other children it counts nothing.

    Raises
    ------
    RuntimeError
        It failed.
    """
    launched = [sys.executable, "-S", "-E", "-c", _LAUNCH, *command]
    found = subprocess.run(launched, cwd=folder, capture_output=True, text=True, check=True)
    seconds, megabytes, status = json.loads(found.stdout)
    if status:
        raise RuntimeError(f"{' '.join(command)} ended with {status}: {found.stderr[-500:]}")
    return seconds, megabytes


def alternating(repeats: int, *runs: Callable[[], tuple[float, float]]) -> list[tuple[float, float]]:
    """Medians of time and memory of several runs that take turns, so that a busy moment hits all of them."""
    found: list[list[tuple[float, float]]] = [[] for _ in runs]
    for _ in range(repeats):
        for kept, run in zip(found, runs, strict=True):
            kept.append(run())
    return [(median(t for t, _ in kept), median(m for _, m in kept)) for kept in found]


def in_turns(repeats: int, runs: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Median time [s] of several functions that take turns; each was called once before."""
    for run in runs.values():
        run()
    found: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            found[name].append(time.perf_counter() - start)
    return {name: median(seconds) for name, seconds in found.items()}


def row(
    case: str, value: float, unit: str, peer: str | None = None, peer_value: float | None = None, **more: Any
) -> dict[str, Any]:
    """One line of a result; ``ratio`` is the peer's value in units of ours: how much less we need."""
    ratio = peer_value / value if peer_value is not None and value else None
    found = {"case": case, "value": value, "unit": unit, "peer": peer, "peer_value": peer_value, "ratio": ratio, **more}
    print(json.dumps(found), file=sys.stderr)
    return found


def write(
    name: str,
    rows: Sequence[dict[str, Any]],
    packages: Sequence[str] = ("cortexsnn", "brian2", "numpy"),
    **parts: str | None,
) -> None:
    """``benchmarks/results/NAME.json``. ``parts``: what else the machine has, such as a GPU."""
    versions = {package: installed(package) or "not installed" for package in packages}
    machine = {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "processor": _processor(),
        "python": platform.python_version(),
        **parts,
    }
    path = HERE / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"machine": machine, "versions": versions, "rows": list(rows)}, indent=2) + "\n")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
