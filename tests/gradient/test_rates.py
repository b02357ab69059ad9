"""Gradients through rates: numbers worked by hand, exact where inputs are constant, wrong where timing matters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import cortexsnn as cx
import trains
from cortexsnn.emit.to_torch import Network
from cortexsnn.neurons import piece
from cortexsnn.spec import to_plain
from cortexsnn.train.fit import fit, scores
from cortexsnn.train.gradient import Compared, compare_rates
from cortexsnn.train.normalise import add_batch_norm
from cortexsnn.train.rates import rate_scores
from cortexsnn.train.settings import Settings
from cortexsnn.train.thresholding import add_moderate_dropout
from cortexsnn.train.timing import ANYWHERE, STATIONARY, TIMED, direction
from peaks import N_CELLS, N_SAMPLES, peak_of


def cells(reset: str = "soft", leak: float = 0.2, n: int = 4, threshold: float = 1.0) -> cx.Circuit:
    """Cells with an input of their own each, read out by their mean."""
    return cx.Circuit(
        name="cells", dt="1 ms", neurons={"lif": piece("lif", tau=1 / (1 - leak), reset=reset, decay_input=False, threshold=threshold), "out": piece("readout")},
        inputs={"x": {"size": n, "kind": "current", "transmitter": "mixed"}},
        populations={"E": {"size": n, "neuron": "lif", "transmitter": "mixed"}, "out": {"size": n, "neuron": "out", "transmitter": "mixed"}},
        projections={
            "x_E": {"pre": "x", "post": "E", "port": "x", "connect": "one_to_one", "weight": 1.0, "trainable": True},
            "E_out": {"pre": "E", "post": "out", "port": "x", "connect": "one_to_one", "weight": 1.0, "trainable": True},
        },
        readout="out",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("reset", "detach", "expected"),
    [
        ("soft", True, [0.307327, 1.031396, 1.121544, 0.536716]),
        ("soft", False, [0.294044, 0.892937, 0.962632, 0.499012]),
        ("hard", False, [0.302593, 0.916400, 0.909857, 0.499734]),
    ],
)
def test_slopes_by_hand(reset: str, detach: bool, expected: list[float]) -> None:
    """Four steps of constant inputs: rates 0, 0, 0.5, 1 and their slopes, equal to those through time."""
    given = torch.tensor([0.3, 0.7, 0.95, 1.4], dtype=torch.float64)
    rows = {"x": given.expand(4, 1, 4)}
    network = cx.to_torch(cells(reset), dtype=torch.float64, surrogate="sigmoid(4)", detach_reset=detach)
    found = rate_scores(network, rows)
    assert found.detach().flatten().tolist() == [0.0, 0.0, 0.5, 1.0]
    weight = network.pathway("x_E").magnitude
    (through_rates,) = torch.autograd.grad(found.sum(), weight)
    (through_time,) = torch.autograd.grad(scores(network, network(rows)[0]).sum(), weight)
    assert (through_rates / given).tolist() == pytest.approx(expected, abs=1e-6)
    torch.testing.assert_close(through_rates, through_time, rtol=1e-10, atol=1e-12)


def test_three_steps_by_hand() -> None:
    """Potentials that stay below the threshold, their surrogate slopes and sensitivities to a constant; then the mean of the products."""
    network = cx.to_torch(cells(n=1), dtype=torch.float64, surrogate="sigmoid(4)")
    network.probes = {"E": ("u",)}
    rows = {"x": torch.full((3, 1, 1), 0.7, dtype=torch.float64)}
    potentials = network(rows)[0]["E"]["u"].detach().flatten()
    assert potentials.tolist() == pytest.approx([0.7, 0.84, 0.868], abs=1e-12)
    q = torch.sigmoid(4 * (potentials - 1))
    slopes, sensitivities = 4 * q * (1 - q), torch.tensor([1.0, 1.2, 1.24], dtype=torch.float64)
    assert slopes.tolist() == pytest.approx([0.711578, 0.904205, 0.933419], abs=1e-6)
    found = []
    for n in (1, 2, 3):  # what each step adds is its slope times its sensitivity
        score = rate_scores(network, {"x": rows["x"][:n]}).sum()
        found.append(n * float(torch.autograd.grad(score, network.pathway("x_E").magnitude)[0]) / 0.7)
    assert np.diff([0.0, *found]).tolist() == pytest.approx((slopes * sensitivities).tolist(), abs=1e-12)
    assert found[-1] / 3 == pytest.approx(0.984688, abs=1e-6)


def test_a_threshold_of_a_half() -> None:
    """Where the published recursion goes wrong, for it leaves the threshold out of a reset that gradients go through."""
    given = torch.tensor([0.3, 0.7], dtype=torch.float64)
    network = cx.to_torch(cells(n=2, threshold=0.5), dtype=torch.float64, surrogate="sigmoid(4)", detach_reset=False)
    score = rate_scores(network, {"x": given.expand(4, 1, 2)}).sum()
    (gradient,) = torch.autograd.grad(score, network.pathway("x_E").magnitude)
    assert (gradient / given).tolist() == pytest.approx([0.99695, 0.88451], abs=5e-6)


def _spiking_output(n_steps: int, seed: int) -> list[Compared]:
    """Both layers of a 20-30-10 network, scored by the rates of its last cells, on 32 samples that are constant in time."""
    lif = piece("lif", tau=1.25, decay_input=False)
    circuit = cx.load("feedforward", pieces=[lif], n_inputs=20, hidden=(30, 10), n_classes=10, gain=2.0)
    circuit = circuit.with_parameters(
        {
            "projections.L2_out.connect": "one_to_one",
            "projections.L2_out.weight": 1.0,
            "projections.L2_out.trainable": False,
        }
    )
    network = cx.to_torch(circuit, seed=seed, dtype=torch.float64, surrogate="sigmoid(4)")
    generator = torch.Generator().manual_seed(seed)
    rows = torch.rand(32, 20, generator=generator, dtype=torch.float64).expand(n_steps, -1, -1)
    return compare_rates(network, {"x": rows}, torch.randint(0, 10, (32,), generator=generator))


def test_one_step_is_ordinary_back_propagation() -> None:
    for found in _spiking_output(1, 0):
        assert found == pytest.approx((1.0, 1.0), abs=1e-10)


@pytest.mark.parametrize(("n_steps", "published"), [(2, (0.9988, 0.9957)), (32, (1.0000, 0.9979))])
def test_direction_and_size_for_static_input(n_steps: int, published: tuple[float, float]) -> None:
    """Over 20 seeds: nearly the gradient through time, and as large, without a factor 1/T; the first layer is nearer, more steps are.

    The method's sheet has these cosines for another draw of weights.
    """
    found = np.mean([_spiking_output(n_steps, seed) for seed in range(20)], axis=0)
    assert found[:, 0].tolist() == pytest.approx(published, abs=2e-3)
    assert (
        found[:, 0] < 0.99999
    ).all()  # it is not the same gradient: rates of hidden cells change what arrives in which step
    assert found[:, 1].tolist() == pytest.approx([1.0, 1.0], abs=0.02)


def test_timing_is_not_seen() -> None:
    """Two classes that differ in when spikes come, not in how many: the direction is lost, most of all with a long memory."""
    cosine = {
        (kind, leak): np.mean([direction(kind, leak, seed).cosine for seed in range(8)])
        for kind in (TIMED, ANYWHERE, STATIONARY)
        for leak in (0.9, 0.2)
    }
    assert cosine[TIMED, 0.9] < 0.4
    assert cosine[TIMED, 0.9] < cosine[ANYWHERE, 0.9] - 0.2
    assert cosine[STATIONARY, 0.9] > 0.9


def test_it_trains() -> None:
    circuit = cx.load("feedforward", n_inputs=12, hidden=(24, 24), n_classes=4, gain=2.0)
    found = []
    for gradient in ("rate", "time"):
        network = cx.to_torch(circuit)
        history = fit(network, *trains.data(), trains.settings(epochs=15, gradient=gradient), 0)
        found.append(max(history.validation_accuracy))
    assert min(found) > 0.9


def _small(**more: Any) -> cx.Circuit:
    return cx.load("feedforward", n_inputs=3, hidden=(4,), n_classes=2, **more)


def _refused() -> list[tuple[Any, str]]:
    normalised, dropped = cx.to_torch(_small(pieces=[piece("normalised_lif")])), cx.to_torch(_small())
    add_batch_norm(normalised, ("L1",))
    add_moderate_dropout(dropped, "L1")
    trained = cx.to_torch(_small(pieces=[piece("lif", trainable=("tau", "v_th"))]))
    return [
        (cx.to_torch(_small(recurrent=True)), "L1 is recurrent; projections.L1_L1 has a delay"),
        (normalised, "L1:x is normalised over batches"),
        (dropped, "L1 has dropout"),
        (trained, "number L1:tau is trained; number L1:v_th is trained"),
    ]


@pytest.mark.parametrize(("network", "expected"), _refused())
def test_what_has_no_rates_is_named(network: Network, expected: str) -> None:
    with pytest.raises(cx.EngineError, match=expected):
        rate_scores(network, {"x": torch.zeros(2, 1, 3)})


def test_training_of_numbers_through_rates_is_refused() -> None:
    network = cx.to_torch(
        cx.load("feedforward", pieces=[piece("lif", trainable=("tau",))], n_inputs=12, hidden=(8,), n_classes=4)
    )
    with pytest.raises(cx.EngineError, match="number L1:tau is trained"):
        fit(network, *trains.data(), Settings(epochs=1, gradient="rate"), 0)


def test_a_circuit_without_a_read_out_scores_nothing() -> None:
    circuit = cx.Circuit(**{**to_plain(_small()), "readout": None})
    with pytest.raises(cx.InputError, match="readout: the circuit names none"):
        rate_scores(cx.to_torch(circuit), {"x": torch.zeros(2, 1, 3)})


@pytest.mark.slow
def test_memory_does_not_grow_with_steps() -> None:
    """Peak of resident memory at 108 steps and at 8: through time every step of the cells stays, through rates none, in either pass."""
    kept = 100 * N_CELLS * N_SAMPLES * 4 / 1e6
    through_time, through_rates = (peak_of(rates, 108) - peak_of(rates, 8) for rates in (False, True))
    assert through_time > kept
    assert through_rates < 0.2 * kept
