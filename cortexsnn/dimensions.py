"""Dimensions of expressions, by Brian2's rules but in one walk: Brian2's own check is exponential in nested calls.

One rule is stricter: ``floor`` and ``ceil`` take plain numbers, since the floor of a voltage would depend on its unit.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from .errors import UnitError, unknown
from .grammar import CONSTANTS, integer_power, names, parse, shorten
from .units import DIMENSIONLESS, Dimension, coherent_name, describe, is_unit, multiply, parse_unit

_KEEPING = ("abs",)
"""Functions whose result has the dimension of their argument."""
_ANY = ("sign",)
"""Functions of any dimension that give a plain number."""


def check_dimensions(expression: str, variables: Mapping[str, Dimension]) -> Dimension:
    """Dimension of an accepted ``expression``.

    Parameters
    ----------
    expression : str
        Text that has passed :func:`cortexsnn.grammar.accept`.
    variables : mapping
        Dimension of every name that is no unit.

    Raises
    ------
    UnitError
        Inconsistent units or an unknown name; quotes the part of the expression.
    """
    tree = parse(expression)
    strange = sorted(n for n in names(tree) if n not in variables and n not in CONSTANTS and not is_unit(n))
    if strange:
        told = unknown("name", strange[0], sorted(variables))
        noise = (
            "; noise terms (xi) are not supported, drive the cell by an input"
            if any(n.startswith("xi") for n in strange)
            else ""
        )
        raise UnitError(told + (f" Unknown as well: {', '.join(strange[1:])}." if strange[1:] else "") + noise)
    return _Walk(variables).dimension(tree)


class _Walk:
    def __init__(self, variables: Mapping[str, Dimension]) -> None:
        self.variables = variables

    def dimension(self, node: ast.expr) -> Dimension:
        match node:
            case ast.Name(id=name):
                return self.name(name)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                self.dimension(operand)
                return DIMENSIONLESS
            case ast.UnaryOp(operand=operand):
                return self.dimension(operand)
            case ast.BinOp(left=left, op=ast.Add() | ast.Sub(), right=right):
                return self.equal(node, [left, right], "add")
            case ast.BinOp(left=left, op=ast.Mult() | ast.Div() as op, right=right):
                return multiply(self.dimension(left), self.dimension(right), 1 if isinstance(op, ast.Mult) else -1)
            case ast.BinOp(left=left, right=right):
                power = integer_power(right) or 0
                return tuple(d * power for d in self.dimension(left))
            case ast.Compare(left=left, comparators=[right]):
                self.equal(node, [left, right], "compare")
                return DIMENSIONLESS
            case ast.BoolOp(values=values):
                for value in values:
                    self.dimension(value)
                return DIMENSIONLESS
            case ast.Call(func=ast.Name(id=name), args=args):
                return self.call(node, name, args)
        return DIMENSIONLESS

    def name(self, name: str) -> Dimension:
        if name in self.variables:
            return self.variables[name]
        if name in CONSTANTS:
            return DIMENSIONLESS
        return parse_unit(name).dimension

    def call(self, node: ast.expr, name: str, args: list[ast.expr]) -> Dimension:
        if name == "where":
            self.dimension(args[0])
            return self.equal(node, args[1:], "choose between")
        if name in ("clip", "straight_through"):
            return self.equal(node, args, "combine")
        found = self.dimension(args[0])
        if name == "sqrt":
            return tuple(d // 2 if d % 2 == 0 else d / 2 for d in found)  # type: ignore[misc]
        if name in _KEEPING:
            return found
        if name not in _ANY and found != DIMENSIONLESS:
            got = f"'{_quote(args[0])}' is {_named(found)}"
            raise UnitError(f"{name}() takes a plain number, {got}; divide it by {coherent_name(found)}")
        return DIMENSIONLESS

    def equal(self, node: ast.expr, parts: Sequence[ast.expr], verb: str) -> Dimension:
        found = [self.dimension(part) for part in parts]
        if any(dimension != found[0] for dimension in found):
            listed = ", ".join(f"'{_quote(p)}' is {_named(d)}" for p, d in zip(parts, found, strict=True))
            raise UnitError(f"cannot {verb} different units in '{_quote(node)}': {listed}; correct one")
        return found[0]


def _named(dimension: Dimension) -> str:
    name = describe(dimension)
    unit = coherent_name(dimension)
    return name if dimension == DIMENSIONLESS or unit in name else f"{name} ({unit})"


def _quote(node: ast.expr) -> str:
    return shorten(ast.unparse(node))
