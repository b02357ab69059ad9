"""Sleep as a homeostatic regulariser (Massey et al. 2026): numbers worked by hand, limits, noise, engines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import cortexsnn as cx
import plastic
from cortexsnn.experiments import sleep as experiment
from cortexsnn.experiments.config import SleepConfig
from cortexsnn.experiments.sleep import NO_PULL, NOISE, REST, SLEEP
from cortexsnn.plasticity import rule
from cortexsnn.train.sleep import pull, pulled

SMALL = {"n_inputs": 20, "n_excitatory": 16, "n_inhibitory": 6, "input_weight": 2.0}
LEARNING = ("x_E", "E_E", "E_I", "I_E")


def _asleep(n_steps: int, n_cells: int = 22) -> dict[str, np.ndarray]:
    noise = np.random.default_rng(5).normal(0, NOISE, (n_steps, n_cells))
    return {"x": np.zeros((n_steps, 20)), "noise": noise}


def _awake(n_steps: int) -> dict[str, np.ndarray]:
    rows = np.random.default_rng(6).random((n_steps, 20)) < 0.15
    return {"x": rows, "noise": np.zeros((n_steps, 22))}


def test_the_pull_by_hand() -> None:
    """Target 0.01 and lam 0.99997 over 3 500, 7 000 and 10 000 steps; ln(w/target) is halved after 23 105."""
    found = {}
    for start in ("0.3 nS", "1 nS"):
        circuit = plastic.told(
            rule("log_decay", w_max="25 nS", target="0.01 nS", lam=0.99997, interval="1 ms"), weight=start
        )
        rows = np.zeros((23_105, 1), bool)
        recording = plastic.run(circuit, rows, rows, probes={"learning": ["w"]})
        found[start] = recording["learning"]["w"].values.reshape(-1)
    at = np.array([3500, 7000, 10_000]) - 1
    np.testing.assert_allclose(found["0.3 nS"][at], [0.213740, 0.157517, 0.124243], atol=6e-7)
    np.testing.assert_allclose(found["1 nS"][at], [0.631897, 0.417988, 0.303131], atol=6e-7)
    left = np.log(found["1 nS"][at] / 0.01) / np.log(100)  # lam**n
    np.testing.assert_allclose(left, [0.90032, 0.81058, 0.74081], atol=6e-6)
    assert found["1 nS"][3499] / found["0.3 nS"][3499] == pytest.approx(2.956, abs=6e-4)
    assert np.log(found["1 nS"][-1] / 0.01) == pytest.approx(np.log(100) * 0.99997**23_105, rel=1e-9)
    assert 23_104 < np.log(0.5) / np.log(0.99997) < 23_105


@pytest.mark.parametrize("engine", ["numpy", "torch", "brian2"])
def test_a_short_pull_by_hand(engine: str) -> None:
    """300 steps on magnitudes of 0.3, 0.5 and 1, by the rule."""
    decay = rule("log_decay", w_max="25 nS", target="0.01 nS", lam=0.99997, interval="1 ms")
    rows = np.zeros((300, 1), bool)
    found = [
        plastic.final(plastic.run(plastic.told(decay, weight=w), rows, rows, engine=engine))[0]
        for w in ("0.3 nS", "0.5 nS", "1 nS")
    ]
    np.testing.assert_allclose(found, [0.290996, 0.482778, 0.959578], atol=6e-7)


def test_a_short_pull_of_a_network_by_hand() -> None:
    """The same with signs: 0.3, -0.5 and 1."""
    network = cx.to_torch(cx.load("feedforward"), seed=1)
    w = network.pathway(next(iter(network.pathways))).magnitude
    with torch.no_grad():
        w.view(-1)[:3] = torch.tensor([0.3, -0.5, 1.0])
    pull(network, 0.01, 0.99997, 300)
    np.testing.assert_allclose(w.detach().view(-1)[:3].numpy(), [0.290996, -0.482778, 0.959578], atol=1e-6)


def test_the_control_by_hand() -> None:
    """500 iterations at 0.999 towards 0.2: a pull, which raises what is below."""
    assert pytest.approx(0.606379, abs=6e-7) == 0.999**500
    found = pulled(torch.tensor([0.05, 0.5, 0.2], dtype=torch.float64), 0.2, 0.999, 500)
    np.testing.assert_allclose(found.numpy(), [0.086288, 0.348604, 0.2], atol=1e-6)  # the first is 0.0862886


def test_a_network_is_pulled_with_its_signs() -> None:
    network = cx.to_torch(cx.load("feedforward"), seed=1)
    before = {n: network.pathway(n).magnitude.detach().clone() for n in network.pathways}
    pull(network, 0.2, 0.999, 500)
    for name, w in before.items():
        after = network.pathway(name).magnitude.detach()
        assert bool((after.sign() == w.sign()).all())
        torch.testing.assert_close(after.abs(), pulled(w.abs(), 0.2, 0.999, 500), rtol=1e-6, atol=1e-5)


def test_a_nap_keeps_ratios() -> None:
    """Proportional scaling by rho**(1/D) in each of D steps."""
    nap = {
        "every": {"1 ms": "w *= exp(log(rho)/D)"}, "parameters": {"rho": 0.8, "D": 50.0}, "bounds": {"max": "25 nS"},
    }  # fmt: skip
    rows = np.zeros((50, 1), bool)
    found = [plastic.final(plastic.run(plastic.told(nap, weight=w), rows, rows))[0] for w in ("0.2 nS", "0.6 nS")]
    np.testing.assert_allclose(found, [0.16, 0.48], rtol=1e-12)


def test_a_pull_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="lam: expected a number above 0 and not above 1, got 0"):
        rule("log_decay", w_max=1.0, target=0.1, lam=0.0, interval="1 ms")
    with pytest.raises(ValueError, match="target: expected a number above 0"):
        rule("log_decay", w_max=1.0, target=0.0, lam=0.5, interval="1 ms")


def test_sleep_without_pull_and_learning_changes_nothing() -> None:
    circuit = cx.load("sleep_homeostasis", learning=("stdp", "decay"), up=0.0, down=0.0, lam=1.0, **SMALL)
    recording = cx.simulate(circuit, _asleep(2000), seed=1)
    drawn = cx.realise(circuit, 1)
    assert int(recording["E"]["spikes"].sum()) >= 50
    for name in LEARNING:
        np.testing.assert_allclose(recording[name]["final_w"].values[0], drawn.edges[name].weight, rtol=1e-12)


def test_the_closed_form_holds_in_a_noisy_network_that_does_not_learn() -> None:
    circuit = cx.load("sleep_homeostasis", learning=("decay",), **SMALL)
    recording = cx.simulate(circuit, _asleep(3500), seed=1)
    drawn = cx.realise(circuit, 1)
    assert int(recording["E"]["spikes"].sum()) >= 50
    for name in LEARNING:
        expected = 0.01 * (drawn.edges[name].weight / 0.01) ** (0.99997**3500)
        np.testing.assert_allclose(recording[name]["final_w"].values[0], expected, rtol=1e-10)


def test_the_membrane_in_noise() -> None:
    """Without spikes: sd 7.811 mV, and above -55 mV with probability 0.0274; with 2 as a variance it would be 5.523 and 0.0033."""
    circuit = cx.load("sleep_homeostasis", learning=(), **SMALL).with_parameters(
        {"neurons.cell.parameters.V_T": "1 volt"}
    )
    recording = cx.simulate(circuit, _asleep(20_000), seed=1, probes={"E": ["v"]})
    v = recording["E"]["v"].values[0, 500:]
    # a membrane forgets in 30 steps: 16 cells * 19 500 steps are some 5 000 independent values
    assert v.std() == pytest.approx(7.811, rel=0.03)
    assert (v > -55).mean() == pytest.approx(0.0274, abs=0.004)


@pytest.mark.parametrize("learning", [("stdp",), ("stdp", "decay"), ("stdp", "normalisation")])
def test_engines_agree(learning: tuple[str, ...]) -> None:
    circuit = cx.load("sleep_homeostasis", learning=learning, period="500 ms", **SMALL)
    report = cx.verify(circuit, _awake(2000), engines=("numpy", "torch", "brian2"), seed=1, minimum_spikes=1000)
    assert report.agree, str(report)


@pytest.mark.parametrize(
    ("causal", "arrival", "change"),
    [(True, 11, 8e-4), (True, 19, -2.4e-4), (False, 11, -2.4e-4), (False, 19, 8e-4)],
    ids=["a cause gains", "what comes after loses", "turned: a cause loses", "turned: what comes after gains"],
)
def test_one_pair_by_hand(causal: bool, arrival: int, change: float) -> None:
    """4 ms between an arrival and a spike in step 15, tau 10 ms: A+ to one side and A- to the other, swapped in the public code.

    There D = age_post - age_pre, and D >= 0, where the arrival came last, gains A+; for a cause before its effect D is below 0.
    """
    circuit = cx.load("sleep_homeostasis", up=8e-4, down=2.4e-4, causal=causal, **SMALL)
    inputs = {"x": np.zeros((30, 20)), "noise": np.zeros((30, 22))}
    inputs["x"][arrival - 1, 3] = 1  # with the delay of a step
    inputs["noise"][15, 5] = 1.0  # a volt makes cell 5 fire
    recording = cx.simulate(circuit, inputs, seed=1)
    assert np.argwhere(recording["E"]["spikes"].values[0]).tolist() == [[15, 5]]
    learning = recording["x_E"]
    moved = learning["final_w"].values[0] - 2.0
    (edge,) = np.flatnonzero((learning["pre"].values == 3) & (learning["post"].values == 5))
    assert moved[edge] == pytest.approx(change * np.exp(-0.4), rel=1e-9)
    assert not np.delete(moved, edge).any()


def test_thresholds_rise_at_a_spike_and_fall_back() -> None:
    """Up by 3 mV, and back by a hundredth in every step (tau 100 ms, Euler)."""
    circuit = cx.load("sleep_homeostasis", learning=(), **SMALL)
    inputs = {"x": np.zeros((40, 20)), "noise": np.zeros((40, 22))}
    inputs["noise"][2, 0] = inputs["noise"][12, 0] = 1.0
    a = cx.simulate(circuit, inputs, seed=1, probes={"E": ["a"]})["E"]["a"].values[0, :, 0]
    np.testing.assert_allclose(a[[1, 2, 3, 11]], [0, 3, 3 * 0.99, 3 * 0.99**9], rtol=1e-9)
    assert a[12] == pytest.approx(3 + 3 * 0.99**10, rel=1e-9)


def test_sums_are_put_to_what_a_draw_has() -> None:
    """Probability times sources times weight: 1 * 20 * 2, 0.15 * 16 * 0.3, 0.2 * 16 * 0.45 and 0.25 * 6 * 0.4."""
    circuit = cx.load("sleep_homeostasis", learning=("normalisation",), period="10 ms", **SMALL)
    recording = cx.simulate(circuit, _asleep(10), seed=1)
    for name, total in (("x_E", 40.0), ("E_E", 0.72), ("E_I", 1.44), ("I_E", 0.6)):
        found = recording[name]
        sums = np.bincount(found["post"].values, weights=found["final_w"].values[0])
        np.testing.assert_allclose(sums[sums > 0], total, rtol=1e-9, err_msg=name)


def test_probabilities_and_weights_of_a_draw() -> None:
    """Those of the public code, middles of its ranges for two of the weights; within four standard errors."""
    circuit = cx.load("sleep_homeostasis", learning=())
    edges = cx.realise(circuit, 1).edges
    for name, pairs, p, weight in (
        ("x_E", 225 * 200, 0.1, 0.15), ("E_E", 200 * 199, 0.15, 0.3), ("E_I", 200 * 50, 0.2, 0.45), ("I_E", 50 * 200, 0.25, 0.4),
    ):  # fmt: skip
        assert len(edges[name].pre) / pairs == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / pairs)), name
        assert (edges[name].weight == weight).all()
    assert (edges["E_E"].pre != edges["E_E"].post).all()


@pytest.mark.parametrize("arm", [SLEEP, "decay only", NO_PULL, REST])
def test_what_happens_in_a_night(arm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Days without noise; nights without input, with noise of 2 mV unless the arm has none, and 70 steps of 140 long."""
    seen: list[tuple[np.ndarray, np.ndarray, bool]] = []

    def watched(circuit: cx.Circuit, inputs: Any, **options: Any) -> Any:
        plastic_now = circuit.projections["E_E"].plasticity is not None
        seen.append((inputs["x"], inputs["noise"], plastic_now))
        return cx.simulate(circuit, inputs, **options)

    monkeypatch.setattr(experiment, "simulate", watched)
    config = SleepConfig(
        seeds=[0, 1], n_excitatory=40, n_inhibitory=10, images=7, n_steps=20, periods=2, fraction=0.5, engine="numpy"
    )
    measured = experiment.train((config, experiment.TIMING, arm, 0)).measured
    phases = [s for s in seen if s[2]]  # the read-out does not learn
    days, nights = phases[:: 1 if arm == REST else 2], [] if arm == REST else phases[1::2]
    assert [len(x) for x, _, _ in days] == [140, 140]
    assert all(x.any() and not noise.any() for x, noise, _ in days)
    assert [len(x) for x, _, _ in nights] == [70] * (0 if arm == REST else 2)
    for x, noise, _ in nights:
        assert not x.any()
        assert noise.std() == pytest.approx(0.0 if arm == "decay only" else 2e-3, rel=0.06)  # four standard errors
    assert measured["rate I 1"] >= 0


