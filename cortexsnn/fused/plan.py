"""What a kernel is generated from: a component of the circuit graph, and what of a run is fixed while it is compiled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from ..expression import names
from ..program import Pathway, PopulationStep, StepProgram
from .phases import Deliver, Phase, phases


@dataclass(frozen=True)
class EdgeGroup:
    """Edges of a pathway with one delay, in steps; ``dense`` ones are a matrix, others a list.

    ``delay`` is None for lists of many delays, which a kernel goes through in a loop: its text does not grow with their number.
    """

    delay: int | None
    dense: bool


MOST_WRITTEN_OUT = 4
"""Delays of a pathway beyond which a kernel goes through them in a loop."""


@dataclass(frozen=True)
class Plan:
    """One component and how it runs.

    members : populations in the order of their stages
    inside : pathways that the kernel delivers itself; what others bring is in the ports beforehand
    groups : pathway -> its groups, the longest delay first
    varying : (population, name) of constants that differ between cells
    differentiable : (population, name) of constants with an adjoint
    probes : population -> names recorded beside what is emitted
    number : "float" or "double"
    keeps_ports : what arrived at ports is kept, for the reverse pass; else ports are empty when a step begins
    checks : whether NaN and infinity are looked for in every step
    surrogate : derivative of a spike, an expression of x
    detach_reset : whether the reset is hidden from the gradient
    """

    program: StepProgram
    members: tuple[str, ...]
    inside: tuple[str, ...]
    groups: Mapping[str, tuple[EdgeGroup, ...]]
    varying: frozenset[tuple[str, str]]
    differentiable: frozenset[tuple[str, str]]
    probes: Mapping[str, tuple[str, ...]]
    number: str
    keeps_ports: bool
    checks: bool
    surrogate: str
    detach_reset: bool

    @cached_property
    def pathways(self) -> tuple[Pathway, ...]:
        """Those inside, in the order of the program."""
        return tuple(p for p in self.program.pathways if p.name in self.inside)

    @cached_property
    def phases(self) -> list[Phase]:
        return phases(self.program, self.members, self.pathways)

    @cached_property
    def populations(self) -> tuple[PopulationStep, ...]:
        return tuple(self.program.population(name) for name in self.members)

    @cached_property
    def single(self) -> bool:
        """Whether no cell looks at another: cells can then run one block of them after another."""
        return len(self.phases) == 1

    def is_member(self, name: str) -> bool:
        return name in self.members

    def source(self, pathway: Pathway) -> PopulationStep | None:
        """The population at the beginning of a pathway, None for an input."""
        return next((p for p in self.program.populations if p.name == pathway.pre), None)

    def emitted(self, source: str) -> str:
        """The name under which a source's emitted number appears in expressions."""
        population = next((p for p in self.program.populations if p.name == source), None)
        if population is None:
            return "value"
        return population.output.target if population.output else "spikes"


def reads_post(pathway: Pathway, program: StepProgram) -> bool:
    """Whether what an edge carries depends on its target."""
    post = program.population(pathway.post)
    read = set().union(*(names(d.factor) for d in pathway.deliveries if d.factor))
    return bool(read & {f"{n}_post" for n in (*post.states, *post.parameters)})


def why_not(program: StepProgram, members: tuple[str, ...], inside: tuple[Pathway, ...]) -> str | None:
    """What of a component no kernel does, None if there is nothing."""
    for phase in phases(program, members, inside):
        if isinstance(phase, Deliver) and phase.pathway.stage is None and phase.pathway.pre in members:
            reduced = {r.name for r in program.population(phase.pathway.pre).reductions}
            for delivery in phase.pathway.deliveries:
                if delivery.factor and names(delivery.factor) & reduced:
                    return f"projections.{phase.pathway.name}: reads a reduction of the step before"
    return None
