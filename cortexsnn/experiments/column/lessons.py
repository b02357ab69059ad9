"""The column taught by local rules, by some of them, by gradients and not at all, all seen through the same linear read-out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...run import simulate
from ...spec import Circuit
from ...train.data import digits
from ...train.frame_spikes import Spikes
from ..arms import Run
from .config import ColumnConfig, LocalConfig
from .local import LocalRules, chained, dendritic_error, dendritic_information, learn, moved, plastic, read_out
from .networks import FEEDBACK, PYRAMIDAL, rows
from .training import UNTRAINED, held_out, start, trained

LESSONS, LOCAL, GRADIENT = "local learning", "local rules", "gradients"
WAYS = (UNTRAINED, LOCAL, "inhibition alone", "apical synapses alone", GRADIENT)


class Lesson(NamedTuple):
    """One network, taught in one of the ways."""

    config: ColumnConfig
    local: LocalConfig
    folder: Path
    way: str
    seed: int


def rules_of(local: LocalConfig, way: str) -> LocalRules:
    """All rules, or those of inhibition or of apical synapses."""
    return LocalRules(
        apical_rate=0.0 if way.startswith("inhibition") else local.apical_rate,
        inhibitory_rate=0.0 if way.startswith("apical") else local.inhibitory_rate,
        target=local.target,
    )


def examine(lesson: Lesson) -> Run:
    """Errors of the read-out, rates, what dendrites say of somata, how far weights moved."""
    config, seed = lesson.config, lesson.seed
    untaught = start(config, FEEDBACK)
    measured: dict[str, Any] = {"trainings": 0}
    if lesson.way == GRADIENT:
        circuit = trained(config, lesson.folder, seed)
    elif lesson.way == UNTRAINED:
        circuit = untaught
    else:
        circuit = _taught(lesson, plastic(untaught, rules_of(lesson.local, lesson.way)), measured)
    train = config.world_of().scans(digits(seed).train, lesson.local.fitted, np.random.default_rng([seed, 109]))
    test = held_out(config, seed)
    found = read_out(circuit, config.frame_code, train, test, config.engine, seed)
    inputs = chained(rows(circuit, config.frame_code, test, np.random.default_rng([seed, 111])))
    recording = simulate(
        circuit, inputs, engine=config.engine, seed=seed, probes={name: ["spikes", "Vd"] for name in PYRAMIDAL}
    )
    dendrites = {
        "dendritic error": float(np.mean([dendritic_error(recording, name) for name in PYRAMIDAL])),
        "dendritic information": float(np.mean([dendritic_information(recording, name) for name in PYRAMIDAL])),
    }
    return Run(LESSONS, lesson.way, seed, {**found, **dendrites, **measured})


def _taught(lesson: Lesson, circuit: Circuit, measured: dict[str, Any]) -> Circuit:
    config, seed = lesson.config, lesson.seed
    random, world = np.random.default_rng([seed, 108]), config.world_of()
    data = digits(seed).train

    def draw() -> Spikes:
        return rows(circuit, config.frame_code, world.scans(data, lesson.local.sequences, random), random)

    after = learn(circuit, draw, lesson.local.updates, config.engine, seed)
    ends = [each for each in moved(circuit, after, seed).values() if each[0]]
    measured |= {
        "trainings": 1,
        "moved": float(np.mean([m for m, _ in ends])),
        "at bounds": float(np.mean([b for _, b in ends])),
    }
    return after
