"""Contrasts between classes of trials, such as deviant and standard: effect sizes that selecting cells cannot inflate."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from scipy import special, stats

from ..errors import InputError
from .trains import trains
from .tuning import MIN_TRIALS, stimulus_of_trial, trials_of

_BLOCK = 1 << 22
"""Entries of (permutation, neuron) held at once."""


def hedges_g(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Standardised difference of two means, unbiased for normal responses of equal variance.

    ``J(f) (mean(a) - mean(b))/s`` with s the pooled standard deviation, ``f = n_a + n_b - 2`` and
    ``J(f) = Gamma(f/2)/(sqrt(f/2) Gamma((f - 1)/2))``.

    Parameters
    ----------
    a, b : (trial, ...)

    Returns
    -------
    (...)
        NaN where neither varies or there are fewer than two trials of either.

    Source
    ------
    Hedges (1981), J. Educ. Stat. 6, 107. doi:10.3102/10769986006002107
    """
    n, m = a.shape[0], b.shape[0]
    if min(n, m) < 2:
        return np.full(a.shape[1:], np.nan)
    freedom = n + m - 2
    pooled = ((n - 1) * a.var(axis=0, ddof=1) + (m - 1) * b.var(axis=0, ddof=1)) / freedom
    unbiased = np.exp(special.gammaln(freedom / 2) - special.gammaln((freedom - 1) / 2)) / np.sqrt(freedom / 2)
    return np.asarray(
        unbiased * (a.mean(axis=0) - b.mean(axis=0)) / np.sqrt(np.where(pooled > 0, pooled, np.nan))
    )  # fmt: skip


