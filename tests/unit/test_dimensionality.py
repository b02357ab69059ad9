"""Participation ratio and principal components against closed forms, brute force and scikit-learn."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.decomposition import PCA

from cortexsnn.analysis import dimensionality
from cortexsnn.analysis.dimensionality import participation_ratio, principal_components
from cortexsnn.errors import InputError
from synthetic import make_recording, poisson


def test_sample_ratio_and_components_are_those_of_numpy_and_sklearn() -> None:
    """More bins than neurons, and fewer: the smaller matrix of products is used."""
    for n_neurons in (12, 60):
        spikes = poisson((2, 400, n_neurons), 0.1, n_neurons)
        spikes[:, :, 1] |= spikes[:, :, 0]
        counts = spikes.reshape(40, 20, n_neurons).sum(axis=1)
        recording = make_recording({"E": spikes}, dt_ms=0.5)
        eigenvalues = np.linalg.eigvalsh(np.cov(counts.T))
        found = participation_ratio(recording, "E", 10.0, estimator="sample")
        assert float(found) == pytest.approx(eigenvalues.sum() ** 2 / (eigenvalues**2).sum(), rel=1e-12)
        assert found.attrs["n_counts"] == 40
        components = principal_components(recording, "E", 10.0, shares=(0.5, 0.9, 1.0))
        pca = PCA().fit(counts)
        np.testing.assert_allclose(components.variance, pca.explained_variance_, atol=1e-12)
        reached = np.cumsum(pca.explained_variance_ratio_)
        expected = [np.searchsorted(reached, share) + 1 for share in (0.5, 0.9)]
        np.testing.assert_array_equal(components.n_components[:2], expected)
        assert int(components.n_components[2]) == min(n_neurons, 39)


def test_unbiased_traces_are_the_means_over_all_quadruples_of_bins() -> None:
    """((x1 - x2).(x3 - x4))^2/4 has the expectation tr(C C) for any four independent bins, and |x1 - x2|^2 |x3 - x4|^2/4 has tr(C)^2,
    whatever the distribution: their means over all quadruples are the estimates."""
    spikes = poisson((1, 70, 5), 0.2, 1)
    counts = spikes.reshape(7, 10, 5).sum(axis=1).astype(float)
    squares, traces = [], []
    for i, j, k, m in itertools.permutations(range(7), 4):
        a, b = counts[i] - counts[j], counts[k] - counts[m]
        squares.append((a @ b) ** 2 / 4)
        traces.append((a @ a) * (b @ b) / 4)
    found = participation_ratio(make_recording({"E": spikes}), "E", 10.0, min_counts=4)
    assert float(found) == pytest.approx(np.mean(traces) / np.mean(squares), rel=1e-10)


def test_independent_neurons_have_as_many_dimensions_as_there_are_neurons() -> None:
    """40 independent neurons with equal rates, 60 bins of 10 steps, 200 experiments. Sample: N/(1 + (N + 1)/(T - 1)) = 23.6 for
    Gaussian counts; the excess kurtosis of binomial ones, -0.2, moves it by -0.2/60 = 0.3 %. Unbiased: 40. The relative variance
    of the estimated tr(C C) is 4/T^2 + 8/(T N) = 0.0044, so five standard errors of the mean are at most 2.4 % and the bias
    of the ratio 0.4 %: 3 % allowed for both."""
    unbiased, sample = [], []
    for seed in range(200):
        recording = make_recording({"E": poisson((1, 600, 40), 0.5, seed)})
        unbiased.append(float(participation_ratio(recording, "E", 10.0)))
        sample.append(float(participation_ratio(recording, "E", 10.0, estimator="sample")))
    assert np.mean(sample) == pytest.approx(40 / (1 + 41 / 59), rel=0.03)
    assert np.mean(unbiased) == pytest.approx(40, rel=0.03)


def test_more_neurons_than_bins_and_unequal_variances() -> None:
    """100 neurons, a tenth of them with probability 0.5, the others 0.01, 40 bins of 50 steps: variances 12.5 and 0.495, true ratio
    (125 + 44.6)^2/(10 x 12.5^2 + 90 x 0.495^2) = 18.1. 100 experiments. By the delta method the relative spread of one is
    sqrt(8/(T 18.1) + 8 tr C^4/(T (tr C^2)^2) + 4/T^2 - 16 tr C^3/(T tr C tr C^2)) = 6 % and the bias of the ratio 1 %; with five
    standard errors 4 %: 5 % allowed."""
    p = np.where(np.arange(100) < 10, 0.5, 0.01)
    variance = 50 * p * (1 - p)
    expected = variance.sum() ** 2 / (variance**2).sum()
    found = []
    for seed in range(100):
        spikes = np.random.default_rng(seed).random((2, 1000, 100)) < p
        found.append(float(participation_ratio(make_recording({"E": spikes}), "E", 50.0)))
    assert np.mean(found) == pytest.approx(expected, rel=0.05)


def test_one_shared_signal_is_one_dimension() -> None:
    spikes = np.repeat(poisson((1, 2000, 1), 0.2, 0), 15, axis=2)
    recording = make_recording({"E": spikes})
    assert float(participation_ratio(recording, "E", 20.0, estimator="sample")) == pytest.approx(1, rel=1e-12)
    # Both unbiased traces of a single signal estimate its squared variance, by the same sum: exactly 1.
    assert float(participation_ratio(recording, "E", 20.0)) == pytest.approx(1, rel=1e-9)
    components = principal_components(recording, "E", 20.0)
    np.testing.assert_array_equal(components.n_components, 1)
    assert float(components.variance[1]) == 0


def test_silence_constant_counts_few_bins_and_nobody() -> None:
    spikes = np.zeros((1, 200, 3))
    spikes[0, ::10, 1] = 1  # the same count in every bin
    recording = make_recording({"E": spikes})
    assert np.isnan(participation_ratio(recording, "E", 10.0))
    components = principal_components(recording, "E", 10.0)
    assert np.isnan(components.n_components).all()
    assert np.isnan(components.variance).all()
    assert components.attrs["n_varying"] == 0
    spikes[0, 3, 2] = 1  # one spike: one dimension of the sample
    single = make_recording({"E": spikes})
    assert float(participation_ratio(single, "E", 10.0, estimator="sample")) == pytest.approx(1)
    assert participation_ratio(single, "E", 10.0).attrs["n_varying"] == 1
    assert np.isnan(participation_ratio(single, "E", 50.0))  # four bins
    for n_trials in (1, 3):
        empty = make_recording({"E": np.zeros((n_trials, 200, 0))})
        assert np.isnan(participation_ratio(empty, "E", 10.0))
        assert principal_components(empty, "E", 10.0).variance.shape == (0,)


def test_bad_options_and_matrices_too_large_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    recording = make_recording({"E": poisson((1, 200, 30), 0.1, 0)})
    with pytest.raises(InputError, match="at least 4"):
        participation_ratio(recording, "E", 10.0, min_counts=3)
    with pytest.raises(InputError, match="estimator"):
        participation_ratio(recording, "E", 10.0, estimator="biased")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="shares"):
        principal_components(recording, "E", 10.0, shares=(0.5, 1.1))
    with pytest.raises(InputError, match="integer multiple"):
        participation_ratio(recording, "E", 2.5)
    monkeypatch.setattr(dimensionality, "LARGEST", 15)
    with pytest.raises(InputError, match=r"30 neurons and 20 bins.*longer bins"):
        participation_ratio(recording, "E", 10.0)
    assert np.isfinite(participation_ratio(recording, "E", 20.0))  # ten bins
