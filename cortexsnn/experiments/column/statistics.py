"""Statistics of a trained column's activity that no loss saw."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from ...analysis import (
    bursts,
    ei_balance,
    mean_correlation,
    neuron_rates,
    pairwise_correlation,
    plateaus,
    synaptic_current,
)
from ...lower import lower
from ...neurons.cortical import RECEPTORS
from ...spec import Circuit
from ...units import parse_quantity
from .networks import PYRAMIDAL, cells, class_of

REVERSALS = {g: parse_quantity(RECEPTORS[e]).value for g, e in (("g_As", "E_E"), ("g_Gs", "E_I"))}
"""Of the somatic conductances whose currents are weighed [mV]."""
BURST_MS, PLATEAU_MV, PLATEAU_MS, BIN_MS, LAG_MS = 16.0, -40.0, 10.0, 25.0, 20.0


def probes(circuit: Circuit, currents: bool = False) -> dict[str, Any]:
    """What :func:`activity` reads."""
    found: dict[str, Any] = {name: ["spikes"] for name in cells(circuit)}
    for name in PYRAMIDAL:
        if name in found:
            found[name] += ["Vd", *(("Vs", "g_As", "g_Gs") if currents else ())]
    output = lower(circuit).population("prediction").output
    return found | {"prediction": [output.target] if output else []}


def activity(circuit: Circuit, recording: xr.DataTree) -> dict[str, float]:
    """Spikes of all cells [1/s], rates of classes [Hz], bursts, plateaus, correlations, balance; NaN where nothing is defined."""
    found: dict[str, float] = {"spikes": 0.0}
    for name in cells(circuit):
        rate = neuron_rates(recording, name).mean("trial")
        found[f"rate {name}"] = float(rate.mean())
        found["spikes"] += float(rate.sum())
        if class_of(name) == "E":
            found[f"median over mean {name}"] = (
                float(rate.median() / rate.mean()) if float(rate.mean()) else float("nan")
            )
            found[f"silent {name}"] = float((rate == 0).mean())
            found[f"correlation {name}"] = mean_correlation(pairwise_correlation(recording, name, BIN_MS))
    for name in (n for n in PYRAMIDAL if n in recording.children):
        burst = bursts(recording, name, BURST_MS)
        events, many = float(burst["event_rate"].mean()), float(burst["burst_rate"].mean())
        found[f"bursts of events {name}"] = many / events if events else float("nan")
        if "Vd" in recording[name].data_vars:
            found[f"plateaus {name}"] = float(plateaus(recording, name, "Vd", PLATEAU_MV, PLATEAU_MS)["rate"].mean())
        if "g_Gs" in recording[name].data_vars:
            found |= {f"{key} {name}": value for key, value in _balance(recording, name).items()}
    return found


def by_cell(recording: xr.DataTree) -> dict[str, list[float]]:
    """Plateaus and bursts of every pyramidal cell, means over trials [Hz]."""
    found: dict[str, list[float]] = {}
    for name in (n for n in PYRAMIDAL if n in recording.children):
        rates = {
            "plateaus": plateaus(recording, name, "Vd", PLATEAU_MV, PLATEAU_MS)["rate"],
            "bursts": bursts(recording, name, BURST_MS)["burst_rate"],
        }
        found |= {f"{what} {name}": rate.mean("trial").values.round(4).tolist() for what, rate in rates.items()}
    return found


def _balance(recording: xr.DataTree, name: str) -> dict[str, float]:
    currents = (synaptic_current(recording, name, g, e, voltage="Vs") for g, e in REVERSALS.items())
    balance = ei_balance(*currents, dt_ms=float(recording.attrs["dt_ms"]), max_lag_ms=LAG_MS)
    return {
        "inhibition over excitation": float(balance["ratio"].median()),
        "E/I correlation": float(np.nanmean(balance["correlation"])),
    }
