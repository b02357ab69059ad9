"""Tuning curves, selectivity and discrimination against closed forms, scipy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy import stats
from sklearn.metrics import roc_auc_score

from cortexsnn.analysis import tuning
from cortexsnn.errors import InputError
from cortexsnn.recording import Events, from_events
from synthetic import make_recording, poisson


def recording_of(counts: np.ndarray, dt_ms: float = 1.0, n_steps: int = 100) -> xr.DataTree:
    """Spikes (trial, neuron) in the first steps of 100."""
    spikes = np.arange(n_steps)[None, :, None] < np.asarray(counts)[:, None, :]
    return make_recording({"E": spikes}, dt_ms=dt_ms)


def curves_of(rates: np.ndarray, stimuli: object) -> xr.DataArray:
    return xr.DataArray(
        np.asarray(rates, dtype=float),
        dims=("stimulus", "neuron"),
        coords={"stimulus": stimuli},
        attrs={"population": "E"},
    )


# Curves -----------------------------------------------------------------------------------------------------


def test_curve_is_count_over_time_per_stimulus_whatever_the_order_of_trials() -> None:
    stimulus = np.array(["b", "a", "b", "a", "c"])
    recording = recording_of(np.array([[1, 0], [4, 0], [3, 0], [6, 2], [9, 9]]), dt_ms=0.5)  # 50 ms
    curves = tuning.tuning_curves(recording, "E", stimulus, min_trials=2)
    assert curves.dims == ("stimulus", "neuron")
    assert list(curves.stimulus.values) == ["a", "b", "c"]
    np.testing.assert_array_equal(curves.n_trials, [2, 2, 1])
    np.testing.assert_allclose(curves, [[100, 20], [40, 0], [np.nan, np.nan]], rtol=1e-14)
    assert curves.attrs == {"units": "Hz", "population": "E", "min_trials": 2, "n_defined": 2}
    late = tuning.tuning_curves(recording, "E", stimulus, min_trials=1, start_ms=2.0, stop_ms=3.0)  # steps 4 and 5
    np.testing.assert_allclose(late[:, 0], [1000, 0, 2000])


def test_event_arrays_give_the_same_curve() -> None:
    events = Events(np.array([0, 1, 1]), np.array([3, 5, 7]), np.array([0, 1, 1]))
    recording = from_events({"E": events}, {"E": 2}, dt_ms=1.0, n_steps=100, n_trials=2)
    np.testing.assert_allclose(tuning.tuning_curves(recording, "E", [0, 1], min_trials=1), [[10, 0], [0, 20]])


def test_bad_labels_are_refused() -> None:
    recording = recording_of(np.ones((3, 1), dtype=int))
    with pytest.raises(InputError, match=r"one label per trial, \(3,\), got \(2,\)"):
        tuning.tuning_curves(recording, "E", [0, 1])
    with pytest.raises(InputError, match="NaN"):
        tuning.tuning_curves(recording, "E", [0, np.nan, 1])
    with pytest.raises(InputError, match="2 labels are NaN"):
        tuning.tuning_curves(recording, "E", np.array([np.nan, 1, np.float32("nan")], dtype=object))
    with pytest.raises(InputError, match="sorted"):
        tuning.tuning_curves(recording, "E", np.array([0, "a", None], dtype=object))
    with pytest.raises(InputError, match="unknown population"):
        tuning.tuning_curves(recording, "X", [0, 1, 2])
    with pytest.raises(InputError, match="min_trials"):
        tuning.tuning_curves(recording, "E", [0, 1, 2], min_trials=0)
    with pytest.raises(InputError, match="unknown label '7'"):
        tuning.d_prime(recording, "E", [0, 1, 2], 0, 7)


# Selectivity ------------------------------------------------------------------------------------------------

DIRECTIONS = np.arange(0, 360, 30)


def test_preference_of_known_curves() -> None:
    rates = np.array([[10, 5, 0], [0, 5, 0], [2, 5, 0]])
    index = tuning.preference(curves_of(rates, [0, 1, 2]))
    np.testing.assert_allclose(index[:2], [(10 - 1) / (10 + 1), 0])
    assert np.isnan(index[2])
    assert index.attrs["n_defined"] == 2
    assert np.isnan(tuning.preference(curves_of([[3.0]], [0]))).all()


def test_orientation_and_direction_vectors_of_cosine_tuning() -> None:
    """r = 1 + a cos(theta - p) + b cos 2(theta - q) at even spacing: the vectors are a/2 towards p and b/2 towards q exactly,
    the cosines of other orders being orthogonal to them."""
    theta = np.deg2rad(DIRECTIONS)
    a, b, p, q = 0.3, 0.6, np.deg2rad(40), np.deg2rad(130)
    curves = curves_of((1 + a * np.cos(theta - p) + b * np.cos(2 * (theta - q)))[:, None] * [[1.0, 7.0]], DIRECTIONS)
    orientation, direction = tuning.orientation_selectivity(curves), tuning.direction_selectivity(curves)
    np.testing.assert_allclose(orientation.osi, b / 2, rtol=1e-12)
    np.testing.assert_allclose(orientation.circular_variance, 1 - b / 2, rtol=1e-12)
    np.testing.assert_allclose(orientation.preferred, 130, rtol=1e-12)
    np.testing.assert_allclose(direction.dsi, a / 2, rtol=1e-12)
    np.testing.assert_allclose(direction.preferred, 40, rtol=1e-12)


def test_circular_variance_is_that_of_scipy() -> None:
    """scipy's circular variance of a sample in which every orientation occurs as often as the rate says."""
    counts = np.random.default_rng(3).integers(0, 9, DIRECTIONS.size)
    found = tuning.orientation_selectivity(curves_of(counts[:, None], DIRECTIONS))
    expected = stats.circvar(np.repeat(DIRECTIONS, counts), high=180)
    assert float(found.circular_variance[0]) == pytest.approx(expected, rel=1e-12)


