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
    ("w", "potentials", "spikes", "attached", "detached"),
    [
        (0.5, [0.30, 0.525, 0.10, 0.525], [0, 1, 0, 1], -2.950184, -3.145791),
        (0.2, [0.30, 0.45, 0.10, 0.525], [1, 1, 0, 1], -3.625557, -3.844172),
        (1.0, [0.30, 0.525, 0.23125, 0.557813], [0, 0, 0, 0], -1.213709, -1.259923),
    ],
)
def test_a_learned_threshold_by_hand(
    w: float, potentials: list[float], spikes: list[int], attached: float, detached: float, fused: bool
) -> None:
    """Potentials are those before a spike; what a network returns is what is left, 0 after one."""
    for detach, gradient in ((False, attached), (True, detached)):
        network = _one_cell(w, detach_reset=detach, fused=fused)
        outputs, _ = network({"x": torch.tensor(X, dtype=torch.float64)[:, None, None]})
        assert outputs["E"]["spikes"].detach().flatten().tolist() == spikes
        left = [u * (1 - spiked) for u, spiked in zip(potentials, spikes, strict=True)]
        assert outputs["E"]["u"].detach().flatten().tolist() == pytest.approx(left, abs=1e-6)
        outputs["E"]["spikes"].sum().backward()
        assert float(network.numbers["E:w"].grad) == pytest.approx(gradient, abs=2e-6)


def _cells(cell: dict[str, Any], n: int, weight: float = 1.0) -> cx.Circuit:
    """Cells with an input of their own each."""
    return cx.Circuit(
        name="cells", dt="1 ms", neurons={"cell": cell}, inputs={"x": {"size": n, "kind": "current"}},
        populations={"E": {"size": n, "neuron": "cell", "transmitter": "mixed"}},
        projections={"x_E": {"pre": "x", "post": "E", "port": "x", "connect": "one_to_one", "weight": weight}},
    )  # fmt: skip


@pytest.mark.parametrize(("w", "threshold"), [(0.5, 0.462117), (0.2, 0.197375), (1.0, 0.761594)])
def test_thresholds_by_hand(w: float, threshold: float) -> None:
    rows = np.array([[threshold - 2e-6, threshold + 2e-6]])
    found = cx.simulate(_cells(piece("thresholding_lif", w=w), 2), {"x": rows})["E"]["spikes"].values
    assert found[0, 0].tolist() == [0, 1]


@pytest.mark.parametrize("engine", ["numpy", "torch", "brian2"])
def test_a_potential_at_the_threshold_is_below_it(engine: str) -> None:
    """tanh(20) is 1 in float64."""
    rows = np.array([[1.0, np.nextafter(1.0, 2.0)]])
    found = cx.simulate(_cells(piece("thresholding_lif", w=20.0), 2), {"x": rows}, engine=engine)["E"]["spikes"].values
    assert found[0, 0].tolist() == [0, 1]


def test_a_threshold_that_is_not_trained_is_that_of_a_plain_neuron() -> None:
    rows = 0.8 * np.random.default_rng(0).random((200, 1, 50))
    plain = piece("lif", tau=4 / 3, threshold=math.tanh(0.5), reset="hard", decay_input=False)
    a, b = (
        cx.simulate(_cells(cell, 50), {"x": rows})["E"]["spikes"].values
        for cell in (piece("thresholding_lif", w=0.5, trained=False), plain)
    )
    assert a.sum() > 1000
    assert (a == b).all()


def test_a_learned_threshold_stays_above_0() -> None:
    network = _one_cell(0.5)
    with torch.no_grad():
        network.numbers["E:w"].fill_(-3.0)
    outputs, _ = network({"x": torch.zeros(4, 1, 1, dtype=torch.float64)})
    assert float(network.numbers["E:w"].detach()) == 0.02
    assert outputs["E"]["spikes"].sum() == 0


