"""Results as ``xarray.DataTree``: a node per population, dims trial, step, neuron, with units and provenance."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from .errors import CheckpointError, InputError
from .job import SPIKES as SPIKES
from .job import Events as Events
from .job import Job, Traces
from .probes import split
from .program import Pathway, PopulationStep, RuleStep

DENSE_LIMIT = 50_000_000
"""Largest number of (trial, step, neuron) entries for which spikes are a dense bool array; beyond, event arrays."""

_MARK = "zarr.json"
_PACKAGES = ("cortexsnn", "brian2", "brian2cuda", "torch", "numpy", "scipy", "scikit-learn", "xarray")


@cache
def installed(name: str) -> str | None:
    """Version of an installed distribution."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    return {name: installed(name) or "not installed" for name in _PACKAGES}


def build(
    job: Job, traces: Traces, provenance: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...] | None]
) -> xr.DataTree:
    """Label what an engine gave back.

    Parameters
    ----------
    job, traces
        What ran and what came of it.
    provenance : mapping
        circuit, circuit_hash, seed, engine, dtype.
    shapes : mapping
        Shape of each population, None for a plain size.
    """
    nodes = {}
    for population in job.program.in_stage_order:
        if population.name in job.probes:
            nodes[population.name] = _dataset(job, population, traces, shapes.get(population.name))
    for pathway in job.program.pathways:
        if pathway.rule:
            nodes[pathway.name] = _edges_dataset(job, pathway, pathway.rule, traces)
    tree = xr.DataTree.from_dict(nodes)
    tree.attrs.update(
        provenance, program_hash=job.program.hash, dt_ms=job.program.dt, n_trials=job.n_trials, n_steps=job.n_steps,
        versions=json.dumps(versions()),
    )  # fmt: skip
    return tree


def _dataset(job: Job, population: PopulationStep, traces: Traces, shape: tuple[int, ...] | None) -> xr.Dataset:
    time = xr.DataArray(
        np.arange(job.n_steps) * job.program.dt, dims="step", attrs={"units": "ms", "long_name": "time"}
    )
    data: dict[str, Any] = {}
    for name, values in traces.values.get(population.name, {}).items():
        unit = {"units": population.unit(split(name)[1])}
        chosen = job.cells.get(population.name, {}).get(name)
        if values.ndim == 2:
            data[name] = xr.DataArray(values, dims=("trial", "step"), attrs=unit)
        elif chosen is None:
            data[name] = xr.DataArray(values, dims=("trial", "step", "neuron"), attrs=unit)
        else:  # its own dimension, beside variables of all cells
            axis = f"{name}_neuron"
            data[name] = xr.DataArray(values, dims=("trial", "step", axis), coords={axis: chosen}, attrs=unit)
    if population.name in traces.spikes:
        data |= _spikes(traces.spikes[population.name], job.n_trials, job.n_steps, population.size)
    attrs = {
        "kind": "spiking" if population.threshold else "graded",
        "transmitter": population.transmitter,
        "size": population.size,
        "shape": list(shape or (population.size,)),
        "n_trials": job.n_trials,
        "n_steps": job.n_steps,
    }
    return xr.Dataset(data, coords={"time": time}, attrs=attrs)


def _edges_dataset(job: Job, pathway: Pathway, rule: RuleStep, traces: Traces) -> xr.Dataset:
    """Edges of a plastic projection: what was probed, (trial, step, edge), and how they ended, ``final_w`` …, (trial, edge)."""
    edges, units = job.edges[pathway.name], dict(rule.units)
    data: dict[str, Any] = {}
    for probe, values in traces.values.get(pathway.name, {}).items():
        unit = {"units": units[split(probe)[1]]}
        chosen = job.cells.get(pathway.name, {}).get(probe)
        if values.ndim == 2:
            data[probe] = xr.DataArray(values, dims=("trial", "step"), attrs=unit)
        elif chosen is None:
            data[probe] = xr.DataArray(values, dims=("trial", "step", "edge"), attrs=unit)
        else:
            axis = f"{probe}_edge"
            data[probe] = xr.DataArray(values, dims=("trial", "step", axis), coords={axis: chosen}, attrs=unit)
    for name, values in traces.final[pathway.name].items():
        data[f"final_{name}"] = xr.DataArray(values, dims=("trial", "edge"), attrs={"units": units[name]})
    time = xr.DataArray(
        np.arange(job.n_steps) * job.program.dt, dims="step", attrs={"units": "ms", "long_name": "time"}
    )
    coordinates = {"time": time, "pre": ("edge", edges.pre), "post": ("edge", edges.post)}
    attrs = {
        "kind": "plastic", "from": pathway.pre, "to": pathway.post, "size": edges.pre.size, "n_trials": job.n_trials, "n_steps": job.n_steps,
    }  # fmt: skip
    return xr.Dataset(data, coords=coordinates, attrs=attrs)


