"""What a compiled program is given when it runs, and what its code depends on: the first does not compile, the second does.

Names of numbers are files of the program's ``data`` folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..drive import Drive, PoissonDrive
from ..expression import names
from ..job import SPIKES, Job, initial_states
from ..lower import effective_weight
from ..program import Delivery, Pathway, PopulationStep, RuleStep, StepProgram
from ..realise import Edges
from .to_brian2_rule import ends_read
from .to_brian2_rule import used_constants as used_rule_constants


def gap(job: Job) -> int:
    """Steps between two trials: the longest delay, so that every queue runs empty."""
    return max((job.edges[p.name].max_delay for p in job.program.pathways), default=0) if job.n_trials > 1 else 0


def emitted_name(program: StepProgram, source: str) -> str:
    """Variable that a source of values sends."""
    population = next((p for p in program.populations if p.name == source), None)
    return population.output.target if population and population.output else "value"


def value_delays(job: Job, source: str) -> set[int]:
    """Delays of at least one step with which values of a source arrive somewhere."""
    found = [job.edges[p.name].delay for p in job.program.pathways if p.pre == source and p.emits == "values"]
    return {int(d) for delays in found for d in np.unique(delays) if d}


def used_constants(job: Job, p: PopulationStep) -> dict[str, np.ndarray]:
    """Parameters and hoisted constants that statements or factors read."""
    blocks = (*p.arrive, *p.update, *p.reset, *p.after_reset, *([p.output] if p.output else []))
    used = set().union(*(names(s.expression) for s in blocks), *(names(r.expression) for r in p.reductions))
    used |= set().union(*(names(text) for text in (p.threshold, p.distance) if text))
    for pathway in job.program.pathways:
        read = set().union(*(names(d.factor) for d in pathway.deliveries if d.factor))
        used |= read if pathway.pre == p.name else set()
        used |= {n.removesuffix("_post") for n in read if n.endswith("_post")} if pathway.post == p.name else set()
    used |= ends_read(job.program, p.name)
    return {name: value for name, value in job.constants[p.name].items() if name in used and name not in p.states}


def shares_weight(job: Job, pathway: Pathway, delivery: Delivery) -> bool:
    """Whether one number serves all edges, as :func:`effective_weight` gives it."""
    edges = job.edges[pathway.name]
    scale = np.ones(1) if delivery.scale is None else job.constants[pathway.post][delivery.scale]
    return edges.index is None and edges.values.size == 1 and scale.size == 1


def spent(job: Job, pathway: Pathway) -> int:
    """Steps of delay that have passed when spikes enter a queue: those of a population wait for the arrivals of the next step."""
    from_population = pathway.pre in {p.name for p in job.program.populations}
    return 1 if pathway.emits == "spikes" and from_population and pathway.stage is None else 0


def waiting(job: Job, pathway: Pathway) -> np.ndarray:
    """Steps that spikes spend in a queue, (edge,) or (1,). Values wait in registers, not in a queue."""
    if pathway.emits == "values":
        return np.zeros(1, np.int32)
    return job.edges[pathway.name].delay - spent(job, pathway)


def sign_in_program(delivery: Delivery) -> float:
    """What a compiled program multiplies the weights of a file with."""
    return float(delivery.sign) if delivery.scale is None else 1.0


def _weights_for_program(job: Job, pathway: Pathway) -> list[np.ndarray]:
    """Magnitudes as they were drawn where the program needs nothing but their sign, so that they need not be written again."""
    edges = job.edges[pathway.name]
    found = []
    for delivery in pathway.deliveries:
        plain = delivery.scale is None
        raw = edges.values if edges.index is None else edges.weight
        found.append(raw if plain else effective_weight(edges, delivery, job.constants[pathway.post]))
    return found


def is_direct(job: Job, pathway: Pathway) -> bool:
    """Whether values of an input reach a port as they are, so that a plain loop over the edges delivers them."""
    plain = pathway.rule is None and pathway.emits == "values" and all(d.factor == "value" for d in pathway.deliveries)
    return plain and pathway.pre in job.drive and not job.edges[pathway.name].delay.any()


def edge_groups(job: Job, pathway: Pathway) -> list[tuple[int, Any]]:
    """(delay in steps, edges) of each Brian2 object of a pathway: values wait in registers, one object for each delay."""
    edges = job.edges[pathway.name]
    if edges.pre.size == 0:
        return []
    if pathway.emits == "spikes" or is_direct(job, pathway):
        return [(0, slice(None))]
    delay = np.broadcast_to(edges.delay, edges.pre.shape)
    return [(int(steps), np.flatnonzero(delay == steps)) for steps in np.unique(delay)[::-1]]


def input_kind(rows: Drive) -> str:
    """How an input is read: drawn while the program runs, or given as numbers or spikes."""
    return "drawn" if isinstance(rows, PoissonDrive) else "numbers" if rows.dtype.kind == "f" else "spikes"


def numbers(jobs: Sequence[Job]) -> Iterator[tuple[str, np.ndarray]]:
    """Names and contents of all files that a compiled program reads."""
    for k, job in enumerate(jobs):
        yield from ((f"j{k}.{name}", values) for name, values in _numbers(job))


def _numbers(job: Job) -> Iterator[tuple[str, np.ndarray]]:
    yield "times", np.array([job.n_steps, job.n_steps + gap(job), job.n_trials], np.int64)
    for name, rows in job.drive.items():
        if isinstance(rows, PoissonDrive):
            yield f"{name}.rows.keys", rows.keys()
            yield f"{name}.rows.tails", rows.tails
            yield f"{name}.rows.table", rows.table
        else:
            yield f"{name}.rows", rows.astype(np.float64 if rows.dtype.kind == "f" else np.uint8, copy=False)
    for population in job.program.populations:
        for name, value in used_constants(job, population).items():
            yield f"{population.name}.constant.{name}", value
        for name, value in initial_states(job, population).items():
            yield f"{population.name}.initial.{name}", value
        for name in job.probes.get(population.name, ()):
            if name != SPIKES:
                cells = job.cells.get(population.name, {}).get(name)
                yield f"{population.name}.probe.{name}.cells", np.zeros(0, np.int32) if cells is None else cells
    for pathway in job.program.pathways:
        yield from _edge_numbers(job, pathway)
        if pathway.rule:
            yield from _rule_numbers(job, pathway, pathway.rule)


def _rule_numbers(job: Job, pathway: Pathway, rule: RuleStep) -> Iterator[tuple[str, np.ndarray]]:
    for name, value in used_rule_constants(job, pathway).items():
        yield f"{pathway.name}.constant.{name}", value
    for name in rule.states:
        yield f"{pathway.name}.initial.{name}", np.array([job.rules[pathway.name].initial.get(name, 0.0)])
    for name in job.probes.get(pathway.name, ()):
        edges = job.cells.get(pathway.name, {}).get(name)
        yield f"{pathway.name}.probe.{name}.cells", np.zeros(0, np.int32) if edges is None else edges


def _edge_numbers(job: Job, pathway: Pathway) -> Iterator[tuple[str, np.ndarray]]:
    edges = job.edges[pathway.name]
    for delay, chosen in edge_groups(job, pathway):
        name = f"{pathway.name}.{delay}"
        yield f"{name}.pre", edges.pre[chosen]
        yield f"{name}.post", edges.post[chosen]
        if pathway.rule:
            yield f"{name}.w", edges.weight[chosen]
        else:
            for k, weight in enumerate(_weights_for_program(job, pathway)):
                yield f"{name}.w{k}", weight if weight.size == 1 else weight[chosen]
        if pathway.emits == "spikes":
            yield f"{name}.delay", edges.delay
        elif not is_direct(job, pathway):
            yield f"{name}.delay", np.zeros(1, np.int32)


def structure(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """What the generated code depends on: two lists of jobs with equal structures run the same compiled program."""
    return [_structure(job, len(jobs) == 1) for job in jobs]


def _structure(job: Job, alone: bool) -> dict[str, Any]:
    program = job.program
    anonymous = tuple(replace(p, delay="") for p in program.pathways)  # delays are numbers, however they are written
    without_names = replace(program, name="", notes=(), pathways=anonymous)
    return {
        "program": str(without_names),
        "always_inside": alone and job.n_trials == 1,
        "probes": {name: sorted(found) for name, found in sorted(job.probes.items())},
        "drive": {name: input_kind(rows) for name, rows in job.drive.items()},
        "per_neuron": {
            p.name: sorted(n for n, v in used_constants(job, p).items() if v.size > 1) for p in program.populations
        },
        "edges": {p.name: _edge_structure(job, p) for p in program.pathways},
    }


def _edge_structure(job: Job, pathway: Pathway) -> dict[str, Any]:
    edges: Edges = job.edges[pathway.name]
    return {
        "none": edges.pre.size == 0,
        "shared": [shares_weight(job, pathway, d) for d in pathway.deliveries],
        "value_delays": [d for d, _ in edge_groups(job, pathway)] if pathway.emits == "values" else [],
    }
