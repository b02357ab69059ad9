"""What a value of the circuit stands for: its dimension, and the numbers drawn for it in coherent units."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .errors import UnitError
from .spec import Array, Distribution
from .units import DIMENSIONLESS, Dimension, coherent_name, describe, expect, parse_quantity, parse_unit

Number = float | str | Distribution | Array

_ARGUMENTS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    # distribution: (arguments with the unit of the value, plain numbers)
    "constant": (("value",), ()),
    "uniform": (("low", "high"), ()),
    "normal": (("mean", "std"), ()),
    "lognormal": (("median",), ("sigma",)),
    "exponential": (("mean",), ()),
    "gamma": (("scale",), ("shape",)),
}


def dimension_of(value: Number) -> Dimension:
    """Dimension of a value as written.

    Raises
    ------
    UnitError
        It cannot be read, or a distribution misses an argument, has one too many, or mixes units.
    """
    if isinstance(value, Array):
        if value.values.dtype.kind == "b":
            raise UnitError("expected numbers, got true and false; write 1 and 0 where you mean them")
        bad = np.argwhere(~np.isfinite(value.values))
        if len(bad):
            where = ", ".join(map(str, bad[0])) or "0"
            raise UnitError(f"expected finite numbers, got {value.values[tuple(bad[0])]} at index {where}; correct it")
        return parse_unit(value.unit).dimension
    if not isinstance(value, Distribution):
        return parse_quantity(value).dimension
    with_unit, plain = _ARGUMENTS[value.distribution]
    given = value.arguments()
    if set(given) != {*with_unit, *plain}:
        wanted = ", ".join((*with_unit, *plain))
        raise UnitError(f"distribution {value.distribution}: expected {wanted}, got {', '.join(given) or 'nothing'}")
    for name in plain:
        if expect(given[name], DIMENSIONLESS) < 0:
            raise UnitError(f"expected {name} >= 0, got {given[name]}")
    dimension = parse_quantity(given[with_unit[0]]).dimension
    for text in [given[n] for n in with_unit[1:]] + ([value.min] if value.min is not None else []):
        expect(text, dimension)
    if value.distribution == "normal" and parse_quantity(given["std"]).value < 0:
        raise UnitError(f"expected std >= 0, got {given['std']}")
    if value.distribution == "uniform" and parse_quantity(given["low"]).value > parse_quantity(given["high"]).value:
        raise UnitError(f"expected low <= high, got {given['low']} and {given['high']}")
    return dimension


def lower_bound(value: Number) -> float:
    """Smallest number a magnitude can take, or a number of its sign, in coherent units: negative where it can be.

    ``value`` has passed :func:`dimension_of`.
    """
    if isinstance(value, Array):
        return float(value.values.min() * parse_unit(value.unit).value) if value.values.size else 0.0
    if not isinstance(value, Distribution):
        return parse_quantity(value).value
    # A normal magnitude is truncated at 0, which makes sense around a mean that is none below.
    argument = _ARGUMENTS[value.distribution][0][0]
    return parse_quantity(value.arguments()[argument]).value


def check_size(value: Number, n: int, what: str) -> None:
    """An array must hold one number per ``what``, or one in all.

    Raises
    ------
    UnitError
        Another length or more than one axis.
    """
    if isinstance(value, Array) and (value.values.shape not in ((n,), (), (1,))):
        raise UnitError(f"expected one number or one per {what} ({n}), got an array of shape {value.values.shape}")


def is_uniform(value: Number) -> bool:
    """Whether one number serves all."""
    return not isinstance(value, Distribution | Array) or (isinstance(value, Array) and value.values.size == 1)


def draw(value: Number, n: int, generator: np.random.Generator, positive: bool = False) -> np.ndarray:
    """``n`` numbers in coherent units.

    Parameters
    ----------
    value : Number
        Scalars and arrays are repeated or converted, distributions drawn.
    n : int
    generator : numpy.random.Generator
    positive : bool
        Truncate a normal distribution at zero (magnitudes, delays) by inverse transform, never by clipping.

    Returns
    -------
    ndarray, (n,), float64

    Raises
    ------
    UnitError
        A number is too large for float64.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if isinstance(value, Array):
            drawn = np.broadcast_to(scaled(value), (n,)).astype(np.float64)
        elif isinstance(value, Distribution):
            drawn = _sample(value, n, generator, positive)
        else:
            drawn = np.full(n, parse_quantity(value).value)
    if not np.isfinite(drawn).all():
        raise UnitError("a number drawn here is too large for float64; use a narrower distribution or smaller numbers")
    return drawn


def _sample(value: Distribution, n: int, generator: np.random.Generator, positive: bool) -> np.ndarray:
    a = {name: parse_quantity(text).value for name, text in value.arguments().items()}
    match value.distribution:
        case "constant":
            drawn = np.full(n, a["value"])
        case "uniform":
            drawn = a["low"] + (a["high"] - a["low"]) * generator.random(n)
        case "normal":
            drawn = _normal(a["mean"], a["std"], n, generator, positive)
        case "lognormal":
            drawn = a["median"] * np.exp(a["sigma"] * generator.standard_normal(n))
        case "exponential":
            drawn = a["mean"] * generator.standard_exponential(n)
        case "gamma":
            drawn = a["scale"] * generator.standard_gamma(a["shape"], n)
    return drawn if value.min is None else np.maximum(drawn, parse_quantity(value.min).value)


def scaled(array: Array) -> np.ndarray:
    """An explicit array in coherent units; factors of ten below one divide, which rounds once and correctly."""
    factor = parse_unit(array.unit).value
    values = array.values.astype(np.float64)
    return values * factor if factor >= 1 else values / parse_unit(f"1/({array.unit})").value if factor != 1 else values


def _normal(mean: float, std: float, n: int, generator: np.random.Generator, positive: bool) -> np.ndarray:
    if not positive or std == 0:
        return mean + std * generator.standard_normal(n)
    from scipy.special import ndtr, ndtri

    above = (1 - generator.random(n)) * ndtr(mean / std)  # the share of the whole normal that lies above each number
    return mean - std * ndtri(above)


def describe_unit(dimension: Dimension) -> str:
    """``a voltage (mV)`` for messages."""
    return f"{describe(dimension)} ({coherent_name(dimension)})"
