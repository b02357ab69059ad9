"""Tables of the predictive column's report, from runs alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...analysis.paired import estimate, paired_difference
from ...report import Table
from ..arms import Results
from .biophysics import BIOPHYSICS, REFERENCE
from .config import Biophysics, ColumnConfig, Effect, LocalConfig
from .effects import PARADIGMS, TRAINED
from .lessons import LESSONS, LOCAL, WAYS
from .networks import FEEDBACK
from .score import KINDS
from .training import CUT_RETRAINED, HIERARCHY, INTACT, MATCHED, PREDICTION, RETRAINED, WHOLE_RETRAINED

COMPARED = ("rate L23E", "rate L5E", "bursts of events L5E", "plateaus L23E", "plateaus L5E")
"""Beside the error: what settings and lesions are compared by."""
NAMED = {"all": "error", "rate L23E": "L23E [Hz]", "rate L5E": "L5E [Hz]", "bursts of events L5E": "bursts L5E", "plateaus L23E": "plateaus L23E [Hz]",
         "plateaus L5E": "plateaus L5E [Hz]"}  # fmt: skip
AGAINST = ("occluded", "moving", "all")
"""Kinds of frames on which arms are compared; where the window moves a copy of the last frame fails."""
SMALLEST = 1e-9
"""Below, a difference is rounding."""
RANGES = {"E": "0.1 to 10", "PV": "5 to 30", "SOM": "2 to 15", "VIP": "2 to 15"}
"""Recalled, of the literature [Hz]."""
WANTED = {
    "inhibition over excitation": "about 1",
    "median over mean": "below 1",
    "correlation": "below 0.1",
    "bursts of events": "0.05 to 0.25 (L5)",
}


def shown(values: Sequence[float], digits: int = 3) -> str:
    """Mean with a 95 % interval; a dash where a network has no value."""
    x = np.asarray(values, dtype=float)
    if x.size < 2 or not np.isfinite(x).all():
        return "-"
    found = estimate(x)
    return _interval(found.mean, found.low, found.high, f".{digits}g")


def gap(a: Sequence[float], b: Sequence[float], digits: int = 2) -> str:
    """Paired difference with its interval."""
    if not np.isfinite([*a, *b]).all():
        return "-"
    d = paired_difference(a, b)
    return _interval(d.mean, d.low, d.high, f"+.{digits}g")


def _interval(mean: float, low: float, high: float, form: str) -> str:
    size = max(abs(mean), abs(low), abs(high))
    mean, low, high = (0.0 if abs(x) < SMALLEST * max(1, size) else x for x in (mean, low, high))
    return f"{mean:{form}} ({low:{form}} to {high:{form}})"


# -- prediction -------------------------------------------------------------------------------------------------------


def prediction_table(results: Results, arms: Sequence[str], others: dict[str, dict[str, list[float]]]) -> Table:
    """Errors by kind of frame of every arm and of predictors that are no networks."""
    rows = []
    for arm in arms:
        base = baseline(arm)
        errors = [shown(results.values(PREDICTION, arm, kind)) for kind in KINDS]
        against = ["baseline", *[""] * (len(AGAINST) - 1)]
        if arm != base:
            against = [
                gap(results.values(PREDICTION, arm, kind), results.values(PREDICTION, base, kind)) for kind in AGAINST
            ]
        held = f"{spikes_beside(results, arm, MATCHED[arm]):+.1%}" if arm in MATCHED else ""
        more = [f"{np.mean(results.values(PREDICTION, arm, what)):.0f}" for what in ("parameters", "spikes")]
        rows.append([arm, *errors, *against, *more, held])
    for name, by_kind in others.items():
        against = [gap(by_kind[kind], results.values(PREDICTION, FEEDBACK, kind)) for kind in AGAINST]
        rows.append([name, *(shown(by_kind[kind]) for kind in KINDS), *against, "", "", ""])
    return Table(
        caption=(
            "Mean squared error of the next frame on held-out digits, pixels in [0, 1]: mean and 95 % interval over seeds, all arms with the same seeds, "
            "splits, held-out sequences and number of updates; arms of one column with frames in order are trained on the same sequences too, the other arms on "
            "sequences of the same kind. Without apical feedback VIP and SOM cells still get the command. Occluded: a part of the window is covered in the frame before the one that is predicted. Moving: the window "
            "moves, so that a copy of the last frame fails. Differences: from the column with apical feedback (of a hierarchy from the hierarchy, of what "
            "is trained on from the whole one trained on), paired by seed. Numbers learned; spikes a second of all cells, and, where they are held at "
            "those of the baseline, the largest distance from it. Autoregressions are fitted in closed form on 6 000 sequences."
        ),
        columns=["Arm", *KINDS, *(f"{kind}: difference" for kind in AGAINST), "parameters", "spikes/s", "held within"],
        rows=rows,
    )


def baseline(arm: str) -> str:
    """What an arm is compared with."""
    return WHOLE_RETRAINED if arm == CUT_RETRAINED else HIERARCHY if arm.startswith(HIERARCHY) else FEEDBACK


def spikes_beside(results: Results, arm: str, base: str) -> float:
    """The relative distance of an arm's spikes from another one's, of the seed where it is largest."""
    ratios = np.divide(results.values(PREDICTION, arm, "spikes"), results.values(PREDICTION, base, "spikes")) - 1
    return float(ratios[np.argmax(np.abs(ratios))])


def statistics_table(results: Results) -> Table:
    """What no loss saw: with currents, where the trained network was simulated."""
    setting, arm = (BIOPHYSICS, REFERENCE) if REFERENCE in results.arms(BIOPHYSICS) else (PREDICTION, FEEDBACK)
    first = next(r.measured for r in results.runs if (r.setting, r.arm) == (setting, arm))
    rows, aside = [], (*KINDS, "spikes", "cpu_seconds")
    for what in (name for name, x in first.items() if isinstance(x, float) and name not in aside):
        wanted = (
            RANGES.get(_class(what.split()[-1]), "")
            if what.startswith("rate")
            else WANTED.get(what.rsplit(" ", 1)[0], "")
        )
        trained = shown(results.values(setting, arm, what))
        rows.append([what, trained, wanted])
    return Table(
        caption=(
            "Activity of the trained column on held-out sequences: mean and 95 % interval over seeds. Mean rates of classes are in the loss (as "
            "ranges), all else is not. Ranges are recalled from the literature, not checked. Silent: share of cells without a spike; inhibition over excitation: "
            "of the currents of AMPA and GABA_A at somata, what arrives at apical compartments aside."
        ),
        columns=["Statistic", "Trained", "In vivo"],
        rows=rows,
    )


def _class(population: str) -> str:
    return "E" if population.endswith("E") else population.lstrip("L2345")


def lesion_table(results: Results, lesions: Sequence[str]) -> Table:
    """Error after each lesion, at once and after training goes on."""
    rows = []
    whole = f"{RETRAINED} {INTACT}"
    for lesion in lesions:
        row = [lesion]
        for kind in ("all", "occluded"):
            acute = results.values(BIOPHYSICS, f"{REFERENCE}, without {lesion}", kind)
            row.append(gap(acute, results.values(BIOPHYSICS, REFERENCE, kind)))
            row.append(
                gap(results.values(PREDICTION, f"{RETRAINED} {lesion}", kind), results.values(PREDICTION, whole, kind))
            )
        row += [f"{x:+.0%}" for x in _spikes_changed(results, lesion)]
        rows.append(row)
    return Table(
        caption=(
            "Change of the error by a lesion of the trained column: at once, and against the intact column when both train on for as many updates, held at "
            "the spikes of the trained column; mean and 95 % interval over seeds, paired. Spikes: of all cells against the trained column, mean over seeds."
        ),
        columns=["Without", "all: at once", "all: retrained", "occluded: at once", "occluded: retrained", "spikes: at once", "spikes: retrained"],
        rows=rows,
    )  # fmt: skip


def _spikes_changed(results: Results, lesion: str) -> list[float]:
    """Relative change of the spikes of all cells, at once and retrained, the mean over seeds."""
    at_once = [results.values(BIOPHYSICS, arm, "spikes") for arm in (f"{REFERENCE}, without {lesion}", REFERENCE)]
    retrained = [results.values(PREDICTION, arm, "spikes") for arm in (f"{RETRAINED} {lesion}", FEEDBACK)]
    return [float(np.mean(np.divide(after, before) - 1)) for after, before in (at_once, retrained)]


def local_table(results: Results, config: ColumnConfig, local: LocalConfig) -> Table:
    """Taught by local rules, by gradients, or not at all, by the same linear read-out."""
    measures = (*KINDS[:4], "rate L23E", "rate L5E", "dendritic error", "dendritic information")
    rows = [[way, *(shown(results.values(LESSONS, way, what)) for what in measures)] for way in WAYS]
    change, bounds = (np.mean(results.values(LESSONS, LOCAL, what)) for what in ("moved", "at bounds"))
    seconds = local.updates * local.sequences * config.world.frames * config.code.ms / 1000
    return Table(
        caption=(
            f"The local alternative: {seconds:g} s of scanned training digits, apical synapses of the command by dendritic prediction (Urbanczik and Senn "
            f"2014), PV onto E by inhibitory plasticity towards {local.target:g} Hz (Vogels et al. 2011). Errors are of ridge regression from counts of L23E "
            "and L5E, fitted alike for all. Dendritic error [Hz]: mean distance of the rate that the apical potential stands for from the soma's; dendritic "
            f"information [bit/spike]: of the soma's spikes in that potential, beyond the mean rate. Local rules moved weights by {change:.0%} of their mean; "
            f"{bounds:.1%} ended at a bound."
        ),
        columns=["Taught by", *measures],
        rows=rows,
    )


# -- paradigms --------------------------------------------------------------------------------------------------------


def effect_values(results: Results, key: str, variant: str, what: str = "difference") -> list[float]:
    """One number per seed."""
    found = {
        r.seed: r.measured["effects"][key][what] for r in results.runs if r.setting == PARADIGMS and r.arm == variant
    }
    return [float(found[seed]) for seed in results.config.seeds]


def effects_table(results: Results, config: ColumnConfig, beside: Sequence[str]) -> Table:
    """What was expected and what was found, in the trained column and in those it is set against."""
    rows: list[list[str]] = []
    untold: list[str] = []
    for name, paradigm in config.paradigms.given().items():
        for effect in paradigm.effects:
            key = f"{name}: {effect.name}"
            if not set(effect.variants) <= set(config.variants):
                untold.append(key)
                continue
            values = effect_values(results, key, effect.within or TRAINED)
            if effect.against:
                values = [a - b for a, b in zip(values, effect_values(results, key, effect.against), strict=True)]
            unit = "mV" if effect.compartment == "apical" else "Hz"
            others = ["" if effect.variants else _mean(effect_values(results, key, v)) for v in beside]
            rows.append(
                [key + (" (late)" if effect.late else ""), _contrast(effect), f"{effect.cells}, {effect.compartment}", _sign(effect), f"{shown(values, 2)} {unit}", _relative(results, key, effect),
                 verdict(values, effect), *others, effect.size, effect.reference, effect.rival]
            )  # fmt: skip
    return Table(
        caption=(
            "Effects, fixed before these trainings, and what was found: mean over cells of the difference between two conditions, mean and 95 % interval "
            f"over {len(config.seeds)} networks, the unit of inference. Verdicts are not corrected for their number. Beside it the same in other networks: "
            + ", ".join(beside) + ". Where they show as much, what was found is no sign of learning. Relative: to the second condition, the median over "
            "networks. Little: the whole interval within the bound. Late: added when these trainings were under way, before any of the networks was shown a "
            "paradigm." + (f" Not here, for the networks they are set against were not trained: {', '.join(untold)}." if untold else "")
        ),
        columns=["Effect", "Contrast", "Where", "Expected", "Found", "Relative", "Verdict", *beside, "Size reported", "Reference", "Rival account"],
        rows=rows,
    )  # fmt: skip


def _contrast(effect: Effect) -> str:
    parts = [f"{effect.first} minus {effect.second}"]
    if effect.minus:
        parts.append("less {} minus {}".format(*effect.minus))
    if effect.within:
        parts.append(f"in {effect.within}")
    return ", ".join([*parts, *([f"above {effect.against}"] if effect.against else [])])


def verdict(values: Sequence[float], effect: Effect) -> str:
    """Whether an interval over networks has the expected sign, or is within what counts as little."""
    if not np.isfinite(values).all():
        return "not defined in every network"
    if effect.bound:
        found = estimate(values)
        if max(-found.low, found.high) <= effect.bound:
            return "as expected"
        return "a change where little is expected" if max(found.low, -found.high) > effect.bound else "inconclusive"
    seen = _seen(values)
    return "as expected" if seen == effect.sign else "the opposite" if seen == -effect.sign else "not seen"


def _mean(values: Sequence[float]) -> str:
    mean = float(np.mean(values))
    return "-" if not np.isfinite(mean) else f"{mean if abs(mean) > SMALLEST else 0:+.2g}"


def _sign(effect: Effect) -> str:
    return f"within {effect.bound:g}" if effect.bound else "more" if effect.sign > 0 else "less"


def _relative(results: Results, key: str, effect: Effect) -> str:
    """Of rates; the median, for a rate near 0 makes a ratio large."""
    values = effect_values(results, key, TRAINED, "relative")
    rates = not effect.variants and effect.compartment == "soma" and np.isfinite(values).all()
    return f"{np.median(values):+.0%}" if rates else ""


def cells_table(results: Results, config: ColumnConfig, variants: Sequence[str]) -> Table:
    """Cells of prediction errors in every variant."""
    rows = []
    of = {v: [r.measured["cells"] for r in results.runs if r.setting == PARADIGMS and r.arm == v] for v in variants}
    for variant, runs in of.items():
        for population in runs[0]:
            for kind in ("negative", "positive"):
                found = [r[population][kind] for r in runs]
                total = {
                    what: sum(f[what] for f in found) for what in ("n", "n_expected", "n_independent", "confirmed")
                }
                n_cells = sum(r[population]["n_cells"] for r in runs)
                measured = [f["measured"] for f in found if np.isfinite(f["measured"])]
                above = [f"{sum(f[p] <= 0.05 for f in found)} of {len(found)}" for p in ("p", "p_independent")]
                own, here = (
                    [100 * r[population][kind]["n"] / r[population]["n_cells"] for r in rs]
                    for rs in (of[TRAINED], runs)
                )
                more = gap(own, here) if variant != TRAINED else ""
                rows.append(
                    [f"{variant}: {population}, {kind}", f"{total['n']:.0f} of {n_cells}", f"{total['confirmed']:.0f}",
                     f"{np.mean(measured):.2f}" if measured else "-", f"{total['n_expected']:.2g}", above[0], f"{total['n_independent']:.2g}", above[1], more]
                )  # fmt: skip
    c = config.paradigms.mismatch.criteria if config.paradigms.mismatch else None
    criteria = "" if c is None else (
        f" Negative: Hedges' g above {c.driven:g} for {c.over} against {c.control} (false discovery rate {c.rate:g}), within {c.flat:g} of 0 for {c.match}, "
        f"below {c.flat:g} for {c.under}; positive the other way round."
    )  # fmt: skip
    return Table(
        caption=(
            f"Cells of prediction errors, over all networks: selected on odd trials, by criteria fixed before.{criteria} Confirmed: meet the criteria of "
            "size on even trials again; contrast: their mean there. Two kinds of chance, each with the mean count and the networks that have more at p <= "
            "0.05: labels permuted over trials (whether conditions matter at all), and contrasts of each condition permuted over cells (whether more "
            "cells combine them in this way than cells driven by each condition at random). Last, how many more of a hundred cells the trained column has, paired "
            "by network, mean and 95 % interval."
        ),
        columns=[
            "Network: cells",
            "Found",
            "Confirmed",
            "Contrast measured",
            "Labels permuted",
            "networks with more",
            "Cells permuted",
            "networks with more than that",
            "trained: more [%]",
        ],
        rows=rows,
    )


# -- biophysics -------------------------------------------------------------------------------------------------------


def settings_table(results: Results, settings: Biophysics) -> Table:
    """Every setting against the trained network at its own step, integrators against exponential Euler at the fine one."""
    rows = [[REFERENCE, *(shown(results.values(BIOPHYSICS, REFERENCE, what)) for what in ("all", *COMPARED))]]
    rows += [
        [arm, *(_change(results, arm, f"dt {settings.fine}" if arm.startswith("methods") else REFERENCE, what) for what in ("all", *COMPARED))]
        for arm in _settings(results)
    ]  # fmt: skip
    return Table(
        caption=(
            "The trained column in other simulations: change of each number from the network as trained (torch, 1 ms), mean and 95 % interval over seeds, "
            "paired, the same sequences and noise; all but the first row in Brian2. Bursts: share of events of 2 spikes or more within 16 ms; plateaus: "
            f"apical potential above -40 mV for 10 ms or more. Integrators other than exponential Euler run at {settings.fine}, and are compared with it there."
        ),
        columns=["Setting", *(NAMED[what] for what in ("all", *COMPARED))],
        rows=rows,
    )


def _settings(results: Results) -> list[str]:
    return [arm for arm in results.arms(BIOPHYSICS) if "without" not in arm and arm != REFERENCE]


def gains_table(results: Results) -> Table:
    """Plateaus and bursts gained and lost, cell by cell, where means hide that some gain what others lose."""
    runs = {(r.arm, r.seed): r.measured["by cell"] for r in results.runs if "by cell" in r.measured}
    counted = list(next(iter(runs.values()), {}))
    rows = []
    for arm in _settings(results):
        row = [arm]
        for what in counted:
            change = [np.subtract(runs[arm, seed][what], runs[REFERENCE, seed][what]) for seed in results.config.seeds]
            gained, lost = (
                np.mean([part.clip(min=0).mean() for part in parts]) for parts in (change, [-c for c in change])
            )
            row.append(f"+{gained:.2g}, -{lost:.2g}")
        rows.append(row)
    return Table(
        caption=(
            "Gained and lost: the mean over cells of how much more often those do it that do it more often, and of how much less often those that do it less, "
            "than as trained in torch [Hz]; mean over seeds. What noise alone moves stands in the rows of noise."
        ),
        columns=["Setting", *counted],
        rows=rows,
    )


def fidelity_table(results: Results, lesions: Sequence[str], fine: str) -> Table:
    """The effect of every lesion in torch at the trained step, in Brian2 at a fine one, and their difference."""
    rows = []
    for lesion in lesions:
        for what in ("all", *COMPARED):
            torch, brian = (lesion_effect(results, lesion, base, what) for base in (REFERENCE, f"dt {fine}"))
            rows.append(
                [
                    f"{lesion}: {NAMED[what]}",
                    shown(torch, 2),
                    shown(brian, 2),
                    gap(brian, torch),
                    _agreement(torch, brian),
                ]
            )
    return Table(
        caption=f"The effect of lesions, lesioned minus intact: trained step in torch against {fine} in Brian2; mean and 95 % interval over seeds.",
        columns=["Without: change of", "torch, 1 ms", f"Brian2, {fine}", "Difference", "Agreement"],
        rows=rows,
    )


def lesion_effect(results: Results, lesion: str, base: str, what: str) -> list[float]:
    """Lesioned minus intact, one number per seed."""
    pair = (results.values(BIOPHYSICS, f"{base}, without {lesion}", what), results.values(BIOPHYSICS, base, what))
    return [a - b for a, b in zip(*pair, strict=True)]


def _change(results: Results, arm: str, base: str, what: str) -> str:
    return gap(results.values(BIOPHYSICS, arm, what), results.values(BIOPHYSICS, base, what))


def _agreement(a: Sequence[float], b: Sequence[float]) -> str:
    if not np.isfinite([*a, *b]).all():
        return "-"
    signs = [_seen(x) for x in (a, b)]
    if signs[0] == signs[1] == 0:
        return "no effect seen in either"
    return "same sign" if signs[0] == signs[1] else "opposite" if signs[0] == -signs[1] else "seen in one"


def _seen(values: Sequence[float]) -> int:
    """1 or -1 where the interval over networks lies on one side of 0, else 0."""
    found = estimate(values)
    return int(found.low > 0) - int(found.high < 0)
