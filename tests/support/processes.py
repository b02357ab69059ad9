"""Point processes with known statistics, as recordings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from cortexsnn.recording import Events, from_events


def gamma_trains(
    rate_hz: float, shape: float, n_neurons: int, seconds: float, seed: int, *, dt_ms: float = 0.01, n_trials: int = 1
) -> xr.DataTree:
    """Independent gamma-renewal trains (shape 1: Poisson), started at a random phase; ISI CV is 1/sqrt(shape).

    Two spikes in one of the fine steps are one.
    """
    random = np.random.default_rng(seed)
    n_steps, n = round(seconds * 1000 / dt_ms), int(rate_hz * seconds * 1.5 + 12 * np.sqrt(rate_hz * seconds) + 40)
    intervals = random.gamma(shape, 1 / (shape * rate_hz), (n_trials * n_neurons, n))
    times = intervals.cumsum(axis=1) - random.uniform(5, 15, (n_trials * n_neurons, 1)) / rate_hz
    train, k = np.nonzero((times >= 0) & (times < seconds))
    return recording_of(train, (times[train, k] * 1000 / dt_ms).astype(np.int64), n_trials, n_neurons, n_steps, dt_ms)


def correlated_counts(
    n_neurons: int, n_bins: int, p: float, correlation: float, seed: int, *, n_trials: int = 1
) -> xr.DataTree:
    """Bernoulli trains, one bin a step, every pair with the same count correlation: with probability sqrt(correlation) a
    neuron copies a common train of the same rate."""
    random = np.random.default_rng(seed)
    shape = (n_trials, n_bins, n_neurons)
    common = random.random((n_trials, n_bins, 1)) < p
    spikes = np.where(random.random(shape) < np.sqrt(correlation), common, random.random(shape) < p)
    trial, step, neuron = np.nonzero(spikes)
    return recording_of(trial * n_neurons + neuron, step, n_trials, n_neurons, n_bins, 1.0)


def recording_of(
    train: np.ndarray, step: np.ndarray, n_trials: int, n_neurons: int, n_steps: int, dt_ms: float, **more: object
) -> xr.DataTree:
    """Spikes of a population E; doublets within a step are one spike."""
    key = np.unique(train.astype(np.int64) * n_steps + step)
    trial, neuron = np.divmod(key // n_steps, n_neurons)
    spikes = {"E": Events(trial, key % n_steps, neuron)}
    return from_events(
        spikes,
        {"E": n_neurons},
        dt_ms=dt_ms,
        n_steps=n_steps,
        n_trials=n_trials,
        transmitters={"E": "excitatory"},
        **more,
    )


def times_of(recording: xr.DataTree, population: str = "E") -> Sequence[np.ndarray]:
    """Spike times [ms] of every train, (trial, neuron) in order."""
    from cortexsnn.recording import events

    found = events(recording[population])
    assert found is not None
    node = recording[population]
    train = found.trial.astype(np.int64) * node.attrs["size"] + found.neuron
    order = np.lexsort((found.step, train))
    cuts = np.searchsorted(train[order], np.arange(1, node.attrs["size"] * node.attrs["n_trials"]))
    return np.split(found.step[order] * recording.attrs["dt_ms"], cuts)
