"""Neurons in continuous time with units and a pulse port ``I`` [amp], for pieces to wrap."""

from __future__ import annotations

from typing import Any


def lif_units(
    tau_m: str = "20 ms", R: str = "100 Mohm", E_L: str = "-70 mV", V_T: str = "-50 mV", V_R: str = "-60 mV",
    refractory: str = "2 ms",
) -> dict[str, Any]:  # fmt: skip
    """Leaky integrate-and-fire: ``tau_m dv/dt = E_L - v + R I``, hard reset, refractory.

    Parameters
    ----------
    tau_m, R, E_L, V_T, V_R, refractory : str
        Quantities with units.
    """
    return {
        "description": "Leaky integrate-and-fire with units.",
        "equations": "dv/dt = (E_L - v + R*I)/tau_m : volt (unless refractory)",
        "ports": {"I": {"unit": "amp", "kind": "pulse"}},
        "threshold": "v > V_T",
        "threshold_scale": "10 mV",
        "reset": "v = V_R",
        "refractory": refractory,
        "method": "exponential_euler",
        "parameters": {"tau_m": tau_m, "R": R, "E_L": E_L, "V_T": V_T, "V_R": V_R},
        "initial": {"v": E_L},
    }


def adaptive_exponential(
    C: str = "281 pF", g_L: str = "30 nS", E_L: str = "-70.6 mV", V_T: str = "-50.4 mV", Delta_T: str = "2 mV",
    tau_w: str = "144 ms", a: str = "4 nS", b: str = "80.5 pA", V_R: str = "-70.6 mV", V_peak: str = "-40 mV",
) -> dict[str, Any]:  # fmt: skip
    """Adaptive exponential integrate-and-fire (Brette and Gerstner 2005, doi:10.1152/jn.00686.2005), regular spiking.

    Parameters
    ----------
    C, g_L, E_L, V_T, Delta_T, tau_w, a, b, V_R : str
        The paper's values for a regular-spiking cell.
    V_peak : str
        Where the upswing counts as a spike; ours, about V_T + 5 Delta_T.
    """
    return {
        "description": "Adaptive exponential integrate-and-fire.",
        "equations": (
            "dv/dt = (g_L*(E_L - v) + g_L*Delta_T*exp((v - V_T)/Delta_T) - w + I)/C : volt\n"
            "dw/dt = (a*(v - E_L) - w)/tau_w : amp"
        ),
        "ports": {"I": {"unit": "amp", "kind": "pulse"}},
        "threshold": "v > V_peak",
        "threshold_scale": "10 mV",
        "reset": "v = V_R\nw += b",
        "method": "rk2",
        "parameters": {
            "C": C, "g_L": g_L, "E_L": E_L, "V_T": V_T, "Delta_T": Delta_T, "tau_w": tau_w, "a": a, "b": b, "V_R": V_R,
            "V_peak": V_peak,
        },
        "initial": {"v": E_L},
    }  # fmt: skip
