"""Jobs to Brian2 networks that execute the StepProgram's statements, each phase in a slot of its own.

Brian2 sees plain code and variables in coherent units, no differential equations: it runs our step and not a second derivation
of it. Trials follow each other in one run, with a gap as long as the longest delay in which nothing spikes, so that queues are
empty when the next trial starts from the initial state. Several disjoint jobs can share one network, and so one compilation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..job import SPIKES, Events, Job, Traces, numerical_error
from ..lower import effective_weight
from ..program import Pathway
from .to_brian2_functions import functions
from .to_brian2_names import LOCAL_STEP, local, translate
from .to_brian2_population import EVERY, PopulationNetwork
from .to_brian2_session import session

_STAGE_SLOTS = ("arrive", "clear", "reduce", "reduced", "update", "threshold", "deliver", "reset")


def run(job: Job, target: str = "numpy") -> Traces:
    """Execute one job in Brian2 on ``target`` (numpy, cython, cpp_standalone)."""
    return run_many([job], target)[0]


def run_many(jobs: Sequence[Job], target: str = "numpy") -> list[Traces]:
    """Execute disjoint jobs in one Brian2 network.

    Raises
    ------
    EngineError
        The target is not available, or its program failed.
    NumericalError
        A state became NaN or infinite.
    """
    import brian2 as b2

    with session(target) as execute:
        clock_free = [JobNetwork(job, f"j{k}_") for k, job in enumerate(jobs)]
        network = b2.Network()
        depth = max(len(job.program.stages) for job in jobs)
        network.schedule = schedule(depth)
        for part in clock_free:
            network.add(*part.objects)
        duration = max(part.total_steps * part.job.program.dt for part in clock_free)
        execute(network, duration)
        return [part.traces() for part in clock_free]


def schedule(n_stages: int) -> list[str]:
    """Slots of one step, in order; Brian2's own first slots stay for its inert default objects."""
    stages = [f"stage{s}_{slot}" for s in range(n_stages) for slot in _STAGE_SLOTS]
    return ["start", "groups", "synapses", "trial", "input", "arrivals", *stages, "finish", "record", "shift", "empty"]


