"""The StepProgram: everything that happens in one step, in order, as readable text with a stable hash.

The same statements are executed by every engine. They hold only plain arithmetic on numbers in coherent units (ms, mV, pA, nS,
pF); names starting with an underscore are temporaries of one block; names ``c1, c2 …`` and propagators are hoisted constants.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from .expression import Statement, names

HELD_SUFFIX = "_held"
"""Of the propagators of a step in which some variables are held."""


@dataclass(frozen=True)
class Propagator:
    """Matrix exponential of a linear system x' = A x + b over one step, with b held.

    ``[[P, Q], [0, 1]] = expm([[A, 1], [0, 0]] dt)``; entry (i, j) of P is the constant ``P_<i>_<j><suffix>``, counted from 1.
    """

    states: tuple[str, ...]
    matrix: tuple[tuple[str, ...], ...]
    suffix: str = ""

    def name(self, kind: str, row: int, column: int) -> str:
        """Name of the hoisted constant for an entry of P or Q."""
        return f"{kind}_{row + 1}_{column + 1}{self.suffix}"


def propagator_names(n: int) -> set[str]:
    """All names that propagators of at most ``n`` variables can have."""
    return {
        f"{kind}_{i}_{j}{suffix}"
        for kind in "PQ" for suffix in ("", HELD_SUFFIX) for i in range(1, n + 1) for j in range(1, n + 1)
    }  # fmt: skip


@dataclass(frozen=True)
class ReductionStep:
    """One number per trial: ``name = op(expression)`` over all neurons, summed in index order."""

    name: str
    op: str
    expression: str


@dataclass(frozen=True)
class InputStep:
    """Drive from outside: ``kind`` current, spikes, poisson or counts (several Poisson sources in one channel)."""

    name: str
    size: int
    kind: str
    unit: str

    @property
    def sends(self) -> str:
        """``"spikes"``, or ``"values"``: one number per channel in every step."""
        return "values" if self.kind in ("current", "counts") else "spikes"


@dataclass(frozen=True)
class PopulationStep:
    """One population's part of a step. Every port is an accumulator that is empty when the step begins."""

    name: str
    size: int
    transmitter: str
    states: tuple[str, ...]
    ports: tuple[str, ...]
    units: tuple[tuple[str, str], ...]
    parameters: tuple[str, ...]
    propagators: tuple[Propagator, ...]
    hoisted: tuple[Statement, ...]
    arrive: tuple[Statement, ...]
    reductions: tuple[ReductionStep, ...]
    update: tuple[Statement, ...]
    output: Statement | None
    threshold: str | None
    distance: str | None
    threshold_scale: float | None
    reset: tuple[Statement, ...]
    after_reset: tuple[Statement, ...]

    @property
    def emits(self) -> str | None:
        """``"spikes"``, ``"values"`` (a graded population) or None."""
        return "spikes" if self.threshold else "values" if self.output else None

    @property
    def finite(self) -> tuple[str, ...]:
        """Variables in which NaN or infinity stops a run: states and the output."""
        return (*self.states, *([self.output.target] if self.output else []))

    def unit(self, name: str) -> str:
        """Coherent unit of a state, port or output."""
        return dict(self.units).get(name, "1")


@dataclass(frozen=True)
class Signal:
    """A third factor: ``variable`` of the one cell of ``source``, a population or an input."""

    name: str
    source: str
    variable: str


@dataclass(frozen=True)
class RuleStep:
    """How the edges of a pathway change. ``w`` is an edge's magnitude, names ending in ``_pre`` and ``_post`` are those of its ends.

    ``update`` runs for every edge before anything arrives; the others at the end of a step, after ``after_reset``: ``on_pre`` where a spike
    arrived in it, then ``on_post`` where the target fired, then ``sums`` over the edges onto a target, then each of ``every``, (steps,
    statements), that is due.
    """

    states: tuple[str, ...]
    units: tuple[tuple[str, str], ...]
    parameters: tuple[str, ...]
    propagators: tuple[Propagator, ...]
    hoisted: tuple[Statement, ...]
    update: tuple[Statement, ...]
    on_pre: tuple[Statement, ...]
    on_post: tuple[Statement, ...]
    sums: tuple[Statement, ...]
    every: tuple[tuple[int, tuple[Statement, ...]], ...]
    signals: tuple[Signal, ...]

    @property
    def blocks(self) -> tuple[tuple[Statement, ...], ...]:
        """All statements, block by block."""
        return (self.update, self.on_pre, self.on_post, self.sums, *(block for _, block in self.every))

    @cached_property
    def reads(self) -> frozenset[str]:
        """Names that the statements read."""
        return frozenset().union(*(names(s.expression) for block in self.blocks for s in block))


WEIGHT = "w"
"""Name of an edge's magnitude in the statements of a rule."""


@dataclass(frozen=True)
class Delivery:
    """What one edge adds to ``port``: ``sign * weight * scale`` (hoisted, postsynaptic) times ``factor``."""

    port: str
    factor: str | None
    sign: int
    scale: str | None


@dataclass(frozen=True)
class Pathway:
    """A projection: ``emits`` spikes or values; ``stage`` is the source's stage if the delay is 0, else None."""

    name: str
    pre: str
    post: str
    emits: str
    deliveries: tuple[Delivery, ...]
    stage: int | None
    delay: str
    rule: RuleStep | None = None


