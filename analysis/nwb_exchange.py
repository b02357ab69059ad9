"""Recordings as NWB files and back. NWB has one line of time, so trials follow one another with gaps between them."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ..errors import CheckpointError, InputError, unknown
from .exchange import (
    attributes_of,
    carry,
    library,
    neuron_names,
    number_ms,
    plain,
    selected,
    spikes_of,
    start_of,
    trial_names,
)
from .spike_times import Labels, from_times, since
from .trains import Trains, stable_order, to_steps


def to_nwb(
    recording: xr.DataTree,
    path: str | Path,
    populations: Sequence[str] | None = None,
    *,
    gap_ms: float = 1000.0,
    description: str = "Simulated spikes",
    session_start: datetime.datetime | None = None,
    identifier: str | None = None,
    replace: bool = False,
) -> Path:
    """Write spikes to an NWB file, complete or not at all.

    The units table has a row per neuron, silent ones included: ``spike_times`` [s], each spike at the beginning of its step,
    ``obs_intervals`` (the trials), ``population``, ``transmitter``, ``neuron_id``; its ``resolution`` is dt. Trial k begins
    at k * (length + gap) after the recording's ``start_ms``, or after 0 if that is negative, since NWB counts from the
    earliest time; the trials table has ``start_time``, ``stop_time``, ``trial_id``. The attributes of the recording that are
    text, numbers or truth values, ``start_ms`` among them, are JSON in ``notes``, where ``left_out`` names the others;
    ``subject`` is the file's subject too. States are left out. Where names of neurons are integers in one population and
    text in another all are written as text, and the column ``neuron_id_type`` says which is which.

    Parameters
    ----------
    recording : xarray.DataTree
    path : path
    populations : sequence of str, optional
        None: all with spikes but inputs.
    gap_ms : float, ms, multiple of dt
        Silence between trials.
    description : str
    session_start : datetime with a time zone, optional
        None: now, in UTC.
    identifier : str, optional
        None: drawn.
    replace : bool
        Replace a file that is there.

    Raises
    ------
    InputError
        No spikes, a population without neurons, a bad gap or start, or pynwb is not installed.
    CheckpointError
        A file is there already, or the place cannot be written.
    """
    pynwb, path = library("pynwb"), Path(path)
    found, start_ms = selected(recording, populations), start_of(recording)
    gap = to_steps(number_ms(gap_ms, "gap_ms"), found[0].dt_ms, "gap_ms")
    if gap < 0:
        raise InputError(f"gap_ms: expected a time >= 0, got {gap_ms:g} ms.")
    start = datetime.datetime.now(datetime.UTC) if session_start is None else session_start
    if start.tzinfo is None:
        raise InputError("session_start: expected a date with a time zone; give one, such as tzinfo=datetime.UTC.")
    if os.path.lexists(path) and not (replace and path.is_file()):
        raise CheckpointError(f"{path}: is there already; choose another name, or replace=True for a file")
    attributes, left_out = attributes_of(recording)
    notes = {
        **attributes, "dt_ms": found[0].dt_ms, "n_steps": found[0].n_steps, "n_trials": found[0].n_trials, "start_ms": start_ms,
        "left_out": ", ".join(left_out),
    }  # fmt: skip
    file = pynwb.NWBFile(
        session_description=description, identifier=identifier or str(uuid.uuid4()), session_start_time=start,
        notes=json.dumps(notes),
    )  # fmt: skip
    if isinstance(attributes.get("subject"), str):
        file.subject = library("pynwb.file").Subject(subject_id=attributes["subject"])
    _add(file, found, gap, max(start_ms, 0.0))
    folder = None
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        with pynwb.NWBHDF5IO(str(folder / "new.nwb"), "w") as out:
            out.write(file)
        os.replace(folder / "new.nwb", path)
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be written ({error.strerror or error}); choose a folder you may write to"
        ) from None
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
    return path


def _add(file: Any, found: Sequence[Trains], gap: int, first_ms: float) -> None:
    """The two tables, a column at once: a call per neuron would take minutes for large populations.

    The first trial begins at ``first_ms``.
    """
    misc, common = library("pynwb.misc"), library("hdmf.common")
    dt, n_steps, labels = found[0].dt_ms, found[0].n_steps, trial_names(found[0])
    begins = np.arange(len(labels), dtype=np.int64) * (n_steps + gap)
    file.add_trial_column("trial_id", "Name of the trial in the recording.")
    for label, begin in zip(labels, begins, strict=True):
        file.add_trial(
            start_time=float((first_ms + begin * dt) / 1000),
            stop_time=float((first_ms + (begin + n_steps) * dt) / 1000),
            trial_id=int(label),
        )
    times, counts, ids = [], [], []
    for population in found:
        spikes = spikes_of(population)
        order = stable_order(spikes.neuron.astype(np.int64), population.n_neurons)  # events come in order of time
        times.append((first_ms + (begins[spikes.trial] + spikes.step)[order] * dt) / 1000)
        counts.append(np.bincount(spikes.neuron, minlength=population.n_neurons))
        ids.append(neuron_names(population))
    sizes = [len(i) for i in ids]
    n_units = sum(sizes)
    types = ["integer" if i.dtype.kind in "iu" else "text" for i in ids]
    observed = (first_ms + np.stack([begins, begins + n_steps], axis=1) * dt) / 1000
    single = {
        "population": ("Population of the recording.", np.repeat([f.population for f in found], sizes).tolist()),
        "transmitter": (
            "Transmitter of the population.",
            np.repeat([str(f.node.attrs.get("transmitter", "mixed")) for f in found], sizes).tolist(),
        ),
        "neuron_id": (
            "Name of the neuron within its population.",
            [str(k) for i in ids for k in i] if "text" in types else np.concatenate(ids).astype(np.int64),
        ),
    }
    if len(set(types)) > 1:
        single["neuron_id_type"] = ("What neuron_id is: integer or text.", np.repeat(types, sizes).tolist())
    columns = [common.VectorData(name=n, description=d, data=values) for n, (d, values) in single.items()]
    for name, about, values, ends in (
        ("spike_times", "Beginning of the step of every spike [s].", np.concatenate(times), np.cumsum(np.concatenate(counts))),
        (
            "obs_intervals", "The trials [s].", np.tile(observed, (n_units, 1)),
            np.arange(1, n_units + 1, dtype=np.int64) * len(labels),
        ),
    ):  # fmt: skip
        data = common.VectorData(name=name, description=about, data=values)
        columns += [data, common.VectorIndex(name=f"{name}_index", data=ends, target=data)]
    file.units = misc.Units(
        name="units", description="Neurons of the recording.", resolution=dt / 1000, columns=columns,
        id=np.arange(n_units), colnames=[*single, "spike_times", "obs_intervals"],
    )  # fmt: skip


def from_nwb(
    path: str | Path,
    *,
    dt_ms: float | None = None,
    start_ms: float = 0.0,
    duration_ms: float | None = None,
    by_trial: bool = True,
    align: str = "start_time",
    population_column: str | None = None,
    population: str = "neurons",
    neurons: Mapping[str, Labels] | None = None,
    transmitters: Mapping[str, str] | None = None,
    **provenance: Any,
) -> xr.DataTree:
    """A recording from the units table of an NWB file.

    Units are neurons, named by the column ``neuron_id`` if there is one, else by their id. With a trials table, trial k is
    ``align + start_ms <= time < align + start_ms + duration_ms`` and the spikes in none of these windows are left out, their
    number being the attribute ``n_outside``; without one, or with ``by_trial=False``, the file is one trial. A unit
    counts as observed throughout: ``obs_intervals`` are not read. Attributes that :func:`to_nwb` noted and the subject's id
    (``subject``) become attributes of the root, and the ``start_ms`` that it noted is that of trials aligned to
    ``start_time``.

    Parameters
    ----------
    path : path
    dt_ms : float, ms
        Width of a step. None: the ``resolution`` of the spike times, if the file says it.
    start_ms : float, ms
        Beginning of the recording: from the file's zero of time, or from `align` in every trial.
    duration_ms : float, ms, multiple of dt, optional
        Length. None: that of the trials, if it is one number of steps and ``start_ms`` is 0, or up to the last spike
        of a file that is one trial.
    by_trial : bool
    align : str
        Column of the trials table with a time [s], such as the beginning of a stimulus.
    population_column : str, optional
        Column of the units table by which units are grouped, such as a cell type or an area. None: ``population`` if it is
        there, else all units are of `population`.
    population : str
    neurons, transmitters, provenance
        As for :func:`from_times`.

    Raises
    ------
    InputError
        As :func:`from_times`; the file cannot be read, has no spike times, or lacks a column.
    """
    path = Path(path)
    units, trials, told = _load(path, population_column, align if by_trial else None)
    dt_ms = units["resolution"] if dt_ms is None else dt_ms
    for argument, given in (("dt_ms", dt_ms), ("start_ms", start_ms), ("duration_ms", duration_ms)):
        if given is not None:
            number_ms(given, argument)
    if dt_ms is None or not (np.isfinite(dt_ms) and dt_ms > 0):
        raise InputError(
            f"{path}: dt_ms: expected the width of a step in ms, got {dt_ms}; the file does not say it, give it."
        )
    labels, unit, times = units["names"], units["unit"], units["times"]
    groups = units["groups"] if units["groups"] is not None else np.full(len(labels), population)
    trial, names, begin = np.zeros(times.size, dtype=np.int64), None, start_ms
    if trials is not None:
        n_steps = (
            _trial_steps(path, trials, start_ms, dt_ms)
            if duration_ms is None
            else to_steps(duration_ms, dt_ms, "duration_ms")
        )
        rows, trial, times = _windows(times, trials["align"] + start_ms, n_steps, dt_ms, str(path))
        provenance = {"n_outside": int(unit.size - np.unique(rows).size), **provenance}
        unit, names = unit[rows], trials["names"]
        trial, duration_ms, start_ms = names[trial], n_steps * dt_ms, 0.0
        begin += number_ms(told.get("start_ms", 0.0), f"{path}: notes.start_ms") if align == "start_time" else 0.0
    spikes, known, sent = {}, {}, {}
    for name in dict.fromkeys(groups.tolist()):
        members = groups == name
        mine = members[unit]
        known[name] = _plain(labels[members])
        spikes[name] = (times[mine], _plain(labels[unit[mine]]), trial[mine])
        if units["transmitters"] is not None:
            sent[name] = str(units["transmitters"][members][0])
    read = from_times(
        spikes, dt_ms=dt_ms, duration_ms=duration_ms, start_ms=start_ms, neurons=known | dict(neurons or {}), trials=names,
        transmitters=sent | dict(transmitters or {}), **provenance,
    )  # fmt: skip
    read.attrs["start_ms"] = float(begin)
    return carry(read, plain(told), provenance)


def _plain(names: np.ndarray) -> np.ndarray:
    """Names of a population: integers if all are, else text."""
    if names.dtype.kind != "O":
        return names
    return names.astype(np.int64 if all(isinstance(n, int) for n in names) else str)


def _load(
    path: Path, population_column: str | None, align: str | None
) -> tuple[dict[str, Any], dict[str, Any] | None, dict[str, Any]]:
    """What is needed, read whole: times [ms] and unit of every spike, columns; starts of trials [ms]; attributes."""
    pynwb = library("pynwb")
    try:
        with pynwb.NWBHDF5IO(str(path), "r") as source:
            file = source.read()
            return _units(path, file.units, population_column), _trials(path, file.trials, align), _told(file)
    except InputError:
        raise
    except Exception as error:  # hdmf raises anything at files that are cut off or of another kind
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"{path}: cannot be read as NWB ({type(error).__name__}: {reason}); check the file.") from None


def _told(file: Any) -> dict[str, Any]:
    """Attributes of the recording, ``start_ms`` included, if :func:`to_nwb` noted them; the subject's id."""
    try:
        notes = json.loads(file.notes or "")
    except ValueError:
        notes = None
    told = notes if isinstance(notes, dict) and {"dt_ms", "n_steps", "n_trials", "start_ms"} <= set(notes) else {}
    if file.subject is not None and file.subject.subject_id:
        told = {"subject": file.subject.subject_id, **told}
    return told


