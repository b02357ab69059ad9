"""Neuron models and pieces of them, by name: ``neurons: {cell: {piece: self_prediction, reading: A}}`` in a circuit file.

A piece is a mapping of the fields of a neuron, made by a function from a few arguments.
"""

from __future__ import annotations

from typing import Any

from ..catalogue import Catalogue

PIECES: dict[str, str] = {
    "lif": ".integrate_and_fire",
    "parametric_lif": ".integrate_and_fire",
    "normalised_lif": ".integrate_and_fire",
    "thresholding_lif": ".integrate_and_fire",
    "double_exponential": ".integrate_and_fire",
    "adaptive_lif": ".integrate_and_fire",
    "complementary_lif": ".integrate_and_fire",
    "gated_lif": ".integrate_and_fire",
    "lif_units": ".with_units",
    "adaptive_exponential": ".with_units",
    "pyramidal": ".cortical",
    "point_cell": ".cortical",
    "terminal": ".cortical",
    "opponent_readout": ".cortical",
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


_CATALOGUE = Catalogue("piece", __name__, PIECES)
names = _CATALOGUE.names
expanded = _CATALOGUE.expanded


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
    return _CATALOGUE.write(name, **arguments)
