"""CUDA: what is said where it cannot run, and, with ``CORTEXSNN_CUDA=1`` (``make cuda``), what its programs compute.

Those tests make a virtual environment of Python 3.12 with brian2cuda, about 0.6 GB, which is gone afterwards. A machine without a GPU
can still compile a program with nvcc, and run it with the CPU in the place of CUDA: ``cuda_on_cpu`` in ``tests/support``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import cortexsnn as cx
import cuda_on_cpu
from cortexsnn.emit import cuda_toolkit, to_brian2_cuda
from cortexsnn.emit.cuda_toolkit import COMBINATION, Missing
from cortexsnn.job import Job
from cortexsnn.lower import lower
from cortexsnn.realise import realise
from cortexsnn.run import prepare
from cortexsnn.validate import validate

ROOT = Path(__file__).resolve().parents[2]
WORKER = ROOT / "tests" / "support" / "cuda_programs.py"
RELEASES = dict(COMBINATION)
LACKING = [Missing("no NVIDIA GPU answers", "needs an NVIDIA GPU")]

Worker = Callable[..., str]


# -- without CUDA ---------------------------------------------------------------------------------------------------------


@pytest.mark.compiled
def test_cpp_runs_in_place_of_cuda_and_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cuda_toolkit, "missing", lambda: LACKING)
    circuit = cx.load("izhikevich")
    with pytest.warns(UserWarning, match="cannot run here: no NVIDIA GPU answers.*running 'cpp_standalone'") as warned:
        recording = cx.simulate(
            circuit, duration="20 ms", engine="brian2", target="cuda_standalone", path=tmp_path / "r"
        )
    ours = [w for w in warned if "cuda_standalone" in str(w.message)]
    assert [Path(w.filename).name for w in ours] == ["test_cuda.py"]  # once, and it points at the caller
    for found in (recording, cx.load_recording(tmp_path / "r")):
        assert found.attrs["engine"] == "brian2:cpp_standalone"
        assert found.attrs["requested_target"] == "cuda_standalone"
        assert "no NVIDIA GPU answers" in found.attrs["fallback_reason"]
    assert cx.compare(recording, cx.simulate(circuit, duration="20 ms")).agree


def test_nothing_runs_in_place_of_cuda_in_a_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_toolkit, "missing", lambda: LACKING)
    with pytest.raises(
        cx.EngineError, match="'cuda_standalone' cannot run here: no NVIDIA GPU answers; needs an NVIDIA GPU"
    ):
        cx.verify(cx.load("izhikevich"), duration="5 ms", engines=("brian2:cpp_standalone", "brian2:cuda_standalone"))


def test_a_recording_of_another_target_keeps_no_trace_of_cuda() -> None:
    recording = cx.simulate(cx.load("izhikevich"), duration="5 ms", engine="brian2")
    assert not {"requested_target", "fallback_reason"} & set(recording.attrs)


def _written(folder: Path, job: Job, bad: float = -1.0) -> None:
    """What a program of ``_two_trials`` leaves: spikes of a step in any order, one row more for the gap between the trials."""
    results = folder / "results"
    results.mkdir(parents=True)
    step, neuron = np.array([1, 1, 4, 6]), np.array([2, 0, 1, 2], np.int32)  # of a period of 3 + 1 steps
    (step * job.program.dt * 1e-3).tofile(results / "t")
    neuron.tofile(results / "i")
    np.arange(24.0).tofile(results / "v")
    np.array([-1.0, bad, -1.0]).tofile(results / "bad")
    files = {"spikes": {"A": ["t", "i"]}, "values": {"A": {"v": "v"}}, "bad": {"A": "bad"}}
    (folder / "results.json").write_text(json.dumps([files]))


def _two_trials() -> Job:
    cell = {"update": "v = 0.5*v + x", "ports": {"x": {"kind": "pulse"}}, "threshold": "v > 1", "reset": "v = 0"}
    circuit = cx.Circuit(
        name="two", dt="0.1 ms", neurons={"cell": cell}, populations={"A": {"size": 3, "neuron": "cell", "transmitter": "mixed"}},
        inputs={"s": {"size": 3, "kind": "spikes"}},
        projections={"s_A": {"pre": "s", "post": "A", "port": "x", "connect": "one_to_one", "weight": 1.0, "delay": "0.1 ms"}},
    )  # fmt: skip
    program = lower(validate(circuit))
    return prepare(circuit, program, realise(circuit, 0), {"s": np.zeros((3, 2, 3))}, probes={"A": ["spikes", "v"]})


def test_results_are_read_in_order_without_the_gap(tmp_path: Path) -> None:
    job = _two_trials()
    _written(tmp_path, job)
    (found,) = to_brian2_cuda.read_results(tmp_path, [job])
    events = found.spikes["A"]
    assert list(zip(events.trial, events.step, events.neuron, strict=True)) == [
        (0, 1, 0),
        (0, 1, 2),
        (1, 0, 1),
        (1, 2, 2),
    ]
    assert found.values["A"]["v"].tolist() == np.arange(24.0).reshape(2, 4, 3)[:, :3].tolist()


def test_state_that_left_the_numbers_is_named(tmp_path: Path) -> None:
    job = _two_trials()
    _written(tmp_path, job, bad=2.0 * len(job.program.population("A").finite))
    with pytest.raises(cx.NumericalError, match=r"A\.v of neuron 1 became nan in step 2"):
        to_brian2_cuda.read_results(tmp_path, [job])


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo ERROR: out of memory; exit 0", "reported an error: ERROR: out of memory"),
        ("exit 3", "ended with code 3: it said nothing"),
    ],
)
def test_program_that_fails_is_an_error(tmp_path: Path, script: str, said: str) -> None:
    main = tmp_path / "main"
    main.write_text(f"#!/bin/sh\n{script}\n")
    main.chmod(0o755)
    with pytest.raises(cx.EngineError, match=said):
        to_brian2_cuda.execute(main, tmp_path, [_two_trials()])


# -- with brian2cuda ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """``cuda_programs.py`` in an environment of its own; returns what it prints."""
    if os.environ.get("CORTEXSNN_CUDA") != "1":
        pytest.skip(
            "CUDA programs are tested with CORTEXSNN_CUDA=1 (make cuda): downloads 0.6 GB and compiles for minutes"
        )
    python = _newer_python()
    if python is None:
        pytest.skip("no Python 3.12 or newer on PATH or in pyenv, which brian2cuda needs")
    with tempfile.TemporaryDirectory(prefix="cortexsnn-cuda-env-") as name:
        environment = _environment(python, Path(name))

        def work(*arguments: object) -> str:
            done = subprocess.run(
                [environment, WORKER, *map(str, arguments)], capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
            return done.stdout

        yield work


def _newer_python() -> str | None:
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    places = [
        sys.executable,
        *(f"python3.{minor}" for minor in (12, 13, 14)),
        *map(str, sorted(pyenv.glob("3.1[2-9]*/bin/python"))),
    ]
    for place in places:
        code = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 12))"
        found = shutil.which(place)  # pyenv's shims are there also for versions that are not chosen, and then fail
        if found and subprocess.run([found, "-c", code], capture_output=True, check=False).returncode == 0:
            return found
    return None


def _environment(python: str, folder: Path) -> Path:
    """Interpreter of a fresh environment with brian2cuda and this package, without torch: these jobs need none."""
    subprocess.run([python, "-m", "venv", str(folder / "env")], check=True)
    new = folder / "env" / "bin" / "python"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = [d for d in project["project"]["dependencies"] if not d.startswith(("torch", "brian2"))]
    pinned = [f"{name}=={RELEASES[name]}" for name in ("brian2", "brian2cuda")] + ["nvidia-curand", "setuptools"]
    _pip(new, "-c", str(ROOT / "constraints.txt"), *pinned, *needed)
    source = folder / "source"  # a build leaves files beside the sources
    for part in ("pyproject.toml", "README.md", "LICENSE", "cortexsnn", "circuits", "analysis", "configs"):
        (shutil.copytree if (ROOT / part).is_dir() else shutil.copy)(ROOT / part, _parent(source / part))
    _pip(new, "--no-deps", "--no-build-isolation", str(source))
    return new


def _parent(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    return path


def _pip(python: Path, *arguments: str) -> None:
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"brian2cuda cannot be installed: {done.stderr.strip().splitlines()[-1][:300]}")


@pytest.fixture(scope="module")
def generated(worker: Worker, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Folder with the sources of a case, written once."""
    folders: dict[tuple[str, ...], Path] = {}

    def folder(case: str, *options: str) -> Path:
        key = (case, *options)
        if key not in folders:
            folders[key] = tmp_path_factory.mktemp("cuda") / "_".join(key)
            worker("generate", case, folders[key], *options)
        return folders[key]

    return folder


