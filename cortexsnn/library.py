"""load: a circuit by name from the catalogue, or from a file."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .errors import InputError, unknown
from .spec import Circuit
from .specfile import SUFFIXES, read_circuit
from .validate import validate


def load(name: str | Path, **arguments: Any) -> Circuit:
    """Load and validate a circuit.

    Parameters
    ----------
    name : str or Path
        A name from the catalogue (``cortexsnn.circuits.names()``) or the path of a YAML file.
    **arguments
        For circuits that are built by code; see their ``build`` functions.

    Raises
    ------
    InputError
        Unknown name, or arguments that the circuit does not take.
    SpecError
        The circuit is not valid; lists all problems.
    """
    from .circuits import names, source

    text = str(name)
    if text in names():
        found = source(text)
        if not isinstance(found, Path):
            _check_arguments(text, found, arguments)
            try:
                return validate(found(**arguments))
            except (TypeError, ValueError) as error:
                raise InputError(f"circuit '{text}': {error}") from None
        if not arguments:
            return validate(read_circuit(found))
    if arguments:
        raise InputError(f"'{text}' takes no arguments, use with_parameters")
    if Path(text).suffix in SUFFIXES or _exists(text):
        return validate(read_circuit(text))
    raise InputError(f"{unknown('circuit', text, names())} Or give the path of a YAML file.")


def _check_arguments(circuit: str, build: Callable[..., Circuit], given: Mapping[str, Any]) -> None:
    taken = inspect.signature(build).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in taken.values()):
        return  # passed on to a builder that checks them itself
    for name in given:
        if name not in taken:
            raise InputError(f"circuit '{circuit}': {unknown('argument', name, taken)}")


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):  # longer than a file name can be, or with a null byte
        return False
