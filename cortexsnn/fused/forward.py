"""The forward kernel of a plan: all steps of a component, arrivals, updates, spikes and what is recorded."""

from __future__ import annotations

from ..job import SPIKES
from ..program import Delivery, Pathway, PopulationStep
from .cpp import CONSTANT, EMITTED, LOCAL, PORT, REDUCED, START, STATE, STEPS, Kernel, Writer
from .phases import Block, Deliver, Reduce
from .plan import EdgeGroup, Plan, reads_post
from .traced import Traced, operand, trace_factor

RECORD, BAD = "record", "bad"


class Forward(Writer):
    """Writes the kernel called ``forward``."""

    def kernel(self) -> Kernel:
        opening = self._lists()
        self.put(f"for (int64_t t = 0; t < {self.size(STEPS)}; t++) {{")
        if self.plan.checks:
            self.put("bool failed = false;")
        self._begin_step()
        for k, (phase, traced) in enumerate(zip(self.plan.phases, self.traced, strict=True)):
            match phase:
                case Block():
                    assert traced is not None
                    self._block(k, traced)
                case Reduce(p):
                    reduce_lines(self, p)
                case Deliver(pathway):
                    self._deliver(phase, pathway)
        if self.plan.checks:
            self.put("if (failed) break;")
        self.put("}")
        return self.function("forward", [*opening, *self.lines])

    # -- cells that spiked ----------------------------------------------------------------------------------------

    def _listed(self) -> list[str]:
        """Sources whose spikes are delivered inside."""
        return list(dict.fromkeys(p.pre for p in self.plan.pathways if p.emits == "spikes"))

    def _fill(self, source: str, row: str) -> str:
        rows = self.rows_at(self.array(EMITTED, source), row, self.cells(source))
        return f"for (int64_t b = bg; b < be; b++) {source}_cells.fill({row}, b - bg, {rows});"

    def _lists(self) -> list[str]:
        lines = []
        for source in self._listed():
            depth = self.size("depth", source)
            lines.append(f"Active<T> {source}_cells({depth} + 1, {self.size('group')}, {self.cells(source)});")
            lines.append(f"for (int64_t row = 0; row < {depth}; row++) {self._fill(source, 'row')}")
        return lines

    def _begin_step(self) -> None:
        for source in self._listed():
            if not self.plan.is_member(source):
                self.put(self._fill(source, self.row(source, "t")))
        if not self.plan.keeps_ports:
            for p in self.plan.populations:
                for port in p.ports:
                    self.clear(PORT, p.name, port)

    # -- blocks ---------------------------------------------------------------------------------------------------

    def _block(self, k: int, traced: Traced) -> None:
        p, tape = traced.block.population, traced.tape
        pointers = Pointers(self, p)
        stores = {n: traced.assigned[n] for n in (*p.states, *self.locals_of(k)) if n in traced.assigned}
        stores = {n: v for n, v in stores.items() if traced.loaded.get(n) != v}
        results = [*stores.values()]
        if traced.emits:
            results.append(traced.assigned[traced.emits])
        recorded = self.plan.probes.get(p.name, ()) if traced.records else ()
        results += [traced.value(n) for n in recorded]
        checked = p.finite if traced.records and self.plan.checks else ()
        results += [traced.value(n) for n in checked]
        loads, fixed = pointers.loads(traced)
        outer, inner, text = self.expressions(tape, results, loads, fixed)
        for name, value in stores.items():
            inner.append(f"{pointers.at(name)}[j] = {text[value]};")
        if traced.emits:
            inner.append(f"{pointers.at(traced.emits)}[j] = {text[traced.assigned[traced.emits]]};")
        for name in recorded:
            inner.append(f"{pointers.record(name)}[j] = {text[traced.value(name)]};")
        if checked:
            outer.append("typename Flag<T>::type bad = 0;")
            inner += [f"bad |= {x} - {x} == T(0) ? 0 : 1;" for x in (text[traced.value(n)] for n in checked)]
        after = ""
        if checked:
            number = self.plan.program.populations.index(p)
            bad = f"({self.array(BAD)} + unit * 3)"
            after = (
                f"if (bad) {{ failed = true; if ({bad}[0] < 0 || t < {bad}[0]) "
                f"{{ {bad}[0] = t; {bad}[1] = {number}; {bad}[2] = b; }} }}"
            )
        self.loop(pointers.lines, outer, inner, self.range(p), after)
        if traced.emits == SPIKES and p.name in self._listed():
            self.put(self._fill(p.name, self.row(p.name, "t")))

    # -- deliveries -----------------------------------------------------------------------------------------------

    def _deliver(self, phase: Deliver, pathway: Pathway) -> None:
        for g, group, row in self.each_group(pathway):
            for k, delivery in enumerate(pathway.deliveries):
                if reads_post(pathway, self.plan.program) and delivery.factor:
                    self._per_edge(phase, k, delivery, g, group, row)
                else:
                    self._per_cell(phase, k, delivery, g, group, row)

    def _per_cell(self, phase: Deliver, k: int, delivery: Delivery, g: int, group: EdgeGroup, row: str) -> None:
        pathway = phase.pathway
        n_pre, n_post = self.cells(pathway.pre), self.cells(pathway.post)
        post = self.plan.program.population(pathway.post)
        x = self.rows_at(self.array(EMITTED, pathway.pre), row, n_pre)
        if delivery.factor:
            x = self._sent(phase, k, delivery, g, group, x)
        edges = self.edges(pathway, k, g, group, as_list=reads_post(pathway, self.plan.program))
        y = self.port_at(post, delivery.port)
        cells = f"{pathway.pre}_cells"
        listed = f"{cells}.begin({row}, b - bg), {cells}.count({row}, b - bg)"
        if "matrix" in edges and (delivery.factor or pathway.emits == "values"):
            self.put(
                f"{{ const int64_t b = bg, i = 0; (void)b; (void)i; multiply<T>(be - bg, {x}, {n_pre}, {edges['matrix']}, "
                f"{n_pre}, {n_post}, {y}, {n_post}); }}"
            )
            return
        if "matrix" in edges:
            call = f"add_rows<T>({listed}, {edges['matrix']}, {y}, {n_post});"
        elif pathway.emits == "spikes":
            call = f"add_edges<T>({listed}, {x}, {edges['first']}, {edges['post']}, {edges['weight']}, {y});"
        else:
            call = f"add_all_edges<T>({n_pre}, {x}, {edges['first']}, {edges['post']}, {edges['weight']}, {y});"
        self.put(f"for (int64_t b = bg; b < be; b++) {{ const int64_t i = b - bg; (void)i; {call} }}")

    def _sent(self, phase: Deliver, k: int, delivery: Delivery, g: int, group: EdgeGroup, emitted: str) -> str:
        """What the source sends through a factor, computed; returns where it is."""
        pathway = phase.pathway
        factor = trace_factor(phase, delivery, self.plan)
        source = self.plan.source(pathway)
        pointers = Pointers(self, source)
        n = self.cells(pathway.pre)
        if self.plan.keeps_ports:
            into = self.sent_at(pathway, k, g, group)
        else:
            into = self.local_at("sent", pathway.pre, pathway.name, str(k))
        pointers.lines += [f"const T* const emitted = {emitted};", f"T* const into = {into};"]
        loads = {factor.sent: "emitted[j]"}
        fixed = pointers.named_loads(factor.pre, loads)
        outer, inner, text = self.expressions(factor.tape, [factor.result], loads, fixed)
        self.loop(pointers.lines, outer, [*inner, f"into[j] = {text[factor.result]};"], ("0", n))
        return into

    def _per_edge(self, phase: Deliver, k: int, delivery: Delivery, g: int, group: EdgeGroup, row: str) -> None:
        pathway = phase.pathway
        factor = trace_factor(phase, delivery, self.plan)
        post = self.plan.program.population(pathway.post)
        pre_at, post_at = Pointers(self, self.plan.source(pathway), "c"), Pointers(self, post, "q", "post_")
        loads = {factor.sent: "emitted[c]"}
        fixed = pre_at.named_loads(factor.pre, loads) | post_at.named_loads(factor.post, loads)
        outer, inner, text = self.expressions(factor.tape, [factor.result], loads, fixed)
        edges = self.edges(pathway, k, g, group, as_list=True)
        cells = f"{pathway.pre}_cells"
        spiking = pathway.emits == "spikes"
        self.put(
            "for (int64_t b = bg; b < be; b++) {",
            "const int64_t i = b - bg; (void)i;",
            *pre_at.lines,
            *post_at.lines,
            f"const T* const emitted = {self.rows_at(self.array(EMITTED, pathway.pre), row, self.cells(pathway.pre))};",
            f"T* const port = {self.port_at(post, delivery.port)};",
            *outer,
            *(
                [
                    f"const int32_t* const listed = {cells}.begin({row}, i);",
                    f"for (int64_t k = 0; k < {cells}.count({row}, i); k++) {{",
                    "const int64_t c = listed[k];",
                ]
                if spiking
                else [f"for (int64_t c = 0; c < {self.cells(pathway.pre)}; c++) {{"]
            ),
            f"for (int64_t e = {edges['first']}[c]; e < {edges['first']}[c + 1]; e++) {{",
            f"const int64_t q = {edges['post']}[e];",
            *inner,
            f"port[q] += {text[factor.result]} * {edges['weight']}[e];",
            "}",
            "}",
            "}",
        )


