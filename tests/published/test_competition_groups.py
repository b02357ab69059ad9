"""Supervised plasticity with competition groups: the sheet's numbers by hand, invariants, limits, digits, every engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cortexsnn as cx
from cortexsnn.train.competition import (
    CompetitionSettings,
    Layer,
    balance,
    decided,
    fit_layer,
    regulated,
    timing_errors,
    to_circuit,
    weight_changes,
)  # fmt: skip
from cortexsnn.train.data import digits
from cortexsnn.train.features import FeatureSettings, learn_features
from cortexsnn.train.first_spikes import latencies, spike_rows

WINNERS, TARGET = np.array([0.40, 0.30, 0.50]), np.array([True, False, False])
N_STEPS = 300


def test_errors_by_hand() -> None:
    assert timing_errors(WINNERS, TARGET, 0.03, "s2-stdp") == pytest.approx([0.02, -0.11, 0.09])
    assert timing_errors(WINNERS, TARGET, 0.03, "sstdp") == pytest.approx([0.02, -0.11, 0.0])


def test_changes_by_hand() -> None:
    errors = timing_errors(WINNERS, TARGET, 0.03, "s2-stdp")
    found = weight_changes(errors, np.array([0.10, 0.35, 0.45, 1.0]), WINNERS, (0.05, -0.1))
    expected = [
        [0.0010, 0.0010, -0.0020, -0.0020],
        [-0.0055, 0.0110, 0.0110, 0.0110],
        [0.0045, 0.0045, 0.0045, -0.0090],
    ]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_errors_sum_to_nothing_where_all_fire() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        times = random.uniform(0, 0.9, 7)
        assert timing_errors(times, np.arange(7) == 3, 0.05, "s2-stdp").sum() == pytest.approx(0, abs=1e-12)


def test_wanted_times_are_a_fixed_point() -> None:
    assert timing_errors(np.array([0.38, 0.41, 0.41]), TARGET, 0.03, "s2-stdp") == pytest.approx([0, 0, 0], abs=1e-12)


def test_thresholds_by_hand() -> None:
    start = np.full(4, 200.0)
    first = regulated(start, np.arange(4) == 0, 10.0, 200.0)
    assert first.tolist() == [207.5, 200, 200, 200]
    assert regulated(first, np.arange(4) == 1, 10.0, 200.0).tolist() == [205, 207.5, 200, 200]
    free = regulated(np.full(4, 220.0), np.arange(4) == 0, 10.0, 200.0)
    assert free.tolist() == [227.5, 217.5, 217.5, 217.5]
    assert free.sum() == 880


def _layer(weights: Any, n_classes: int = 1, **more: Any) -> Layer:
    return Layer(
        np.array(weights, float), n_classes, CompetitionSettings(**{"non_targets": 0, "threshold": 1.2, **more})
    )


def test_the_last_input_can_trigger_a_spike() -> None:
    """Unlike in the public code: 0.5 at 0.1, 0.2, 0.3 reaches 1.5 above 1.2."""
    spikes, potentials = _layer([[0.5, 0.5, 0.5]]).first_spikes(np.array([0.1, 0.2, 0.3]))
    assert (spikes[0], potentials[0]) == (0.3, 1.5)


def test_inputs_at_the_same_time_act_together_and_ties_go_by_potential() -> None:
    layer = _layer([[0.7, 0.6, 0.1], [0.9, 0.8, 0.0], [0.1, 0.1, 0.1]], 3)
    spikes, potentials = layer.first_spikes(np.array([0.2, 0.2, 0.5]))
    assert spikes.tolist() == [0.2, 0.2, 1.0]
    assert potentials == pytest.approx([1.3, 1.7, 0.3])
    assert layer.predict(np.array([[0.2, 0.2, 0.5]])).tolist() == [1]
    assert layer.first_spikes(np.ones(3))[0].tolist() == [1.0] * 3


def test_a_potential_at_the_threshold_is_no_spike() -> None:
    """0.5 and 0.25 reach 0.75 and stay below; all numbers are exact in binary."""
    spikes, potentials = _layer([[0.5, 0.25, 0.25]], threshold=0.75).first_spikes(np.array([0.1, 0.2, 0.3]))
    assert (spikes[0], potentials[0]) == (0.3, 1.0)


@pytest.mark.parametrize(
    ("winners", "expected"),
    [
        ([0.4, 0.6, 1.0], [-0.08, 0.09, 0.49]),  # the mean is 0.5, of the two that fire
        ([0.99, 1.0, 0.995], [0.02, 0.0, -0.005]),  # the mean, 0.9925, is cut to 1 - 0.03/3
        ([1.0, 1.0, 1.0], [0.03, 0.0, 0.0]),
    ],
    ids=["one silent", "all late", "all silent"],
)
def test_errors_by_hand_where_winners_are_silent_or_late(winners: list[float], expected: list[float]) -> None:
    assert timing_errors(np.array(winners), TARGET, 0.03, "s2-stdp") == pytest.approx(expected, abs=1e-12)


def test_a_silent_cell_grows_everywhere() -> None:
    """As published: a cell that stays silent counts as firing at the end, so silent inputs grow as well."""
    change = weight_changes(np.array([0.1]), np.array([0.2, 1.0]), np.array([1.0]), (0.05, -0.1))
    assert np.allclose(change, 0.005)


def test_only_the_first_of_each_group_learns_and_sums_are_kept() -> None:
    random = np.random.default_rng(1)
    layer = _layer(random.uniform(0.2, 0.4, (6, 20)), 2, normalise=True, gap=0.05)
    before = layer.weights.copy()
    winners = layer.learn(random.uniform(0, 0.9, 20), 1, (0.05, -0.1), 0.0)
    assert winners.shape == (2,)
    changed = (layer.weights != before).any(1)
    assert set(np.flatnonzero(changed)) <= set(winners)
    assert changed.sum() >= 1
    np.testing.assert_allclose(layer.weights.sum(1), before.sum(1), rtol=1e-12)


def test_a_cell_that_fires_when_it_is_to_does_not_learn() -> None:
    """The errors by hand: under SSTDP the last of three winners is late enough, under S2-STDP it is too late."""
    times = np.array([0.3, 0.4, 0.5])
    weights = [[0.2, 0.8, 0.1], [0.8, 0.2, 0.1], [0.2, 0.2, 0.8]]  # above 0.7 at 0.4, 0.3 and 0.5
    for rule, expected in (("sstdp", [0, 1]), ("s2-stdp", [0, 1, 2])):
        layer = _layer(weights, 3, threshold=0.7, gap=0.03, rule=rule, normalise=False, epochs=1)
        assert layer.learn(times, 0, (0.05, -0.1), 0.0).tolist() == expected
        assert np.flatnonzero((layer.weights != np.array(weights)).any(1)).tolist() == expected
        layer = _layer(weights, 3, threshold=0.7, gap=0.03, rule=rule, normalise=False, epochs=1)
        part = (times[None], np.array([0]))
        assert fit_layer(layer, part, part, 0).updates.tolist() == [int(k in expected) for k in range(3)]


def test_wanted_times_teach_nothing() -> None:
    times = np.array([0.38, 0.41])
    layer = _layer([[0.8, 0.1], [0.1, 0.8], [0.1, 0.8]], 3, threshold=0.7, gap=0.03)
    assert layer.learn(times, 0, (0.05, -0.1), 0.0).size == 0


def test_one_cell_a_class_is_the_plain_rule() -> None:
    """Groups of one and no regulation: each class' cell learns in every sample."""
    random = np.random.default_rng(2)
    layer = _layer(random.uniform(0.2, 0.4, (3, 20)), 3, normalise=False)
    samples, labels = random.uniform(0, 0.9, (30, 20)), random.integers(0, 3, 30)
    history = fit_layer(layer, (samples, labels), (samples, labels), 0)
    assert (history.updates == len(history.training_accuracy) * 30).all()


