"""A compiled Brian2 program: generated and built once, then run with any numbers that fit its structure."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from functools import cache, partial
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ..errors import EngineError
from ..job import SPIKES, Events, Job, Traces, numerical_error
from ..probes import split
from ..program import WEIGHT, Pathway, RuleStep
from .compilers import Compiler, largest_first, processor
from .program_cache import ProgramCache
from .to_brian2_compiled import Compiled, sources
from .to_brian2_network import JobNetwork, network_of
from .to_brian2_numbers import edge_groups, numbers, structure
from .to_brian2_session import brian_session

EXACT_FLAGS = (
    "-w", "-std=c++17", "-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math",
    "--param", "vect-max-version-for-alias-checks=1000",
)  # fmt: skip
"""No fast-math and no fused multiply-add: sums and products round as in numpy. The loops of a population touch more arrays than
the compiler would by default check for overlap, and would not be vectorised."""
_NOT_WRITTEN = 5
"""Exit code of ``cortexsnn.h`` for a full disk."""
_LARGE_RESULT = 2**27
"""Bytes of a result beyond which it is not read into memory."""


def run(jobs: Sequence[Job]) -> list[Traces]:
    """Run jobs in one compiled program, which is built if there is none yet.

    Raises
    ------
    EngineError
        No compiler, no space, or the program failed.
    NumericalError
        A state became NaN or infinite.
    """
    program = ProgramCache().program(key(jobs), lambda folder: build(jobs, folder))
    return execute(program, jobs)


def key(jobs: Sequence[Job]) -> str:
    """Name of the program that runs these jobs: what its code depends on, the code that writes it, flags and processor."""
    parts = [structure(jobs), EXACT_FLAGS, metadata.version("brian2"), _emitter(), processor()]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


@cache
def _emitter() -> str:
    """Digest of this package's code generation."""
    digest = hashlib.sha256()
    for file in sorted(resources.files(__package__).iterdir(), key=lambda f: f.name):
        if file.name.startswith("to_brian2") or file.name == "cortexsnn.h":
            digest.update(file.read_bytes())
    return digest.hexdigest()


def build(jobs: Sequence[Job], folder: Path) -> None:
    """Generate and compile into ``folder``, which then holds ``main`` and ``static_arrays``."""
    if shutil.which("g++") is None:
        raise EngineError("target 'cpp_standalone' needs a C++ compiler; install g++ or use target='numpy'")
    generate(jobs, folder)
    compile_program(folder)
    for entry in folder.iterdir():
        if entry.name not in ("main", "static_arrays"):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def generate(jobs: Sequence[Job], folder: Path) -> None:
    """Write the sources of a program."""
    import brian2 as b2

    with brian_session("cpp_standalone", folder) as run_network:
        b2.prefs["codegen.cpp.headers"] = ['"hooks.h"']
        alone = len(jobs) == 1
        parts = [JobNetwork(job, f"j{k}_", partial(Compiled, number=k, alone=alone)) for k, job in enumerate(jobs)]
        supplies: list[Any] = [part.supply for part in parts]
        network = network_of(parts)
        header, code = sources(supplies)
        (folder / "cortexsnn.h").write_bytes(resources.files(__package__).joinpath("cortexsnn.h").read_bytes())
        (folder / "hooks.h").write_text(header)
        (folder / "hooks.cpp").write_text(code)
        b2.device.insert_code("main", "cortexsnn_open();")
        b2.device.insert_code("before_end", "cortexsnn_close();")
        run_network(network, jobs[0].program.dt)
        for kind, arguments in b2.device.main_queue:
            if kind == "run_network":
                lines = arguments[1]
                run_line = next(k for k, line in enumerate(lines) if ".run(" in line)
                lines[run_line] = f"{arguments[0].name}.run(cortexsnn_duration(), NULL, 10.0);"
        filled = set().union(*(supply.filled for supply in supplies))
        b2.device.main_queue[:] = [
            (kind, arguments)
            for kind, arguments in b2.device.main_queue
            if not (kind == "before_run_code_object" and arguments[0].name in filled)
        ]
        b2.device.build(directory=str(folder), compile=False, run=False, clean=False, with_output=False)


def compile_program(folder: Path) -> None:
    """Compile all sources of a folder and link them to ``main``.

    Raises
    ------
    EngineError
        With the compiler's first complaint.
    """
    compiler = Compiler(
        "g++",
        ["g++", *EXACT_FLAGS, "-I."],
        folder,
        without_space="free some space, or name other folders in CORTEXSNN_CACHE and TMPDIR",
        otherwise="this is an error of the package or of the compiler; please report it",
    )
    join_sources(folder, os.cpu_count() or 1)
    # The lists of all arrays in objects.cpp run once: optimising them would take longer than everything else.
    objects = folder / "objects.cpp"
    objects.write_text('#pragma GCC optimize("O0")\n' + objects.read_text())
    compiler(
        *compiler.objects(largest_first([*folder.glob("*.cpp"), *folder.glob("brianlib/*.cpp")]), "-c"), "-o", "main"
    )


_FUNCTION = re.compile(r"^void (\w+)\(\)", re.MULTILINE)
_BODY = re.compile(r"^(////// SUPPORT CODE|void )", re.MULTILINE)


