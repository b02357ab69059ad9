"""The control of self-prediction: a feed-forward classifier whose cells receive the prediction made from another cell's history.

Same states, same learned rate, same amounts as reading A; only whose input and spikes they are differs. The prediction lives in a
graded population of its own, one cell per neuron; with a shift of 0 it is the wrapped neuron again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..neurons import piece
from ..spec import Circuit, to_plain
from . import feedforward

PREDICTOR = {
    "description": "p = a p + al x + (-al) s of the last step: a prediction current outside the cell.",
    "equations": "al_p = 1/(1 + exp(-r_p)) : 1",
    "ports": {"x_in": {"kind": "pulse"}, "s_in": {"kind": "pulse"}},
    "update": "p = (1 - 1/(tau_p))*p + al_p*x_in + (-al_p)*s_in",
    "output": "r = p",
    "trainable": {"r_p": {}},
}


def build(neuron: Mapping[str, Any] | None = None, shift: int = 1, tau: float = 2.0, **arguments: Any) -> Circuit:
    """A feed-forward classifier with predictions from cell ``i + shift`` of the same layer.

    Parameters
    ----------
    neuron : mapping
        A neuron with port ``x``; a LIF neuron unless given.
    shift : int
        0 is the wrapped neuron itself.
    tau : float
        Time constant of the prediction, in steps.
    **arguments
        Those of ``feedforward`` except ``pieces``.
    """
    plain = to_plain(feedforward.build(pieces=[neuron or {"piece": "lif"}], **arguments))
    plain["name"] = "shuffled_prediction"
    plain["description"] = f"Feed-forward classifier whose cells receive the prediction of cell i + {shift}."
    plain["neurons"].update(relay=piece("relay"), predictor={**PREDICTOR, "parameters": {"r_p": 0.0, "tau_p": tau}})
    for name in [n for n in plain["populations"] if n.startswith("L")]:
        size = plain["populations"][name]["size"]
        sum_name, predictor = f"X{name[1:]}", f"P{name[1:]}"
        for projection in plain["projections"].values():
            if projection["post"] == name:
                projection["post"] = sum_name
        cells = list(range(size))
        others = {"edges": {"pre": [(i + shift) % size for i in cells], "post": cells}}
        common = {"size": size, "transmitter": "mixed"}
        plain["populations"] |= {sum_name: {**common, "neuron": "relay"}, predictor: {**common, "neuron": "predictor"}}
        late, now = {"connect": others, "weight": 1.0, "delay": "1 ms"}, {"connect": "one_to_one", "weight": 1.0}
        plain["projections"] |= {
            f"{sum_name}_{name}": {"pre": sum_name, "post": name, "port": "x", **now},
            f"{predictor}_{name}": {"pre": predictor, "post": name, "port": "x", **now},
            f"{sum_name}_{predictor}": {"pre": sum_name, "post": predictor, "port": "x_in", **late},
            f"{name}_{predictor}": {"pre": name, "post": predictor, "port": "s_in", **late},
        }
    return Circuit(**plain)
