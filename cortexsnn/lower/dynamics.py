"""Differential equations to assignments of one step, through Brian2's own state updaters and algebra."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from ..errors import LoweringError
from ..expression import Statement, names, parse, render
from ..model import Ode
from ..program import HELD_SUFFIX, Propagator
from .hoist import Hoister

METHODS = ("exact", "exponential_euler", "euler", "rk2", "rk4")
HELD = "refractory_left > 0"

# Brian2 reserves names (N, i, t, units, functions); a prefix lets a circuit use any of them.
_PREFIX = "z_"
_BRIAN_NAME = re.compile(r"\b(_*)((?:k|k_\d+)_)?(_?)z_(\w+)")


class Update(NamedTuple):
    """Statements of one step, the propagators they use and what the user should know."""

    statements: tuple[Statement, ...]
    propagators: tuple[Propagator, ...]
    notes: tuple[str, ...]
    method: str


class Dynamics:
    """Lowers the differential equations of one population.

    Parameters
    ----------
    odes : iterable of Ode
        Right-hand sides in coherent units, without unit names.
    hoister : Hoister
    constant : callable(name) -> bool
        Whether a name is fixed over a run.
    refractory : bool
        Whether the population has a refractory period; only then are flagged variables masked.
    """

    def __init__(
        self, odes: Iterable[Ode], hoister: Hoister, constant: Callable[[str], bool], refractory: bool
    ) -> None:
        self.odes = tuple(odes)
        self.hoister, self.constant = hoister, constant
        self.flagged = {o.name for o in self.odes if o.unless_refractory} if refractory else set()

    def lower(self, method: str | None) -> Update:
        """One step by ``method``; without one, the first of exact, exponential Euler and Euler that applies.

        Raises
        ------
        LoweringError
            The method does not fit the equations; says why and which would.
        """
        if method is not None:
            return self._masked(method)
        for candidate in METHODS[:3]:
            try:
                return self._masked(candidate)
            except LoweringError:
                continue
        raise LoweringError("no integration method applies; state one: method: euler")

    def _masked(self, method: str) -> Update:
        """Lower with all derivatives, and again without those held while refractory; select by the mask.

        Temporaries are called ``_<what>_<variable>``: with the variable last, no two of them can meet.
        """
        active = self._step({o.name: o.expression for o in self.odes}, method, "")
        if not self.flagged:
            return active
        touched = self._influenced() if method in ("exact", "rk2", "rk4") else set()
        free = {o.name: o.expression for o in self.odes if o.name not in self.flagged}
        held = self._step(free, method, "held_") if free and touched else None
        writes = {s.target: s.expression for s in active.statements if not s.target.startswith("_")}
        body = [s for s in active.statements if s.target.startswith("_")]
        held_writes: Mapping[str, str] = {}
        if held:
            held_writes = {s.target: s.expression for s in held.statements if not s.target.startswith("_")}
            body += [s for s in held.statements if s.target.startswith("_")]
        for name, value in writes.items():
            if name in self.flagged:
                value = f"where({HELD}, {name}, {value})"
            elif name in touched:
                value = f"where({HELD}, {held_writes[name]}, {value})"
            body.append(Statement(name, value))
        propagators = active.propagators + (held.propagators if held else ())
        return Update(tuple(body), propagators, active.notes, method)

    def _influenced(self) -> set[str]:
        """Unflagged variables whose equation reads a flagged one, directly or through others."""
        touched = set(self.flagged)
        while True:
            more = {o.name for o in self.odes if o.name not in touched and names(o.expression) & touched}
            if not more:
                return touched - self.flagged
            touched |= more

    def _step(self, system: Mapping[str, str], method: str, mark: str) -> Update:
        match method:
            case "exact":
                return self._exact(system, mark)
            case "exponential_euler":
                return self._exponential_euler(system, mark)
        return self._explicit(system, method, mark)

    # -- methods ------------------------------------------------------------------------------------------------

    def _explicit(self, system: Mapping[str, str], method: str, mark: str) -> Update:
        """euler, rk2, rk4: Brian2's abstract code as it is."""
        from brian2.stateupdaters import explicit

        code = getattr(explicit, method)(_brian_equations(system), {})
        found = []
        for line in code.splitlines():
            target, _, value = line.partition("=")
            target = _plain_name(target.strip(), mark)
            value = _BRIAN_NAME.sub(lambda m: _plain_name(m[0], mark), _finite(value))
            found.append(Statement(target, self.hoister.regrouped(value)))
        return Update(tuple(found), (), (), method)

    def _exponential_euler(self, system: Mapping[str, str], mark: str) -> Update:
        """Exact for each variable with the others held: x + dt (A x + B) exprel(A dt) for dx/dt = A x + B.

        ``exprel(z) = (exp(z) - 1)/z`` is 1 at 0, so a conductance that vanishes gives Euler's step where B/A gives 0/0.
        """
        from brian2.stateupdaters.exponential_euler import get_conditionally_linear_system

        try:
            linear = get_conditionally_linear_system(_brian_equations(system), {})
        except ValueError:
            raise LoweringError(
                "method exponential_euler needs equations that are linear in their own variable; use euler, rk2 or rk4"
            ) from None
        found: list[Statement] = []
        notes = []
        for mangled, (slope, drive) in linear.items():
            name = mangled.removeprefix(_PREFIX)
            a, b = _from_sympy(slope), _from_sympy(drive)
            if name in names(a) | names(b):
                notes.append(
                    f"d{name}/dt is not linear in {name}: exponential_euler freezes that part for the step (first order only)"
                )
            found.extend(self._linear_step(name, a, b, mark))
        found += [Statement(name, f"_{mark}new_{name}") for name in system]
        return Update(tuple(found), (), tuple(notes), "exponential_euler")

    def _linear_step(self, name: str, a: str, b: str, mark: str) -> Iterable[Statement]:
        new = f"_{mark}new_{name}"
        regroup = self.hoister.regrouped
        if a in ("0", "0.0"):
            yield Statement(new, regroup(f"{name} + dt*({b})"))
        elif all(self.constant(n) for n in names(a)):
            decay = f"exp(dt*({a}))*{name}"
            yield Statement(new, regroup(decay if b in ("0", "0.0") else f"{decay} + dt*exprel(dt*({a}))*({b})"))
        else:
            slope = f"_{mark}slope_{name}"
            yield Statement(slope, regroup(a))
            yield Statement(new, regroup(f"{name} + dt*({slope}*{name} + ({b}))*exprel(dt*{slope})"))

    def _exact(self, system: Mapping[str, str], mark: str) -> Update:
        """Propagators of a linear system with parameter-only coefficients; what else stands there is held for the step."""
        from brian2.stateupdaters.base import UnsupportedEquationsException
        from brian2.stateupdaters.exact import get_linear_system

        try:
            mangled, matrix, drive = get_linear_system(_brian_equations(system), {})
        except (ValueError, UnsupportedEquationsException):
            raise LoweringError(_NOT_LINEAR) from None
        states = tuple(m.removeprefix(_PREFIX) for m in mangled)
        n = len(states)
        a = tuple(tuple(_from_sympy(matrix[i, j]) for j in range(n)) for i in range(n))
        b = [_from_sympy(drive[i]) for i in range(n)]
        if any(not self.constant(name) for row in a for entry in row for name in names(entry)):
            raise LoweringError(_NOT_LINEAR)
        if any(names(entry) & set(states) for entry in b):
            raise LoweringError(_NOT_LINEAR)
        propagator = Propagator(states, a, HELD_SUFFIX if mark else "")
        reach = _reachable(a)
        found = []
        for i, name in enumerate(states):
            terms = [f"{propagator.name('P', i, j)}*{states[j]}" for j in range(n) if reach[i][j]]
            terms += [
                f"{propagator.name('Q', i, j)}*({b[j]})" for j in range(n) if reach[i][j] and b[j] not in ("0", "0.0")
            ]
            found.append(Statement(f"_{mark}new_{name}", self.hoister.regrouped(" + ".join(terms))))
        found += [Statement(name, f"_{mark}new_{name}") for name in states]
        return Update(tuple(found), (propagator,), (), "exact")


