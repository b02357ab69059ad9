"""Small changes of a job, to ask how much of its activity survives them: coarser weights, jittered delays, another drive, noisier synapses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .job import Job
from .realise import Edges, stream

Change = Callable[[str, Edges], Edges]


def coarse_weights(job: Job, bits: int) -> Job:
    """Every magnitude rounded to one of ``2**bits`` levels from 0 to the largest of its projection."""

    def rounded(name: str, edges: Edges) -> Edges:
        step = np.abs(edges.values).max(initial=0) / (2**bits - 1)
        return replace(edges, values=np.rint(edges.values / step) * step) if step > 0 else edges

    return _with_edges(job, rounded)


def noisy_weights(job: Job, relative: float, seed: int) -> Job:
    """Every magnitude times ``1 + relative * normal``, and never on the other side of zero."""

    def disturbed(name: str, edges: Edges) -> Edges:
        values = edges.weight if edges.index is None else edges.values
        gain = 1 + relative * stream(seed, "perturb", "weight", name).standard_normal(values.size)
        return replace(edges, values=values * np.maximum(gain, 0))

    return _with_edges(job, disturbed)


def jittered_delays(job: Job, sd_ms: float, seed: int) -> Job:
    """Every delay of at least one step moved by a rounded normal number of steps, to no less than one step."""

    def moved(name: str, edges: Edges) -> Edges:
        delay = np.broadcast_to(edges.delay, edges.pre.shape)
        by = stream(seed, "perturb", "delay", name).normal(0, sd_ms / job.program.dt, delay.size)
        return replace(edges, delay=np.where(delay > 0, np.maximum(delay + np.rint(by), 1), 0).astype(np.int32))

    return _with_edges(job, moved)


def redrawn_spikes(job: Job, share: float, seed: int) -> Job:
    """A share of the steps of every spiking input channel replaced by random other steps of the same channel.

    The drive keeps its rate on average and loses that share of its timing; inputs of numbers stay as they are.
    """
    drive = dict(job.drive)
    for source in job.program.inputs:
        if source.sends == "values":
            continue
        random, rows = stream(seed, "perturb", "drive", source.name), np.asarray(job.drive[source.name])
        moved = np.argsort(random.random(rows.shape), axis=1)
        order = np.where(random.random(rows.shape) < share, moved, np.arange(rows.shape[1])[None, :, None])
        drive[source.name] = np.take_along_axis(rows, order, axis=1)
    return replace(job, drive=drive)


def lost_spikes(job: Job, source: str, share: float, seed: int) -> Job:
    """A share of an input's spikes lost at random, and its weights as much larger: synapses of the same mean drive and more noise.

    The variance of what they give grows by ``1 / (1 - share)``. A channel that fails fails at all its synapses.
    """
    rows = np.asarray(job.drive[source])
    kept = stream(seed, "perturb", "lost", source).random(rows.shape) >= share
    own = {p.name for p in job.program.pathways if p.pre == source}

    def larger(name: str, edges: Edges) -> Edges:
        return replace(edges, values=edges.values / (1 - share)) if name in own else edges

    return replace(_with_edges(job, larger), drive={**job.drive, source: rows * kept})


def _with_edges(job: Job, change: Change) -> Job:
    return replace(job, edges={name: change(name, edges) for name, edges in job.edges.items()})
