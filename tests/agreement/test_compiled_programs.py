"""Compiled Brian2 programs: what runs without a compiler once a program is there, and what is said when something is wrong."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import cortexsnn as cx
from cortexsnn.emit import to_brian2_program
from cortexsnn.lower import lower
from cortexsnn.realise import realise
from cortexsnn.recording import count_spikes
from cortexsnn.run import prepare
from engines import job_of

pytestmark = [pytest.mark.compiled, pytest.mark.slow]

STANDALONE = "brian2:cpp_standalone"
NETWORK = """
name: network
dt: 0.1 ms
neurons:
  cell:
    equations: |
      dv/dt = (E_L - v + I)/tau_m : volt (unless refractory)
      dI/dt = -I/tau_s : volt
    ports: {I: {unit: volt, kind: jump}}
    threshold: v > -50*mV
    threshold_scale: 10 mV
    reset: v = -60*mV
    refractory: 2 ms
    parameters: {E_L: -65 mV, tau_m: {distribution: uniform, low: 8 ms, high: 12 ms}, tau_s: 0.5 ms}
    initial: {v: {distribution: uniform, low: -65 mV, high: -50 mV}}
populations:
  E: {size: 80, neuron: cell, transmitter: excitatory}
  I: {size: 20, neuron: cell, transmitter: inhibitory}
inputs:
  counts: {size: 80, kind: poisson, rate: 8 Hz, sources: 2000}
  spikes: {size: 30, kind: poisson, rate: 400 Hz}
  given: {size: 20, kind: current, unit: mV}
projections:
  counts_E: {pre: counts, post: E, port: I, connect: one_to_one, weight: 2 mV}
  spikes_I: {pre: spikes, post: I, port: I, connect: {probability: 0.5}, weight: 3 mV, delay: 0.5 ms}
  given_I: {pre: given, post: I, port: I, connect: all, weight: {distribution: uniform, low: 0.1, high: 0.3}}
  E_I: {pre: E, post: I, port: I, connect: {probability: 0.3}, weight: {distribution: uniform, low: 1 mV, high: 3 mV}, delay: {distribution: uniform, low: 0.3 ms, high: 3 ms}}
  I_E: {pre: I, post: E, port: I, connect: {total_number: 400}, weight: 4 mV, delay: 0.8 ms}