def test_one_orientation_alone_is_fully_selective_and_a_constant_not_at_all() -> None:
    rates = np.zeros((12, 3))
    rates[[1, 7], 0] = 5  # 30 and 210 degrees: an orientation, not a direction
    rates[:, 1] = 4
    curves = curves_of(rates, DIRECTIONS)
    orientation, direction = tuning.orientation_selectivity(curves), tuning.direction_selectivity(curves)
    np.testing.assert_allclose(orientation.osi[:2], [1, 0], atol=1e-15)
    np.testing.assert_allclose(direction.dsi[:2], [0, 0], atol=1e-15)
    assert float(orientation.preferred[0]) == pytest.approx(30)
    assert np.isnan(orientation.preferred[1])
    assert np.isnan(direction.preferred[0])
    assert np.isnan(orientation.osi[2])
    assert orientation.attrs["n_defined"] == 2


def test_angles_that_would_bias_the_vector_are_refused() -> None:
    with pytest.raises(InputError, match="evenly spaced over 180"):
        tuning.orientation_selectivity(curves_of(np.ones((3, 1)), [0, 30, 60]))
    with pytest.raises(InputError, match="evenly spaced over 360"):
        tuning.direction_selectivity(curves_of(np.ones((6, 1)), np.arange(0, 180, 30)))  # orientations only
    with pytest.raises(InputError, match="degrees"):
        tuning.orientation_selectivity(curves_of(np.ones((3, 1)), ["a", "b", "c"]))
    rates = np.ones((12, 1))
    rates[0] = np.nan
    with pytest.raises(InputError, match="1 of 12 stimuli"):
        tuning.orientation_selectivity(curves_of(rates, DIRECTIONS))


def test_sparseness_of_known_curves() -> None:
    """Of n responses k equal and the rest 0, mean(r)^2/mean(r^2) is k/n: S = (1 - k/n)/(1 - 1/n)."""
    rates = np.zeros((8, 4))
    for neuron, k in enumerate((1, 4, 8)):
        rates[:k, neuron] = 3.0
    lifetime = tuning.lifetime_sparseness(curves_of(rates, np.arange(8)))
    np.testing.assert_allclose(lifetime[:3], [1, 0.5 / 0.875, 0], atol=1e-15)
    assert np.isnan(lifetime[3])
    population = tuning.population_sparseness(curves_of(rates, np.arange(8)))
    assert population.dims == ("stimulus",)
    np.testing.assert_allclose(population[0], (1 - 3 / 4) / 0.75, rtol=1e-14)
    np.testing.assert_allclose(population[7], 1, rtol=1e-14)
    silent = tuning.population_sparseness(curves_of(np.zeros((2, 3)), [0, 1]))
    assert np.isnan(silent).all()
    assert silent.attrs["n_defined"] == 0


