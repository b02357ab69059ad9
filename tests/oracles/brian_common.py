"""What the hand-written Brian2 networks share: numbers from a circuit file, wiring, drives, spike lists.

Nothing here imports the package under test: the numbers of a YAML file are read with Brian2's own units, and
the networks are put together from Brian2's own objects on its default schedule.

**Delays.** A spike of step k with delay d must reach the target's update of step k + d/dt. On Brian2's
default schedule (start, groups, thresholds, synapses, resets, end) a spike of step k with Brian2 delay D is
delivered in the slot ``synapses`` of step k + D/dt, after the state update of that step, so the first update
that sees it is that of step k + D/dt + 1. Hence D = d - dt, and d >= dt is required. ``SpikeGeneratorGroup``
emits in the slot ``thresholds`` of its step, exactly as a neuron does, so inputs follow the same rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import brian2 as b2
import numpy as np
from numpy.typing import NDArray
from ruamel.yaml import YAML

CIRCUITS = Path(__file__).resolve().parents[2] / "circuits"

Edges = Mapping[str, tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]]
"""Projection -> pre, post, weight (program units), delay (ms)."""
Drive = Mapping[str, NDArray[Any]]
"""Input -> bool, (step, channel): an entry in row k is a spike emitted in step k."""
PerNeuron = Mapping[str, Mapping[str, NDArray[Any]]]
"""Population -> variable or parameter -> array, program units."""
Spikes = dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]
"""Population -> (steps, neurons), sorted by step, then neuron."""

_QUANTITY = re.compile(r"([+-]?[\d.]+(?:[eE][+-]?\d+)?)\s*(?:(\w+)(?:/(\w+))?)?")


def read_circuit(name: str) -> dict[str, Any]:
    """The plain content of ``circuits/<name>.yaml``."""
    content: dict[str, Any] = YAML(typ="safe").load((CIRCUITS / f"{name}.yaml").read_text(encoding="utf-8"))
    return content


def quantity(text: str | float) -> Any:
    """``"20 ms"`` or ``"8 mV/ms"`` as a Brian2 quantity, a bare number as a float."""
    found = _QUANTITY.fullmatch(str(text))
    if found is None:
        raise ValueError(f"no quantity: {text!r}")
    number, over, under = found.groups()
    return float(number) * (getattr(b2, over) if over else 1) / (getattr(b2, under) if under else 1)


def _written(circuit: Mapping[str, Any], population: str) -> dict[str, Any]:
    chosen = circuit["populations"][population]
    return {**circuit["neurons"][chosen["neuron"]]["parameters"], **chosen.get("parameters", {})}


def constants(circuit: Mapping[str, Any], population: str) -> dict[str, Any]:
    """Parameters that are the same for all neurons of a population, as Brian2 quantities."""
    return {k: quantity(v) for k, v in _written(circuit, population).items() if not isinstance(v, dict)}


def drawn(circuit: Mapping[str, Any], population: str, parameters: PerNeuron) -> dict[str, NDArray[Any]]:
    """Parameters that the circuit draws per neuron, taken from ``parameters``; others there are ignored."""
    written = _written(circuit, population)
    return {key: parameters[population][key] for key, value in written.items() if isinstance(value, dict)}


def fill(group: Any, values: Mapping[str, NDArray[Any]], units: Mapping[str, Any]) -> None:
    """Set variables of a group from arrays in program units; ``units`` names all that may be set."""
    for name, array in values.items():
        setattr(group, name, np.asarray(array, dtype=float) * units[name])


@contextmanager
def brian_settings(dt: Any, target: str) -> Iterator[None]:
    """Set Brian2's clock and code generation target, and put both back afterwards."""
    if type(b2.get_device()).__name__ != "RuntimeDevice":
        raise RuntimeError("these networks run on Brian2's runtime device; call set_device('runtime') first")
    before = b2.defaultclock.dt, b2.prefs.codegen.target
    b2.defaultclock.dt, b2.prefs.codegen.target = dt, target
    try:
        yield
    finally:
        b2.defaultclock.dt, b2.prefs.codegen.target = before


def run(
    circuit: Mapping[str, Any],
    groups: Mapping[str, Any],
    edges: Edges,
    drive: Drive,
    on_pre: Mapping[str, str],
    weight: tuple[str, Any],
    duration_ms: float,
) -> Spikes:
    """Wire the groups, drive them and run.

    Parameters
    ----------
    circuit : content of the YAML file; only dt and the ends of the projections are read
    groups : population -> NeuronGroup
    edges, drive : see the types above
    on_pre : projection -> statement executed per spike; the weight is called ``w_syn``
    weight : dimension of the weights in Brian2's words, and the unit they are given in
    duration_ms : float, ms
    """
    dt = quantity(circuit["dt"])
    sources = dict(groups)
    for name, rows in drive.items():
        steps, channels = np.nonzero(np.asarray(rows))
        sources[name] = b2.SpikeGeneratorGroup(rows.shape[1], channels, steps * dt)
    synapses = []
    for name, columns in edges.items():
        ends = circuit["projections"][name]
        pre, post, weights, delays = np.broadcast_arrays(*columns)
        steps = np.round(delays / float(dt / b2.ms))
        if steps.size and steps.min() < 1:
            raise ValueError(f"{name}: a delay of {delays.min()} ms is shorter than the step of {dt}")
        model = f"w_syn : {weight[0]}"
        made = b2.Synapses(sources[ends["pre"]], groups[ends["post"]], model=model, on_pre=on_pre[name])
        made.connect(i=pre.astype(int), j=post.astype(int))
        made.w_syn = weights * weight[1]
        made.delay = (steps - 1) * dt
        synapses.append(made)
    monitors = {name: b2.SpikeMonitor(group) for name, group in groups.items()}
    b2.Network(*sources.values(), *synapses, *monitors.values()).run(duration_ms * b2.ms)
    return {name: _sorted(monitor, dt) for name, monitor in monitors.items()}


def _sorted(monitor: Any, dt: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    steps = np.round(np.asarray(monitor.t / dt)).astype(np.int64)
    neurons = np.asarray(monitor.i, dtype=np.int64)
    order = np.lexsort((neurons, steps))
    return steps[order], neurons[order]
