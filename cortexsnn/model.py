"""A population's neuron as data: what its pieces say, put together by :func:`cortexsnn.assembly.assemble`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .expression import Statement
from .spec import Port, Reduction, Trainable
from .units import Dimension
from .values import Number


@dataclass(frozen=True)
class Ode:
    """``d name/dt = expression``, held while refractory if flagged."""

    name: str
    expression: str
    unless_refractory: bool


@dataclass(frozen=True)
class Model:
    """One population's dynamics with subexpressions inlined and ``adds`` joined; expressions still carry unit names.

    ``dimensions`` covers states, ports, parameters, reductions and the output.
    """

    odes: tuple[Ode, ...]
    update: tuple[Statement, ...]
    output: Statement | None
    threshold: str | None
    reset: tuple[Statement, ...]
    after_reset: tuple[Statement, ...]
    reductions: Mapping[str, Reduction]
    ports: Mapping[str, Port]
    states: tuple[str, ...]
    parameters: Mapping[str, Number]
    initial: Mapping[str, Number]
    trainable: Mapping[str, Trainable]
    refractory: float | str | None
    threshold_scale: float | None
    method: str | None
    dimensions: Mapping[str, Dimension] = field(repr=False)

    @property
    def flagged(self) -> frozenset[str]:
        """States whose update is masked while refractory."""
        return frozenset(ode.name for ode in self.odes if ode.unless_refractory)
