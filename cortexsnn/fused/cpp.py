"""C++ text of a component's steps, forward: what forward and reverse share, and the forward kernel.

A kernel is one function of a table of arrays, a table of sizes and a range of units of work. Arrays are rows (step, trial, cell),
states (trial, cell) and constants; which array is where in the table is part of what is generated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ..job import DISTANCE, SPIKES
from ..program import Pathway, PopulationStep
from .phases import Block, Reduce
from .plan import EdgeGroup, Plan
from .tape import Tape
from .traced import FIRED, operand, trace

_TEXT = {
    "add": "{} + {}", "sub": "{} - {}", "mul": "{} * {}", "div": "{} / {}", "neg": "-{}",
    "gt": "{} > {}", "ge": "{} >= {}", "lt": "{} < {}", "le": "{} <= {}", "eq": "{} == {}", "ne": "{} != {}",
    "and": "{} & {}", "or": "{} | {}", "not": "!{}",
    "select": "{} ? {} : {}", "spike": "{} ? T(1) : T(0)", "straight_through": "{}",
    "clip": "fused::clip<T>({}, {}, {})", "sign": "fused::sign<T>({})", "abs": "fused::f_fabs({})",
}  # fmt: skip
STATE, PORT, CONSTANT, EMITTED, REDUCED, LOCAL = "state", "port", "constant", "emitted", "reduced", "local"
STEPS, TRIALS, START, CHUNKS, GROUP, WIDTH = "steps", "trials", "start", "chunks", "group", "width"
GROUP_NUMBER = "lag"
"""Number of a delay in a loop over those of a pathway."""
HEADER = '#include "fused.h"\nusing namespace fused;\n'


@dataclass(frozen=True)
class Kernel:
    """A function: its name and text, and what its two tables hold."""

    name: str
    text: str
    arrays: tuple[str, ...]
    sizes: tuple[str, ...]


class Table:
    """Names that get places in a table as they are asked for."""

    def __init__(self, letter: str) -> None:
        self.letter, self.places = letter, dict[str, str]()

    def __call__(self, *parts: str) -> str:
        """C++ name of a place."""
        return self.places.setdefault(":".join(parts), f"{self.letter}{len(self.places)}")


class Writer:
    """What all kernels of a plan share: tables, scratch memory, pointers to the rows of a trial, expressions."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.array, self.size = Table("a"), Table("z")
        self.scratch: dict[str, tuple[str, str]] = {}
        self.lines: list[str] = []
        self.traced = [trace(p, plan) if isinstance(p, Block) else None for p in plan.phases]
        self.later = self._read_later()

    def _read_later(self) -> list[set[str]]:
        """For each block, the names that a later phase of the same step reads of its population."""
        found: list[set[str]] = []
        for k, traced in enumerate(self.traced):
            read: set[str] = set()
            for phase, other in zip(self.plan.phases[k + 1 :], self.traced[k + 1 :], strict=True):
                if traced and other and other.block.population.name == traced.block.population.name:
                    read |= set(other.loaded)
                elif traced and isinstance(phase, Reduce) and phase.population.name == traced.block.population.name:
                    read |= {operand(r.name) for r in phase.population.reductions}
            found.append(read)
        return found

    def locals_of(self, k: int) -> list[str]:
        """Temporaries of block ``k`` that a later block needs."""
        traced = self.traced[k]
        assert traced is not None
        p = traced.block.population
        return [
            n for n in traced.assigned
            if n in self.later[k] and n not in p.states and n not in (FIRED, traced.emits)
        ]  # fmt: skip

    # -- names ----------------------------------------------------------------------------------------------------

    def kind(self, p: PopulationStep, name: str) -> str:
        """Where a name of a population lives between blocks."""
        if name in p.states:
            return STATE
        if name in p.ports:
            return PORT
        if name in (SPIKES, p.output.target if p.output else SPIKES):
            return EMITTED
        if name in {r.name for r in p.reductions}:
            return REDUCED
        assigned = {s.target for s in (*p.arrive, *p.update, *p.reset, *p.after_reset)}
        if name in assigned or name == DISTANCE or name.startswith("_operand_"):
            return LOCAL
        return CONSTANT

    def cells(self, name: str) -> str:
        return self.size("cells", name)

    def row(self, source: str, step: str) -> str:
        """Place of the emitted row of a step in the rows of a source, which begin with rows of the past."""
        return f"({step} + {self.size('depth', source)})"

    def rows_at(self, array: str, row: str, cells: str) -> str:
        """Pointer to a trial's cells in an array (row, trial, cell)."""
        return f"{array} + ({row} * {self.size(TRIALS)} + b) * {cells}"

    def emitted_row(self, source: str, step: str) -> str:
        return self.rows_at(self.array(EMITTED, source), self.row(source, step), self.cells(source))

    def local(self, *parts: str, rows: str = "1") -> str:
        """Scratch memory (row, trial of the group, cell of the population ``parts[1]``)."""
        key = ":".join(parts)
        if key not in self.scratch:
            self.scratch[key] = (f"s{len(self.scratch)}", f"{rows} * {self.size(GROUP)} * {self.span(parts[1])}")
        return self.scratch[key][0]

    def clear(self, *parts: str) -> None:
        """Zeros in scratch memory of one row."""
        self.put(f"std::memset({self.local(*parts)}, 0, sizeof(T) * {self.size(GROUP)} * {self.span(parts[1])});")

    def span(self, name: str) -> str:
        """Cells of a population that scratch memory has room for."""
        return "span" if self.plan.single else self.cells(name)

    def local_at(self, *parts: str, row: str = "") -> str:
        """Pointer to a trial's cells in scratch memory."""
        place = f"({row} * {self.size(GROUP)} + i)" if row else "i"
        start = " - n0" if self.plan.single else ""
        return f"{self.local(*parts)} + {place} * {self.span(parts[1])}{start}"

    def port_at(self, p: PopulationStep, port: str) -> str:
        if self.plan.keeps_ports:
            return self.rows_at(self.array(PORT, p.name, port), "t", self.cells(p.name))
        return self.local_at(PORT, p.name, port)

    # -- text -----------------------------------------------------------------------------------------------------

    def put(self, *lines: str) -> None:
        self.lines.extend(lines)

    def expressions(
        self, tape: Tape, results: Iterable[int], loads: Mapping[int, str], fixed: Iterable[int]
    ) -> tuple[list[str], list[str], dict[int, str]]:
        """Lines before the loop over cells, lines in it, and the C++ names of values.

        ``loads``: load -> expression; ``fixed``: loads that are the same for all cells.
        """
        outer, inner, text = list[str](), list[str](), dict[int, str]()
        same = set(fixed)
        for value in tape.needed(results, loads):
            op = tape.ops[value]
            if op.kind == "literal":
                text[value] = literal(float(op.what or 0.0))
                same.add(value)
                continue
            if value in loads:
                code = loads[value]
            else:
                form = _TEXT.get(op.kind, f"f_{op.kind}({{}})")
                code = form.format(*(text[a] for a in tape.computed_from(value)))
            text[value] = f"v{value}"
            kind = "bool" if tape.is_condition(value) else "T"
            if value not in loads and set(tape.computed_from(value)) <= same:
                same.add(value)
            (outer if value in same else inner).append(f"const {kind} v{value} = {code};")
        return outer, inner, text

    def function(self, name: str, body: list[str]) -> Kernel:
        """The whole function around ``body``, which works on trials ``bg`` to ``bg + group`` and cells ``n0`` to ``n1``.

        Places of the tables are names of what stands there, not variables: a compiler's time grows with the square of what is alive in a function.
        """
        plan = self.plan
        cells = self.cells(plan.members[0])
        chunks, trials, width, group = (self.size(s) for s in (CHUNKS, TRIALS, WIDTH, GROUP))
        names = [f"#define {v} N[{k}]  // {key}" for k, (key, v) in enumerate(self.size.places.items())]
        for k, (key, v) in enumerate(self.array.places.items()):
            kind = {"post": "int32_t", "first": "int64_t", "delays": "int64_t", "bad": "int64_t"}.get(
                key.split(":")[0], "T"
            )
            names.append(f"#define {v} static_cast<{kind}*>(A[{k}])  // {key}")
        names += [f"#define {v} S[{k}]  // {key}" for k, (key, (v, _)) in enumerate(self.scratch.items())]
        body = [
            f'extern "C" void {name}(void** A, const int64_t* N, int64_t first_unit, int64_t last_unit) {{',
            f"const int64_t span = {width} && {width} < {cells} ? {width} : {cells}; (void)span;",
            "Scratch<T> memory;",
            f"T* S[{len(self.scratch) + 1}];",
            *(f"{v} = memory.take({size});" for v, size in self.scratch.values()),
            "for (int64_t unit = first_unit; unit < last_unit; unit++) {",
            f"const Unit u(unit, {chunks}, {trials}, {width}, {cells});",
            "const int64_t n0 = u.n0, n1 = u.n1; (void)n0; (void)n1;",
            f"for (int64_t bg = u.b0; bg < u.b1; bg += {group}) {{",
            f"const int64_t be = bg + {group} < u.b1 ? bg + {group} : u.b1;",
            *body,
            "}",
            "}",
            "}",
        ]
        text = "\n".join([f"{HEADER}typedef {plan.number} T;", *names, *body])
        return Kernel(name, text, tuple(self.array.places), tuple(self.size.places))

    def loop(
        self, pointers: Iterable[str], outer: Iterable[str], inner: Iterable[str], n: tuple[str, str], after: str = ""
    ) -> None:
        """A loop over the trials of the group, and in it over cells; ``after`` follows the cells of a trial and may set ``failed``.

        In a function of its own, for a compiler's time grows with the square of what is alive in one.
        """
        self.put(
            f"[=, S = &S[0]{', &failed' if after else ''}]() __attribute__((noinline)) {{",
            "for (int64_t b = bg; b < be; b++) {",
            "const int64_t i = b - bg; (void)i;",
            *pointers,
            *outer,
            '_Pragma("GCC ivdep")',
            f"for (int64_t j = {n[0]}; j < {n[1]}; j++) {{",
            *inner,
            "}",
            *([after] if after else []),
            "}",
            "}();",
        )

    def range(self, p: PopulationStep) -> tuple[str, str]:
        """First cell and end of a loop over a population."""
        return ("n0", "n1") if self.plan.single else ("0", self.cells(p.name))

    def each_group(self, pathway: Pathway) -> Iterator[tuple[int, EdgeGroup, str]]:
        """Number, edges and emitted row of each delay of a pathway; what is written for one happens if something was sent so long ago."""
        for g, group in enumerate(self.plan.groups[pathway.name]):
            delay = str(group.delay)
            if group.delay is None:
                delay = f"{self.array('delays', pathway.name)}[{GROUP_NUMBER}]"
                n = self.size("groups", pathway.name)
                self.put(f"for (int64_t {GROUP_NUMBER} = 0; {GROUP_NUMBER} < {n}; {GROUP_NUMBER}++)")
            self.put("{")
            if pathway.emits == "values" and group.delay != 0:
                self.put(f"if ({self.size(START)} + t >= {delay})")
            self.put("{")
            yield g, group, f"({self.row(pathway.pre, 't')} - {delay})"
            self.put("}", "}")

    def edges(self, pathway: Pathway, k: int, g: int, group: EdgeGroup, as_list: bool) -> dict[str, str]:
        """Arrays of a group of edges."""
        at = (pathway.name, str(g))
        if group.dense and not as_list:
            return {"matrix": self.array("matrix", pathway.name, str(k), str(g))}
        first = self.array("first", *at)
        return {
            "first": first
            if group.delay is not None
            else f"({first} + {GROUP_NUMBER} * ({self.cells(pathway.pre)} + 1))",
            "post": self.array("post", *at),
            "weight": self.array("weight", pathway.name, str(k), str(g)),
        }

    def sent_at(self, pathway: Pathway, k: int, g: int, group: EdgeGroup) -> str:
        """Pointer to what was sent through a factor in a step, where it is kept."""
        row = f"({GROUP_NUMBER} * {self.size(STEPS)} + t)" if group.delay is None else "t"
        return self.rows_at(self.array("sent", pathway.name, str(k), str(g)), row, self.cells(pathway.pre))


def literal(number: float) -> str:
    """A number as a C++ expression of type T."""
    if math.isinf(number):
        return f"({'-' if number < 0 else ''}std::numeric_limits<T>::infinity())"
    return f"T({number!r})"
