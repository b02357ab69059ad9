"""The main job: train an E/I circuit on real images, run it in Brian2, prove that both did the same, and show it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from tqdm import tqdm

from ..analysis import BOUNDS, distances, fidelity, population_rates, spiking_populations
from ..bridge import from_torch, to_torch
from ..library import load
from ..realise import realise
from ..recording import save_recording, versions
from ..report import write_json, write_report
from ..run import simulate
from ..spec import Array, Circuit, to_plain
from ..specfile import save
from ..train.data import Digits, digits, logistic_regression
from ..train.fit import fit, use_one_thread
from ..train.progress import History
from ..validate import validate
from ..verify import Verification, verify
from . import NotProven
from .config import DigitsConfig, checked, settings_of
from .digits_report import content
from .evaluate import accuracy, predictions, spikes_differing
from .pool import map_tasks
from .rows import pairs

ACTIVITY_BOUNDS = {name: BOUNDS[name] for name in ("rate", "rate_variation")}
"""Trials of a few steps have no intervals and too few bins for the other statistics."""


@dataclass(frozen=True)
class Trained:
    """One training run: the trained circuit, its history and accuracy on the held-out images."""

    seed: int
    surrogate: str
    circuit: Circuit
    history: History
    recording: xr.DataTree
    accuracy: float


@dataclass(frozen=True)
class Variation:
    """The first network, or one trained otherwise, under another setting, against the reference."""

    setting: str
    accuracy: float
    spikes_differing: float | None
    rate_ks: float
    activity: str
    predictions_equal: float
    note: str


@dataclass
class Results:
    """Everything the report shows."""

    config: DigitsConfig
    data: Digits
    trained: list[Trained] = field(default_factory=list)
    verification: Verification | None = None
    variations: list[Variation] = field(default_factory=list)
    rate_ks_seeds: float | None = None
    baseline: float = float("nan")
    timings: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, stage: str) -> Any:
        """Wall-clock time of a stage, in seconds."""
        start = time.perf_counter()
        yield
        self.timings[stage] = self.timings.get(stage, 0.0) + time.perf_counter() - start


def run(values: Mapping[str, Any], folder: Path) -> str:
    """Run the experiment into ``folder`` and return a summary of a few lines."""
    config = checked(DigitsConfig, values)
    use_one_thread()
    results = Results(config, digits())
    results.baseline = logistic_regression(results.data)
    circuit = load(config.circuit.name, **config.circuit.arguments)
    if config.circuit.parameters:
        circuit = circuit.with_parameters(config.circuit.parameters)
    tasks = [(circuit, config, seed, config.training.surrogate) for seed in config.seeds]
    tasks += [(circuit, config, config.seeds[0], surrogate) for surrogate in config.surrogates]
    with results.timed(f"training, {len(tasks)} networks, {config.workers} at a time"):
        found = [
            _tested(results.data, config.n_steps, *done)
            for done in map_tasks(_train, tasks, config.workers, "training networks")
        ]
    results.trained, others = found[: len(config.seeds)], found[len(config.seeds) :]
    first = results.trained[0]
    save(first.circuit, folder / "circuit.yaml")
    inputs = _inputs(first.circuit, results.data.test.images, config.n_steps)
    tqdm.write(f"verifying {', '.join(config.engines)} on {len(results.data.test.labels)} images", file=sys.stderr)
    with results.timed(f"simulation and comparison, {len(config.engines)} engines"):
        results.verification = verify(first.circuit, inputs, engines=config.engines, seed=first.seed)
    with results.timed("fidelity: other precision"):
        _vary(results, others)
    for name, recording in results.verification.recordings.items():
        save_recording(recording, folder / f"recording-{name.replace(':', '-')}.zarr")
    write_json(folder / "fidelity.json", _summary(results))
    write_report(folder / "report.html", content(results))
    return _text(results) if results.verification.agree else NotProven(_text(results))


Task = tuple[Circuit, DigitsConfig, int, str]


def _train(task: Task) -> tuple[int, str, Circuit, History]:
    circuit, config, seed, surrogate = task
    network = to_torch(circuit, seed=seed, surrogate=surrogate)
    t, data = config.training, digits()
    settings = settings_of(t, config.n_steps)
    history = fit(network, data.train, data.validation, settings, seed)
    return seed, surrogate, from_torch(circuit, network), history


def _tested(data: Digits, n_steps: int, seed: int, surrogate: str, circuit: Circuit, history: History) -> Trained:
    recording = simulate(circuit, _inputs(circuit, data.test.images, n_steps), engine="torch", seed=seed)
    reached = accuracy(predictions(recording, str(circuit.readout)), data.test.labels)
    return Trained(seed, surrogate, circuit, history, recording, reached)


def _inputs(circuit: Circuit, images: np.ndarray, n_steps: int) -> dict[str, np.ndarray]:
    return {next(iter(circuit.inputs)): np.broadcast_to(images, (n_steps, *images.shape))}


# -- fidelity: what changes when something does -----------------------------------------------------------------------


def _vary(results: Results, others: list[Trained]) -> None:
    """Other precision of the same network, networks trained with other surrogates; the yardstick is the spread over seeds."""
    first, config, data = results.trained[0], results.config, results.data
    reference = first.recording
    inputs = _inputs(first.circuit, data.test.images, config.n_steps)

    def add(setting: str, recording: xr.DataTree, note: str, same_network: bool) -> None:
        results.variations.append(
            _variation(setting, recording, reference, data.test.labels, str(first.circuit.readout), note, same_network)
        )

    add(
        "float32, torch",
        simulate(first.circuit, inputs, engine="torch", seed=first.seed, dtype="float32"),
        "same weights",
        True,
    )
    for name, rounding in ROUNDINGS.items():
        rounded = with_rounded_weights(first.circuit, first.seed, rounding)
        add(f"weights in {name}", simulate(rounded, inputs, engine="torch", seed=first.seed), "states in float64", True)
    for other in others:
        add(f"trained with {other.surrogate}", other.recording, f"same seed; reference: {first.surrogate}", False)
    between = [distances(reference, t.recording)["rate_ks"].max().item() for t in results.trained[1:]]
    results.rate_ks_seeds = float(np.mean(between)) if between else None
    for t in results.trained[1:]:
        add(f"training seed {t.seed}", t.recording, "yardstick: another seed", False)


def _variation(
    setting: str,
    recording: xr.DataTree,
    reference: xr.DataTree,
    labels: np.ndarray,
    readout: str,
    note: str,
    same_network: bool,
) -> Variation:
    predicted = predictions(recording, readout)
    return Variation(
        setting=setting,
        accuracy=accuracy(predicted, labels),
        spikes_differing=spikes_differing(reference, recording) if same_network else None,
        rate_ks=float(distances(reference, recording)["rate_ks"].max()),
        activity=fidelity(reference, recording, bounds=ACTIVITY_BOUNDS).verdict,
        predictions_equal=accuracy(predicted, predictions(reference, readout)),
        note=note,
    )


def _float16(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float16).astype(np.float64)


def _bfloat16(x: np.ndarray) -> np.ndarray:
    """The upper half of a float32, rounded to nearest, ties to even."""
    bits = x.astype(np.float32).view(np.uint32)
    rounded = bits + 0x7FFF + ((bits >> 16) & 1)
    return (rounded & 0xFFFF0000).astype(np.uint32).view(np.float32).astype(np.float64)


def _bits(n: int) -> Callable[[np.ndarray], np.ndarray]:
    """Uniform grid of 2**n - 1 steps from 0 to the largest magnitude of the projection."""

    def rounded(x: np.ndarray) -> np.ndarray:
        step = x.max() / (2**n - 1) if x.size and x.max() > 0 else 1.0
        return np.asarray(np.rint(x / step) * step)

    return rounded


ROUNDINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "float16": _float16, "bfloat16": _bfloat16, "8 bits": _bits(8), "4 bits": _bits(4),
}  # fmt: skip


def with_rounded_weights(circuit: Circuit, seed: int, rounding: Callable[[np.ndarray], np.ndarray]) -> Circuit:
    """The circuit with every explicit magnitude rounded; signs and edges stay."""
    plain = to_plain(circuit)
    for name, edges in realise(circuit, seed).edges.items():
        weight = circuit.projections[name].weight
        if isinstance(weight, Array) and weight.unit == "1":
            plain["projections"][name]["weight"] = Array(rounding(edges.values).reshape(weight.values.shape))
    return validate(Circuit(**plain))


# -- summary ----------------------------------------------------------------------------------------------------------


def _summary(results: Results) -> dict[str, Any]:
    verification = results.verification
    reached = [t.accuracy for t in results.trained]
    readout = str(results.trained[0].circuit.readout)
    labels = results.data.test.labels
    recordings = verification.recordings if verification else {}
    return {
        "experiment": "digits",
        "held_out_images": len(labels),
        "accuracy": {"mean": np.mean(reached), "per_seed": {str(t.seed): t.accuracy for t in results.trained}},
        "accuracy_per_engine": {n: accuracy(predictions(r, readout), labels) for n, r in recordings.items()},
        "predictions_identical": len({predictions(r, readout).tobytes() for r in recordings.values()}) == 1,
        "agree": verification.agree if verification else None,
        "class": verification.met if verification else None,
        "spikes_compared": verification.n_spikes if verification else None,
        "pairs": pairs(verification) if verification else [],
        "circuit_hash": results.trained[0].circuit.hash,
        "program_hash": verification.program_hash if verification else None,
        "variations": [vars(v) for v in results.variations],
        "rate_ks_between_seeds": results.rate_ks_seeds,
        "mean_rate_hz": {
            str(p): float(population_rates(recordings[n])["mean"].sel(population=p))
            for n in list(recordings)[:1]
            for p in spiking_populations(recordings[n])
        },
        "logistic_regression": results.baseline,
        "versions": versions(),
        "timings_s": results.timings,
        "config": results.config.model_dump(),
    }


def _text(results: Results) -> str:
    reached = [t.accuracy for t in results.trained]
    lines = [
        f"held-out accuracy {100 * np.mean(reached):.2f} % (mean of {len(reached)} seeds, {len(results.data.test.labels)} images)"
    ]
    return "\n".join([*lines, str(results.verification)])
