"""Plastic edges on tensors (trial, edge): the rule of a pathway, eager and differentiable, the same statements under masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from ..expression import Statement, compile_tree
from ..program import WEIGHT, Pathway, RuleStep
from ..realise import RuleNumbers
from .to_torch_library import torch_library

Env = dict[str, Any]
Block = list[tuple[str, Callable[[Env], Any]]]
ARRIVED = "_arrived"


class PlasticRule:
    """Executes a rule.

    Parameters
    ----------
    pathway, rule
    numbers : RuleNumbers
        Constants and initial states.
    rests : bool
        Whether weights stay where they are while gradients are taken.
    """

    def __init__(self, pathway: Pathway, rule: RuleStep, numbers: RuleNumbers, dtype: torch.dtype, rests: bool) -> None:
        self.pathway, self.rule, self.numbers, self.rests = pathway, rule, numbers, rests
        self.dtype, self.library = dtype, torch_library(dtype)
        self.update, self.on_pre, self.on_post = map(self._compiled, (rule.update, rule.on_pre, rule.on_post))
        self.sums = self._compiled(rule.sums)
        self.every = [(steps, self._compiled(block)) for steps, block in rule.every]

    def _compiled(self, block: tuple[Statement, ...]) -> Block:
        return [(s.target, compile_tree(s.expression, self.library)) for s in block]

    def begin(self, magnitude: torch.Tensor, n_trials: int) -> Env:
        """Weights and states before the first step."""
        shape = (n_trials, magnitude.numel())
        env: Env = {WEIGHT: magnitude.expand(shape)}
        for name in self.rule.states:
            env[name] = magnitude.new_full(shape, self.numbers.initial.get(name, 0.0))
        return env

    def constants(self, like: torch.Tensor) -> Env:
        return {name: torch.as_tensor(value).to(like) for name, value in self.numbers.constants.items()}

    def advance(self, env: Env, ends: Env, t: float) -> None:
        """The states of the edges go on by one step, before anything arrives."""
        env |= ends | {"t": env["dt"].new_full((1,), t)}
        env[ARRIVED] = torch.zeros_like(env[WEIGHT], dtype=torch.bool)
        self._execute(self.update, env, None)

    def learn(
        self, env: Env, ends: Env, fired: torch.Tensor | None, post: torch.Tensor, step: int, n_post: int
    ) -> None:
        """The rule at the end of a step; ``fired`` is (trial, cell) of the targets, ``post`` the target of every edge."""
        env |= ends
        if self.on_pre:
            self._execute(self.on_pre, env, env[ARRIVED])
        if self.on_post and fired is not None:
            self._execute(self.on_post, env, fired[:, post])
        due = [block for steps, block in self.every if (step + 1) % steps == 0]
        for name, value in self.sums if due else ():
            terms = self._whole(value(env), env).t()
            env[name] = terms.new_zeros((n_post, terms.shape[1])).index_add(0, post, terms)[post].t()
        for block in due:
            self._execute(block, env, None)

    def _execute(self, block: Block, env: Env, where: torch.Tensor | None) -> None:
        for name, value in block:
            if name == WEIGHT and self.rests and torch.is_grad_enabled():
                continue
            new = self._whole(value(env), env)
            env[name] = new if where is None or name not in env else torch.where(where, new, env[name])

    def _whole(self, value: Any, env: Env) -> torch.Tensor:
        found = torch.as_tensor(value, dtype=self.dtype, device=env["dt"].device)
        return found.expand(env[WEIGHT].shape)

    def ends(self, names: Mapping[str, Mapping[str, Any]], cells: Mapping[str, torch.Tensor]) -> Env:
        """What the rule reads of the two ends, for every edge: ``names`` and ``cells`` by "pre" and "post"."""
        found: Env = {}
        for side, values in names.items():
            for name, value in values.items():
                if f"{name}_{side}" in self.rule.reads:
                    several = isinstance(value, torch.Tensor) and value.ndim > 0 and value.shape[-1] > 1
                    found[f"{name}_{side}"] = value[..., cells[side]] if several else value
        return found
