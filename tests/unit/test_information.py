"""Entropy and mutual information against closed forms, and their bias over many experiments."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy import special, stats
from sklearn.metrics import mutual_info_score

from cortexsnn.analysis import information, tuning
from cortexsnn.errors import InputError
from synthetic import make_recording


def recording_of(counts: np.ndarray, dt_ms: float = 1.0) -> xr.DataTree:
    """Spikes (trial, neuron) in the first of 20 steps."""
    return make_recording({"E": np.arange(20)[None, :, None] < np.asarray(counts)[:, None, :]}, dt_ms=dt_ms)


def draw(law: np.ndarray, n: int, n_neurons: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).choice(law.size, size=(n, n_neurons), p=law)


# Entropy ----------------------------------------------------------------------------------------------------


def test_entropy_of_known_laws() -> None:
    np.testing.assert_allclose(information.entropy(np.ones(8)), 3)
    np.testing.assert_allclose(information.entropy([0.5, 0.25, 0.25, 0]), 1.5)
    p = np.array([[0.1, 3, 5, 0], [0.9, 3, 0, 0]])
    expected = [stats.entropy([0.1, 0.9], base=2), 1, 0, np.nan]
    np.testing.assert_allclose(information.entropy(p), expected, rtol=1e-14)
    corrected = information.entropy([4, 3, 0, 1], correction="miller_madow")
    assert float(corrected) == pytest.approx(stats.entropy([4, 3, 1], base=2) + 2 / (2 * 8 * np.log(2)))
    with pytest.raises(InputError, match="negative"):
        information.entropy([1, -1])
    with pytest.raises(InputError, match="NaN"):
        information.entropy([1, np.nan])
    with pytest.raises(InputError, match="correction"):
        information.entropy([1, 1], correction="james_stein")  # type: ignore[arg-type]


def mean_plug_in(law: np.ndarray, n: int) -> float:
    """Exact expectation of the plug-in entropy of n draws [bits]: every count of occurrences is binomial."""
    k = np.arange(n + 1)
    return float(sum((stats.binom.pmf(k, n, p) * special.entr(k / n)).sum() for p in law) / np.log(2))


def mean_seen(law: np.ndarray, n: int) -> float:
    """Exact expectation of the number of outcomes seen in n draws."""
    return float((1 - (1 - law) ** n).sum())


def test_miller_madow_removes_the_bias_of_the_entropy() -> None:
    """10000 experiments of 40 trials, law (.4 .3 .2 .1), 1.846 bits. Both means have exact expectations: five standard errors, no
    slack. The corrected one is off by (1 - sum 1/p)/(12 N^2 ln 2) = -0.0015 bits and 0.0003 for outcomes missed, where the
    plug-in value is off by -0.055: together 0.0022, rounded up to 0.0023."""
    law = np.array([0.4, 0.3, 0.2, 0.1])
    recording = recording_of(draw(law, 40, 10_000, 0))
    plain = information.count_entropy(recording, "E", correction="none")
    corrected = information.count_entropy(recording, "E")
    error = float(corrected.std()) / np.sqrt(10_000)
    expected = mean_plug_in(law, 40) + (mean_seen(law, 40) - 1) / (80 * np.log(2))
    assert error < 0.0015
    assert abs(float(plain.mean()) - mean_plug_in(law, 40)) < 5 * error
    assert abs(float(corrected.mean()) - expected) < 5 * error
    assert abs(expected - float(information.entropy(law))) < 0.0023
    assert corrected.attrs["n_defined"] == 10_000


# Information ------------------------------------------------------------------------------------------------


def test_plug_in_is_that_of_sklearn() -> None:
    random = np.random.default_rng(0)
    stimulus = random.integers(0, 4, 60)
    counts = random.poisson(1 + stimulus[:, None] * [0.0, 0.5, 2.0], (60, 3))
    found = information.mutual_information(recording_of(counts), "E", stimulus, correction="none", min_trials=2)
    expected = [mutual_info_score(stimulus, counts[:, k]) / np.log(2) for k in range(3)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert found.attrs["units"] == "bit"


@pytest.mark.parametrize("correction", information.CORRECTIONS[:2])
def test_a_noiseless_channel_carries_the_entropy_of_the_stimulus(correction: information.Correction) -> None:
    """Four stimuli, 20 trials each: 2 bits; 0 for a count that never varies. One count per stimulus can occur, so the
    correction is (0 - 3)/(2 N ln 2), which takes the stimulus' fixed frequencies for sampled ones: -3/(160 ln 2)."""
    stimulus = np.repeat([0, 1, 2, 3], 20)
    counts = np.stack([stimulus * 3, np.zeros(80, int), np.full(80, 5)], axis=1)
    plain = information.mutual_information(recording_of(counts), "E", stimulus, correction="none")
    np.testing.assert_array_equal(plain, [2, 0, 0])
    corrected = information.mutual_information(recording_of(counts), "E", stimulus, correction=correction)
    np.testing.assert_allclose(corrected, [2 + 3 / (160 * np.log(2)), 0, 0], rtol=1e-12)


