"""Lesions of a column, trained or not: a class of interneurons, the apical plateau, the command, short-term plasticity."""

from __future__ import annotations

from typing import Any

from ...circuits.predictive_column import TERMINALS
from ...spec import Circuit, to_plain
from ...validate import validate
from ...wiring import endpoint_name
from .networks import PYRAMIDAL, cells, class_of


def lesioned(circuit: Circuit, what: str) -> Circuit:
    """The circuit without a part; the same program, so that nothing is compiled again, and weights of 0 stay 0 in training.

    Parameters
    ----------
    circuit : Circuit
        A column.
    what : {"PV", "SOM", "VIP", "plateau", "command", "short-term plasticity"}
        Interneurons go on to fire but reach nobody; without the plateau the calcium-like gate has no conductance; the command reaches nobody;
        terminals release the same share of every weight as when rested.
    """
    if what == "plateau":
        return circuit.with_parameters({f"neurons.{layer}.parameters.G_P": "0 nS" for layer in PYRAMIDAL})
    if what == "short-term plasticity":
        at_once = {"tau_recovery": "0.001 ms", "tau_facilitation": "0.001 ms"}
        return circuit.with_parameters(
            {
                f"neurons.terminal_{kind}.parameters.{name}": value
                for kind in TERMINALS if f"terminal_{kind}" in circuit.neurons
                for name, value in at_once.items()
            }
        )  # fmt: skip
    sources = {"command"} if what == "command" else {n for n in cells(circuit) if class_of(n) == what}
    plain: dict[str, Any] = to_plain(circuit)
    for name, projection in circuit.projections.items():
        if endpoint_name(projection.pre) in sources:
            onto_terminals = endpoint_name(projection.post) not in cells(circuit)
            plain["projections"][name]["weight"] = 0.0 if onto_terminals else "0 nS"
    return validate(Circuit(**plain))
