"""experiment=fi_curves: what inhibition does to the f-I curves of the E cells of the three lateral-inhibition circuits.

"Divisive" is a statement about curves: the gain falls, the offset stays. Each cell is driven by a constant excitation, with and
without noise on it, at several strengths of inhibition; gain and offset are fitted and the verdict follows from them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from tqdm import tqdm

from ..analysis.gain import effect_of_inhibition
from ..errors import InputError
from ..library import load
from ..recording import versions
from ..report import Provenance, ReportContent, Table, write_json, write_report, write_text
from ..run import simulate
from ..spec import Circuit
from .arms import as_markdown, as_text
from .config import FiConfig, checked


class CellUnderTest(NamedTuple):
    """An E cell: circuit it is from, ports for drive and inhibition (port -> weight), range of drive, strengths, noise [unit of drive]."""

    circuit: str
    drive: str
    unit: str
    inhibition: Mapping[str, float]
    inhibition_unit: str
    highest: float
    strengths: tuple[float, ...]
    noise: float
    ceiling: float = 0.5


# Subtractive and divisive weights as E-I Init sets them for 64 inputs of rate 0.2: W_EI sums to 1, g_I = 0.375.
CELLS = {
    "published": CellUnderTest("lateral_inhibition", "I_EE", "1", {"I_sub": 1.0, "I_div": 0.375}, "1", 3.5, (0.25, 0.5, 1.0, 2.0), 0.1),
    "published, divisor only": CellUnderTest("lateral_inhibition", "I_EE", "1", {"I_div": 0.375}, "1", 1.0, (0.25, 0.5, 1.0, 2.0), 0.1),
    "local": CellUnderTest("lateral_inhibition_local", "I_EE", "1", {"I_sub": 1.0, "I_div": 0.375}, "1", 3.5, (0.0, 0.5, 1.0, 2.0), 0.1),
    "local, divisor only": CellUnderTest("lateral_inhibition_local", "I_EE", "1", {"I_div": 0.375}, "1", 1.2, (0.0, 0.5, 1.0, 2.0), 0.1),
    "recurrent (shunt)": CellUnderTest("lateral_inhibition_recurrent", "I", "pA", {"g_i": 1.0}, "nS", 2000.0, (0.0, 2.0, 4.0, 8.0), 400.0, 0.2),
}  # fmt: skip
"""The shunt's strength is the conductance that arrives per step; it decays with the cell's own time constant."""
E_CELLS = ("ei_excitatory", "cell")


def run(values: Mapping[str, Any], folder: Path) -> str:
    """Run the experiment into ``folder`` and return its table."""
    from ..analysis.figures_arms import fi_curves
    from ..analysis.figures_style import to_png

    config = checked(FiConfig, values)
    curves: dict[str, xr.DataArray] = {}
    for name, cell in tqdm(CELLS.items(), desc="f-I curves", unit="cell"):
        for noisy in (False, True):
            curves[f"{name}, {'noise' if noisy else 'no noise'}"] = _curves(cell, cell.noise if noisy else 0.0, config)
    try:
        effects = {
            name: effect_of_inhibition(data, CELLS[name.rsplit(", ", 1)[0]].ceiling) for name, data in curves.items()
        }
    except ValueError as error:
        raise InputError(f"points: {error}; {config.points} are too few") from None
    table = Table(
        caption=(
            "What inhibition does to f-I curves of isolated E cells: threshold-linear fits at the weakest and the strongest inhibition, which is "
            "given from outside, not by the cell's own interneurons. Divisive: the gain falls by more than 10 % and the offset stays within 10 % of "
            "the drive that takes the least inhibited cell from silence to the end of the fit; subtractive: the gain stays, the offset rises; both: "
            "the gain falls, the offset rises. Without noise the curves are staircases (a spike every n steps), and the errors of their fits too small."
        ),
        columns=[
            "Cell",
            "Inhibition",
            "Gain ratio",
            "Offset shift [% of range]",
            "Fit error [% of peak]",
            "Inhibition is",
        ],
        rows=[_row(name, e) for name, e in effects.items()],
    )
    labels = {name: f"Drive [{CELLS[name.rsplit(', ', 1)[0]].unit}]" for name in curves}
    figure = fi_curves(curves, drive_labels=labels)
    (folder / "figure-1.png").write_bytes(to_png(figure))
    settings = config.model_dump()
    facts = f"{config.points} cells with a drive of their own each, {config.steps} steps, seed {config.seed}; seconds."
    page = as_markdown("What inhibition does to f-I curves", config.command, facts, table, [], 1)
    write_text(folder / "results.md", page)
    write_json(folder / "results.json", {
        "experiment": "fi_curves", "command": config.command, "versions": versions(), "config": settings,
        "table": {"columns": list(table.columns), "rows": [list(r) for r in table.rows]},
        "curves": {n: {"drive": c["drive"].values.round(6), "inhibition": c["inhibition"].values, "rate": c.values.round(5)} for n, c in curves.items()},
    })  # fmt: skip
    write_report(folder / "report.html", ReportContent(
        title="What inhibition does to f-I curves", results=table,
        figures=[("f-I curves of the E cells of three circuits; darker is more inhibition.", figure)],
        provenance=Provenance(command=config.command, versions=versions(), seeds={"noise": config.seed}, config=json.dumps(settings, indent=2)),
    ))  # fmt: skip
    return "\n".join(["f-I curves under inhibition", *as_text(table)])


def _curves(cell: CellUnderTest, noise: float, config: FiConfig) -> xr.DataArray:
    """Spikes per step, (inhibition, drive): every drive is a cell, every strength a trial."""
    drives = np.linspace(0.0, cell.highest, config.points)
    circuit = _single(cell, config.points)
    random = np.random.default_rng(config.seed)
    shape = (config.steps, len(cell.strengths), config.points)
    rows = {"drive": drives + noise * random.standard_normal(shape)}
    rows["inhibition"] = np.broadcast_to(np.array(cell.strengths)[:, None], (config.steps, len(cell.strengths), 1))
    recording = simulate(circuit, rows, engine="torch")
    rate = recording["E"]["spikes"].isel(step=slice(config.steps // 10, None)).mean("step").transpose("trial", "neuron")
    return xr.DataArray(
        rate.values, dims=("inhibition", "drive"), coords={"inhibition": list(cell.strengths), "drive": drives}
    )


def _single(cell: CellUnderTest, n: int) -> Circuit:
    """``n`` unconnected E cells of the circuit, each with a drive of its own and all with the same inhibition."""
    source = load(cell.circuit)
    name = next(p for p in E_CELLS if p in source.neurons)
    neuron = source.neurons[name].model_dump()
    ports = neuron["ports"]
    projections: dict[str, Any] = {
        "drive_E": {"pre": "drive", "post": "E", "port": cell.drive, "connect": "one_to_one", "weight": 1.0}
    }
    for port, weight in cell.inhibition.items():
        projections[f"inhibition_{port}"] = {
            "pre": "inhibition",
            "post": "E",
            "port": port,
            "connect": "all",
            "weight": weight,
        }
    neuron["ports"] = {key: {**value, "receptor": "any"} for key, value in ports.items()}
    parameters = source.populations["E1"].parameters
    return Circuit(
        name="single", dt=source.dt, neurons={"cell": neuron},
        populations={"E": {"size": n, "neuron": "cell", "transmitter": "mixed", "parameters": dict(parameters)}},
        inputs={
            "drive": {"size": n, "kind": "current", "unit": cell.unit},
            "inhibition": {"size": 1, "kind": "current", "unit": cell.inhibition_unit, "transmitter": "inhibitory"},
        },
        projections=projections,
    )  # fmt: skip


def _row(name: str, effect: xr.Dataset) -> list[str]:
    low, high = (float(effect["inhibition"][k]) for k in (0, -1))
    last = effect.isel(inhibition=-1)
    return [
        name, f"{low:g} to {high:g}", f"{float(last['gain_ratio']):.2f} ± {float(last['gain_ratio_se']):.2f}",
        f"{100 * float(last['offset_shift']):+.0f} ± {100 * float(last['offset_shift_se']):.0f}",
        f"{100 * float(effect['residual'].max()):.0f}", str(effect.attrs["verdict"]),
    ]  # fmt: skip
