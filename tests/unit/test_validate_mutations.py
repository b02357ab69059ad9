"""Damaged circuits: whatever an author gets wrong, the outcome is a valid circuit or errors with paths, and soon."""

from __future__ import annotations

import warnings
from random import Random
from typing import Any

import pytest

import cortexsnn as cx
from cortexsnn.circuits import names
from mutations import mutated
from small_circuit import small

SEEDS = range(15)
"""Batches of twenty damaged copies."""


def sources() -> list[dict[str, Any]]:
    shipped = [cx.load(name).model_dump() for name in names() if name != "lateral_inhibition"]
    return [small(), *shipped]


@pytest.mark.parametrize("seed", SEEDS)
def test_damage_is_reported_or_harmless(seed: int) -> None:
    random, plain = Random(seed), sources()
    refused = 0
    for _ in range(20):
        damaged = mutated(random.choice(plain), random)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                cx.lower(cx.validate(cx.Circuit(**damaged)))
            except cx.CortexError as error:
                refused += 1
                problems = getattr(error, "problems", [str(error)])
                assert problems
                for problem in problems:
                    assert len(str(problem).splitlines()) == 1, (damaged, str(problem))
                    assert len(str(problem)) < 600, (damaged, str(problem))
    assert refused >= 5
