"""Spikes of one population, read in order of time a piece at a time: what every spike statistic works on.

A recording holds spikes as a dense array (trial, step, neuron) or as event arrays, in memory or in chunks on disk; here all
are the same. No statistic holds more than one piece, so recordings may be larger than memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Real
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy import sparse

from ..errors import InputError, unknown
from .kernels import bin_counts

PIECE = 1 << 23
"""Spikes, or entries of a dense array, in one piece."""
EVENTS = ("spike_trial", "spike_step", "spike_neuron")


class Piece(NamedTuple):
    """Some of the spikes, in order of train and then of time; train = trial * n_neurons + neuron.

    train : int32 or int64, (spike,)
    step : int32, (spike,), from the beginning of the window
    starts : int64, (run,), where each train begins
    """

    train: np.ndarray
    step: np.ndarray
    starts: np.ndarray

    @property
    def present(self) -> np.ndarray:
        """Trains with a spike in this piece, (run,), ascending."""
        return np.asarray(self.train[self.starts])


@dataclass(frozen=True)
class Trains:
    """Spikes of a population within a window.

    Parameters
    ----------
    node : xarray.Dataset
        The population's node.
    population : str
    start, stop : int
        Window in steps.
    dt_ms : float
    """

    node: xr.Dataset
    population: str
    start: int
    stop: int
    dt_ms: float

    @property
    def all_steps(self) -> int:
        """Length of the whole recording."""
        return int(self.node["spikes"].sizes["step"] if "spikes" in self.node else self.node.attrs["n_steps"])

    @property
    def n_steps(self) -> int:
        return self.stop - self.start

    @property
    def n_neurons(self) -> int:
        return int(self.node["spikes"].sizes["neuron"] if "spikes" in self.node else self.node.attrs["size"])

    @property
    def n_trials(self) -> int:
        return int(self.node["spikes"].sizes["trial"] if "spikes" in self.node else self.node.attrs["n_trials"])

    @property
    def n_trains(self) -> int:
        return self.n_trials * self.n_neurons

    @property
    def seconds(self) -> float:
        """Length of the window."""
        return self.n_steps * self.dt_ms / 1000

    def steps(self, value_ms: float, name: str) -> int:
        """A length in steps.

        Raises
        ------
        InputError
            Off the grid, below one step, or longer than the window.
        """
        width = to_steps(value_ms, self.dt_ms, name)
        if not 1 <= width <= self.n_steps:
            raise InputError(
                f"{name}: {value_ms:g} ms must be positive and fit into the window of {self.n_steps} steps."
            )
        return width

    def raw(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Train and step of all spikes as they are stored, in order of trial and time, a piece at a time."""
        for trial, step, neuron in self._dense() if "spikes" in self.node else self._events():
            if self.start > 0 or self.stop < self.all_steps:
                inside = (step >= self.start) & (step < self.stop)
                trial, step, neuron = trial[inside], step[inside], neuron[inside]
            if step.size:
                train = neuron if self.n_trials == 1 else trial.astype(np.int64) * self.n_neurons + neuron
                yield train, step if self.start == 0 else step - self.start

    def pieces(self) -> Iterator[Piece]:
        """All spikes, a piece at a time, by train; every train's spikes come in order of time over the pieces."""
        for train, step in self.raw():
            order = stable_order(train, self.n_trains)
            train = train[order]
            yield Piece(train, step[order].astype(np.int32), np.flatnonzero(np.diff(train, prepend=-1)))

    def counts(self) -> np.ndarray:
        """Spikes of every train, int64, (trial, neuron)."""
        found = np.zeros(self.n_trains, dtype=np.int64)
        for train, _ in self.raw():
            found += np.bincount(train, minlength=self.n_trains)
        return found.reshape(self.n_trials, self.n_neurons)

    def binned(self, width: int) -> sparse.csr_array:
        """Spike counts in bins of ``width`` steps, (trial * bin, neuron), a last incomplete bin left out."""
        n_bins = self.n_steps // width
        shape = (self.n_trials * n_bins, self.n_neurons)
        found = sparse.csr_array(shape, dtype=np.int32)
        for train, step in self.raw():
            at = step // width
            if n_bins * width < self.n_steps:
                kept = at < n_bins
                train, at = train[kept], at[kept]
            trial, neuron = (0, train) if self.n_trials == 1 else np.divmod(train, self.n_neurons)
            piece = _counted(trial * n_bins + at, neuron, shape)
            found = piece if found.nnz == 0 else found + piece
        return found

    def _dense(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        spikes = self.node["spikes"].transpose("trial", "step", "neuron")
        rows = max(1, PIECE // max(1, self.n_neurons))
        for trial in range(self.n_trials):
            for first in range(self.start, self.stop, rows):
                block = spikes[trial, first : min(first + rows, self.stop)].values
                step, neuron = np.nonzero(as_spikes(block, self.population))
                yield np.full(step.size, trial), step + first, neuron

    def _events(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        columns = [self.node[name] for name in EVENTS]
        where = f"recording.{self.population}"
        if len({c.shape for c in columns}) > 1 or any(c.dtype.kind not in "iu" for c in columns):
            held = ", ".join(f"{c.name} {c.shape} {c.dtype}" for c in columns)
            raise InputError(f"{where}: expected three rows of as many integers, got {held}; use from_events.")
        before = (0, 0)
        for first in range(0, columns[0].size, PIECE):
            trial, step, neuron = (c[first : first + PIECE].values for c in columns)
            for name, values, n in (
                ("spike_trial", trial, self.n_trials), ("spike_step", step, self.all_steps),
                ("spike_neuron", neuron, self.n_neurons),
            ):  # fmt: skip
                if values.min() < 0 or values.max() >= n:
                    raise InputError(
                        f"{where}.{name}: expected integers from 0 to {n - 1}, got {values.min()} to {values.max()}; "
                        "use from_events, which checks them."
                    )
            back = np.flatnonzero(step[1:] < step[:-1])
            if (
                (trial[1:] < trial[:-1]).any()
                or (trial[back + 1] <= trial[back]).any()
                or (int(trial[0]), int(step[0])) < before
            ):
                raise InputError(
                    f"{where}: expected spikes in order of trial and step; use from_events, which sorts them."
                )
            before = int(trial[-1]), int(step[-1])
            yield trial, step, neuron


def _counted(row: np.ndarray, neuron: np.ndarray, shape: tuple[int, int]) -> sparse.csr_array:
    """Events in order of row, counted."""
    compiled = bin_counts()
    if compiled is None:
        return sparse.coo_array((np.ones(row.size, dtype=np.int32), (row, neuron)), shape=shape).tocsr()
    indptr = np.zeros(shape[0] + 1, dtype=np.int32)
    indices, counts = np.empty(row.size, dtype=np.int32), np.empty(row.size, dtype=np.int32)
    n = compiled(row, neuron, np.full(shape[1], -1, dtype=np.int64), indptr, indices, counts)
    return sparse.csr_array((counts[:n], indices[:n], indptr), shape=shape)


def trains(recording: xr.DataTree, population: str, *, start_ms: float = 0.0, stop_ms: float | None = None) -> Trains:
    """Spikes of one population between two times.

    Parameters
    ----------
    recording : xarray.DataTree
    population : str
        A node with spikes.
    start_ms, stop_ms : float, ms, multiples of dt
        Rows with ``start_ms <= time < stop_ms``; to the end where `stop_ms` is None.

    Raises
    ------
    InputError
        No recording, unknown population, no spikes recorded, or an empty or off-grid window. While they are read: dense
        spikes other than 0 and 1, events out of order or out of range.
    """
    node = node_of(recording, population)
    if "spikes" not in node.data_vars and EVENTS[0] not in node.data_vars:
        held = ", ".join(map(str, node.data_vars)) or "nothing"
        raise InputError(
            f"recording.{population}: no variable 'spikes' (it holds {held}). "
            "Add 'spikes' to the probes of this population."
        )
    dt = dt_ms(recording)
    n_steps = Trains(node, population, 0, 0, dt).all_steps
    return Trains(node, population, *window(population, n_steps, dt, start_ms, stop_ms), dt)


def as_spikes(block: np.ndarray, population: str) -> np.ndarray:
    """A dense block of spikes as bool.

    Raises
    ------
    InputError
        Numbers other than 0 and 1, NaN among them.
    """
    if block.dtype == bool:
        return block
    spikes = block == 1
    if not (spikes | (block == 0)).all():
        raise InputError(
            f"recording.{population}.spikes: expected bool, or 0 and 1 only, got {block.dtype} with other values; "
            "more spikes in a step, or missing ones, have no place in a recording: use a smaller dt, or leave trials out."
        )
    return np.asarray(spikes)


def node_of(recording: xr.DataTree, population: str) -> xr.Dataset:
    """What a recording holds of a population.

    Raises
    ------
    InputError
        No recording, or unknown population.
    """
    check_recording(recording)
    if population not in recording.children:
        raise InputError(f"recording: {unknown('population', population, recording.children)}")
    return recording.children[population].to_dataset()


def check_recording(recording: object) -> None:
    """Is it a recording at all?

    Raises
    ------
    InputError
    """
    if not isinstance(recording, xr.DataTree):
        raise InputError(
            f"recording: expected an xarray.DataTree, as simulate and load_recording return it, got "
            f"{type(recording).__name__}; give the whole recording, not one node of it."
        )


def window(population: str, n_steps: int, dt: float, start_ms: float, stop_ms: float | None) -> tuple[int, int]:
    """First step of a window and the one after its last; to the end where `stop_ms` is None.

    Raises
    ------
    InputError
        Times off the grid, an empty window, or one that leaves the recording.
    """
    start = to_steps(start_ms, dt, "start_ms")
    stop = n_steps if stop_ms is None else to_steps(stop_ms, dt, "stop_ms")
    if not 0 <= start < stop <= n_steps:
        raise InputError(
            f"recording.{population}: the window of steps {start} to {stop} is empty or leaves the "
            f"recording, which has {n_steps} steps of {dt:g} ms."
        )
    return start, stop


def spiking_populations(recording: xr.DataTree, *, inputs: bool = False) -> tuple[str, ...]:
    """Names of the nodes that hold spikes, in stage order; inputs only where asked for."""
    check_recording(recording)
    return tuple(
        name
        for name, node in recording.children.items()
        if ("spikes" in node.data_vars or EVENTS[0] in node.data_vars) and (inputs or node.attrs.get("kind") != "input")
    )


def dt_ms(recording: xr.DataTree) -> float:
    """Length of a step of the recording [ms]."""
    if "dt_ms" not in recording.attrs:
        raise InputError("recording: the root attribute 'dt_ms' is missing; this is no recording of a run.")
    return float(recording.attrs["dt_ms"])


def to_steps(value_ms: float, dt: float, name: str) -> int:
    """Integer number of steps in a time; a time off the grid is refused, never rounded silently.

    Raises
    ------
    InputError
    """
    if not (isinstance(value_ms, Real) and isinstance(dt, Real) and np.isfinite(dt) and dt > 0):
        raise InputError(f"{name}: expected a number in ms and dt above 0 ms, got {value_ms!r} and dt = {dt!r}.")
    if not np.isfinite(value_ms):
        raise InputError(f"{name}: expected a time in ms, got {value_ms}; give a finite multiple of dt = {dt:g} ms.")
    steps = round(value_ms / dt)
    if abs(steps * dt - value_ms) > 1e-9 * max(abs(value_ms), dt):
        raise InputError(f"{name}: {value_ms:g} ms is no integer multiple of dt = {dt:g} ms.")
    return steps


def labelled(array: xr.DataArray, name: str, units: str, population: str, **more: object) -> xr.DataArray:
    """A result with its name, unit, population, and what it was computed with."""
    array = array.rename(name)
    array.attrs = {"units": units, "population": population, **more}
    return array


def stable_order(keys: np.ndarray, n: int) -> np.ndarray:
    """Order that sorts integers in [0, n), equal ones as they came: numpy sorts 16 bits at a time in linear time."""
    order = np.argsort(keys.astype(np.uint16), kind="stable")  # the lower 16 bits
    if n > 1 << 16:
        order = order[np.argsort((keys >> 16).astype(np.uint16)[order], kind="stable")]
    if n > 1 << 32:
        order = order[np.argsort((keys >> 32)[order], kind="stable")]
    return order
