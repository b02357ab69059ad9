"""experiment=early_decisions: losses of counts and of first spikes, and what a network knows after each step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..train.data import digits, noisy
from ..train.spike_times import TimeNetwork, TimeSettings, accuracies, fit_times, samples
from ..train.time_gradient import Response
from ..train.time_losses import LOSSES, Loss
from .arms import Results, Run
from .config import EarlyConfig, checked
from .depth import TEST_NOISE, VALIDATION_NOISE

SETTING, BASE = "digits", "count"

Task = tuple[EarlyConfig, Loss, int]


def run(values: Mapping[str, Any], folder: Path) -> str:
    """Run the experiment into ``folder`` and return its table."""
    from ..analysis.figures_arms import arms_over

    config = checked(EarlyConfig, values)
    results = Results("early_decisions", config)
    results.collect(train, [(config, loss, seed) for loss in LOSSES for seed in config.seeds])
    table = results.table(
        {SETTING: BASE},
        f"Held-out accuracy after all {config.n_steps} steps on digits as latencies, with pixel noise of standard deviation {config.noise:g}.",
    )
    steps = range(1, config.n_steps + 1)
    curves: dict[str, dict[float, list[float]]] = {
        loss: {float(k): results.values(SETTING, loss, f"after {k}") for k in steps} for loss in LOSSES
    }
    figure = arms_over(curves, xlabel="Steps seen", ylabel="Held-out accuracy [%]")
    return results.write(
        folder, "Early decisions of networks trained by spike times", table,
        [("Held-out accuracy over the steps that were seen; mean and 95 % interval over seeds.", figure)], _findings(results, config), {},
    )  # fmt: skip


def train(task: Task) -> Run:
    """One network: accuracy after each step, spikes per sample, and in each epoch the share of spikes whose gradient met a bound."""
    config, loss, seed = task
    data = digits(seed)
    noise = {"train": seed, "validation": VALIDATION_NOISE + seed, "test": TEST_NOISE}
    parts = {}
    for name, part in zip(noise, data, strict=True):
        images = noisy(part, config.noise, noise[name]).images
        parts[name] = samples(images, part.labels, config.n_steps)
    network = TimeNetwork((64, *config.hidden, 10), Response(), seed)
    settings = TimeSettings(
        loss=loss, epochs=config.epochs, learning_rate=config.learning_rate, norm_rate=config.norm_rate
    )
    history = fit_times(network, parts["train"], parts["validation"], settings, seed)
    found, spikes = accuracies(network, *parts["test"], loss)
    after = {f"after {k}": a for k, a in enumerate(found, start=1)}
    measured = {
        "accuracy": found[-1],
        "validation": max(history.accuracy),
        "spikes": spikes,
        "clipped": history.clipped,
    }
    return Run(SETTING, loss, seed, {**measured, **after})


def _findings(results: Results, config: EarlyConfig) -> list[str]:
    found = []
    for loss in LOSSES:
        means = [float(np.mean(results.values(SETTING, loss, f"after {k}"))) for k in range(1, config.n_steps + 1)]
        needed = next((k for k, m in enumerate(means, start=1) if m >= 0.9 * means[-1]), config.n_steps)
        spikes = float(np.mean(results.values(SETTING, loss, "spikes")))
        clipped = np.mean([r.measured["clipped"] for r in results.runs if r.arm == loss], axis=0)
        found.append(
            f"{loss}: nine tenths of the final accuracy after {needed} of {config.n_steps} steps; {spikes:.1f} spikes of all classes per sample; "
            f"of spikes with a gradient {100 * clipped[0]:.0f} % met a bound of it in the first epoch, {100 * clipped[-1]:.0f} % in the last."
        )
    half = config.n_steps // 2
    for loss in LOSSES:
        if loss != BASE:
            said = results.in_points(SETTING, loss, BASE, f"after {half}")
            found.append(f"After {half} steps: {said}")
    return found
