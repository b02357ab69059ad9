"""Algebra on statements: powers to products, constants folded, parts that depend on parameters alone computed once."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable

from ..errors import LoweringError
from ..expression import Statement, integer_power, names, parse, render


class Hoister:
    """Collects ``c1 = …`` statements over parameters while rewriting expressions.

    Parameters
    ----------
    constant : callable(name) -> bool
        Whether a name is fixed over a run (parameters, ``dt``, propagators).
    taken : callable(name) -> bool
        Whether a name is in use.
    """

    def __init__(self, constant: Callable[[str], bool], taken: Callable[[str], bool]) -> None:
        self._constant, self._taken = constant, taken
        self._names: dict[str, str] = {}
        self._count = 0

    @property
    def statements(self) -> tuple[Statement, ...]:
        """The hoisted statements in the order they were found."""
        return tuple(Statement(name, text) for text, name in self._names.items())

    def as_written(self, text: str) -> str:
        """``text`` with parameter-only parts replaced; the order of all other operations is the author's."""
        return render(self._hoist(_fold(_expand_powers(parse(text)))))

    def regrouped(self, text: str) -> str:
        """As :meth:`as_written`, but parameters of a product or sum are gathered first, so that nothing is recomputed.

        For statements that the lowering derived from differential equations, where no order was written by anybody.
        """
        return render(self._hoist(self._regroup(_fold(_expand_powers(parse(text))))))

    def name(self, text: str, name: str | None = None) -> str:
        """Name of the constant that holds a parameter-only expression."""
        text = render(parse(text))
        if text not in self._names:
            self._names[text] = name or self._fresh()
        return self._names[text]

    def _fresh(self) -> str:
        self._count += 1
        while self._taken(f"c{self._count}"):
            self._count += 1
        return f"c{self._count}"

    def _is_constant(self, node: ast.expr) -> bool:
        return all(self._constant(name) or name in ("pi", "e") for name in names(node)) and not _has_inf(node)

    def _hoist(self, node: ast.expr) -> ast.expr:
        if isinstance(node, ast.Name | ast.Constant) or _number(node) is not None:
            return node
        if self._is_constant(node) and names(node) and not isinstance(node, ast.Compare | ast.BoolOp):
            return ast.Name(self.name(render(node)))
        return _map_children(node, self._hoist)

    def _regroup(self, node: ast.expr) -> ast.expr:
        if self._is_constant(node):
            return node
        if (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div)) or isinstance(node, ast.UnaryOp):
            factors = [(self._regroup(n) if n is not node else n, up) for n, up in _factors(node)]
            if len(factors) > 1:
                return self._product(factors)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
            return self._sum([(self._regroup(n), sign) for n, sign in _addends(node)])
        return _map_children(node, self._regroup)

    def _product(self, factors: list[tuple[ast.expr, bool]]) -> ast.expr:
        fixed = [(n, up) for n, up in factors if self._is_constant(n)]
        free = [(n, up) for n, up in factors if not self._is_constant(n)]
        coefficient = _fold(_join_factors(fixed)) if fixed else None
        rest = _join_factors(free)
        if coefficient is None or _number(coefficient) == 1.0:
            return rest
        if _number(coefficient) == -1.0:
            return ast.UnaryOp(ast.USub(), rest)
        return ast.BinOp(coefficient, ast.Mult(), rest)

    def _sum(self, terms: list[tuple[ast.expr, int]]) -> ast.expr:
        fixed = [(n, s) for n, s in terms if self._is_constant(n)]
        free = [(n, s) for n, s in terms if not self._is_constant(n)]
        if not fixed:
            return _join_terms(free)
        constant = _fold(_join_terms(fixed))
        if _number(constant) == 0.0:
            return _join_terms(free)
        return _join_terms([*free, (constant, 1)])


def _map_children(node: ast.expr, rewrite: Callable[[ast.expr], ast.expr]) -> ast.expr:
    match node:
        case ast.BinOp(left=left, op=op, right=right):
            return ast.BinOp(rewrite(left), op, rewrite(right))
        case ast.UnaryOp(op=op, operand=operand):
            return ast.UnaryOp(op, rewrite(operand))
        case ast.Compare(left=left, ops=ops, comparators=[right]):
            return ast.Compare(rewrite(left), ops, [rewrite(right)])
        case ast.BoolOp(op=op, values=values):
            return ast.BoolOp(op, [rewrite(v) for v in values])
        case ast.Call(func=func, args=args):
            return ast.Call(func, [rewrite(a) for a in args], [])
    return node


def _factors(node: ast.expr, up: bool = True) -> list[tuple[ast.expr, bool]]:
    """Factors of a product, each with whether it stands above the fraction bar; a minus sign becomes -1."""
    match node:
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _factors(left, up) + _factors(right, up)
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return _factors(left, up) + _factors(right, not up)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return [(ast.Constant(-1.0), up), *_factors(operand, up)]
    return [(node, up)]


