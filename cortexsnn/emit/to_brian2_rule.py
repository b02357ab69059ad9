"""Plastic edges in Brian2: variables of synapses, and code over all of them under masks, in slots of their own.

What arrived in a step is marked by the delivery itself; what fired is a variable of the target. Third factors and sums over the edges onto
a target reach the edges as variables of the target.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..expression import Statement, names
from ..job import Job
from ..program import WEIGHT, Delivery, Pathway, RuleStep, StepProgram
from .to_brian2_names import LOCAL_STEP, block, local

if TYPE_CHECKING:
    from .to_brian2_network import JobNetwork

ARRIVED, FIRED = "_arrived", "spiked_post"


def edge_variable(name: str) -> str:
    """Brian2's name of a variable of the edges; a leading underscore, which no author's name has, marks our own."""
    return local(name[1:], "mark") if name.startswith("_") else local(name, "edge")


def used_constants(job: Job, pathway: Pathway) -> dict[str, np.ndarray]:
    """Constants of a rule that its statements or what is sent read, (1,)."""
    assert pathway.rule is not None
    read = pathway.rule.reads.union(*(names(d.factor) for d in pathway.deliveries if d.factor))
    return {n: v for n, v in job.rules[pathway.name].constants.items() if n in read and n not in pathway.rule.states}


def ends_read(program: StepProgram, population: str) -> set[str]:
    """Names of a population that rules of its pathways read, or that scale what they send."""
    found: set[str] = set()
    for p in program.pathways:
        if p.rule:
            for side, name in (("_pre", p.pre), ("_post", p.post)):
                if name == population:
                    found |= {n.removesuffix(side) for n in p.rule.reads if n.endswith(side)}
            if p.post == population:
                found |= {d.scale for d in p.deliveries if d.scale}
    return found


def fires_for(program: StepProgram, population: str) -> bool:
    """Whether a rule waits for the spikes of a population as a target."""
    return any(p.rule and p.rule.on_post and p.post == population for p in program.pathways)


def target_lines(program: StepProgram, population: str) -> list[str]:
    """Variables of a population by which sums and third factors reach the edges onto it."""
    lines = []
    for p in program.pathways:
        if p.rule and p.post == population:
            k = program.pathways.index(p)
            lines += [f"{_of_target(k, s.target, 'total')} : 1" for s in p.rule.sums]
            for signal in p.rule.signals:
                lines.append(f"{_of_target(k, signal.name, 'signal')} : 1")
                lines.append(f"{_of_target(k, signal.name, 'cell')} : 1 (linked)")
    return lines


def _of_target(pathway: int, name: str, role: str) -> str:
    """A variable of the target that belongs to the rule of a pathway, by its number: two names in one could be those of others."""
    return local(f"p{pathway}_{name}", role)


class PlasticSynapses:
    """What a rule adds to the synapses of its pathway."""

    def __init__(self, network: JobNetwork, pathway: Pathway, rule: RuleStep) -> None:
        self.network, self.pathway, self.rule = network, pathway, rule
        self.constants = used_constants(network.job, pathway)
        self.number = network.program.pathways.index(pathway)

    def model(self) -> list[str]:
        lines = [f"{edge_variable(n)} : 1" for n in (WEIGHT, *self.rule.states)]
        lines += [f"{edge_variable(n)} : 1 (constant, shared)" for n in self.constants]
        if self.rule.on_pre:
            lines.append(f"{edge_variable(ARRIVED)} : 1")
        dt = self.network.program.dt
        for total in self.rule.sums:
            line = block([Statement("_total", total.expression)], dt, self.name)
            lines.append(
                f"{_of_target(self.number, total.target, 'total')}_post = {line.partition('=')[2].strip()} : 1 (summed)"
            )
        return lines

    def gain(self, delivery: Delivery) -> str:
        """What an edge's magnitude becomes on a port."""
        weight = f"({'-' if delivery.sign < 0 else ''}{edge_variable(WEIGHT)})"
        return weight if delivery.scale is None else f"({weight} * {local(delivery.scale)}_post)"

    def on_arrival(self) -> list[str]:
        return [f"{edge_variable(ARRIVED)} = 1"] if self.rule.on_pre else []

    def name(self, name: str) -> str:
        """Brian2's name of what a statement of the rule reads."""
        rule, own = self.rule, {WEIGHT, ARRIVED, *self.rule.states, *self.constants}
        if name in own:
            return edge_variable(name)
        if name in {s.target for s in rule.sums}:
            return f"{_of_target(self.number, name, 'total')}_post"
        if name in {s.name for s in rule.signals}:
            return f"{_of_target(self.number, name, 'signal')}_post"
        for side in ("_pre", "_post"):
            if name.endswith(side):
                return f"{local(name.removesuffix(side))}{side}"
        return local(name)

    def add_code(self, synapses: Any) -> None:
        """Code of the rule, after that of the pathways before it."""
        rule, network = self.rule, self.network
        order = 3 * self.number

        def add(lines: Iterable[str], when: str, at: int) -> None:
            code = "\n".join(lines)
            if code:
                network.add(synapses.run_regularly(code, when=when, order=order + at, clock=network.clock))

        add([self._code(rule.update)], "edges", 0)
        learn = [self._code(rule.on_pre, f"{ARRIVED} > 0"), self._code(rule.on_post, f"{FIRED} > 0")]
        if rule.on_pre:
            learn.append(f"{edge_variable(ARRIVED)} = 0")
        add(filter(None, learn), "learn", 0)
        for updater in synapses.summed_updaters.values():
            updater.when, updater.order = "learn", order + 1
        slow = []
        for k, (steps, statements) in enumerate(rule.every):
            if steps > 1:
                slow.append(f"{local(f'_due{k}')} = ({LOCAL_STEP} + 1) % {float(steps)!r}")
            slow.append(self._code(statements, f"_due{k} == 0" if steps > 1 else None))
        add(slow, "learn", 2)

    def _code(self, statements: Iterable[Statement], where: str | None = None) -> str:
        masked = [Statement(t, f"where({where}, {text}, {t})") for t, text in statements] if where else list(statements)
        return block(masked, self.network.program.dt, self.name)

    def link_signals(self, group: Any) -> None:
        """Third factors copied to the target, whose synapses cannot read a linked variable."""
        network, lines = self.network, []
        for signal in self.rule.signals:
            cell = _of_target(self.number, signal.name, "cell")
            source = network.groups[signal.source]
            index = np.zeros(group.N, dtype=int)
            setattr(group, cell, network.b2.linked_var(source, local(signal.variable), index=index))
            lines.append(f"{_of_target(self.number, signal.name, 'signal')} = {cell}")
        if lines:
            network.add(group.run_regularly("\n".join(lines), when="signals", clock=network.clock))
