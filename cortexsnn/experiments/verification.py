"""experiment=verify: prove a circuit equal between engines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..library import load
from ..lower import lower
from ..recording import save_recording, versions
from ..report import CircuitFacts, Fact, Provenance, ReportContent, write_json, write_report
from ..spec import Circuit
from ..specfile import save
from ..verify import verify
from . import NotProven
from .config import CircuitConfig, VerifyConfig, checked
from .rows import dale_rows, rate_rows, verification_rows


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
            "agree": found.agree, "class": found.met, "spikes_compared": found.n_spikes, "pairs": [str(c) for c in found.comparisons],
            "notes": list(found.notes), "config": config.model_dump(),
        },
    )  # fmt: skip
    write_report(
        folder / "report.html",
        ReportContent(
            title=f"{circuit.name}: the same step in {len(found.recordings)} engines",
            facts=[Fact("Spikes compared", str(found.n_spikes), found.met), Fact("Steps", str(found.n_steps), f"seed {found.seed}")],
            circuit=CircuitFacts(name=circuit.name, description=circuit.description, sources=circuit.sources, dt_ms=lower(circuit).dt),
            verification=verification_rows(found),
            rates=rate_rows(first),
            dale=dale_rows(circuit, config.seed),
            program=str(lower(circuit)),
            provenance=Provenance(
                command=f"cortexsnn experiment=verify circuit.name={config.circuit.name}", versions=versions(), seeds={"circuit": config.seed},
                hashes={"circuit": circuit.hash, "StepProgram": found.program_hash}, config=json.dumps(config.model_dump(), indent=2),
            ),
        ),
    )  # fmt: skip
    return str(found) if found.agree else NotProven(found)
