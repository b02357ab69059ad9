"""experiment=competition: supervised spike-timing plasticity of first spikes, with and without neuronal competition groups, on digits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..train.competition import CompetitionSettings, Layer, balance, fit_layer, latencies
from ..train.data import Digits, Part, digits, logistic_regression
from .arms import Results, Run
from .config import CompetitionConfig, checked

GROUPS, ALONE, ONE = "groups", "no regulation", "one cell"
RULES: dict[str, dict[str, Any]] = {
    "S2-STDP": {"rule": "s2-stdp", "gap": 0.03, "a_plus": 0.05, "a_minus": -0.1, "mean": 0.3, "normalise": True, "non_targets": 1},
    "SSTDP": {"rule": "sstdp", "gap": 0.08, "a_plus": 0.1, "a_minus": -0.001, "mean": 0.5, "normalise": False, "non_targets": 0},
}  # fmt: skip
"""Rule -> published settings; threshold and regulation are chosen on the validation part, in units of the fewer inputs here."""
CONTROLS = "controls"
CHANCE = 0.1

Task = tuple[CompetitionConfig, str, str, int]


def run(values: Mapping[str, Any], folder: Path) -> str:
    """Run the experiment into ``folder`` and return its table."""
    from ..analysis.figures_arms import arms_beside

    config = checked(CompetitionConfig, values)
    results = Results("competition", config)
    arms = [(rule, arm) for rule in RULES for arm in (GROUPS, ALONE, ONE)]
    arms += [(CONTROLS, arm) for arm in ("R-STDP", "random weights", "shuffled labels", "logistic regression")]
    results.collect(train, [(config, setting, arm, seed) for setting, arm in arms for seed in config.seeds])
    table = results.table(
        {**dict.fromkeys(RULES, ONE), CONTROLS: "random weights"},
        f"Held-out accuracy on digits as latencies on {config.n_steps} steps; {config.per_class} cells a class, or one.",
    )
    groups = {s: {a: results.values(s, a) for a in results.arms(s)} for s in results.settings}
    figure = arms_beside(groups, ylabel="Held-out accuracy [%]")
    return results.write(
        folder, "Competition groups with supervised spike-timing plasticity", table,
        [("Held-out accuracy; dots are seeds, bars means.", figure)], _findings(results), {},
    )  # fmt: skip


def train(task: Task) -> Run:
    """One arm: the threshold that does best on the validation part."""
    config, setting, arm, seed = task
    parts = digits(seed)
    data = {
        name: Part(latencies(p.images, config.n_steps), p.labels)
        for name, p in zip(("train", "validation", "test"), parts, strict=True)
    }
    if arm == "logistic regression":
        return Run(
            setting, arm, seed, {"accuracy": logistic_regression(Digits(**data)), "validation": 0.0, "balance": 1.0}
        )
    if arm == "shuffled labels":
        shuffled = np.random.default_rng(seed).permutation(data["train"][1])
        data["train"] = Part(data["train"].images, shuffled)
    found = [_trained(config, setting, arm, seed, threshold, data) for threshold in config.thresholds]
    best = max(found, key=lambda m: m["validation"])
    return Run(setting, arm, seed, {**best, "trainings": len(found)})


def _trained(
    config: CompetitionConfig, setting: str, arm: str, seed: int, threshold: float, data: Mapping[str, Any]
) -> dict[str, Any]:
    rule = RULES.get(setting, RULES["S2-STDP"])
    base = CompetitionSettings(
        **rule,
        threshold=threshold,
        regulation=threshold * config.regulation,
        epochs=config.epochs,
        patience=config.patience,
    )
    per_class = config.per_class
    if arm == ALONE:
        base = replace(base, regulation=0.0)
    if arm == ONE:
        base, per_class = replace(base, regulation=0.0, non_targets=0), 1
    if arm == "R-STDP":
        base = replace(base, rule="r-stdp", non_targets=0)
    layer = Layer.drawn(data["train"][0].shape[1], 10, per_class, base, seed)
    updates, validation = np.zeros(len(layer.weights)), 0.0
    if arm == "random weights":
        validation = float((layer.predict(data["validation"][0]) == data["validation"][1]).mean())
    else:
        history = fit_layer(layer, data["train"], data["validation"], seed)
        updates, validation = history.updates, history.validation_accuracy[history.best]
    return {
        "accuracy": float((layer.predict(data["test"][0]) == data["test"][1]).mean()), "validation": validation, "threshold": threshold,
        "balance": balance(updates, layer) if updates.any() else float("nan"),
    }  # fmt: skip


def _findings(results: Results) -> list[str]:
    found = []
    for rule in RULES:
        for arm in (GROUPS, ALONE):
            found.append(f"{rule}: {results.in_points(rule, arm, ONE)}")
        shares = [np.mean(results.values(rule, arm, "balance")) for arm in (GROUPS, ALONE)]
        found.append(
            f"{rule}: targets of a class share its updates to {shares[0]:.2f} with regulation and {shares[1]:.2f} without, where 1 is "
            "all alike."
        )
    means = {arm: float(np.mean(results.values(CONTROLS, arm))) for arm in results.arms(CONTROLS)}
    listed = ", ".join(f"{arm} {100 * m:.1f} %" for arm, m in means.items())
    found.append(f"Controls: {listed}; chance is {100 * CHANCE:.0f} %.")
    return found
