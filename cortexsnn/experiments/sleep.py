"""experiment=sleep: does a recurrent network that learns by spike timing stay stable if it sleeps, and what in sleep does it?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..bridge import to_torch
from ..circuits.sleep_homeostasis import LARGEST, LEARNING, SMALLEST
from ..errors import InputError
from ..learned import learned, with_rules
from ..library import load
from ..run import simulate
from ..spec import Circuit
from ..train.data import Part, digits, noisy
from ..train.encode import rate_spikes, repeated
from ..train.fit import fit, predict
from ..train.sleep import pull
from .arms import Results, Run
from .config import SleepConfig, checked, settings_of
from .depth import TEST_NOISE, VALIDATION_NOISE
from .evaluate import accuracy

TIMING, REVERSED, SURROGATE = "spike timing", "sign of the public code", "surrogate gradients"
REST, SLEEP, NO_PULL, SUMS = "rest", "sleep", "noise and plasticity only", "sums kept while awake"
FULL = ("stdp", "decay")
NOISE = 2e-3
"""Volt, standard deviation in every step asleep (public code; drawn outside, so that every engine sees the same)."""


class Night(NamedTuple):
    """What synapses do asleep, whether there is noise, what they do awake, and sleep steps per wake step."""

    asleep: tuple[str, ...]
    noise: bool
    awake: tuple[str, ...]
    fraction: float


def nights(config: SleepConfig) -> dict[str, Night]:
    """Arms; at rest nothing moves a weight, so that no step of it needs to be run."""
    f = config.fraction
    found = {
        REST: Night((), False, ("stdp",), 0.0),
        SLEEP: Night(FULL, True, ("stdp",), f),
        "decay only": Night(("decay",), False, ("stdp",), f),
        NO_PULL: Night(("stdp",), True, ("stdp",), f),
        SUMS: Night((), False, ("stdp", "normalisation"), 0.0),
    }
    more = {f"sleep of {other:g}": found[SLEEP]._replace(fraction=other) for other in config.fractions}
    return {**found, **more}


Task = tuple[SleepConfig, str, str, int]


def run(values: Mapping[str, Any], folder: Path) -> str:
    """Run the experiment into ``folder`` and return its table."""
    from ..analysis.figures_arms import arms_over

    config = checked(SleepConfig, values)
    there = len(digits().train.images)
    if config.images > there:
        raise InputError(
            f"images: a period awake shows each image once at most, and {there} are there to train, got {config.images}"
        )
    results = Results("sleep", config)
    arms = [(TIMING, arm) for arm in nights(config)]
    arms += [(setting, arm) for setting in (REVERSED, SURROGATE) for arm in (REST, SLEEP)]
    results.collect(train, [(config, setting, arm, seed) for setting, arm in arms for seed in config.seeds])
    table = results.table(
        dict.fromkeys((TIMING, REVERSED, SURROGATE), REST),
        f"Held-out accuracy on digits after {config.periods} periods awake of {config.images} images, each followed by sleep of {config.fraction:g} of its "
        "steps unless the arm says otherwise: logistic regression on spike counts of the E cells, learning off. Under surrogate gradients: of the "
        f"network itself, images with noise of standard deviation {config.noise:g}; its sleep is the pull alone, without noise and plasticity. The primary outcome is {SLEEP} minus {REST} under {TIMING}.",
    )
    periods = range(1, config.periods + 1)

    def over(what: str, arms: Iterable[str]) -> dict[str, dict[float, list[float]]]:
        return {arm: {float(k): results.values(TIMING, arm, f"{what} {k}") for k in periods} for arm in arms}

    fractions = {arm: night.fraction for arm, night in nights(config).items() if arm == REST or night.asleep == FULL}
    by_fraction = sorted(fractions, key=lambda arm: fractions[arm])
    parts = [arm for arm in nights(config) if arm not in fractions or arm in (REST, SLEEP)]

    rate: dict[str, Any] = {"xlabel": "Period", "ylabel": "Rate of E [Hz]", "percent": False}
    figures = [
        ("Rate of the E cells in each period awake: sleep and its parts; mean and 95 % interval over seeds.", arms_over(over("rate", parts), **rate)),
        ("The same over sleep steps per step awake.", arms_over(over("rate", by_fraction), **rate)),
        ("Mean magnitude of the synapses among E cells after each period and its sleep.", arms_over(over("weight", parts), **{**rate, "ylabel": "Mean weight E to E"})),
    ]  # fmt: skip
    return results.write(folder, "Sleep as a homeostatic regulariser", table, figures, _findings(results, config), {})


def train(task: Task) -> Run:
    """One network."""
    config, setting, arm, seed = task
    if setting == SURROGATE:
        return _surrogate(config, arm, seed)
    night = nights(config)[arm]
    circuits = {rules: _circuit(config, rules, setting == TIMING) for rules in {night.awake, night.asleep, ()}}
    random = np.random.default_rng([seed, 7])
    data = digits(seed)
    measured: dict[str, Any] = {}
    circuit = circuits[night.awake]
    for period in range(1, config.periods + 1):
        images = data.train.images[random.permutation(len(data.train.images))[: config.images]]
        rows = rate_spikes(images, config.n_steps, config.most, int(random.integers(2**31)))
        rows = rows.reshape(-1, images.shape[1])
        recording = simulate(circuit, _inputs(config, rows), engine=config.engine, seed=seed)
        measured[f"rate {period}"] = float(recording["E"]["spikes"].mean()) * 1000
        measured[f"rate I {period}"] = float(recording["I"]["spikes"].mean()) * 1000
        circuit = learned(circuit, recording)
        n = min(round(night.fraction * len(rows)), config.longest)
        if night.asleep and n:
            noise = random.normal(0, NOISE, (n, config.n_cells)) if night.noise else None
            asleep = with_rules(circuit, circuits[night.asleep])
            recording = simulate(
                asleep, _inputs(config, np.zeros((n, rows.shape[1])), noise), engine=config.engine, seed=seed
            )
            circuit = with_rules(learned(asleep, recording), circuit)
        weights = {name: recording[name].to_dataset()["final_w"].values[0] for name in LEARNING}
        measured[f"weight {period}"] = float(weights["E_E"].mean())
        together = np.concatenate(list(weights.values()))
        measured[f"at bounds {period}"] = float(np.mean((together <= SMALLEST * (1 + 1e-9)) | (together >= LARGEST)))
    return Run(
        setting, arm, seed, {**measured, "accuracy": _read_out(config, with_rules(circuit, circuits[()]), data, seed)}
    )


def _circuit(config: SleepConfig, rules: tuple[str, ...], causal: bool) -> Circuit:
    return load(
        "sleep_homeostasis", n_inputs=64, n_excitatory=config.n_excitatory, n_inhibitory=config.n_inhibitory, learning=rules, up=config.up,
        down=config.down, input_weight=config.input_weight, lam=config.lam, target=config.target, causal=causal,
        period=f"{config.images * config.n_steps} ms",
    )  # fmt: skip


def _inputs(config: SleepConfig, rows: np.ndarray, noise: np.ndarray | None = None) -> dict[str, np.ndarray]:
    silent = np.zeros((*rows.shape[:-1], config.n_cells))
    return {"x": rows, "noise": silent if noise is None else noise}


def _read_out(config: SleepConfig, circuit: Circuit, data: Any, seed: int) -> float:
    """Logistic regression on counts of spikes, fitted on the training part; accuracy on the held-out part."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def counts(part: Part, offset: int) -> np.ndarray:
        rows = rate_spikes(part.images, config.n_steps, config.most, offset + seed).transpose(1, 0, 2)
        recording = simulate(circuit, _inputs(config, rows), engine="torch", seed=seed)
        return np.asarray(recording["E"]["spikes"].sum("step"), float)

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
    model.fit(counts(data.train, VALIDATION_NOISE), data.train.labels)
    return float(model.score(counts(data.test, TEST_NOISE), data.test.labels))


