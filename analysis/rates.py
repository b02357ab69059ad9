"""Firing rates of a recording: per neuron, per population, over time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from ..errors import InputError
from .trains import as_spikes, labelled, spiking_populations, trains


def spike_trains(
    recording: xr.DataTree, population: str, *, start_ms: float = 0.0, stop_ms: float | None = None
) -> xr.DataArray:
    """Spikes of one population between two times as a dense array, for looking at; statistics need none.

    Parameters
    ----------
    recording : xarray.DataTree
    population : str
        Name of a population or input with spikes.
    start_ms, stop_ms : float, ms, multiples of dt
        Rows with ``start_ms <= time < stop_ms``; to the end where `stop_ms` is None.

    Returns
    -------
    xarray.DataArray, (trial, step, neuron), bool

    Raises
    ------
    InputError
        Unknown population, no spikes recorded, or an empty or off-grid window.
    """
    found = trains(recording, population, start_ms=start_ms, stop_ms=stop_ms)
    window = slice(found.start, found.stop)
    if "spikes" in found.node:
        spikes: xr.DataArray = found.node["spikes"].transpose("trial", "step", "neuron").isel(step=window)
        return spikes if spikes.dtype == bool else spikes.copy(data=as_spikes(spikes.values, population))
    rows = np.zeros((found.n_trials, found.n_steps, found.n_neurons), dtype=bool)
    for train, step in found.raw():
        rows[train // found.n_neurons, step, train % found.n_neurons] = True
    time = found.node["time"].isel(step=window)
    return xr.DataArray(rows, dims=("trial", "step", "neuron"), coords={"time": time}, name="spikes")


def neuron_rates(
    recording: xr.DataTree, population: str, *, start_ms: float = 0.0, stop_ms: float | None = None
) -> xr.DataArray:
    """Firing rate of each neuron in each trial.

    Returns
    -------
    xarray.DataArray, (trial, neuron), Hz
        Number of spikes divided by the length of the window.
    """
    found = trains(recording, population, start_ms=start_ms, stop_ms=stop_ms)
    rates = xr.DataArray(found.counts() / found.seconds, dims=("trial", "neuron"))
    return labelled(rates, "rate", "Hz", population)


def active_fraction(
    recording: xr.DataTree, population: str, *, start_ms: float = 0.0, stop_ms: float | None = None
) -> xr.DataArray:
    """Share of neurons with at least one spike, per trial.

    Returns
    -------
    xarray.DataArray, (trial,), dimensionless, in [0, 1]
        NaN for a population without neurons.
    """
    found = trains(recording, population, start_ms=start_ms, stop_ms=stop_ms)
    share = xr.DataArray((found.counts() > 0).sum(axis=1) / (found.n_neurons or np.nan), dims="trial")
    return labelled(share, "active_fraction", "1", population)


def population_rates(
    recording: xr.DataTree,
    populations: Sequence[str] | None = None,
    *,
    start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> xr.Dataset:
    """One line per population: how many neurons, how many spikes, how fast, how many take part.

    Mean, median and standard deviation are over neurons, each neuron's rate being its mean over trials.

    Returns
    -------
    xarray.Dataset, (population,)
        ``n_neurons``, ``n_spikes`` (all trials), ``mean``, ``median``, ``std`` [Hz], ``active_fraction``
        (mean over trials) and the coordinate ``transmitter``. NaN where there are no neurons.
    """
    names = spiking_populations(recording) if populations is None else tuple(populations)
    columns: dict[str, list[float]] = {
        key: [] for key in ("n_neurons", "n_spikes", "mean", "median", "std", "active_fraction")
    }
    for name in names:
        found = trains(recording, name, start_ms=start_ms, stop_ms=stop_ms)
        counts = found.counts()
        rates = counts.mean(axis=0) / found.seconds
        columns["n_neurons"].append(found.n_neurons)
        columns["n_spikes"].append(int(counts.sum()))
        for key, values, measure in (
            ("mean", rates, np.mean), ("median", rates, np.median), ("std", rates, np.std),
            ("active_fraction", counts > 0, np.mean),
        ):  # fmt: skip
            columns[key].append(float(measure(values)) if found.n_neurons else np.nan)
    units = {"mean": "Hz", "median": "Hz", "std": "Hz"}
    return xr.Dataset(
        {key: ("population", np.asarray(column), {"units": units.get(key, "1")}) for key, column in columns.items()},
        coords={
            "population": list(names),
            "transmitter": ("population", [recording[n].attrs.get("transmitter", "mixed") for n in names]),
        },
    )


def psth(
    recording: xr.DataTree,
    population: str,
    bin_ms: float,
    *,
    per: str = "population",
    start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> xr.DataArray:
    """Rate over time (peri-stimulus time histogram), averaged over trials.

    Parameters
    ----------
    bin_ms : float, ms, multiple of dt
        A last bin that would be incomplete is left out.
    per : {"population", "trial", "neuron"}
        Mean over neurons and trials; one line per trial, mean over neurons; one per neuron, mean over trials.

    Returns
    -------
    xarray.DataArray, (bin,), (trial, bin) or (neuron, bin), Hz
        Coordinate ``time`` [ms]: start of the bin. NaN for the mean over no neurons.

    Raises
    ------
    InputError
        Another `per`, or as :func:`spike_trains`.
    """
    if per not in ("population", "trial", "neuron"):
        raise InputError(f"per: expected 'population', 'trial' or 'neuron', got {per!r}.")
    found = trains(recording, population, start_ms=start_ms, stop_ms=stop_ms)
    width = found.steps(bin_ms, "bin_ms")
    counts, n_bins = found.binned(width), found.n_steps // width
    if per == "neuron":
        total = sum(counts[k * n_bins : (k + 1) * n_bins].toarray().T for k in range(found.n_trials))
        rate, dims = np.asarray(total, dtype=float) / found.n_trials, ["neuron", "bin"]
    else:
        by_trial = np.asarray(counts.sum(axis=1)).reshape(found.n_trials, n_bins) / (found.n_neurons or np.nan)
        rate, dims = (by_trial, ["trial", "bin"]) if per == "trial" else (by_trial.mean(axis=0), ["bin"])
    time = start_ms + np.arange(n_bins) * width * found.dt_ms
    histogram = xr.DataArray(
        rate / (width * found.dt_ms / 1000), dims=dims, coords={"time": ("bin", time, {"units": "ms"})}
    )
    return labelled(histogram, "rate", "Hz", population, bin_ms=bin_ms)
