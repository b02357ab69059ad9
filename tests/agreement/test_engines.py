"""Every shipped circuit on every engine, spike for spike, and against Brian2 scripts written by hand."""

from __future__ import annotations

import importlib
import os
from itertools import combinations

import numpy as np
import pytest
import xarray as xr

import cortexsnn as cx
from cortexsnn.compare import Comparison
from cortexsnn.job import Job
from cortexsnn.realise import realise
from cortexsnn.recording import events
from engines import job_of, record, record_together
from shipped import DURATIONS, MINIMUM_SPIKES, MINIMUM_STEPS

ENGINES = ("numpy", "torch", "brian2")
_references: dict[str, xr.DataTree] = {}


def _job(name: str) -> Job:
    return job_of(cx.load(name), duration=DURATIONS[name])


def _reference(name: str) -> xr.DataTree:
    """The numpy recording of a circuit, made once."""
    if name not in _references:
        _references[name] = record(_job(name), "numpy")
    return _references[name]


def _check(comparison: Comparison, recording: xr.DataTree) -> None:
    assert comparison.agree, str(comparison)
    assert comparison.n_spikes >= MINIMUM_SPIKES
    assert recording.attrs["n_steps"] >= MINIMUM_STEPS


@pytest.mark.slow
@pytest.mark.parametrize("name", DURATIONS)
def test_engines_agree_pairwise(name: str) -> None:
    job = _job(name)
    recordings = {e: _reference(name) if e == "numpy" else record(job, e) for e in ENGINES}
    for a, b in combinations(ENGINES, 2):
        _check(cx.compare(recordings[a], recordings[b]), recordings[a])


@pytest.mark.slow
@pytest.mark.compiled
def test_compiled_programs_agree() -> None:
    """One program, one compilation: all circuits."""
    compiled = record_together([_job(name) for name in DURATIONS], "cpp_standalone")
    for name, recording in zip(DURATIONS, compiled, strict=True):
        _check(cx.compare(_reference(name), recording), recording)


@pytest.mark.slow
@pytest.mark.compiled
def test_cython_agrees_on_one_population() -> None:
    """The excitatory cells of the Izhikevich network: cython compiles every piece of code for itself, seconds each."""
    plain = cx.load("izhikevich").model_dump()
    for field, kept in (
        ("populations", ["E"]),
        ("inputs", ["noise_excitatory"]),
        ("projections", ["noise_excitatory_E"]),
    ):
        plain[field] = {name: plain[field][name] for name in kept}
    job = job_of(cx.Circuit(**plain), duration="1100 ms")
    recording = record(job, "brian2:cython")
    _check(cx.compare(record(job, "numpy"), recording), recording)


@pytest.mark.slow
@pytest.mark.compiled
@pytest.mark.skipif(
    not os.environ.get("CORTEXSNN_CYTHON"),
    reason="minutes of compilation; CORTEXSNN_CYTHON=1 runs it (make fuzz sets it)",
)
@pytest.mark.parametrize("name", DURATIONS)
def test_cython_agrees(name: str) -> None:
    recording = record(_job(name), "brian2:cython")
    _check(cx.compare(_reference(name), recording), recording)


@pytest.mark.slow
@pytest.mark.parametrize("name", DURATIONS)
def test_hand_written_brian2_agrees(name: str) -> None:
    """The oracle gets the same draw; its equations, schedule and delays are its own."""
    circuit = cx.load(name)
    drawn, dt = realise(circuit), float(circuit.dt.split()[0])
    reference = _reference(name)
    n_steps = reference.attrs["n_steps"]
    edges = {
        projection: (e.pre, e.post, e.weight, np.broadcast_to(e.delay * dt, e.pre.shape))
        for projection, e in drawn.edges.items()
    }
    drive = {name: drawn.poisson(name, 0, n_steps) for name in circuit.inputs}
    oracle = importlib.import_module(name)
    spikes = oracle.simulate(edges, drive, drawn.initial, drawn.parameters, n_steps * dt)
    total = 0
    for population, (steps, neurons) in spikes.items():
        expected = events(reference[population])
        assert expected is not None
        np.testing.assert_array_equal(np.stack([steps, neurons]), np.stack([expected.step, expected.neuron]))
        total += steps.size
    assert total >= MINIMUM_SPIKES


@pytest.mark.slow
def test_lateral_inhibition_agrees() -> None:
    """Real-valued input, graded interneurons, reductions; ``make run`` has the trained circuit, in C++ as well.

    Small divisive gains and a bias: without data-dependent initialisation the layers would stay silent.
    """
    gains = {"populations.I1.parameters.g_I": 0.1, "populations.I2.parameters.g_I": 0.1}
    circuit = cx.load("lateral_inhibition", hidden=(32, 32)).with_parameters(gains | _bias())
    rows = (np.random.default_rng(0).random((500, 1, 64)) < 0.2).astype(float)
    report = cx.verify(circuit, {"image": rows}, engines=ENGINES)
    assert report.agree, str(report)
    assert report.n_spikes >= MINIMUM_SPIKES


def _bias() -> dict[str, object]:
    return {f"populations.{name}.parameters.b_E": 0.25 for name in ("E1", "E2")}
