"""Effects in recordings in which they were planted, the networks that they are set against, and what arms have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from cortexsnn.analysis import from_times
from cortexsnn.experiments.column.config import ColumnConfig, Effect, Lesion, Variant
from cortexsnn.experiments.column.effects import ARMS, LESIONS, decay
from cortexsnn.experiments.column.networks import FEEDBACK, NONE, PLAIN, SOMA, plain
from cortexsnn.experiments.column.present import Shown, _lowest, difference
from cortexsnn.experiments.column.training import UNTRAINED, Task, _batches, identity_of, start
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


def test_every_variant_is_another_training_or_a_lesion() -> None:
    assert set(get_args(Variant)) == {UNTRAINED, *ARMS, *LESIONS}
    assert set(LESIONS.values()) == {*get_args(Lesion), "upper column"}


def test_all_arms_are_taught_the_same_sequences_with_the_same_spikes() -> None:
    config = ColumnConfig(
        seeds=[3, 4],
        cells=60,
        training={"ranges": {}, "batch": 4},
        arms=[FEEDBACK, SOMA, NONE],
        variants=[],
        lesions=[],
    )  # type: ignore[arg-type]
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
