"""Training: killed at any instant and gone on bit for bit, in parts of the steps, by several processes; what goes wrong is named."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import cortexsnn as cx
import trains
from cortexsnn.train import penalties
from cortexsnn.train.data import Part
from cortexsnn.train.encode import repeated
from cortexsnn.train.fit import fit, input_name, take_step
from cortexsnn.train.normalise import add_batch_norm
from cortexsnn.train.progress import Progress
from cortexsnn.train.settings import Settings
from cortexsnn.train.windows import recomputed, windows

SCRIPT = Path(trains.__file__)
KILLS = int(os.environ.get("CORTEXSNN_KILLS", "6"))


def _start(*arguments: object, processes: int = 1) -> subprocess.Popen[str]:
    launch = [sys.executable, "-W", "ignore"]
    if processes > 1:
        launch += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parent), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*launch, str(SCRIPT), *map(str, arguments)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )  # fmt: skip


def _finish(process: subprocess.Popen[str]) -> str:
    said = process.communicate(timeout=180)[0]
    assert process.returncode == 0, said[-3000:]
    return said


def _same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[n], b[n]) for n in a)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    result = tmp_path_factory.mktemp("whole") / "result"
    _finish(_start("-", result))
    return load_file(result)


@pytest.mark.slow
def test_killed_at_any_instant_it_ends_as_if_nothing_had_happened(
    tmp_path: Path, uninterrupted: dict[str, torch.Tensor]
) -> None:
    """A checkpoint after every batch, so that kills meet writing, too; ``CORTEXSNN_KILLS`` sets their number."""
    moments = random.Random(0)
    file, result = tmp_path / "checkpoint", tmp_path / "result"
    killed = 0
    while killed < KILLS:
        process = _start(file, result)
        while not file.exists() and process.poll() is None:  # imports take most of the time
            time.sleep(0.01)
        changed = file.stat().st_mtime_ns if file.exists() else 0
        while process.poll() is None and file.stat().st_mtime_ns == changed:
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.1))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed += 1
    _finish(_start(file, result))
    assert killed >= min(3, KILLS)
    assert _same(load_file(result), uninterrupted)
    assert [p.name for p in tmp_path.iterdir() if p.name.endswith(".partial")] == []


@pytest.mark.slow
def test_two_processes_train_what_one_trains(tmp_path: Path, uninterrupted: dict[str, torch.Tensor]) -> None:
    _finish(_start("-", tmp_path / "result", processes=2))
    for name, values in load_file(tmp_path / "result").items():
        torch.testing.assert_close(values, uninterrupted[name], rtol=1e-9, atol=1e-12)


def _trained(file: Path | None = None, seed: int = 1, **more: Any) -> dict[str, torch.Tensor]:
    network = trains.network(dtype=torch.float64)
    fit(network, *trains.data(), trains.settings(**{"epochs": 3, **more}), seed, checkpoint=file, every=0)
    return network.state_dict()


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "c"
    _trained(file, epochs=1)
    with pytest.raises(cx.CheckpointError, match=r"settings\.learning_rate 0\.01 there, 0\.02 here"):
        _trained(file, epochs=1, learning_rate=0.02)
    with pytest.raises(cx.CheckpointError, match="seed 1 there, 2 here"):
        _trained(file, epochs=1, seed=2)


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    file = tmp_path / "c"
    _trained(file, epochs=1)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(cx.CheckpointError, match=r"not a checkpoint of a training"):
        _trained(file, epochs=1)


def test_a_finished_training_is_not_repeated(tmp_path: Path) -> None:
    file = tmp_path / "c"
    first = {n: t.clone() for n, t in _trained(file).items()}
    before = file.read_bytes()
    assert _same(_trained(file), first)
    assert file.read_bytes() == before


def test_the_order_of_batches_matters() -> None:
    """The negative control of all that must be the same."""
    assert not _same(_trained(epochs=1), _trained(epochs=1, seed=2))


def test_steps_computed_again_give_the_same_gradients() -> None:
    network = trains.network(dtype=torch.float64)
    rows = {input_name(network): repeated(12)(torch.as_tensor(trains.data()[0].images))}
    cx.initialise(network, rows)
    parameters = list(network.parameters())

    def gradients(outputs: Any) -> tuple[torch.Tensor, ...]:
        loss = outputs["out"]["logit"].square().mean() + outputs["E1"]["spikes"].sum() * 1e-3
        return torch.autograd.grad(loss, parameters, allow_unused=True)

    whole = gradients(network(rows)[0])
    again = gradients(recomputed(network, rows, 5))
    assert any(bool((g != 0).any()) for g in whole if g is not None)
    for a, b in zip(whole, again, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_truncated_steps_train_and_differ() -> None:
    whole, cut = _trained(), _trained(truncate=2)
    assert not _same(whole, cut)
    assert all(bool(t.isfinite().all()) for t in cut.values())


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_lower_precision_of_products_trains(precision: str) -> None:
    network = trains.network()
    history = fit(network, *trains.data(), trains.settings(epochs=6, precision=precision), 1)
    assert network.pathway("image_E1").magnitude.dtype == torch.float32
    assert history.loss[-1] < history.loss[0]


def test_the_scale_of_a_loss_is_part_of_a_checkpoint(tmp_path: Path) -> None:
    """Products in float16; a scale that nobody could have without it, and one so large that the first steps are left out."""
    settings = trains.settings(epochs=3, precision="float16")

    def ends(scale: float, stop_at: int | None = None, file: Path | None = None) -> Progress:
        network = trains.network()
        progress = Progress(network, settings, 1, 120, file, 0)
        if not progress.restore():
            progress.begin()
            progress.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        name, (train, _) = input_name(network), trains.data()
        rows, labels = repeated(6)(torch.as_tensor(train.images, dtype=torch.float32)), torch.as_tensor(train.labels)
        for chosen in progress.batches():
            progress.done(
                take_step(network, name, rows[:, chosen], labels[chosen], settings, None, progress), len(chosen)
            )
            if progress.batch == stop_at:
                break
        return progress

    whole = ends(2.0**9)
    ends(2.0**9, 2, tmp_path / "c")
    again = ends(1.0, None, tmp_path / "c")
    assert again.scaler.get_scale() == 2.0**9
    assert _same(whole.network.state_dict(), again.network.state_dict())
    start = trains.network().state_dict()
    assert _same(ends(2.0**100, 2).network.state_dict(), start)
    assert not _same(whole.network.state_dict(), start)


def test_numbers_can_have_a_rate_of_their_own() -> None:
    """A rate of next to nothing leaves them where they are, while weights move."""
    once, twice = (_trained(epochs=n, number_rate=1e-12) for n in (1, 2))
    numbers = [n for n in once if n.startswith("numbers.")]
    assert max(float((once[n] - twice[n]).abs().max()) for n in numbers) < 1e-6
    assert max(float((once[n] - twice[n]).abs().max()) for n in once if n not in numbers) > 1e-4
    ordinary = [_trained(epochs=n) for n in (1, 2)]
    assert max(float((ordinary[0][n] - ordinary[1][n]).abs().max()) for n in numbers) > 1e-4


@pytest.mark.parametrize(("schedule", "last"), [("constant", 1.0), ("cosine", 0.0), ("exponential", 0.01)])
def test_schedules_end_where_they_say(schedule: str, last: float) -> None:
    network = trains.network()
    chosen = trains.settings(schedule=schedule, epochs=4)
    progress = Progress(network, chosen, 1, 120, None, 0)
    rates = []
    for _ in range(4 * 5):
        progress.optimiser.step()
        progress.schedule.step()
        rates.append(progress.schedule.get_last_lr()[0])
    assert rates[-1] == pytest.approx(last * chosen.learning_rate, abs=1e-9)
    assert all(a >= b for a, b in pairwise(rates))
    assert (rates[9] < 0.7 * rates[0]) == (schedule != "constant")


def _first_window(network: Any, **more: Any) -> list[torch.Tensor]:
    rows = repeated(6)(torch.as_tensor(trains.data()[0].images[:20], dtype=network.dtype))
    return [o["out"]["logit"] for o, _ in windows(network, {input_name(network): rows}, trains.settings(**more))]


@pytest.mark.parametrize(("precision", "dtype"), [("bfloat16", torch.bfloat16), ("float16", torch.float16)])
def test_products_are_of_the_precision_that_is_said(precision: str, dtype: torch.dtype) -> None:
    network, seen = trains.network(fused=False), list[torch.dtype]()
    product = network.kernels.product

    def watched(*given: Any) -> torch.Tensor:
        found = product(*given)
        seen.append(found.dtype)
        return found

    network.kernels.product = watched  # type: ignore[method-assign]
    _first_window(network, precision=precision)
    assert set(seen) == {dtype}
    seen.clear()
    _first_window(network)
    assert set(seen) == {torch.float32}


def test_states_go_on_from_window_to_window() -> None:
    network = trains.network(dtype=torch.float64)
    (whole,) = _first_window(network)
    parts = _first_window(network, truncate=2)
    assert len(parts) == 3
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-12, atol=1e-12)


def test_recomputed_steps_refuse_batch_normalisation() -> None:
    circuit = cx.load("lateral_inhibition", n_inputs=12, hidden=(16,), n_classes=4, batch_norm=True)
    network = cx.to_torch(circuit)
    add_batch_norm(network, ("E1",))
    with pytest.raises(cx.InputError, match="recompute: batch normalisation looks at all steps"):
        recomputed(network, {"image": torch.zeros(12, 2, 12)}, 4)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda: {"network": trains.network(seed=1, dtype=torch.float64)}, "realisation 0 there, 1 here"),
        (lambda: {"network": cx.to_torch(_other_circuit(), surrogate="sigmoid(4)", dtype=torch.float64)}, "numbers "),
        (lambda: {"train": Part(trains.data()[0].images[::-1].copy(), trains.data()[0].labels)}, "data "),
        (lambda: {"penalty": penalties.rate(["E1"], 0.1, 1.0)}, "penalty False there, True here"),
        (
            lambda: {"network": trains.network(dtype=torch.float64, detach_reset=False)},
            "detach_reset True there, False",
        ),
    ],
)
def test_a_checkpoint_knows_its_training(tmp_path: Path, change: Any, expected: str) -> None:
    given = {"network": trains.network(dtype=torch.float64), "train": trains.data()[0], "penalty": None}
    for more in ({}, change()):
        now = {**given, **more}
        arguments = (now["network"], now["train"], trains.data()[1], trains.settings(epochs=1), 1)
        if not more:
            fit(*arguments, checkpoint=tmp_path / "c", penalty=now["penalty"])
            continue
        with pytest.raises(cx.CheckpointError, match=expected):
            fit(*arguments, checkpoint=tmp_path / "c", penalty=now["penalty"])


def _other_circuit() -> cx.Circuit:
    """Other numbers, the same statements."""
    circuit = cx.load("lateral_inhibition", n_inputs=12, hidden=(16,), n_classes=4)
    first = next(iter(circuit.projections))
    return circuit.with_parameters({f"projections.{first}.weight": 0.25})


def test_a_random_encoder_goes_on_bit_for_bit(tmp_path: Path) -> None:
    def ends(stop_after: int | None = None, file: Path | None = None) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        network = trains.network(dtype=torch.float64)

        def report(epoch: int, history: Any) -> None:
            if epoch == stop_after:
                raise KeyboardInterrupt

        def spikes(x: torch.Tensor) -> torch.Tensor:
            return (torch.rand(6, *x.shape, dtype=x.dtype) < x).to(x.dtype)

        with contextlib.suppress(KeyboardInterrupt):
            fit(network, *trains.data(), trains.settings(epochs=3), 1, report, spikes, checkpoint=file)
        return network.state_dict()

    whole = ends()
    ends(0, tmp_path / "c")
    assert _same(ends(None, tmp_path / "c"), whole)


def test_an_explosion_is_placed_and_leaves_a_sound_checkpoint(tmp_path: Path) -> None:
    network = trains.network(dtype=torch.float64)
    wild = trains.settings(epochs=3, optimiser="sgd", schedule="constant", clip=1e30, learning_rate=1e10)
    with pytest.raises(
        cx.NumericalError, match=r"the output of out is largest in step \d+, .* of all states \w+\.\w+ ends largest"
    ):
        fit(network, *trains.data(), wild, 1, checkpoint=tmp_path / "c", every=0)
    kept = load_file(tmp_path / "c")
    assert max(float(t.abs().max()) for n, t in kept.items() if n.startswith("network/")) < 1e3


def test_what_is_written_beside_is_another_training_s_own(tmp_path: Path) -> None:
    """Only what a dead process left of this very file goes away."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = [
        tmp_path / name for name in (f".c.{dead.pid}.partial", f".c.{os.getppid()}.partial", f".c.b.{dead.pid}.partial")
    ]
    for path in left:
        path.write_bytes(b"x")
    _trained(tmp_path / "c", epochs=1)
    assert [path.exists() for path in left] == [False, True, True]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (Part(np.zeros((3, 12)), np.zeros(2, int)), "train: 3 samples and 2 labels"),
        (Part(np.zeros((0, 12)), np.zeros(0, int)), "at least one"),
        (Part(np.zeros((2, 12)), np.zeros(2)), "expected whole numbers as labels"),
        (Part(np.zeros((2, 12)), np.array([0, 4])), "labels from 0 to 4, the read-out has classes 0 to 3"),
    ],
)
def test_samples_and_labels_are_checked(part: Part, expected: str) -> None:
    with pytest.raises(cx.InputError, match=expected):
        fit(trains.network(), part, trains.data()[1], trains.settings(), 1)


