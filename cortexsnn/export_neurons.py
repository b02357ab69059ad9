"""Populations in an exported Brian2 script: a NeuronGroup each."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable

import numpy as np

from .export_language import assignment, base_unit, code, number, quantity, times_unit, value_of
from .export_methods import Integration, integration
from .export_plan import Plan
from .expression import Statement, is_name, names
from .grid import read_steps
from .spec import Array, Distribution
from .units import DIMENSIONLESS, TIME, Dimension, coherent_name, multiply
from .values import Number

INDENT = "    "
WIDTH = 116


class Cells:
    """One population of the script in the making.

    Attributes
    ----------
    group : str
        Its name in Python.
    declared : list of str
        Variables beside those of the circuit, as lines of equations.
    behind : list of str
        Lines that follow the group.
    equations : tuple of str
        The model, once :meth:`compose` has run.
    """

    def __init__(self, plan: Plan, name: str) -> None:
        self.plan, self.name, self.group = plan, name, f"pop_{name}"
        self.model, self.blocks, self.table = plan.models[name], plan.blocks[name], plan.names[name]
        self.declared: list[str] = []
        self.behind: list[str] = []
        self.refractory = self._refractory()
        self.reads_spiked = any("spiked" in names(s.expression) for s in self.blocks.after_reset)
        self.seen = self._read_by_synapses()
        self.step: Integration | None = None
        self.external: dict[str, str] = {}
        self.equations: tuple[str, ...] = ()

    def compose(self) -> None:
        """Write the equations and everything that declares a variable for them."""
        self.step = integration(self.plan, self.name, self.refractory is not None)
        ports = [line for port in self.model.ports for line in self._port(port)]
        self.external = self._parameters()
        self._propagators()
        if self.reads_spiked:
            self.declared.append("spiked : 1")
        self.equations = (*self._equations(), *ports, *self.declared)

    def section(self, equations: str | None) -> list[str]:
        """Comment, group and numbers of the population; ``equations`` is the name of a text that several have."""
        arguments = [
            f"{self.plan.circuit.populations[self.name].n},",
            *([f"{equations},"] if equations else triple("", self.equations)),
            *self._spiking(),
            *self._method(),
            *(dictionary("namespace", self.external) if self.external else []),
        ]
        made = [f"{self.group} = NeuronGroup(", *indented(arguments), ")"]
        return [*self._head(), *made, *self._placed(), *self.behind, *self._initial()]

    def assign(self, statement: Statement) -> str:
        """A statement of ``update``, ``reset``, ``after_reset`` or ``output`` in Brian2's syntax."""
        self.uses(statement.expression)
        return assignment(statement, self.table, self.model.dimensions.get(statement.target, DIMENSIONLESS))

    def uses(self, text: str) -> None:
        """Note the helper functions that an expression calls."""
        if "where(" in text:
            self.plan.helpers.add("where")

    def charge(self, port: str) -> str:
        """Variable with the factor by which a jump conserves charge."""
        return self.table[f"charge_{port}"]

    # -- head and equations -----------------------------------------------------------------------------------------------

    def _head(self) -> list[str]:
        population = self.plan.circuit.populations[self.name]
        sizes = population.shape or ()
        shape = f" ({' x '.join(map(str, sizes))})" if len(sizes) > 1 else ""
        lines = ["", f"{f'# -- {self.name}: {population.n} cells{shape}, {population.transmitter} ':-<{WIDTH}}"]
        changed = [f"{n} is {self.table[n]}" for n in self.model.dimensions if self.table[n] != n]
        if changed:
            lines += commented(f"Brian2 has these names itself: {', '.join(changed)}.")
        return [*lines, *(commented(self.step.why) if self.step and self.step.why else [])]

    def _equations(self) -> Iterable[str]:
        for name, kind, body, held in self.blocks.equations:
            self.uses(body)
            dimension, own = self.model.dimensions[name], self.table[name]
            unit = base_unit(dimension)
            if kind == "ode":
                flag = " (unless refractory)" if held and self.refractory else ""
                yield f"d{own}/dt = {value_of(body, self.table, multiply(dimension, TIME, -1))} : {unit}{flag}"
            elif kind == "subexpression":
                yield f"{own} = {value_of(body, self.table, dimension)} : {unit}"
            else:
                yield f"{own} : {unit}"
        if self.blocks.output:
            name = self.blocks.output.target
            yield f"{self.table[name]} : {base_unit(self.model.dimensions[name])}  # output"

    def _port(self, port: str) -> list[str]:
        """Declarations of a port; a jump port is a state and has none but its sums."""
        sums, added = self.plan.arrivals[self.name, port]
        unit, own = base_unit(self.model.dimensions[port]), self.table[port]
        lines = [f"{name} : {unit}  # sum over {projection}" for projection, name in sums.items()]
        if self.model.ports[port].kind == "jump":
            return [*lines, *self._charge(port)]
        if added or not sums:
            lines.append(f"{added or own} : {unit}  # arrives in this step")
        if own not in (added, *sums.values()) and sums:
            lines.append(f"{own} = {' + '.join([*sums.values(), *([added] if added else [])])} : {unit}")
        return lines

    def _charge(self, port: str) -> list[str]:
        if not self.model.ports[port].charge:
            return []
        wish = f"charge_{port}"
        name, values = self.plan.own(self.name, wish), self.plan.job.constants[self.name][wish]
        text = self.numbers(f"populations.{self.name}.{wish}", values, DIMENSIONLESS)
        self.behind.append(f"{self.group}.{name} = {text}  # (tau/dt)*(1 - exp(-dt/tau)): w*tau arrives at any dt")
        return [f"{name} : 1 (constant)"]

    # -- threshold, reset, refractory period, method ----------------------------------------------------------------------

    def _refractory(self) -> str | None:
        """Text of the argument; None without a period."""
        value, dt = self.model.refractory, self.plan.program.dt
        if value is None:
            return None
        if not (isinstance(value, str) and is_name(value)):
            return quantity(value, TIME) if read_steps(value, dt) else None
        times = self.plan.realisation.parameters[self.name][value]
        steps = np.floor(times / dt + 0.5)
        if not steps.any():
            return None
        if steps.min() == 0 and any(n in self.model.flagged for n, p in self.model.ports.items() if p.kind == "jump"):
            self.plan.report(
                f"populations.{self.name}.parameters.{value}",
                "is 0 for some cells, and Brian2 would lose their jumps in the step after a spike; give all of them at least dt",
            )
        if np.allclose(times / dt, steps, rtol=0, atol=1e-6):
            return f"'{self.table[value]}'"
        wish = f"{value}_steps"
        name = self.plan.own(self.name, wish)
        self.declared.append(f"{name} : 1 (constant)  # {self.table[value]}, rounded to the grid")
        stored = self.plan.store(f"populations.{self.name}.parameters.{wish}", steps.astype(np.int32))
        self.behind.append(f"{self.group}.{name} = {stored}")
        return f"'{name} * dt'"

    def _spiking(self) -> list[str]:
        if self.blocks.threshold is None:
            return []
        self.uses(self.blocks.threshold)
        reset = [self.assign(s) for s in self.blocks.reset] + (["spiked = 1"] if self.reads_spiked else [])
        return [
            f"threshold='{code(self.blocks.threshold, self.table)}',",
            *(triple("reset=", reset) if len(reset) > 1 else [f"reset='{''.join(reset)}',"]),
            *([f"refractory={self.refractory},"] if self.refractory else []),
        ]

    def _method(self) -> list[str]:
        if self.step is None:
            return []
        if not self.step.lines:
            return [f"method='{self.step.name}',"]
        return ["method=written_out('''", *indented(self.step.lines), "'''),"]

    def _propagators(self) -> None:
        step = self.step
        if step is None or not step.propagators:
            return
        used = sorted(set(re.findall(r"\b[PQ]_\d+_\d+(?:_held)?\b", "\n".join(step.lines))))
        self.declared += [f"{name} : 1 (constant)  # propagator, in SI units" for name in used]
        for propagator in step.propagators:
            states = ", ".join(self.table[s] for s in propagator.states)
            rows = [f"[{', '.join(map(self._in_python, row))}]," for row in propagator.matrix]
            suffix = f", '{propagator.suffix}'" if propagator.suffix else ""
            held = " while refractory" if propagator.suffix else ""
            units = ", ".join(coherent_name(self.model.dimensions[s]) for s in propagator.states)
            self.behind.append(
                f"set_propagators({self.group}, [{units}], [  # A of d({states})/dt = A ({states}) + b{held}"
            )
            self.behind += [*indented(rows), f"]{suffix})"]

    def _in_python(self, text: str) -> str:
        """An entry of A: parameters are read from the group, or from its namespace."""
        table = {}
        for name in self.model.parameters:
            own = self.table[name]
            table[name] = f"{self.group}.namespace['{own}']" if self._is_external(name) else f"{self.group}.{own}[:]"
        return code(text, table)

    def _placed(self) -> list[str]:
        if len(self.plan.program.stages) == 1:
            return []
        return [f"place({self.group}, {self.plan.stage(self.name)})"]

    # -- numbers ----------------------------------------------------------------------------------------------------------

    def _read_by_synapses(self) -> set[str]:
        """Parameters that a ``deliver`` reads, so that they must be variables of the group."""
        found: set[str] = set()
        for route in self.plan.routes.values():
            for text in (route.projection.deliver or {}).values():
                if route.pathway.pre == self.name:
                    found |= names(text)
                if route.pathway.post == self.name:
                    found |= {n.removesuffix("_post") for n in names(text) if n.endswith("_post")}
        return found & set(self.model.parameters)

    def _is_external(self, parameter: str) -> bool:
        """Whether a parameter is one number that only the population itself reads."""
        return self.plan.realisation.parameters[self.name][parameter].size == 1 and parameter not in self.seen

    def _parameters(self) -> dict[str, str]:
        """External parameters with their texts; the others become variables."""
        external = {}
        for name, value in self.model.parameters.items():
            dimension, own = self.model.dimensions[name], self.table[name]
            drawn = self.plan.realisation.parameters[self.name][name]
            text = self.value(f"populations.{self.name}.parameters.{name}", value, drawn, dimension)
            if self._is_external(name):
                external[own] = text
            else:
                self.declared.append(f"{own} : {base_unit(dimension)} (constant)")
                self.behind.insert(0, f"{self.group}.{own} = {text}{drawn_as(value)}")
        return external

    def _initial(self) -> Iterable[str]:
        for state in self.model.states:
            drawn = self.plan.realisation.initial[self.name][state]
            if drawn.any():  # Brian2 starts from 0 as well
                key, value = f"populations.{self.name}.initial.{state}", self.model.initial[state]
                text = self.value(key, value, drawn, self.model.dimensions[state])
                yield f"{self.group}.{self.table[state]} = {text}{drawn_as(value)}"

    def value(self, key: str, value: Number, drawn: np.ndarray, dimension: Dimension) -> str:
        """A value in Python: as written, or read from the data where it is an array or was drawn."""
        if isinstance(value, Distribution | Array):
            return self.numbers(key, drawn, dimension)
        return quantity(value, dimension)

    def numbers(self, key: str, values: np.ndarray, dimension: Dimension) -> str:
        """Numbers in coherent units, in Python."""
        if values.size == 1:
            return times_unit(number(float(values[0])), dimension)
        return times_unit(self.plan.store(key, values), dimension)