def _units(path: Path, table: Any, population_column: str | None) -> dict[str, Any]:
    present = () if table is None else tuple(table.colnames)
    if "spike_times" not in present:
        raise InputError(
            f"{path}: no units with spike times (columns: {', '.join(present) or 'none'}); it holds no sorted spikes."
        )
    if population_column is not None and population_column not in present:
        raise InputError(f"{path}: population_column: {unknown('column', population_column, present)}")
    index = table["spike_times"]
    ends, times = np.asarray(index.data[:], dtype=np.int64), np.asarray(index.target.data[:], dtype=np.float64)
    grouping = population_column or ("population" if "population" in present else None)
    resolution = table.resolution
    names = np.asarray(table["neuron_id"][:] if "neuron_id" in present else table.id[:])
    if "neuron_id" in present and "neuron_id_type" in present:
        pairs = zip(names, table["neuron_id_type"][:], strict=True)
        names = np.array([int(n) if kind == "integer" else str(n) for n, kind in pairs], dtype=object)
    return {
        "times": times * 1000,
        "unit": np.repeat(np.arange(ends.size), np.diff(ends, prepend=0)),
        "names": names,
        "groups": None if grouping is None else np.asarray([_text(v) for v in table[grouping][:]]),
        "transmitters": np.asarray(table["transmitter"][:]).astype(str) if "transmitter" in present else None,
        "resolution": float(resolution) * 1000 if resolution is not None and resolution > 0 else None,
    }


