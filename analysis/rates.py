"""Firing rates of a recording: per neuron, per population, over time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from ..errors import InputError, unknown


def spiking_populations(recording: xr.DataTree, *, inputs: bool = False) -> tuple[str, ...]:
    """Names of the nodes that hold spikes, in stage order; inputs only where asked for."""
    return tuple(
        name
        for name, node in recording.children.items()
        if "spikes" in node.data_vars and (inputs or node.attrs.get("kind") != "input")
    )


def spike_trains(
    recording: xr.DataTree, population: str, *, start_ms: float = 0.0, stop_ms: float | None = None
) -> xr.DataArray:
    """Spikes of one population between two times.

    Parameters
    ----------
    recording : xarray.DataTree
    population : str
        Name of a population or input with the variable ``spikes``.
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
    if population not in recording.children:
        raise InputError(f"recording: {unknown('population', population, recording.children)}")
    node = recording[population]
    if "spikes" not in node.data_vars:
        held = ", ".join(map(str, node.data_vars)) or "nothing"
        raise InputError(
            f"recording.{population}: no variable 'spikes' (it holds {held}). "
            "Add 'spikes' to the probes of this population."
        )
    spikes: xr.DataArray = node["spikes"].transpose("trial", "step", "neuron")
    dt = dt_ms(recording)
    start = _to_steps(start_ms, dt, "start_ms")
    stop = spikes.sizes["step"] if stop_ms is None else _to_steps(stop_ms, dt, "stop_ms")
    if not 0 <= start < stop <= spikes.sizes["step"]:
        raise InputError(
            f"recording.{population}: the window of steps {start} to {stop} is empty or leaves the "
            f"recording, which has {spikes.sizes['step']} steps of {dt:g} ms."
        )
    return spikes.isel(step=slice(start, stop))


def neuron_rates(
    recording: xr.DataTree, population: str, *, start_ms: float = 0.0, stop_ms: float | None = None
) -> xr.DataArray:
    """Firing rate of each neuron in each trial.

    Returns
    -------
    xarray.DataArray, (trial, neuron), Hz
        Number of spikes divided by the length of the window.
    """
    spikes = spike_trains(recording, population, start_ms=start_ms, stop_ms=stop_ms)
    seconds = spikes.sizes["step"] * dt_ms(recording) / 1000.0
    rates = spikes.sum("step") / seconds
    return _labelled(rates, "rate", "Hz", population)


def active_fraction(
    recording: xr.DataTree, population: str, *, start_ms: float = 0.0, stop_ms: float | None = None
) -> xr.DataArray:
    """Share of neurons with at least one spike, per trial.

    Returns
    -------
    xarray.DataArray, (trial,), dimensionless, in [0, 1]
    """
    spikes = spike_trains(recording, population, start_ms=start_ms, stop_ms=stop_ms)
    return _labelled(spikes.any("step").mean("neuron"), "active_fraction", "1", population)


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
        (mean over trials) and the coordinate ``transmitter``.
    """
    names = spiking_populations(recording) if populations is None else tuple(populations)
    columns: dict[str, list[float]] = {
        key: [] for key in ("n_neurons", "n_spikes", "mean", "median", "std", "active_fraction")
    }
    for name in names:
        spikes = spike_trains(recording, name, start_ms=start_ms, stop_ms=stop_ms)
        rates = neuron_rates(recording, name, start_ms=start_ms, stop_ms=stop_ms).mean("trial").values
        columns["n_neurons"].append(spikes.sizes["neuron"])
        columns["n_spikes"].append(int(spikes.sum()))
        columns["mean"].append(float(rates.mean()))
        columns["median"].append(float(np.median(rates)))
        columns["std"].append(float(rates.std()))
        columns["active_fraction"].append(float(spikes.any("step").mean()))
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
    start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> xr.DataArray:
    """Rate of a population over time, averaged over neurons and trials (peri-stimulus time histogram).

    Parameters
    ----------
    bin_ms : float, ms, multiple of dt
        A last bin that would be incomplete is left out.

    Returns
    -------
    xarray.DataArray, (bin,), Hz
        Coordinate ``time`` [ms]: start of the bin.
    """
    spikes = spike_trains(recording, population, start_ms=start_ms, stop_ms=stop_ms)
    dt = dt_ms(recording)
    width = _to_steps(bin_ms, dt, "bin_ms")
    n_bins = spikes.sizes["step"] // width if width > 0 else 0
    if n_bins == 0:
        raise InputError(
            f"bin_ms: {bin_ms:g} ms must be positive and fit into the window of {spikes.sizes['step']} steps."
        )
    per_step = spikes.mean(("trial", "neuron")).values[: n_bins * width]
    rate = per_step.reshape(n_bins, width).mean(axis=1) / (dt / 1000.0)
    time = start_ms + np.arange(n_bins) * width * dt
    histogram = xr.DataArray(rate, dims="bin", coords={"time": ("bin", time, {"units": "ms"})})
    return _labelled(histogram, "rate", "Hz", population)


def dt_ms(recording: xr.DataTree) -> float:
    """Length of a step of the recording [ms]."""
    if "dt_ms" not in recording.attrs:
        raise InputError("recording: the root attribute 'dt_ms' is missing; this is no recording of a run.")
    return float(recording.attrs["dt_ms"])


def _to_steps(value_ms: float, dt: float, name: str) -> int:
    """Integer number of steps in a time; a time off the grid is refused, never rounded silently."""
    steps = round(value_ms / dt)
    if abs(steps * dt - value_ms) > 1e-9 * max(abs(value_ms), dt):
        raise InputError(f"{name}: {value_ms:g} ms is no integer multiple of dt = {dt:g} ms.")
    return steps


def _labelled(array: xr.DataArray, name: str, units: str, population: str) -> xr.DataArray:
    array = array.rename(name)
    array.attrs = {"units": units, "population": population}
    return array
