"""experiment=dynamics: learned membrane polynomials against fixed dynamics, on digits row by row; what was learned, and its stability."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..analysis.membrane import fixed_points, steepest
from ..bridge import to_torch
from ..library import load
from ..neurons.polynomial import divergence
from ..train.data import digits
from ..train.encode import by_rows
from ..train.fit import fit, predict
from .arms import Results, Run
from .config import DynamicsConfig, checked, settings_of
from .evaluate import accuracy

BASE = "LIF"
COLUMNS = 8
STEPS = 8

Task = tuple[DynamicsConfig, str, int]


def arms(config: DynamicsConfig) -> dict[str, list[dict[str, Any]]]:
    """Arm -> pieces. All begin as the same LIF neuron (tau = 2 steps, hard reset), except the quadratic ones."""
    fixed = {"piece": "polynomial", "degree": 1, "trainable": False}
    found: dict[str, list[dict[str, Any]]] = {BASE: [fixed]}
    found["fixed quadratic, identity"] = [{"piece": "quadratic", "reading": "identity"}]
    found["fixed quadratic, plain"] = [{"piece": "quadratic", "reading": "plain"}]
    found["learned drive"] = [{"piece": "polynomial", "degree": 1, "trainable": [0]}]
    found["learned leak"] = [{"piece": "polynomial", "degree": 1, "trainable": [1]}]
    for degree in config.degrees:
        found[f"learned, degree {degree}"] = [{"piece": "polynomial", "degree": degree}]
    each = {"piece": "polynomial", "per": "neuron"}
    found["drive per neuron"] = [{**each, "degree": 1, "trainable": [0]}]
    found["leak per neuron"] = [{**each, "degree": 1, "trainable": [1]}]
    found["degree 1 per neuron"] = [{**each, "degree": 1}]
    found[f"degree {config.degrees[-1]} per neuron"] = [{**each, "degree": config.degrees[-1]}]
    return found


def run(values: Mapping[str, Any], folder: Path) -> str:
    """Run the experiment into ``folder`` and return its table."""
    from ..analysis.figures_arms import arms_beside, membrane_maps

    config = checked(DynamicsConfig, values)
    results = Results("dynamics", config)
    results.collect(train, [(config, arm, seed) for arm in arms(config) for seed in config.seeds])
    setting = results.settings[0]
    table = results.table(
        {setting: BASE},
        "Held-out accuracy on digits, one row of pixels per step, learned against fixed membrane dynamics.",
    )
    learned = f"learned, degree {config.degrees[-1]}"
    maps = {
        layer: [r.measured["coefficients"][layer] for r in results.runs if r.arm == learned]
        for layer in (f"L{k}" for k in range(1, len(config.hidden) + 1))
    }
    figures = [
        (
            "One dot per seed.",
            arms_beside(
                {setting: {a: results.values(setting, a) for a in arms(config)}}, ylabel="Held-out accuracy [%]"
            ),
        ),
        (
            f"{learned}: maps of every seed; crossings with the dashed identity are fixed points, the vertical line is the threshold.",
            membrane_maps(maps),
        ),
    ]
    findings = [_finding(results, setting, arm, BASE) for arm in arms(config) if arm != BASE]
    top = config.degrees[-1]
    contrasts = (
        (learned, f"learned, degree {config.degrees[0]}"),
        (f"degree {top} per neuron", "degree 1 per neuron"),
        (f"degree {top} per neuron", "drive per neuron"),
    )
    findings += [_finding(results, setting, a, b) for a, b in contrasts if a != b]
    findings += [_stability(results, learned, layer) for layer in maps]
    return results.write(folder, "Learned against fixed membrane dynamics", table, figures, findings, {})


def train(task: Task) -> Run:
    """One network: accuracy, rates, learned coefficients with fixed points and slopes on the visited range."""
    config, arm, seed = task
    data = digits(seed)
    circuit = load(
        "feedforward", pieces=arms(config)[arm], n_inputs=COLUMNS, hidden=tuple(config.hidden), steps=STEPS, gain=1.0
    )
    network = to_torch(circuit, seed=seed, surrogate=config.training.surrogate)
    encode = by_rows(COLUMNS)
    fit(network, data.train, data.validation, settings_of(config.training, STEPS), seed, encode=encode)
    layers = [f"L{k}" for k in range(1, len(config.hidden) + 1)]
    network.probes = dict.fromkeys(layers, ("u",))
    predicted, outputs = predict(network, data.test.images, encode)
    parameters = network.trained_realisation().parameters
    measured: dict[str, Any] = {
        "accuracy": accuracy(predicted, data.test.labels),
        "rates": [outputs[name]["spikes"].mean().item() for name in layers],
        "coefficients": {}, "fixed_points": {}, "steepest": {},
    }  # fmt: skip
    for name in layers:
        names = sorted(n for n in parameters[name] if n.startswith("c_"))
        if names and all(parameters[name][n].size == 1 for n in names):
            c = [float(parameters[name][n][0]) for n in names]
            u = outputs[name]["u"].numpy()
            measured["coefficients"][name] = c
            measured["fixed_points"][name] = [
                {"u": f.u, "slope": f.slope, "stable": f.stable} for f in fixed_points(c, -2.0, 1.0)
            ]
            measured["steepest"][name] = steepest(c, float(max(u.min(), -2.0)), float(u.max()))
    return Run("rows", arm, seed, measured)


def _finding(results: Results, setting: str, arm: str, baseline: str) -> str:
    d = results.difference(setting, arm, baseline)
    return f"{arm}: {100 * d.mean:+.1f} points against {baseline} ({100 * d.low:+.1f} to {100 * d.high:+.1f}, {d.verdict})."


def _stability(results: Results, arm: str, layer: str) -> str:
    runs = [r for r in results.runs if r.arm == arm]
    stable = [sum(f["stable"] for f in r.measured["fixed_points"][layer]) for r in runs]
    c = np.array([r.measured["coefficients"][layer] for r in runs])
    slope = max(r.measured["steepest"][layer] for r in runs)
    text = ", ".join(
        f"c_{k} {m:+.2f} ± {s:.2f}" for k, (m, s) in enumerate(zip(c.mean(0), c.std(0, ddof=1), strict=True))
    )
    runaway = sum(divergence(row.tolist(), "hard") is not None for row in c)
    return (
        f"{arm}, {layer}: {text}; stable fixed points per seed {stable}; steepest slope on the visited range {slope:.2f}; in {runaway} of "
        f"{len(runs)} seeds the map would run away without its guard."
    )
