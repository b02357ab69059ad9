"""experiment=predictive_column, whole: trainings, paradigms, simulations, report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...library import load
from ...report import VerificationRow
from ...run import simulate
from .. import NotProven
from ..arms import Results
from ..config import checked
from ..rows import pairs, verification_rows
from . import biophysics, lessons
from .biophysics import simulations
from .checks import check
from .config import ColumnConfig
from .effects import PARADIGMS, TRAINED, Variant, examine
from .lessons import Lesson
from .networks import FEEDBACK, NONE, PLAIN, SOMA, rows
from .pictures import figures
from .proof import prove
from .score import KINDS, predicted_frames
from .tables import (
    AGAINST,
    cells_table,
    effects_table,
    fidelity_table,
    gains_table,
    gap,
    lesion_table,
    local_table,
    prediction_table,
    settings_table,
    shown,
    statistics_table,
)  # fmt: skip
from .training import (
    CUT,
    CUT_RETRAINED,
    HIERARCHIES,
    HIERARCHY,
    HIERARCHY_NONE,
    INTACT,
    MATCHED,
    PREDICTION,
    RETRAINED,
    SHUFFLED,
    UNCOUPLED,
    WHOLE_RETRAINED,
    Task,
    baselines,
    held_out,
    network_file,
    train,
)

TITLE = "A column that predicts its input"
ORDER = (FEEDBACK, SOMA, NONE, PLAIN, SHUFFLED, UNCOUPLED, *HIERARCHIES, CUT, WHOLE_RETRAINED, CUT_RETRAINED)
"""Of arms in the first table."""
BESIDE = ("untrained", "shuffled", "no short-term plasticity", "command cut", "hierarchy")
"""Variants in which every effect is shown."""


def run(values: Mapping[str, Any], folder: Path) -> str:
    """Run the experiment into ``folder`` and return its first table."""
    config = checked(ColumnConfig, values)
    check(config)
    place = Path(config.networks) if config.networks else folder / "networks"
    place.mkdir(parents=True, exist_ok=True)
    results = Results("predictive_column", config)
    arms = _train(results, config, place)
    results.collect(
        examine, [Variant(config, place, v, seed) for v in (TRAINED, *config.variants) for seed in config.seeds]
    )
    if config.biophysics:
        results.collect(biophysics.simulate, simulations(config, config.biophysics, place))
    if config.local:
        results.collect(
            lessons.examine,
            [Lesson(config, config.local, place, way, seed) for way in lessons.WAYS for seed in config.seeds],
        )
    others = _others(config)
    tables = [statistics_table(results)]
    if config.local:
        tables.append(local_table(results, config, config.local))
    if config.biophysics:
        tables.append(lesion_table(results, config.lesions))
    beside = [v for v in BESIDE if v in config.variants]
    tables += [effects_table(results, config, beside), cells_table(results, config, [TRAINED, *config.variants])]
    if config.biophysics:
        tables += [
            settings_table(results, config.biophysics),
            gains_table(results),
            fidelity_table(results, config.lesions, config.biophysics.fine),
        ]
    found, agree = _findings(results, config, others), True
    more: dict[str, Any] = {"others": others}
    engines: list[VerificationRow] = []
    if config.proof:
        proof, fired, minimum = proven = prove(config, config.proof, place)
        enough = "" if fired >= minimum else f"; too few, {minimum} are needed"
        found.append(
            f"The first trained network in {len(config.proof.engines)} engines: {proof.met}, {fired} spikes of cells compared, {proof.n_spikes} with "
            f"those of terminals{enough}."
        )
        engines, agree = verification_rows(proof), proven.agree
        more["proof"] = {
            "agree": agree, "class": proof.met, "spikes_of_cells": fired, "spikes_compared": proof.n_spikes, "pairs": pairs(proof),
        }  # fmt: skip
    first = prediction_table(results, arms, others)
    summary = results.write(
        folder,
        TITLE,
        first,
        figures(results, config, arms, others, _example(config, place)),
        found,
        more,
        tables,
        engines,
    )
    return summary if agree else NotProven(summary)


def _train(results: Results, config: ColumnConfig, place: Path) -> list[str]:
    """All trainings; the arms that stand in the first table."""
    arms = [*config.arms, *(HIERARCHIES if config.hierarchy else ())]
    results.collect(
        train, [Task(config, place, arm, seed) for seed in config.seeds for arm in arms if arm not in MATCHED]
    )

    def measured(arm: str, what: str) -> dict[int, float]:
        return dict(zip(config.seeds, results.values(PREDICTION, arm, what), strict=True))

    spikes = {arm: measured(arm, "spikes") for arm in (FEEDBACK, *([HIERARCHY] if config.hierarchy else ()))}
    learned = measured(FEEDBACK, "parameters")
    tasks = [
        Task(config, place, arm, seed, spikes=spikes[MATCHED[arm]][seed], parameters=round(learned[seed]))
        for seed in config.seeds for arm in (*arms, PLAIN) if arm in MATCHED
    ]  # fmt: skip
    after = {f"{RETRAINED} {lesion}": (lesion, FEEDBACK) for lesion in (INTACT, *config.lesions)}
    if config.hierarchy:
        cut = {CUT: "upper column", CUT_RETRAINED: "upper column", WHOLE_RETRAINED: INTACT}
        after |= {arm: (lesion, HIERARCHY) for arm, lesion in cut.items()}
        arms += cut
    tasks += [
        Task(config, place, arm, seed, lesion, of, 0.0 if arm == CUT else spikes[of][seed])  # cut at once it is not trained
        for arm, (lesion, of) in after.items() for seed in config.seeds
    ]  # fmt: skip
    results.collect(train, tasks)
    return sorted([*arms, PLAIN], key=ORDER.index)


def _others(config: ColumnConfig) -> dict[str, dict[str, list[float]]]:
    """Errors of predictors that are no networks: name -> kind of frame -> one number per seed."""
    found = [baselines(config, seed) for seed in config.seeds]
    return {name: {kind: [f[name][kind] for f in found] for kind in KINDS} for name in found[0]}


def _findings(results: Results, config: ColumnConfig, others: Mapping[str, Mapping[str, list[float]]]) -> list[str]:
    def error(arm: str, kind: str) -> list[float]:
        return list(others[arm][kind]) if arm in others else results.values(PREDICTION, arm, kind)

    def compared(arm: str, base: str = FEEDBACK) -> str:
        return ", ".join(f"{gap(error(arm, kind), error(base, kind))} on {kind} frames" for kind in AGAINST)

    found = []
    if NONE in config.arms:
        found.append(
            "Primary outcome, the gain of apical feedback on occluded frames: where the same connections carry another sequence's commands, as many numbers "
            f"learned and held at as many spikes, the error changes by {compared(NONE)}."
        )
    if SOMA in config.arms:
        found.append(f"Where they reach somata in place of apical compartments: {compared(SOMA)}.")
    floor = "mean frame"
    found.append(
        f"What was learned at all: the column with apical feedback minus the {floor}, {compared(FEEDBACK, floor)}."
    )
    if config.hierarchy:
        found.append(
            f"In a hierarchy: without apical feedback {compared(HIERARCHY_NONE, HIERARCHY)}; with the upper column cut at once {compared(CUT, HIERARCHY)}; "
            f"both trained on, {compared(CUT_RETRAINED, WHOLE_RETRAINED)}."
        )
    if config.paradigms.repetition:
        taus = [r.measured["decay"] for r in results.runs if (r.setting, r.arm) == (PARADIGMS, TRAINED)]
        falling = [tau for tau in taus if np.isfinite(tau)]
        found.append(
            f"Repetition: the response of L23E falls over repeats in {len(falling)} of {len(taus)} networks"
            + (f", with a time constant of {shown(falling, 2)} s" if len(falling) > 1 else "")
            + "; reported is 1.4 +- 0.4 s (Homann et al. 2022)."
        )
    return found


def _example(config: ColumnConfig, place: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames as shown, next frames, predictions of the first network for a few sequences, (frame, sample, pixel)."""
    seed = config.seeds[0]
    scans = held_out(config, seed, 8)
    circuit = load(network_file(place, FEEDBACK, seed))
    inputs = rows(circuit, config.frame_code, scans, np.random.default_rng([seed, 102]))
    found = predicted_frames(simulate(circuit, inputs, engine=config.engine, seed=seed), config.code.ms)
    chosen = np.argsort(-scans.occluded.sum(0), kind="stable")[:2]  # those with the most occluded frames
    return scans.shown[:, chosen], scans.targets[:, chosen], found[:, chosen]
