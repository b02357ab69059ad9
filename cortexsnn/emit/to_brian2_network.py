"""A job as a Brian2 network that executes the StepProgram's statements, each phase in a slot of its own.

Brian2 sees plain code and variables in coherent units, no differential equations: it runs our step and not a second derivation
of it. Trials follow each other in one run, with a gap as long as the longest delay in which nothing spikes, so that queues are
empty when the next trial starts from the initial state. Where numbers come from and where results go is the business of a
``Supply``: Brian2's own arrays and monitors, or the files of a compiled program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from ..job import Job
from ..program import Pathway, PopulationStep
from .to_brian2_functions import functions
from .to_brian2_names import LOCAL_STEP, local, translate
from .to_brian2_numbers import edge_groups, emitted_name, shares_weight, value_delays
from .to_brian2_population import EVERY, PopulationNetwork
from .to_brian2_rule import PlasticSynapses, edge_variable

_STAGE_SLOTS = ("arrive", "clear", "reduce", "reduced", "update", "threshold", "deliver", "reset")


class Supply(Protocol):
    """Where the numbers of a network come from, and where its activity goes."""

    inside: str
    """Condition under which a step belongs to a trial, to be joined to a threshold; empty where every step does."""

    def local_step(self) -> Any:
        """Brian2 function of t: step within the trial, -1 outside of any."""
        ...

    def add_input(self, name: str) -> None: ...

    def give(self, group: Any, name: str, values: np.ndarray, number: str) -> None:
        """``values``, (1,) or (neuron,), to a variable of a group."""
        ...

    def state_model(self, population: PopulationStep) -> list[str]: ...

    def add_states(self, group: Any, population: PopulationStep, initial: dict[str, np.ndarray]) -> None:
        """Initial values, and the return to them at the start of every trial."""
        ...

    def every(self, group: Any) -> None:
        """Make the event of every step within a trial happen."""
        ...

    def finite_model(self, population: PopulationStep) -> list[str]: ...

    def finite_code(self, group: Any, population: PopulationStep) -> list[str]:
        """Code that watches for NaN and infinity, executed after recording."""
        ...

    def deliver_directly(self, pathway: Pathway) -> bool:
        """Deliver the values of an input without synapses; False if the pathway needs them."""
        ...

    def connect(self, synapses: Any, pathway: Pathway, chosen: Any, delay: int) -> None:
        """Edges, weights ``w0``, ``w1`` … and delays of the ``chosen`` edges, all with ``delay`` where they carry values; of plastic edges,
        the states and the constants of their rule."""
        ...

    def add_monitors(self, group: Any, population: PopulationStep, probed: tuple[str, ...]) -> None: ...


def schedule(n_stages: int) -> list[str]:
    """Slots of one step, in order; Brian2's own first slots stay for its inert default objects."""
    stages = [f"stage{s}_{slot}" for s in range(n_stages) for slot in _STAGE_SLOTS]
    before, after = ("trial", "edges", "input", "arrivals"), ("finish", "signals", "learn", "record", "shift", "empty")
    return ["start", "groups", "synapses", *before, *stages, *after]


def network_of(parts: Sequence[JobNetwork], *slots: str) -> Any:
    """A Brian2 network of several jobs; ``slots`` come after those of :func:`schedule`."""
    import brian2 as b2

    network = b2.Network()
    network.schedule = [*schedule(max(len(part.program.stages) for part in parts)), *slots]
    for part in parts:
        network.add(*part.objects)
    return network


