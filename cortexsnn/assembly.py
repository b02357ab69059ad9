"""A population's neuron put together from its pieces and checked: one table of names with their dimensions."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping

from . import expression as ex
from .dimensions import check_dimensions
from .equations import Equation, equation_lines, put_in, read_equation, resolve
from .errors import ExpressionError, UnitError, unknown
from .model import Model, Ode
from .nametable import NameTable, Report, hidden_names
from .spec import Circuit, Neuron, Population, Port, Reduction, Trainable
from .units import DIMENSIONLESS, TIME, Dimension, expect, multiply
from .values import Number, check_size, describe_unit, dimension_of


def assemble(circuit: Circuit, population: Population, report: Report) -> Model | None:
    """Put the pieces of ``population`` together and check them.

    Parameters
    ----------
    circuit : Circuit
    population : Population
    report : callable(path, message)
        Paths start at the circuit's root for pieces (``neurons.lif.reset``); those of the population's own fields
        start with a dot (``.parameters.tau``).

    Returns
    -------
    Model or None
        None where a piece is unknown, so that there is nothing to put together.
    """
    absent = [name for name in population.pieces if name not in circuit.neurons]
    for name in absent:
        report(".neuron", unknown("neuron", name, circuit.neurons))
    if not population.pieces:
        report(".neuron", "expected at least one neuron; name one")
    if len(set(population.pieces)) < len(population.pieces):
        report(".neuron", "a piece is named twice; name it once")
    if absent or not population.pieces:
        return None
    return _Assembly({name: circuit.neurons[name] for name in population.pieces}, population, report).model()


class _Assembly(NameTable):
    """Collects the blocks of all pieces, then checks them against one table of names."""

    def __init__(self, pieces: Mapping[str, Neuron], population: Population, report: Report) -> None:
        super().__init__(self._counted(report))
        self.found = self.beside = 0
        self.pieces, self.population = pieces, population
        self.subexpressions: dict[str, str] = {}
        self.where: dict[str, str] = {}  # path of each ODE and subexpression, for messages
        self.odes: list[Ode] = []
        self.declared: list[str] = []
        self.blocks: dict[str, list[tuple[str, ex.Statement]]] = {"update": [], "reset": [], "after_reset": []}

    def _counted(self, report: Report) -> Report:
        def counted(path: str, message: str) -> None:
            self.found += 1
            report(path, message)

        return counted

    def model(self) -> Model | None:
        """The model; None where a definition has failed, since what reads it would only be reported as well."""
        for name, piece in self.pieces.items():
            self._read_piece(name, piece)
        parameters = self._merge_parameters()
        initial = {k: v for piece in self.pieces.values() for k, v in piece.initial.items()}
        self._beside(lambda: self._override(parameters, self.population.parameters))
        initial.update(self.population.initial)
        ports: dict[str, Port] = {k: v for piece in self.pieces.values() for k, v in piece.ports.items()}
        self._name_ports()
        states = self._name_states(parameters, initial, ports)
        self._beside(lambda: self._check_ports(ports, states))
        reductions = self._reductions()
        output = self._output(states)
        if self.found > self.beside:
            return None
        # Formed after the update: only after_reset and other populations may read it.
        formed = {output.target: self.dimensions.pop(output.target)} if output else {}
        self._check_blocks({*states}, formed)
        self.refuse(hidden_names(ports, len(self.odes)))
        threshold = self._threshold(output)
        table = resolve(self.subexpressions, lambda name, function: self.guard(self.where[name], function))
        added = self._adds(ports, table)
        self.dimensions |= formed
        joined = {n: self._put_in(self.where[n], t, added) for n, t in table.items()} | added

        def ode(o: Ode) -> Ode:
            return Ode(o.name, self._put_in(self.where[o.name], o.expression, joined), o.unless_refractory)

        def reduction(name: str, r: Reduction) -> Reduction:
            return Reduction(op=r.op, of=self._put_in(self.where[f"reductions.{name}"], r.of, joined))

        return Model(
            odes=tuple(map(ode, self.odes)),
            update=self._block("update", joined),
            output=self._statement(self._path_of("output"), output, joined) if output else None,
            threshold=self._put_in(self._path_of("threshold"), threshold, table, "1 < 0") if threshold else None,
            reset=self._block("reset", table),
            after_reset=self._block("after_reset", table),
            reductions={name: reduction(name, r) for name, r in reductions.items()},
            ports=ports,
            states=states,
            parameters=parameters,
            initial=initial,
            trainable=self._trainable(parameters, states),
            refractory=self._refractory(parameters),
            threshold_scale=self._threshold_scale(threshold),
            method=self._single("method"),
            dimensions=self.dimensions,
        )

    def explained(self, message: str) -> str:
        """An unknown name may be one that another piece was expected to bring: say which pieces there are."""
        if len(self.pieces) > 1 and "unknown name '" in message:
            return f"{message} The pieces here are {' and '.join(self.pieces)}."
        return message

    def _beside(self, check: Callable[[], None]) -> None:
        """A check whose problems leave all names and dimensions known, so that what reads them can be checked all the same."""
        before = self.found
        check()
        self.beside += self.found - before

    # -- reading ------------------------------------------------------------------------------------------------

    def _read_piece(self, name: str, piece: Neuron) -> None:
        path = f"neurons.{name}"
        lines: list[str] = []
        self.guard(f"{path}.equations", lambda: lines.extend(equation_lines(piece.equations)))
        for line in lines:
            self.guard(f"{path}.equations", self._add_equation, name, line)
        for kind, block in self.blocks.items():
            text = getattr(piece, kind)
            self.guard(f"{path}.{kind}", lambda b=block, t=text: b.extend((name, s) for s in ex.statements(t)))

    def _add_equation(self, piece: str, line: str) -> None:
        equation: Equation = read_equation(line)
        name, path = equation.name, f"neurons.{piece}.equations.{equation.name}"
        self.claim(name, piece, f"neurons.{piece}.equations")
        self.dimensions[name] = self.dimension_of_unit(equation.unit, path)
        for flag in equation.flags:
            if flag != "unless refractory" or equation.kind != "ode":
                allowed = "only '(unless refractory)' is, on differential equations"
                self.report(path, f"flag '{ex.shorten(flag)}' is not supported; {allowed}")
        self.where[name] = path
        body = ["0"]  # after reporting, so that its name is known all the same
        if equation.kind != "state":
            self.guard(path, lambda: body.append(ex.render(ex.accept_number(equation.body))))
        if equation.kind == "ode":
            self.odes.append(Ode(name, body[-1], "unless refractory" in equation.flags))
        elif equation.kind == "subexpression":
            self.subexpressions[name] = body[-1]
        else:
            self.declared.append(name)

    def _merge_parameters(self) -> dict[str, Number]:
        merged: dict[str, Number] = {}
        for name, piece in self.pieces.items():
            for key, value in piece.parameters.items():
                self.claim(key, name, f"neurons.{name}.parameters")
                merged[key] = value
                self.guard(f"neurons.{name}.parameters.{key}", self._learn_dimension, key, value)
        return merged

    def _learn_dimension(self, name: str, value: Number) -> None:
        self.dimensions[name] = DIMENSIONLESS
        self.dimensions[name] = dimension_of(value)
        check_size(value, self.population.n, "neuron")

    def _override(self, parameters: dict[str, Number], changes: Mapping[str, Number]) -> None:
        for name, value in changes.items():
            if name not in parameters:
                self.report(f".parameters.{name}", unknown("parameter", name, parameters))
            elif self.guard(f".parameters.{name}", self._same_dimension, name, value):
                parameters[name] = value

    def _same_dimension(self, name: str, value: Number) -> None:
        found, wanted = dimension_of(value), self.dimensions.get(name, DIMENSIONLESS)
        if found != wanted and not (value == 0):
            raise UnitError(f"expected {describe_unit(wanted)}, got {describe_unit(found)}; give it with its unit")
        check_size(value, self.population.n, "neuron")

    def _name_ports(self) -> None:
        for name, piece in self.pieces.items():
            for key, port in piece.ports.items():
                path = f"neurons.{name}.ports.{key}"
                dimension = self.dimension_of_unit(port.unit, f"{path}.unit")
                if port.kind == "pulse":
                    self.claim(key, name, f"neurons.{name}.ports")
                    self.dimensions[key] = dimension
                    continue
                wanted = self.dimensions.setdefault(key, dimension)
                if wanted != dimension:
                    got = f"expected {describe_unit(wanted)} as its state has, got '{ex.shorten(port.unit)}'"
                    self.report(f"{path}.unit", f"{got}; make them equal")
                if self._holder("ports", key) != name:
                    self.report(path, f"'{self._holder('ports', key)}' has this port too; keep one")

    def _name_states(
        self, parameters: Mapping[str, Number], initial: Mapping[str, Number], ports: Mapping[str, Port]
    ) -> tuple[str, ...]:
        """States: ODE variables, declared names, and whatever update and after_reset assign."""
        fixed = dict.fromkeys((n for n, p in ports.items() if p.kind == "pulse"), "pulse port")
        fixed |= dict.fromkeys(parameters, "parameter") | dict.fromkeys(self.subexpressions, "subexpression")
        candidates = dict.fromkeys([*(o.name for o in self.odes), *self.declared])
        for kind in ("update", "after_reset"):
            for piece, statement in self.blocks[kind]:
                name, path = statement.target, f"neurons.{piece}.{kind}"
                if name in fixed:
                    self.report(path, f"'{name}' is a {fixed[name]} and cannot be assigned; assign a state")
                    continue
                if name not in self.owner and name not in self.pieces[piece].modifies:
                    self.claim(name, piece, path)
                candidates[name] = None
        self._check_modified(candidates)
        for name in candidates:
            if name not in self.dimensions:
                self.dimensions[name] = DIMENSIONLESS
                if name in initial:
                    self.guard(self._initial_path(name), self._learn_dimension, name, initial[name])
        for name, value in initial.items():
            if name not in candidates:
                self.report(self._initial_path(name), unknown("state", name, candidates))
            else:
                self.guard(self._initial_path(name), self._same_dimension, name, value)
        return tuple(candidates)

    def _check_modified(self, states: Mapping[str, None]) -> None:
        """A piece assigns states of another only if it says so; two pieces that mean different things by a name are told."""
        for kind in ("update", "after_reset"):
            for piece, statement in self.blocks[kind]:
                name, owner = statement.target, self.owner.get(statement.target)
                if name in states and owner not in (None, piece) and name not in self.pieces[piece].modifies:
                    clash = f"'{name}' is a state of '{owner}' and of '{piece}'"
                    self.report(
                        f"neurons.{piece}.{kind}",
                        f"{clash}; rename one, or list it under modifies to change the other's",
                    )
        for piece, neuron in self.pieces.items():
            for name in neuron.modifies:
                if name not in states or self.owner.get(name) in (None, piece):
                    others = [s for s in states if self.owner.get(s) not in (None, piece)]
                    self.report(f"neurons.{piece}.modifies", unknown("state of another piece", name, others))

    def _initial_path(self, name: str) -> str:
        if name in self.population.initial:
            return f".initial.{name}"
        return f"neurons.{self._holder('initial', name)}.initial.{name}"

    def _holder(self, kind: str, key: str) -> str:
        return next(name for name, piece in self.pieces.items() if key in getattr(piece, kind))

    # -- checking -----------------------------------------------------------------------------------------------

    def _check_ports(self, ports: Mapping[str, Port], states: tuple[str, ...]) -> None:
        for name, port in ports.items():
            path = f"neurons.{self._holder('ports', name)}.ports.{name}"
            if port.kind == "jump" and name not in states:
                known = f"(states: {', '.join(states) or 'none'})"
                self.report(path, f"a jump port adds to the state of its name; there is no state '{name}' {known}")
            if port.charge and (port.kind != "jump" or name not in {o.name for o in self.odes}):
                needs = "needs a jump port on a state with a differential equation"
                self.report(path, f"charge: conserved {needs}; leave it out")

    def _reductions(self) -> dict[str, Reduction]:
        found: dict[str, Reduction] = {}
        dimensions: dict[str, Dimension] = {}
        for name, piece in self.pieces.items():
            for key, reduction in piece.reductions.items():
                self.claim(key, name, f"neurons.{name}.reductions")
                dimensions[key] = DIMENSIONLESS
                path = self.where[f"reductions.{key}"] = f"neurons.{name}.reductions.{key}"

                def learn(key: str = key, text: str = reduction.of) -> None:
                    dimensions[key] = self.dimension_of_text(text)

                if self.guard(path, learn):
                    found[key] = reduction
        self.dimensions.update(dimensions)  # only now: all are formed at once, so none may read another
        return found

    def _learn_expression(self, name: str, text: str) -> None:
        self.dimensions[name] = self.dimension_of_text(text)

    def _output(self, states: tuple[str, ...]) -> ex.Statement | None:
        text = self._single("output")
        if text is None:
            return None
        try:
            lines = ex.statements(text)
            if len(lines) != 1:
                raise ExpressionError("expected one line such as 'r = clip(x, 0, inf)'")
            if lines[0].target in states:
                raise ExpressionError(f"'{lines[0].target}' is a state; give the output a name of its own")
            self.claim(lines[0].target, self._holder_of_single("output"), self._path_of("output"))
            self._learn_expression(lines[0].target, lines[0].expression)
            return lines[0]
        except (ExpressionError, UnitError) as error:
            self.report(self._path_of("output"), str(error))
            return None

    def _check_blocks(self, states: set[str], formed: Mapping[str, Dimension]) -> None:
        for ode in self.odes:
            wanted = multiply(self.dimensions[ode.name], TIME, -1)
            self.guard(self.where[ode.name], self.expect, ode.expression, wanted, ode.name)
        for name, text in self.subexpressions.items():
            self.guard(self.where[name], self.expect, text, self.dimensions[name], name)
        for kind, lines in self.blocks.items():
            for piece, statement in lines:
                path = f"neurons.{piece}.{kind}"
                if statement.target not in states:
                    if kind == "reset":
                        self.report(path, unknown("state", statement.target, sorted(states)))
                    continue
                extra = {"spiked": DIMENSIONLESS, **formed} if kind == "after_reset" else {}
                wanted = self.dimensions[statement.target]
                self.guard(path, self.expect, statement.expression, wanted, statement.target, extra)

    def _threshold(self, output: ex.Statement | None) -> str | None:
        text = self._single("threshold")
        if text is None:
            for name, piece in self.pieces.items():
                if piece.reset:
                    self.report(f"neurons.{name}.reset", "a reset needs a threshold; add 'threshold: v > v_threshold'")
                if piece.refractory is not None:
                    self.report(f"neurons.{name}.refractory", "a refractory period needs a threshold; add one")
            return None
        path = self._path_of("threshold")
        if output:
            self.report(path, "a neuron has a threshold or an output, not both; keep one")
        try:
            tree = ex.accept(text)
            if not ex.compares(tree):
                raise ExpressionError(f"expected a condition such as 'v > v_threshold', got '{ex.shorten(text)}'")
            check_dimensions(ex.render(tree), self.known())
            return ex.render(tree)
        except (ExpressionError, UnitError) as error:
            self.report(path, str(error))
            return None

    def _threshold_scale(self, threshold: str | None) -> float | None:
        value = self._single("threshold_scale")
        if threshold is None:
            return None
        compared = next(n for n in ast.walk(ex.parse(threshold)) if isinstance(n, ast.Compare))
        dimension = self.dimension_of_text(ex.render(compared.left))
        if value is None:
            return 1.0 if dimension == DIMENSIONLESS else None
        try:
            scale = expect(value, dimension)
            if scale <= 0:
                raise UnitError(f"expected a number above 0, got {value}")
            return scale
        except UnitError as error:
            self.report(self._path_of("threshold_scale"), str(error))
            return None

    def _refractory(self, parameters: Mapping[str, Number]) -> float | str | None:
        value = self._single("refractory")
        if value is None:
            return None
        path = self._path_of("refractory")
        for name, piece in self.pieces.items():
            if value in piece.trainable:
                self.report(
                    f"neurons.{name}.trainable.{value}",
                    f"'{value}' is the refractory period, which counts whole steps and has no gradient; leave it out",
                )
        if isinstance(value, str) and ex.is_name(value):
            if value not in parameters or self.dimensions[value] != TIME:
                wanted = "a time such as '2 ms' or the name of a parameter that is a time"
                self.report(
                    path, f"expected {wanted}, got '{value}'; known parameters: {', '.join(parameters) or 'none'}"
                )
            return value
        self.guard(path, lambda: expect(value, TIME))
        return value

    def _trainable(self, parameters: Mapping[str, Number], states: tuple[str, ...]) -> dict[str, Trainable]:
        found: dict[str, Trainable] = {}
        for name, piece in self.pieces.items():
            for key, trainable in piece.trainable.items():
                path = f"neurons.{name}.trainable.{key}"
                if key not in parameters and key not in states:
                    self.report(path, unknown("parameter or state", key, [*parameters, *states]))
                    continue
                found[key] = trainable
                self.guard(path, self._check_bounds, key, trainable)
        return found

    def _check_bounds(self, name: str, trainable: Trainable) -> None:
        bounds = [expect(b, self.dimensions[name]) for b in (trainable.min, trainable.max) if b is not None]
        if bounds != sorted(bounds):
            raise UnitError(f"expected min <= max, got {trainable.min} and {trainable.max}")

    # -- composing ----------------------------------------------------------------------------------------------

    def _adds(self, ports: Mapping[str, Port], table: Mapping[str, str]) -> dict[str, str]:
        added: dict[str, str] = {}
        pulses = [p for p in ports if ports[p].kind == "pulse"]
        for name, piece in self.pieces.items():
            for port, text in piece.adds.items():
                path = f"neurons.{name}.adds.{port}"
                if port not in pulses:
                    others = ", ".join(f"'{n}'" for n in self.pieces if n != name) or "none"
                    self.report(
                        path,
                        f"{unknown('pulse port', port, pulses)} '{name}' needs it from another piece; there are: {others}",
                    )
                elif self.guard(path, self.expect, text, self.dimensions[port], port):
                    added[port] = f"{added.get(port, port)} + ({self._put_in(path, text, table)})"
        return {port: f"({text})" for port, text in added.items()}

    def _put_in(self, path: str, text: str, table: Mapping[str, str], otherwise: str = "0") -> str:
        """``text`` with subexpressions put in; ``otherwise`` after reporting that it grows too large."""
        result = [otherwise]
        self.guard(path, lambda: result.append(put_in(text, table)))
        return result[-1]

    def _statement(self, path: str, statement: ex.Statement, table: Mapping[str, str]) -> ex.Statement:
        return ex.Statement(statement.target, self._put_in(path, statement.expression, table))

    def _block(self, kind: str, table: Mapping[str, str]) -> tuple[ex.Statement, ...]:
        return tuple(self._statement(f"neurons.{piece}.{kind}", s, table) for piece, s in self.blocks[kind])

    # -- shared -------------------------------------------------------------------------------------------------

    def _single(self, kind: str) -> str | None:
        """The value of a field that at most one piece may give."""
        given = {name: getattr(p, kind) for name, p in self.pieces.items() if getattr(p, kind) is not None}
        if len(given) > 1:
            first, second = list(given)[:2]
            self.report(f"neurons.{second}.{kind}", f"'{first}' and '{second}' both give a {kind}; keep one")
        return next(iter(given.values()), None)

    def _holder_of_single(self, kind: str) -> str:
        return next(name for name, p in self.pieces.items() if getattr(p, kind) is not None)

    def _path_of(self, kind: str) -> str:
        return f"neurons.{self._holder_of_single(kind)}.{kind}"
