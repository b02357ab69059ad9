"""What the command line runs: each experiment takes a checked configuration and fills a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import InputError, unknown

EXPERIMENTS = {
    "digits": ".digits",
    "verify": ".verification",
    "simulate": ".simulation",
    "depth": ".depth",
    "self_prediction": ".self_prediction",
    "gating": ".gating",
    "dynamics": ".dynamics",
    "competition": ".competition",
    "thresholds": ".thresholds",
    "rate_gradient": ".rate_gradient",
    "early_decisions": ".early_decisions",
    "sleep": ".sleep",
    "predictive_column": ".column.experiment",
    "fi_curves": ".fi_curves",
    "fidelity": ".fidelity",
}
"""Name -> module with ``run(config, folder) -> str``; imported only when asked for."""


class NotProven(str):
    """The summary of a run whose engines did not agree, or compared nothing; the command then ends with exit code 3."""


def experiment(name: str) -> Callable[[Mapping[str, Any], Path], str]:
    """The function behind a name.

    Raises
    ------
    InputError
        Unknown name.
    """
    if name not in EXPERIMENTS:
        raise InputError(f"experiment: {unknown('experiment', name, EXPERIMENTS)}")
    function: Callable[[Mapping[str, Any], Path], str] = import_module(EXPERIMENTS[name], __package__).run
    return function
