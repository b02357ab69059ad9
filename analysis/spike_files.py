"""A file of spikes becomes a recording: CSV, NPZ, NWB, and whatever Neo reads."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..errors import InputError
from .neo_exchange import from_neo, read_neo
from .nwb_exchange import from_nwb
from .spike_times import Labels
from .tables import COLUMNS, find_columns, from_pandas

TEXT = {".csv": ",", ".csv.gz": ",", ".tsv": "\t", ".tsv.gz": "\t"}
"""Ending of a text file -> what separates its columns."""
NWB_OPTIONS = ("by_trial", "align", "population_column")


def read_spikes(
    path: str | Path,
    *,
    dt_ms: float | None = None,
    duration_ms: float | None = None,
    start_ms: float | None = None,
    population: str = "neurons",
    neurons: Mapping[str, Labels] | None = None,
    trials: Labels | None = None,
    transmitters: Mapping[str, str] | None = None,
    columns: Mapping[str, str] | None = None,
    time_unit: str | None = None,
    neo_io: str | None = None,
    **options: Any,
) -> xr.DataTree:
    """A recording from a file of spikes, by its ending.

    ========================= ============================================================================
    ``.csv``, ``.tsv`` (.gz)  a header and a row per spike: ``time_ms``, ``time_s`` or ``time_us`` (or ``time`` with
                              ``time_unit``), ``neuron``, optional ``trial``, ``population``. Neurons are named by integers
                              if all of the column are, else by text.
    ``.npz``                  arrays of these names, an entry per spike
    ``.nwb``                  the units table, see :func:`from_nwb`
    any other                 what Neo reads, see :func:`from_neo`; pickled formats are refused, as they can run code
    ========================= ============================================================================

    Parameters
    ----------
    path : path
    dt_ms : float, ms
        Width of a step; only a file that states it (NWB with a resolution) goes without.
    duration_ms : float, ms, optional
        Length of a trial. Of a text or NPZ file, None means up to the last spike, which makes rates too high where silence
        follows.
    start_ms : float, ms, optional
        Time in the file that becomes 0. None: 0, or what the format states.
    population : str
        Name of the population where the file has none.
    neurons, trials, transmitters
        As for :func:`from_times`; text and NPZ files do not know of silent neurons otherwise. NWB and Neo files state
        their trials themselves.
    columns, time_unit
        As for :func:`from_pandas`: other names of columns, or of arrays in an NPZ file.
    neo_io : str, optional
        Reader of Neo, where several know the ending.
    options
        Further ones of :func:`from_nwb`, or attributes of the root, of which ``source_file`` is one anyway.

    Raises
    ------
    InputError
        No such file, an ending that nothing reads, missing columns, bad rows with their line; and as :func:`from_times`.
    """
    path = Path(path)
    ending = "".join(path.suffixes[-2:]).lower()
    ending = ending if ending in TEXT else path.suffix.lower()
    if not path.exists():
        raise InputError(f"{path}: no such file; check the path.")
    if ending in (".pkl", ".pickle", ".npy"):
        raise InputError(
            f"{path}: not read, since such a file can run code or lacks names; save the arrays as NPZ or CSV."
        )
    if path.is_dir() and (path / "zarr.json").is_file():
        raise InputError(f"{path}: a recording of this package; use load_recording.")
    misplaced = [name for name in NWB_OPTIONS if name in options and ending != ".nwb"]
    if misplaced:
        raise InputError(f"{misplaced[0]}: only for NWB files, {path.name} is none; leave it out.")
    options = {"source_file": path.name, **options}
    common: dict[str, Any] = {
        "dt_ms": dt_ms, "duration_ms": duration_ms, "population": population, "neurons": neurons, "transmitters": transmitters,
    }  # fmt: skip
    if ending in TEXT or ending == ".npz":
        read = _npz(path, columns) if ending == ".npz" else _text(path, TEXT[ending], columns, time_unit)
        return from_pandas(
            read, **common, start_ms=start_ms, trials=trials, columns=columns, time_unit=time_unit, where=str(path),
            **options,
        )  # fmt: skip
    for name, given in (("trials", trials), ("columns", columns), ("time_unit", time_unit)):
        if given is not None:
            raise InputError(f"{name}: only for text and NPZ files; {path.name} states it itself, leave it out.")
    if ending == ".nwb":
        return from_nwb(path, **common, start_ms=0.0 if start_ms is None else start_ms, **options)
    return from_neo(read_neo(str(path), neo_io), **common, start_ms=start_ms, **options)


def _text(path: Path, separator: str, columns: Mapping[str, str] | None, time_unit: str | None) -> pd.DataFrame:
    """The needed columns of a text file; the index is the line."""
    how: dict[str, Any] = {
        "sep": separator, "keep_default_na": False, "skipinitialspace": True, "encoding": "utf-8-sig", "dtype": str,
    }  # fmt: skip
    try:
        header = [str(c) for c in pd.read_csv(path, nrows=0, **how).columns]
        time, _, others = find_columns(header, columns, time_unit, str(path))
        # As text, so that a bad entry can be quoted; blank lines are kept until the lines are numbered.
        table = pd.read_csv(path, skip_blank_lines=False, **how)
    except (ValueError, OSError, EOFError) as error:  # parser errors and undecodable text are ValueErrors
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"{path}: cannot be read as text with columns ({reason}); check the file.") from None
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes what exceeds the header for an index
        raise InputError(f"{path}: its rows have more entries than its header has names; name every column.")
    table.index = pd.RangeIndex(2, len(table) + 2, name="line")
    table = table[[time, *others.values()]]
    table = table[~(table.isna() | (table == "")).all(axis=1)]
    # Names as categories: one text per name, not per spike.
    table = table.astype(dict.fromkeys(others.values(), "category"))
    neuron = others["neuron"]
    return table.assign(**{neuron: _whole(table[neuron])})


def _whole(names: pd.Series) -> pd.Series:
    """Names as integers if all are, no two being the same number (7 and 007), else as they are."""
    names = names.cat.remove_unused_categories()
    number = pd.to_numeric(pd.Series(list(names.cat.categories), dtype=object), errors="coerce").to_numpy(dtype=float)
    if (
        number.size
        and np.isfinite(number).all()
        and (number == np.rint(number)).all()
        and np.unique(number).size == number.size
    ):
        return names.astype(object).map(dict(zip(names.cat.categories, number.astype(np.int64), strict=True)))
    return names.astype(object)


def _npz(path: Path, columns: Mapping[str, str] | None) -> pd.DataFrame:
    wanted = {*COLUMNS, *(columns or {}).values()}
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files if name in wanted}
            present = list(archive.files)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"{path}: cannot be read as NPZ of plain arrays ({reason}); save numbers and text, not objects."
        ) from None
    for name, array in arrays.items():
        if array.ndim != 1 or array.size != next(iter(arrays.values())).size:
            shapes = ", ".join(f"{n} {a.shape}" for n, a in arrays.items())
            raise InputError(f"{path}: expected one entry per spike in {name}, got {shapes}; give all the same length.")
    if not arrays:
        find_columns(present, columns, None, str(path))
    return pd.DataFrame({n: np.char.decode(a, "utf-8") if a.dtype.kind == "S" else a for n, a in arrays.items()})