def test_training_thresholds_are_those_of_targets_of_the_class_alone() -> None:
    """All thresholds of training out of reach: targets of the label stay silent, its non-target and the other class fire all the same."""
    layer = _layer([[0.8, 0.8], [0.9, 0.9], [0.9, 0.9], *[[0.8, 0.8]] * 3], 2, non_targets=1, threshold=1.0)
    layer.thresholds[:] = 5.0
    assert layer.learn(np.array([0.1, 0.2]), 0, (0.05, -0.1), 0.6).tolist() == [0, 3]
    # K = 2 targets of class 0: the first wins, by its place
    assert layer.thresholds == pytest.approx([5.0, 5.3, 4.7, 5.0, 5.0, 5.0])


class Watched(Layer):
    """Remembers what each sample is learned with."""

    def learn(self, times: Any, label: int, rates: Any, regulation: float) -> Any:
        self.__dict__.setdefault("seen", []).append((*rates, regulation, *self.thresholds))
        return super().learn(times, label, rates, regulation)


def test_what_changes_from_epoch_to_epoch() -> None:
    """Amplitudes by 0.98, eta by 0.5, thresholds back to theta_0, where one cell of two had risen by eta/2."""
    settings = CompetitionSettings(threshold=1.0, regulation=0.4, non_targets=0, epochs=3)
    layer = Watched(np.array([[0.8, 0.8], [0.7, 0.7]]), 1, settings)
    part, after = (np.array([[0.1, 0.2]]), np.array([0])), []
    fit_layer(layer, part, part, 0, report=lambda epoch, history: after.append(layer.thresholds.tolist()))
    seen = np.array(layer.__dict__["seen"])
    np.testing.assert_allclose(seen[:, 0], [0.05, 0.05 * 0.98, 0.05 * 0.98**2])
    np.testing.assert_allclose(seen[:, 1], [-0.1, -0.1 * 0.98, -0.1 * 0.98**2])
    np.testing.assert_allclose(seen[:, 2], [0.4, 0.2, 0.1])
    np.testing.assert_allclose(seen[:, 3:], 1.0)
    np.testing.assert_allclose(after, [[1.2, 1.0], [1.1, 1.0], [1.05, 1.0]])


