"""The E/I stack with a local divisor: a leak term in place of the layer-wide minimum."""

from __future__ import annotations

from typing import Any

from ..spec import Circuit
from . import lateral_inhibition


def build(leak: float = 0.1, **arguments: Any) -> Circuit:
    """As ``lateral_inhibition``, but each E cell divides by ``leak + I_div``, which needs to know nothing of its layer.

    Parameters
    ----------
    leak : float, > 0
    **arguments
        Those of ``lateral_inhibition`` except ``divisor``.
    """
    circuit = lateral_inhibition.build(divisor="leak", leak=leak, **arguments)
    return circuit.model_copy(update={
        "name": "lateral_inhibition_local",
        "description": "Feed-forward E/I layers with a leak in the divisor and no layer-wide reduction; Dale's law.",
    })  # fmt: skip
