"""Jobs to Brian2, on any of its targets. Several disjoint jobs can share one network, and so one compilation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import EngineError
from ..job import Job, Traces, in_series


def run(job: Job, target: str = "numpy") -> Traces:
    """Execute one job in Brian2 on ``target`` (numpy, cython, cpp_standalone, cuda_standalone)."""
    return run_many([job], target)[0]


def run_many(jobs: Sequence[Job], target: str = "numpy") -> list[Traces]:
    """Execute disjoint jobs in one Brian2 network.

    Raises
    ------
    EngineError
        The target is not available, or its program failed.
    NumericalError
        A state became NaN or infinite.
    """
    if any(job.rules and job.n_trials > 1 for job in jobs):
        return _trial_by_trial(jobs, target)
    if target == "cuda_standalone":
        if any(job.rules for job in jobs):
            raise EngineError("target 'cuda_standalone' has no plasticity yet; use target='cpp_standalone'")
        from . import to_brian2_cuda

        return to_brian2_cuda.run(jobs)
    if target == "cpp_standalone":
        from . import to_brian2_program

        return to_brian2_program.run(jobs)
    return _run_in_python(jobs, target)


def _trial_by_trial(jobs: Sequence[Job], target: str) -> list[Traces]:
    """Edges that change start every trial as the first one: each trial is a run of its own."""
    drives = [{name: np.asarray(rows) for name, rows in job.drive.items()} for job in jobs]
    found: list[list[Traces]] = [[] for _ in jobs]
    for trial in range(max(job.n_trials for job in jobs)):
        present = [k for k, job in enumerate(jobs) if trial < job.n_trials]
        alone = [
            replace(jobs[k], n_trials=1, drive={n: rows[trial : trial + 1] for n, rows in drives[k].items()})
            for k in present
        ]
        for k, traces in zip(present, run_many(alone, target), strict=True):
            found[k].append(traces)
    return [in_series(traces) for traces in found]


def _run_in_python(jobs: Sequence[Job], target: str) -> list[Traces]:
    from .to_brian2_network import JobNetwork, network_of
    from .to_brian2_plain import Plain
    from .to_brian2_session import brian_session

    with brian_session(target) as run_network:
        parts = [JobNetwork(job, f"j{k}_", Plain) for k, job in enumerate(jobs)]
        supplies: list[Any] = [part.supply for part in parts]
        run_network(network_of(parts), max(s.total_steps * s.job.program.dt for s in supplies))
        return [supply.traces() for supply in supplies]
