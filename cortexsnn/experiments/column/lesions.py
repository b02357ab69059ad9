"""Lesions of a column, trained or not: a class of interneurons, the apical plateau, what comes from above, short-term plasticity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...circuits.predictive_column import TERMINALS
from ...run import simulate
from ...spec import Circuit, to_plain
from ...train.frame_spikes import Spikes
from ...validate import validate
from ...wiring import endpoint_name
from .networks import PYRAMIDAL, cells, class_of

SHORT_TERM = "short-term plasticity"
UPPER = "c2_L5E"
"""Of a hierarchy: what the lower column hears from the upper one."""


def lesioned(circuit: Circuit, what: str, released: Mapping[str, float] | None = None) -> Circuit:
    """The circuit without a part; the same program, so that nothing is compiled again, and weights of 0 stay 0 in training.

    Parameters
    ----------
    circuit : Circuit
        A column.
    what : {"PV", "SOM", "VIP", "plateau", "command", "apical feedback", "upper column", "short-term plasticity"}
        Interneurons go on to fire but reach nobody; without the plateau the calcium-like gate has no conductance; the command reaches nobody, or no
        apical compartment; the upper column of a hierarchy does not reach the lower one; terminals release the same share of every weight at
        every spike.
    released : mapping, optional
        Terminals -> that share (see :func:`mean_release`); unless given, what a rested terminal releases.
    """
    if what == "plateau":
        return circuit.with_parameters({f"neurons.{layer}.parameters.G_P": "0 nS" for layer in PYRAMIDAL})
    if what == SHORT_TERM:
        kinds = [f"terminal_{kind}" for kind in TERMINALS if f"terminal_{kind}" in circuit.neurons]
        at_once = {"tau_recovery": "0.001 ms", "tau_facilitation": "0.001 ms"}
        changes: dict[str, Any] = {
            f"neurons.{k}.parameters.{name}": value for k in kinds for name, value in at_once.items()
        }
        return circuit.with_parameters(
            changes | {f"populations.{name}.parameters.U": share for name, share in (released or {}).items()}
        )
    plain: dict[str, Any] = to_plain(circuit)
    for name, projection in circuit.projections.items():
        pre, post = endpoint_name(projection.pre), endpoint_name(projection.post)
        if _is_cut(circuit, what, pre, post):
            plain["projections"][name]["weight"] = "0 nS" if post in cells(circuit) else 0.0  # onto terminals a number
    return validate(Circuit(**plain))


def _is_cut(circuit: Circuit, what: str, pre: str, post: str) -> bool:
    if what == "upper column":
        return pre == UPPER and not post.startswith("c2_")
    if what == "apical feedback":
        return pre == "command" and post.endswith(PYRAMIDAL)
    return pre == "command" if what == "command" else pre in cells(circuit) and class_of(pre) == what


def mean_release(circuit: Circuit, inputs: Spikes, engine: str, seed: int) -> dict[str, float]:
    """Share of a weight that terminals release at a spike, the mean over their spikes: terminals -> share. Those that never fire are left out."""
    terminals = [
        name for name, p in circuit.populations.items() if {f"terminal_{k}" for k in TERMINALS} & set(p.pieces)
    ]
    recording = simulate(circuit, inputs, engine=engine, seed=seed, probes={t: ["spikes", "u", "x"] for t in terminals})
    found = {}
    for name in terminals:
        node = recording[name].to_dataset()
        fired = node["spikes"].values.astype(bool)
        u, x = (
            node["u"].values[fired],
            node["x"].values[fired],
        )  # after the spike: u is what was released of x before it
        if u.size:
            found[name] = float((u * x / (1 - u)).mean())
    return found
