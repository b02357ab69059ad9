"""Parameters and hoisted constants of a network: every engine's numbers without gradients, recomputed from parameters with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ..expression import compile_tree
from ..lower.constants import constants as hoisted_numbers
from ..program import PopulationStep
from .to_torch_library import torch_library
from .to_torch_numbers import propagate

if TYPE_CHECKING:
    from .to_torch import Network

ByPopulation = dict[str, dict[str, torch.Tensor]]


class Constants:
    """Constants of a network as its parameters are now."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._hoisted: ByPopulation = {}
        self._hoisted_for: list[torch.Tensor] = []

    def now(self) -> ByPopulation:
        """Population -> name -> (1,) or (neuron,)."""
        network = self.network
        if not self._hoisted or (not torch.is_grad_enabled() and not self._are_current()):
            numbers = hoisted_numbers(network.program, network.trained_realisation())
            anchor = network._anchor
            self._hoisted = {p: {n: torch.tensor(v).to(anchor) for n, v in c.items()} for p, c in numbers.items()}
            self._hoisted_for = [p.detach().clone() for p in (anchor, *network.numbers.values())]
        if not torch.is_grad_enabled():
            return self._hoisted
        trained = {n.population for n in network.training_data.numbers if n.is_parameter}
        return {
            p.name: self._differentiable(p) if p.name in trained else self._hoisted[p.name]
            for p in network.program.populations
        }

    def _are_current(self) -> bool:
        """Compared by value: parameters can change in ways that leave no trace in their version."""
        now = [p.detach() for p in (self.network._anchor, *self.network.numbers.values())]
        return all(
            a.device == b.device and a.dtype == b.dtype and torch.equal(a, b)
            for a, b in zip(self._hoisted_for, now, strict=True)
        )

    def _differentiable(self, p: PopulationStep) -> dict[str, torch.Tensor]:
        env: dict[str, torch.Tensor] = {"dt": self._hoisted[p.name]["dt"]}
        for name in p.parameters:
            value = self.network.number(p.name, name)
            env[name] = self._hoisted[p.name][name] if value is None else value
        for propagator in p.propagators:
            env.update(propagate(propagator, env))
        for name, text in p.hoisted:
            env[name] = compile_tree(text, torch_library(self.network.dtype))(env)
        return env