def test_patience_ends_a_training() -> None:
    network = trains.network()
    history = fit(
        network, *trains.data(), trains.settings(epochs=50, learning_rate=1e-9, patience=2, schedule="constant"), 1
    )
    assert len(history.loss) < 50


@pytest.mark.parametrize("schedule", ["one_cycle", "constant", "cosine", "exponential"])
def test_schedules_survive_a_checkpoint(schedule: str, tmp_path: Path) -> None:
    whole = _trained(schedule=schedule)
    stopped = {"n": 0}

    def stop(epoch: int, history: object) -> None:
        stopped["n"] += 1
        raise KeyboardInterrupt

    network = trains.network(dtype=torch.float64)
    with pytest.raises(KeyboardInterrupt):
        fit(
            network,
            *trains.data(),
            trains.settings(schedule=schedule, epochs=3),
            1,
            stop,
            checkpoint=tmp_path / "c",
            every=0,
        )
    assert stopped["n"] == 1
    assert _same(_trained(tmp_path / "c", schedule=schedule), whole)


def test_an_exploding_training_names_where_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "c"
    network = trains.network()
    train, validation = trains.data()

    def poisoned(outputs: penalties.Outputs) -> torch.Tensor:
        return outputs["E1"]["spikes"].sum() * float("nan")

    with pytest.raises(cx.NumericalError, match="the loss became nan in epoch 0, batch 0"):
        fit(network, train, validation, trains.settings(), 1, penalty=poisoned, checkpoint=file, every=0)
    assert file.exists()
    assert all(bool(p.isfinite().all()) for p in network.parameters())


