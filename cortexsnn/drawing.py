"""Connections drawn: pairs of cells, weights and delays of one projection, each from a stream of its own.

Pairs come in chunks of cells, numbers in blocks: no array of all pairs of cells exists, and no loop over edges.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .drive import stream
from .edges import BLOCK, Edges, Growing
from .errors import InputError, UnitError
from .grid import MAX_DELAY, read_steps, round_to_steps
from .spec import Array, Circuit, Connect, Distribution, Projection
from .values import Number, draw, is_uniform, scaled
from .wiring import endpoint

CHUNK = 256
"""Presynaptic (or postsynaptic) cells per stream of pairs."""


def part(circuit: Circuit, text: str) -> tuple[str, int, int]:
    """Population or input, first cell and number of cells of an endpoint such as "E[0:100]".

    Raises
    ------
    InputError
        The text is no endpoint.
    """
    parsed = endpoint(text)
    if parsed is None:
        raise InputError(f"'{text}' names no population; call validate(circuit) first")
    name, start, stop = parsed
    n = {**circuit.populations, **circuit.inputs}[name].n  # type: ignore[attr-defined]
    return name, start or 0, (n if stop is None else stop) - (start or 0)


class Drawing:
    """The edges of one projection."""

    def __init__(
        self, circuit: Circuit, name: str, projection: Projection, seed: int, dt: float,
        folder: tempfile.TemporaryDirectory[str] | None = None,
    ) -> None:  # fmt: skip
        self.folder = folder
        self.circuit, self.name, self.projection, self.seed, self.dt = circuit, name, projection, seed, dt
        self.connect = projection.connect
        self.pre_name, self.pre_start, self.n_pre = part(circuit, projection.pre)
        self.post_name, self.post_start, self.n_post = part(circuit, projection.post)
        same = self.pre_name == self.post_name
        self.shift = self.pre_start - self.post_start if same and not self.connect.autapses else None

    def edges(self) -> Edges:
        index = None
        match self.connect.kind:
            case "conv2d":
                pre, post, index = self._conv2d()
                pre, post = (pre + self.pre_start).astype(np.int32), (post + self.post_start).astype(np.int32)
            case "edges":
                listed = self.connect.edges
                pre = (listed.pre.values + self.pre_start).astype(np.int32)  # type: ignore[union-attr]
                post = (listed.post.values + self.post_start).astype(np.int32)  # type: ignore[union-attr]
            case _:
                pre, post = self._drawn_pairs()
        values = self._values(pre.size, self._kernel_size() if index is not None else None)
        return Edges(pre, post, values, index, self._delay(pre.size), self.folder)

    def _drawn_pairs(self) -> tuple[np.ndarray, np.ndarray]:
        pre, post = self._growing(np.int32, "pre"), self._growing(np.int32, "post")
        for some_pre, some_post in self._chunks():
            pre.append(some_pre + self.pre_start)
            post.append(some_post + self.post_start)
        all_pre, all_post = pre.finish(), post.finish()
        if self.connect.kind == "indegree":
            order = np.lexsort((all_post, all_pre))
            all_pre, all_post = all_pre[order], all_post[order]
        return all_pre, all_post

    def _growing(self, dtype: Any, what: str) -> Growing:
        return Growing(dtype, self.folder, f"{self.name}.{what}")

    def _draw(
        self, value: Number, n: int, what: str, positive: bool, change: Callable[[np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """``n`` numbers of one stream, changed block by block."""
        generator, found = stream(self.seed, what, self.name), None
        for start in range(0, max(n, 1), BLOCK):
            try:
                block = change(draw(value, min(BLOCK, n - start), generator, positive))
            except UnitError as error:
                raise InputError(f"{what} {self.name}: {error}") from None
            found = found or self._growing(block.dtype, what)
            found.append(block)
        return found.finish() if found else np.zeros(0)

    def _values(self, n_edges: int, n_shared: int | None) -> np.ndarray:
        weight, n = self.projection.weight, n_edges if n_shared is None else n_shared
        if isinstance(weight, Array) and weight.values.size > 1:
            return scaled(weight).reshape(-1)
        source = {**self.circuit.populations, **self.circuit.inputs}[self.pre_name]
        positive = source.transmitter != "mixed"  # type: ignore[attr-defined]
        if n_shared is None and is_uniform(weight) and not self.projection.trainable:
            n = 1
        return self._draw(weight, n, "weight", positive, lambda values: values)

    def _kernel_size(self) -> int:
        shapes = {**self.circuit.populations, **self.circuit.inputs}
        channels_in, channels_out = shapes[self.pre_name].shape[0], shapes[self.post_name].shape[0]  # type: ignore[union-attr, index]
        return channels_in * channels_out * self.connect.conv2d.kernel**2  # type: ignore[union-attr]

    def _delay(self, n_edges: int) -> np.ndarray:
        delay = self.projection.delay
        if isinstance(delay, Distribution):
            least = max(1, read_steps(delay.min, self.dt)) if delay.min is not None else 1
            return self._draw(delay, n_edges, "delay", True, lambda times: self._steps(times, least))
        if isinstance(delay, Array):
            steps = round_to_steps(scaled(delay), self.dt, 0).reshape(-1)
            return steps if steps.size > 1 else steps[:1]
        return np.array([read_steps(delay, self.dt)], dtype=np.int32)

    def _steps(self, times: np.ndarray, least: int) -> np.ndarray:
        if times.max(initial=0) > MAX_DELAY * self.dt:
            found = f"a drawn delay of {times.max() / self.dt:.3g} steps"
            raise InputError(f"projections.{self.name}.delay: {found}; at most {MAX_DELAY} are possible")
        return round_to_steps(times, self.dt, least)

    def _chunks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(pre, post) index arrays, relative to the two parts, ordered by pre then post within and over the chunks."""
        connect = self.connect
        match connect.kind:
            case "one_to_one":
                both = np.arange(self.n_pre, dtype=np.int32)
                yield both, both
            case "total_number":
                yield from self._total_number(connect)
            case "indegree":
                for start in range(0, self.n_post, CHUNK):
                    yield self._indegree(connect, start, min(CHUNK, self.n_post - start))
            case _:
                for start in range(0, self.n_pre, CHUNK):
                    yield self._pairs(connect, start, min(CHUNK, self.n_pre - start))

    def _pairs(self, connect: Connect, start: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """All pairs of a chunk, or each with a probability by geometric gaps, so the cost goes with the edges."""
        total = rows * self.n_post
        p = 1.0 if connect.all else float(connect.probability or 0.0)
        if p <= 0:
            flat = np.zeros(0, np.int64)
        elif p >= 1:
            flat = np.arange(total)
        else:
            generator = stream(self.seed, "connect", self.name, start)
            gaps, reached = [], 0
            while reached <= total:
                # A gap beyond the end is as good as one that reaches it, and cannot overflow in the sum.
                block = generator.geometric(p, int(1.1 * (total - reached + 1) * p) + 64)
                block = np.minimum(block, total + 1).cumsum() + reached
                gaps.append(block)
                reached = int(block[-1])
            flat = np.concatenate(gaps) - 1
            flat = flat[flat < total]
        pre, post = flat // self.n_post + start, flat % self.n_post
        if self.shift is not None:
            keep = pre + self.shift != post
            pre, post = pre[keep], post[keep]
        return pre.astype(np.int32), post.astype(np.int32)

    def _indegree(self, connect: Connect, start: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
        generator, k = stream(self.seed, "connect", self.name, start), connect.indegree or 0
        post = np.repeat(np.arange(start, start + rows), k)
        excluded = post - self.shift if self.shift is not None else None
        n = self.n_pre
        if connect.multapses is False:
            keys = generator.random((rows, n))
            if self.shift is not None:
                own = np.arange(start, start + rows) - self.shift
                inside = (own >= 0) & (own < n)
                keys[np.flatnonzero(inside), own[inside]] = 2.0  # above every key: chosen last
            pre = np.argsort(keys, axis=1, kind="stable")[:, :k].reshape(-1)
        else:
            pre = self._any_but(generator, excluded, post.size)
        return pre.astype(np.int32), post.astype(np.int32)

    def _any_but(self, generator: np.random.Generator, excluded: np.ndarray | None, size: int) -> np.ndarray:
        """Uniform presynaptic cells; where a cell of the range is excluded, uniform over the others."""
        if excluded is None:
            return generator.integers(0, self.n_pre, size)
        inside = (excluded >= 0) & (excluded < self.n_pre)
        drawn = generator.integers(0, self.n_pre - inside.astype(np.int64))
        return drawn + (inside & (drawn >= excluded))

    def _total_number(self, connect: Connect) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Pairs among all allowed ones, numbered by pre, then post; with multapses every chunk has a number of its own."""
        generator, n = stream(self.seed, "connect", self.name), connect.total_number or 0
        if connect.multapses is False:
            own = self._own_pairs(0, self.n_pre)
            drawn = generator.choice(self.n_pre * self.n_post - own.size, n, replace=False, shuffle=False)
            yield self._pairs_numbered(np.sort(drawn), own, 0)
            return
        starts = np.arange(0, self.n_pre, CHUNK)
        allowed = [
            min(CHUNK, self.n_pre - s) * self.n_post - self._own_pairs(s, min(CHUNK, self.n_pre - s)).size
            for s in starts.tolist()
        ]
        counts = generator.multinomial(n, np.array(allowed) / max(sum(allowed), 1))
        for start, among, count in zip(starts.tolist(), allowed, counts.tolist(), strict=True):
            drawn = stream(self.seed, "connect", self.name, start).integers(0, among, count) if among else []
            own = self._own_pairs(start, min(CHUNK, self.n_pre - start))
            yield self._pairs_numbered(np.sort(np.asarray(drawn, np.int64)), own, start)

    def _own_pairs(self, start: int, rows: int) -> np.ndarray:
        """Numbers of the pairs that connect a cell to itself and must not, counted from presynaptic cell ``start`` on."""
        if self.shift is None:
            return np.zeros(0, np.int64)
        pre = np.arange(max(start, -self.shift), min(start + rows, self.n_post - self.shift), dtype=np.int64)
        return (pre - start) * self.n_post + pre + self.shift

    def _pairs_numbered(self, numbers: np.ndarray, own: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
        # Skip the excluded pairs: the k-th of them moves everything from (own[k] - k) on by one.
        if own.size:
            numbers = numbers + np.searchsorted(own - np.arange(own.size), numbers, side="right")
        pre, post = np.divmod(numbers, self.n_post)
        return (pre + start).astype(np.int32), post.astype(np.int32)

    def _conv2d(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        conv = self.connect.conv2d
        shapes = {**self.circuit.populations, **self.circuit.inputs}
        c_in, rows, columns = shapes[self.pre_name].shape  # type: ignore[union-attr, misc]
        c_out, out_rows, out_columns = shapes[self.post_name].shape  # type: ignore[union-attr, misc]
        k, stride, padding = conv.kernel, conv.stride, conv.padding  # type: ignore[union-attr]
        co, y, x, ci, ky, kx = np.indices((c_out, out_rows, out_columns, c_in, k, k)).reshape(6, -1)
        py, px = y * stride + ky - padding, x * stride + kx - padding
        keep = (py >= 0) & (py < rows) & (px >= 0) & (px < columns)
        pre = ((ci * rows + py) * columns + px)[keep]
        post = ((co * out_rows + y) * out_columns + x)[keep]
        index = (((co * c_in + ci) * k + ky) * k + kx)[keep]
        order = np.lexsort((post, pre))
        return pre[order], post[order], index[order].astype(np.int64)
