"""Results as ``xarray.DataTree``: a node per population, dims trial, step, neuron, with units and provenance."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from .errors import CheckpointError
from .job import SPIKES, Events, Job, Traces
from .program import PopulationStep

DENSE_LIMIT = 200_000_000
"""Largest number of (trial, step, neuron) entries for which spikes are a dense bool array; beyond, event arrays."""

_MARK = "zarr.json"
_PACKAGES = ("cortexsnn", "brian2", "torch", "numpy", "xarray")


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


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
        unit = population.unit(name)
        data[name] = xr.DataArray(values, dims=("trial", "step", "neuron"), attrs={"units": unit})
    if population.name in traces.spikes:
        events = traces.spikes[population.name]
        if job.n_trials * job.n_steps * population.size <= DENSE_LIMIT:
            dense = events.dense(job.n_trials, job.n_steps, population.size)
            data[SPIKES] = xr.DataArray(dense, dims=("trial", "step", "neuron"), attrs={"units": "1"})
        else:
            for axis in ("trial", "step", "neuron"):
                data[f"spike_{axis}"] = xr.DataArray(getattr(events, axis), dims="event")
    attrs = {
        "kind": "spiking" if population.threshold else "graded",
        "transmitter": population.transmitter,
        "size": population.size,
        "shape": list(shape or (population.size,)),
        "n_trials": job.n_trials,
        "n_steps": job.n_steps,
    }
    return xr.Dataset(data, coords={"time": time}, attrs=attrs)


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


def save_recording(recording: xr.DataTree, path: str | Path) -> Path:
    """Write to a zarr folder, complete or not at all; a recording that is there is replaced.

    Raises
    ------
    CheckpointError
        The place cannot be written, or holds something else.
    """
    path = Path(path)
    if os.path.lexists(path) and not (path / _MARK).is_file():
        raise CheckpointError(f"{path}: holds something that is no recording; choose another name or remove it")
    temporary = None
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        new, old = temporary / "new", temporary / "old"
        recording.to_zarr(new, consolidated=False, zarr_format=3)
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


def load_recording(path: str | Path) -> xr.DataTree:
    """Read a recording written by :func:`save_recording`.

    Raises
    ------
    CheckpointError
        Nothing there, or not a recording.
    """
    try:
        # Format 3 alone: the codecs of older formats can run code.
        tree = xr.open_datatree(path, engine="zarr", consolidated=False, zarr_format=3).load()
    except (OSError, ValueError, LookupError, TypeError, RuntimeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise CheckpointError(
            f"{path}: cannot read a recording ({reason}); it is missing, cut off or damaged"
        ) from None
    if "program_hash" not in tree.attrs:
        raise CheckpointError(f"{path}: holds no recording of this package; name the folder of one")
    return tree
