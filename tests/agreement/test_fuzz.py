"""Random circuits on every engine: the dyadic family bit for bit, all others spike for spike.

``CORTEXSNN_FUZZ=N`` (``make fuzz N=200``) runs N fresh circuits on numpy, torch and Brian2, compiled ones in programs of four.
A failure names its seed; ``random_circuits.seeded_case(seed)`` gives the circuit back.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import HealthCheck, Phase, assume, given, settings

import cortexsnn as cx
from cortexsnn.compare import BITWISE, Comparison
from cortexsnn.job import Job
from cortexsnn.recording import count_spikes
from engines import job_of, record, record_together
from random_circuits import Case, cases, seeded_case

MORE = int(os.environ.get("CORTEXSNN_FUZZ", "0"))
BATCH = 10
IN_CI = 20
FIRST_OF_MORE = 10_000
"""Seeds of ``make fuzz`` begin here, so that it never repeats what runs anyway."""
FIRST_COMPILED = 2_000
TOGETHER = 4
"""Circuits of one compiled program."""
SEEDS_PER_PROGRAM = 20
"""Among so many numbers there are always that many circuits which spike enough."""
SPIKES_PER_CIRCUIT = 100
"""Least mean number of spikes per circuit of a batch: silence agrees with everything."""


def _job(case: Case) -> Job:
    duration = None if case.inputs else case.duration
    return job_of(cx.Circuit(**case.mapping), case.inputs, duration, case.n_trials, case.seed)


def _wrong(case: Case, comparison: Comparison) -> bool:
    return not comparison.agree or (case.family == "dyadic" and comparison.met != BITWISE)


def _check(found: list[tuple[Case, int | None, Comparison]], n_circuits: int) -> None:
    """Every comparison holds its class, and enough happened in enough circuits."""
    wrong = [f"seed {seed}: {comparison}\n{case}" for case, seed, comparison in found if _wrong(case, comparison)]
    assert not wrong, "\n\n".join(wrong[:3])
    spikes = {id(case): comparison.n_spikes for case, _, comparison in found}
    assert len(spikes) == n_circuits
    assert sum(spikes.values()) >= SPIKES_PER_CIRCUIT * n_circuits
    assert sum(n == 0 for n in spikes.values()) <= n_circuits // 4


def _interpreted(seeds: range) -> None:
    found: list[tuple[Case, int | None, Comparison]] = []
    for seed in seeds:
        case = seeded_case(seed)
        job = _job(case)
        reference = record(job, "numpy")
        found += [(case, seed, cx.compare(reference, record(job, engine))) for engine in ("torch", "brian2")]
    _check(found, len(seeds))


def _compiled(first: int) -> None:
    """The next circuits from ``first`` on that spike enough: a compilation is too dear for silence."""
    chosen = list(islice(_lively(range(first, first + SEEDS_PER_PROGRAM)), TOGETHER))
    recordings = record_together([job for _, _, job, _ in chosen], "cpp_standalone")
    found = [
        (case, seed, cx.compare(reference, recording))
        for (case, seed, _, reference), recording in zip(chosen, recordings, strict=True)
    ]
    _check(found, TOGETHER)


def _lively(seeds: range) -> Iterator[tuple[Case, int, Job, xr.DataTree]]:
    for seed in seeds:
        case = seeded_case(seed, most_populations=2)
        job = _job(case)
        reference = record(job, "numpy")
        if count_spikes(reference) >= SPIKES_PER_CIRCUIT:
            yield case, seed, job, reference


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, IN_CI, BATCH))
def test_random_circuits_agree_on_numpy_torch_and_brian2(first: int) -> None:
    _interpreted(range(first, first + BATCH))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(IN_CI, IN_CI + 2 * BATCH, BATCH))
def test_what_trains_is_what_is_verified(first: int) -> None:
    """With gradients, products replace ordered sums; in one run or continued half-way, it must stay the reference's run."""
    spikes = 0
    for seed in range(first, first + BATCH):
        case = seeded_case(seed)
        reference = record(_job(case), "numpy")
        network = cx.to_torch(cx.Circuit(**case.mapping), seed=case.seed, dtype=torch.float64)
        whole, _ = network(_rows(case, 0, case.n_steps), None, case.n_steps, case.n_trials)
        half = case.n_steps // 2
        first_part, state = network(_rows(case, 0, half), None, half, case.n_trials)
        second_part, _ = network(_rows(case, half, case.n_steps), state, case.n_steps - half, case.n_trials)
        for population, outputs in whole.items():
            for name, values in outputs.items():
                expected = reference[population][name].transpose("step", "trial", "neuron").values.astype(float)
                bound = 1e-9 * max(1.0, float(np.abs(expected).max()))
                joined = torch.cat([first_part[population][name], second_part[population][name]])
                for found in (values, joined):
                    np.testing.assert_allclose(
                        found.detach().numpy(), expected, rtol=0, atol=bound, err_msg=f"{seed}: {population}.{name}"
                    )
                spikes += int(expected.sum()) if name == "spikes" else 0
    assert spikes >= SPIKES_PER_CIRCUIT * BATCH


def _rows(case: Case, start: int, stop: int) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(rows[start:stop]) for name, rows in case.inputs.items()}


@pytest.mark.slow
@given(case=cases(most_populations=2))
@settings(
    max_examples=8, deadline=None,
    phases=[Phase.generate], suppress_health_check=list(HealthCheck),
)  # fmt: skip
def test_circuits_chosen_by_hypothesis_agree(case: Case) -> None:
    job = _job(case)
    reference = record(job, "numpy")
    comparisons = [cx.compare(reference, record(job, engine)) for engine in ("torch", "brian2")]
    assume(comparisons[0].n_spikes >= 10)
    for comparison in comparisons:
        assert not _wrong(case, comparison), f"{comparison}\n{case}"


@pytest.mark.slow
@pytest.mark.compiled
def test_random_circuits_agree_in_one_compiled_program() -> None:
    _compiled(FIRST_COMPILED)


@pytest.mark.skipif(not MORE, reason="CORTEXSNN_FUZZ=N runs N further circuits")
@pytest.mark.parametrize("first", range(FIRST_OF_MORE, FIRST_OF_MORE + MORE, BATCH))
def test_more_random_circuits_agree(first: int) -> None:
    _interpreted(range(first, min(first + BATCH, FIRST_OF_MORE + MORE)))


@pytest.mark.compiled
@pytest.mark.skipif(not MORE, reason="CORTEXSNN_FUZZ=N runs N further circuits")
@pytest.mark.parametrize("program", range(-(-MORE // TOGETHER)))
def test_more_random_circuits_agree_compiled(program: int) -> None:
    _compiled(FIRST_OF_MORE + program * SEEDS_PER_PROGRAM)
