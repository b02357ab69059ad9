"""What exports of recordings share: which populations, their spikes, the names of neurons and trials, optional libraries."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from ..errors import InputError
from ..recording import Events, events
from .trains import Trains, spiking_populations


def selected(recording: xr.DataTree, populations: Sequence[str] | None) -> tuple[str, ...]:
    """The populations asked for, or all with spikes.

    Raises
    ------
    InputError
        None has spikes.
    """
    names = spiking_populations(recording) if populations is None else tuple(populations)
    if not names:
        raise InputError("recording: no population holds spikes; add 'spikes' to the probes of one.")
    return names


def spikes_of(found: Trains) -> Events:
    """All spikes of a population, by trial, step, neuron."""
    return events(found.node)  # type: ignore[return-value]  # trains() has seen that there are spikes


def neuron_names(found: Trains) -> np.ndarray:
    """Names of the neurons, (neuron,), integers or str: the coordinate ``neuron_id``, else positions."""
    if "neuron_id" not in found.node.coords:
        return np.arange(found.n_neurons)
    names = np.asarray(found.node["neuron_id"].values)
    return names if names.dtype.kind in "iu" else names.astype(str)


def trial_names(found: Trains) -> np.ndarray:
    """Names of the trials, (trial,): the coordinate ``trial_id``, else positions."""
    return np.asarray(found.node["trial_id"].values if "trial_id" in found.node.coords else np.arange(found.n_trials))


def library(name: str) -> Any:
    """An optional library.

    Raises
    ------
    InputError
        Not installed; says what brings it.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise InputError(
            f"{name.partition('.')[0]}: not installed; pip install 'cortexsnn[interchange]' brings what files and "
            "objects of other packages need."
        ) from None
