"""Tuning to stimuli: mean rate per stimulus, how selective a curve is, and how well two stimuli are told apart."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from scipy import stats

from ..errors import InputError, unknown
from .trains import labelled, trains

MIN_TRIALS = 5
"""Fewest trials of a stimulus for which a mean response is reported."""
_BLOCK = 1 << 22
"""Counts that are ranked at once."""


def stimulus_of_trial(stimulus: ArrayLike, n_trials: int, name: str = "stimulus") -> tuple[np.ndarray, np.ndarray]:
    """Different labels, ascending, and the position among them of each trial's label.

    Parameters
    ----------
    stimulus : (trial,)
        Numbers or strings.

    Returns
    -------
    kinds, which : (stimulus,), (trial,)

    Raises
    ------
    InputError
        Not one label per trial, labels that have no order, or NaN.
    """
    labels = np.asarray(stimulus)
    if labels.shape != (n_trials,):
        raise InputError(f"{name}: expected one label per trial, ({n_trials},), got {labels.shape}.")
    missing = sum(isinstance(label, float | np.floating) and bool(np.isnan(label)) for label in labels.tolist())
    if missing:
        raise InputError(f"{name}: {missing} labels are NaN; give trials without one a label too.")
    try:
        kinds, which = np.unique(labels, return_inverse=True)
    except TypeError:
        raise InputError(f"{name}: the labels cannot be sorted; give numbers only or strings only.") from None
    return kinds, which.reshape(-1)


def trials_of(label: object, kinds: np.ndarray, which: np.ndarray, name: str = "stimulus") -> np.ndarray:
    """Positions of the trials with a label.

    Raises
    ------
    InputError
        No trial has it.
    """
    at = np.flatnonzero(kinds == label)
    if at.size != 1:
        raise InputError(f"{name}: {unknown('label', label, kinds)}")
    return np.flatnonzero(which == at[0])


def tuning_curves(
    recording: xr.DataTree,
    population: str,
    stimulus: ArrayLike,
    *,
    min_trials: int = MIN_TRIALS,
    start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> xr.DataArray:
    """Mean rate of every neuron for every stimulus.

    Parameters
    ----------
    stimulus : (trial,)
        What was shown in each trial, numbers or strings; for an angle, degrees.
    min_trials : int, >= 1
        A stimulus with fewer trials gets NaN.

    Returns
    -------
    xarray.DataArray, (stimulus, neuron), Hz
        Coordinates ``stimulus`` (labels in ascending order) and ``n_trials`` (trials of each).

    Raises
    ------
    InputError
        Not one label per trial, NaN among them, or `min_trials` below 1.
    """
    if min_trials < 1:
        raise InputError(f"min_trials: {min_trials} given; a mean needs at least 1.")
    found = trains(recording, population, start_ms=start_ms, stop_ms=stop_ms)
    kinds, which = stimulus_of_trial(stimulus, found.n_trials)
    counts, n = found.counts(), np.bincount(which, minlength=kinds.size)
    rates = np.full((kinds.size, found.n_neurons), np.nan)
    for k in np.flatnonzero(n >= min_trials):
        rates[k] = counts[which == k].sum(axis=0) / (n[k] * found.seconds)
    array = xr.DataArray(
        rates, dims=("stimulus", "neuron"), coords={"stimulus": kinds, "n_trials": ("stimulus", n, {"units": "1"})}
    )
    return labelled(array, "rate", "Hz", population, min_trials=min_trials, n_defined=int((n >= min_trials).sum()))


def preference(curves: xr.DataArray) -> xr.DataArray:
    """Selectivity for the preferred stimulus: ``(best - others)/(best + others)``, others being the mean of the rest.

    Chosen and measured on the same trials, so trial-to-trial variability alone makes it positive.

    Parameters
    ----------
    curves : xarray.DataArray, (stimulus, neuron)
        Of :func:`tuning_curves`; stimuli without a value are left out.

    Returns
    -------
    xarray.DataArray, (neuron,), dimensionless, in [0, 1]
        NaN for a silent neuron and where fewer than two stimuli have a value.
    """
    rates, population = _rates(curves)
    best = rates.max(axis=0, initial=0.0)
    others = (rates.sum(axis=0) - best) / max(rates.shape[0] - 1, 1)
    enough = rates.shape[0] > 1
    return _per_neuron(_ratio(best - others, (best + others) * enough), "preference", population, rates)


def orientation_selectivity(curves: xr.DataArray) -> xr.Dataset:
    """Length and direction of the mean response vector over orientations, period 180 degrees.

    Parameters
    ----------
    curves : xarray.DataArray, (stimulus, neuron)
        Of :func:`tuning_curves`, the stimulus being an orientation or direction [degrees], evenly spaced over the
        period.

    Returns
    -------
    xarray.Dataset, (neuron,)
        ``osi``, ``abs(sum(r exp(2 i theta)))/sum(r)`` in [0, 1]; ``circular_variance``, ``1 - osi``;
        ``preferred`` [degrees], in [0, 180). NaN for a silent neuron, ``preferred`` also for an untuned one.

    Raises
    ------
    InputError
        Stimuli that are no numbers, without a value, or not evenly spaced: the vector of a constant response would not be 0.

    Source
    ------
    Ringach, Shapley, Hawken (2002), J. Neurosci. 22, 5639. doi:10.1523/JNEUROSCI.22-13-05639.2002
    """
    length, angle, population = _vector(curves, 2)
    return _selectivity(
        {"osi": (length, "1"), "circular_variance": (1 - length, "1"), "preferred": (angle, "degree")}, population
    )


def direction_selectivity(curves: xr.DataArray) -> xr.Dataset:
    """Length and direction of the mean response vector over directions, period 360 degrees.

    Parameters
    ----------
    curves : xarray.DataArray, (stimulus, neuron)
        Of :func:`tuning_curves`, the stimulus being a direction [degrees], evenly spaced over the circle.

    Returns
    -------
    xarray.Dataset, (neuron,)
        ``dsi``, ``abs(sum(r exp(i theta)))/sum(r)`` in [0, 1]; ``preferred`` [degrees], in [0, 360). NaN for a silent
        neuron, ``preferred`` also for an untuned one.

    Raises
    ------
    InputError
        As :func:`orientation_selectivity`.

    Source
    ------
    Mazurek, Kager, Van Hooser (2014), Front. Neural Circuits 8, 92. doi:10.3389/fncir.2014.00092
    """
    length, angle, population = _vector(curves, 1)
    return _selectivity({"dsi": (length, "1"), "preferred": (angle, "degree")}, population)


def lifetime_sparseness(curves: xr.DataArray) -> xr.DataArray:
    """How few of the stimuli drive a neuron: ``(1 - mean(r)**2/mean(r**2))/(1 - 1/n)`` over n stimuli.

    ``mean(r)**2/mean(r**2)`` is the sparseness of Treves and Rolls; rescaled, 0 for equal responses and 1 for a response to
    one stimulus alone.

    Parameters
    ----------
    curves : xarray.DataArray, (stimulus, neuron)
        Of :func:`tuning_curves`; stimuli without a value are left out.

    Returns
    -------
    xarray.DataArray, (neuron,), dimensionless, in [0, 1]
        NaN for a silent neuron and where fewer than two stimuli have a value.

    Source
    ------
    Vinje, Gallant (2000), Science 287, 1273. doi:10.1126/science.287.5456.1273
    Treves, Rolls (1991), Network 2, 371. doi:10.1088/0954-898X_2_4_004
    """
    rates, population = _rates(curves)
    return _per_neuron(_sparseness(rates), "lifetime_sparseness", population, rates)


def population_sparseness(curves: xr.DataArray) -> xr.DataArray:
    """How few of the neurons a stimulus drives: the formula of :func:`lifetime_sparseness` over neurons.

    Silent neurons count: they are part of the population.

    Returns
    -------
    xarray.DataArray, (stimulus,), dimensionless, in [0, 1]
        NaN where all neurons are silent, where there are fewer than two, or where the stimulus has no value.

    Source
    ------
    As :func:`lifetime_sparseness`.
    """
    curves = curves.transpose("stimulus", "neuron")
    array = curves.isel(neuron=0, drop=True).copy() if curves.sizes["neuron"] else curves.sum("neuron")
    array = array.copy(data=_sparseness(curves.values.T))
    return labelled(
        array, "population_sparseness", "1", str(curves.attrs.get("population", "")),
        n_neurons=curves.sizes["neuron"], n_defined=int(np.isfinite(array).sum()),
    )  # fmt: skip


def d_prime(
    recording: xr.DataTree,
    population: str,
    stimulus: ArrayLike,
    first: object,
    second: object,
    *,
    min_trials: int = MIN_TRIALS,
    start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> xr.DataArray:
    """Distance of the responses to two stimuli in units of their variability, ``(m1 - m2)/sqrt((v1 + v2)/2)``.

    Variances have n - 1 in the denominator. Positive where `first` drives more spikes.

    Parameters
    ----------
    stimulus : (trial,)
    first, second : labels in `stimulus`
    min_trials : int, >= 2
        With fewer trials of either stimulus, NaN.

    Returns
    -------
    xarray.DataArray, (neuron,), dimensionless
        NaN where neither response varies.

    Raises
    ------
    InputError
        Not one label per trial, a label no trial has, or `min_trials` below 2.

    Source
    ------
    Green, Swets (1966), Signal Detection Theory and Psychophysics, Wiley; with unequal variances, their mean.
    """
    if min_trials < 2:
        raise InputError(f"min_trials: {min_trials} given; a variance needs at least 2.")
    a, b = _two(recording, population, stimulus, first, second, start_ms, stop_ms)
    values = np.full(a.shape[1], np.nan)
    if min(a.shape[0], b.shape[0]) >= min_trials:
        spread = np.sqrt((a.var(axis=0, ddof=1) + b.var(axis=0, ddof=1)) / 2)
        values = _ratio(a.mean(axis=0) - b.mean(axis=0), spread)
    return _discrimination(values, "d_prime", population, a, b, min_trials)


def roc_area(
    recording: xr.DataTree,
    population: str,
    stimulus: ArrayLike,
    first: object,
    second: object,
    *,
    min_trials: int = MIN_TRIALS,
    start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> xr.DataArray:
    """Probability that a response to `first` exceeds one to `second`, ties counting half: the area under the ROC curve.

    The Mann-Whitney statistic over the number of pairs.

    Parameters
    ----------
    stimulus : (trial,)
    first, second : labels in `stimulus`
    min_trials : int, >= 1
        With fewer trials of either stimulus, NaN.

    Returns
    -------
    xarray.DataArray, (neuron,), dimensionless, in [0, 1]
        0.5 where the responses tell nothing, a silent neuron included.

    Raises
    ------
    InputError
        As :func:`d_prime`.

    Source
    ------
    Hanley, McNeil (1982), Radiology 143, 29. doi:10.1148/radiology.143.1.7063747
    """
    if min_trials < 1:
        raise InputError(f"min_trials: {min_trials} given; at least 1 is needed.")
    a, b = _two(recording, population, stimulus, first, second, start_ms, stop_ms)
    n, m = a.shape[0], b.shape[0]
    values = np.full(a.shape[1], np.nan)
    if min(n, m) >= min_trials:
        width = max(1, _BLOCK // (n + m))
        for at in range(0, values.size, width):
            block = slice(at, at + width)
            ranks = stats.rankdata(np.concatenate([a[:, block], b[:, block]]), axis=0)[:n].sum(axis=0)
            values[block] = (ranks - n * (n + 1) / 2) / (n * m)
    return _discrimination(values, "roc_area", population, a, b, min_trials)


def _rates(curves: xr.DataArray) -> tuple[np.ndarray, str]:
    """Rates of the stimuli that have them, (stimulus, neuron)."""
    if set(curves.dims) != {"stimulus", "neuron"}:
        raise InputError(f"curves: expected dims (stimulus, neuron) as of tuning_curves, got {curves.dims}.")
    values = curves.transpose("stimulus", "neuron").values
    return values[~np.isnan(values).any(axis=1)], str(curves.attrs.get("population", ""))


def _vector(curves: xr.DataArray, order: int) -> tuple[np.ndarray, np.ndarray, str]:
    rates, population = _rates(curves)
    angles = curves["stimulus"].values
    if angles.dtype.kind not in "iuf":
        raise InputError(f"curves: expected stimuli in degrees, got labels of type {angles.dtype}.")
    if rates.shape[0] < angles.size:
        raise InputError(
            f"curves: {angles.size - rates.shape[0]} of {angles.size} stimuli have too few trials; a vector sum needs all."
        )
    unit = np.exp(1j * order * np.deg2rad(angles.astype(float)))
    if abs(unit.sum()) > 1e-6 * max(angles.size, 1) or angles.size < 3:
        raise InputError(
            f"curves: expected at least 3 stimuli evenly spaced over {360 // order} degrees, got "
            f"{', '.join(f'{a:g}' for a in angles[:12])}; equal responses to them would seem tuned."
        )
    total = unit @ rates
    length = _ratio(np.abs(total), rates.sum(axis=0))
    angle = np.mod(np.rad2deg(np.angle(total)), 360) % 360 / order
    # The vector of equal responses is 0 up to rounding and points nowhere.
    return length, np.where(length > 1e-12, angle, np.nan), population


def _sparseness(rates: np.ndarray) -> np.ndarray:
    """Over axis 0."""
    n = rates.shape[0]
    if n < 2:
        return np.full(rates.shape[1], np.nan)
    activity = _ratio(rates.mean(axis=0) ** 2, (rates**2).mean(axis=0))
    return np.asarray(np.clip((1 - activity) / (1 - 1 / n), 0, 1))


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b, NaN where b is not positive."""
    return np.asarray(a / np.where(b > 0, b, np.nan))


