"""Jobs to CUDA through brian2cuda: a program is generated, compiled with nvcc, and run where there is a GPU.

Each of the three can happen on another machine: what ``execute`` needs lies in the folder that ``generate`` wrote.

brian2cuda keeps the spikes of the last steps in a ring that moves on at the end of a step. Delays come out right only where a
pathway looks at spikes in the step in which they were emitted, after the threshold. In our schedule, spikes of a population
arrive in a slot before it, so here they are delivered in one more slot at the end of the step before: nothing lies between the two
but what other trials and inputs write. What arrives from populations is therefore added before what arrives from inputs, and the
order of additions within a projection is open, as brian2cuda adds with atomic operations: weights on a dyadic grid stay bitwise.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EngineError
from ..job import SPIKES, Job, Traces
from .compilers import Compiler, largest_first
from .cuda_toolkit import GENERIC_CAPABILITY, NVCC_FLAGS, Toolkit, gpu, require, require_compiler, runtime_environment
from .program_cache import ProgramCache
from .to_brian2_names import local
from .to_brian2_network import JobNetwork, network_of
from .to_brian2_numbers import gap, spent
from .to_brian2_plain import Plain, check_first_bad, events_of, in_trials
from .to_brian2_session import RUNTIME_FLAGS, brian_session

_ARRIVALS = "departed"
"""Slot after all others, in which spikes of populations are delivered."""
_RESULTS = "results.json"
"""Which file of results holds what; written by ``generate``, read by ``execute``."""
_OF_CLOCKS = re.compile(
    r"_array_\w*clock_(t|timestep)\[0\] = [\d.]+;|network\.add\(&\w+, (_run_random_number_buffer|NULL)\);"
)
"""Lines for every clock, in any order: Brian2 keeps clocks in a set."""
_COMPLAINT = re.compile(r"ERROR\b|Error (opening|reading|writing)|Could not read")
"""Lines with which a program reports what went wrong; after some of them it goes on as if nothing had happened."""
_PREFERENCES = "devices.cuda_standalone.cuda_backend"


def run(jobs: Sequence[Job]) -> list[Traces]:
    """Run jobs on the GPU, those with the same dt in one program; a program that was compiled before is used again.

    Raises
    ------
    EngineError
        Something is missing here, a compiler or the program failed.
    NumericalError
        A state became NaN or infinite.
    """
    toolkit = require()
    found: dict[int, Traces] = {}
    for dt in dict.fromkeys(job.program.dt for job in jobs):
        chosen = [k for k, job in enumerate(jobs) if job.program.dt == dt]
        found |= dict(zip(chosen, _run([jobs[k] for k in chosen], toolkit), strict=True))
    return [found[k] for k in range(len(jobs))]


def _run(jobs: Sequence[Job], toolkit: Toolkit) -> list[Traces]:
    with tempfile.TemporaryDirectory(prefix="cortexsnn-cuda-") as name:
        folder = Path(name)
        generate(jobs, folder)
        return execute(program(folder, toolkit), folder, jobs)


def program(folder: Path, toolkit: Toolkit) -> Path:
    """The compiled program of generated sources, which is built if there is none yet, for the GPU that is here."""
    device = gpu()
    capability = device.capability if device else GENERIC_CAPABILITY

    def build(place: Path) -> None:
        compile_program(folder, capability)
        shutil.move(folder / "main", place / "main")

    return ProgramCache().program(key(folder, toolkit, capability), build) / "main"


def key(folder: Path, toolkit: Toolkit, capability: float) -> str:
    """Name of the compiled program of generated sources: their text, flags, compiler and GPU. Numbers lie beside the sources."""
    digest = hashlib.sha256(repr((NVCC_FLAGS, RUNTIME_FLAGS, toolkit.version, capability)).encode())
    for file in sorted(p for p in folder.rglob("*") if p.suffix in (".cu", ".h")):
        text = _OF_CLOCKS.sub("", file.read_text())
        digest.update(f"{file.relative_to(folder)}\0{text}\0".encode())
    return f"cuda-{digest.hexdigest()[:32]}"


# -- generate -----------------------------------------------------------------------------------------------------------


def generate(jobs: Sequence[Job], folder: Path) -> None:
    """Write sources and numbers of a program. Neither nvcc nor a GPU is needed.

    Raises
    ------
    EngineError
        brian2cuda is missing, or the jobs have different dt: brian2cuda reads one clock where it means a pathway's own.
    """
    import brian2 as b2

    steps = {job.program.dt for job in jobs}
    if len(steps) != 1:
        raise EngineError(
            f"target 'cuda_standalone': one program has one dt, got {sorted(steps)}; generate one for each"
        )
    with _cuda_session(folder) as run_network:
        parts = [JobNetwork(job, f"j{k}_", Plain) for k, job in enumerate(jobs)]
        supplies: list[Any] = [part.supply for part in parts]
        for part in parts:
            _deliver_after_thresholds(part)
            _order_recorded(part.supply)
        network = network_of(parts, _ARRIVALS)
        # Synapses look at the default clock to see whether a delay has passed: something must make it tick.
        b2.defaultclock.dt = steps.pop() * b2.ms
        network.add(b2.NeuronGroup(1, "tick : 1", clock=b2.defaultclock, name="default_clock"))
        run_network(network, max(s.total_steps * s.job.program.dt for s in supplies))
        b2.device.build(directory=str(folder), compile=False, run=False, with_output=False)
        (folder / _RESULTS).write_text(json.dumps([_result_files(supply) for supply in supplies]))


@contextlib.contextmanager
def _cuda_session(folder: Path) -> Iterator[Callable[[Any, float], None]]:
    """``brian_session`` for CUDA: nothing is looked for on this machine, and brian2cuda's preferences are put back."""
    try:
        import brian2 as b2
        import brian2cuda
        from brian2cuda.utils import gputools
    except ImportError as error:
        remedy = "pip install 'cortexsnn[cuda]' with Python 3.12 or newer; or use target='cpp_standalone'"
        raise EngineError(f"target 'cuda_standalone': brian2cuda cannot be imported ({error}); {remedy}") from None
    del brian2cuda
    settings = {
        "detect_gpus": False,
        "gpu_id": 0,
        "compute_capability": GENERIC_CAPABILITY,
        "detect_cuda": False,
        "cuda_path": os.environ.get("CUDA_PATH", "/usr/local/cuda"),
        "cuda_runtime_version": 13.0,
        "extra_compile_args_nvcc": list(NVCC_FLAGS),
    }
    settings = {f"{_PREFERENCES}.{name}": value for name, value in settings.items()}
    before = {name: b2.prefs[name] for name in settings}
    logger = logging.getLogger("brian2.brian2cuda")
    level = logger.level
    try:
        logger.setLevel(logging.WARNING)  # it lists all its preferences
        for name, value in settings.items():
            b2.prefs[name] = value
        with brian_session("cuda_standalone", folder) as run_network:
            yield run_network
    finally:
        for name, value in before.items():
            b2.prefs[name] = value
        logger.setLevel(level)
        gputools.reset_cuda_installation()
        gputools.reset_gpu_selection()


