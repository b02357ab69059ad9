"""Pandas tables of spikes, one row per spike: from recordings and to recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..errors import InputError, unknown
from .exchange import attributes_of, carry, neuron_names, plain, selected, spikes_of, start_of, trial_names
from .spike_times import Labels, from_times

TIME_COLUMNS = {"time_ms": "ms", "time_s": "s", "time_us": "us"}
COLUMNS = ("time", *TIME_COLUMNS, "neuron", "trial", "population")
ATTRS = "cortexsnn"
"""Key in ``DataFrame.attrs`` for what a list of spikes cannot say: grid, start, length, silent neurons, attributes."""


def to_pandas(recording: xr.DataTree, populations: Sequence[str] | None = None) -> pd.DataFrame:
    """All spikes as a long table.

    Parameters
    ----------
    recording : xarray.DataTree
    populations : sequence of str, optional
        None: all with spikes but inputs.

    Returns
    -------
    pandas.DataFrame
        A row per spike, in order of population, trial, time, neuron: ``population`` (categorical, so that silent ones
        remain), ``trial``, ``neuron`` (their names where the recording has them, else their positions), ``time_ms``
        (beginning of the step, the recording beginning at its ``start_ms``). Grid, start, length, transmitters, all
        neurons and the root's attributes that are text or numbers are in ``attrs``, which :func:`from_pandas` reads; a table
        written to CSV loses them. States are left out, and other attributes, which ``left_out`` in ``attrs`` names.

    Raises
    ------
    InputError
        No spikes, or a population without neurons.
    """
    known, start, parts = selected(recording, populations), start_of(recording), []
    names = [found.population for found in known]
    for at, found in enumerate(known):
        spikes = spikes_of(found)
        parts.append(
            pd.DataFrame(
                {
                    "population": pd.Categorical.from_codes(np.full(len(spikes), at), categories=names),
                    "trial": trial_names(found)[spikes.trial],
                    "neuron": neuron_names(found)[spikes.neuron],
                    "time_ms": start + spikes.step * found.dt_ms,
                }
            )
        )
    table = pd.concat(parts, ignore_index=True)
    attributes, left_out = attributes_of(recording)
    table.attrs[ATTRS] = {
        "dt_ms": known[0].dt_ms, "duration_ms": known[0].n_steps * known[0].dt_ms, "trials": trial_names(known[0]).tolist(),
        "neurons": {f.population: neuron_names(f).tolist() for f in known},
        "transmitters": {f.population: str(f.node.attrs.get("transmitter", "mixed")) for f in known},
        "start_ms": start, "attributes": attributes, "left_out": ", ".join(left_out),
    }  # fmt: skip
    return table


def from_pandas(
    table: pd.DataFrame,
    *,
    dt_ms: float | None = None,
    duration_ms: float | None = None,
    start_ms: float | None = None,
    time_unit: str | None = None,
    columns: Mapping[str, str] | None = None,
    population: str = "neurons",
    neurons: Mapping[str, Labels] | None = None,
    trials: Labels | None = None,
    transmitters: Mapping[str, str] | None = None,
    where: str = "table",
    **provenance: Any,
) -> xr.DataTree:
    """A recording from a table with a row per spike, in any order.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``time_ms``, ``time_s`` or ``time_us`` (or ``time``, with ``time_unit``), ``neuron`` and, optional, ``trial``
        and ``population``; others are ignored. What :func:`to_pandas` made comes back as it was, without further arguments
        and but for what it left out; a population that has been filtered out of it counts as silent unless
        ``table.population.cat.remove_unused_categories()`` took it away and ``table.attrs`` was cleared.
    time_unit : "ms", "s" or "us", optional
        Unit of a column ``time``.
    columns : name above -> name in the table, optional
        Such as ``{"neuron": "cluster_id", "time_s": "spike_times"}``.
    population : str
        Name of the only population of a table that has no such column.
    start_ms : float, ms, optional
        Time in the table that becomes 0. None: as :func:`to_pandas` noted it, else 0.
    dt_ms, duration_ms, neurons, trials, transmitters, provenance
        As for :func:`from_times`.
    where : str
        What messages call the table.

    Raises
    ------
    InputError
        As :func:`from_times`; missing columns; entries that are no number, with their row.
    """
    told = dict(table.attrs.get(ATTRS, {}))
    dt_ms = told.get("dt_ms") if dt_ms is None else dt_ms
    if dt_ms is None:
        raise InputError(f"{where}: dt_ms is not known; give the width of a step in ms.")
    time_column, unit, names = find_columns(list(table.columns), columns, time_unit, where)
    times = in_ms(_numbers(table, time_column, where), unit)
    owner = _no_gaps(table, names["neuron"], where)
    trial = _numbers(table, names["trial"], where) if "trial" in names else None
    neurons = told.get("neurons") if neurons is None else neurons
    if "population" in names:
        label = _no_gaps(table, names["population"], where)
        kind = label.astype("category").cat
        codes, present = kind.codes.to_numpy(), [str(c) for c in kind.categories]
    else:
        codes, present = np.zeros(len(table), dtype=np.int8), [population]
    spikes: dict[str, Any] = {}
    for code, name in enumerate(present):
        rows = np.flatnonzero(codes == code)
        if rows.size or name in (neurons or {}):
            ids = owner.iloc[rows].to_numpy()
            spikes[name] = (times[rows], ids) if trial is None else (times[rows], ids, trial[rows])
    for name in neurons or {}:
        spikes.setdefault(name, (np.zeros(0), np.zeros(0, dtype=np.int64)))
    if not spikes:
        raise InputError(f"{where}: no spikes and no neurons; say with neurons={{'E': 100}} which were recorded.")
    found = from_times(
        spikes,
        dt_ms=dt_ms,
        duration_ms=told.get("duration_ms") if duration_ms is None else duration_ms,
        start_ms=told.get("start_ms", 0.0) if start_ms is None else start_ms,
        neurons=neurons,
        trials=told.get("trials") if trials is None and trial is not None else trials,
        transmitters=told.get("transmitters") if transmitters is None else transmitters,
        **provenance,
    )
    return carry(found, plain(told.get("attributes", {})), provenance)


def find_columns(
    present: Sequence[Any], renamed: Mapping[str, str] | None, time_unit: str | None, where: str
) -> tuple[str, str, dict[str, str]]:
    """Column of times, its unit, and name -> column of the others that are there.

    Raises
    ------
    InputError
        A column is missing or given twice; lists what is there and what is known.
    """
    renamed = renamed or {}
    for name, column in renamed.items():
        if name not in COLUMNS:
            raise InputError(f"columns: {unknown('column', name, COLUMNS)}")
        if column not in present:
            raise InputError(f"{where}: {unknown('column', column, map(str, present))}")
    names = {name: renamed.get(name, name) for name in COLUMNS if renamed.get(name, name) in present}
    there = ", ".join(str(p)[:40] for p in list(present)[:20]) or "none"
    times = [name for name in ("time", *TIME_COLUMNS) if name in names]
    if len(times) != 1 or "neuron" not in names:
        missing = "one of time_ms, time_s, time_us, time" if len(times) != 1 else "neuron"
        raise InputError(
            f"{where}: expected the column {missing}; its columns are {there}, known are {', '.join(COLUMNS)}. "
            "Rename them or give columns={'neuron': 'the name in the table'}."
        )
    unit = TIME_COLUMNS.get(times[0], time_unit)
    if unit not in TIME_COLUMNS.values() or time_unit not in (None, unit):
        raise InputError(
            f"time_unit: column {times[0]!r} needs 'ms', 's' or 'us' and agreement with its name, got {time_unit!r}."
        )
    return names[times[0]], str(unit), {k: v for k, v in names.items() if k not in times}


def in_ms(times: np.ndarray, unit: str) -> np.ndarray:
    """Times given in ms, s or us, in ms, each rounded once."""
    return times * 1000 if unit == "s" else times / 1000 if unit == "us" else times


def _numbers(table: pd.DataFrame, column: str, where: str) -> np.ndarray:
    """A column of finite numbers; the first that is none is refused with its row."""
    numbers = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=None, na_value=np.nan)
    numbers = numbers if numbers.dtype.kind in "iuf" else numbers.astype(np.float64)
    _refuse(table, column, ~np.isfinite(numbers), where, "a finite number")
    return np.asarray(numbers)


def _no_gaps(table: pd.DataFrame, column: str, where: str) -> pd.Series:
    values = table[column]
    _refuse(table, column, (values.isna() | (values.astype(object) == "")).to_numpy(dtype=bool), where, "an entry")
    return values


def _refuse(table: pd.DataFrame, column: str, bad: np.ndarray, where: str, expected: str) -> None:
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        row = f"{table.index.name or 'row'} {table.index[at]}"
        more = f" ({int(bad.sum())} such rows)" if bad.sum() > 1 else ""
        raise InputError(
            f"{where}, {row}, column {column}: expected {expected}, got {str(table[column].iloc[at])!r:.40}{more}; "
            "correct or remove it."
        )