def _addends(node: ast.expr, sign: int = 1) -> list[tuple[ast.expr, int]]:
    match node:
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _addends(left, sign) + _addends(right, sign)
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return _addends(left, sign) + _addends(right, -sign)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _addends(operand, -sign)
    return [(node, sign)]


def _join_factors(factors: list[tuple[ast.expr, bool]]) -> ast.expr:
    above = [n for n, up in factors if up] or [ast.Constant(1.0)]
    result = above[0]
    for n in above[1:]:
        result = ast.BinOp(result, ast.Mult(), n)
    for n in (n for n, up in factors if not up):
        result = ast.BinOp(result, ast.Div(), n)
    return result


def _join_terms(terms: list[tuple[ast.expr, int]]) -> ast.expr:
    terms = sorted(terms, key=lambda term: -term[1])  # a positive term first saves a leading minus; stable
    first, sign = terms[0]
    result: ast.expr = first if sign > 0 else ast.UnaryOp(ast.USub(), first)
    for n, s in terms[1:]:
        result = ast.BinOp(result, ast.Add() if s > 0 else ast.Sub(), n)
    return result


def _number(node: ast.expr) -> float | None:
    if isinstance(node, ast.Constant) and not isinstance(node.value, bool) and isinstance(node.value, int | float):
        return float(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _number(node.operand)
        return None if inner is None else -inner
    return None


def _has_inf(node: ast.expr) -> bool:
    return any(isinstance(n, ast.Name) and n.id == "inf" for n in ast.walk(node))


def _literal(value: float) -> ast.expr:
    return ast.Constant(value) if value >= 0 else ast.UnaryOp(ast.USub(), ast.Constant(-value))


def _fold(node: ast.expr) -> ast.expr:
    """Arithmetic between literals carried out, in float64; multiplication by a literal 1 dropped."""
    node = _map_children(node, _fold)
    if isinstance(node, ast.BinOp):
        a, b = _number(node.left), _number(node.right)
        if b == 0 and isinstance(node.op, ast.Div):
            raise LoweringError(f"'{render(node)}' divides by zero; correct it")
        if a is not None and b is not None:
            value = _arithmetic(node.op, a, b)
            if value is not None and math.isfinite(value):
                return _literal(value)
        if isinstance(node.op, ast.Mult) and a == 1.0:
            return node.right
        if isinstance(node.op, ast.Mult | ast.Div) and b == 1.0:
            return node.left
    match node:
        case ast.UnaryOp(op=ast.USub(), operand=ast.UnaryOp(op=ast.USub(), operand=inner)):
            return inner
    return node


def _arithmetic(op: ast.operator, a: float, b: float) -> float | None:
    match op:
        case ast.Add():
            return a + b
        case ast.Sub():
            return a - b
        case ast.Mult():
            return a * b
        case ast.Div():
            return a / b
    return None


def _expand_powers(node: ast.expr) -> ast.expr:
    """``x**3`` as ``x*x*x``: libraries differ in the last bit of pow, never in that of a product."""
    node = _map_children(node, _expand_powers)
    if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow)):
        return node
    power = integer_power(node.right)
    if power is None:
        raise LoweringError(f"power '{render(node)}' is no small integer; write it with sqrt, exp and log")
    if power == 0:
        return ast.Constant(1.0)
    result = node.left
    for _ in range(abs(power) - 1):
        result = ast.BinOp(result, ast.Mult(), node.left)
    return ast.BinOp(ast.Constant(1.0), ast.Div(), result) if power < 0 else result


def distance(condition: str) -> str:
    """Signed distance to threshold: positive where the condition holds, ``a - b`` for ``a > b``; min for and, max for or."""
    return render(_distance(parse(condition), False))


def _distance(node: ast.expr, negated: bool) -> ast.expr:
    match node:
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            if isinstance(op, ast.Eq | ast.NotEq):
                gap: ast.expr = ast.Call(ast.Name("abs"), [ast.BinOp(left, ast.Sub(), right)], [])
                return gap if isinstance(op, ast.NotEq) != negated else ast.UnaryOp(ast.USub(), gap)
            up = isinstance(op, ast.Gt | ast.GtE) != negated
            return ast.BinOp(left, ast.Sub(), right) if up else ast.BinOp(right, ast.Sub(), left)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return _distance(operand, not negated)
        case ast.BoolOp(op=op, values=values):
            smaller = isinstance(op, ast.And) != negated
            result = _distance(values[0], negated)
            for value in values[1:]:
                other = _distance(value, negated)
                order = ast.Compare(result, [ast.Lt() if smaller else ast.Gt()], [other])
                result = ast.Call(ast.Name("where"), [order, result, other], [])
            return result
    raise LoweringError(f"'{render(node)}' is no condition")
