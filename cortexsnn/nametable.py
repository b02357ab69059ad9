"""The names of one population with their owners and dimensions, and the checks that need nothing else."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping

from . import expression as ex
from .dimensions import check_dimensions
from .errors import ExpressionError, UnitError
from .program import propagator_names
from .spec import Port
from .units import DIMENSIONLESS, TIME, Dimension, parse_unit
from .values import describe_unit

Report = Callable[[str, str], None]
"""Receives (path, message) of each problem."""


class NameTable:
    """Who defines a name, and its dimension.

    Parameters
    ----------
    report : callable(path, message)
    """

    def __init__(self, report: Report) -> None:
        self.report = report
        self.owner: dict[str, str] = {}
        self.dimensions: dict[str, Dimension] = {}

    def claim(self, name: str, piece: str, path: str) -> None:
        """Enter a name that ``piece`` defines; reports one that is taken, reserved or no name."""
        where = f"{path}.{name}"
        if not ex.is_name(name):
            allowed = "at most 64 letters, digits and underscores, a letter first"
            self.report(where, f"'{ex.shorten(name)}' is no name; use {allowed}")
        elif ex.is_reserved(name):
            self.report(where, f"'{name}' is reserved; choose another name")
        elif name in self.owner:
            other = self.owner[name]
            twice = "is defined twice" if other == piece else f"is defined by '{other}' and by '{piece}'"
            self.report(where, f"'{name}' {twice}; rename one")
        self.owner.setdefault(name, piece)

    def refuse(self, hidden: Iterable[str]) -> None:
        """Report names of the circuit among those that a step makes up for itself."""
        for name in sorted({*hidden} & {*self.owner}):
            what = f"'{name}' is a name that the step uses itself"
            self.report(f"neurons.{self.owner[name]}", f"{what}; choose another name")

    def dimension_of_unit(self, unit: str, path: str) -> Dimension:
        """Dimension of a written unit; a plain number after reporting that it cannot be read."""
        found = [DIMENSIONLESS]
        self.guard(path, lambda: found.append(parse_unit(unit.strip()).dimension))
        return found[-1]

    def dimension_of_text(self, text: str, extra: Mapping[str, Dimension] | None = None) -> Dimension:
        """Dimension of a number as an author wrote it.

        Raises
        ------
        ExpressionError, UnitError
        """
        return check_dimensions(ex.render(ex.accept_number(text)), self.known(extra))

    def known(self, extra: Mapping[str, Dimension] | None = None) -> dict[str, Dimension]:
        """Dimensions of all names that an expression may read."""
        return {**self.dimensions, "t": TIME, "dt": TIME, **(extra or {})}

    def expect(self, text: str, wanted: Dimension, name: str, extra: Mapping[str, Dimension] | None = None) -> None:
        """Refuse a right side of another dimension than ``name`` has; a bare 0 fits everything."""
        found = self.dimension_of_text(text, extra)
        if found != wanted and not _is_zero(text):
            right = f"expected {describe_unit(wanted)} on the right side, got {describe_unit(found)}"
            raise UnitError(f"'{name}': {right}; correct a unit")

    def guard(self, path: str, function: Callable[..., object], *arguments: object) -> bool:
        """Call ``function``; report its error at ``path`` and return False."""
        try:
            function(*arguments)
        except (UnitError, ExpressionError) as error:
            self.report(path, self.explained(str(error)))
            return False
        return True

    def explained(self, message: str) -> str:
        """A problem in the words of whoever fills the table."""
        return message


def hidden_names(ports: Mapping[str, Port], n_odes: int) -> set[str]:
    """Names that the lowering makes from those of ports and of variables with a differential equation."""
    arriving = {f"arriving_{n}" for n, p in ports.items() if p.kind == "jump"}
    return arriving | {f"charge_{n}" for n, p in ports.items() if p.charge} | propagator_names(n_odes)


def _is_zero(text: str) -> bool:
    tree = ex.parse(text)
    return isinstance(tree, ast.Constant) and tree.value == 0
