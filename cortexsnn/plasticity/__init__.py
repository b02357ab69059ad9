"""Rules by which the weights of a projection change, by name: ``plasticity: {piece: pair_stdp, w_max: 1 nS}`` in a circuit file.

A rule is a mapping of the fields of ``plasticity``, made by a function from a few arguments, each by its published equation.
"""

from __future__ import annotations

from typing import Any

from ..catalogue import Catalogue

RULES: dict[str, str] = {
    "pair_stdp": ".spike_timing",
    "triplet_stdp": ".spike_timing",
    "reward_stdp": ".spike_timing",
    "inhibitory_stdp": ".homeostasis",
    "scaling": ".homeostasis",
    "normalisation": ".homeostasis",
    "short_term": ".short_term",
    "dendritic_prediction": ".dendritic",
}
"""Name -> module with a function of that name; imported only when asked for."""

_CATALOGUE = Catalogue("rule", __name__, RULES)
names = _CATALOGUE.names
expanded = _CATALOGUE.expanded


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