def test_a_state_that_left_the_numbers_is_named() -> None:
    network = trains.network()

    def spoil(epoch: int, history: object) -> None:
        with torch.no_grad():
            network.pathway("image_I1").magnitude.fill_(1e38)

    with pytest.raises(
        cx.NumericalError,
        match=r"the gradient of .* became nan in epoch 1, batch 0: I1\.r of neuron \d+ became inf in step 0",
    ):
        fit(network, *trains.data(), trains.settings(), 1, spoil)


def test_penalties() -> None:
    spikes = torch.zeros(4, 2, 3)
    spikes[:, :, 0] = 1
    assert float(penalties.rate(["E"], 0.5, 2.0)({"E": {"spikes": spikes}})) == pytest.approx(0.5)
    ports = {"E": {"e": torch.full((4, 2, 3), 3.0), "i": torch.full((4, 2, 3), -1.0)}}
    assert float(penalties.balance("E", "e", "i", 2.0)(ports)) == pytest.approx(0.5)
    both = penalties.together(penalties.rate(["E"], 0.5, 2.0), penalties.rate(["E"], 0.5, 2.0))
    assert float(both({"E": {"spikes": spikes}})) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"optimiser": "adamw"}, "settings.optimiser: .*'adamw'"),
        ({"batch": 0}, r"settings.batch: expected a whole number in \[1.*inf\), got 0"),
        ({"truncate": 2, "recompute": 2}, "truncate and recompute exclude each other"),
    ],
)
def test_settings_are_checked(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(cx.InputError, match=said):
        Settings(**wrong)


def test_balance_of_a_network_can_be_trained() -> None:
    """With ports among the probes, a penalty brings excitation and inhibition nearer to each other."""
    network = trains.network()
    network.probes = {"E1": ("I_EE", "I_sub")}
    train, validation = trains.data()
    rows = {"image": repeated(6)(torch.as_tensor(train.images, dtype=torch.float32))}
    cx.initialise(network, rows)
    term = penalties.balance("E1", "I_EE", "I_sub", 10.0)
    with torch.no_grad():
        before = float(term(network(rows)[0]))
    fit(network, train, validation, trains.settings(epochs=5), 1, penalty=term)
    with torch.no_grad():
        after = float(term(network(rows)[0]))
    assert np.isfinite(before)
    assert after < before
