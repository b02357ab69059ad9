"""Random damage to the mappings of circuits: what a hostile or careless author might write."""

from __future__ import annotations

import copy
from random import Random
from typing import Any

HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 10**30, 10**400, 0.5, -0.0, 1e308, float("inf"), float("nan"), "", " ", "\n", "0", "1",
    "1 ms", "-1 ms", "0.05 ms", "1e9999 ms", "1e-9999 ms", "nan", "inf", "5 mV", "1 nS", "1 pA", "10 Hz", "ms", "mV", "furlong",
    "ms**9**9", "1 (((ms**8)**8)**8)**8", "all", "one_to_one", "excitatory", "mixed", "E", "I", "E[0:1]", "E[5:2]", "E[0:99999]",
    "E[:]", "nobody", "v", "g", "t", "dt", "e", "pi", "lambda", "self", "__class__", "a" * 70, "ä", "v > 1", "v = 1", "v += v",
    "x = y = 1", "v", "v.real", "v[0]", "9**9**9", "v**-8", "v**9", "1/0", "(" * 300, "abs(" * 80 + "v" + ")" * 80, "lambda: v",
    "__import__('os')", "[i for i in v]", "f'{v}'", "v if v else v", "exp(exp(exp(1000.0)))", "floor(exp(exp(50)))", "where(v, v, v)",
    "dv/dt = -v/tau : volt", "dv/dt = -v/ms : volt (unless refractory)", "dg/dt = 1 : 1 (constant)", "a = b : 1\nb = a : 1",
    "x : 1", ":", "x : furlong", "dv/dt = -v**2/(mV*ms) : volt", "\x00", "\x1b[31m", "\ud800", "x" * 5000,
    [], {}, [1], [1, 2, 3], [[1, 2], [3]], [None], ["a"], {"values": [1, 2], "unit": "ms"}, {"values": "x"}, {"values": [1], "unit": "no"},
    {"a": {"b": {"c": {}}}}, {"distribution": "normal"}, {"distribution": "uniform", "low": 1, "high": 0},
    {"distribution": "gamma", "shape": -1, "scale": "1 mV"}, {"distribution": "lognormal", "median": "1 nS", "sigma": 1e6},
    {"distribution": "constant", "value": "1 ms"}, {"distribution": "triangular"}, {"kind": "pulse"}, {"op": "sum", "of": "v"},
    {"op": "max", "of": "v >"}, {"per": "neuron", "min": 2, "max": 1}, {"probability": 2}, {"probability": 1e-300}, {"indegree": 10**12},
    {"total_number": -1}, {"conv2d": {"kernel": 10**9}}, {"edges": {"pre": [0], "post": [0, 1]}},
    {"edges": {"pre": [-1], "post": [0.5]}}, {"all": True, "probability": 0.1}, {"all": True, "autapses": "no"},
)  # fmt: skip
"""Values to put anywhere."""

NAMES = (
    "neurons", "populations", "projections", "inputs", "dt", "duration", "readout", "initialisation", "size", "shape", "neuron",
    "transmitter", "parameters", "initial", "equations", "update", "ports", "threshold", "threshold_scale", "reset", "refractory",
    "after_reset", "output", "reductions", "adds", "method", "trainable", "unit", "kind", "receptor", "charge", "rate", "pre", "post",
    "port", "deliver", "connect", "weight", "delay", "gradient_scale", "v", "g", "I", "E", "tau", "self", "cls", "1", "", "a b", "é",
    "x\ny", "model_config",
)  # fmt: skip


def mutated(plain: dict[str, Any], random: Random, most: int = 4) -> dict[str, Any]:
    """A deep copy with up to ``most`` random changes."""
    found = copy.deepcopy(plain)
    for _ in range(random.randint(1, most)):
        _mutate(found, random)
    return found


def _mutate(root: dict[str, Any], random: Random) -> None:
    node: Any = root
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        inner = [k for k in keys if isinstance(node[k], dict | list) and node[k]]
        if not keys or not inner or random.random() < 0.25:
            break
        node = node[random.choice(inner)]
    if not keys:
        return
    key, action = random.choice(keys), random.random()
    if action < 0.45:
        node[key] = copy.deepcopy(random.choice(HOSTILE))
    elif action < 0.6:
        del node[key]
    elif action < 0.75 and isinstance(node, dict):
        node[random.choice(NAMES)] = copy.deepcopy(random.choice(HOSTILE))
    elif action < 0.85 and isinstance(node, dict):
        node[random.choice(NAMES)] = node.pop(key)
    elif isinstance(node[key], str):
        node[key] = _scrambled(node[key], random)
    else:
        node[key] = copy.deepcopy(node[random.choice(keys)])


def _scrambled(text: str, random: Random) -> str:
    """One character, word or piece less, twice, or something hostile in between."""
    cut = sorted(random.randint(0, len(text)) for _ in range(2))
    middle = random.choice(
        (text[cut[0] : cut[1]] * 2, "", random.choice("()*/+-:=<>.,[]{}'\"#;\\\n é0e9"), str(random.choice(HOSTILE)))
    )
    return text[: cut[0]] + middle + text[cut[1] :]
