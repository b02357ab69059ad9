"""Everything that is drawn, drawn once from one seed and handed to every engine: edges, delays, parameters, spikes.

Each draw has its own counter-based stream (Philox), keyed by the seed and by what is drawn, so a population can grow,
or a projection be added, without redrawing another. Edges beyond a number stated in ``edges`` lie in files.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from tqdm import tqdm

from .assembly import assemble
from .drawing import Drawing, part
from .drive import PoissonDrive
from .drive import stream as stream
from .edges import LARGE
from .edges import Edges as Edges
from .errors import InputError, UnitError
from .model import Model
from .rule import assemble_rule
from .spec import Array, Circuit, Distribution, Input, Projection
from .units import TIME, expect, parse_quantity
from .values import Number, draw, is_uniform, scaled


@dataclass(frozen=True)
class RuleNumbers:
    """Numbers of a plastic projection: ``constants`` (1,), and what the states of its edges start from."""

    constants: Mapping[str, np.ndarray]
    initial: Mapping[str, float]


@dataclass(frozen=True)
class Realisation:
    """All numbers of a circuit for one seed, in coherent units.

    parameters : population -> name -> float64, (1,) or (neuron,)
    initial : population -> state -> float64, (neuron,)
    edges : projection -> Edges
    rates : Poisson input -> spikes per step, (channel,)
    counted : Poisson inputs whose channels stand for many sources
    rules : plastic projection -> RuleNumbers, its parameters
    rows : input -> what it gives where nobody drives it, (step, channel), or (1, channel) for a constant
    """

    seed: int
    parameters: Mapping[str, Mapping[str, np.ndarray]]
    initial: Mapping[str, Mapping[str, np.ndarray]]
    edges: Mapping[str, Edges]
    rates: Mapping[str, np.ndarray]
    counted: frozenset[str]
    rules: Mapping[str, RuleNumbers] = field(default_factory=dict)
    rows: Mapping[str, np.ndarray] = field(default_factory=dict)

    def own_rows(self, name: str, first: int, last: int) -> np.ndarray:
        """Steps ``first`` to ``last`` of an input that nobody drives, (step, channel).

        Raises
        ------
        InputError
            It has no rows, or not so many.
        """
        if name not in self.rows:
            raise InputError(f"inputs.{name}: nobody drives it; pass an array (step, trial, channel)")
        rows = self.rows[name]
        if len(rows) == 1:
            return np.broadcast_to(rows, (last - first, rows.shape[1]))
        if len(rows) < last:
            raise InputError(
                f"inputs.{name}: its own rows are {len(rows)} steps, the run has {last}; make it shorter or drive it"
            )
        return rows[first:last]

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
    parameters, initial, models = {}, {}, {}
    for name, population in circuit.populations.items():
        model = assemble(circuit, population, lambda path, message: None)
        if model is None:
            raise InputError(f"populations.{name}: not valid; call validate(circuit) first")
        n, models[name] = population.n, model
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
    large = sum(_expected_edges(circuit, p) for p in circuit.projections.values()) > LARGE
    folder = tempfile.TemporaryDirectory(prefix="cortexsnn-edges-") if large else None
    edges = {
        name: Drawing(circuit, name, projection, seed, dt, folder).edges()
        for name, projection in _progress(circuit.projections.items(), large)
    }
    for name, projection in circuit.projections.items():
        if projection.plasticity is not None:
            edges[name] = _within_bounds(circuit, projection, models, dt, edges[name])
    counted = frozenset(name for name, drive in circuit.inputs.items() if drive.sources is not None)
    rules = {n: _rule(circuit, p, models, dt) for n, p in circuit.projections.items() if p.plasticity is not None}
    rows = {name: _rows(drive) for name, drive in circuit.inputs.items() if drive.rows is not None}
    return Realisation(int(seed), parameters, initial, edges, rates, counted, rules, rows)


def _rows(drive: Input) -> np.ndarray:
    given = drive.rows
    if given is None or isinstance(given, Distribution):
        raise InputError("inputs: rows are not valid; call validate(circuit) first")
    values = np.atleast_1d(scaled(given) if isinstance(given, Array) else np.array(parse_quantity(given).value))
    return np.broadcast_to(values.reshape(len(values), -1), (len(values), drive.n)).astype(np.float64)


def _within_bounds(
    circuit: Circuit, projection: Projection, models: Mapping[str, Model], dt: float, edges: Edges
) -> Edges:
    """Weights that a rule moves begin within its bounds."""
    rule = assemble_rule(circuit, projection, models, dt, lambda path, message: None)
    if rule is None or rule.bounds is None or not rule.moves_weights:
        return edges
    return replace(edges, values=np.clip(edges.values, *rule.bounds))


def _rule(circuit: Circuit, projection: Projection, models: Mapping[str, Model], dt: float) -> RuleNumbers:
    rule = assemble_rule(circuit, projection, models, dt, lambda path, message: None)
    if rule is None:
        raise InputError("projections: a plasticity is not valid; call validate(circuit) first")
    return RuleNumbers({name: np.array([value]) for name, value in rule.parameters.items()}, rule.initial)


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


def _progress(items: Iterable[Any], shown: bool) -> Iterable[Any]:
    return tqdm(list(items), desc="connections", unit="projection", leave=False, disable=None if shown else True)


def _expected_edges(circuit: Circuit, projection: Projection) -> float:
    n_pre, n_post = (part(circuit, text)[2] for text in (projection.pre, projection.post))
    connect = projection.connect
    match connect.kind:
        case "probability":
            return n_pre * n_post * float(connect.probability or 0)
        case "indegree":
            return n_post * (connect.indegree or 0)
        case "total_number":
            return connect.total_number or 0
    return n_pre * n_post if connect.kind == "all" else 0
