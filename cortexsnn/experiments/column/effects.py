"""The paradigms shown to a trained network and to those it is set against; every expected effect measured in all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import least_squares

from ...analysis.prediction_errors import KINDS, ROLES, prediction_error_cells
from ...analysis.rates import neuron_rates, psth
from ...spec import Circuit
from ...train.data import digits
from ..arms import Run
from .config import CellCriteria, ColumnConfig, Mismatch
from .lesions import SHORT_TERM
from .networks import FEEDBACK
from .paradigms import Stage, trials_of
from .present import Shown, difference, show
from .training import CUT, HIERARCHY, INTACT, SHUFFLED, UNCOUPLED, UNTRAINED, start, trained

PARADIGMS, TRAINED = "paradigms", "trained"
LESIONS = {
    "no short-term plasticity": SHORT_TERM, "command cut": "command", "apical feedback cut": "apical feedback", "no SOM": "SOM", "no VIP": "VIP", "no PV": "PV",
    "no plateau": "plateau", CUT: "upper column",
}  # fmt: skip
"""Variant -> the lesion of the trained network, or of the hierarchy, that makes it."""
ARMS = {SHUFFLED: SHUFFLED, UNCOUPLED: UNCOUPLED, HIERARCHY: HIERARCHY, CUT: HIERARCHY}
"""Variant -> the arm it was trained in, unless with apical feedback."""
FLAT = 0.02
"""Of the largest rate: a fall by less is none."""
COURSES = ("L23E", "L23SOM", "L23VIP", "L5E")
"""Classes whose rates over time are kept."""


class Variant(NamedTuple):
    """A network to show paradigms to."""

    config: ColumnConfig
    folder: Path
    name: str
    seed: int


def circuit_of(variant: Variant) -> Circuit:
    """The trained network, another training, a lesion of it, or the column before training."""
    if variant.name == UNTRAINED:
        return start(variant.config, FEEDBACK)
    lesion, arm = LESIONS.get(variant.name, INTACT), ARMS.get(variant.name, FEEDBACK)
    return trained(variant.config, variant.folder, variant.seed, lesion, arm)


def examine(variant: Variant) -> Run:
    """Every paradigm: effects, cells of prediction errors; of the trained network also rates over time by condition."""
    config, circuit = variant.config, circuit_of(variant)
    measured: dict[str, Any] = {"effects": {}, "courses": {}, "cells": {}, "repeats": {}}
    data = digits(variant.seed).test
    for name, paradigm in config.paradigms.given().items():
        random = np.random.default_rng([variant.seed, 105])
        stage = Stage(config.world_of(), config.frame_code, data, random)
        shown = show(circuit, config.frame_code, trials_of(name, paradigm, stage), config.engine, variant.seed)
        for effect in paradigm.effects:
            measured["effects"][f"{name}: {effect.name}"] = difference(shown, effect)
        if variant.name == TRAINED:
            measured["courses"][name] = courses(shown, config.code.ms / 2)
        if isinstance(paradigm, Mismatch):
            measured["cells"] = {
                c: error_cells(shown, paradigm.criteria, c, variant.seed) for c in paradigm.criteria.cells
            }
        if shown.repeats:
            measured["repeats"] = over_repeats(shown)
            measured["decay"] = decay([a for a, _ in shown.repeats], measured["repeats"]["repeated"])
    return Run(PARADIGMS, variant.name, variant.seed, {**measured, "trainings": 0})


def courses(shown: Shown, bin_ms: float) -> dict[str, Any]:
    """Mean rate over time [Hz], by class and condition, and the window of the response [ms]."""
    found: dict[str, Any] = {"window": [shown.start_ms, shown.stop_ms], "bin_ms": bin_ms, "rates": {}}
    for name in COURSES:
        by_trial = psth(shown.recording, name, bin_ms, per="trial").values
        labels = list(dict.fromkeys(shown.labels.tolist()))
        found["rates"][name] = {label: by_trial[shown.labels == label].mean(0).round(2).tolist() for label in labels}
    return found


def error_cells(shown: Shown, criteria: CellCriteria, population: str, seed: int) -> dict[str, Any]:
    """Numbers of cells of each kind, by chance, and their contrasts on the measuring half."""
    found = prediction_error_cells(
        shown.recording, population, shown.labels, {role: getattr(criteria, role) for role in ROLES}, driven=criteria.driven,
        flat=criteria.flat, rate=criteria.rate, n_permutations=criteria.permutations, seed=seed, start_ms=shown.start_ms, stop_ms=shown.stop_ms,
    )  # fmt: skip
    names = ("n", "n_expected", "p", "n_independent", "p_independent", "measured", "confirmed")
    by_kind = {kind: {name: float(found[name].sel(sign=kind)) for name in names} for kind in KINDS}
    return {**by_kind, "n_cells": found.attrs["n_cells"]}


def decay(times_ms: Sequence[float], rates: Sequence[float]) -> float:
    """Time constant [s] of an exponential fall of rates over time, between a tenth of a repeat and ten times all of them; NaN where they do not fall,
    or where less than four do not tell."""
    t, r = np.asarray(times_ms) / 1000, np.asarray(rates)
    if r.size < 4 or r[0] <= r[-1]:
        return float("nan")
    least, most = (t[1] - t[0]) / 10, 10 * (t[-1] - t[0])

    def missed(p: np.ndarray) -> np.ndarray:
        last, height, tau = p
        return np.asarray(last + height * np.exp(-(t - t[0]) / tau) - r)

    begin = (r[-1], r[0] - r[-1], t[1] - t[0])
    fit = least_squares(missed, begin, bounds=([0, 0, least], [np.inf, np.inf, most]))
    _, height, tau = fit.x
    return float(tau) if fit.success and height > FLAT * r.max() else float("nan")


def over_repeats(shown: Shown) -> dict[str, list[float]]:
    """Mean rate of L23E at every repeat [Hz], by condition."""
    rates = [
        neuron_rates(shown.recording, "L23E", start_ms=a, stop_ms=b).mean("neuron").values for a, b in shown.repeats
    ]
    return {str(label): [float(r[shown.labels == label].mean()) for r in rates] for label in np.unique(shown.labels)}
