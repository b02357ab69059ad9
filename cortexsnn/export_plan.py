"""What an exported Brian2 script is made from: the circuit, what was drawn for it, and how every projection arrives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from . import expression as ex
from .assembly import assemble
from .equations import equation_lines, read_equation
from .errors import InputError, Problem
from .export_language import brian2_names, fresh
from .job import Job
from .model import Model
from .program import Pathway, StepProgram
from .realise import Realisation
from .spec import Circuit, Neuron, Projection

MOST_LATE = 20
"""Longest way of a graded population's output that a script can say, in steps: each takes a variable."""


@dataclass(frozen=True)
class Route:
    """How a projection reaches its target in the script.

    way : "spikes" (``on_pre``), "rows" (the target reads an input's rows itself) or "sum" (a ``(summed)`` variable)
    delay : steps, None where it differs between connections
    """

    pathway: Pathway
    projection: Projection
    way: Literal["spikes", "rows", "sum"]
    delay: int | None
    from_input: bool

    @property
    def ports(self) -> tuple[str, ...]:
        """Ports that it reaches, in the order of ``pathway.deliveries``."""
        return tuple(self.projection.deliver or (self.projection.port or "",))


class Arrivals(NamedTuple):
    """Variables of the script behind one port.

    sums : projection -> variable that is set to the sum over its connections in every step
    added : variable that spikes and rows are added to; None where there are none
    """

    sums: Mapping[str, str]
    added: str | None


class Line(NamedTuple):
    """One line of the equations: ``kind`` is "ode", "subexpression" or "state"; ``held`` while refractory."""

    name: str
    kind: str
    body: str
    held: bool


class Blocks(NamedTuple):
    """A neuron's texts for the script: as its pieces write them, or with subexpressions put in where pieces add to ports."""

    equations: tuple[Line, ...]
    update: tuple[ex.Statement, ...]
    reset: tuple[ex.Statement, ...]
    after_reset: tuple[ex.Statement, ...]
    threshold: str | None
    output: ex.Statement | None
    reductions: Mapping[str, str]


