"""What the report of the column's experiment says of numbers."""

from __future__ import annotations

from typing import Any

import pytest

from cortexsnn.experiments.arms import Results, Run
from cortexsnn.experiments.column import tables
from cortexsnn.experiments.column.biophysics import BIOPHYSICS, REFERENCE
from cortexsnn.experiments.column.config import Biophysics, ColumnConfig, Effect
from cortexsnn.experiments.column.effects import PARADIGMS, TRAINED
from cortexsnn.experiments.column.training import PREDICTION
from cortexsnn.experiments.config import ArmsConfig

HIGHER, LOWER, UNCLEAR = [1.0, 1.1, 0.9, 1.05], [-1.0, -1.1, -0.9, -1.05], [1.0, -1.1, 0.9, -1.05]


def effect(**fields: Any) -> Effect:
    given = {"name": "x", "first": "a", "second": "b", "cells": "L23E", "sign": 1, "reference": "r", "rival": "o"}
    return Effect(**{**given, **fields})


@pytest.mark.parametrize(
    ("values", "fields", "said"),
    [
        (HIGHER, {}, "as expected"), (LOWER, {}, "the opposite"), (UNCLEAR, {}, "not seen"), (LOWER, {"sign": -1}, "as expected"),
        (HIGHER, {"sign": -1}, "the opposite"), ([float("nan"), 1.0], {}, "not defined in every network"),
        (HIGHER, {"sign": 0, "bound": 2.0}, "as expected"), (HIGHER, {"sign": 0, "bound": 0.5}, "a change where little is expected"),
        (LOWER, {"sign": 0, "bound": 0.5}, "a change where little is expected"), (UNCLEAR, {"sign": 0, "bound": 1.0}, "inconclusive"),
    ],
)  # fmt: skip
def test_a_verdict_is_about_the_interval_over_networks(values: list[float], fields: dict[str, Any], said: str) -> None:
    assert tables.verdict(values, effect(**fields)) == said


@pytest.mark.parametrize(
    "fields",
    [
        {"sign": 0}, {"bound": 1.0}, {"select": ("a", "b"), "compartment": "apical"}, {"select": ("a", "b"), "minus": ("a", "b")},
        {"cells": "L6E"}, {"cells": "L23SOM", "compartment": "apical"}, {"cells": "L4E", "compartment": "apical"},
    ],
)  # fmt: skip
def test_effects_that_mean_nothing_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        effect(**fields)


def test_the_table_of_effects_says_the_difference_to_another_network_and_its_size() -> None:
    effects = [
        effect(name="plain"),
        effect(name="above", against="no SOM"),
        effect(name="apical", compartment="apical"),
        effect(name="beyond", minus=("orthogonal", "annulus"), late=True),
        effect(name="elsewhere", within="no SOM", against="untrained"),
        effect(name="untold", against="shuffled"),
    ]
    config = _config({"trials": 4, "effects": [e.model_dump() for e in effects]})
    results = Results("x", config)
    found = {TRAINED: [3.0, 3.1, 2.9], "no SOM": [1.0, 1.1, 0.9], "untrained": [0.0, 0.1, -0.1]}
    results.runs = [
        Run(PARADIGMS, arm, seed, {"effects": {f"surround: {e.name}": {"difference": v, "relative": v / 10} for e in effects}})
        for arm, values in found.items() for seed, v in enumerate(values)
    ]  # fmt: skip
    undefined = results.runs[-1].measured["effects"]["surround: apical"]  # untrained, the last seed
    undefined["difference"] = float("nan")
    table = tables.effects_table(results, config, ["untrained"])
    rows = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert rows["surround: plain"]["Found"].startswith("3 (2.8")
    assert rows["surround: plain"]["Relative"] == "+30%"
    assert rows["surround: plain"]["untrained"] == "+0"
    assert rows["surround: apical"]["untrained"] == "-"
    assert rows["surround: beyond (late)"]["Contrast"] == "same minus centre, less orthogonal minus annulus"
    assert rows["surround: elsewhere"]["Contrast"] == "same minus centre, in no SOM, above untrained"
    assert rows["surround: elsewhere"]["Found"].startswith("1 (1 to 1)")
    assert not any("untold" in name for name in rows)
    assert "were not trained: surround: untold" in table.caption
    assert rows["surround: above"]["Found"].startswith("2 (2 to 2)")  # paired: every network minus itself without SOM
    assert rows["surround: above"]["Contrast"] == "same minus centre, above no SOM"
    assert rows["surround: apical"]["Found"].endswith("mV")
    assert all(row["Verdict"] == "as expected" for row in rows.values())


def _config(surround: dict[str, Any]) -> ColumnConfig:
    surround["effects"] = [{**e, "first": "same", "second": "centre"} for e in surround["effects"]]
    config = ColumnConfig(
        seeds=[0, 1, 2],
        training={"ranges": {}},
        arms=["apical feedback"],
        variants=["untrained", "no SOM"],
        lesions=[],
        paradigms={"surround": surround},
    )  # type: ignore[arg-type]
    return config


