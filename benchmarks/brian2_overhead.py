"""Programs that the package generates against Brian2 scripts written by hand: build, run, memory, in one run.

``make bench NAME=brian2_overhead``. Both sides simulate one biological second of cuba, coba, brunel2000 (state C) and
potjans_diesmann2014 at 10 %, and record all spikes. The scripts (``peers/brian2_networks.py``) use Brian2's own settings, that is
-O3, -ffast-math and -march=native, and two compilers at a time; ours round as numpy does. Build: a new Python process from its
start to a compiled program, connections drawn included on our side. Run: the compiled program from start to end, which
includes drawing the connections on theirs and reading them on ours. Medians of runs that take turns.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measure import HERE, alternating, row, run_program, write

CASES: dict[str, dict[str, Any]] = {
    "cuba": {},
    "coba": {},
    "brunel2000": {"state": "C"},
    "potjans_diesmann2014": {"scale": 0.1},
}
PREPARE = """
import json, sys
from pathlib import Path
from cortexsnn import load, realise
from cortexsnn.emit import to_brian2_program as programs
from cortexsnn.emit.program_cache import ProgramCache
from cortexsnn.lower import lower
from cortexsnn.run import prepare

name, arguments, folder = sys.argv[1], json.loads(sys.argv[2]), Path(sys.argv[3])
circuit = load(name, **arguments)
job = prepare(circuit, lower(circuit), realise(circuit, 0), duration="1 second")
program = ProgramCache().program(programs.key([job]), lambda new: programs.build([job], new))
folder.mkdir()
programs.lay_out(program, folder, [job])
(folder / "main").symlink_to(program / "main")
"""


def build_ours(name: str, arguments: dict[str, Any], folder: Path) -> float:
    """Seconds from nothing to a compiled program with its numbers in ``folder``."""
    import json

    environment = {**os.environ, "CORTEXSNN_CACHE": str(folder.parent / f"programs_{name}")}
    start = time.perf_counter()
    command = [sys.executable, "-c", PREPARE, name, json.dumps(arguments), str(folder)]
    subprocess.run(command, env=environment, check=True)
    return time.perf_counter() - start


def build_theirs(name: str, folder: Path) -> float:
    """Seconds from nothing to a compiled program of the hand-written script."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "peers.brian2_networks", name, str(folder), "1"]
    subprocess.run(command, cwd=HERE, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    rows = []
    for name, arguments in CASES.items():
        with tempfile.TemporaryDirectory(prefix="cortexsnn-bench-") as temporary:
            ours, theirs = Path(temporary) / "ours", Path(temporary) / "theirs"
            built, built_theirs = build_ours(name, arguments, ours), build_theirs(name, theirs)
            (time_ours, memory_ours), (time_theirs, memory_theirs) = alternating(
                options.repeats,
                lambda ours=ours: run_program(["./main", "--results_dir", "results/"], ours),  # type: ignore[misc]
                lambda theirs=theirs: run_program(["./main"], theirs),  # type: ignore[misc]
            )
        peer = "hand-written Brian2 script"
        rows += [
            row(f"{name}: build", built, "s", peer, built_theirs),
            row(f"{name}: run of 1 s", time_ours, "s", peer, time_theirs),
            row(f"{name}: peak memory", memory_ours, "MB", peer, memory_theirs),
        ]
    write("brian2_overhead", rows)


if __name__ == "__main__":
    main()
