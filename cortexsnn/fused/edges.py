"""Sums over lists of edges for all rows at once, and their derivatives on the edges alone: nothing of the size of a matrix.

Compiled where rows lie on the CPU and there is a compiler, else in blocks of rows by torch operations.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from .compiled import by_hand, refuse_twice, why_not

_BODY = """
// Rows of x (row, pre) and y (row, post); cell c owns the edges first[c] to first[c + 1].
extern "C" void edge_sums(void** a, const int64_t* n, int64_t first_unit, int64_t last_unit) {
    const T* x = (const T*)a[0]; T* y = (T*)a[1]; const int64_t* first = (const int64_t*)a[2];
    const int32_t* post = (const int32_t*)a[3]; const T* weight = (const T*)a[4];
    for (int64_t r = first_unit; r < last_unit; r++)
        add_all_edges<T>(n[1], x + r * n[1], first, post, weight, y + r * n[2]);
}
// What y passes back to x.
extern "C" void edge_sums_back(void** a, const int64_t* n, int64_t first_unit, int64_t last_unit) {
    T* x = (T*)a[0]; const T* y = (const T*)a[1]; const int64_t* first = (const int64_t*)a[2];
    const int32_t* post = (const int32_t*)a[3]; const T* weight = (const T*)a[4];
    for (int64_t r = first_unit; r < last_unit; r++)
        gather_edges<T>(n[1], x + r * n[1], first, post, weight, y + r * n[2]);
}
// What y passes back to the weights; units are parts of the presynaptic cells.
extern "C" void edge_gradients(void** a, const int64_t* n, int64_t first_unit, int64_t last_unit) {
    const T* x = (const T*)a[0]; const T* y = (const T*)a[1]; const int64_t* first = (const int64_t*)a[2];
    const int32_t* post = (const int32_t*)a[3]; T* weight = (T*)a[4];
    const int64_t begin = n[1] * first_unit / n[3], end = n[1] * last_unit / n[3];
    for (int64_t r = 0; r < n[0]; r++)
        for (int64_t c = begin; c < end; c++) {
            const T value = x[r * n[1] + c];
            if (value != T(0))
                for (int64_t e = first[c]; e < first[c + 1]; e++) weight[e] += value * y[r * n[2] + post[e]];
        }
}
"""
_ARRAYS = ("x", "y", "first", "post", "weight")
_SIZES = ("rows", "pre", "post", "units")
_PARTS = 64
"""Parts of the presynaptic cells that threads share."""
BLOCK = 2**24
"""Entries (row, edge) held at once where torch operations are used."""


class Edges(NamedTuple):
    """A list of edges in order of presynaptic cell: cell c owns the edges ``first[c]`` to ``first[c + 1]``.

    pre, post : int64 (edge,);  first : int64 (cell + 1,);  post_cells : ``post`` as int32
    compiled : whether compiled code may be used
    """

    pre: torch.Tensor
    post: torch.Tensor
    first: torch.Tensor
    post_cells: torch.Tensor
    n_post: int
    compiled: bool


def _call(name: str, x: torch.Tensor, y: torch.Tensor, edges: Edges, weight: torch.Tensor, units: int) -> None:
    arrays = {"x": x, "y": y, "first": edges.first, "post": edges.post_cells, "weight": weight}
    sizes = {"rows": x.shape[0], "pre": x.shape[1], "post": y.shape[1], "units": units}
    by_hand(name, _BODY, _ARRAYS, _SIZES, x.dtype)(arrays, sizes, units)


def _by_torch(x: torch.Tensor, edges: Edges) -> bool:
    return not edges.compiled or x.device.type != "cpu" or why_not() is not None


def _blocks(x: torch.Tensor, edges: Edges) -> list[slice]:
    rows = max(1, BLOCK // max(1, edges.pre.numel()))
    return [slice(k, k + rows) for k in range(0, x.shape[0], rows)]


def edge_gradients(x: torch.Tensor, y: torch.Tensor, edges: Edges) -> torch.Tensor:
    """Sum over rows of what an edge's source sent times what its target passes back, (edge,)."""
    x, y = x.contiguous(), y.contiguous()
    weight = x.new_zeros(edges.post.numel())
    if _by_torch(x, edges):
        for block in _blocks(x, edges):
            weight += (x[block][:, edges.pre] * y[block][:, edges.post]).sum(0)
    else:
        _call("edge_gradients", x, y, edges, weight, _PARTS)
    return weight


class _EdgeSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, edges: Edges) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        ctx.edges = edges
        y = x.new_zeros((x.shape[0], edges.n_post))
        if _by_torch(x, edges):
            for block in _blocks(x, edges):
                y[block].index_add_(1, edges.post, x[block][:, edges.pre] * weight)
        else:
            _call("edge_sums", x, y, edges, weight, x.shape[0])
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None, None]:
        (x, weight), edges, y = ctx.saved_tensors, ctx.edges, gradients[0].contiguous()
        if not _by_torch(x, edges):
            refuse_twice()
        to_x = to_weight = None
        if ctx.needs_input_grad[0]:
            to_x = torch.zeros_like(x)
            if _by_torch(x, edges):
                for block in _blocks(x, edges):
                    to_x[block].index_add_(1, edges.pre, y[block][:, edges.post] * weight)
            else:
                _call("edge_sums_back", to_x, y, edges, weight, x.shape[0])
        if ctx.needs_input_grad[1]:
            to_weight = edge_gradients(x, y, edges)
        return to_x, to_weight, None


def edge_sums(x: torch.Tensor, weight: torch.Tensor, edges: Edges) -> torch.Tensor:
    """What edges bring to their targets: rows (…, pre) to (…, post), with gradients to rows and weights (edge,)."""
    rows = x.reshape(-1, x.shape[-1]).contiguous()
    found: torch.Tensor = _EdgeSums.apply(rows, weight.contiguous(), edges)
    return found.view(*x.shape[:-1], edges.n_post)