def test_spikes_beside_are_of_the_seed_that_is_furthest_off() -> None:
    results = Results("x", ArmsConfig(seeds=[0, 1]))
    results.runs = [
        Run(PREDICTION, a, s, {"spikes": v})
        for a, vs in {"p": [102.0, 95.0], "q": [100.0, 100.0]}.items()
        for s, v in enumerate(vs)
    ]
    assert tables.spikes_beside(results, "p", "q") == pytest.approx(-0.05)


def results_of(effects: dict[str, list[float]]) -> Results:
    """Runs of simulations: arm -> error per seed."""
    results = Results("x", ArmsConfig(seeds=[0, 1, 2, 3]))
    results.runs = [
        Run(BIOPHYSICS, arm, seed, {"all": v, **dict.fromkeys(tables.COMPARED, v)})
        for arm, values in effects.items()
        for seed, v in enumerate(values)
    ]
    return results


def test_a_lesion_agrees_where_both_engines_see_the_same_sign() -> None:
    intact = [0.1, 0.2, 0.3, 0.4]

    def moved(by: list[float]) -> list[float]:
        return [a + b for a, b in zip(intact, by, strict=True)]

    found: dict[str, Any] = {
        REFERENCE: intact, "dt 0.1 ms": intact,
        f"{REFERENCE}, without PV": moved(HIGHER), "dt 0.1 ms, without PV": moved(HIGHER),
        f"{REFERENCE}, without SOM": moved(HIGHER), "dt 0.1 ms, without SOM": moved(LOWER),
        f"{REFERENCE}, without VIP": moved(HIGHER), "dt 0.1 ms, without VIP": moved(UNCLEAR),
        f"{REFERENCE}, without command": moved(UNCLEAR), "dt 0.1 ms, without command": moved(UNCLEAR),
    }  # fmt: skip
    table = tables.fidelity_table(results_of(found), ["PV", "SOM", "VIP", "command"], "0.1 ms")
    said = {row[0]: row[-1] for row in table.rows}
    assert said["PV: error"] == "same sign"
    assert said["SOM: error"] == "opposite"
    assert said["VIP: error"] == "seen in one"
    assert said["command: error"] == "no effect seen in either"
    assert next(row for row in table.rows if row[0] == "PV: error")[3] == "+0 (+0 to +0)"


def test_what_some_cells_gain_and_others_lose_is_seen_where_the_mean_stays() -> None:
    results = Results("x", ArmsConfig(seeds=[0, 1]))
    found = {REFERENCE: [1.0, 1.0, 2.0], "dt 0.1 ms": [1.0, 1.6, 1.4]}
    results.runs = [
        Run(BIOPHYSICS, arm, s, {"by cell": {"plateaus L5E": v}}) for arm, v in found.items() for s in (0, 1)
    ]
    results.runs.append(Run(BIOPHYSICS, f"{REFERENCE}, without PV", 0, {}))
    assert tables.gains_table(results).rows == [["dt 0.1 ms", "+0.2, -0.2"]]


def test_an_integrator_is_set_against_the_same_step() -> None:
    at = {
        REFERENCE: [1.0, 2.0, 3.0, 4.0],
        "dt 0.1 ms": [2.0, 3.0, 4.0, 5.0],
        "methods rk4": [2.0, 3.0, 4.0, 5.0],
    }
    rows = {row[0]: row for row in tables.settings_table(results_of(at), Biophysics(fine="0.1 ms")).rows}
    assert rows["dt 0.1 ms"][1].startswith("+1")
    assert rows["methods rk4"][1].startswith("+0")


def test_what_is_not_defined_in_a_network_is_a_dash() -> None:
    assert tables.shown([1.0, float("nan")]) == "-"
    assert tables.gap([1.0, float("nan")], [1.0, 2.0]) == "-"
    assert tables.shown([1.0, 1.0, 1.0]) == "1 (1 to 1)"


def test_error_cells_of_other_networks_stand_beside_the_trained_ones_paired() -> None:
    none = {
        "n": 0.0,
        "n_expected": 0.0,
        "p": 1.0,
        "n_independent": 0.0,
        "p_independent": 1.0,
        "measured": float("nan"),
        "confirmed": 0.0,
    }
    results = Results("x", _config({"trials": 4, "effects": []}))
    counts = {TRAINED: [6.0, 8.0, 10.0], "untrained": [1.0, 3.0, 5.0]}
    results.runs = [
        Run(PARADIGMS, variant, seed, {"cells": {"L23E": {"n_cells": 50, "positive": none, "negative": none | {"n": n, "p": 0.01}}}})
        for variant, found in counts.items() for seed, n in enumerate(found)
    ]  # fmt: skip
    table = tables.cells_table(results, results.config, list(counts))  # type: ignore[arg-type]
    rows = {row[0]: row for row in table.rows}
    assert rows["trained: L23E, negative"][1] == "24 of 150"
    assert rows["trained: L23E, negative"][5] == "3 of 3"
    assert rows["trained: L23E, negative"][-1] == ""
    assert rows["untrained: L23E, negative"][-1] == "+10 (+10 to +10)"
    assert rows["untrained: L23E, positive"][-1] == "+0 (+0 to +0)"
