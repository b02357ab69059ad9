"""Representational similarity against constructions with a known value, brute force from the definitions, and scipy."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy import spatial, stats

from cortexsnn.analysis.representation import (
    dissimilarity_matrix,
    linear_cka,
    procrustes_distance,
    representational_similarity,
    response_matrix,
    rsa,
)
from cortexsnn.errors import InputError
from synthetic import make_recording, poisson


def gaussian(n: int, p: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, p))


def rotation(p: int, seed: int) -> np.ndarray:
    return stats.ortho_group.rvs(p, random_state=seed)


def counted(counts: np.ndarray, dt_ms: float = 1.0, n_steps: int = 60) -> np.ndarray:
    """Spikes (trial, step, neuron) with these counts, at the beginning of every trial."""
    return np.arange(n_steps)[None, :, None] < np.asarray(counts)[:, None, :]


# Responses --------------------------------------------------------------------------------------------------


def test_responses_are_counts_in_a_window() -> None:
    spikes = poisson((4, 100, 6), 0.2, 0)
    found = response_matrix(make_recording({"E": spikes}, dt_ms=0.5), "E", start_ms=10.0, stop_ms=40.0)
    assert found.dims == ("trial", "neuron")
    assert found.attrs == {"units": "spikes", "population": "E", "window_ms": 30.0}
    np.testing.assert_array_equal(found, spikes[:, 20:80].sum(axis=1))


def test_responses_to_a_stimulus_are_means_over_its_trials() -> None:
    counts = np.array([[1, 4], [2, 5], [6, 0]])
    found = response_matrix(make_recording({"E": counted(counts)}), "E", stimuli=["x", "b", "x"])
    assert found.dims == ("stimulus", "neuron")
    assert list(found.stimulus.values) == ["b", "x"]
    assert found.attrs["n_trials"] == [1, 2]
    np.testing.assert_array_equal(found, [[2, 5], [3.5, 2]])
    with pytest.raises(InputError, match="one per trial of E, 3 in all"):
        response_matrix(make_recording({"E": counted(counts)}), "E", stimuli=[1, 2])


# Dissimilarity matrices -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["correlation", "cosine", "euclidean"])
def test_dissimilarities_are_those_of_scipy(kind: str) -> None:
    counts = np.random.default_rng(1).integers(0, 9, (7, 12))
    found = dissimilarity_matrix(make_recording({"E": counted(counts)}), "E", dissimilarity=kind)  # type: ignore[arg-type]
    assert found.dims == ("trial", "trial_b")
    assert found.attrs["n_defined"] == 21
    assert found.attrs["units"] == ("spikes" if kind == "euclidean" else "1")
    expected = spatial.distance.squareform(spatial.distance.pdist(counts.astype(float), kind))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


def test_rows_without_a_correlation_are_undefined_without_a_warning() -> None:
    counts = np.array([[1, 2, 3], [0, 0, 0], [2, 2, 2], [3, 2, 1]])
    recording = make_recording({"E": counted(counts)})
    found = dissimilarity_matrix(recording, "E", stimuli=[10, 20, 30, 40])
    assert found.attrs["n_defined"] == 1
    assert float(found.sel(stimulus=10, stimulus_b=40)) == pytest.approx(2, rel=1e-14)
    assert np.isnan(found.values[np.triu_indices(4, 1)]).sum() == 5
    assert dissimilarity_matrix(recording, "E", dissimilarity="cosine").attrs["n_defined"] == 3
    assert dissimilarity_matrix(recording, "E", dissimilarity="euclidean").attrs["n_defined"] == 6


@pytest.mark.parametrize("kind", ["correlation", "cosine", "euclidean"])
def test_rsa_is_spearman_of_scipy(kind: str) -> None:
    x, y = gaussian(12, 9, 2), gaussian(12, 5, 3)
    y[:, :4] += x[:, :4]
    expected = stats.spearmanr(spatial.distance.pdist(x, kind), spatial.distance.pdist(y, kind)).statistic
    assert rsa(x, y, dissimilarity=kind) == pytest.approx(expected, abs=1e-12)  # type: ignore[arg-type]
    assert 0.1 < expected < 0.99


def test_rsa_sees_the_order_of_dissimilarities_alone() -> None:
    """On a line at 0, 1, 3, 7 the six distances are 1, 3, 7, 2, 6, 4; any growing function of them has rank correlation 1.
    A second line at 0, 1, 3, 4 has 1, 3, 4, 2, 3, 1: ranks 1.5, 4.5, 6, 3, 4.5, 1.5 against 1, 3, 6, 2, 5, 4."""
    x = np.array([[0.0], [1], [3], [7]])
    assert rsa(x, 5 * x + 2, dissimilarity="euclidean") == 1
    ranks = np.corrcoef([1.5, 4.5, 6, 3, 4.5, 1.5], [1, 3, 6, 2, 5, 4])[0, 1]
    found = rsa(x, np.array([[0.0], [1], [3], [4]]), dissimilarity="euclidean")
    assert found == pytest.approx(ranks, rel=1e-12)
    # The same where ties differ in their last bit.
    assert rsa(x, np.array([[0.0], [1], [3], [4]]) * 0.1 + 0.7, dissimilarity="euclidean") == found


def test_rsa_of_too_few_or_equal_dissimilarities_is_undefined() -> None:
    assert np.isnan(rsa(gaussian(2, 4, 0), gaussian(2, 4, 1)))
    assert np.isnan(rsa(np.eye(5), gaussian(5, 4, 1), dissimilarity="euclidean"))  # all equally far apart
    assert np.isnan(rsa(gaussian(5, 1, 0), gaussian(5, 4, 1)))  # one neuron has no correlation
    x = gaussian(5, 4, 0)
    x[3:] = 1.0  # three rows and pairs are left
    y = gaussian(5, 6, 1)
    assert rsa(x, y) == pytest.approx(rsa(x[:3], y[:3]), abs=1e-12)


# CKA --------------------------------------------------------------------------------------------------------


def hsic(k: np.ndarray, l: np.ndarray) -> float:
    """Biased, by the centring matrix: tr(K H L H)/(n - 1)**2."""
    n = len(k)
    h = np.eye(n) - 1 / n
    return float(np.trace(k @ h @ l @ h)) / (n - 1) ** 2


def hsic_unbiased(k: np.ndarray, l: np.ndarray) -> float:
    """Song et al. (2012): a sum over kernels without diagonal."""
    n = len(k)
    k, l = k - np.diag(np.diag(k)), l - np.diag(np.diag(l))
    one = np.ones(n)
    terms = (
        np.trace(k @ l) + (one @ k @ one) * (one @ l @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (one @ k @ l @ one)
    )
    return float(terms / (n * (n - 3)))


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize(("n", "p", "q"), [(5, 3, 8), (20, 7, 7), (9, 40, 2)])
def test_cka_is_that_of_the_definition(n: int, p: int, q: int, unbiased: bool) -> None:
    """Brute force on uncentred kernels; a shift of 3 puts their entries up to 100 above the result: 1e-11."""
    x, y = gaussian(n, p, n) + 3, gaussian(n, q, n + 1)
    y[:, 0] += x[:, 0]
    k, l, estimate = x @ x.T, y @ y.T, hsic_unbiased if unbiased else hsic
    expected = estimate(k, l) / np.sqrt(estimate(k, k) * estimate(l, l))
    assert linear_cka(x, y, unbiased=unbiased) == pytest.approx(expected, abs=1e-11)
    assert linear_cka(y, x, unbiased=unbiased) == pytest.approx(expected, abs=1e-11)


def test_cka_of_one_and_of_two_orthogonal_directions() -> None:
    """Linear CKA is |y^T x|**2/(|x^T x| |y^T y|). One neuron each: the squared correlation. Two orthonormal centred
    columns against one of them: 1/sqrt(2)."""
    x, y = gaussian(30, 1, 4), gaussian(30, 1, 5)
    y += x
    assert linear_cka(x, y) == pytest.approx(np.corrcoef(x.T, y.T)[0, 1] ** 2, rel=1e-12)
    u = np.array([[1.0, 1], [-1, 1], [1, -1], [-1, -1]])
    assert linear_cka(u, u[:, :1]) == pytest.approx(1 / np.sqrt(2), rel=1e-14)
    assert linear_cka(u[:, :1], u[:, 1:]) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("unbiased", [False, True])
def test_cka_does_not_change_with_rotation_scale_and_shift_but_with_single_neurons(unbiased: bool) -> None:
    x, y = gaussian(15, 6, 6), gaussian(15, 4, 7)
    y += x[:, :4]
    value = linear_cka(x, y, unbiased=unbiased)
    turned = 2.5 * x @ rotation(6, 0) + np.arange(6.0)
    assert linear_cka(turned, y, unbiased=unbiased) == pytest.approx(value, abs=1e-12)
    assert linear_cka(x, turned, unbiased=unbiased) == pytest.approx(1, abs=1e-12)
    assert abs(linear_cka(x * [9, 1, 1, 1, 1, 1], y, unbiased=unbiased) - value) > 0.01


def test_unbiased_cka_of_unrelated_responses_has_mean_zero_and_the_plain_one_has_not() -> None:
    """Over all 120 orders of the rows of y the unbiased HSIC sums to exactly 0 while the norms stay: tolerance is rounding."""
    x, y = gaussian(5, 30, 8), gaussian(5, 30, 9)
    orders = [list(order) for order in permutations(range(5))]
    assert np.mean([linear_cka(x, y[order], unbiased=True) for order in orders]) == pytest.approx(0, abs=1e-13)
    assert np.mean([linear_cka(x, y[order]) for order in orders]) > 0.5


@pytest.mark.parametrize("unbiased", [False, True])
def test_cka_of_constant_responses_is_undefined(unbiased: bool) -> None:
    constant = np.full((6, 3), 0.1)  # its mean is 0.09999999999999999
    for x in (constant, np.zeros((6, 3)), np.zeros((6, 0)), constant * 1e9):
        assert np.isnan(linear_cka(x, gaussian(6, 4, 0), unbiased=unbiased))
        assert np.isnan(procrustes_distance(gaussian(6, 4, 0), x))
    assert np.isnan(linear_cka(gaussian(3, 4, 0), gaussian(3, 4, 0), unbiased=True))  # n - 3 = 0
    assert np.isnan(linear_cka(np.eye(6), gaussian(6, 4, 0), unbiased=True))  # equally far apart: no structure


# Procrustes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "p", "q"), [(12, 4, 4), (12, 2, 7), (5, 20, 30), (6, 30, 3)])
def test_procrustes_distance_is_that_of_scipy_and_of_the_singular_values(n: int, p: int, q: int) -> None:
    """Disparity of scipy: 1 - s**2, distance: sqrt(2 - 2 s)."""
    x, y = gaussian(n, p, 10) + 1, gaussian(n, q, 11)
    width = max(p, q)
    padded = [np.pad(m, ((0, 0), (0, width - m.shape[1]))) for m in (x, y)]
    disparity = spatial.procrustes(*padded)[2]
    found = procrustes_distance(x, y)
    assert found == pytest.approx(np.sqrt(2 - 2 * np.sqrt(1 - disparity)), rel=1e-10)
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    s = np.linalg.svd(x.T @ y, compute_uv=False).sum() / (np.linalg.norm(x) * np.linalg.norm(y))
    assert found == pytest.approx(np.sqrt(2 - 2 * s), rel=1e-10)
    assert procrustes_distance(y, x) == pytest.approx(found, rel=1e-10)


def test_procrustes_distance_by_hand_and_of_rotations() -> None:
    """Orthogonal single neurons: s = 0, sqrt(2). Two orthonormal columns against one: s = 1/sqrt(2). A turned matrix: 0, to
    the rounding of about ten operations, where sqrt(2 - 2 s) would give up to 1e-7."""
    u = np.array([[1.0, 1], [-1, 1], [1, -1], [-1, -1]])
    assert procrustes_distance(u[:, :1], u[:, 1:]) == pytest.approx(np.sqrt(2), rel=1e-14)
    assert procrustes_distance(u, u[:, :1]) == pytest.approx(np.sqrt(2 - np.sqrt(2)), rel=1e-14)
    x = gaussian(15, 6, 12)
    assert procrustes_distance(x, 3 * x @ rotation(6, 1) + 7) == pytest.approx(0, abs=1e-13)
    assert procrustes_distance(x, np.hstack([x, np.zeros((15, 3))]) @ rotation(9, 2)) == pytest.approx(0, abs=1e-13)


def test_procrustes_distance_is_a_metric() -> None:
    found = [gaussian(8, p, p) for p in (2, 3, 5, 9, 12)]
    d = np.array([[procrustes_distance(x, y) for y in found] for x in found])
    assert (d[:, None, :] <= d[:, :, None] + d[None, :, :] + 1e-12).all()
    assert d.max() <= np.sqrt(2)


# Recordings -------------------------------------------------------------------------------------------------


def test_similarity_of_recordings_is_that_of_their_responses() -> None:
    a, b = poisson((9, 100, 12), 0.2, 1), poisson((9, 200, 5), 0.1, 2)
    found = representational_similarity(
        make_recording({"E": a}), make_recording({"I": b}, dt_ms=0.5), "E", "I", start_ms=20.0, stop_ms=90.0
    )
    x, y = a[:, 20:90].sum(axis=1), b[:, 40:180].sum(axis=1)
    assert float(found.rsa) == pytest.approx(rsa(x, y), rel=1e-12)
    assert float(found.cka) == pytest.approx(linear_cka(x, y), rel=1e-12)
    assert float(found.cka_unbiased) == pytest.approx(linear_cka(x, y, unbiased=True), rel=1e-12)
    assert float(found.procrustes) == pytest.approx(procrustes_distance(x, y), rel=1e-12)
    assert (found.attrs["population_a"], found.attrs["population_b"]) == ("E", "I")
    assert (found.attrs["n_rows"], found.attrs["n_defined"], found.rsa.attrs["n_pairs"]) == (9, 4, 36)


def test_a_recording_represents_as_itself_whatever_the_order_of_its_neurons() -> None:
    spikes = poisson((10, 100, 12), 0.2, 3)
    a, b = make_recording({"E": spikes}), make_recording({"E": spikes[:, :, ::-1]})
    found = representational_similarity(a, b, "E", stimuli=[0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
    assert found.attrs["n_rows"] == 5
    for name, value in {"rsa": 1, "cka": 1, "cka_unbiased": 1, "procrustes": 0}.items():
        assert float(found[name]) == pytest.approx(value, abs=1e-12)
    shuffled = make_recording({"E": spikes[::-1]})  # other trials: no longer
    assert float(representational_similarity(a, shuffled, "E").cka_unbiased) < 0.9


@pytest.mark.parametrize("shape", [(5, 20, 4), (5, 20, 0), (1, 20, 4)])
def test_silent_or_empty_populations_or_one_trial_are_undefined(shape: tuple[int, int, int]) -> None:
    recording = make_recording({"E": np.zeros(shape)})
    found = representational_similarity(recording, recording, "E")
    assert all(np.isnan(value) for value in found.values())
    assert (found.attrs["n_defined"], found.rsa.attrs["n_pairs"]) == (0, 0)
    assert dissimilarity_matrix(recording, "E").shape == (shape[0], shape[0])


def test_what_does_not_fit_together_is_refused() -> None:
    a = make_recording({"E": np.zeros((4, 20, 3))})
    for shape, message in [((5, 20, 3), "4 trials of E against 5"), ((4, 21, 3), "20 ms against 21 ms")]:
        with pytest.raises(InputError, match=message):
            representational_similarity(a, make_recording({"E": np.zeros(shape)}), "E")
    with pytest.raises(InputError, match="unknown population 'I'"):
        representational_similarity(a, a, "E", "I")
    with pytest.raises(InputError, match="correlation, cosine, euclidean"):
        representational_similarity(a, a, "E", dissimilarity="manhattan")  # type: ignore[arg-type]


@pytest.mark.parametrize("function", [rsa, linear_cka, procrustes_distance])
def test_matrices_that_do_not_fit_are_refused(function: object) -> None:
    good = gaussian(5, 3, 0)
    bad = good.copy()
    bad[2, 1] = np.nan
    for x, y, message in [
        (good, bad, "y: holds NaN"),
        (good[0], good, "x: expected a matrix"),
        (good, good[:4], "5 rows against 4"),
    ]:
        with pytest.raises(InputError, match=message):
            function(x, y)  # type: ignore[operator]