@dataclass
class Plan:
    """Everything that the sections of a script read, and what they collect.

    names : population -> variable of the circuit, or wish of the script -> its name in the script
    data : key in the file of numbers -> array, filled while the script is written
    helpers : functions that the script needs, by name
    reductions : names of the operations that form reductions
    divides : whether Brian2 divides 0 by 0 for held neurons, whose result it discards
    """

    circuit: Circuit
    program: StepProgram
    realisation: Realisation
    job: Job
    models: dict[str, Model] = field(default_factory=dict)
    blocks: dict[str, Blocks] = field(default_factory=dict)
    names: dict[str, dict[str, str]] = field(default_factory=dict)
    routes: dict[str, Route] = field(default_factory=dict)
    arrivals: dict[tuple[str, str], Arrivals] = field(default_factory=dict)
    data: dict[str, np.ndarray] = field(default_factory=dict)
    helpers: set[str] = field(default_factory=set)
    reductions: list[str] = field(default_factory=list)
    divides: bool = False
    problems: list[Problem] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name, population in self.circuit.populations.items():
            model = assemble(self.circuit, population, lambda path, message: None)
            if model is None:
                raise InputError(f"populations.{name}: not valid; call validate(circuit) first")
            self.models[name] = model
            self.blocks[name] = _blocks([self.circuit.neurons[piece] for piece in population.pieces], model)
            self.names[name] = brian2_names(model.dimensions)
        for pathway in self.program.pathways:
            if pathway.rule:
                self.report(
                    f"projections.{pathway.name}.plasticity",
                    "an exported script has no plasticity yet; leave it out of the circuit that is exported",
                )
            if self.job.edges[pathway.name].pre.size:
                self.routes[pathway.name] = self._route(pathway)
        for name, model in self.models.items():
            for port in model.ports:
                self.arrivals[name, port] = self._arrivals(name, port)

    def report(self, path: str, message: str) -> None:
        """Note something that the script cannot say."""
        self.problems.append(Problem(path, message))

    def store(self, key: str, values: np.ndarray) -> str:
        """Put an array into the file of numbers; the text that reads it back."""
        self.data[key] = np.ascontiguousarray(values)
        return f"data['{key}']"

    def own(self, population: str, wish: str) -> str:
        """Name for something that the script adds to a population, apart from all that it has."""
        table = self.names[population]
        table[wish] = fresh(wish, {*table, *table.values()})
        return table[wish]

    def stage(self, population: str) -> int:
        """Stage of a population, counted from 1."""
        return next(k for k, names in enumerate(self.program.stages, 1) if population in names)

    def slot(self, name: str, population: str) -> str:
        """Slot of a population's stage: plain where there is one stage, else with its number."""
        return name if len(self.program.stages) == 1 else f"{name}_{self.stage(population)}"

    def latest(self, population: str) -> int:
        """Longest way, in steps, of what a graded population sends."""
        routes = [r for r in self.routes.values() if r.pathway.pre == population and r.pathway.emits == "values"]
        return min(MOST_LATE, max((r.delay or 0 for r in routes), default=0))

    def _route(self, pathway: Pathway) -> Route:
        projection = self.circuit.projections[pathway.name]
        delays = np.unique(self.job.edges[pathway.name].delay)
        delay = int(delays[0]) if delays.size == 1 else None
        way: Literal["spikes", "rows", "sum"] = "spikes"
        if pathway.emits == "values":
            way = "rows" if self._reads_rows(pathway, projection) else "sum"
        return Route(pathway, projection, way, delay, pathway.pre in self.circuit.inputs)

    def _reads_rows(self, pathway: Pathway, projection: Projection) -> bool:
        """Whether every cell of the target has a channel of its own and all have one weight: no synapses are needed then."""
        edges, n = self.job.edges[pathway.name], self.program.size(pathway.post)
        cells = np.arange(n)
        return (
            pathway.pre in self.circuit.inputs
            and not projection.deliver
            and edges.values.size == 1
            and self.program.size(pathway.pre) == n
            and np.array_equal(edges.pre, cells)
            and np.array_equal(edges.post, cells)
        )

    def _arrivals(self, population: str, port: str) -> Arrivals:
        reaching = [n for n, r in self.routes.items() if r.pathway.post == population and port in r.ports]
        sums = [n for n in reaching if self.routes[n].way == "sum"]
        added, own = len(sums) < len(reaching), self.names[population][port]
        if self.models[population].ports[port].kind == "jump":
            named = {n: self.own(population, f"{port}_from_{n}") for n in sums}
            return Arrivals(named, own if added else None)
        if len(sums) == 1 and not added:
            return Arrivals({sums[0]: own}, None)
        named = {n: self.own(population, f"{port}_from_{n}") for n in sums}
        return Arrivals(named, self.own(population, f"{port}_pulses") if named and added else own if added else None)


def _blocks(pieces: list[Neuron], model: Model) -> Blocks:
    if any(piece.adds for piece in pieces):  # a port means two things there: its arrivals, and what joins them
        odes = [Line(o.name, "ode", o.expression, o.unless_refractory) for o in model.odes]
        texts = {name: r.of for name, r in model.reductions.items()}
        return Blocks(
            (*odes, *_states(model, odes)),
            model.update,
            model.reset,
            model.after_reset,
            model.threshold,
            model.output,
            texts,
        )
    read = [read_equation(line) for piece in pieces for line in equation_lines(piece.equations)]
    lines = [Line(e.name, e.kind, _accepted(e.body) if e.body else "", bool(e.flags)) for e in read]
    return Blocks(
        equations=(*lines, *_states(model, lines)),
        update=_statements(piece.update for piece in pieces),
        reset=_statements(piece.reset for piece in pieces),
        after_reset=_statements(piece.after_reset for piece in pieces),
        threshold=next((_accepted(piece.threshold) for piece in pieces if piece.threshold is not None), None),
        output=next(iter(_statements(piece.output or "" for piece in pieces)), None),
        reductions={name: _accepted(r.of) for piece in pieces for name, r in piece.reductions.items()},
    )


def _states(model: Model, lines: Iterable[Line]) -> list[Line]:
    """States that only ``update`` or ``after_reset`` defines."""
    known = {line.name for line in lines}
    return [Line(name, "state", "", False) for name in model.states if name not in known]


def _accepted(text: str) -> str:
    return ex.render(ex.accept(text))


def _statements(blocks: Iterable[str]) -> tuple[ex.Statement, ...]:
    return tuple(statement for block in blocks for statement in ex.statements(block))