# -- layout -------------------------------------------------------------------------------------------------------------


def drawn_as(value: Number) -> str:
    """A comment behind what was drawn."""
    return f"  # drawn, {value.distribution}" if isinstance(value, Distribution) else ""


def commented(text: str) -> list[str]:
    """A comment, wrapped; for texts of our own and names."""
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ")


def indented(lines: Iterable[str]) -> list[str]:
    """Lines one level in."""
    return [f"{INDENT}{line}" for line in lines]


def triple(start: str, lines: Iterable[str]) -> list[str]:
    """An argument in triple quotes."""
    return [f"{start}'''", *lines, "''',"]


def filled(entries: Iterable[str], width: int = WIDTH - 8) -> list[str]:
    """Entries with their commas, side by side up to the width of a line."""
    lines = [""]
    for entry in entries:
        if lines[-1] and len(lines[-1]) + len(entry) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {entry}".strip()
    return [line for line in lines if line]


def dictionary(argument: str, entries: dict[str, str]) -> list[str]:
    """A keyword argument that is a mapping."""
    return [f"{argument}={{", *indented(filled(f"'{name}': {text}," for name, text in entries.items())), "},"]


def call(head: str, arguments: list[str], tail: str = "") -> list[str]:
    """A call on one line, or over several where that is too long."""
    line = f"{head}({', '.join(arguments)}){tail}"
    if len(line) <= WIDTH or len(arguments) < 2:
        return [line]
    return [f"{head}(", *indented(f"{argument}," for argument in arguments), f"){tail}"]
