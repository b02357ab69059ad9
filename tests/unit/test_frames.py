"""Scanned digits as sequences of frames, their spikes, and training to predict them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import cortexsnn as cx
from cortexsnn.experiments.column.networks import FEEDBACK, column, plain, rows
from cortexsnn.experiments.column.score import autoregressive, copied, errors_by_kind, mean_frame
from cortexsnn.train.data import Part, digits
from cortexsnn.train.frame_spikes import FrameCode
from cortexsnn.train.next_frame import FrameSettings, _optimiser, fit_frames, predicted
from cortexsnn.train.penalties import ranges, spikes
from cortexsnn.train.scan import SIDE, World


def random() -> np.random.Generator:
    return np.random.default_rng(3)


def by_class() -> Part:
    """Images whose every pixel is a tenth of their class."""
    labels = np.repeat(np.arange(10), 3)
    return Part(np.repeat(labels[:, None] / 10, SIDE * SIDE, axis=1), labels)


def test_the_window_moves_as_it_says() -> None:
    scans = World(frames=5, still=0.3).scans(digits().train, 200, random())
    frames = scans.frames.reshape(6, 200, 4, 4)
    for way, left, right in (
        (1, slice(1, None), slice(None, -1)),
        (-1, slice(None, -1), slice(1, None)),
        (0, slice(None), slice(None)),
    ):
        step, sample = np.nonzero(scans.moves == way)
        assert step.size > 50
        np.testing.assert_array_equal(frames[step, sample][..., left], frames[step + 1, sample][..., right])
    assert (scans.commands == scans.moves).all()
    np.testing.assert_array_equal(np.isnan(scans.shown), scans.covered)
    assert not np.isnan(scans.shown[~scans.occluded]).any()


def test_digits_stand_in_the_order_of_their_classes() -> None:
    scans = World(frames=14, still=0.0, turn=0.0).scans(by_class(), 100, random())
    means = scans.frames.mean(-1)
    jumps = np.diff(np.round(10 * scans.frames[..., 0]).astype(int), axis=0)
    assert set(np.unique(jumps % 10)) <= {0, 1, 9}
    rightwards = scans.moves[0] == 1
    assert not (jumps[:, rightwards] % 10 == 9).any()  # to the right the next class comes, 0 after 9
    assert not (jumps[:, ~rightwards] % 10 == 1).any()
    assert (np.abs(np.diff(means, axis=0)) > 0).any()


def test_a_share_of_frames_is_occluded_but_never_the_first_two() -> None:
    scans = World(frames=10, occluded=0.25).scans(digits().train, 2000, random())
    assert not scans.occluded[:2].any()
    assert scans.occluded[2:].mean() == pytest.approx(0.25, abs=0.01)
    covers = np.unique(scans.covered[scans.occluded], axis=0).reshape(-1, 4, 4)
    halves = np.arange(4) < 2
    wanted = [np.broadcast_to(h, (4, 4)) for h in (halves, ~halves, halves[:, None], ~halves[:, None])]
    assert {c.tobytes() for c in covers} == {np.ascontiguousarray(w).tobytes() for w in wanted}
    whole = World(frames=10, cover=1.0).scans(digits().train, 200, random())
    assert whole.covered[whole.occluded].all()
    assert whole.occluded.any()


def test_an_uncoupled_command_says_nothing_and_an_unordered_sequence_has_the_same_frames() -> None:
    uncoupled = World(coupled=False).scans(digits().train, 3000, random())
    assert abs(np.corrcoef(uncoupled.moves.ravel(), uncoupled.commands.ravel())[0, 1]) < 0.05
    ordered, shuffled = (World(ordered=o).scans(digits().train, 50, random()) for o in (True, False))
    np.testing.assert_array_equal(np.sort(ordered.frames, axis=0), np.sort(shuffled.frames, axis=0))
    assert (ordered.frames != shuffled.frames).any()


def test_all_that_is_wrong_with_a_world_is_named_at_once() -> None:
    with pytest.raises(cx.InputError, match=r"frames: .*window: .*turn, still, occluded, cover: .*digits: "):
        World(frames=1, window=9, turn=2.0).scans(Part(np.zeros((3, 4)), np.zeros(3, int)), 2, random())


def test_spikes_say_a_pixel_to_within_one_and_nothing_where_nothing_is_shown() -> None:
    code = FrameCode(ms=50, pixels=2, copies=1, most=200.0, least=2.0)
    shown = np.tile(np.array([[[0.25, np.nan]]]), (20, 400, 1))
    counts = code.thalamus(shown, random()).sum(0)  # (sample, channel): ON, ON, OFF, OFF, over a second
    wanted = np.array([0.25 * 200 + 2, 2, 0.75 * 200 + 2, 2])
    assert (np.abs(counts - wanted) <= 1).all()
    np.testing.assert_allclose(counts.mean(0), wanted, atol=0.1)


def test_a_command_is_in_the_channels_of_its_way() -> None:
    code = FrameCode(commands=4, command_rate=100.0)
    rate = code.command(np.array([[-1, 1, 0]] * 40), random()).mean(0) * 1000  # (sample, channel)
    np.testing.assert_allclose(rate, [[100, 100, 1, 1], [1, 1, 100, 100], [1, 1, 1, 1]], atol=25)
    more = code.command(np.zeros((400, 1), int), random(), np.array([[0.0, 0.0, 50.0, 0.0]])).mean(0) * 1000
    np.testing.assert_allclose(more, [[1, 1, 51, 1]], atol=6)


def test_a_range_of_rates_costs_nothing_inside_and_the_relative_distance_outside() -> None:
    fired = torch.zeros(100, 2, 4)
    fired[::10] = 1  # 100 Hz at 1 ms
    penalty = ranges({"a": (50.0, 150.0)}, 1.0, 2.0)
    assert float(penalty({"a": {"spikes": fired}})) == 0.0
    assert float(ranges({"a": (5.0, 80.0)}, 1.0, 2.0)({"a": {"spikes": fired}})) == pytest.approx(2 * (20 / 80) ** 2)
    assert float(ranges({"a": (200.0, 300.0)}, 1.0, 2.0)({"a": {"spikes": fired}})) == pytest.approx(
        2 * (100 / 200) ** 2
    )


def test_spikes_of_populations_together_are_held_at_a_number() -> None:
    outputs = {name: {"spikes": torch.zeros(100, 2, n)} for name, n in (("a", 4), ("b", 2))}
    outputs["a"]["spikes"][::10] = 1  # 4 cells at 100 Hz
    outputs["b"]["spikes"][::5] = 1  # 2 cells at 200 Hz
    assert float(spikes({"a": 4, "b": 2}, 800.0, 1.0, 2.0)(outputs)) == pytest.approx(0.0, abs=1e-12)
    assert float(spikes({"a": 4, "b": 2}, 640.0, 1.0, 2.0)(outputs)) == pytest.approx(2 * 0.25**2)
    assert float(spikes({"a": 4}, 800.0, 1.0, 2.0)(outputs)) == pytest.approx(2 * 0.5**2)


def test_predictors_that_are_no_networks() -> None:
    """A constant sequence is copied without error; a shift that the command announces needs products of both."""
    world = World(frames=4)
    still = World(frames=4, still=1.0).scans(digits().test, 200, random())
    assert errors_by_kind(copied(still), still)["all"] == 0.0  # also where hidden: nothing has moved
    train, test = world.scans(digits().train, 2000, random()), world.scans(digits().test, 500, np.random.default_rng(4))
    found = {
        "mean": errors_by_kind(mean_frame(train, test), test), "copy": errors_by_kind(copied(test), test),
        "linear": errors_by_kind(autoregressive(train, test), test), "products": errors_by_kind(autoregressive(train, test, products=1), test),
    }  # fmt: skip
    assert (
        found["copy"]["moving"]
        > found["mean"]["moving"]
        > found["linear"]["moving"]
        > 1.5 * found["products"]["moving"]
    )
    two = errors_by_kind(
        autoregressive(train, test, products=2), test
    )  # after a hidden frame the shift is that of two commands
    assert two["occluded, moving"] < 0.8 * found["products"]["occluded, moving"]


def test_a_network_learns_to_predict_the_next_frame_better_than_the_mean_frame() -> None:
    code, world, random = FrameCode(ms=20), World(frames=4), np.random.default_rng(0)
    circuit = plain(6000, code)
    network = cx.to_torch(circuit, seed=0, surrogate="fast_sigmoid(10)")
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(6000, rel=0.02)
    settings = FrameSettings(updates=120, ms=20, weight_rate=0.1, bias_rate=1e-2, truncate=40, start=0.3)

    def draw() -> tuple[dict[str, np.ndarray], np.ndarray]:
        scans = world.scans(digits().train, settings.batch, random)
        return rows(circuit, code, scans, random), scans.targets

    errors = fit_frames(network, draw, settings)
    train, test = world.scans(digits().train, 500, random), world.scans(digits().test, 200, random)
    inputs = {name: torch.as_tensor(r.astype(np.float32)) for name, r in rows(circuit, code, test, random).items()}
    with torch.no_grad():
        found = errors_by_kind(predicted(network, network(inputs)[0], settings.ms).numpy(), test)
    assert found["all"] < 0.9 * errors_by_kind(mean_frame(train, test), test)["all"]
    assert np.mean(errors[-10:]) < np.mean(errors[:10])


def test_a_step_is_relative_to_the_mean_weight_of_each_projection_and_absolute_for_the_bias() -> None:
    network = cx.to_torch(plain(3000, FrameCode(ms=20)), seed=0)
    rates = [group["lr"] for group in _optimiser(network, FrameSettings(weight_rate=0.1, bias_rate=0.5)).param_groups]
    wanted = {name: 0.1 * float(p.detach().abs().mean()) for name, p in network.named_parameters()}
    bias = next(name for name in wanted if "prediction:" in name)
    assert dict(zip(wanted, rates, strict=True)) == pytest.approx(wanted | {bias: 0.5})
    assert len(wanted) == 5


@pytest.mark.compiled
@pytest.mark.slow
def test_a_column_learns_to_predict_a_frame_that_stays_better_than_the_mean_frame() -> None:
    """Light and dark digits by turns, a window that stands still: the easiest of worlds, for as many updates as a test has time for."""
    labels = np.repeat(np.arange(10), 2)
    part = Part(np.repeat(np.where(labels % 2, 0.1, 0.9)[:, None], SIDE * SIDE, axis=1), labels)
    code, world = FrameCode(ms=20), World(frames=3, still=1.0, turn=0.0, occluded=0.0)
    circuit, random = column(FEEDBACK, 60, code), np.random.default_rng(0)
    network = cx.to_torch(circuit, seed=0, surrogate="fast_sigmoid(10)")
    settings = FrameSettings(updates=80, batch=16, ms=20, weight_rate=0.1, bias_rate=2e-2, truncate=40, start=0.3)

    def draw() -> tuple[dict[str, np.ndarray], np.ndarray]:
        scans = world.scans(part, settings.batch, random)
        return rows(circuit, code, scans, random), scans.targets

    errors = fit_frames(network, draw, settings)
    train, test = world.scans(part, 500, random), world.scans(part, 100, random)
    inputs = {name: torch.as_tensor(r.astype(np.float32)) for name, r in rows(circuit, code, test, random).items()}
    with torch.no_grad():
        found = errors_by_kind(predicted(network, network(inputs)[0], settings.ms).numpy(), test)["all"]
    assert (
        found < 0.75 * errors_by_kind(mean_frame(train, test), test)["all"]
    )  # a read-out that says nothing is no better
    assert np.mean(errors[-10:]) < 0.3 * np.mean(errors[:10])


@pytest.mark.compiled
def test_the_error_of_a_column_reaches_the_synapses_of_the_command_on_apical_compartments() -> None:
    code, random = FrameCode(ms=20), np.random.default_rng(0)
    circuit = column(FEEDBACK, 60, code)
    network = cx.to_torch(circuit, seed=0, surrogate="fast_sigmoid(10)")
    scans = World(frames=3).scans(digits().train, 4, random)
    inputs = {name: torch.as_tensor(r.astype(np.float32)) for name, r in rows(circuit, code, scans, random).items()}
    found = predicted(network, network(inputs)[0], code.ms)
    ((found - torch.as_tensor(scans.targets, dtype=network.dtype)) ** 2).mean().backward()
    own = dict(network.named_parameters())
    for name in ("command_L23E", "command_L5E"):
        assert set(circuit.projections[name].deliver or {}) == {"g_Ad", "g_Nd"}
        gradient = own[f"pathways.{name}.magnitude"].grad
        assert gradient is not None
        assert torch.isfinite(gradient).all()
        assert (gradient != 0).float().mean() > 0.5


def test_windows_hold_whole_frames() -> None:
    with pytest.raises(cx.InputError, match=r"settings.truncate: expected whole frames of 50 steps, got 120"):
        FrameSettings(truncate=120)
