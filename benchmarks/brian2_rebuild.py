"""Twenty runs of one circuit with twenty sets of weights: one build and its runs, against building each time.

``make bench NAME=brian2_rebuild``. The circuit is coba with its connections pinned and a weight of its own for each; a run is five
biological seconds (``--seconds``), and begins with a changed circuit and ends with a recording. Beside it stand the compiled program's bare runs
with one build, and what a script that builds each time takes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from measure import row, run_program, write

RUNS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5, help="biological seconds of a run")
    seconds = parser.parse_args().seconds

    import cortexsnn as cx
    from cortexsnn.emit import to_brian2_program as programs
    from cortexsnn.emit.program_cache import ProgramCache
    from cortexsnn.lower import lower
    from cortexsnn.recording import count_spikes
    from cortexsnn.run import prepare

    circuit = cx.load("coba")
    edges = cx.realise(circuit, 0).edges
    pinned: dict[str, Any] = {}
    for name, e in edges.items():
        pinned[f"projections.{name}.connect"] = {"edges": {"pre": cx.Array(e.pre), "post": cx.Array(e.post)}}
        pinned[f"projections.{name}.weight"] = cx.Array(np.array(e.weight), "nS")
    base = circuit.with_parameters(pinned)

    def weights(k: int) -> dict[str, Any]:
        random = np.random.default_rng(k)
        return {
            f"projections.{n}.weight": cx.Array(e.weight * random.uniform(0.9, 1.1, e.pre.size), "nS")
            for n, e in edges.items()
        }

    def simulate(k: int) -> int:
        changed = base.with_parameters(weights(k))
        return count_spikes(cx.simulate(changed, duration=f"{seconds} second", engine="brian2:cpp_standalone"))

    with tempfile.TemporaryDirectory(prefix="cortexsnn-bench-") as temporary:
        os.environ["CORTEXSNN_CACHE"] = temporary
        # Brian2 is imported and its caches are filled before either side: building another circuit.
        cx.simulate(cx.load("cuba"), duration="1 ms", engine="brian2:cpp_standalone")
        start = time.perf_counter()
        spikes = [simulate(k) for k in range(RUNS)]
        together = time.perf_counter() - start

        job = prepare(base, lower(base), cx.realise(base, 0), duration=f"{seconds} second")
        shutil.rmtree(temporary)
        start = time.perf_counter()
        program = ProgramCache().program(programs.key([job]), lambda folder: programs.build([job], folder))
        build = time.perf_counter() - start
        folder = Path(temporary) / "run"
        folder.mkdir()
        programs.lay_out(program, folder, [job])
        command = [str(program / "main"), *programs.ARGUMENTS]
        bare = median(run_program(command, folder)[0] for _ in range(RUNS))
    reference = build + RUNS * bare
    every_time = RUNS * (build + bare)
    rows = [
        row(
            f"{RUNS} runs of {seconds} s with {RUNS} sets of weights", together, "s", "one build and as many bare runs", reference,
            build_s=build, bare_run_s=bare, different_results=len(set(spikes)),
        ),
        row(f"{RUNS} runs of {seconds} s with {RUNS} sets of weights", together, "s", "a build before every run", every_time),
    ]  # fmt: skip
    write("brian2_rebuild", rows)


if __name__ == "__main__":
    main()