def _per_neuron(values: np.ndarray, name: str, population: str, rates: np.ndarray) -> xr.DataArray:
    array = xr.DataArray(values, dims="neuron")
    return labelled(
        array, name, "1", population, n_stimuli=rates.shape[0], n_defined=int(np.isfinite(values).sum())
    )  # fmt: skip


def _selectivity(columns: dict[str, tuple[np.ndarray, str]], population: str) -> xr.Dataset:
    first = next(iter(columns.values()))[0]
    return xr.Dataset(
        {name: ("neuron", values, {"units": units}) for name, (values, units) in columns.items()},
        attrs={"population": population, "n_defined": int(np.isfinite(first).sum())},
    )


def _two(
    recording: xr.DataTree, population: str, stimulus: ArrayLike, first: object, second: object, start_ms: float,
    stop_ms: float | None,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Counts of the trials of two stimuli, (trial, neuron) each."""
    found = trains(recording, population, start_ms=start_ms, stop_ms=stop_ms)
    kinds, which = stimulus_of_trial(stimulus, found.n_trials)
    counts = found.counts()
    return counts[trials_of(first, kinds, which)], counts[trials_of(second, kinds, which)]


def _discrimination(
    values: np.ndarray, name: str, population: str, a: np.ndarray, b: np.ndarray, least: int
) -> xr.DataArray:
    return labelled(
        xr.DataArray(values, dims="neuron"), name, "1", population, n_trials=[a.shape[0], b.shape[0]],
        min_trials=least, n_defined=int(np.isfinite(values).sum()),
    )  # fmt: skip
