"""Gradients of self-prediction, gating and learned dynamics: hand-worked values, closed forms, gradcheck."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch

import cortexsnn as cx
from cortexsnn.neurons import piece
from hand_worked import Cell

OFF = "rectangle(1e-9)"
"""A surrogate that is zero off the threshold: what remains is smooth."""


def u_of(pieces: Mapping[str, Any], x: Sequence[float], surrogate: str = OFF) -> tuple[torch.Tensor, torch.Tensor, Any]:
    """Membrane after every step, (step,), the input it depends on, and the network; u is the distance to threshold."""
    circuit = Cell(pieces, inputs={"x": list(x)}).circuit()
    network = cx.to_torch(circuit, dtype=torch.float64, surrogate=surrogate)
    network.probes = {"cell": ("u", "distance")}
    rows = torch.tensor(list(x), dtype=torch.float64).reshape(-1, 1, 1).requires_grad_()
    outputs, _ = network({"x": rows})
    return outputs["cell"]["distance"][:, 0, 0], rows, network


def predicted(reading: str | None, **arguments: Any) -> dict[str, Any]:
    pieces = {"lif": piece("lif", **({"reset": arguments.pop("reset")} if "reset" in arguments else {}))}
    return {**pieces, "prediction": piece("self_prediction", reading=reading, **arguments)} if reading else pieces


COEFFICIENTS = {None: (0.0, 0.0), "A": (0.5, 0.5), "B": (0.5, 0.25), "C": (0.5, -0.25)}
NO_SPIKES = {
    None: [0.015625, 0.03125, 0.0625, 0.125, 0.25, 0.5],
    "A": [0.09375, 0.15625, 0.25, 0.375, 0.5, 0.5],
    "B": [0.0546875, 0.09375, 0.15625, 0.25, 0.375, 0.5],
    "C": [-0.0234375, -0.03125, -0.03125, 0, 0.125, 0.5],
}


@pytest.mark.parametrize("reading", NO_SPIKES)
def test_gradient_to_each_input_without_spikes(reading: str | None) -> None:
    u, rows, _ = u_of(predicted(reading), [0.3] * 6)
    u[-1].backward()
    assert rows.grad is not None
    found = rows.grad.flatten()
    torch.testing.assert_close(found, torch.tensor(NO_SPIKES[reading], dtype=torch.float64), rtol=0, atol=1e-15)
    a, b_x = COEFFICIENTS[reading]
    for n, value in enumerate(reversed(found.tolist())):
        closed = 0.5 * 0.5**n + 0.5 * b_x * (n * 0.5 ** (n - 1) if n else 0.0)  # a = lambda = 1/2, or b_x = 0
        assert value == pytest.approx(closed, abs=1e-15), (a, n)


def test_a_hard_reset_cuts_the_membrane_but_not_the_prediction() -> None:
    x = [0.3, 0.3, 4.0, 0.3, 0.3, 0.3]
    for pieces, expected in (
        (predicted(None, reset="hard"), [0, 0, 0]),
        (predicted("B", reset="hard"), [0.0234375, 0.046875, 0.09375]),
        (predicted("B", reset="hard", detach=("input",)), [0, 0, 0]),
    ):
        u, rows, _ = u_of(pieces, x)
        u[-1].backward()
        assert rows.grad is not None
        torch.testing.assert_close(
            rows.grad.flatten()[:3], torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-15
        )


def test_hiding_the_spikes_of_the_history_removes_their_surrogate() -> None:
    grads = []
    for detach in ((), ("spikes",)):
        u, rows, _ = u_of(predicted("A", detach=detach), [0.9, 0.9, 0.9, 0.9], surrogate="sigmoid(4)")
        u[-1].backward()
        assert rows.grad is not None
        grads.append(rows.grad.flatten())
    assert not torch.equal(grads[0], grads[1])


def test_polynomial_coefficients_by_hand() -> None:
    cell = {"cell": piece("polynomial", degree=2, coefficients=(0, 0.5, 0.25))}
    u, _, network = u_of(cell, [0.5, 0.25, 0.25])
    torch.testing.assert_close(u.detach() + 1, torch.tensor([0.5, 0.5625, 0.6103515625], dtype=torch.float64))
    u[-1].backward()
    found = [float(network.numbers[f"cell:c_{k}"].grad) for k in range(3)]
    assert found == pytest.approx([2.3671875, 0.953125, 0.51171875], abs=1e-15)


def test_gate_and_drive_by_finite_differences() -> None:
    """Away from the edges of the clamp; more conductance lowers a positive membrane, more drive raises it."""
    rows = {"x": [[1, 1], [1, 0], [0, 1], [1, 1]]}
    cell = Cell(
        {"gate": piece("dynamic_gating", tau_s=2.0, threshold=10.0)},
        weights={"g_in": [[0.1], [0.05]], "h_in": [[0.8], [0.4]]}, inputs=rows, kind="spikes",
    )  # fmt: skip
    plain = cell.circuit().model_dump()
    for name in ("w_g_in", "w_h_in"):
        plain["projections"][name]["trainable"] = True
    network = cx.to_torch(cx.Circuit(**plain), dtype=torch.float64, surrogate=OFF)
    network.probes = {"cell": ("u",)}
    leaves = {name: p.detach().clone().requires_grad_() for name, p in network.named_parameters()}

    def last(*values: torch.Tensor) -> torch.Tensor:
        return called(network, dict(zip(leaves, values, strict=True)), cell)[-1, 0, 0]

    assert torch.autograd.gradcheck(last, tuple(leaves.values()))
    for name, gradient in zip(leaves, torch.autograd.grad(last(*leaves.values()), list(leaves.values())), strict=True):
        assert bool((gradient < 0).all() if "g_in" in name else (gradient > 0).all())


def called(network: Any, values: dict[str, torch.Tensor], cell: Cell) -> torch.Tensor:
    """The membrane, (step, trial, neuron), with other values of the parameters."""
    rows = {"x": torch.from_numpy(cell.rows()["x"])}
    outputs, _ = torch.func.functional_call(network, values, (rows,))
    found: torch.Tensor = outputs["cell"]["u"]
    return found


@pytest.mark.parametrize(
    "pieces",
    [
        {"lif": piece("lif", trainable=("tau",))},
        {"lif": piece("parametric_lif")},
        {"lif": piece("gated_lif")},
        {"lif": piece("polynomial", per="neuron")},
        {"lif": piece("quadratic", trainable=("a", "u_1", "u_2"))},
        {"lif": piece("parametric_lif"), "prediction": piece("self_prediction", tau="1 + exp(-w)")},
        {"lif": piece("lif"), "prediction": piece("self_prediction", terms="input")},
    ],
    ids=str,
)  # fmt: skip
def test_every_trainable_number_by_finite_differences(pieces: dict[str, Any]) -> None:
    """Below threshold everything is smooth."""
    cell = Cell(pieces, size=2, weights={"x": [[0.2, 0.3]]}, inputs={"x": [0.3, 0.5, 0.2, 0.4]})
    network = cx.to_torch(cell.circuit(), dtype=torch.float64, surrogate=OFF)
    network.probes = {"cell": ("u",)}
    leaves = {name: p.detach().clone().requires_grad_() for name, p in network.named_parameters()}
    assert leaves

    def loss(*values: torch.Tensor) -> torch.Tensor:
        return (called(network, dict(zip(leaves, values, strict=True)), cell) ** 2).sum()

    assert torch.autograd.gradcheck(loss, tuple(leaves.values()))
    moved = [bool((g != 0).any()) for g in torch.autograd.grad(loss(*leaves.values()), list(leaves.values()))]
    assert sum(moved) >= len(moved) / 2  # what acts through spikes alone has no gradient here