class Pointers:
    """Pointers to a trial's cells that a loop needs, declared as they are asked for."""

    def __init__(self, writer: Writer, p: PopulationStep | None, index: str = "j", prefix: str = "") -> None:
        self.writer, self.p, self.index, self.prefix = writer, p, index, prefix
        self.lines: list[str] = []
        self._known: dict[tuple[str, str], str] = {}

    def declare(self, kind: str, name: str, expression: str) -> str:
        """A pointer called once for its kind and name."""
        key = (kind, name)
        if key not in self._known:
            self._known[key] = f"{self.prefix}{kind}_{name.lstrip('_')}_p{len(self._known)}"
            self.lines.append(f"T* const {self._known[key]} = {expression};")
        return self._known[key]

    def at(self, name: str) -> str:
        """Pointer to a variable of the population."""
        writer, p = self.writer, self.p
        assert p is not None
        kind = writer.kind(p, name)
        match kind:
            case "state":
                place = f"{writer.array(STATE, p.name, name)} + b * {writer.cells(p.name)}"
            case "port":
                place = writer.port_at(p, name)
            case "emitted":
                place = writer.emitted_row(p.name, "t")
            case "local":
                place = writer.local_at(LOCAL, p.name, name)
            case _:
                place = writer.array(CONSTANT, p.name, name)
        return self.declare(kind, name, place)

    def record(self, name: str) -> str:
        """Pointer to the row of a probe."""
        writer, p = self.writer, self.p
        assert p is not None
        return self.declare(RECORD, name, writer.rows_at(writer.array(RECORD, p.name, name), "t", writer.cells(p.name)))

    def load(self, name: str) -> tuple[str, bool]:
        """Expression of a variable, and whether it is the same for all cells."""
        writer, p = self.writer, self.p
        assert p is not None
        if name == "t":
            return f"T(double({writer.size(START)} + t) * {writer.plan.program.dt!r})", True
        kind = writer.kind(p, name)
        if kind == REDUCED:
            return f"{writer.local(REDUCED, p.name, name)}[i]", True
        if kind == CONSTANT and (p.name, name) not in writer.plan.varying:
            return f"{writer.array(CONSTANT, p.name, name)}[0]", True
        return f"{self.at(name)}[{self.index}]", False

    def loads(self, traced: Traced) -> tuple[dict[int, str], set[int]]:
        """Expressions of all that a block loads, and which are the same for all cells."""
        found: dict[int, str] = {}
        return found, self.named_loads(traced.loaded, found)

    def named_loads(self, named: dict[str, int], into: dict[int, str]) -> set[int]:
        """As :meth:`loads`, into a table."""
        fixed = set()
        for name, value in named.items():
            into[value], same = self.load(name)
            if same:
                fixed.add(value)
        return fixed


def reduce_lines(writer: Writer, p: PopulationStep, only: str | None = None, over: str | None = None) -> None:
    """Reductions of a population, or one of them: numbers per trial of the group, from the operands or from where they are."""
    n = writer.cells(p.name)
    for r in p.reductions:
        if only not in (None, r.name):
            continue
        operands = over or writer.local_at(LOCAL, p.name, operand(r.name))
        value = {
            "sum": f"total<T>({operands}, {n})",
            "mean": f"total<T>({operands}, {n}) / T({n})",
            "max": f"largest<T>({operands}, {n})",
        }.get(r.op, f"smallest_positive<T>({operands}, {n})")
        into = f"{writer.local(REDUCED, p.name, r.name)}[i]"
        writer.put(f"for (int64_t b = bg; b < be; b++) {{ const int64_t i = b - bg; {into} = {value}; }}")


def forward(plan: Plan) -> Kernel:
    """The forward kernel of a plan."""
    return Forward(plan).kernel()
