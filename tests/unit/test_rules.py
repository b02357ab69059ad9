"""What a projection's plasticity may say: every problem named with its place, its unit, and what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import cortexsnn as cx
import plastic
from cortexsnn.plasticity import rule

PAIR = {
    "equations": "dx/dt = -x/tau : 1\ndy/dt = -y/tau : 1", "on_pre": "x += 1\nw -= 0.1*nS*y", "on_post": "y += 1\nw += 0.1*nS*x",
    "parameters": {"tau": "20 ms"}, "bounds": {"max": "1 nS"},
}  # fmt: skip


def problem(**changes: Any) -> str:
    """What is said about the pair rule with some fields changed."""
    with pytest.raises(cx.SpecError) as caught:
        cx.validate(plastic.told({**PAIR, **changes}))
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"bounds": {"min": "-1 nS", "max": "1 nS"}}, "bounds.min: this rule could move a weight across zero, and the sign belongs to 'pre'"),
        ({"bounds": None}, "bounds: this rule moves weights and nothing holds them; give bounds: {max: …}"),
        ({"bounds": {"min": "0 nS"}}, "nothing holds them"),
        ({"bounds": {"min": "2 nS", "max": "1 nS"}}, "expected min <= max"),
        ({"bounds": {"max": "1 mV"}}, "bounds.max: expected a conductance"),
        ({"signals": {"R": "dopamine"}}, "signals.R: unknown population or input 'dopamine'"),
        ({"signals": {"R": "cell"}}, "signals.R: 'cell' is an end of this projection"),
        ({"signals": {"R": "post"}}, "signals.R: an input gives its value; name one of kind current"),
        ({"signals": {"x": "reward"}}, "signals.x: 'x' is defined by"),
        ({"on_pre": "x += 1\nw += y"}, "on_pre: cannot add different units in 'w + y': 'w' is a conductance (nS), 'y' is a plain number"),
        ({"on_pre": "z += 1"}, "on_pre: unknown state 'z'"),
        ({"on_pre": "x += q"}, "unknown name 'q'"),
        ({"on_post": "y += __import__('os')"}, "on_post"),
        ({"every": {"0.5 ms": "x = 0"}}, "every.0.5 ms"),
        ({"every": {"10 mV": "x = 0"}}, "every.10 mV"),
        ({"sums": {"total": "w"}}, "sums: are for statements at intervals"),
        ({"sends": "tau"}, "sends: expected a plain number, got a time"),
        ({"equations": "dx/dt = -x : 1\ny : 1"}, "equations.x: 'x': expected a rate (kHz) on the right side"),
        ({"equations": "dw/dt = -w/tau : siemens\nx : 1\ny : 1"}, "'w' is the weight of an edge"),
        ({"equations": "dx_pre/dt = -x_pre/tau : 1\nx : 1\ny : 1"}, "names with _pre and _post are those of the two ends"),
        ({"initial": {"q": 1.0}}, "initial.q: unknown state 'q'"),
        ({"sends": "t/(100*ms)"}, "sends: unknown name 't'"),
        ({"equations": PAIR["equations"] + "\npre : 1"}, "'pre' is a name that recordings of edges use"),
        ({"equations": PAIR["equations"] + "\nfinal_w : 1"}, "'final_w' is a name that recordings"),
        ({"parameters": {"tau": "20 ms", "tua": "1 ms"}}, "parameters.tua: nothing reads it"),
        ({"parameters": {"tau": "20 mV"}}, "equations.x: 'x': expected"),
        ({"method": "exact", "equations": "dx/dt = -x*x/tau : 1\ny : 1"}, "plasticity.equations: method exact"),
        ({"on_pre": "w = w**0.5*nS"}, "on_pre"),
        ({"wins": "plasticity"}, "wins: the weights are not trained by gradient; leave it out"),
    ],
)  # fmt: skip
def test_problems_are_named(changes: dict[str, Any], expected: str) -> None:
    if "method" in changes:
        with pytest.raises(cx.SpecError, match=r"projections\.learning\.plasticity\.equations: method exact"):
            cx.lower(plastic.told({**PAIR, **changes}))
        return
    said = problem(**changes)
    assert "projections.learning.plasticity" in said
    assert expected in said


def test_all_problems_come_at_once() -> None:
    said = problem(on_pre="z += 1", on_post="w += 1", bounds={"max": "1 mV"})
    assert said.startswith("3 problems")


def test_trained_weights_need_a_winner() -> None:
    circuit = plastic.told({**PAIR, "wins": "gradient"})
    assert circuit.with_parameters({"projections.learning.trainable": True})
    with pytest.raises(cx.SpecError, match=r"say wins: plasticity .* or wins: gradient"):
        plastic.told(PAIR).with_parameters({"projections.learning.trainable": True})


def test_weights_drawn_beyond_a_bound_begin_at_it() -> None:
    circuit = plastic.told(PAIR, 2, {"distribution": "uniform", "low": "2 nS", "high": "3 nS"})
    assert (cx.realise(circuit).edges["learning"].weight == 1.0).all()


def test_edges_that_are_not_there_are_not_probed() -> None:
    circuit = plastic.told(PAIR, 2).with_parameters({"projections.learning.connect": {"probability": 0.0}})
    spikes = np.ones((5, 2), bool)
    assert plastic.run(circuit, spikes, spikes)["learning"]["final_w"].shape == (1, 0)
    with pytest.raises(cx.InputError, match=r"probes\.learning: the projection has no edges"):
        plastic.run(circuit, spikes, spikes, probes={"learning": ["mean(w)"]})


def test_runs_with_other_edges_are_not_compared() -> None:
    circuit = plastic.everything()
    a, b = (cx.simulate(circuit, {"reward": np.zeros((4, 1))}, seed=s) for s in (0, 1))
    with pytest.raises(cx.InputError, match="'x_E' joins other cells"):
        cx.compare(a, b)


def test_a_signal_has_one_cell() -> None:
    circuit = plastic.told(PAIR).with_parameters({"inputs.reward.size": 2})
    with pytest.raises(cx.SpecError, match="a third factor is one number, 'reward' has 2 cells"):
        circuit.with_parameters({"projections.learning.plasticity.signals": {"R": "reward"}})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"inputs.pre.kind": "current"}, "on_pre: 'pre' sends no spikes; use every"),
        ({"projections.learning.connect": {"conv2d": {"kernel": 1}}}, "the weights of conv2d are shared"),
    ],
)
def test_rules_need_spikes_and_edges_of_their_own(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(cx.SpecError, match=expected):
        plastic.told(PAIR).with_parameters(changes)


def test_a_mixed_source_gives_both_bounds() -> None:
    spec = cx.validate(plastic.told(PAIR))
    plain = {"inputs.pre.transmitter": "mixed"}
    with pytest.raises(cx.SpecError, match="with min and max"):
        spec.with_parameters(plain)
    both = spec.with_parameters({**plain, "projections.learning.plasticity.bounds": {"min": "-1 nS", "max": "1 nS"}})
    spikes = np.zeros((40, 1), bool)
    post = spikes.copy()
    spikes[10:], post[:10] = True, True
    assert plastic.final(plastic.run(both, spikes, post))[0] == -1.0


def test_a_projection_s_name_is_its_node() -> None:
    plain = plastic.told(PAIR)
    named = plain.model_copy(update={"projections": {"cell": plain.projections["learning"]}})
    with pytest.raises(cx.SpecError, match="'cell' is a population or input too"):
        cx.validate(named)


def test_probes_of_edges() -> None:
    circuit, spikes = plastic.told(PAIR, 3), np.ones((20, 3), bool)
    recording = plastic.run(circuit, spikes, spikes, probes={"learning": {"w": [2], "sum(x)": None}})
    node = recording["learning"]
    assert node["w"].shape == (1, 20, 1)
    assert node["w"].values[0, -1, 0] == node["final_w"].values[0, 2]
    assert node["sum(x)"].values[0, -1] == pytest.approx(node["final_x"].values.sum())
    assert node["final_w"].attrs["units"] == "nS"
    assert node.attrs["kind"] == "plastic"
    with pytest.raises(cx.InputError, match=r"probes\.learning: unknown variable 'v'; known: w, x, y"):
        plastic.run(circuit, spikes, spikes, probes={"learning": ["v"]})


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("pair_stpd", {}, "unknown rule 'pair_stpd'"),
        ("pair_stdp", {"w_max": "1 nS", "tau": "3 ms"}, "unknown argument 'tau'"),
        ("short_term", {"utilisation": 2.0}, r"expected a utilisation in \(0, 1\], got 2"),
    ],
)
def test_the_catalogue_names_what_does_not_fit(name: str, arguments: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        rule(name, **arguments)


def test_a_rule_is_saved_and_loaded(tmp_path: Any) -> None:
    circuit = plastic.everything()
    cx.save(circuit, tmp_path / "c.yaml")
    again = cx.load(tmp_path / "c.yaml")
    assert again == circuit
    assert again.hash == circuit.hash
    assert cx.lower(again).hash == cx.lower(circuit).hash


def test_what_has_no_plasticity_says_so(tmp_path: Any) -> None:
    circuit = plastic.told(PAIR)
    with pytest.raises((cx.SpecError, cx.InputError), match="an exported script has no plasticity yet"):
        cx.to_brian2_script(
            circuit, tmp_path / "s.py", inputs={n: np.zeros((3, d.n)) for n, d in circuit.inputs.items()}
        )
    with pytest.raises(cx.EngineError, match="learning: plastic edges go step by step"):
        cx.to_torch(circuit, fused=True)({n: torch.zeros(3, 1, d.n) for n, d in circuit.inputs.items()})


def test_weights_that_leave_the_numbers_stop_a_run() -> None:
    circuit = plastic.told({**PAIR, "on_pre": "x = log(x - 1)\nw += x*nS"})
    spikes = np.ones((3, 1), bool)
    with pytest.raises(cx.NumericalError, match=r"learning\.w of edge 0"):
        plastic.run(circuit, spikes, spikes)
