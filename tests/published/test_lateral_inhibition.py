"""E/I layers of arXiv 2509.23253 against hand-worked numbers, in every engine that runs without a compiler."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import cortexsnn as cx
from cortexsnn.neurons import piece
from cortexsnn.spec import to_plain
from hand_worked import Cell

ENGINES = ["numpy", "torch", "brian2"]
COMPILED = pytest.param("brian2:cpp_standalone", marks=[pytest.mark.slow, pytest.mark.compiled])

X = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [1.0, 1.0]])
U_AFTER_RESET = np.array(
    [[1, 0, 5, -1.75], [-0.5, 0, 0.5, -2.125], [-0.25, 0, 0.25, -0.8125], [-0.125, 0, 19 / 24, -0.40625 - 17 / 12]]
)
U_BEFORE_RESET = np.array(
    [[2, 0, 6, -1.75], [-0.5, 0, 0.5, -2.125], [-0.25, 0, 0.25, -0.8125], [-0.125, 0, 19 / 24, -0.40625 - 17 / 12]]
)
I_INT = np.array([[2, 0, 6, -1.75], [-1, 0, -2, -1.25], [0, 0, 0, 0.25], [0, 0, 2 / 3, -17 / 12]])
SPIKES = np.array([[1, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], dtype=bool)


def one_layer() -> cx.Circuit:
    """Four E cells, one interneuron: W_EE (post, pre) = [[1, .5], [.5, 1], [2, 0], [0, .25]], W_IE = [[.5, 1]], W_EI = 1, g_I = .5."""
    plain = to_plain(cx.load("lateral_inhibition", n_inputs=2, hidden=(4,), n_classes=4))
    plain["projections"]["image_E1"]["weight"] = np.array([[1, 0.5], [0.5, 1], [2, 0], [0, 0.25]]).T
    plain["projections"]["image_I1"]["weight"] = np.array([[0.5], [1.0]])
    plain["projections"]["I1_E1"]["weight"] = 1.0
    plain["populations"]["I1"]["parameters"] = {"g_I": 0.5}
    plain["populations"]["E1"]["parameters"]["b_E"] = [0.0, 0.0, 0.0, 0.25]
    return cx.validate(cx.Circuit(**plain))


def drive_of(node: Any, tau: float = 2.0) -> np.ndarray:
    """I_int, (step, neuron): the membrane before the reset less what is left of it from the step before."""
    u = node["u"].values[0]
    before = np.concatenate([np.zeros_like(u[:1]), u[:-1]])
    return np.asarray(node["distance"].values[0] + 1 - (1 - 1 / tau) * before)


@pytest.mark.parametrize("engine", [*ENGINES, COMPILED])
def test_four_steps_by_hand(engine: str) -> None:
    probes = {"E1": ["u", "spikes", "I_EE", "I_sub", "I_div", "distance"]}
    recording = cx.simulate(one_layer(), {"image": X}, engine=engine, probes=probes)
    np.testing.assert_array_equal(recording["E1"]["I_sub"].values[0, :, 0], [0.5, 1, 0, 1.5])
    np.testing.assert_array_equal(recording["E1"]["I_div"].values[0, :, 0], [0.25, 0.5, 0, 0.75])
    np.testing.assert_allclose(recording["E1"]["distance"].values[0] + 1, U_BEFORE_RESET, rtol=0, atol=1e-12)
    np.testing.assert_allclose(drive_of(recording["E1"]), I_INT, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(recording["E1"]["spikes"].values[0], SPIKES)
    np.testing.assert_allclose(recording["E1"]["u"].values[0], U_AFTER_RESET, rtol=0, atol=1e-12)


def test_trials_do_not_see_each_other() -> None:
    """The minimum is taken per trial: a sample gives the same alone and in a batch."""
    batch = np.random.default_rng(0).random((4, 5, 2)) * (np.arange(5) % 2)[:, None]
    together = cx.simulate(one_layer(), {"image": batch}, engine="torch", probes={"E1": ["u"]})["E1"]["u"].values
    for k in range(5):
        alone = cx.simulate(one_layer(), {"image": batch[:, k]}, engine="torch", probes={"E1": ["u"]})["E1"]["u"].values
        np.testing.assert_array_equal(together[k], alone[0])


def three_cells(excitation: list[float], subtracted: list[float], divisor: list[float]) -> Cell:
    """One step of ``ei_excitatory``, each cell with its own I_EE, I_sub and I_div."""
    eye = np.eye(3)
    return Cell(
        {"cell": piece("ei_excitatory")}, size=3, weights={"I_EE": eye, "I_sub": eye, "I_div": eye},
        inputs={"x_I_EE": [excitation], "x_I_sub": [subtracted], "x_I_div": [divisor]},
        transmitters={"x_I_EE": "excitatory", "x_I_sub": "inhibitory", "x_I_div": "inhibitory", "cell": "excitatory"},
    )  # fmt: skip


ZEROS = {
    # I_div: what u becomes, and the gradients of its sum to I_EE, I_sub, I_div, g_E
    (0.0, 0.2, 0.5): ([1.5, 0.5, -0.4], [5, 5, 2], [-5, -5, -2], [-7.5, -2.5, 0.8], [1.5, 0.5, -0.4]),
    (0.0, 0.0, 0.0): ([0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]),
}
"""For I_EE = .3, .1, 0 and I_sub = 0, 0, .2: a zero among the divisors, and nothing but zeros."""


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("divisor", ZEROS)
def test_zero_replacement(divisor: tuple[float, ...], engine: str) -> None:
    cell = three_cells([0.3, 0.1, 0.0], [0.0, 0.0, 0.2], list(divisor))
    found = cx.simulate(cell.circuit(), cell.rows(), engine=engine, probes={"cell": ["u", "distance"]})["cell"]
    np.testing.assert_allclose(drive_of(found)[0], ZEROS[divisor][0], rtol=0, atol=1e-15 if any(divisor) else 0)


@pytest.mark.parametrize("divisor", ZEROS)
def test_the_gradient_goes_straight_through_the_replacement(divisor: tuple[float, ...]) -> None:
    """Into a cell's own zero, at the value that stands in; the cell that lent the minimum gets nothing for it."""
    cell = three_cells([0.3, 0.1, 0.0], [0.0, 0.0, 0.2], list(divisor))
    network = cx.to_torch(cell.circuit(), dtype=torch.float64)
    network.probes = {"cell": ("distance",)}
    rows = {name: torch.from_numpy(r).requires_grad_() for name, r in cell.rows().items()}
    outputs, _ = network(rows)
    outputs["cell"]["distance"].sum().backward()
    u, *gradients = ZEROS[divisor]
    tolerance = {"rtol": 0.0, "atol": 1e-14 if any(divisor) else 0.0}
    np.testing.assert_allclose(outputs["cell"]["distance"].detach().numpy()[0, 0] + 1, u, **tolerance)
    leaves = [rows["x_I_EE"], rows["x_I_sub"], rows["x_I_div"], network.numbers["cell:g_E"]]
    for leaf, wanted in zip(leaves, gradients, strict=True):
        assert leaf.grad is not None
        np.testing.assert_allclose(leaf.grad.numpy().ravel(), wanted, **tolerance)
    assert network.numbers["cell:b_E"].grad.tolist() == [1, 1, 1]  # the bias is all that is left of a silent layer