def _surrogate(config: SleepConfig, arm: str, seed: int) -> Run:
    """The control: after every epoch all magnitudes are pulled as 500 iterations of the public code pull them, without noise and plasticity.

    What is measured is the best epoch on the validation part, before its night.
    """
    data = digits(seed)
    n_steps = config.surrogate_steps
    network = to_torch(load("feedforward", hidden=(64,), steps=n_steps), seed=seed)

    def night(epoch: int, history: object) -> None:
        if arm == SLEEP:
            pull(network, 0.2, 0.999, 500)

    history = fit(
        network, noisy(data.train, config.noise, seed), noisy(data.validation, config.noise, VALIDATION_NOISE + seed),
        settings_of(config.training, n_steps), seed, report=night,
    )  # fmt: skip
    test = noisy(data.test, config.noise, TEST_NOISE)
    predicted, _ = predict(network, test.images, repeated(n_steps))
    return Run(
        SURROGATE, arm, seed,
        {"accuracy": accuracy(predicted, test.labels), "validation": history.validation_accuracy[history.best]},
    )  # fmt: skip


def _findings(results: Results, config: SleepConfig) -> list[str]:
    periods, last = range(1, config.periods + 1), config.periods
    found = [f"{setting}: {results.in_points(setting, SLEEP, REST)}" for setting in results.settings]
    found.append(f"{TIMING}, accuracy: {results.in_points(TIMING, NO_PULL, REST)}")
    # stable is a network with fewer weights at a bound, at no cost in accuracy
    for arm, other in ((SLEEP, REST), (SUMS, REST), (SLEEP, SUMS)):
        bounds, read_out = (results.in_points(TIMING, arm, other, what) for what in (f"at bounds {last}", "accuracy"))
        found.append(f"{TIMING}, weights at a bound after period {last}: {bounds} Accuracy: {read_out}")

    def mean(setting: str, arm: str, what: str) -> float:
        return float(np.mean(results.values(setting, arm, what)))

    for setting in (TIMING, REVERSED):
        for arm in results.arms(setting):
            cells = [
                f"{kind} cells at {mean(setting, arm, f'{what} 1'):.1f} Hz in the first period, {mean(setting, arm, f'{what} {last}'):.1f} in the last"
                for kind, what in (("E", "rate"), ("I", "rate I"))
            ]
            weights = [mean(setting, arm, f"weight {k}") for k in (1, last)]
            found.append(
                f"{setting}, {arm}: {', '.join(cells)}; mean weight among E cells {weights[0]:.2f} and {weights[1]:.2f}; "
                f"{100 * mean(setting, arm, f'at bounds {last}'):.0f} % of all weights at a bound."
            )
    for arm in (REST, SLEEP):
        rates = ", ".join(f"{mean(TIMING, arm, f'rate I {k}'):.2f}" for k in periods)
        found.append(
            f"{TIMING}, {arm}: I cells at {rates} Hz in periods 1 to {last}; where they are silent, no inhibition acts."
        )
    return found
