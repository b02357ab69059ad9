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
    """Record all cells; spikes of the inputs depend on the seed alone, noise on the seed and the trial."""
    random = np.random.default_rng([seed, 104])
    inputs = {
        "thalamus": code.thalamus(trials.frames, random),
        "command": code.command(trials.commands, random, trials.more),
    }
    probes = {name: ["spikes", *(["mean(Vd)"] if name in PYRAMIDAL else [])] for name in cells(circuit)}
    recording = simulate(circuit, inputs, engine=engine, seed=seed, probes=probes)
    start, stop = (float(s * code.ms) for s in trials.window)
    repeats = tuple((float(a * code.ms), float(b * code.ms)) for a, b in trials.repeats)
    return Shown(recording, trials.labels, start, stop, repeats)


def difference(shown: Shown, effect: Effect) -> dict[str, float]:
    """Mean over cells of the difference between two conditions [Hz, or mV of apical compartments], relative to the second, and as a
    standardised contrast."""
    response = shown.apical(effect.cells) if effect.compartment == "apical" else shown.rates(effect.cells)
    if effect.select:
        return _of_selected(shown, effect, effect.select)
    return _between(*(response[shown.labels == label] for label in (effect.first, effect.second)))


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


def _between(first: np.ndarray, second: np.ndarray) -> dict[str, float]:
    gap, base = float(first.mean() - second.mean()), float(second.mean())
    with np.errstate(invalid="ignore"):
        g = hedges_g(first, second)
    contrast = float(np.nanmean(g)) if np.isfinite(g).any() else 0.0
    return dict(zip(MEASURED, (gap, gap / abs(base) if base else float("nan"), contrast), strict=True))
