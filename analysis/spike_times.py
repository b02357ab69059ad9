"""Spike times in and out: arrays and lists of spike times become recordings.

A time belongs to the step in which it falls, ``floor((time - start)/dt)``; a time that is on the grid up to rounding
belongs to the step that begins there, so that 0.3 ms at dt = 0.1 ms is step 3 though 0.3/0.1 < 3 in binary.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import xarray as xr

from ..errors import InputError, unknown
from ..recording import Events, from_events
from .exchange import number_ms
from .trains import to_steps

TOLERANCE = 1e-6
"""How far, in steps, a time may lie below the beginning of a step and still count to it; the rule for circuits' times."""
MAX_STEPS = 2**31 - 2
TRANSMITTERS = ("excitatory", "inhibitory", "mixed")
Labels: TypeAlias = int | Sequence[int] | Sequence[str] | np.ndarray
"""How many (then 0, 1, …) or which."""


def from_times(
    populations: Mapping[str, Any],
    *,
    dt_ms: float,
    duration_ms: float | None = None,
    start_ms: float = 0.0,
    neurons: Mapping[str, Labels] | None = None,
    trials: Labels | None = None,
    transmitters: Mapping[str, str] | None = None,
    **provenance: Any,
) -> xr.DataTree:
    """A recording from spike times, in any order.

    Parameters
    ----------
    populations : population -> spikes, in one of these forms
        A tuple ``(times, neurons)`` or ``(times, neurons, trials)`` of arrays with an entry per spike; or a list with an
        array of times per neuron; or a list per trial of lists with an array of times per neuron. Times in ms.
        Neurons are named by integers or strings, trials by integers.
    dt_ms : float, ms
        Width of a step. Each neuron spikes at most once in a step.
    duration_ms : float, ms, multiple of dt, optional
        Length of every trial. None: up to the end of the step of the last spike of all. Give it where it is known: silence
        after the last spike is lost otherwise, and rates come out too high.
    start_ms : float, ms
        Time in the data that becomes 0 in the recording, kept as the attribute ``start_ms``.
    neurons : population -> number of neurons (then named 0, 1, …) or list of their names, optional
        Silent neurons count. None: those in the lists; of a tuple, only neurons that spike, in ascending order.
    trials : int or list of int, optional
        Number (then named 0, 1, …) or names. None: those that occur, which must follow one another without a gap, since
        a missing one may have been silent.
    transmitters : population -> "excitatory", "inhibitory" or "mixed", optional
    provenance
        Further attributes of the root, such as ``subject="M3"``.

    Returns
    -------
    xarray.DataTree
        Nodes have the coordinates ``neuron_id`` and ``trial_id``: the names, in the order of neurons and trials.

    Raises
    ------
    InputError
        No neurons, a ``*_ms`` that is no number, times that are no finite numbers or outside of the recording, two spikes of a neuron in one step,
        neurons or trials that do not fit ``neurons`` or ``trials``.
    """
    if not isinstance(populations, Mapping) or not populations:
        raise InputError(
            "populations: expected a mapping such as {'E': (times_ms, neurons)}, got none; name at least one."
        )
    dt_ms, start_ms = number_ms(dt_ms, "dt_ms"), number_ms(start_ms, "start_ms")
    duration_ms = None if duration_ms is None else number_ms(duration_ms, "duration_ms")
    if not (np.isfinite(dt_ms) and dt_ms > 0):
        raise InputError(f"dt_ms: expected a positive time in ms, got {dt_ms}; give the width of a step.")
    if not np.isfinite(start_ms):
        raise InputError(f"start_ms: expected a time in ms, got {start_ms}; give a finite one.")
    limit = None if duration_ms is None else _n_steps(duration_ms, dt_ms)
    _check_names(populations, neurons or {}, transmitters or {})
    given = {name: _read(name, spikes) for name, spikes in populations.items()}
    trial_id, trial_of = _trials(given, trials)
    found, ids = {}, {}
    for name, spikes in given.items():
        ids[name], neuron = _neurons(name, spikes, (neurons or {}).get(name))
        found[name] = Events(trial_of[name], _inside(name, spikes.times, start_ms, dt_ms, limit), neuron)
    if limit is None:
        limit = 1 + max((int(e.step.max()) for e in found.values() if e.step.size), default=-1)
        if limit == 0:
            raise InputError(
                "duration_ms: no population has a spike that could say it; give the length of a trial in ms."
            )
    sizes = {name: len(i) for name, i in ids.items()}
    try:
        tree = from_events(
            found, sizes, dt_ms=dt_ms, n_steps=limit, n_trials=len(trial_id), transmitters=transmitters,
            start_ms=start_ms, **provenance,
        )  # fmt: skip
    except InputError as error:
        raise InputError(_twice(found, given, ids) or str(error)) from None
    for name in ids:
        # Text as objects: zarr has no settled form for text of fixed width.
        labels = {
            "neuron_id": ("neuron", ids[name].astype(object) if ids[name].dtype.kind == "U" else ids[name]),
            "trial_id": ("trial", trial_id),
        }
        tree[name] = xr.DataTree(tree[name].to_dataset().assign_coords(labels))
    return tree


