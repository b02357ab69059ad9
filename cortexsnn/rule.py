"""The plasticity of a projection put together and checked: one table of names with their dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from . import expression as ex
from .dimensions import check_dimensions
from .equations import equation_lines, put_in, read_equation, resolve
from .errors import ExpressionError, UnitError, unknown
from .grid import read_steps
from .model import Model, Ode
from .nametable import NameTable, Report
from .program import WEIGHT, Signal, propagator_names
from .spec import Array, Circuit, Distribution, Projection
from .units import DIMENSIONLESS, TIME, Dimension, expect, multiply, parse_unit
from .values import describe_unit, dimension_of
from .wiring import endpoint_name

Block = tuple[ex.Statement, ...]


@dataclass(frozen=True)
class Rule:
    """A projection's plasticity with subexpressions inlined; expressions still carry unit names.

    ``bounds`` are coherent numbers; ``every`` is (steps, statements); ``dimensions`` are those of ``w``, states and parameters.
    """

    odes: tuple[Ode, ...]
    states: tuple[str, ...]
    parameters: Mapping[str, float]
    initial: Mapping[str, float]
    on_pre: Block
    on_post: Block
    every: tuple[tuple[int, Block], ...]
    sums: Block
    sends: str | None
    signals: tuple[Signal, ...]
    bounds: tuple[float, float] | None
    method: str | None
    dimensions: Mapping[str, Dimension] = field(repr=False)

    @property
    def on_edges(self) -> dict[str, Dimension]:
        """States and parameters: what an edge can send a multiple of."""
        return {name: self.dimensions[name] for name in (*self.states, *self.parameters)}

    @property
    def moves_weights(self) -> bool:
        """Whether weights change, and not only what is sent."""
        blocks = (self.on_pre, self.on_post, *(block for _, block in self.every))
        return any(s.target == WEIGHT for block in blocks for s in block)


def assemble_rule(
    circuit: Circuit, projection: Projection, models: Mapping[str, Model], dt: float, report: Report
) -> Rule | None:
    """Put a projection's plasticity together and check it.

    Parameters
    ----------
    circuit : Circuit
    projection : Projection
        With ends that exist.
    models : population -> Model
    dt : float, ms
    report : callable(path, message)
        Paths start at the projection.

    Returns
    -------
    Rule or None
        None where something was reported.
    """
    found = _Assembly(circuit, projection, models, dt, report)
    return found.rule()


class _Assembly(NameTable):
    def __init__(
        self, circuit: Circuit, projection: Projection, models: Mapping[str, Model], dt: float, report: Report
    ) -> None:
        super().__init__(self._counted(report))
        assert projection.plasticity is not None
        self.spec, self.circuit, self.projection, self.dt = projection.plasticity, circuit, projection, dt
        self.pre, self.post = endpoint_name(projection.pre), endpoint_name(projection.post)
        self.models = models
        self.found = 0
        self.odes: dict[str, str] = {}
        self.states: list[str] = []
        self.subexpressions: dict[str, str] = {}
        self.signals: list[Signal] = []

    def _counted(self, report: Report) -> Report:
        def counted(path: str, message: str) -> None:
            self.found += 1
            report(f"plasticity.{path}" if path else "plasticity", message)

        return counted

    def rule(self) -> Rule | None:
        spec = self.spec
        self.dimensions[WEIGHT] = DIMENSIONLESS
        self.guard("", lambda: self.dimensions.update({WEIGHT: dimension_of(self.projection.weight)}))
        self.owner[WEIGHT] = "the weight"
        self._read_equations()
        self._read_parameters()
        self._read_signals()
        if self.found:
            return None
        ends = self._ends()
        formed = self._formed()  # anew in every step, and not before the first one
        early = {name: found for name, found in ends.items() if name not in formed}
        table = resolve(self.subexpressions, lambda name, function: self.guard(f"equations.{name}", function))
        for name, text in self.subexpressions.items():
            self.guard(f"equations.{name}", self.expect, text, self.dimensions[name], name, early)
        for name, text in self.odes.items():
            wanted = multiply(self.dimensions[name], TIME, -1)
            self.guard(f"equations.{name}", self.expect, text, wanted, name, early)
        with_signals = ends | self._signal_dimensions()
        on_pre = self._block("on_pre", spec.on_pre, with_signals, table)
        on_post = self._block("on_post", spec.on_post, with_signals, table)
        sends = self._sends(table)
        sums = self._sums(with_signals, table)
        every = self._every(with_signals | {s.target: self.dimensions[s.target] for s in sums}, table)
        self._check_events()
        found = Rule(
            odes=tuple(Ode(n, self._put_in(f"equations.{n}", t, table), False) for n, t in self.odes.items()),
            states=tuple(self.states),
            parameters={name: self._number("parameters", name, value) for name, value in spec.parameters.items()},
            initial={name: self._initial(name) for name in self.states},
            on_pre=on_pre,
            on_post=on_post,
            every=every,
            sums=sums,
            sends=sends,
            signals=tuple(self.signals),
            bounds=self._bounds(),
            method=spec.method,
            dimensions=self.dimensions,
        )
        self._check_weights(found)
        self._check_read(found)
        return None if self.found else found

    # -- names ----------------------------------------------------------------------------------------------------

    def _read_equations(self) -> None:
        lines: list[str] = []
        self.guard("equations", lambda: lines.extend(equation_lines(self.spec.equations)))
        for line in lines:
            self.guard("equations", self._add_equation, line)

    def _add_equation(self, line: str) -> None:
        equation = read_equation(line)
        name, path = equation.name, f"equations.{equation.name}"
        self._claim(name, "equations")
        self.dimensions[name] = self.dimension_of_unit(equation.unit, path)
        for flag in equation.flags:
            if flag != "event-driven":  # Brian2's word for how a trace is computed; its numbers are the same
                self.report(path, f"flag '{ex.shorten(flag)}' is not supported; leave it out")
        body = ["0"]
        if equation.kind != "state":
            self.guard(path, lambda: body.append(ex.render(ex.accept_number(equation.body))))
        if equation.kind == "subexpression":
            self.subexpressions[name] = body[-1]
            return
        self.states.append(name)
        if equation.kind == "ode":
            self.odes[name] = body[-1]

    def _claim(self, name: str, where: str) -> None:
        if name == WEIGHT:
            self.report(f"{where}.{name}", "'w' is the weight of an edge; choose another name")
        elif name in ("pre", "post", "edge") or name.startswith("final_") or name.endswith("_edge"):
            self.report(f"{where}.{name}", f"'{name}' is a name that recordings of edges use; choose another name")
        elif name.endswith(("_pre", "_post")):
            self.report(f"{where}.{name}", "names with _pre and _post are those of the two ends; choose another name")
        else:
            self.claim(name, where, where)

    def _read_parameters(self) -> None:
        for name, value in self.spec.parameters.items():
            self._claim(name, "parameters")
            self.dimensions[name] = DIMENSIONLESS
            self.guard(f"parameters.{name}", lambda n=name, v=value: self.dimensions.update({n: dimension_of(v)}))
        for name in self.spec.initial:
            if name not in self.states:
                self.report(f"initial.{name}", unknown("state", name, self.states))
        taken = propagator_names(len(self.odes))
        for name in sorted(taken & {*self.owner}):
            self.report(
                f"{self.owner[name]}.{name}", f"'{name}' is a name that the step uses itself; choose another name"
            )

    def _read_signals(self) -> None:
        for name, text in self.spec.signals.items():
            self._claim(name, "signals")
            self.guard(f"signals.{name}", self._add_signal, name, text)

    def _add_signal(self, name: str, text: str) -> None:
        source, _, variable = (part.strip() for part in text.partition("."))
        circuit = self.circuit
        known = {**circuit.populations, **circuit.inputs}
        if source not in known:
            raise ExpressionError(unknown("population or input", source, known))
        if source in (self.pre, self.post):
            raise ExpressionError(
                f"'{source}' is an end of this projection; read it as {variable or 'name'}_{'pre' if source == self.pre else 'post'}"
            )
        if known[source].n != 1:  # type: ignore[attr-defined]
            raise ExpressionError(
                f"a third factor is one number, '{source}' has {known[source].n} cells; "  # type: ignore[attr-defined]
                "let them project to a graded population of one cell"
            )
        if source in circuit.inputs:
            if circuit.inputs[source].kind != "current" or variable not in ("", "value"):
                raise ExpressionError(f"an input gives its value; name one of kind current, as '{source}'")
            self.signals.append(Signal(name, source, "value"))
            self.dimensions[name] = parse_unit(circuit.inputs[source].unit).dimension
            return
        model = self.models.get(source)
        if model is None:
            return
        output = model.output.target if model.output else None
        variable = variable or output or ""
        readable = [*([output] if output else []), *model.states]
        if variable not in readable:
            raise ExpressionError(
                f"{unknown('variable', variable, readable)} Write for example '{source}.{(readable or ['v'])[0]}'."
            )
        self.signals.append(Signal(name, source, variable))
        self.dimensions[name] = model.dimensions[variable]

    def _signal_dimensions(self) -> dict[str, Dimension]:
        return {s.name: self.dimensions.get(s.name, DIMENSIONLESS) for s in self.signals}

    def _ends(self) -> dict[str, Dimension]:
        """What the two ends can be asked for: states, parameters, the output, the value of an input."""
        found: dict[str, Dimension] = {}
        for side, name in (("pre", self.pre), ("post", self.post)):
            model = self.models.get(name)
            if model:
                readable = [*model.states, *model.parameters, *([model.output.target] if model.output else [])]
                found |= {f"{n}_{side}": model.dimensions[n] for n in readable}
            elif name in self.circuit.inputs and self.circuit.inputs[name].kind == "current":
                found[f"value_{side}"] = parse_unit(self.circuit.inputs[name].unit).dimension
        return found

    def _formed(self) -> set[str]:
        """Names of outputs and values, which a step forms anew."""
        outputs = {name: model.output.target for name, model in self.models.items() if model.output}
        return {f"{outputs.get(name, 'value')}_{side}" for side, name in (("pre", self.pre), ("post", self.post))}

    # -- statements -----------------------------------------------------------------------------------------------

    def _block(self, path: str, text: str, extra: Mapping[str, Dimension], table: Mapping[str, str]) -> Block:
        lines: list[ex.Statement] = []
        self.guard(path, lambda: lines.extend(ex.statements(text)))
        known = [WEIGHT, *self.states]
        for line in lines:
            if line.target not in known:
                self.report(path, f"{unknown('state', line.target, known)} Declare it in equations, as 'name : unit'.")
            else:
                self.guard(path, self.expect, line.expression, self.dimensions[line.target], line.target, extra)
        return tuple(ex.Statement(s.target, self._put_in(path, s.expression, table)) for s in lines)

    def _put_in(self, path: str, text: str, table: Mapping[str, str]) -> str:
        result = ["0"]
        self.guard(path, lambda: result.append(put_in(text, table)))
        return result[-1]

    def _sends(self, table: Mapping[str, str]) -> str | None:
        """What multiplies all that an edge sends: a plain number from its own states and parameters."""
        text = self.spec.sends
        if text is None:
            return None
        own = {n: self.dimensions[n] for n in (*self.states, *self.spec.parameters, *self.subexpressions)}

        def check() -> None:
            found = check_dimensions(ex.render(ex.accept_number(text)), own)
            if found != DIMENSIONLESS:
                raise UnitError(f"expected a plain number, got {describe_unit(found)}; correct a unit")

        if not self.guard("sends", check):
            return None
        found = self._put_in("sends", ex.render(ex.parse(text)), table)
        return found if self._is_mixed() else f"clip({found}, 0, inf)"  # nothing that is sent changes its sign

    def _is_mixed(self) -> bool:
        source = {**self.circuit.populations, **self.circuit.inputs}[self.pre]
        return source.transmitter == "mixed"  # type: ignore[attr-defined, no-any-return]

    def _sums(self, extra: Mapping[str, Dimension], table: Mapping[str, str]) -> Block:
        found, dimensions = [], dict[str, Dimension]()
        for name, text in self.spec.sums.items():
            path = f"sums.{name}"
            self._claim(name, "sums")
            dimensions[name] = DIMENSIONLESS
            if self.guard(path, lambda n=name, t=text: dimensions.update({n: self.dimension_of_text(t, extra)})):
                found.append(ex.Statement(name, self._put_in(path, ex.render(ex.accept_number(text)), table)))
        self.dimensions |= dimensions  # only now: all are formed at once, so none may read another
        if found and not self.spec.every:
            self.report("sums", "are for statements at intervals; add every: {100 ms: w = …}")
        return tuple(found)

    def _every(self, extra: Mapping[str, Dimension], table: Mapping[str, str]) -> tuple[tuple[int, Block], ...]:
        found = []
        for interval, text in self.spec.every.items():
            path = f"every.{ex.shorten(interval)}"
            block = self._block(path, text, extra, table)
            steps = self._steps(path, interval) if self.dt > 0 else 1
            found.append((steps, block))
        return tuple(found)

    def _steps(self, path: str, interval: str) -> int:
        steps = [1]
        if self.guard(path, lambda: steps.append(read_steps(interval, self.dt))) and steps[-1] < 1:
            self.report(path, f"expected an interval of at least a step, {self.dt:g} ms; give one")
        return steps[-1]

    def _check_events(self) -> None:
        """Spikes must exist where statements wait for them, and every edge must be one of its own."""
        if self.projection.connect.kind == "conv2d":
            self.report("", "the weights of conv2d are shared between edges; use another kind of connection")
        delay = self.projection.delay
        several = isinstance(delay, Distribution) or (isinstance(delay, Array) and np.unique(delay.values).size > 1)
        if several and not self._spikes(self.pre):
            self.report("", f"'{self.pre}' sends values, and those of plastic edges arrive together; give one delay")
        for path, text, name in (("on_pre", self.spec.on_pre, self.pre), ("on_post", self.spec.on_post, self.post)):
            if not text.strip():
                continue
            if not self._spikes(name):
                self.report(path, f"'{name}' sends no spikes; use every, with an interval of one step")

    def _spikes(self, name: str) -> bool:
        model, drive = self.models.get(name), self.circuit.inputs.get(name)
        if drive is not None:
            return drive.kind != "current" and drive.sources is None
        return model is None or model.threshold is not None

    # -- weights --------------------------------------------------------------------------------------------------

    def _number(self, kind: str, name: str, value: float | str) -> float:
        result = [0.0]
        self.guard(f"{kind}.{name}", lambda: result.append(expect(value, self.dimensions[name])))
        return result[-1]

    def _initial(self, name: str) -> float:
        return self._number("initial", name, self.spec.initial[name]) if name in self.spec.initial else 0.0

    def _bounds(self) -> tuple[float, float] | None:
        given = self.spec.bounds
        if given is None or given.max is None:
            return None
        wanted = self.dimensions[WEIGHT]
        low, high = [0.0], [0.0]
        if given.min is not None:
            self.guard("bounds.min", lambda: low.append(expect(given.min or 0, wanted)))
        self.guard("bounds.max", lambda: high.append(expect(given.max or 0, wanted)))
        return low[-1], high[-1]

    def _check_read(self, rule: Rule) -> None:
        """A parameter that nothing reads is a name that was meant to be another."""
        blocks = (rule.on_pre, rule.on_post, rule.sums, *(block for _, block in rule.every))
        texts = [s.expression for block in blocks for s in block] + [o.expression for o in rule.odes]
        read = set().union(*(ex.names(text) for text in (*texts, rule.sends or "0")))
        read |= set().union(*(ex.names(ex.parse(text)) for text in (self.projection.deliver or {}).values()))
        for name in rule.parameters:
            if name not in read:
                self.report(f"parameters.{name}", "nothing reads it; correct its name, or leave it out")

    def _check_weights(self, rule: Rule) -> None:
        """Weights that move stay within bounds, and magnitudes on their side of zero."""
        signed = self._is_mixed()
        if self.spec.wins is not None and not self.projection.trainable:
            self.report(
                "wins",
                "the weights are not trained by gradient; leave it out, or say trainable: true of the projection",
            )
        if not rule.moves_weights:
            return
        unit = describe_unit(self.dimensions[WEIGHT])
        if rule.bounds is None or (signed and (self.spec.bounds is None or self.spec.bounds.min is None)):
            both = "min and max" if signed else "max"
            self.report(
                "bounds", f"this rule moves weights and nothing holds them; give bounds: {{max: …}} with {both}, {unit}"
            )
            return
        low, high = rule.bounds
        if low > high:
            self.report("bounds", f"expected min <= max, got {low:g} and {high:g}")
        if low < 0 and not signed:
            self.report(
                "bounds.min",
                f"this rule could move a weight across zero, and the sign belongs to '{self.pre}'; give a magnitude >= 0",
            )
        if self.projection.trainable and self.spec.wins is None:
            self.report(
                "wins",
                "the weights are trained by gradient as well; say wins: plasticity (the rule runs on while gradients are taken, "
                "which set the weights it starts from) or wins: gradient (the rule rests while gradients are taken)",
            )
