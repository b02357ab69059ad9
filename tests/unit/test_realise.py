"""What is drawn: by the seed alone, from the stated distribution, and never anew because something else was added."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

import cortexsnn as cx
from cortexsnn.realise import Edges, Realisation, realise
from small_circuit import small

CONNECTIONS: list[dict[str, Any]] = [
    {"probability": 0.3},
    {"probability": 0.3, "autapses": False},
    {"indegree": 20},
    {"indegree": 20, "multapses": False, "autapses": False},
    {"total_number": 3000},
    {"total_number": 3000, "multapses": False, "autapses": False},
]


def recurrent(connect: Any, n: int = 600, **more: Any) -> cx.Circuit:
    """One population of ``n`` cells with one recurrent projection."""
    plain = small(
        without=("inputs/x", "inputs/p", "projections/x_E", "projections/E_out", "populations/out", "readout")
    )
    plain["populations"] = {"E": {**plain["populations"]["E"], "size": n}}
    projection = {"pre": "E", "post": "E", "port": "g", "connect": connect, "weight": "1 nS", "delay": "1 ms"}
    plain["projections"] = {"E_E": {**projection, **more}}
    del plain["neurons"]["rate"]
    return cx.validate(cx.Circuit(**plain))


def edges_of(connect: Any, n: int = 600, seed: int = 0, **more: Any) -> Edges:
    return realise(recurrent(connect, n, **more), seed).edges["E_E"]


def same(a: Realisation, b: Realisation) -> bool:
    return all(
        np.array_equal(getattr(a.edges[name], part), getattr(b.edges[name], part))
        for name in a.edges
        for part in ("pre", "post", "values", "delay")
    )


@pytest.mark.parametrize("connect", CONNECTIONS, ids=str)
def test_the_seed_decides(connect: dict[str, Any]) -> None:
    more = {"weight": {"distribution": "lognormal", "median": "1 nS", "sigma": 0.5}}
    circuit = recurrent(connect, **more)
    assert same(realise(circuit, 3), realise(circuit, 3))
    assert not same(realise(circuit, 3), realise(circuit, 4))


@pytest.mark.parametrize("connect", CONNECTIONS, ids=str)
def test_counts_autapses_and_multapses(connect: dict[str, Any]) -> None:
    n, e = 600, edges_of(connect)
    assert e.pre.dtype == e.post.dtype == np.int32
    for cells in (e.pre, e.post):
        assert set(np.unique(cells)) <= set(range(n))
    order = np.lexsort((e.post, e.pre))
    np.testing.assert_array_equal(order, np.arange(order.size))
    if connect.get("autapses") is False:
        assert not (e.pre == e.post).any()
    else:
        assert (e.pre == e.post).any()
    pairs = np.unique(e.pre.astype(np.int64) * n + e.post).size
    if "indegree" in connect:
        assert (np.bincount(e.post, minlength=n) == connect["indegree"]).all()
    if "total_number" in connect:
        assert e.pre.size == connect["total_number"]
    if "probability" in connect or connect.get("multapses") is False:
        assert pairs == e.pre.size
    else:
        assert pairs < e.pre.size


@pytest.mark.parametrize("connect", CONNECTIONS, ids=str)
def test_partners_are_uniform(connect: dict[str, Any]) -> None:
    """Chi-squared over presynaptic, postsynaptic cells and their difference; 20 seeds, so that a real bias would show."""
    n = 60
    smaller = {**connect, **({"total_number": 900} if "total_number" in connect else {})}
    drawn = [edges_of(smaller, n, seed) for seed in range(20)]
    pre, post = np.concatenate([e.pre for e in drawn]), np.concatenate([e.post for e in drawn])
    for counts in (np.bincount(pre, minlength=n), np.bincount(post, minlength=n)):
        assert counts.var() == 0 or stats.chisquare(counts).pvalue > 1e-4
    difference = np.bincount((post - pre) % n, minlength=n)
    if connect.get("autapses") is False:
        assert difference[0] == 0
        difference = difference[1:]
    assert stats.chisquare(difference).pvalue > 1e-4


def test_a_probability_gives_binomial_counts() -> None:
    """Number of edges of 200 seeds: mean and variance of the binomial distribution."""
    n, p = 40, 0.1
    counts = np.array([edges_of({"probability": p}, n, seed).pre.size for seed in range(200)])
    expected, variance = n * n * p, n * n * p * (1 - p)
    assert abs(counts.mean() - expected) < 4 * math.sqrt(variance / 200)
    assert 0.7 < counts.var(ddof=1) / variance < 1.4


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_probabilities_at_the_ends(p: float) -> None:
    assert edges_of({"probability": p}, 30).pre.size == p * 900


def test_another_projection_or_more_cells_redraw_nothing() -> None:
    plain = small({"projections/E_I/weight": {"distribution": "uniform", "low": "1 nS", "high": "2 nS"}})
    before = realise(cx.validate(cx.Circuit(**plain)), 5)
    plain["projections"]["extra"] = {**plain["projections"]["I_E"], "delay": "5 ms"}
    plain["populations"]["M"] = {**plain["populations"]["M"], "shape": [5, 4, 4]}
    after = realise(cx.validate(cx.Circuit(**plain)), 5)
    assert same(before, Realisation(5, {}, {}, {n: after.edges[n] for n in before.edges}, {}, frozenset()))


def test_a_growing_population_keeps_the_parameters_of_its_first_cells() -> None:
    found = []
    for n in (512, 600):
        tau = {"distribution": "normal", "mean": "10 ms", "std": "1 ms"}
        plain = small({"populations/E/size": n, "populations/E/parameters": {"tau": tau}}, ("projections/x_E",))
        found.append(realise(cx.validate(cx.Circuit(**plain)), 1).parameters["E"]["tau"])
    np.testing.assert_array_equal(found[0], found[1][:512])


def test_growing_the_target_keeps_edges_of_fixed_indegree() -> None:
    """Presynaptic cells of a postsynaptic one depend on its chunk alone, if the sources stay."""
    found = []
    for n in (512, 900):
        plain = small({"projections/E_I/connect": {"indegree": 3}, "populations/I/size": n})
        edges = realise(cx.validate(cx.Circuit(**plain)), 2).edges["E_I"]
        order = np.lexsort((edges.pre, edges.post))
        found.append((edges.pre[order], edges.post[order]))
    np.testing.assert_array_equal(found[0][0], found[1][0][: 512 * 3])
    np.testing.assert_array_equal(found[0][1], found[1][1][: 512 * 3])


DISTRIBUTIONS = [
    ({"distribution": "uniform", "low": "1 nS", "high": "3 nS"}, stats.uniform(1, 2)),
    ({"distribution": "normal", "mean": "5 nS", "std": "1 nS"}, stats.truncnorm(-5, np.inf, 5, 1)),
    ({"distribution": "normal", "mean": "1 nS", "std": "2 nS"}, stats.truncnorm(-0.5, np.inf, 1, 2)),
    ({"distribution": "lognormal", "median": "2 nS", "sigma": 0.7}, stats.lognorm(0.7, scale=2)),
    ({"distribution": "exponential", "mean": "2 nS"}, stats.expon(scale=2)),
    ({"distribution": "gamma", "shape": 3, "scale": "0.5 nS"}, stats.gamma(3, scale=0.5)),
]


@pytest.mark.parametrize(("weight", "expected"), DISTRIBUTIONS, ids=[str(d) for d, _ in DISTRIBUTIONS])
def test_weights_follow_their_distribution(weight: dict[str, Any], expected: Any) -> None:
    values = edges_of("all", 60, weight=weight).weight
    assert (values >= 0).all()
    assert stats.kstest(values, expected.cdf).pvalue > 1e-4


def test_delays_are_whole_steps_and_never_below_their_least() -> None:
    delay = {"distribution": "normal", "mean": "3 ms", "std": "2 ms", "min": "2 ms"}
    steps = edges_of("all", 60, delay=delay).delay
    assert steps.dtype == np.int32
    assert steps.min() == 2
    assert np.unique(steps).size > 5
    free = edges_of("all", 60, delay={"distribution": "exponential", "mean": "0.4 ms"}).delay
    assert free.min() == 1  # drawn delays are at least one step


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, 1), (2, 2, 0), (3, 2, 1), (1, 1, 0), (3, 2, 2)])
def test_conv2d_is_torchs_convolution(kernel: int, stride: int, padding: int) -> None:
    side = (4 + 2 * padding - kernel) // stride + 1
    conv = {"conv2d": {"kernel": kernel, "stride": stride, "padding": padding}}
    plain = small({"populations/N": {"shape": [3, side, side], "neuron": "cell", "transmitter": "mixed"}})
    weight = {"distribution": "normal", "mean": "0 pA", "std": "1 pA"}
    plain["projections"]["M_N"] = {
        "pre": "M",
        "post": "N",
        "port": "I",
        "connect": conv,
        "weight": weight,
        "delay": "1 ms",
    }
    edges = realise(cx.validate(cx.Circuit(**plain)), 0).edges["M_N"]
    x = np.random.default_rng(0).random((2, 4, 4))
    found = np.bincount(edges.post, edges.weight * x.reshape(-1)[edges.pre], 3 * side * side)
    kernels = torch.from_numpy(edges.values.reshape(3, 2, kernel, kernel))
    expected = torch.nn.functional.conv2d(torch.from_numpy(x)[None], kernels, stride=stride, padding=padding)
    np.testing.assert_allclose(found, expected.numpy().reshape(-1), rtol=1e-12)
    assert (edges.values < 0).any()  # a mixed source keeps its signs


def test_poisson_spikes_have_their_rate_and_do_not_depend_on_the_length() -> None:
    plain = small({"inputs/p": {"size": 50, "kind": "poisson", "rate": "40 Hz"}})
    drawn = realise(cx.validate(cx.Circuit(**plain)), 7)
    spikes = drawn.poisson("p", 0, 5000)
    expected = 0.04 * spikes.size
    assert abs(spikes.sum() - expected) < 4 * math.sqrt(expected)
    np.testing.assert_array_equal(drawn.poisson("p", 0, 1500), spikes[:1500])
    other = drawn.poisson("p", 1, 5000)
    assert abs(np.corrcoef(spikes.ravel(), other.ravel())[0, 1]) < 4 / math.sqrt(spikes.size)


@pytest.mark.parametrize("seed", [-1, 0.5, True, "1", None])
def test_a_seed_is_a_whole_number(seed: Any) -> None:
    with pytest.raises(cx.InputError, match="seed: expected an integer >= 0"):
        realise(recurrent("all", 4), seed)


def test_a_rate_above_one_spike_per_step_is_refused() -> None:
    plain = small({"inputs/p/rate": "2 kHz"})
    with pytest.raises(cx.CortexError, match=r"inputs\.p\.rate: .*spikes per step"):
        realise(cx.validate(cx.Circuit(**plain)), 0)
