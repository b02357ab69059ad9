"""What a circuit has learned in a run, as a circuit; and the same edges under other rules."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from .bridge import pinned
from .errors import InputError
from .realise import realise
from .spec import Circuit, to_plain
from .units import TIME, expect
from .validate import validate


def learned(circuit: Circuit, recording: xr.DataTree, trial: int = 0) -> Circuit:
    """The circuit with the weights that its plastic projections had at the end of a run, their edges pinned as explicit lists.

    A further run goes on from these weights; traces and cells start anew.

    Parameters
    ----------
    circuit : Circuit
        The circuit that ran.
    recording : xarray.DataTree
        What ``simulate`` returned.
    trial : int

    Raises
    ------
    InputError
        The recording is of another circuit or on another dt, there is no such trial, or nothing is plastic.
    """
    if not isinstance(recording, xr.DataTree) or "circuit_hash" not in recording.attrs:
        raise InputError(f"recording: expected what simulate returns, got {type(recording).__name__}")
    plastic = [name for name, p in validate(circuit).projections.items() if p.plasticity is not None]
    if not plastic:
        raise InputError("the circuit has no plastic projection, so a run teaches it nothing")
    if recording.attrs["circuit_hash"] != circuit.hash:
        raise InputError("the recording is of another circuit; pass the one that ran")
    dt = expect(circuit.dt, TIME)
    if recording.attrs["dt_ms"] != dt:
        raise InputError(f"the recording is on a dt of {recording.attrs['dt_ms']:g} ms, the circuit's own is {dt:g} ms")
    n_trials = int(recording.attrs["n_trials"])
    if isinstance(trial, bool) or not isinstance(trial, int) or not 0 <= trial < n_trials:
        raise InputError(f"trial: expected an integer between 0 and {n_trials - 1}, got {trial!r:.60}")
    drawn = realise(circuit, int(recording.attrs["seed"]))
    plain: dict[str, Any] = to_plain(circuit)
    for name in plastic:
        weight = np.asarray(recording[name].to_dataset()["final_w"])[trial]
        edges = replace(drawn.edges[name], values=weight)
        plain["projections"][name] |= pinned(circuit, name, edges, dt)
    return validate(Circuit(**plain))


def with_rules(circuit: Circuit, other: Circuit | None = None) -> Circuit:
    """The circuit with the plasticity that the projections of another have, or have not: the same edges awake and asleep.

    Parameters
    ----------
    circuit : Circuit
        Gives everything else, its weights among it.
    other : Circuit, optional
        With projections of the same names; without it, no projection keeps a rule.

    Raises
    ------
    InputError
        The names differ.
    SpecError
        A rule does not fit the circuit, for instance a state that its cells do not have.
    """
    plain: dict[str, Any] = to_plain(validate(circuit))
    names = plain.get("projections", {})
    rules = {name: {} for name in names} if other is None else to_plain(validate(other)).get("projections", {})
    if set(names) != set(rules):
        differing = ", ".join(f"'{n}'" for n in sorted(set(names) ^ set(rules)))
        raise InputError(f"the circuits have different projections ({differing}); rules go by their names")
    for name, projection in names.items():
        projection.pop("plasticity", None)
        if "plasticity" in rules[name]:
            projection["plasticity"] = rules[name]["plasticity"]
    return validate(Circuit(**plain))
