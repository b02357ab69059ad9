"""Jobs to Brian2, on any of its targets. Several disjoint jobs can share one network, and so one compilation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..job import Job, Traces


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
    if target == "cuda_standalone":
        from . import to_brian2_cuda

        return to_brian2_cuda.run(jobs)
    if target == "cpp_standalone":
        from . import to_brian2_program

        return to_brian2_program.run(jobs)
    return _run_in_python(jobs, target)


def _run_in_python(jobs: Sequence[Job], target: str) -> list[Traces]:
    from .to_brian2_network import JobNetwork, network_of
    from .to_brian2_plain import Plain
    from .to_brian2_session import brian_session

    with brian_session(target) as run_network:
        parts = [JobNetwork(job, f"j{k}_", Plain) for k, job in enumerate(jobs)]
        supplies: list[Any] = [part.supply for part in parts]
        run_network(network_of(parts), max(s.total_steps * s.job.program.dt for s in supplies))
        return [supply.traces() for supply in supplies]