def test_without_memory_the_threshold_is_a_bias() -> None:
    random = np.random.default_rng(0)
    rows = random.random((50, 1, 1))
    circuit = _cells(piece("thresholding_lif", leak=0.0), 1)
    found = cx.simulate(circuit, {"x": rows})["E"]["spikes"].values[0, :, 0]
    assert (found == (rows[:, 0, 0] > math.tanh(0.5))).all()
    assert 5 < found.sum() < 45


def test_scaling_input_and_threshold_changes_no_spike() -> None:
    """A flat direction of gain and threshold: 200 steps of 20 cells, both times the same factor."""
    rows = np.random.default_rng(1).random((200, 1, 20))

    def spikes(factor: float) -> np.ndarray:
        cell = piece("thresholding_lif", w=math.atanh(factor * math.tanh(0.3)), trained=False)
        circuit = _cells(cell, 20, factor)
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


def test_dropout_draws_once_for_all_steps() -> None:
    network = cx.to_torch(cx.load("feedforward", n_inputs=12, hidden=(8,), n_classes=4))
    add_moderate_dropout(network, "L1")
    for option in ("truncate", "recompute"):
        with pytest.raises(cx.InputError, match=f"{option}: dropout after L1 leaves out features"):
            fit(network, *trains.data(), trains.settings(epochs=1, n_steps=4, **{option: 2}), 0)


def test_shuffled_labels_teach_nothing() -> None:
    """The control of every accuracy here: trained on labels in another order, the network says what chance says of true ones."""
    train, validation = trains.data()
    labels = np.random.default_rng(0).permutation(train.labels)
    pieces = [{"piece": "thresholding_lif", "normalised": True}]
    found = []
    for given in (train, train._replace(labels=labels)):
        network = cx.to_torch(
            cx.load("feedforward", pieces=pieces, n_inputs=12, hidden=(24, 24), n_classes=4), surrogate="rectangle(0.5)"
        )
        add_batch_norm(network, ("L1", "L2"))
        fit(network, given, given, trains.settings(epochs=15, n_steps=4), 0)
        predicted, _ = predict(network, validation.images, repeated(4))
        found.append(float((predicted == validation.labels).mean()))
    assert found[0] > 0.8
    assert found[1] < 0.45


def _score(scores: Any, labels: Any) -> None:
    TwoBranches()(torch.zeros(scores), torch.tensor(labels))


def _network() -> Network:
    return cx.to_torch(cx.load("feedforward", n_inputs=3, hidden=(4,), n_classes=2))


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: add_moderate_dropout(_network(), "L1", "0.2"), r"rate: expected a number in \[0, 1\), got '0.2'"),  # type: ignore[arg-type]
        (lambda: add_moderate_dropout(_network(), "L1", float("nan")), "rate: expected a number"),
        (lambda: add_moderate_dropout(_network(), "L1", 1.5), "rate: expected a number"),
        (lambda: add_moderate_dropout(_network(), "L7"), "unknown population 'L7'; known: L1"),
        (lambda: add_moderate_dropout(_network(), "out"), "projects onto others: unknown population 'out'; known: L1"),
        (lambda: keep_probability(torch.rand(2, 3), float("nan")), "rate: expected a number"),
        (lambda: keep_probability(torch.rand(2, 3), 1.5), "rate: expected a number"),
        (lambda: keep_probability(torch.rand(2, 3), -1), "rate: expected a number"),
        (lambda: keep_probability(torch.tensor([[1.0, math.nan]]), 0.2), "activity: expected finite numbers"),
        (lambda: keep_probability(torch.zeros(0, 3), 0.2), "activity: expected finite numbers"),
        (lambda: _score((5, 3), [0, 1]), r"scores: expected those of two copies of a batch, .* got \(5, 3\)"),
        (lambda: _score((4, 3), [0, 7]), "labels: labels from 0 to 7, there are 3 classes"),
        (lambda: _score((4, 3), [0.0, 1.0]), "labels: expected a tensor of whole numbers"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call: Any, expected: str) -> None:
    with pytest.raises(cx.InputError, match=expected):
        call()


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


