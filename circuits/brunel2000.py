"""Brunel 2000, model A: sparsely connected excitatory and inhibitory integrate-and-fire cells in one of four states."""

from __future__ import annotations

from typing import Any

from ..errors import InputError, unknown
from ..spec import Circuit

STATES: dict[str, tuple[float, float]] = {"A": (3.0, 2.0), "B": (6.0, 4.0), "C": (5.0, 2.0), "D": (4.5, 0.9)}
"""State of figure 8 -> relative strength of inhibition g, external rate over threshold rate eta: synchronous regular,
synchronous irregular (fast), asynchronous irregular, synchronous irregular (slow)."""

TAU_MS, THETA_MV, RESET_MV, REFRACTORY_MS, J_MV, DELAY_MS, EPSILON = 20.0, 20.0, 10.0, 2.0, 0.1, 1.5, 0.1


def build(
    state: str | None = None, g: float | None = None, eta: float | None = None, n_excitatory: int = 10_000,
    j: float = J_MV,
) -> Circuit:  # fmt: skip
    """The network of the paper's section on simulations (10 000 + 2 500 cells, 1 000 + 250 connections to each).

    Parameters
    ----------
    state : {"A", "B", "C", "D"}, optional
        Panel of figure 8; C, the asynchronous irregular state, unless ``g`` and ``eta`` are given.
    g, eta : float, optional
        Inhibitory over excitatory weight, and external rate over the rate that alone would reach threshold.
    n_excitatory : int
        A multiple of 40; inhibitory cells are a quarter. The connection probability stays 0.1.
    j : float, mV
        Excitatory weight.

    Raises
    ------
    InputError
        An unknown state, or both a state and numbers; sizes that do not divide.
    """
    if (g is None) != (eta is None) or (state is not None and g is not None):
        raise InputError("brunel2000: give a state, or both g and eta")
    chosen = state if state is not None else "C"
    if chosen not in STATES:
        raise InputError(f"brunel2000: {unknown('state', chosen, STATES)}")
    g_used, eta_used = STATES[chosen] if g is None or eta is None else (float(g), float(eta))
    if n_excitatory < 40 or n_excitatory % 40:
        raise InputError(f"brunel2000: n_excitatory: expected a multiple of 40, got {n_excitatory}")
    if not j > 0:
        raise InputError(f"brunel2000: j: expected a weight above 0 mV, got {j}")
    n_inhibitory, from_e = n_excitatory // 4, n_excitatory // 10
    from_i = n_inhibitory // 10
    threshold_rate = THETA_MV / (j * from_e * TAU_MS * 1e-3)  # of all external synapses of a cell together, per synapse

    def onto(post: str) -> dict[str, Any]:
        wiring = {"multapses": True, "autapses": True}
        return {
            f"external_{post}": {
                "pre": f"external_{post}", "post": post, "port": "v", "connect": "one_to_one", "weight": f"{j} mV",
            },
            f"E_{post}": {
                "pre": "E", "post": post, "port": "v", "connect": {"indegree": from_e, **wiring}, "weight": f"{j} mV",
                "delay": f"{DELAY_MS} ms",
            },
            f"I_{post}": {
                "pre": "I", "post": post, "port": "v", "connect": {"indegree": from_i, **wiring}, "weight": f"{g_used * j} mV",
                "delay": f"{DELAY_MS} ms",
            },
        }  # fmt: skip

    drive = {"kind": "poisson", "rate": f"{eta_used * threshold_rate} Hz", "sources": from_e}
    return Circuit(
        name="brunel2000",
        description=f"Brunel 2000, model A, g = {g_used:g}, eta = {eta_used:g}: {n_excitatory} E and {n_inhibitory} I cells.",
        sources=(
            "Brunel 2000, J. Comput. Neurosci. 8:183, doi:10.1023/A:1008925309027: model A, table of section 3 and figure 8.",
            "Ours: the fixed in-degree allows multiple connections between two cells; the step of 0.1 ms; the start, uniform "
            "between 0 mV and threshold.",
        ),
        dt="0.1 ms",
        duration="1 second",
        neurons={
            "cell": {
                "equations": "dv/dt = -v/tau_m : volt (unless refractory)",
                "ports": {"v": {"unit": "volt", "kind": "jump"}},
                "threshold": "v > theta",
                "threshold_scale": "10 mV",
                "reset": "v = V_R",
                "refractory": f"{REFRACTORY_MS} ms",
                "method": "exact",
                "parameters": {"tau_m": f"{TAU_MS} ms", "theta": f"{THETA_MV} mV", "V_R": f"{RESET_MV} mV"},
                "initial": {"v": {"distribution": "uniform", "low": "0 mV", "high": f"{THETA_MV} mV"}},
            }
        },
        populations={
            "E": {"size": n_excitatory, "neuron": "cell", "transmitter": "excitatory"},
            "I": {"size": n_inhibitory, "neuron": "cell", "transmitter": "inhibitory"},
        },
        inputs={"external_E": {"size": n_excitatory, **drive}, "external_I": {"size": n_inhibitory, **drive}},
        projections={**onto("E"), **onto("I")},
    )
