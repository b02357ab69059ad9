"""experiment=fidelity: how far a circuit's activity moves with its time step, integrator, weights, drive and delays.

Every setting runs the same networks (wiring, drive, initial state by seed) as the reference, and is compared with it network by
network. What another drive, and another wiring, would do to the same numbers stands beside it as two separate yardsticks.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from ..analysis import Bound, Fidelity, activity_statistics, fidelity
from ..analysis.fidelity import BOUNDS
from ..errors import InputError
from ..job import Job
from ..lower import lower
from ..perturb import coarse_weights, jittered_delays, noisy_weights, redrawn_spikes
from ..realise import realise
from ..recording import build, versions
from ..refine import refine
from ..report import Provenance, ReportContent, Table, write_json, write_report, write_text
from ..run import execute, prepare, split_engine
from ..spec import Circuit
from ..units import TIME, expect
from .arms import as_markdown, as_text
from .config import FidelityConfig, checked
from .pool import map_tasks
from .verification import circuit_of

REFERENCE, NOISE, WIRING = "reference", "new noise", "new wiring"


class Run(NamedTuple):
    """One network under one setting: seeds of its wiring and of its drive."""

    circuit: Circuit
    config: FidelityConfig
    sweep: str
    value: Any
    wiring: int
    noise: int


def run(values: Mapping[str, Any], folder: Path) -> str:
    """Run the experiment into ``folder`` and return its table."""
    from ..analysis.figures_statistics import fidelity_curves
    from ..analysis.figures_style import to_png

    config = checked(FidelityConfig, values)
    circuit = circuit_of(config.circuit)
    bounds = {name: replace_bound(name, value) for name, value in config.bounds.items()}
    sweeps = {name: list(getattr(config, name)) for name in SWEEPS if getattr(config, name)}
    networks = range(config.networks)
    tasks = [Run(circuit, config, REFERENCE, None, k, k) for k in networks]
    tasks += [Run(circuit, config, NOISE, None, 0, k) for k in networks]
    tasks += [Run(circuit, config, WIRING, None, k, 0) for k in networks]
    tasks += [Run(circuit, config, s, v, k, k) for s, settings in sweeps.items() for v in settings for k in networks]
    start = time.perf_counter()
    done = map_tasks(partial(_with_cpu_time, tuple(bounds)), tasks, config.workers, "fidelity")
    seconds, cpu_seconds = time.perf_counter() - start, sum(spent for _, spent in done)
    by_setting: dict[tuple[str, Any], list[xr.DataArray]] = {}
    for task, (found, _) in zip(tasks, done, strict=True):
        by_setting.setdefault((task.sweep, task.value), []).append(found)
    reference = by_setting[REFERENCE, None]
    yardsticks = {name: by_setting[name, None] for name in (NOISE, WIRING)}
    compared = {
        (s, v): fidelity(reference, by_setting[s, v], bounds=bounds, yardsticks=yardsticks)
        for s, settings in sweeps.items() for v in settings
    }  # fmt: skip
    table = _table(circuit, config, compared)
    figures = []
    for s, settings in sweeps.items():
        curve = xr.concat([compared[s, v].table for v in settings], dim=s).assign_coords(
            {s: [str(v) for v in settings]}
        )
        caption = (
            f"{SWEEPS[s].label}: difference from the reference with its interval. Filled: equivalent, cross: different, open: "
            "inconclusive; grey: the bound; at the right edge the spread over new noise (solid) and over new wiring (dashed)."
        )
        figures.append((caption, fidelity_curves(curve, xlabel=SWEEPS[s].label)))
    for k, (_, figure) in enumerate(figures, start=1):
        (folder / f"figure-{k}.png").write_bytes(to_png(figure))
    title = f"Fidelity of {circuit.name} under other settings"
    facts = f"{config.networks} networks per setting, {config.duration} each on {config.engine}."
    write_text(folder / "results.md", as_markdown(title, config.command, facts, table, table.findings, len(figures)))
    summary = {
        "experiment": "fidelity", "command": config.command, "versions": versions(), "circuit_hash": circuit.hash,
        "wall_seconds": seconds, "cpu_seconds": cpu_seconds, "workers": config.workers,
        "table": {"columns": list(table.columns), "rows": [list(r) for r in table.rows]},
        "settings": [{"sweep": s, "value": v, "verdict": f.verdict, **_plain(f)} for (s, v), f in compared.items()],
        "config": config.model_dump(),
    }  # fmt: skip
    write_json(folder / "results.json", summary)
    write_json(folder / "fidelity.json", {k: summary[k] for k in ("experiment", "circuit_hash", "settings", "config")})
    write_report(folder / "report.html", ReportContent(
        title=title, results=table, figures=figures,
        provenance=Provenance(command=config.command, versions=versions(), seeds={"networks": list(networks)}, hashes={"circuit": circuit.hash},
                              config=json.dumps(config.model_dump(), indent=2)),
    ))  # fmt: skip
    return "\n".join([title, *as_text(table)])


def replace_bound(name: str, value: float) -> Bound:
    """The default kind of bound, relative or not, with another size."""
    if name not in BOUNDS:
        raise InputError(f"bounds.{name}: expected one of {', '.join(BOUNDS)}")
    return BOUNDS[name]._replace(value=value)


# -- settings ---------------------------------------------------------------------------------------------------------


class Sweep(NamedTuple):
    """What a setting changes: the circuit before it is drawn, or the job."""

    label: str
    circuit: Callable[[Circuit, Any], Circuit] = lambda circuit, value: circuit
    job: Callable[[Job, Any, int], Job] = lambda job, value, seed: job


def _with_method(circuit: Circuit, method: str) -> Circuit:
    named = {f"neurons.{n}.method": method for n, neuron in circuit.neurons.items() if neuron.equations.strip()}
    return circuit.with_parameters(named)


SWEEPS: dict[str, Sweep] = {
    "dt": Sweep("Time step"),
    "methods": Sweep("Integrator", circuit=_with_method),
    "weight_bits": Sweep("Weights in bits", job=lambda job, bits, seed: coarse_weights(job, bits)),
    "weight_noise": Sweep("Noise on weights, relative", job=noisy_weights),
    "drive_noise": Sweep("Share of drive spikes redrawn", job=redrawn_spikes),
    "delay_jitter": Sweep(
        "Jitter of delays", job=lambda job, sd, seed: jittered_delays(job, expect(sd, TIME), seed)
    ),
}  # fmt: skip
"""Key of the configuration -> what it changes; ``dt`` refines the grid of the finished job."""


def _with_cpu_time(wanted: tuple[str, ...], task: Run) -> tuple[xr.DataArray, float]:
    start = time.process_time()
    return _statistics(wanted, task), time.process_time() - start


def _statistics(wanted: tuple[str, ...], task: Run) -> xr.DataArray:
    """Statistics of one network: (population, trial, statistic)."""
    config = task.config
    sweep = SWEEPS.get(task.sweep, Sweep(""))
    circuit = sweep.circuit(task.circuit, task.value)
    program = lower(circuit)
    realisation = replace(realise(circuit, task.wiring), seed=task.noise)
    job = prepare(circuit, program, realisation, None, config.duration)
    job = sweep.job(job, task.value, task.wiring)
    if task.sweep == "dt":
        job = refine(circuit, job, realisation, task.value, config.pulses)
    recording = build(
        job, execute(job, *split_engine(config.engine)), {"circuit": circuit.name, "seed": task.wiring}, {}
    )
    return activity_statistics(
        recording, statistics=wanted, bin_ms=config.bin_ms, start_ms=expect(config.discard, TIME)
    )


# -- what is shown ----------------------------------------------------------------------------------------------------


def _table(circuit: Circuit, config: FidelityConfig, compared: Mapping[tuple[str, Any], Fidelity]) -> Table:
    rows = []
    for (sweep, value), found in compared.items():
        t = found.table
        share = np.abs(t["difference"].values) / t["bound"].values
        if not np.isnan(share).all():
            p, s = np.unravel_index(int(np.nanargmax(share)), share.shape)
            worst = t.isel(population=p, statistic=s)
            unit, scale = (" %", 100) if bool(worst["relative"]) else ("", 1)
            place = f"{worst['population'].item()} {worst['statistic'].item()}"
            size = f"{scale * float(worst['difference']):+.3g}{unit} ({scale * float(worst['low']):+.3g} to {scale * float(worst['high']):+.3g})"
            design = f"{float(worst['power']):.2g}, {scale * float(worst['detectable']):.3g}{unit}"
            beside = ", ".join(f"{scale * float(v):.2g}" for v in worst["spread"].values)
        else:
            place, size, design, beside = "none defined", "", "", ""
        counts = [int((t["verdict"] == v).sum()) for v in ("equivalent", "different", "inconclusive")]
        rows.append(
            [
                f"{SWEEPS[sweep].label}: {value}",
                found.verdict,
                " / ".join(map(str, counts)),
                place,
                size,
                design,
                beside,
            ]
        )
    bounds = ", ".join(f"{n} {v:g}{' (relative)' if BOUNDS[n].relative else ''}" for n, v in config.bounds.items())
    return Table(
        caption=(
            f"{circuit.name} against itself at dt = {circuit.dt}, {config.networks} networks, {config.duration} of which the first "
            f"{config.discard} are left out. A statistic is equivalent where its simultaneous 95 % interval (paired by network) lies within "
            f"the bound, different where it lies outside, else inconclusive. Bounds: {bounds}. Power: how often no difference would be called equivalent; detectable: the true difference that "
            "would be called different in 80 % of repetitions. Yardsticks: standard deviation of the "
            "same statistic over new noise and over new wiring."
        ),
        columns=["Setting", "Verdict", "Equivalent / different / inconclusive", "Largest for its bound", "Difference", "Power, detectable", "New noise, new wiring"],
        rows=rows,
    )  # fmt: skip


def _plain(found: Fidelity) -> dict[str, Any]:
    t = found.table
    return {
        "statistics": [
            {
                "population": str(p), "statistic": str(s), "verdict": str(t["verdict"].sel(population=p, statistic=s).item()),
                **{k: float(t[k].sel(population=p, statistic=s)) for k in ("a", "b", "difference", "low", "high", "power", "detectable")},
                "bound": float(t["bound"].sel(statistic=s)),
                "spread": {str(y): float(t["spread"].sel(yardstick=y, population=p, statistic=s)) for y in t["yardstick"].values},
            }
            for p in t["population"].values for s in t["statistic"].values
        ]
    }  # fmt: skip