def _deliver_after_thresholds(part: JobNetwork) -> None:
    named = {synapses.name: synapses for synapses in part.objects}
    for pathway in part.program.pathways:
        if spent(part.job, pathway) and f"{part.prefix}{pathway.name}_syn0" in named:
            named[f"{part.prefix}{pathway.name}_syn0"].go.when = _ARRIVALS


def _order_recorded(supply: Any) -> None:
    """Brian2 records a set of variables; in one order, the same circuit has the same sources in every process."""
    for monitor in supply.spike_monitors.values():
        recorded = monitor.template_kwds["record_variables"]
        monitor.template_kwds["record_variables"] = dict(sorted(recorded.items()))


def _result_files(supply: Plain) -> dict[str, Any]:
    """Names of the files that a program writes: spikes, states, and what was seen of NaN and infinity."""
    network = supply.network

    def file(owner: Any, name: str) -> str:
        return Path(network.b2.device.get_array_filename(owner.variables[name])).name

    return {
        "spikes": {name: [file(m, "t"), file(m, "i")] for name, m in supply.spike_monitors.items()},
        "values": {
            name: {v: file(m, local(v)) for v in supply.job.probes[name] if v != SPIKES}
            for name, m in supply.state_monitors.items()
        },
        "bad": {p.name: file(network.groups[p.name], "first_bad") for p in supply.job.program.populations if p.finite},
    }


