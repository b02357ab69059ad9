"""Contrasts between classes of trials: closed forms, and that selection does not inflate what is measured."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from cortexsnn.analysis import contrasts
from cortexsnn.errors import InputError
from synthetic import make_recording


def recording_of(counts: np.ndarray, dt_ms: float = 1.0) -> xr.DataTree:
    """Spikes (trial, neuron) in the first of 100 steps."""
    return make_recording({"E": np.arange(100)[None, :, None] < np.asarray(counts)[:, None, :]}, dt_ms=dt_ms)


# Effect size ------------------------------------------------------------------------------------------------


def test_hedges_g_is_unbiased() -> None:
    """Normal responses, 4 trials against 6, true difference of 1 standard deviation: the mean of 200000 values is 1 within five
    standard errors of their own spread. Without the factor J it would be 1.108."""
    random = np.random.default_rng(0)
    g = contrasts.hedges_g(random.normal(1, 1, (4, 200_000)), random.normal(0, 1, (6, 200_000)))
    assert abs(g.mean() - 1) < 5 * g.std() / np.sqrt(g.size)
    assert 5 * g.std() / np.sqrt(g.size) < 0.02


def test_hedges_g_is_the_t_statistic_rescaled() -> None:
    """g = J t sqrt(1/n + 1/m), t of scipy's two-sample test; J = 1 - 3/(4 f - 1) up to 0.1 % for f = 14."""
    random = np.random.default_rng(1)
    a, b = random.poisson(6, (9, 5)).astype(float), random.poisson(3, (7, 5)).astype(float)
    t = stats.ttest_ind(a, b).statistic
    np.testing.assert_allclose(contrasts.hedges_g(a, b), (1 - 3 / 55) * t * np.sqrt(1 / 9 + 1 / 7), rtol=1e-3)
    assert np.isnan(contrasts.hedges_g(np.ones((3, 1)), np.zeros((3, 1)))).all()
    assert np.isnan(contrasts.hedges_g(np.ones((1, 1)), np.zeros((3, 1)))).all()


# Split halves -----------------------------------------------------------------------------------------------


def test_selection_does_not_inflate_the_measured_effect() -> None:
    """No true effect in 2000 neurons, 20 trials of each class. On the half that selected them the effect must exceed the
    criterion; on the other half its mean is 0. Standard error: g of 10 against 10 trials has a standard deviation of 0.45,
    a split uses at least 400 half-selections of independent neurons, 0.0225 at most; tolerance five of them."""
    random = np.random.default_rng(2)
    recording, label = recording_of(random.poisson(5, (40, 2000))), np.repeat(["dev", "std"], 20)
    found = contrasts.split_half_effect(recording, "E", label, "dev", "std", n_splits=5, criterion=0.5)
    assert (found.n_selected > 400).all()
    assert (found.g_selecting > 0.6).all()
    assert (np.abs(found.g_selected) < 0.1125).all()
    # 5 ms of duration 100 ms: a difference of counts of 1 is 10 Hz; g of 0.1125 is then about 2.5 Hz.
    assert (np.abs(found.difference_selected) < 2.6).all()
    assert abs(float(found.g_preferred.mean())) < 5 * 0.45 / np.sqrt(2000)
    naive = np.abs(found.g).mean()
    assert naive > 0.2


def test_a_true_effect_is_recovered_in_selected_cells_with_its_sign() -> None:
    """A fifth of 1000 neurons with counts 9 against 5 and another fifth the reverse, standard deviations 3 and 2.24: difference
    40 Hz along the preferred sign. Selection with abs(g) > 1 is nearly without chance cells (g's standard deviation is 0.32),
    so the mean over selected halves is 40 Hz up to their share: at least 95 % of it, and not more than five standard errors,
    5 x 10 x sqrt(9/20 + 5/20)/sqrt(600) = 1.7 Hz, above."""
    random = np.random.default_rng(3)
    mean = np.full((80, 1000), 5.0)
    mean[:40, :200] = 9
    mean[40:, 200:400] = 9
    found = contrasts.split_half_effect(
        recording_of(random.poisson(mean)), "E", np.repeat([1, 0], 40), 1, 0, criterion=1.0, n_splits=20
    )
    assert float(found.n_selected.mean()) > 300
    assert 38 < float(found.difference_selected.mean()) < 41.7
    assert float(found.difference[:200].mean()) == pytest.approx(40, abs=1.7)
    assert float(found.difference[200:400].mean()) == pytest.approx(-40, abs=1.7)
    np.testing.assert_array_less(0.6, found.selected[:400].mean())
    np.testing.assert_array_less(found.selected[400:], 0.4)


