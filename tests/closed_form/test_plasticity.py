"""Rules against closed forms and published curves: windows, triplets, balance, release, scaling, bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cortexsnn as cx
import plastic
from cortexsnn.plasticity import names, rule

W0, W_MAX = 0.5, 1.0


def _spikes(times: list[list[int]], n_steps: int) -> np.ndarray:
    """(step, edge), where edge k spikes at ``times[k]``."""
    rows = np.zeros((n_steps, len(times)), bool)
    for k, found in enumerate(times):
        rows[found, k] = True
    return rows


def test_every_rule_of_the_catalogue_is_tested_here() -> None:
    tested = {
        "pair_stdp", "triplet_stdp", "reward_stdp", "inhibitory_stdp", "scaling", "normalisation", "log_decay", "short_term", "dendritic_prediction",
    }  # fmt: skip
    assert set(names()) == tested


@pytest.mark.parametrize("dependence", ["additive", "multiplicative"])
def test_the_window_of_pairs(dependence: Any) -> None:
    """Song, Miller and Abbott 2000: exp(-|D|/tau) on either side; a target that fires in the step of an arrival comes after it."""
    lags = np.arange(-60, 61)
    circuit = plastic.told(rule("pair_stdp", w_max="1 nS", tau_minus="30 ms", dependence=dependence), len(lags))
    pre, post = _spikes([[70]] * len(lags), 140), _spikes([[70 + d] for d in lags], 140)
    found = plastic.final(plastic.run(circuit, pre, post)) - W0
    up, down = (1 - W0, W0) if dependence == "multiplicative" else (W_MAX, W_MAX)
    expected = np.where(lags >= 0, 0.005 * up * np.exp(-lags / 20), -0.00525 * down * np.exp(lags / 30))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_delay_moves_the_window() -> None:
    """What counts is when a spike arrives."""
    lags = np.arange(-10, 11)
    circuit = plastic.told(rule("pair_stdp", w_max="1 nS"), len(lags), delay="4 ms")
    pre, post = _spikes([[70]] * len(lags), 140), _spikes([[70 + d] for d in lags], 140)
    found = plastic.final(plastic.run(circuit, pre, post)) - W0
    assert (found[lags < 4] < 0).all()
    assert (found[lags >= 4] > 0).all()
    np.testing.assert_allclose(found[lags == 4], 0.005, rtol=1e-12)


@pytest.mark.parametrize("nearest", [False, True])
def test_pairs_of_trains(nearest: bool) -> None:
    """All pairs, or the nearest ones, summed up by hand."""
    random = np.random.default_rng(3)
    pre, post = (random.random((300, 6)) < 0.05 for _ in range(2))
    circuit = plastic.told(rule("pair_stdp", w_max="1 nS", nearest=nearest), 6)
    found = plastic.final(plastic.run(circuit, pre, post)) - W0
    for edge in range(6):
        a, b = np.flatnonzero(pre[:, edge]), np.flatnonzero(post[:, edge])
        total = 0.0
        for t in b:
            earlier = a[a <= t]
            total += 0.005 * np.exp(-(t - (earlier[-1:] if nearest else earlier)) / 20).sum()
        for t in a:
            earlier = b[b < t]
            total -= 0.00525 * np.exp(-(t - (earlier[-1:] if nearest else earlier)) / 20).sum()
        assert found[edge] == pytest.approx(total, rel=1e-10)


FREQUENCIES = (0.1, 10, 20, 40, 50)
SJOSTROM = {  # Sjöström, Turrigiano and Nelson 2001: change at lags of +10 and -10 ms, and its standard error
    10: ((-0.04, 0.14, 0.29, 0.53, 0.56), (0.05, 0.10, 0.14, 0.11, 0.26)),
    -10: ((-0.29, -0.41, -0.34, 0.56, 0.75), (0.08, 0.11, 0.10, 0.32, 0.19)),
}


def _pairings(frequency: float, lag: int, n: int = 60) -> tuple[list[int], list[int]]:
    period = round(1000 / frequency)
    pre = [20 + k * period for k in range(n)]
    return pre, [t + lag for t in pre]


def _triplets(pre: list[int], post: list[int]) -> float:
    """Pfister and Gerstner 2006, minimal model of visual cortex, by sums over all pairs and triplets of spikes."""
    total = 0.0
    for k, t in enumerate(post):
        r1 = sum(np.exp(-(t - s) / 16.8) for s in pre if s <= t)
        total += 6.5e-3 * r1 * sum(np.exp(-(t - s) / 114) for s in post[:k])
    for t in pre:
        total -= 7.1e-3 * sum(np.exp(-(t - s) / 33.7) for s in post if s < t)
    return total


def test_triplets_and_their_frequencies() -> None:
    """The published curve: 60 pairings at 0.1 to 50 Hz, of which pairs alone would know nothing."""
    cases = [(f, lag) for lag in SJOSTROM for f in FREQUENCIES if f > 1]
    trains = [_pairings(f, lag) for f, lag in cases]
    n_steps = max(max(a + b) for a, b in trains) + 50
    circuit = plastic.told(rule("triplet_stdp", w_max="1 nS", a3_plus=W0 * 6.5e-3, a2_minus=W0 * 7.1e-3), len(cases))
    recording = plastic.run(circuit, _spikes([a for a, _ in trains], n_steps), _spikes([b for _, b in trains], n_steps))
    found = (plastic.final(recording) - W0) / W0
    np.testing.assert_allclose(found, [_triplets(a, b) for a, b in trains], rtol=1e-9)
    for (frequency, lag), change in zip(cases, found, strict=True):
        values, errors = SJOSTROM[lag]
        k = FREQUENCIES.index(frequency)
        assert abs(change - values[k]) < 2 * errors[k], (frequency, lag, change)
    rising = [change for (_, lag), change in zip(cases, found, strict=True) if lag == -10]
    assert rising[0] < 0 < rising[-1]  # depression turns into potentiation at high frequency


def test_inhibition_balances_at_its_target_rate() -> None:
    """Vogels et al. 2011: uncorrelated trains change weights by 2 rho_pre tau (rho_post - target) on average; nothing at the target."""
    random = np.random.default_rng(1)
    n, n_steps, pre_rate, tau = 200, 20_000, 0.01, 20.0
    rates = np.array([2.0, 5.0, 10.0])
    post = np.concatenate([random.random((n_steps, n)) < r / 1000 for r in rates], axis=1)
    pre = random.random((n_steps, 3 * n)) < pre_rate
    circuit = plastic.told(rule("inhibitory_stdp", w_max="1 nS", rate=1e-4, target="5 Hz"), 3 * n)
    moved = (plastic.final(plastic.run(circuit, pre, post)) - W0).reshape(3, n)
    x = 1 / (1 - np.exp(-1 / tau))  # sum of a trace's steps; a spike in the same step counts at the target
    counted = x + x - 1
    expected = 1e-4 * n_steps * pre_rate * (rates / 1000 * counted - 2 * 5 / 1000 * tau)
    error = moved.std(1) / np.sqrt(n)
    assert (np.abs(moved.mean(1) - expected) < 4 * error).all()
    assert moved.mean(1)[0] < -20 * error[0]
    assert moved.mean(1)[2] > 20 * error[2]
    assert abs(moved.mean(1)[1]) < 0.1 * abs(moved.mean(1)[2])


def test_release_of_a_regular_train() -> None:
    """Tsodyks, Pawelzik and Markram 1998: u and x from spike to spike, in closed form, to the steady state."""
    period, u_rest, tau_f, tau_d = 50, 0.3, 300.0, 200.0
    circuit = plastic.told(
        rule("short_term", utilisation=u_rest, tau_recovery="200 ms", tau_facilitation="300 ms"), delay="0 ms"
    )
    times = list(range(10, 3000, period))
    rows = _spikes([times], 3010)
    recording = plastic.run(circuit, rows, np.zeros_like(rows), probes={"cell": ["unused"]})
    released = recording["cell"]["unused"].values[0, times, 0] / W0
    u, x, expected = 0.0, 1.0, []
    for _ in times:
        u += u_rest * (1 - u)
        expected.append(u * x)
        x -= u * x
        u *= np.exp(-period / tau_f)
        x = 1 - (1 - x) * np.exp(-period / tau_d)
    np.testing.assert_allclose(released, expected, rtol=1e-10)
    du, dx = np.exp(-period / tau_f), np.exp(-period / tau_d)
    steady_u = u_rest / (1 - (1 - u_rest) * du)
    assert released[-1] == pytest.approx(steady_u * (1 - dx) / (1 - (1 - steady_u) * dx), rel=1e-6)


def test_depression_alone_keeps_its_utilisation() -> None:
    circuit = plastic.told(rule("short_term", utilisation=0.5, tau_recovery="100 ms"))
    rows = _spikes([[10, 20]], 30)
    recording = plastic.run(circuit, rows, np.zeros_like(rows), probes={"cell": ["unused"]})
    released = recording["cell"]["unused"].values[0, [10, 20], 0] / W0
    np.testing.assert_allclose(released, [0.5, 0.5 * (1 - 0.5 * np.exp(-0.1))], rtol=1e-12)


def test_scaling_is_relative_to_the_target_rate() -> None:
    """A silent target: w grows by gain * interval in every interval."""
    circuit = plastic.told(rule("scaling", w_max="1 nS", interval="10 ms", gain="1 Hz"), 2)
    rows = np.zeros((100, 2), bool)
    firing = rows.copy()
    firing[:, 1] = True
    found = plastic.final(plastic.run(circuit, rows, firing))
    assert found[0] == pytest.approx(W0 * 1.01**10, rel=1e-12)
    assert found[1] < W0


def test_sums_of_weights_are_conserved() -> None:
    spec = {
        "name": "sums", "dt": "1 ms", "duration": "20 ms", "neurons": {"relay": plastic.RELAY},
        "inputs": {"x": {"size": 20, "kind": "poisson", "rate": "50 Hz"}},
        "populations": {"cell": {"size": 5, "neuron": "relay", "transmitter": "excitatory"}},
        "projections": {"x_cell": {"pre": "x", "post": "cell", "port": "unused", "connect": {"probability": 0.5},
                                   "weight": {"distribution": "uniform", "low": "0.1 nS", "high": "1 nS"},
                                   "plasticity": rule("normalisation", w_max="3 nS", total="4 nS", interval="10 ms")}},
    }  # fmt: skip
    circuit = cx.Circuit(**spec)
    node = cx.simulate(circuit, seed=2)["x_cell"]
    before = cx.realise(circuit, 2).edges["x_cell"].weight
    after = node["final_w"].values[0]
    assert np.bincount(node["post"].values, after, 5) == pytest.approx([4.0] * 5, rel=1e-12)
    ratio = after / before
    for cell in range(5):  # every edge onto a cell by the same factor
        assert np.ptp(ratio[node["post"].values == cell]) < 1e-12


def test_a_reward_turns_eligibility_into_weight() -> None:
    """Izhikevich 2007: one pair, a reward a second later, and the integral over it in closed form."""
    circuit = plastic.told(rule("reward_stdp", w_max="1 nS", reward="reward", interval="1 ms", rate=1.0), 2)
    pre, post = _spikes([[10], [10]], 1500), _spikes([[15], [5]], 1500)
    reward = np.zeros((1500, 1))
    reward[1015:1025] = 2.0
    found = plastic.final(plastic.run(circuit, pre, post, reward)) - W0
    tag = np.array([0.005, -0.00525]) * np.exp(-5 / 20)
    ages = np.arange(1015, 1025)[:, None] - np.array([15, 10])
    np.testing.assert_allclose(found, (2.0 / 1000 * tag * np.exp(-ages / 1000)).sum(0), rtol=1e-10)
    unrewarded = plastic.final(plastic.run(circuit, pre, post)) - W0
    assert (unrewarded == 0).all()


def test_a_dendrite_learns_to_predict_its_soma() -> None:
    """Urbanczik and Senn 2014: the prediction's error vanishes on average where phi(V*) is the rate of the spikes."""
    cell = {
        **plastic.RELAY, "update": "u = drive\nf = f*0.9 + p\nh = h*0.72 + p\nd = 0.05*(f - h)",
        "ports": {**plastic.RELAY["ports"], "p": {"kind": "pulse"}},
    }  # fmt: skip
    rate, random = 40.0, np.random.default_rng(0)
    n, n_steps = 40, 30_000
    learning = rule(
        "dendritic_prediction",
        w_max=50.0,
        w_min=0.0,
        interval="1 ms",
        dendrite="d",
        rate=0.005,
        phi_max="150 Hz",
        theta=1.0,
        width=0.2,
    )
    circuit = cx.Circuit(
        name="prediction", dt="1 ms", neurons={"cell": cell},
        inputs={"x": {"size": n, "kind": "poisson", "rate": "20 Hz"}, "soma": {"size": 1, "kind": "spikes"}},
        populations={"cell": {"size": 1, "neuron": "cell", "transmitter": "excitatory"}},
        projections={
            "teacher": {"pre": "soma", "post": "cell", "port": "drive", "connect": "all", "weight": 1.0},
            "x_cell": {"pre": "x", "post": "cell", "port": "p", "connect": "all", "weight": 0.5, "plasticity": learning},
        },
    )  # fmt: skip
    soma = random.random((n_steps, 1)) < rate / 1000
    recording = cx.simulate(circuit, {"soma": soma}, probes={"cell": ["d"]}, seed=1)
    d = recording["cell"]["d"].values[0, :, 0]
    predicted = 150 / (1 + 0.5 * np.exp((1.0 - d) / 0.2))
    assert predicted[:200].mean() < 0.2 * rate
    assert predicted[-20_000:].mean() == pytest.approx(rate, rel=0.05)


def test_weights_stay_within_their_bounds() -> None:
    circuit = plastic.told(rule("pair_stdp", w_max="1 nS", a_plus=0.4, a_minus=0.4), 2)
    steps = [list(range(5, 200, 10)), list(range(8, 200, 10))]
    pre, post = _spikes(steps, 220), _spikes(steps[::-1], 220)
    recording = plastic.run(circuit, pre, post, probes={"learning": ["w"]})
    rows = recording["learning"]["w"].values
    assert rows.min() == 0.0
    assert rows.max() == 1.0
