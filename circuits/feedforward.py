"""A plain feed-forward classifier of any neuron: layers with signed weights, a graded leaky read-out. For comparing neurons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import InputError
from ..neurons import expanded, piece
from ..spec import Circuit


def build(
    pieces: Sequence[Mapping[str, Any]] = ({"piece": "lif"},), n_inputs: int = 64, hidden: tuple[int, ...] = (64,),
    n_classes: int = 10, steps: int = 8, spikes: bool = False, tau_readout: float | None = None, gain: float = 1.0,
    recurrent: bool = False,
) -> Circuit:  # fmt: skip
    """Layers of one neuron model, all-to-all, weights of either sign.

    Parameters
    ----------
    pieces : sequence of mappings
        The neuron, as under ``neurons`` in a circuit file: ``[{piece: lif}, {piece: self_prediction, reading: A}]``. With a
        port ``x``, or the ports ``g_in`` (and ``h_in``) of a gated neuron.
    n_inputs : int
        Channels of the input ``x``.
    hidden : tuple of int
    n_classes, steps : int
    spikes : bool
        Whether the input is spikes, else numbers.
    tau_readout : float, optional
        Leak of the read-out [steps]; none unless given.
    gain : float
        Times Kaiming's uniform bound ``sqrt(3/fan_in)``.
    recurrent : bool
        Whether each layer also projects onto itself, one step later.

    Raises
    ------
    InputError
        No layer, or a neuron without such a port.
    """
    hidden = tuple(int(n) for n in hidden)
    if not hidden or min(hidden) < 1 or not pieces or n_inputs < 1 or n_classes < 1:
        raise InputError(
            f"feedforward: expected at least one piece, one input, one class and one cell in every layer, got {len(pieces)}, {n_inputs}, "
            f"{n_classes} and {hidden}"
        )
    parts = {str(p.get("piece", f"piece_{k}")): dict(expanded(p)) for k, p in enumerate(pieces)}
    ports = {port for part in parts.values() for port in part.get("ports", {})}
    targets = [port for port in ("x", "g_in", "h_in") if port in ports]
    if not targets:
        raise InputError(
            f"feedforward: the neuron has no port x, g_in or h_in (ports: {', '.join(sorted(ports)) or 'none'})"
        )
    populations: dict[str, Any] = {}
    projections: dict[str, Any] = {}
    gains: dict[str, Any] = {}

    def connect(pre: str, post: str, fan_in: int, onto: Sequence[str], delay: str = "0 ms") -> None:
        for port in onto:
            bound = gain * (3 / fan_in) ** 0.5
            gate = port == "g_in"  # the published start of C: small and positive
            projections[f"{pre}_{post}" + ("" if len(onto) == 1 else f"_{port}")] = {
                "pre": pre, "post": post, "port": port, "connect": "all", "trainable": True, "delay": delay,
                "weight": {"distribution": "uniform", "low": 0.005 if gate else -bound, "high": 0.015 if gate else bound},
            }  # fmt: skip

    before, fan_in = "x", n_inputs
    for k, size in enumerate(hidden, start=1):
        populations[f"L{k}"] = {"size": size, "neuron": list(parts), "transmitter": "mixed"}
        connect(before, f"L{k}", fan_in, targets)
        if "p_x" in ports:  # the gain of each step, 1 until a temporal normalisation is folded into it
            gains[f"gain_L{k}"] = {"size": 1, "kind": "current", "rows": 1.0}
            projections[f"gain_L{k}_L{k}"] = {
                "pre": f"gain_L{k}", "post": f"L{k}", "port": "p_x", "connect": "all", "weight": 1.0,
            }  # fmt: skip
        if recurrent:
            connect(f"L{k}", f"L{k}", size, targets, "1 ms")
        before, fan_in = f"L{k}", size
    populations["out"] = {"size": n_classes, "neuron": "readout", "transmitter": "mixed"}
    connect(before, "out", fan_in, ["x"])
    return Circuit(
        name="feedforward",
        description=f"Feed-forward classifier of {' + '.join(parts)} neurons, signed weights.",
        sources=("Ours: a plain test bed for comparing neuron models.",),
        dt="1 ms",
        duration=f"{steps} ms",
        neurons={**parts, "readout": piece("readout", tau=tau_readout)},
        populations=populations,
        inputs={"x": {"size": n_inputs, "kind": "spikes" if spikes else "current", "transmitter": "mixed"}, **gains},
        projections=projections,
        readout="out",
    )
