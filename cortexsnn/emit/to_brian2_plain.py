"""Numbers and results of a Brian2 network by Brian2's own means: arrays set from Python, timed arrays, monitors.

For the targets that run within Python (numpy, cython), and for CUDA, whose arrays live on the device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..job import SPIKES, Events, Job, Traces, edge_states, numerical_error
from ..lower import effective_weight
from ..program import WEIGHT, Pathway, PopulationStep, RuleStep
from .to_brian2_names import LOCAL_STEP, local
from .to_brian2_numbers import gap, waiting
from .to_brian2_population import EVERY
from .to_brian2_rule import edge_variable, used_constants

if TYPE_CHECKING:
    from .to_brian2_network import JobNetwork


class Plain:
    """A ``Supply`` of Brian2's own arrays."""

    inside = f"{LOCAL_STEP} >= 0"

    def __init__(self, network: JobNetwork) -> None:
        self.network, self.job, self.b2 = network, network.job, network.b2
        self.period = self.job.n_steps + gap(self.job)
        self.total_steps = self.period * self.job.n_trials
        self.spike_monitors: dict[str, Any] = {}
        self.state_monitors: dict[str, Any] = {}
        self.plastic: dict[str, list[tuple[Any, Any]]] = {}
        self.edge_monitors: dict[str, list[tuple[Any, Any]]] = {}

    def _timed(self, rows: np.ndarray, name: str) -> Any:
        return self.b2.TimedArray(rows, dt=self.network.clock.dt, name=f"{self.network.prefix}{name}")

    def local_step(self) -> Any:
        steps = np.where(np.arange(self.period) < self.job.n_steps, np.arange(self.period), -1)
        # One row more: a timed array repeats its last row, and this one must say "outside any trial".
        return self._timed(np.append(np.tile(steps, self.job.n_trials), -1).astype(float), "local_step")

    def add_input(self, name: str) -> None:
        network, rows = self.network, self.job.drive[name]
        rows = np.asarray(rows)
        padded = np.zeros((self.job.n_trials, self.period, rows.shape[2]))
        padded[:, : self.job.n_steps] = rows
        flat = np.concatenate([padded.reshape(self.total_steps, -1), np.zeros((1, rows.shape[2]))])
        drive = self._timed(flat, f"{name}_drive")
        sends_values = next(d.sends for d in self.job.program.inputs if d.name == name) == "values"
        group = self.b2.NeuronGroup(
            rows.shape[2],
            "\n".join([f"{local('value')} : 1", *network.registers(name)]),
            threshold=None if sends_values else f"{local('value')} > 0 and {LOCAL_STEP} >= 0",
            events={EVERY: f"{LOCAL_STEP} >= 0", **network.late_events(name)},
            namespace={**network.namespace, "drive": drive},
            clock=network.clock,
            name=f"{network.prefix}{name}_input",
        )
        reader = group.run_regularly(f"{local('value')} = drive(t, i)", when="input", order=0, clock=network.clock)
        for thresholder in group.thresholder.values():
            thresholder.when, thresholder.order = "input", 1
        network.groups[name] = group
        network.add(group, reader)
        network.add_shift(name, group)

    def give(self, group: Any, name: str, values: np.ndarray, number: str) -> None:
        setattr(group, name, values if values.size > 1 else float(values[0]))

    def state_model(self, population: PopulationStep) -> list[str]:
        if self.job.n_trials == 1:
            return []
        return [f"{local(name, 'init')} : 1 (constant)" for name in population.states]

    def add_states(self, group: Any, population: PopulationStep, initial: dict[str, np.ndarray]) -> None:
        for name, value in initial.items():
            setattr(group, local(name), value)
            if self.job.n_trials > 1:
                setattr(group, local(name, "init"), value)
        ring = [line.split(" :")[0] for line in self.network.registers(population.name)]
        restart = [f"{local(n)} = chosen({LOCAL_STEP} == 0, {local(n, 'init')}, {local(n)})" for n in population.states]
        restart += [f"{n} = chosen({LOCAL_STEP} == 0, 0.0, {n})" for n in ring]
        if self.job.n_trials > 1 and restart:
            self.network.add(group.run_regularly("\n".join(restart), when="trial", clock=self.network.clock))

    def every(self, group: Any) -> None:
        pass  # the condition of the event makes it happen

    def finite_model(self, population: PopulationStep) -> list[str]:
        return ["first_bad : 1"] if population.finite else []

    def finite_code(self, group: Any, population: PopulationStep) -> list[str]:
        """``v - v`` is 0 for every number and NaN for NaN and infinity; the first offence is kept as step * n + variable."""
        checked = population.finite
        if not checked:
            return []
        group.first_bad = -1
        return [
            f"now = {LOCAL_STEP}",
            *(
                f"first_bad = chosen(first_bad < 0 and now >= 0 and not ({local(s)} - {local(s)} == 0), "
                f"now * {len(checked)} + {k}, first_bad)"
                for k, s in enumerate(checked)
            ),
        ]

    def deliver_directly(self, pathway: Pathway) -> bool:
        return False

    def connect(self, synapses: Any, pathway: Pathway, chosen: Any, delay: int) -> None:
        edges = self.job.edges[pathway.name]
        synapses.connect(i=edges.pre[chosen], j=edges.post[chosen])
        if pathway.rule:
            self._give_rule(synapses, pathway, pathway.rule, chosen)
        for k, delivery in enumerate(() if pathway.rule else pathway.deliveries):
            weight = effective_weight(edges, delivery, self.job.constants[pathway.post])
            setattr(synapses, f"w{k}", float(weight[0]) if weight.size == 1 else weight[chosen])
        steps = waiting(self.job, pathway)
        if steps.any():
            times = (steps * self.job.program.dt) * self.b2.ms
            synapses.go.delay = times if times.size > 1 else times[0]

    def _give_rule(self, synapses: Any, pathway: Pathway, rule: RuleStep, chosen: Any) -> None:
        states = edge_states(self.job.edges[pathway.name], rule, self.job.rules[pathway.name])
        for name, values in states.items():
            setattr(synapses, edge_variable(name), values[chosen])
        for name, value in used_constants(self.job, pathway).items():
            setattr(synapses, edge_variable(name), float(value[0]))
        self.plastic.setdefault(pathway.name, []).append((synapses, chosen))
        probed = self.job.probes.get(pathway.name, ())
        if probed:
            monitor = self.b2.StateMonitor(
                synapses, [edge_variable(n) for n in probed], record=True, when="record", clock=self.network.clock,
                name=f"{synapses.name}_states",
            )  # fmt: skip
            self.edge_monitors.setdefault(pathway.name, []).append((monitor, chosen))
            self.network.add(monitor)

    def add_monitors(self, group: Any, population: PopulationStep, probed: tuple[str, ...]) -> None:
        network, name = self.network, population.name
        if SPIKES in probed:
            monitor = self.b2.SpikeMonitor(group, when="record", name=f"{network.prefix}{name}_spikes")
            self.spike_monitors[name] = monitor
            network.add(monitor)
        variables = [local(v) for v in probed if v != SPIKES]
        if variables:
            monitor = self.b2.StateMonitor(
                group,
                variables,
                record=True,
                when="record",
                order=1,
                clock=network.clock,
                name=f"{network.prefix}{name}_states",
            )
            self.state_monitors[name] = monitor
            network.add(monitor)

    # -- results --------------------------------------------------------------------------------------------------

    def traces(self) -> Traces:
        """What the monitors hold.

        Raises
        ------
        NumericalError
            A state became NaN or infinite.
        """
        for population in self.job.program.populations:
            if population.finite:
                bad = self.network.groups[population.name].first_bad[:]
                check_first_bad(self.job, population, np.asarray(bad))
        dt = float(self.network.clock.dt)
        spikes = {
            name: events_of(np.asarray(m.t), np.asarray(m.i), dt, self.period)
            for name, m in self.spike_monitors.items()
        }
        values: dict[str, dict[str, np.ndarray]] = {name: {} for name in self.job.probes}
        for name, monitor in self.state_monitors.items():
            for variable in self.job.probes[name]:
                if variable != SPIKES:
                    rows = np.asarray(getattr(monitor, local(variable))).T
                    values[name][variable] = in_trials(rows, self.job)
        final = {}
        for pathway in self.job.program.pathways:
            if pathway.rule:
                n = self.job.edges[pathway.name].pre.size
                final[pathway.name] = {key: np.empty((1, n)) for key in (WEIGHT, *pathway.rule.states)}
                for synapses, chosen in self.plastic.get(pathway.name, ()):
                    for key, rows in final[pathway.name].items():
                        rows[0, chosen] = np.asarray(getattr(synapses, edge_variable(key)))
                for variable in self.job.probes.get(pathway.name, ()):
                    rows = values[pathway.name][variable] = np.empty((1, self.job.n_steps, n))
                    for monitor, chosen in self.edge_monitors.get(pathway.name, ()):
                        rows[0][:, chosen] = np.asarray(getattr(monitor, edge_variable(variable))).T
        return Traces(spikes, values, final)