LAWS = np.array([[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25]])


def truth() -> float:
    return float(information.entropy(LAWS.mean(axis=0)) - information.entropy(LAWS.T).mean())


@pytest.mark.parametrize("correction", ["none", "miller_madow"])
def test_mean_information_of_independent_counts_is_exactly_the_bias(correction: information.Correction) -> None:
    """Poisson counts of mean 2, four stimuli of 12 trials, 4000 experiments: without information the 48 counts are 48 draws of one
    law, so the mean of the plug-in value is the difference of two exact expectations, and that of Miller and Madow's
    correction follows from the expected number of counts seen. Five standard errors, no slack."""
    law, stimulus = stats.poisson.pmf(np.arange(40), 2), np.tile(np.arange(4), 12)
    counts = np.random.default_rng(7).poisson(2, (48, 4000))
    assert counts.max() < 20
    found = information.mutual_information(recording_of(counts), "E", stimulus, correction=correction)
    expected = mean_plug_in(law, 48) - mean_plug_in(law, 12)
    if correction == "miller_madow":
        expected -= (4 * (mean_seen(law, 12) - 1) - (mean_seen(law, 48) - 1)) / (2 * 48 * np.log(2))
    error = float(found.std()) / np.sqrt(4000)
    assert error < 0.002
    assert abs(float(found.mean()) - expected) < 5 * error


def test_corrections_with_few_trials() -> None:
    """The same law. Shuffling has the mean 0 exactly: five standard errors. Panzeri and Treves' correction has no closed
    form; it must leave less than a third of the plug-in bias, 0.29 bits, and less than Miller and Madow's."""
    law, stimulus = stats.poisson.pmf(np.arange(40), 2), np.tile(np.arange(4), 12)
    recording = recording_of(np.random.default_rng(8).poisson(2, (48, 1000)))
    shuffle, simple, bayes = (
        information.mutual_information(recording, "E", stimulus, correction=c, n_shuffles=20)
        for c in ("shuffle", "miller_madow", "panzeri_treves")
    )
    assert abs(float(shuffle.mean())) < 5 * float(shuffle.std()) / np.sqrt(1000)
    bias = mean_plug_in(law, 48) - mean_plug_in(law, 12)
    assert 0 < float(bayes.mean()) < min(bias / 3, float(simple.mean()))


@pytest.mark.parametrize("correction", ["panzeri_treves", "miller_madow"])
def test_analytic_corrections_remove_the_bias(correction: information.Correction) -> None:
    """4000 experiments with information, three stimuli of 30 trials, four counts: plug-in bias (3 x 3 - 3)/(2 x 90 ln 2) =
    0.048 bits. What is left: the next term of the entropies, (1 - sum 1/p)/(12 n^2 ln 2) bits each, together 0.0022; and counts
    missed with a stimulus, 0.9^30 = 4 % for two of the twelve, each 1/(180 ln 2) = 0.008 bits, together 0.0007. Tolerance: five
    standard errors plus 0.003 bits."""
    stimulus = np.repeat([0, 1, 2], 30)
    counts = np.concatenate([draw(law, 30, 4000, k) for k, law in enumerate(LAWS)])
    recording = recording_of(counts)
    plain = float(information.mutual_information(recording, "E", stimulus, correction="none").mean())
    found = information.mutual_information(recording, "E", stimulus, correction=correction)
    error = float(found.std()) / np.sqrt(4000)
    assert abs(float(found.mean()) - truth()) < 5 * error + 0.003
    assert error < 0.001
    assert plain > truth() + 0.04


def test_relevant_responses_by_hand() -> None:
    """Four trials, counts seen 3 and 1 times, four possible. x = 0: expected 2 - 0.25^4 - 0.75^4 = 1.680. x = 1: an unseen one has
    1 - (4/6)^(1/4) = 0.0964, the seen ones 0.9036 x (4/6, 2/6), expected 2.070. x = 2: expected 2.336. Nearest to 2 is x = 1."""
    np.testing.assert_array_equal(information.relevant_responses(np.array([[3], [1], [0], [0]]), np.array([4])), [3])
    np.testing.assert_array_equal(information.relevant_responses(np.array([[3], [1], [0], [0]]), np.array([2])), [2])


