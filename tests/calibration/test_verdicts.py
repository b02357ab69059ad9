"""Error rates and power of the three verdicts over many repetitions, against what ``fidelity`` claims.

Most cases draw the statistics of the units themselves, which costs nothing: a unit has a value of its own (wiring), shared by both
settings where they are paired, and noise in each. Found frequencies may be off by what a binomial law allows (99.9 % on either
side), and both limits bite: no test here passes with a frequency of 0 or 1 but where the claim says so.
"""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from cortexsnn import analysis
from cortexsnn.analysis import Bound
from processes import gamma_trains

REPETITIONS = 600
UNITS = 6
CLAIM = 0.025
"""How often a difference exactly as large as the bound is called equivalent, and how often different."""
BIAS = 0.07
"""How far the plug-in power may be too low on average above 0.3, as its documentation says; below that it is too high."""
MEANS = {"rate": 20.0, "isi_cv": 0.8, "lv": 0.7, "correlation": 0.1}
WIRING, NOISE = 0.1, 0.02
"""Standard deviations over units and over repetitions of one unit, relative to the mean."""


def drawn(values: np.ndarray, names: tuple[str, ...]) -> xr.DataArray:
    """Statistics of the units of one setting, (unit, statistic)."""
    return xr.DataArray(
        values[None],
        dims=("population", "trial", "statistic"),
        coords={"population": ["E"], "statistic": list(names), "units": ("statistic", ["1"] * len(names))},
    )


def verdicts(
    bounds: dict[str, Bound], change: float, *, paired: bool = True, sizes: tuple[int, int] = (UNITS, UNITS)
) -> tuple[np.ndarray, np.ndarray]:
    """Verdicts and reported powers, (repetition, statistic), where every statistic changes by a share of its mean."""
    names = tuple(bounds)
    means = np.array([MEANS[n] for n in names])
    random = np.random.default_rng(7)
    found, powers = [], []
    for _ in range(REPETITIONS):
        own = [random.normal(0, WIRING, (n, len(names))) for n in sizes]
        if paired:
            own[1] = own[0]
        sides = [
            drawn(means * (1 + shift + o + random.normal(0, NOISE, o.shape)), names)
            for o, shift in zip(own, (0.0, change), strict=True)
        ]
        table = analysis.fidelity(*sides, bounds=bounds, paired=paired).table
        found.append(table["verdict"].values[0])
        powers.append(table["power"].values[0])
    return np.array(found), np.array(powers)


def limits(p: float) -> tuple[int, int]:
    low, high = (int(stats.binom.ppf(q, REPETITIONS, p)) for q in (0.001, 0.999))
    return low, high


def require(count: int, least: float, most: float | None = None) -> None:
    """A count that the binomial law allows at some probability from ``least`` to ``most`` (``least`` alone unless given)."""
    low, high = limits(least)[0], limits(least if most is None else most)[1]
    assert 0 < low < high < REPETITIONS, "a limit cannot fail: more repetitions, or another probability"
    assert low <= count <= high, (low, count, high)


def test_a_wrong_error_rate_would_be_seen() -> None:
    low, high = limits(CLAIM)
    assert 0 < low < CLAIM * REPETITIONS < high < 0.06 * REPETITIONS


@pytest.mark.slow
@pytest.mark.parametrize("bound", [0.035, 0.04, 0.05, 0.055])
def test_equal_settings_are_called_equivalent_as_often_as_the_power_says(bound: float) -> None:
    """The mean of the reported power is the frequency, within its bias and the binomial law; "different" nearly never."""
    found, powers = verdicts({"isi_cv": Bound(bound * MEANS["isi_cv"])}, 0.0)
    assert 0.3 < powers.mean() < 0.97, "a case that says something"
    require(int((found == "equivalent").sum()), float(powers.mean()), min(1.0, float(powers.mean()) + BIAS))
    assert (found == "different").sum() <= limits(0.001)[1]


@pytest.mark.slow
@pytest.mark.parametrize("direction", [-1, 1])
def test_a_cv_exactly_at_its_bound(direction: int) -> None:
    found, _ = verdicts({"isi_cv": Bound(0.05 * MEANS["isi_cv"])}, direction * 0.05)
    for error in ("equivalent", "different"):
        require(int((found == error).sum()), CLAIM)


@pytest.mark.slow
def test_a_rate_exactly_at_its_relative_bound() -> None:
    """The reference's mean, by which it is divided, has an error too: allowed for by half a percent."""
    found, _ = verdicts({"rate": Bound(0.05, relative=True)}, 0.05)
    for error in ("equivalent", "different"):
        require(int((found == error).sum()), CLAIM - 0.005, CLAIM + 0.005)


@pytest.mark.slow
def test_independent_draws_of_unequal_number_exactly_at_the_bound() -> None:
    """Welch: wiring does not cancel."""
    found, _ = verdicts({"isi_cv": Bound(0.2 * MEANS["isi_cv"])}, 0.2, paired=False, sizes=(8, 12))
    for error in ("equivalent", "different"):
        require(int((found == error).sum()), CLAIM - 0.005, CLAIM + 0.005)


@pytest.mark.slow
def test_several_statistics_at_their_bounds_err_together_as_often_as_one() -> None:
    """Independent statistics: any of m errs in 1 - (1 - CLAIM/m)^m of repetitions, just below CLAIM."""
    names = ("isi_cv", "lv", "correlation")
    found, _ = verdicts({n: Bound(0.05 * MEANS[n]) for n in names}, 0.05)
    for error in ("equivalent", "different"):
        require(int((found == error).any(axis=1).sum()), 1 - (1 - CLAIM / len(names)) ** len(names))


@pytest.mark.slow
def test_a_difference_of_the_detectable_size_is_found_in_80_percent() -> None:
    """With the spread known: the true error of a mean difference of UNITS pairs is NOISE sqrt(2 / UNITS)."""
    bound, error = 0.02, NOISE * np.sqrt(2 / UNITS)
    quantile, freedom = stats.t.ppf(1 - CLAIM, UNITS - 1), UNITS - 1
    change = bound + (quantile + stats.t.ppf(0.8, freedom)) * error
    found, _ = verdicts({"isi_cv": Bound(bound * MEANS["isi_cv"])}, change)
    expected = 1 - stats.nct.cdf(quantile, freedom, (change - bound) / error)
    require(int((found == "different").sum()), float(expected))
    assert abs(expected - 0.8) < 0.05


@pytest.mark.slow
def test_spike_trains_with_a_cv_far_beyond_the_bound() -> None:
    """From spikes to the verdict, 30 repetitions: 0.8 against 0.9 with a bound of 0.02 is always different."""
    for repetition in range(30):
        own = np.random.default_rng([repetition, 77]).normal(1, (0.1, 0.05), (UNITS, 2))
        sides = [
            [
                gamma_trains(20 * r, (0.8 * v + changed) ** -2, 25, 8, 10_000 * repetition + 100 * k + side, dt_ms=0.25)
                for k, (r, v) in enumerate(own)
            ]
            for side, changed in enumerate((0.0, 0.1))
        ]
        assert analysis.fidelity(*sides, bounds={"isi_cv": Bound(0.02)}).verdict == "different"
