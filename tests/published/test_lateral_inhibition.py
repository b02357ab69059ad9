"""E/I layers of arXiv 2509.23253 against hand-worked numbers, in every engine that runs without a compiler."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import cortexsnn as cx
from cortexsnn.emit.surrogate import StraightThrough
from cortexsnn.spec import to_plain

X = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [1.0, 1.0]])
U_AFTER_RESET = np.array(
    [[1, 0, 5, -1.75], [-0.5, 0, 0.5, -2.125], [-0.25, 0, 0.25, -0.8125], [-0.125, 0, 19 / 24, -0.40625 - 17 / 12]]
)
U_BEFORE_RESET = np.array(
    [[2, 0, 6, -1.75], [-0.5, 0, 0.5, -2.125], [-0.25, 0, 0.25, -0.8125], [-0.125, 0, 19 / 24, -0.40625 - 17 / 12]]
)
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


@pytest.mark.parametrize("engine", ["numpy", "torch", "brian2"])
def test_four_steps_by_hand(engine: str) -> None:
    probes = {"E1": ["u", "spikes", "I_EE", "I_sub", "I_div", "distance"]}
    recording = cx.simulate(one_layer(), {"image": X}, engine=engine, probes=probes)
    np.testing.assert_array_equal(recording["E1"]["I_sub"].values[0, :, 0], [0.5, 1, 0, 1.5])
    np.testing.assert_array_equal(recording["E1"]["I_div"].values[0, :, 0], [0.25, 0.5, 0, 0.75])
    np.testing.assert_allclose(recording["E1"]["distance"].values[0] + 1, U_BEFORE_RESET, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(recording["E1"]["spikes"].values[0], SPIKES)
    np.testing.assert_allclose(recording["E1"]["u"].values[0], U_AFTER_RESET, rtol=0, atol=1e-12)


def test_trials_do_not_see_each_other() -> None:
    """The minimum is taken per trial: a sample gives the same alone and in a batch."""
    batch = np.random.default_rng(0).random((4, 5, 2)) * (np.arange(5) % 2)[:, None]
    together = cx.simulate(one_layer(), {"image": batch}, engine="torch", probes={"E1": ["u"]})["E1"]["u"].values
    for k in range(5):
        alone = cx.simulate(one_layer(), {"image": batch[:, k]}, engine="torch", probes={"E1": ["u"]})["E1"]["u"].values
        np.testing.assert_array_equal(together[k], alone[0])


def test_zero_replacement_and_its_straight_through_gradient() -> None:
    divisive = torch.tensor([0.0, 0.2, 0.5], dtype=torch.float64, requires_grad=True)
    balance = torch.tensor([0.3, 0.1, -0.2], dtype=torch.float64, requires_grad=True)
    smallest = torch.where(divisive > 0, divisive, torch.inf).amin().detach()
    used = StraightThrough.apply(torch.where(divisive == 0, smallest, divisive), divisive)
    out = balance / used
    out.sum().backward()
    torch.testing.assert_close(out.detach(), torch.tensor([1.5, 0.5, -0.4], dtype=torch.float64))
    torch.testing.assert_close(divisive.grad, torch.tensor([-7.5, -2.5, 0.8], dtype=torch.float64))
    torch.testing.assert_close(balance.grad, torch.tensor([5.0, 5.0, 2.0], dtype=torch.float64))


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
