"""Predictions and their comparison, from recordings alone."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ..recording import events


def predictions(recording: xr.DataTree, readout: str) -> np.ndarray:
    """Predicted class of every trial: the largest mean of the read-out over steps."""
    node = recording.children[readout].to_dataset()
    output = next(name for name in node.data_vars if node[name].dims == ("trial", "step", "neuron"))
    return np.asarray(node[output].mean("step").values).argmax(axis=1)


def accuracy(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Share of correct predictions."""
    return float((predicted == labels).mean())


def spikes_differing(a: xr.DataTree, b: xr.DataTree) -> float:
    """Spikes that only one recording has, as a share of all spikes of the first."""
    only, total = 0, 0
    for name in a.children:
        x, y = events(a.children[name]), events(b.children[name])
        if x is None or y is None:
            continue
        size, steps = a[name].attrs["size"], a[name].attrs["n_steps"]
        keys = [(e.trial.astype(np.int64) * steps + e.step) * size + e.neuron for e in (x, y)]
        only += np.setxor1d(keys[0], keys[1], assume_unique=True).size
        total += len(x)
    return only / max(total, 1)


def confusion(labels: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Counts (true class, predicted class)."""
    counts = np.zeros((n_classes, n_classes), dtype=int)
    np.add.at(counts, (labels, predicted), 1)
    return counts
