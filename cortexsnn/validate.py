"""Whether a circuit means something: names, units, signs, times, connections. All problems at once, with paths."""

from __future__ import annotations

from collections.abc import Callable

from . import expression as ex
from .assembly import assemble
from .drive import MAX_COUNT
from .errors import ExpressionError, InputError, Problem, SpecError, UnitError, unknown
from .grid import check_steps, read_steps
from .model import Model
from .spec import Array, Circuit, Distribution, Input, Population
from .units import RATE, TIME, expect, parse_unit
from .validate_projection import ProjectionCheck
from .validate_projection import has_zero_delay as has_zero_delay
from .values import Number, check_size, describe_unit, dimension_of, lower_bound, scaled
from .wiring import endpoint, find_cycle


def validate(circuit: Circuit) -> Circuit:
    """Return ``circuit`` if it is sound.

    Raises
    ------
    SpecError
        With every problem found.
    InputError
        Not a Circuit.
    """
    if not isinstance(circuit, Circuit):
        raise InputError(f"circuit: expected a Circuit, got {type(circuit).__name__}; load one with cortexsnn.load")
    found = _Validation(circuit)
    found.run()
    if found.problems:
        raise SpecError(dict.fromkeys(found.problems))
    return circuit


class _Validation:
    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit
        self.problems: list[Problem] = []
        self.models: dict[str, Model] = {}
        self.dt = 0.0

    def report(self, path: str, message: str) -> None:
        self.problems.append(Problem(path, message))

    def guard(self, path: str, function: Callable[[], object]) -> bool:
        try:
            function()
        except (UnitError, ExpressionError) as error:
            self.report(path, str(error))
            return False
        return True

    def run(self) -> None:
        circuit = self.circuit
        self._check_times()
        self._check_names()
        for name, population in circuit.populations.items():
            self._check_population(name, population)
        for name, drive in circuit.inputs.items():
            self._check_input(name, drive)
        for name, projection in circuit.projections.items():
            ProjectionCheck(circuit, self.models, self.dt, name, projection, self.report).run()
        for name, population in circuit.populations.items():
            self._check_history(name, population)
        self._check_cycles()
        self._check_readout()
        self._check_initialisation()

    def _check_times(self) -> None:
        def dt() -> None:
            self.dt = expect(self.circuit.dt, TIME)
            if self.dt <= 0:
                raise UnitError(f"expected a time above 0, got '{self.circuit.dt}'")

        def duration() -> None:
            if self.circuit.duration is not None and read_steps(self.circuit.duration, self.dt) < 1:
                raise UnitError(f"expected at least one step of {self.dt:g} ms, got '{self.circuit.duration}'")

        if self.guard("dt", dt):
            self.guard("duration", duration)

    def _check_names(self) -> None:
        circuit = self.circuit
        for kind in ("neurons", "populations", "inputs", "projections"):
            for name in getattr(circuit, kind):
                if not ex.is_name(name):
                    wanted = "expected a name of at most 64 letters, digits and underscores, a letter first"
                    self.report(f"{kind}.{ex.shorten(name)}", f"{wanted}; rename it")
        for name in circuit.inputs:
            if name in circuit.populations:
                self.report(f"inputs.{name}", "a population has this name too; rename one")
        if not circuit.populations:
            self.report("populations", "expected at least one population; add one")

    def _check_population(self, name: str, population: Population) -> None:
        path = f"populations.{name}"
        self._check_size(path, population)

        def report(where: str, message: str) -> None:
            self.report(path + where if where.startswith(".") else where, message)

        model = assemble(self.circuit, population, report)
        if model is None:
            return
        self.models[name] = model
        if self.dt > 0 and model.refractory is not None:
            self._check_refractory(path, population, model.refractory, model)

    def _check_refractory(self, path: str, population: Population, value: float | str, model: Model) -> None:
        holder = next(piece for piece in population.pieces if self.circuit.neurons[piece].refractory is not None)
        if not (isinstance(value, str) and ex.is_name(value)):
            self.guard(f"neurons.{holder}.refractory", lambda: read_steps(value, self.dt))
            return
        parameter = model.parameters.get(value)
        if parameter is None or model.dimensions[value] != TIME:
            return
        own = value in population.parameters
        where = f"{path}.parameters.{value}" if own else f"neurons.{holder}.parameters.{value}"
        self.guard(where, lambda: self._whole_steps(parameter))

    def _whole_steps(self, value: Number) -> None:
        """A time that counts steps; a drawn one is rounded to the grid."""
        if isinstance(value, Array):
            check_steps(scaled(value), self.dt)
        elif isinstance(value, Distribution):
            if lower_bound(value) < 0:
                raise UnitError("expected times >= 0; draw from positive numbers")
        else:
            read_steps(value, self.dt)

    def _check_size(self, path: str, sized: Population | Input) -> None:
        if (sized.size is None) == (sized.shape is None):
            self.report(path, "expected either size: 100 or shape: [2, 8, 8]; give one of them")
        elif sized.n < 1 or sized.n > 2**31 - 2:
            self.report(path, f"expected between 1 and 2**31 - 2 cells, got {sized.n}; change its size")

    def _check_input(self, name: str, drive: Input) -> None:
        path = f"inputs.{name}"
        self._check_size(path, drive)
        self.guard(f"{path}.unit", lambda: parse_unit(drive.unit))
        if drive.kind != "current" and drive.unit != "1":
            self.report(f"{path}.unit", "only an input of kind current has a unit; leave it out")
        if (drive.kind == "poisson") != (drive.rate is not None):
            remedy = "add one" if drive.kind == "poisson" else "leave it out"
            self.report(f"{path}.rate", f"kind: poisson needs a rate such as '10 Hz', other kinds have none; {remedy}")
        elif drive.rate is not None:
            self.guard(f"{path}.rate", lambda: self._check_rate(drive))
        if drive.rows is not None:
            self.guard(f"{path}.rows", lambda: self._check_rows(drive))
        if drive.sources is not None and drive.kind != "poisson":
            self.report(f"{path}.sources", "only kind: poisson has sources in a channel; leave it out")

    def _check_rate(self, drive: Input) -> None:
        rate = drive.rate
        if rate is None:
            return
        if dimension_of(rate) != RATE:
            raise UnitError(f"expected a rate such as '10 Hz', got {describe_unit(dimension_of(rate))}")
        check_size(rate, drive.n, "channel")
        if lower_bound(rate) < 0:
            raise UnitError("expected a rate >= 0; make it positive")
        if not isinstance(rate, Distribution):
            highest = float(scaled(rate).max()) if isinstance(rate, Array) else lower_bound(rate)
            most = 1.0 if drive.sources is None else MAX_COUNT
            if highest * self.dt * (drive.sources or 1) > most:
                found = f"rate times dt is {highest * self.dt:g} spikes per step of a source"
                raise UnitError(f"{found}, at most {most:g} are possible in a channel; lower one of them")

    def _check_rows(self, drive: Input) -> None:
        rows = drive.rows
        if drive.kind != "current":
            raise UnitError("only kind: current has rows of its own; leave them out")
        if rows is None or isinstance(rows, Distribution):
            raise UnitError("expected a number, or numbers (step,) or (step, channel)")
        found, wanted = dimension_of(rows), parse_unit(drive.unit).dimension
        if found != wanted:
            raise UnitError(f"expected {describe_unit(wanted)} as the input's unit says, got {describe_unit(found)}")
        shape = rows.values.shape if isinstance(rows, Array) else ()
        if shape and (len(shape) > 2 or shape[0] < 1 or (len(shape) == 2 and shape[1] != drive.n)):
            raise UnitError(f"expected numbers (step,) or (step, {drive.n}), got {shape}")

    def _check_history(self, name: str, population: Population) -> None:
        """``after_reset`` sees arrivals at a port only: a port that other pieces feed through ``adds`` alone is always 0 there."""
        reached = {
            port
            for p in self.circuit.projections.values()
            if (end := endpoint(p.post)) and end[0] == name
            for port in ([p.port] if p.port else p.deliver or ())
        }
        pieces = {n: self.circuit.neurons[n] for n in population.pieces if n in self.circuit.neurons}
        for n, piece in pieces.items():
            try:
                read = set().union(*(ex.names(s.expression) for s in ex.statements(piece.after_reset)))
            except ExpressionError:
                continue  # reported where the block is checked
            for other, feeding in pieces.items():
                for port in sorted(set(feeding.adds) & read - reached):
                    if other != n:
                        what = f"reads port '{port}' of '{name}', where nothing arrives: '{other}' adds to it within the update only"
                        self.report(
                            f"neurons.{n}.after_reset",
                            f"{what}; read what '{other}' adds instead (self_prediction: history)",
                        )

    def _check_cycles(self) -> None:
        zero = [(p.pre, p.post) for p in self.circuit.projections.values() if has_zero_delay(p)]
        cycle = find_cycle((endpoint(a)[0], endpoint(b)[0]) for a, b in zero if endpoint(a) and endpoint(b))  # type: ignore[index]
        if cycle:
            path = " -> ".join(cycle)
            self.report("projections", f"zero delays form a cycle: {path}; give one of them a delay of at least dt")

    def _check_readout(self) -> None:
        name = self.circuit.readout
        if name is None:
            return
        if name not in self.circuit.populations:
            self.report("readout", unknown("population", name, self.circuit.populations))
        elif name in self.models and self.models[name].output is None:
            self.report("readout", f"'{name}' has no output; a readout is a graded population, add 'output: r = …'")

    def _check_initialisation(self) -> None:
        for i, rule in enumerate(self.circuit.initialisation):
            path = f"initialisation.{i}"
            for field in ("excitatory", "to_inhibitory", "inhibitory"):
                if getattr(rule, field) not in self.circuit.projections:
                    self.report(
                        f"{path}.{field}", unknown("projection", getattr(rule, field), self.circuit.projections)
                    )
            if rule.gain is not None:
                population, _, parameter = rule.gain.partition(".")
                if population not in self.models or parameter not in self.models[population].parameters:
                    got = ex.shorten(rule.gain)
                    self.report(f"{path}.gain", f"expected 'population.parameter' such as 'I.g_I', got '{got}'")
