"""Depression and facilitation within hundreds of milliseconds."""

from __future__ import annotations

from typing import Any


def short_term(
    utilisation: float = 0.5, tau_recovery: str = "800 ms", tau_facilitation: str | None = None
) -> dict[str, Any]:
    """A spike releases ``u x`` of an edge's weight (Tsodyks and Markram 1997; Tsodyks, Pawelzik and Markram 1998).

    Between spikes ``dx/dt = (1 - x)/tau_recovery`` and ``du/dt = -u/tau_facilitation``; at one, first ``u += U (1 - u)``, then the release, and
    ``x -= u x``. Without facilitation u is U.

    Parameters
    ----------
    utilisation : float, in (0, 1]
        U.
    tau_recovery : time
    tau_facilitation : time, optional
    """
    if not 0 < utilisation <= 1:
        raise ValueError(f"expected a utilisation in (0, 1], got {utilisation:g}")
    parameters = {"U": utilisation, "tau_recovery": tau_recovery}
    if tau_facilitation is None:
        return {
            "description": "Short-term depression (Tsodyks and Markram 1997).",
            "equations": "dx/dt = (1 - x)/tau_recovery : 1",
            "on_pre": "x -= U*x",
            "sends": "U*x",
            "initial": {"x": 1.0},
            "parameters": parameters,
        }
    return {
        "description": "Short-term depression and facilitation (Tsodyks, Pawelzik and Markram 1998).",
        "equations": "du/dt = -u/tau_facilitation : 1\ndx/dt = (1 - x)/tau_recovery : 1",
        "on_pre": "u += U*(1 - u)\nx -= u*x",
        "sends": "(u + U*(1 - u))*x",
        "initial": {"x": 1.0},
        "parameters": {**parameters, "tau_facilitation": tau_facilitation},
    }