def test_training_stops_early_and_keeps_its_best_epoch() -> None:
    """The one sample is right from the beginning, and weights move on."""
    layer = _layer([[0.8, 0.8, 0.1], [0.5, 0.5, 0.5]], 2, normalise=False, epochs=10, patience=2)
    part, after = (np.array([[0.1, 0.2, 0.3]]), np.array([0])), []
    history = fit_layer(layer, part, part, 0, report=lambda epoch, history: after.append(layer.weights.copy()))
    assert history.validation_accuracy == [1.0] * 3
    assert history.best == 0
    assert np.array_equal(layer.weights, after[0])
    assert not np.array_equal(after[0], after[2])


def _digits(per_class: int, epochs: int = 8, labels_seed: int | None = None, **more: Any) -> tuple[Layer, Any, float]:
    data = digits()
    train, validation, test = ((latencies(p.images, N_STEPS), p.labels) for p in data)
    if labels_seed is not None:
        train = (train[0], np.random.default_rng(labels_seed).permutation(train[1]))
    settings = CompetitionSettings(**{"threshold": 4.0, "regulation": 0.2, "epochs": epochs, **more})
    layer = Layer.drawn(64, 10, per_class, settings, 0)
    history = fit_layer(layer, train, validation, 0)
    return layer, history, float((layer.predict(test[0]) == test[1]).mean())


@pytest.mark.slow
def test_digits_end_to_end_and_in_every_engine() -> None:
    layer, history, accuracy = _digits(5)
    assert accuracy > 0.8
    shuffled = _digits(5, 2, labels_seed=0)[2]
    assert shuffled < 0.35
    samples = latencies(digits().test.images[:100], N_STEPS)
    circuit, rows = to_circuit(layer, N_STEPS), spike_rows(samples, N_STEPS)
    report = cx.verify(circuit, {"x": rows}, engines=("numpy", "torch", "brian2:cpp_standalone"), minimum_spikes=1000)
    assert report.agree, str(report)
    recording = report.recordings["brian2:cpp_standalone"]
    spikes = recording["cells"]["spikes"].values
    times = np.where(spikes.any(1), spikes.argmax(1), N_STEPS) / N_STEPS
    expected = np.array([layer.first_spikes(s)[0] for s in samples])
    np.testing.assert_allclose(times, expected, atol=1e-12)
    assert (decided(recording, layer) == layer.predict(samples)).all()
    assert history.updates.sum() > 0


