"""Training by spike times: the sheet's numbers by hand, conservation, what each loss pushes, digits, and the forward pass in every engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from spike_time_gradient import spike_time_gradient

import cortexsnn as cx
from cortexsnn.train.data import digits
from cortexsnn.train.first_spikes import latencies, spike_rows
from cortexsnn.train.spike_times import TimeLayer, TimeNetwork, TimeSettings, fit_times
from cortexsnn.train.time_gradient import Clipping, Response, spike_layer
from cortexsnn.train.time_losses import count_loss, decide, first_spike_loss

RESPONSE = Response(tau_m=7.0, tau_s=4.0, tau_gradient=3.5, threshold=0.8)
KAPPA = [0.71429, 0.51020, 0.36443]


def layer(
    spikes: torch.Tensor, weights: Any, threshold: float = 0.8, response: Response = RESPONSE, **more: Any
) -> torch.Tensor:
    """A layer with these weights as they are, and one threshold."""
    weights = torch.as_tensor(weights, dtype=torch.float64)
    return spike_layer(spikes, weights, torch.full((weights.shape[1],), threshold).double(), response, **more)


def weight(value: list[list[float]]) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64, requires_grad=True)


def rows(steps: list[list[int]], n_steps: int) -> torch.Tensor:
    """(step, 1, channel) with spikes at steps counted from 1."""
    found = torch.zeros(n_steps, 1, len(steps), dtype=torch.float64)
    for channel, at in enumerate(steps):
        for step in at:
            found[step - 1, 0, channel] = 1.0
    return found


def steps_of(spikes: torch.Tensor) -> list[int]:
    found: list[int] = spikes.detach().flatten().nonzero().flatten().tolist()
    return found


def test_the_response_by_hand() -> None:
    expected = [0.25, 0.40179, 0.48501, 0.52119, 0.52584, 0.51005]
    assert RESPONSE.psp(6).tolist() == pytest.approx(expected, abs=1e-5)
    assert int(RESPONSE.psp(50).argmax()) == 4
    assert (RESPONSE.psp(50).diff()[4:] < 0).all()


def test_gradients_by_hand() -> None:
    """Three input spikes, one output spike at 3, where u has risen by 0.48501 and the trace of the gradient is at 1.58892.

    What goes to the times of inputs is the kernel over that trace and adds up to what came; the weight gets -2.34385.
    """
    w, spikes = weight([[1.0]]), rows([[1, 2, 3]], 4).requires_grad_()
    out = layer(spikes, w)
    assert steps_of(out) == [2]
    out.backward(torch.ones_like(out))
    to_times = spikes.grad.flatten()[:3]
    assert to_times.tolist() == pytest.approx([0.22936, 0.32110, 0.44954], abs=1e-5)
    assert float(to_times.sum()) == pytest.approx(1.0, abs=1e-12)
    assert (1.58892 * to_times.flip(0)).tolist() == pytest.approx(KAPPA, abs=1e-5)
    assert float(w.grad) == pytest.approx(-2.34385, abs=1e-5)
    assert float(w.grad) == pytest.approx(-1.13680 / 0.48501, abs=3e-5)


def test_potentials_by_hand() -> None:
    cell = {"piece": "double_exponential", "tau_m": 7.0, "tau_s": 4.0, "threshold": 0.8}
    circuit = cx.load("feedforward", pieces=[cell], n_inputs=1, hidden=(1,), n_classes=2, spikes=True)
    circuit = circuit.with_parameters({"projections.x_L1.weight": 1.0})
    recording = cx.simulate(circuit, {"x": rows([[1, 2, 3]], 3).numpy()[:, 0]}, probes={"L1": ["u"]})
    assert recording["L1"]["u"].values.flatten().tolist() == pytest.approx([0.25, 0.65179, 1.13680], abs=1e-5)


def test_one_spike_fires_late_and_its_gradient_is_bounded() -> None:
    """u rises by 0.036 where it crosses: the factor of the weight is -4, not -27.6; that of the time, 1/kappa, has no bound."""
    w, spikes, clipping = weight([[1.0]]), rows([[1]], 8).requires_grad_(), Clipping()
    out = layer(spikes, w, 0.5, clipping=clipping)
    assert steps_of(out) == [3]
    out.backward(torch.ones_like(out))
    assert float(w.grad) == pytest.approx(-4 * 0.52119, abs=1e-4)
    assert float(spikes.grad[0]) == pytest.approx(1.0)
    assert (clipping.spikes, clipping.clipped) == (1, 1)


@pytest.mark.parametrize("kernel", ["exponential", "original"])
@pytest.mark.parametrize("spread", [0.3, 0.8])
def test_gradients_are_those_of_the_equations(kernel: Any, spread: float) -> None:
    """Against loops over spikes: several output spikes a cell, weights of either sign."""
    random = np.random.default_rng(0)
    spikes = (random.random((25, 3, 6)) < 0.2).astype(float)
    weights, by_time = random.normal(0.2, spread, (6, 4)), random.normal(size=(25, 3, 4))
    expected = spike_time_gradient(spikes, weights, by_time, (7.0, 4.0, 3.5), 0.8, kernel)
    given, w, clipping = torch.tensor(spikes, requires_grad=True), weight(weights.tolist()), Clipping()
    out = layer(given, w, response=Response(7.0, 4.0, 3.5, 0.8, kernel), clipping=clipping)
    out.backward(torch.tensor(by_time))
    np.testing.assert_array_equal(out.detach().numpy(), expected.spikes)
    assert expected.spikes.sum(0).max() >= 3
    assert (weights < 0).any()
    np.testing.assert_allclose(w.grad.numpy(), expected.weights, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(given.grad.numpy(), expected.times, rtol=1e-10, atol=1e-10)
    assert clipping.spikes == expected.spikes.sum()
    if kernel == "original":  # the other kernel has a bound of its own, where its trace is not above 0
        assert clipping.clipped == expected.n_clipped
    assert expected.n_clipped > 3


@pytest.mark.parametrize("kernel", ["exponential", "original"])
def test_times_are_conserved(kernel: Any) -> None:
    """Six inputs, four output spikes: shifting all inputs shifts the outputs, so that gradients by time add up to the same on either side.

    Inputs after the last output spike get none. The published derivative of the response goes below 0, and the sum is kept only where the
    potential rises at every output spike, as it does at weights above 0.
    """
    random = np.random.default_rng(3)
    found = 0
    for _ in range(60):
        spikes = torch.tensor(random.random((30, 1, 6)) < 0.1).double().requires_grad_()
        out = layer(spikes, random.uniform(0.1, 0.6, (6, 1)), response=Response(7.0, 4.0, 3.5, 0.8, kernel))
        given = torch.tensor(random.normal(size=out.shape))
        out.backward(given)
        if out.sum() == 4:
            assert float(spikes.grad.sum()) == pytest.approx(float((given * out.detach()).sum()), rel=1e-9, abs=1e-9)
            assert (spikes.grad[steps_of(out)[-1] + 1 :] == 0).all()
            found += 1
    assert found > 5


def test_scaling_weights_and_threshold_changes_no_spike() -> None:
    random = np.random.default_rng(0)
    weights, spikes = random.uniform(0, 0.5, (6, 4)), torch.tensor(random.random((40, 5, 6)) < 0.2).double()
    base = layer(spikes, weights)
    assert base.sum() > 20
    for c in (0.5, 3.0):
        assert torch.equal(layer(spikes, c * weights, 0.8 * c), base)


# -- standardised weights -----------------------------------------------------------------------------------------------


def test_standardised_weights_by_hand() -> None:
    """Raw weights 1 and 3: mean 2, variance 1; scale 2 and shift 0.5; then the scale is in the threshold, and 9 is cut to 4."""
    cell = TimeLayer(2, 1, RESPONSE, torch.Generator()).double()
    with torch.no_grad():
        cell.raw.copy_(torch.tensor([[1.0], [3.0]]))
        cell.scale.fill_(2.0)
        cell.shift.fill_(0.5)
    unit = 1.00001**-0.5
    assert cell.weights.flatten().tolist() == pytest.approx([-2 * unit + 0.5, 2 * unit + 0.5], abs=1e-12)
    cell.absorb()
    assert cell.weights.flatten().tolist() == pytest.approx([-unit + 0.25, unit + 0.25], abs=1e-12)
    assert float(cell.threshold) == pytest.approx(0.4)
    assert float(cell.scale) == 1.0
    with torch.no_grad():
        cell.raw[1, 0] = 9.0
    cell.absorb()
    assert cell.raw.flatten().tolist() == [1.0, 4.0]


def test_moving_scales_into_thresholds_changes_no_spike() -> None:
    generator = torch.Generator().manual_seed(0)
    cells = TimeLayer(6, 20, RESPONSE, generator).double()
    with torch.no_grad():
        cells.scale.copy_(0.5 + torch.rand(20, generator=generator))
        cells.shift.copy_(torch.rand(20, generator=generator) - 0.3)
    spikes = (torch.rand(40, 5, 6, generator=generator) < 0.2).double()
    before = spike_layer(spikes, cells.weights, cells.threshold, RESPONSE)
    assert before.sum() > 100
    assert torch.equal(cells(spikes), before)
    assert (cells.scale == 1).all()
    assert cells.threshold.unique().numel() == 20


def test_thresholds_give_the_wanted_spikes_in_the_last_third() -> None:
    """Inputs that come early: over all steps cells spike more often than over the last third, which is what is chosen for."""
    generator = torch.Generator().manual_seed(0)
    rates = torch.linspace(0.6, 0.1, 12)[:, None, None]
    spikes = (torch.rand(12, 60, 20, generator=generator) < rates).float()
    network = TimeNetwork((20, 30, 10), Response(), 0)
    network.initialise(spikes, 1.5)
    for cells in network.layers:
        spikes = cells(spikes)
        assert float(spikes[-4:].sum(0).mean()) == pytest.approx(0.5, abs=0.03)
        assert float(spikes.sum(0).mean()) > 1.6


# -- losses -------------------------------------------------------------------------------------------------------------


def _counted(counts: list[int], n_steps: int = 12) -> torch.Tensor:
    spikes = torch.zeros(n_steps, 1, len(counts), dtype=torch.float64)
    for k, n in enumerate(counts):
        spikes[:n, 0, k] = 1.0
    return spikes.requires_grad_()


def test_counting_losses_by_hand() -> None:
    """T = 12, 10 wanted of the label and 1 of others, counts 2, 5, 3, 1: the plain loss pushes all spikes later, the enhanced one earlier."""
    label = torch.tensor([0])
    for enhanced, expected, total in (
        (False, [0.6667, -0.3333, -0.1667, 0], -0.8333), (True, [0.3333, -0.0667, -0.0556, 0], 0.1667),
    ):  # fmt: skip
        spikes = _counted([2, 5, 3, 1])
        loss = count_loss(spikes, label, 10, 1, enhanced)
        assert float(loss) == pytest.approx(3.5)
        loss.backward()
        assert spikes.grad[0, 0].tolist() == pytest.approx(expected, abs=1e-4)
        assert float(spikes.grad.sum()) == pytest.approx(total, abs=1e-4)


@pytest.mark.parametrize(
    ("counts", "of_the_label"), [([2, 5, 3, 1], 0.3333), ([1, 12, 12, 12, 4], 0.75 * 40 / 10)]
)  # fmt: skip
def test_a_label_that_others_drown_pushes_harder(counts: list[int], of_the_label: float) -> None:
    """Times a tenth of the ratio of other spikes to those of the label, 4.5 and 40 here, and never less than once."""
    found = []
    for balanced in (False, True):
        spikes = _counted(counts)
        count_loss(spikes, torch.tensor([0]), 10, 1, balanced=balanced).backward()
        found.append(spikes.grad)
    assert float(found[1][0, 0, 0]) == pytest.approx(of_the_label, abs=1e-4)
    assert torch.equal(found[0][:, :, 1:], found[1][:, :, 1:])


def test_counts_beyond_what_is_wanted_are_no_error() -> None:
    spikes = _counted([11, 0])
    loss = count_loss(spikes, torch.tensor([0]), 10, 1)
    loss.backward()
    assert float(loss) == 0.0
    assert (spikes.grad == 0).all()


def test_the_loss_of_first_spikes_by_hand() -> None:
    """T = 10; label and one other fire first at 5, the third never: logits 0.5, 0.5, -3; ten times ln(2 + exp(-3.5)). Later spikes count nothing."""
    spikes = torch.zeros(10, 1, 3, dtype=torch.float64)
    spikes[4, 0, :2] = spikes[7, 0, 0] = 1.0
    spikes.requires_grad_()
    loss = first_spike_loss(spikes, torch.tensor([0]))
    assert float(loss) == pytest.approx(7.08133, abs=1e-5)
    loss.backward()
    assert spikes.grad[4, 0].tolist() == pytest.approx([0.507437, -0.492563, 0.0], abs=1e-6)
    assert float(spikes.grad.abs().sum()) == pytest.approx(1.0, abs=1e-6)


def test_a_silent_label_is_worse_than_any_that_fires() -> None:
    spikes = torch.zeros(10, 1, 2, dtype=torch.float64)
    spikes[9, 0, 1] = 1.0  # logits -3 and 0
    assert float(first_spike_loss(spikes, torch.tensor([0]))) == pytest.approx(10 * np.log(1 + np.exp(3)), abs=1e-9)


def test_earlier_spikes_decide_between_equal_counts() -> None:
    spikes = torch.zeros(6, 2, 2)
    spikes[5, :, 0] = spikes[0, :, 1] = 1.0
    spikes[4, 1, 0] = 1.0
    assert decide(spikes, "count").tolist() == [1, 0]
    assert decide(spikes, "count", until=5).tolist() == [1, 1]
    assert decide(spikes, "first_spike").tolist() == [1, 1]


def test_a_silent_target_is_revived_by_a_written_spike_and_only_by_it() -> None:
    """The spike is written at step 3, the last of three in which u rises by more than 0.05."""
    w, label = weight([[0.3, 0.3]]), torch.tensor([0])
    spikes = rows([[1, 2]], 6)
    for labels, moves in ((None, False), (label, True)):
        w.grad = None
        out = layer(spikes, w, labels=labels)
        count_loss(out, label, 3, 0).backward()
        assert bool((w.grad != 0).any()) == moves
    assert steps_of(out[:, 0, 0]) == [2]
    assert float(w.grad[0, 0]) < 0  # a larger weight: earlier, and in the end a spike
    assert float(w.grad[0, 1]) == 0
    assert layer(spikes, w).sum() == 0


# -- networks -----------------------------------------------------------------------------------------------------------


def test_training_moves_thresholds_of_single_cells_and_counts_what_is_clipped() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(120) % 3
    spikes = (torch.rand(8, 120, 9, generator=generator) < 0.03).float()
    for sample, label in enumerate(labels.tolist()):
        spikes[1::4, sample, 3 * label : 3 * label + 3] = 1.0
    network = TimeNetwork((9, 12, 3), Response(), 0)
    history = fit_times(network, (spikes, labels), (spikes, labels), TimeSettings(epochs=20, batch=20), 0)
    assert max(history.accuracy) > 0.9
    assert len(history.clipped) == 20
    assert all(0 < share < 1 for share in history.clipped)
    assert network.layers[0].threshold.unique().numel() == 12
    report = cx.verify(
        network.circuit(8), {"x": spikes.numpy()}, engines=("numpy", "torch", "brian2"), minimum_spikes=300
    )
    assert report.agree, str(report)
    with torch.no_grad():
        out = network.double()(spikes.double())
    found = report.recordings["brian2:numpy"]["L2"]["spikes"].transpose("step", "trial", "neuron").values
    assert (found == out.numpy().astype(bool)).all()


def _digits(n_steps: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [
        (
            torch.tensor(spike_rows(latencies(p.images, n_steps), n_steps), dtype=torch.float32),
            torch.as_tensor(p.labels),
        )
        for p in digits()
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("loss", "least"), [("count+", 0.82), ("first_spike", 0.65)])
def test_digits_are_learned_and_the_same_in_every_engine(loss: Any, least: float) -> None:
    train, validation, test = _digits(12)
    network = TimeNetwork((64, 64, 10), Response(), seed=0)
    history = fit_times(network, train, validation, TimeSettings(loss=loss, epochs=10), 0)
    assert max(history.accuracy) > least
    assert history.clipped[0] < 0.2  # weights of variance 1/n, not standardised: 0.7
    with torch.no_grad():
        out = network.double()(test[0].double())
    accuracy = (decide(out, loss) == test[1]).double().mean()
    assert accuracy > least
    rows_ = test[0][:, :100].numpy()
    report = cx.verify(
        network.circuit(12), {"x": rows_}, engines=("numpy", "torch", "brian2:cpp_standalone"), minimum_spikes=500
    )
    assert report.agree, str(report)
    spikes = report.recordings["brian2:cpp_standalone"]["L2"]["spikes"].transpose("step", "trial", "neuron").values
    assert (spikes == out[:, :100].numpy().astype(bool)).all()


NETWORK = TimeNetwork((4, 3), RESPONSE)
SPIKES, LABELS = (torch.rand(6, 20, 4, generator=torch.Generator().manual_seed(0)) < 0.3).float(), torch.arange(20) % 3


def _fit(spikes: Any = SPIKES, labels: Any = LABELS, **settings: Any) -> None:
    fit_times(TimeNetwork((4, 3), RESPONSE), (spikes, labels), (SPIKES, LABELS), TimeSettings(epochs=1, **settings), 0)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: Response(tau_m=2.0, tau_s=3.0), "expected tau_m > tau_s"),
        (lambda: Response(kernel="foo"), "response.kernel: unknown kernel 'foo'; known: exponential, original"),  # type: ignore[arg-type]
        (lambda: Response(tau_m="5"), r"response.tau_m: expected a number in \[1, inf\), got '5'"),  # type: ignore[arg-type]
        (lambda: Response(tau_m=float("nan")), "response.tau_m: expected a number"),
        (lambda: Response(threshold=0.0), r"response.threshold: expected a number in \(0, inf\)"),
        (lambda: TimeSettings(loss="counts"), "settings.loss: unknown loss 'counts'"),  # type: ignore[arg-type]
        (lambda: TimeSettings(learning_rate=float("nan")), r"settings.learning_rate: expected a number in \(0, inf\), got nan"),
        (lambda: TimeSettings(weight_decay=-1.0), r"settings.weight_decay: expected a number in \[0, inf\), got -1"),
        (lambda: TimeSettings(desired=1.0, undesired=5.0), "settings.desired: expected at least as many spikes as undesired ones, 5, got 1"),
        (lambda: TimeSettings(epochs=1.5), r"settings.epochs: expected a whole number in \[1, inf\), got 1.5"),  # type: ignore[arg-type]
        (lambda: TimeNetwork((3,), RESPONSE), "at least inputs and classes"),
        (lambda: TimeNetwork((4.5, 3), RESPONSE), "sizes.0: expected a whole number"),  # type: ignore[arg-type]
        (lambda: NETWORK(SPIKES[:, :, :3]), r"spikes: expected spikes \(step, sample, 4\), torch.float32, got \(6, 20, 3\)"),
        (lambda: NETWORK(SPIKES.double()), "got .*torch.float64"),
        (lambda: NETWORK(SPIKES, LABELS + 7), "labels: labels from 7 to 9, there are 3 classes"),
        (lambda: _fit(labels=LABELS + 1), "train: labels from 1 to 3"),
        (lambda: _fit(labels=LABELS[:5]), r"train: expected as many labels as samples, \(20,\), got \(5,\)"),
        (lambda: _fit(labels=LABELS.float()), "train: expected a tensor of whole numbers .*float32"),
        (lambda: _fit(labels=LABELS.int()), "train: expected a tensor of whole numbers .*int32"),
        (lambda: _fit(labels=LABELS.numpy()), "train: expected a tensor of whole numbers .*ndarray"),
        (lambda: _fit(SPIKES.numpy()), "train: expected spikes .*got ndarray"),
        (lambda: _fit(SPIKES * float("nan")), "train: spikes are 0 or 1"),
        (lambda: _fit(0.5 * SPIKES), "train: spikes are 0 or 1"),
        (lambda: _fit(0 * SPIKES), "per_cell: layer 1 spikes 0 times a cell at most"),
        (lambda: _fit(per_cell=100.0), "per_cell: layer 1 spikes .* not 100 times; ask for less"),
        (lambda: count_loss(SPIKES[:, :, :3], LABELS + 1, 5, 1), "labels: labels from 1 to 3"),
        (lambda: count_loss(SPIKES[:, :, :3], LABELS, float("nan"), 1), "desired: expected a number"),
        (lambda: first_spike_loss(SPIKES[:, :, :3], LABELS + 1), "labels: labels from 1 to 3"),
        (lambda: decide(SPIKES, "count", until=0), "until: expected a step from 1 to 6, got 0"),
        (lambda: decide(SPIKES, "count", until=99), "until: expected a step from 1 to 6, got 99"),
        (lambda: decide(SPIKES, "foo"), "loss: unknown loss 'foo'"),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_bad_input_is_named(call: Any, expected: str) -> None:
    with pytest.raises(cx.InputError, match=expected):
        call()
