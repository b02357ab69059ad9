"""Products of rows that are mostly 0, as spikes are, with a matrix: what is not 0 is listed once and serves forward and backward."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from .compiled import by_hand, refuse_twice

_BODY = """
// x (row, pre), y (row, post), matrix (pre, post); cells first[r] to first[r + 1] of the list are those of row r that are not 0.
extern "C" void count_cells(void** a, const int64_t* n, int64_t first_unit, int64_t last_unit) {
    const T* x = (const T*)a[0]; int64_t* first = (int64_t*)a[3];
    for (int64_t r = first_unit; r < last_unit; r++) {
        int64_t count = 0;
        for (int64_t c = 0; c < n[1]; c++) count += x[r * n[1] + c] != T(0);
        first[r + 1] = count;
    }
}
extern "C" void list_cells(void** a, const int64_t* n, int64_t first_unit, int64_t last_unit) {
    const T* x = (const T*)a[0]; const int64_t* first = (const int64_t*)a[3]; int32_t* cells = (int32_t*)a[4];
    for (int64_t r = first_unit; r < last_unit; r++) {
        int32_t* into = cells + first[r];
        const int64_t count = first[r + 1] - first[r];
        int64_t found = 0;
        for (int64_t c = 0; c < n[1] && found < count; c++) {
            into[found] = int32_t(c);
            found += x[r * n[1] + c] != T(0);
        }
    }
}
extern "C" void row_products(void** a, const int64_t* n, int64_t first_unit, int64_t last_unit) {
    const T* x = (const T*)a[0]; T* y = (T*)a[1]; const T* matrix = (const T*)a[2];
    const int64_t* first = (const int64_t*)a[3]; const int32_t* cells = (const int32_t*)a[4];
    for (int64_t r = first_unit; r < last_unit; r++) {
        T* into = y + r * n[2];
        for (int64_t j = 0; j < n[2]; j++) into[j] = T(0);
        for (int64_t k = first[r]; k < first[r + 1]; k++) {
            const T value = x[r * n[1] + cells[k]];
            const T* row = matrix + cells[k] * n[2];
#pragma GCC ivdep
            for (int64_t j = 0; j < n[2]; j++) into[j] += value * row[j];
        }
    }
}
// What y passes back to the matrix; units are parts of its columns.
extern "C" void matrix_gradients(void** a, const int64_t* n, int64_t first_unit, int64_t last_unit) {
    const T* x = (const T*)a[0]; const T* y = (const T*)a[1]; T* matrix = (T*)a[2];
    const int64_t* first = (const int64_t*)a[3]; const int32_t* cells = (const int32_t*)a[4];
    const int64_t begin = n[2] * first_unit / n[3], end = n[2] * last_unit / n[3];
    for (int64_t r = 0; r < n[0]; r++)
        for (int64_t k = first[r]; k < first[r + 1]; k++) {
            const T value = x[r * n[1] + cells[k]];
            T* into = matrix + cells[k] * n[2];
            const T* from = y + r * n[2];
#pragma GCC ivdep
            for (int64_t j = begin; j < end; j++) into[j] += value * from[j];
        }
}
"""
_ARRAYS = ("x", "y", "matrix", "first", "cells")
_SIZES = ("rows", "pre", "post", "units")
_COLUMNS = 64
"""Least columns of a part, so that threads do not write to the same line of a cache."""
SPARSE = 0.2
"""Largest share of cells that are not 0 for which lists are faster than a dense product."""
_FEWEST = 2**14
"""Entries of the rows below which a dense product takes no time."""


class Listed(NamedTuple):
    """Rows (row, pre) and the cells of each that are not 0: int32 ``cells[first[r]:first[r + 1]]``."""

    x: torch.Tensor
    first: torch.Tensor
    cells: torch.Tensor


def _call(name: str, rows: Listed, y: torch.Tensor, matrix: torch.Tensor, units: int) -> None:
    arrays = {"x": rows.x, "y": y, "matrix": matrix, "first": rows.first, "cells": rows.cells}
    sizes = {"rows": rows.x.shape[0], "pre": rows.x.shape[1], "post": matrix.shape[-1], "units": units}
    by_hand(name, _BODY, _ARRAYS, _SIZES, rows.x.dtype)(arrays, sizes, units)


def listed(x: torch.Tensor) -> Listed | None:
    """The cells that are not 0 of rows (row, pre), None if there are too many of them, or too few rows to care."""
    if x.numel() < _FEWEST:
        return None
    n_rows = x.shape[0]
    rows = Listed(x, torch.zeros(n_rows + 1, dtype=torch.int64), torch.empty(0, dtype=torch.int32))
    _call("count_cells", rows, x, x, n_rows)
    first = rows.first.cumsum(0)
    total = int(first[-1])
    if total > SPARSE * x.numel():
        return None
    rows = Listed(x, first, torch.empty(total + 1, dtype=torch.int32))
    _call("list_cells", rows, x, x, n_rows)
    return rows


def matrix_gradient(rows: Listed, y: torch.Tensor) -> torch.Tensor:
    """``rows.t() @ y``, (pre, post), for y (row, post)."""
    matrix = y.new_zeros((rows.x.shape[1], y.shape[1]))
    _call("matrix_gradients", rows, y.contiguous(), matrix, max(1, y.shape[1] // _COLUMNS))
    return matrix


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, matrix: torch.Tensor, rows: Listed) -> torch.Tensor:
        ctx.save_for_backward(*rows, matrix)
        y = matrix.new_empty((x.shape[0], matrix.shape[1]))
        _call("row_products", rows, y, matrix, x.shape[0])
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None, None]:
        refuse_twice()
        x, first, cells, matrix = ctx.saved_tensors
        to_x = gradients[0] @ matrix.t() if ctx.needs_input_grad[0] else None
        to_matrix = matrix_gradient(Listed(x, first, cells), gradients[0]) if ctx.needs_input_grad[1] else None
        return to_x, to_matrix, None


def product(x: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """``x @ matrix`` for rows (…, pre) on the CPU, by lists where most entries are 0; with gradients."""
    flat = x.reshape(-1, x.shape[-1]).contiguous()
    rows = listed(flat.detach())
    if rows is None:
        return x @ matrix
    found: torch.Tensor = _Product.apply(flat, matrix.contiguous(), rows)
    return found.view(*x.shape[:-1], matrix.shape[1])
