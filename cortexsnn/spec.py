"""The circuit as frozen data: what a YAML file says and nothing more. Meaning is checked in ``validate``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from math import prod
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Discriminator, Field, Tag

from .errors import InputError, unknown
from .neurons import expanded
from .plasticity import expanded as rule_expanded
from .structure import Array as Array
from .structure import Flag, Listed, Real, Scalar, Text, Whole, to_array, to_value, value_kind
from .structure import Frozen as Frozen
from .structure import FrozenDict as FrozenDict


class Distribution(Frozen):
    """Values drawn per neuron or edge: ``uniform{low, high}``, ``normal{mean, std}``, ``lognormal{median, sigma}``,
    ``exponential{mean}``, ``gamma{shape, scale}``, ``constant{value}``; ``min`` bounds them from below."""

    distribution: Literal["constant", "uniform", "normal", "lognormal", "exponential", "gamma"]
    value: Scalar | None = None
    low: Scalar | None = None
    high: Scalar | None = None
    mean: Scalar | None = None
    std: Scalar | None = None
    median: Scalar | None = None
    sigma: Scalar | None = None
    shape: Scalar | None = None
    scale: Scalar | None = None
    min: Scalar | None = None

    def arguments(self) -> dict[str, float | str]:
        """The arguments that were given, without the kind and the bound."""
        return {k: v for k, v in self.model_dump(exclude_none=True).items() if k not in ("distribution", "min")}


Value = Annotated[
    Annotated[float, Tag("<number>")]
    | Annotated[str, Tag("<text>")]
    | Annotated[Distribution, Tag("<distribution>")]
    | Annotated[Array, Tag("<array>")],
    Discriminator(value_kind, "no_value", "expected a number, a text such as '10 ms', a distribution or a list"),
    BeforeValidator(to_value),
]
Integers = Annotated[Array, BeforeValidator(to_array)]
Values = Annotated[Mapping[Text, Value], AfterValidator(FrozenDict)]
Texts = Annotated[Mapping[Text, Text], AfterValidator(FrozenDict)]
Transmitter = Literal["excitatory", "inhibitory", "mixed"]
_empty: Any = Field(default_factory=FrozenDict)


class Port(Frozen):
    """Where synapses and inputs act. ``pulse`` holds for one step; ``jump`` adds to the state of that name."""

    unit: Text = "1"
    kind: Literal["pulse", "jump"]
    receptor: Literal["excitatory", "inhibitory", "any"] | None = None
    charge: Literal["conserved"] | None = None


class Reduction(Frozen):
    """One number per trial from a whole population, ``op`` over the expression ``of``."""

    op: Literal["sum", "mean", "max", "min_positive"]
    of: Text


class Trainable(Frozen):
    """A parameter or initial value that training may change, one number per population or per neuron, within bounds."""

    per: Literal["neuron", "population"] = "population"
    min: Scalar | None = None
    max: Scalar | None = None


class Neuron(Frozen):
    """A neuron model or a piece of one; pieces compose in ``population.neuron``. Blocks are Brian2 syntax."""

    equations: Text = ""
    update: Text = ""
    ports: Annotated[Mapping[Text, Port], AfterValidator(FrozenDict)] = _empty
    threshold: Text | None = None
    threshold_scale: Scalar | None = None
    reset: Text = ""
    refractory: Scalar | None = None
    after_reset: Text = ""
    output: Text | None = None
    reductions: Annotated[Mapping[Text, Reduction], AfterValidator(FrozenDict)] = _empty
    adds: Texts = _empty
    modifies: Annotated[tuple[Text, ...], Listed] = ()
    method: Literal["exact", "exponential_euler", "euler", "rk2", "rk4"] | None = None
    parameters: Values = _empty
    initial: Values = _empty
    trainable: Annotated[Mapping[Text, Trainable], AfterValidator(FrozenDict)] = _empty
    description: Text = ""


Size = Annotated[Whole, Field(ge=1, le=2**31 - 2)]
Count = Annotated[Whole, Field(ge=0, le=2**31 - 2)]
Shape = Annotated[tuple[Size, ...], Field(min_length=1, max_length=8), Listed]


class _Sized(Frozen):
    size: Size | None = None
    shape: Shape | None = None

    @property
    def n(self) -> int:
        """Number of neurons or channels."""
        return prod(self.shape) if self.shape else (self.size or 0)


Names = Annotated[
    Annotated[str, Tag("<name>")] | Annotated[tuple[Text, ...], Tag("<names>")],
    Discriminator(
        lambda raw: "<name>" if isinstance(raw, str) else "<names>" if isinstance(raw, list | tuple) else None,
        "no_name",
        "expected the name of a neuron, or a list of names",
    ),
]


class Population(_Sized):
    """Neurons of one model and one transmitter; the transmitter is what gives every outgoing weight its sign."""

    neuron: Names
    transmitter: Transmitter
    parameters: Values = _empty
    initial: Values = _empty

    @property
    def pieces(self) -> tuple[str, ...]:
        return (self.neuron,) if isinstance(self.neuron, str) else self.neuron


class Input(_Sized):
    """Drive from outside: a number per step and channel (``current``), given spikes, or drawn Poisson spikes.

    With ``sources``, a channel stands for so many independent Poisson processes of that rate, and sends their count. ``rows`` are
    what a current gives where nobody drives it: a constant, or numbers (step,) or (step, channel)."""

    kind: Literal["current", "spikes", "poisson"]
    unit: Text = "1"
    rate: Value | None = None
    rows: Value | None = None
    sources: Size | None = None
    transmitter: Transmitter = "excitatory"


class Convolution(Frozen):
    """A shared kernel (output channel, input channel, row, column) over populations of shape (channel, row, column)."""

    kernel: Size
    stride: Size = 1
    padding: Count = 0


class Edges(Frozen):
    """Explicit edges, presynaptic and postsynaptic indices of equal length."""

    pre: Integers
    post: Integers


CONNECT_KINDS = ("all", "one_to_one", "probability", "indegree", "total_number", "conv2d", "edges")


class Connect(Frozen):
    """How edges are drawn; exactly one kind."""

    all: Flag | None = None
    one_to_one: Flag | None = None
    probability: Real | None = None
    indegree: Count | None = None
    total_number: Count | None = None
    conv2d: Convolution | None = None
    edges: Edges | None = None
    autapses: Flag = True
    multapses: Flag | None = None

    @property
    def kind(self) -> str:
        """Name of the one kind given ("" or several, joined by "+", are refused by validation)."""
        given = {k: getattr(self, k) for k in CONNECT_KINDS}
        return "+".join(k for k, v in given.items() if v is not None and v is not False)


def _to_connect(raw: Any) -> Any:
    if isinstance(raw, str):
        if raw not in ("all", "one_to_one"):
            raise ValueError("expected all, one_to_one or a mapping such as {probability: 0.1}")
        return {raw: True}
    return raw


class Bounds(Frozen):
    """Where a plastic weight stays, a magnitude."""

    min: Scalar | None = None
    max: Scalar | None = None


class Plasticity(Frozen):
    """How the weights of a projection change while it runs; blocks are Brian2 syntax, ``w`` is the weight of an edge.

    ``equations`` hold for each edge; ``on_pre`` runs where a spike arrives, ``on_post`` where the target fires, ``every`` at the end of
    each interval. ``sends`` multiplies what an edge sends. ``signals`` names third factors, ``sums`` is over the edges onto a target.
    ``wins`` says what holds where the weights are trained by gradient as well.
    """

    equations: Text = ""
    on_pre: Text = ""
    on_post: Text = ""
    every: Texts = _empty
    sends: Text | None = None
    signals: Texts = _empty
    sums: Texts = _empty
    bounds: Bounds | None = None
    method: Literal["exact", "exponential_euler", "euler", "rk2", "rk4"] | None = None
    parameters: Annotated[Mapping[Text, Scalar], AfterValidator(FrozenDict)] = _empty
    initial: Annotated[Mapping[Text, Scalar], AfterValidator(FrozenDict)] = _empty
    wins: Literal["plasticity", "gradient"] | None = None
    description: Text = ""


class Projection(Frozen):
    """Edges from ``pre`` to ``post`` with magnitudes >= 0; the source's transmitter decides the sign."""

    pre: Text
    post: Text
    port: Text | None = None
    deliver: Texts | None = None
    connect: Annotated[Connect, BeforeValidator(_to_connect)]
    weight: Value
    delay: Value = "0 ms"
    trainable: Flag = False
    gradient_scale: Real = 1.0
    plasticity: Annotated[Plasticity, BeforeValidator(rule_expanded)] | None = None


