"""Train the networks of the experiment, keep each as a circuit file, and score it on held-out digits in the engine of simulations."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...bridge import from_torch, to_torch
from ...errors import InputError
from ...library import load
from ...report import write_json
from ...run import simulate
from ...spec import Circuit
from ...specfile import save
from ...train.data import Digits, digits
from ...train.next_frame import Batch, FrameSettings, fit_frames
from ...train.penalties import Penalty, ranges, spikes, together
from ...train.scan import Scans, World
from ..arms import Run, cpu_seconds
from .config import ColumnConfig
from .lesions import SHORT_TERM, lesioned, mean_release
from .networks import APICAL, FEEDBACK, NONE, PLAIN, SOMA, cells, class_of, column, plain, rows
from .score import autoregressive, copied, errors_by_kind, mean_frame, predicted_frames
from .statistics import activity, probes

SHUFFLED, UNCOUPLED, UNTRAINED, RETRAINED = "shuffled", "uncoupled", "untrained", "retrained"
HIERARCHY, HIERARCHY_NONE = "hierarchy", "hierarchy, no apical feedback"
HIERARCHIES = {HIERARCHY: FEEDBACK, HIERARCHY_NONE: NONE}
"""Arms of two columns -> the arm of one whose connections they have."""
HELD = 0.2
"""How strongly: enough for a plain network to stay within 2 %."""
CUT, CUT_RETRAINED, WHOLE_RETRAINED = (
    "hierarchy, upper column cut", "hierarchy, upper column cut, retrained", "hierarchy, retrained",
)  # fmt: skip
"""The trained hierarchy whose lower column no longer hears the upper one, at once and trained on, and the whole one trained on as long."""
MATCHED = {
    SOMA: FEEDBACK, NONE: FEEDBACK, PLAIN: FEEDBACK, HIERARCHY_NONE: HIERARCHY, CUT_RETRAINED: HIERARCHY, WHOLE_RETRAINED: HIERARCHY,
}  # fmt: skip
"""Arms that are held at as many spikes as another one fires; so is the column after each lesion, at its own before."""
PREDICTION = "next frame"
INTACT = "nothing"
BASELINE_SEQUENCES = 6000
RELEASE_SEQUENCES = 32
"""On which the share that terminals release is measured."""


class Task(NamedTuple):
    """One network; ``lesion`` of one that was trained as ``of``, trained on or not; ``spikes`` of all cells [1/s] at which it is held;
    ``parameters`` of the plain network."""

    config: ColumnConfig
    folder: Path
    arm: str
    seed: int
    lesion: str = ""
    of: str = FEEDBACK
    spikes: float = 0.0
    parameters: int = 0


def network_file(folder: Path, arm: str, seed: int) -> Path:
    """Where a trained network is kept."""
    return folder / f"{arm.replace(' ', '_').replace(',', '')}-{seed}.yaml"


def train(task: Task) -> Run:
    """Train, keep, score; or what was kept of the same training before.

    Raises
    ------
    InputError
        What was kept is of another configuration, or damaged.
    """
    place = network_file(task.folder, task.arm, task.seed)
    record, identity = place.with_suffix(".json"), json.loads(json.dumps(identity_of(task)))
    if record.exists():
        kept, measured = _kept(record)
        if kept != identity:
            raise InputError(
                f"networks: '{record}' is of another world, code, circuit or training; choose another folder, or none"
            )
        return Run(PREDICTION, task.arm, task.seed, measured)
    begun = cpu_seconds()
    measured = _trained(task, place)
    write_json(record, {"identity": identity, "measured": measured, "cpu_seconds": cpu_seconds() - begun})
    return Run(PREDICTION, task.arm, task.seed, measured)


def _kept(record: Path) -> tuple[object, dict[str, Any]]:
    """Identity of a training that was kept, and what was measured, as it was: NaN is written as null, which JSON has."""
    try:
        kept = json.loads(record.read_text(encoding="utf-8"))
        measured = {name: float("nan") if value is None else value for name, value in kept["measured"].items()}
        return kept["identity"], {**measured, "cpu_seconds": kept.get("cpu_seconds", 0.0)}
    except (ValueError, LookupError, TypeError, AttributeError):  # no JSON, or not what train writes
        raise InputError(
            f"networks: '{record}' is damaged: expected a record of a training, with its identity and what was measured; remove it, and this "
            "network is trained again, or choose another folder"
        ) from None


def identity_of(task: Task) -> dict[str, Any]:
    """What a training depends on, as data."""
    kept = ("cells", "hierarchy", "world", "code", "training", "retrain", "held_out", "engine")
    own = {name: value for name, value in task.config.model_dump(mode="json").items() if name in kept}
    return {**own, "spikes": task.spikes, "circuit": _unlearned(task).hash}


def _trained(task: Task, place: Path) -> dict[str, Any]:
    config, data = task.config, digits(task.seed)
    circuit, settings = _start(task)
    world = config.world_of(coupled=task.arm != UNCOUPLED, ordered=task.arm != SHUFFLED)
    network = to_torch(circuit, seed=task.seed, surrogate=config.training.surrogate)
    draw = _batches(task, circuit, world, data, settings.batch)
    errors = [] if task.arm == CUT else fit_frames(network, draw, settings, _penalty(task, circuit))
    taught = from_torch(circuit, network)
    save(taught, place)
    learned = sum(p.numel() for p in network.parameters())
    return {**scored(config, taught, task.seed), "loss": errors, "parameters": learned}


def trained(config: ColumnConfig, folder: Path, seed: int, lesion: str = INTACT, arm: str = FEEDBACK) -> Circuit:
    """A trained network, with a lesion."""
    circuit = load(network_file(folder, arm, seed))
    if lesion == INTACT:
        return circuit
    released = None
    if lesion == SHORT_TERM:
        random = np.random.default_rng([seed, 112])
        scans = config.world_of().scans(digits(seed).train, RELEASE_SEQUENCES, random)
        released = mean_release(circuit, rows(circuit, config.frame_code, scans, random), config.engine, seed)
    return lesioned(circuit, lesion, released)


def start(config: ColumnConfig, arm: str) -> Circuit:
    """The column of an arm before training, or the two columns of a hierarchy."""
    if arm in HIERARCHIES and config.hierarchy:
        return column(HIERARCHIES[arm], config.hierarchy, config.frame_code, columns=2)
    return column(arm if arm in APICAL else FEEDBACK, config.cells, config.frame_code)


def _unlearned(task: Task) -> Circuit:
    """The circuit of a training before it learned anything, also before what is trained on."""
    if task.arm == PLAIN:
        return plain(task.parameters, task.config.frame_code)
    return start(task.config, task.of if task.lesion else task.arm)


def _start(task: Task) -> tuple[Circuit, FrameSettings]:
    config = task.config
    if task.lesion:
        circuit = trained(config, task.folder, task.seed, task.lesion, task.of)
        return circuit, config.frame_settings(updates=config.retrain, start=None)
    rate = config.training.plain_bias_rate if task.arm == PLAIN else None
    return _unlearned(task), config.frame_settings(bias_rate=rate)


def _batches(task: Task, circuit: Circuit, world: World, data: Digits, batch: int) -> Callable[[], Batch]:
    random = np.random.default_rng([task.seed, int(bool(task.lesion))])  # the same batches after every lesion
    code = task.config.frame_code
    # a plain network sees what the column sees, noise aside
    fed = start(task.config, FEEDBACK) if task.arm == PLAIN else circuit

    def draw() -> Batch:
        scans = world.scans(data.train, batch, random)
        drawn = rows(fed, code, scans, random)
        return {name: drawn[name] for name in circuit.inputs}, scans.targets

    return draw


def _penalty(task: Task, circuit: Circuit) -> Penalty:
    t, names = task.config.training, cells(circuit)
    wanted = {name: limits for name in names for kind, limits in t.ranges.items() if kind == class_of(name)}
    found: list[Penalty] = [] if task.arm == PLAIN else [ranges(wanted, 1.0, t.strength)]
    if task.spikes:
        found.append(spikes({name: circuit.populations[name].n for name in names}, task.spikes, 1.0, HELD))
    return together(*found)


def held_out(config: ColumnConfig, seed: int, n: int | None = None) -> Scans:
    """The same sequences over held-out digits for every network of a seed."""
    return config.world_of().scans(digits(seed).test, n or config.held_out, np.random.default_rng([seed, 101]))


def scored(config: ColumnConfig, circuit: Circuit, seed: int) -> dict[str, float]:
    """Errors by kind of frame, spikes and activity on held-out sequences."""
    scans = held_out(config, seed)
    inputs = rows(circuit, config.frame_code, scans, np.random.default_rng([seed, 102]))
    wanted = probes(circuit)
    recording = simulate(circuit, inputs, engine=config.engine, seed=seed, probes=wanted)
    return {**errors_by_kind(predicted_frames(recording, config.code.ms), scans), **activity(circuit, recording)}


def baselines(config: ColumnConfig, seed: int) -> dict[str, dict[str, float]]:
    """Errors by kind of predictors that are no networks, fitted on training digits."""
    train = config.world_of().scans(digits(seed).train, BASELINE_SEQUENCES, np.random.default_rng([seed, 103]))
    test = held_out(config, seed)
    found = {
        "mean frame": mean_frame(train, test),
        "copy of the last frame": copied(test),
        "linear autoregression": autoregressive(train, test),
        "autoregression with products": autoregressive(train, test, products=1),
        "autoregression with products of two commands": autoregressive(train, test, products=2),
    }
    return {name: errors_by_kind(frames, test) for name, frames in found.items()}
