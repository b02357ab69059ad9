"""Rates, irregularity and distances against closed forms, on recordings made by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from cortexsnn import analysis
from cortexsnn.errors import InputError
from synthetic import make_recording, poisson, two_populations

# Rates ------------------------------------------------------------------------------------------------------


def test_rate_is_count_over_duration() -> None:
    spikes = np.zeros((2, 200, 3))
    spikes[0, :50, 0] = 1
    spikes[1, 0, 2] = 1
    recording = make_recording({"E": spikes}, dt_ms=0.5)  # 100 ms
    rates = analysis.neuron_rates(recording, "E")
    assert rates.dims == ("trial", "neuron")
    assert rates.attrs["units"] == "Hz"
    np.testing.assert_array_equal(rates, [[500, 0, 0], [0, 0, 10]])
    np.testing.assert_allclose(analysis.active_fraction(recording, "E"), [1 / 3, 1 / 3])
    table = analysis.population_rates(recording).sel(population="E")
    assert (int(table.n_spikes), int(table.n_neurons)) == (51, 3)
    assert float(table["mean"]) == pytest.approx((250 + 0 + 5) / 3)
    assert float(table["median"]) == 5.0
    assert table.transmitter == "excitatory"


def test_window_counts_rows_from_start_up_to_stop() -> None:
    spikes = np.zeros((1, 10, 1))
    spikes[0, 4] = 1
    recording = make_recording({"E": spikes})
    assert analysis.spike_trains(recording, "E", start_ms=4, stop_ms=5).values.sum() == 1
    assert analysis.spike_trains(recording, "E", start_ms=0, stop_ms=4).values.sum() == 0


@pytest.mark.parametrize(("start", "stop"), [(5, 5), (0, 11), (-1, 5), (0.3, 5)])
def test_window_off_the_grid_or_recording_is_refused(start: float, stop: float) -> None:
    with pytest.raises(InputError, match=r"window|multiple"):
        analysis.spike_trains(make_recording({"E": np.zeros((1, 10, 1))}), "E", start_ms=start, stop_ms=stop)


def test_unknown_population_and_missing_spikes_are_named() -> None:
    recording = two_populations()
    with pytest.raises(InputError, match=r"'X'.*E, I"):
        analysis.neuron_rates(recording, "X")
    recording["E"] = recording["E"].to_dataset().drop_vars("spikes")
    with pytest.raises(InputError, match=r"recording\.E: no variable 'spikes'.*v, distance"):
        analysis.neuron_rates(recording, "E")
    assert analysis.spiking_populations(recording) == ("I",)


def test_inputs_are_listed_only_where_asked_for() -> None:
    recording = make_recording({"image": np.zeros((1, 5, 2)), "E": np.zeros((1, 5, 2))})
    assert analysis.spiking_populations(recording) == ("E",)
    assert analysis.spiking_populations(recording, inputs=True) == ("image", "E")


def test_psth_of_a_burst_and_its_incomplete_last_bin() -> None:
    spikes = np.zeros((2, 25, 4))
    spikes[:, 10:20] = 1
    histogram = analysis.psth(make_recording({"E": spikes}), "E", bin_ms=10)
    np.testing.assert_allclose(histogram, [0, 1000])
    np.testing.assert_array_equal(histogram.time, [0, 10])
    with pytest.raises(InputError, match="bin_ms"):
        analysis.psth(make_recording({"E": spikes}), "E", bin_ms=0)


# Irregularity -----------------------------------------------------------------------------------------------


def test_psth_per_something_else_is_refused() -> None:
    with pytest.raises(InputError, match="per: expected 'population', 'trial' or 'neuron', got 'x'"):
        analysis.psth(two_populations(), "E", 5.0, per="x")


def test_no_statistics_at_all_are_refused() -> None:
    with pytest.raises(InputError, match="statistics: expected at least one of rate, "):
        analysis.activity_statistics(two_populations(), statistics=[])


@pytest.mark.parametrize(
    ("drive", "rate", "message"),
    [
        ([0, 1, 2, 3, np.nan], [0, 0, 1, 2, 3], "NaN or infinity"),
        ([0, 1, 2, 3, 4], [0, 0, 1, 2, np.inf], "NaN or infinity"),
        ([0, 1, 2, 3, 4], [0, 0, 1, 2], r"one length, got \(5,\) and \(4,\)"),
    ],
)
def test_curves_that_cannot_be_fitted_are_refused(drive: list[float], rate: list[float], message: str) -> None:
    for ceiling in (np.inf, 1.5):
        with pytest.raises(InputError, match=message):
            analysis.gain_and_offset(drive, rate, ceiling)


def test_intervals_do_not_cross_trials_or_neurons() -> None:
    spikes = np.zeros((2, 20, 2))
    spikes[0, [0, 7], 0] = spikes[0, 19, 1] = spikes[1, [3, 5, 9], 1] = 1
    found = analysis.intervals(make_recording({"E": spikes}, dt_ms=0.1), "E")
    np.testing.assert_allclose(found, [0.7, 0.2, 0.4])
    np.testing.assert_array_equal(found.neuron, [0, 1, 1])
    np.testing.assert_array_equal(found.trial, [0, 1, 1])


def test_regular_train_has_cv_exactly_zero() -> None:
    spikes = np.zeros((1, 3000, 1))
    spikes[0, ::7] = 1
    assert float(analysis.isi_cv(make_recording({"E": spikes}, dt_ms=0.1), "E")[0, 0]) == 0.0


def test_alternating_intervals_have_the_cv_of_the_sample() -> None:
    steps = np.cumsum([0] + [2, 6] * 10)
    spikes = np.zeros((1, steps[-1] + 1, 1))
    spikes[0, steps] = 1
    cv = float(analysis.isi_cv(make_recording({"E": spikes}), "E")[0, 0])
    assert cv == pytest.approx(np.std([2, 6] * 10, ddof=1) / 4, rel=1e-14)


def test_bernoulli_trains_have_the_cv_of_the_geometric_law() -> None:
    """CV of geometric intervals is sqrt(1 - p), near the 1 of a Poisson process.

    400 trains of about 1000 intervals: standard error of the mean CV about 1/sqrt(2 * 1000 * 400) = 0.0011;
    tolerance five of them.
    """
    p = 0.02
    recording = make_recording({"E": poisson((1, 50_000, 400), p, 3)})
    cv = analysis.isi_cv(recording, "E")
    assert cv.attrs["n_defined"] == 400
    assert float(cv.mean()) == pytest.approx(np.sqrt(1 - p), abs=0.0056)


def test_cv_needs_the_stated_number_of_intervals() -> None:
    spikes = np.zeros((1, 100, 2))
    spikes[0, :11, 0] = 1  # 10 intervals
    spikes[0, :10, 1] = 1  # 9 intervals
    cv = analysis.isi_cv(make_recording({"E": spikes}), "E", min_intervals=10)
    assert float(cv[0, 0]) == 0.0
    assert np.isnan(cv[0, 1])
    assert cv.attrs == {"units": "1", "population": "E", "min_intervals": 10, "n_defined": 1}
    with pytest.raises(InputError, match="at least 2"):
        analysis.isi_cv(make_recording({"E": spikes}), "E", min_intervals=1)


def test_silent_population_gives_no_cv_and_no_warning() -> None:
    cv = analysis.isi_cv(make_recording({"E": np.zeros((2, 50, 3))}), "E")
    assert np.isnan(cv).all()
    assert cv.shape == (2, 3)


@pytest.mark.parametrize("over", ["window", "trial"])
def test_fano_factor_of_bernoulli_counts_is_one_minus_p(over: str) -> None:
    """Binomial counts: variance over mean = 1 - p. 200 counts for each of 500 estimates: standard error
    sqrt(2/199/500) = 0.0045; tolerance five of them."""
    p = 0.1
    shape = (1, 10_000, 500) if over == "window" else (200, 50, 500)
    recording = make_recording({"E": poisson(shape, p, 5)})
    fano = analysis.fano_factor(recording, "E", 50.0, over=over)  # type: ignore[arg-type]
    assert fano.dims == (("trial", "neuron") if over == "window" else ("window", "neuron"))
    assert float(fano.mean()) == pytest.approx(1 - p, abs=0.0225)


def test_fano_factor_of_constant_counts_is_zero_and_of_silence_undefined() -> None:
    spikes = np.zeros((1, 200, 2))
    spikes[0, ::10, 0] = 1
    fano = analysis.fano_factor(make_recording({"E": spikes}), "E", 20.0)
    assert float(fano[0, 0]) == 0.0
    assert np.isnan(fano[0, 1])
    assert np.isnan(analysis.fano_factor(make_recording({"E": spikes}), "E", 50.0)).all()  # 4 windows only
    with pytest.raises(InputError, match="over"):
        analysis.fano_factor(make_recording({"E": spikes}), "E", 20.0, over="neuron")  # type: ignore[arg-type]


# Distances --------------------------------------------------------------------------------------------------


def test_ks_distance_is_that_of_scipy_and_of_the_definition() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=300), generator.normal(0.5, size=200)
    assert analysis.ks_distance(a, b) == stats.ks_2samp(a, b, method="asymp").statistic
    assert analysis.ks_distance([0, 0, 0, 1], [1, 1]) == 0.75
    assert analysis.ks_distance([1.0, np.nan], [1.0]) == 0.0
    assert np.isnan(analysis.ks_distance([np.nan], [1.0]))


def test_distance_of_a_recording_to_itself_is_zero_and_to_a_faster_one_is_not() -> None:
    a = two_populations()
    same = analysis.distances(a, a)
    assert (same.rate_ks == 0).all()
    assert (same.rate_difference == 0).all()
    spikes = {name: a[name]["spikes"].values.copy() for name in "EI"}
    spikes["E"][:, ::2] = True
    changed = analysis.distances(a, make_recording(spikes))
    assert float(changed.rate_ks.sel(population="E")) == 1.0
    assert float(changed.rate_ks.sel(population="I")) == 0.0
    assert float(changed.rate_difference.sel(population="E")) > 400


def test_same_rates_at_another_dt_have_distance_zero() -> None:
    """Equal rates from different grids differ in the last bit; that must not count as a difference."""
    coarse = poisson((3, 70, 50), 0.1, 0)
    fine = np.zeros((3, 210, 50), dtype=bool)
    fine[:, ::3] = coarse
    a, b = make_recording({"E": coarse}, dt_ms=0.3), make_recording({"E": fine}, dt_ms=0.1)
    assert float(analysis.distances(a, b).rate_ks[0]) == 0.0


def test_distances_refuse_other_populations() -> None:
    with pytest.raises(InputError, match="different spiking populations"):
        analysis.distances(two_populations(), make_recording({"E": np.zeros((1, 5, 1))}))


def test_seed_spread_has_all_pairs() -> None:
    spread = analysis.seed_spread([two_populations(seed) for seed in (1, 5, 9)])
    assert list(spread.pair.values) == ["1 / 5", "1 / 9", "5 / 9"]
    assert spread.rate_ks.dims == ("pair", "population")
    assert (spread.rate_ks > 0).all()
    with pytest.raises(InputError, match="at least 2"):
        analysis.seed_spread([two_populations()])


def test_wilson_interval_against_scipy() -> None:
    low, high = analysis.wilson_interval(347 / 360, 360)
    expected = stats.binomtest(347, 360).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert analysis.wilson_interval(1.0, 10)[1] == 1.0
    with pytest.raises(InputError):
        analysis.wilson_interval(0.5, 0)


def test_measures_load_no_matplotlib(tmp_path: Path) -> None:
    code = "import sys, cortexsnn.analysis; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=tmp_path).returncode == 0
