"""Brian2 objects of one population: variables, code in its slots, reductions, monitors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..expression import names
from ..job import DISTANCE, SPIKES, initial_states
from ..program import PopulationStep, StepProgram
from .to_brian2_names import LOCAL_STEP, block, local, translate

if TYPE_CHECKING:
    from .to_brian2 import JobNetwork

EVERY = "every"
"""Event of every step within a trial."""


class PopulationNetwork:
    """Brian2 objects of one population."""

    def __init__(self, parent: JobNetwork, population: PopulationStep) -> None:
        self.parent, self.population, self.job = parent, population, parent.job
        self.program: StepProgram = parent.program
        self.stage = f"stage{parent.stage_of[population.name]}"
        self.probed = self.job.probes.get(population.name, ())
        self.uses_spiked = any("spiked" in names(s.expression) for s in population.after_reset)
        self.initial = initial_states(self.job, population)
        self.constants = self._used_constants()

    def _used_constants(self) -> dict[str, np.ndarray]:
        """Parameters and hoisted constants that statements or factors read."""
        p = self.population
        blocks = (*p.arrive, *p.update, *p.reset, *p.after_reset, *([p.output] if p.output else []))
        used = set().union(*(names(s.expression) for s in blocks), *(names(r.expression) for r in p.reductions))
        used |= set().union(*(names(text) for text in (p.threshold, p.distance) if text))
        for pathway in self.program.pathways:
            read = set().union(*(names(d.factor) for d in pathway.deliveries if d.factor))
            used |= read if pathway.pre == p.name else set()
            used |= {n.removesuffix("_post") for n in read if n.endswith("_post")} if pathway.post == p.name else set()
        return {
            name: value for name, value in self.job.constants[p.name].items() if name in used and name not in p.states
        }

    def add(self) -> None:
        p, parent = self.population, self.parent
        group = parent.b2.NeuronGroup(
            p.size,
            "\n".join(self._model()),
            threshold=self._threshold(),
            reset=self._reset() or None if p.threshold else None,
            events=self._events(),
            namespace=parent.namespace,
            clock=parent.clock,
            name=f"{parent.prefix}{p.name}_pop",
        )
        parent.groups[p.name] = group
        parent.add(group)
        for name, value in self.constants.items():
            setattr(group, local(name), value if value.size > 1 else float(value[0]))
        for name, value in self.initial.items():
            setattr(group, local(name), value)
            if self.job.n_trials > 1:
                setattr(group, local(name, "init"), value)
        if p.finite:
            group.first_bad = -1
        self._place(group)
        self._add_code(group)
        for reduction in p.reductions:
            self._add_reduction(group, reduction)
        parent.add_shift(p.name, group)
        self._add_monitors(group)

    def _model(self) -> list[str]:
        p = self.population
        own = [*p.states, *p.ports]
        lines = [f"{local(name)} : 1" for name in own]
        lines += [f"{local(n)} : 1 (constant{', shared' if v.size == 1 else ''})" for n, v in self.constants.items()]
        if self.job.n_trials > 1:
            lines += [f"{local(name, 'init')} : 1 (constant)" for name in p.states]
        if p.output:
            lines.append(f"{local(p.output.target)} : 1")
        if self.uses_spiked:
            lines.append(f"{local('spiked')} : 1")
        if DISTANCE in self.probed:
            lines.append(f"{local(DISTANCE)} : 1")
        for reduction in p.reductions:
            name = reduction.name  # synapses cannot read a linked variable, so the update copies it
            lines += [f"{local(name)} : 1", f"{local(name, 'cell')} : 1 (linked)", f"{local(name, 'term')} : 1"]
        if p.finite:
            lines.append("first_bad : 1")
        return [*lines, *self.parent.registers(p.name)]

    def _threshold(self) -> str | None:
        text = self.population.threshold
        return f"({translate(text, self.program.dt)}) and {LOCAL_STEP} >= 0" if text else None

    def _reset(self) -> str:
        code = block(self.population.reset, self.program.dt)
        return f"{code}\n{local('spiked')} = 1" if self.uses_spiked else code

    def _events(self) -> dict[str, str]:
        p = self.population
        events = dict(self.parent.late_events(p.name))
        if p.emits == "values" or any(r.op != "min_positive" for r in p.reductions):
            events[EVERY] = f"{LOCAL_STEP} >= 0"
        events.update(
            {f"positive_{r.name}": f"{local(r.name, 'term')} > 0" for r in p.reductions if r.op == "min_positive"}
        )
        return events

    def _place(self, group: Any) -> None:
        for event, thresholder in group.thresholder.items():
            if event.startswith("late"):
                thresholder.when = "input"
            elif event == "spike":
                thresholder.when = f"{self.stage}_threshold"
            else:
                thresholder.when, thresholder.order = f"{self.stage}_clear", 1
        for resetter in group.resetter.values():
            resetter.when = f"{self.stage}_reset"

    def _add_code(self, group: Any) -> None:
        p, dt = self.population, self.program.dt
        restart = [f"{local(n)} = chosen({LOCAL_STEP} == 0, {local(n, 'init')}, {local(n)})" for n in p.states]
        ring = [line.split(" :")[0] for line in self.parent.registers(p.name)]
        restart += [f"{n} = chosen({LOCAL_STEP} == 0, 0.0, {n})" for n in ring]
        terms = [f"{local(r.name, 'term')} = {translate(r.expression, dt)}" for r in p.reductions]
        arrive = () if p.reductions else p.arrive  # one piece of code less to compile where nothing comes between
        update = [block([*arrive, *p.update, *([p.output] if p.output else [])], dt)]
        update[:0] = [f"{local(r.name)} = {local(r.name, 'cell')}" for r in p.reductions]
        if self.uses_spiked:
            update.insert(0, f"{local('spiked')} = 0")
        if DISTANCE in self.probed and p.distance:
            update.append(f"{local(DISTANCE)} = {translate(p.distance, dt)}")
        sections = {
            "trial": "\n".join(restart) if self.job.n_trials > 1 else "",
            f"{self.stage}_arrive": "\n".join([block(p.arrive, dt), *terms]) if terms else "",
            f"{self.stage}_update": "\n".join(u for u in update if u),
            "finish": block(p.after_reset, dt),
            "empty": "\n".join([*self._finite_check(), *(f"{local(port)} = 0" for port in p.ports)]),
        }
        for slot, code in sections.items():
            if code:
                self.parent.add(group.run_regularly(code, when=slot, clock=self.parent.clock))

    def _finite_check(self) -> list[str]:
        """``v - v`` is 0 for every number and NaN for NaN and infinity; the first offence is kept as step * n + variable."""
        checked = self.population.finite
        checks = [
            f"first_bad = chosen(first_bad < 0 and now >= 0 and not ({local(s)} - {local(s)} == 0), "
            f"now * {len(checked)} + {k}, first_bad)"
            for k, s in enumerate(checked)
        ]
        return [f"now = {LOCAL_STEP}", *checks] if checks else []

    def _add_reduction(self, group: Any, reduction: Any) -> None:
        """One cell that all neurons write to in index order; the population reads it through a linked variable."""
        parent, b2 = self.parent, self.parent.b2
        start = {"max": "-inf", "min_positive": "inf"}.get(reduction.op, "0")
        term = f"{local(reduction.name, 'term')}_pre"
        step = {
            "max": f"m_post = clipped({term}, m_post, inf)",
            "min_positive": f"m_post = clipped({term}, -inf, m_post)",
        }
        name = f"{parent.prefix}{self.program.populations.index(self.population)}_{reduction.name}"
        cell = b2.NeuronGroup(1, "m : 1", clock=parent.clock, name=f"{name}_red")
        event = f"positive_{reduction.name}" if reduction.op == "min_positive" else EVERY
        synapses = b2.Synapses(
            group, cell, on_pre={"go": step.get(reduction.op, f"m_post += {term}")}, on_event={"go": event}, clock=parent.clock,
            namespace=parent.namespace, name=f"{name}_redsyn",
        )  # fmt: skip
        synapses.connect(i=np.arange(self.population.size), j=np.zeros(self.population.size, dtype=int))
        synapses.go.when = f"{self.stage}_reduce"
        clear = cell.run_regularly(f"m = {start}", when=f"{self.stage}_clear", clock=parent.clock)
        parent.add(cell, synapses, clear)
        if reduction.op == "mean":
            parent.add(
                cell.run_regularly(
                    f"mean = m / {float(self.population.size)!r}\nm = mean",
                    when=f"{self.stage}_reduced",
                    clock=parent.clock,
                )
            )
        setattr(
            group,
            local(reduction.name, "cell"),
            b2.linked_var(cell, "m", index=np.zeros(self.population.size, dtype=int)),
        )

    def _add_monitors(self, group: Any) -> None:
        parent, name = self.parent, self.population.name
        if SPIKES in self.probed:
            monitor = parent.b2.SpikeMonitor(group, when="record", name=f"{parent.prefix}{name}_spikes")
            parent.spike_monitors[name] = monitor
            parent.add(monitor)
        variables = [local(v) for v in self.probed if v != SPIKES]
        if variables:
            monitor = parent.b2.StateMonitor(
                group,
                variables,
                record=True,
                when="record",
                order=1,
                clock=parent.clock,
                name=f"{parent.prefix}{name}_states",
            )
            parent.state_monitors[name] = monitor
            parent.add(monitor)
