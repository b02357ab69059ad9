"""The reverse kernel of a plan: adjoints of initial states, ports, constants and what members emitted, from those of the results.

States are computed again from the initial ones and from what arrived at the ports, a segment of steps at a time, and kept in memory
of the size of a cache; nothing but the ports has to be stored by the forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..job import SPIKES
from ..program import Delivery, Pathway, PopulationStep
from .cpp import CONSTANT, EMITTED, LOCAL, PORT, REDUCED, STATE, STEPS, Kernel, Writer
from .forward import RECORD, Pointers, reduce_lines
from .phases import Block, Deliver, Reduce
from .plan import EdgeGroup, Plan, reads_post
from .tape import CONDITIONS
from .traced import FIRED, SENT, Factor, Traced, operand, trace_factor

SEGMENT = "segment"
_ARITHMETIC = CONDITIONS | {
    "load", "literal", "add", "sub", "mul", "div", "neg", "select", "spike", "clip", "sign", "abs", "floor", "ceil", "trunc",
    "straight_through",
}  # fmt: skip
"""Operations that round the same in every loop."""


class Reverse(Writer):
    """Writes the kernel called ``reverse``."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.reached: set[tuple[str, str]] = set()
        assigned = [(t.block.population.name, n) for t in self.traced if t for n in t.assigned]
        self.changing = {p.name: [s for s in p.states if (p.name, s) in assigned] for p in plan.populations}
        counts = [t.block.population.name for t in self.traced if t]
        self.in_parts = {p.name for p in plan.populations if counts.count(p.name) > 1}

    def kernel(self) -> Kernel:
        replay = self._replay_step()
        step = self._reverse_step()
        steps, segment = self.size(STEPS), self.size(SEGMENT)
        first, last = self._copies("first"), self._copies("last")
        return self.function(
            "reverse",
            [
                f"const int64_t segments = ({steps} + {segment} - 1) / {segment};",
                "auto replay = [&](int64_t t, int64_t r) {",
                *replay,
                "};",
                *self._copies("initial"),
                "for (int64_t s = 0; s + 1 < segments; s++) {",
                *first,
                f"for (int64_t r = 0; r < {segment}; r++) replay(s * {segment} + r, r);",
                *last,
                "}",
                "for (int64_t s = segments - 1; s >= 0; s--) {",
                f"const int64_t t0 = s * {segment}, t1 = t0 + {segment} < {steps} ? t0 + {segment} : {steps};",
                *first,
                "for (int64_t t = t0; t + 1 < t1; t++) replay(t, t - t0);",
                "for (int64_t t = t1 - 1; t >= t0; t--) {",
                "const int64_t r = t - t0; (void)r;",
                *step,
                "}",
                "}",
            ],
        )

    # -- states on the way ----------------------------------------------------------------------------------------

    def _path(self, p: str, state: str, row: str) -> str:
        """Pointer to a state at the beginning of the step ``row`` of the segment."""
        self.local("path", p, state, rows=f"({self.size(SEGMENT)} + 1)")
        return self.local_at("path", p, state, row=row)

    def _begin(self, p: str, state: str, row: str) -> str:
        """Pointer to a state at the beginning of a segment."""
        self.local("begin", p, state, rows=f"(({self.size(STEPS)} - 1) / {self.size(SEGMENT)} + 1)")
        return self.local_at("begin", p, state, row=row)

    def _initial(self, p: str, state: str) -> str:
        return f"{self.array('initial', p, state)} + b * {self.cells(p)}"

    def _copies(self, which: str) -> list[str]:
        lines = []
        for p in self.plan.populations:
            n0, n1 = self.range(p)
            for state in self.changing[p.name]:
                source, target = {
                    "initial": (self._initial(p.name, state), self._begin(p.name, state, "0")),
                    "first": (self._begin(p.name, state, "s"), self._path(p.name, state, "0")),
                    "last": (self._path(p.name, state, self.size(SEGMENT)), self._begin(p.name, state, "(s + 1)")),
                }[which]
                lines.append(
                    f"for (int64_t b = bg; b < be; b++) {{ const int64_t i = b - bg; (void)i; "
                    f"std::memcpy({target} + {n0}, {source} + {n0}, sizeof(T) * ({n1} - {n0})); }}"
                )
        return lines

    def _given(self, traced: Traced, pointers: Where) -> dict[int, str]:
        """Spikes as they were emitted, where the threshold could round otherwise in another loop."""
        if FIRED not in traced.assigned or all(op.kind in _ARITHMETIC for op in traced.tape.ops):
            return {}
        return {traced.assigned[FIRED]: f"{pointers.emitted()}[j] != T(0)"}

    def _replay_step(self) -> list[str]:
        """Lines that compute the states at the end of step ``r`` of the segment from those at its beginning."""
        written: set[tuple[str, str]] = set()

        def read(p: str, name: str) -> str | None:
            if name in self.changing[p]:
                return self._path(p, name, "(r + 1)" if (p, name) in written else "r")
            return self._initial(p, name) if name in self.plan.program.population(p).states else None

        begin = len(self.lines)
        for k, (phase, traced) in enumerate(zip(self.plan.phases, self.traced, strict=True)):
            if isinstance(phase, Reduce):
                reduce_lines(self, phase.population)
            if traced is not None:
                p = traced.block.population
                states = [n for n in self.changing[p.name] if n in traced.assigned]
                stores = {n: self._path(p.name, n, "(r + 1)") for n in states}
                stores |= {n: self.local_at(LOCAL, p.name, n) for n in self.locals_of(k)}
                self._replay(traced, read, stores)
                written |= {(p.name, n) for n in states}
        return self._cut(begin)

    def _replay(self, traced: Traced, read: Reader, stores: Mapping[str, str]) -> None:
        if not stores:
            return
        p = traced.block.population
        pointers = Where(self, p, read)
        loads, fixed = pointers.loads(traced)
        loads |= self._given(traced, pointers)
        outer, inner, text = self.expressions(traced.tape, [traced.assigned[n] for n in stores], loads, fixed)
        for k, (name, place) in enumerate(stores.items()):
            pointers.lines.append(f"T* const into_{k} = {place};")
            inner.append(f"into_{k}[j] = {text[traced.assigned[name]]};")
        self.loop(pointers.lines, outer, inner, self.range(p))

    def _cut(self, begin: int) -> list[str]:
        found = self.lines[begin:]
        del self.lines[begin:]
        return found

    # -- one step backward ----------------------------------------------------------------------------------------

    def _reverse_step(self) -> list[str]:
        begin = len(self.lines)
        readers = self._versions()
        passed = [(p.name, r.name) for p in self.plan.populations for r in p.reductions]
        passed += [(t.block.population.name, n) for k, t in enumerate(self.traced) if t for n in self.locals_of(k)]
        for p, name in dict.fromkeys(passed):
            self.clear("adjoint", p, name)
        for k in range(len(self.plan.phases) - 1, -1, -1):
            phase, traced = self.plan.phases[k], self.traced[k]
            match phase:
                case Block():
                    assert traced is not None
                    self._block(k, traced, readers[k])
                case Reduce(population):
                    self._reduce(population, readers[k])
                case Deliver(pathway):
                    self._deliver(phase, pathway, readers[k])
        return self._cut(begin)

    def _versions(self) -> list[Reader]:
        """Compute what the parts of populations in several parts hand on within the step; for each phase, where to read it."""
        found: list[Reader] = []
        version: dict[tuple[str, str], int] = {}

        def reader() -> Reader:
            now = dict(version)

            def read(p: str, name: str) -> str | None:
                if (p, name) in now:
                    return self.local_at("version", p, name, str(now[p, name]))
                if name in self.changing.get(p, ()):
                    return self._path(p, name, "r")
                population = next((q for q in self.plan.populations if q.name == p), None)
                return self._initial(p, name) if population and name in population.states else None

            return read

        for k, (phase, traced) in enumerate(zip(self.plan.phases, self.traced, strict=True)):
            found.append(reader())
            if isinstance(phase, Reduce):
                for r in phase.population.reductions:
                    over = found[k](phase.population.name, operand(r.name))
                    reduce_lines(self, phase.population, only=r.name, over=over)
            if traced is not None and traced.block.population.name in self.in_parts:
                p = traced.block.population
                kept = [n for n in traced.assigned if self._read_after(k, p, n)]
                self._replay(traced, found[k], {n: self.local_at("version", p.name, n, str(k)) for n in kept})
                version |= {(p.name, n): k for n in kept}
        return found

    def _read_after(self, k: int, p: PopulationStep, name: str) -> bool:
        """Whether a later phase of the step reads a name as block ``k`` leaves it, or could."""
        if name in (FIRED, SPIKES, p.output.target if p.output else SPIKES):
            return False
        return name in self.later[k] or (name in p.states and k < len(self.plan.phases) - 1)

    def _block(self, k: int, traced: Traced, read: Reader) -> None:
        p, tape = traced.block.population, traced.tape
        pointers = Where(self, p, read)
        loads, fixed = pointers.loads(traced)
        loads |= self._given(traced, pointers)
        seeds: dict[int, int] = {}

        def seed(value: int, place: str) -> None:
            adjoint = tape.load(place)
            loads[adjoint] = place
            seeds[value] = tape.op("add", seeds[value], adjoint) if value in seeds else adjoint

        kept = [n for n in (*p.states, *self.locals_of(k)) if n in traced.assigned]
        for name in kept:
            seed(traced.assigned[name], f"{pointers.adjoint(name)}[j]")
        if traced.emits:
            seed(traced.assigned[traced.emits], f"{pointers.adjoint(traced.emits)}[j]")
        for name in self.plan.probes.get(p.name, ()) if traced.records else ():
            seed(traced.value(name), f"{pointers.recorded(name)}[j]")
        wanted = {n: v for n, v in traced.loaded.items() if self._wanted(p, n)}
        gradients = tape.gradient(seeds, wanted.values())
        results = {n: gradients[v] for n, v in wanted.items() if v in gradients}
        outer, inner, text = self.expressions(tape, results.values(), loads, fixed)
        for name in dict.fromkeys((*kept, *results)):
            value = text[results[name]] if name in results else "T(0)"
            sign = "=" if name in kept or self._first(p, name) else "+="
            inner.append(f"{pointers.adjoint(name)}[j] {sign} {value};")
        for port in p.ports:  # what no cell looks at passes nothing back, but somebody reads the row
            if port in traced.loaded and port not in results and self._first(p, port):
                inner.append(f"{pointers.adjoint(port)}[j] = T(0);")
        self.loop(pointers.lines, outer, inner, self.range(p))

    def _wanted(self, p: PopulationStep, name: str) -> bool:
        if name in ("t", "dt"):
            return False
        return self.kind(p, name) != CONSTANT or (p.name, name) in self.plan.differentiable

    def _first(self, p: PopulationStep, name: str) -> bool:
        """Whether the adjoint of a port is written for the first time in this step."""
        if self.kind(p, name) != PORT or (p.name, name) in self.reached:
            return False
        self.reached.add((p.name, name))
        return True

    def _reduce(self, p: PopulationStep, read: Reader) -> None:
        n = self.cells(p.name)
        for r in p.reductions:
            adjoint = self.local_at("adjoint", p.name, r.name)
            over, into = read(p.name, operand(r.name)), self.local_at("adjoint", p.name, operand(r.name))
            reduced = f"{self.local(REDUCED, p.name, r.name)}[i]"
            lines = [f"const T whole = total<T>({adjoint}, {n});"]
            if r.op in ("sum", "mean"):
                part = "whole" if r.op == "sum" else f"whole / T({n})"
                lines.append(f"T* const into = {into}; for (int64_t j = 0; j < {n}; j++) into[j] = {part};")
            else:
                lines.append(f"share<T>({over}, {n}, {reduced}, whole, {into});")
            self.put("for (int64_t b = bg; b < be; b++) { const int64_t i = b - bg;", *lines, "}")

    # -- deliveries -----------------------------------------------------------------------------------------------

    def _deliver(self, phase: Deliver, pathway: Pathway, read: Reader) -> None:
        for g, group, row in self.each_group(pathway):
            for k, delivery in enumerate(pathway.deliveries):
                if (pathway.post, delivery.port) not in self.reached:
                    continue
                if reads_post(pathway, self.plan.program) and delivery.factor:
                    self._per_edge(phase, k, delivery, g, group, row, read)
                else:
                    self._per_cell(phase, k, delivery, g, group, row, read)

    def _port_adjoint(self, pathway: Pathway, port: str) -> str:
        return self.rows_at(self.array("adjoint", pathway.post, PORT, port), "t", self.cells(pathway.post))

    def _emitted_adjoint(self, source: str, row: str) -> str:
        return self.rows_at(self.array("adjoint", source, EMITTED), row, self.cells(source))

    def _per_cell(
        self, phase: Deliver, k: int, delivery: Delivery, g: int, group: EdgeGroup, row: str, read: Reader
    ) -> None:
        pathway = phase.pathway
        n_pre, n_post = self.cells(pathway.pre), self.cells(pathway.post)
        y = self._port_adjoint(pathway, delivery.port)
        x = self._emitted_adjoint(pathway.pre, row)
        if delivery.factor:
            x = self.local_at("adjoint_sent", pathway.pre)
            self.clear("adjoint_sent", pathway.pre)
        if group.dense and not reads_post(pathway, self.plan.program):
            transposed = self.array("transposed", pathway.name, str(k), str(g))
            self.put(
                f"{{ const int64_t b = bg, i = 0; (void)b; (void)i; multiply<T>(be - bg, {y}, {n_post}, {transposed}, {n_post}, "
                f"{n_pre}, {x}, {n_pre}); }}"
            )
        else:
            edges = self.edges(pathway, k, g, group, as_list=True)
            call = f"gather_edges<T>({n_pre}, {x}, {edges['first']}, {edges['post']}, {edges['weight']}, {y});"
            self.put(f"for (int64_t b = bg; b < be; b++) {{ const int64_t i = b - bg; (void)i; {call} }}")
        if delivery.factor:
            self._factor(phase, delivery, row, x, read)

    def _factor(self, phase: Deliver, delivery: Delivery, row: str, adjoint: str, read: Reader) -> None:
        """From the adjoint of what was sent to those of what it was computed from."""
        pathway = phase.pathway
        factor = trace_factor(phase, delivery, self.plan)
        pointers = Where(self, self.plan.source(pathway), read)
        pointers.lines += [
            f"const T* const emitted = {self.rows_at(self.array(EMITTED, pathway.pre), row, self.cells(pathway.pre))};",
            f"const T* const adjoint = {adjoint};",
            f"T* const back = {self._emitted_adjoint(pathway.pre, row)};",
        ]
        loads = {factor.sent: "emitted[j]"}
        fixed = pointers.named_loads(factor.pre, loads)
        seed = factor.tape.load("adjoint")
        loads[seed] = "adjoint[j]"
        results = self._factor_gradients(factor, pathway, {factor.result: seed})
        outer, inner, text = self.expressions(factor.tape, results.values(), loads, fixed)
        for (_, name), value in results.items():
            place = "back" if name == SENT else pointers.adjoint(name)
            inner.append(f"{place}[j] += {text[value]};")
        self.loop(pointers.lines, outer, inner, ("0", self.cells(pathway.pre)))

    def _factor_gradients(self, factor: Factor, pathway: Pathway, seeds: dict[int, int]) -> dict[tuple[str, str], int]:
        """(end, name) -> adjoint, of what a factor was computed from."""
        wanted = {("pre", SENT): factor.sent}
        source, post = self.plan.source(pathway), self.plan.program.population(pathway.post)
        if source is not None:
            wanted |= {("pre", n): v for n, v in factor.pre.items() if self._wanted(source, n)}
        wanted |= {("post", n): v for n, v in factor.post.items() if self._wanted(post, n)}
        gradients = factor.tape.gradient(seeds, wanted.values())
        return {key: gradients[v] for key, v in wanted.items() if v in gradients}

    def _per_edge(
        self, phase: Deliver, k: int, delivery: Delivery, g: int, group: EdgeGroup, row: str, read: Reader
    ) -> None:
        pathway = phase.pathway
        factor = trace_factor(phase, delivery, self.plan)
        tape, post = factor.tape, self.plan.program.population(pathway.post)
        pre_at = Where(self, self.plan.source(pathway), read, "c")
        post_at = Where(self, post, read, "q", "post_")
        loads = {factor.sent: "emitted[c]"}
        fixed = pre_at.named_loads(factor.pre, loads) | post_at.named_loads(factor.post, loads)
        edges = self.edges(pathway, k, g, group, as_list=True)
        adjoint, weight = tape.load("adjoint"), tape.load("weight")
        loads |= {adjoint: "adjoint[q]", weight: f"{edges['weight']}[e]"}
        results = self._factor_gradients(factor, pathway, {factor.result: tape.op("mul", adjoint, weight)})
        to_weight = tape.op("mul", adjoint, factor.result)
        outer, inner, text = self.expressions(tape, [*results.values(), to_weight], loads, fixed)
        for (end, name), value in results.items():
            if name == SENT:
                inner.append(f"back[c] += {text[value]};")
            else:
                at, index = (pre_at, "c") if end == "pre" else (post_at, "q")
                inner.append(f"{at.adjoint(name)}[{index}] += {text[value]};")
        into = self.array("adjoint_weight", pathway.name, str(k), str(g))
        n_edges = self.size("edges", pathway.name, str(g))
        inner.append(f"{into}[u.chunk * {n_edges} + e] += {text[to_weight]};")
        self.put(
            "for (int64_t b = bg; b < be; b++) {",
            "const int64_t i = b - bg; (void)i;",
            *pre_at.lines,
            *post_at.lines,
            f"const T* const emitted = {self.rows_at(self.array(EMITTED, pathway.pre), row, self.cells(pathway.pre))};",
            f"T* const back = {self._emitted_adjoint(pathway.pre, row)};",
            f"const T* const adjoint = {self._port_adjoint(pathway, delivery.port)};",
            *outer,
            f"for (int64_t c = 0; c < {self.cells(pathway.pre)}; c++) {{",
            f"for (int64_t e = {edges['first']}[c]; e < {edges['first']}[c + 1]; e++) {{",
            f"const int64_t q = {edges['post']}[e];",
            *inner,
            "}",
            "}",
            "}",
        )


