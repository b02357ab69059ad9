"""The compiled CUDA program of a circuit against its C++ program on the same machine: time of a run, and how long all spikes are the same.

``make bench NAME=brian2_cuda`` on a machine with an NVIDIA GPU and what ``cortexsnn doctor`` asks for. A run is the program from start to
end, its numbers read and its results written; medians of runs that take turns. Both programs are taken from the cache or built first:
``--build-only`` does that much, for which CUDA programs need nvcc but no GPU (they are compiled for ``GENERIC_CAPABILITY`` then).

Networks are chaotic and CUDA adds the conductances of a step in any order, so spikes part at some moment, which is reported.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from measure import alternating, row, run_program, write

import cortexsnn as cx
from cortexsnn.emit import cuda_toolkit, to_brian2_cuda, to_brian2_program
from cortexsnn.emit.program_cache import ProgramCache
from cortexsnn.emit.to_brian2_program import ARGUMENTS
from cortexsnn.job import Events, Job
from cortexsnn.lower import lower
from cortexsnn.realise import realise
from cortexsnn.run import prepare


def coba(times: int) -> cx.Circuit:
    """The network with so many times the cells, each with as many inputs as before."""
    data = cx.load("coba").model_dump()
    for population in data["populations"].values():
        population["size"] *= times
    for projection in data["projections"].values():
        projection["connect"]["probability"] /= times
    return cx.Circuit.model_validate(data)


CASES = {
    "coba, 4 000 cells": (lambda: coba(1), "1 second"),
    "coba, 40 000 cells": (lambda: coba(10), "1 second"),
    "hodgkin_huxley, 4 000 cells": (lambda: cx.load("hodgkin_huxley"), "300 ms"),
}


def cuda_program(job: Job, folder: Path, build_only: bool) -> Path:
    """Sources and numbers in ``folder``; the compiled program, which lies in the cache."""
    to_brian2_cuda.generate([job], folder)
    toolkit = cuda_toolkit.require_compiler() if build_only else cuda_toolkit.require()
    return to_brian2_cuda.program(folder, toolkit)


def cpp_program(job: Job, folder: Path) -> Path:
    """As :func:`cuda_program`."""
    program = ProgramCache().program(to_brian2_program.key([job]), lambda new: to_brian2_program.build([job], new))
    to_brian2_program.lay_out(program, folder, [job])
    return program / "main"


def same_until(job: Job, left: dict[str, Events], right: dict[str, Events]) -> float:
    """Time [ms] of the first step in which a spike is in one and not in the other; the duration if there is none."""
    first = job.n_steps
    for name in left:
        steps = [{*zip(e.step.tolist(), e.neuron.tolist(), strict=True)} for e in (left[name], right[name])]
        first = min([first, *(step for step, _ in steps[0] ^ steps[1])])
    return first * job.program.dt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--build-only", action="store_true")
    options = parser.parse_args()
    os.environ |= cuda_toolkit.runtime_environment()  # where curand's library is
    rows = []
    for name, (make, duration) in CASES.items():
        circuit = make()
        job = prepare(circuit, lower(circuit), realise(circuit, 0), duration=duration)
        with tempfile.TemporaryDirectory(prefix="cortexsnn-bench-") as temporary:
            cuda, cpp = Path(temporary) / "cuda", Path(temporary) / "cpp"
            cpp.mkdir()
            programs = cuda_program(job, cuda, options.build_only), cpp_program(job, cpp)
            print(f"{name}: programs are there", file=sys.stderr)
            if options.build_only:
                continue
            found = to_brian2_cuda.execute(programs[0], cuda, [job])[0]
            reference = to_brian2_program.execute(programs[1].parent, [job])[0]
            ours, theirs = alternating(
                options.repeats,
                lambda main=programs[0], folder=cuda: run_program([str(main), *ARGUMENTS], folder),  # type: ignore[misc]
                lambda main=programs[1], folder=cpp: run_program([str(main), *ARGUMENTS], folder),  # type: ignore[misc]
            )
        spikes = sum(len(e.step) for e in found.spikes.values())
        expected = sum(len(e.step) for e in reference.spikes.values())
        rows += [
            row(f"{name}: run of {duration}", ours[0], "s", "C++ program, one core", theirs[0]),
            row(f"{name}: spikes", spikes, "spikes", "C++ program", expected),
            row(f"{name}: all spikes the same until", same_until(job, found.spikes, reference.spikes), "ms"),
        ]
    if not options.build_only:
        device = cuda_toolkit.gpu()
        write("brian2_cuda", rows, ("cortexsnn", "brian2", "brian2cuda", "numpy"), gpu=device.name if device else None)


if __name__ == "__main__":
    main()
