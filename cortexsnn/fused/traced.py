"""Blocks and factors as tapes: what they load, what their variables are afterwards."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..job import DISTANCE, SPIKES
from ..program import Delivery
from .phases import Assign, Block, Deliver, Emit, Fire, Item, Operand, Record
from .plan import Plan
from .tape import Tape

FIRED = "_fired"


@dataclass
class Traced:
    """A block: ``loaded`` name -> its value when the block begins, ``assigned`` name -> its value when it ends."""

    block: Block
    tape: Tape = field(default_factory=Tape)
    loaded: dict[str, int] = field(default_factory=dict)
    assigned: dict[str, int] = field(default_factory=dict)
    records: bool = False
    emits: str | None = None

    def value(self, name: str) -> int:
        """Value of a name where the tape is now."""
        if name in self.assigned:
            return self.assigned[name]
        if name == FIRED:
            return self.tape.op("ne", self.value(SPIKES), self.tape.literal(0))
        if name == "spiked":
            return self.value(SPIKES) if self.block.population.threshold else self.tape.literal(0)
        if name not in self.loaded:
            self.loaded[name] = self.tape.load(name)
        return self.loaded[name]

    def number(self, text: str) -> int:
        return self.tape.number(self.tape.evaluate(text, self.value))


def trace(block: Block, plan: Plan) -> Traced:
    """The operations of a block."""
    traced = Traced(block)
    trace_into(traced, block.items, plan)
    return traced


def trace_into(traced: Traced, items: Iterable[Item], plan: Plan) -> None:
    """Put the operations of some items on a tape."""
    tape, p = traced.tape, traced.block.population
    for item in items:
        match item:
            case Assign(statement, on_spike):
                new = traced.number(statement.expression)
                if on_spike:
                    new = _where_spiked(traced, new, traced.value(statement.target), plan.detach_reset)
                traced.assigned[statement.target] = new
            case Operand(reduction):
                traced.assigned[operand(reduction.name)] = traced.number(reduction.expression)
            case Fire():
                fired = tape.evaluate(str(p.threshold), traced.value)
                distance = traced.number(str(p.distance))
                x = tape.binary("div", distance, tape.literal(p.threshold_scale or 1.0))
                slope = tape.evaluate(plan.surrogate, lambda name, x=x: x)  # type: ignore[misc]
                traced.assigned |= {FIRED: fired, DISTANCE: distance, SPIKES: tape.op("spike", fired, x, slope)}
                traced.emits = SPIKES
            case Emit(name):
                traced.emits = name
            case Record():
                traced.records = True
                for name in plan.probes.get(p.name, ()):
                    traced.value(name)
                for name in p.finite if plan.checks else ():
                    traced.value(name)


def _where_spiked(traced: Traced, new: int, old: int, detached: bool) -> int:
    tape = traced.tape
    if detached:
        return tape.select(traced.value(FIRED), new, old)
    spikes = traced.value(SPIKES)
    kept = tape.op("mul", tape.op("sub", tape.literal(1), spikes), old)
    return tape.op("add", tape.op("mul", spikes, new), kept)


def operand(reduction: str) -> str:
    """Name of what a reduction is over."""
    return f"_operand_{reduction}"


SENT = "_sent"
"""What a source emitted, before a factor."""


@dataclass
class Factor:
    """What a delivery sends, from ``SENT`` and values of both ends; ``pre`` and ``post``: name -> load."""

    tape: Tape
    sent: int
    result: int
    pre: dict[str, int]
    post: dict[str, int]


def trace_factor(phase: Deliver, delivery: Delivery, plan: Plan) -> Factor:
    """The operations of a delivery's factor."""
    tape = Tape()
    sent, pre, post = tape.load(SENT), dict[str, int](), dict[str, int]()
    emitted, target = plan.emitted(phase.pathway.pre), plan.program.population(phase.pathway.post)
    posts = {f"{n}_post": n for n in (*target.states, *target.parameters)}

    def value(name: str) -> int:
        if name in (emitted, "value") and phase.pathway.emits == "values":
            return sent
        if name in posts:
            return post.setdefault(posts[name], tape.load(name))
        return pre.setdefault(name, tape.load(name))

    gain = tape.number(tape.evaluate(str(delivery.factor), value))
    result = tape.op("mul", sent, gain) if phase.pathway.emits == "spikes" else gain
    return Factor(tape, sent, result, pre, post)
