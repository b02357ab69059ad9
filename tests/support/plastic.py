"""Plastic circuits for tests: cells that fire when they are told to, and a circuit with all that a rule can say."""

from __future__ import annotations

from typing import Any

import numpy as np

import cortexsnn as cx

RELAY = {
    "update": "u = drive", "ports": {"drive": {"kind": "pulse"}, "unused": {"unit": "siemens", "kind": "pulse"}}, "threshold": "u > 0.5", "reset": "u = 0",
}  # fmt: skip


def told(rule: dict[str, Any], n: int = 1, weight: Any = "0.5 nS", dt: str = "1 ms", delay: str = "0 ms") -> cx.Circuit:
    """Edge k joins channel k of ``pre`` to cell k, which fires when channel k of ``post`` says so; nothing else has an effect."""
    return cx.Circuit(
        name="told", dt=dt, neurons={"relay": RELAY},
        inputs={"pre": {"size": n, "kind": "spikes"}, "post": {"size": n, "kind": "spikes"}, "reward": {"size": 1, "kind": "current"}},
        populations={"cell": {"size": n, "neuron": "relay", "transmitter": "excitatory"}},
        projections={
            "teacher": {"pre": "post", "post": "cell", "port": "drive", "connect": "one_to_one", "weight": 1.0, "delay": "0 ms"},
            "learning": {
                "pre": "pre", "post": "cell", "port": "unused", "connect": "one_to_one", "weight": weight, "delay": delay,
                "plasticity": rule,
            },
        },
    )  # fmt: skip


def run(
    circuit: cx.Circuit, pre: np.ndarray, post: np.ndarray, reward: np.ndarray | None = None, **options: Any
) -> Any:
    """A run with spikes (step, edge); the recording."""
    rows = np.zeros((len(pre), 1)) if reward is None else reward
    return cx.simulate(circuit, {"pre": pre, "post": post, "reward": rows}, **options)


def final(recording: Any, name: str = "w") -> np.ndarray:
    """Of the edges of ``learning``, (edge,)."""
    found: np.ndarray = recording["learning"][f"final_{name}"].values[0]
    return found


_CELL = {
    "equations": """dv/dt = (E_L - v + R*(g*(E_e - v) + g_i*(E_i - v)))/tau_m : volt (unless refractory)
                    dg/dt = -g/tau_e : siemens
                    dg_i/dt = -g_i/tau_i : siemens""",
    "ports": {"g": {"unit": "siemens", "kind": "jump", "receptor": "excitatory", "charge": "conserved"},
              "g_i": {"unit": "siemens", "kind": "jump", "receptor": "inhibitory"}},
    "threshold": "v > V_T", "threshold_scale": "5 mV", "reset": "v = E_L", "refractory": "2 ms", "method": "exponential_euler",
    "parameters": {"tau_m": "20 ms", "tau_e": "5 ms", "tau_i": "8 ms", "R": "100 Mohm", "E_L": "-70 mV", "E_e": "0 mV", "E_i": "-80 mV",
                   "V_T": {"distribution": "uniform", "low": "-56 mV", "high": "-54 mV"}},
    "initial": {"v": "-70 mV"},
}  # fmt: skip
_CRITIC = {
    "equations": "dr/dt = -r/tau : 1", "ports": {"r": {"kind": "jump"}}, "output": "y = clip(r, 0, 5)", "parameters": {"tau": "50 ms"},
    "method": "exact",
}  # fmt: skip
_RATE = {
    "equations": "dr/dt = (x - r)/tau : 1", "ports": {"x": {"kind": "pulse"}}, "output": "o = clip(r, 0, inf)", "parameters": {"tau": "5 ms"},
}  # fmt: skip
_EVERYTHING = {  # on the way from an input: release, eligibility, two third factors, a sum over the target's edges, two intervals
    "equations": """du/dt = (U - u)/tau_f : 1
                    ds/dt = (1 - s)/tau_d : 1
                    da/dt = -a/tau : 1
                    db/dt = -b/tau : 1
                    dc/dt = -c/tau_c : siemens""",
    "initial": {"u": 0.4, "s": 1.0},
    "sends": "(u + U*(1 - u))*s",
    "on_pre": "u += U*(1 - u)\ns -= u*s\na += 1\nc -= A*b",
    "on_post": "b += 1\nc += A*a",
    "every": {"0.5 ms": "w += eta*c*(R - y)", "50 ms": "w *= clip(whole/total, 0.5, 2)"},
    "sums": {"total": "w"},
    "signals": {"R": "reward", "y": "C"},
    "parameters": {"U": 0.4, "tau_f": "50 ms", "tau_d": "100 ms", "tau": "20 ms", "tau_c": "200 ms", "A": "0.1 nS", "eta": 0.05, "whole": "160 nS"},
    "bounds": {"min": "0.1 nS", "max": "20 nS"},
}  # fmt: skip


