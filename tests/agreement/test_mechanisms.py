"""Every mechanism alone, in pairs and all four together: the same spikes on numpy, torch, Brian2 and compiled C++."""

from __future__ import annotations

from functools import cache

import pytest
import xarray as xr

import cortexsnn as cx
from cortexsnn.job import Job
from engines import job_of, record, record_together
from mechanisms import BUILD, MINIMUM_SPIKES, STEPS, drive

TOGETHER = 8
"""Circuits in one compiled program: fewer cost more programs, and of many the file that holds all arrays takes minutes."""


@cache
def job(name: str) -> Job:
    circuit = BUILD[name]()
    return job_of(circuit, drive(circuit))


@cache
def reference(name: str) -> xr.DataTree:
    return record(job(name), "numpy")


def check(name: str, recording: xr.DataTree) -> None:
    comparison = cx.compare(reference(name), recording)
    assert comparison.agree, f"{name}: {comparison}"
    assert comparison.n_spikes >= MINIMUM_SPIKES, name
    assert recording.attrs["n_steps"] >= STEPS


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILD)
def test_torch_agrees(name: str) -> None:
    check(name, record(job(name), "torch"))


@pytest.mark.slow
def test_brian2_agrees() -> None:
    """All circuits side by side in one network."""
    for name, recording in zip(BUILD, record_together([job(n) for n in BUILD], "numpy"), strict=True):
        check(name, recording)


@pytest.mark.slow
@pytest.mark.compiled
@pytest.mark.parametrize("first", range(0, len(BUILD), TOGETHER))
def test_compiled_programs_agree(first: int) -> None:
    names = list(BUILD)[first : first + TOGETHER]
    for name, recording in zip(names, record_together([job(n) for n in names], "cpp_standalone"), strict=True):
        check(name, recording)


def test_one_changed_weight_is_seen() -> None:
    """Negative control: one weight of the combined circuit changed by one part in a thousand changes what is recorded."""
    circuit = BUILD["all four"]()
    changed = job_of(circuit.with_parameters({"projections.I1_E1.weight": 1.001 / 3}), drive(circuit))
    assert not cx.compare(reference("all four"), record(changed, "numpy")).agree
