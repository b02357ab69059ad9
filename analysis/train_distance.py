"""Distances between spike trains of recordings: the same neuron in two recordings, or all pairs of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import xarray as xr

from ..errors import InputError
from .distance import check_same_window
from .ragged import Distance, of_pairs, times_of
from .spike_metrics import checked_cost, positive, van_rossum_pairs, victor_purpura_pairs
from .spike_profiles import isi_pairs, spike_pairs
from .trains import labelled, trains

Kind = Literal["van_rossum", "victor_purpura", "spike", "isi"]
KINDS = ("van_rossum", "victor_purpura", "spike", "isi")


def train_distance(
    recording_a: xr.DataTree,
    recording_b: xr.DataTree,
    population: str,
    kind: Kind,
    *,
    tau_ms: float | None = None,
    cost_per_ms: float | None = None,
    start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> xr.DataArray:
    """Distance between the trains of the same neuron in two recordings: how far two engines or settings are apart.

    Parameters
    ----------
    recording_a, recording_b : xarray.DataTree
        With equally many neurons and trials of the population; dt may differ.
    population : str
    kind : {"van_rossum", "victor_purpura", "spike", "isi"}
        See the functions `van_rossum`, `victor_purpura`, `spike_distance` and `isi_distance`.
    tau_ms : float, ms
        For "van_rossum" and only there; no default, since the time scale is the question asked.
    cost_per_ms : float, 1/ms
        For "victor_purpura" and only there.
    start_ms, stop_ms : float, ms
        The same window in both, a multiple of either dt.

    Returns
    -------
    xarray.DataArray, (trial, neuron), dimensionless
        Silent trains have distances too (see the functions), two silent ones 0: ``attrs["n_both_silent"]`` says how
        many of the ``attrs["n_defined"]`` are such pairs, which a mean may have to leave out.

    Raises
    ------
    InputError
        Populations or windows that differ, an unknown kind, or a time scale missing or not used.
    """
    distance, scale = _chosen(kind, tau_ms, cost_per_ms)
    found_a = trains(recording_a, population, start_ms=start_ms, stop_ms=stop_ms)
    found_b = trains(recording_b, population, start_ms=start_ms, stop_ms=stop_ms)
    check_same_window(found_a, found_b)
    if found_a.n_neurons != found_b.n_neurons:
        raise InputError(
            f"recordings: {population} has {found_a.n_neurons} neurons in one and {found_b.n_neurons} in the other; "
            "neuron k is compared with neuron k, so record the same neurons in both."
        )
    a, b = times_of(found_a), times_of(found_b)
    same = np.arange(found_a.n_trains)
    values = of_pairs(a, b, same, same, distance(found_a.n_steps * found_a.dt_ms))
    array = xr.DataArray(values.reshape(found_a.n_trials, found_a.n_neurons), dims=("trial", "neuron"))
    return labelled(
        array, f"{kind}_distance", "1", population, kind=kind, **scale, n_defined=values.size,
        n_both_silent=int(((a.counts == 0) & (b.counts == 0)).sum()),
    )  # fmt: skip


def train_distances(
    recording: xr.DataTree,
    population: str,
    kind: Kind,
    *,
    tau_ms: float | None = None,
    cost_per_ms: float | None = None,
    trial: int = 0,
    start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> xr.DataArray:
    """Distances between the trains of all pairs of neurons within a trial.

    Parameters
    ----------
    recording : xarray.DataTree
    population : str
    kind, tau_ms, cost_per_ms
        As in `train_distance`.
    trial : int
    start_ms, stop_ms : float, ms

    Returns
    -------
    xarray.DataArray, (neuron, neuron_b), dimensionless
        Symmetric, with zeros on the diagonal.

    Raises
    ------
    InputError
        As `train_distance`, or no such trial.
    """
    distance, scale = _chosen(kind, tau_ms, cost_per_ms)
    found = trains(recording, population, start_ms=start_ms, stop_ms=stop_ms)
    if not 0 <= trial < found.n_trials:
        raise InputError(f"trial: expected 0 to {found.n_trials - 1}, got {trial}; the recording has no such trial.")
    n = found.n_neurons
    one = times_of(found).take(np.arange(trial * n, (trial + 1) * n))
    left, right = np.triu_indices(n, 1)
    values = np.zeros((n, n))
    values[left, right] = of_pairs(one, one, left, right, distance(found.n_steps * found.dt_ms))
    values += values.T
    array = xr.DataArray(values, dims=("neuron", "neuron_b"))
    return labelled(
        array, f"{kind}_distance", "1", population, kind=kind, **scale, trial=trial, n_defined=values.size,
        n_silent=int((one.counts == 0).sum()),
    )  # fmt: skip


def _chosen(
    kind: str, tau_ms: float | None, cost_per_ms: float | None
) -> tuple[Callable[[float], Distance], dict[str, float]]:
    """Function from the length of the window [ms] to the distance, and its time scale for the attributes."""
    if kind not in KINDS:
        raise InputError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}.")
    for name, value, owner in (("tau_ms", tau_ms, "van_rossum"), ("cost_per_ms", cost_per_ms, "victor_purpura")):
        if kind == owner and value is None:
            raise InputError(f"{name}: kind {kind!r} has a time scale and none was given; give {name}.")
        if kind != owner and value is not None:
            raise InputError(f"{name}: given with kind {kind!r}, which has no such parameter; leave it out.")
    if tau_ms is not None:
        tau = positive("tau_ms", tau_ms)
        return lambda length: lambda a, b: van_rossum_pairs(a, b, tau), {"tau_ms": tau}
    if cost_per_ms is not None:
        cost = checked_cost(cost_per_ms)
        return lambda length: lambda a, b: victor_purpura_pairs(a, b, cost), {"cost_per_ms": cost}
    exact = spike_pairs if kind == "spike" else isi_pairs
    return lambda length: lambda a, b: exact(a, b, length), {}