def everything(rate: str = "60 Hz") -> cx.Circuit:
    """All that a rule can say, on spiking, graded and inhibitory sources, with drawn delays, recurrent edges and charge conserved."""
    return cx.Circuit(
        name="everything", dt="0.5 ms", duration="1000 ms", neurons={"cell": _CELL, "critic": _CRITIC, "rate": _RATE},
        inputs={"x": {"size": 30, "kind": "poisson", "rate": rate}, "reward": {"size": 1, "kind": "current"}},
        populations={
            "E": {"size": 8, "neuron": "cell", "transmitter": "excitatory"}, "I": {"size": 4, "neuron": "cell", "transmitter": "inhibitory"},
            "C": {"size": 1, "neuron": "critic", "transmitter": "excitatory"}, "G": {"size": 5, "neuron": "rate", "transmitter": "excitatory"},
        },
        projections={
            "x_E": {
                "pre": "x", "post": "E", "port": "g", "connect": {"indegree": 20},
                "weight": {"distribution": "uniform", "low": "6 nS", "high": "10 nS"},
                "delay": {"distribution": "uniform", "low": "0.5 ms", "high": "3 ms"}, "plasticity": _EVERYTHING,
            },
            "E_E": {
                "pre": "E", "post": "E", "port": "g", "connect": {"all": True, "autapses": False}, "weight": "0.5 nS", "delay": "1 ms",
                "plasticity": {
                    "equations": "dm/dt = (v_post - m)/tau : volt\nda/dt = -a/tau : 1", "initial": {"m": "-70 mV"},
                    "on_pre": "w += eta*(m - th)*a\na += 1", "on_post": "w -= eta2*a*(v_pre - m)/mV",
                    "parameters": {"tau": "10 ms", "th": "-64 mV", "eta": "0.01 nS/mV", "eta2": "0.002 nS"}, "bounds": {"max": "2 nS"},
                },
            },
            "E_I": {"pre": "E", "post": "I", "port": "g", "connect": "all", "weight": "4 nS", "delay": "0 ms"},
            "I_E": {
                "pre": "I", "post": "E", "port": "g_i", "connect": "all", "weight": "2 nS", "delay": "0.5 ms",
                "plasticity": {"piece": "inhibitory_stdp", "w_max": "10 nS", "target": "20 Hz"},
            },
            "E_C": {"pre": "E", "post": "C", "port": "r", "connect": "all", "weight": 0.1, "delay": "0 ms"},
            "E_G": {"pre": "E", "post": "G", "port": "x", "connect": "all", "weight": 2.0, "delay": "0.5 ms"},
            "G_I": {
                "pre": "G", "post": "I", "deliver": {"g": "o*z"}, "connect": "all", "weight": "0.05 nS", "delay": "1 ms",
                "plasticity": {
                    "equations": "dz/dt = (1 + 0.1*r_pre - z)/tau : 1",
                    "every": {"2 ms": "w += eta*(o_pre - 0.5)*(v_post + 65*mV)/mV"},
                    "parameters": {"tau": "30 ms", "eta": "0.0001 nS"}, "bounds": {"max": "0.2 nS"},
                },
            },
        },
    )  # fmt: skip
