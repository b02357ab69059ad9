"""A circuit of ``random_circuits`` as a plain Brian2 script: its equations, integrators, refractoriness and default schedule.

Nothing of the lowering is used: only what was drawn (edges, parameters, initial values, input spikes) is taken over. On
Brian2's default schedule a spike is seen one update after its delivery, so a delay d becomes Brian2's d - dt; pulses are
cleared right after the state update.
"""

from __future__ import annotations

from typing import Any

import brian2 as b2
import numpy as np

from cortexsnn.realise import Realisation
from random_circuits import Case

UNITS = {"1": 1, "ms": b2.ms, "mV": b2.mV, "pA": b2.pA, "nS": b2.nS}
DIMENSIONS = {"1": "1", "volt": "mV", "amp": "pA", "siemens": "nS"}
"""Dimensions of the grammar and the unit that drawn numbers come in."""

Spikes = dict[str, tuple[np.ndarray, np.ndarray]]


def simulate(case: Case, drawn: Realisation) -> Spikes:
    """Population -> (steps, neurons), sorted by step, then neuron."""
    dt = float(case.mapping["dt"].split()[0])
    b2.start_scope()
    before = b2.defaultclock.dt, b2.prefs.codegen.target
    b2.defaultclock.dt, b2.prefs.codegen.target = dt * b2.ms, "numpy"
    try:
        groups = {name: _group(case, name, drawn) for name in case.mapping["populations"]}
        sources = {**groups, **{name: _input(case, name, drawn, dt) for name in case.mapping["inputs"]}}
        synapses = [_synapses(case, name, drawn, sources, dt) for name in case.mapping["projections"]]
        monitors = {name: b2.SpikeMonitor(group) for name, group in groups.items()}
        network = b2.Network(*sources.values(), *(s for s in synapses if s), *monitors.values())
        network.run(case.n_steps * dt * b2.ms)
        return {name: _sorted(monitor, dt) for name, monitor in monitors.items()}
    finally:
        b2.defaultclock.dt, b2.prefs.codegen.target = before


def _neuron(case: Case, population: str) -> dict[str, Any]:
    found: dict[str, Any] = case.mapping["neurons"][case.mapping["populations"][population]["neuron"]]
    return found


def _group(case: Case, name: str, drawn: Realisation) -> Any:
    neuron = _neuron(case, name)
    pulses = {n: p for n, p in neuron["ports"].items() if p["kind"] == "pulse"}
    equations = neuron["equations"]
    refractory: Any = neuron.get("refractory", False)
    if refractory is False:
        equations = equations.replace(" (unless refractory)", "")  # without a period the flag means nothing
    elif refractory not in neuron["parameters"]:
        refractory = float(refractory.split()[0]) * b2.ms
    lines = [equations, *(f"{n} : {p['unit']}" for n, p in pulses.items())]
    lines += [f"{n} : {_dimension(case, name, n)} (constant)" for n in neuron["parameters"]]
    n = drawn.initial[name][next(iter(drawn.initial[name]))].size
    group = b2.NeuronGroup(
        n,
        "\n".join(lines),
        threshold=neuron["threshold"],
        reset=neuron["reset"],
        refractory=refractory,
        method=neuron["method"],
    )
    for key, values in {**drawn.parameters[name], **drawn.initial[name]}.items():
        setattr(group, key, values * UNITS[_unit(_dimension(case, name, key))])
    if pulses:
        group.run_regularly(
            "\n".join(f"{p} = 0*{_unit(q['unit'])}".replace("*1", "") for p, q in pulses.items()), when="after_groups"
        )
    return group


def _dimension(case: Case, population: str, name: str) -> str:
    """Dimension of a parameter or state, from how the circuit writes it."""
    neuron = _neuron(case, population)
    for line in neuron["equations"].splitlines():
        if line.startswith(f"d{name}/dt"):
            return str(line.rsplit(":", 1)[1].split("(")[0].strip())
    written = neuron["parameters"][name]
    if isinstance(written, dict):
        written = f"0 {written['unit']}" if "unit" in written else written["low"]
    unit = str(written).split()[1] if " " in str(written) else "1"
    return "second" if unit == "ms" else next(d for d, u in DIMENSIONS.items() if u == unit)


def _unit(dimension: str) -> str:
    return "ms" if dimension == "second" else DIMENSIONS[dimension]


def _input(case: Case, name: str, drawn: Realisation, dt: float) -> Any:
    rows = case.inputs[name][:, 0] if name in case.inputs else drawn.poisson(name, 0, case.n_steps)
    steps, channels = np.nonzero(rows)
    return b2.SpikeGeneratorGroup(rows.shape[1], channels, steps * dt * b2.ms)


def _synapses(case: Case, name: str, drawn: Realisation, sources: dict[str, Any], dt: float) -> Any:
    entry, edges = case.mapping["projections"][name], drawn.edges[name]
    if edges.pre.size == 0:
        return None
    pre, post = (entry[end].split("[")[0] for end in ("pre", "post"))
    port = _neuron(case, post)["ports"][entry["port"]]
    source = {**case.mapping["populations"], **case.mapping["inputs"]}[pre]
    sign = "-" if source["transmitter"] == "inhibitory" and "receptor" not in port else "+"
    made = b2.Synapses(sources[pre], sources[post], f"w : {port['unit']}", on_pre=f"{entry['port']}_post {sign}= w")
    made.connect(i=edges.pre, j=edges.post)
    made.w = edges.weight * UNITS[_unit(port["unit"])]
    made.delay = (np.broadcast_to(edges.delay, edges.pre.shape) - 1) * dt * b2.ms
    return made


def _sorted(monitor: Any, dt: float) -> tuple[np.ndarray, np.ndarray]:
    steps = np.rint(np.asarray(monitor.t / b2.ms) / dt).astype(int)
    neurons = np.asarray(monitor.i)
    order = np.lexsort((neurons, steps))
    return steps[order], neurons[order]
