"""Error rates of the three verdicts over 200 repetitions each, against what ``fidelity`` claims.

A repetition draws six networks with a rate and a CV of their own each, runs them under both settings with independent noise,
and asks for a verdict on one statistic. With the interval at level 95 %, a difference just as large as the bound must be called
equivalent in 2.5 %, different in 2.5 % of repetitions; a smaller one different, a larger one equivalent more rarely still.
Found frequencies may be off by what a binomial law of 200 repetitions allows (99.9 % on either side).
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy import stats

from cortexsnn import analysis
from cortexsnn.analysis import Bound
from processes import gamma_trains

REPETITIONS = 200
NETWORKS = 6
CLAIM = 0.025


def verdicts(statistic: str, bound: Bound, change: float) -> Counter[str]:
    """Counts over repetitions for a true change of the statistic (of the rate: relative; of the CV: absolute)."""
    found: Counter[str] = Counter()
    for repetition in range(REPETITIONS):
        random = np.random.default_rng([repetition, 77])
        sides: tuple[list[object], list[object]] = ([], [])
        for network in range(NETWORKS):
            rate, cv = 20 * random.normal(1, 0.1), 0.8 * random.normal(1, 0.05)
            for side, changed in enumerate((0.0, change)):
                r = rate * (1 + changed) if statistic == "rate" else rate
                v = cv + changed if statistic == "isi_cv" else cv
                seed = 100_000 * side + 100 * repetition + network
                sides[side].append(gamma_trains(r, v**-2, 25, 8, seed, dt_ms=0.25))
        table = analysis.fidelity(*sides, bounds={statistic: bound}).table  # type: ignore[arg-type]
        found[table["verdict"].item()] += 1
    return found


def most(p: float) -> int:
    return int(stats.binom.ppf(0.999, REPETITIONS, p))


def least(p: float) -> int:
    return int(stats.binom.ppf(0.001, REPETITIONS, p))


@pytest.mark.slow
def test_equal_processes_are_not_called_different_and_are_called_equivalent_as_often_as_the_power_says() -> None:
    found = verdicts("rate", Bound(0.05, relative=True), 0.0)
    assert found["different"] <= most(0.001)
    assert found["equivalent"] >= 150


@pytest.mark.slow
def test_a_rate_five_percent_higher() -> None:
    """Beyond a bound of 1 % it is never called equivalent, and mostly different; at a bound of 5 % both errors are 2.5 %."""
    found = verdicts("rate", Bound(0.01, relative=True), 0.05)
    assert found["equivalent"] <= most(0.001)
    assert found["different"] >= 120
    found = verdicts("rate", Bound(0.05, relative=True), 0.05)
    for error in ("equivalent", "different"):
        assert least(CLAIM) <= found[error] <= most(CLAIM), found


@pytest.mark.slow
def test_a_shifted_cv() -> None:
    found = verdicts("isi_cv", Bound(0.02), 0.08)
    assert found["equivalent"] <= most(0.001)
    assert found["different"] >= 150


@pytest.mark.slow
def test_a_difference_smaller_than_the_bound_is_rarely_called_different() -> None:
    found = verdicts("rate", Bound(0.06, relative=True), 0.02)
    assert found["different"] <= most(CLAIM)
    assert found["equivalent"] >= 100
