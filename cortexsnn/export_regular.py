"""What runs beside the equations in an exported script: rows of inputs, sums, reductions, updates, the end of a step."""

from __future__ import annotations

from collections.abc import Iterable

from .export_language import base_unit, value_of
from .export_neurons import INDENT, Cells, indented
from .export_plan import Route
from .expression import Statement
from .values import dimension_of

_REDUCED = {
    "sum": "np.cumsum(values)[-1]",
    "mean": "np.cumsum(values)[-1]/values.size",
    "max": "values.max()",
    "min_positive": "values[values > 0].min(initial=np.inf)",
}


class Regular:
    """Statements of one population that Brian2's equations have no place for, each in its slot."""

    def __init__(self, cells: Cells) -> None:
        self.cells, self.plan, self.name = cells, cells.plan, cells.name
        self.slot = self.plan.slot("groups", self.name)

    def declare(self) -> None:
        """Variables that the statements need; before the group is written."""
        cells = self.cells
        for name in cells.model.reductions:
            unit = base_unit(cells.model.dimensions[name])
            cells.declared.append(
                f"{cells.table[name]} : {unit}  # {cells.model.reductions[name].op} over the population"
            )
            if self._stored(name) is None:
                cells.declared.append(f"{self.plan.own(self.name, f'{name}_of')} : {unit}")
        if cells.model.output:
            name = cells.model.output.target
            unit = base_unit(cells.model.dimensions[name])
            for late in range(1, self.plan.latest(self.name) + 1):
                steps = "step" if late == 1 else "steps"
                own = self.plan.own(self.name, late_name(name, late))
                cells.declared.append(f"{own} : {unit}  # output of {late} {steps} ago")

    def section(self) -> list[str]:
        """Lines behind the group."""
        self._check_masks()
        return [*self._rows(), *self._sums(), *self._reductions(), *self._update(), *self._end()]

    def _run(self, lines: list[str], slot: str, order: int = 0, comment: str = "") -> list[str]:
        ordered, said = f", order={order}" if order else "", f"  # {comment}" if comment else ""
        group = self.cells.group
        if len(lines) == 1:
            return [f"{group}.run_regularly('{lines[0]}', when='{slot}'{ordered}){said}"]
        return [f"{group}.run_regularly('''", *indented(lines), f"''', when='{slot}'{ordered}){said}"]

    def _rows(self) -> Iterable[str]:
        for route in self.plan.routes.values():
            if route.way == "rows" and route.pathway.post == self.name:
                yield from self._run([self._row(route)], "synapses", 0, route.pathway.name)

    def _row(self, route: Route) -> str:
        (port,), (delivery,) = route.ports, route.pathway.deliveries
        weight, edges = route.projection.weight, self.plan.job.edges[route.pathway.name]
        text = self.cells.value("", weight, edges.values, dimension_of(weight))
        rows = f"{rows_name(route)}(t, i)"
        charge = f" * {self.cells.charge(port)}" if delivery.scale else ""
        target = self.plan.arrivals[self.name, port].added
        return f"{target} {'+' if delivery.sign > 0 else '-'}= {text} * {rows}{charge}"

    def _sums(self) -> Iterable[str]:
        """Sums over projections of values join the state of a jump port."""
        for port, kind in self.cells.model.ports.items():
            sums = self.plan.arrivals[self.name, port].sums
            if kind.kind == "jump" and sums:
                lines = [f"{self.cells.table[port]} += {variable}" for variable in sums.values()]
                yield from self._run(lines, f"before_{self.slot}", 1)

    def _reductions(self) -> Iterable[str]:
        cells = self.cells
        for name, reduction in cells.model.reductions.items():
            values = self._stored(name)
            if values is None:
                values, text = cells.table[f"{name}_of"], self.cells.blocks.reductions[name]
                cells.uses(text)
                line = f"{values} = {value_of(text, cells.table, cells.model.dimensions[name])}"
                yield from self._run([line], f"before_{self.slot}", 2)
            function = f"reduce_{len(self.plan.reductions) + 1}"
            self.plan.reductions.append(function)
            yield from (
                "", "", f"@network_operation(when='before_{self.slot}', order=3)", f"def {function}():",
                f"{INDENT}values = {cells.group}.{values}_[:]",
                f"{INDENT}{cells.group}.{cells.table[name]}_ = {_REDUCED[reduction.op]}", "", "",
            )  # fmt: skip

    def _stored(self, name: str) -> str | None:
        """Variable that a reduction is over, if it is over one that is an array."""
        text, cells = self.cells.blocks.reductions[name], self.cells
        if text in cells.model.states:
            return cells.table[text]
        if text in cells.model.ports:
            sums, added = self.plan.arrivals[self.name, text]
            own = cells.table[text]
            return own if own in (added, *sums.values()) or not sums else None
        return None

    def _update(self) -> list[str]:
        blocks = self.cells.blocks
        lines = [
            *map(self.cells.assign, blocks.update),
            *map(self.cells.assign, [blocks.output] if blocks.output else []),
        ]
        return self._run(lines, self.slot, 1) if lines else []

    def _end(self) -> list[str]:
        cells = self.cells
        lines = [cells.assign(s) for s in cells.blocks.after_reset] + (["spiked = 0"] if cells.reads_spiked else [])
        comment = "" if lines else "pulses last one step"
        lines += self._travel()
        for port, kind in cells.model.ports.items():
            added = self.plan.arrivals[self.name, port].added
            if kind.kind == "pulse" and added:
                lines.append(f"{added} = {value_of('0', {}, cells.model.dimensions[port])}")
        return self._run(lines, "end", 0, comment) if lines else []

    def _travel(self) -> Iterable[str]:
        """An output that arrives later moves on by one step."""
        output, table = self.cells.model.output, self.cells.table
        for late in range(self.plan.latest(self.name), 0, -1) if output else ():
            before = table[late_name(output.target, late - 1)] if late > 1 else table[output.target]  # type: ignore[union-attr]
            yield f"{table[late_name(output.target, late)]} = {before}"  # type: ignore[union-attr]

    def _check_masks(self) -> None:
        """Brian2 masks every write to a held variable, also where the format does not."""
        if not self.cells.refractory:
            return
        blocks = {"update": self.cells.blocks.update, "after_reset": self.cells.blocks.after_reset}
        for field, statements in blocks.items():
            for target in _targets(statements) & self.cells.model.flagged:
                self.plan.report(
                    f"populations.{self.name}.neuron",
                    f"its {field} assigns '{target}', which Brian2 would hold while the neuron is refractory; leave out "
                    "'(unless refractory)' or the refractory period",
                )


def late_name(output: str, late: int) -> str:
    """Wish for the variable of an output as it was some steps ago."""
    return f"{output}_late{late}"


def rows_name(route: Route) -> str:
    """Name of an input's rows, as late as a projection has them."""
    return f"rows{route.delay or ''}_{route.pathway.pre}"


def _targets(statements: Iterable[Statement]) -> set[str]:
    return {s.target for s in statements}
