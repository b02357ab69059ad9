"""Fluorescence of a calcium indicator as a microscope would see it, from spikes."""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy import signal

from ..errors import InputError, unknown
from .trains import Trains, labelled, stable_order, to_steps, trains

_BLOCK = 1 << 18
"""Entries (step, neuron) of calcium held at once: few enough for a processor cache, which is faster."""


class Indicator(NamedTuple):
    """How fluorescence follows one spike.

    rise_ms, decay_ms : float, ms, 0 <= rise < decay
        Calcium after a spike: ``exp(-t/decay) - exp(-t/rise)``, scaled to a peak of 1.
    amplitude : float
        dF/F at the peak of one spike.
    hill, half : float, > 0
        dF/F grows with calcium as ``c**hill/(c**hill + half**hill)``, scaled so that c = 1 gives the amplitude; without
        `half` in proportion to it. `half` is in units of the peak calcium of one spike.
    """

    rise_ms: float
    decay_ms: float
    amplitude: float = 1.0
    hill: float = 1.0
    half: float | None = None


INDICATORS = MappingProxyType({
    "GCaMP6s": Indicator(71.0, 686.0, 0.23),
    "GCaMP6m": Indicator(29.9, 344.0, 0.13),
    "GCaMP6f": Indicator(17.5, 178.0, 0.19),
})  # fmt: skip
"""Approximate and linear: time constants that give, for one action potential in layer 2/3 pyramidal cells of mouse V1, the mean
time to peak (179, 80, 45 ms) and from there to half of it (550, 270, 142 ms) and the mean peak dF/F, Chen et al. (2013), Nature
499, 295, Supplementary Table 3, doi:10.1038/nature12354. Cells differ widely, and bursts add up more than linearly."""