def bins(times_ms: np.ndarray, start_ms: float, dt_ms: float, where: str) -> np.ndarray:
    """Step of every time, int64, (spike,): ``floor((time - start)/dt)``, times on the grid up to rounding being on it.

    Rounding is what the times' own type leaves open, at least ``TOLERANCE`` of a step.

    Raises
    ------
    InputError
        No numbers, NaN or infinite, too coarse for steps of this width, more than 2**31 steps.
    """
    given = np.asarray(times_ms)
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iuf"):
        raise InputError(
            f"{where}: expected spike times as a one-dimensional array of numbers in ms, got shape {given.shape}, {given.dtype}."
        )
    time = given.astype(np.float64)
    if not np.isfinite(time).all():
        bad = np.flatnonzero(~np.isfinite(time))
        raise InputError(
            f"{where}: {bad.size} spike times are no finite number, the first is spike {bad[0]} ({time[bad[0]]}); remove them."
        )
    eps = np.finfo(given.dtype if given.dtype.kind == "f" else np.float64).eps
    ratio = (time - start_ms) / dt_ms
    # Half a unit in the last place each for the time as written, its change of unit and the difference, doubled.
    slack = np.maximum(TOLERANCE, 4 * eps * np.maximum(np.abs(time), abs(start_ms)) / dt_ms)
    if ratio.size and np.abs(ratio).max() > MAX_STEPS:
        raise InputError(
            f"{where}: spike times span more than 2**31 steps of {dt_ms:g} ms; check the unit or use a larger dt_ms."
        )
    if slack.size and slack.max() > 0.25:
        raise InputError(
            f"{where}: {given.dtype} spike times around {np.abs(time).max():g} ms are coarser than dt_ms = {dt_ms:g}; "
            "give them as float64 or use a larger dt_ms."
        )
    nearest = np.rint(ratio)
    return np.asarray(np.where(np.abs(ratio - nearest) <= slack, nearest, np.floor(ratio)).astype(np.int64))


