"""Hoisted constants as numbers: computed once per run, in float64 numpy, and handed to every engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import special
from scipy.linalg import expm

from ..errors import NumericalError
from ..expression import Library, compile_tree
from ..program import Delivery, PopulationStep, Propagator, RuleStep, StepProgram
from ..realise import Edges, Realisation, RuleNumbers


def _straight_through(value: np.ndarray, gradient_to: np.ndarray) -> np.ndarray:
    return value + np.zeros_like(gradient_to) if np.ndim(value) < np.ndim(gradient_to) else value


NUMPY = Library(
    functions={
        **{
            n: getattr(np, n)
            for n in ("exp", "log", "log10", "log1p", "expm1", "sqrt", "sin", "cos", "tan", "sinh", "cosh")
        },
        **{
            n: getattr(np, n)
            for n in ("tanh", "arctan", "arcsin", "arccos", "abs", "sign", "floor", "ceil", "clip", "where")
        },
        "exprel": special.exprel,
        "int": lambda x: np.asarray(x, dtype=np.float64) if np.asarray(x).dtype == bool else np.trunc(x),
        "straight_through": _straight_through,
    },
    all_of=np.logical_and,
    any_of=np.logical_or,
    negate=np.logical_not,
)
"""numpy's meaning of the expression language."""

Constants = Mapping[str, Mapping[str, np.ndarray]]


def constants(program: StepProgram, realisation: Realisation) -> Constants:
    """population -> name -> value, float64 of shape (1,) or (neuron,): parameters, propagators, hoisted statements.

    Raises
    ------
    NumericalError
        A constant is NaN or infinite; names the population and the expression.
    """
    return {
        p.name: _numbers(f"populations.{p.name}", p, realisation.parameters[p.name], program.dt)
        for p in program.populations
    }


def rule_numbers(program: StepProgram, realisation: Realisation) -> dict[str, RuleNumbers]:
    """Plastic pathway -> its constants, and what the states of its edges start from.

    Raises
    ------
    NumericalError
        As above.
    """
    found = {}
    for p in program.pathways:
        if p.rule:
            given = realisation.rules[p.name]
            path = f"projections.{p.name}.plasticity"
            found[p.name] = RuleNumbers(_numbers(path, p.rule, given.constants, program.dt), given.initial)
    return found


def _numbers(
    path: str, step: PopulationStep | RuleStep, parameters: Mapping[str, np.ndarray], dt: float
) -> dict[str, np.ndarray]:
    values: dict[str, np.ndarray] = {"dt": np.array([dt]), **parameters}
    zero = [n for n in step.parameters if (values[n] == 0).any()]
    with np.errstate(all="ignore"):
        for propagator in step.propagators:
            values.update(_propagate(path, propagator, values, dt, zero))
        for name, text in step.hoisted:
            values[name] = np.atleast_1d(np.asarray(compile_tree(text, NUMPY)(values), dtype=np.float64))
            _check(path, name, text, values[name], zero)
    return values


def _check(path: str, name: str, text: str, value: np.ndarray, zero: Sequence[str]) -> None:
    if not np.isfinite(value).all():
        worst = int(np.flatnonzero(~np.isfinite(value))[0])
        suspects = f"check the parameters that are 0: {', '.join(zero)}" if zero else "check the parameters"
        raise NumericalError(
            f"{path}.parameters: the constant {name} = {text} is {value[worst]} for neuron {worst}; {suspects}"
        )


def _propagate(
    path: str, propagator: Propagator, values: Mapping[str, np.ndarray], dt: float, zero: Sequence[str]
) -> dict[str, np.ndarray]:
    """Entries of P and Q; the exponential is computed once per distinct row of parameters."""
    n = len(propagator.states)
    entries = [[np.atleast_1d(compile_tree(text, NUMPY)(values)) for text in row] for row in propagator.matrix]
    rows = np.broadcast_arrays(*(entry for row in entries for entry in row))
    a = np.stack(rows, axis=-1).astype(np.float64)
    unique, where = np.unique(a, axis=0, return_inverse=True)
    block = np.zeros((len(unique), 2 * n, 2 * n))
    block[:, :n, :n] = unique.reshape(-1, n, n)
    block[:, :n, n:] = np.eye(n)
    result = expm(block * dt)
    found = {}
    for i in range(n):
        for j in range(n):
            for kind, offset in (("P", 0), ("Q", n)):
                name = propagator.name(kind, i, j)
                found[name] = result[where.reshape(-1), i, offset + j]
                _check(
                    path,
                    name,
                    f"propagator of {propagator.states[i]} from {propagator.states[j]}",
                    found[name],
                    zero,
                )
    return found


def effective_weight(edges: Edges, delivery: Delivery, post: Mapping[str, np.ndarray]) -> np.ndarray:
    """Signed weight on one port in the port's unit: sign, magnitude, charge factor; (edge,), or (1,) if one serves all edges."""
    weight = edges.values if edges.index is None else edges.weight
    weight = weight if delivery.sign > 0 else -weight
    if delivery.scale is None:
        return weight
    scale = post[delivery.scale]
    return weight * (scale if scale.size == 1 else scale[edges.post])
