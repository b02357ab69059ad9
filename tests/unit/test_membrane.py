"""Fixed points and slopes of membrane polynomials, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cortexsnn.analysis.membrane import fixed_points, steepest


def test_the_quadratic_neuron_in_both_readings() -> None:
    """a = 1/4, u_1 = 0, u_2 = 1/2: plain has fixed points 0 and 4.5, identity 0 (stable) and 0.5 (unstable)."""
    plain = fixed_points([0, -0.125, 0.25])
    identity = fixed_points([0, 0.875, 0.25])
    assert [f.u for f in plain] == pytest.approx([0, 4.5])
    assert [f.u for f in identity] == pytest.approx([0, 0.5])
    assert [f.stable for f in identity] == [True, False]
    assert [f.slope for f in plain] == pytest.approx([-0.125, 2.125])


def test_no_or_every_voltage_is_fixed() -> None:
    assert fixed_points([0.1, 1.0]) == []
    assert fixed_points([1.0, 0.0, 1.0]) == []
    assert fixed_points([0.0, 0.5], -1, 1)[0].u == 0


def test_steepest_slope_is_the_largest_on_a_grid() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        c = random.normal(size=random.integers(1, 6))
        grid = np.linspace(-2, 1, 20_001)
        slope = np.abs(
            np.polynomial.polynomial.polyval(grid, np.polynomial.polynomial.polyder(c) if c.size > 1 else [0.0])
        )
        assert steepest(c, -2, 1) == pytest.approx(slope.max(), rel=1e-4, abs=1e-12)
