"""Show a paradigm to a network, and measure the effects that are expected in it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr

from ...analysis.contrasts import hedges_g
from ...analysis.rates import neuron_rates
from ...run import simulate
from ...spec import Circuit
from ...train.frame_spikes import FrameCode
from .config import Effect
from .networks import PYRAMIDAL, cells
from .paradigms import Trials

MEASURED = ("difference", "relative", "contrast")
LOWEST, UPPER = "c1_", ("c2_", "c3_")
"""Of the names of populations in a hierarchy."""
SELECTED = 0.5
"""Hedges' g above which a cell prefers one condition to another."""


class Shown(NamedTuple):
    """A recording of the trials of a paradigm, and the window of the response [ms]."""

    recording: xr.DataTree
    labels: np.ndarray
    start_ms: float
    stop_ms: float
    repeats: tuple[tuple[float, float], ...]

    def rates(self, population: str) -> np.ndarray:
        """Rates in the window, (trial, neuron) [Hz]."""
        return np.asarray(neuron_rates(self.recording, population, start_ms=self.start_ms, stop_ms=self.stop_ms))

    def apical(self, population: str) -> np.ndarray:
        """Mean potential of the apical compartments in the window, (trial, 1) [mV]."""
        v = self.recording[population]["mean(Vd)"].transpose("trial", "step", ...).values
        return np.asarray(
            v[:, int(self.start_ms) : int(self.stop_ms)].reshape(len(self.labels), -1).mean(1, keepdims=True)
        )


def show(circuit: Circuit, code: FrameCode, trials: Trials, engine: str, seed: int) -> Shown:
    """Record all cells, of a hierarchy those of the lower column; spikes of the inputs depend on the seed alone, noise on the seed and the trial."""
    random = np.random.default_rng([seed, 104])
    inputs = {
        "thalamus": code.thalamus(trials.frames, random),
        "command": code.command(trials.commands, random, trials.more),
    }
    shown = [name for name in cells(circuit) if not name.startswith(UPPER)]
    probes = {name: ["spikes", *(["mean(Vd)"] if name.endswith(PYRAMIDAL) else [])] for name in shown}
    recording = _lowest(simulate(circuit, inputs, engine=engine, seed=seed, probes=probes))
    start, stop = (float(s * code.ms) for s in trials.window)
    repeats = tuple((float(a * code.ms), float(b * code.ms)) for a, b in trials.repeats)
    return Shown(recording, trials.labels, start, stop, repeats)


def _lowest(recording: xr.DataTree) -> xr.DataTree:
    """The lowest column's populations by the names they have in a single column."""
    nodes = {name.removeprefix(LOWEST): node.to_dataset() for name, node in recording.children.items()}
    return xr.DataTree.from_dict({"/": recording.to_dataset(), **nodes})


def difference(shown: Shown, effect: Effect) -> dict[str, float]:
    """Mean over cells of the difference between two conditions [Hz, or mV of apical compartments], less that of ``minus``, relative to the second, and as
    a standardised contrast."""
    if effect.select:
        return _of_selected(shown, effect, effect.select)
    response = shown.apical(effect.cells) if effect.compartment == "apical" else shown.rates(effect.cells)
    first, second, *off = (response[shown.labels == label] for label in effect.conditions)
    return _beyond(first, second, *off) if off else _between(first, second)


def _of_selected(shown: Shown, effect: Effect, by: tuple[str, str]) -> dict[str, float]:
    """Odd trials choose the cells, even ones measure."""
    rates = shown.rates(effect.cells)
    above, below, first, second = (rates[shown.labels == label] for label in (*by, effect.first, effect.second))
    with np.errstate(invalid="ignore", divide="ignore"):
        chosen = np.nan_to_num(hedges_g(above[::2], below[::2])) > SELECTED
    found = (
        _between(first[1::2, chosen], second[1::2, chosen]) if chosen.any() else dict.fromkeys(MEASURED, float("nan"))
    )
    return {**found, "cells": float(chosen.sum())}


def _beyond(*four: np.ndarray) -> dict[str, float]:
    """The difference of the first two less that of the others, in each cell's standard deviation pooled over the four."""
    a, b, c, d = (x.mean(0) for x in four)
    gap, sd = (a - b) - (c - d), np.sqrt(np.mean([x.var(0, ddof=1) for x in four], axis=0))
    contrast = float((gap[sd > 0] / sd[sd > 0]).mean()) if (sd > 0).any() else 0.0
    return dict(zip(MEASURED, (float(gap.mean()), float("nan"), contrast), strict=True))


def _between(first: np.ndarray, second: np.ndarray) -> dict[str, float]:
    gap, base = float(first.mean() - second.mean()), float(second.mean())
    with np.errstate(invalid="ignore"):
        g = hedges_g(first, second)
    contrast = float(np.nanmean(g)) if np.isfinite(g).any() else 0.0
    return dict(zip(MEASURED, (gap, gap / abs(base) if base else float("nan"), contrast), strict=True))
