"""experiment=depth: E/I stacks without normalisation, 2 to 12 layers, against three ablations of what makes them train."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..bridge import to_torch
from ..library import load
from ..train.data import digits, noisy
from ..train.encode import repeated
from ..train.fit import fit, predict
from ..train.normalise import add_batch_norm, fold
from .arms import Results, Run
from .config import DepthConfig, checked, settings_of
from .evaluate import accuracy

FULL = "E/I"
ARMS: dict[str, dict[str, Any]] = {
    FULL: {},
    "without E-I Init": {"initialise": False},
    "without straight-through": {"straight_through": False},
    "without gradient scaling": {"scale_gradient": False},
    "without E-I Prop": {"straight_through": False, "scale_gradient": False},
    "batch normalisation": {"batch_norm": True},
}
"""Arm -> arguments of the circuit ``lateral_inhibition``."""
TEST_NOISE, VALIDATION_NOISE = 1000, 2000
"""Seeds of the noise on held-out images, the same for all, and on those that choose the checkpoint (plus the training seed)."""

Task = tuple[DepthConfig, int, str, int]
"""Every task tries all learning rates of the configuration and keeps the one with the best validation accuracy."""


def run(values: Mapping[str, Any], folder: Path) -> str:
    """Run the experiment into ``folder`` and return its table."""
    from ..analysis.figures_arms import arms_over

    config = checked(DepthConfig, values)
    results = Results("depth", config)
    results.collect(train, [(config, d, arm, seed) for d in config.depths for arm in ARMS for seed in config.seeds])
    settings = {f"{d} layers": d for d in config.depths}
    table = results.table(
        dict.fromkeys(settings, FULL),
        f"Held-out accuracy of E/I stacks on digits with pixel noise of standard deviation {config.noise:g}, {config.width} E cells per layer.",
    )
    curves = {arm: {float(d): results.values(s, arm) for s, d in settings.items()} for arm in ARMS}
    figure = arms_over(curves, xlabel="Hidden layers", ylabel="Held-out accuracy [%]")
    return results.write(
        folder, "Depth without normalisation", table,
        [("Held-out accuracy over depth; mean and 95 % interval over seeds.", figure)], _findings(results, list(settings)), {},
    )  # fmt: skip


def train(task: Task) -> Run:
    """One arm: the network whose learning rate does best on the validation part."""
    config, depth, arm, seed = task
    found = [_trained(config, depth, arm, seed, rate) for rate in config.learning_rates]
    best = max(found, key=lambda m: (m["validation"], -m["learning_rate"]))
    return Run(f"{depth} layers", arm, seed, {**best, "trainings": len(found)})


def _trained(config: DepthConfig, depth: int, arm: str, seed: int, rate: float) -> dict[str, Any]:
    """Held-out accuracy; rate, share of active cells and share of replaced divisors of every layer."""
    data = digits(seed)
    circuit = load("lateral_inhibition", hidden=(config.width,) * depth, steps=config.n_steps, **ARMS[arm])
    network = to_torch(circuit, seed=seed, surrogate=config.training.surrogate)
    layers = [f"E{k}" for k in range(1, depth + 1)]
    if ARMS[arm].get("batch_norm"):
        add_batch_norm(network, layers)
    settings = replace(settings_of(config.training, config.n_steps), learning_rate=rate)
    history = fit(
        network,
        noisy(data.train, config.noise, seed),
        noisy(data.validation, config.noise, VALIDATION_NOISE + seed),
        settings,
        seed,
    )
    fold(network)
    test = noisy(data.test, config.noise, TEST_NOISE)
    divided = not ARMS[arm].get("batch_norm")
    network.probes = dict.fromkeys(layers, ("I_div",)) if divided else {}
    predicted, outputs = predict(network, test.images, repeated(config.n_steps))
    spikes = [outputs[name]["spikes"].numpy() for name in layers]
    return {
        "accuracy": accuracy(predicted, test.labels), "validation": history.validation_accuracy[history.best],
        "learning_rate": rate, "rate": float(spikes[-1].mean()), "rates": [float(s.mean()) for s in spikes],
        "active": [float(s.any(axis=(0, 1)).mean()) for s in spikes],
        **(_divisors([outputs[name]["I_div"].numpy() for name in layers]) if divided else {}),
    }  # fmt: skip


def _divisors(found: list[np.ndarray]) -> dict[str, float]:
    """Shares of divisors that are 0 in a layer with others above 0, which the smallest of those replaces, and in a silent layer."""
    zero = [d == 0 for d in found]
    silent = [z.all(axis=-1, keepdims=True) for z in zero]
    replaced = np.mean([float((z & ~s).mean()) for z, s in zip(zero, silent, strict=True)])
    return {"replaced": float(replaced), "silent": float(np.mean([float(s.mean()) for s in silent]))}


def _findings(results: Results, settings: list[str]) -> list[str]:
    found = []
    for arm in ARMS:
        if arm != FULL:
            parts = [f"{s} {100 * results.difference(s, arm, FULL).mean:+.1f}" for s in settings]
            found.append(f"{arm} minus {FULL}, percentage points: {', '.join(parts)}.")
    for setting in settings:
        full = [r.measured for r in results.runs if r.setting == setting and r.arm == FULL]
        rate, replaced, silent = (np.mean([m[k] for m in full]) for k in ("rate", "replaced", "silent"))
        found.append(
            f"{FULL}, {setting}: {rate:.2f} spikes per cell and step in the last layer. Of all divisors {100 * replaced:.2g} % are 0 beside "
            f"positive ones, which is where zero replacement and its straight-through gradient act; {100 * silent:.2g} % belong to layers "
            "whose input is silent, where neither changes anything. So dense layers hardly test that rule."
        )
    quiet = [r for r in results.runs if r.arm == "without E-I Init" and r.measured["rate"] == 0]
    n = sum(r.arm == "without E-I Init" for r in results.runs)
    found.append(
        f"Without E-I Init the last layer emits no spike at all in {len(quiet)} of {n} trained networks: no gradient reaches them."
    )
    chosen = sorted({(r.setting, r.measured["learning_rate"]) for r in results.runs if r.arm == FULL})
    found.append(
        f"Learning rates that {FULL} chose on its validation part: {', '.join(f'{s} {rate:g}' for s, rate in chosen)}."
    )
    return found
