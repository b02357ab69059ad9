"""Batch normalisation: folded, the network does in every engine what it did in evaluation mode; what cannot be folded is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import cortexsnn as cx
from cortexsnn.emit.to_torch import Network
from cortexsnn.neurons import piece
from cortexsnn.spec import to_plain
from cortexsnn.train.normalise import add_batch_norm, add_temporal_batch_norm, fold

N_STEPS = 4


def trained() -> tuple[cx.Circuit, Network, torch.Tensor]:
    torch.manual_seed(0)
    circuit = cx.load("lateral_inhibition", n_inputs=12, hidden=(16, 16), n_classes=4, batch_norm=True)
    network = cx.to_torch(circuit, dtype=torch.float64)
    add_batch_norm(network, ("E1", "E2"))
    rows = torch.rand(6, 40, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    cx.initialise(network, {"image": rows})
    for norm in network.normalisation.values():
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
        torch.nn.init.uniform_(norm.bias, 0.0, 0.5)
    for _ in range(60):  # until the running statistics have settled
        network({"image": rows})
    network.eval()
    return circuit, network, rows


def test_folding_changes_nothing_and_the_circuit_agrees_everywhere() -> None:
    circuit, network, rows = trained()
    with torch.no_grad():
        before, _ = network({"image": rows})
        with pytest.raises(cx.InputError, match="fold first"):
            cx.from_torch(circuit, network)
        fold(network)
        after, _ = network({"image": rows})
    assert int(before["E2"]["spikes"].sum()) > 100
    for name in ("E1", "E2"):
        assert torch.equal(before[name]["spikes"], after[name]["spikes"])
    exported = cx.from_torch(circuit, network)
    recording = cx.simulate(exported, {"image": rows.numpy()})
    np.testing.assert_array_equal(
        recording["E2"]["spikes"].transpose("step", "trial", "neuron").values, after["E2"]["spikes"].numpy() > 0
    )
    report = cx.verify(exported, {"image": rows.numpy()}, engines=("numpy", "torch", "brian2"))
    assert report.agree, str(report)


def layers(temporal: bool = True, **changes: Any) -> cx.Circuit:
    """Two layers of normalised cells, the second with a gain input of its own too; ``changes`` are parameters by path."""
    cell = piece("normalised_lif", tau=4 / 3, reset="hard", temporal=temporal)
    circuit = cx.load("feedforward", pieces=[cell], n_inputs=6, hidden=(8, 8), n_classes=3, steps=N_STEPS)
    return circuit.with_parameters(changes)


ROWS = {"x": 3 * torch.rand(N_STEPS, 50, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))}


def settled(network: Network) -> Network:
    """In evaluation mode after 60 batches, with scales, shifts and gains that are not those of the start."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for norm in network.normalisation.values():
            for values, low, high in ((norm.weight, 0.5, 1.5), (norm.bias, 0.2, 0.8)):
                values.copy_(low + (high - low) * torch.rand(values.shape, generator=generator))
            if hasattr(norm, "raw"):
                norm.raw.copy_(torch.linspace(-1, 2, N_STEPS))
    network.train()
    for _ in range(60):
        network(ROWS)
    return network.eval()


def folds_exactly(network: Network) -> bool:
    with torch.no_grad():
        before, _ = network(ROWS)
        fold(network)
        after, _ = network(ROWS)
    assert int(before["L2"]["spikes"].sum()) > 100
    return all(torch.equal(before[name]["spikes"], after[name]["spikes"]) for name in ("L1", "L2"))


@pytest.mark.parametrize(
    "changes",
    [
        {"populations.L1.parameters.k_x": 2.0},
        {"inputs.gain_L1.rows": 0.5},
        {"inputs.gain_L1.rows": cx.Array(np.array([0.5, 2.0, 1.0, 0.8]))},
        {"projections.gain_L1_L1.weight": 3.0},
    ],
)  # fmt: skip
def test_what_is_there_is_kept(changes: dict[str, Any]) -> None:
    """A gain of cells, rows or weights of the gain input that are not 1: folding multiplies them."""
    network = cx.to_torch(layers(**changes), surrogate="triangle", dtype=torch.float64)
    add_temporal_batch_norm(network, ("L1", "L2"), N_STEPS)
    assert folds_exactly(settled(network))


