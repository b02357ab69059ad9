"""Circuits shipped with the package: an explicit catalogue from name to YAML file or builder.

A circuit with fixed numbers is a YAML file here; one whose structure depends on arguments is a module here
with a function ``build(**arguments) -> Circuit``. The folder is never searched: what is not listed below is
not part of the catalogue. Validation is left to the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import cast

from ..spec import Circuit

FILES: dict[str, str] = {
    "adaptive_exponential": "adaptive_exponential.yaml",
    "coba": "coba.yaml",
    "conductance_ei": "conductance_ei.yaml",
    "cuba": "cuba.yaml",
    "hodgkin_huxley": "hodgkin_huxley.yaml",
    "izhikevich": "izhikevich.yaml",
    "two_compartment": "two_compartment.yaml",
}
"""Name -> YAML file in this folder."""

BUILDERS: dict[str, str] = {
    "brunel2000": ".brunel2000",
    "four_mechanisms": ".four_mechanisms",
    "feedforward": ".feedforward",
    "lateral_inhibition": ".lateral_inhibition",
    "lateral_inhibition_conv": ".lateral_inhibition_conv",
    "lateral_inhibition_local": ".lateral_inhibition_local",
    "lateral_inhibition_recurrent": ".lateral_inhibition_recurrent",
    "potjans_diesmann2014": ".potjans_diesmann2014",
    "shuffled_prediction": ".shuffled_prediction",
    "predictive_column": ".predictive_column",
    "sleep_homeostasis": ".sleep_homeostasis",
}
"""Name -> module in this folder that exports ``build``; imported only when asked for."""


def names() -> tuple[str, ...]:
    """Names of all circuits in the catalogue, sorted."""
    return tuple(sorted({*FILES, *BUILDERS}))


def source(name: str) -> Path | Callable[..., Circuit]:
    """Where a circuit comes from: the path of its YAML file, or its builder.

    Raises
    ------
    KeyError
        ``name`` is not in :func:`names`.
    """
    if name in FILES:
        return Path(__file__).parent / FILES[name]
    return cast(Callable[..., Circuit], import_module(BUILDERS[name], __package__).build)