class JobNetwork:
    """Brian2 objects of one job."""

    def __init__(self, job: Job, prefix: str) -> None:
        import brian2 as b2

        self.b2, self.job, self.program, self.prefix = b2, job, job.program, prefix
        self.clock = b2.Clock(dt=job.program.dt * b2.ms, name=f"{prefix}clock")
        self.gap = (
            max((job.edges[p.name].max_delay for p in job.program.pathways), default=0) if job.n_trials > 1 else 0
        )
        self.period = job.n_steps + self.gap
        self.total_steps = self.period * job.n_trials
        self.namespace: dict[str, Any] = {**functions(), "local_step": self._local_step()}
        self.stage_of = {name: s for s, stage in enumerate(job.program.stages) for name in stage}
        self.objects: list[Any] = []
        self.groups: dict[str, Any] = {}
        self.spike_monitors: dict[str, Any] = {}
        self.state_monitors: dict[str, Any] = {}
        for name, rows in job.drive.items():
            self._add_input(name, rows)
        for population in job.program.populations:
            PopulationNetwork(self, population).add()
        for pathway in job.program.pathways:
            self._add_pathway(pathway)

    def add(self, *objects: Any) -> None:
        self.objects.extend(objects)

    def _timed(self, rows: np.ndarray, name: str) -> Any:
        return self.b2.TimedArray(rows, dt=self.clock.dt, name=f"{self.prefix}{name}")

    def _local_step(self) -> Any:
        steps = np.where(np.arange(self.period) < self.job.n_steps, np.arange(self.period), -1)
        # One row more: a timed array repeats its last row, and this one must say "outside any trial".
        return self._timed(np.append(np.tile(steps, self.job.n_trials), -1).astype(float), "local_step")

    def _add_input(self, name: str, rows: np.ndarray) -> None:
        padded = np.zeros((self.job.n_trials, self.period, rows.shape[2]))
        padded[:, : self.job.n_steps] = rows
        flat = np.concatenate([padded.reshape(self.total_steps, -1), np.zeros((1, rows.shape[2]))])
        drive = self._timed(flat, f"{name}_drive")
        emits = next(d.kind for d in self.program.inputs if d.name == name)
        late = self.late_events(name)
        group = self.b2.NeuronGroup(
            rows.shape[2],
            "\n".join([f"{local('value')} : 1", *self.registers(name)]),
            threshold=None if emits == "current" else f"{local('value')} > 0 and {LOCAL_STEP} >= 0",
            events={EVERY: f"{LOCAL_STEP} >= 0", **late},
            namespace={**self.namespace, "drive": drive},
            clock=self.clock,
            name=f"{self.prefix}{name}_input",
        )
        reader = group.run_regularly(f"{local('value')} = drive(t, i)", when="input", order=0, clock=self.clock)
        for thresholder in group.thresholder.values():
            thresholder.when, thresholder.order = "input", 1
        self.groups[name] = group
        self.add(group, reader)
        self.add_shift(name, group)

    # -- values that arrive later: a shift register on the source -------------------------------------------------

    def emitted_name(self, source: str) -> str:
        """Variable that a source of values sends."""
        population = next((p for p in self.program.populations if p.name == source), None)
        return population.output.target if population and population.output else "value"

    def _value_delays(self, source: str) -> set[int]:
        """Delays of at least one step with which values of a source arrive somewhere."""
        found = [self.job.edges[p.name].delay for p in self.program.pathways if p.pre == source and p.emits == "values"]
        return {int(d) for delays in found for d in np.unique(delays) if d}

    def _ring(self, source: str) -> int:
        return max(self._value_delays(source), default=0)

    def registers(self, source: str) -> list[str]:
        return [f"{local(self.emitted_name(source), f'h{d}')} : 1" for d in range(1, self._ring(source) + 1)]

    def late_events(self, source: str) -> dict[str, str]:
        return {f"late{d}": f"{LOCAL_STEP} >= {d}" for d in sorted(self._value_delays(source))}

    def add_shift(self, source: str, group: Any) -> None:
        ring, name = self._ring(source), self.emitted_name(source)
        if ring:
            lines = [f"{local(name, f'h{d}')} = {local(name, f'h{d - 1}')}" for d in range(ring, 1, -1)]
            lines.append(f"{local(name, 'h1')} = {local(name)}")
            self.add(group.run_regularly("\n".join(lines), when="shift", clock=self.clock))

    # -- pathways -------------------------------------------------------------------------------------------------

    def _add_pathway(self, pathway: Pathway) -> None:
        """Synapses of a pathway; those that read values from a register, one object per delay, the longest first."""
        edges = self.job.edges[pathway.name]
        if edges.pre.size == 0:
            return
        if pathway.emits == "spikes":
            synapses = self._add_synapses(pathway, slice(None), 0)
            self._set_delay(synapses, pathway, edges.delay)
            return
        delay = np.broadcast_to(edges.delay, edges.pre.shape)
        for steps in np.unique(delay)[::-1]:
            self._add_synapses(pathway, np.flatnonzero(delay == steps), int(steps))

    def _add_synapses(self, pathway: Pathway, chosen: Any, delay: int) -> Any:
        edges = self.job.edges[pathway.name]
        weights = [effective_weight(edges, d, self.job.constants[pathway.post]) for d in pathway.deliveries]
        lines = []
        for k, delivery in enumerate(pathway.deliveries):
            gain = f"w{k}"
            if delivery.factor is not None:
                gain += (
                    f" * ({translate(delivery.factor, self.program.dt, lambda n: self._edge_name(pathway, n, delay))})"
                )
            lines.append(f"{local(delivery.port)}_post += {gain}")
        event = "spike" if pathway.emits == "spikes" else f"late{delay}" if delay else EVERY
        synapses = self.b2.Synapses(
            self.groups[pathway.pre],
            self.groups[pathway.post],
            model="\n".join(f"w{k} : 1" for k in range(len(weights))),
            on_pre={"go": "\n".join(lines)},
            on_event={"go": event},
            namespace=self.namespace,
            clock=self.clock,
            name=f"{self.prefix}{pathway.name}_syn{delay}",
        )
        synapses.connect(i=edges.pre[chosen], j=edges.post[chosen])
        for k, weight in enumerate(weights):
            setattr(synapses, f"w{k}", weight[chosen])
        synapses.go.when = "arrivals" if pathway.stage is None else f"stage{pathway.stage}_deliver"
        synapses.go.order = len(self.objects)  # as declared
        self.add(synapses)
        return synapses

    def _set_delay(self, synapses: Any, pathway: Pathway, delay: np.ndarray) -> None:
        """Spikes of a population wait in the slot of arrivals for the next step: one step of delay is already spent."""
        spent = 1 if pathway.pre in self.stage_of and pathway.stage is None else 0
        steps = delay - spent
        if steps.any():
            times = (steps * self.program.dt) * self.b2.ms
            synapses.go.delay = times if times.size > 1 else times[0]

    def _edge_name(self, pathway: Pathway, name: str, delay: int) -> str:
        """Name seen from an edge: ``x_v_pre``, ``x_v_post``, or the register of a value on its way."""
        post = self.program.population(pathway.post)
        if name.endswith("_post") and name[: -len("_post")] in {*post.states, *post.parameters}:
            return f"{local(name[: -len('_post')])}_post"
        if delay and name == self.emitted_name(pathway.pre):
            return f"{local(name, f'h{delay}')}_pre"
        return f"{local(name)}_pre"

    # -- results --------------------------------------------------------------------------------------------------

    def traces(self) -> Traces:
        self._check_finite()
        spikes = {name: self._events(monitor) for name, monitor in self.spike_monitors.items()}
        values: dict[str, dict[str, np.ndarray]] = {name: {} for name in self.job.probes}
        for name, monitor in self.state_monitors.items():
            for variable in self.job.probes[name]:
                if variable != SPIKES:
                    rows = np.asarray(getattr(monitor, local(variable))).T[: self.total_steps]
                    rows = rows.reshape(self.job.n_trials, self.period, -1)[:, : self.job.n_steps]
                    values[name][variable] = np.ascontiguousarray(rows)
        return Traces(spikes, values)

    def _events(self, monitor: Any) -> Events:
        step = np.rint(np.asarray(monitor.t) / float(self.clock.dt)).astype(np.int64)
        neuron = np.asarray(monitor.i)
        order = np.lexsort((neuron, step))
        step, neuron = step[order], neuron[order]
        return Events(
            (step // self.period).astype(np.int32), (step % self.period).astype(np.int32), neuron.astype(np.int32)
        )

    def _check_finite(self) -> None:
        for population in self.program.populations:
            if population.finite:
                bad = np.asarray(self.groups[population.name].first_bad[:])
                if (bad >= 0).any():
                    code, neuron = min((int(b), n) for n, b in enumerate(bad) if b >= 0)
                    step, variable = divmod(code, len(population.finite))
                    raise numerical_error(
                        self.program, population.name, population.finite[variable], neuron, step, float("nan")
                    )
