"""experiment=verify: prove a circuit equal between engines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..library import load
from ..lower import lower
from ..recording import save_recording, versions
from ..report import Fact, Provenance, ReportContent, ReportFigure, write_json, write_report
from ..spec import Circuit
from ..specfile import save
from ..verify import Verification, verify
from . import NotProven
from .config import CircuitConfig, VerifyConfig, checked
from .inputs import read_inputs
from .rows import circuit_facts, dale_rows, pairs, rate_rows, verification_rows

MOST_STEPS_SHOWN = 5000


def circuit_of(config: CircuitConfig) -> Circuit:
    """The circuit a configuration names."""
    circuit = load(config.name, **config.arguments)
    return circuit.with_parameters(config.parameters) if config.parameters else circuit


def run(values: Mapping[str, Any], folder: Path) -> str:
    """Run the experiment into ``folder`` and return the verification as text."""
    config = checked(VerifyConfig, values)
    circuit = circuit_of(config.circuit)
    found = verify(
        circuit,
        read_inputs(config.inputs),
        duration=config.duration,
        engines=config.engines,
        seed=config.seed,
        trials=config.trials,
        minimum_spikes=config.minimum_spikes,
    )
    save(circuit, folder / "circuit.yaml")
    for name, recording in found.recordings.items():
        save_recording(recording, folder / f"recording-{name.replace(':', '-')}.zarr")
    first = next(iter(found.recordings.values()))
    write_json(
        folder / "fidelity.json",
        {
            "experiment": "verify", "circuit": circuit.name, "circuit_hash": circuit.hash, "program_hash": found.program_hash,
            "agree": found.agree, "class": found.met, "spikes_compared": found.n_spikes, "pairs": pairs(found),
            "notes": list(found.notes), "versions": versions(), "config": config.model_dump(),
        },
    )  # fmt: skip
    write_report(
        folder / "report.html",
        ReportContent(
            title=f"{circuit.name}: the same step in {len(found.recordings)} engines",
            facts=[Fact("Spikes compared", str(found.n_spikes), found.met), Fact("Steps", str(found.n_steps), f"seed {found.seed}")],
            circuit=circuit_facts(circuit, config.seed),
            verification=verification_rows(found),
            rates=rate_rows(first),
            dale=dale_rows(circuit, config.seed),
            figures=_figures(found),
            program=str(lower(circuit)),
            provenance=Provenance(
                command=config.command, versions=versions(), seeds={"circuit": config.seed},
                hashes={"circuit": circuit.hash, "StepProgram": found.program_hash}, config=json.dumps(config.model_dump(), indent=2),
            ),
        ),
    )  # fmt: skip
    return str(found) if found.agree else NotProven(found)


def _figures(found: Verification) -> list[ReportFigure]:
    """The spikes of the first two engines on top of each other, and the rates."""
    from ..analysis import figures, spiking_populations

    first, second = list(found.recordings.values())[:2]
    if not spiking_populations(first):
        return []
    stop = min(found.n_steps, MOST_STEPS_SHOWN) * first.attrs["dt_ms"]
    caption = (
        f"Spikes of the first trial in {first.attrs['engine']} (open circles) and {second.attrs['engine']} (dots), the first {stop:g} ms. "
        "Every circle holds its dot where the engines agree; crosses mark spikes that only one of them has."
    )
    rates = "Firing rates over neurons, mean over trials; the thick bar spans the quartiles, the tick is the median."
    return [
        ReportFigure(caption, figures.raster_overlay(first, second, stop_ms=stop), "verification"),
        ReportFigure(rates, figures.rate_distributions(first), "rates"),
    ]
