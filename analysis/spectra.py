"""Power spectra of population rates and states, and the coherence of spikes with a field."""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy import signal

from ..errors import InputError, unknown
from .trains import Trains, labelled, trains

MIN_SEGMENTS = 2
"""Fewest segments, over all trials, for which a coherence is reported: that of a single one is 1 whatever the signals."""


def rate_spectrum(
    recording: xr.DataTree, population: str, segment_ms: float, *, bin_ms: float | None = None, start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> xr.DataArray:  # fmt: skip
    """Power spectral density of the population rate (mean over neurons), by Welch's method, mean over trials.

    Segments overlap by half, have their mean taken out and a Hann window. One-sided: N independent Poisson neurons of rate
    r give ``2 r/N`` at all frequencies but 0 and the highest.

    Parameters
    ----------
    segment_ms : float, ms, multiple of the bin
        Sets the resolution, 1/segment.
    bin_ms : float, ms, optional
        Width of the bins, one step unless given; the highest frequency is 1/(2 bin).

    Returns
    -------
    xarray.DataArray, (frequency,), Hz (spikes squared per second squared and hertz)
        Coordinate ``frequency`` [Hz]; ``attrs["n_segments"]``, over all trials. NaN for a population without neurons.

    Source
    ------
    Welch (1967), IEEE Trans. Audio Electroacoust. 15, 70. doi:10.1109/TAU.1967.1161901
    """
    found = trains(recording, population, start_ms=start_ms, stop_ms=stop_ms)
    rate, width, length = _rate(found, bin_ms, segment_ms)
    frequency, power = signal.welch(rate, fs=_fs(found, width), nperseg=length, axis=1)
    return _spectrum(power.mean(axis=0), frequency, "psd", "Hz", population, found, width, length)


def spike_field_coherence(
    recording: xr.DataTree, population: str, field: xr.DataArray | str, segment_ms: float, *,
    bin_ms: float | None = None, min_segments: int = MIN_SEGMENTS, start_ms: float = 0.0, stop_ms: float | None = None,
) -> xr.DataArray:  # fmt: skip
    """Magnitude-squared coherence of the population rate with a field, spectra averaged over segments and trials.

    With n independent segments two unrelated signals give 1/n on average: see ``attrs["n_segments"]`` (which overlap by half).

    Parameters
    ----------
    field : DataArray (trial, step), or the name of a recorded state, whose mean over neurons is taken
    segment_ms, bin_ms
        As in :func:`rate_spectrum`; the field is averaged within bins.
    min_segments : int, >= 2
        With fewer segments, over all trials, NaN.

    Returns
    -------
    xarray.DataArray, (frequency,), dimensionless, in [0, 1]
        NaN where a spectrum vanishes, as that of a silent population or of a constant field does. ``attrs["n_defined"]``:
        frequencies with a value.
    """
    if min_segments < 2:
        raise InputError(
            f"min_segments: {min_segments} given; the coherence of one segment is always 1, so give at least 2."
        )
    found = trains(recording, population, start_ms=start_ms, stop_ms=stop_ms)
    rate, width, length = _rate(found, bin_ms, segment_ms)
    values = _field(found, field)[:, : rate.shape[1] * width]
    # Every segment has its mean taken out: around that a constant is a residue of rounding, around its first value it is 0.
    rate, values = rate - rate[:, :1], values - values[:, :1]
    values = values.reshape(values.shape[0], rate.shape[1], width).mean(axis=2)
    settings = {"fs": _fs(found, width), "nperseg": length, "axis": 1}
    frequency, cross = signal.csd(rate, values, **settings)
    _, of_rate = signal.welch(rate, **settings)
    _, of_field = signal.welch(values, **settings)
    below = of_rate.mean(axis=0) * of_field.mean(axis=0)
    coherence = np.divide(np.abs(cross.mean(axis=0)) ** 2, below, out=np.full(below.shape, np.nan), where=below > 0)
    if _n_segments(found, width, length) < min_segments:
        coherence[:] = np.nan
    array = _spectrum(coherence, frequency, "coherence", "1", population, found, width, length)
    return array.assign_attrs(min_segments=min_segments)


def _rate(found: Trains, bin_ms: float | None, segment_ms: float) -> tuple[np.ndarray, int, int]:
    """Population rate in spikes per second, (trial, bin), with the width of a bin [steps] and the length of a segment [bins]."""
    width = 1 if bin_ms is None else found.steps(bin_ms, "bin_ms")
    steps = found.steps(segment_ms, "segment_ms")
    n_bins = found.n_steps // width
    if steps % width or steps // width < 4:
        raise InputError(
            f"segment_ms: expected at least 4 whole bins, got {segment_ms:g} ms of {width * found.dt_ms:g} ms."
        )
    counts = np.asarray(found.binned(width).sum(axis=1)).reshape(found.n_trials, n_bins)
    # Of no neuron: NaN.
    return counts / (found.n_neurons or np.nan) / (width * found.dt_ms / 1000), width, steps // width


def _n_segments(found: Trains, width: int, length: int) -> int:
    """Over all trials."""
    return found.n_trials * ((found.n_steps // width - length) // (length - length // 2) + 1)


def _fs(found: Trains, width: int) -> float:
    return 1000 / (width * found.dt_ms)


def _field(found: Trains, field: xr.DataArray | str) -> np.ndarray:
    if isinstance(field, str):
        if field not in found.node.data_vars:
            raise InputError(f"field: {unknown('variable', field, map(str, found.node.data_vars))}")
        state = found.node[field]
        field = xr.DataArray(state.mean("neuron") if found.n_neurons else state.sum("neuron"))
    if set(field.dims) != {"trial", "step"}:
        raise InputError(f"field: expected the dimensions trial and step, got {', '.join(map(str, field.dims))}.")
    values = np.asarray(field.transpose("trial", "step").values, dtype=float)[:, found.start : found.stop]
    if values.shape != (found.n_trials, found.n_steps):
        raise InputError(f"field: expected {found.n_trials} trials of {found.n_steps} steps, got {values.shape}.")
    if not np.isfinite(values).all():
        raise InputError("field: NaN or infinity among its values; give finite numbers.")
    return values


def _spectrum(
    values: np.ndarray,
    frequency: np.ndarray,
    name: str,
    units: str,
    population: str,
    found: Trains,
    width: int,
    length: int,
) -> xr.DataArray:
    array = xr.DataArray(values, dims="frequency", coords={"frequency": ("frequency", frequency, {"units": "Hz"})})
    return labelled(
        array, name, units, population, bin_ms=width * found.dt_ms, segment_ms=length * width * found.dt_ms,
        n_segments=_n_segments(found, width, length), n_defined=int(np.isfinite(values).sum()),
    )  # fmt: skip
