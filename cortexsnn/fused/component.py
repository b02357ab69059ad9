"""A component of a network run by its kernels: tables filled from tensors, and the autograd Function around them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from ..program import Pathway
from . import compiled, triton_kernel
from .buffers import BUFFERS
from .compiled import Function, refuse_twice
from .cpp import CHUNKS, CONSTANT, EMITTED, GROUP, PORT, START, STATE, STEPS, TRIALS, WIDTH, Kernel
from .edges import Edges, edge_gradients
from .forward import BAD, RECORD, forward
from .plan import Plan, reads_post
from .reverse import SEGMENT, reverse
from .sparse_rows import listed, matrix_gradient
from .triton_kernel import TritonFunction
from .triton_text import forward_text, reverse_text

MOST_CHUNKS = 16
"""Parts that the trials are divided in: so many copies of the adjoints of constants are kept and then added, in order."""
TRIALS_TOGETHER = 4
"""Trials of a recurrent component that go through a step together, and share what is read of a matrix."""
SCRATCH = 2**19
"""Bytes of states that one unit of work keeps while it goes backward: they should stay in a cache."""
LONGEST_SEGMENT = 128
"""Steps whose states are kept at once while going backward; beyond, the states at the beginning of segments are."""

Tensors = dict[str, torch.Tensor]


class Kernels:
    """The kernels of a plan on the CPU or, ``on_gpu``, of Triton; compiled when they are first needed."""

    def __init__(self, plan: Plan, on_gpu: bool = False) -> None:
        self.plan, self.on_gpu = plan, on_gpu

    @cached_property
    def forward(self) -> Function | TritonFunction:
        return self._made(forward, forward_text)

    @cached_property
    def reverse(self) -> Function | TritonFunction:
        return self._made(reverse, reverse_text)

    def _made(self, on_cpu: Callable[[Plan], Kernel], on_gpu: Callable[[Plan], Kernel]) -> Function | TritonFunction:
        if not self.on_gpu:
            return compiled.function(on_cpu(self.plan), self.plan.number)
        by_trial = any(p.reductions for p in self.plan.populations)
        return triton_kernel.function(on_gpu(self.plan), self.plan.number, by_trial)


@dataclass
class Call:
    """One run of a component.

    depth : source -> rows of the past in front of what it emits
    fixed : constants, weights and indices without gradients, by the names in the kernels' tables
    lists : (pathway, number of a delay) -> edges of those that are no matrix
    delays : pathway -> delays of its edges, the longest first
    """

    kernels: Kernels
    n_steps: int
    n_trials: int
    start: int
    depth: Mapping[str, int]
    fixed: Tensors
    lists: Mapping[tuple[str, int], Edges]
    delays: Mapping[str, tuple[int, ...]]

    def rows(self, *shape: int) -> torch.Tensor:
        """Memory for rows, its numbers not set."""
        like = self.fixed["like"]
        return like.new_empty(shape) if self.kernels.on_gpu else BUFFERS.empty(shape, like.dtype)

    @property
    def chunks(self) -> int:
        """Copies of the adjoints of constants."""
        return self.n_trials if self.kernels.on_gpu else min(MOST_CHUNKS, self.n_trials)

    def sizes(self, width: int, segment: int = 1, **more: int) -> dict[str, int]:
        """Sizes by the names in the kernels' tables."""
        plan = self.kernels.plan
        sources = {*plan.members, *(p.pre for p in plan.pathways), *(p.post for p in plan.pathways)}
        return {
            STEPS: self.n_steps, TRIALS: self.n_trials, START: self.start, SEGMENT: segment,
            CHUNKS: self.chunks, WIDTH: width, GROUP: 1 if plan.single else TRIALS_TOGETHER,
            **{f"cells:{s}": plan.program.size(s) for s in sources},
            **{f"depth:{s}": d for s, d in self.depth.items()},
            **{f"groups:{p.name}": len(self.delays[p.name]) for p in plan.pathways},
            "cells": plan.populations[0].size,
            **more,
        }  # fmt: skip

    def width(self, n_rows: int) -> int:
        """Cells of a block of a single population, so many that ``n_rows`` rows fit into a cache, blocks of a size; 0 means all."""
        plan = self.kernels.plan
        if not plan.single:
            return 0
        fitting = max(64, min(4096, SCRATCH // max(1, n_rows * (4 if plan.number == "float" else 8))))
        blocks = -(-plan.populations[0].size // fitting)
        return -(-plan.populations[0].size // (blocks * 64)) * 64

    def units(self, width: int) -> int:
        """Units of work."""
        return self.chunks * (-(-self.kernels.plan.populations[0].size // width) if width else 1)


def run_forward(call: Call, given: Tensors) -> tuple[Tensors, torch.Tensor | None, Tensors]:
    """Run the forward kernel.

    Parameters
    ----------
    call : Call
    given : initial states (trial, cell), ports (step, trial, cell) where they are kept, constants and weights with gradients, and
        emitted rows: of inputs all, of members those of the past. What arrives at ports inside is added to them in place.

    Returns
    -------
    (dict, Tensor or None, dict)
        Emitted rows with the past in front, recorded rows and final states; where a number stopped being one, (unit, 3):
        step, population, trial, or -1; everything that the kernel had.
    """
    plan = call.kernels.plan
    arrays = {**call.fixed, **{name: tensor.detach().contiguous() for name, tensor in given.items()}}
    like, shape = call.fixed["like"], (call.n_steps, call.n_trials)
    results: Tensors = {}
    for p in plan.populations:
        if p.emits:
            key, depth = f"{EMITTED}:{p.name}", call.depth[p.name]
            rows = call.rows(depth + call.n_steps, call.n_trials, p.size)
            if depth:
                rows[:depth] = arrays[key]
            results[key] = rows
            arrays[key] = rows[depth:] if call.kernels.on_gpu else rows
        for probe in plan.probes.get(p.name, ()):
            key = f"{RECORD}:{p.name}:{probe}"
            results[key] = arrays[key] = call.rows(*shape, p.size)
        for state in p.states:
            key = f"{STATE}:{p.name}:{state}"
            arrays[f"initial:{p.name}:{state}"] = arrays[key]
            results[key] = arrays[key] = call.rows(call.n_trials, p.size).copy_(arrays[key])
    if plan.keeps_ports:
        for pathway, k, g in _sent(plan):
            copies = 1 if plan.groups[pathway.name][g].delay is not None else len(call.delays[pathway.name])
            kept = (copies * call.n_steps, call.n_trials, plan.program.size(pathway.pre))
            arrays[f"sent:{pathway.name}:{k}:{g}"] = like.new_zeros(kept)
    width = call.width(1)
    units = call.units(width)
    bad = torch.full((units, 3), -1, dtype=torch.int64) if plan.checks and not call.kernels.on_gpu else None
    if bad is not None:
        arrays[BAD] = bad
    # Step by step through all trials of a unit, so that rows are read and written in order.
    together = {GROUP: call.n_trials} if plan.single else {}
    _launch(call.kernels.forward, arrays, call.sizes(width, **together), units)
    return results, bad, arrays


def _launch(function: Function | TritonFunction, arrays: Tensors, sizes: dict[str, int], units: int) -> None:
    if isinstance(function, TritonFunction):
        function(arrays, sizes)
    else:
        function(arrays, sizes, units)


def _sent(plan: Plan) -> list[tuple[Pathway, int, int]]:
    """Deliveries whose factor is computed for each presynaptic cell, by pathway, delivery and group."""
    return [
        (p, k, g)
        for p in plan.pathways if not reads_post(p, plan.program)
        for k, d in enumerate(p.deliveries) if d.factor
        for g in range(len(plan.groups[p.name]))
    ]  # fmt: skip


class ComponentFunction(torch.autograd.Function):
    """``run_forward`` with a derivative; ``names`` are those of the tensors."""

    @staticmethod
    def forward(ctx: Any, call: Call, names: tuple[str, ...], *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        given = dict(zip(names, tensors, strict=True))
        results, _, arrays = run_forward(call, given)
        needed = {
            n: t for n, t in arrays.items()
            if (n not in call.fixed and n not in results) or n.startswith(f"{EMITTED}:")
        }  # fmt: skip
        ctx.call, ctx.names, ctx.results, ctx.kept = call, names, tuple(results), tuple(needed)
        ctx.save_for_backward(*needed.values())
        ctx.set_materialize_grads(False)
        return tuple(results.values())

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        refuse_twice()
        arrays = {**ctx.call.fixed, **dict(zip(ctx.kept, ctx.saved_tensors, strict=True))}
        wanted = {n for n, w in zip(ctx.names, ctx.needs_input_grad[2:], strict=True) if w}
        found = run_reverse(ctx.call, arrays, dict(zip(ctx.results, gradients, strict=True)), wanted)
        return None, None, *(found.get(n) for n in ctx.names)


def run_reverse(call: Call, arrays: Tensors, gradients: Mapping[str, torch.Tensor | None], wanted: set[str]) -> Tensors:
    """Run the reverse kernel: gradients of the forward kernel's inputs, by name, from those of its results."""
    plan, kernels = call.kernels.plan, call.kernels
    like, sizes = call.fixed["like"], dict[str, int]()
    table = set(kernels.reverse.kernel.arrays)
    segment = min(call.n_steps, LONGEST_SEGMENT)
    for name in table:
        kind, *at = name.split(":")
        if kind == "transposed":
            arrays[name] = arrays[":".join(("matrix", *at))].t().contiguous()
        elif kind == "adjoint_weight":
            pathway, _, g = at
            n_edges = arrays[f"post:{pathway}:{g}"].numel()
            sizes[f"edges:{pathway}:{g}"] = n_edges
            arrays[name] = like.new_zeros((call.chunks, n_edges))
        elif kind == "adjoint":
            arrays[name] = _adjoint(call, at, arrays, gradients, sizes)
        elif kind in ("begin", "path"):
            n_rows = segment if kind == "path" else -(-call.n_steps // segment)
            arrays[name] = like.new_empty((n_rows, call.n_trials, plan.program.size(at[0])))
    n_states = sum(len(p.states) for p in plan.populations)
    width = call.width(n_states * (segment + call.n_steps // segment))
    _launch(kernels.reverse, arrays, call.sizes(width, segment, **sizes), call.units(width))
    found: Tensors = {}
    for name in wanted:
        kind, *at = name.split(":")
        if kind == STATE:
            found[name] = arrays[f"adjoint:{at[0]}:{STATE}:{at[1]}"]
        elif kind == PORT:
            key = f"adjoint:{at[0]}:{PORT}:{at[1]}"
            if key in table:
                found[name] = arrays[key]
        elif kind == CONSTANT:
            key = f"adjoint:{at[0]}:{CONSTANT}:{at[1]}"
            if key in table:
                found[name] = arrays[key].sum(0)
        elif kind == EMITTED:
            rows = arrays.get(f"adjoint:{at[0]}:{EMITTED}")
            if rows is not None:
                found[name] = rows[: call.depth[at[0]]] if plan.is_member(at[0]) else rows
        else:
            gradient = _of_weight(call, at, arrays)
            if gradient is not None:
                found[name] = gradient
    return found


def _adjoint(
    call: Call, at: list[str], arrays: Tensors, gradients: Mapping[str, torch.Tensor | None], sizes: dict[str, int]
) -> torch.Tensor:
    """An adjoint as the reverse kernel finds it."""
    source, kind, *name = at
    like, n = call.fixed["like"], call.kernels.plan.program.size(source)
    shape = (call.n_steps, call.n_trials, n)
    match kind:
        case "state":
            given = gradients.get(f"{STATE}:{source}:{name[0]}")
            return like.new_zeros(shape[1:]) if given is None else given.contiguous().clone()
        case "port":
            return call.rows(*shape)
        case "constant":
            return like.new_zeros((call.chunks, n))
        case "record":
            given = gradients.get(f"{RECORD}:{source}:{name[0]}")
            sizes[f"stride:{source}:{name[0]}"] = int(given is not None)
            if given is not None:
                return given.contiguous()
            return like.new_zeros(shape if call.kernels.on_gpu else shape[1:])
    given = gradients.get(f"{EMITTED}:{source}")
    if given is None:
        return torch.zeros_like(arrays[f"{EMITTED}:{source}"])
    if call.kernels.on_gpu:
        return given[call.depth[source] :].contiguous()
    return given.contiguous() if call.kernels.plan.single else given.contiguous().clone()


def _of_weight(call: Call, at: list[str], arrays: Tensors) -> torch.Tensor | None:
    """Gradient of a matrix or of the weights of a list of edges."""
    plan = call.kernels.plan
    name, k, g = at[0], int(at[1]), int(at[2])
    pathway = next(p for p in plan.pathways if p.name == name)
    key = f"adjoint_weight:{name}:{k}:{g}"
    if key in arrays:
        return arrays[key].sum(0)
    adjoint = arrays.get(f"adjoint:{pathway.post}:{PORT}:{pathway.deliveries[k].port}")
    if adjoint is None:
        return None
    sent = arrays.get(f"sent:{name}:{k}:{g}")
    numbers = [g] if plan.groups[name][g].delay is not None else range(len(call.delays[name]))
    found = []
    for copy, number in enumerate(numbers):
        if sent is None:
            begin = call.depth[pathway.pre] - call.delays[name][number]
            rows = arrays[f"{EMITTED}:{pathway.pre}"][begin : begin + call.n_steps]
        else:
            rows = sent[copy * call.n_steps : (copy + 1) * call.n_steps]
        x, y = rows.reshape(-1, rows.shape[-1]), adjoint.reshape(-1, adjoint.shape[-1])
        if f"matrix:{name}:{k}:{g}" in arrays:
            cells = listed(x) if pathway.emits == "spikes" and not call.kernels.on_gpu else None
            return x.t() @ y if cells is None else matrix_gradient(cells, y)
        found.append(edge_gradients(x, y, call.lists[name, number]))
    return torch.cat(found)