def fluorescence(
    recording: xr.DataTree,
    population: str,
    indicator: Indicator | str,
    frame_ms: float,
    *,
    exposure_ms: float | None = None,
    noise: float = 0.0,
    seed: int = 0,
    start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> xr.DataArray:
    """dF/F of every neuron, frame by frame.

    Spikes convolved with a difference of two exponentials, made into fluorescence, averaged over each exposure, and noise
    added. Calcium is at rest at the beginning of every trial; spikes before `start_ms` count. A spike acts from its own
    step on, at which the kernel is 0 (with ``rise_ms = 0``, 1).

    Parameters
    ----------
    indicator : Indicator or a name of INDICATORS
    frame_ms : float, ms, multiple of dt
        Time between frames; an incomplete last one is left out.
    exposure_ms : float, ms, multiple of dt, optional
        From the beginning of the frame; the whole frame where None.
    noise : float, dF/F, >= 0
        Standard deviation of the noise of a frame: Gaussian, independent over frames, neurons and trials.
    seed : int, >= 0
        Of the noise. Each trial has its own counter-based stream (Philox), drawn neuron by neuron: further trials or neurons
        leave the noise of the first ones as it is.

    Returns
    -------
    xarray.DataArray, (trial, frame, neuron), dF/F
        Coordinate ``time`` [ms]: start of the frame.

    Raises
    ------
    InputError
        An unknown indicator, a value out of range, or a time off the grid.

    Source
    ------
    Vogelstein et al. (2010), J. Neurophysiol. 104, 3691. doi:10.1152/jn.01073.2009 (spikes, calcium, saturation,
    Gaussian noise; here with a rise)
    """
    made = _indicator(indicator)
    if not (np.isfinite(noise) and noise >= 0 and seed >= 0):
        raise InputError(f"expected noise >= 0 and seed >= 0, got {noise} and {seed}.")
    window = trains(recording, population, start_ms=start_ms, stop_ms=stop_ms)
    width = window.steps(frame_ms, "frame_ms")
    exposed = width if exposure_ms is None else to_steps(exposure_ms, window.dt_ms, "exposure_ms")
    if not 1 <= exposed <= width:
        raise InputError(f"exposure_ms: {exposure_ms} ms must be positive and at most frame_ms = {frame_ms:g} ms.")
    n_frames = window.n_steps // width
    found = Trains(window.node, population, 0, window.start + n_frames * width, window.dt_ms)
    train, step = _in_order(found)
    frames = np.zeros((found.n_trials, n_frames, found.n_neurons))
    block = max(1, _BLOCK // max(found.n_steps, 1))
    for trial in range(found.n_trials):
        for at in range(0, found.n_neurons, block):
            first = trial * found.n_neurons + at
            last = first + min(block, found.n_neurons - at)
            these = slice(*np.searchsorted(train, [first, last]))
            dense = np.zeros((found.n_steps, last - first))
            dense[step[these], train[these] - first] = 1
            shown = _shown(calcium_trace(dense, made, found.dt_ms), made)[window.start :]
            frames[trial, :, at : at + block] = shown.reshape(n_frames, width, -1)[:, :exposed].mean(axis=1)
        if noise:
            stream = np.random.Generator(np.random.Philox(key=np.array([seed, trial], dtype=np.uint64)))
            frames[trial] += noise * stream.standard_normal((found.n_neurons, n_frames)).T
    time = start_ms + np.arange(n_frames) * width * found.dt_ms
    array = xr.DataArray(
        frames, dims=("trial", "frame", "neuron"), coords={"time": ("frame", time, {"units": "ms"})}
    )  # fmt: skip
    return labelled(
        array, "fluorescence", "dF/F", population, frame_ms=frame_ms, exposure_ms=exposed * found.dt_ms, noise=noise,
        seed=seed, indicator=indicator if isinstance(indicator, str) else "",
        **{f"indicator_{key}": np.nan if value is None else value for key, value in made._asdict().items()},
    )  # fmt: skip


def _in_order(found: Trains) -> tuple[np.ndarray, np.ndarray]:
    """Train and step of every spike, in order of train."""
    pieces = list(found.pieces())
    if not pieces:
        return np.zeros(0, np.int64), np.zeros(0, np.int32)
    train, step = (np.concatenate(column) for column in list(zip(*pieces, strict=True))[:2])
    order = stable_order(train, found.n_trains)
    return train[order], step[order]


def calcium_trace(spikes: np.ndarray, indicator: Indicator, dt_ms: float) -> np.ndarray:
    """Calcium in units of the peak that one spike gives, (step, neuron), from spikes of the same shape."""

    def decaying(tau_ms: float) -> np.ndarray:
        return np.asarray(signal.lfilter([1.0], [1.0, -np.exp(-dt_ms / tau_ms)], spikes, axis=0))

    # Two recursions of first order: one of second order would lose digits where both time constants are many steps.
    if indicator.rise_ms == 0:
        return decaying(indicator.decay_ms)
    rise, decay = indicator.rise_ms, indicator.decay_ms
    peak = rise * decay / (decay - rise) * np.log(decay / rise)
    return (decaying(decay) - decaying(rise)) / (np.exp(-peak / decay) - np.exp(-peak / rise))


def _shown(calcium: np.ndarray, indicator: Indicator) -> np.ndarray:
    if indicator.half is None:
        return indicator.amplitude * calcium
    bound = np.maximum(calcium, 0) ** indicator.hill  # the difference of the recursions can fall below 0 by rounding
    constant = indicator.half**indicator.hill
    return indicator.amplitude * (1 + constant) * bound / (bound + constant)


def _indicator(given: Indicator | str) -> Indicator:
    if isinstance(given, str):
        if given not in INDICATORS:
            raise InputError(f"indicator: {unknown('indicator', given, INDICATORS)}")
        return INDICATORS[given]
    numbers = [x for x in given if x is not None]
    positive = given.hill > 0 and (given.half is None or given.half > 0)
    if not (np.isfinite(numbers).all() and 0 <= given.rise_ms < given.decay_ms and positive):
        raise InputError(f"indicator: expected 0 <= rise_ms < decay_ms, hill > 0 and half > 0, got {given}.")
    return given