def test_the_first_cell_learns_what_its_place_saw() -> None:
    """One bar in an image: one feature gains where the bar is and loses elsewhere, by the multiplicative rule, and its threshold rises."""
    bar = np.ones((4, 4))
    bar[1] = 0.1
    settings = FeatureSettings(features=3, kernel=3, threshold=1.0, rise=0.3, epochs=1)
    before = learn_features(np.ones((1, 16)), (4, 4), settings, 0)  # nothing spikes, nothing is learned
    after = learn_features(bar.reshape(1, -1), (4, 4), settings, 0)
    moved = (after.weights != before.weights).any((1, 2))
    assert moved.sum() == 1
    old, new = before.weights[moved][0], after.weights[moved][0]
    row = int((new - old).sum(1).argmax())
    assert row in (0, 1)
    np.testing.assert_allclose((new - old)[row], 0.1 * old[row] * (1 - old[row]))
    others = np.arange(3) != row
    np.testing.assert_allclose((new - old)[others], -0.075 * (old * (1 - old))[others])
    assert sorted(after.thresholds.tolist()) == pytest.approx([0.9, 0.9, 1.2])


@pytest.mark.slow
def test_digits_end_to_end_on_features_that_were_learned_and_in_every_engine() -> None:
    data = digits()
    train, validation, test = ((latencies(p.images, N_STEPS), p.labels) for p in data)
    features = learn_features(train[0], (8, 8), FeatureSettings(), 0)
    assert features.weights.min() > 0
    assert features.weights.max() < 1
    parts = [(features.times(p[0]), p[1]) for p in (train, validation)]
    n = parts[0][0].shape[1]
    settings = CompetitionSettings(threshold=0.08 * n, regulation=0.004 * n, epochs=3)
    layer = Layer.drawn(n, 10, 5, settings, 0)
    fit_layer(layer, parts[0], parts[1], 0)
    images = test[0][:100]
    expected = features.times(images)
    predicted = layer.predict(expected)
    assert (predicted == test[1][:100]).mean() > 0.85
    circuit, rows = to_circuit(layer, N_STEPS, features=features), spike_rows(images, N_STEPS)
    report = cx.verify(circuit, {"x": rows}, engines=("numpy", "torch", "brian2:cpp_standalone"), minimum_spikes=10_000)
    assert report.agree, str(report)
    recording = report.recordings["brian2:cpp_standalone"]
    spikes = recording["features"]["spikes"].transpose("trial", "step", "neuron").values
    times = np.where(spikes.any(1), spikes.argmax(1), N_STEPS) / N_STEPS
    np.testing.assert_allclose(times, expected, atol=1e-12)
    assert (decided(recording, layer) == predicted).all()


@pytest.mark.slow
def test_regulation_shares_the_updates() -> None:
    balanced, alone = (_digits(5, 2, regulation=eta)[:2] for eta in (0.2, 0.0))
    assert balance(balanced[1].updates, balanced[0]) > balance(alone[1].updates, alone[0])


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["sstdp", "r-stdp"])
def test_the_other_rules_learn_digits(rule: Any) -> None:
    more = {
        "gap": 0.08,
        "a_plus": 0.1,
        "a_minus": -0.001,
        "mean": 0.5,
        "normalise": False,
        "non_targets": 0,
        "threshold": 8.0,
    }
    accuracy = _digits(5, 5, rule=rule, **more)[2]
    assert accuracy > 0.5


def _fit(samples: Any, labels: Any) -> Any:
    good = (np.array([[0.5, 0.2]]), np.array([0]))
    return fit_layer(_layer([[0.1, 0.1], [0.2, 0.2]], 2), (samples, labels), good, 0)


