"""The reference interpreter: a plain loop over trials, steps and stages in float64, simple enough to be read as the definition.

It shares no code path with the other engines beyond the program itself, so it serves as the third opinion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..expression import Statement, compile_tree
from ..job import DISTANCE, SPIKES, Events, Job, Traces, initial_states, numerical_error
from ..lower import NUMPY, effective_weight
from ..probes import split, take
from ..program import Pathway, PopulationStep, ReductionStep
from .to_numpy_rule import PlasticEdges

Env = dict[str, Any]
Compiled = tuple[str, Callable[[Env], Any]]


class Sent(NamedTuple):
    """What a source emitted in one step, (neuron,), and which of its cells emitted something."""

    row: np.ndarray
    cells: np.ndarray


Emitted = dict[str, dict[int, Sent]]
"""Source -> step -> what was sent; kept as long as its longest delay."""


def run(job: Job, progress: Callable[[int], object] = lambda n: None) -> Traces:
    """Execute a job.

    Parameters
    ----------
    job : Job
    progress : callable(n)
        Called with the number of steps done since the last call.

    Raises
    ------
    NumericalError
        A state became NaN or infinite.
    """
    populations = {p.name: _Population(p) for p in job.program.populations}
    pathways = [_Pathway(p, job) for p in job.program.pathways]
    recorder = _Recorder(job)
    with np.errstate(all="ignore"):
        for trial in range(job.n_trials):
            _run_trial(job, trial, populations, pathways, recorder)
            progress(job.n_steps)
    return recorder.traces()


def _run_trial(
    job: Job, trial: int, populations: dict[str, _Population], pathways: list[_Pathway], recorder: _Recorder
) -> None:
    program = job.program
    env = {p.name: _fresh_environment(job, p) for p in program.populations}
    emitted: Emitted = {name: {} for name in (*env, *job.drive)}
    plastic = [p.plastic for p in pathways if p.plastic]
    for edges in plastic:
        edges.begin()
    longest = {name: max((p.longest for p in pathways if p.pathway.pre == name), default=0) for name in emitted}
    for k in range(job.n_steps):
        for name, rows in job.drive.items():
            emitted[name][k] = Sent(rows[trial, k], np.flatnonzero(rows[trial, k]))
        for edges in plastic:
            edges.advance(env, k * program.dt)
        for pathway in pathways:
            if pathway.pathway.stage is None:
                pathway.deliver(k, env, emitted)
        for s, stage in enumerate(program.stages):
            for name in stage:
                env[name]["t"] = k * program.dt
                populations[name].update(env[name])
                row = env[name][populations[name].emitted_name]
                emitted[name][k] = Sent(row, np.flatnonzero(row))
            for pathway in pathways:
                if pathway.pathway.stage == s:
                    pathway.deliver(k, env, emitted)
            for name in stage:
                populations[name].reset(env[name])
        for name, population in populations.items():
            population.after_reset(env[name])
        for edges in plastic:
            edges.learn(k, env, {name: emitted[name][k].row for name in job.drive}, env[edges.pathway.post].get(SPIKES))
            recorder.record(trial, k, edges.pathway.name, edges.env)
        for name, population in populations.items():
            recorder.record(trial, k, name, env[name])
            population.empty_ports(env[name])
            _check_finite(job, name, k, env[name])
        for name, sent in emitted.items():
            sent.pop(k - longest[name], None)
    recorder.end(plastic)


def _fresh_environment(job: Job, population: PopulationStep) -> Env:
    env: Env = {**job.constants[population.name], **initial_states(job, population)}
    env.update({port: np.zeros(population.size) for port in population.ports})
    env[SPIKES] = np.zeros(population.size, dtype=bool)
    return env


class _Population:
    """Compiled statements of one population."""

    def __init__(self, step: PopulationStep) -> None:
        self.step = step
        self.first = [_compiled(s) for s in step.arrive]
        self.main = [_compiled(s) for s in step.update] + ([_compiled(step.output)] if step.output else [])
        self.threshold = compile_tree(step.threshold, NUMPY) if step.threshold else None
        self.distance = compile_tree(step.distance, NUMPY) if step.distance else None
        self.on_spike = [_compiled(s) for s in step.reset]
        self.last = [_compiled(s) for s in step.after_reset]
        self.reductions = [(r, compile_tree(r.expression, NUMPY)) for r in step.reductions]
        self.emitted_name = step.output.target if step.output else SPIKES

    def update(self, env: Env) -> None:
        self._execute(self.first, env)
        for reduction, value in self.reductions:
            env[reduction.name] = _reduce(
                reduction, np.broadcast_to(np.asarray(value(env), np.float64), (self.step.size,))
            )
        self._execute(self.main, env)
        if self.threshold and self.distance:
            env[SPIKES] = np.broadcast_to(self.threshold(env), (self.step.size,))
            env[DISTANCE] = self.distance(env)

    def reset(self, env: Env) -> None:
        for name, value in self.on_spike:
            env[name] = np.where(env[SPIKES], value(env), env[name])

    def after_reset(self, env: Env) -> None:
        env["spiked"] = env[SPIKES].astype(np.float64)
        self._execute(self.last, env)

    def empty_ports(self, env: Env) -> None:
        for port in self.step.ports:
            env[port] = np.zeros(self.step.size)

    def _execute(self, block: list[Compiled], env: Env) -> None:
        for name, value in block:
            result = np.asarray(value(env), dtype=np.float64)
            env[name] = result if result.shape == (self.step.size,) else np.broadcast_to(result, (self.step.size,))


def _compiled(statement: Statement) -> Compiled:
    return statement.target, compile_tree(statement.expression, NUMPY)


def _reduce(reduction: ReductionStep, values: np.ndarray) -> float:
    match reduction.op:
        case "sum":
            return float(np.cumsum(values)[-1])  # in index order; numpy's sum pairs terms
        case "mean":
            return float(np.cumsum(values)[-1] / values.size)
        case "max":
            return float(values.max())
    return float(values[values > 0].min(initial=np.inf))


class _Pathway:
    """Edges of one pathway, grouped by delay, the longest first: the order of emission. Within a group by presynaptic cell:
    cell c owns the edges first[c] to first[c + 1]."""

    def __init__(self, pathway: Pathway, job: Job) -> None:
        self.pathway = pathway
        program = job.program
        source = next((p for p in program.populations if p.name == pathway.pre), None)
        n_pre = program.size(pathway.pre)
        self.output = source.output.target if source and source.output else ""
        edges = job.edges[pathway.name]
        self.plastic = PlasticEdges(pathway, pathway.rule, job) if pathway.rule else None
        delay = np.broadcast_to(edges.delay, edges.pre.shape)
        self.longest = edges.max_delay
        # Of plastic edges, what their magnitudes are multiplied with.
        given = replace(edges, values=np.ones(1), index=None) if pathway.rule else edges
        weights = [
            np.broadcast_to(effective_weight(given, d, job.constants[pathway.post]), edges.pre.shape)
            for d in pathway.deliveries
        ]
        order = np.argsort(edges.pre, kind="stable")
        self.groups = []
        for d in np.unique(delay)[::-1]:
            chosen = order[delay[order] == d]
            first = np.searchsorted(edges.pre[chosen], np.arange(n_pre + 1))
            self.groups.append(
                (int(d), first, chosen, edges.pre[chosen], edges.post[chosen], [w[chosen] for w in weights])
            )
        self.factors = [compile_tree(d.factor, NUMPY) if d.factor else None for d in pathway.deliveries]

    def deliver(self, k: int, env: dict[str, Env], emitted: Emitted) -> None:
        spiking = self.pathway.emits == "spikes"
        for delay, first, edges, pre, post, weights in self.groups:
            sent = emitted[self.pathway.pre].get(k - delay)
            if sent is None or (spiking and not sent.cells.size):
                continue
            if spiking:
                chosen = np.concatenate([np.arange(first[c], first[c + 1]) for c in sent.cells])
                edges, pre, post, weights = edges[chosen], pre[chosen], post[chosen], [w[chosen] for w in weights]
            if self.plastic:
                self.plastic.arrived[edges] = True
                weights = [self.plastic.weight[edges] * scale for scale in weights]
            for delivery, factor, weight in zip(self.pathway.deliveries, self.factors, weights, strict=True):
                gain = weight if factor is None else weight * factor(self._edge_values(env, sent.row, edges, pre, post))
                np.add.at(env[self.pathway.post][delivery.port], post, gain)

    def _edge_values(
        self, env: dict[str, Env], row: np.ndarray, edges: np.ndarray, pre: np.ndarray, post: np.ndarray
    ) -> Env:
        """Names of a factor, one value per edge: the source's, its emitted value, the target's with _post, the edge's own."""
        values: Env = {"value": row[pre]}
        for name, value in env.get(self.pathway.pre, {}).items():
            values[name] = value[pre] if np.size(value) > 1 else value
        for name, value in env[self.pathway.post].items():
            values[f"{name}_post"] = value[post] if np.size(value) > 1 else value
        if self.pathway.emits == "values" and self.pathway.pre in env:
            values[self.output] = row[pre]
        if self.plastic:
            own = (*self.plastic.rule.states, *self.plastic.rule.parameters)
            found = {name: self.plastic.env[name] for name in own}
            values |= {name: value[edges] if value.size > 1 else value for name, value in found.items()}
        return values


