"""What a run records: spikes, variables of all or some cells of a population, sums and means over them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from .errors import InputError, unknown
from .job import DISTANCE, SPIKES, Job, Traces
from .program import WEIGHT, PopulationStep, StepProgram

_OVER = re.compile(r"(sum|mean)\((\w+)\)")

Cells = dict[str, dict[str, np.ndarray]]
"""Population -> probe -> int32 (cell,): probes that are not of all cells."""


def split(probe: str) -> tuple[str | None, str]:
    """``("sum", "v")`` from "sum(v)", ``(None, "v")`` from "v"."""
    found = _OVER.fullmatch(probe)
    return (found.group(1), found.group(2)) if found else (None, probe)


def probe_names(population: PopulationStep) -> tuple[str, ...]:
    """Everything that can be recorded of each cell of a population."""
    names = [n for n in population.states if n != "refractory_left"] + list(population.ports)
    if population.output:
        names.append(population.output.target)
    return (*names, SPIKES, DISTANCE) if population.threshold else tuple(names)


def check_probes(
    program: StepProgram, probes: Mapping[str, object], n_edges: Mapping[str, int]
) -> tuple[dict[str, tuple[str, ...]], Cells]:
    """Probes of a user as tuples of known names, and the cells of those that are not of all.

    Parameters
    ----------
    program : StepProgram
    probes : population -> names, or a mapping of names to cells
        A name is "spikes", a variable, or "sum(v)" and "mean(v)" over the population. Cells are a list of indices, a slice, or
        None for all. Projections with plasticity have the weight "w" and the states of their rule, and edges in place of cells.
    n_edges : projection -> number of edges

    Raises
    ------
    InputError
        An unknown population or variable (lists the known ones), cells that are not there.
    """
    if not isinstance(probes, Mapping):
        raise InputError(f"probes: expected a mapping such as {{'E': ['spikes', 'v']}}, got {type(probes).__name__}")
    checked: dict[str, tuple[str, ...]] = {}
    cells: Cells = {}
    for name, wanted in probes.items():
        rules = {p.name: p.rule for p in program.pathways if p.rule}
        if name not in {p.name for p in program.populations} and name not in rules:
            places = [*(p.name for p in program.populations), *rules]
            raise InputError(f"probes: {unknown('population or plastic projection', name, places)}")
        if not isinstance(wanted, Iterable):
            raise InputError(f"probes.{name}: expected a list of names, got {wanted!r:.60}")
        given = (
            wanted if isinstance(wanted, Mapping) else dict.fromkeys((wanted,) if isinstance(wanted, str) else wanted)
        )
        if name in rules:
            known, size = (WEIGHT, *rules[name].states), n_edges[name]
            if size == 0:
                raise InputError(f"probes.{name}: the projection has no edges with this seed; leave it out")
        else:
            known, size = probe_names(program.population(name)), program.size(name)
        for probe, which in given.items():
            over, variable = split(probe) if isinstance(probe, str) else (None, probe)
            if variable not in known or (over and variable == SPIKES):
                raise InputError(
                    f"probes.{name}: {unknown('variable', variable, [k for k in known if not over or k != SPIKES])}"
                )
            if which is not None:
                cells.setdefault(name, {})[probe] = _cells(f"probes.{name}.{probe}", which, size, variable)
        checked[name] = tuple(given)
    return checked, cells


def _cells(path: str, which: Any, size: int, variable: str) -> np.ndarray:
    if variable == SPIKES:
        raise InputError(f"{path}: spikes are recorded of all cells; choose some of them in the recording")
    try:
        found = np.arange(size)[which] if isinstance(which, slice) else np.asarray(which)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: expected a list of cells or a slice, got {which!r:.60} ({error})") from None
    if found.ndim != 1 or found.size == 0 or found.dtype.kind not in "iu":
        raise InputError(f"{path}: expected a list of at least one cell, got {which!r:.60}")
    if found.min() < 0 or found.max() >= size:
        raise InputError(f"{path}: expected cells between 0 and {size - 1}, got {found.min()} to {found.max()}")
    return found.astype(np.int32)


def widened(job: Job) -> Job:
    """The job of an engine that records whole variables only."""
    probes = {name: tuple(dict.fromkeys(split(p)[1] for p in probed)) for name, probed in job.probes.items()}
    return replace(job, probes=probes, cells={})


def narrowed(job: Job, traces: Traces) -> Traces:
    """What was asked for, from traces of whole variables."""
    values = {
        name: {
            probe: take(traces.values[name][split(probe)[1]], probe, job.cells.get(name, {}).get(probe))
            for probe in probed
            if probe != SPIKES
        }
        for name, probed in job.probes.items()
    }
    return Traces(traces.spikes, values, traces.final)


def take(rows: np.ndarray, probe: str, cells: np.ndarray | None) -> np.ndarray:
    """A probe's share of a variable (…, neuron): some cells, or the sum or mean over them, added in the order of cells."""
    over = split(probe)[0]
    rows = rows if cells is None else rows[..., cells]
    if over is None:
        return rows
    total = np.cumsum(rows, axis=-1)[..., -1]
    return total / rows.shape[-1] if over == "mean" else total
