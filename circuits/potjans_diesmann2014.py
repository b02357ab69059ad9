"""The cortical microcircuit of Potjans and Diesmann 2014 at any scale: eight populations under 1 mm2 of early sensory cortex."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from ..errors import InputError
from ..spec import Circuit

POPULATIONS = ("L23E", "L23I", "L4E", "L4I", "L5E", "L5I", "L6E", "L6I")
SIZES = np.array([20683, 5834, 21915, 5479, 4850, 1065, 14395, 2948])
"""Cells, table 5."""
PROBABILITIES = np.array(
    [
        [0.1009, 0.1689, 0.0437, 0.0818, 0.0323, 0.0, 0.0076, 0.0],
        [0.1346, 0.1371, 0.0316, 0.0515, 0.0755, 0.0, 0.0042, 0.0],
        [0.0077, 0.0059, 0.0497, 0.1350, 0.0067, 0.0003, 0.0453, 0.0],
        [0.0691, 0.0029, 0.0794, 0.1597, 0.0033, 0.0, 0.1057, 0.0],
        [0.1004, 0.0622, 0.0505, 0.0057, 0.0831, 0.3726, 0.0204, 0.0],
        [0.0548, 0.0269, 0.0257, 0.0022, 0.0600, 0.3158, 0.0086, 0.0],
        [0.0156, 0.0066, 0.0211, 0.0166, 0.0572, 0.0197, 0.0396, 0.2252],
        [0.0364, 0.0010, 0.0034, 0.0005, 0.0277, 0.0080, 0.0658, 0.1443],
    ]
)
"""Probability that two cells are connected at all, (target, source), table 5."""
EXTERNAL = np.array([1600, 1500, 2100, 1900, 2000, 1900, 2900, 2100])
"""Connections from outside to each cell, table 5."""
RATES_HZ = np.array([0.903, 2.965, 4.414, 5.876, 7.569, 8.633, 1.105, 7.829])
"""Mean rates at full scale [spikes/s], of the authors' public implementation; they make up for input lost by scaling."""

TAU_MS, TAU_SYN_MS, C_PF, RATE_HZ = 10.0, 0.5, 250.0, 8.0
PSP_MV, RELATIVE_WEIGHT, SPREAD = 0.15, 4.0, 0.1
DELAYS_MS = {"E": (1.5, 0.75), "I": (0.75, 0.375)}
"""Mean and standard deviation by source."""


