"""What is done with accepted expressions: names replaced, blocks split into statements, trees compiled to closures."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from .errors import ExpressionError
from .grammar import CONSTANTS as CONSTANTS
from .grammar import FUNCTIONS as FUNCTIONS
from .grammar import MAX_BLOCK, MAX_DERIVED
from .grammar import MAX_DEPTH as MAX_DEPTH
from .grammar import RESERVED as RESERVED
from .grammar import accept as accept
from .grammar import accept_number as accept_number
from .grammar import compares as compares
from .grammar import integer_power as integer_power
from .grammar import is_condition as is_condition
from .grammar import is_name as is_name
from .grammar import is_reserved as is_reserved
from .grammar import names as names
from .grammar import parse as parse
from .grammar import shorten as shorten


class Statement(NamedTuple):
    """``target = expression``; augmented assignments are written out."""

    target: str
    expression: str

    def __str__(self) -> str:
        return f"{self.target} = {self.expression}"


def render(tree: ast.AST) -> str:
    """Text of a tree; ``parse(render(tree))`` is the same tree.

    Raises
    ------
    ExpressionError
        Nested too deep; accepted trees are not, but substitution nests them.
    """
    try:
        return ast.unparse(tree)
    except RecursionError:
        raise ExpressionError("an expression is nested too deep once its parts are put in; write it flatter") from None


class _Substitute(ast.NodeTransformer):
    def __init__(self, table: Mapping[str, ast.expr]) -> None:
        self.table = table

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.table.get(node.id, node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        return ast.Call(node.func, [self.visit(a) for a in node.args], [])


def substitute(text: str, table: Mapping[str, str]) -> str:
    """``text`` with names replaced by expressions, all at once.

    Raises
    ------
    ExpressionError
        The result would be too long; seen before it is built, for names within names grow exponentially.
    """
    tree = parse(text)
    found = [n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id in table]
    if not found:
        return text
    if len(text) + sum(len(table[name]) for name in found) > MAX_DERIVED:
        raise ExpressionError(f"'{shorten(text)}' is too long once its parts are put in; write it with fewer terms")
    trees = {name: parse(table[name]) for name in set(found)}
    return render(_Substitute(trees).visit(_copy(tree)))


def _copy(tree: ast.expr) -> ast.expr:
    return ast.parse(render(tree), mode="eval").body


def statements(block: str) -> tuple[Statement, ...]:
    """Lines ``x = …``, ``x += …`` (also ``-= *= /=``) of a reset or update block; ``;`` separates as well.

    Raises
    ------
    ExpressionError
        A line that is no assignment to a plain name.
    """
    found = []
    for line in _logical_lines(block):
        match = re.fullmatch(r"([A-Za-z]\w*)\s*(\+|-|\*|/)?=(?!=)\s*(.+)", line, re.DOTALL)
        if not match or not is_name(match[1]):
            raise ExpressionError(f"'{shorten(line)}' is no assignment; write for example 'v = v_reset' or 'w += b'")
        target, operator, right = match.groups()
        right = render(accept_number(right))
        found.append(Statement(target, render(accept_number(f"{target} {operator} ({right})")) if operator else right))
    return tuple(found)


def check_block(block: str) -> None:
    """Refuse blocks of lines that no author writes."""
    if len(block) > MAX_BLOCK:
        raise ExpressionError(
            f"a block has {len(block)} characters; split the neuron into pieces of at most {MAX_BLOCK}"
        )


def _logical_lines(block: str) -> Iterable[str]:
    check_block(block)
    pending = ""
    for raw in block.replace(";", "\n").splitlines():
        line = raw.split("#", 1)[0].strip()
        pending = f"{pending} {line}".strip()
        if pending and pending.count("(") <= pending.count(")"):
            yield pending
            pending = ""
    if pending:
        yield pending


class Library(NamedTuple):
    """What a numerical library offers to compiled expressions."""

    functions: Mapping[str, Callable[..., Any]]
    all_of: Callable[[Any, Any], Any]
    any_of: Callable[[Any, Any], Any]
    negate: Callable[[Any], Any]
    divide: Callable[[Any, Any], Any] = operator.truediv


Environment = Mapping[str, Any]


def compile_tree(text: str, library: Library) -> Callable[[Environment], Any]:
    """Closure that evaluates an accepted expression in an environment of arrays; operations in the order written."""
    return _compile(parse(text), library)


def _compile(node: ast.AST, library: Library) -> Callable[[Environment], Any]:
    match node:
        case ast.Constant(value=value):
            number = value if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
            return lambda env: number
        case ast.Name(id=name):
            if name in CONSTANTS:
                constant = CONSTANTS[name]
                return lambda env: constant
            return lambda env: env[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = _compile(operand, library)
            return lambda env: -inner(env)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _compile(operand, library)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = _compile(operand, library)
            return lambda env: library.negate(inner(env))
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            above, below, divide = _compile(left, library), _compile(right, library), library.divide
            return lambda env: divide(above(env), below(env))
        case ast.BinOp(left=left, op=op, right=right) if not isinstance(
            op, ast.Pow
        ):  # lowering wrote powers as products
            return _binary(op, _compile(left, library), _compile(right, library))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _binary(op, _compile(left, library), _compile(right, library))
        case ast.BoolOp(op=op, values=values):
            join = library.all_of if isinstance(op, ast.And) else library.any_of
            parts = [_compile(v, library) for v in values]
            return lambda env: _fold(join, [p(env) for p in parts])
        case ast.Call(func=ast.Name(id=name), args=args):
            function = library.functions[name]
            inputs = [_compile(a, library) for a in args]
            return lambda env: function(*(i(env) for i in inputs))
    raise ExpressionError(f"cannot evaluate '{ast.unparse(node)}'")


def _fold(join: Callable[[Any, Any], Any], values: list[Any]) -> Any:
    result = values[0]
    for value in values[1:]:
        result = join(result, value)
    return result


_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
}


def _binary(
    op: ast.AST, left: Callable[[Environment], Any], right: Callable[[Environment], Any]
) -> Callable[[Environment], Any]:
    function = _BINARY[type(op)]
    return lambda env: function(left(env), right(env))