PAIR, HALF = _layer([[0.1, 0.1], [0.2, 0.2]], 2), np.array([[0.5, 0.5]])


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: CompetitionSettings(rule="stdp"), "settings.rule: unknown rule 'stdp'"),  # type: ignore[arg-type]
        *(
            (lambda name=name, value=value: CompetitionSettings(**{name: value}), f"settings.{name}: expected a (whole )?number in .*, got {value!r}")
            for name, value in (
                ("gap", 1.0), ("a_plus", "0.1"), ("a_minus", 0.1), ("threshold", np.inf), ("mean", np.nan), ("mean", 1.5), ("spread", -0.1),
                ("regulation", np.nan), ("annealing", -0.5), ("decay", np.nan), ("decay", 1.5), ("epochs", 2.5), ("patience", 0), ("non_targets", True),
            )
        ),
        (lambda: _layer(np.ones((3, 2)), 2), "expected as many cells for every class"),
        (lambda: _layer(np.ones((3, 2)), 0), "n_classes: expected a whole number"),
        (lambda: _layer([0.1, 0.2]), r"weights: expected finite numbers >= 0, \(cell, input\)"),
        (lambda: _layer([[np.nan]]), "weights: expected finite numbers"),
        (lambda: _layer([[-0.1]]), "weights: expected finite numbers"),
        (lambda: Layer.drawn(4, 0, 2, CompetitionSettings(), 0), "n_classes: expected a whole number"),
        (lambda: Layer.drawn(4, 2, 0, CompetitionSettings(), 0), "per_class: expected a whole number"),
        (lambda: PAIR.predict(np.ones((1, 3))), r"samples: expected times \(sample, 2\), got \(1, 3\)"),
        (lambda: PAIR.predict(np.array([[0.1, 1.5]])), "samples: expected numbers from 0 to 1, got 0.1 to 1.5"),
        (lambda: PAIR.learn(HALF[0], 7, (0.1, -0.1), 0.0), "label: expected labels in 0 to 1, got 7"),
        (lambda: PAIR.learn(np.ones(3), 0, (0.1, -0.1), 0.0), "times: expected times"),
        (lambda: PAIR.reinforce(HALF[0], -1, (0.1, -0.1), 0.5), "label: expected labels in 0 to 1, got -1"),
        (lambda: _fit(np.array([[2.0, 0.0]]), np.array([0])), "train: expected numbers from 0 to 1"),
        (lambda: _fit(np.array([[np.nan, 0.0]]), np.array([0])), "train: expected numbers from 0 to 1"),
        (lambda: _fit(HALF, np.array([2])), "train: expected labels in 0 to 1"),
        (lambda: _fit(HALF, np.array([0.5])), "train: expected 1 whole numbers as labels"),
        (lambda: _fit(HALF, np.array([[0]])), "train: expected 1 whole numbers as labels"),
        (lambda: _fit([[0.5, 0.5], [0.5]], [0, 1]), "train: expected numbers in rows of equal length"),
        (lambda: timing_errors(WINNERS, TARGET, 0.03, "r-stdp"), "rule: unknown rule 'r-stdp'"),
        (lambda: to_circuit(PAIR, 10, dt=1.0), "dt: expected a time"),  # type: ignore[arg-type]
        (lambda: to_circuit(PAIR, 10, dt="1 mV"), "dt: expected a time"),
        (lambda: to_circuit(PAIR, 0), "n_steps: expected a whole number"),
        (lambda: latencies(np.array([0.5, 1.5]), 10), "values: expected numbers from 0 to 1, got 0.5 to 1.5"),
        (lambda: latencies(np.array([np.nan]), 10), "values: expected numbers from 0 to 1"),
        (lambda: latencies(np.array([0.5]), 0), "n_steps: expected a whole number"),
        (lambda: spike_rows(np.array([[0.55]]), 10), "samples: expected times on a grid of 10 steps"),
        (lambda: spike_rows(np.array([[-0.1]]), 10), "samples: expected numbers from 0 to 1"),
        *(
            (lambda name=name, value=value: FeatureSettings(**{name: value}), f"settings.{name}: expected a (whole )?number in")
            for name, value in (("kernel", 0), ("features", 1.5), ("threshold", np.nan), ("rise", -1), ("a_minus", -0.1), ("a_plus", 2))
        ),
        (lambda: learn_features(np.ones((2, 9)), (4, 4), FeatureSettings(), 0), r"samples: expected times \(sample, 16\)"),
        (lambda: learn_features(np.full((2, 16), np.nan), (4, 4), FeatureSettings(), 0), "samples: expected numbers from 0 to 1"),
        (lambda: learn_features(np.ones((2, 16)), (4, 4), FeatureSettings(), 0), "settings.kernel: 5 is larger than an image"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call: Any, expected: str) -> None:
    with pytest.raises(cx.InputError, match=expected):
        call()


def test_lists_and_times_without_a_space_are_taken() -> None:
    assert len(_fit([[0.5, 0.2]], [1]).training_accuracy) >= 1
    assert to_circuit(PAIR, 10, dt="1ms").duration == "10 ms"
