"""Bursts of spikes, and plateaus of a state: events that last, with their rates and durations."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ..errors import InputError, unknown
from .intervals import IntervalMoments
from .trains import PIECE, Piece, Trains, dt_ms, node_of, to_steps, trains, window


def bursts(
    recording: xr.DataTree, population: str, max_interval_ms: float, *, min_spikes: int = 2, start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> xr.Dataset:  # fmt: skip
    """Spikes merged into events: a spike within ``max_interval_ms`` of the last one belongs to the same event.

    Parameters
    ----------
    max_interval_ms : float, ms, multiple of dt
        The bound on intervals inside an event; reported in ``attrs``, for every number here depends on it.
    min_spikes : int, >= 2
        An event of at least so many spikes is a burst.

    Returns
    -------
    xarray.Dataset, (trial, neuron)
        ``event_rate`` and ``burst_rate`` [Hz]; ``burst_fraction``, the share of spikes that belong to bursts (NaN for a
        silent train); ``spikes_per_burst`` (NaN without bursts). Events cut by the window count as they are seen.
    """
    if min_spikes < 2:
        raise InputError(f"min_spikes: {min_spikes} given; a burst has at least 2 spikes.")
    found = trains(recording, population, start_ms=start_ms, stop_ms=stop_ms)
    bound = found.steps(max_interval_ms, "max_interval_ms")
    sums = _EventSums(found, bound, min_spikes)
    moments = IntervalMoments(found.n_trains)
    for piece in found.pieces():
        sums.add(piece, moments.add(piece))
    sums.close(np.arange(found.n_trains))
    total = found.counts().reshape(-1)
    nothing = np.full(found.n_trains, np.nan)
    columns = {
        "event_rate": (sums.events / found.seconds, "Hz"),
        "burst_rate": (sums.bursts / found.seconds, "Hz"),
        "burst_fraction": (np.divide(sums.inside, total, out=nothing.copy(), where=total > 0), "1"),
        "spikes_per_burst": (np.divide(sums.inside, sums.bursts, out=nothing, where=sums.bursts > 0), "1"),
    }
    shape = (found.n_trials, found.n_neurons)
    return xr.Dataset(
        {name: (("trial", "neuron"), values.reshape(shape), {"units": unit}) for name, (values, unit) in columns.items()},
        attrs={
            "population": population, "max_interval_ms": max_interval_ms, "min_spikes": min_spikes,
            "n_defined": int((total > 0).sum()),
        },
    )  # fmt: skip


class _EventSums:
    """Per train: events, bursts and spikes inside bursts; an event may go on from one piece to the next."""

    def __init__(self, found: Trains, bound: int, min_spikes: int) -> None:
        self.bound, self.min_spikes = bound, min_spikes
        self.events, self.bursts, self.inside, self._open = np.zeros((4, found.n_trains), dtype=np.int64)

    def add(self, piece: Piece, interval: np.ndarray) -> None:
        goes_on = (interval > 0) & (interval <= self.bound)
        begins = ~goes_on
        begins[piece.starts] = True
        at = np.flatnonzero(begins)
        length = np.diff(np.append(at, interval.size))
        train = piece.train[at]
        first = np.searchsorted(at, piece.starts)  # the first event of each train in this piece
        resumed = goes_on[piece.starts]
        length[first[resumed]] += self._open[train[first[resumed]]]
        self.close(train[first[~resumed]])
        last = np.append(first[1:], at.size) - 1
        self._open[train[last]] = length[last]
        ended = np.ones(at.size, dtype=bool)
        ended[last] = False
        self._count(train[ended], length[ended])

    def close(self, trains_: np.ndarray) -> None:
        """End the open events of some trains."""
        self._count(trains_, self._open[trains_])
        self._open[trains_] = 0

    def _count(self, train: np.ndarray, length: np.ndarray) -> None:
        burst = length >= self.min_spikes
        for sums, weights in ((self.events, length > 0), (self.bursts, burst), (self.inside, length * burst)):
            sums += np.bincount(train, weights, minlength=sums.size).astype(np.int64)


def plateaus(
    recording: xr.DataTree, population: str, variable: str, above: float, min_duration_ms: float, *,
    start_ms: float = 0.0, stop_ms: float | None = None,
) -> xr.Dataset:  # fmt: skip
    """Stretches in which a state stays above a bound, for instance the voltage of a dendrite. Read in blocks of time.

    Parameters
    ----------
    variable : str
        A recorded state.
    above : float, unit of the state
    min_duration_ms : float, ms, multiple of dt
        Shorter stretches are no plateaus.

    Returns
    -------
    xarray.Dataset, (trial, neuron)
        ``rate`` [Hz] of plateaus that begin inside the window; ``duration`` [ms], the mean of those that also end inside
        (NaN without any); ``time_fraction``, the share of the window above the bound in plateaus of any kind.

    Raises
    ------
    InputError
        Unknown population or variable, or an empty or off-grid window.
    """
    node = node_of(recording, population)
    if variable not in node.data_vars:
        raise InputError(f"recording.{population}: {unknown('variable', variable, map(str, node.data_vars))}")
    dt = dt_ms(recording)
    state = node[variable].transpose("trial", "step", "neuron")
    state = state.isel(step=slice(*window(population, state.sizes["step"], dt, start_ms, stop_ms)))
    least = max(1, to_steps(min_duration_ms, dt, "min_duration_ms"))
    shape = (state.sizes["trial"], state.sizes["neuron"])
    begun, ended, inside, lasted = np.zeros((4, *shape))
    n_steps = state.sizes["step"]
    for trial in range(shape[0]):
        neuron, up, down = _stretches(state[trial], above)
        length = down - up
        long = (length >= least) | (up == 0) | (down == n_steps)  # one cut by the window may have been long
        neuron, up, down, length = neuron[long], up[long], down[long], length[long]
        starts_inside, whole = up > 0, (up > 0) & (down < n_steps)
        for sums, weights in (
            (begun, starts_inside), (ended, whole), (inside, whole * length), (lasted, length),
        ):  # fmt: skip
            sums[trial] = np.bincount(neuron, weights, minlength=shape[1])
    duration = np.divide(inside * dt, ended, out=np.full(shape, np.nan), where=ended > 0)
    columns = {
        "rate": (begun / (n_steps * dt / 1000), "Hz"), "duration": (duration, "ms"), "time_fraction": (lasted / n_steps, "1"),
    }  # fmt: skip
    return xr.Dataset(
        {name: (("trial", "neuron"), values, {"units": unit}) for name, (values, unit) in columns.items()},
        attrs={
            "population": population, "variable": variable, "above": above, "min_duration_ms": min_duration_ms,
            "n_defined": int((ended > 0).sum()),
        },
    )  # fmt: skip


def _stretches(state: xr.DataArray, above: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Neuron, first step above and first step no longer above of every stretch of a state (step, neuron), by neuron and time;
    what is outside counts as below."""
    n_steps, n_neurons = state.shape
    rows, before = max(1, PIECE // max(1, n_neurons)), np.zeros((1, n_neurons), dtype=np.int8)
    edges: dict[int, list[np.ndarray]] = {1: [], -1: []}
    for first in range(0, n_steps, rows):
        high = (state[first : first + rows].values > above).astype(np.int8)
        change = np.diff(high, axis=0, prepend=before)
        for sign, found in edges.items():
            step, neuron = np.nonzero(change == sign)
            found.append(neuron * (n_steps + 1) + step + first)
        before = high[-1:]
    edges[-1].append(np.flatnonzero(before[0]) * (n_steps + 1) + n_steps)
    up, down = (np.sort(np.concatenate(found)) for found in edges.values())
    return up // (n_steps + 1), up % (n_steps + 1), down % (n_steps + 1)
