"""What the report of the column's experiment says of numbers."""

from __future__ import annotations

from typing import Any

import pytest

from cortexsnn.experiments.arms import Results, Run
from cortexsnn.experiments.column import tables
from cortexsnn.experiments.column.biophysics import BIOPHYSICS, REFERENCE
from cortexsnn.experiments.config import ArmsConfig

HIGHER, LOWER, UNCLEAR = [1.0, 1.1, 0.9, 1.05], [-1.0, -1.1, -0.9, -1.05], [1.0, -1.1, 0.9, -1.05]


@pytest.mark.parametrize(
    ("values", "sign", "said"),
    [
        (HIGHER, 1, "as expected"), (LOWER, 1, "the opposite"), (UNCLEAR, 1, "not seen"), (LOWER, -1, "as expected"), (HIGHER, -1, "the opposite"),
        (UNCLEAR, 0, "nothing seen, as expected"), (HIGHER, 0, "a change where little is expected"),
    ],
)  # fmt: skip
def test_a_verdict_is_about_the_interval_over_networks(values: list[float], sign: int, said: str) -> None:
    assert tables.verdict(values, sign) == said


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


def test_what_is_not_defined_in_a_network_is_a_dash() -> None:
    assert tables.shown([1.0, float("nan")]) == "-"
    assert tables.gap([1.0, float("nan")], [1.0, 2.0]) == "-"
    assert tables.shown([1.0, 1.0, 1.0]) == "1 (1 to 1)"
