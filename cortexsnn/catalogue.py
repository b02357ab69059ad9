"""Functions that write a part of a circuit, by name: ``{piece: name, argument: value}`` in a circuit file.

The mapping that a function returns stands in the circuit written out, so that a saved file needs no catalogue. No folder is ever
searched: what is not listed is not there.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from .errors import unknown


class Catalogue:
    """Named functions of a package.

    Parameters
    ----------
    kind : str
        What messages call an entry.
    package : str
    entries : mapping
        Name -> module with a function of that name, imported only when asked for.
    """

    def __init__(self, kind: str, package: str, entries: Mapping[str, str]) -> None:
        self.kind, self.package, self.entries = kind, package, entries

    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted(self.entries))

    def write(self, name: str, /, **arguments: Any) -> dict[str, Any]:
        """What the function of that name returns; the types of its arguments are checked.

        Raises
        ------
        ValueError
            Unknown name or argument, or a value that does not fit.
        """
        from pydantic import ValidationError, validate_call

        kind = self.kind
        if name not in self.entries:
            raise ValueError(unknown(kind, name, self.entries))
        function = getattr(import_module(self.entries[name], self.package), name)
        try:
            found = validate_call(function)(**arguments)
        except ValidationError as error:
            first = error.errors()[0]
            argument = ".".join(map(str, first["loc"]))
            if first["type"] == "unexpected_keyword_argument":
                known = inspect.signature(function).parameters
                raise ValueError(f"{kind} '{name}': {unknown('argument', argument, known)}") from None
            what = f"{first['msg'][0].lower()}{first['msg'][1:]}"
            raise ValueError(f"{kind} '{name}': {argument}: {what}, got {first['input']!r:.60}") from None
        except ValueError as error:
            raise ValueError(f"{kind} '{name}': {error}") from None
        return dict(found)

    def expanded(self, raw: Any) -> Any:
        """A mapping with ``piece: name`` replaced by what it stands for; anything else as it is."""
        if isinstance(raw, Mapping) and "piece" in raw:
            arguments = {str(key): value for key, value in raw.items() if key != "piece"}
            return self.write(str(raw["piece"]), **arguments)
        return raw
