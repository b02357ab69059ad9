"""What the fields of a circuit are made of: frozen models, arrays, plain types; pydantic's findings in our words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, cast, get_args, get_origin

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Strict, Tag, ValidationError

from .errors import InputError, Problem, SpecError
from .grammar import shorten
from .units import from_brian, is_brian_quantity


class FrozenDict(dict):  # type: ignore[type-arg]
    """A dictionary that cannot be changed after construction."""

    def _refuse(self, *args: object, **kwargs: object) -> NoReturn:
        raise TypeError("circuits are frozen; use circuit.with_parameters({...}) for a changed copy")

    __setitem__ = __delitem__ = update = pop = popitem = clear = setdefault = __ior__ = _refuse  # type: ignore[assignment]

    def __reduce__(self) -> tuple[type, tuple[dict[Any, Any]]]:
        return FrozenDict, (dict(self),)


class Array:
    """Numbers with one unit: explicit weights, edges, per-neuron values. Read-only; equal by content.

    Parameters
    ----------
    values : array_like
        Any shape; booleans, integers and reals. A Brian2 quantity brings its unit along.
    unit : str
        Unit of every entry, "1" if plain.

    Raises
    ------
    InputError
        No numbers, or rows of different lengths.
    """

    __slots__ = ("unit", "values")

    def __init__(self, values: Any, unit: str = "1") -> None:
        if is_brian_quantity(values):
            values, unit = from_brian(values)
        try:
            array = np.array(values)
        except (ValueError, TypeError, OverflowError, RuntimeError):
            raise InputError("expected numbers in rows of equal length") from None
        if array.dtype.kind not in "biuf":
            found = {"U": "texts", "S": "texts", "c": "complex numbers"}.get(array.dtype.kind, f"{array.dtype} entries")
            hint = "; write {values: [1, 2], unit: ms}" if found == "texts" else ""
            raise InputError(f"expected real numbers and no {found}{hint}")
        if isinstance(values, list | tuple) and array.dtype.kind != "b" and any(isinstance(v, bool) for v in values):
            raise InputError("expected numbers, got true or false among them; write 1 or 0 where you mean them")
        if array.dtype.kind == "f":
            array = array.astype(np.float64)
        self.values = array.astype(array.dtype.newbyteorder("="), copy=False)
        self.values.setflags(write=False)
        self.unit = unit

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Array) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"Array(shape={self.values.shape}, unit={self.unit!r})"

    def _key(self) -> tuple[str, tuple[int, ...], str, bytes]:
        return self.unit, self.values.shape, self.values.dtype.str, self.values.tobytes()


def real_numbers(path: str, values: Any) -> np.ndarray:
    """Values as a read-only array of real numbers.

    Raises
    ------
    InputError
        As of :class:`Array`, with the path.
    """
    try:
        return Array(values).values
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)


class _Model(ModelMetaclass):
    """Building a part of a circuit raises our error; pydantic builds nested parts without coming by here."""

    def __call__(cls, /, *args: Any, **fields: Any) -> Any:
        if args:
            raise InputError(f"{cls.__name__} takes its fields by name; write {cls.__name__}(**mapping)")
        try:
            return super().__call__(*args, **fields)
        except ValidationError as error:
            raise SpecError(_problems(error, cast(type[BaseModel], cls))) from None


class Frozen(BaseModel, metaclass=_Model):
    """A part of a circuit: frozen, and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise InputError(f"{name}: a circuit is frozen; use circuit.with_parameters for a changed copy")


# -- plain fields: nothing is converted silently ("no" is not False, "400" not 400, True not 1) ----------------------


def _plain(raw: Any) -> Any:
    """Numbers of numpy and Brian2 as Python's own."""
    if is_brian_quantity(raw) and np.ndim(raw) == 0:
        value, unit = from_brian(raw)
        return f"{float(value)!r} {unit}"
    return raw.item() if isinstance(raw, np.generic) else raw


def _scalar_kind(raw: Any) -> str | None:
    if isinstance(raw, bool):
        return None
    return "<number>" if isinstance(raw, int | float) else "<text>" if isinstance(raw, str) else None


def _listed(raw: Any) -> Any:
    """Lists alone: the order of a set is nobody's."""
    if not isinstance(raw, list | tuple):
        raise ValueError("expected a list")
    return raw


