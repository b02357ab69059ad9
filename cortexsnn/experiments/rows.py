"""Rows of report tables that several experiments share."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ..analysis import isi_cv, population_rates, spiking_populations
from ..lower import lower
from ..realise import realise
from ..report import CircuitFacts, DaleRow, PopulationRow, RateRow, VerificationRow
from ..spec import Circuit
from ..units import coherent_name
from ..values import dimension_of
from ..verify import Verification
from ..wiring import endpoint_name


def verification_rows(verification: Verification) -> list[VerificationRow]:
    """A row for every pair of engines."""
    rows = []
    for c in verification.comparisons:
        worst = int(c.table["max_relative"].values.argmax())
        spikes = c.table["n_different"].where(c.table["variable"] == "spikes", 0)
        rows.append(
            VerificationRow(
                engine_a=c.engines[0], engine_b=c.engines[1], met=c.met, spikes_compared=c.n_spikes,  # type: ignore[arg-type]
                spikes_differing=int(spikes.sum()), largest_relative=float(c.table["max_relative"][worst]),
                largest_variable=_variable(c.table, worst),
                first_difference=str(c.first_difference or ""),
            )
        )  # fmt: skip
    return rows


def _variable(table: xr.Dataset, row: int) -> str:
    """Population and variable of a row of a comparison; nothing where it found no difference."""
    if not table["max_relative"].values[row]:
        return ""
    return f"{table['population'].values[row]}.{table['variable'].values[row]}"


def pairs(verification: Verification) -> list[dict[str, object]]:
    """Every pair of engines, as data."""
    return [
        {
            "engines": list(c.engines), "class": c.met, "spikes_compared": c.n_spikes,
            "values_differing": int(c.table["n_different"].sum()), "largest_relative": float(c.table["max_relative"].max()),
            "first_difference": str(c.first_difference) if c.first_difference else None,
        }
        for c in verification.comparisons
    ]  # fmt: skip


def circuit_facts(circuit: Circuit, seed: int, task: str = "") -> CircuitFacts:
    """Inputs and populations in the order of a step."""
    program = lower(circuit)
    rows = [
        PopulationRow(
            name=d.name, kind="input", size=d.size, transmitter=circuit.inputs[d.name].transmitter, model=d.kind
        )
        for d in program.inputs
    ]
    rows += [
        PopulationRow(
            name=p.name, kind="spiking" if p.threshold else "graded", size=p.size, transmitter=p.transmitter,
            model=" + ".join(circuit.populations[p.name].pieces),
        )
        for p in program.in_stage_order
    ]  # fmt: skip
    return CircuitFacts(
        name=circuit.name, description=circuit.description, sources=circuit.sources, populations=rows, dt_ms=program.dt,
        n_synapses=sum(e.pre.size for e in realise(circuit, seed).edges.values()), task=task,
    )  # fmt: skip


def rate_rows(recording: xr.DataTree) -> list[RateRow]:
    """Activity of every spiking population."""
    found = population_rates(recording)
    rows = []
    for name in spiking_populations(recording):
        r = found.sel(population=name)
        cv = isi_cv(recording, name)
        defined = int(cv.attrs["n_defined"])
        rows.append(
            RateRow(
                population=name, transmitter=str(r["transmitter"].item()), n_neurons=int(r["n_neurons"]), n_spikes=int(r["n_spikes"]),
                mean_hz=float(r["mean"]), median_hz=float(r["median"]), std_hz=float(r["std"]), active=float(r["active_fraction"]),
                isi_cv=float(np.nanmean(cv)) if defined else None, n_cv=defined,
            )
        )  # fmt: skip
    return rows


def dale_rows(circuit: Circuit, seed: int) -> list[DaleRow]:
    """Stored magnitudes of every projection against the sign of its source."""
    edges = realise(circuit, seed).edges
    sources = {**circuit.populations, **circuit.inputs}
    rows = []
    for name, projection in circuit.projections.items():
        transmitter = sources[endpoint_name(projection.pre)].transmitter  # type: ignore[attr-defined]
        ports = [projection.port] if projection.port else list(projection.deliver or ())
        pieces = circuit.populations[endpoint_name(projection.post)].pieces
        receptors = {
            circuit.neurons[p].ports[port].receptor or "signed"
            for p in pieces
            for port in ports
            if port in circuit.neurons[p].ports
        }
        rows.append(
            DaleRow.from_weights(
                name,
                endpoint_name(projection.pre),
                transmitter,
                ", ".join(sorted(receptors)),
                edges[name].values,
                coherent_name(dimension_of(projection.weight)),
            )
        )
    return rows
