"""Jobs on the torch engine: without gradients, some steps at a time, so that memory holds what is asked for and little else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..drive import rows
from ..job import SPIKES, Events, Job, Traces
from ..probes import narrowed, widened
from ..realise import Realisation
from ..training import Training
from .to_torch import Network

SEGMENT = 2**24
"""Numbers, of all rows of sources, trials and cells, that are computed at a time."""


def run(job: Job, dtype: str = "float64") -> Traces:
    """Execute a job without gradients: exact in float64.

    Raises
    ------
    NumericalError
        A state became NaN or infinite.
    """
    realisation = Realisation(
        0, {p: dict(c) for p, c in job.constants.items()}, job.initial, job.edges, {}, frozenset(), job.rules
    )
    network = Network(job.program, realisation, Training((), {}, (), {}, None), getattr(torch, dtype))
    wide = widened(job)
    emitted = {p.name: network.emitted_name(p.name) for p in job.program.populations}
    network.probes = {p: tuple(n for n in names if n != emitted.get(p)) for p, names in wide.probes.items()}
    width = sum(p.size * (1 + len(wide.probes.get(p.name, ()))) for p in job.program.populations)
    width += sum(d.size for d in job.program.inputs)
    width += sum(job.edges[p].pre.size * len(wide.probes.get(p, ())) for p in job.rules)
    length = max(1, SEGMENT // max(1, width * job.n_trials))
    parts, state = [], None
    with torch.no_grad():
        for first in range(0, job.n_steps, length):
            last = min(first + length, job.n_steps)
            drive = {name: torch.tensor(rows(d, first, last).transpose(1, 0, 2)) for name, d in job.drive.items()}
            outputs, state = network(drive, state, None if drive else last - first, job.n_trials)
            parts.append(narrowed(job, _traces(wide, outputs, first)))
    traces = _joined(parts)
    if state is not None:
        traces.final = {
            p: {n: v.numpy().astype(np.float64) for n, v in found.items()} for p, found in state.edges.items()
        }
    return traces


def _traces(job: Job, outputs: dict[str, dict[str, torch.Tensor]], first: int) -> Traces:
    traces = Traces()
    for name, wanted in job.probes.items():
        found = {k: v.numpy().transpose(1, 0, 2) for k, v in outputs[name].items()}
        if SPIKES in wanted:
            events = Events.from_dense(found[SPIKES] > 0)
            traces.spikes[name] = Events(events.trial, events.step + np.int32(first), events.neuron)
        traces.values[name] = {k: np.ascontiguousarray(found[k], dtype=np.float64) for k in wanted if k != SPIKES}
    return traces


def _joined(parts: Sequence[Traces]) -> Traces:
    """Parts of a run, one after the other."""
    if len(parts) == 1:
        return parts[0]
    found = Traces()
    for name in parts[0].spikes:
        trial, step, neuron = (np.concatenate(c) for c in zip(*(_columns(p.spikes[name]) for p in parts), strict=True))
        order = np.argsort(trial, kind="stable")
        found.spikes[name] = Events(trial[order], step[order], neuron[order])
    for name, values in parts[0].values.items():
        found.values[name] = {k: np.concatenate([p.values[name][k] for p in parts], axis=1) for k in values}
    return found


def _columns(events: Events) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return events.trial, events.step, events.neuron
