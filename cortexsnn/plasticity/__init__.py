"""Rules by which the weights of a projection change, by name: ``plasticity: {piece: pair_stdp, w_max: 1 nS}`` in a circuit file.

A rule is a mapping of the fields of ``plasticity``, made by a function from a few arguments, each by its published equation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..catalogue import Catalogue

RULES: dict[str, str] = {
    "pair_stdp": ".spike_timing",
    "triplet_stdp": ".spike_timing",
    "reward_stdp": ".spike_timing",
    "inhibitory_stdp": ".homeostasis",
    "scaling": ".homeostasis",
    "normalisation": ".homeostasis",
    "log_decay": ".homeostasis",
    "short_term": ".short_term",
    "dendritic_prediction": ".dendritic",
}
"""Name -> module with a function of that name; imported only when asked for."""

_CATALOGUE = Catalogue("rule", __name__, RULES)
names = _CATALOGUE.names


def expanded(raw: Any) -> Any:
    """A mapping with ``piece: name`` replaced by what it stands for; ``wins`` can stand beside it. Anything else as it is."""
    if not isinstance(raw, Mapping) or "piece" not in raw:
        return raw
    beside = {key: raw[key] for key in ("wins",) if key in raw}
    return {**_CATALOGUE.expanded({k: v for k, v in raw.items() if k not in beside}), **beside}


def rule(name: str, /, **arguments: Any) -> dict[str, Any]:
    """The fields of ``plasticity`` as a mapping for ``Circuit(projections={...})``.

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