def test_rules_of_another_circuit_on_the_same_edges() -> None:
    awake, asleep = (cx.load("sleep_homeostasis", learning=r, **SMALL) for r in (("stdp",), ("decay",)))
    tired = cx.learned(awake, cx.simulate(awake, _awake(500), seed=1))
    dreaming = cx.with_rules(tired, asleep)
    before = cx.realise(tired, 1).edges["x_E"]
    np.testing.assert_array_equal(cx.realise(dreaming, 1).edges["x_E"].weight, before.weight)
    found = cx.simulate(dreaming, _asleep(10), seed=1)["x_E"]["final_w"].values[0]
    np.testing.assert_allclose(found, 0.01 * (before.weight / 0.01) ** (0.99997**10), rtol=1e-12)
    assert cx.with_rules(dreaming, awake) == tired
    still = cx.with_rules(tired, cx.load("sleep_homeostasis", learning=(), **SMALL))
    assert all(p.plasticity is None for p in still.projections.values())
    with pytest.raises(cx.InputError, match="different projections"):
        cx.with_rules(tired, cx.load("izhikevich"))


NETWORK = cx.to_torch(cx.load("feedforward"), seed=1)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: cx.load("sleep_homeostasis", learning=("decays",)), "learning: unknown rule 'decays'"),
        *(
            (lambda name=name, value=value: cx.load("sleep_homeostasis", **{name: value}), expected)
            for name, value, expected in (
                ("tau", "-5 ms", r"tau \[ms\]: expected a number in \(0.*, got -5"), ("tau", "5 mV", "tau: expected a time"),
                ("input_weight", 0.001, "input_weight: expected a number in \\[0.01, 25.0\\], got 0.001"),
                ("input_weight", 30.0, "input_weight: expected"), ("target", 0.001, "target: expected"), ("target", 26.0, "target: expected"),
                ("lam", 1.1, "lam: expected"), ("up", -1.0, "up: expected"), ("down", float("nan"), "down: expected"),
            )
        ),
        (lambda: pull(NETWORK, 0.0, 0.9, 1), "target: expected a number in"),
        (lambda: pull(NETWORK, 0.2, 1.1, 1), "lam: expected a number in"),
        (lambda: pull(NETWORK, 0.2, 0.0, 1), "lam: expected a number in"),
        (lambda: pull(NETWORK, 0.2, 0.9, -1), "n: expected a whole number in"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call: Any, expected: str) -> None:
    with pytest.raises(cx.InputError, match=expected):
        call()


def test_what_is_not_trained_is_not_pulled() -> None:
    network = cx.to_torch(cx.load("feedforward"), seed=1)
    first, second = (network.pathway(name).magnitude for name in list(network.pathways)[:2])
    first.requires_grad_(False)
    before = first.clone(), second.detach().clone()
    pull(network, 0.2, 0.999, 500)
    assert torch.equal(first, before[0])
    assert not torch.equal(second, before[1])
