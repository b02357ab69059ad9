"""experiment=self_prediction: wrapped neurons on digits that arrive row by row or pixel by pixel.

Arms per neuron: unwrapped; the readings A, B and C; controls of equal states and parameters: output term only (adaptation), a slow
filter of the input, and a prediction from the history of another cell (shuffled).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..analysis.paired import paired_difference
from ..bridge import to_torch
from ..library import load
from ..spec import Circuit
from ..train.data import Part, digits
from ..train.encode import Encoder, by_pixels, by_rows
from ..train.fit import fit, predict
from ..train.gradient import input_gradient
from .arms import Results, Run
from .config import SelfPredictionConfig, checked, settings_of
from .evaluate import accuracy

BASE, DEFAULT = "unwrapped", "A"
TAU = 2.0
"""Of the prediction, in steps, in every arm and control alike; a learned time constant of the neuron does not enter it here."""
TASKS: dict[str, tuple[Encoder, int, int]] = {"rows": (by_rows(8), 8, 8), "pixels": (by_pixels, 1, 64)}
"""Task -> encoder, channels, steps."""
GRADIENT_SAMPLES = 128
GAIN = 1.5
"""Of the initial weights, so that both layers spike before training."""
TAPS, LONGEST = 8, 31
"""Pixel by pixel, each cell of the first layer sees so many connections from the one channel, with delays drawn up to this many
steps: without such a memory no arm learns anything from one pixel a step, and nothing could be compared."""
READINGS = ("A", "B", "C")

Task = tuple[SelfPredictionConfig, str, str, str, int]


ARMS: dict[str, dict[str, Any]] = {
    BASE: {},
    "A": {"reading": "A"},
    "B": {"reading": "B"},
    "C": {"reading": "C"},
    "output only": {"reading": "A", "terms": "output"},
    "input only": {"reading": "A", "terms": "input"},
    "shuffled history": {"shift": 1},
}
"""Arm -> arguments of the piece, or the shift of the control circuit."""


def circuit_of(neuron: str, arm: str, **arguments: Any) -> Circuit:
    """The circuit of an arm."""
    base, prediction = {"piece": neuron}, dict(ARMS[arm])
    if "shift" in prediction:
        return load("shuffled_prediction", neuron=base, tau=TAU, **prediction, **arguments)
    wrapped = [{"piece": "self_prediction", "tau": TAU, **prediction}] if prediction else []
    return load("feedforward", pieces=[base, *wrapped], **arguments)


def with_delay_line(circuit: Circuit) -> Circuit:
    """The circuit whose input reaches the first layer through drawn delays."""
    bound = GAIN * (3 / TAPS) ** 0.5
    return circuit.with_parameters(
        {
            "projections.x_L1.connect": {"indegree": TAPS, "multapses": True},
            "projections.x_L1.delay": {"distribution": "uniform", "low": "1 ms", "high": f"{LONGEST} ms"},
            "projections.x_L1.weight": {"distribution": "uniform", "low": -bound, "high": bound},
        }
    )


def run(values: Mapping[str, Any], folder: Path) -> str:
    """Run the experiment into ``folder`` and return its table."""
    from ..analysis.figures_arms import arms_beside, gradient_over_time

    config = checked(SelfPredictionConfig, values)
    results = Results("self_prediction", config)
    results.collect(train, [
        (config, task, neuron, arm, seed)
        for task in config.tasks for neuron in config.neurons for arm in ARMS for seed in config.seeds
    ])  # fmt: skip
    table = results.table(
        dict.fromkeys(results.settings, BASE),
        "Held-out accuracy of neurons with and without self-prediction on sequential digits.",
    )
    figures = []
    for task in config.tasks:
        settings = [s for s in results.settings if s.startswith(task)]
        groups = {s.split(", ")[1]: {arm: results.values(s, arm) for arm in results.arms(s)} for s in settings}
        figures.append((f"Digits by {task}: one dot per seed.", arms_beside(groups, ylabel="Held-out accuracy [%]")))
        norms = {arm: _mean_norm(results, settings[0], arm) for arm in results.arms(settings[0])}
        caption = f"Digits by {task}, {settings[0].split(', ')[1]}: norm of the gradient of the loss at the input of every step after training, mean over seeds."
        figures.append((caption, gradient_over_time(norms)))
    findings = [_choice(results), *(_finding(results, s) for s in results.settings)]
    return results.write(folder, "Self-prediction on sequential digits", table, figures, findings, {})


def train(task: Task) -> Run:
    """One network: held-out accuracy, mean rate, gradient norm at the input of every step."""
    config, name, neuron, arm, seed = task
    encode, channels, steps = TASKS[name]
    data = digits(seed)
    circuit = circuit_of(neuron, arm, n_inputs=channels, hidden=tuple(config.hidden), steps=steps, gain=GAIN)
    if channels == 1:
        circuit = with_delay_line(circuit)
    network = to_torch(circuit, seed=seed, surrogate=config.training.surrogate)
    history = fit(network, data.train, data.validation, settings_of(config.training, steps), seed, encode=encode)
    predicted, outputs = predict(network, data.test.images, encode)
    spikes = [outputs[f"L{k}"]["spikes"].mean().item() for k in range(1, len(config.hidden) + 1)]
    return Run(f"{name}, {neuron}", arm, seed, {
        "accuracy": accuracy(predicted, data.test.labels), "validation": history.validation_accuracy[history.best], "rates": spikes,
        "gradient": input_gradient(network, Part(data.test.images[:GRADIENT_SAMPLES], data.test.labels[:GRADIENT_SAMPLES]), encode),
    })  # fmt: skip


def _mean_norm(results: Results, setting: str, arm: str) -> np.ndarray:
    return np.mean([r.measured["gradient"] for r in results.runs if r.setting == setting and r.arm == arm], axis=0)


def _choice(results: Results) -> str:
    """Which reading does best on the validation parts, over all settings and seeds: what a default is chosen by."""
    mean = {
        reading: np.mean([results.values(s, reading, "validation") for s in results.settings]) for reading in READINGS
    }
    shown = ", ".join(f"{reading} {100 * value:.1f} %" for reading, value in mean.items())
    return (
        f"Validation accuracy over all settings and seeds: {shown}; best is reading {max(mean, key=lambda r: mean[r])}."
    )


def _finding(results: Results, setting: str) -> str:
    """The default reading against the unwrapped neuron and against every control; the gradient at the first step, per seed."""
    parts = []
    for other in (BASE, "output only", "input only", "shuffled history"):
        d = results.difference(setting, DEFAULT, other)
        parts.append(f"{100 * d.mean:+.1f} against {other} ({100 * d.low:+.1f} to {100 * d.high:+.1f}, {d.verdict})")

    def reach(arm: str) -> np.ndarray:
        """Gradient at the first step relative to the last, as a logarithm, one number per seed."""
        norms = [r.measured["gradient"] for r in results.runs if r.setting == setting and r.arm == arm]
        return np.array([np.log10(max(n[0], 1e-30) / max(n[-1], 1e-30)) for n in norms])

    g = paired_difference(reach(DEFAULT), reach(BASE))
    gradient = f"first to last step, decades: {g.mean:+.2f} against {BASE} ({g.low:+.2f} to {g.high:+.2f})"
    return f"{setting}: reading {DEFAULT}, points: {'; '.join(parts)}. Gradient of the last step's loss at the input, {gradient}."
