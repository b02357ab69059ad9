"""Cells of prediction errors, by criteria fixed before: selected on half of the trials, measured on the other, counted against chance."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from scipy import stats

from ..errors import InputError
from .contrasts import hedges_g
from .trains import trains
from .tuning import stimulus_of_trial, trials_of

KINDS = ("negative", "positive")
ROLES = ("control", "over", "under", "match")


def prediction_error_cells(
    recording: xr.DataTree,
    population: str,
    label: ArrayLike,
    conditions: Mapping[str, object],
    *,
    driven: float = 0.5,
    flat: float = 0.2,
    rate: float = 0.05,
    n_permutations: int = 200,
    seed: int = 0,
    start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> xr.Dataset:
    """How many cells signal that a prediction exceeds the input (negative), or the input the prediction (positive).

    A cell's contrast in a condition is Hedges' g of its counts against the control. A negative cell has a contrast above ``driven`` where the
    prediction exceeds the input, its t-test among those below a false discovery rate (Benjamini and Hochberg) over cells; a contrast
    within ``flat`` of 0 where both match; and one below ``flat`` where the input exceeds the prediction. A positive cell the other way round. Odd
    trials of each condition select, even ones measure. Two kinds of chance: labels are permuted over trials, for all cells alike, which says
    whether conditions matter at all; and each condition's contrasts are permuted over cells, which says whether more cells combine them in
    this way than cells that are driven by each condition at random.

    Parameters
    ----------
    label : (trial,)
    conditions : mapping
        "control", "over" (prediction above input), "under" and "match" -> a label; different ones.
    driven, flat : float, > 0
        Contrasts.
    rate : float, in (0, 1)
        False discovery rate.
    n_permutations : int, >= 19
    seed : int

    Returns
    -------
    xarray.Dataset
        ``contrast`` (condition, neuron), on the measuring half; ``kind`` (neuron), 1 positive, -1 negative, 0 neither, as selected;
        by (sign,): ``n``; ``n_expected`` and ``p`` of the count over permutations of labels; ``n_independent`` and ``p_independent`` over
        permutations of cells; ``measured``, mean contrast of the selected cells in their own
        condition on the measuring half (NaN without any), ``confirmed``, how many of them meet the criteria of size there again.

    Raises
    ------
    InputError
        Conditions or options out of range, a label no trial has, fewer than 4 trials of one.

    Source
    ------
    Keller, Mrsic-Flogel (2018), Neuron 100, 424. doi:10.1016/j.neuron.2018.10.003 (the two kinds); the criteria are ours.
    """
    if set(conditions) != set(ROLES) or len(set(map(str, conditions.values()))) < len(ROLES):
        raise InputError(
            f"conditions: expected a label each for {', '.join(ROLES)}, all different, got {dict(conditions)!r:.120}"
        )
    if not (driven > 0 and flat > 0 and 0 < rate < 1) or n_permutations < 19:
        raise InputError(
            f"expected driven and flat above 0, rate in (0, 1) and n_permutations >= 19, got {driven}, {flat}, {rate} and {n_permutations}."
        )
    found = trains(recording, population, start_ms=start_ms, stop_ms=stop_ms)
    kinds, which = stimulus_of_trial(label, found.n_trials, "label")
    groups = [trials_of(conditions[role], kinds, which, "label") for role in ROLES]
    if min(g.size for g in groups) < 4:
        raise InputError(f"label: expected 4 trials of each condition, got {', '.join(str(g.size) for g in groups)}")
    counts = np.concatenate([found.counts()[g[half::2]] for half in (0, 1) for g in groups]).astype(float)
    sizes = [g[half::2].size for half in (0, 1) for g in groups]
    edges = np.cumsum([0, *sizes])
    middle = edges[len(ROLES)]

    def halves(rows: np.ndarray) -> list[list[np.ndarray]]:
        parts = [rows[a:b] for a, b in pairwise(edges)]
        return [parts[: len(ROLES)], parts[len(ROLES) :]]

    selecting, measuring = halves(counts)
    contrasts, driven_by = _tested(selecting, rate)
    kind, measured = _kinds(contrasts, driven_by, driven, flat), _contrasts(measuring)
    random, other = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    chance, independent = [], []
    for _ in range(n_permutations):
        order = random.permutation(middle)
        mixed = _tested(halves(np.concatenate([counts[order], counts[middle:]]))[0], rate)
        chance.append(_numbers(_kinds(*mixed, driven, flat)))
        orders = other.permuted(np.tile(np.arange(found.n_neurons), (len(contrasts), 1)), axis=1)
        apart = np.take_along_axis(contrasts, orders, 1), np.take_along_axis(driven_by, orders[:2], 1)
        independent.append(_numbers(_kinds(*apart, driven, flat)))
    n = _numbers(kind)
    again = _by_size(measured, driven, flat)
    own = {-1: measured[0], 1: measured[1]}
    return xr.Dataset(
        {
            "contrast": (("condition", "neuron"), measured, {"units": "1"}),
            "kind": ("neuron", kind, {"units": "1"}),
            "n": ("sign", n, {"units": "1"}),
            "n_expected": ("sign", np.mean(chance, axis=0), {"units": "1"}),
            "p": ("sign", _p(chance, n), {"units": "1"}),
            "n_independent": ("sign", np.mean(independent, axis=0), {"units": "1"}),
            "p_independent": ("sign", _p(independent, n), {"units": "1"}),
            "measured": ("sign", [_mean(own[s][kind == s]) for s in (-1, 1)], {"units": "1"}),
            "confirmed": ("sign", [int((again[kind == s] == s).sum()) for s in (-1, 1)], {"units": "1"}),
        },
        coords={"condition": list(ROLES[1:]), "sign": list(KINDS)},
        attrs={
            "population": population, "driven": driven, "flat": flat, "rate": rate, "n_permutations": n_permutations, "seed": seed,
            "n_cells": found.n_neurons, **{role: str(conditions[role]) for role in ROLES},
        },
    )  # fmt: skip


def _contrasts(parts: list[np.ndarray]) -> np.ndarray:
    """Over, under and match against the control, (3, neuron); 0 where nothing varies."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.nan_to_num(np.stack([hedges_g(part, parts[0]) for part in parts[1:]]))