def test_alternate_halves_by_hand() -> None:
    """Odd trials of one neuron against even ones, both roles: measured g of each half times the sign of the other."""
    counts = np.array([[4], [9], [6], [3], [1], [2], [3], [0]])  # dev: 4 9 6 3, std: 1 2 3 0
    label = ["dev"] * 4 + ["std"] * 4
    found = contrasts.split_half_effect(
        recording_of(counts), "E", label, "dev", "std", split="alternate", criterion=0.0
    )
    halves = [contrasts.hedges_g(counts[h:4:2].astype(float), counts[4 + h :: 2].astype(float))[0] for h in (0, 1)]
    assert found.sizes["split"] == 1
    assert float(found.g_preferred[0]) == pytest.approx(np.mean(halves))
    assert float(found.difference_preferred[0]) == pytest.approx(((5 - 2) + (6 - 1)) / 2 / 0.1)
    assert float(found.selected[0]) == 1.0
    again = contrasts.split_half_effect(recording_of(counts), "E", label, "dev", "std", seed=3, n_splits=7)
    xr.testing.assert_identical(
        again, contrasts.split_half_effect(recording_of(counts), "E", label, "dev", "std", seed=3, n_splits=7)
    )


def test_split_half_of_silence_few_trials_and_nobody() -> None:
    label = np.repeat([0, 1], 4)
    silent = contrasts.split_half_effect(recording_of(np.zeros((8, 3), int)), "E", label, 1, 0)
    assert np.isnan(silent.g).all()
    assert np.isnan(silent.g_preferred).all()
    assert np.isnan(silent.g_selected).all()
    np.testing.assert_array_equal(silent.difference, 0)
    assert silent.attrs["n_defined"] == 0
    few = contrasts.split_half_effect(recording_of(np.ones((8, 3), int)), "E", label, 1, 0, min_trials=5)
    assert np.isnan(few.difference).all()
    assert few.sizes["split"] == 0
    empty = contrasts.split_half_effect(make_recording({"E": np.zeros((8, 9, 0))}), "E", label, 1, 0)
    assert empty.g.shape == (0,)


def test_bad_options_are_refused() -> None:
    recording, label = recording_of(np.ones((8, 1), int)), np.repeat([0, 1], 4)
    with pytest.raises(InputError, match="min_trials >= 4"):
        contrasts.split_half_effect(recording, "E", label, 1, 0, min_trials=3)
    with pytest.raises(InputError, match="split"):
        contrasts.split_half_effect(recording, "E", label, 1, 0, split="halves")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="criterion"):
        contrasts.split_half_effect(recording, "E", label, 1, 0, criterion=np.nan)
    with pytest.raises(InputError, match="different classes"):
        contrasts.split_half_effect(recording, "E", label, 1, 1)
    with pytest.raises(InputError, match="label: unknown label 'dev'"):
        contrasts.split_half_effect(recording, "E", label, "dev", 0)
    with pytest.raises(InputError, match="label: expected one label per trial"):
        contrasts.mismatch_contrast(recording, "E", label[:5], deviant=1, standard=0)
    with pytest.raises(InputError, match="n_permutations"):
        contrasts.responsive_cells(recording, "E", label, 1, 0, n_permutations=10)


# Mismatch ---------------------------------------------------------------------------------------------------


def test_indices_of_known_responses() -> None:
    """d = 12, s = 3, c = 4: N = 13, mismatch 9/13 = 1/13 + 8/13, oddball index 9/15."""
    counts = np.array([[12, 0], [3, 0], [4, 0]]).repeat(5, axis=0)
    label = np.repeat(["deviant", "standard", "control"], 5)
    found = contrasts.mismatch_contrast(recording_of(counts, dt_ms=0.5), "E", label, control="control")
    np.testing.assert_allclose(found.rate[:, 0], [240, 60, 80])
    for name, value in {
        "oddball_index": 9 / 15, "mismatch": 9 / 13, "repetition_suppression": 1 / 13, "prediction_error": 8 / 13,
    }.items():  # fmt: skip
        assert float(found[name][0]) == pytest.approx(value)
        assert np.isnan(found[name][1])
    assert found.attrs["n_defined"] == 1
    without = contrasts.mismatch_contrast(recording_of(counts), "E", label)
    assert set(without.data_vars) == {"rate", "oddball_index"}