def test_a_normalisation_of_each_step_would_forget_how_steps_differ() -> None:
    """The contrast: -1 and 1 in both steps. Variances of all rows, 5, are those within steps, 1, and between their means, 4."""
    rows = torch.tensor([[[1.0], [3.0]], [[5.0], [7.0]]], dtype=torch.float64)
    whole, single = BatchNorm(1, momentum=None, dtype=torch.float64), []
    whole(rows)
    for row in rows:
        single.append(BatchNorm(1, momentum=None, dtype=torch.float64))
        assert single[-1](row[None]).flatten().tolist() == pytest.approx([-1, 1], abs=1e-5)
    within = np.mean([float(norm.running_var) / 2 for norm in single])  # torch keeps unbiased ones, of two rows
    between = np.var([float(norm.running_mean) for norm in single])
    assert (within, between) == pytest.approx((1.0, 4.0))
    assert float(whole.running_mean) == pytest.approx(4.0)
    assert float(whole.running_var) * 3 / 4 == pytest.approx(within + between)


def test_the_gradient_of_gains_by_hand() -> None:
    """Of a step's gain: the sum over what was normalised of its gradient times it; of what is trained, times the slope of the softplus."""
    norm, generator = TemporalBatchNorm(3, 4, torch.float64), torch.Generator().manual_seed(0)
    with torch.no_grad():
        norm.raw.copy_(torch.linspace(-1, 1, 4))
        norm.weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
        norm.bias.copy_(torch.tensor([0.3, -0.2, 0.1]))
    rows, given = (torch.rand(4, 8, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    found = norm(rows)
    (gradient,) = torch.autograd.grad((found * given).sum(), norm.raw)
    flat = rows.flatten(0, 1)
    z = (rows - flat.mean(0)) / torch.sqrt(flat.var(0, correction=0) + 1e-5)
    by_gain = (given * (norm.weight * z + norm.bias)).sum((1, 2))
    torch.testing.assert_close(gradient, by_gain * torch.sigmoid(norm.raw), rtol=1e-12, atol=1e-12)


def test_evaluation_does_not_depend_on_the_batch() -> None:
    norm, generator = TemporalBatchNorm(3, 4, torch.float64), torch.Generator().manual_seed(0)
    for _ in range(20):
        norm(torch.rand(4, 8, 3, generator=generator, dtype=torch.float64))
    rows = torch.rand(4, 8, 3, generator=generator, dtype=torch.float64)
    assert float((norm(rows)[:, :1] - norm(rows[:, :1])).abs().max()) > 0.1
    norm.eval()
    torch.testing.assert_close(norm(rows)[:, :1], norm(rows[:, :1]), rtol=1e-14, atol=1e-14)


def test_without_memory_gains_are_thresholds() -> None:
    """Input times p_t against 1 is input against 1/p_t, at tau 1; with a memory it is not."""
    gains, rows = np.array([1.3, 0.8, 0.7, 1.1]), 2 * np.random.default_rng(0).random((4, 30, 1))
    differ = []
    for tau in (1.0, 4 / 3):
        cell = piece("normalised_lif", tau=tau, reset="hard", temporal=True)
        circuit = cx.load("feedforward", pieces=[cell], n_inputs=1, hidden=(1,), n_classes=2).with_parameters(
            {"projections.x_L1.weight": 1.0, "inputs.gain_L1.rows": cx.Array(gains)}
        )
        spikes = cx.simulate(circuit, {"x": rows})["L1"]["spikes"].transpose("step", "trial", "neuron").values
        assert 20 < spikes.sum() < 100
        differ.append(int((spikes != (rows > 1 / gains[:, None, None])).sum()))
    assert differ[0] == 0 < differ[1]


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
