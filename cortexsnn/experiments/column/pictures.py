"""Figures of the predictive column's report, from runs alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...units import TIME, expect
from ..arms import Results
from .biophysics import BIOPHYSICS, HELD, REFERENCE
from .config import Biophysics, ColumnConfig
from .effects import PARADIGMS, TRAINED
from .tables import COMPARED, NAMED, effect_values, lesion_effect
from .training import PREDICTION, UNTRAINED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Picture = tuple[str, "Figure"]
OWN_STEP = 1.0
"""Of the circuit [ms]."""


def figures(
    results: Results, config: ColumnConfig, arms: Sequence[str], others: Mapping[str, Mapping[str, Sequence[float]]],
    example: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> list[Picture]:  # fmt: skip
    """Errors, predicted frames, effects, paradigms over time, time steps, lesions in both engines."""
    from ...analysis.figures_paradigms import predicted_images

    shown = "Two held-out sequences: shown (blue where covered), the next frame, its prediction."
    found = [_errors(results, arms, others), (shown, predicted_images(*example)), *_effects(results, config)]
    found += [_course(results, name) for name in config.paradigms.given()]
    found += _repeats(results)
    if config.biophysics:
        found += [_steps(results, config.biophysics), _lesions(results, config, config.biophysics)]
    return found


def _errors(results: Results, arms: Sequence[str], others: Mapping[str, Mapping[str, Sequence[float]]]) -> Picture:
    from ...analysis.figures_arms import arms_listed

    groups = {
        kind: {arm: results.values(PREDICTION, arm, kind) for arm in arms} | {name: others[name][kind] for name in others}
        for kind in ("all", "occluded", "occluded, moving")
    }  # fmt: skip
    return (
        "Error of the next frame, by kind of frame: a dot per seed, bars their means; dashed: the column with apical feedback.",
        arms_listed(groups, xlabel="Mean squared error"),
    )


def _effects(results: Results, config: ColumnConfig) -> Iterator[Picture]:
    from ...analysis.figures_paradigms import effects

    shown = [
        v
        for v in (TRAINED, UNTRAINED, "no short-term plasticity", "command cut")
        if v == TRAINED or v in config.variants
    ]
    found, signs = {}, {}
    for name, paradigm in config.paradigms.given().items():
        for effect in paradigm.effects:
            if not effect.variants:
                key = f"{name.replace('_', ' ')}: {effect.name}"
                found[key] = {v: effect_values(results, f"{name}: {effect.name}", v, "contrast") for v in shown}
                signs[key] = effect.sign
    if found:
        yield (
            "Effects as standardised contrasts (Hedges' g, mean over cells): mean and 95 % interval over networks; arrows: the direction expected beforehand.",
            effects(found, signs, xlabel="Contrast"),
        )


def _runs(results: Results, what: str) -> list[Any]:
    return [r.measured[what] for r in results.runs if (r.setting, r.arm) == (PARADIGMS, TRAINED)]


def _course(results: Results, name: str) -> Picture:
    from ...analysis.figures_paradigms import courses

    runs = [course[name] for course in _runs(results, "courses")]
    rates = {c: {label: [r["rates"][c][label] for r in runs] for label in by} for c, by in runs[0]["rates"].items()}
    drawn = courses(rates, bin_ms=runs[0]["bin_ms"], window=tuple(runs[0]["window"]), title=name.replace("_", " "))
    return (
        f"Paradigm {name}: rates of the trained columns, mean and standard error over networks; shaded: where the response is taken.",
        drawn,
    )


def _repeats(results: Results) -> Iterator[Picture]:
    from ...analysis.figures_arms import arms_over

    runs = [r for r in _runs(results, "repeats") if r]
    if runs:
        curves = {
            label: {float(k + 1): [r[label][k] for r in runs] for k in range(len(runs[0][label]))} for label in runs[0]
        }
        drawn = arms_over(curves, xlabel="Repeat", ylabel="Rate of L23E [Hz]", percent=False)
        yield (
            "Response to each repeat of a sequence, and to other sequences until the last; mean and 95 % interval over networks.",
            drawn,
        )


def _steps(results: Results, settings: Biophysics) -> Picture:
    """Rates of pyramidal cells over the time step, with jumps that conserve charge and without."""
    from ...analysis.figures_arms import arms_over

    curves: dict[str, dict[float, list[float]]] = {}
    for name in ("L23E", "L5E"):
        at_own = results.values(BIOPHYSICS, REFERENCE, f"rate {name}")
        for sweep, said in (("dt", "charge conserved"), (HELD, "jumps held")):
            curves[f"{name}, {said}"] = {OWN_STEP: at_own} | {
                expect(dt, TIME): results.values(BIOPHYSICS, f"{sweep} {dt}", f"rate {name}") for dt in settings.dt
            }
    drawn = arms_over(curves, xlabel="Time step [ms]", ylabel="Rate [Hz]", percent=False, log_x=True)
    return (
        "The trained column on finer steps, with jumps that conserve charge and with jumps held; mean and 95 % interval over networks.",
        drawn,
    )


def _lesions(results: Results, config: ColumnConfig, settings: Biophysics) -> Picture:
    from ...analysis.figures_paradigms import same_effect

    pairs = {
        NAMED[what]: {
            lesion: (lesion_effect(results, lesion, REFERENCE, what), lesion_effect(results, lesion, f"dt {settings.fine}", what))
            for lesion in config.lesions
        }
        for what in ("all", *COMPARED)
    }  # fmt: skip
    drawn = same_effect(pairs, xlabel="torch, 1 ms", ylabel=f"Brian2, {settings.fine}")
    return (
        "Effects of lesions in both engines: lesioned minus intact, a dot per network; on the line they agree.",
        drawn,
    )