class Initialisation(Frozen):
    """A data-dependent initialisation of one E/I layer (E-I Init): the projections and parameters it sets, and the fan-in d of
    its formulas where that is not the largest number of edges onto one cell (a kernel on a map smaller than itself)."""

    rule: Literal["ei"]
    excitatory: Text
    to_inhibitory: Text
    inhibitory: Text
    gain: Text | None = None
    fan_in: Size | None = None


class Circuit(Frozen):
    """A whole circuit. Build it with :func:`cortexsnn.load`, or from nested mappings: ``Circuit(**mapping)``.

    Raises
    ------
    SpecError
        Fields that are missing, unknown or of the wrong kind, all at once, each with its path.
    """

    name: Text
    description: Text = ""
    sources: Annotated[tuple[Text, ...], Listed] = ()
    dt: Text
    duration: Text | None = None
    neurons: Annotated[Mapping[Text, Annotated[Neuron, BeforeValidator(expanded)]], AfterValidator(FrozenDict)]
    populations: Annotated[Mapping[Text, Population], AfterValidator(FrozenDict)]
    inputs: Annotated[Mapping[Text, Input], AfterValidator(FrozenDict)] = _empty
    projections: Annotated[Mapping[Text, Projection], AfterValidator(FrozenDict)] = _empty
    readout: Text | None = None
    initialisation: Annotated[tuple[Initialisation, ...], Listed] = ()

    def with_parameters(self, changes: Mapping[str, Any]) -> Circuit:
        """A changed copy; keys are paths as in the YAML, ``"populations.E.parameters.tau_m": "15 ms"``.

        Raises
        ------
        InputError
            Paths that lead nowhere, all of them, or no mapping.
        SpecError
            The changed circuit is not valid.
        """
        from .validate import validate

        if not isinstance(changes, Mapping):
            raise InputError(f"expected a mapping of paths to values, got {changes!r:.60}")
        plain, problems = to_plain(self), []
        for path, value in changes.items():
            try:
                _set_path(plain, path, value)
            except InputError as error:
                problems.append(str(error))
        if problems:
            raise InputError("; ".join(problems))
        return validate(Circuit(**plain))

    @property
    def hash(self) -> str:
        """SHA-256 of the whole specification, arrays included (first 16 hexadecimal digits)."""
        return hashlib.sha256(repr(_canonical(to_plain(self))).encode()).hexdigest()[:16]


