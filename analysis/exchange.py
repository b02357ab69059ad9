"""What exports of recordings share: which populations, their spikes, names, start and attributes, optional libraries."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from ..errors import InputError
from ..recording import Events, events
from .trains import Trains, spiking_populations, trains

GRID = ("dt_ms", "n_steps", "n_trials", "start_ms", "left_out")
"""Attributes of the root that every format says in its own way."""


def selected(recording: xr.DataTree, populations: Sequence[str] | None) -> list[Trains]:
    """The populations asked for, or all with spikes.

    Raises
    ------
    InputError
        None has spikes, or one has no neurons, which a list of spikes cannot say.
    """
    names = spiking_populations(recording) if populations is None else tuple(populations)
    if not names:
        raise InputError("recording: no population holds spikes; add 'spikes' to the probes of one.")
    found = [trains(recording, name) for name in names]
    empty = [f.population for f in found if not f.n_neurons]
    if empty:
        others = [name for name in names if name not in empty]
        raise InputError(
            f"populations: expected at least one neuron in each, got none in {empty[0]}; leave it out with populations={others}."
        )
    return found


def number_ms(value: Any, where: str) -> float:
    """A time given as a plain number.

    Raises
    ------
    InputError
        Text, a quantity with a unit, or no number.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise InputError(f"{where}: expected a number in ms, got {value!r:.40}; give it without a unit, such as 0.1.")
    return float(value)


def start_of(recording: xr.DataTree) -> float:
    """Time in the data at which the recording begins [ms]: the attribute ``start_ms``, else 0."""
    return number_ms(recording.attrs.get("start_ms", 0.0), "recording.start_ms")


def attributes_of(recording: xr.DataTree) -> tuple[dict[str, Any], list[str]]:
    """Attributes of the root beside ``GRID`` that are text, numbers or truth values, and the names of all others."""
    held = plain(recording.attrs)
    return held, [f"attribute {name}" for name in recording.attrs if name not in held and name not in GRID]


def plain(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    """Those beside ``GRID`` that are text, numbers or truth values, as Python's own types."""
    values = {k: v.item() if isinstance(v, np.generic) else v for k, v in attributes.items()}
    return {
        k: v
        for k, v in values.items()
        if isinstance(k, str) and k not in GRID and isinstance(v, (str, int, float, bool))
    }


def carry(recording: xr.DataTree, attributes: Mapping[str, Any], given: Mapping[str, Any]) -> xr.DataTree:
    """Give a recording the attributes that it had before, but for those that a caller gives anew."""
    recording.attrs.update({k: v for k, v in attributes.items() if k not in given})
    return recording


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
