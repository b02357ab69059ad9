"""A small valid circuit as a mapping, and changed copies of it: the raw material of tests of bad input."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

SMALL: dict[str, Any] = {
    "name": "small",
    "dt": "1 ms",
    "duration": "20 ms",
    "neurons": {
        "cell": {
            "equations": "dv/dt = (E_L - v + R*I)/tau : volt (unless refractory)\ndg/dt = -g/tau_g : siemens",
            "ports": {
                "I": {"unit": "amp", "kind": "pulse"},
                "g": {"unit": "siemens", "kind": "jump", "receptor": "excitatory"},
            },
            "threshold": "v > V_T",
            "threshold_scale": "10 mV",
            "reset": "v = E_L",
            "refractory": "2 ms",
            "parameters": {"tau": "10 ms", "tau_g": "5 ms", "R": "100 Mohm", "E_L": "-70 mV", "V_T": "-50 mV"},
            "initial": {"v": "-70 mV"},
        },
        "rate": {"ports": {"x": {"unit": "siemens", "kind": "pulse"}}, "output": "r = x*R_0", "parameters": {"R_0": "2 Gohm"}},
    },
    "populations": {
        "E": {"size": 4, "neuron": "cell", "transmitter": "excitatory"},
        "I": {"size": 2, "neuron": "cell", "transmitter": "inhibitory"},
        "M": {"shape": [2, 4, 4], "neuron": "cell", "transmitter": "mixed"},
        "out": {"size": 3, "neuron": "rate", "transmitter": "excitatory"},
    },
    "inputs": {
        "x": {"size": 4, "kind": "current", "unit": "pA"},
        "p": {"size": 4, "kind": "poisson", "rate": "10 Hz"},
    },
    "projections": {
        "x_E": {"pre": "x", "post": "E", "port": "I", "connect": "one_to_one", "weight": 100.0},
        "E_I": {"pre": "E", "post": "I", "port": "g", "connect": "all", "weight": "1 nS", "delay": "1 ms"},
        "I_E": {"pre": "I", "post": "E", "port": "I", "connect": {"probability": 0.5}, "weight": "10 pA", "delay": "2 ms"},
        "E_out": {"pre": "E", "post": "out", "port": "x", "connect": "all", "weight": "1 nS"},
    },
    "readout": "out",
}  # fmt: skip


def small(changes: Mapping[str, Any] | None = None, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """A fresh copy of the mapping; ``changes`` and ``without`` name fields by paths such as ``"populations/E/size"``."""
    plain = copy.deepcopy(SMALL)
    for path, value in (changes or {}).items():
        node, last = _parent(plain, path)
        node[last] = value
    for path in without:
        node, last = _parent(plain, path)
        del node[last]
    return plain


def _parent(plain: dict[str, Any], path: str) -> tuple[dict[str, Any], str]:
    *parents, last = path.split("/")
    node = plain
    for key in parents:
        node = node.setdefault(key, {})
    return node, last
