"""Triton text of a population's steps, forward and in reverse: one program holds some cells, or all cells of a trial.

States stay in registers over all steps of the forward kernel. The reverse kernel computes them again a segment at a time; they
are then in memory that only the program itself reads.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from .cpp import CONSTANT, EMITTED, PORT, STATE, Kernel
from .forward import RECORD
from .plan import Plan
from .tape import Tape
from .whole import Step, whole_step

_TEXT = {
    "add": "{} + {}", "sub": "{} - {}", "mul": "{} * {}", "div": "{} / {}", "neg": "-{}",
    "gt": "{} > {}", "ge": "{} >= {}", "lt": "{} < {}", "le": "{} <= {}", "eq": "{} == {}", "ne": "{} != {}",
    "and": "({}) & ({})", "or": "({}) | ({})", "not": "~({})",
    "select": "tl.where({}, {}, {})", "spike": "tl.where({}, one, zero)", "straight_through": "{}",
    "clip": "clip({}, {}, {})", "sign": "sign({})", "abs": "tl.abs({})", "floor": "tl.floor({})", "ceil": "tl.ceil({})",
    "exp": "tl.exp({})", "log": "tl.log({})", "sqrt": "tl.sqrt({})", "sin": "tl.sin({})", "cos": "tl.cos({})",
    "trunc": "truncate({})", "cells": "cells_as_number",
}  # fmt: skip
_OF_BLOCKS = ("select", "clip", "sign", "trunc", "reduce")
_REDUCE = {
    "sum": "zeros + tl.sum(tl.where(inside, {}, zero), 0)",
    "mean": "(zeros + tl.sum(tl.where(inside, {}, zero), 0)) / cells_as_number",
    "max": "zeros + tl.max(tl.where(inside, {}, -infinity), 0)",
    "min_positive": "zeros + tl.min(tl.where(inside & ({0} > 0), {0}, infinity), 0)",
}
_HEADER = '''"""Generated. One population of a circuit."""
import triton
import triton.language as tl
from triton.language.extra import libdevice


@triton.jit
def clip(x, low, high):
    raised = tl.where(x < low, low, x)
    return tl.where(raised > high, high, raised)


@triton.jit
def sign(x):
    return tl.where(x > 0, 1.0, tl.where(x < 0, -1.0, 0.0)).to(x.dtype)


@triton.jit
def truncate(x):
    return tl.where(x < 0, tl.ceil(x), tl.floor(x))


'''
SIZES = ("steps", "trials", "start", "cells", "segment")


class _Writer:
    """Statements of one kernel."""

    def __init__(self, plan: Plan, step: Step) -> None:
        self.plan, self.step = plan, step
        (self.p,) = plan.populations
        self.arrays: dict[str, str] = {}

    def array(self, *parts: str) -> str:
        return self.arrays.setdefault(":".join(parts), f"a{len(self.arrays)}")

    def kind(self, name: str) -> str:
        p = self.p
        return STATE if name in p.states else PORT if name in p.ports else CONSTANT

    def constants(self, indent: str) -> list[str]:
        """Loads of constants, before the steps."""
        lines = []
        for name, value in self.step.loaded.items():
            if name == "t" or self.kind(name) != CONSTANT:
                continue
            array = self.array(CONSTANT, self.p.name, name)
            varying = (self.p.name, name) in self.plan.varying
            lines.append(
                f"{indent}v{value} = {f'tl.load({array} + j, mask=inside, other=1)' if varying else f'tl.load({array})'}"
            )
        return lines

    def of_step(self, indent: str) -> list[str]:
        """Loads of what changes with the step: ports and time."""
        lines = []
        for name, value in self.step.loaded.items():
            if name == "t":
                lines.append(f"{indent}v{value} = (zeros + (start + t)) * {self.plan.program.dt!r}")
            elif self.kind(name) == PORT:
                lines.append(f"{indent}v{value} = {self.row(self.array(PORT, self.p.name, name))}")
        return lines

    @staticmethod
    def row(array: str, step: str = "t") -> str:
        return f"tl.load({array} + {step} * total + e, mask=inside, other=0)"

    @staticmethod
    def put(array: str, value: str, step: str = "t") -> str:
        return f"tl.store({array} + {step} * total + e, {value}, mask=inside)"

    def compute(
        self, tape: Tape, results: Iterable[int], known: Iterable[int], indent: str
    ) -> tuple[list[str], dict[int, str]]:
        """Statements that compute results from values already there."""
        lines, text, have = [], dict[int, str](), set(known)
        for value in tape.needed(results, have):
            op = tape.ops[value]
            if value in have:
                text[value] = f"v{value}"
                continue
            if op.kind == "literal":
                text[value] = _literal(float(op.what or 0.0))
                continue
            operands = [text[a] for a in tape.computed_from(value)]
            if op.kind in _OF_BLOCKS:  # a bare number there would be of single precision
                operands = [
                    f"(zeros + {x})" if tape.ops[a].kind == "literal" else x
                    for a, x in zip(tape.computed_from(value), operands, strict=True)
                ]
            if op.kind == "reduce":
                code = _REDUCE[str(op.what)].format(*operands)
            else:
                code = _TEXT.get(op.kind, f"libdevice.{op.kind}({{}})").format(*operands)
            lines.append(f"{indent}v{value} = {code}")
            text[value] = f"v{value}"
        return lines, text

    def whole(self, value: str) -> str:
        """A value of every cell, also where it is one number."""
        return f"({value} + zeros)"

    def kernel(self, name: str, body: list[str]) -> Kernel:
        number = "tl.float32" if self.plan.number == "float" else "tl.float64"
        head = [
            "@triton.jit",
            f"def {name}({', '.join((*self.arrays.values(), *SIZES))}, BLOCK: tl.constexpr, BY_TRIAL: tl.constexpr):",
            f"    NUMBER: tl.constexpr = {number}",
            "    total = tl.program_id(0).to(tl.int64) * 0 + trials * cells",
            "    if BY_TRIAL:",
            "        j = tl.arange(0, BLOCK)",
            "        e = tl.program_id(0).to(tl.int64) * cells + j",
            "        inside = j < cells",
            "    else:",
            "        e = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)",
            "        j = e % cells",
            "        inside = e < total",
            "    zeros = tl.zeros((BLOCK,), NUMBER)",
            "    zero, one = zeros, zeros + 1",
            "    infinity = zeros + float('inf')",
            "    cells_as_number = zeros + cells",
        ]
        return Kernel(name, _HEADER + "\n".join([*head, *body]) + "\n", tuple(self.arrays), SIZES)


def _literal(number: float) -> str:
    if math.isinf(number):
        return "infinity" if number > 0 else "-infinity"
    return f"({number!r})"


def forward_text(plan: Plan) -> Kernel:
    """The forward kernel: emitted and recorded rows, final states."""
    step = whole_step(plan)
    w = _Writer(plan, step)
    states = {n: v for n, v in step.loaded.items() if w.kind(n) == STATE}
    body = w.constants("    ")
    for name, value in states.items():
        body.append(f"    v{value} = tl.load({w.array(STATE, w.p.name, name)} + e, mask=inside, other=0)")
    body.append("    for t in range(0, steps):")
    body += w.of_step("        ")
    recorded = step.recorded
    results = [*step.states.values(), *([] if step.emitted is None else [step.emitted]), *recorded.values()]
    lines, text = w.compute(step.tape, results, step.loaded.values(), "        ")
    body += lines
    if step.emitted is not None:
        body.append(f"        {w.put(w.array(EMITTED, w.p.name), w.whole(text[step.emitted]))}")
    for name, value in recorded.items():
        body.append(f"        {w.put(w.array(RECORD, w.p.name, name), w.whole(text[value]))}")
    body += _next_states(step, states, text, w, "        ")
    for name in step.states:
        final = w.whole(f"v{states[name]}") if name in states else w.whole(f"last_{name}")
        body.append(f"    tl.store({w.array(STATE, w.p.name, name)} + e, {final}, mask=inside)")
    first = [f"    last_{n} = zeros" for n in step.states if n not in states]
    place = next(k for k, line in enumerate(body) if line.startswith("    for t in"))
    body[place:place] = first
    return w.kernel("forward", body)


def _next_states(step: Step, states: Mapping[str, int], text: Mapping[int, str], w: _Writer, indent: str) -> list[str]:
    """States of the next step take the place of this one's, all at once."""
    lines = [f"{indent}next_{n} = {w.whole(text[v])}" for n, v in step.states.items()]
    return [
        *lines,
        *(f"{indent}{f'v{states[n]}' if n in states else f'last_{n}'} = next_{n}" for n in step.states),
    ]


