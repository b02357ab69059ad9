"""experiment=simulate: run a circuit on one engine and keep the recording."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..analysis import population_rates
from ..recording import count_spikes, save_recording
from ..report import write_json
from ..run import simulate
from ..specfile import save
from .config import SimulateConfig, checked
from .inputs import read_inputs
from .verification import circuit_of


def run(values: Mapping[str, Any], folder: Path) -> str:
    """Run the experiment into ``folder`` and return a summary."""
    config = checked(SimulateConfig, values)
    circuit = circuit_of(config.circuit)
    recording = simulate(
        circuit,
        read_inputs(config.inputs),
        duration=config.duration,
        engine=config.engine,
        trials=config.trials,
        seed=config.seed,
    )
    save(circuit, folder / "circuit.yaml")
    save_recording(recording, folder / "recording.zarr")
    rates = population_rates(recording)
    found = {str(p): float(rates["mean"].sel(population=p)) for p in rates["population"].values}
    write_json(
        folder / "summary.json",
        {"spikes": count_spikes(recording), "mean_rate_hz": found, "config": config.model_dump()},
    )
    shown = ", ".join(f"{name} {rate:.2f} Hz" for name, rate in found.items())
    return f"{circuit.name} on {recording.attrs['engine']}: {count_spikes(recording)} spikes; {shown}"
