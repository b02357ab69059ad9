"""Sums over lists of edges for all rows at once, and their derivatives on the edges alone: nothing of the size of a matrix."""

from __future__ import annotations

from functools import cache

import torch

from .compiled import Function, function
from .cpp import HEADER, Kernel

_BODY = """
// rows of x (row, pre), y (row, post); cell c owns the edges first[c] to first[c + 1]; units are parts of the presynaptic cells
extern "C" void edge_gradients(void** a, const int64_t* n, int64_t first_unit, int64_t last_unit) {
    const T* x = (const T*)a[0]; const T* y = (const T*)a[1];
    const int64_t* first = (const int64_t*)a[2]; const int32_t* post = (const int32_t*)a[3]; T* into = (T*)a[4];
    const int64_t rows = n[0], n_pre = n[1], n_post = n[2], units = n[3];
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = n_pre * first_unit / units; c < n_pre * last_unit / units; c++) {
            const T value = x[r * n_pre + c];
            if (value != T(0))
                for (int64_t e = first[c]; e < first[c + 1]; e++) into[e] += value * y[r * n_post + post[e]];
        }
}
"""
_ARRAYS = ("x", "y", "first", "post", "into")
_SIZES = ("rows", "n_pre", "n_post", "units")
_UNITS = 64


@cache
def _compiled(number: str) -> Function:
    text = f"{HEADER}typedef {number} T;\n{_BODY}"
    return function(Kernel("edge_gradients", text, _ARRAYS, _SIZES), number)


def edge_gradients(x: torch.Tensor, y: torch.Tensor, first: torch.Tensor, post: torch.Tensor) -> torch.Tensor:
    """Sum over rows of what an edge's source sent times what its target passes back, (edge,)."""
    into = x.new_zeros(post.numel())
    x, y = x.contiguous(), y.contiguous()
    sizes = {"rows": x.shape[0], "n_pre": x.shape[1], "n_post": y.shape[1], "units": _UNITS}
    arrays = {"x": x, "y": y, "first": first, "post": post, "into": into}
    _compiled("float" if x.dtype == torch.float32 else "double")(arrays, sizes, _UNITS)
    return into