class _Recorder:
    def __init__(self, job: Job) -> None:
        self.job = job
        shape = (job.n_trials, job.n_steps)
        sizes = {p.name: p.size for p in job.program.populations}
        sizes |= {name: job.edges[name].pre.size for name in job.rules}
        self.final: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in job.rules}
        self.values = {
            pop: {
                name: np.empty((*shape, *take(np.zeros(sizes[pop]), name, self._cells(pop, name)).shape))
                for name in names
                if name != SPIKES
            }
            for pop, names in job.probes.items()
        }
        self.spikes: dict[str, list[tuple[int, int, np.ndarray]]] = {
            p: [] for p, n in job.probes.items() if SPIKES in n
        }

    def _cells(self, population: str, name: str) -> np.ndarray | None:
        return self.job.cells.get(population, {}).get(name)

    def record(self, trial: int, k: int, population: str, env: Env) -> None:
        for name, rows in self.values.get(population, {}).items():
            rows[trial, k] = take(env[split(name)[1]], name, self._cells(population, name))
        if population in self.spikes and env[SPIKES].any():
            self.spikes[population].append((trial, k, np.flatnonzero(env[SPIKES])))

    def end(self, plastic: list[PlasticEdges]) -> None:
        """A trial is over."""
        for edges in plastic:
            self.final[edges.pathway.name].append(edges.final())

    def traces(self) -> Traces:
        spikes = {}
        for name, found in self.spikes.items():
            counts = [neurons.size for _, _, neurons in found]
            spikes[name] = Events(
                np.repeat(np.array([t for t, _, _ in found], dtype=np.int32), counts),
                np.repeat(np.array([k for _, k, _ in found], dtype=np.int32), counts),
                np.concatenate([n for _, _, n in found]).astype(np.int32) if found else np.zeros(0, np.int32),
            )
        final = {
            name: {key: np.stack([trial[key] for trial in trials]) for key in trials[0]}
            for name, trials in self.final.items()
        }
        return Traces(spikes, self.values, final)


def _check_finite(job: Job, name: str, k: int, env: Env) -> None:
    population = job.program.population(name)
    for variable in population.finite:
        values = np.broadcast_to(env[variable], (population.size,))
        if not np.isfinite(values).all():
            neuron = int(np.flatnonzero(~np.isfinite(values))[0])
            raise numerical_error(job.program, name, variable, neuron, k, float(values[neuron]))