def events_of(seconds: np.ndarray, neuron: np.ndarray, dt: float, period: int) -> Events:
    """Spikes of a monitor by trial, step and neuron; those of one step may come in any order."""
    step = np.rint(seconds / dt).astype(np.int64)
    order = np.lexsort((neuron, step))
    trial, step = np.divmod(step[order], period)
    return Events(trial.astype(np.int32), step.astype(np.int32), neuron[order].astype(np.int32))


def in_trials(rows: np.ndarray, job: Job) -> np.ndarray:
    """Rows (step of the whole run, neuron) as (trial, step, neuron), without the gaps."""
    period = job.n_steps + gap(job)
    rows = rows[: period * job.n_trials].reshape(job.n_trials, period, -1)
    return np.ascontiguousarray(rows[:, : job.n_steps])


def check_first_bad(job: Job, population: PopulationStep, bad: np.ndarray) -> None:
    """First offence of each neuron as ``finite_code`` kept it: step * variables + variable, -1 for none.

    Raises
    ------
    NumericalError
        There is one.
    """
    if (bad >= 0).any():
        neuron = int(np.argmin(np.where(bad >= 0, bad, np.inf)))
        step, variable = divmod(int(bad[neuron]), len(population.finite))
        raise numerical_error(job.program, population.name, population.finite[variable], neuron, step, float("nan"))
