"""The same job on a finer grid, to ask how much a result owes to its time step.

Everything drawn or rounded on the circuit's own dt stays: edges, delays, input rows, Poisson spikes. What changes is how often
the equations are integrated, and so also the grid on which neurons spike.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Literal

import numpy as np

from .drive import Drive
from .errors import InputError, UnitError
from .grid import to_steps
from .job import Job
from .lower import constants, lower, rule_numbers
from .program import Pathway, StepProgram
from .realise import Edges, Realisation
from .spec import Circuit
from .units import TIME, expect

Pulses = Literal["hold", "charge"]


def refine(circuit: Circuit, job: Job, realisation: Realisation, dt: str, pulses: Pulses = "hold") -> Job:
    """A job of the circuit on the grid of ``dt``.

    Delays and input rows keep their times; input spikes go to the first of the finer steps, numbers are held. A spike onto a
    pulse port acts for one of the circuit's own steps either way: held at its size, or given at once with its whole charge.

    Parameters
    ----------
    circuit : Circuit
        Valid.
    job : Job
        On the circuit's own grid.
    realisation : Realisation
        What the job was made of; its parameters give the constants on the finer grid.
    dt : str
        The circuit's own dt or a whole part of it, such as "0.05 ms".
    pulses : {"hold", "charge"}

    Raises
    ------
    InputError
        A dt that does not divide the circuit's own; neurons given in discrete time; deliveries that have no finer form.
    """
    factor = steps_within(circuit, dt)
    if pulses not in ("hold", "charge"):
        raise InputError(f"pulses: expected 'hold' or 'charge', got {pulses!r}")
    if factor == 1:
        return job
    for name, neuron in circuit.neurons.items():
        if neuron.update.strip() or neuron.after_reset.strip():
            raise InputError(
                f"dt: neurons.{name} is given in discrete time (update, after_reset) and means something at {circuit.dt} only"
            )
    fine = lower(circuit.model_copy(update={"dt": dt}))
    pathways, edges = _pathways(circuit, fine, job, factor, pulses)
    program = replace(fine, pathways=tuple(pathways))
    return replace(
        job,
        program=program,
        constants=constants(program, replace(realisation, edges=edges)),
        edges=edges,
        rules=rule_numbers(program, realisation),
        drive={name: _finer(job, name, rows, factor) for name, rows in job.drive.items()},
        n_steps=job.n_steps * factor,
    )


def steps_within(circuit: Circuit, dt: str) -> int:
    """How many steps of ``dt`` make one of the circuit's own.

    Raises
    ------
    InputError
        Not a whole number.
    """
    try:
        own, wanted = expect(circuit.dt, TIME), expect(dt, TIME)
        factor = to_steps(own, wanted) if wanted > 0 else 0
    except UnitError as error:
        raise InputError(f"dt: {error}; give a whole part of the circuit's own {circuit.dt}") from None
    if factor < 1:
        raise InputError(f"dt: expected a whole part of the circuit's own {circuit.dt}, got '{dt}'")
    return factor


def _finer(job: Job, name: str, drive: Drive, factor: int) -> np.ndarray:
    """Input rows (trial, step, channel) on the finer grid."""
    rows = np.asarray(drive)
    if next(d.kind for d in job.program.inputs if d.name == name) == "current":
        return np.repeat(rows, factor, axis=1)
    found = np.zeros((rows.shape[0], rows.shape[1] * factor, rows.shape[2]), dtype=rows.dtype)
    found[:, ::factor] = rows
    return found


def _pathways(
    circuit: Circuit, program: StepProgram, job: Job, factor: int, pulses: Pulses
) -> tuple[list[Pathway], dict[str, Edges]]:
    found: list[Pathway] = []
    edges: dict[str, Edges] = {}
    jumps = {p.name: {port for port in p.ports if _is_jump(port)} for p in program.populations}
    for pathway in program.pathways:
        own, own_rule = job.edges[pathway.name], circuit.projections[pathway.name].plasticity
        jumping = [d.port in jumps[pathway.post] for d in pathway.deliveries]
        if pathway.emits == "values":
            if any(jumping):
                raise InputError(
                    f"dt: projections.{pathway.name} adds values to a jump port in every step; it means something at its own dt only"
                )
            found.append(pathway)
            edges[pathway.name] = replace(own, delay=own.delay * factor)
            continue
        if own_rule and any(re.search(r"\bdt\b", text) for text in own_rule.every.values()):
            raise InputError(
                f"dt: projections.{pathway.name}.plasticity.every reads dt, which is not its interval on a finer grid; write the interval there"
            )
        if not all(jumping) and pathway.rule:
            raise InputError(
                f"dt: projections.{pathway.name} is plastic and acts on a pulse port; it means something at its own dt only"
            )
        if not all(jumping) and any(d.factor for d in pathway.deliveries):
            raise InputError(
                f"dt: projections.{pathway.name} delivers an expression onto a pulse port; it means something at its own dt only"
            )
        first = pathway
        if pulses == "charge":
            first = replace(
                pathway,
                deliveries=tuple(
                    d if jump else replace(d, factor=repr(float(factor)))
                    for d, jump in zip(pathway.deliveries, jumping, strict=True)
                ),
            )
        found.append(first)
        edges[pathway.name] = replace(own, delay=own.delay * factor)
        held = tuple(d for d, jump in zip(pathway.deliveries, jumping, strict=True) if not jump)
        if held and pulses == "hold":
            name = f"{pathway.name}_held"
            while name in {p.name for p in program.pathways}:
                name += "_"
            found.append(replace(pathway, name=name, deliveries=held, stage=None, delay=f"{pathway.delay}, held"))
            edges[name] = _held(own, factor)
    return found, edges


def _is_jump(port: str) -> bool:
    return port.startswith("arriving_")


def _held(edges: Edges, factor: int) -> Edges:
    """Every edge once for each of the finer steps that follow the first."""
    n, more = edges.pre.size, factor - 1
    delay = np.broadcast_to(edges.delay, edges.pre.shape) * factor
    late = np.repeat(np.arange(1, factor, dtype=np.int32), n)
    return Edges(
        np.tile(edges.pre, more), np.tile(edges.post, more), np.tile(edges.weight, more), None,
        (np.tile(delay, more) + late).astype(np.int32),
    )  # fmt: skip
