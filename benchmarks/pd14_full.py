"""The microcircuit of Potjans and Diesmann at full scale, 77 169 cells and 299 million connections, beside a Brian2 script by hand.

``make bench NAME=pd14_full`` (about ten minutes; 20 GB of memory and of disk). One biological second. For ours, drawing the connections,
building, loading them and running are told apart. The script connects with a probability, without the paper's exact numbers and
multiple connections: lists of that length do not fit into memory beside what Brian2 makes of them. ``--skip-peer`` leaves it out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from measure import HERE, row, run_program, write

OURS = """
import json, resource, sys, time
from pathlib import Path
from cortexsnn import load, realise
from cortexsnn.emit import to_brian2_program as programs
from cortexsnn.emit.program_cache import ProgramCache
from cortexsnn.lower import lower
from cortexsnn.run import prepare

folder, main_arguments = Path(sys.argv[1]), sys.argv[2:]
sys.path.insert(0, sys.argv[2])
from measure import run_program
circuit = load("potjans_diesmann2014", scale=1.0)
start = time.perf_counter(); realisation = realise(circuit, 1); drawn = time.perf_counter() - start
found = {"drawn": drawn, "synapses": sum(e.pre.size for e in realisation.edges.values())}
program = None
for ms in (1, 1000):
    job = prepare(circuit, lower(circuit), realisation, duration=f"{ms} ms")
    start = time.perf_counter()
    program = ProgramCache().program(programs.key([job]), lambda new: programs.build([job], new))
    found.setdefault("build", time.perf_counter() - start)
    run = folder / str(ms)
    run.mkdir()
    programs.lay_out(program, run, [job])
    found[str(ms)] = run_program([str(program / "main"), *programs.ARGUMENTS], run)
found["python_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
rates = {}
import numpy as np
for name, p in circuit.populations.items():
    steps = np.fromfile(folder / "1000" / "results" / f"j0.{name}.spikes.step", np.int32)
    rates[name] = float((steps >= 2000).sum() / 0.8 / p.n)
found["rates"] = rates
print(json.dumps(found))
"""
AUTHORS = [0.903, 2.965, 4.414, 5.876, 7.569, 8.633, 1.105, 7.829]
PORT = [0.90, 2.80, 4.39, 5.70, 6.80, 8.22, 1.14, 7.60]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--skip-peer", action="store_true")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="cortexsnn-bench-") as temporary:
        folder = Path(temporary)
        environment = {**os.environ, "CORTEXSNN_CACHE": str(folder / "programs")}
        done = subprocess.run(
            [sys.executable, "-c", OURS, temporary, str(HERE)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        ours = json.loads(done.stdout)
    load, run = ours["1"][0], ours["1000"][0] - ours["1"][0]
    peer: dict[str, float | None] = dict.fromkeys(("build", "load", "run", "memory", "python"))
    if not options.skip_peer:
        with tempfile.TemporaryDirectory(prefix="cortexsnn-bench-") as temporary:
            command = [sys.executable, "-m", "peers.brian2_networks", "potjans_diesmann2014_full", temporary, "1"]
            peer["build"], peer["python"] = run_program(command, HERE)
            total, peer["memory"] = run_program(["./main"], Path(temporary))
            peer["run"] = float(Path(temporary, "results", "last_run_info.txt").read_text().split()[0])
            peer["load"] = total - peer["run"]
    by_hand = "hand-written Brian2 script"
    rows = [
        row("drawing connections and building the program", ours["drawn"] + ours["build"], "s", by_hand, peer["build"], drawing_s=ours["drawn"]),
        row("loading connections", load, "s", by_hand, peer["load"]),
        row("time for a biological second", run, "s", by_hand, peer["run"]),
        row("peak memory of the program", ours["1000"][1], "MB", by_hand, peer["memory"]),
        row("peak memory of Python", ours["python_mb"], "MB", by_hand, peer["python"]),
        row("connections", ours["synapses"], "1"),
    ]  # fmt: skip
    for (name, rate), authors, port in zip(ours["rates"].items(), AUTHORS, PORT, strict=True):
        rows.append(row(f"rate of {name}", rate, "1/s", "authors' implementation, one run", authors, netpyne_port=port))
    write("pd14_full", rows)
    print(
        f"largest deviation from the authors' rates: {np.max(np.abs(np.array(list(ours['rates'].values())) / AUTHORS - 1)):.1%}"
    )


if __name__ == "__main__":
    main()