"""
STEPS = 600


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for programs that begins empty."""
    folder = tmp_path_factory.mktemp("programs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CORTEXSNN_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def circuit(tmp_path_factory: pytest.TempPathFactory) -> cx.Circuit:
    path = tmp_path_factory.mktemp("circuit") / "network.yaml"
    path.write_text(NETWORK)
    return cx.load(path)


def _given(steps: int = STEPS, trials: int = 2, seed: int = 0) -> dict[str, np.ndarray]:
    return {"given": np.random.default_rng(seed).random((steps, trials, 20))}


def _simulate(circuit: cx.Circuit, engine: str = STANDALONE, **more: object) -> xr.DataTree:
    probes = {"E": {"spikes": None, "v": [5, 70, 1], "sum(I)": None}, "I": ["spikes", "v"]}
    return cx.simulate(circuit, **{"inputs": _given(), "engine": engine, "probes": probes, **more})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def built(cache: Path, circuit: cx.Circuit) -> cx.Circuit:
    """The circuit, whose program is in the cache."""
    _simulate(circuit)
    return circuit


@pytest.fixture
def without_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


CHANGES = {
    "another seed: connections, weights, delays, drive": {"seed": 7},
    "longer": {"inputs": _given(steps=900)},
    "more trials": {"inputs": _given(trials=5)},
    "other input": {"inputs": _given(seed=3)},
    "other cells recorded": {
        "probes": {"E": {"spikes": None, "v": [4, 3, 2, 1], "sum(I)": [1, 2]}, "I": ["spikes", "v"]}
    },
}


@pytest.mark.usefixtures("without_compiler")
@pytest.mark.parametrize("change", list(CHANGES))
def test_other_numbers_need_no_compiler(built: cx.Circuit, change: str) -> None:
    found = _simulate(built, **CHANGES[change])  # type: ignore[arg-type]
    expected = _simulate(built, "numpy", **CHANGES[change])  # type: ignore[arg-type]
    comparison = cx.compare(expected, found)
    assert comparison.agree, comparison
    assert comparison.n_spikes >= 100


@pytest.mark.usefixtures("without_compiler")
def test_other_weights_and_parameters_need_no_compiler(built: cx.Circuit) -> None:
    """Explicit weights, other parameters and initial values: as after training."""
    edges = realise(built, 0).edges["E_I"]
    changed = built.with_parameters(
        {
            "projections.E_I.connect": {"edges": {"pre": cx.Array(edges.pre), "post": cx.Array(edges.post)}},
            "projections.E_I.weight": cx.Array(edges.values * 1.5, "mV"),
            "projections.E_I.delay": cx.Array(edges.delay * 0.1, "ms"),
            "projections.I_E.weight": "5 mV",
            "neurons.cell.parameters.E_L": "-63 mV",
            "neurons.cell.initial.v": {"distribution": "uniform", "low": "-60 mV", "high": "-55 mV"},
        }
    )
    comparison = cx.compare(_simulate(changed, "numpy"), _simulate(changed))
    assert comparison.agree, comparison
    assert comparison.n_spikes >= 100
    before = _simulate(built)
    assert count_spikes(before) != comparison.n_spikes  # the numbers did arrive


@pytest.mark.usefixtures("without_compiler", "cache")
def test_a_missing_compiler_is_named(circuit: cx.Circuit) -> None:
    other = circuit.with_parameters({"populations.E.size": 81, "inputs.counts.size": 81})
    with pytest.raises(cx.EngineError, match=r"C\+\+ compiler; install g\+\+"):
        _simulate(other, probes=None)


def test_a_damaged_program_is_built_again(built: cx.Circuit, cache: Path) -> None:
    main = next(cache.glob("*/main"))
    main.write_bytes(main.read_bytes()[:-100])
    assert cx.compare(_simulate(built, "numpy"), _simulate(built)).agree


def _other_process(circuit: Path) -> subprocess.Popen[str]:
    code = (
        "import sys, cortexsnn as cx\n"
        "from cortexsnn.recording import count_spikes\n"
        f"print(count_spikes(cx.simulate(cx.load({str(circuit)!r}), duration='50 ms', engine='{STANDALONE}')))\n"
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A circuit without program, and the empty folder for it."""
    path, folder = tmp_path / "network.yaml", tmp_path / "programs"
    text = NETWORK.replace("  given: {size: 20, kind: current, unit: mV}\n", "")
    path.write_text("\n".join(line for line in text.splitlines() if "given_I" not in line))
    monkeypatch.setenv("CORTEXSNN_CACHE", str(folder))
    return path, folder


def test_two_processes_build_at_once(fresh: tuple[Path, Path]) -> None:
    path, folder = fresh
    expected = count_spikes(cx.simulate(cx.load(path), duration="50 ms"))
    pair = [_other_process(path) for _ in range(2)]
    assert [int(process.communicate(timeout=300)[0]) for process in pair] == [expected, expected]
    assert len([p for p in folder.iterdir() if p.is_dir()]) == 1


def test_a_build_killed_half_way_is_made_again(fresh: tuple[Path, Path]) -> None:
    path, folder = fresh
    process = _other_process(path)
    deadline = time.monotonic() + 120
    while not list(folder.glob(".*/*.cpp")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate()
    recording = cx.simulate(cx.load(path), duration="50 ms", engine=STANDALONE)
    assert cx.compare(cx.simulate(cx.load(path), duration="50 ms"), recording).agree
    assert not list(folder.glob(".*.*"))


def test_wrong_lengths_are_noticed_before_the_run(built: cx.Circuit) -> None:
    """An array that does not fit, given to the program past all checks in Python."""
    job = job_of(built, _given(), None, 2, 0)
    edges = job.edges["E_I"]
    broken = replace(job, edges={**job.edges, "E_I": replace(edges, post=edges.post[:-1])})
    with pytest.raises(cx.EngineError, match=r"E_I\.0\.post: wrong length"):
        to_brian2_program.run([broken])
    outside = replace(job, edges={**job.edges, "E_I": replace(edges, post=edges.post + 20)})
    with pytest.raises(cx.EngineError, match=r"E_I\.0\.post: a cell that is not there"):
        to_brian2_program.run([outside])


def test_a_full_disk_while_recording_is_named(built: cx.Circuit, monkeypatch: pytest.MonkeyPatch) -> None:
    before = to_brian2_program.write_numbers

    def and_fill_the_disk(folder: Path, given: object) -> None:
        before(folder, given)  # type: ignore[arg-type]
        (folder / "results").mkdir()
        (folder / "results" / "j0.I.probe.v").symlink_to("/dev/full")
        monkeypatch.setattr(Path, "mkdir", lambda self, *a, **k: None)

    monkeypatch.setattr(to_brian2_program, "write_numbers", and_fill_the_disk)
    with pytest.raises(cx.EngineError, match=r"I\.probe\.v: cannot be written; is the disk full"):
        _simulate(built)


def test_a_state_that_leaves_the_numbers_is_named(built: cx.Circuit) -> None:
    huge = {"given": np.full((STEPS, 1, 20), 1e308)}
    job = prepare(built, lower(built), realise(built), huge)
    with pytest.raises(cx.NumericalError) as expected:
        cx.simulate(built, inputs=huge)
    with pytest.raises(cx.NumericalError) as found:
        to_brian2_program.run([job])
    assert str(found.value) == str(expected.value)
