"""What paradigms show, what lesions take away, and what is left of a column on finer steps with and without charge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import exprel

import cortexsnn as cx
from cortexsnn.circuits.predictive_column import TERMINALS
from cortexsnn.experiments.column.biophysics import held, noisy_synapses
from cortexsnn.experiments.column.config import Mismatch, Oddball, Omission, Repetition, Sequence, Surround, TopDown
from cortexsnn.experiments.column.lesions import lesioned, mean_release
from cortexsnn.experiments.column.networks import FEEDBACK, NONE, SOMA, cells, class_of, column, rows
from cortexsnn.experiments.column.paradigms import LEAD, Stage, Trials, trials_of
from cortexsnn.run import prepare
from cortexsnn.train.data import digits
from cortexsnn.train.frame_spikes import FrameCode
from cortexsnn.train.scan import World

CODE = FrameCode()
EFFECTS: dict[str, Any] = {"effects": []}


def stage() -> Stage:
    return Stage(World(), CODE, digits().test, np.random.default_rng(5))


def shown(name: str, config: Any) -> dict[str, np.ndarray]:
    """Frames by condition, (slot, trial, pixel)."""
    trials = trials_of(name, config, stage())
    assert set(trials.labels) == config.labels
    assert trials.frames.shape[:2] == trials.commands.shape
    return {label: trials.frames[:, trials.labels == label] for label in config.labels}


def in_window(trials: Trials, label: str) -> np.ndarray:
    return trials.frames[trials.window[0] : trials.window[1], trials.labels == label]


def test_an_oddball_ends_with_the_same_stimuli_in_every_condition() -> None:
    config = Oddball(trials=6, before=4, pairs=2, **EFFECTS)
    trials = trials_of("oddball", config, stage())
    last = {label: in_window(trials, label) for label in config.labels}
    np.testing.assert_array_equal(last["deviant"], last["standard"])
    np.testing.assert_array_equal(last["deviant"], last["control"])
    first = {label: trials.frames[LEAD, trials.labels == label] for label in config.labels}
    np.testing.assert_array_equal(first["standard"], last["standard"][0])
    assert (first["deviant"] != last["deviant"][0]).any(axis=1).all()
    np.testing.assert_array_equal(first["deviant"][:6], first["standard"][6:12])  # the two change roles
    pairs = last["deviant"][0].reshape(2, 2, 6, -1)  # (pair, stimulus, trial, pixel)
    assert (pairs[0, 0] != pairs[1, 0]).any()
    assert (np.sqrt(((pairs[:, 0] - pairs[:, 1]) ** 2).mean(-1)) >= config.distance).all()
    with pytest.raises(cx.InputError, match=r"paradigms\.oddball\.distance: no two windows"):
        trials_of("oddball", config.model_copy(update={"distance": 0.99}), stage())
    assert len(np.unique(first["control"], axis=0)) > 2
    assert np.isnan(trials.frames[LEAD + 5 : LEAD + 10]).all()  # a pause


def test_an_omission_is_a_blank_after_as_many_stimuli_as_in_a_train_without_a_rhythm() -> None:
    config = Omission(trials=20, before=5, **EFFECTS)
    trials = trials_of("omission", config, stage())
    for label in ("omitted", "irregular", "blank"):
        assert np.isnan(in_window(trials, label)).all()
    assert not np.isnan(in_window(trials, "shown")[:5]).any()
    frames = {label: ~np.isnan(trials.frames[:, trials.labels == label, 0]) for label in config.labels}
    np.testing.assert_array_equal(frames["irregular"].sum(0), frames["omitted"].sum(0))
    onsets = [np.flatnonzero(np.diff(frames["irregular"][:, k].astype(int)) == 1) for k in range(20)]
    assert all(len(o) == 5 for o in onsets)
    assert len({tuple(o) for o in onsets}) > 10
    assert len({o[-1] for o in onsets}) == 1  # the last pause is the same in both: 250 ms before the omission
    assert onsets[0][-1] == np.flatnonzero(np.diff(frames["omitted"][:, 0].astype(int)) == 1)[-1]
    assert not frames["blank"].any()


def test_a_repetition_and_its_control_end_alike() -> None:
    config = Repetition(trials=5, length=3, repeats=4, shown=50, **EFFECTS)
    trials = trials_of("repetition", config, stage())
    np.testing.assert_array_equal(in_window(trials, "repeated"), in_window(trials, "control"))
    first = trials.frames[trials.repeats[0][0] : trials.repeats[0][1]]
    np.testing.assert_array_equal(first[:, trials.labels == "repeated"], in_window(trials, "repeated"))
    assert (first[:, trials.labels == "control"] != in_window(trials, "control")).any(axis=(0, 2)).all()


def test_a_violation_changes_what_comes_before_and_nothing_else() -> None:
    config = Sequence(trials=60, **EFFECTS)
    trials = trials_of("sequence", config, stage())
    for label in ("violation", "random"):
        np.testing.assert_array_equal(in_window(trials, label), in_window(trials, "expected"))
        np.testing.assert_array_equal(
            trials.commands[:, trials.labels == label], trials.commands[:, trials.labels == "expected"]
        )
    before = {label: trials.frames[: trials.window[0], trials.labels == label] for label in config.labels}
    np.testing.assert_array_equal(np.sort(before["random"], axis=0), np.sort(before["expected"], axis=0))
    assert (before["violation"] != before["expected"]).any(axis=(0, 2)).mean() > 0.9
    way = trials.commands[0, trials.labels == "expected"]
    for k in np.flatnonzero(way == 1)[:20]:  # the expected frame is the window moved on
        frames = trials.frames[:, trials.labels == "expected"][:, k].reshape(-1, 4, 4)
        np.testing.assert_array_equal(frames[-1][:, :-1], frames[-2][:, 1:])


def test_a_halt_is_the_same_in_replay_but_for_the_command() -> None:
    config = Mismatch(trials=10, **EFFECTS)
    trials = trials_of("mismatch", config, stage())
    frames = shown("mismatch", config)
    np.testing.assert_array_equal(frames["halt"], frames["replay"])
    start = trials.window[0]
    np.testing.assert_array_equal(frames["halt"][:start], frames["match"][:start])
    assert (np.diff(frames["halt"][start - 1 :], axis=0) == 0).all()
    assert (np.diff(frames["match"][start - 1 :], axis=0) != 0).any(axis=2).mean() > 0.8
    commands = {label: trials.commands[:, trials.labels == label] for label in config.labels}
    np.testing.assert_array_equal(commands["halt"], commands["match"])
    assert all((commands[label] == 0).all() for label in ("replay", "frames only", "off"))
    assert np.isnan(frames["command only"]).all()
    assert np.isnan(frames["off"]).all()


def test_a_surround_shares_its_centre_and_gain_adds_the_same_everywhere() -> None:
    frames = shown("surround", Surround(trials=4, **EFFECTS))
    inside = ~np.isnan(frames["centre"][LEAD])
    for label in ("same", "orthogonal"):
        np.testing.assert_array_equal(frames[label][LEAD][inside], frames["centre"][LEAD][inside])
    assert (frames["same"][LEAD] != frames["orthogonal"][LEAD]).any()
    assert inside.sum(1).tolist() == [4] * 4
    np.testing.assert_array_equal(~np.isnan(frames["annulus"][LEAD]), ~inside)
    trials = trials_of("top_down", TopDown(trials=8, **EFFECTS), stage())
    more = {label: np.asarray(trials.more)[trials.labels == label] for label in ("plain", "featured", "anywhere")}
    assert not more["plain"].any()
    np.testing.assert_allclose(more["featured"].sum(1), more["anywhere"].sum(1))
    assert more["featured"].sum() > 0
    moving = trials.frames[:, trials.labels == "plain"].reshape(len(trials.frames), -1, 4, 4)
    np.testing.assert_array_equal(moving[1:, ..., :-1], moving[:-1, ..., 1:])  # all to the right


def test_an_effect_of_a_condition_that_is_not_there_is_refused() -> None:
    effect = {
        "name": "x",
        "first": "nothing",
        "second": "off",
        "cells": "L23E",
        "sign": 1,
        "reference": "",
        "rival": "",
    }
    with pytest.raises(ValueError, match=r"effects\.x: expected a condition"):
        Mismatch(trials=4, effects=[effect])  # type: ignore[list-item]


@pytest.fixture(scope="module")
def circuit() -> cx.Circuit:
    return column(FEEDBACK, 60, CODE)


def ran(circuit: cx.Circuit, probes: dict[str, Any], engine: str = "numpy", dt: str | None = None) -> Any:
    scans = World(frames=6).scans(digits().test, 2, np.random.default_rng(1))
    inputs = rows(circuit, CODE, scans, np.random.default_rng(2))
    return cx.simulate(circuit, inputs, engine=engine, seed=1, probes=probes, **({} if dt is None else {"dt": dt}))


def test_conditions_of_error_cells_and_classes_that_are_not_there_are_refused() -> None:
    for criteria in ({"over": "nonsense"}, {"match": "off"}, {"cells": ["L23"]}):
        with pytest.raises(ValueError, match="expected"):
            Mismatch(trials=4, criteria=criteria, **EFFECTS)  # type: ignore[arg-type]


@pytest.mark.parametrize("what", ["PV", "SOM", "VIP"])
def test_a_lesioned_class_fires_and_reaches_nobody(circuit: cx.Circuit, what: str) -> None:
    port = {"PV": "g_Gs", "SOM": "g_Gd", "VIP": "g_Gs"}[what]
    target = {"PV": "L5E", "SOM": "L5E", "VIP": "L23SOM"}[what]
    sources = [name for name in cells(circuit) if class_of(name) == what]
    probes = {target: [port], **{name: ["spikes"] for name in sources}}
    whole, cut = ran(circuit, probes), ran(lesioned(circuit, what), probes)
    assert float(whole[target][port].max()) > 0
    assert float(cut[target][port].max()) == 0
    assert all(float(cut[name]["spikes"].sum()) > 0 for name in sources)


def test_a_lesion_of_the_plateau_or_the_command_takes_that_and_keeps_the_program(circuit: cx.Circuit) -> None:
    for what in ("plateau", "command", "apical feedback", "PV", "SOM", "VIP", "short-term plasticity"):
        assert cx.lower(lesioned(circuit, what)).hash == cx.lower(circuit).hash
    terminals = {name: ["spikes"] for name in circuit.populations if name.startswith("command")}
    assert sum(float(ran(circuit, terminals)[name]["spikes"].sum()) for name in terminals) > 0
    cut = lesioned(circuit, "command")
    assert sum(float(ran(cut, terminals)[name]["spikes"].sum()) for name in terminals) == 0
    edges = cx.realise(cut, 0).edges
    assert not any(edges[name].values.any() for name, p in circuit.projections.items() if p.pre == "command")
    apical = cx.realise(lesioned(circuit, "apical feedback"), 0).edges
    gone = {name for name, e in apical.items() if not e.values.any()}
    assert gone == {"command_L23E", "command_L5E"}
    whole, cut = (ran(c, {"L5E": ["Vd"]})["L5E"]["Vd"] for c in (circuit, lesioned(circuit, "plateau")))
    assert float((whole > -38).sum()) > float((cut > -38).sum())


def test_without_short_term_plasticity_terminals_release_the_same_share_always(circuit: cx.Circuit) -> None:
    name = next(n for n in circuit.populations if n.endswith("_dep_1"))
    share = TERMINALS["dep"][0]
    for c, constant in ((circuit, False), (lesioned(circuit, "short-term plasticity"), True)):
        found = ran(c, {name: ["u", "x", "spikes"]})[name]
        before = slice(None, -1), slice(1, None)
        u, x = (found[k].transpose("trial", "step", "neuron").values[:, before[0]] for k in ("u", "x"))
        spikes = found["spikes"].transpose("trial", "step", "neuron").values[:, before[1]] > 0
        released = ((u + share * (1 - u)) * x)[spikes]
        assert released.size > 50
        assert np.allclose(released, share, rtol=1e-6) == constant


def test_without_short_term_plasticity_the_mean_release_stays_what_it_was(circuit: cx.Circuit) -> None:
    """A column whose terminals release what rested ones do is driven several times as much: no control for depression."""
    scans = World(frames=6).scans(digits().test, 8, np.random.default_rng(1))
    inputs = rows(circuit, CODE, scans, np.random.default_rng(2))
    released = mean_release(circuit, inputs, "torch", 1)
    assert {name for name in circuit.populations if "terminal" in circuit.populations[name].neuron} == set(released)
    cut, rested = lesioned(circuit, "short-term plasticity", released), lesioned(circuit, "short-term plasticity")
    assert cx.lower(cut).hash == cx.lower(circuit).hash
    again = mean_release(cut, inputs, "torch", 1)
    assert again == pytest.approx(released, rel=1e-6)
    tc = next(name for name in released if "_tc_" in name)
    assert released[tc] < 0.7 * TERMINALS["tc"][0]
    probes = {name: ["spikes"] for name in cells(circuit)}
    fired = [
        sum(
            float(cx.simulate(c, inputs, engine="torch", seed=1, probes=probes)[name]["spikes"].sum())
            for name in probes
        )
        for c in (circuit, cut, rested)
    ]
    assert abs(fired[1] / fired[0] - 1) < 0.15
    assert fired[2] / fired[0] > 1.3


def test_the_upper_column_can_be_cut_off_alone() -> None:
    pair = column(FEEDBACK, 60, CODE, columns=2)
    edges = cx.realise(lesioned(pair, "upper column"), 0).edges
    gone = {name for name, e in edges.items() if not e.values.any()}
    assert {"c2_L5E_c1_L23E", "c2_L5E_c1_L5E", "c2_L5E_c1_L23VIP"} <= gone
    assert all(name.startswith("c2_L5E") and "c2_L5" not in name[6:] for name in gone)
    assert "c1_L23E_c2_L4E" in set(edges) - gone


@pytest.mark.parametrize("columns", [1, 2])
def test_without_apical_feedback_as_many_numbers_are_learned_and_nothing_is_known(columns: int) -> None:
    arms = {arm: column(arm, 60, CODE, columns=columns) for arm in (FEEDBACK, SOMA, NONE)}
    learned = {arm: sum(p.numel() for p in cx.to_torch(c, seed=0).parameters()) for arm, c in arms.items()}
    assert len(set(learned.values())) == 1
    apical = {p.pre for p in arms[NONE].projections.values() if p.post.endswith(("L23E", "L5E")) and "command" in p.pre}
    assert apical == {"unrelated_command"}
    scans = World().scans(digits().test, 400, np.random.default_rng(1))
    inputs = rows(arms[NONE], CODE, scans, np.random.default_rng(2))
    assert set(inputs) == set(arms[NONE].inputs)
    way = scans.commands.repeat(CODE.ms, axis=0)
    for name, known in (("command", True), ("unrelated_command", False)):
        right = inputs[name][..., CODE.commands // 2 :].mean(-1) - inputs[name][..., : CODE.commands // 2].mean(-1)
        assert (abs(np.corrcoef(right.ravel(), way.ravel())[0, 1]) > 0.3) == known
    means = [inputs[name].mean() for name in ("command", "unrelated_command")]
    assert means[0] == pytest.approx(means[1], rel=0.05)


def test_held_jumps_are_the_same_network_at_its_step_and_lose_charge_on_a_finer_one(circuit: cx.Circuit) -> None:
    probes = {name: ["spikes"] for name in cells(circuit)} | {"L5E": ["spikes", "g_As", "g_b"]}
    a, b = ran(circuit, probes), ran(held(circuit), probes)
    for name in cells(circuit):
        np.testing.assert_array_equal(a[name]["spikes"], b[name]["spikes"])
    np.testing.assert_allclose(a["L5E"]["g_As"], b["L5E"]["g_As"], rtol=1e-12)
    np.testing.assert_allclose(a["L5E"]["g_b"], b["L5E"]["g_b"], rtol=1e-12)
    assert float(a["L5E"]["spikes"].sum()) > 20
    fine = {
        key: float(ran(c, {"L5E": ["g_As"]}, dt="0.25 ms")["L5E"]["g_As"].mean())
        for key, c in (("kept", circuit), ("held", held(circuit)))
    }
    share = exprel(-1 / 2) / exprel(-0.25 / 2)  # of AMPA's charge, with a time constant of 2 ms
    assert 0.6 < fine["held"] / fine["kept"] < 1.01 * share  # and less, for the cells that excite it fire less, too


def test_noise_on_weights_is_of_synapses_and_cuts_no_axon_off(circuit: cx.Circuit) -> None:
    scans = World(frames=2).scans(digits().test, 1, np.random.default_rng(1))
    inputs = rows(circuit, CODE, scans, np.random.default_rng(2))
    job = prepare(circuit, cx.lower(circuit), cx.realise(circuit, 3), inputs, probes={})
    noisy = noisy_synapses(job, 0.3, 5)
    to_terminals = {name for name, p in circuit.projections.items() if p.post not in (*cells(circuit), "prediction")}
    assert len(to_terminals) > 5
    for name, edges in job.edges.items():
        assert edges.values.size
        same = np.array_equal(edges.values, noisy.edges[name].values)
        assert same == (name in to_terminals), name
