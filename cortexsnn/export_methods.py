"""Integration in an exported script: Brian2's own method where it gives the numbers of the format, else the step written out.

Brian2's ``exact`` divides by differences of time constants and by the time constants themselves, and its exponential Euler by
the slope of the equation: equal time constants, integrators without leak and conductances that start at 0 give NaN there.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .export_language import code
from .export_plan import Plan
from .expression import Statement, compile_tree, names, parse, render
from .lower import NUMPY
from .lower.dynamics import Dynamics, Update
from .lower.hoist import Hoister
from .program import Propagator
from .units import is_unit, parse_unit

LARGEST_SYSTEM = 3
"""Coupled equations that Brian2's algebra solves in a moment."""
SMALLEST_GAP = 1e-2
"""Relative difference of two time constants below which Brian2's ``exact`` loses digits."""
LARGEST_STEP = 50.0
"""Steps per time constant up to which its exponentials stay far from overflow."""


class Integration(NamedTuple):
    """How one population's equations advance.

    name : Brian2's method, or "written out"
    lines : of the step, where it is written out
    propagators : linear systems whose matrix exponentials the lines use
    why : what the reader should know, or ""
    """

    name: str
    lines: tuple[str, ...] = ()
    propagators: tuple[Propagator, ...] = ()
    why: str = ""


def integration(plan: Plan, population: str, refractory: bool) -> Integration | None:
    """Method for a population; None where it has no differential equations."""
    if not plan.models[population].odes:
        return None
    match _method(plan, population):
        case "exact" if not _brian2_solves(plan, population, refractory):
            why = (
                "The exact step by numeric matrix exponentials: Brian2's own 'exact' is undefined or loses digits here."
            )
            return _written_out(plan, population, "exact", refractory, why)
        case "exponential_euler" if _slope_vanishes(plan, population):
            why = "Exponential Euler written without a division by the slope, which is 0 at times."
            return _written_out(plan, population, "exponential_euler", refractory, why)
        case method:
            plan.divides |= (
                refractory and bool(plan.models[population].flagged) and method in ("exact", "exponential_euler")
            )
            return Integration(method)


def _method(plan: Plan, population: str) -> str:
    """As stated, or as the lowering chose and noted."""
    stated = plan.models[population].method
    if stated is not None:
        return stated
    mark = f"{population}: method "
    return next(note.removeprefix(mark) for note in plan.program.notes if note.startswith(mark))


def _lowered(plan: Plan, population: str, method: str, refractory: bool) -> Update:
    """The step in the units of the author: unit names count as parameters, and nothing is computed beforehand."""
    model = plan.models[population]
    own = {*model.dimensions}

    def constant(name: str) -> bool:
        return name in model.parameters or name == "dt" or (name not in own and is_unit(name))

    return Dynamics(model.odes, Hoister(lambda name: False, lambda name: False), constant, refractory).lower(method)


def _written_out(plan: Plan, population: str, method: str, refractory: bool, why: str) -> Integration:
    step = _lowered(plan, population, method, refractory)
    flagged = plan.models[population].flagged if refractory else frozenset()
    table = plan.names[population]
    lines = []
    for target, text in step.statements:
        tree = parse(text)
        # The lowering chooses by its own counter; Brian2 masks writes to what is flagged by itself.
        if isinstance(tree, ast.Call) and "refractory_left" in names(tree):
            held, moved = (code(render(part), table) for part in tree.args[1:])
            shown = moved if target in flagged else f"where(int(not_refractory) == 1, {moved}, {held})"
        else:
            shown = code(text, table)
        if "where(" in shown:
            plan.helpers.add("where")
        lines.append(f"{table.get(target, target)} = {shown}")
    plan.helpers |= {"written_out", *(["set_propagators"] if step.propagators else [])}
    return Integration("written out", tuple(lines), step.propagators, why)


# -- where Brian2's own methods hold ------------------------------------------------------------------------------------


def _brian2_solves(plan: Plan, population: str, refractory: bool) -> bool:
    """Whether Brian2's ``exact`` is defined and keeps its digits for these equations and numbers."""
    model = plan.models[population]
    (propagator, *held) = plan.program.population(population).propagators
    if held or len(propagator.states) > LARGEST_SYSTEM or any("t" in names(o.expression) for o in model.odes):
        return False
    a = _matrix(plan, population, propagator)
    present = (a != 0).any(0) & ~np.eye(len(propagator.states), dtype=bool)
    if (np.linalg.matrix_power(present.astype(int), len(present)) != 0).any():  # a cycle: the algebra may turn complex
        return False
    rates = np.einsum("kii->ki", a)
    gaps = np.abs(rates[:, :, None] - rates[:, None, :])[:, ~np.eye(len(present), dtype=bool)]
    largest = np.abs(rates).max()
    dt = plan.program.dt
    return bool((rates != 0).all() and largest * dt < LARGEST_STEP and (gaps > SMALLEST_GAP * largest).all())


def _matrix(plan: Plan, population: str, propagator: Propagator) -> np.ndarray:
    """A of x' = A x + b in coherent units, (1 or neuron, state, state)."""
    parameters = plan.realisation.parameters[population]
    rows = [compile_tree(text, NUMPY)(parameters) for row in propagator.matrix for text in row]
    n = len(propagator.states)
    return np.stack(np.broadcast_arrays(*map(np.atleast_1d, rows)), -1).astype(float).reshape(-1, n, n)


def _slope_vanishes(plan: Plan, population: str) -> bool:
    """Whether a coefficient by which Brian2 divides is 0 at the start, or without any input."""
    model, initial = plan.models[population], plan.realisation.initial[population]
    ports = {name: np.zeros(1) for name in model.ports}
    at_rest = {**initial, **{name: np.zeros(1) for name, port in model.ports.items() if port.kind == "jump"}}
    known: dict[str, Any] = {
        **plan.realisation.parameters[population],
        "t": np.zeros(1),
        "dt": np.array([plan.program.dt]),
    }
    known |= {name: np.zeros(1) for name in model.reductions}
    slopes = [s.expression for s in _slopes(plan, population)]
    for states in (initial, at_rest):
        env = {**known, **ports, **states}
        with np.errstate(all="ignore"):
            if any((np.abs(_number(text, env)) == 0).any() for text in slopes):
                return True
    return False


def _slopes(plan: Plan, population: str) -> list[Statement]:
    """A of every dx/dt = A x + B in which x has a coefficient at all."""
    model = plan.models[population]
    hoister = Hoister(lambda name: False, lambda name: False)
    step = Dynamics(model.odes, hoister, lambda name: False, False).lower("exponential_euler")
    return [s for s in step.statements if s.target.startswith("_slope_")]


def _number(text: str, env: Mapping[str, Any]) -> np.ndarray:
    units = {n: parse_unit(n).value for n in names(text) if n not in env and is_unit(n)}
    return np.asarray(compile_tree(text, NUMPY)({**units, **env}))
