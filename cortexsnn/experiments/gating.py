"""experiment=gating: gated neurons against LIF and adaptive LIF under perturbations that training never saw.

All arms train on clean spikes with a pull towards one rate and stop at one validation accuracy; then spikes are inserted, deleted,
moved in time, and whole channels replaced by noise. Accuracy over strength, paired by seed; the same perturbed spikes for all arms.
Images become spikes in two ways: by rate, where time means nothing, and by latency, where it means all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ..analysis.paired import paired_difference
from ..bridge import to_torch
from ..library import load
from ..train.data import Part, digits
from ..train.encode import as_given, latency_spikes, rate_spikes
from ..train.fit import fit, predict
from ..train.penalties import Outputs
from .arms import Results, Run
from .config import GatingConfig, checked, settings_of
from .evaluate import accuracy

BASE, CONTROL, WIDE = "LIF", "exponential synapse LIF", "the same, as many parameters as gated"
ARMS: dict[str, dict[str, Any]] = {
    BASE: {"pieces": [{"piece": "lif", "tau": 10.0, "decay_input": False}], "gain": 0.5},
    "adaptive LIF": {"pieces": [{"piece": "adaptive_lif", "tau": 10.0, "decay_input": False}], "gain": 0.5},
    CONTROL: {"pieces": [{"piece": "dynamic_gating"}], "gain": 0.3, "gate": False},
    WIDE: {"pieces": [{"piece": "dynamic_gating"}], "gain": 0.3, "gate": False, "wide": True},
    "gated": {"pieces": [{"piece": "dynamic_gating"}], "gain": 0.3},
    "gated, simplified": {
        "pieces": [{"piece": "dynamic_gating", "form": "simplified", "reversal": 10.0, "trainable": ["reversal"]}]
    },
}
"""Arm -> arguments of ``feedforward``. The third is the gated neuron with C = 0: its trace without its gate; the fourth has so many
more of these that it learns as many numbers as the gated network."""
N_PIXELS, N_CLASSES = 64, 10
RATE_WEIGHT = 200.0
"""Of the squared deviation from the target rate in the loss."""

Task = tuple[GatingConfig, str, str, int]
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
    results.collect(
        train, [(config, coding, arm, seed) for coding in config.codings for arm in ARMS for seed in config.seeds]
    )
    clean = results.runs
    results.runs = [
        Run(f"{r.setting}, {kind} {strength:g}", r.arm, r.seed, {"accuracy": r.measured["perturbed"][kind][k]})
        for coding in config.codings
        for kind, strengths in {"clean": [0.0], **config.perturbed}.items()
        for k, strength in enumerate(strengths) for r in clean if r.setting == coding
    ]  # fmt: skip
    shown = [
        f"{c}, {kind} {s[-1]:g}" for c in config.codings for kind, s in {"clean": [0.0], **config.perturbed}.items()
    ]
    table = results.table(
        dict.fromkeys(shown, BASE),
        "Accuracy on held-out digits as spikes, clean and under the strongest of each perturbation unseen in training (the others: figures "
        "and results.json).",
    )
    figures = []
    for coding in config.codings:
        for kind, strengths in config.perturbed.items():
            curves = {
                arm: {0.0: results.values(f"{coding}, clean 0", arm)}
                | {s: results.values(f"{coding}, {kind} {s:g}", arm) for s in strengths}
                for arm in ARMS
            }
            drawn = arms_over(
                curves, xlabel=f"{kind}, strength", ylabel="Held-out accuracy [%]", title=f"{coding} coding"
            )
            figures.append((f"{coding} coding, {kind}: held-out accuracy over strength.", drawn))
    matched = {
        f"{coding}, {arm}": {
            what: [r.measured[what] for r in clean if (r.setting, r.arm) == (coding, arm)]
            for what in ("validation", "accuracy", "rate", "epochs", "parameters")
        }
        for coding in config.codings for arm in ARMS
    }  # fmt: skip
    findings = [_finding(results, coding, kind, s) for coding in config.codings for kind, s in config.perturbed.items()]
    findings += [
        f"{arm}: validation accuracy at the stop {100 * np.mean(m['validation']):.1f} %, held-out {100 * np.mean(m['accuracy']):.1f} %, "
        f"{np.mean(m['rate']):.3f} spikes per hidden cell and step on clean input, {np.mean(m['epochs']):.0f} epochs, {m['parameters'][0]} parameters."
        for arm, m in matched.items()
    ]
    return results.write(folder, "Robustness of gated neurons", table, figures, findings, {"matched": matched})


def train(task: Task) -> Run:
    """One network, stopped at the target accuracy; accuracy for every perturbation, mean over repeats."""
    config, coding, arm, seed = task
    data, steps = digits(seed), config.n_steps
    arguments = dict(ARMS[arm])
    gated = arguments.pop("gate", True)
    hidden = _as_many_parameters(config.hidden) if arguments.pop("wide", False) else tuple(config.hidden)
    circuit = load("feedforward", hidden=hidden, steps=steps, spikes=True, **arguments)
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

    def spikes_of(images: np.ndarray, offset: int) -> np.ndarray:
        if coding == "latency":
            return latency_spikes(images, steps)
        return rate_spikes(images, steps, config.input_rate, 1000 * seed + offset)

    def encoded(part: Part, offset: int) -> Part:
        return Part(spikes_of(part.images, offset), part.labels)

    layers = [f"L{k}" for k in range(1, len(hidden) + 1)]

    def penalty(outputs: Outputs) -> Any:
        return RATE_WEIGHT * sum((outputs[name]["spikes"].mean() - config.target_rate) ** 2 for name in layers)

    history = fit(
        network, encoded(data.train, 0), encoded(data.validation, 1), settings_of(config.training, steps), seed,
        encode=as_given, penalty=penalty, until=config.target_accuracy,
    )  # fmt: skip
    clean = spikes_of(data.test.images, 2)
    perturbed: dict[str, list[float]] = {"clean": [_accuracy(network, clean, data.test.labels)]}
    for kind, strengths in config.perturbed.items():
        perturbed[kind] = [
            float(np.mean([
                _accuracy(network, PERTURBATIONS[kind](clean, s, np.random.default_rng([seed, k, r])), data.test.labels)
                for r in range(config.repeats)
            ]))
            for k, s in enumerate(strengths)
        ]  # fmt: skip
    _, outputs = predict(network, clean, as_given)
    return Run(coding, arm, seed, {
        "accuracy": perturbed["clean"][0], "perturbed": perturbed, "validation": float(np.mean(history.validation_accuracy[-3:])),
        "rate": float(np.mean([outputs[n]["spikes"].mean().item() for n in layers])), "epochs": len(history.loss),
        "parameters": sum(p.numel() for p in network.parameters()),
    })  # fmt: skip


def _as_many_parameters(hidden: list[int]) -> tuple[int, ...]:
    """Layers as wide as needed to learn as many numbers without gates (one weight a synapse) as ``hidden`` does with them (two)."""
    sizes = [N_PIXELS, *hidden]
    wanted = sum(2 * a * b for a, b in pairwise(sizes)) + sizes[-1] * N_CLASSES

    def learned(scale: float) -> int:
        wide = [N_PIXELS, *(round(scale * n) for n in hidden)]
        return sum(a * b for a, b in pairwise(wide)) + wide[-1] * N_CLASSES

    scale = min(np.linspace(1, 2, 1001), key=lambda s: abs(learned(float(s)) - wanted))
    return tuple(round(float(scale) * n) for n in hidden)


def _accuracy(network: Any, spikes: np.ndarray, labels: np.ndarray) -> float:
    predicted, _ = predict(network, spikes.astype(np.float32), as_given)
    return accuracy(predicted, labels)


def _finding(results: Results, coding: str, kind: str, strengths: list[float]) -> str:
    """Drops from each arm's own clean accuracy, against LIF and against the gated neuron without its gate."""
    setting = f"{coding}, {kind} {strengths[-1]:g}"

    def drop(arm: str) -> np.ndarray:
        return np.array(results.values(f"{coding}, clean 0", arm)) - np.array(results.values(setting, arm))

    parts = []
    for arm, baseline in ((a, b) for b in (BASE, CONTROL) for a in ARMS if a not in (BASE, b)):
        if baseline == BASE or arm.startswith("gated"):
            d = paired_difference(drop(arm), drop(baseline))
            parts.append(f"{arm} {100 * d.mean:+.1f} against {baseline} ({100 * d.low:+.1f} to {100 * d.high:+.1f})")
    return f"{setting}, loss of accuracy from clean in points, more is worse: {'; '.join(parts)}."
