"""A recurrent network of excitatory and inhibitory cells whose synapses learn by the timing of spikes, awake and asleep.

After Massey, Hubin, Nichele and Saebo 2026 ("Sleep-Based Homeostatic Regularization", arXiv 2601.08447); sizes, probabilities and
numbers as their public code has them, which differ between its versions; what is ours is said at the argument. Not here: the removal of
the way back where two cells of different kinds are joined both ways, the clips of membrane and threshold, the early end of a sleep (once the
sums of excitatory and of inhibitory magnitudes are both within 0.1 % of where they began), and targets of the pull other than a number: the
mean of a block of synapses ("group") or of those onto a cell ("post").
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pandas import Interval

from ..errors import unknown
from ..plasticity import rule
from ..ranges import FACTOR, NOT_NEGATIVE, check_number, milliseconds
from ..spec import Circuit

CELL = {
    "description": "LIF with a current, an adaptive threshold, and noise that arrives from outside (Massey et al. 2026, public code).",
    "equations": """dj/dt = -j/tau_syn : 1
                    da/dt = -a/tau_a : volt
                    dv/dt = (E_L - v + R*j)/tau_m + xi_in/ms : volt""",
    "ports": {"j": {"kind": "jump"}, "xi_in": {"unit": "volt", "kind": "pulse"}},
    "threshold": "v > V_T + a",
    "threshold_scale": "5 mV",
    "reset": "v = V_r\na += rise",
    "method": "euler",
    "parameters": {
        "tau_syn": "30 ms", "tau_m": "30 ms", "tau_a": "100 ms", "E_L": "-70 mV", "V_T": "-55 mV", "V_r": "-80 mV", "rise": "3 mV",
        "R": "1 mV",
    },
    "initial": {"v": "-70 mV"},
}  # fmt: skip
"""``R`` is 30 * 1 ms / 30 ms: a spike adds its weight to ``j``, where the public code adds weight * dt/tau_syn and has R = 30."""
LEARNING = ("x_E", "E_E", "E_I", "I_E")
SMALLEST, LARGEST = 0.01, 25.0
BOUNDS = Interval(SMALLEST, LARGEST, closed="both")

RULES = ("stdp", "decay", "normalisation")


def build(
    n_inputs: int = 225, n_excitatory: int = 200, n_inhibitory: int = 50, learning: str | Collection[str] = ("stdp",), up: float = 5e-4,
    down: float = 5e-4, input_weight: float = 0.15, tau: str = "10 ms", lam: float = 0.99997, target: float = 0.01, period: str = "35000 ms", causal: bool = True,
) -> Circuit:  # fmt: skip
    """The network awake, asleep or at rest: what its synapses do is an argument, the rest is the same.

    Parameters
    ----------
    n_inputs, n_excitatory, n_inhibitory : int
    learning : of {"stdp", "decay", "normalisation"}
        ``stdp``: nearest pairs, all four kinds of synapses; ``decay``: every magnitude is pulled towards ``target`` in every step;
        ``normalisation``: at the end of a ``period`` the sum of magnitudes onto each cell is put to what is expected of a draw.
    up, down : float
        A+ and A-, largest gain and loss of a magnitude by a pair of spikes. A cause before its effect gains, one after it loses.
    input_weight : float
        Magnitude that inputs are drawn with, in the bounds of 0.01 to 25; fewer or darker pixels need a larger one.
    tau : time
        Of both sides of the window.
    lam : float
        The power of a step of 1 ms: ``w = target (w/target)**lam``; above 0 and not above 1.
    target : float
        In the bounds, too.
    period : time
    causal : bool
        False gives the sign that the public code has: it subtracts ages, so that a cause before its effect loses (``down``) and one after it
        gains (``up``).

    Returns
    -------
    Circuit
        Validated by ``load``. Inputs ``x`` (spikes) and ``noise`` (a current in volt for each cell and step, excitatory cells first: 2 mV asleep, 0 awake).

    Raises
    ------
    ValueError
        ``learning`` names something else.
    InputError
        Numbers out of their ranges.
    """
    rules = (learning,) if isinstance(learning, str) else tuple(learning)
    for wrong in [r for r in rules if r not in RULES]:
        raise ValueError(f"learning: {unknown('rule', wrong, RULES)}")
    for path, value, interval in (
        ("up", up, NOT_NEGATIVE), ("down", down, NOT_NEGATIVE), ("input_weight", input_weight, BOUNDS), ("lam", lam, FACTOR),
        ("target", target, BOUNDS),
    ):  # fmt: skip
        check_number(path, value, interval)
    milliseconds("tau", tau)
    few = min(1.0, 22.5 / max(n_inputs, 1))  # as many inputs of a cell as there, where images have 225 pixels
    # the others: middles of the ranges in the code
    drawn = {"x_E": (few, input_weight), "E_E": (0.15, 0.3), "E_I": (0.2, 0.45), "I_E": (0.25, 0.4)}
    # of pair_stdp, which adds the first where a target fires and takes the second away where a spike arrives
    changes = (up, down) if causal else (-down, -up)
    sizes = {"x": n_inputs, "E": n_excitatory, "I": n_inhibitory}
    projections: dict[str, Any] = {}
    for name, (probability, weight) in drawn.items():
        pre, post = name.split("_")
        projections[name] = {
            "pre": pre, "post": post, "port": "j", "connect": {"probability": probability, "autapses": False} if pre == post else {"probability": probability},
            "weight": weight, "delay": "1 ms",
        }  # fmt: skip
        total = probability * sizes[pre] * weight
        if rules:
            projections[name]["plasticity"] = _rule(rules, changes, tau, lam, target, period, total)
    for name, first in (("E", 0), ("I", n_excitatory)):
        cells = list(range(sizes[name]))
        projections[f"noise_{name}"] = {
            "pre": "noise", "post": name, "port": "xi_in", "weight": 1.0, "delay": "0 ms",
            "connect": {"edges": {"pre": [first + k for k in cells], "post": cells}},
        }  # fmt: skip
    return Circuit(
        name="sleep_homeostasis", description=f"Recurrent spike-timing network: {', '.join(rules) or 'no learning'}.",
        dt="1 ms", duration="1000 ms", neurons={"cell": CELL},
        inputs={
            "x": {"size": n_inputs, "kind": "spikes", "transmitter": "excitatory"},
            "noise": {"size": n_excitatory + n_inhibitory, "kind": "current", "unit": "volt", "transmitter": "mixed"},
        },
        populations={
            "E": {"size": n_excitatory, "neuron": "cell", "transmitter": "excitatory"},
            "I": {"size": n_inhibitory, "neuron": "cell", "transmitter": "inhibitory"},
        },
        projections=projections,
    )  # fmt: skip


def _rule(
    learning: Collection[str],
    changes: tuple[float, float],
    tau: str,
    lam: float,
    target: float,
    period: str,
    total: float,
) -> dict[str, Any]:
    """The pieces that were asked for, as one rule."""
    found: dict[str, Any] = {}
    for name in learning:
        if name == "stdp":
            up, down = (change / LARGEST for change in changes)
            piece = rule("pair_stdp", w_max=LARGEST, a_plus=up, a_minus=down, tau_plus=tau, tau_minus=tau, nearest=True)
        elif name == "decay":
            piece = rule("log_decay", w_max=LARGEST, target=target, lam=lam, interval="1 ms")
        else:
            piece = rule("normalisation", w_max=LARGEST, total=total, interval=period)
        piece.pop("description")
        for field, value in piece.items():
            found[field] = {**found.get(field, {}), **value} if isinstance(value, dict) else value
    return {**found, "bounds": {"min": SMALLEST, "max": LARGEST}}
