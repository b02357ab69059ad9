"""Learning by the dendritic prediction of somatic spiking."""

from __future__ import annotations

from typing import Any


def dendritic_prediction(
    w_max: float | str, interval: str, w_min: float | str | None = None, dendrite: str = "u", attenuation: float = 1.0, rate: float = 0.01,
    phi_max: str = "150 Hz", k: float = 0.5, width: float | str = 0.2, theta: float | str = 1.0,
    tau_rise: str = "3 ms", tau_decay: str = "10 ms", tau_filter: str = "100 ms",
) -> dict[str, Any]:  # fmt: skip
    """A dendrite learns to predict its soma's spikes (Urbanczik and Senn 2014): ``dw/dt`` follows ``(S - phi(V*)) h(V*) PSP``, low-pass filtered.

    ``S`` are the target's spikes, ``V* = attenuation * dendrite`` its prediction of the soma's potential, ``phi(V) = phi_max/(1 + k exp((theta -
    V)/width))`` the rate that goes with a potential and ``h`` is ``phi'/phi`` times the width; ``PSP`` is a difference of exponentials, started by arrivals.

    Parameters
    ----------
    w_max, w_min : numbers with the unit of the weight
        Bounds; zero below unless stated.
    interval : time
        Between changes of the weight: the circuit's own step, or a few.
    dendrite : str
        The target's state that predicts, with the unit of ``theta``.
    attenuation : float
        g_D/(g_D + g_L): what reaches the soma of it.
    rate : float
        Change of a weight, as a part of w_max, by a filtered error of 1.
    phi_max, k, width, theta
        Of the rate; ``width`` (1/beta of the paper) has the unit of ``theta``.
    tau_rise, tau_decay : time
    tau_filter : time
    """
    from .spike_timing import _zero

    prediction = f"attenuation*{dendrite}_post"
    return {
        "description": "Dendritic prediction of somatic spiking (Urbanczik and Senn 2014).",
        "equations": f"""
            da/dt = -a/tau_decay : 1
            db/dt = -b/tau_rise : 1
            psp = a - b : 1
            odds = k*exp((theta - {prediction})/width) : 1
            h = odds/(1 + odds) : 1
            ddelta/dt = -delta/tau_filter : 1
        """,
        "on_pre": "a += 1\nb += 1",
        "on_post": "delta += h*psp",
        "every": {interval: "delta -= interval*phi_max/(1 + odds)*h*psp\nw += rate*w_max*delta*interval/tau_filter"},
        "parameters": {
            "w_max": w_max, "rate": rate, "attenuation": attenuation, "phi_max": phi_max, "k": k, "width": width, "theta": theta,
            "tau_rise": tau_rise, "tau_decay": tau_decay, "tau_filter": tau_filter,
            "interval": interval,
        },
        "bounds": {"min": _zero(w_max) if w_min is None else w_min, "max": w_max},
    }  # fmt: skip
