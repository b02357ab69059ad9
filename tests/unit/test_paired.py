"""Paired differences and gain fits against what is known of the numbers they are given."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from cortexsnn.analysis import effect_of_inhibition, estimate, gain_and_offset, paired_difference


def test_interval_and_p_are_scipys() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 1, 12), rng.normal(0.5, 1, 12)
    found = paired_difference(a, b)
    expected = stats.ttest_rel(a, b)
    low, high = expected.confidence_interval(0.95)
    assert (found.low, found.high, found.p) == pytest.approx((low, high, expected.pvalue))
    low, high = stats.t.interval(0.95, 11, a.mean(), stats.sem(a))
    assert estimate(a)[:3] == pytest.approx((a.mean(), low, high))


def test_the_detectable_difference_is_found_four_times_in_five() -> None:
    rng, n = np.random.default_rng(1), 6
    spread = np.array([-1.2, -0.5, 0.0, 0.3, 0.6, 0.8])
    size = paired_difference(spread, np.zeros(n)).detectable
    draws = rng.normal(size, spread.std(ddof=1), (4000, n))
    power = (stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05).mean()
    assert power == pytest.approx(0.8, abs=0.025)


def test_too_few_or_unpaired_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match="at least two seeds"):
        estimate([1.0])
    with pytest.raises(ValueError, match="pair them by seed"):
        paired_difference([1.0, 2.0], [1.0, 2.0, 3.0])


def test_gain_and_offset_of_a_known_curve() -> None:
    drive = np.linspace(0, 10, 30)
    line = gain_and_offset(drive, 3.0 * np.maximum(0, drive - 2.5))
    assert (line.gain, line.offset) == pytest.approx((3.0, 2.5), rel=1e-6)
    with pytest.raises(ValueError, match="widen the drive"):
        gain_and_offset(drive, np.zeros(30))


@pytest.mark.parametrize(
    ("gain", "offset", "verdict"),
    [
        (0.5, 0.0, "divisive"),
        (1.0, 3.0, "subtractive"),
        (0.5, 3.0, "both"),
        (0.97, 0.2, "neither: gain stays, offset stays"),
        (2.0, 3.0, "neither: gain rises, offset rises"),
    ],
)
def test_what_inhibition_does_is_named(gain: float, offset: float, verdict: str) -> None:
    drive, rng = np.linspace(0, 10, 40), np.random.default_rng(0)
    curves = np.array([np.maximum(0, drive - 1), gain * np.maximum(0, drive - 1 - offset)]) + rng.normal(
        0, 0.02, (2, 40)
    )
    data = xr.DataArray(curves, dims=("inhibition", "drive"), coords={"drive": drive, "inhibition": [0.0, 1.0]})
    assert effect_of_inhibition(data).attrs["verdict"] == verdict
