"""Effects in recordings in which they were planted, the networks that they are set against, and what arms have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import xarray as xr

import cortexsnn as cx
from cortexsnn.analysis import from_times
from cortexsnn.experiments.arms import Results
from cortexsnn.experiments.column import training
from cortexsnn.experiments.column.config import CellCriteria, ColumnConfig, Effect, Lesion, Variant
from cortexsnn.experiments.column.effects import ARMS, COURSES, LESIONS, courses, decay, error_cells, over_repeats
from cortexsnn.experiments.column.networks import FEEDBACK, NONE, PLAIN, SOMA, plain
from cortexsnn.experiments.column.present import Shown, _lowest, difference
from cortexsnn.experiments.column.training import (
    PREDICTION,
    UNTRAINED,
    Task,
    _batches,
    identity_of,
    network_file,
    start,
    train,
)
from cortexsnn.train.data import digits

N_CELLS, N_TRIALS, STEPS = 30, 80, 300


def shown(rates: dict[str, np.ndarray]) -> Shown:
    """Poisson spikes in the last 200 ms of trials, at a rate [Hz] per condition and cell."""
    random = np.random.default_rng(0)
    labels = np.repeat(list(rates), N_TRIALS)
    spikes = np.concatenate([random.random((N_TRIALS, STEPS, N_CELLS)) < r / 1000 for r in rates.values()])
    spikes[:, :100] = random.random(spikes[:, :100].shape) < 0.1  # before the window, the same in all
    trial, step, neuron = np.nonzero(spikes)
    recording = from_times(
        {"L23E": (step.astype(float), neuron, trial)}, dt_ms=1.0, duration_ms=float(STEPS), neurons={"L23E": range(N_CELLS)}, trials=range(labels.size),
    )  # fmt: skip
    return Shown(recording, labels, 100.0, 300.0, ())


def effect(**fields: Any) -> Effect:
    given = {
        "name": "x",
        "first": "same",
        "second": "centre",
        "cells": "L23E",
        "sign": -1,
        "reference": "r",
        "rival": "o",
    }
    return Effect(**{**given, **fields})


def test_a_difference_is_of_the_first_condition_to_the_second_in_the_window() -> None:
    found = difference(shown({"centre": np.full(N_CELLS, 20.0), "same": np.full(N_CELLS, 15.0)}), effect())
    assert found["difference"] == pytest.approx(-5.0, abs=0.8)
    assert found["relative"] == pytest.approx(-0.25, abs=0.04)
    assert found["contrast"] < -0.3


def test_only_cells_that_prefer_a_condition_are_measured_and_on_other_trials() -> None:
    """Ten cells prefer the centre and fall with a surround; the others prefer the annulus, and rise."""
    prefer = np.arange(N_CELLS) < 10
    rates = {
        "centre": np.where(prefer, 40.0, 5.0), "same": np.where(prefer, 30.0, 45.0), "annulus": np.where(prefer, 5.0, 40.0),
    }  # fmt: skip
    recorded = shown(rates)
    assert difference(recorded, effect())["difference"] > 15
    found = difference(recorded, effect(select=("centre", "annulus")))
    assert found["cells"] == 10
    assert found["difference"] == pytest.approx(-10.0, abs=2.0)


def test_what_two_differences_have_in_common_is_no_part_of_an_effect() -> None:
    """A command that adds 10 Hz whether frames move or not is no mismatch; one that adds 15 Hz where they halt is one by 5."""
    at = {"replay": 10.0, "frames only": 30.0, "match": 40.0}
    four = {"first": "halt", "second": "replay", "minus": ("match", "frames only")}
    for halt, wanted in ((20.0, 0.0), (25.0, 5.0)):
        recorded = shown({label: np.full(N_CELLS, rate) for label, rate in (at | {"halt": halt}).items()})
        found = difference(recorded, effect(**four))
        assert found["difference"] == pytest.approx(wanted, abs=1.2)
        assert np.isnan(found["relative"])
        assert abs(found["contrast"]) < 0.2 or wanted


def test_a_fall_over_repeats_has_a_time_constant_and_a_level_none() -> None:
    times, noise = np.arange(8) * 1000.0 + 200, np.random.default_rng(1).normal(0, 0.02, 8)
    assert decay(times, 4 + 3 * np.exp(-np.arange(8) / 1.4) + noise) == pytest.approx(1.4, rel=0.1)
    assert np.isnan(decay(times, np.full(8, 4.0)))
    assert np.isnan(decay(times, 4 - 3 * np.exp(-np.arange(8) / 1.4)))
    assert np.isnan(decay(times, np.zeros(8)))
    assert np.isnan(decay(times[:3], [5.0, 2.0, 1.0]))  # any three can be fitted


def test_a_hierarchy_is_seen_by_the_names_of_its_lower_column() -> None:
    spike = {name: (np.array([float(k)]), np.array([0]), np.array([0])) for k, name in enumerate(("c1_L23E", "L23E"))}
    parts = {name: {name: given} for name, given in spike.items()}
    a, b = (
        from_times(given, dt_ms=1.0, duration_ms=10.0, neurons={name: range(2)}, trials=range(1)) for name, given in parts.items()
    )  # fmt: skip
    found = _lowest(a)
    assert list(found.children) == list(b.children)
    assert found.attrs["dt_ms"] == 1.0
    assert Shown(found, np.array(["x"]), 0.0, 10.0, ()).rates("L23E").tolist() == [[100.0, 0.0]]


def test_what_is_kept_of_a_training_is_of_its_circuit() -> None:
    """Of another size, arm or hierarchy it is another training; what is trained on is known by what it began as."""
    given: dict[str, Any] = {
        "seeds": [3, 4], "cells": 60, "hierarchy": 60, "training": {"ranges": {}}, "arms": [FEEDBACK, SOMA], "variants": [], "lesions": [],
    }  # fmt: skip
    config = ColumnConfig(**given)
    hashes = {arm: identity_of(Task(config, Path(), arm, 3))["circuit"] for arm in (FEEDBACK, SOMA, "hierarchy")}
    assert len(set(hashes.values())) == 3
    again = identity_of(Task(config, Path(), "hierarchy, retrained", 3, "nothing", "hierarchy", 100.0))
    assert again["circuit"] == hashes["hierarchy"]


def test_selection_does_not_make_an_effect_where_there_is_none() -> None:
    """Cells that happen to fire more on half of the trials do not on the other half."""
    rates = {label: np.full(N_CELLS, 20.0) for label in ("centre", "same", "annulus")}
    noisy = shown(rates)
    few = {label: np.flatnonzero(noisy.labels == label)[:8] for label in rates}
    kept = np.concatenate(list(few.values()))
    part = Shown(noisy.recording.isel(trial=kept), noisy.labels[kept], 100.0, 300.0, ())
    found = difference(part, effect(first="annulus", select=("centre", "annulus")))
    assert found["cells"] > 3
    assert abs(found["difference"]) < 5  # selected by g > 0.5, which is more than 5 Hz here
    none = difference(noisy, effect(select=("centre", "annulus")))
    assert none["cells"] == 0
    assert np.isnan(none["difference"])


def test_an_apical_effect_is_of_the_potential_in_the_window() -> None:
    labels = np.array(["same", "centre", "same", "centre"])
    v = np.full((4, STEPS, 1), -20.0)  # outside of the window a plateau, the same in all
    v[:, 100:200] = np.where(labels == "same", -60.0, -66.0)[:, None, None] + np.array([0, 0, 1, 1])[:, None, None]
    node = xr.Dataset({"mean(Vd)": (("step", "trial", "probe"), v.transpose(1, 0, 2))})
    recorded = Shown(xr.DataTree.from_dict({"L23E": node}), labels, 100.0, 200.0, ())
    np.testing.assert_allclose(recorded.apical("L23E"), [[-60], [-66], [-59], [-65]])
    found = difference(recorded, effect(compartment="apical"))
    assert found["difference"] == pytest.approx(6.0)
    assert found["relative"] == pytest.approx(6.0 / 65.5)


def test_error_cells_are_counted_by_the_roles_of_conditions_and_in_the_window() -> None:
    rates = {label: np.full(N_CELLS, 20.0) for label in ("off", "command only", "frames only", "match")}
    rates["command only"][:4] = 80.0
    rates["frames only"][4:10] = 80.0
    criteria = CellCriteria(flat=0.6, permutations=99)
    found = error_cells(shown(rates), criteria, "L23E", 0)
    assert found["n_cells"] == N_CELLS
    assert (found["negative"]["n"], found["positive"]["n"]) == pytest.approx((4, 6), abs=1)
    assert found["negative"]["measured"] > 1
    assert max(found["negative"]["p"], found["positive"]["p"]) <= 0.05
    turned = CellCriteria(over="frames only", under="command only", flat=0.6, permutations=99)
    assert error_cells(shown(rates), turned, "L23E", 0)["negative"]["n"] == found["positive"]["n"]
    before = shown(rates)._replace(start_ms=0.0, stop_ms=100.0)  # where all conditions are alike
    assert error_cells(before, criteria, "L23E", 0)["negative"]["n"] == 0


def test_rates_over_time_and_over_repeats_are_of_each_condition() -> None:
    """Two cells of L23E fire at known times, in trials of two conditions in turn; L5E in one bin; the others never."""
    labels, times = np.array(["b", "a", "b", "a"]), {"a": (12.0, 62.0, 87.0), "b": (12.0,)}
    fired = [(ms, cell, trial) for trial, label in enumerate(labels) for ms in times[label] for cell in range(2)]
    late = [(80.0, 0, trial) for trial in range(4)]
    columns = {"L23E": np.array(fired).T, "L5E": np.array(late).T}
    silent = (np.array([]), np.array([], dtype=int), np.array([], dtype=int))
    recording = from_times(
        {c: (columns[c][0], *columns[c][1:].astype(int)) if c in columns else silent for c in COURSES}, dt_ms=1.0, duration_ms=100.0,
        neurons={c: range(2) for c in COURSES}, trials=range(4),
    )  # fmt: skip
    recorded = Shown(recording, labels, 50.0, 100.0, ((0.0, 50.0), (50.0, 100.0)))
    found = courses(recorded, 25.0)
    assert (found["window"], found["bin_ms"]) == ([50.0, 100.0], 25.0)
    assert found["rates"]["L23E"] == {"a": [40, 0, 40, 40], "b": [40, 0, 0, 0]}
    assert found["rates"]["L5E"]["a"] == [0, 0, 0, 20]
    assert found["rates"]["L23VIP"]["a"] == [0, 0, 0, 0]
    assert over_repeats(recorded) == {"a": [20, 40], "b": [20, 0]}


def test_every_variant_is_another_training_or_a_lesion() -> None:
    assert set(get_args(Variant)) == {UNTRAINED, *ARMS, *LESIONS}
    assert set(LESIONS.values()) == {*get_args(Lesion), "upper column"}


CONFIG = ColumnConfig(
    seeds=[3, 4],
    cells=60,
    training={"ranges": {}, "batch": 4},  # type: ignore[arg-type]
    arms=[FEEDBACK, SOMA, NONE],
    variants=[],
    lesions=[],
)


def test_what_was_kept_of_a_training_is_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A number that is not defined in a network is not defined either when the network is found again."""
    taught = []

    def measured(task: Task, place: Path) -> dict[str, Any]:
        taught.append(task)
        return {"occluded": float("nan"), "all": 0.25, "loss": [0.5, 0.25]}

    monkeypatch.setattr(training, "_trained", measured)
    results = Results("x", CONFIG)
    for _ in range(2):
        results.runs = [train(Task(CONFIG, tmp_path, FEEDBACK, seed)) for seed in CONFIG.seeds]
        assert np.isnan(results.values(PREDICTION, FEEDBACK, "occluded")).all()
        assert results.values(PREDICTION, FEEDBACK, "all") == [0.25, 0.25]
        assert results.runs[0].measured["loss"] == [0.5, 0.25]
    assert len(taught) == len(CONFIG.seeds)


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"identity": {}, "measured": null}', "\xff"])
def test_a_damaged_record_is_named(text: str, tmp_path: Path) -> None:
    record = network_file(tmp_path, FEEDBACK, 3).with_suffix(".json")
    record.write_text(text, encoding="latin-1")
    with pytest.raises(cx.InputError, match=rf"networks: '.*{record.name}' is damaged: expected .*; remove it"):
        train(Task(CONFIG, tmp_path, FEEDBACK, 3))


def test_all_arms_are_taught_the_same_sequences_with_the_same_spikes() -> None:
    config = CONFIG
    taught = {}
    for arm in (FEEDBACK, SOMA, NONE, PLAIN):
        circuit = plain(4000, config.frame_code) if arm == PLAIN else start(config, arm)
        draw = _batches(Task(config, Path(), arm, 3), circuit, config.world_of(), digits(3), 4)
        taught[arm] = [draw() for _ in range(3)]
        assert set(taught[arm][0][0]) == set(circuit.inputs)
    for arm, batches in taught.items():
        for (inputs, targets), (own, wanted) in zip(batches, taught[FEEDBACK], strict=True):
            np.testing.assert_array_equal(targets, wanted)
            for name in set(inputs) & set(own):
                np.testing.assert_array_equal(inputs[name], own[name], err_msg=f"{arm}: {name}")