def test_relevant_responses_one_table_at_a_time() -> None:
    """The definition, written out with whole distributions that sum to 1, on 300 random tables: equal, being integers."""
    random = np.random.default_rng(1)
    different = 0
    for _ in range(300):
        possible, n = int(random.integers(2, 12)), int(random.integers(4, 40))
        seen = random.multinomial(n, random.dirichlet(np.full(possible, 0.5)))
        k, positive = int((seen > 0).sum()), seen[seen > 0]
        laws = [positive / n]
        for x in range(1, possible - k + 1):
            unseen = np.full(x, 1 - (n / (n + k)) ** (1 / n))
            law = np.concatenate([(positive + 1) / (positive + 1).sum() * (1 - unseen.sum()), unseen])
            assert law.sum() == pytest.approx(1)
            laws.append(law)
        expected = k + int(np.argmin([abs(k - (1 - (1 - law) ** n).sum()) for law in laws]))
        assert int(information.relevant_responses(seen[:, None], np.array([possible]))[0]) == expected
        different += expected > k
    assert different > 30


def test_relevant_responses_are_at_least_those_seen_and_at_most_those_possible() -> None:
    random = np.random.default_rng(0)
    seen = random.multinomial(8, np.full(10, 0.1), size=500).T  # 8 trials, 10 responses equally likely
    found = information.relevant_responses(seen, np.full(500, 10))
    observed = (seen > 0).sum(axis=0)
    assert (found >= observed).all()
    assert (found <= 10).all()
    assert abs(found.mean() - 10) < abs(observed.mean() - 10) / 2
    # Many trials: nothing was missed, so nothing is added although more could occur.
    np.testing.assert_array_equal(information.relevant_responses(np.array([[500], [500], [0]]), np.array([3])), [2])


def test_shuffles_are_seeded() -> None:
    counts = np.random.default_rng(0).poisson(2, (40, 5))
    a, b, c = (
        information.mutual_information(
            recording_of(counts), "E", np.arange(40) % 2, correction="shuffle", n_shuffles=5, seed=seed
        )
        for seed in (1, 1, 2)
    )
    xr.testing.assert_identical(a, b)
    assert (a != c).any()


def test_few_trials_bad_options_and_nobody() -> None:
    counts = np.random.default_rng(0).poisson(2, (12, 3))
    recording, stimulus = recording_of(counts), np.arange(12) % 2
    few = information.mutual_information(recording, "E", stimulus)
    assert np.isnan(few).all()
    assert few.attrs["n_defined"] == 0
    assert np.isnan(information.count_entropy(recording, "E", min_trials=13)).all()
    with pytest.raises(InputError, match="at least 2 different"):
        information.mutual_information(recording, "E", np.zeros(12))
    with pytest.raises(InputError, match="correction"):
        information.mutual_information(recording, "E", stimulus, correction="jackknife")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="n_shuffles"):
        information.mutual_information(recording, "E", stimulus, n_shuffles=0)
    with pytest.raises(InputError, match="one label per trial"):
        information.mutual_information(recording, "E", stimulus[:3])
    empty = make_recording({"E": np.zeros((12, 9, 0))})
    assert information.mutual_information(empty, "E", stimulus, min_trials=2).shape == (0,)
    assert information.count_entropy(empty, "E").shape == (0,)


# Information per spike --------------------------------------------------------------------------------------


def test_spatial_information_of_known_curves() -> None:
    """A neuron active in one of n places, equally often visited, tells log2(n) bits per spike; one that fires everywhere 0."""
    counts = np.zeros((16, 4), int)
    counts[:4, 0] = 3
    counts[:, 1] = 2
    counts[:8, 2] = 1
    label = np.repeat(np.arange(4), 4)
    curves = tuning.tuning_curves(recording_of(counts), "E", label, min_trials=1)
    found = information.spatial_information(curves)
    np.testing.assert_allclose(found[:3], [2, 0, 1], atol=1e-14)
    assert np.isnan(found[3])
    uneven = tuning.tuning_curves(recording_of(counts), "E", np.repeat([0, 1], [4, 12]), min_trials=1)
    np.testing.assert_allclose(information.spatial_information(uneven)[0], 2)
    with pytest.raises(InputError, match="n_trials"):
        information.spatial_information(curves.drop_vars("n_trials"))
