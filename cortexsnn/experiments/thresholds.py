"""experiment=thresholds: learned or fixed thresholds, with and without moderate dropout and its loss, under batch normalisation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..bridge import to_torch
from ..library import load
from ..train.data import digits, noisy
from ..train.encode import repeated
from ..train.fit import fit, predict
from ..train.normalise import add_batch_norm, fold
from ..train.thresholding import TwoBranches, add_moderate_dropout
from .arms import Results, Run
from .config import ThresholdsConfig, checked, settings_of
from .depth import TEST_NOISE, VALIDATION_NOISE
from .evaluate import accuracy

FIXED, LEARNED, DROPOUT, BOTH = "fixed", "learned", "fixed, dropout", "learned, dropout"
ARMS = {FIXED: (False, False), LEARNED: (True, False), DROPOUT: (False, True), BOTH: (True, True)}
"""Arm -> whether thresholds are learned, and whether moderate dropout and the loss of two branches are used."""

Task = tuple[ThresholdsConfig, float, str, int]


def run(values: Mapping[str, Any], folder: Path) -> str:
    """Run the experiment into ``folder`` and return its table."""
    from ..analysis.figures_arms import arms_beside

    config = checked(ThresholdsConfig, values)
    results = Results("thresholds", config)
    results.collect(train, [(config, w, arm, seed) for w in config.starts for arm in ARMS for seed in config.seeds])
    settings = [_name(w) for w in config.starts]
    table = results.table(
        dict.fromkeys(settings, FIXED),
        f"Held-out accuracy on digits with pixel noise of standard deviation {config.noise:g}; layers of {', '.join(map(str, config.hidden))} "
        "cells behind batch normalisation, folded.",
    )
    groups = {s: {a: results.values(s, a) for a in ARMS} for s in settings}
    figure = arms_beside(groups, ylabel="Held-out accuracy [%]")
    return results.write(
        folder, "Learned thresholds and moderate dropout", table,
        [("Held-out accuracy for each threshold at the start; dots are seeds, bars means.", figure)], _findings(results, settings), {},
    )  # fmt: skip


def _name(w: float) -> str:
    return f"start {math.tanh(w):.2f}"


def train(task: Task) -> Run:
    """One network."""
    config, w, arm, seed = task
    learned, dropout = ARMS[arm]
    data = digits(seed)
    cell = {"piece": "thresholding_lif", "w": w, "leak": config.leak, "normalised": True, "trained": learned}
    circuit = load("feedforward", pieces=[cell], hidden=tuple(config.hidden), steps=config.n_steps)
    network = to_torch(circuit, seed=seed, surrogate=config.training.surrogate, detach_reset=False)
    layers = [f"L{k}" for k in range(1, len(config.hidden) + 1)]
    add_batch_norm(network, layers)
    if dropout:
        add_moderate_dropout(network, layers[-1], config.dropout)
    history = fit(
        network,
        noisy(data.train, config.noise, seed),
        noisy(data.validation, config.noise, VALIDATION_NOISE + seed),
        settings_of(config.training, config.n_steps),
        seed,
        objective=TwoBranches() if dropout else None,
    )
    fold(network)
    test = noisy(data.test, config.noise, TEST_NOISE)
    predicted, outputs = predict(network, test.images, repeated(config.n_steps))
    found = [math.tanh(float(network.numbers[f"{name}:w"].detach()) if learned else w) for name in layers]
    return Run(
        _name(w), arm, seed,
        {
            "accuracy": accuracy(predicted, test.labels), "validation": history.validation_accuracy[history.best], "thresholds": found,
            "rate": float(np.mean([float(outputs[name]["spikes"].mean()) for name in layers])),
        },
    )  # fmt: skip


def _findings(results: Results, settings: list[str]) -> list[str]:
    found = []
    for setting in settings:
        for arm in (LEARNED, DROPOUT, BOTH):
            found.append(f"{setting}: {results.in_points(setting, arm, FIXED)}")
        ends = np.array([r.measured["thresholds"] for r in results.runs if r.setting == setting and r.arm == LEARNED])
        found.append(
            f"{setting}: learned thresholds end at {', '.join(f'{m:.2f}' for m in ends.mean(0))} by layer, between {ends.min():.2f} and "
            f"{ends.max():.2f} over seeds."
        )
    return found
