"""Everything that is drawn, drawn once from one seed and handed to every engine: edges, delays, parameters, spikes.

Each draw has its own counter-based stream (Philox), keyed by the seed and by what is drawn, so a population can grow,
or a projection be added, without redrawing another. Edges come in chunks of cells: no array of all pairs exists.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from .assembly import assemble
from .drive import PoissonDrive
from .drive import stream as stream
from .errors import InputError, UnitError
from .grid import MAX_DELAY, read_steps, round_to_steps
from .spec import Array, Circuit, Connect, Distribution, Projection
from .units import TIME, expect
from .values import Number, draw, is_uniform, scaled
from .wiring import endpoint

CHUNK = 256
"""Presynaptic (or postsynaptic) cells per stream of edges."""


@dataclass(frozen=True)
class Edges:
    """Edges of one projection in their order of arrival within a step: by presynaptic cell, then as listed.

    pre, post : int32, (edge,), indices into the whole populations
    values : float64, (parameter,), magnitudes in coherent units
    index : int64, (edge,), or None: which parameter an edge uses (shared kernels); None means its own, or the only one
    delay : int32, (edge,) or (1,), steps
    """

    pre: np.ndarray
    post: np.ndarray
    values: np.ndarray
    index: np.ndarray | None
    delay: np.ndarray

    @property
    def weight(self) -> np.ndarray:
        """Magnitude of every edge, (edge,)."""
        if self.index is not None:
            return self.values[self.index]
        return np.broadcast_to(self.values, self.pre.shape) if self.values.size == 1 else self.values

    @property
    def max_delay(self) -> int:
        return int(self.delay.max(initial=0))


@dataclass(frozen=True)
class Realisation:
    """All numbers of a circuit for one seed, in coherent units.

    parameters : population -> name -> float64, (1,) or (neuron,)
    initial : population -> state -> float64, (neuron,)
    edges : projection -> Edges
    rates : Poisson input -> spikes per step, (channel,)
    counted : Poisson inputs whose channels stand for many sources
    """

    seed: int
    parameters: Mapping[str, Mapping[str, np.ndarray]]
    initial: Mapping[str, Mapping[str, np.ndarray]]
    edges: Mapping[str, Edges]
    rates: Mapping[str, np.ndarray]
    counted: frozenset[str]

    def poisson(self, name: str, trial: int, n_steps: int) -> np.ndarray:
        """Rows of one trial of a Poisson input, (step, channel)."""
        drive = self.poisson_drive(name, trial + 1, n_steps)
        return np.array([drive[trial, step] for step in range(n_steps)], drive.dtype).reshape(n_steps, -1)

    def poisson_drive(self, name: str, n_trials: int, n_steps: int) -> PoissonDrive:
        """Drive by a Poisson input: at most one spike per step and channel, with probability rate times dt, or counts."""
        return PoissonDrive(self.seed, name, self.rates[name], name in self.counted, n_trials, n_steps)


def realise(circuit: Circuit, seed: int = 0) -> Realisation:
    """Draw a validated circuit.

    Parameters
    ----------
    circuit : Circuit
    seed : int, >= 0

    Raises
    ------
    InputError
        The seed is no integer >= 0, or a drawn rate exceeds one spike per step.
    """
    if not isinstance(circuit, Circuit):
        raise InputError(f"circuit: expected a Circuit, got {type(circuit).__name__}; load one with cortexsnn.load")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(f"seed: expected an integer >= 0, got {seed!r:.60}")
    dt = expect(circuit.dt, TIME)
    parameters, initial = {}, {}
    for name, population in circuit.populations.items():
        model = assemble(circuit, population, lambda path, message: None)
        if model is None:
            raise InputError(f"populations.{name}: not valid; call validate(circuit) first")
        n = population.n
        parameters[name] = {
            key: drawn(value, 1 if is_uniform(value) else n, seed, "parameter", name, key)
            for key, value in model.parameters.items()
        }
        initial[name] = {key: drawn(model.initial.get(key, 0.0), n, seed, "initial", name, key) for key in model.states}
    rates = {
        name: _rates(name, drive.rate, drive.n, dt, seed, drive.sources)
        for name, drive in circuit.inputs.items()
        if drive.rate is not None
    }
    edges = {
        name: _Drawing(circuit, name, projection, seed, dt).edges() for name, projection in circuit.projections.items()
    }
    counted = frozenset(name for name, drive in circuit.inputs.items() if drive.sources is not None)
    return Realisation(int(seed), parameters, initial, edges, rates, counted)


def drawn(value: Number, n: int, seed: int, *what: str, positive: bool = False) -> np.ndarray:
    """Numbers from the stream of what is drawn, (n,).

    Raises
    ------
    InputError
        One is too large for float64.
    """
    try:
        return draw(value, n, stream(seed, *what), positive)
    except UnitError as error:
        raise InputError(f"{' '.join(what)}: {error}") from None


def _rates(name: str, rate: Number, n: int, dt: float, seed: int, sources: int | None) -> np.ndarray:
    p = drawn(rate, n, seed, "rate", name, positive=True) * dt * (sources or 1)
    if sources is None and p.max(initial=0) > 1:
        found = f"a drawn rate gives {p.max():g} spikes per step"
        raise InputError(f"inputs.{name}.rate: {found}; at most 1 is possible, lower dt or the rate")
    return p


class _Drawing:
    """The edges of one projection."""

    def __init__(self, circuit: Circuit, name: str, projection: Projection, seed: int, dt: float) -> None:
        self.circuit, self.name, self.projection, self.seed, self.dt = circuit, name, projection, seed, dt
        self.connect = projection.connect
        self.pre_name, self.pre_start, self.n_pre = self._end(projection.pre)
        self.post_name, self.post_start, self.n_post = self._end(projection.post)
        same = self.pre_name == self.post_name
        self.shift = self.pre_start - self.post_start if same and not self.connect.autapses else None

    def _end(self, text: str) -> tuple[str, int, int]:
        parsed = endpoint(text)
        if parsed is None:
            raise InputError(f"projections.{self.name}: not valid; call validate(circuit) first")
        name, start, stop = parsed
        n = {**self.circuit.populations, **self.circuit.inputs}[name].n  # type: ignore[union-attr]
        return name, start or 0, (n if stop is None else stop) - (start or 0)

    def edges(self) -> Edges:
        index = None
        match self.connect.kind:
            case "conv2d":
                pre, post, index = self._conv2d()
            case "edges":
                pre, post = (a.values.astype(np.int32) for a in (self.connect.edges.pre, self.connect.edges.post))  # type: ignore[union-attr]
            case _:
                parts = list(self._chunks())
                pre = np.concatenate([p for p, _ in parts]) if parts else np.zeros(0, np.int32)
                post = np.concatenate([p for _, p in parts]) if parts else np.zeros(0, np.int32)
                if self.connect.kind == "indegree":
                    order = np.lexsort((post, pre))
                    pre, post = pre[order], post[order]
        values = self._values(pre.size, self._kernel_size() if index is not None else None)
        return Edges(
            (pre + self.pre_start).astype(np.int32),
            (post + self.post_start).astype(np.int32),
            values,
            index,
            self._delay(pre.size),
        )

    def _values(self, n_edges: int, n_shared: int | None) -> np.ndarray:
        weight, n = self.projection.weight, n_edges if n_shared is None else n_shared
        if isinstance(weight, Array) and weight.values.size > 1:
            return scaled(weight).reshape(-1)
        source = {**self.circuit.populations, **self.circuit.inputs}[self.pre_name]
        positive = source.transmitter != "mixed"  # type: ignore[attr-defined]
        if n_shared is None and is_uniform(weight) and not self.projection.trainable:
            n = 1
        return drawn(weight, n, self.seed, "weight", self.name, positive=positive)

    def _kernel_size(self) -> int:
        shapes = {**self.circuit.populations, **self.circuit.inputs}
        channels_in, channels_out = shapes[self.pre_name].shape[0], shapes[self.post_name].shape[0]  # type: ignore[union-attr, index]
        return channels_in * channels_out * self.connect.conv2d.kernel**2  # type: ignore[union-attr]

    def _delay(self, n_edges: int) -> np.ndarray:
        delay = self.projection.delay
        if isinstance(delay, Distribution):
            least = max(1, read_steps(delay.min, self.dt)) if delay.min is not None else 1
            times = drawn(delay, n_edges, self.seed, "delay", self.name, positive=True)
            if times.max(initial=0) > MAX_DELAY * self.dt:
                found = f"a drawn delay of {times.max() / self.dt:.3g} steps"
                raise InputError(f"projections.{self.name}.delay: {found}; at most {MAX_DELAY} are possible")
            return round_to_steps(times, self.dt, least)
        if isinstance(delay, Array):
            steps = round_to_steps(scaled(delay), self.dt, 0).reshape(-1)
            return steps if steps.size > 1 else steps[:1]
        return np.array([read_steps(delay, self.dt)], dtype=np.int32)

    def _chunks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(pre, post) index arrays, relative to the two parts, ordered by pre then post within and over the chunks."""
        connect = self.connect
        match connect.kind:
            case "one_to_one":
                both = np.arange(self.n_pre, dtype=np.int32)
                yield both, both
            case "total_number":
                yield self._total_number(connect)
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

    def _total_number(self, connect: Connect) -> tuple[np.ndarray, np.ndarray]:
        generator, n = stream(self.seed, "connect", self.name), connect.total_number or 0
        if connect.multapses is False:
            allowed = self.n_pre * self.n_post
            own = np.zeros(0, np.int64)
            if self.shift is not None:
                pre = np.arange(max(0, -self.shift), min(self.n_pre, self.n_post - self.shift))
                own = pre * self.n_post + pre + self.shift
            flat = np.sort(generator.choice(allowed - own.size, n, replace=False, shuffle=False))
            # Skip the excluded pairs: the k-th of them moves everything from (own[k] - k) on by one.
            flat = flat + np.searchsorted(own - np.arange(own.size), flat, side="right")
            return (flat // self.n_post).astype(np.int32), (flat % self.n_post).astype(np.int32)
        post = generator.integers(0, self.n_post, n)
        pre = self._any_but(generator, post - self.shift if self.shift is not None else None, n)
        order = np.lexsort((post, pre))
        return pre[order].astype(np.int32), post[order].astype(np.int32)

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