Text = Annotated[str, Strict()]
Listed = BeforeValidator(_listed)
Flag = Annotated[bool, Strict(), BeforeValidator(_plain)]
Whole = Annotated[int, Strict(), BeforeValidator(_plain)]
Real = Annotated[float, Strict(), BeforeValidator(_plain)]
_Number = Annotated[float, Tag("<number>")]
_Text = Annotated[str, Tag("<text>")]
Scalar = Annotated[
    _Number | _Text,
    Discriminator(_scalar_kind, "no_scalar", "expected a number or a text such as '10 ms'"),
    BeforeValidator(_plain),
]
"""A number, or a text with a unit."""


def to_array(raw: Any) -> Any:
    """Lists and ``{values: [...], unit: u}`` as an :class:`Array`; everything else as it is."""
    try:
        if isinstance(raw, Mapping) and "values" in raw and set(raw) <= {"values", "unit"}:
            return Array(raw["values"], str(raw.get("unit", "1")))
        listed = isinstance(raw, np.ndarray | list | tuple)
        return Array(raw) if listed else raw
    except InputError as error:
        raise ValueError(str(error)) from None


def to_value(raw: Any) -> Any:
    """A field that holds a quantity, in the form its type expects."""
    return to_array(_plain(raw))


def value_kind(raw: Any) -> str | None:
    """Which of number, text, array and distribution a value is."""
    if isinstance(raw, Array):
        return "<array>"
    if isinstance(raw, Mapping | BaseModel):
        return "<distribution>"
    return _scalar_kind(raw)


# -- pydantic's findings ------------------------------------------------------------------------------------------

_EXPECTED = {
    "bool_type": "expected true or false",
    "int_type": "expected a whole number",
    "float_type": "expected a number",
    "dict_type": "expected a mapping of fields",
    "mapping_type": "expected a mapping of fields",
    "model_type": "expected a mapping of fields",
    "tuple_type": "expected a list",
    "is_instance_of": "expected a list of numbers",
    "greater_than_equal": "expected a number >= {ge}",
    "less_than_equal": "expected a number <= {le}",
    "too_short": "expected at least {min_length} entry",
    "too_long": "expected at most {max_length} entries",
}
_TIMES = ("dt", "duration")


def _problems(error: ValidationError, owner: type[BaseModel]) -> list[Problem]:
    """Path as in the YAML, expectation, what came."""
    problems: dict[str, str] = {}
    for item in error.errors(include_url=False):
        # Alternatives of a union put their tags into the location; the YAML has no such level.
        loc = [part for part in map(str, item["loc"]) if not part.startswith("<")]
        is_key = bool(loc) and loc[-1] == "[key]"
        loc = loc[:-1] if is_key else loc
        got = shorten(repr(item["input"]))
        if is_key:
            message = f"expected a name as key, got {got}"
        elif item["type"] == "missing":
            message = "is missing; add it"
        elif item["type"] == "extra_forbidden":
            message = f"unknown field '{shorten(loc[-1])}'; remove it or correct its spelling{_known(loc, owner)}"
        else:
            message = _expectation(item, loc)
            if ", got " not in message:  # a piece says itself which of its arguments came
                wanted, separator, remedy = message.partition("; ")
                message = f"{wanted}, got {got}{separator}{remedy}"
        problems.setdefault(".".join(loc), message)
    return [Problem(path, message) for path, message in problems.items()]


def _expectation(item: Any, loc: list[str]) -> str:
    kind, context = item["type"], item.get("ctx", {})
    if kind == "string_type":
        return "expected a text such as '1 ms'" if loc[-1] in _TIMES else "expected a text; put it in quotes"
    if kind == "literal_error":
        return f"expected {context['expected']}"
    if kind == "value_error":
        return str(context["error"])
    message = _EXPECTED.get(kind, str(item["msg"]))
    return message.format(**context) if kind in _EXPECTED else f"{message[0].lower()}{message[1:]}"


def _known(loc: list[str], owner: type[BaseModel]) -> str:
    """Fields known where an unknown one was found."""
    parts = iter(loc[:-1])
    for part in parts:
        annotation = owner.model_fields[part].annotation if part in owner.model_fields else None
        found = _models_in(annotation)
        if len(found) != 1:
            return ""
        owner = found[0]
        if get_origin(annotation) in (Mapping, tuple):
            next(parts, None)  # the name of an entry, or its number in a list
    return f" (known: {', '.join(owner.model_fields)})"


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]
