"""Gradients: finite differences where the network is smooth, formulas for surrogates, hand-worked back-propagation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import cortexsnn as cx
from cortexsnn.emit.surrogate import SURROGATES, Spike, surrogate
from cortexsnn.spec import to_plain


def graded_circuit(connect: Any = "all", **post: Any) -> cx.Circuit:
    """A smooth two-layer circuit: graded cells with exact dynamics, trainable time constant and initial value."""
    plain = {
        "name": "graded",
        "dt": "1 ms",
        "neurons": {
            "leak": {
                "equations": "dv/dt = (x*(2/ms) - v/tau + w/tau) : 1\ndw/dt = (a*v - w)/(2*tau) : 1",
                "ports": {"x": {"kind": "pulse"}},
                "output": "r = tanh(v)",
                "method": "exact",
                "parameters": {"tau": "5 ms", "a": 0.3},
                "initial": {"v": 0.1},
                "trainable": {"tau": {"per": "population", "min": "1 ms"}, "a": {"per": "neuron"}, "v": {"per": "neuron"}},
            }
        },
        "populations": {
            "A": {"shape": [2, 3, 3], "neuron": "leak", "transmitter": "excitatory"},
            "B": {"shape": [2, 3, 3], "neuron": "leak", "transmitter": "inhibitory", **post},
        },
        "inputs": {"image": {"shape": [1, 3, 3], "kind": "current"}},
        "projections": {
            "in_A": {"pre": "image", "post": "A", "port": "x", "connect": "all", "trainable": True,
                     "weight": {"distribution": "uniform", "low": 0.1, "high": 0.3}},
            "A_B": {"pre": "A", "post": "B", "port": "x", "connect": connect, "trainable": True, "delay": "1 ms",
                    "weight": {"distribution": "uniform", "low": 0.1, "high": 0.3}},
            "B_A": {"pre": "B", "post": "A", "port": "x", "connect": {"probability": 0.4}, "trainable": True, "delay": "2 ms",
                    "weight": {"distribution": "uniform", "low": 0.05, "high": 0.1}},
        },
    }  # fmt: skip
    return cx.validate(cx.Circuit(**plain))


@pytest.mark.parametrize("connect", ["all", {"conv2d": {"kernel": 3, "padding": 1}}])
def test_gradcheck_of_a_smooth_recurrent_network(connect: Any) -> None:
    """Weights, shared kernels, time constants through propagators, initial values: float64 finite differences."""
    network = cx.to_torch(graded_circuit(connect), dtype=torch.float64)
    rows = torch.rand(5, 2, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    names = [n for n, _ in network.named_parameters()]
    values = [p for _, p in network.named_parameters()]
    assert len(names) == 9
    mix = torch.randn(18, dtype=torch.float64, generator=torch.Generator().manual_seed(2))

    def loss(*parameters: torch.Tensor) -> torch.Tensor:
        outputs, _ = torch.func.functional_call(network, dict(zip(names, parameters, strict=True)), ({"image": rows},))
        return (outputs["B"]["r"] * mix).sum() + outputs["A"]["r"].square().sum()

    assert torch.autograd.gradcheck(loss, values, eps=1e-6, atol=1e-6, rtol=1e-5)


def test_trained_mode_and_exact_mode_compute_the_same() -> None:
    network = cx.to_torch(graded_circuit(), dtype=torch.float64)
    rows = torch.rand(7, 3, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    trained, _ = network({"image": rows})
    with torch.no_grad():
        exact, _ = network({"image": rows})
    torch.testing.assert_close(trained["B"]["r"].detach(), exact["B"]["r"], rtol=1e-12, atol=1e-13)


def test_a_run_in_two_parts_equals_one() -> None:
    network = cx.to_torch(graded_circuit(), dtype=torch.float64)
    rows = torch.rand(9, 2, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole, _ = network({"image": rows})
        first, state = network({"image": rows[:4]})
        second, _ = network({"image": rows[4:]}, state)
    for name in ("A", "B"):
        assert torch.equal(torch.cat([first[name]["r"], second[name]["r"]]), whole[name]["r"])


FORMULAS = {
    "atan": lambda x: 1 / (1 + (np.pi * x) ** 2),
    "sigmoid": lambda x: 4 * np.exp(-4 * x) / (1 + np.exp(-4 * x)) ** 2,
    "fast_sigmoid": lambda x: 1 / (1 + 10 * np.abs(x)) ** 2,
    "triangle": lambda x: np.maximum(0, 1 - np.abs(x)),
    "rectangle": lambda x: (np.abs(x) < 0.5) * 1.0,
    "gaussian": lambda x: np.exp(-0.5 * (x / 0.4) ** 2) / (0.4 * np.sqrt(2 * np.pi)),
}


@pytest.mark.parametrize("name", SURROGATES)
def test_surrogate_derivative_by_formula(name: str) -> None:
    grid = np.linspace(-3, 3, 61) + 0.01
    distance = torch.tensor(grid, requires_grad=True)
    Spike.apply(distance, (distance > 0).double(), surrogate(name)).sum().backward()
    np.testing.assert_allclose(distance.grad.numpy(), FORMULAS[name](grid), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("detach", [True, False])
def test_three_steps_of_a_lif_by_hand(detach: bool) -> None:
    """u = u/2 + w x, soft reset at 1, triangle surrogate; x = 1, w = 0.9: u = .9, 1.35 (spike), 1.075 (spike).

    With d = 1 - |u - 1| at the three steps (.9, .65, .925) and S = sum of spikes:
    dS/dw = d1 a1 + d2 a2 + d3 a3, where a = du_pre/dw and a' = a/2 + 1 detached, (a (1 - d))/2 + 1 attached.
    """
    plain = {
        "name": "lif",
        "dt": "1 ms",
        "neurons": {
            "lif": {
                "update": "u = 0.5*u + x",
                "ports": {"x": {"kind": "pulse"}},
                "threshold": "u >= 1",
                "reset": "u -= 1",
            }
        },
        "populations": {"P": {"size": 1, "neuron": "lif", "transmitter": "excitatory"}},
        "inputs": {"drive": {"size": 1, "kind": "current"}},
        "projections": {
            "in": {"pre": "drive", "post": "P", "port": "x", "connect": "all", "weight": 0.9, "trainable": True}
        },
    }
    network = cx.to_torch(cx.Circuit(**plain), dtype=torch.float64, surrogate="triangle(1)", detach_reset=detach)
    outputs, _ = network({"drive": torch.ones(3, 1, 1, dtype=torch.float64)})
    assert outputs["P"]["spikes"].flatten().tolist() == [0, 1, 1]
    outputs["P"]["spikes"].sum().backward()
    bump, a, expected = (0.9, 0.65, 0.925), 0.0, 0.0
    kept = 1.0
    for d in bump:
        a = kept * a / 2 + 1
        expected += d * a
        kept = 1.0 if detach else 1 - d
    assert float(network.pathways["in"].magnitude.grad) == pytest.approx(expected, rel=1e-12)


def test_magnitudes_stay_on_their_side_whatever_the_optimiser_does() -> None:
    circuit = cx.load("lateral_inhibition", n_inputs=8, hidden=(16,))
    network = cx.to_torch(circuit)
    optimiser = torch.optim.SGD(network.parameters(), lr=5.0)
    rows = torch.rand(4, 8, 8, generator=torch.Generator().manual_seed(0))
    for _ in range(3):
        optimiser.zero_grad()
        outputs, _ = network({"image": rows})
        torch.nn.functional.cross_entropy(outputs["out"]["logit"].mean(0), torch.arange(8)).backward()
        optimiser.step()
    assert (
        min(float(p.magnitude.min()) for p in network.pathways.values()) < 0
    )  # the optimiser pushed some below zero …
    outputs, _ = network({"image": rows})
    assert min(float(p.magnitude.min()) for p in network.pathways.values()) >= 0  # … and no forward call uses that
    trained = cx.from_torch(circuit, network)
    assert all(p.weight.values.min() >= 0 for p in trained.projections.values())


def test_training_needs_a_threshold_scale_where_the_threshold_has_a_dimension() -> None:
    circuit = cx.load("conductance_ei")
    name = next(iter(circuit.neurons))
    changed = to_plain(circuit)
    changed["neurons"][name].pop("threshold_scale", None)
    network = cx.to_torch(cx.Circuit(**changed))
    with pytest.raises(cx.EngineError, match=r"populations\.\w+: training needs threshold_scale"):
        network(n_steps=2)