Reader = Callable[[str, str], str | None]
"""Pointer to a state or temporary (population, name) where it now has the value that a phase reads; None: as in the forward kernel."""


class Where(Pointers):
    """Pointers of the reverse kernel: values where they were computed again, and their adjoints."""

    def __init__(
        self, writer: Writer, p: PopulationStep | None, read: Reader, index: str = "j", prefix: str = ""
    ) -> None:
        super().__init__(writer, p, index, prefix)
        self.read = read

    def at(self, name: str) -> str:
        assert self.p is not None
        place = self.read(self.p.name, name)
        return super().at(name) if place is None else self.declare("value", name, place)

    def emitted(self) -> str:
        """Pointer to the row of spikes of this step."""
        assert self.p is not None
        return self.declare(EMITTED, SPIKES, self.writer.emitted_row(self.p.name, "t"))

    def adjoint(self, name: str) -> str:
        """Pointer to the adjoint of a variable of the population."""
        writer, p = self.writer, self.p
        assert p is not None
        n = writer.cells(p.name)
        match writer.kind(p, name):
            case "state":
                place = f"{writer.array('adjoint', p.name, STATE, name)} + b * {n}"
            case "port":
                place = writer.rows_at(writer.array("adjoint", p.name, PORT, name), "t", n)
            case "emitted":
                place = writer.rows_at(writer.array("adjoint", p.name, EMITTED), writer.row(p.name, "t"), n)
            case "constant":
                place = f"{writer.array('adjoint', p.name, CONSTANT, name)} + u.chunk * {n}"
            case _:
                place = writer.local_at("adjoint", p.name, name)
        return self.declare("adjoint", name, place)

    def recorded(self, name: str) -> str:
        """Pointer to the adjoint of what a probe recorded, which has no rows where nobody asked for its gradient."""
        writer, p = self.writer, self.p
        assert p is not None
        row = f"(t * {writer.size('stride', p.name, name)})"
        place = writer.rows_at(writer.array("adjoint", p.name, RECORD, name), row, writer.cells(p.name))
        return self.declare("adjoint_recorded", name, place)


def reverse(plan: Plan) -> Kernel:
    """The reverse kernel of a plan."""
    return Reverse(plan).kernel()