@pytest.fixture(scope="module")
def on_cpu(generated: Callable[..., Path]) -> Callable[..., Path]:
    """Folder of a program that ran with the CPU in the place of CUDA; what was compiled for a case serves all its options."""
    folders: dict[tuple[str, ...], Path] = {}

    def folder(case: str, *options: str) -> Path:
        key = (case, *options)
        if key not in folders:
            sources = generated(*key)
            folders[key] = sources.with_name(f"{sources.name}-on-cpu")
            cuda_on_cpu.compile_on_cpu(sources, folders[key], folder(case) if options else None)
            cuda_on_cpu.run(folders[key])
        return folders[key]

    return folder


@pytest.mark.slow
@pytest.mark.compiled
def test_generated_cuda_program_compiles(worker: Worker, generated: Callable[..., Path], tmp_path: Path) -> None:
    nvcc = cuda_toolkit.find_nvcc()
    if nvcc is None:
        pytest.skip(
            "no nvcc on PATH, in CUDA_PATH or in /usr/local/cuda: install the CUDA toolkit to compile CUDA programs"
        )
    folder = tmp_path / "program"
    shutil.copytree(generated("conductance_ei"), folder)
    print(worker("compile", "conductance_ei", folder))
    assert (folder / "main").stat().st_size > 100_000
    assert os.access(folder / "main", os.X_OK)