def build(
    scale: float = 0.1, drive: Literal["poisson", "dc"] = "poisson", dt: str = "0.1 ms",
    mean_rates: Sequence[float] | None = None,
) -> Circuit:  # fmt: skip
    """The microcircuit with its number of cells and of connections to a cell multiplied by ``scale``.

    Weights grow with ``1/sqrt(scale)``, and a constant current replaces the mean of the input that is lost, so that mean and
    variance of the input stay (van Albada et al. 2015). At ``scale=1``: 77 169 cells, 299 million connections.

    Parameters
    ----------
    scale : float
        Between 0.005 and 1.
    drive : {"poisson", "dc"}
        Background: independent Poisson sources, or the constant current with their mean. Scaled-down networks need the former.
    dt : str
        0.1 ms in the paper.
    mean_rates : 8 numbers, spikes/s, optional
        Rates of the populations that the correction for lost input assumes; a scaled-down network is sensitive to them. Those
        of the authors' public implementation at full scale unless given.

    Raises
    ------
    InputError
        A scale, drive or rates out of range.
    """
    if not 0.005 <= float(scale) <= 1:
        raise InputError(f"potjans_diesmann2014: scale: expected between 0.005 and 1, got {scale}")
    if drive not in ("poisson", "dc"):
        raise InputError(f"potjans_diesmann2014: drive: expected 'poisson' or 'dc', got {drive!r}")
    rates = RATES_HZ if mean_rates is None else np.asarray(mean_rates, dtype=float)
    if rates.shape != (8,) or not (np.isfinite(rates) & (rates >= 0)).all():
        raise InputError(f"potjans_diesmann2014: mean_rates: expected 8 numbers >= 0, got {mean_rates!r:.80}")
    sizes = np.rint(SIZES * scale).astype(int)
    counts = np.rint(synapses() * scale * scale).astype(int)
    sources = np.rint(EXTERNAL * scale).astype(int)
    psc, root = psc_pa(), float(scale) ** 0.5
    currents = direct_currents(scale, drive, rates)
    populations, inputs, projections = {}, {}, {}
    for i, post in enumerate(POPULATIONS):
        populations[post] = {
            "size": int(sizes[i]),
            "neuron": "cell",
            "transmitter": "excitatory" if post.endswith("E") else "inhibitory",
            "parameters": {"I_dc": f"{float(currents[i])!r} pA"},
        }
        if drive == "poisson":
            inputs[f"external_{post}"] = {
                "size": int(sizes[i]), "kind": "poisson", "rate": f"{RATE_HZ} Hz", "sources": int(sources[i]),
            }  # fmt: skip
            projections[f"external_{post}"] = {
                "pre": f"external_{post}", "post": post, "port": "I", "connect": "one_to_one", "weight": f"{psc / root!r} pA",
            }  # fmt: skip
    for i, post in enumerate(POPULATIONS):
        for j, pre in enumerate(POPULATIONS):
            if counts[i, j]:
                projections[f"{pre}_{post}"] = _projection(pre, post, int(counts[i, j]), psc / root, dt)
    return Circuit(
        name="potjans_diesmann2014",
        description=(
            f"Microcircuit of Potjans and Diesmann at {scale:.3g} of its size, {drive} drive: {sizes.sum()} cells, {counts.sum()} connections."
        ),
        sources=(
            "Potjans & Diesmann 2014, Cereb. Cortex 24:785, doi:10.1093/cercor/bhs358: tables 4 and 5; the number of connections by "
            "its exact formula for pairs drawn with replacement.",
            "van Albada et al. 2015, PLoS Comput. Biol. 11:e1004490: how weights and currents follow the scale. Mean rates in that "
            "correction: of the authors' public implementation (INM-6/microcircuit-PD14-model).",
            "Start: v normal with mean -58 mV and standard deviation 10 mV, as in the original implementation.",
            "Ours: background arrives without delay; weights and delays are normal truncated at zero, delays at least one step.",
        ),
        dt=dt,
        duration="1 second",
        neurons={
            "cell": {
                "equations": "dv/dt = (E_L - v)/tau_m + (I + I_dc)/C : volt (unless refractory)\ndI/dt = -I/tau_s : amp",
                "ports": {"I": {"unit": "amp", "kind": "jump"}},
                "threshold": "v > theta",
                "threshold_scale": "10 mV",
                "reset": "v = V_R",
                "refractory": "2 ms",
                "method": "exact",
                "parameters": {
                    "tau_m": f"{TAU_MS} ms",
                    "tau_s": f"{TAU_SYN_MS} ms",
                    "C": f"{C_PF} pF",
                    "E_L": "-65 mV",
                    "theta": "-50 mV",
                    "V_R": "-65 mV",
                    "I_dc": "0 pA",
                },
                "initial": {"v": {"distribution": "normal", "mean": "-58 mV", "std": "10 mV"}},
            }
        },
        populations=populations,
        inputs=inputs,
        projections=projections,
    )


def _projection(pre: str, post: str, n: int, psc: float, dt: str) -> dict[str, Any]:
    inhibitory = pre.endswith("I")
    mean = psc * (RELATIVE_WEIGHT if inhibitory else 2.0 if (pre, post) == ("L4E", "L23E") else 1.0)
    delay, spread = DELAYS_MS[pre[-1]]
    return {
        "pre": pre,
        "post": post,
        "port": "I",
        "connect": {"total_number": n, "multapses": True},
        "weight": {"distribution": "normal", "mean": f"{mean!r} pA", "std": f"{SPREAD * mean!r} pA"},
        "delay": {"distribution": "normal", "mean": f"{delay} ms", "std": f"{spread} ms", "min": dt},
    }


def synapses() -> np.ndarray:
    """Connections between two populations at full scale, (target, source): ``log(1 - C) / log(1 - 1/(N N'))``, table 5's C."""
    pairs = np.outer(SIZES, SIZES).astype(float)
    return np.log1p(-PROBABILITIES) / np.log1p(-1 / pairs)


def psc_pa() -> float:
    """Amplitude of a synaptic current [pA] whose potential peaks at 0.15 mV."""
    a, b = TAU_MS, TAU_SYN_MS
    ratio = a / b
    peak = (a * b / (b - a)) / C_PF * (ratio ** (-a / (a - b)) - ratio ** (-b / (a - b)))
    return PSP_MV / peak


def direct_currents(scale: float, drive: str, rates: np.ndarray) -> np.ndarray:
    """Constant current to each population [pA] for what the scaling, or the lack of Poisson input, takes from the mean."""
    weight = np.full((8, 8), psc_pa())
    weight[:, 1::2] *= -RELATIVE_WEIGHT
    weight[0, 2] *= 2
    recurrent = (weight * synapses() / SIZES[:, None] * rates).sum(1)
    external = psc_pa() * EXTERNAL * RATE_HZ
    lost = (1 - np.sqrt(scale)) * recurrent + ((1 - np.sqrt(scale)) if drive == "poisson" else 1.0) * external
    return lost * TAU_SYN_MS * 1e-3