_NOT_LINEAR = (
    "method exact needs linear equations whose coefficients are parameters; use exponential_euler, euler, rk2 or rk4"
)


def decay_slope(ode: Ode, constant: Callable[[str], bool]) -> str:
    """Parameter-only A of dx/dt = A x + B, for the charge of a jump.

    Raises
    ------
    LoweringError
        The variable does not decay by parameters alone.
    """
    from brian2.stateupdaters.exponential_euler import get_conditionally_linear_system

    try:
        slope, _ = get_conditionally_linear_system(_brian_equations({ode.name: ode.expression}), {})[_PREFIX + ode.name]
    except ValueError:
        slope = 0
    text = _from_sympy(slope)
    if text in ("0", "0.0") or not all(constant(n) for n in names(text)):
        raise LoweringError(
            f"charge: conserved needs an exponential decay of '{ode.name}' by parameters, such as -g/tau"
        )
    return text


def _reachable(a: tuple[tuple[str, ...], ...]) -> list[list[bool]]:
    """Non-zero pattern of a matrix exponential: j is reached from i through non-zero coefficients."""
    n = len(a)
    reach = [[i == j or a[i][j] not in ("0", "0.0") for j in range(n)] for i in range(n)]
    for k in range(n):
        for i in range(n):
            for j in range(n):
                reach[i][j] = reach[i][j] or (reach[i][k] and reach[k][j])
    return reach


def _brian_equations(system: Mapping[str, str]) -> object:
    from brian2.equations import Equations

    lines = [f"d{_PREFIX}{name}/dt = {_opaque(text)} : 1" for name, text in system.items()]
    return Equations("\n".join(lines))


def _opaque(text: str) -> str:
    """Every name with the prefix, those of functions and constants too.

    sympy then knows none of them and evaluates none: ``floor(exp(exp(50)))`` would never end, ``log(-1)`` would be complex.
    """
    tree = ast.parse(render(parse(text)), mode="eval")
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id not in ("t", "dt"):  # Brian2 advances t within a step
            node.id = _PREFIX + node.id
    return render(tree.body)


def _finite(text: str) -> str:
    """Refuse what sympy makes of divisions by zero and of overflow; all our own names have the prefix."""
    if re.search(r"\b(zoo|oo|nan|inf|I)\b", text):
        raise LoweringError("the equations divide by zero or overflow; check their constants")
    return text


def _from_sympy(expression: object) -> str:
    from brian2.parsing.sympytools import sympy_to_str

    text = _finite(sympy_to_str(expression) if not isinstance(expression, int) else str(expression))
    return render(parse(re.sub(rf"\b{_PREFIX}(\w+)", r"\1", text)))


def _plain_name(name: str, mark: str) -> str:
    """Brian2's ``_z_v`` and ``__k_1_z_v`` as our ``_new_v`` and ``_k_1_v``; plain ``z_v`` is the variable itself."""
    found = _BRIAN_NAME.fullmatch(name)
    if not found:
        return name
    lead, stage, _, plain = found.groups()
    return f"_{mark}{stage or 'new_'}{plain}" if lead or stage else plain
