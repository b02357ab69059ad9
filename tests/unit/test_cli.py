"""The command line: one message and exit code 2 for a user's error, and folders that appear only when complete."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import cortexsnn as cx
from cortexsnn import cli

TINY = {
    "name": "digits",
    "circuit": {"name": "lateral_inhibition", "arguments": {"hidden": [16], "steps": 4}},
    "training": {"epochs": 2},
    "seeds": [0],
    "n_steps": 4,
    "engines": ["numpy", "torch"],
    "workers": 1,
}


def left_behind(folder: Path) -> list[Path]:
    """Anything but empty folders."""
    return [p for p in folder.rglob("*") if p.is_file()]


def command(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    code = "from cortexsnn.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *arguments], capture_output=True, text=True, timeout=300, **options
    )  # type: ignore[call-overload, no-any-return]


def test_digits_end_to_end(tmp_path: Path) -> None:
    folder = cli.run({**TINY, "output": str(tmp_path)}, "name: digits\n").folder
    found = json.loads((folder / "fidelity.json").read_text())
    assert found["agree"]
    assert found["spikes_compared"] >= 1000
    assert found["predictions_identical"]
    assert found["held_out_images"] == 450
    assert "<svg" in (folder / "report.html").read_text()
    assert cx.load(folder / "circuit.yaml").hash == found["circuit_hash"]
    assert cx.load_recording(folder / "recording-numpy.zarr").attrs["n_trials"] == 450
    assert not list(tmp_path.rglob(".partial*"))


def test_training_is_deterministic(tmp_path: Path) -> None:
    first = cli.run({**TINY, "output": str(tmp_path / "a")}, "").folder
    second = cli.run({**TINY, "output": str(tmp_path / "b")}, "").folder
    assert cx.load(first / "circuit.yaml") == cx.load(second / "circuit.yaml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "digit"}, r"experiment: unknown experiment 'digit'.*Did you mean 'digits'"),
        ({"epochs": 3}, r"epochs: unknown key 'epochs'"),
        ({"seeds": []}, r"seeds: "),
        ({"engines": ["numpy", "tensorflow"]}, r"unknown engine 'tensorflow'; known: numpy, torch, brian2"),
        ({"circuit": {"name": "lateral"}}, r"unknown circuit 'lateral'.*lateral_inhibition"),
        ({"circuit": {"name": "izhikevich"}}, r"readout: the circuit names none"),
        ({"training": {"epochs": 1, "surrogate": "atam"}}, r"surrogate: unknown surrogate 'atam'.*Did you mean 'atan'"),
    ],
)
def test_errors_name_path_and_remedy_and_leave_nothing(tmp_path: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(cx.CortexError, match=message):
        cli.run({**TINY, "output": str(tmp_path), **change}, "")
    assert not left_behind(tmp_path)


def test_output_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(cx.CheckpointError, match=r"output: cannot write to .* choose another with output=FOLDER"):
        cli.run({**TINY, "output": str(tmp_path / "file")}, "")


def test_truncated_checkpoint_is_one_message_and_exit_code_2(tmp_path: Path) -> None:
    cx.save(
        cx.load("lateral_inhibition", hidden=(8,)).with_parameters({"projections.image_E1.weight": [[0.5] * 8] * 64}),
        tmp_path / "c.yaml",
    )
    arrays = tmp_path / "c.safetensors"
    arrays.write_bytes(arrays.read_bytes()[:100])
    ran = command("experiment=simulate", f"circuit.name={tmp_path / 'c.yaml'}", f"output={tmp_path / 'out'}")
    assert ran.returncode == 2
    assert len(ran.stderr.strip().splitlines()) == 1
    assert "c.safetensors: cannot read the arrays" in ran.stderr
    assert not (tmp_path / "out").exists() or not left_behind(tmp_path / "out")


def test_unknown_key_ends_with_code_2(tmp_path: Path) -> None:
    ran = command("experimentt=digits", f"output={tmp_path}")
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr
    assert not left_behind(tmp_path)


def interrupted(tmp_path: Path, wait_for_folder: bool, seconds: float, *arguments: str) -> subprocess.Popen[str]:
    """Start the command, wait until it works in its folder, send SIGINT as a terminal does."""
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); from cortexsnn_start import main; "
        "print('begun', file=sys.stderr, flush=True); main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code, f"output={tmp_path}", *arguments],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr
    assert process.stderr.readline() == "begun\n"
    deadline = time.monotonic() + 120
    while wait_for_folder and not list(tmp_path.rglob(".partial*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(seconds)
    os.kill(process.pid, signal.SIGINT)
    return process


@pytest.mark.parametrize(
    ("wait", "seconds", "arguments"),
    [
        (False, 0.3, ("seeds=[0]",)),
        (True, 2.0, ("seeds=[0]",)),
        (True, 8.0, ("experiment=simulate", "circuit.name=izhikevich", "engine=brian2", "duration='600000 ms'")),
    ],
    ids=["while importing", "in training", "in a run of Brian2"],
)
def test_interruption_leaves_nothing(tmp_path: Path, wait: bool, seconds: float, arguments: tuple[str, ...]) -> None:
    process = interrupted(tmp_path, wait, seconds, *arguments)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2, errors
    assert "interrupted; nothing was written" in errors
    assert "Traceback" not in errors
    assert not left_behind(tmp_path)
    assert not list(tmp_path.rglob(".partial*"))


def test_silence_proves_nothing_and_says_so_by_its_exit_code(tmp_path: Path) -> None:
    circuit = cx.load("izhikevich").with_parameters(
        {"populations.E.parameters.V_peak": "1e6 mV", "populations.I.parameters.V_peak": "1e6 mV"}
    )
    cx.save(circuit, tmp_path / "quiet.yaml")
    ran = command(
        "experiment=verify", f"circuit.name={tmp_path / 'quiet.yaml'}", f"output={tmp_path / 'out'}", "engines=[numpy,torch]",
        "duration='5 ms'",
    )  # fmt: skip
    assert ran.returncode == cli.NOT_PROVEN
    assert "PROVE NOTHING: 0 spikes" in ran.stdout
    assert list((tmp_path / "out").rglob("fidelity.json"))


def test_doctor_lists_engines() -> None:
    from cortexsnn.doctor import report

    assert "engine numpy                    yes" in report()


def test_inputs_come_from_a_file_and_the_report_names_its_command(tmp_path: Path) -> None:
    circuit = cx.load(
        "feedforward", pieces=[{"piece": "lif"}], n_inputs=4, hidden=(6,), n_classes=2, steps=20, gain=5.0
    )
    cx.save(circuit, tmp_path / "c.yaml")
    np.savez(tmp_path / "rows.npz", x=np.random.default_rng(0).random((20, 2, 4)) * 4)
    arguments = [
        "experiment=verify", f"circuit.name={tmp_path / 'c.yaml'}", "engines=[numpy,torch]", f"inputs={tmp_path / 'rows.npz'}", "seed=3",
    ]  # fmt: skip
    ran = command(*arguments, f"output={tmp_path / 'out'}")
    assert ran.returncode == 0, ran.stderr
    (folder,) = (tmp_path / "out" / "verify").iterdir()
    page = (folder / "report.html").read_text()
    assert "seed=3" in page
    assert "output=" not in page.split("Resolved configuration")[0]
    assert page.count("<figure") == 2
    ran = command(*arguments[:-2], f"inputs={tmp_path / 'nothing.npz'}", f"output={tmp_path / 'out'}")
    assert ran.returncode == 2
    assert "numpy.savez" in ran.stderr


@pytest.mark.parametrize(
    "arguments",
    [["experiment=foo"], ["foo=1"], ["--config-name", "nope"], ["experiment=verify", "circuit.name=[unclosed"]],
)
def test_what_hydra_refuses_is_one_line(arguments: list[str]) -> None:
    ran = command(*arguments)
    assert ran.returncode == 2
    assert ran.stderr.startswith("cortexsnn: ")
    assert ran.stderr.count("\n") == 1


def test_a_circuit_needs_its_key_and_a_time_its_unit(tmp_path: Path) -> None:
    ran = command("experiment=simulate", "duration=500", f"output={tmp_path}")
    assert (ran.returncode, "give a time with its unit" in ran.stderr) == (2, True)


@pytest.mark.parametrize("launcher", ["launch=one_by_one", "launch=cores", "hydra/launcher=submitit_local"])
def test_a_sweep_runs_one_after_another_side_by_side_or_as_jobs(tmp_path: Path, launcher: str) -> None:
    arguments = ["experiment=simulate", "circuit.name=izhikevich", "duration=20 ms", "seed=0,1"]
    ran = command("-m", launcher, *arguments, f"output={tmp_path / 'out'}")
    assert ran.returncode == 0, ran.stderr
    done = [json.loads(path.read_text())["config"]["seed"] for path in tmp_path.glob("out/simulate/*/summary.json")]
    assert sorted(done) == [0, 1]


def test_a_sweep_without_its_cluster_says_so(tmp_path: Path) -> None:
    ran = command("-m", "launch=slurm", "experiment=simulate", "seed=0,1", f"output={tmp_path}")
    assert ran.returncode == 2
    assert "srun" in ran.stderr
    assert ran.stderr.count("\n") == 1