def join_sources(folder: Path, n_units: int) -> None:
    """Put Brian2's pieces of code, a file each, into ``n_units`` files: their headers then are parsed once.

    Every piece keeps its own namespace, for they define the same helpers; its functions are forwarded to.
    """
    pieces = largest_first([*(folder / "code_objects").glob("*.cpp")])
    for unit in range(min(n_units, len(pieces))):
        heads: dict[str, None] = {}
        bodies = []
        for k, piece in enumerate(pieces[unit::n_units]):
            text = piece.read_text()
            start = _BODY.search(text)
            head, body = (text[: start.start()], text[start.start() :]) if start else (text, "")
            heads |= dict.fromkeys(head.splitlines())
            forwards = "\n".join(f"void {name}() {{ piece{k}::{name}(); }}" for name in _FUNCTION.findall(body))
            bodies.append(f"namespace piece{k} {{\n{body}\n}}\n{forwards}\n")
        (folder / f"pieces{unit}.cpp").write_text("\n".join([*heads, *bodies]))


def execute(program: Path, jobs: Sequence[Job]) -> list[Traces]:
    """Run a built program in a folder of its own, which does not outlive the run."""
    with tempfile.TemporaryDirectory(prefix="cortexsnn-run-") as name:
        folder = Path(name)
        lay_out(program, folder, jobs)
        _run(program / "main", folder, jobs)
        return [_traces(folder / "results", k, job) for k, job in enumerate(jobs)]


ARGUMENTS = ("--results_dir", "results/")
"""Of a program that runs in a folder that was laid out for it."""


def lay_out(program: Path, folder: Path, jobs: Sequence[Job]) -> None:
    """Put into an empty folder what a program needs to run there."""
    write_numbers(folder, numbers(jobs))
    (folder / "results").mkdir()
    (folder / "static_arrays").symlink_to(program / "static_arrays")


def write_numbers(folder: Path, given: Iterable[tuple[str, np.ndarray]]) -> None:
    """Files that the program reads; what lies in a file already is linked."""
    data = folder / "data"
    data.mkdir()
    try:
        for name, values in given:
            path = _file_of(values)
            if path is not None:
                (data / name).symlink_to(path)
            else:
                np.ascontiguousarray(values).tofile(data / name)
    except OSError as error:
        raise EngineError(f"{data}: cannot be written ({error.strerror}); free some space, or set TMPDIR") from None


def _file_of(values: np.ndarray) -> Path | None:
    """The file that holds these numbers and nothing else."""
    if not isinstance(values, np.memmap) or values.filename is None or not values.flags.c_contiguous:
        return None
    path = Path(values.filename)
    return path if path.is_file() and path.stat().st_size == values.nbytes else None


def _run(main: Path, folder: Path, jobs: Sequence[Job]) -> None:
    total = max(job.n_steps * job.n_trials for job in jobs)
    errors = folder / "stderr.txt"
    bad = None
    with (
        errors.open("w") as stderr,
        subprocess.Popen([main, *ARGUMENTS], cwd=folder, stdout=subprocess.PIPE, stderr=stderr, text=True) as process,
        tqdm(total=total, unit="step", desc="Brian2", delay=5, leave=False, disable=None) as bar,
    ):
        try:
            for line in process.stdout or ():
                if line.startswith("done "):
                    bar.update(int(line.split()[1]) - bar.n)
                elif line.startswith("not finite: "):
                    bad = line.split()[2:]
        except BaseException:
            process.kill()
            raise
    if bad:
        job, population, variable, neuron, step, value = bad
        raise numerical_error(jobs[int(job)].program, population, variable, int(neuron), int(step), float(value))
    if process.returncode:
        said = " ".join(errors.read_text(errors="replace").split())[-300:]
        reason = f"signal {-process.returncode}" if process.returncode < 0 else f"code {process.returncode}"
        remedy = "; free some space, or set TMPDIR" if process.returncode == _NOT_WRITTEN else ""
        raise EngineError(f"the compiled Brian2 program ended with {reason}: {said or 'it said nothing'}{remedy}")


def _traces(results: Path, number: int, job: Job) -> Traces:
    found = Traces({}, {name: {} for name in job.probes})
    for name, probed in job.probes.items():
        for probe in probed:
            if probe == SPIKES:
                file = results / f"j{number}.{name}.spikes"
                columns = (
                    _read(file.with_name(f"{file.name}.{axis}"), np.int32) for axis in ("trial", "step", "neuron")
                )
                found.spikes[name] = Events(*columns)
            else:
                values = _read(results / f"j{number}.{name}.probe.{probe}", np.float64)
                shape = (job.n_trials, job.n_steps)
                found.values[name][probe] = values.reshape(shape if split(probe)[0] else (*shape, -1))
    for pathway in job.program.pathways:
        if pathway.rule:
            found.final[pathway.name] = _final(results, number, job, pathway, pathway.rule)
    return found


def _final(results: Path, number: int, job: Job, pathway: Pathway, rule: RuleStep) -> dict[str, np.ndarray]:
    """Plastic edges at the end of the run, (trial, edge)."""
    found = {name: np.empty((1, job.edges[pathway.name].pre.size)) for name in (WEIGHT, *rule.states)}
    for delay, chosen in edge_groups(job, pathway):
        for name, values in found.items():
            values[0, chosen] = _read(results / f"j{number}.{pathway.name}.{delay}.final.{name}", np.float64)
    return found


def _read(path: Path, dtype: Any) -> np.ndarray:
    """Numbers of a file; a large one stays on disk for as long as they are used, though its name is gone."""
    if path.stat().st_size > _LARGE_RESULT:
        return np.memmap(path, dtype, "c")
    return np.fromfile(path, dtype)
