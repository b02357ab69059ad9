"""experiment=rate_gradient: gradients through rates against gradients through time, as the number of steps grows, and where timing matters."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..bridge import to_torch
from ..emit.to_torch import Network
from ..library import load
from ..train.data import digits, noisy
from ..train.encode import repeated
from ..train.fit import fit, predict
from ..train.gradient import Compared, cosine_of_rates, cost, peak
from ..train.timing import INPUTS, direction
from .arms import Results, Run
from .config import RateGradientConfig, checked, settings_of
from .depth import TEST_NOISE, VALIDATION_NOISE
from .evaluate import accuracy
from .pool import begin

TIME, OPERATIONS, RATE = "through time", "through time, torch operations", "through rates"

Task = tuple[RateGradientConfig, int, str, int]


def run(values: Mapping[str, Any], folder: Path) -> str:
    """Run the experiment into ``folder`` and return its table."""
    from ..analysis.figures_arms import arms_beside, arms_over

    config = checked(RateGradientConfig, values)
    results = Results("rate_gradient", config)
    arms = (TIME, RATE)
    results.collect(train, [(config, n, arm, seed) for n in config.steps for arm in arms for seed in config.seeds])
    directions = {
        f"leak {leak:g}": {kind: [direction(kind, leak, seed) for seed in range(config.networks)] for kind in INPUTS}
        for leak in config.leaks
    }
    memory = peaks(config)
    settings = {f"{n} steps": float(n) for n in config.steps}
    table = results.table(
        dict.fromkeys(settings, TIME),
        f"Held-out accuracy on digits with pixel noise of standard deviation {config.noise:g}; layers of {', '.join(map(str, config.hidden))} cells.",
    )

    def curves(what: str, shown: tuple[str, ...] = arms) -> dict[str, dict[float, list[float]]]:
        return {arm: {n: results.values(s, RATE if arm == OPERATIONS else arm, f"{what} {arm}" if arm == OPERATIONS else what) for s, n in settings.items()} for arm in shown}  # fmt: skip

    figures = [
        ("Held-out accuracy.", arms_over(curves("accuracy"), xlabel="Steps", ylabel="Held-out accuracy [%]", log_x=True)),
        (
            "Bytes that are kept from the way forward for the way back, one batch.",
            arms_over(curves("kept", (TIME, OPERATIONS, RATE)), xlabel="Steps", ylabel="Kept [MB]", percent=False, log_x=True, log_y=True),
        ),
        (
            "Time of a forward and backward pass, one batch, one thread.",
            arms_over(curves("seconds", (TIME, OPERATIONS, RATE)), xlabel="Steps", ylabel="Time [ms]", percent=False, log_x=True, log_y=True),
        ),
        (
            "Resident memory at most, above a warm network, of a batch forward and backward; the input is part of it.",
            arms_over(memory, xlabel="Steps", ylabel="Peak [MB]", percent=False, log_x=True, log_y=True),
        ),
        (
            "Cosine of gradients through rates and through time of one layer, by what its input is; dots are networks, bars means.",
            arms_beside({s: {kind: [c.cosine for c in found] for kind, found in by.items()} for s, by in directions.items()}, ylabel="Cosine", percent=False),
        ),
    ]  # fmt: skip
    findings = [*_findings(results, list(settings)), *_about_memory(memory), *_about_timing(directions)]
    more = {
        "peak memory [MB]": {way: {f"{n:g}": found for n, found in by.items()} for way, by in memory.items()},
        "directions": {s: {kind: [c._asdict() for c in found] for kind, found in by.items()} for s, by in directions.items()},
    }  # fmt: skip
    return results.write(folder, "Gradients through rates", table, figures, findings, more)


def _network(config: RateGradientConfig, seed: int, fused: bool | None = None) -> Network:
    circuit = load("feedforward", pieces=[{"piece": "lif", "tau": config.tau, "decay_input": False}], hidden=tuple(config.hidden), gain=config.gain)  # fmt: skip
    return to_torch(circuit, seed=seed, surrogate=config.training.surrogate, fused=fused)


def train(task: Task) -> Run:
    """One network trained by one kind of gradient; cost and direction of both kinds on a batch."""
    config, n_steps, arm, seed = task
    data = digits(seed)
    network = _network(config, seed)
    part = noisy(data.train, config.noise, seed)
    settings = replace(settings_of(config.training, n_steps), gradient="rate" if arm == RATE else "time")
    before = cosine_of_rates(network, part, n_steps)
    history = fit(network, part, noisy(data.validation, config.noise, VALIDATION_NOISE + seed), settings, seed)
    test = noisy(data.test, config.noise, TEST_NOISE)
    predicted, _ = predict(network, test.images, repeated(n_steps))
    measured = {
        "accuracy": accuracy(predicted, test.labels), "validation": history.validation_accuracy[history.best],
        "cosine before": before, "cosine after": cosine_of_rates(network, part, n_steps),
        **cost(network, part, n_steps, arm == RATE),
    }  # fmt: skip
    if arm == RATE:
        eager = cost(_network(config, seed, fused=False), part, n_steps, False)
        measured |= {f"{name} {OPERATIONS}": value for name, value in eager.items()}
    return Run(f"{n_steps} steps", arm, seed, measured)


def peaks(config: RateGradientConfig) -> dict[str, dict[float, list[float]]]:
    """Peak memory [MB] of each way by steps, one value per seed, each from a process of its own; through rates also at four times the most steps."""
    steps = {
        TIME: config.memory_steps,
        OPERATIONS: config.memory_steps,
        RATE: [*config.memory_steps, 4 * max(config.memory_steps)],
    }
    tasks = [(config, n, way, seed) for way, at in steps.items() for n in at for seed in config.seeds]
    with multiprocessing.get_context("spawn").Pool(config.workers, begin, maxtasksperchild=1) as pool:
        measured = pool.map(_peak, tasks, chunksize=1)
        pool.close()
        pool.join()
    found: dict[str, dict[float, list[float]]] = {way: {n: [] for n in at} for way, at in steps.items()}
    found["input alone"] = {n: [] for n in steps[RATE]}
    for (_, n, way, _), megabytes in zip(tasks, measured, strict=True):
        found[way][n].append(megabytes["peak"])
        if way == RATE:
            found["input alone"][n].append(megabytes["input"])
    return found


def _peak(task: Task) -> dict[str, float]:
    config, n_steps, way, seed = task
    network = _network(config, seed, fused=False if way == OPERATIONS else None)
    return peak(network, digits(seed).train, n_steps, way == RATE)


def _about_memory(memory: Mapping[str, Mapping[float, list[float]]]) -> list[str]:
    def said(way: str) -> str:
        return ", ".join(f"{np.mean(v):.1f} at {n:g}" for n, v in memory[way].items())

    return [f"Peak of resident memory [MB] by steps, {way}: {said(way)}." for way in memory]


def _about_timing(directions: Mapping[str, Mapping[str, list[Compared]]]) -> list[str]:
    found = []
    for setting, by_kind in directions.items():
        parts = [
            f"{kind} {np.mean([c.cosine for c in of]):.3f} and {np.mean([c.ratio for c in of]):.2f}"
            for kind, of in by_kind.items()
        ]
        found.append(
            f"One layer, {setting}, mean cosine and ratio of norms to the gradient through time: {', '.join(parts)}."
        )
    return found


def _findings(results: Results, settings: list[str]) -> list[str]:
    found = []
    for setting in settings:
        cosines = [np.mean(results.values(setting, RATE, f"cosine {when}")) for when in ("before", "after")]
        kept = [np.mean(results.values(setting, arm, "kept")) for arm in (TIME, RATE)]
        kept.insert(1, np.mean(results.values(setting, RATE, f"kept {OPERATIONS}")))
        spent = [np.mean(results.values(setting, arm, "seconds")) for arm in (TIME, RATE)]
        spent.insert(1, np.mean(results.values(setting, RATE, f"seconds {OPERATIONS}")))
        found.append(
            f"{setting}: cosine of the two gradients {cosines[0]:.3f} before and {cosines[1]:.3f} after training; kept for the way back "
            f"{kept[0]:.2f} MB through time with kernels, {kept[1]:.2f} with torch operations, {kept[2]:.2f} through rates; both ways take "
            f"{spent[0]:.1f}, {spent[1]:.1f} and {spent[2]:.1f} ms."
        )
    return found
