"""What is wrong with a configuration, all of it, before hours are spent on its trainings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from ...emit.surrogate import surrogate
from ...errors import CortexError, InputError
from ...refine import steps_within
from ...run import split_engine
from ...spec import Circuit
from ...train.data import digits
from ...units import TIME, expect
from ..fidelity import SWEEPS
from .config import Biophysics, ColumnConfig
from .networks import FEEDBACK
from .paradigms import Stage, trials_of
from .training import held_out, start

Check = tuple[str, Callable[[], object]]


def check(config: ColumnConfig) -> None:
    """Refuse what no type says: times off the grid, engines, steps, integrators, surrogates.

    Raises
    ------
    InputError
        All problems.
    """
    found = []
    for path, attempt in _checks(config):
        try:
            attempt()
        except CortexError as error:
            said = " ".join(str(error).split())
            found.append(said if said.startswith(path) else f"{path}: {said}")
    if found:
        raise InputError("; ".join(found))


def _checks(config: ColumnConfig) -> Iterator[Check]:
    yield "training.surrogate", partial(surrogate, config.training.surrogate)
    yield "training", config.frame_settings
    yield "engine", partial(split_engine, config.engine)
    yield "world", partial(_occluded, config)
    if config.networks:
        yield "networks", partial(_folder, config.networks)
    for k, engine in enumerate(config.proof.engines if config.proof else ()):
        yield f"proof.engines.{k}", partial(split_engine, engine)
    stage = Stage(config.world_of(), config.frame_code, digits(config.seeds[0]).test, np.random.default_rng(0))
    for name, paradigm in config.paradigms.given().items():
        yield f"paradigms.{name}", partial(trials_of, name, paradigm, stage)
    if config.biophysics:
        yield from _of_biophysics(config.biophysics, start(config, FEEDBACK))


def _occluded(config: ColumnConfig) -> None:
    """The primary outcome is the error on occluded frames: a world, or a few sequences by chance, may have none."""
    without = [seed for seed in config.seeds if not held_out(config, seed).occluded.any()]
    if without:
        w = config.world
        raise InputError(
            f"world: the primary outcome is the error on occluded frames, and the {config.held_out} held-out sequences of seed "
            f"{', '.join(map(str, without))} have none; expected frames of 3 or more (the first two are never occluded) and larger occluded, cover "
            f"or held_out, got frames {w.frames}, occluded {w.occluded:g}, cover {w.cover:g}"
        )


def _of_biophysics(settings: Biophysics, circuit: Circuit) -> Iterator[Check]:
    for dt in (*settings.dt, settings.fine):
        yield "biophysics.dt", partial(steps_within, circuit, dt)
    for method in settings.methods:
        yield "biophysics.methods", partial(SWEEPS["methods"].circuit, circuit, method)
    for sd in settings.delay_jitter:
        yield "biophysics.delay_jitter", partial(_not_negative, sd)


def _not_negative(time: str) -> None:
    if expect(time, TIME) < 0:
        raise InputError(f"biophysics.delay_jitter: expected a time of 0 or more, got {time!r:.40}")


def _folder(networks: str) -> None:
    try:
        Path(networks).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"networks: cannot write to '{networks}' ({error.strerror}); choose another folder") from None