@pytest.mark.slow
@pytest.mark.compiled
def test_cpp_program_of_the_newer_brian2_computes_the_same(worker: Worker, tmp_path: Path) -> None:
    """Python 3.12 has a Brian2 that writes other sources than the one of Python 3.11."""
    said = worker("cpp", "delays", tmp_path)
    found = re.search(r"verdict: (.+), (\d+) spikes", said)
    assert found, said
    assert found[1] in ("bitwise", "spike for spike"), said
    assert int(found[2]) >= 200, said


@pytest.mark.slow
@pytest.mark.compiled
@pytest.mark.parametrize(
    ("case", "met"), [("conductance_ei", "bitwise"), ("delays", "bitwise"), ("mechanisms", "spike for spike")]
)
def test_generated_cuda_program_computes_the_same(
    worker: Worker, on_cpu: Callable[..., Path], case: str, met: str
) -> None:
    """With the CPU in the place of CUDA: delays, stages, trials, reductions as in numpy."""
    said = worker("compare", case, on_cpu(case))
    found = re.search(r"verdict: (.+), (\d+) spikes", said)
    assert found, said
    assert found[1] in ("bitwise", met), said
    assert int(found[2]) >= 200, said
    assert "silent:\n" in said, said


@pytest.mark.slow
@pytest.mark.compiled
def test_slots_of_other_targets_give_wrong_delays(
    worker: Worker, generated: Callable[..., Path], on_cpu: Callable[..., Path]
) -> None:
    """The negative control, and the reason for a slot of its own: brian2cuda's ring of spikes moves on between two steps."""
    ours, theirs = generated("delays"), generated("delays", "slots=brian2")
    different = {p.name for p in ours.rglob("*.cu") if p.read_text() != (theirs / p.relative_to(ours)).read_text()}
    assert different == {"main.cu"}
    assert "verdict: different" in worker("compare", "delays", on_cpu("delays", "slots=brian2"))


PHASES = (
    "inputs are there: [GABC]_pop_late[12]_thresholder|[sc]_input_(spike|every|late2)_thresholder",
    "what arrives from inputs, and values from registers: (s_A|s_C|c_B|c_A|G_B|G_C)_syn[012]_go",
    "stage 1: [AB]_pop_every_thresholder",
    "its reductions: [01]_(most|total)_redsyn_go",
    "its thresholds: [AB]_pop_spike_thresholder",
    "its zero delays: (A_C|A_G)_syn0_go",
    "its resets: [AB]_pop_spike_resetter",
    "stage 2: [CG]_pop_every_thresholder",
    "its reductions: 2_(most|total)_redsyn_go",
    "its thresholds: C_pop_spike_thresholder",
    "its resets: C_pop_spike_resetter",
    "recording: [ABCG]_(spikes|states)",
    "spikes on their way: (A_A|A_B|A_B2|B_A|C_C)_syn0_go",
)
"""The step of circuit ``delays``: a phase and the generated functions that belong to it."""


def test_calls_follow_the_schedule(generated: Callable[..., Path]) -> None:
    main = (generated("delays") / "main.cu").read_text()
    calls = re.findall(r"network\.add\(&j0_clock, _run_j0_(\w+?)(?:_codeobject|_push_spikes)\);", main)
    patterns = [phase.split(": ")[1] for phase in PHASES]
    named = [call for call in calls if "run_regularly" not in call]
    found = [next(k for k, pattern in enumerate(patterns) if re.fullmatch(pattern, call)) for call in named]
    assert found == sorted(found)
    assert set(found) == set(range(len(PHASES)))
    for population, before in (("A", "1_total_redsyn_go"), ("C", "2_total_redsyn_go")):  # the update of its stage
        last, threshold = len(calls) - calls[::-1].index(before), calls.index(f"{population}_pop_spike_thresholder")
        assert sum(call.startswith(f"{population}_pop_run_regularly") for call in calls[last:threshold]) == 1


@pytest.mark.slow
@pytest.mark.compiled
@pytest.mark.parametrize("case", ["conductance_ei", "delays", "mechanisms"])
def test_gpu_agrees(worker: Worker, tmp_path: Path, case: str) -> None:
    lacking = worker("missing", case, tmp_path).strip()
    if lacking:
        pytest.skip(f"CUDA programs cannot run on this machine: {lacking}")
    said = worker("verify", case, tmp_path)
    found = re.search(r"verdict: (.+), (\d+) spikes", said)
    assert found, said
    assert found[1] in ("bitwise", "spike for spike"), said
    assert int(found[2]) >= 200, said
