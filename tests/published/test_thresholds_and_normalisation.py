"""Learned thresholds, moderate dropout, temporal normalisation: numbers worked by hand, limits, and folding in every engine."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import cortexsnn as cx
import trains
from cortexsnn.emit.to_torch import Network
from cortexsnn.neurons import piece
from cortexsnn.train.data import digits
from cortexsnn.train.encode import repeated
from cortexsnn.train.fit import fit, predict
from cortexsnn.train.normalise import BatchNorm, TemporalBatchNorm, add_batch_norm, add_temporal_batch_norm, fold
from cortexsnn.train.settings import Settings
from cortexsnn.train.thresholding import TwoBranches, add_moderate_dropout, keep_probability

# -- learned thresholds (LTMD) ------------------------------------------------------------------------------------------

X = [0.30, 0.45, 0.10, 0.50]


def _one_cell(w: float, **options: Any) -> Network:
    circuit = cx.Circuit(
        name="one", dt="1 ms", neurons={"cell": piece("thresholding_lif", w=w)},
        inputs={"x": {"size": 1, "kind": "current"}}, populations={"E": {"size": 1, "neuron": "cell", "transmitter": "mixed"}},
        projections={"x_E": {"pre": "x", "post": "E", "port": "x", "connect": "all", "weight": 1.0}},
    )  # fmt: skip
    network = cx.to_torch(circuit, dtype=torch.float64, surrogate="rectangle(0.5)", **options)
    network.probes = {"E": ("u",)}
    return network


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(
    ("w", "spikes", "attached", "detached"),
    [
        (0.5, [0, 1, 0, 1], -2.950184, -3.145791),
        (0.2, [1, 1, 0, 1], -3.625557, -3.844172),
        (1.0, [0, 0, 0, 0], -1.213709, -1.259923),
    ],
)
def test_a_learned_threshold_by_hand(
    w: float, spikes: list[int], attached: float, detached: float, fused: bool
) -> None:
    for detach, gradient in ((False, attached), (True, detached)):
        network = _one_cell(w, detach_reset=detach, fused=fused)
        outputs, _ = network({"x": torch.tensor(X, dtype=torch.float64)[:, None, None]})
        assert outputs["E"]["spikes"].detach().flatten().tolist() == spikes
        outputs["E"]["spikes"].sum().backward()
        assert float(network.numbers["E:w"].grad) == pytest.approx(gradient, abs=2e-6)


def test_without_memory_the_threshold_is_a_bias() -> None:
    random = np.random.default_rng(0)
    rows = random.random((50, 1, 1))
    circuit = cx.Circuit(
        name="one", dt="1 ms", neurons={"cell": piece("thresholding_lif", leak=0.0)},
        inputs={"x": {"size": 1, "kind": "current"}}, populations={"E": {"size": 1, "neuron": "cell", "transmitter": "mixed"}},
        projections={"x_E": {"pre": "x", "post": "E", "port": "x", "connect": "all", "weight": 1.0}},
    )  # fmt: skip
    found = cx.simulate(circuit, {"x": rows})["E"]["spikes"].values[0, :, 0]
    assert (found == (rows[:, 0, 0] > math.tanh(0.5))).all()
    assert 5 < found.sum() < 45


def test_scaling_input_and_threshold_changes_no_spike() -> None:
    """A flat direction of gain and threshold: 200 steps of 20 cells, both times the same factor."""
    rows = np.random.default_rng(1).random((200, 1, 20))

    def spikes(factor: float) -> np.ndarray:
        cell = piece("thresholding_lif", w=math.atanh(factor * math.tanh(0.3)), trained=False)
        circuit = cx.Circuit(
            name="cells", dt="1 ms", neurons={"cell": cell}, inputs={"x": {"size": 20, "kind": "current"}},
            populations={"E": {"size": 20, "neuron": "cell", "transmitter": "mixed"}},
            projections={"x_E": {"pre": "x", "post": "E", "port": "x", "connect": "one_to_one", "weight": factor}},
        )  # fmt: skip
        found: np.ndarray = cx.simulate(circuit, {"x": rows})["E"]["spikes"].values
        return found

    assert spikes(1.0).sum() > 1000
    assert (spikes(1.0) == spikes(2.0)).all()


def test_keep_probabilities_by_hand() -> None:
    q = keep_probability(torch.tensor([[0.0, 0.25, 0.5, 1.0]], dtype=torch.float64), 0.2)
    assert q.flatten().tolist() == pytest.approx([0.644444, 0.733333, 0.822222, 1.0], abs=1e-6)
    assert float(q.mean()) == pytest.approx(0.8)
    silent = torch.ones(1, 10)
    silent[0, 0] = 0.0
    clipped = keep_probability(silent, 0.2)
    assert float(clipped[0, 0]) == 0.0
    assert float(clipped.mean()) == pytest.approx(0.9)
    assert (keep_probability(torch.full((2, 3), 0.7), 0.2) == 0.8).all()


def test_the_loss_of_two_branches_by_hand() -> None:
    scores = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
    labels = torch.tensor([0])
    one, two = (float(torch.nn.functional.cross_entropy(s[None], labels)) for s in scores)
    assert (one, two) == pytest.approx((0.239545, 1.551445), abs=1e-6)
    found = float(TwoBranches()(scores, labels))
    assert found == pytest.approx(1.030470, abs=1e-6)
    assert 2 * (found - 0.5 * (one + two)) == pytest.approx(0.269950, abs=1e-6)


def test_moderate_dropout_keeps_the_mean_and_all_steps_alike() -> None:
    torch.manual_seed(0)
    network = cx.to_torch(cx.load("feedforward", n_inputs=12, hidden=(30,), n_classes=4, gain=3.0))
    add_moderate_dropout(network, "L1", 0.3)
    seen = list[tuple[torch.Tensor, torch.Tensor]]()
    module = network.dropout["L1"]
    module.register_forward_hook(lambda m, given, out: seen.append((given[0].detach(), out.detach())))
    rows = {"x": torch.rand(6, 50, 12)}
    for _ in range(40):
        network(rows)
    factors = torch.stack([torch.where(before > 0, after / before, torch.nan).nanmean(0) for before, after in seen])
    before = seen[0][0]
    active = before.sum(0) > 0
    assert int(active.sum()) > 300
    for given, out in seen[:3]:
        ratio = torch.where(given > 0, out / given, torch.nan)
        spread = (ratio - ratio.nanmean(0)).abs()
        assert float(spread[~spread.isnan()].max()) < 1e-5  # one mask for all steps
    kept = factors[:, active]
    assert float(kept.mean()) == pytest.approx(1.0, abs=0.05)
    assert float((kept == 0).float().mean()) > 0.02
    network.eval()
    n = len(seen)
    network(rows)
    assert len(seen) == n


def test_thresholds_train_with_dropout_and_two_branches() -> None:
    """Several layers, thresholds of their own, moved and still above 0; then the circuit agrees in every engine."""
    pieces = [{"piece": "thresholding_lif", "normalised": True}]
    circuit = cx.load("feedforward", pieces=pieces, n_inputs=12, hidden=(24, 24), n_classes=4)
    network = cx.to_torch(circuit, surrogate="rectangle(0.5)", detach_reset=False)
    add_batch_norm(network, ("L1", "L2"))
    add_moderate_dropout(network, "L2")
    history = fit(network, *trains.data(), trains.settings(epochs=15, n_steps=4), 0, objective=TwoBranches())
    assert max(history.validation_accuracy) > 0.8
    thresholds = [math.tanh(float(network.numbers[f"L{k}:w"].detach())) for k in (1, 2)]
    assert all(0 < t < 1 and abs(t - math.tanh(0.5)) > 1e-3 for t in thresholds)
    assert thresholds[0] != thresholds[1]
    fold(network)
    rows = repeated(4)(torch.as_tensor(trains.data()[1].images)).numpy()
    report = cx.verify(
        cx.from_torch(circuit, network), {"x": rows}, engines=("numpy", "torch", "brian2"), minimum_spikes=300
    )
    assert report.agree, str(report)


# -- temporal effective batch normalisation (TEBN) ----------------------------------------------------------------------


def test_temporal_normalisation_by_hand() -> None:
    """One channel, two steps, two samples: mean 4, variance 5 = 1 within + 4 between steps."""
    norm = TemporalBatchNorm(1, 2, torch.float64)
    with torch.no_grad():
        norm.raw.copy_(torch.log(torch.expm1(torch.tensor([2.0, 0.5], dtype=torch.float64))))
    rows = torch.tensor([[[1.0], [3.0]], [[5.0], [7.0]]], dtype=torch.float64)
    found = norm(rows).detach().flatten().tolist()
    assert found == pytest.approx([-2.6833, -0.8944, 0.2236, 0.6708], abs=1e-4)
    assert float(norm.running_var) == pytest.approx(0.9 + 0.1 * 6.6667, abs=1e-4)


def test_gains_of_one_are_plain_normalisation() -> None:
    rows = torch.rand(5, 8, 3, dtype=torch.float64)
    assert torch.equal(TemporalBatchNorm(3, 5, torch.float64)(rows), BatchNorm(3, dtype=torch.float64)(rows) * 1.0)


def test_a_gauge_of_gains_and_scales() -> None:
    rows, norms = torch.rand(4, 6, 2, dtype=torch.float64), [TemporalBatchNorm(2, 4, torch.float64) for _ in range(2)]
    with torch.no_grad():
        for norm, c in zip(norms, (1.0, 2.5), strict=True):
            gains = c * torch.tensor([1.3, 0.8, 0.7, 1.1], dtype=torch.float64)
            norm.raw.copy_(torch.log(torch.expm1(gains)))
            norm.weight.fill_(0.7 / c)
            norm.bias.fill_(0.2 / c)
    torch.testing.assert_close(norms[0](rows), norms[1](rows), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("gains", "spikes"), [([1.0] * 4, [0, 1, 0, 1]), ([1.3, 0.8, 0.8, 1.1], [1, 0, 0, 1])])
def test_what_gains_do_to_spikes(gains: list[float], spikes: list[int]) -> None:
    cell = piece("normalised_lif", tau=4 / 3, reset="hard", temporal=True)
    circuit = cx.load("feedforward", pieces=[cell], n_inputs=1, hidden=(1,), n_classes=2).with_parameters(
        {"projections.x_L1.weight": 1.0, "inputs.gain_L1.rows": cx.Array(np.array(gains))}
    )
    for engine in ("numpy", "torch", "brian2"):
        recording = cx.simulate(circuit, {"x": np.full((4, 1), 0.9)}, engine=engine)
        assert recording["L1"]["spikes"].values[0, :, 0].tolist() == spikes


def _temporal(n_steps: int, **more: Any) -> tuple[cx.Circuit, Network]:
    cell = piece("normalised_lif", tau=4 / 3, reset="hard", temporal=True)
    circuit = cx.load("feedforward", pieces=[cell], hidden=(32, 32), **more)
    network = cx.to_torch(circuit, surrogate="triangle")
    add_temporal_batch_norm(network, ("L1", "L2"), n_steps)
    return circuit, network


def test_steps_one_by_one_and_at_once() -> None:
    """The gain goes with the step, also where a run goes on from a state; beyond the last one there is none."""
    _, network = _temporal(4, n_inputs=5, n_classes=3)
    with torch.no_grad():
        for norm in network.normalisation.values():
            norm.raw.copy_(torch.linspace(-1, 1, 4))
    network.eval()
    rows = torch.rand(4, 3, 5) * 3
    whole, _ = network({"x": rows})
    state, parts = None, []
    for k in range(4):
        outputs, state = network({"x": rows[k : k + 1]}, state)
        parts.append(outputs["L2"]["spikes"])
    assert torch.equal(torch.cat(parts), whole["L2"]["spikes"])
    with pytest.raises(cx.InputError, match="a temporal normalisation of 4 steps, the run has 5"):
        network({"x": rows[:1]}, state)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["batch", "temporal"])
def test_a_normalised_network_trained_on_digits_is_the_same_in_brian2(kind: str) -> None:
    """All 450 held-out images: identical spikes in torch, numpy and Brian2; what the trained network says in evaluation mode."""
    data, n_steps = digits(), 4
    cell = piece("normalised_lif", tau=4 / 3, reset="hard", temporal=kind == "temporal")
    circuit = cx.load("feedforward", pieces=[cell], hidden=(32, 32))
    network = cx.to_torch(circuit, surrogate="triangle")
    if kind == "temporal":
        add_temporal_batch_norm(network, ("L1", "L2"), n_steps)
    else:
        add_batch_norm(network, ("L1", "L2"))
    settings = Settings(epochs=15, n_steps=n_steps)
    fit(network, data.train, data.validation, settings, 0)
    before, _ = predict(network, data.test.images, repeated(n_steps))
    assert (before == data.test.labels).mean() > 0.9
    gains = [n.gains.detach() for n in network.normalisation.values() if isinstance(n, TemporalBatchNorm)]
    fold(network)
    after, _ = predict(network, data.test.images, repeated(n_steps))
    assert (before == after).mean() > 0.99
    exported = cx.from_torch(circuit, network)
    if kind == "temporal":
        assert all(float((g - 1).abs().min()) > 0.02 for g in gains)
        assert max(float(g.std()) for g in gains) > 0.01
        rows = cx.realise(exported).rows["gain_L1"]
        assert rows[:, 0] == pytest.approx(gains[0].numpy(), rel=1e-6)
    images = repeated(n_steps)(torch.as_tensor(data.test.images)).numpy()
    report = cx.verify(
        exported, {"x": images}, engines=("numpy", "torch", "brian2:cpp_standalone"), minimum_spikes=1000
    )
    assert report.agree, str(report)
    logits = report.recordings["brian2:cpp_standalone"]["out"][
        "y" if "y" in report.recordings["numpy"]["out"] else "logit"
    ]
    assert (logits.mean("step").argmax("neuron").values == after).mean() > 0.99
