"""The ``equations`` block of a neuron: its lines read, and subexpressions put in where they are used."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, NamedTuple

from . import expression as ex
from .errors import ExpressionError

_ODE = re.compile(r"d\s*([A-Za-z]\w*)\s*/\s*dt\s*=(?!=)(.*)", re.DOTALL)
_SUBEXPRESSION = re.compile(r"([A-Za-z]\w*)\s*=(?!=)(.*)", re.DOTALL)
_STATE = re.compile(r"[A-Za-z]\w*")
# A parenthesis after an operator belongs to the unit, as in nS/(ms).
_FLAGGED = re.compile(r"(.*[^*/\s(])\s*\(([^()]*)\)", re.DOTALL)


class Equation(NamedTuple):
    """One line: ``dx/dt = body : unit (flags)``, ``x = body : unit``, or the declaration of a state, ``x : unit``."""

    name: str
    kind: Literal["ode", "subexpression", "state"]
    body: str
    unit: str
    flags: tuple[str, ...]


def equation_lines(block: str) -> list[str]:
    """Equations of a block; one ends with ``: unit`` and may run over several lines.

    Raises
    ------
    ExpressionError
        The block is larger than any author writes.
    """
    ex.check_block(block)
    lines, pending = [], ""
    for raw in block.splitlines():
        line = raw.split("#", 1)[0].strip()
        pending = f"{pending} {line}".strip()
        if ":" in line:
            lines.append(pending)
            pending = ""
    return [*lines, pending] if pending else lines


def read_equation(line: str) -> Equation:
    """Parts of one line; the body is still as written.

    Raises
    ------
    ExpressionError
        Not of one of the three forms.
    """
    left, colon, right = line.rpartition(":")
    unit, flags = right.strip(), ""
    if flagged := _FLAGGED.fullmatch(unit):
        unit, flags = flagged.groups()
    found = tuple(f for f in (" ".join(flag.split()) for flag in flags.split(",")) if f)
    left = left.strip()
    if colon and _STATE.fullmatch(left):
        return Equation(left, "state", "", unit, found)
    ode, subexpression = _ODE.fullmatch(left), _SUBEXPRESSION.fullmatch(left)
    match = ode or subexpression
    if not colon or not match:
        forms = "'dv/dt = … : volt', 'name = … : unit' or 'name : unit'"
        raise ExpressionError(f"cannot read '{ex.shorten(line)}'; write {forms}")
    return Equation(match[1], "ode" if ode else "subexpression", match[2].strip(), unit, found)


def resolve(subexpressions: Mapping[str, str], guard: Callable[[str, Callable[[], object]], bool]) -> dict[str, str]:
    """Every subexpression in terms of states, parameters and ports alone.

    Parameters
    ----------
    subexpressions : mapping
        Name -> text, which may name other subexpressions.
    guard : callable(name, function) -> bool
        Runs ``function`` and reports its error at the subexpression ``name``, which then counts as 0.
    """
    done: dict[str, str] = {}
    open_: list[str] = []

    def one(name: str) -> str:
        if name in open_:
            cycle = " -> ".join([*open_[open_.index(name) :], name])
            raise ExpressionError(f"subexpressions define each other: {cycle}; break the circle")
        if len(open_) > ex.MAX_DEPTH:
            raise ExpressionError(f"more than {ex.MAX_DEPTH} subexpressions within one another; write it flatter")
        if name not in done:
            open_.append(name)
            text = subexpressions[name]
            done[name] = put_in(text, {n: one(n) for n in _inside(text, subexpressions)})
            open_.pop()
        return done[name]

    for name in subexpressions:
        if not guard(name, lambda n=name: one(n)):  # type: ignore[misc]
            done[name] = "0"
            open_.clear()
    return done


def _inside(text: str, names: Iterable[str]) -> list[str]:
    used = ex.names(text)
    return [n for n in names if n in used]


def put_in(text: str, table: Mapping[str, str]) -> str:
    """``text`` with names replaced by expressions; the result keeps to the bounds of what an author may write.

    Raises
    ------
    ExpressionError
        It does not.
    """
    result = ex.substitute(text, table)
    if result != text:
        try:
            ex.accept(result)
        except ExpressionError as error:
            raise ExpressionError(f"with its subexpressions put in: {error}") from None
    return result
