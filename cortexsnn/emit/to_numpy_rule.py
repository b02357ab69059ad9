"""The reference interpreter's part for plastic edges: all of them in every step, under masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..expression import Statement, compile_tree
from ..job import Job, edge_states
from ..lower import NUMPY
from ..program import WEIGHT, Pathway, RuleStep

Env = dict[str, Any]
Block = list[tuple[str, Callable[[Env], Any]]]


class PlasticEdges:
    """States of one pathway's edges, (edge,), in the order of ``Edges``, and its rule."""

    def __init__(self, pathway: Pathway, rule: RuleStep, job: Job) -> None:
        self.pathway, self.rule = pathway, rule
        self.edges, self.numbers = job.edges[pathway.name], job.rules[pathway.name]
        self.n_post = job.program.size(pathway.post)
        self.update, self.on_pre, self.on_post = (_compiled(b) for b in (rule.update, rule.on_pre, rule.on_post))
        self.sums = _compiled(rule.sums)
        self.every = [(steps, _compiled(block)) for steps, block in rule.every]
        self.read = rule.reads
        self.env: Env = {}
        self.arrived = np.zeros(self.edges.pre.size, bool)

    def begin(self) -> None:
        """As every trial starts."""
        self.env = {**self.numbers.constants, **edge_states(self.edges, self.rule, self.numbers)}

    def advance(self, ends: Mapping[str, Env], t: float) -> None:
        """The states of the edges go on by one step, before anything arrives."""
        self.arrived[:] = False
        self.env["t"] = t
        if self.update:
            self._see(ends, {})
            self._execute(self.update, None)

    def learn(
        self, k: int, ends: Mapping[str, Env], inputs: Mapping[str, np.ndarray], fired: np.ndarray | None
    ) -> None:
        """The rule at the end of step ``k``; ``inputs`` are rows of inputs, ``fired`` tells which targets spiked."""
        self._see(ends, inputs)
        for signal in self.rule.signals:
            source = ends.get(signal.source)
            value = inputs[signal.source] if source is None else source[signal.variable]
            self.env[signal.name] = np.broadcast_to(value, (1,))[0]
        if self.on_pre:
            self._execute(self.on_pre, self.arrived)
        if self.on_post and fired is not None:
            self._execute(self.on_post, fired[self.edges.post])
        due = [block for steps, block in self.every if (k + 1) % steps == 0]
        for name, value in self.sums if due else ():
            total = np.zeros(self.n_post)
            np.add.at(total, self.edges.post, self._whole(value(self.env)))
            self.env[name] = total[self.edges.post]
        for block in due:
            self._execute(block, None)

    def _see(self, ends: Mapping[str, Env], inputs: Mapping[str, np.ndarray]) -> None:
        for side, name, cells in (
            ("pre", self.pathway.pre, self.edges.pre), ("post", self.pathway.post, self.edges.post),
        ):  # fmt: skip
            found = ends.get(name, {"value": inputs[name]} if name in inputs else {})
            for variable, value in found.items():
                if f"{variable}_{side}" in self.read:
                    self.env[f"{variable}_{side}"] = value[cells] if np.size(value) > 1 else value

    def _execute(self, block: Block, where: np.ndarray | None) -> None:
        for name, value in block:
            new = self._whole(value(self.env))
            # Temporaries need no mask: what is put back does.
            self.env[name] = new if where is None or name not in self.env else np.where(where, new, self.env[name])

    def _whole(self, value: Any) -> np.ndarray:
        return np.broadcast_to(np.asarray(value, np.float64), self.edges.pre.shape)

    @property
    def weight(self) -> np.ndarray:
        """Magnitudes, (edge,)."""
        found: np.ndarray = self.env[WEIGHT]
        return found

    def final(self) -> dict[str, np.ndarray]:
        return {name: np.array(self.env[name]) for name in (WEIGHT, *self.rule.states)}


def _compiled(block: tuple[Statement, ...]) -> Block:
    return [(s.target, compile_tree(s.expression, NUMPY)) for s in block]
