"""The trained network as a biophysical simulation: other time steps, integrators and numbers, jumps held or with their charge, and lesions."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from scipy.special import exprel

from ...job import Job
from ...lower import lower
from ...perturb import lost_spikes, noisy_weights
from ...realise import realise
from ...recording import build
from ...refine import refine
from ...run import execute, prepare, split_engine
from ...spec import Circuit, to_plain
from ...units import TIME, expect
from ...validate import validate
from ..arms import Run
from ..fidelity import SWEEPS, Sweep
from .config import Biophysics, ColumnConfig
from .networks import rows
from .score import errors_by_kind, predicted_frames
from .statistics import activity, by_cell, probes
from .training import INTACT, held_out, trained

BIOPHYSICS, REFERENCE = "biophysics", "as trained"
HELD = "dt, jumps held"
"""Sweep over time steps of the network whose jumps do not conserve charge; at 1 ms it is the same network."""
RELEASING = {"u", "x"}
"""States of terminals."""
NOISE = "synaptic noise"
"""Sweep over shares of background spikes that are lost, their weights as much larger."""


class Simulation(NamedTuple):
    """One network under one setting, lesioned or not; at its own step and without a disturbance it runs in torch, where it was trained."""

    config: ColumnConfig
    settings: Biophysics
    folder: Path
    seed: int
    sweep: str = ""
    value: Any = None
    lesion: str = ""

    @property
    def engine(self) -> str:
        return self.config.engine if self.sweep else "torch"

    @property
    def name(self) -> str:
        setting = f"{self.sweep} {self.value}" if self.sweep else REFERENCE
        return f"{setting}, without {self.lesion}" if self.lesion else setting


def simulate(simulation: Simulation) -> Run:
    """Held-out sequences: errors by kind of frame, activity, plateaus and bursts."""
    config, seed = simulation.config, simulation.seed
    circuit = trained(config, simulation.folder, seed, simulation.lesion or INTACT)
    scans = held_out(config, seed, simulation.settings.sequences)
    inputs = rows(circuit, config.frame_code, scans, np.random.default_rng([seed, 106]))
    recording = recorded(circuit, inputs, simulation)
    ms = round(config.code.ms / float(recording.attrs["dt_ms"]))
    measured = {**errors_by_kind(predicted_frames(recording, ms), scans), **activity(circuit, recording)}
    cells = {} if simulation.lesion else {"by cell": by_cell(recording)}
    return Run(BIOPHYSICS, simulation.name, seed, {**measured, **cells, "trainings": 0})


def simulations(config: ColumnConfig, settings: Biophysics, folder: Path) -> list[Simulation]:
    """Every setting and, at the trained step in torch and at a fine one in Brian2, every lesion."""
    own, fine = ("", None), ("dt", settings.fine)
    steps = dict.fromkeys((*settings.dt, settings.fine))
    intact: list[tuple[str, Any]] = [own, *(("dt", dt) for dt in steps), *((HELD, dt) for dt in settings.dt)]
    intact += [(NOISE, share) for share in settings.synaptic_noise]
    intact += [(sweep, value) for sweep in SWEEPS if sweep != "dt" for value in getattr(settings, sweep)]
    wanted: list[tuple[str, Any, str]] = [(*each, "") for each in intact]
    wanted += [(*each, lesion) for each in (own, fine) for lesion in config.lesions]
    return [Simulation(config, settings, folder, seed, *each) for each in wanted for seed in config.seeds]


def recorded(circuit: Circuit, inputs: dict[str, np.ndarray], simulation: Simulation) -> xr.DataTree:
    """A run of the job, disturbed or refined as its sweep says."""
    sweep = OWN_SWEEPS.get(simulation.sweep, Sweep(""))
    circuit = sweep.circuit(circuit, simulation.value)
    realisation = realise(circuit, simulation.seed)
    wanted = probes(circuit, currents=not simulation.sweep)  # a fine step would make them large
    job = prepare(circuit, lower(circuit), realisation, inputs, probes=wanted)
    job = sweep.job(job, simulation.value, simulation.seed)
    if simulation.sweep in ("dt", HELD):
        job = refine(circuit, job, realisation, simulation.value)
    elif simulation.sweep == "methods":  # at the trained step an integrator is told from its step by nothing
        job = refine(circuit, job, realisation, simulation.settings.fine)
    return build(
        job, execute(job, *split_engine(simulation.engine)), {"circuit": circuit.name, "seed": simulation.seed}, {}
    )


def held(circuit: Circuit) -> Circuit:
    """The same network with jumps that are held over a step, as they are without charge conservation: equal at its own step, and only there.

    Each jump keeps the size that conservation gives it at the own step, ``(tau/dt)(1 - exp(-dt/tau))`` of the weight.
    """
    plain: dict[str, Any] = to_plain(circuit)
    dt = expect(circuit.dt, TIME)
    shares: dict[str, dict[str, float]] = {}
    for name, neuron in plain["neurons"].items():
        conserved = [port for port, fields in neuron.get("ports", {}).items() if fields.pop("charge", None)]
        taus = dict(re.findall(r"d(\w+)/dt = -\1/(\w+)", neuron.get("equations", "")))
        share = {state: float(exprel(-dt / expect(neuron["parameters"][tau], TIME))) for state, tau in taus.items()}
        shares[name] = {port: share[port] for port in conserved}
        for state, tau in taus.items() if conserved else ():
            neuron["reset"] = neuron["reset"].replace(f"exprel(-dt/{tau})", repr(share[state]))
    for projection in plain["projections"].values():
        onto = shares[plain["populations"][projection["post"]]["neuron"]]
        ports = projection.pop("deliver", None) or {projection.pop("port"): "1"}
        projection["deliver"] = {
            port: f"{onto[port]!r}*({factor})" if port in onto else factor for port, factor in ports.items()
        }
    return validate(Circuit(**plain))


def noisy_synapses(job: Job, relative: float, seed: int) -> Job:
    """Noise on the weights of synapses. What takes an axon's spikes to its terminals is none: a little less than its 1 and they would never release."""
    terminals = {p.name for p in job.program.populations if set(p.states) >= RELEASING}
    kept = {p.name: job.edges[p.name] for p in job.program.pathways if p.post in terminals}
    return replace(job, edges={**noisy_weights(job, relative, seed).edges, **kept})


OWN_SWEEPS: dict[str, Sweep] = {
    **SWEEPS,
    "weight_noise": SWEEPS["weight_noise"]._replace(job=noisy_synapses),
    HELD: Sweep("Time step, jumps held", circuit=lambda circuit, dt: held(circuit)),
    NOISE: Sweep(
        "Share of background spikes lost", job=lambda job, share, seed: lost_spikes(job, "background", share, seed)
    ),
}
"""What each sweep changes, those of the fidelity experiment among them."""
