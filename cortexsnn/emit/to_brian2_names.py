"""StepProgram expressions as Brian2 code: own names for everything, so that no name of a circuit can meet one of Brian2's."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable

from ..expression import Statement, parse, render

LOCAL_STEP = "local_step(t)"
"""Step within the trial, a timed array; -1 outside any trial."""


OWN = {"where": "chosen", "exprel": "relative_exp", "int": "whole", "sign": "sign_of", "clip": "clipped"}
"""Functions whose meaning is ours on every target, by their names in Brian2; see ``to_brian2_functions``."""


class _Rename(ast.NodeTransformer):
    def __init__(self, rename: Callable[[str], str]) -> None:
        self.rename = rename

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return node if node.id in ("pi", "e", "inf") else ast.Name(self.rename(node.id))

    def visit_Call(self, node: ast.Call) -> ast.expr:
        if isinstance(node.func, ast.Name) and node.func.id == "straight_through":
            return self.visit(node.args[0])  # only gradients see its second argument
        function = ast.Name(OWN[node.func.id]) if isinstance(node.func, ast.Name) and node.func.id in OWN else node.func
        return ast.Call(function, [self.visit(a) for a in node.args], [])

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        """Whole numbers as floats: C++ would divide integers without remainder."""
        return node if isinstance(node.value, bool) else ast.Constant(float(node.value))  # type: ignore[arg-type]


def local(name: str, role: str = "x") -> str:
    """Brian2 name of a variable of a population; temporaries of a block keep apart from variables.

    The beginning and the ending keep every name of a circuit apart from those that mean something to Brian2, such as
    ``xi_1`` or ``v_pre``; the ending tells apart what the emitter makes of one name.
    """
    return f"z_{name[1:]}_tmp" if name.startswith("_") else f"z_{name}_{role}"


def translate(text: str, dt: float, rename: Callable[[str], str] = local) -> str:
    """An expression with Brian2 names; ``t`` becomes the time within the trial."""

    def named(name: str) -> str:
        return f"({LOCAL_STEP} * {dt!r})" if name == "t" else rename(name)

    return render(_Rename(named).visit(ast.parse(render(parse(text)), mode="eval").body))


def block(statements: Iterable[Statement], dt: float, rename: Callable[[str], str] = local) -> str:
    """Statements as abstract code, each written as ``n = …`` and then ``x = n``.

    Brian2 turns ``x = x + y`` into ``x += y`` and may regroup it; through a fresh temporary it has nothing to regroup.
    """
    lines = []
    for k, (target, text) in enumerate(statements):
        name, value = rename(target), translate(text, dt, rename)
        lines += (
            [f"{name} = {value}"]
            if target.startswith("_")
            else [f"{local(target, f'n{k}')} = {value}", f"{name} = {local(target, f'n{k}')}"]
        )
    return "\n".join(lines)
