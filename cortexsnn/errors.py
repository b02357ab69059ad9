"""Errors a user can meet: where, what was expected, what came, what to do. One class per stage."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import NamedTuple


class CortexError(Exception):
    """Root of all errors that are the input's fault, not the package's; the command line ends with code 2."""


class Problem(NamedTuple):
    """One finding: ``path`` as in the YAML (``projections.a_b.weight``) and a sentence with the remedy."""

    path: str
    message: str

    def __str__(self) -> str:
        """One printable line, whatever the circuit's author put into names."""
        text = f"{self.path}: {self.message}" if self.path else self.message
        return "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text)


MOST_PRINTED = 40
"""Problems that a message lists; all of them are in ``problems``."""


class SpecError(CortexError):
    """A circuit that cannot be accepted; ``problems`` holds every finding, not only the first."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return str(self.problems[0])
        lines = [f"  - {problem}" for problem in self.problems[:MOST_PRINTED]]
        if len(self.problems) > MOST_PRINTED:
            lines.append(f"  and {len(self.problems) - MOST_PRINTED} more")
        return "\n".join([f"{len(self.problems)} problems in the circuit:", *lines])


class UnitError(CortexError):
    """A quantity that cannot be read or has the wrong dimension."""


class ExpressionError(CortexError):
    """Text that is not an expression of the permitted language."""


class LoweringError(CortexError):
    """Equations that cannot be turned into the stated one-step update."""


class InputError(CortexError):
    """Input arrays, durations, probes or options that do not fit the circuit."""


class EngineError(CortexError):
    """An engine or target that cannot run this."""


class NumericalError(CortexError):
    """NaN or infinity during a run; names step, population, neuron and variable."""


class CheckpointError(CortexError):
    """A file of results or weights that is missing, damaged or of another circuit."""


def unknown(kind: str, name: object, known: Iterable[str]) -> str:
    """``unknown population 'Ee'; known: E, I. Did you mean 'E'?`` for messages about names."""
    text, names = str(name)[:80], [str(k)[:80] for k in known]
    close = get_close_matches(text, names, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    listed = ", ".join(names[:30]) + (f" and {len(names) - 30} more" if len(names) > 30 else "")
    return f"unknown {kind} '{text}'; known: {listed or 'none'}.{hint}"
