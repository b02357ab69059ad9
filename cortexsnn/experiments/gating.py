"""experiment=gating: gated neurons against LIF and adaptive LIF under perturbations that training never saw.

All arms train on clean spikes with a pull towards one rate and stop at one validation accuracy; then spikes are inserted, deleted,
moved in time, and whole channels replaced by noise. Accuracy over strength, paired by seed; the same perturbed spikes for all arms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..analysis.paired import paired_difference
from ..bridge import to_torch
from ..library import load
from ..train.data import Part, digits
from ..train.encode import as_given, rate_spikes
from ..train.fit import Outputs, fit, predict
from .arms import Results, Run
from .config import GatingConfig, checked, settings_of
from .evaluate import accuracy

BASE, CONTROL = "LIF", "exponential synapse LIF"
ARMS: dict[str, dict[str, Any]] = {
    BASE: {"pieces": [{"piece": "lif", "tau": 10.0, "decay_input": False}], "gain": 0.5},
    "adaptive LIF": {"pieces": [{"piece": "adaptive_lif", "tau": 10.0, "decay_input": False}], "gain": 0.5},
    CONTROL: {"pieces": [{"piece": "dynamic_gating"}], "gain": 0.3, "gate": False},
    "gated": {"pieces": [{"piece": "dynamic_gating"}], "gain": 0.3},
    "gated, simplified": {
        "pieces": [{"piece": "dynamic_gating", "form": "simplified", "reversal": 10.0, "trainable": ["reversal"]}]
    },
}
"""Arm -> arguments of ``feedforward``. The third is the gated neuron with C = 0: its trace without its gate."""
RATE_WEIGHT = 200.0
"""Of the squared deviation from the target rate in the loss."""

Task = tuple[GatingConfig, str, int]
Perturbation = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


def inserted(spikes: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    """A spike in every empty bin with this probability."""
    return np.maximum(spikes, random.random(spikes.shape) < strength)


def deleted(spikes: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    """Every spike removed with this probability."""
    return spikes * (random.random(spikes.shape) >= strength)


def jittered(spikes: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    """Every spike moved by a rounded normal number of steps of this standard deviation, kept within the trial."""
    sample, step, channel = np.nonzero(spikes)
    moved = np.clip(step + np.rint(random.normal(0, strength, step.size)).astype(int), 0, spikes.shape[1] - 1)
    found = np.zeros_like(spikes)
    found[sample, moved, channel] = 1
    return found


def noisy_input(spikes: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    """Whole channels disturbed: in each sample a share ``strength`` of the channels is replaced by spikes of rate 1/2."""
    sample, _, channel = spikes.shape
    chosen = random.random((sample, 1, channel)) < strength
    return np.where(chosen, random.random(spikes.shape) < 0.5, spikes)


PERTURBATIONS: dict[str, Perturbation] = {
    "inserted": inserted, "deleted": deleted, "jitter": jittered, "channels": noisy_input,
}  # fmt: skip


def run(values: Mapping[str, Any], folder: Path) -> str:
    """Run the experiment into ``folder`` and return its table."""
    from ..analysis.figures_arms import arms_over

    config = checked(GatingConfig, values)
    results = Results("gating", config)
    results.collect(train, [(config, arm, seed) for arm in ARMS for seed in config.seeds])
    clean = results.runs
    results.runs = [
        Run(f"{kind} {strength:g}", r.arm, r.seed, {"accuracy": r.measured["perturbed"][kind][k]})
        for kind, strengths in {"clean": [0.0], **config.strengths}.items()
        for k, strength in enumerate(strengths) for r in clean
    ]  # fmt: skip
    table = results.table(
        dict.fromkeys(results.settings, BASE),
        "Accuracy on held-out digits as spikes, under perturbations unseen in training.",
    )
    figures = []
    for kind, strengths in config.strengths.items():
        curves = {
            arm: {0.0: results.values("clean 0", arm)} | {s: results.values(f"{kind} {s:g}", arm) for s in strengths}
            for arm in ARMS
        }
        figures.append(
            (
                f"{kind}: held-out accuracy over strength.",
                arms_over(curves, xlabel=f"{kind}, strength", ylabel="Held-out accuracy [%]"),
            )
        )
    matched = {
        arm: {what: [r.measured[what] for r in clean if r.arm == arm] for what in ("validation", "rate", "epochs", "parameters")} for arm in ARMS
    }  # fmt: skip
    findings = [_finding(results, kind, strengths) for kind, strengths in config.strengths.items()]
    findings += [
        f"{arm}: validation accuracy at the stop {100 * np.mean(m['validation']):.1f} %, {np.mean(m['rate']):.3f} spikes per hidden cell and "
        f"step on clean input, {np.mean(m['epochs']):.0f} epochs, {m['parameters'][0]} parameters."
        for arm, m in matched.items()
    ]
    return results.write(folder, "Robustness of gated neurons", table, figures, findings, {"matched": matched})


def train(task: Task) -> Run:
    """One network, stopped at the target accuracy; accuracy for every perturbation, mean over repeats."""
    config, arm, seed = task
    data, steps = digits(seed), config.n_steps
    arguments = dict(ARMS[arm])
    gated = arguments.pop("gate", True)
    circuit = load("feedforward", hidden=tuple(config.hidden), steps=steps, spikes=True, **arguments)
    if not gated:
        circuit = circuit.with_parameters(
            {
                f"projections.{n}.{k}": v
                for n in circuit.projections
                if n.endswith("_g_in")
                for k, v in (("weight", 0.0), ("trainable", False))
            }
        )
    network = to_torch(circuit, seed=seed, surrogate=config.training.surrogate)

    def encoded(part: Part, offset: int) -> Part:
        return Part(rate_spikes(part.images, steps, config.input_rate, 1000 * seed + offset), part.labels)

    layers = [f"L{k}" for k in range(1, len(config.hidden) + 1)]

    def penalty(outputs: Outputs) -> Any:
        return RATE_WEIGHT * sum((outputs[name]["spikes"].mean() - config.target_rate) ** 2 for name in layers)

    history = fit(
        network, encoded(data.train, 0), encoded(data.validation, 1), settings_of(config.training, steps), seed,
        encode=as_given, penalty=penalty, until=config.target_accuracy,
    )  # fmt: skip
    clean = rate_spikes(data.test.images, steps, config.input_rate, 1000 * seed + 2)
    perturbed: dict[str, list[float]] = {"clean": [_accuracy(network, clean, data.test.labels)]}
    for kind, strengths in config.strengths.items():
        perturbed[kind] = [
            float(np.mean([
                _accuracy(network, PERTURBATIONS[kind](clean, s, np.random.default_rng([seed, k, r])), data.test.labels)
                for r in range(config.repeats)
            ]))
            for k, s in enumerate(strengths)
        ]  # fmt: skip
    _, outputs = predict(network, clean, as_given)
    return Run("train", arm, seed, {
        "accuracy": perturbed["clean"][0], "perturbed": perturbed, "validation": history.validation_accuracy[history.best],
        "rate": float(np.mean([outputs[n]["spikes"].mean().item() for n in layers])), "epochs": len(history.loss),
        "parameters": sum(p.numel() for p in network.parameters()),
    })  # fmt: skip


def _accuracy(network: Any, spikes: np.ndarray, labels: np.ndarray) -> float:
    predicted, _ = predict(network, spikes.astype(np.float32), as_given)
    return accuracy(predicted, labels)


def _finding(results: Results, kind: str, strengths: list[float]) -> str:
    """Drops from each arm's own clean accuracy, against LIF and against the gated neuron without its gate."""
    setting = f"{kind} {strengths[-1]:g}"

    def drop(arm: str) -> np.ndarray:
        return np.array(results.values("clean 0", arm)) - np.array(results.values(setting, arm))

    parts = []
    for arm, baseline in ((a, b) for b in (BASE, CONTROL) for a in ARMS if a not in (BASE, b)):
        if baseline == BASE or arm.startswith("gated"):
            d = paired_difference(drop(arm), drop(baseline))
            parts.append(f"{arm} {100 * d.mean:+.1f} against {baseline} ({100 * d.low:+.1f} to {100 * d.high:+.1f})")
    return f"{setting}, loss of accuracy from clean in points, more is worse: {'; '.join(parts)}."