# -- compile ------------------------------------------------------------------------------------------------------------


def compile_program(folder: Path, capability: float = GENERIC_CAPABILITY) -> None:
    """Compile the sources of a folder and link them to ``main``. Takes minutes; needs nvcc, but no GPU.

    Raises
    ------
    EngineError
        Something is missing, or the compiler's first complaint.
    """
    toolkit = require_compiler()
    compiler = Compiler(
        "nvcc",
        toolkit.command(capability),
        folder,
        without_space="free some space, or set TMPDIR",
        otherwise="see whether `cortexsnn doctor` compiles its probe; if so, this is an error of the package: please report it",
        environment=toolkit.environment(folder / "links"),
    )
    host = ["-Xcompiler", ",".join(RUNTIME_FLAGS)]
    objects = compiler.objects(largest_first([*folder.rglob("*.cu")]), *host, "-I.", "-dc")
    compiler(*objects, "-lcurand", "-o", "main")


# -- execute ------------------------------------------------------------------------------------------------------------


def execute(main: Path, folder: Path, jobs: Sequence[Job]) -> list[Traces]:
    """Run a compiled program in the folder that :func:`generate` filled for these jobs.

    Raises
    ------
    EngineError
        The program failed or complained.
    NumericalError
        A state became NaN or infinite.
    """
    (folder / "results").mkdir(exist_ok=True)
    found = subprocess.run(
        [main, "--results_dir", "results/"], cwd=folder, env=runtime_environment(), capture_output=True, text=True,
        errors="replace", check=False,
    )  # fmt: skip
    complaint = next((line for line in (found.stderr + found.stdout).splitlines() if _COMPLAINT.match(line)), "")
    if found.returncode or complaint:
        reason = f"ended with code {found.returncode}" if found.returncode else "reported an error"
        said = complaint.strip() or " ".join(found.stderr.split()) or "it said nothing"
        raise EngineError(
            f"the CUDA program {reason}: {said[-300:]}; use target='cpp_standalone' to see whether it is CUDA's"
        )
    return read_results(folder, jobs)


def read_results(folder: Path, jobs: Sequence[Job]) -> list[Traces]:
    """What a program that has run left in ``results``.

    Raises
    ------
    NumericalError
        A state became NaN or infinite.
    """
    files = json.loads((folder / _RESULTS).read_text())
    return [_traces(folder / "results", job, names) for job, names in zip(jobs, files, strict=True)]


def _traces(results: Path, job: Job, files: dict[str, Any]) -> Traces:
    for name, file in files["bad"].items():
        check_first_bad(job, job.program.population(name), np.fromfile(results / file))
    dt, period = job.program.dt * 1e-3, job.n_steps + gap(job)
    spikes = {
        name: events_of(np.fromfile(results / times), np.fromfile(results / neurons, np.int32), dt, period)
        for name, (times, neurons) in files["spikes"].items()
    }
    values: dict[str, dict[str, np.ndarray]] = {name: {} for name in job.probes}
    for name, variables in files["values"].items():
        for variable, file in variables.items():
            values[name][variable] = in_trials(np.fromfile(results / file).reshape(-1, job.program.size(name)), job)
    return Traces(spikes, values)
