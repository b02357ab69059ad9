"""A validated circuit to a StepProgram."""

from __future__ import annotations

from collections.abc import Mapping

from ..assembly import assemble
from ..errors import ExpressionError, LoweringError, Problem, SpecError
from ..expression import Statement, is_name, names, parse, render, substitute
from ..grid import read_steps
from ..model import Model, Ode
from ..program import (
    Delivery,
    InputStep,
    Pathway,
    PopulationStep,
    Propagator,
    ReductionStep,
    RuleStep,
    StepProgram,
    propagator_names,
)
from ..rule import Rule, assemble_rule
from ..spec import Array, Circuit, Distribution, Projection
from ..units import TIME, coherent_name, expect, is_unit, parse_unit
from ..validate import has_zero_delay
from ..wiring import endpoint_name, stages
from .dynamics import Dynamics, decay_slope
from .hoist import Hoister, distance
from .rules import lower_rule


def lower(circuit: Circuit) -> StepProgram:
    """Derive what happens in one step of a validated circuit.

    Raises
    ------
    SpecError
        Equations that the stated method cannot integrate, all of them, each with its path.
    """
    dt = expect(circuit.dt, TIME)
    problems: list[Problem] = []
    notes: list[str] = []
    populations: dict[str, PopulationStep] = {}
    models: dict[str, Model] = {}
    for name, population in circuit.populations.items():
        model = assemble(circuit, population, lambda path, message: None)
        if model is None:
            raise SpecError([Problem(f"populations.{name}.neuron", "unknown neuron")])
        try:
            lowering = _PopulationLowering(name, population.n, population.transmitter, model, dt)
            populations[name] = lowering.step()
            models[name] = model
            notes.extend(f"{name}: {note}" for note in lowering.notes)
        except (LoweringError, ExpressionError) as error:
            problems.append(Problem(f"populations.{name}.neuron", str(error)))
    if problems:
        raise SpecError(problems)
    zero = [
        (endpoint_name(p.pre), endpoint_name(p.post))
        for p in circuit.projections.values()
        if has_zero_delay(p) and endpoint_name(p.pre) in populations
    ]
    order = stages(populations, zero)
    rules = _rules(circuit, models, dt)
    pathways = tuple(
        _pathway(circuit, name, p, models, order, dt, rules.get(name)) for name, p in circuit.projections.items()
    )
    return StepProgram(
        name=circuit.name,
        dt=dt,
        inputs=tuple(
            InputStep(n, d.n, "counts" if d.sources else d.kind, coherent_name(parse_unit(d.unit).dimension))
            for n, d in circuit.inputs.items()
        ),
        populations=tuple(populations.values()),
        pathways=pathways,
        stages=order,
        notes=tuple(notes),
    )


def _rules(circuit: Circuit, models: Mapping[str, Model], dt: float) -> dict[str, Rule]:
    """Rules of plastic projections."""
    problems: list[Problem] = []
    found = {}
    for name, projection in circuit.projections.items():
        if projection.plasticity is not None:

            def report(path: str, message: str, at: str = f"projections.{name}") -> None:
                problems.append(Problem(f"{at}.{path}", message))

            found[name] = assemble_rule(circuit, projection, models, dt, report)
    if problems:
        raise SpecError(problems)
    return {name: rule for name, rule in found.items() if rule is not None}


def arriving(port: str) -> str:
    """Accumulator of a jump port; a pulse port is its own."""
    return f"arriving_{port}"


