"""The expression language of circuit files: a whitelist over Python's syntax tree, with bounds on everything.

Text of a circuit is hostile, and nothing here evaluates it. :func:`parse` accepts numbers, names, arithmetic,
comparisons and listed functions only, with bounded length, depth and exponents, and tells conditions from numbers.
:func:`accept` bounds what an author writes more tightly, its size once multiplied out included (``9**9**9`` would hang
any algebra system behind it), so that there is room for what the lowering derives from it.
"""

from __future__ import annotations

import ast
import keyword
import math
import re
from functools import lru_cache

from .errors import ExpressionError

FUNCTIONS: dict[str, int] = {
    **dict.fromkeys(
        ("exp", "log", "log10", "log1p", "expm1", "exprel", "sqrt", "abs", "sign", "floor", "ceil", "int"), 1
    ),
    **dict.fromkeys(("sin", "cos", "tan", "sinh", "cosh", "tanh", "arctan", "arcsin", "arccos"), 1),
    "clip": 3,
    "where": 3,
    "straight_through": 2,
}
"""Permitted functions and their number of arguments."""

CONSTANTS = {"pi": math.pi, "e": math.e, "inf": math.inf}
RESERVED = frozenset(FUNCTIONS) | frozenset(CONSTANTS) | {"t", "dt", "spiked", "refractory_left", "distance", "spikes"}
RESERVED |= {"True", "False", "time", "trial", "step", "neuron", "event", "spike_trial", "spike_step", "spike_neuron"}
"""Names a circuit cannot give to its own variables; the second line is what recordings need for themselves."""

MAX_LENGTH = 4000
MAX_DEPTH = 100
MAX_POWER = 8
MAX_TERMS = 300
MAX_BLOCK = 20_000
MAX_DERIVED = 100_000
_DERIVED_DEPTH = 200
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
# The lowering's own names are longer; one leading underscore marks its temporaries.
_WORD = re.compile(r"_?[A-Za-z][A-Za-z0-9_]*")
_COMPARE = (ast.Gt, ast.GtE, ast.Lt, ast.LtE, ast.Eq, ast.NotEq)


def is_name(text: str) -> bool:
    """Whether ``text`` may name a variable, population, port …: a letter, then letters, digits, underscores."""
    return bool(_NAME.fullmatch(text))


def is_reserved(name: str) -> bool:
    """Whether a circuit's own variables cannot have this name: what the language, a step or a recording uses itself."""
    return name in RESERVED or keyword.iskeyword(name)


