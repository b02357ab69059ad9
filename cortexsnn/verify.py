"""verify: the same circuit, numbers and drive in several engines, and proof that they did the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import xarray as xr

from .compare import DIFFERENT, Comparison, Difference, compare
from .emit.cuda_toolkit import require
from .errors import InputError, NumericalError
from .grid import read_steps
from .job import Job
from .lower import lower
from .program import StepProgram
from .realise import Realisation, realise, stream
from .recording import build, count_spikes
from .run import all_probes, execute, prepare, split_engine
from .spec import Circuit
from .validate import validate

DEFAULT_ENGINES = ("numpy", "torch", "brian2", "brian2:cpp_standalone")
STATE_LIMIT = 50_000_000
"""Recorded values per variable up to which every state is compared; beyond, spikes and outputs only."""


@dataclass(frozen=True)
class Verification:
    """What :func:`verify` found: ``agree``, ``first_difference``, ``table``, all pairs, the recordings; prints as text."""

    circuit: str
    circuit_hash: str
    program_hash: str
    seed: int
    n_steps: int
    n_trials: int
    minimum_spikes: int
    comparisons: tuple[Comparison, ...]
    recordings: Mapping[str, xr.DataTree]
    notes: tuple[str, ...]

    @property
    def n_spikes(self) -> int:
        """Spikes compared, in one engine."""
        return min(c.n_spikes for c in self.comparisons)

    @property
    def agree(self) -> bool:
        """Every pair agrees, over at least ``minimum_spikes`` spikes: silence agrees with everything."""
        return all(c.agree for c in self.comparisons) and self.n_spikes >= self.minimum_spikes

    @property
    def met(self) -> str:
        """The weakest exactness class over all pairs."""
        order = ("bitwise", "spike for spike", DIFFERENT)
        return max((c.met for c in self.comparisons), key=order.index)

    @property
    def first_difference(self) -> Difference | None:
        """The earliest difference over all pairs."""
        found = [c.first_difference for c in self.comparisons if c.first_difference]
        return min(found, key=lambda d: (d.trial, d.step)) if found else None

    @property
    def table(self) -> xr.Dataset:
        """All pairs: engines, class, spikes, differing spikes, largest relative difference."""
        rows = [
            (*c.engines, c.met, c.n_spikes, int(c.table["n_different"].sum()), float(c.table["max_relative"].max()))
            for c in self.comparisons
        ]
        names = ("engine_a", "engine_b", "met", "n_spikes", "n_different", "max_relative")
        return xr.Dataset(
            {name: ("pair", list(column)) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
        )

    def __str__(self) -> str:
        verdict = "AGREE" if self.agree else "DO NOT AGREE"
        if not self.agree and all(c.agree for c in self.comparisons):
            verdict = f"PROVE NOTHING: {self.n_spikes} spikes, at least {self.minimum_spikes} are needed; drive it more or longer"
        head = (
            f"{self.circuit} (circuit {self.circuit_hash}, program {self.program_hash}), seed {self.seed}, "
            f"{self.n_trials} trial(s) of {self.n_steps} steps: engines {verdict}"
        )
        return "\n".join([head, *(f"  {c}" for c in self.comparisons), *(f"  note: {n}" for n in self.notes)])


def verify(
    circuit: Circuit,
    inputs: Mapping[str, Any] | None = None,
    duration: str | None = None,
    engines: Iterable[str] = DEFAULT_ENGINES,
    seed: int = 0,
    trials: int | None = None,
    minimum_spikes: int | None = None,
) -> Verification:
    """Run a circuit in several engines and compare every pair.

    Parameters
    ----------
    circuit : Circuit
    inputs : mapping, optional
        As for :func:`simulate`. An input that nobody drives gets a seeded stimulus, and the report says so.
    duration : str, optional
        The circuit's own, else "500 ms".
    engines : iterable of str
        At least two of numpy, torch, brian2, brian2:cython, brian2:cpp_standalone, brian2:cuda_standalone. Nothing runs in
        place of CUDA here, as it does in :func:`simulate`: C++ compared with C++ would prove nothing.
    seed : int
    trials : int, optional
    minimum_spikes : int, optional
        Least number of spikes for an agreement; 1 where any population spikes.

    Raises
    ------
    SpecError, InputError, EngineError, NumericalError
    """
    if not isinstance(engines, Iterable):
        raise InputError(f"engines: expected names such as ('numpy', 'torch'), got {engines!r:.60}")
    chosen = list(dict.fromkeys(map(split_engine, [engines] if isinstance(engines, str) else engines)))
    if len(chosen) < 2:
        found = ", ".join(dict.fromkeys(name for name, _ in chosen)) or "none"
        raise InputError(f"engines: expected at least two different ones to compare, got {found}")
    if any(target == "cuda_standalone" for _, target in chosen):
        require()
    whole = isinstance(minimum_spikes, int | np.integer) and not isinstance(minimum_spikes, bool)
    if minimum_spikes is not None and not (whole and minimum_spikes >= 0):
        raise InputError(f"minimum_spikes: expected an integer >= 0, got {minimum_spikes!r:.60}")
    program = lower(validate(circuit))
    if duration is None and not inputs:
        duration = circuit.duration or "500 ms"
    realisation = realise(circuit, seed)
    given, notes = dict(inputs or {}), list(program.notes)
    undriven = [n for n, d in circuit.inputs.items() if n not in given and d.kind != "poisson" and d.rows is None]
    if undriven:
        given, found = _stimulus(circuit, program, realisation, given, undriven, duration, trials, seed)
        notes.append(found)
    job = prepare(circuit, program, realisation, given, duration, all_probes(program), trials)
    if job.n_trials * job.n_steps * max(p.size for p in program.populations) > STATE_LIMIT:
        job = prepare(circuit, program, realisation, given, duration, None, trials)
        notes.append("too large to compare every state: spikes and outputs are compared")
    if minimum_spikes is None:
        minimum_spikes = 1 if any(p.threshold for p in program.populations) else 0
    recordings = {}
    for engine, target in chosen:
        label = f"{engine}:{target}" if engine == "brian2" else engine
        traces = execute(job, engine, target)
        recordings[label] = build(
            job, traces, _provenance(circuit, label, seed), {n: p.shape for n, p in circuit.populations.items()}
        )
    comparisons = tuple(compare(recordings[a], recordings[b]) for a, b in combinations(recordings, 2))
    return Verification(
        circuit.name,
        circuit.hash,
        program.hash,
        seed,
        job.n_steps,
        job.n_trials,
        minimum_spikes,
        comparisons,
        recordings,
        tuple(notes),
    )


def _provenance(circuit: Circuit, engine: str, seed: int) -> dict[str, Any]:
    return {
        "circuit": circuit.name,
        "circuit_hash": circuit.hash,
        "seed": int(seed),
        "engine": engine,
        "dtype": "float64",
    }


def _stimulus(
    circuit: Circuit,
    program: StepProgram,
    realisation: Realisation,
    given: Mapping[str, Any],
    undriven: list[str],
    duration: str | None,
    trials: int | None,
    seed: int,
) -> tuple[dict[str, Any], str]:
    """A drive for undriven inputs: uniform currents, scaled up by fours until something spikes, and random spikes."""
    shapes = [np.shape(rows) for rows in given.values()]
    n_steps = shapes[0][0] if shapes else read_steps(duration or "500 ms", program.dt)
    n_trials = max((shape[1] for shape in shapes if len(shape) == 3), default=trials or 1)
    spiking = any(p.threshold for p in program.populations)
    enough, before = max(10, n_steps // 10), 0
    strength, found = 1.0, dict(given)
    for strength in (4.0**k for k in range(12)):
        candidate = dict(given)
        for name in undriven:
            source = circuit.inputs[name]
            drawn = stream(seed, "stimulus", name).random((n_steps, n_trials, source.n))
            candidate[name] = drawn * strength if source.kind == "current" else drawn < min(0.5, 0.05 * strength)
        job = prepare(circuit, program, realisation, candidate, None, None, trials)
        try:
            spikes = _spikes_in(circuit, job)
        except NumericalError:
            if strength == 1.0:
                raise
            strength /= 4  # the last one that the circuit could bear
            break
        found = candidate
        saturated = before >= 10 and spikes < 1.5 * before  # refractoriness, not the drive, limits the rate
        if not spiking or spikes >= enough or saturated:
            break
        before = spikes
    amounts = ", ".join(
        f"{n} (uniform in [0, {strength:g}) {circuit.inputs[n].unit})"
        if circuit.inputs[n].kind == "current"
        else f"{n} (random spikes)"
        for n in undriven
    )
    return found, f"nobody drives {amounts}: a stimulus was drawn with seed {seed}"


def _spikes_in(circuit: Circuit, job: Job) -> int:
    traces = execute(job, "numpy")
    return count_spikes(build(job, traces, _provenance(circuit, "numpy", 0), {}))
