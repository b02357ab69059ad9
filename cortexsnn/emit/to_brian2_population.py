"""Brian2 objects of one population: variables, code in its slots, reductions, monitors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..expression import names
from ..job import DISTANCE, initial_states
from ..program import PopulationStep, StepProgram
from .to_brian2_names import LOCAL_STEP, block, local, translate
from .to_brian2_numbers import used_constants
from .to_brian2_rule import fires_for, target_lines

if TYPE_CHECKING:
    from .to_brian2_network import JobNetwork

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
        self.uses_spiked |= fires_for(self.program, population.name)
        self.initial = initial_states(self.job, population)
        self.constants = used_constants(self.job, population)
        self.early = self._emptied_early()

    def _emptied_early(self) -> set[str]:
        """Ports that nothing reads after the update: they are emptied with it, which saves a pass over the cells."""
        p = self.population
        late = [s.expression for s in (*p.reset, *p.after_reset)] + [t for t in (p.threshold, p.distance) if t]
        factors = [
            d.factor for q in self.program.pathways if p.name in (q.pre, q.post) for d in q.deliveries if d.factor
        ]
        read = set().union(*(names(text) for text in (*late, *factors)))
        read |= {name.removesuffix("_post") for name in read}
        return {port for port in p.ports if port not in read and port not in self.probed}

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
            parent.supply.give(group, local(name), value, f"{p.name}.constant.{name}")
        parent.supply.add_states(group, p, self.initial)
        self._place(group)
        self._add_code(group)
        for reduction in p.reductions:
            self._add_reduction(group, reduction)
        parent.add_shift(p.name, group)
        parent.supply.add_monitors(group, p, self.probed)

    def _model(self) -> list[str]:
        p = self.population
        own = [*p.states, *p.ports]
        lines = [f"{local(name)} : 1" for name in own]
        lines += [f"{local(n)} : 1 (constant{', shared' if v.size == 1 else ''})" for n, v in self.constants.items()]
        lines += self.parent.supply.state_model(p)
        if p.output:
            lines.append(f"{local(p.output.target)} : 1")
        if self.uses_spiked:
            lines.append(f"{local('spiked')} : 1")
        if DISTANCE in self.probed:
            lines.append(f"{local(DISTANCE)} : 1")
        lines += target_lines(self.program, p.name)
        for reduction in p.reductions:
            name = reduction.name  # synapses cannot read a linked variable, so the update copies it
            lines += [f"{local(name)} : 1", f"{local(name, 'cell')} : 1 (linked)", f"{local(name, 'term')} : 1"]
        return [*lines, *self.parent.supply.finite_model(p), *self.parent.registers(p.name)]

    def _threshold(self) -> str | None:
        text = self.population.threshold
        if not text:
            return None
        inside = self.parent.supply.inside
        return f"({translate(text, self.program.dt)}){f' and {inside}' if inside else ''}"

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
        if EVERY in group.thresholder:
            self.parent.supply.every(group)
        for resetter in group.resetter.values():
            resetter.when = f"{self.stage}_reset"

    def _add_code(self, group: Any) -> None:
        p, dt = self.population, self.program.dt
        terms = [f"{local(r.name, 'term')} = {translate(r.expression, dt)}" for r in p.reductions]
        arrive = () if p.reductions else p.arrive  # one piece of code less to compile where nothing comes between
        update = [block([*arrive, *p.update, *([p.output] if p.output else [])], dt)]
        update[:0] = [f"{local(r.name)} = {local(r.name, 'cell')}" for r in p.reductions]
        if self.uses_spiked:
            update.insert(0, f"{local('spiked')} = 0")
        if DISTANCE in self.probed and p.distance:
            update.append(f"{local(DISTANCE)} = {translate(p.distance, dt)}")
        update += [f"{local(port)} = 0" for port in p.ports if port in self.early]
        sections = {
            f"{self.stage}_arrive": "\n".join([block(p.arrive, dt), *terms]) if terms else "",
            f"{self.stage}_update": "\n".join(u for u in update if u),
            "finish": block(p.after_reset, dt),
            "empty": "\n".join(
                [
                    *self.parent.supply.finite_code(group, p),
                    *(f"{local(n)} = 0" for n in p.ports if n not in self.early),
                ]
            ),
        }
        for slot, code in sections.items():
            if code:
                self.parent.add(group.run_regularly(code, when=slot, clock=self.parent.clock))

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