def test_silent_input_gives_the_bias_and_no_nan() -> None:
    network = cx.to_torch(one_layer(), dtype=torch.float64, surrogate="sigmoid(4)")
    network.probes = {"E1": ("u",)}
    outputs, _ = network({"image": torch.zeros(1, 1, 2, dtype=torch.float64)})
    assert outputs["E1"]["u"].detach().tolist() == [[[0.0, 0.0, 0.0, 0.25]]]
    outputs["E1"]["u"].sum().backward()
    for parameter in network.parameters():
        assert parameter.grad is None or bool(torch.isfinite(parameter.grad).all())


def test_gradient_of_w_ei_is_divided_by_the_fan_in() -> None:
    rows = torch.rand(4, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    gradients = []
    for scale in (1.0, 0.5):
        plain = to_plain(one_layer())
        plain["projections"]["I1_E1"]["gradient_scale"] = scale
        network = cx.to_torch(cx.Circuit(**plain), dtype=torch.float64, surrogate="sigmoid(4)")
        outputs, _ = network({"image": rows})
        outputs["out"]["logit"].sum().backward()
        gradients.append({n: p.magnitude.grad.clone() for n, p in network.pathways.items()})
    assert float(gradients[0]["I1_E1"].abs().sum()) > 0
    torch.testing.assert_close(gradients[1]["I1_E1"], 0.5 * gradients[0]["I1_E1"], rtol=0, atol=0)
    torch.testing.assert_close(gradients[1]["image_I1"], gradients[0]["image_I1"], rtol=0, atol=0)


def test_initialisation_makes_inhibition_match_excitation() -> None:
    """Binary input of rate .1, d = 576: E[I_EE] = E[I_sub] = 1.652, std(I_EE) = E[I_div] = 0.3 (Monte Carlo, 1 500 samples)."""
    circuit = cx.load("lateral_inhibition", n_inputs=576, hidden=(256,))
    network = cx.to_torch(circuit, seed=1, dtype=torch.float64)
    x = (torch.rand(1, 1500, 576, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) < 0.1).double()
    cx.initialise(network, {"image": x})
    w = {n: network.pathways[n].magnitude.detach() for n in ("image_E1", "image_I1", "I1_E1")}
    gain = network.numbers["I1:g_I"].detach()
    assert float(w["image_E1"].mean()) == pytest.approx(0.0286770, rel=0.01)
    assert float(gain[0]) == pytest.approx(0.1816208, rel=0.01)
    excitation = x[0] @ w["image_E1"].view(576, 256)
    inhibition = x[0] @ w["image_I1"].view(576, 64)
    subtractive = inhibition @ w["I1_E1"].view(64, 256)
    divisive = (inhibition * gain) @ w["I1_E1"].view(64, 256)
    assert float(excitation.mean()) == pytest.approx(1.65179, rel=0.03)
    assert float(subtractive.mean()) == pytest.approx(1.65179, rel=0.03)
    assert float(excitation.std()) == pytest.approx(0.3, rel=0.05)
    assert float(divisive.mean()) == pytest.approx(0.3, rel=0.05)
    # Subtraction removes the shared fluctuation: std(I_int) is sqrt((1 + 1/n_I)/(2 - p)) = 0.731, not 1.
    assert float(((excitation - subtractive) / divisive).std()) == pytest.approx(0.731, rel=0.05)


def test_scaling_excitation_leaves_the_layer_alone() -> None:
    """I_int does not change when W_EE and W_IE, or the input, are multiplied by the same number."""
    x = np.random.default_rng(2).random((6, 1, 2)) + 0.1
    plain = to_plain(one_layer())
    for name in ("image_E1", "image_I1"):
        plain["projections"][name]["weight"] = plain["projections"][name]["weight"].values * 4.0
    base = cx.simulate(one_layer(), {"image": x}, probes={"E1": ["u"]})["E1"]["u"].values
    scaled = cx.simulate(cx.Circuit(**plain), {"image": x}, probes={"E1": ["u"]})["E1"]["u"].values
    np.testing.assert_allclose(scaled, base, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("divisor", ["layer_minimum", "leak"])
def test_without_inhibition_and_with_a_divisor_of_one_it_is_a_lif_neuron(divisor: str, engine: str) -> None:
    """u = u/2 + W_EE x + b: the published cell with 1 sent to I_div, the local one with a leak of 1; W, b exact."""
    random = np.random.default_rng(4)
    w, b = random.integers(0, 6, (6, 8)) / 16, random.integers(-4, 8, 8) / 16
    rows = (random.random((60, 1, 6)) < 0.4).astype(float)
    plain = to_plain(cx.load("lateral_inhibition", n_inputs=6, hidden=(8,), n_classes=4, divisor=divisor, leak=1.0))
    plain["projections"]["image_E1"]["weight"] = w
    plain["projections"]["I1_E1"]["weight"] = 0.0
    plain["populations"]["E1"]["parameters"]["b_E"] = b
    given = {"image": rows}
    if divisor == "layer_minimum":
        plain["inputs"]["one"] = {"size": 1, "kind": "current", "transmitter": "inhibitory"}
        plain["projections"]["one_E1"] = {"pre": "one", "post": "E1", "port": "I_div", "connect": "all", "weight": 1.0}
        given["one"] = np.ones((60, 1, 1))
    found = cx.simulate(cx.Circuit(**plain), given, engine=engine, probes={"E1": ["u", "spikes"]})["E1"]
    lif = Cell(
        {"lif": piece("lif", tau=2.0, decay_input=False)}, size=8, weights={"x": np.vstack([w, b])},
        inputs={"x": np.concatenate([rows[:, 0], np.ones((60, 1))], axis=1)},
    )  # fmt: skip
    wanted = cx.simulate(lif.circuit(), lif.rows(), probes={"cell": ["u", "spikes"]})["cell"]
    assert int(wanted["spikes"].sum()) > 100
    np.testing.assert_array_equal(found["u"].values, wanted["u"].values)
    np.testing.assert_array_equal(found["spikes"].values, wanted["spikes"].values)


DENSE = ({"n_inputs": 20, "hidden": (16, 12), "n_classes": 8}, {"I1_E1": 20, "I2_E2": 16, "I_out_out": 12})
FAN_IN: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    "lateral_inhibition": DENSE,
    "lateral_inhibition_local": DENSE,
    "lateral_inhibition_conv": (
        {"shape": (2, 6, 6), "channels": (8, 4), "pool": (2,), "n_classes": 4},
        {"I1_E1": 2 * 9, "I2_E2": 8 * 9, "I_out_out": 4 * 3 * 3},
    ),
}  # fmt: skip
"""circuit -> arguments, and d of each layer: channels, or channels times the kernel's 3 x 3."""


@pytest.mark.parametrize("name", FAN_IN)
def test_shipped_circuits_divide_the_gradient_of_w_ei_by_the_fan_in(name: str) -> None:
    arguments, fan_in = FAN_IN[name]
    shipped = cx.load(name, **arguments)
    plain = to_plain(shipped)
    for projection in plain["projections"].values():
        projection.pop("gradient_scale", None)
    gradients = []
    rows = torch.rand(4, 3, shipped.inputs["image"].n, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for circuit in (shipped, cx.Circuit(**plain)):
        network = cx.to_torch(circuit, dtype=torch.float64, surrogate="sigmoid(4)")
        outputs, _ = network({"image": rows})
        (outputs["out"]["logit"] ** 2).sum().backward()
        gradients.append({n: m.magnitude.grad for n, m in network.pathways.items() if m.trainable})
    scaled, whole = gradients
    assert set(fan_in) < set(scaled)
    for projection, gradient in whole.items():
        assert float(gradient.abs().sum()) > 0, projection
        expected = gradient / fan_in.get(projection, 1)
        torch.testing.assert_close(scaled[projection], expected, rtol=1e-14, atol=0)


@pytest.fixture(scope="module")
def trained() -> cx.Circuit:
    """A stack after 30 steps of gradient descent, so large that unbounded numbers would have changed their sign."""
    circuit = cx.load("lateral_inhibition", n_inputs=6, hidden=(8, 8), n_classes=4)
    network = cx.to_torch(circuit, seed=6, dtype=torch.float64, surrogate="sigmoid(4)")
    generator = torch.Generator().manual_seed(0)
    rows = torch.rand(6, 32, 6, dtype=torch.float64, generator=generator)
    labels = torch.randint(4, (32,), generator=generator)
    cx.initialise(network, {"image": rows})
    optimiser = torch.optim.Adam(network.parameters(), lr=0.4)
    for _ in range(30):
        optimiser.zero_grad()
        outputs, _ = network({"image": rows})
        torch.nn.functional.cross_entropy(outputs["out"]["logit"].mean(0), labels).backward()
        optimiser.step()
    return cx.from_torch(circuit, network)


def test_no_sign_changes_in_training(trained: cx.Circuit) -> None:
    """Straight after a step of the optimiser: weights, g_E and g_I are >= 0, some of each held at 0; b_E is free."""
    plain = to_plain(trained)
    weights = {name: np.asarray(p["weight"].values) for name, p in plain["projections"].items()}
    gains = {
        name: np.concatenate([plain["populations"][f"{name[-1]}{k}"]["parameters"][name].values for k in (1, 2)])
        for name in ("g_E", "g_I")
    }
    for name, values in {**weights, **gains}.items():
        assert values.min() >= 0, name
        assert values.max() > 0, name
    for held in (*gains.values(), np.concatenate(list(weights.values()))):
        assert (held == 0).any()
    biases = np.concatenate([plain["populations"][f"E{k}"]["parameters"]["b_E"].values for k in (1, 2)])
    assert biases.min() < 0 < biases.max()


@pytest.mark.parametrize("engine", ENGINES)
def test_one_more_presynaptic_spike_never_lowers_excitation(trained: cx.Circuit, engine: str) -> None:
    """Each E cell of the first layer in turn is made to spike in every step; the others stay as they were."""
    rows = np.random.default_rng(1).random((6, 1, 6))

    def run(circuit: cx.Circuit) -> tuple[np.ndarray, np.ndarray]:
        found = cx.simulate(circuit, {"image": rows}, engine=engine, probes={"E1": ["spikes"], "E2": ["I_EE"]})
        return found["E1"]["spikes"].values[0], found["E2"]["I_EE"].values[0]

    spikes, excitation = run(trained)
    raised = 0
    for cell in range(8):
        biases = np.array(to_plain(trained)["populations"]["E1"]["parameters"]["b_E"].values)
        biases[cell] = 1e3
        more, changed = run(trained.with_parameters({"populations.E1.parameters.b_E": cx.Array(biases)}))
        assert more[:, cell].all()
        np.testing.assert_array_equal(np.delete(more, cell, 1), np.delete(spikes, cell, 1))
        assert (changed >= excitation).all()
        raised += int((changed > excitation).any())
    assert raised >= 4
