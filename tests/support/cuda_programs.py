"""What the tests of CUDA do with Python 3.12 and brian2cuda: ``python cuda_programs.py COMMAND CASE FOLDER``.

generate : write the program of a case; ``slots=brian2`` leaves every pathway where it is for other targets (the negative control)
compile : compile it with nvcc
compare : read what the program left and compare with the numpy engine
missing : print what keeps the target from running here;  verify : run a case on the GPU
cpp : run a case in a C++ program
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import cortexsnn as cx
from cortexsnn.emit import cuda_toolkit, to_brian2_cuda
from cortexsnn.job import Job, Traces
from cortexsnn.recording import events
from engines import job_of, recording_of
from mechanisms import stack


def delays() -> cx.Circuit:
    """Every way in which something travels: one source with several delays, all the same, drawn, none; values; reductions."""
    cell = {
        "update": "v = 0.75*v + x + 0.0625*clip(most, 0, 1) - 0.015625*total",
        "ports": {"x": {"kind": "pulse"}},
        "reductions": {"most": {"op": "max", "of": "x"}, "total": {"op": "sum", "of": "v"}},
        "threshold": "v >= 1",
        "reset": "v -= 1",
    }
    graded = {"ports": {"x": {"kind": "pulse"}}, "output": "r = 0.5*x"}
    drawn = {"distribution": "uniform", "low": "1 ms", "high": "6 ms", "min": "1 ms"}
    return cx.Circuit(
        name="delays", dt="1 ms", neurons={"cell": cell, "graded": graded},
        populations={
            "A": {"size": 8, "neuron": "cell", "transmitter": "excitatory"},
            "B": {"size": 6, "neuron": "cell", "transmitter": "inhibitory"},
            "C": {"size": 5, "neuron": "cell", "transmitter": "excitatory"},
            "G": {"size": 3, "neuron": "graded", "transmitter": "excitatory"},
        },
        inputs={"s": {"size": 8, "kind": "spikes"}, "c": {"size": 6, "kind": "current", "unit": "1"}},
        projections={
            "s_A": {"pre": "s", "post": "A", "port": "x", "connect": "one_to_one", "weight": 0.75},
            "s_C": {"pre": "s", "post": "C", "port": "x", "connect": "all", "weight": 0.125, "delay": "4 ms"},
            "c_B": {"pre": "c", "post": "B", "port": "x", "connect": "one_to_one", "weight": 0.5},
            "c_A": {"pre": "c", "post": "A", "port": "x", "connect": "all", "weight": 0.03125, "delay": "2 ms"},
            "A_A": {"pre": "A", "post": "A", "port": "x", "connect": "all", "weight": 0.0625, "delay": "1 ms"},
            "A_B": {"pre": "A", "post": "B", "port": "x", "connect": "all", "weight": 0.125, "delay": "3 ms"},
            "A_B2": {"pre": "A", "post": "B", "port": "x", "connect": "all", "weight": 0.0625, "delay": drawn},
            "A_C": {"pre": "A", "post": "C", "port": "x", "connect": "all", "weight": 0.125},
            "B_A": {"pre": "B", "post": "A", "port": "x", "connect": "all", "weight": 0.125, "delay": drawn},
            "C_C": {"pre": "C", "post": "C", "port": "x", "connect": "all", "weight": 0.125, "delay": "5 ms"},
            "A_G": {"pre": "A", "post": "G", "port": "x", "connect": "all", "weight": 0.25},
            "G_B": {"pre": "G", "post": "B", "port": "x", "connect": "all", "weight": 0.125, "delay": "2 ms"},
            "G_C": {"pre": "G", "post": "C", "port": "x", "connect": "all", "weight": 0.125, "delay": "1 ms"},
        },
    )  # fmt: skip


def _delays() -> list[Job]:
    random = np.random.default_rng(0)
    inputs = {"s": random.random((100, 2, 8)) < 0.3, "c": random.integers(0, 9, (100, 2, 6)) / 8}
    return [job_of(delays(), inputs)]


def _mechanisms() -> list[Job]:
    circuit = stack("four_mechanisms")
    rows = np.random.default_rng(0).random((60, 2, circuit.inputs["image"].n)) * 2
    return [job_of(circuit, {"image": rows})]


CASES: dict[str, Callable[[], list[Job]]] = {
    "conductance_ei": lambda: [job_of(cx.load("conductance_ei"), duration="50 ms")],
    "delays": _delays,
    "mechanisms": _mechanisms,
}


def generate(case: str, folder: Path, slots: str = "slots=ours") -> None:
    """Also check that Brian2 is left as it was found, that a second time in one process finds the compiled program of the first, and
    that nothing of this needs torch."""
    import brian2 as b2

    before = {name: b2.prefs[name] for name in b2.prefs}
    if slots == "slots=brian2":
        to_brian2_cuda._deliver_after_thresholds = lambda part: None  # type: ignore[assignment]
    folder.mkdir()
    to_brian2_cuda.generate(CASES[case](), folder)
    with tempfile.TemporaryDirectory() as name:
        again = Path(name) / "again"
        to_brian2_cuda.generate(CASES[case](), again)
        some = cuda_toolkit.Toolkit(Path("nvcc"), 13.0, None, None)
        assert to_brian2_cuda.key(folder, some, 9.0) == to_brian2_cuda.key(again, some, 9.0)
    after = {name: b2.prefs[name] for name in before}
    assert after == before, {name: (before[name], after[name]) for name in before if before[name] != after[name]}
    assert b2.get_device() is b2.all_devices["runtime"]
    assert "torch" not in sys.modules


def compile_with_nvcc(case: str, folder: Path) -> None:
    start = time.perf_counter()
    to_brian2_cuda.compile_program(folder)
    print(f"{case}: {len(list(folder.rglob('*.cu')))} files compiled in {time.perf_counter() - start:.0f} s")


def compare(case: str, folder: Path) -> None:
    jobs = CASES[case]()
    _compare(jobs, to_brian2_cuda.read_results(folder, jobs))


def verify(case: str, folder: Path) -> None:
    del folder
    jobs = CASES[case]()
    _compare(jobs, to_brian2_cuda.run(jobs))


def cpp(case: str, folder: Path) -> None:
    """The C++ program of the same jobs, with this release of Brian2."""
    from cortexsnn.emit import to_brian2_program

    os.environ["CORTEXSNN_CACHE"] = str(folder)
    jobs = CASES[case]()
    _compare(jobs, to_brian2_program.run(jobs))


def _compare(jobs: list[Job], found: list[Traces]) -> None:
    """Print a line and its verdict for each job."""
    from cortexsnn.emit import to_numpy

    for job, traces in zip(jobs, found, strict=True):
        recording, reference = recording_of(job, traces, "cuda"), recording_of(job, to_numpy.run(job), "numpy")
        comparison = cx.compare(recording, reference)
        silent = [name for name, node in reference.children.items() if (e := events(node)) is not None and not len(e)]
        print(comparison)
        print("silent:", *silent)
        print(f"verdict: {comparison.met}, {comparison.n_spikes} spikes")


def missing(case: str, folder: Path) -> None:
    del case, folder
    print("; ".join(lacking.what for lacking in cuda_toolkit.missing()))


COMMANDS: dict[str, Callable[..., None]] = {
    "generate": generate,
    "compile": compile_with_nvcc,
    "compare": compare,
    "verify": verify,
    "missing": missing,
    "cpp": cpp,
}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](sys.argv[2], Path(sys.argv[3]), *sys.argv[4:])
