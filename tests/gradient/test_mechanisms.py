"""Gradients of self-prediction, gating and learned dynamics: hand-worked values, closed forms, gradcheck."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
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


ROWS = {"x": [[1, 1], [1, 0], [0, 1], [1, 1], [0, 1], [1, 0]]}
GATE = {"g_in": [[0.1, 0.02], [0.05, 0.15]], "h_in": [[0.5, 0.2], [0.3, 0.6]]}
BACK = {"g_in": [[0.1, 0.2], [0.15, 0.05]], "h_in": [[0.1, 0.2], [0.3, 0.1]]}
EI = {"I_EE": [[0.6, 0.2], [0.4, 0.9]], "I_sub": [[0.1, 0.2], [0.2, 0.1]], "I_div": [[0.5, 0.3], [0.4, 0.6]]}
EI_ROWS = {f"x_{port}": [[0.5, 0.2], [0.3, 0.6], [0.4, 0.1]] for port in EI}
EI_SOURCES = {"x_I_EE": "excitatory", "x_I_sub": "inhibitory", "x_I_div": "inhibitory", "cell": "excitatory"}
CONDUCTANCES = {"x_g_e": ROWS["x"], "x_g_i": ROWS["x"][::-1]}


def ei(*pieces: str, divisor: str) -> Cell:
    made = {name: piece(name, **({} if name == "lif" else {"divisor": divisor})) for name in pieces}
    return Cell(made, 2, EI, EI_ROWS, transmitters=EI_SOURCES)


def gated(recurrent: bool = False, **arguments: Any) -> Cell:
    ports = ("g_in",) if arguments.get("form") == "simplified" else ("g_in", "h_in")
    back = {port: BACK[port] for port in ports} if recurrent else {}
    weights = {port: GATE[port] for port in ports}
    return Cell({"cell": piece("dynamic_gating", tau_s=2.0, **arguments)}, 2, weights, ROWS, "spikes", back)


def learns(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    return {**fields, "trainable": {name: {} for name in names}}


def distal(spikes: bool) -> Cell:
    soma = learns(piece("lif_units", refractory="0 ms"), "tau_m", "R", "E_L", *(("V_R",) if spikes else ()))
    top = learns(piece("distal_prediction"), "a_p", "b_x", "tau_d", "R_d", "E_d", "g_c", *(("b_s",) if spikes else ()))
    weights = {"I": [[9000.0 if spikes else 90.0, 150.0], [200.0, 250.0]], "I_d": [[30.0, 20.0], [10.0, 40.0]]}
    return Cell({"soma": soma, "top": top}, 2, weights, ROWS, "spikes", units={"I": "pA", "I_d": "pA"})


def adaptive_exponential(spikes: bool) -> Cell:
    names = ("C", "g_L", "E_L", "V_T", "Delta_T", "a", "tau_w", *(("V_R", "b") if spikes else ()))
    fields = learns(piece("adaptive_exponential"), *names)
    gain = 20.0 if spikes else 1.0
    weights = {"I": [[900.0 * gain, 1200.0], [700.0, 500.0]]}
    return Cell({"cell": fields}, 2, weights, ROWS, "spikes", units={"I": "pA"})


def conductances(spikes: bool) -> Cell:
    fields = learns(piece("conductance_gating"), "C_m", "g_L", "E_e", "E_i", "tau_e", "tau_i")
    weights = {"g_e": [[40.0 if spikes else 2.0, 3.0], [1.0, 2.0]], "g_i": [[1.0, 2.0], [3.0, 1.0]]}
    sources = {"x_g_e": "excitatory", "x_g_i": "inhibitory", "cell": "excitatory"}
    return Cell(
        {"cell": fields}, 2, weights, CONDUCTANCES, "spikes", units={"g_e": "nS", "g_i": "nS"}, transmitters=sources
    )


def discrete(fields: dict[str, Any], gain: float, **initial: float) -> Cell:
    weights = {"x": [[0.4 * gain, 0.1], [0.3, 0.2 * gain]]}
    return Cell({"cell": {**fields, "initial": initial}}, 2, weights, {"x": [[0.6, 0.7], [0.2, 0.5], [0.9, 0.4]]})


SMOOTH: dict[str, tuple[Cell, bool]] = {
    # cells, and whether they fire
    "E/I drive, layer minimum": (ei("lif", "ei_drive", divisor="layer_minimum"), False),
    "E/I drive, leak": (ei("lif", "ei_drive", divisor="leak"), False),
    "E/I cell, layer minimum": (ei("ei_excitatory", divisor="layer_minimum"), True),
    "E/I cell, leak": (ei("ei_excitatory", divisor="leak"), False),
    "complementary": (discrete(learns(piece("complementary_lif"), "tau"), 1.0, c=0.4), False),
    "complementary, spiking": (discrete(learns(piece("complementary_lif"), "tau"), 4.0), True),
    "adaptive": (discrete(learns(piece("adaptive_lif"), "tau", "beta", "tau_b", "v_th"), 1.0, b=0.5), False),
    "adaptive, spiking": (discrete(learns(piece("adaptive_lif"), "tau", "beta", "tau_b", "v_th"), 8.0), True),
    "adaptive exponential": (adaptive_exponential(False), False),
    "adaptive exponential, spiking": (adaptive_exponential(True), True),
    "distal prediction": (distal(False), False),
    "distal prediction, spiking": (distal(True), True),
    "conductances": (conductances(False), False),
    "conductances, spiking": (conductances(True), True),
    "sigmoid gate": (gated(phi="sigmoid", threshold=10.0), False),
    "sigmoid gate, simplified": (
        gated(phi="sigmoid", form="simplified", trainable=("reversal",), threshold=10.0),
        False,
    ),
    "recurrent gate": (gated(True), True),
    "recurrent sigmoid gate": (gated(True, phi="sigmoid"), True),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_cells_and_synapses_by_finite_differences(name: str) -> None:
    """The distance to threshold, to every weight and every trainable number, each in units of its own size.

    With a surrogate that is zero off the threshold the derivative is exact between spikes: a number that is moved a
    little moves the membrane, before and after a reset, but no spike. What acts through spikes that were fired stays:
    weights of recurrent synapses, the adaptation of a threshold, the depth of a reset.
    """
    cell, fires = SMOOTH[name]
    cell = replace(cell, trainable=True)
    network = cx.to_torch(cell.circuit(), dtype=torch.float64, surrogate=OFF)
    network.probes = {"cell": ("distance",)}
    rows = {k: torch.from_numpy(v) for k, v in cell.rows().items()}
    base = {key: p.detach().clone() for key, p in network.named_parameters()}
    size = {key: torch.where(p == 0, torch.ones_like(p), p.abs()) for key, p in base.items()}
    scale = network.dynamics["cell"].step.threshold_scale or 1.0

    fired: list[int] = []

    def distance(*moved: torch.Tensor) -> torch.Tensor:
        values = {key: base[key] + size[key] * m for key, m in zip(base, moved, strict=True)}
        outputs, _ = torch.func.functional_call(network, values, (rows,))
        fired.append(int(outputs["cell"]["spikes"].sum()))
        return outputs["cell"]["distance"] / scale

    leaves = tuple(torch.zeros_like(p).requires_grad_() for p in base.values())
    assert torch.autograd.gradcheck(distance, leaves, atol=1e-7, rtol=1e-5)
    assert set(fired) == {fired[0]}, "a spike moved: finite differences have no meaning"
    assert fired[0] >= 2 if fires else fired[0] == 0
    for key, gradient in zip(base, torch.autograd.grad(distance(*leaves).pow(2).sum(), leaves), strict=True):
        assert bool((gradient.abs() > 1e-6).any()), key