def reverse_text(plan: Plan) -> Kernel:
    """The reverse kernel: adjoints of initial states, ports and constants, one of each cell."""
    step = whole_step(plan)
    w, tape = _Writer(plan, step), step.tape
    p = w.p
    states = {n: v for n, v in step.loaded.items() if w.kind(n) == STATE}
    changing = [n for n in states if n in step.states]
    seeds: dict[int, int] = {}
    seed_text: dict[int, str] = {}

    def seed(value: int, name: str) -> None:
        adjoint = tape.load(name)
        seed_text[adjoint] = name
        seeds[value] = tape.op("add", seeds[value], adjoint) if value in seeds else adjoint

    for name in step.states:
        seed(step.states[name], f"back_{name}")
    if step.emitted is not None:
        seed(step.emitted, "back_emitted")
    for name, value in step.recorded.items():
        seed(value, f"back_recorded_{name}")
    differentiable = [n for n in step.loaded if (p.name, n) in plan.differentiable and w.kind(n) == CONSTANT]
    ports = [n for n in step.loaded if w.kind(n) == PORT]
    wanted = {n: step.loaded[n] for n in (*states, *ports, *differentiable)}
    gradients = tape.gradient(seeds, wanted.values())
    results = {n: gradients[v] for n, v in wanted.items() if v in gradients}

    body = w.constants("    ")
    for name, value in states.items():
        if name not in changing:
            body.append(f"    v{value} = tl.load({w.array('initial', p.name, name)} + e, mask=inside, other=0)")
    adjoint_of = {n: w.array("adjoint", p.name, STATE, n) for n in p.states}
    begins = {n: w.array("begin", p.name, n) for n in changing}
    paths = {n: w.array("path", p.name, n) for n in changing}
    for name in p.states:
        body.append(f"    back_{name} = tl.load({adjoint_of[name]} + e, mask=inside, other=0)")
    body += [f"    to_{n} = zeros" for n in differentiable]
    body.append("    segments = (steps + segment - 1) // segment")
    # States at the beginning of all segments.
    for name in changing:
        body.append(f"    v{states[name]} = tl.load({w.array('initial', p.name, name)} + e, mask=inside, other=0)")
    replay, text = w.compute(tape, [step.states[n] for n in changing], step.loaded.values(), " " * 8)
    inner = {n: step.states[n] for n in changing}
    moved = [f"{' ' * 8}next_{n} = {w.whole(text[v])}" for n, v in inner.items()]
    moved += [f"{' ' * 8}v{states[n]} = next_{n}" for n in inner]
    body.append("    for t in range(0, steps):")
    for name in changing:
        at = f"{begins[name]} + (t // segment) * total + e"
        body.append(f"        tl.store({at}, v{states[name]}, mask=inside & (t % segment == 0))")
    body += [*w.of_step("        "), *replay, *moved]
    body.append("    for k in range(0, segments):")
    body.append("        s = segments - 1 - k")
    body.append("        t0 = s * segment")
    body.append("        t1 = tl.minimum(t0 + segment, steps)")
    for name in changing:
        body.append(f"        v{states[name]} = {w.row(begins[name], 's')}")
    body.append("        for t in range(t0, t1):")
    for name in changing:
        body.append(f"            {w.put(paths[name], f'v{states[name]}', '(t - t0)')}")
    body += [f"    {line}" for line in (*w.of_step("        "), *replay, *moved)]
    body.append("        for m in range(t0, t1):")
    body.append("            t = t0 + t1 - 1 - m")
    for name in changing:
        body.append(f"            v{states[name]} = {w.row(paths[name], '(t - t0)')}")
    body += w.of_step(" " * 12)
    if step.emitted is not None:
        body.append(f"            back_emitted = {w.row(w.array('adjoint', p.name, EMITTED))}")
    for name in step.recorded:
        array = w.array("adjoint", p.name, RECORD, name)
        body.append(f"            back_recorded_{name} = {w.row(array)}")
    for adjoint, name in seed_text.items():
        body.append(f"            v{adjoint} = {name}")
    known = [*step.loaded.values(), *seed_text]
    lines, text = w.compute(tape, results.values(), known, " " * 12)
    body += lines
    for name in ports:
        passed = w.whole(text[results[name]]) if name in results else "zeros"
        body.append(f"            {w.put(w.array('adjoint', p.name, PORT, name), passed)}")
    for name in differentiable:
        if name in results:
            body.append(f"            to_{name} += {text[results[name]]}")
    for name in p.states:
        if name in step.states:
            body.append(f"            back_{name} = {w.whole(text[results[name]]) if name in results else 'zeros'}")
        elif name in results:
            body.append(f"            back_{name} += {text[results[name]]}")
    for name in p.states:
        body.append(f"    tl.store({adjoint_of[name]} + e, back_{name}, mask=inside)")
    for name in differentiable:
        body.append(f"    tl.store({w.array('adjoint', p.name, CONSTANT, name)} + e, to_{name}, mask=inside)")
    return w.kernel("reverse", body)
