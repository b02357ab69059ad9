"""Rules in every engine: the same spikes and the same weights, bit for bit where decays are hoisted and sums in order."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import cortexsnn as cx
import plastic
from cortexsnn.plasticity import rule

PYTHON = ("numpy", "torch", "brian2")
ALL = (*PYTHON, "brian2:cython", "brian2:cpp_standalone")
REWARD = np.random.default_rng(0).random((2000, 2, 1))


def _network(plasticity: Any, delay: Any = "1 ms", **more: Any) -> cx.Circuit:
    """Poisson spikes onto cells that fire; both the way in and the recurrent edges are plastic."""
    lif = {
        "equations": "dv/dt = (E_L - v)/tau_m : volt (unless refractory)", "ports": {"v": {"unit": "volt", "kind": "jump"}},
        "threshold": "v > V_T", "threshold_scale": "5 mV", "reset": "v = E_L", "refractory": "2 ms", "initial": {"v": "-70 mV"},
        "parameters": {"tau_m": "20 ms", "E_L": "-70 mV", "V_T": "-55 mV"},
    }  # fmt: skip
    return cx.Circuit(
        name="learning", dt="1 ms", duration="1000 ms", neurons={"lif": lif},
        inputs={"x": {"size": 50, "kind": "poisson", "rate": "40 Hz"}},
        populations={"E": {"size": 12, "neuron": "lif", "transmitter": "excitatory"}},
        projections={
            "x_E": {"pre": "x", "post": "E", "port": "v", "connect": "all", "weight": {"distribution": "uniform", "low": "1 mV", "high": "2 mV"},
                    "plasticity": plasticity, **more},
            "E_E": {"pre": "E", "post": "E", "port": "v", "connect": {"probability": 0.5}, "weight": "0.5 mV", "delay": delay,
                    "plasticity": rule("triplet_stdp", w_max="2 mV")},
        },
    )  # fmt: skip


def _updates(recording: Any) -> int:
    """Changes of the weights on the way in where targets fired, at the least: each spike moves all its edges."""
    return int(recording["E"]["spikes"].sum()) * 50


def test_weights_are_identical_in_all_engines() -> None:
    """At least 1 000 spikes and 10 000 changes of weights; decays are hoisted, so that nothing but + - * / happens in a step."""
    report = cx.verify(
        _network(rule("pair_stdp", w_max="3 mV")), duration="2000 ms", engines=ALL, seed=1, minimum_spikes=1000
    )
    assert report.agree, str(report)
    assert report.met == "bitwise"
    recording = report.recordings["numpy"]
    assert _updates(recording) >= 10_000
    moved = (
        recording["x_E"]["final_w"].values[0]
        - cx.realise(_network(rule("pair_stdp", w_max="3 mV")), 1).edges["x_E"].weight
    )
    assert (moved != 0).all()
    assert {"final_w", "final_x", "final_y"} <= set(recording["x_E"].data_vars)


def test_all_that_a_rule_can_say() -> None:
    """Two trials, each from the weights drawn; third factors, sums, intervals, release, states of both ends."""
    engines = (*PYTHON, "brian2:cpp_standalone")
    report = cx.verify(plastic.everything(), {"reward": REWARD}, engines=engines, seed=1, minimum_spikes=1000)
    assert report.agree, str(report)
    worst = float(report.table["max_relative"].max())
    assert worst < 1e-10
    for name in ("x_E", "E_E", "I_E", "G_I"):
        node = report.recordings["numpy"][name]
        drawn = cx.realise(plastic.everything(), 1).edges[name].weight
        assert (node["final_w"].values != drawn).mean() > 0.5, name
        assert (node["final_w"].values[0] != node["final_w"].values[1]).any(), name


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("projections.x_E.plasticity.parameters.a_plus", 0.005 * (1 + 1e-9)),
        ("projections.x_E.plasticity.on_pre", "w -= a_minus*w_max*y\nx += 1.000001"),
        ("projections.E_E.delay", "2 ms"),
        ("projections.x_E.plasticity.every", {"1000 ms": "w *= 1.000001"}),
    ],
)
def test_a_small_change_of_a_rule_is_seen(path: str, value: Any) -> None:
    """The negative control: the weights of a circuit that differs a little are not the same."""
    circuit = _network(rule("pair_stdp", w_max="3 mV"))
    a, b = (cx.simulate(c, seed=1) for c in (circuit, circuit.with_parameters({path: value})))
    report = cx.compare(a, b)
    assert not report.agree
    assert report.first_difference is not None
    if report.first_difference.variable != "spikes":
        assert "of edge" in str(report.first_difference) or "of neuron" in str(report.first_difference)


def test_a_post_spike_before_an_arrival_in_a_step_would_be_seen() -> None:
    """The order within a step matters, and is stated: arrivals, then spikes of the target."""
    spikes = np.ones((3, 1), bool)
    pair = rule("pair_stdp", w_max="1 nS", a_plus=0.1, a_minus=0.1)
    found = [plastic.final(plastic.run(plastic.told(pair), spikes, spikes, engine=e))[0] for e in PYTHON]
    trace_x = trace_y = 0.0
    w = 0.5
    for _ in range(3):
        trace_x, trace_y = trace_x * np.exp(-1 / 20) + 1, trace_y * np.exp(-1 / 20)
        w -= 0.1 * trace_y
        trace_y += 1
        w += 0.1 * trace_x
    assert found == pytest.approx([w] * 3, rel=1e-12)


def _random_rule(random: Random) -> dict[str, Any]:
    """Statements over two traces, a weight and, sometimes, states of the ends, a slow rule, a release."""
    reads = ["x", "y", "w/w_max", "0.5", *(["(v_post + 60*mV)/mV/20"] if random.random() < 0.5 else [])]

    def change() -> str:
        sign, terms = random.choice("+-"), random.sample(reads, 2)
        return f"w {sign}= {random.choice((0.02, 0.05, 0.1))}*w_max*{terms[0]}*{random.choice(('1', terms[1]))}"

    def trace(name: str) -> str:
        return f"{name} {random.choice(('+=', '='))} {random.choice(('1', '0.5', f'1 - 0.5*{name}'))}"

    def block(name: str) -> str:
        return "\n".join(random.sample([trace(name), change()], 2))

    found: dict[str, Any] = {
        "equations": "dx/dt = -x/tau : 1\ndy/dt = -y/(2*tau) : 1",
        "on_pre": block("x"), "on_post": block("y"),
        "parameters": {"tau": f"{random.choice((5, 10, 20))} ms", "w_max": "3 mV"},
        "bounds": {"min": random.choice(("0 mV", "0.2 mV")), "max": "3 mV"},
    }  # fmt: skip
    if random.random() < 0.5:
        found["every"] = {
            f"{random.choice((1, 7, 50))} ms": random.choice(("w *= 0.99", "w = w + 0.1*(1*mV - w)", change()))
        }
    if random.random() < 0.3:
        found["sums"] = {"total": "w"}
        found["every"] = {"20 ms": "w *= clip(60*mV/total, 0.5, 2)"}
    if random.random() < 0.3:
        found["sends"] = random.choice(("1 - 0.5*clip(x/3, 0, 1)", "where(y > 1, 0.5, 1)"))
    return found


@given(st.integers(0, 2**32))
@settings(max_examples=12, deadline=None)
def test_random_rules_agree(seed: int) -> None:
    random = Random(seed)
    delay = random.choice(("1 ms", "3 ms", {"distribution": "uniform", "low": "1 ms", "high": "5 ms"}))
    circuit = _network(_random_rule(random), delay).with_parameters({"projections.x_E.delay": delay})
    report = cx.verify(circuit, duration="300 ms", engines=PYTHON, seed=seed % 1000, minimum_spikes=10)
    assert report.agree, f"{report}\n{circuit.projections['x_E'].plasticity}"


NAMES = {
    "a weight": {"parameters": {"w": 0.5}, "deliver": "w*1"},
    "a signal": {"parameters": {"R": 0.5}, "deliver": "R*1", "signals": {"R": "rw"}, "on_pre": "w += 0.001*R*mV"},
    "a sum": {"parameters": {"S": 0.5}, "deliver": "S*1", "sums": {"S": "w"}, "every": {"10 ms": "w *= clip(20*mV/S, 0.9, 1.1)"}},
    "a constant": {"parameters": {"c1": 0.5}, "deliver": "c1*1", "on_pre": "w += 0.01*mV*exp(-k*2)", "rule_parameters": {"k": 1.0}},
    "a number": {"deliver": "0.3"},
    "a release": {"sends": "0.3"},
    "what arrives": {"equations": "arrived : 1", "on_pre": "arrived += 1\nw += 0.01*mV*arrived"},
}  # fmt: skip


@pytest.mark.parametrize("case", NAMES)
def test_names_of_a_rule_and_of_its_ends_keep_apart(case: str) -> None:
    """A cell's own w, R, S or c1 beside the rule's; our own names; numbers in double precision."""
    given = NAMES[case]
    own = given.get("parameters", {})
    lif = {
        "equations": "dv/dt = (E_L - v)/tau_m : volt (unless refractory)", "ports": {"v": {"unit": "volt", "kind": "jump"}},
        "threshold": "v > V_T", "reset": "v = E_L", "refractory": "2 ms", "initial": {"v": "-70 mV"},
        "parameters": {"tau_m": "20 ms", "E_L": "-70 mV", "V_T": "-55 mV", **own},
    }  # fmt: skip
    plasticity = {
        "equations": given.get("equations", ""), "on_pre": given.get("on_pre", "w += 0.01*mV"), "bounds": {"max": "3 mV"},
        "signals": given.get("signals", {}), "sums": given.get("sums", {}), "every": given.get("every", {}),
        "parameters": given.get("rule_parameters", {}), **({"sends": given["sends"]} if "sends" in given else {}),
    }  # fmt: skip
    port = {"deliver": {"v": given["deliver"]}} if "deliver" in given else {"port": "v"}
    circuit = cx.Circuit(
        name="names", dt="1 ms", duration="400 ms", neurons={"lif": lif},
        inputs={"x": {"size": 30, "kind": "poisson", "rate": "80 Hz"}, "rw": {"size": 1, "kind": "current", "rows": 0.7}},
        populations={"E": {"size": 10, "neuron": "lif", "transmitter": "excitatory"}},
        projections={
            "x_E": {"pre": "x", "post": "E", "port": "v", "connect": {"probability": 0.7}, "weight": "1.5 mV"},
            "E_E": {"pre": "E", "post": "E", "connect": {"probability": 0.5}, "weight": "1 mV", "delay": "2 ms", **port, "plasticity": plasticity},
        },
    )  # fmt: skip
    report = cx.verify(circuit, engines=PYTHON, seed=1, minimum_spikes=100)
    assert report.agree, str(report)


def test_two_rules_on_a_target_keep_apart() -> None:
    """``a`` with a sum ``b_c`` and ``a_b`` with a sum ``c``."""
    plain = _network(rule("pair_stdp", w_max="3 mV")).model_copy(update={"name": "two"})
    base = plain.projections["x_E"].model_dump(exclude_none=True, exclude_defaults=True)
    projections = {
        name: {**base, "pre": "x", "post": "E", "port": "v", "connect": "all", "weight": "1 mV",
               "plasticity": {"sums": {total: "w"}, "every": {"10 ms": f"w *= clip(30*mV/{total}, 0.9, 1.1)"}, "bounds": {"max": "3 mV"}}}
        for name, total in (("a", "b_c"), ("a_b", "c"))
    }  # fmt: skip
    fields = {**plain.model_dump(exclude_none=True), "projections": projections}
    report = cx.verify(cx.Circuit(**fields), duration="100 ms", engines=PYTHON, seed=1, minimum_spikes=10)
    assert report.agree, str(report)


def test_divisions_are_bitwise() -> None:
    """torch makes ``number / tensor`` of a reciprocal and a product, unless told otherwise."""
    slow = {"every": {"5 ms": "w = 3*mV*mV/(w + 0.7*mV)"}, "bounds": {"max": "9 mV"}}
    report = cx.verify(_network(slow), duration="200 ms", engines=PYTHON, seed=1, minimum_spikes=50)
    assert report.met == "bitwise", str(report)


def test_a_value_s_rule_can_be_taken_out_and_run_on() -> None:
    """An input of kind current: what was learned is a circuit again."""
    slow = {"every": {"1 ms": "w += 0.001*value_pre*(2*mV - w)"}, "bounds": {"max": "3 mV"}}
    circuit = _network(rule("pair_stdp", w_max="3 mV")).with_parameters(
        {
            "inputs.x": {"size": 50, "kind": "current"},
            "projections.x_E.plasticity": slow,
            "projections.x_E.weight": "0.2 mV",
        }
    )
    rows = np.random.default_rng(0).random((100, 1, 50))
    recording = cx.simulate(circuit, {"x": rows})
    taught = cx.learned(circuit, recording)
    assert np.array_equal(cx.realise(taught).edges["x_E"].weight, recording["x_E"]["final_w"].values[0])
    assert cx.verify(taught, {"x": rows}, engines=PYTHON, minimum_spikes=10).agree
    assert cx.from_torch(circuit, cx.to_torch(circuit))


def test_a_finer_grid_learns_as_much() -> None:
    """Intervals stay what they are; a rule that counts on dt being one is refused."""
    learning = rule("reward_stdp", w_max="3 mV", reward="reward", interval="1 ms", rate=0.2)
    circuit = _network(learning).with_parameters({"inputs.reward": {"size": 1, "kind": "current", "rows": 1.0}})
    drawn = cx.realise(circuit, 1).edges["x_E"].weight
    moved = [
        float((cx.simulate(circuit, duration="500 ms", seed=1, dt=dt)["x_E"]["final_w"].values[0] - drawn).mean())
        for dt in ("1 ms", "0.5 ms", "0.1 ms")
    ]
    assert moved[0] > 0
    # Pairs within a coarse step all count as simultaneous, which favours potentiation; a rule bound to dt would learn 2 and 10 times less.
    assert moved[1:] == pytest.approx([moved[0]] * 2, rel=0.4)
    counting = {
        "equations": "dc/dt = -c/(20*ms) : 1",
        "on_pre": "c += 1",
        "every": {"1 ms": "w += c*dt*mV/second"},
        "bounds": {"max": "3 mV"},
    }
    naive = circuit.with_parameters({"projections.x_E.plasticity": counting})
    with pytest.raises(cx.InputError, match="every reads dt"):
        cx.simulate(naive, duration="50 ms", dt="0.5 ms")
    with pytest.raises(cx.InputError, match=r"the recording is on a dt of 0\.5 ms"):
        cx.learned(circuit, cx.simulate(circuit, duration="10 ms", dt="0.5 ms"))


def test_what_is_sent_keeps_its_sign() -> None:
    circuit = _network({"equations": "a : 1", "on_pre": "a += 1", "sends": "1 - a"})
    recording = cx.simulate(circuit, seed=1, duration="200 ms", probes={"E": ["arriving_v", "spikes"]})
    assert recording["E"]["arriving_v"].values.min() == 0.0


def test_gradients_of_masked_branches_are_numbers() -> None:
    """Sums that are 0 divide nothing, not even where the result is not used."""
    circuit = _network(
        {"piece": "normalisation", "w_max": "3 mV", "total": "40 mV", "interval": "5 ms", "wins": "plasticity"}
    )
    circuit = circuit.with_parameters({"projections.x_E.trainable": True, "projections.x_E.weight": "0 mV"})
    network = cx.to_torch(circuit, dtype=torch.float64)
    _, state = network(None, n_steps=20)
    state.edges["x_E"]["w"].sum().backward()
    assert bool(network.pathway("x_E").magnitude.grad.isfinite().all())


def test_gradients_go_through_a_rule() -> None:
    """The derivative of what arrives in the end by the weights at the start, against differences."""
    circuit = plastic.told(
        {
            "equations": "dx/dt = -x/tau : 1", "on_pre": "x += 1\nw += 0.1*w*x", "parameters": {"tau": "10 ms"},
            "bounds": {"max": "9 nS"}, "wins": "plasticity",
        }, 3, {"distribution": "uniform", "low": "0.2 nS", "high": "1 nS"},
    ).with_parameters({"projections.learning.trainable": True})  # fmt: skip
    random = np.random.default_rng(0)
    rows = {n: torch.tensor((random.random((30, 2, k)) < 0.3).astype(float)) for n, k in (("pre", 3), ("post", 3))}
    rows["reward"] = torch.zeros(30, 2, 1, dtype=torch.float64)
    network = cx.to_torch(circuit, dtype=torch.float64)
    network.probes = {"cell": ("unused",), "learning": ("w",)}

    def loss() -> torch.Tensor:
        outputs, _ = network(rows)
        assert outputs["learning"]["w"].shape == (30, 2, 3)
        return (outputs["cell"]["unused"] ** 2).sum() + outputs["learning"]["w"][-1].sum()

    magnitude = network.pathway("learning").magnitude
    (gradient,) = torch.autograd.grad(loss(), magnitude)
    for k in range(3):
        with torch.no_grad():
            step = torch.zeros(3, dtype=torch.float64)
            step[k] = 1e-6
            differences = []
            for sign in (1, -1):
                magnitude += sign * step
                with torch.enable_grad():
                    differences.append(float(loss().detach()))
                magnitude -= sign * step
        assert float(gradient[k]) == pytest.approx((differences[0] - differences[1]) / 2e-6, rel=1e-6)


@pytest.mark.parametrize("wins", ["plasticity", "gradient"])
def test_who_wins_where_weights_are_trained(wins: str) -> None:
    circuit = plastic.told({**rule("pair_stdp", w_max="1 nS"), "wins": wins}, 2).with_parameters(
        {"projections.learning.trainable": True}
    )
    spikes = torch.ones(5, 1, 2, dtype=torch.float64)
    network = cx.to_torch(circuit, dtype=torch.float64)
    inputs = {"pre": spikes, "post": spikes, "reward": torch.zeros(5, 1, 1, dtype=torch.float64)}
    _, trained = network(inputs)
    with torch.no_grad():
        _, ran = network(inputs)
    assert bool((ran.edges["learning"]["w"] != 0.5).all())
    assert bool((trained.edges["learning"]["w"] == 0.5).all()) == (wins == "gradient")
    assert bool((trained.edges["learning"]["x"] > 1).all())


def test_a_run_goes_on_from_its_state() -> None:
    circuit = _network(rule("pair_stdp", w_max="3 mV"))
    network = cx.to_torch(circuit, dtype=torch.float64, seed=1)
    with torch.no_grad():
        _, whole = network(None, n_steps=200)
        _, half = network(None, n_steps=120)
        _, rest = network(None, half, n_steps=80)
    for name, found in whole.edges.items():
        for key, values in found.items():
            assert torch.equal(values, rest.edges[name][key]), (name, key)


@pytest.mark.parametrize("trial", [0, 1])
def test_what_was_learned_is_a_circuit(trial: int) -> None:
    circuit = _network(rule("pair_stdp", w_max="3 mV"))
    recording = cx.simulate(circuit, seed=3, trials=2)
    taught = cx.learned(circuit, recording, trial)
    for name in ("x_E", "E_E"):
        edges, before = cx.realise(taught, 9).edges[name], cx.realise(circuit, 3).edges[name]
        assert np.array_equal(edges.weight, recording[name]["final_w"].values[trial])
        assert np.array_equal(edges.pre, before.pre)
        assert np.array_equal(*(np.broadcast_to(e.delay, edges.pre.shape) for e in (edges, before)))
    with pytest.raises(cx.InputError, match="of another circuit"):
        cx.learned(taught, recording)
    with pytest.raises(cx.InputError, match="trial: expected an integer between 0 and 1"):
        cx.learned(circuit, recording, 2)


def test_a_compiled_program_takes_other_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights, seeds and parameters of a rule are numbers of the program."""
    from cortexsnn.emit import to_brian2_program

    circuit = _network(rule("pair_stdp", w_max="3 mV"))
    cx.simulate(circuit, seed=1, duration="50 ms", engine="brian2:cpp_standalone")

    def build(*ignored: Any) -> None:
        raise AssertionError("compiled again")

    monkeypatch.setattr(to_brian2_program, "build", build)
    other = circuit.with_parameters({"projections.x_E.plasticity.parameters.a_plus": 0.02})
    for changed, seed in ((circuit, 2), (other, 1)):
        a = cx.simulate(changed, seed=seed, duration="50 ms", engine="brian2:cpp_standalone")
        assert cx.compare(a, cx.simulate(changed, seed=seed, duration="50 ms")).agree
