"""The step of a component of the circuit graph as phases: loops over cells, reductions, deliveries, in the order of the contract."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..expression import Statement, names
from ..program import Pathway, PopulationStep, ReductionStep, StepProgram


@dataclass(frozen=True)
class Assign:
    """``target = expression``; ``on_spike`` only where a spike was fired."""

    statement: Statement
    on_spike: bool = False


@dataclass(frozen=True)
class Operand:
    """What a reduction is over."""

    reduction: ReductionStep


@dataclass(frozen=True)
class Fire:
    """Threshold and distance; spikes are emitted."""


@dataclass(frozen=True)
class Emit:
    """The output of a graded population is emitted."""

    name: str


@dataclass(frozen=True)
class Record:
    """The end of a step: probes, states."""


Item = Assign | Operand | Fire | Emit | Record


@dataclass(frozen=True)
class Block:
    """A loop over the cells of a population, in which nobody else is looked at."""

    population: PopulationStep
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Reduce:
    """Operands of a population become numbers per trial."""

    population: PopulationStep


@dataclass(frozen=True)
class Deliver:
    """A pathway adds to ports, all its groups of edges and deliveries."""

    pathway: Pathway


Phase = Block | Reduce | Deliver


def phases(program: StepProgram, members: Sequence[str], inside: Sequence[Pathway]) -> list[Phase]:
    """The step of some populations; only the pathways ``inside`` deliver, ports hold already what the others brought.

    Loops of a population are one loop where nothing that happens between them looks at it.
    """
    found: list[Phase] = [Deliver(p) for p in inside if p.stage is None]
    late: list[Phase] = []
    for s, stage in enumerate(program.stages):
        present = [program.population(name) for name in stage if name in members]
        deliveries = [p for p in inside if p.stage == s]
        resets: list[Phase] = []
        for p in present:
            first, main, reset, last = _parts(p)
            seen = any(_looks_at(p, other) for other in inside if other.stage is not None)
            blocks = [main, reset, last] if seen else [(*main, *reset, *last)]
            if p.reductions:
                found += [Block(p, first), Reduce(p)]
            else:
                blocks[0] = (*first, *blocks[0])
            found.append(Block(p, blocks[0]))
            if seen:
                resets += [Block(p, reset)] if reset else []
                late.append(Block(p, last))
        found += [*map(Deliver, deliveries), *resets]
    return [*found, *late]


def _parts(p: PopulationStep) -> tuple[tuple[Item, ...], ...]:
    """Items before reductions, up to what is emitted, of the reset, and after it."""
    first = (*_assign(p.arrive), *(Operand(r) for r in p.reductions))
    emit: tuple[Item, ...] = (Emit(p.output.target),) if p.output else (Fire(),) if p.threshold else ()
    main = (*_assign((*p.update, *([p.output] if p.output else []))), *emit)
    return first, main, tuple(_assign(p.reset, on_spike=True)), (*_assign(p.after_reset), Record())


def _assign(statements: Iterable[Statement], on_spike: bool = False) -> list[Item]:
    return [Assign(s, on_spike) for s in statements]


def _looks_at(p: PopulationStep, pathway: Pathway) -> bool:
    """Whether a delivery reads values of ``p`` that its own loops change: anything but what it emitted."""
    read = set().union(*(names(d.factor) for d in pathway.deliveries if d.factor))
    emitted = {p.output.target} if p.output else set()
    before = pathway.pre == p.name and read & {*p.states, *(r.name for r in p.reductions)} - emitted
    return bool(before or (pathway.post == p.name and read & {f"{n}_post" for n in p.states}))