class JobNetwork:
    """Brian2 objects of one job."""

    def __init__(self, job: Job, prefix: str, supply: Callable[[JobNetwork], Supply]) -> None:
        import brian2 as b2

        self.b2, self.job, self.program, self.prefix = b2, job, job.program, prefix
        self.clock = b2.Clock(dt=job.program.dt * b2.ms, name=f"{prefix}clock")
        self.stage_of = {name: s for s, stage in enumerate(job.program.stages) for name in stage}
        self.objects: list[Any] = []
        self.groups: dict[str, Any] = {}
        self.supply = supply(self)
        self.namespace: dict[str, Any] = {**functions(), "local_step": self.supply.local_step()}
        for name in job.drive:
            self.supply.add_input(name)
        for population in job.program.populations:
            PopulationNetwork(self, population).add()
        for pathway in job.program.pathways:
            self._add_pathway(pathway)
        for pathway in job.program.pathways:
            if pathway.rule and pathway.rule.signals:
                PlasticSynapses(self, pathway, pathway.rule).link_signals(self.groups[pathway.post])

    def add(self, *objects: Any) -> None:
        self.objects.extend(objects)

    # -- values that arrive later: a shift register on the source -------------------------------------------------

    def _ring(self, source: str) -> int:
        return max(value_delays(self.job, source), default=0)

    def registers(self, source: str) -> list[str]:
        return [f"{local(emitted_name(self.program, source), f'h{d}')} : 1" for d in range(1, self._ring(source) + 1)]

    def late_events(self, source: str) -> dict[str, str]:
        return {f"late{d}": f"{LOCAL_STEP} >= {d}" for d in sorted(value_delays(self.job, source))}

    def add_shift(self, source: str, group: Any) -> None:
        ring, name = self._ring(source), emitted_name(self.program, source)
        if ring:
            lines = [f"{local(name, f'h{d}')} = {local(name, f'h{d - 1}')}" for d in range(ring, 1, -1)]
            lines.append(f"{local(name, 'h1')} = {local(name)}")
            self.add(group.run_regularly("\n".join(lines), when="shift", clock=self.clock))

    # -- pathways -------------------------------------------------------------------------------------------------

    def _add_pathway(self, pathway: Pathway) -> None:
        """Synapses of a pathway; those that read values from a register, one object per delay, the longest first."""
        if self.supply.deliver_directly(pathway):
            return
        for delay, chosen in edge_groups(self.job, pathway):
            self._add_synapses(pathway, chosen, delay)

    def _add_synapses(self, pathway: Pathway, chosen: Any, delay: int) -> None:
        plastic = PlasticSynapses(self, pathway, pathway.rule) if pathway.rule else None
        lines, model = (plastic.on_arrival(), plastic.model()) if plastic else ([], [])
        for k, delivery in enumerate(pathway.deliveries):
            gain = plastic.gain(delivery) if plastic else f"w{k}"
            if delivery.factor is not None:
                gain += (
                    f" * ({translate(delivery.factor, self.program.dt, lambda n: self._edge_name(pathway, n, delay))})"
                )
            lines.append(f"{local(delivery.port)}_post += {gain}")
            if not plastic:
                shared = shares_weight(self.job, pathway, delivery)
                model.append(f"w{k} : 1{' (constant, shared)' if shared else ''}")
        event = "spike" if pathway.emits == "spikes" else f"late{delay}" if delay else EVERY
        synapses = self.b2.Synapses(
            self.groups[pathway.pre],
            self.groups[pathway.post],
            model="\n".join(model),
            on_pre={"go": "\n".join(lines)},
            on_event={"go": event},
            namespace=self.namespace,
            clock=self.clock,
            name=f"{self.prefix}{pathway.name}_syn{delay}",
        )
        self.supply.connect(synapses, pathway, chosen, delay)
        synapses.go.when = "arrivals" if pathway.stage is None else f"stage{pathway.stage}_deliver"
        synapses.go.order = len(self.objects)  # as declared
        self.add(synapses)
        if plastic:
            plastic.add_code(synapses)

    def _edge_name(self, pathway: Pathway, name: str, delay: int) -> str:
        """Name seen from an edge: ``x_v_pre``, ``x_v_post``, or the register of a value on its way."""
        post = self.program.population(pathway.post)
        if pathway.rule and name in {*pathway.rule.states, *pathway.rule.parameters}:
            return edge_variable(name)
        if name.endswith("_post") and name[: -len("_post")] in {*post.states, *post.parameters}:
            return f"{local(name[: -len('_post')])}_post"
        if delay and name == emitted_name(self.program, pathway.pre):
            return f"{local(name, f'h{delay}')}_pre"
        return f"{local(name)}_pre"