def since(times_ms: np.ndarray, start_ms: float, dt_ms: float, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Times after a start [ms], (spike,), and their steps, for spikes whose trials begin at different times.

    The difference loses what the time itself says about its rounding; where that would change the step, the time is the
    beginning of the step.
    """
    step = bins(times_ms, start_ms, dt_ms, where)
    after = np.asarray(times_ms, dtype=np.float64) - start_ms
    return np.where(bins(after, 0.0, dt_ms, where) == step, after, step * dt_ms), step


@dataclass(frozen=True)
class _Spikes:
    """Spikes as given: an entry per spike; ``n_neurons`` and ``n_trials`` where lists said how many there are."""

    times: np.ndarray
    neuron: np.ndarray
    trial: np.ndarray | None
    n_neurons: int | None = None
    n_trials: int | None = None


def _read(name: str, given: Any) -> _Spikes:
    if isinstance(given, tuple) and len(given) in (2, 3):
        times, neuron = np.asarray(given[0]), _labels(given[1], f"{name}.neurons")
        trial = _labels(given[2], f"{name}.trials") if len(given) == 3 else None
        if trial is not None and trial.dtype.kind != "i":
            raise InputError(
                f"{name}.trials: expected integers, got text such as {str(trial[0])!r:.40}; number the trials."
            )
        lengths = {c.shape for c in (times, neuron, trial) if c is not None}
        if len(lengths) > 1 or times.ndim != 1:
            shapes = ", ".join(str(c.shape) for c in (times, neuron, trial) if c is not None)
            raise InputError(
                f"{name}: expected times, neurons and trials with one entry per spike each, got shapes {shapes}."
            )
        return _Spikes(times, neuron, trial)
    if isinstance(given, list):
        return _read_lists(name, given)
    raise InputError(
        f"{name}: expected a tuple (times, neurons) or (times, neurons, trials), or a list with the times of each neuron, "
        f"got {type(given).__name__}."
    )


def _read_lists(name: str, given: list[Any]) -> _Spikes:
    by_trial = [isinstance(item, (list, tuple)) and len(item) > 0 and np.ndim(item[0]) > 0 for item in given]
    nested = any(by_trial)
    rows = given if nested else [given]
    counts = {len(row) for row in rows}
    if (nested and not all(by_trial)) or len(counts) > 1:
        raise InputError(
            f"{name}: expected as many neurons in every trial, got {', '.join(str(len(r)) for r in rows[:20])}; "
            "give silent neurons empty lists."
        )
    n_neurons = counts.pop()
    arrays = [np.asarray(times) for row in rows for times in row]
    for at, array in enumerate(arrays):
        if array.ndim != 1:
            trial, neuron = divmod(at, n_neurons)
            raise InputError(
                f"{name}: neuron {neuron} of trial {trial}: expected a list of times, got shape {array.shape}."
            )
    lengths = [a.size for a in arrays]
    # Empty lists are float64 whatever the others are, and the type says how far rounding may go.
    held = [a for a in arrays if a.size]
    trials, neurons = np.divmod(np.repeat(np.arange(len(arrays)), lengths), max(n_neurons, 1))
    times = np.concatenate(held) if held else np.zeros(0)
    return _Spikes(times, neurons, trials if nested else None, n_neurons, len(rows) if nested else None)


def _labels(values: Any, where: str) -> np.ndarray:
    """Names as int64 or str."""
    array = np.asarray(values)
    if array.size == 0:
        return np.zeros(array.shape, dtype=np.int64)
    if array.dtype.kind == "O" or not hasattr(values, "dtype"):  # numpy would turn [1, "a"] into text
        types = set(map(type, np.asarray(values, dtype=object).ravel()))
        if all(issubclass(t, str) for t in types):
            return array.astype(str)
        if any(issubclass(t, (str, bool)) or not issubclass(t, (int, float, np.number)) for t in types):
            named = ", ".join(sorted(t.__name__ for t in types))
            raise InputError(
                f"{where}: expected integers throughout or text throughout, got {named}; choose one of them."
            )
        array = array.astype(np.float64 if any(issubclass(t, (float, np.floating)) for t in types) else np.int64)
    kind = array.dtype.kind
    if kind in "UT":
        return array.astype(str)
    if kind == "S":
        return np.char.decode(array, "utf-8")
    if kind not in "iuf":
        raise InputError(f"{where}: expected integers or text, got {array.dtype}; name them by one of these.")
    bad = array >= 2**63 if kind == "u" else np.zeros(array.shape, dtype=bool)
    if kind == "f":
        bad = ~((array == np.rint(array)) & (np.abs(array) < 2**53))
    if bad.any():
        raise InputError(
            f"{where}: expected integers or text, got {array[bad][0]} ({int(bad.sum())} such entries); correct them."
        )
    return array.astype(np.int64)


def _known(labels: Labels, where: str) -> np.ndarray:
    if isinstance(labels, (int, np.integer)) and not isinstance(labels, bool):
        if labels < 1:
            raise InputError(f"{where}: expected at least 1, got {labels}.")
        return np.arange(int(labels))
    known = _labels(labels, where)
    if known.ndim != 1 or not known.size:
        raise InputError(f"{where}: expected a number or a list of names, got {labels!r:.60}.")
    if np.unique(known).size < known.size:
        values, counts = np.unique(known, return_counts=True)
        raise InputError(f"{where}: {values[counts > 1][0]} is named twice; give every one a name of its own.")
    return known


def _positions(labels: np.ndarray, known: np.ndarray, where: str, argument: str) -> np.ndarray:
    """Place of every label among the known ones."""
    if not labels.size:
        return np.zeros(0, dtype=np.int64)
    order = np.argsort(known, kind="stable")
    if labels.dtype.kind != known.dtype.kind:
        wrong = np.ones(labels.size, dtype=bool)
    else:
        at = order[np.minimum(np.searchsorted(known, labels, sorter=order), known.size - 1)]
        wrong = known[at] != labels
    if wrong.any():
        listed = ", ".join(map(str, known[:5])) + (f", … {known[-1]}" if known.size > 5 else "")
        raise InputError(
            f"{where}: {str(labels[wrong][0])!r:.40} has {int(wrong.sum())} spikes or more but is not among the {known.size} of "
            f"{argument} ({listed}); add it or leave its spikes out."
        )
    return np.asarray(at)


def _neurons(name: str, spikes: _Spikes, wanted: Labels | None) -> tuple[np.ndarray, np.ndarray]:
    """Names of the neurons of a population, and the position of every spike's."""
    known = None if wanted is None else _known(wanted, f"neurons.{name}")
    if spikes.n_neurons is not None:
        known = np.arange(spikes.n_neurons) if known is None else known
        if known.size != spikes.n_neurons:
            raise InputError(
                f"{name}: its lists hold {spikes.n_neurons} neurons, neurons.{name} says {known.size}; give silent ones empty lists."
            )
        found = spikes.neuron
    else:
        known = np.unique(spikes.neuron) if known is None else known
        found = _positions(spikes.neuron, known, f"{name}: neuron", f"neurons.{name}")
    if not known.size:
        raise InputError(
            f"{name}: no neurons; say with neurons={{{name!r}: 100}} how many were recorded, or leave it out."
        )
    return known, found


def _trials(given: Mapping[str, _Spikes], wanted: Labels | None) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Names of the trials, and population -> position of every spike's trial."""
    with_trials = [name for name, s in given.items() if s.trial is not None]
    without = [name for name, s in given.items() if s.trial is None and s.times.size]
    known = None if wanted is None else _known(wanted, "trials")
    if without and (with_trials or (known is not None and known.size > 1)):
        raise InputError(
            f"{without[0]}: its spikes do not say their trial, though there are several; give (times, neurons, trials)."
        )
    listed = {s.n_trials for s in given.values() if s.n_trials is not None}
    if known is None and listed:
        known = np.arange(max(n for n in listed if n is not None))
    if known is None:
        present = [np.unique(s.trial) for s in given.values() if s.trial is not None and s.trial.size]
        known = np.unique(np.concatenate(present)) if present else np.zeros(1, dtype=np.int64)
        gaps = np.flatnonzero(np.diff(known) > 1)
        if gaps.size:
            at = int(gaps[0])
            raise InputError(
                f"trials: none between {known[at]} and {known[at + 1]} has a spike; say with trials=[…] which there were, "
                "silent ones included."
            )
    if known.dtype.kind != "i":
        raise InputError(f"trials: expected integers, got {known[0]!r:.40}; number the trials.")
    found = {}
    for name, spikes in given.items():
        if spikes.n_trials not in (None, known.size):
            raise InputError(
                f"{name}: its lists hold {spikes.n_trials} trials where {known.size} are expected; give all the same."
            )
        if spikes.trial is None:
            found[name] = np.zeros(spikes.times.size, dtype=np.int64)
        elif spikes.n_trials is not None:
            found[name] = spikes.trial
        else:
            found[name] = _positions(spikes.trial, known, f"{name}: trial", "trials")
    return known, found


def _inside(name: str, times: np.ndarray, start_ms: float, dt_ms: float, limit: int | None) -> np.ndarray:
    step = bins(times, start_ms, dt_ms, name)
    early, late = step < 0, step >= (MAX_STEPS if limit is None else limit)
    if early.any():
        raise InputError(
            f"{name}: {int(early.sum())} spikes before the start, the first at {times[early].min():g} ms, start_ms = {start_ms:g}; "
            "set start_ms or leave them out."
        )
    if late.any():
        raise InputError(
            f"{name}: {int(late.sum())} spikes at or after the end, the last at {times[late].max():g} ms, "
            f"the recording ends at {start_ms + (limit or 0) * dt_ms:g} ms; give a longer duration_ms or leave them out."
        )
    return step


def _twice(found: Mapping[str, Events], given: Mapping[str, _Spikes], ids: Mapping[str, np.ndarray]) -> str | None:
    """What to say of two spikes of a neuron in one step; None if there are none."""
    for name, spikes in found.items():
        order = np.lexsort((given[name].times, spikes.neuron, spikes.trial))
        trial, neuron, step = (c[order] for c in (spikes.trial, spikes.neuron, spikes.step))
        time = given[name].times[order].astype(float)
        same = (np.diff(trial) == 0) & (np.diff(neuron) == 0)
        twice = np.flatnonzero(same & (np.diff(step) == 0))
        if twice.size:
            at, gaps = twice[0], np.diff(time)[twice]
            remedy = (
                f"use dt_ms of at most {gaps.min():.3g}" if gaps.min() > 0 else "remove spikes that are listed twice"
            )
            return (
                f"{name}: {twice.size} times two spikes of a neuron in one step; the first is neuron {ids[name][neuron[at]]} at "
                f"{time[at]:.9g} and {time[at + 1]:.9g} ms; {remedy}."
            )
    return None


def _n_steps(duration_ms: float, dt_ms: float) -> int:
    n = to_steps(duration_ms, dt_ms, "duration_ms")
    if not 1 <= n <= MAX_STEPS:
        raise InputError(f"duration_ms: expected 1 to 2**31 steps of {dt_ms:g} ms, got {duration_ms:g} ms.")
    return n


def _check_names(populations: Iterable[Any], neurons: Mapping[str, Any], transmitters: Mapping[str, str]) -> None:
    names = list(populations)
    for name in names:
        if not isinstance(name, str) or not name or "/" in name or name in (".", ".."):
            raise InputError(f"populations: expected names without '/', got {name!r:.40}; rename it.")
    for argument, mapping in (("neurons", neurons), ("transmitters", transmitters)):
        for name in mapping:
            if name not in names:
                raise InputError(f"{argument}: {unknown('population', name, names)}")
    for name, transmitter in transmitters.items():
        if transmitter not in TRANSMITTERS:
            raise InputError(f"transmitters.{name}: {unknown('transmitter', transmitter, TRANSMITTERS)}")