def split_half_effect(
    recording: xr.DataTree,
    population: str,
    label: ArrayLike,
    first: object,
    second: object,
    *,
    criterion: float = 0.5,
    split: Literal["random", "alternate"] = "random",
    n_splits: int = 100,
    seed: int = 0,
    min_trials: int = 4,
    start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> xr.Dataset:
    """Effect of `first` against `second` in every neuron, and in the neurons selected for it, selected on other trials.

    The trials of each label are divided into halves. One half says which sign a neuron prefers and whether its effect
    passes the criterion; the effect is measured on the other half; then the halves change roles. Without a true effect
    the expectation of every measure on the other half is 0, however strict the selection.

    Parameters
    ----------
    label : (trial,)
        Class of each trial; trials of other classes are left out.
    first, second : labels in `label`
    criterion : float, >= 0
        A neuron is selected where ``abs(g)`` on the selecting half exceeds this.
    split : "random" or "alternate"
        Random halves, `n_splits` times; or odd against even trials in order of time, once.
    n_splits : int, >= 1
    seed : int
    min_trials : int, >= 4
        With fewer trials of either label, NaN.

    Returns
    -------
    xarray.Dataset
        (neuron): ``g`` and ``difference`` [Hz], all trials, no selection; ``g_preferred`` and ``difference_preferred`` [Hz],
        mean over splits of the measured effect times the sign on the other half; ``selected``, share of halves that
        selected the neuron.
        (split): ``g_selected``, mean measured g, along the preferred sign, over selected neurons; ``difference_selected``
        [Hz]; ``g_selecting``, the same neurons' ``abs(g)`` on the half that selected them, which is inflated and there
        for comparison; ``n_selected``, per half. Splits overlap in trials: their spread is no standard error.

    Raises
    ------
    InputError
        Not one label per trial, a label no trial has, or an option out of range.

    Source
    ------
    Kriegeskorte, Simmons, Bellgowan, Baker (2009), Nat. Neurosci. 12, 535. doi:10.1038/nn.2303 (why to split);
    g as in :func:`hedges_g`.
    """
    if split not in ("random", "alternate"):
        raise InputError(f"split: expected 'random' or 'alternate', got {split!r}.")
    if min_trials < 4 or n_splits < 1 or not criterion >= 0:
        raise InputError(
            f"expected min_trials >= 4 (two per half), n_splits >= 1 and criterion >= 0, got {min_trials}, {n_splits} "
            f"and {criterion}."
        )
    counts, a, b, seconds = _classes(recording, population, label, (first, second), start_ms, stop_ms)
    n_neurons, enough = counts.shape[1], min(a.size, b.size) >= min_trials
    n_splits = (n_splits if split == "random" else 1) if enough else 0
    random = np.random.default_rng(seed)
    sums = {name: np.zeros(n_neurons) for name in ("g_preferred", "difference_preferred", "selected")}
    n_defined = np.zeros(n_neurons)
    per_split: dict[str, list[float]] = {
        name: [] for name in ("g_selected", "difference_selected", "g_selecting", "n_selected")
    }
    for _ in range(n_splits):
        order = [random.permutation(x) if split == "random" else x for x in (a, b)]
        halves = [[counts[x[half::2]] for x in order] for half in (0, 1)]
        g = [hedges_g(*half) for half in halves]
        difference = [(x.mean(axis=0) - y.mean(axis=0)) / seconds for x, y in halves]
        kept: list[np.ndarray] = []
        for selecting, measured in ((0, 1), (1, 0)):
            sign, defined = np.sign(g[selecting]), np.isfinite(g[0]) & np.isfinite(g[1])
            chosen = defined & (np.abs(np.nan_to_num(g[selecting])) > criterion)
            along = np.stack([sign * g[measured], sign * difference[measured], np.abs(g[selecting])])
            along[:, ~defined] = 0
            sums["g_preferred"] += along[0]
            sums["difference_preferred"] += along[1]
            sums["selected"] += chosen
            n_defined += defined
            kept.append(along[:, chosen])
        cells = np.concatenate(kept, axis=1)
        means = cells.mean(axis=1) if cells.shape[1] else np.full(3, np.nan)
        for name, value in zip(per_split, (*means, cells.shape[1] / 2), strict=True):
            per_split[name].append(float(value))
    valid = np.where(n_defined > 0, n_defined, np.nan)
    g_all = hedges_g(counts[a], counts[b]) if enough else np.full(n_neurons, np.nan)
    difference_all = (_mean(counts[a]) - _mean(counts[b])) / seconds if enough else np.full(n_neurons, np.nan)
    units = {name: "Hz" if name.startswith("difference") else "1" for name in (*sums, *per_split)}
    return xr.Dataset(
        {
            "g": ("neuron", g_all, {"units": "1"}),
            "difference": ("neuron", difference_all, {"units": "Hz"}),
            **{name: ("neuron", total / valid, {"units": units[name]}) for name, total in sums.items()},
            **{name: ("split", np.asarray(column), {"units": units[name]}) for name, column in per_split.items()},
        },
        attrs={
            "population": population, "first": str(first), "second": str(second), "criterion": criterion,
            "halves": split, "seed": seed, "min_trials": min_trials, "n_trials": [a.size, b.size],
            "n_defined": int((n_defined > 0).sum()),
        },
    )  # fmt: skip


def mismatch_contrast(
    recording: xr.DataTree,
    population: str,
    label: ArrayLike,
    *,
    deviant: object = "deviant",
    standard: object = "standard",
    control: object | None = None,
    min_trials: int = MIN_TRIALS,
    start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> xr.Dataset:
    """Response to a rare stimulus against that to the same stimulus when it is expected, and where the difference comes from.

    With a control, in which the stimulus is as rare as the deviant but breaks no rule (many standards, cascade), the
    mismatch splits into a part that is suppression of the standard and a part that is enhancement of the deviant. The
    three classes must be trials of the same physical stimulus. Rates are taken as they are: no baseline is subtracted.

    Parameters
    ----------
    label : (trial,)
        Class of each trial; trials of other classes are left out.
    deviant, standard, control : labels in `label`
        Without `control` there is no decomposition.
    min_trials : int, >= 1
        A class with fewer trials has no rate: what depends on it is NaN.

    Returns
    -------
    xarray.Dataset
        ``rate`` (condition, neuron) [Hz] with coordinate ``n_trials``. Per neuron, dimensionless: ``oddball_index``,
        ``(d - s)/(d + s)``; with a control also ``mismatch``, ``(d - s)/N``; ``repetition_suppression``, ``(c - s)/N``;
        ``prediction_error``, ``(d - c)/N``, with ``N = sqrt(d**2 + s**2 + c**2)``. The mismatch is the sum of the other two.
        NaN for neurons that respond to none of the classes.

    Raises
    ------
    InputError
        Not one label per trial, a label no trial has, or `min_trials` below 1.

    Source
    ------
    Ulanovsky, Las, Nelken (2003), Nat. Neurosci. 6, 391. doi:10.1038/nn1032 (oddball index, there SI)
    Parras et al. (2017), Nat. Commun. 8, 2148. doi:10.1038/s41467-017-02038-6 (iMM, iRS, iPE)
    """
    if min_trials < 1:
        raise InputError(f"min_trials: {min_trials} given; a mean needs at least 1.")
    wanted = {"deviant": deviant, "standard": standard} | ({} if control is None else {"control": control})
    counts, *trials, seconds = _classes(recording, population, label, tuple(wanted.values()), start_ms, stop_ms)
    n = np.array([t.size for t in trials])
    rate = np.full((len(trials), counts.shape[1]), np.nan)
    for k in np.flatnonzero(n >= min_trials):
        rate[k] = _mean(counts[trials[k]]) / seconds
    d, s = rate[0], rate[1]
    indices = {"oddball_index": _over(d - s, d + s)}
    if control is not None:
        c = rate[2]
        norm = np.sqrt(d * d + s * s + c * c)
        indices["mismatch"] = _over(d - s, norm)
        indices["repetition_suppression"] = _over(c - s, norm)
        indices["prediction_error"] = _over(d - c, norm)
    return xr.Dataset(
        {
            "rate": (("condition", "neuron"), rate, {"units": "Hz"}),
            **{name: ("neuron", values, {"units": "1"}) for name, values in indices.items()},
        },
        coords={"condition": list(wanted), "n_trials": ("condition", n, {"units": "1"})},
        attrs={
            "population": population,
            "min_trials": min_trials,
            "n_defined": int(np.isfinite(indices["mismatch" if control is not None else "oddball_index"]).sum()),
        },
    )


def responsive_cells(
    recording: xr.DataTree,
    population: str,
    label: ArrayLike,
    first: object,
    second: object,
    *,
    alpha: float = 0.05,
    n_permutations: int = 1000,
    seed: int = 0,
    min_trials: int = MIN_TRIALS,
    start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> xr.Dataset:
    """Neurons whose counts differ between two labels, and whether there are more of them than chance gives.

    Labels are permuted over trials, the same way for all neurons, so that correlations between neurons stay as they are. A
    neuron's p is the share of permutations, the given order among them, with at least its difference of means (two-sided).
    Every permutation then has its own number of neurons with ``p <= alpha``; the p of the count is the share of
    permutations with at least as many as the given order.

    Parameters
    ----------
    label : (trial,)
        Class of each trial; trials of other classes are left out.
    first, second : labels in `label`
    alpha : float, in (0, 1)
    n_permutations : int
        At least ``1/alpha - 1``, or no p could reach alpha.
    seed : int
    min_trials : int, >= 1
        With fewer trials of either label, NaN.

    Returns
    -------
    xarray.Dataset
        ``p`` (neuron), NaN for a neuron whose count never varies; scalars ``n_responsive``, ``n_expected`` (mean over
        permutations) and ``p_count``.

    Raises
    ------
    InputError
        Not one label per trial, a label no trial has, or an option out of range.

    Source
    ------
    Phipson, Smyth (2010), Stat. Appl. Genet. Mol. Biol. 9, 39. doi:10.2202/1544-6115.1585 (the given order counts)
    """
    if not 0 < alpha < 1 or n_permutations < 1 / alpha - 1 - 1e-9 or min_trials < 1:
        raise InputError(
            f"expected alpha in (0, 1), n_permutations >= 1/alpha - 1 and min_trials >= 1, got {alpha}, {n_permutations} "
            f"and {min_trials}."
        )
    counts, a, b, _ = _classes(recording, population, label, (first, second), start_ms, stop_ms)
    n_neurons = counts.shape[1]
    p, found = np.full(n_neurons, np.nan), np.zeros(n_permutations + 1, dtype=np.int64)
    enough = min(a.size, b.size) >= min_trials
    if enough:
        both = counts[np.concatenate([a, b])].astype(float)
        given = np.arange(both.shape[0]) < a.size
        random = np.random.default_rng(seed)
        member = np.stack([given, *(random.permutation(given) for _ in range(n_permutations))]).astype(float)
        varies = np.flatnonzero((both != both[:1]).any(axis=0))
        width = max(1, _BLOCK // member.shape[0])
        for at in range(0, varies.size, width):
            cells = varies[at : at + width]
            # Difference of means times n_a n_b: an integer, so equal differences are equal.
            difference = np.abs(both.shape[0] * (member @ both[:, cells]) - a.size * both[:, cells].sum(axis=0))
            each = stats.rankdata(-difference, method="max", axis=0) / member.shape[0]
            p[cells] = each[0]
            found += (each <= alpha).sum(axis=1)
    return xr.Dataset(
        {
            "p": ("neuron", p, {"units": "1"}),
            "n_responsive": ((), int(found[0]), {"units": "1"}),
            "n_expected": ((), float(found[1:].mean()) if enough else np.nan, {"units": "1"}),
            "p_count": ((), float((found >= found[0]).mean()) if enough else np.nan, {"units": "1"}),
        },
        attrs={
            "population": population, "first": str(first), "second": str(second), "alpha": alpha,
            "n_permutations": n_permutations, "seed": seed, "min_trials": min_trials, "n_trials": [a.size, b.size],
            "n_defined": int(np.isfinite(p).sum()),
        },
    )  # fmt: skip


def _classes(
    recording: xr.DataTree, population: str, label: ArrayLike, wanted: tuple[object, ...], start_ms: float,
    stop_ms: float | None,
) -> tuple:  # fmt: skip
    """Counts (trial, neuron), the trials of every class, and the length of the window [s]."""
    found = trains(recording, population, start_ms=start_ms, stop_ms=stop_ms)
    kinds, which = stimulus_of_trial(label, found.n_trials, "label")
    trials = [trials_of(each, kinds, which, "label") for each in wanted]
    if len(set(map(str, wanted))) < len(wanted):
        raise InputError(f"label: expected different classes, got {', '.join(map(str, wanted))}.")
    return found.counts(), *trials, found.seconds


def _mean(counts: np.ndarray) -> np.ndarray:
    return np.asarray(counts.sum(axis=0) / counts.shape[0])


def _over(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(a / np.where(b > 0, b, np.nan))
