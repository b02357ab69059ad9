"""Experiments with arms in miniature: they run, pair their seeds, and write what they found in every form."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

import cortexsnn as cx
from cortexsnn import cli
from cortexsnn.experiments.config import ArmsConfig, CompetitionConfig, SleepConfig
from cortexsnn.experiments.gating import PERTURBATIONS

SMALL = {"seeds": [0, 1], "workers": 1}
FAST = {"epochs": 1, "batch": 128}
CONFIGS: dict[str, dict[str, Any]] = {
    "depth": {**SMALL, "depths": [2], "width": 16, "n_steps": 2, "learning_rates": [0.05, 0.1], "training": {**FAST, "optimiser": "sgd"}},
    "self_prediction": {**SMALL, "tasks": ["rows"], "neurons": ["lif"], "hidden": [8], "training": FAST},
    "gating": {
        **SMALL, "hidden": [16], "n_steps": 5, "repeats": 1, "training": FAST,
        "strengths": {"inserted": [0.1], "deleted": [0.5], "jitter": [1], "channels": [0.2]},
    },
    "dynamics": {**SMALL, "hidden": [8], "degrees": [1, 3], "training": FAST},
    "competition": {**SMALL, "thresholds": [0.06], "epochs": 1, "n_steps": 100, "features": 4},
    "thresholds": {**SMALL, "hidden": [12], "starts": [0.5], "n_steps": 2, "training": FAST},
    "early_decisions": {**SMALL, "hidden": [12], "n_steps": 6, "epochs": 1},
    "sleep": {
        **SMALL, "n_excitatory": 10, "n_inhibitory": 4, "images": 4, "n_steps": 20, "periods": 2, "fractions": [0.5], "engine": "numpy", "training": FAST,
    },
    "rate_gradient": {**SMALL, "hidden": [12], "steps": [2, 4], "memory_steps": [2, 4], "networks": 2, "training": FAST},
    "predictive_column": {
        **SMALL, "cells": 60, "arms": ["apical feedback", "no apical feedback"], "retrain": 1, "held_out": 8, "engine": "torch",
        "variants": ["untrained", "no short-term plasticity"], "lesions": ["SOM", "apical feedback"],
        "training": {"updates": 1, "batch": 4, "ranges": {"E": [0.5, 12]}}, "world": {"frames": 4},
        "paradigms": {
            "mismatch": {
                "trials": 8, "before": 50, "halt": 100,
                "effects": [{"name": "mismatch", "first": "halt", "second": "replay", "cells": "L23E", "sign": 1, "reference": "none", "rival": "none"}],
            },
            "repetition": {
                "trials": 4, "length": 2, "repeats": 3, "shown": 50,
                "effects": [{"name": "apical", "first": "repeated", "second": "control", "cells": "L23E", "compartment": "apical", "sign": -1, "reference": "none", "rival": "none"}],
            },
            "surround": {
                "trials": 8, "shown": 50,
                "effects": [{"name": "surround", "first": "same", "second": "centre", "cells": "L4E", "select": ["centre", "annulus"], "sign": -1, "reference": "none", "rival": "none"}],
            },
        },
        "biophysics": {"sequences": 4, "dt": ["0.5 ms"], "weight_bits": [4], "synaptic_noise": [0.5], "fine": "0.5 ms"},
        "proof": {"engines": ["numpy", "torch"], "sequences": 1, "frames": 4, "minimum_spikes": 100}, "local": {"updates": 1, "sequences": 2, "fitted": 20},
    },
    "fi_curves": {"points": 300, "steps": 200},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_an_experiment_in_miniature(name: str, tmp_path: Path) -> None:
    folder = cli.run({"name": name, "output": str(tmp_path), **CONFIGS[name]}, "").folder
    found = json.loads((folder / "results.json").read_text())
    assert found["command"] == f"cortexsnn experiment={name}"
    assert ("training" in found["config"]) == ("training" in CONFIGS[name])  # no field that nothing reads
    assert (folder / "figure-1.png").read_bytes().startswith(b"\x89PNG")
    page, report = (folder / "results.md").read_text(), (folder / "report.html").read_text()
    for row in found["table"]["rows"]:
        assert f"| {row[0]} |" in page
        assert row[0].replace("'", "&#39;") in report
    if name != "fi_curves":
        arms = {(r["setting"], r["arm"]) for r in found["runs"]}
        assert {(r["setting"], r["arm"], r["seed"]) for r in found["runs"]} == {(*a, s) for a in arms for s in (0, 1)}
        assert all(0 <= r.get("accuracy", 0) <= 1 for r in found["runs"])


def test_the_same_seed_gives_the_same_network(tmp_path: Path) -> None:
    runs = [
        json.loads((cli.run({"name": "dynamics", "output": str(tmp_path), **CONFIGS["dynamics"]}, "").folder / "results.json").read_text())
        for _ in range(2)
    ]  # fmt: skip
    for a, b in zip(*(r["runs"] for r in runs), strict=True):
        assert {k: v for k, v in a.items() if k != "cpu_seconds"} == {k: v for k, v in b.items() if k != "cpu_seconds"}


@pytest.mark.parametrize("kind", PERTURBATIONS)
def test_a_perturbation_does_what_it_says(kind: str) -> None:
    random = np.random.default_rng(0)
    spikes = (random.random((50, 20, 64)) < 0.2).astype(np.float32)
    same = PERTURBATIONS[kind](spikes, 0.0, np.random.default_rng(1))
    np.testing.assert_array_equal(same, spikes)
    strength = 2.0 if kind == "jitter" else 0.3
    found = PERTURBATIONS[kind](spikes, strength, np.random.default_rng(1))
    assert set(np.unique(found)) <= {0, 1}
    share = found.sum() / spikes.sum()
    if kind == "inserted":
        assert (found >= spikes).all()
        assert share == pytest.approx(1 + 0.3 * 0.8 / 0.2, rel=0.03)
    elif kind == "deleted":
        assert (found <= spikes).all()
        assert share == pytest.approx(0.7, rel=0.03)
    elif kind == "jitter":
        moved = found.sum(axis=1) - spikes.sum(axis=1)
        assert (moved <= 0).all()  # spikes that meet in one bin are one
        assert (found != spikes).any()
    else:
        changed = (found != spikes).any(axis=1).mean()
        assert changed == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize(("name", "kind"), [("sleep", SleepConfig), ("competition", CompetitionConfig)])
def test_every_setting_can_be_changed_on_the_command_line(name: str, kind: type[ArmsConfig]) -> None:
    """Hydra changes keys that the preset has; those of the training are not all in it."""
    preset = YAML(typ="safe").load(files("cortexsnn.configs") / "experiment" / f"{name}.yaml")
    assert {*preset, "training", "command"} >= {*kind.model_fields}


def test_a_single_seed_has_no_interval(tmp_path: Path) -> None:
    with pytest.raises(cx.InputError, match="seeds"):
        cli.run({"name": "depth", "output": str(tmp_path), **CONFIGS["depth"], "seeds": [0]}, "")


def test_too_few_points_for_a_fit_are_named(tmp_path: Path) -> None:
    with pytest.raises(cx.InputError, match=r"points: .*; 40 are too few"):
        cli.run({"name": "fi_curves", "output": str(tmp_path), "points": 40, "steps": 50}, "")


BAD: list[tuple[str, dict[str, Any], list[str]]] = [
    ("gating", {"strengths": {"inserted": [2], "deleted": [-1], "jitter": [-1], "channels": [3], "foo": [1]}},
     ["strengths.inserted.0", "strengths.deleted.0", "strengths.jitter.0", "strengths.channels.0", "strengths.foo: unknown key 'foo'; known: inserted"]),
    ("self_prediction", {"neurons": ["bar"], "tasks": ["foo"], "seeds": [1, 1], "hidden": []},
     ["neurons.0: unknown piece 'bar'", "tasks.0", "seeds: expected different values, got [1, 1]", "hidden"]),
    ("dynamics", {"degrees": [0], "hidden": [], "training": {"surrogate": "zz"}},
     ["degrees.0", "hidden", "training.surrogate: surrogate: unknown surrogate 'zz'"]),
    ("depth", {"width": 2, "depths": []}, ["width", "depths"]),
    ("thresholds", {"starts": [0.5, 0.501]}, ["starts: expected different values, got ['0.46', '0.46']"]),
    ("rate_gradient", {"steps": [2, 4, 2], "leaks": [1.0]}, ["steps: expected different values, got [2, 4, 2]", "leaks.0"]),
    ("early_decisions", {"training": {}}, ["training: unknown key 'training'"]),
    ("competition", {"thresholds": [float("inf"), 1.5]}, ["thresholds.0", "thresholds.1"]),
    ("predictive_column", {"arms": ["no apical feedback"], "lesions": ["SOM", "XYZ"], "world": {"window": 9}}, ["lesions.1", "world.window"]),
    ("predictive_column", {"networks": "/proc/nothing", "biophysics": {"delay_jitter": ["-1 ms"]}},
     ["networks: cannot write to '/proc/nothing'", "biophysics.delay_jitter: expected a time of 0 or more, got '-1 ms'"]),
    ("predictive_column", {"proof": {"engines": ["numpy", "numpy"]}}, ["proof.engines: expected different values"]),
    ("predictive_column", {"variants": ["shuffled"]}, ["arms: expected shuffled too"]),
    ("predictive_column", {"hierarchy": 20_000, "paradigms": {
        "omission": {"trials": 4, "before": 2, "effects": []},
        "surround": {"trials": 4, "effects": [{
            "name": "x", "first": "same", "second": "centre", "cells": "L23SOM", "compartment": "apical", "sign": 1, "reference": "none", "rival": "none",
        }]},
     }},
     ["hierarchy: input should be less than or equal to 10000", "paradigms.omission.before",
      "paradigms.surround.effects.0: x: L23SOM has no apical compartment; expected cells: L23E or L5E"]),
    ("predictive_column", {"world": {"frames": 2, "window": 3}, "paradigms": {
        "omission": {"trials": 4, "pause": 50, "effects": []}, "surround": {"trials": 4, "effects": []},
     }},
     ["world: the primary outcome is the error on occluded frames, and the 8 held-out sequences of seed 0, 1 have none",
      "paradigms.omission.pause: expected two frames of 50 ms or more", "paradigms.surround: expected world.window of 4 or more"]),
    ("predictive_column", {"world": {"frames": 4, "occluded": 0.0}}, ["world: the primary outcome", "occluded 0, cover 0.5"]),
    ("predictive_column", {"world": {"frames": 4, "cover": 0.1}}, ["world: the primary outcome", "cover 0.1"]),
    ("predictive_column", {
        "code": {"ms": 40}, "engine": "nest", "biophysics": {"dt": ["0.3 ms"], "methods": ["magic"], "fine": "0.1 s", "delay_jitter": ["1 mV"]},
        "training": {"surrogate": "zz", "ranges": {}},
     },
     ["training.surrogate", "settings.truncate: expected whole frames of 40 steps, got 100", "engine: unknown engine 'nest'",
      "paradigms.mismatch.before: expected a whole number of frames of 40 ms, got 50", "biophysics.dt: dt: 1 ms is no multiple of dt = 0.3 ms", "biophysics.methods", "biophysics.delay_jitter"]),
    ("sleep", {"images": 1145}, ["images: a period awake shows each image once at most, and 1144 are there to train, got 1145"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes", "said"), BAD, ids=[f"{name}-{k}" for k, (name, *_) in enumerate(BAD)])
def test_all_that_does_not_fit_is_said_before_anything_runs(
    name: str, changes: dict[str, Any], said: list[str], tmp_path: Path
) -> None:
    with pytest.raises(cx.InputError) as caught:
        cli.run({"name": name, "output": str(tmp_path), **CONFIGS[name], **changes}, "")
    assert all(words in str(caught.value) for words in said), str(caught.value)
    assert str(caught.value).count("; ") >= len(said) - 1