def accept(text: str) -> ast.expr:
    """Syntax tree of an expression as an author wrote it, or with its subexpressions put in.

    Raises
    ------
    ExpressionError
        Not of the permitted language, or too long, too deep, or too large once multiplied out.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"an expression has {len(text)} characters; write it with at most {MAX_LENGTH}")
    tree = _parse(text, MAX_DEPTH)
    if _terms(tree) > MAX_TERMS:
        raise ExpressionError(f"'{shorten(text)}' would expand to more than {MAX_TERMS} terms; write it with fewer")
    return tree


def accept_number(text: str) -> ast.expr:
    """As :func:`accept`, for expressions that must be a number and not a condition."""
    tree = accept(text)
    if is_condition(tree):
        raise ExpressionError(f"'{shorten(text)}' is a condition where a number is needed; write int({shorten(text)})")
    return tree


def parse(text: str) -> ast.expr:
    """Syntax tree of ``text`` if it is an expression of the permitted language; room for what lowering derives.

    Raises
    ------
    ExpressionError
        Anything else; the message quotes the offending part and says what is allowed.
    """
    if len(text) > MAX_DERIVED:
        raise ExpressionError(f"an expression grew to {len(text)} characters; write the equations with fewer terms")
    return _parse(text, _DERIVED_DEPTH)


@lru_cache(maxsize=20_000)
def _parse(text: str, depth: int) -> ast.expr:
    try:
        tree = ast.parse(" ".join(text.split()), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = getattr(error, "msg", None) or "not readable"
        raise ExpressionError(f"cannot read '{shorten(text)}': {reason}") from None
    _check(tree, depth)
    return tree


def shorten(text: str) -> str:
    """The beginning of a text on one line, for messages."""
    text = " ".join(text[:400].split())
    return text if len(text) <= 80 else f"{text[:77]}…"


def is_condition(node: ast.AST) -> bool:
    """Whether a tree is true or false rather than a number."""
    match node:
        case ast.Compare() | ast.BoolOp() | ast.UnaryOp(op=ast.Not()):
            return True
        case ast.Constant(value=bool()):
            return True
    return False


def compares(tree: ast.AST) -> bool:
    """Whether a condition compares something in each of its parts; ``True`` alone is no threshold."""
    match tree:
        case ast.Compare():
            return True
        case ast.BoolOp(values=values):
            return all(compares(v) for v in values)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return compares(operand)
    return False


def _check_number(node: ast.AST, depth: int) -> None:
    _check(node, depth)
    if is_condition(node):
        quoted = _quote(node)
        raise ExpressionError(f"'{quoted}' is a condition where a number is needed; write int({quoted})")


def _check_condition(node: ast.AST, depth: int) -> None:
    _check(node, depth)
    if not is_condition(node):
        raise ExpressionError(
            f"'{_quote(node)}' is a number where a condition is needed; write for example {_quote(node)} > 0"
        )


def _check(node: ast.AST, depth: int) -> None:
    if depth == 0:
        raise ExpressionError(f"an expression is nested or chained deeper than {MAX_DEPTH}; write it in parts")
    match node:
        case ast.Constant(value=bool()):
            pass
        case ast.Constant(value=int() | float() as value):
            if not abs(value) < 1e300:
                raise ExpressionError("a number in an expression must be finite and below 1e300")
        case ast.Name(id=name):
            if not _WORD.fullmatch(name):
                raise ExpressionError(f"name '{name:.80}' is not allowed; names start with a letter")
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            _check_number(operand, depth - 1)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            _check_condition(operand, depth - 1)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            if integer_power(right) is None:
                allowed = f"an integer up to {MAX_POWER}, sqrt(x) or exp(a*log(x))"
                raise ExpressionError(f"exponent '{_quote(right)}' is not allowed; use {allowed}")
            if not names(left) and any(isinstance(part, ast.Pow) for part in ast.walk(left)):
                raise ExpressionError(f"'{_quote(node)}' is a tower of powers of numbers; write the number itself")
            _check_number(left, depth - 1)
        case ast.BinOp(op=ast.Div(), right=right) if _is_zero(right):
            raise ExpressionError(f"'{_quote(node)}' divides by zero; correct it")
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div(), right=right):
            _check_number(left, depth - 1)
            _check_number(right, depth - 1)
        case ast.BoolOp(values=values):
            for condition in values:
                _check_condition(condition, depth - 1)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if isinstance(op, _COMPARE):
            _check_number(left, depth - 1)
            _check_number(right, depth - 1)
        case ast.Compare(ops=[_, _, *_]):
            raise ExpressionError(f"'{_quote(node)}' chains comparisons; write 'a < b and b < c'")
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS:
            if len(args) != FUNCTIONS[name] or any(isinstance(a, ast.Starred) for a in args):
                raise ExpressionError(f"{name}() takes {FUNCTIONS[name]} argument(s), got {len(args)}")
            for i, arg in enumerate(args):
                check = _check if name == "int" else _check_condition if name == "where" and i == 0 else _check_number
                check(arg, depth - 1)
        case ast.Call():
            raise ExpressionError(f"'{_quote(node)}': only these functions may be called: {', '.join(FUNCTIONS)}")
        case ast.IfExp():
            raise ExpressionError(f"'{_quote(node)}' is not allowed; write where(condition, a, b)")
        case _:
            allowed = "numbers, names, + - * / **, comparisons, and/or/not and functions"
            raise ExpressionError(f"'{_quote(node)}' is not allowed; an expression holds {allowed}")


def _quote(node: ast.AST) -> str:
    try:
        return shorten(ast.unparse(node))
    except (RecursionError, ValueError):
        return type(node).__name__


def _is_zero(node: ast.AST) -> bool:
    """Whether a tree is 0 whatever its names stand for."""
    match node:
        case ast.Constant(value=int() | float() as value):
            return value == 0
        case ast.UnaryOp(operand=operand):
            return _is_zero(operand)
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _is_zero(left) or _is_zero(right)
    return False


def integer_power(node: ast.AST) -> int | None:
    """The exponent if ``node`` is a small integer literal."""
    sign = 1
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        sign, node = -1, node.operand
    match node:
        case ast.Constant(value=bool()):
            return None
        case ast.Constant(value=int() | float() as power) if abs(power) <= MAX_POWER and float(power).is_integer():
            return sign * int(power)
    return None


def _terms(node: ast.AST) -> int:
    """Upper bound on the terms after multiplying out; capped, so that it cannot itself explode."""
    cap = 10 * MAX_TERMS
    match node:
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub(), right=right):
            return min(cap, _terms(left) + _terms(right))
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            base, power = _terms(left), abs(integer_power(right) or 0)
            return min(cap, math.comb(base + power - 1, power)) if base > 1 else min(cap, max(base, power))
        case ast.BinOp(left=left, right=right):
            return min(cap, _terms(left) * _terms(right))
        case ast.Call(args=args):
            return min(cap, sum(_terms(a) for a in args))
        case ast.Compare(left=left, comparators=[right]):
            return min(cap, _terms(left) + _terms(right))
        case ast.BoolOp(values=values):
            return min(cap, sum(_terms(v) for v in values))
        case ast.UnaryOp(operand=operand):
            return _terms(operand)
    return 1


def names(tree: ast.AST | str) -> set[str]:
    """Variables read by an expression (functions left out)."""
    if isinstance(tree, str):
        return set(_names_of_text(tree))
    nodes = list(ast.walk(tree))
    called = {id(n.func) for n in nodes if isinstance(n, ast.Call)}
    return {n.id for n in nodes if isinstance(n, ast.Name) and id(n) not in called}


@lru_cache(maxsize=4096)
def _names_of_text(text: str) -> frozenset[str]:
    return frozenset(names(parse(text)))