def _text(value: Any) -> str:
    """A group's name: text, or that of an object such as an electrode group."""
    return str(value.name if hasattr(value, "name") and not isinstance(value, str) else value).replace("/", "_")


def _trials(path: Path, table: Any, align: str | None) -> dict[str, Any] | None:
    if table is None or align is None or not len(table):
        return None
    if align not in table.colnames:
        raise InputError(f"{path}: align: {unknown('column', align, table.colnames)}")
    at = np.asarray(table[align][:], dtype=np.float64) * 1000
    if not np.isfinite(at).all():
        raise InputError(
            f"{path}: {int((~np.isfinite(at)).sum())} trials have no {align}; choose another column or by_trial=False."
        )
    names = np.asarray(table["trial_id"][:] if "trial_id" in table.colnames else table.id[:])
    length = np.asarray(table["stop_time"][:], dtype=np.float64) * 1000 - np.asarray(table["start_time"][:]) * 1000
    return {"align": at, "length": length, "names": names, "by": align}


def _trial_steps(path: Path, trials: Mapping[str, Any], start_ms: float, dt_ms: float) -> int:
    """The one length of all trials, in steps."""
    ratio = trials["length"] / dt_ms
    if start_ms or trials["by"] != "start_time" or not np.isfinite(ratio).all() or np.ptp(np.rint(ratio)) > 0:
        raise InputError(
            f"{path}: duration_ms: trials last from {trials['length'].min():g} to {trials['length'].max():g} ms, or are not taken "
            "from their beginning; give the length of every trial, or by_trial=False."
        )
    return max(1, int(np.rint(ratio[0])))


def _windows(
    times: np.ndarray, starts_ms: np.ndarray, n_steps: int, dt_ms: float, where: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spikes of every trial: rows, trials, times after its start. A spike belongs to all windows in which it falls."""
    order = np.argsort(times, kind="stable")
    ordered = times[order]
    rows, trials, after = [], [], []
    for trial, start in enumerate(starts_ms):
        low, high = np.searchsorted(ordered, [start - dt_ms, start + (n_steps + 1) * dt_ms])
        time, step = since(ordered[low:high], float(start), dt_ms, where)
        inside = (step >= 0) & (step < n_steps)
        rows.append(order[low:high][inside])
        after.append(time[inside])
        trials.append(np.full(after[-1].size, trial))
    return np.concatenate(rows), np.concatenate(trials), np.concatenate(after)
