"""One population's part of a step on tensors (trial, neuron), eager and differentiable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..errors import EngineError
from ..expression import Statement, compile_tree
from ..job import DISTANCE, SPIKES
from ..program import PopulationStep, ReductionStep
from .surrogate import Spike
from .to_torch_library import torch_library

Env = dict[str, Any]


class PopulationDynamics:
    """Executes one population's statements.

    Parameters
    ----------
    step : PopulationStep
    derivative : callable
        Pseudo-derivative of the spike.
    detach_reset : bool
        Whether the reset is hidden from the gradient.
    dtype : torch.dtype
    """

    def __init__(
        self,
        step: PopulationStep,
        derivative: Callable[[torch.Tensor], torch.Tensor],
        detach_reset: bool,
        dtype: torch.dtype,
    ) -> None:
        self.step, self.derivative, self.detach_reset = step, derivative, detach_reset
        self.dtype, self.library = dtype, torch_library(dtype)
        self.main = self._compiled((*step.update, *([step.output] if step.output else [])))
        self.first, self.on_spike = self._compiled(step.arrive), self._compiled(step.reset)
        self.last = self._compiled(step.after_reset)
        self.threshold = self._expression(step.threshold) if step.threshold else None
        self.distance = self._expression(step.distance) if step.distance else None
        self.reductions = [(r, self._expression(r.expression)) for r in step.reductions]
        self.uses_spiked = any("spiked" in s.expression for s in step.after_reset)

    def _expression(self, text: str) -> Callable[[Env], Any]:
        return compile_tree(text, self.library)

    def _compiled(self, block: tuple[Statement, ...]) -> list[tuple[str, Callable[[Env], Any]]]:
        return [(s.target, self._expression(s.expression)) for s in block]

    def update(self, env: Env, shape: tuple[int, int], exact: bool) -> torch.Tensor | None:
        """Arrivals, reductions, update, threshold; returns what is emitted, (trial, neuron)."""
        self._execute(self.first, env, shape)
        for reduction, expression in self.reductions:
            values = torch.as_tensor(expression(env), dtype=self.dtype, device=env["dt"].device)
            env[reduction.name] = _reduce(reduction, values.expand(shape), exact)
        self._execute(self.main, env, shape)
        if self.step.output:
            return env[self.step.output.target]
        return self._fire(env, shape) if self.threshold else None

    def _fire(self, env: Env, shape: tuple[int, int]) -> torch.Tensor:
        assert self.threshold
        assert self.distance
        fired = torch.as_tensor(self.threshold(env)).expand(shape)
        env[DISTANCE] = distance = torch.as_tensor(self.distance(env), dtype=self.dtype).expand(shape)
        spikes = fired.to(self.dtype)
        if torch.is_grad_enabled():
            spikes = Spike.apply(distance / self.scale(), spikes, self.derivative)
        env["_fired"], env[SPIKES] = fired, spikes
        return spikes

    def scale(self) -> float:
        """Width in which the threshold is soft.

        Raises
        ------
        EngineError
            The circuit gives none.
        """
        if self.step.threshold_scale is None:
            raise EngineError(
                f"populations.{self.step.name}: training needs threshold_scale, the width in which the threshold is soft; "
                "add for example 'threshold_scale: 10 mV' to the neuron"
            )
        return self.step.threshold_scale

    def reset(self, env: Env, shape: tuple[int, int]) -> None:
        """Reset where a spike was fired, line by line."""
        for name, value in self.on_spike:
            new = value(env)
            if self.detach_reset or not torch.is_grad_enabled():
                env[name] = self.library.functions["where"](env["_fired"], new, env[name]).expand(shape)
            else:
                env[name] = env[SPIKES] * new + (1 - env[SPIKES]) * env[name]

    def after_reset(self, env: Env, shape: tuple[int, int]) -> None:
        """Statements for every neuron, after threshold, delivery and reset."""
        if self.uses_spiked:
            env["spiked"] = env.get(SPIKES, 0.0)
        self._execute(self.last, env, shape)

    def _execute(self, block: list[tuple[str, Callable[[Env], Any]]], env: Env, shape: tuple[int, int]) -> None:
        for name, value in block:
            result = value(env)
            if not isinstance(result, torch.Tensor):
                result = torch.full(shape, float(result), dtype=self.dtype, device=env["dt"].device)
            env[name] = result if result.shape == shape else result.expand(shape)


def _reduce(reduction: ReductionStep, values: torch.Tensor, exact: bool) -> torch.Tensor:
    """(trial, 1); in exact mode sums run in index order as in every other engine."""
    match reduction.op:
        case "sum" | "mean":
            total = values.cumsum(-1)[..., -1:] if exact else values.sum(-1, keepdim=True)
            return total if reduction.op == "sum" else total / values.shape[-1]
        case "max":
            return values.amax(-1, keepdim=True)
    return torch.where(values > 0, values, torch.inf).amin(-1, keepdim=True)