def _spikes(found: Events, n_trials: int, n_steps: int, size: int) -> dict[str, xr.DataArray]:
    """Spikes as variables of a node: dense where that is small, else event arrays."""
    if n_trials * n_steps * size <= DENSE_LIMIT:
        dense = found.dense(n_trials, n_steps, size)
        return {SPIKES: xr.DataArray(dense, dims=("trial", "step", "neuron"), attrs={"units": "1"})}
    return {f"spike_{axis}": xr.DataArray(getattr(found, axis), dims="event") for axis in ("trial", "step", "neuron")}


def from_events(
    populations: Mapping[str, Events],
    sizes: Mapping[str, int],
    *,
    dt_ms: float,
    n_steps: int,
    n_trials: int = 1,
    transmitters: Mapping[str, str] | None = None,
    **provenance: Any,
) -> xr.DataTree:
    """A recording from spikes that no engine of ours made, for instance an experiment's.

    Parameters
    ----------
    populations : population -> Events
        In any order.
    sizes : population -> number of neurons, silent ones included
    dt_ms : float, ms
    n_steps, n_trials : int
    transmitters : population -> "excitatory", "inhibitory" or "mixed", optional
    provenance
        Further attributes of the root, such as ``engine="experiment"``.

    Raises
    ------
    InputError
        Indices outside of the recording, or two spikes of a neuron in one step.
    """
    if not (dt_ms > 0 and n_steps >= 1 and n_trials >= 1):
        raise InputError(f"expected dt_ms > 0, n_steps >= 1 and n_trials >= 1, got {dt_ms}, {n_steps} and {n_trials}")
    nodes = {}
    for name, given in populations.items():
        size = int(sizes[name])
        found = _in_order(name, given, (n_trials, n_steps, size))
        time = xr.DataArray(np.arange(n_steps) * dt_ms, dims="step", attrs={"units": "ms", "long_name": "time"})
        attrs = {
            "kind": "spiking", "transmitter": (transmitters or {}).get(name, "mixed"), "size": size, "shape": [size],
            "n_trials": n_trials, "n_steps": n_steps,
        }  # fmt: skip
        nodes[name] = xr.Dataset(_spikes(found, n_trials, n_steps, size), coords={"time": time}, attrs=attrs)
    tree = xr.DataTree.from_dict(nodes)
    tree.attrs.update(
        provenance, dt_ms=float(dt_ms), n_trials=n_trials, n_steps=n_steps, versions=json.dumps(versions())
    )
    return tree


def _in_order(name: str, given: Events, limits: tuple[int, int, int]) -> Events:
    columns = [np.asarray(c) for c in (given.trial, given.step, given.neuron)]
    if len({c.shape for c in columns}) > 1 or columns[0].ndim != 1:
        raise InputError(f"{name}: trial, step and neuron differ in length: {', '.join(str(c.shape) for c in columns)}")
    for axis, column, limit in zip(("trial", "step", "neuron"), columns, limits, strict=True):
        if column.size and not (column.dtype.kind in "iu" and column.min() >= 0 and column.max() < limit):
            raise InputError(
                f"{name}: expected every {axis} to be an integer between 0 and {limit - 1}, got {column.min()} to {column.max()}"
            )
    trial, step, neuron = (c.astype(np.int64) for c in columns)
    key = (trial * limits[1] + step) * limits[2] + neuron
    key.sort()
    twice = np.flatnonzero(np.diff(key) == 0)
    if twice.size:
        before, cell = divmod(int(key[twice[0]]), limits[2])
        raise InputError(
            f"{name}: neuron {cell} spikes twice in step {before % limits[1]} of trial {before // limits[1]}; use a smaller dt_ms"
        )
    row, neuron = np.divmod(key, limits[2])
    trial, step = np.divmod(row, limits[1])
    return Events(trial.astype(np.int32), step.astype(np.int32), neuron.astype(np.int32))