def to_plain(model: Any) -> Any:
    """Nested dictionaries, as in the YAML; only what differs from the defaults; :class:`Array` is kept as it is."""
    if isinstance(model, Connect):
        only = _fields(model)
        return model.kind if [*only] == [model.kind] and only[model.kind] is True else only  # 1.0 equals True
    if isinstance(model, BaseModel):
        return _fields(model)
    if isinstance(model, Mapping):
        return {key: to_plain(value) for key, value in model.items()}
    if isinstance(model, tuple):
        return [to_plain(value) for value in model]
    return model


def _fields(model: BaseModel) -> dict[str, Any]:
    defaults = {name: field.get_default(call_default_factory=True) for name, field in type(model).model_fields.items()}  # type: ignore[call-arg]
    values = {name: getattr(model, name) for name in type(model).model_fields}
    return {
        name: to_plain(v) for name, v in values.items() if not (type(v) is type(defaults[name]) and v == defaults[name])
    }


def _canonical(plain: Any) -> Any:
    if isinstance(plain, dict):
        return [(key, _canonical(value)) for key, value in plain.items()]
    if isinstance(plain, list):
        return [_canonical(value) for value in plain]
    if isinstance(plain, Array):
        digest = hashlib.sha256(plain.values.tobytes()).hexdigest()
        return plain.unit, plain.values.shape, plain.values.dtype.str, digest
    return plain


_OPTIONAL = (
    "inputs",
    "projections",
    "parameters",
    "initial",
    "trainable",
    "ports",
    "reductions",
    "adds",
    "bounds",
    "every",
)
"""Mappings that may be left out of a circuit; a path may lead into them all the same."""


def _set_path(plain: dict[str, Any], path: object, value: Any) -> None:
    if not isinstance(path, str):
        raise InputError(f"expected paths such as 'populations.E.size', got {path!r:.60}")
    *parents, last = path.split(".")
    node: Any = plain
    for depth, key in enumerate(parents):
        if isinstance(node, dict) and key in _OPTIONAL:
            node.setdefault(key, {})
        node = node[_part(node, key, path, parents[:depth])]
    if not isinstance(node, dict):
        last = _part(node, last, path, parents)
    node[last] = value


def _part(node: Any, key: str, path: str, parents: list[str]) -> Any:
    """Key of a mapping or index of a list."""
    if isinstance(node, list) and key.isdecimal() and int(key) < len(node):
        return int(key)
    if isinstance(node, dict) and key in node:
        return key
    if isinstance(node, dict | list):
        known = node if isinstance(node, dict) else map(str, range(len(node)))
        raise InputError(f"{path}: {unknown('part', key, known)}")
    raise InputError(f"{path}: '{'.'.join(parents)}' is {node!r:.60} and has no parts; set it as a whole")