@dataclass(frozen=True)
class StepProgram:
    """One network step as data; ``print(program)`` shows it, ``program.hash`` names it.

    A step: the states of plastic edges advance; pathways with a delay and those from inputs deliver, in the order listed; then stage by stage each population
    runs arrive, reductions, update, output or threshold, delivery of its zero-delay pathways, reset; then after_reset of
    every population, rules of plastic pathways in the order listed, recording, and emptying of all ports.
    """

    name: str
    dt: float
    inputs: tuple[InputStep, ...]
    populations: tuple[PopulationStep, ...]
    pathways: tuple[Pathway, ...]
    stages: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def population(self, name: str) -> PopulationStep:
        """The population called ``name``."""
        return next(p for p in self.populations if p.name == name)

    def size(self, name: str) -> int:
        """Cells of a population or channels of an input."""
        return {**{p.name: p.size for p in self.populations}, **{d.name: d.size for d in self.inputs}}[name]

    @cached_property
    def hash(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the text."""
        return hashlib.sha256(str(self).encode()).hexdigest()[:16]

    @cached_property
    def in_stage_order(self) -> tuple[PopulationStep, ...]:
        """Populations as they are updated."""
        return tuple(self.population(name) for stage in self.stages for name in stage)

    def __str__(self) -> str:
        return "\n".join(_text(self))


def _text(program: StepProgram) -> Iterable[str]:
    yield f"program {program.name}    dt = {program.dt!r} ms    units: ms, mV, pA, nS, pF"
    for note in program.notes:
        yield f"  note: {note}"
    for drive in program.inputs:
        yield f"input {drive.name} [{drive.size}] {drive.kind} ({drive.unit})"
    plastic = [p for p in program.pathways if p.rule]
    if any(p.rule.update for p in plastic if p.rule):
        yield "0. states of edges"
        for pathway in plastic:
            if pathway.rule and pathway.rule.update:
                yield f"  {pathway.name}:"
                yield from _lines(pathway.rule.update)
    yield "1. arrivals, in this order: by pathway, then emission step, presynaptic cell, edge"
    for pathway in program.pathways:
        if pathway.stage is None:
            yield from _pathway_text(pathway)
    for k, stage in enumerate(program.stages):
        yield f"2.{k + 1} stage {k + 1}: {', '.join(stage)}"
        for name in stage:
            yield from _population_text(program.population(name))
        for pathway in program.pathways:
            if pathway.stage == k:
                yield from _pathway_text(pathway)
    learn = "rules of plastic pathways; " if plastic else ""
    yield f"3. after_reset of all populations; {learn}record; empty all ports"
    for population in program.in_stage_order:
        if population.after_reset:
            yield f"  {population.name}:"
            yield from _lines(population.after_reset)
    for pathway in plastic:
        if pathway.rule:
            yield from _rule_text(pathway.name, pathway.rule)


def _pathway_text(pathway: Pathway) -> Iterable[str]:
    yield f"  {pathway.name}: {pathway.pre} -> {pathway.post}, {pathway.emits}, delay {pathway.delay}"
    for d in pathway.deliveries:
        parts = ["w", d.scale and f"{d.scale}_post", d.factor and f"({d.factor})"]
        yield f"    {d.port} {'+' if d.sign > 0 else '-'}= {' * '.join(p for p in parts if p)}"


def _rule_text(name: str, rule: RuleStep) -> Iterable[str]:
    yield f"  {name}: w and {', '.join(f'{s} ({dict(rule.units)[s]})' for s in rule.states) or 'no states'}, for each edge"
    for g in rule.propagators:
        rows = "; ".join(", ".join(row) for row in g.matrix)
        yield f"    hoisted: P, Q = propagators of ({', '.join(g.states)}) with A = [{rows}]"
    if rule.hoisted:
        yield "    hoisted, once per run:"
        yield from _lines(rule.hoisted, 6)
    for signal in rule.signals:
        yield f"    signal {signal.name} = {signal.source}.{signal.variable}"
    for title, block in (("where a spike arrived", rule.on_pre), ("where the target fired", rule.on_post)):
        if block:
            yield f"    {title}:"
            yield from _lines(block, 6)
    for total in rule.sums:
        yield f"    sum over the edges onto a target, once before what follows:\n      {total}"
    for steps, block in rule.every:
        yield f"    every {steps} step{'' if steps == 1 else 's'}:"
        yield from _lines(block, 6)


def _population_text(p: PopulationStep) -> Iterable[str]:
    yield f"  population {p.name} [{p.size}], {p.transmitter}"
    yield f"    states: {', '.join(f'{s} ({p.unit(s)})' for s in p.states) or 'none'}"
    yield f"    ports: {', '.join(f'{s} ({p.unit(s)})' for s in p.ports) or 'none'}"
    if p.hoisted or p.propagators:
        yield "    hoisted, once per run:"
    for g in p.propagators:
        rows = "; ".join(", ".join(row) for row in g.matrix)
        yield f"      P{g.suffix}, Q{g.suffix} = propagators of ({', '.join(g.states)}) with A = [{rows}]"
    yield from _lines(p.hoisted, 6)
    for title, block in (("arrive", p.arrive), ("update", p.update)):
        if title == "update":
            for r in p.reductions:
                yield f"    reduce:\n      {r.name} = {r.op}({r.expression})"
        if block:
            yield f"    {title}:"
            yield from _lines(block, 6)
    if p.output:
        yield f"    output:\n      {p.output}"
    if p.threshold:
        yield f"    threshold:\n      {p.threshold}"
        yield f"      distance = {p.distance}    scale {p.threshold_scale!r}"
    if p.reset:
        yield "    reset, where spiked:"
        yield from _lines(p.reset, 6)


def _lines(block: Iterable[Statement], indent: int = 4) -> Iterable[str]:
    for statement in block:
        yield f"{' ' * indent}{statement}"
