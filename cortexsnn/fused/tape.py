"""Statements as operations on numbered values, and their derivative in reverse: more operations on the same tape.

Only what the expression language has. Derivatives are those that torch gives to the eager network, ties and bounds included, so
that kernels and autograd agree to rounding.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Container, Iterable, Mapping
from typing import NamedTuple

from ..expression import CONSTANTS, parse

_ARITHMETIC: dict[type, str] = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div"}
_COMPARISONS: dict[type, str] = {
    ast.Gt: "gt", ast.GtE: "ge", ast.Lt: "lt", ast.LtE: "le", ast.Eq: "eq", ast.NotEq: "ne",
}  # fmt: skip
CONDITIONS = frozenset({*_COMPARISONS.values(), "and", "or", "not"})
"""Operations whose result is true or false."""
_SMALL = 1e-5
"""Below this, exprel is its series: as in the eager network."""

Environment = Callable[[str], int]


class Op(NamedTuple):
    """One operation: ``kind`` of ``args``, which are numbers of values; a literal or a load has what it stands for as ``what``."""

    kind: str
    args: tuple[int, ...] = ()
    what: float | str | None = None


class Tape:
    """A growing list of operations, each written once; a value is the number of the operation that yields it."""

    def __init__(self) -> None:
        self.ops: list[Op] = []
        self._known: dict[Op, int] = {}

    def op(self, kind: str, *args: int, what: float | str | None = None) -> int:
        """The value of an operation; the same operation on the same values is the same value."""
        found = Op(kind, args, what)
        if found not in self._known:
            self._known[found] = len(self.ops)
            self.ops.append(found)
        return self._known[found]

    def literal(self, number: float) -> int:
        return self.op("literal", what=float(number))

    def load(self, name: str) -> int:
        """Something from outside of the tape."""
        return self.op("load", what=name)

    def is_condition(self, value: int) -> bool:
        return self.ops[value].kind in CONDITIONS

    def number(self, value: int) -> int:
        """A condition as 0 or 1."""
        return self.select(value, self.literal(1), self.literal(0)) if self.is_condition(value) else value

    def select(self, condition: int, a: int, b: int) -> int:
        return a if a == b else self.op("select", condition, a, b)

    def constant(self, value: int) -> float | None:
        """The number that a literal stands for."""
        op = self.ops[value]
        return float(op.what) if op.kind == "literal" and op.what is not None else None

    # -- statements -----------------------------------------------------------------------------------------------

    def evaluate(self, text: str, env: Environment) -> int:
        """The value of an accepted expression; ``env`` gives that of a name."""
        return self._evaluate(parse(text), env)

    def _evaluate(self, node: ast.AST, env: Environment) -> int:
        match node:
            case ast.Constant(value=value):
                return self.literal(float(value))  # type: ignore[arg-type]
            case ast.Name(id=name):
                return self.literal(CONSTANTS[name]) if name in CONSTANTS else env(name)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return self.op("not", self._evaluate(operand, env))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self.negative(self._evaluate(operand, env))
            case ast.UnaryOp(operand=operand):
                return self._evaluate(operand, env)
            case ast.BinOp(left=left, op=op, right=right):
                return self.binary(_ARITHMETIC[type(op)], self._evaluate(left, env), self._evaluate(right, env))
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                a, b = self._evaluate(left, env), self._evaluate(right, env)
                return self.op(_COMPARISONS[type(op)], self.number(a), self.number(b))
            case ast.BoolOp(op=op, values=values):
                kind = "and" if isinstance(op, ast.And) else "or"
                result, *rest = (self._evaluate(v, env) for v in values)
                for value in rest:
                    result = self.op(kind, result, value)
                return result
            case ast.Call(func=ast.Name(id=name), args=args):
                return self._call(name, args, [self._evaluate(a, env) for a in args])
        raise NotImplementedError(ast.unparse(node))

    def _call(self, name: str, trees: list[ast.expr], args: list[int]) -> int:
        if name == "where":
            return self.select(args[0], self.number(args[1]), self.number(args[2]))
        values = [self.number(a) for a in args]
        if name == "clip":
            fixed = not any(isinstance(n, ast.Name) and n.id not in CONSTANTS for t in trees[1:] for n in ast.walk(t))
            return self.op("clip", *values, what="fixed" if fixed else "varying")
        if name == "exprel":
            return self._exprel(values[0])
        return self.op({"int": "trunc", "arctan": "atan", "arcsin": "asin", "arccos": "acos"}.get(name, name), *values)

    def _exprel(self, x: int) -> int:
        one = self.literal(1)
        small = self.op("lt", self.op("abs", x), self.literal(_SMALL))
        safe = self.select(small, one, x)
        series = self.binary("add", self.binary("add", one, self.binary("div", x, self.literal(2))),
                             self.binary("div", self.binary("mul", x, x), self.literal(6)))  # fmt: skip
        return self.select(small, series, self.binary("div", self.op("expm1", safe), safe))

    def negative(self, a: int) -> int:
        number = self.constant(a)
        return self.op("neg", self.number(a)) if number is None else self.literal(-number)

    def binary(self, kind: str, a: int, b: int) -> int:
        """Arithmetic; two literals are computed at once, in double precision, as Python does in the eager network."""
        a, b = self.number(a), self.number(b)
        left, right = self.constant(a), self.constant(b)
        if left is not None and right is not None and not (kind == "div" and right == 0):
            return self.literal({"add": left + right, "sub": left - right, "mul": left * right}.get(kind, 0.0)
                                if kind != "div" else left / right)  # fmt: skip
        return self.op(kind, a, b)

    # -- derivatives ----------------------------------------------------------------------------------------------

    def gradient(self, seeds: Mapping[int, int], wanted: Iterable[int]) -> dict[int, int]:
        """Adjoints of loads, from the adjoints of results; what nothing reaches is left out.

        Parameters
        ----------
        seeds : value -> value of its adjoint
        wanted : loads
        """
        wanted = set(wanted)
        end = max(seeds, default=-1) + 1
        active = self._reached(wanted, end)
        adjoint = {value: seed for value, seed in seeds.items() if value in active}
        for value in range(end - 1, -1, -1):
            if value in adjoint and value not in wanted:
                for operand, part in self._parts(value, adjoint[value]):
                    if operand in active:
                        known = adjoint.get(operand)
                        adjoint[operand] = part if known is None else self.op("add", known, part)
        return {value: adjoint[value] for value in wanted if value in adjoint}

    def _reached(self, wanted: set[int], end: int) -> set[int]:
        """Values that depend on the wanted ones."""
        found = set(wanted)
        for value, op in enumerate(self.ops[:end]):
            if op.kind not in CONDITIONS and any(a in found for a in op.args):
                found.add(value)
        return found

    def _parts(self, value: int, g: int) -> Iterable[tuple[int, int]]:
        """What an operation passes back to its operands, given the adjoint of its result."""
        kind, args, what = self.ops[value]
        op, zero = self.op, self.literal(0)
        a = args[0] if args else value
        match kind:
            case "add":
                yield from ((a, g), (args[1], g))
            case "sub":
                yield from ((a, g), (args[1], op("neg", g)))
            case "neg":
                yield a, op("neg", g)
            case "mul":
                yield from ((a, op("mul", g, args[1])), (args[1], op("mul", g, a)))
            case "div":
                yield from ((a, op("div", g, args[1])), (args[1], op("neg", op("mul", g, op("div", value, args[1])))))
            case "select":
                yield from ((args[1], op("select", a, g, zero)), (args[2], op("select", a, zero, g)))
            case "clip":
                yield from self._clip_parts(a, args[1], args[2], g, what == "fixed")
            case "straight_through":
                yield args[1], g
            case "reduce":
                yield a, self._reduce_part(value, a, str(what), op("reduce", g, what="sum"))
            case "spike":
                yield args[1], op("mul", g, args[2])
            case "floor" | "ceil" | "trunc" | "sign" | "load" | "literal" | "cells":
                return
            case _:
                yield a, self._slope_times(kind, value, a, g)

    def _clip_parts(self, x: int, low: int, high: int, g: int, fixed: bool) -> Iterable[tuple[int, int]]:
        op, zero = self.op, self.literal(0)
        if fixed:
            inside = op("and", op("ge", x, low), op("le", x, high))
            yield x, op("select", inside, g, zero)
            return
        # min(max(x, low), high), where torch halves the gradient between equals.
        half = op("mul", g, self.literal(0.5))
        raised = op("select", op("lt", x, low), low, x)
        to_raised = op("select", op("eq", raised, high), half, op("select", op("lt", raised, high), g, zero))
        yield high, op("sub", g, to_raised)
        half = op("mul", to_raised, self.literal(0.5))
        to_x = op("select", op("eq", x, low), half, op("select", op("gt", x, low), to_raised, zero))
        yield x, to_x
        yield low, op("sub", to_raised, to_x)

    def _reduce_part(self, value: int, a: int, how: str, g: int) -> int:
        """What each cell gets of the adjoint of a number of the whole population; cells that share an extremum share it."""
        if how == "sum":
            return g
        if how == "mean":
            return self.op("div", g, self.op("cells"))
        chosen = self.op("eq", a, value)
        zero = self.literal(0)
        count = self.op("reduce", self.select(chosen, self.literal(1), zero), what="sum")
        some = self.op("gt", count, zero)
        part = self.op("div", g, self.select(some, count, self.literal(1)))
        return self.op("select", self.op("and", chosen, some), part, zero)

    def _slope_times(self, kind: str, value: int, a: int, g: int) -> int:
        """Adjoint times the derivative of a function of one number; ``value`` is its result."""
        op, one = self.op, self.literal(1)
        match kind:
            case "exp":
                return op("mul", g, value)
            case "expm1":
                return op("mul", g, op("add", value, one))
            case "log":
                return op("div", g, a)
            case "log10":
                return op("div", g, op("mul", a, self.literal(math.log(10))))
            case "log1p":
                return op("div", g, op("add", a, one))
            case "sqrt":
                return op("div", g, op("mul", self.literal(2), value))
            case "sin":
                return op("mul", g, op("cos", a))
            case "cos":
                return op("neg", op("mul", g, op("sin", a)))
            case "tan":
                return op("mul", g, op("add", one, op("mul", value, value)))
            case "sinh":
                return op("mul", g, op("cosh", a))
            case "cosh":
                return op("mul", g, op("sinh", a))
            case "tanh":
                return op("mul", g, op("sub", one, op("mul", value, value)))
            case "atan":
                return op("div", g, op("add", one, op("mul", a, a)))
            case "asin":
                return op("div", g, op("sqrt", op("sub", one, op("mul", a, a))))
            case "acos":
                return op("neg", op("div", g, op("sqrt", op("sub", one, op("mul", a, a)))))
            case "abs":
                return op("mul", g, op("sign", a))
        raise NotImplementedError(kind)

    def computed_from(self, value: int) -> tuple[int, ...]:
        """What the result of an operation depends on: not the slope of a spike, nor where a straight-through gradient goes."""
        kind, args, _ = self.ops[value]
        return args[:1] if kind in ("spike", "straight_through") else args

    def needed(self, results: Iterable[int], given: Container[int] = ()) -> list[int]:
        """Values that results are computed from, themselves included, in an order in which they can be computed.

        What is ``given`` need not be computed.
        """
        found: set[int] = set()
        stack = list(results)
        while stack:
            value = stack.pop()
            if value not in found:
                found.add(value)
                if value not in given:
                    stack.extend(self.computed_from(value))
        return sorted(found)
