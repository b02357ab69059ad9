"""simulate: a circuit, its drive and an engine to a recording."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from . import expression as ex
from .drive import Drive
from .errors import EngineError, InputError, UnitError, unknown
from .grid import MAX_STEPS, read_steps
from .job import SPIKES, Job, Traces, check_final
from .lower import constants, lower, rule_numbers
from .probes import check_probes, narrowed, probe_names, widened
from .program import StepProgram
from .realise import Realisation, realise
from .recording import build, check_place, load_recording, save_recording
from .refine import Pulses, refine
from .spec import Circuit
from .units import parse_unit
from .validate import validate

ENGINES = ("numpy", "torch", "brian2")
TARGETS = ("numpy", "cython", "cpp_standalone", "cuda_standalone")


def simulate(
    circuit: Circuit,
    inputs: Mapping[str, Any] | None = None,
    duration: str | None = None,
    engine: str = "numpy",
    target: str | None = None,
    probes: Mapping[str, Any] | None = None,
    trials: int | None = None,
    seed: int = 0,
    dtype: str = "float64",
    dt: str | None = None,
    pulses: Pulses = "hold",
    path: str | Path | None = None,
) -> xr.DataTree:
    """Run a circuit.

    Parameters
    ----------
    circuit : Circuit
    inputs : mapping, optional
        Input name -> array (step, trial, channel) or (step, channel) in its unit; Poisson inputs draw their own.
    duration : str, optional
        For example "500 ms"; the number of rows where inputs are given, else the circuit's own duration.
    engine : {"numpy", "torch", "brian2"}
        "brian2:cpp_standalone" names the target as well.
    target : {"numpy", "cython", "cpp_standalone", "cuda_standalone"}, optional
        Code generation of Brian2; numpy unless stated. Where CUDA cannot run, a warning says why, cpp_standalone runs in its
        place, and the recording's attributes ``requested_target`` and ``fallback_reason`` keep it.
    probes : mapping, optional
        Population -> names to record, or a mapping of names to cells; "sum(v)" and "mean(v)" are over the population. Spikes
        of every spiking and the output of every graded population if left out.
    trials : int, optional
        From the inputs, else 1.
    seed : int
        Edges, parameters and initial state depend on it; Poisson spikes on (seed, trial, name).
    dtype : {"float64", "float32"}
        float32 is for torch only.
    dt : str, optional
        A whole part of the circuit's own dt, to see what the step costs; the drive and all draws stay as they are.
    pulses : {"hold", "charge"}
        On a finer grid: a spike's pulse held for the circuit's own dt, or given at once with the same charge.
    path : path, optional
        Also write the recording there, as :func:`save_recording` does, and return it with its numbers left on disk (with dask,
        extra ``scale``): for recordings larger than memory, of target cpp_standalone, which writes while it runs.

    Returns
    -------
    xarray.DataTree
        One node per recorded population, dims trial, step, neuron; see ``docs/format.md``.

    Raises
    ------
    SpecError, InputError, EngineError, NumericalError
    """
    engine, target = split_engine(engine, target)
    if dtype not in ("float64", "float32") or (dtype == "float32" and engine != "torch"):
        raise EngineError(f"dtype: expected float64, or float32 with engine='torch'; got {dtype!r} with '{engine}'")
    if path is not None:
        check_place(path)
    target, fallback = _possible(target)
    program = lower(validate(circuit))
    realisation = realise(circuit, seed)
    job = prepare(circuit, program, realisation, inputs, duration, probes, trials)
    if dt is not None:
        job = refine(circuit, job, realisation, dt, pulses)
    traces = execute(job, engine, target, dtype)
    provenance = {
        "circuit": circuit.name, "circuit_hash": circuit.hash, "description": circuit.description, "seed": int(seed),
        "engine": engine if engine != "brian2" else f"brian2:{target}", "dtype": dtype, **fallback,
    }  # fmt: skip
    recording = build(job, traces, provenance, {name: p.shape for name, p in circuit.populations.items()})
    if path is None:
        return recording
    return load_recording(save_recording(recording, path), lazy=find_spec("dask") is not None)


def _possible(target: str) -> tuple[str, dict[str, str]]:
    """The target that runs in place of one that cannot run here, said aloud, and attributes that keep what was asked for."""
    if target != "cuda_standalone":
        return target, {}
    from .emit.cuda_toolkit import why_not

    reason = why_not()
    if reason is None:
        return target, {}
    warnings.warn(f"target 'cuda_standalone' cannot run here: {reason}; running 'cpp_standalone' instead", stacklevel=3)
    return "cpp_standalone", {"requested_target": target, "fallback_reason": reason}


def execute(job: Job, engine: str, target: str = "numpy", dtype: str = "float64") -> Traces:
    """Run a job on one engine; each is imported only when it is used.

    Raises
    ------
    EngineError
        The engine cannot run it.
    NumericalError
        A state, or a weight by its rule, became NaN or infinite.
    """
    traces = _executed(job, engine, target, dtype)
    check_final(job.program, traces)
    return traces


def _executed(job: Job, engine: str, target: str, dtype: str) -> Traces:
    if engine == "numpy":
        from .emit import to_numpy

        return to_numpy.run(job)
    if engine == "torch":
        from .emit import to_torch_run

        return to_torch_run.run(job, dtype)
    from .emit import to_brian2

    if target == "cpp_standalone":
        return to_brian2.run(job, target)
    return narrowed(job, to_brian2.run(widened(job), target))


def split_engine(engine: str, target: str | None = None) -> tuple[str, str]:
    """``("brian2", "cpp_standalone")`` from "brian2:cpp_standalone".

    Raises
    ------
    EngineError
        Unknown, or a target for an engine that has none.
    """
    name, _, suffix = str(engine).partition(":")
    if name not in ENGINES:
        raise EngineError(unknown("engine", name, ENGINES))
    if suffix and target and suffix != target:
        raise EngineError(f"engine '{engine}' and target '{target}' contradict each other; give one")
    chosen = suffix or target
    if chosen and name != "brian2":
        raise EngineError(f"engine '{name}' has no targets; leave target out")
    if chosen and chosen not in TARGETS:
        raise EngineError(unknown("target", chosen, TARGETS))
    return name, chosen or "numpy"


def prepare(
    circuit: Circuit,
    program: StepProgram,
    realisation: Realisation,
    inputs: Mapping[str, Any] | None = None,
    duration: str | None = None,
    probes: Mapping[str, Any] | None = None,
    trials: int | None = None,
) -> Job:
    """Check inputs, duration, probes and trials, and put a job together.

    Raises
    ------
    InputError
        Names, shapes, types or times that do not fit.
    """
    if not isinstance(inputs, Mapping | None):
        raise InputError(f"inputs: expected a mapping of names to arrays, got {type(inputs).__name__}")
    given = {name: _array(circuit, name, values) for name, values in (inputs or {}).items()}
    n_steps = _n_steps(circuit, program.dt, given, duration)
    n_trials = _n_trials(given, trials)
    if n_steps * n_trials > MAX_STEPS:
        raise InputError(f"trials: {n_trials} of {n_steps} steps are more than 2**31 steps in one run; split them")
    drive: dict[str, Drive] = {}
    for name, source in circuit.inputs.items():
        if name in given:
            rows = np.broadcast_to(given[name], (n_steps, n_trials, source.n))
            drive[name] = np.ascontiguousarray(rows.transpose(1, 0, 2))
        elif source.kind == "poisson":
            drive[name] = realisation.poisson_drive(name, n_trials, n_steps)
        elif name in realisation.rows:
            rows = realisation.own_rows(name, 0, n_steps)
            drive[name] = np.ascontiguousarray(np.broadcast_to(rows, (n_trials, *rows.shape)))
        else:
            remedy = f"pass inputs={{'{name}': array of (step, trial, {source.n})}}"
            raise InputError(f"inputs.{name}: nobody drives it; {remedy}")
    if probes is None:
        probes = {p.name: [SPIKES] if p.threshold else [p.output.target] for p in program.populations if p.emits}  # type: ignore[union-attr]
    checked, cells = check_probes(program, probes, {name: e.pre.size for name, e in realisation.edges.items()})
    return Job(
        program=program,
        constants=constants(program, realisation),
        initial=realisation.initial,
        edges=realisation.edges,
        drive=drive,
        probes=checked,
        n_trials=n_trials,
        n_steps=n_steps,
        cells=cells,
        rules=rule_numbers(program, realisation),
    )


def all_probes(program: StepProgram) -> dict[str, tuple[str, ...]]:
    """Every state, output, spike and distance of every population: what a proof of equality looks at."""
    return {p.name: tuple(n for n in probe_names(p) if n not in p.ports) for p in program.populations}


def _array(circuit: Circuit, name: str, values: Any) -> np.ndarray:
    """One input as (step, trial, channel) in coherent units."""
    if name not in circuit.inputs:
        raise InputError(f"inputs: {unknown('input', name, circuit.inputs)}")
    source = circuit.inputs[name]
    wanted = f"(step, trial, {source.n}) or (step, {source.n})"
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:  # ragged lists, tensors that need gradients
        raise InputError(f"inputs.{name}: expected an array {wanted}; {ex.shorten(str(error))}") from None
    if array.dtype.kind not in "biuf":
        raise InputError(f"inputs.{name}: expected real numbers, got an array of {array.dtype}; convert it")
    shape = array.shape
    if array.ndim == 2:
        array = array[:, None, :]
    if array.ndim != 3 or array.shape[2] != source.n or array.shape[0] < 1 or array.shape[1] < 1:
        raise InputError(f"inputs.{name}: expected shape {wanted}, got {shape}")
    if source.kind == "current":
        with np.errstate(over="ignore"):
            array = array.astype(np.float64) * parse_unit(source.unit).value
    elif source.sources is not None:
        array = array.astype(np.float64)
        if np.isfinite(array).all() and ((array < 0) | (array != np.rint(array))).any():
            raise InputError(f"inputs.{name}: expected counts of spikes, whole numbers >= 0; correct them")
    elif np.isfinite(array).all() and not np.isin(array, (0, 1)).all():
        raise InputError(f"inputs.{name}: spikes are 0 or 1; for graded values declare the input with kind: current")
    if not np.isfinite(array).all():
        step, trial, channel = (int(i[0]) for i in np.nonzero(~np.isfinite(array)))
        where = f"step {step}, trial {trial}, channel {channel}"
        raise InputError(f"inputs.{name}: {array[step, trial, channel]} at {where}; give finite numbers")
    is_spikes = source.kind != "current" and source.sources is None
    return array.astype(bool) if is_spikes else array


def _n_steps(circuit: Circuit, dt: float, given: Mapping[str, np.ndarray], duration: str | None) -> int:
    rows = {name: array.shape[0] for name, array in given.items()}
    if len(set(rows.values())) > 1:
        raise InputError(f"inputs: different numbers of steps: {', '.join(f'{n} {r}' for n, r in rows.items())}")
    wanted = duration if duration is not None or rows else circuit.duration
    if wanted is None and not rows:
        raise InputError("duration: not stated by circuit, inputs or call; pass duration='500 ms'")
    if wanted is None:
        return next(iter(rows.values()))
    try:
        steps = read_steps(wanted, dt)
    except UnitError as error:
        raise InputError(f"duration: {error}") from None
    if steps < 1:
        raise InputError(f"duration: expected at least one step of {dt:g} ms, got '{wanted}'")
    for name, n in rows.items():
        if n != steps:
            raise InputError(f"duration: '{wanted}' is {steps} steps, inputs.{name} has {n} rows; leave duration out")
    return steps


def _n_trials(given: Mapping[str, np.ndarray], trials: int | None) -> int:
    counts = {name: array.shape[1] for name, array in given.items() if array.shape[1] != 1}
    if trials is not None and (isinstance(trials, bool) or not isinstance(trials, int | np.integer) or trials < 1):
        raise InputError(f"trials: expected an integer above 0, got {trials!r:.60}")
    if len(set(counts.values())) > 1:
        raise InputError(f"inputs: different numbers of trials: {', '.join(f'{n} {c}' for n, c in counts.items())}")
    found = next(iter(counts.values()), None)
    if trials is not None and found is not None and trials != found:
        raise InputError(f"trials: {trials} wanted, the inputs have {found}")
    return int(trials or found or 1)