@pytest.mark.parametrize("temporal", [False, True])
def test_folding_twice(temporal: bool) -> None:
    """A network that was folded is normalised and folded again, onto gains and offsets that are there; steps keep theirs."""
    network = cx.to_torch(layers(temporal), surrogate="triangle", dtype=torch.float64)
    if temporal:
        add_temporal_batch_norm(network, ("L1", "L2"), N_STEPS)
    else:
        add_batch_norm(network, ("L1", "L2"))
    assert folds_exactly(settled(network))
    add_batch_norm(network, ("L1", "L2"))
    assert folds_exactly(settled(network))


def test_a_small_variance_is_folded_with_what_is_added_to_it() -> None:
    """Running variances of 1e-6 beside an epsilon of 1e-5: without it gains would be three times as large."""
    network = cx.to_torch(layers(temporal=False), surrogate="triangle", dtype=torch.float64)
    add_batch_norm(network, ("L1",))
    network.eval()
    norm = network.normalisation["L1:x"]
    norm.running_var.fill_(1e-6)
    norm.running_mean.fill_(0.25)
    fold(network)
    assert network.overrides["L1"]["k_x"] == pytest.approx(np.full(8, 1.1e-5**-0.5), rel=1e-12)
    assert network.overrides["L1"]["b_x"] == pytest.approx(np.full(8, -0.25 * 1.1e-5**-0.5), rel=1e-12)


def _shared() -> Network:
    """Both layers take their gains from one input."""
    plain = to_plain(layers())
    plain["inputs"].pop("gain_L2")
    plain["projections"].pop("gain_L2_L2")
    plain["projections"]["gain_L1_L2"] = {
        "pre": "gain_L1", "post": "L2", "port": "p_x", "connect": "all", "weight": 1.0,
    }  # fmt: skip
    return cx.to_torch(cx.Circuit(**plain))


def _network(temporal: bool = True, **changes: Any) -> Network:
    return cx.to_torch(layers(temporal, **changes))


def _twice() -> None:
    network = _network()
    add_temporal_batch_norm(network, ("L1",), N_STEPS)
    add_batch_norm(network, ("L1",))


def _one_row() -> None:
    network = _network(temporal=False)
    add_batch_norm(network, ("L1",))
    network({"x": torch.rand(1, 1, 6)})


def _trained_gain() -> None:
    cell = {**piece("normalised_lif"), "trainable": {"k_x": {}}}
    add_batch_norm(cx.to_torch(cx.load("feedforward", pieces=[cell], n_inputs=3, hidden=(4,), n_classes=2)), ("L1",))


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: add_temporal_batch_norm(_shared(), ("L1",), 4), "gain_L1, which also reaches L2; give L1 an input of its own"),
        (lambda: add_temporal_batch_norm(_network(**{"populations.L1.parameters.b_x": 0.1}), ("L1",), 4), "L1: has an offset b_x"),
        (lambda: add_temporal_batch_norm(_network(**{"inputs.gain_L1.rows": cx.Array(np.ones(3))}), ("L1",), 4), "rows of 3 steps and the normalisation gains of 4"),
        (lambda: add_temporal_batch_norm(_network(temporal=False), ("L1",), 4), "needs a feed-forward population with port x and p_x"),
        (lambda: add_temporal_batch_norm(_network(), ("L1",), 0), r"n_steps: expected a whole number in \[1, inf\), got 0"),
        (lambda: add_temporal_batch_norm(_network(), ("L1",), -1), "n_steps: expected a whole number"),
        (lambda: add_temporal_batch_norm(_network(), ("L1",), 2.5), "n_steps: expected a whole number"),  # type: ignore[arg-type]
        (lambda: add_batch_norm(_network(), "L1"), "expected several names, got the text 'L1'"),
        (lambda: add_batch_norm(_network(), ["L9"]), "unknown population 'L9'; known: L1, L2, out"),
        (lambda: add_batch_norm(_network(), ["L1"], "I_EE"), "L1: batch normalisation needs"),
        (_twice, "L1: is normalised already"),
        (_one_row, "one step of one trial has no variance"),
        (_trained_gain, "L1: k_x would take the folded normalisation, and is trained itself"),
    ],
)  # fmt: skip
def test_what_cannot_be_folded_is_refused(call: Any, expected: str) -> None:
    with pytest.raises(cx.InputError, match=expected):
        call()
