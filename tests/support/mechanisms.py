"""Circuits of every mechanism, of the pairs that make sense, of all four: small, driven until they spike for 500 steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import cortexsnn as cx

STEPS = 500
MINIMUM_SPIKES = 1000
N_INPUTS = 16


def layers(*pieces: Mapping[str, Any], recurrent: bool = False, gain: float = 4.0) -> cx.Circuit:
    """Two layers of one neuron behind spikes."""
    return cx.load(
        "feedforward",
        pieces=pieces,
        n_inputs=N_INPUTS,
        hidden=(12, 8),
        n_classes=4,
        spikes=True,
        gain=gain,
        recurrent=recurrent,
    )


def with_units(*pieces: Mapping[str, Any], weight: str = "400 pA") -> cx.Circuit:
    """One population with units behind spikes, with excitation and inhibition inside."""
    names = [str(p["piece"]) for p in pieces]
    signed = {"pre": "E", "connect": {"probability": 0.4}, "delay": "1 ms"}
    neurons = dict(zip(names, pieces, strict=True))
    return cx.Circuit(
        name="with_units", dt="1 ms", neurons=neurons,
        populations={"E": {"size": 10, "neuron": names, "transmitter": "excitatory"}, "I": {"size": 5, "neuron": names, "transmitter": "inhibitory"}},
        inputs={"x": {"size": N_INPUTS, "kind": "spikes"}},
        projections={
            "x_E": {"pre": "x", "post": "E", "port": "I", "connect": {"probability": 0.5}, "weight": weight},
            "x_I": {"pre": "x", "post": "I", "port": "I", "connect": {"probability": 0.5}, "weight": weight},
            "E_I": {**signed, "post": "I", "port": "I", "weight": "100 pA"},
            "I_E": {**signed, "pre": "I", "post": "E", "port": "I", "weight": "200 pA", "delay": "2 ms"},
            **({"E_E_top": {**signed, "post": "E", "port": "I_d", "weight": "30 pA"}} if "distal_prediction" in names else {}),
        },
    )  # fmt: skip


def conductances() -> cx.Circuit:
    return cx.Circuit(
        name="conductances", dt="1 ms", neurons={"cell": {"piece": "conductance_gating"}},
        populations={"E": {"size": 10, "neuron": "cell", "transmitter": "excitatory"}, "I": {"size": 5, "neuron": "cell", "transmitter": "inhibitory"}},
        inputs={"x": {"size": N_INPUTS, "kind": "spikes"}},
        projections={
            "x_E": {"pre": "x", "post": "E", "port": "g_e", "connect": "all", "weight": "1 nS"},
            "E_I": {"pre": "E", "post": "I", "port": "g_e", "connect": "all", "weight": "3 nS"},
            "I_E": {"pre": "I", "post": "E", "port": "g_i", "connect": "all", "weight": "3 nS", "delay": "1 ms"},
        },
    )  # fmt: skip


def stack(name: str, **arguments: Any) -> cx.Circuit:
    """An E/I stack whose layers are kept active without data-dependent initialisation: weak division, a bias."""
    sized: dict[str, Any] = {"n_inputs": N_INPUTS} if "conv" not in name else {}
    circuit = cx.load(name, **{**sized, **arguments})
    changes: dict[str, object] = {}
    for population in circuit.populations:
        if population.startswith("E") and "recurrent" not in name:
            changes[f"populations.{population}.parameters.b_E"] = 0.35
        if population.startswith("I") and population != "I_out" and "recurrent" not in name:
            changes[f"populations.{population}.parameters.g_I"] = 0.2
    return circuit.with_parameters(changes) if changes else circuit


P = "self_prediction"
TAU = {
    "parametric_lif": "1 + exp(-w)",
    "gated_lif": "2",
    "lif": "tau",
    "complementary_lif": "tau",
    "adaptive_lif": "tau",
}
BUILD: dict[str, Callable[[], cx.Circuit]] = {
    # lateral inhibition
    "dense": lambda: stack("lateral_inhibition", hidden=(12, 12), n_classes=4, residual=True),
    "convolution": lambda: stack("lateral_inhibition_conv", shape=(1, 4, 4), channels=(4, 4), pool=(2,), n_classes=4, residual=True),
    "local": lambda: stack("lateral_inhibition_local", hidden=(12,), n_classes=4),
    "recurrent": lambda: stack("lateral_inhibition_recurrent", hidden=(12,), n_classes=4, drive=800.0),
    # self-prediction
    **{f"{r} {n}": lambda r=r, n=n: layers({"piece": n}, {"piece": P, "reading": r, "tau": TAU[n]}) for r, n in (
        ("A", "lif"), ("B", "lif"), ("C", "lif"), ("A", "parametric_lif"), ("A", "complementary_lif"), ("A", "gated_lif"),
        ("A", "adaptive_lif"),
    )},
    "A adaptive_exponential": lambda: with_units(
        {"piece": "adaptive_exponential"}, {"piece": P, "port": "I", "unit": "amp", "scale": "50 pA", "tau": "C/(g_L*dt)", "rate": 0.1},
        weight="600 pA",
    ),
    "distal lif": lambda: with_units({"piece": "lif_units"}, {"piece": "distal_prediction"}),
    "distal adaptive_exponential": lambda: with_units({"piece": "adaptive_exponential"}, {"piece": "distal_prediction"}, weight="1200 pA"),
    # gating
    "gated": lambda: layers({"piece": "dynamic_gating"}),
    "gated simplified": lambda: layers({"piece": "dynamic_gating", "form": "simplified", "reversal": 9.0}),
    "gated sigmoid, recurrent": lambda: layers({"piece": "dynamic_gating", "phi": "sigmoid"}, recurrent=True, gain=1.0),
    "conductances": conductances,
    # learned dynamics
    "polynomial": lambda: layers({"piece": "polynomial", "coefficients": [0.02, 0.5, 0.1, -0.05], "per": "neuron"}),
    "quadratic plain": lambda: layers({"piece": "quadratic", "reading": "plain"}),
    "quadratic identity": lambda: layers({"piece": "quadratic", "reset": "soft"}),
    # pairs
    "prediction and gating": lambda: layers({"piece": "dynamic_gating"}, {"piece": P, "port": "h_in", "tau": "1/(g_l*h_t)", "rate": 0.1}),
    "prediction and polynomial": lambda: layers({"piece": "polynomial"}, {"piece": P, "tau": 2.0}),
    "gating and polynomial": lambda: layers({"piece": "gate"}, {"piece": "polynomial"}),
    "inhibition and prediction": lambda: _in_stack("lif", "drive", "prediction"),
    "inhibition and gating": lambda: _in_stack("gate", "lif", "drive"),
    "inhibition and polynomial": lambda: _in_stack("polynomial", "drive"),
    # all four
    "all four": lambda: stack("four_mechanisms", hidden=(12, 12), n_classes=4),
}  # fmt: skip
"""Name -> circuit."""


def _in_stack(*pieces: str) -> cx.Circuit:
    """The E cells of the combined circuit made of some of its pieces only."""
    plain = stack("four_mechanisms", hidden=(12, 12), n_classes=4).model_dump()
    plain["neurons"].update(lif={"piece": "lif", "decay_input": False}, polynomial={"piece": "polynomial"})
    gated = "gate" in pieces
    for k in (1, 2):
        plain["populations"][f"E{k}"]["neuron"] = list(pieces)
    if not gated:
        plain["projections"] = {n: p for n, p in plain["projections"].items() if not n.endswith("_gate")}
    return cx.Circuit(**plain)


def drive(circuit: cx.Circuit, seed: int = 0) -> dict[str, np.ndarray]:
    """Spikes with probability 0.3, or numbers between 0 and 1 for a current input, (step, 1, channel)."""
    random = np.random.default_rng(seed)
    found = {}
    for name, source in circuit.inputs.items():
        draws = random.random((STEPS, 1, source.n))
        found[name] = draws < 0.3 if source.kind == "spikes" else draws
    return found