def events(dataset: xr.Dataset | xr.DataTree) -> Events | None:
    """Spikes of a population's node as event arrays, however they are stored; None if they were not recorded."""
    if SPIKES in dataset:
        return Events.from_dense(dataset[SPIKES].transpose("trial", "step", "neuron").values)
    if "spike_neuron" in dataset:
        return Events(*(np.asarray(dataset[f"spike_{axis}"].values) for axis in ("trial", "step", "neuron")))
    return None


def count_spikes(recording: xr.DataTree) -> int:
    """Spikes of all populations."""
    found = (events(node) for node in recording.children.values())
    return sum(len(e) for e in found if e is not None)


def check_place(path: str | Path) -> None:
    """See that a recording can be written to a place, before the work is done.

    Raises
    ------
    InputError, CheckpointError
        Not a path, no folder to write in, or something else is there.
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"path: expected the name of a folder, got {path!r:.60}")
    path = Path(path)
    if os.path.lexists(path) and not (path / _MARK).is_file():
        raise CheckpointError(f"{path}: holds something that is no recording; choose another name or remove it")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        reason = "it may not be written to" if path.parent.is_dir() else "there is no such folder"
        raise CheckpointError(f"{path}: cannot be written ({path.parent}: {reason}); choose a folder you may write to")


def save_recording(recording: xr.DataTree, path: str | Path) -> Path:
    """Write to a zarr folder, complete or not at all; a recording that is there is replaced.

    Raises
    ------
    CheckpointError
        The place cannot be written, or holds something else.
    """
    if not isinstance(recording, xr.DataTree):
        raise InputError(f"recording: expected what simulate returns, got {type(recording).__name__}")
    check_place(path)
    path = Path(path)
    temporary = None
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        new, old = temporary / "new", temporary / "old"
        marked = recording.copy()
        marked.attrs = {**recording.attrs, "digests": json.dumps(_digests(recording))}
        marked.to_zarr(new, consolidated=False, zarr_format=3)
        if path.exists():
            path.replace(old)
        try:
            new.replace(path)
        except OSError:
            if old.exists():
                old.replace(path)
            raise
    except OSError as error:
        reason = error.strerror or error
        raise CheckpointError(f"{path}: cannot be written ({reason}); choose a folder you may write to") from None
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return path


def _digests(recording: xr.DataTree) -> dict[str, str]:
    """SHA-256 (16 digits) of every array: zarr reads a chunk that is gone as zeros. Arrays left on disk are not read for it."""
    found = {}
    for node in recording.subtree:
        for name, array in node.data_vars.items():
            if array.chunks is None:
                values = np.ascontiguousarray(array.values)  # not copied, and read piece by piece if it lies on disk
                found[f"{node.path}:{name}"] = hashlib.sha256(values.reshape(-1).view(np.uint8).data).hexdigest()[:16]
    return found


def load_recording(path: str | Path, *, lazy: bool = False) -> xr.DataTree:
    """Read a recording written by :func:`save_recording`.

    Parameters
    ----------
    path : path
    lazy : bool
        Leave the numbers on disk, to be read in chunks as they are needed (with dask, extra ``scale``): for recordings
        larger than memory. The folder must then stay.

    Raises
    ------
    CheckpointError
        Nothing there, or not a recording.
    """
    try:
        # Format 3 alone: the codecs of older formats can run code.
        tree = xr.open_datatree(path, engine="zarr", consolidated=False, zarr_format=3, chunks={} if lazy else None)
        tree = tree if lazy else tree.load()
    except (OSError, ValueError, LookupError, TypeError, RuntimeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise CheckpointError(
            f"{path}: cannot read a recording ({reason}); it is missing, cut off or damaged"
        ) from None
    if not lazy and json.loads(tree.attrs.get("digests", "{}")) not in ({}, found := _digests(tree)):
        raise CheckpointError(
            f"{path}: its numbers are not those that were written ({len(found)} arrays); it is damaged"
        )
    if "dt_ms" not in tree.attrs or "n_steps" not in tree.attrs:
        raise CheckpointError(f"{path}: holds no recording of this package; name the folder of one")
    return tree
