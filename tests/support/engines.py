"""Running one job on several engines, for the tests of agreement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr

import cortexsnn as cx
from cortexsnn.emit.to_brian2 import run_many
from cortexsnn.job import Job, Traces
from cortexsnn.lower import lower
from cortexsnn.realise import realise
from cortexsnn.recording import build
from cortexsnn.run import all_probes, execute, prepare, split_engine
from cortexsnn.validate import validate


def job_of(
    circuit: cx.Circuit,
    inputs: Mapping[str, Any] | None = None,
    duration: str | None = None,
    trials: int | None = None,
    seed: int = 0,
) -> Job:
    """A job that records everything."""
    program = lower(validate(circuit))
    return prepare(circuit, program, realise(circuit, seed), inputs, duration, all_probes(program), trials)


def recording_of(job: Job, traces: Traces, engine: str) -> xr.DataTree:
    return build(job, traces, {"circuit": job.program.name, "engine": engine, "dtype": "float64"}, {})


def record(job: Job, engine: str) -> xr.DataTree:
    """``engine`` as in ``verify``: "numpy", "torch", "brian2", "brian2:cython" …"""
    return recording_of(job, execute(job, *split_engine(engine)), engine)


def record_together(jobs: Sequence[Job], target: str) -> list[xr.DataTree]:
    """All jobs in one Brian2 network, so that a compiled target compiles once."""
    return [recording_of(j, t, f"brian2:{target}") for j, t in zip(jobs, run_many(jobs, target), strict=True)]
