"""Training by spike times: the sheet's numbers by hand, conservation, what each loss pushes, digits, and the forward pass in every engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import cortexsnn as cx
from cortexsnn.train.data import digits
from cortexsnn.train.first_spikes import latencies, spike_rows
from cortexsnn.train.spike_times import (
    Response,
    TimeNetwork,
    TimeSettings,
    count_loss,
    decide,
    first_spike_loss,
    fit_times,
)  # fmt: skip

RESPONSE = Response(tau_m=7.0, tau_s=4.0, tau_gradient=3.5, threshold=0.8)


def one_layer(weights: Any, response: Response = RESPONSE) -> TimeNetwork:
    weights = torch.tensor(weights, dtype=torch.float64)
    network = TimeNetwork(tuple(weights.shape), response)
    network.weights[0] = torch.nn.Parameter(weights)
    return network


def rows(steps: list[list[int]], n_steps: int) -> torch.Tensor:
    """(step, 1, channel) with spikes at steps counted from 1."""
    found = torch.zeros(n_steps, 1, len(steps), dtype=torch.float64)
    for channel, at in enumerate(steps):
        for step in at:
            found[step - 1, 0, channel] = 1.0
    return found


def test_the_response_by_hand() -> None:
    expected = [0.25, 0.40179, 0.48501, 0.52119, 0.52584, 0.51005]
    assert RESPONSE.psp(6).tolist() == pytest.approx(expected, abs=1e-5)
    assert int(RESPONSE.psp(50).argmax()) == 4


def test_gradients_by_hand() -> None:
    """Three input spikes, one output spike at 3: what goes to their times adds up to what came, and to the weight -2.34385."""
    network = one_layer([[1.0]])
    spikes = rows([[1, 2, 3]], 4).requires_grad_()
    out = network(spikes)
    assert out.detach().flatten().nonzero().flatten().tolist() == [2]
    out.backward(torch.ones_like(out))
    assert spikes.grad.flatten()[:3].tolist() == pytest.approx([0.22936, 0.32110, 0.44954], abs=1e-5)
    assert float(network.weights[0].grad) == pytest.approx(-2.34385, abs=1e-5)


def test_one_spike_fires_late() -> None:
    network = one_layer([[1.0]], Response(7.0, 4.0, 3.5, 0.5))
    assert network(rows([[1]], 8)).detach().flatten().nonzero().flatten().tolist() == [3]


@pytest.mark.parametrize("kernel", ["exponential", "original"])
def test_times_are_conserved(kernel: Any) -> None:
    """Shifting all inputs shifts the outputs: gradients by time add up to the same on either side, but for inputs after the last output.

    The published derivative of the response goes below 0, and the sum is kept only where the potential rises at every output spike.
    """
    random = np.random.default_rng(3)
    found = 0
    for _ in range(20):
        network = one_layer(random.uniform(0.1, 0.6, (6, 4)), Response(7.0, 4.0, 3.5, 0.8, kernel))
        spikes = torch.tensor(random.random((30, 1, 6)) < 0.1).double().requires_grad_()
        out = network(spikes)
        given = torch.tensor(random.normal(size=out.shape))
        out.backward(given)
        total = float((given * out.detach()).sum())
        if out.sum() > 3:
            assert float(spikes.grad.sum()) == pytest.approx(total, rel=1e-9, abs=1e-9)
            found += 1
    assert found > 10


def test_scaling_weights_and_threshold_changes_no_spike() -> None:
    random = np.random.default_rng(0)
    weights, spikes = random.uniform(0, 0.5, (6, 4)), torch.tensor(random.random((40, 5, 6)) < 0.2).double()
    base = one_layer(weights)(spikes)
    assert base.sum() > 20
    for c in (0.5, 4.0):
        assert torch.equal(one_layer(c * weights, Response(7.0, 4.0, 3.5, 0.8 * c))(spikes), base)


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


def test_counts_beyond_what_is_wanted_are_no_error() -> None:
    spikes = _counted([11, 0])
    loss = count_loss(spikes, torch.tensor([0]), 10, 1)
    loss.backward()
    assert float(loss) == 0.0
    assert (spikes.grad == 0).all()


def test_first_spikes_are_pushed_apart() -> None:
    spikes = torch.zeros(10, 1, 3, dtype=torch.float64)
    spikes[4, 0, 0], spikes[4, 0, 1] = 1.0, 1.0
    spikes.requires_grad_()
    first_spike_loss(spikes, torch.tensor([0])).backward()
    assert float(spikes.grad[4, 0, 0]) > 0 > float(spikes.grad[4, 0, 1])
    assert float(spikes.grad.abs().sum()) == pytest.approx(float(spikes.grad[4].abs().sum()))


def test_a_silent_target_is_revived_by_a_written_spike_and_only_by_it() -> None:
    network, label = one_layer([[0.3, 0.3]]), torch.tensor([0])
    spikes = rows([[1, 2]], 6)
    for labels, moves in ((None, False), (label, True)):
        network.zero_grad()
        out = network(spikes, labels)
        count_loss(out, label, 3, 0).backward()
        gradient = network.weights[0].grad
        assert bool((gradient != 0).any()) == moves
    assert float(gradient[0, 0]) < 0  # a larger weight: earlier, and in the end a spike
    assert float(gradient[0, 1]) == 0
    with torch.no_grad():
        assert network(spikes).sum() == 0


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
    assert max(history) > least
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


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: Response(tau_m=2.0, tau_s=3.0), "expected tau_m > tau_s"),
        (lambda: TimeSettings(loss="counts"), "settings.loss: expected one of"),  # type: ignore[arg-type]
        (lambda: TimeNetwork((3,), RESPONSE), "at least inputs and classes"),
        (lambda: fit_times(TimeNetwork((3, 2), RESPONSE), *[(torch.zeros(4, 2, 3), torch.tensor([0, 2]))] * 2, TimeSettings(), 0), "train: labels from 0 to 2"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call: Any, expected: str) -> None:
    with pytest.raises(cx.InputError, match=expected):
        call()
