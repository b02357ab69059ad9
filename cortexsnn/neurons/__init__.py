"""Neuron models and pieces of them, by name: ``neurons: {cell: {piece: self_prediction, reading: A}}`` in a circuit file.

A piece is a mapping of the fields of a neuron, made by a function from a few arguments; it stands in the circuit written out,
so that a saved file needs no catalogue. The folder is never searched: what is not listed below is not part of the catalogue.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from ..errors import unknown

PIECES: dict[str, str] = {
    "lif": ".integrate_and_fire",
    "parametric_lif": ".integrate_and_fire",
    "normalised_lif": ".integrate_and_fire",
    "adaptive_lif": ".integrate_and_fire",
    "complementary_lif": ".integrate_and_fire",
    "gated_lif": ".integrate_and_fire",
    "lif_units": ".with_units",
    "adaptive_exponential": ".with_units",
    "self_prediction": ".self_prediction",
    "distal_prediction": ".self_prediction",
    "dynamic_gating": ".dynamic_gating",
    "gate": ".dynamic_gating",
    "conductance_gating": ".dynamic_gating",
    "polynomial": ".polynomial",
    "quadratic": ".polynomial",
    "ei_drive": ".lateral_inhibition",
    "ei_excitatory": ".lateral_inhibition",
    "ei_interneuron": ".lateral_inhibition",
    "ei_readout": ".lateral_inhibition",
    "readout": ".graded",
    "relay": ".graded",
}
"""Name -> module with a function of that name; imported only when asked for."""


def names() -> tuple[str, ...]:
    """Names of all pieces, sorted."""
    return tuple(sorted(PIECES))


def piece(name: str, /, **arguments: Any) -> dict[str, Any]:
    """The fields of a neuron, or of a piece of one, as a mapping for ``Circuit(neurons={...})``.

    Parameters
    ----------
    name : str
        A name from :func:`names`.
    **arguments
        Those of the function of that name; their types are checked.

    Raises
    ------
    ValueError
        Unknown name or argument, or a value that does not fit.
    """
    from pydantic import ValidationError, validate_call

    if name not in PIECES:
        raise ValueError(unknown("piece", name, PIECES))
    function = getattr(import_module(PIECES[name], __package__), name)
    try:
        found = validate_call(function)(**arguments)
    except ValidationError as error:
        first = error.errors()[0]
        argument = ".".join(map(str, first["loc"]))
        if first["type"] == "unexpected_keyword_argument":
            known = inspect.signature(function).parameters
            raise ValueError(f"piece '{name}': {unknown('argument', argument, known)}") from None
        what = f"{first['msg'][0].lower()}{first['msg'][1:]}"
        raise ValueError(f"piece '{name}': {argument}: {what}, got {first['input']!r:.60}") from None
    except ValueError as error:
        raise ValueError(f"piece '{name}': {error}") from None
    return dict(found)


def expanded(raw: Any) -> Any:
    """A neuron's mapping with ``piece: name`` replaced by what it stands for; anything else as it is."""
    if isinstance(raw, Mapping) and "piece" in raw:
        arguments = {str(key): value for key, value in raw.items() if key != "piece"}
        return piece(str(raw["piece"]), **arguments)
    return raw
