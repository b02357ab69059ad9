"""A population's whole step on one tape, reductions included: for kernels in which one program holds all cells of a trial."""

from __future__ import annotations

from dataclasses import dataclass

from .phases import Block, Reduce
from .plan import Plan
from .tape import Tape
from .traced import Traced, operand, trace_into


@dataclass
class Step:
    """A step: what it loads, what states become, what is emitted and recorded, as values of a tape."""

    tape: Tape
    loaded: dict[str, int]
    states: dict[str, int]
    emitted: int | None
    recorded: dict[str, int]


def whole_step(plan: Plan) -> Step:
    """The step of a population on which no pathway inside acts."""
    (p,) = plan.populations
    traced = Traced(Block(p, ()))
    for phase in plan.phases:
        match phase:
            case Block(_, items):
                trace_into(traced, items, plan)
            case Reduce():
                for r in p.reductions:
                    traced.assigned[r.name] = traced.tape.op("reduce", traced.assigned[operand(r.name)], what=r.op)
    return Step(
        traced.tape,
        traced.loaded,
        {n: traced.assigned[n] for n in p.states if n in traced.assigned},
        None if traced.emits is None else traced.assigned[traced.emits],
        {n: traced.value(n) for n in plan.probes.get(p.name, ())},
    )
