"""Graded populations: read-outs and relays."""

from __future__ import annotations

from typing import Any


def readout(tau: float | None = None, bias: bool = False) -> dict[str, Any]:
    """Class evidence: the input itself, or with ``tau`` [steps] its leaky integral; ``bias`` adds a trainable number per cell.

    Parameters
    ----------
    tau : float, >= 1, optional
    bias : bool
    """
    if tau is not None and tau < 1:
        raise ValueError(f"expected tau >= 1, got {tau:g}")
    x = "x + b" if bias else "x"
    return {
        "description": "Graded read-out.",
        "update": f"y = (1 - 1/tau)*y + ({x})/tau" if tau else "",
        "output": "logit = y" if tau else f"logit = {x}",
        "ports": {"x": {"kind": "pulse"}},
        "parameters": {**({"tau": tau} if tau else {}), **({"b": 0.0} if bias else {})},
        "trainable": {"b": {"per": "neuron"}} if bias else {},
    }


def relay() -> dict[str, Any]:
    """Passes on the sum of what arrives, in the same step: a pool, or the sum of a residual connection."""
    return {"description": "Relay of its input.", "ports": {"x": {"kind": "pulse"}}, "output": "r = x"}