class _PopulationLowering:
    def __init__(self, name: str, size: int, transmitter: str, model: Model, dt: float) -> None:
        self.name, self.size, self.transmitter, self.model, self.dt = name, size, transmitter, model, dt
        self.notes: list[str] = []
        self.fixed = {*model.parameters, "dt"}
        taken = {*model.dimensions, *model.states}
        self.hoister = Hoister(self.constant, lambda candidate: candidate in taken)
        self.refractory_steps = self._refractory_steps()

    def constant(self, name: str) -> bool:
        """Fixed over a run: parameters, dt, and the propagators P_…, Q_… and other hoisted names."""
        return name in self.fixed

    def step(self) -> PopulationStep:
        model = self.model
        code, written = self._plain, self.hoister.as_written
        odes = [Ode(o.name, code(o.expression), o.unless_refractory) for o in model.odes]
        scales = self._charge_scales(odes)
        masked = model.flagged if self.refractory_steps else frozenset()
        update: list[Statement] = []
        if self.refractory_steps:
            update.append(Statement("refractory_left", "clip(refractory_left - 1, 0, inf)"))
        propagators: tuple[Propagator, ...] = ()
        if odes:
            self.fixed |= propagator_names(len(odes))
            lowered = Dynamics(odes, self.hoister, self.constant, bool(self.refractory_steps)).lower(model.method)
            update.extend(lowered.statements)
            propagators = lowered.propagators
            self.notes += [f"method {lowered.method}", *lowered.notes] if model.method is None else list(lowered.notes)
        update.extend(Statement(s.target, written(code(s.expression))) for s in model.update)
        threshold = written(code(model.threshold)) if model.threshold else None
        gap = written(distance(code(model.threshold))) if model.threshold else None
        reset = [Statement(s.target, written(code(s.expression))) for s in model.reset]
        if self.refractory_steps:
            threshold = f"({threshold}) and refractory_left == 0"
            reset.append(Statement("refractory_left", self.refractory_steps))
        reductions = tuple(ReductionStep(k, r.op, written(code(r.of))) for k, r in model.reductions.items())
        output = Statement(model.output.target, written(code(model.output.expression))) if model.output else None
        after = tuple(Statement(s.target, written(code(s.expression))) for s in model.after_reset)
        hoisted = self.hoister.statements
        return PopulationStep(
            name=self.name,
            size=self.size,
            transmitter=self.transmitter,
            states=(*model.states, *(["refractory_left"] if self.refractory_steps else [])),
            ports=tuple(arriving(n) if p.kind == "jump" else n for n, p in model.ports.items()),
            units=self._units(),
            parameters=tuple(model.parameters),
            propagators=propagators,
            hoisted=(*scales, *hoisted),
            arrive=tuple(self._arrive(n, masked) for n, p in model.ports.items() if p.kind == "jump"),
            reductions=reductions,
            update=tuple(update),
            output=output,
            threshold=threshold,
            distance=gap,
            threshold_scale=model.threshold_scale,
            reset=tuple(reset),
            after_reset=after,
        )

    def _plain(self, text: str) -> str:
        """Unit names replaced by their size in coherent units; the population's own names win."""
        own = self.model.dimensions
        table = {n: repr(parse_unit(n).value) for n in names(text) if n not in own and n not in _SPECIAL and is_unit(n)}
        return substitute(text, table)

    def _refractory_steps(self) -> str | None:
        value = self.model.refractory
        if value is None:
            return None
        if isinstance(value, str) and is_name(value):
            return self.hoister.as_written(f"floor({value}/dt + 0.5)")
        steps = read_steps(value, self.dt)
        return str(steps) if steps else None

    def _charge_scales(self, odes: list[Ode]) -> tuple[Statement, ...]:
        """(tau/dt)(1 - exp(-dt/tau)) for ports that conserve charge; exprel(-dt/tau) is the same number."""
        by_name = {o.name: o for o in odes}
        return tuple(
            Statement(f"charge_{n}", f"exprel(dt*({decay_slope(by_name[n], self.constant)}))")
            for n, port in self.model.ports.items()
            if port.charge
        )

    def _arrive(self, port: str, masked: frozenset[str]) -> Statement:
        gain = f"where(refractory_left > 0, 0, {arriving(port)})" if port in masked else arriving(port)
        return Statement(port, f"{port} + {gain}")

    def _units(self) -> tuple[tuple[str, str], ...]:
        model = self.model
        shown = {n: coherent_name(model.dimensions[n]) for n in (*model.states, *model.parameters, *model.ports)}
        shown.update({arriving(n): shown[n] for n, p in model.ports.items() if p.kind == "jump"})
        if model.output:
            shown[model.output.target] = coherent_name(model.dimensions[model.output.target])
        shown["refractory_left"] = "step"
        return tuple(shown.items())


_SPECIAL = {"t", "dt", "pi", "e", "inf", "spiked"}


def _pathway(
    circuit: Circuit,
    name: str,
    projection: Projection,
    models: dict[str, Model],
    order: tuple[tuple[str, ...], ...],
    dt: float,
    rule: Rule | None,
) -> Pathway:
    pre, post = endpoint_name(projection.pre), endpoint_name(projection.post)
    target = models[post]
    source = models.get(pre)
    drive = circuit.inputs.get(pre)
    transmitter = source_transmitter(circuit, pre)
    emits, default = "spikes", None
    if source and source.output:
        emits, default = "values", source.output.target
    elif drive and (drive.kind == "current" or drive.sources is not None):
        emits, default = "values", "value"
    lowered = _lowered(name, rule) if rule else None
    deliveries = []
    wanted: Mapping[str, str | None] = projection.deliver or {projection.port or "": default}
    for port_name, text in wanted.items():
        port = target.ports[port_name]
        sign = -1 if port.receptor is None and transmitter == "inhibitory" else 1
        if rule and rule.sends:
            text = f"({rule.sends})" if text is None else f"({text})*({rule.sends})"
        factor = None if text is None else _factor(text, source, target, rule)
        deliveries.append(
            Delivery(
                port=arriving(port_name) if port.kind == "jump" else port_name,
                factor=None if factor in (None, "1") else factor,
                sign=sign,
                scale=f"charge_{port_name}" if port.charge else None,
            )
        )
    zero = has_zero_delay(projection) and source is not None
    stage = next(k for k, level in enumerate(order) if pre in level) if zero else None
    return Pathway(name, pre, post, emits, tuple(deliveries), stage, _delay_text(projection, dt), lowered)


def source_transmitter(circuit: Circuit, name: str) -> str:
    """Transmitter of a population or input."""
    found = circuit.populations.get(name) or circuit.inputs[name]
    return found.transmitter


def _lowered(name: str, rule: Rule) -> RuleStep:
    try:
        return lower_rule(rule)
    except (LoweringError, ExpressionError) as error:
        raise SpecError([Problem(f"projections.{name}.plasticity.equations", str(error))]) from None


def _factor(text: str, source: Model | None, target: Model, rule: Rule | None) -> str:
    own = {*(source.dimensions if source else ()), *(f"{n}_post" for n in target.dimensions), "value"}
    own |= {*rule.states, *rule.parameters} if rule else set()
    table = {n: repr(parse_unit(n).value) for n in names(text) if n not in own and n not in _SPECIAL and is_unit(n)}
    return Hoister(lambda n: False, lambda n: False).as_written(substitute(render(parse(text)), table))


def _delay_text(projection: Projection, dt: float) -> str:
    delay = projection.delay
    if isinstance(delay, Distribution):
        return f"drawn, {delay.distribution}"
    if isinstance(delay, Array):
        return "listed"
    steps = read_steps(delay, dt)
    return f"{steps} step{'' if steps == 1 else 's'}"