def _by_size(contrast: np.ndarray, driven: float, flat: float) -> np.ndarray:
    over, under, match = contrast
    quiet = np.abs(match) < flat
    return np.where(
        quiet & (over > driven) & (under < flat), -1, np.where(quiet & (under > driven) & (over < flat), 1, 0)
    )


def _tested(parts: list[np.ndarray], rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Contrasts (over, under, match; neuron), and whether a cell differs from the control where over and under (2, neuron)."""
    passed = []
    for part in parts[1:3]:
        with np.errstate(invalid="ignore", divide="ignore"):
            test = stats.ttest_ind_from_stats(*_moments(part), *_moments(parts[0]), equal_var=False)
        passed.append(stats.false_discovery_control(np.nan_to_num(test.pvalue, nan=1.0)) <= rate)
    return _contrasts(parts), np.array(passed)


def _kinds(contrast: np.ndarray, differs: np.ndarray, driven: float, flat: float) -> np.ndarray:
    kind = _by_size(contrast, driven, flat)
    for sign, passed in zip((-1, 1), differs, strict=True):
        kind[(kind == sign) & ~passed] = 0
    return kind


def _p(chance: list[np.ndarray], n: np.ndarray) -> np.ndarray:
    return np.asarray((1 + (np.array(chance) >= n).sum(0)) / (1 + len(chance)))


def _moments(part: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    return part.mean(0), part.std(0, ddof=1), len(part)


def _numbers(kind: np.ndarray) -> np.ndarray:
    return np.array([(kind == -1).sum(), (kind == 1).sum()])


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")