def test_mismatch_is_the_sum_of_its_parts_and_needs_enough_trials() -> None:
    counts = np.random.default_rng(0).poisson(4, (30, 50))
    label = np.array(["d", "s", "c", "other", "s"] * 6)
    found = contrasts.mismatch_contrast(recording_of(counts), "E", label, deviant="d", standard="s", control="c")
    np.testing.assert_allclose(found.mismatch, found.repetition_suppression + found.prediction_error, atol=1e-14)
    np.testing.assert_array_equal(found.n_trials, [6, 12, 6])
    few = contrasts.mismatch_contrast(
        recording_of(counts), "E", label, deviant="d", standard="s", control="c", min_trials=7
    )
    assert np.isnan(few.oddball_index).all()
    assert few.attrs["n_defined"] == 0


# Responsive cells -------------------------------------------------------------------------------------------


def test_p_values_are_those_of_scipys_permutation_test() -> None:
    """The same statistic, sampled permutations in both: the standard error of one p is at most 0.5/sqrt(3999) = 0.008, of the
    difference of two 0.011; tolerance five of them."""
    random = np.random.default_rng(4)
    counts, label = random.poisson(4, (16, 3)), np.repeat([1, 0], 8)
    counts[:8, 1] += 2
    found = contrasts.responsive_cells(recording_of(counts), "E", label, 1, 0, n_permutations=3999)
    for k in range(3):
        expected = stats.permutation_test(
            (counts[:8, k], counts[8:, k]),
            lambda x, y, axis: np.abs(np.mean(x, axis=axis) - np.mean(y, axis=axis)),
            alternative="greater", n_resamples=3999, vectorized=True, rng=np.random.default_rng(0),
        ).pvalue  # fmt: skip
        assert float(found.p[k]) == pytest.approx(expected, abs=0.055)


def test_count_of_responsive_cells_is_not_significant_by_chance_and_is_with_an_effect() -> None:
    """Without an effect the p of the count is uniform: of 60 experiments with neurons that share noise, the number with
    p <= 0.1 is binomial, mean 6, standard deviation 2.3; at most 6 + 5 x 2.3 = 17. Counting against a binomial law of
    independent neurons would call far more of them significant."""
    random, label = np.random.default_rng(5), np.repeat([1, 0], 10)
    small = 0
    for seed in range(60):
        shared = np.exp(random.normal(0, 0.6, (20, 1)))
        counts = random.poisson(np.minimum(6 * shared, 40) * np.ones((1, 60)))
        found = contrasts.responsive_cells(recording_of(counts), "E", label, 1, 0, n_permutations=199, seed=seed)
        small += float(found.p_count) <= 0.1
    assert small <= 17
    counts = random.poisson(4, (20, 60))
    counts[:10, :20] += 6
    found = contrasts.responsive_cells(recording_of(counts), "E", label, 1, 0, n_permutations=199)
    # 10 against 4 spikes is 5 standard errors. Only permutations that keep almost all labels, or swap almost all, select as many.
    assert int(found.n_responsive) >= 20
    assert float(found.p_count) <= 0.02
    assert float(found.n_expected) < 6  # 0.05 x 60 = 3 at most on average, more in single permutations


def test_silent_neurons_have_no_p_and_are_not_responsive() -> None:
    counts = np.zeros((10, 2), int)
    counts[0, 1] = 1  # one spike: no permutation is less extreme
    found = contrasts.responsive_cells(recording_of(counts), "E", np.repeat([0, 1], 5), 1, 0)
    assert np.isnan(found.p[0])
    assert float(found.p[1]) == 1.0
    assert int(found.n_responsive) == 0
    assert float(found.p_count) == 1.0
    assert found.attrs["n_defined"] == 1
    few = contrasts.responsive_cells(recording_of(counts), "E", np.repeat([0, 1], 5), 1, 0, min_trials=6)
    assert np.isnan(few.p_count)
    assert contrasts.responsive_cells(
        make_recording({"E": np.zeros((10, 9, 0))}), "E", np.repeat([0, 1], 5), 1, 0
    ).p.shape == (0,)
