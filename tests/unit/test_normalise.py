"""Batch normalisation: folded, the network does in every engine what it did in evaluation mode."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import cortexsnn as cx
from cortexsnn.emit.to_torch import Network
from cortexsnn.train.normalise import add_batch_norm, fold


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


def test_only_what_can_be_folded_is_normalised() -> None:
    network = cx.to_torch(cx.load("lateral_inhibition", n_inputs=12, hidden=(16,), n_classes=4))
    with pytest.raises(cx.InputError, match="E1: batch normalisation needs"):
        add_batch_norm(network, ["E1"], "I_EE")