def test_sparseness_of_exponential_rates_is_one_half() -> None:
    """mean(r)^2/mean(r^2) = 1/2 for an exponential law of mean 1. By the delta method its variance over n stimuli is
    (Var r + Var r^2/16 - Cov(r, r^2)/2)/n = (1 + 20/16 - 4/2)/n = 1/(4 n): standard error of the mean of 100 neurons with 4000
    stimuli each 0.0008; tolerance five of them plus the bias of a ratio, of order 1/n, together 0.005."""
    rates = np.random.default_rng(0).exponential(size=(4000, 100))
    assert float(tuning.lifetime_sparseness(curves_of(rates, np.arange(4000))).mean()) == pytest.approx(0.5, abs=0.005)


# Discrimination ---------------------------------------------------------------------------------------------


def test_d_prime_and_roc_against_numpy_scipy_and_sklearn() -> None:
    counts = np.random.default_rng(1).poisson([[3, 5, 4]] * 40)
    counts[::2] += np.array([2, 0, 9])
    label = np.array(["on", "off"] * 20)
    recording = recording_of(counts)
    d = tuning.d_prime(recording, "E", label, "on", "off")
    area = tuning.roc_area(recording, "E", label, "on", "off")
    on, off = counts[::2], counts[1::2]
    np.testing.assert_allclose(d, (on.mean(0) - off.mean(0)) / np.sqrt((on.var(0, ddof=1) + off.var(0, ddof=1)) / 2))
    statistic = stats.mannwhitneyu(on, off, axis=0, method="asymptotic").statistic
    np.testing.assert_array_equal(area, statistic / 400)
    np.testing.assert_allclose(area, [roc_auc_score(label == "on", counts[:, k]) for k in range(3)], rtol=1e-14)
    np.testing.assert_allclose(tuning.roc_area(recording, "E", label, "off", "on"), 1 - area, rtol=1e-14)
    assert area.attrs["n_trials"] == [20, 20]


def test_d_prime_of_binomial_counts_and_its_roc_area() -> None:
    """1000 steps, p = 0.05 against 0.08: means 50 and 80, variances 47.5 and 73.6, so d' = 3.855 and, counts being nearly
    normal, area = Phi(d'/sqrt 2) = 0.9968 to 0.001. Standard error of d' with 50 trials each and 100 neurons, about
    sqrt(2/50 + d'^2/200)/10 = 0.034; tolerance five of them plus the bias of 1/s, 3/(4 x 98) d' = 0.03."""
    spikes = np.concatenate([poisson((50, 1000, 100), 0.08, 1), poisson((50, 1000, 100), 0.05, 2)])
    recording, label = make_recording({"E": spikes}), np.repeat([1, 0], 50)
    expected = 30 / np.sqrt((1000 * 0.08 * 0.92 + 1000 * 0.05 * 0.95) / 2)
    assert float(tuning.d_prime(recording, "E", label, 1, 0).mean()) == pytest.approx(expected, abs=0.2)
    # One neuron's area has a standard deviation of about 0.004, the mean of 100 of 0.0004.
    area = float(tuning.roc_area(recording, "E", label, 1, 0).mean())
    assert area == pytest.approx(stats.norm.cdf(expected / np.sqrt(2)), abs=0.003)


def test_silent_neurons_few_trials_and_empty_populations_have_defined_values() -> None:
    recording = recording_of(np.array([[0, 1], [0, 2], [0, 3], [0, 4]]))
    label = [0, 0, 1, 1]
    d = tuning.d_prime(recording, "E", label, 1, 0, min_trials=2)
    assert np.isnan(d[0])
    assert float(d[1]) == pytest.approx(2 / np.sqrt(0.5))
    np.testing.assert_array_equal(tuning.roc_area(recording, "E", label, 1, 0, min_trials=2), [0.5, 1.0])
    assert np.isnan(tuning.roc_area(recording, "E", label, 1, 0)).all()  # two trials, five needed
    assert tuning.d_prime(recording, "E", label, 1, 0).attrs["n_defined"] == 0
    empty = make_recording({"E": np.zeros((4, 10, 0))})
    assert tuning.d_prime(empty, "E", label, 1, 0, min_trials=2).shape == (0,)
    assert tuning.roc_area(empty, "E", label, 1, 0, min_trials=2).shape == (0,)
    curves = tuning.tuning_curves(empty, "E", label, min_trials=2)
    assert curves.shape == (2, 0)
    assert tuning.preference(curves).shape == (0,)
    assert np.isnan(tuning.population_sparseness(curves)).all()
    with pytest.raises(InputError, match="at least 2"):
        tuning.d_prime(recording, "E", label, 1, 0, min_trials=1)
