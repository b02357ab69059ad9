"""Quantities with units, turned into one coherent set: ms, mV, pA, um (hence nS, pF, GOhm).

Brian2 owns the table of unit names and the arithmetic of dimensions; here quantities are only read, and scaled by exact
powers of ten, so that ``"20 ms"`` is 20.0 and not 20.000000000000004.
"""

from __future__ import annotations

import ast
import math
import re
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from .errors import EngineError, UnitError
from .grammar import shorten

MAX_EXPONENT = 99
"""Largest power of ten and of a base unit that a written unit may have."""

Dimension = tuple[int, ...]
"""Exponents of metre, kilogram, second, ampere, kelvin, mole, candela."""

DIMENSIONLESS: Dimension = (0,) * 7
TIME: Dimension = (0, 0, 1, 0, 0, 0, 0)
RATE: Dimension = (0, 0, -1, 0, 0, 0, 0)

# log10 of the coherent base units in SI. Mass follows from mV = kg m2 / (s3 A), the mole from mM = mol / m3.
_LOG10_BASE: Dimension = (-6, -12, -3, -12, 0, -18, 0)

_NAMES = {
    "a time": "ms", "a voltage": "mV", "a current": "pA", "a conductance": "nS", "a capacitance": "pF",
    "a resistance": "Gohm", "a rate": "kHz", "a length": "um", "a charge": "fcoulomb", "a concentration": "mM",
    "a voltage per time": "mV/ms", "a current per time": "pA/ms", "a conductance per time": "nS/ms",
    "a current density": "pA/um**2", "a conductance density": "nS/um**2", "a capacitance density": "pF/um**2",
    "an area": "um**2",
}  # fmt: skip
_EXAMPLES = {
    "a time": "10 ms",
    "a voltage": "-65 mV",
    "a current": "200 pA",
    "a conductance": "1 nS",
    "a rate": "10 Hz",
}
_SYMBOLS = {
    "s": "second",
    "V": "volt",
    "A": "amp",
    "S": "siemens",
    "F": "farad",
    "C": "coulomb",
    "m": "metre",
    "K": "kelvin",
}
"""Symbols without a prefix, which Brian2 does not know, and its names."""
_QUANTITY = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*)", re.DOTALL)


class Quantity(NamedTuple):
    """A number in coherent units and its dimension."""

    value: float
    dimension: Dimension


class _Scale(NamedTuple):
    exponent: int  # log10 of the unit in SI
    dimension: Dimension


@cache
def _brian_units() -> dict[str, _Scale]:
    try:
        from brian2.core.namespace import DEFAULT_UNITS
    except ValueError:  # it sets a handler of signals, which Python allows in the main thread only
        raise EngineError("Brian2 cannot be imported in a thread; import brian2 in the main thread first") from None

    return {
        name: _Scale(int(unit.scale), tuple(int(d) for d in unit.dim._dims))
        for name, unit in DEFAULT_UNITS.items()
        if hasattr(unit, "scale")
    }


def is_unit(name: str) -> bool:
    """Whether Brian2 knows ``name`` as a unit."""
    return name in _brian_units()


def _coherent_exponent(scale: _Scale) -> int:
    return scale.exponent - sum(d * base for d, base in zip(scale.dimension, _LOG10_BASE, strict=True))


@cache
def parse_unit(text: str) -> Quantity:
    """Size of one ``text`` ("mV", "nS/ms", "cm**2", "1") in coherent units, with its dimension.

    Raises
    ------
    UnitError
        Not a product of powers of units that Brian2 knows.
    """
    scale = _unit_scale(text)
    return Quantity(_in_coherent_units("1", scale), scale.dimension)


def _in_coherent_units(number: str, scale: _Scale) -> float:
    """A decimal number of a unit in coherent units, rounded once; infinite where it is too large."""
    try:
        return float(Decimal(number).scaleb(_coherent_exponent(scale)))
    except ArithmeticError:
        return math.inf


def _unit_scale(text: str) -> _Scale:
    text = text.strip()
    if text in ("", "1"):
        return _Scale(0, DIMENSIONLESS)
    if len(text) > 100:
        raise UnitError(f"unit text of {len(text)} characters; write a short one such as 'nS/ms'")
    try:
        node = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise UnitError(f"cannot read the unit '{text}'; write for example 'mV' or 'nS/ms'") from None
    scale = _scale_of(node, text)
    if max(map(abs, (scale.exponent, *scale.dimension))) > MAX_EXPONENT:
        raise UnitError(f"the powers in the unit '{text}' are too large; write for example 'mV' or 'nS/ms'")
    return scale


def _scale_of(node: ast.AST, text: str) -> _Scale:
    match node:
        case ast.Name(id=name):
            if name not in _brian_units():
                remedy = f"write '{_SYMBOLS[name]}'" if name in _SYMBOLS else "for example ms, mV, nS, pA, pF, Mohm, Hz"
                raise UnitError(f"unknown unit '{name}'; use Brian2's names, {remedy}")
            return _brian_units()[name]
        case ast.Constant(value=1):
            return _Scale(0, DIMENSIONLESS)
        case ast.BinOp(left=left, op=ast.Mult() | ast.Div() as op, right=right):
            a, b = _scale_of(left, text), _scale_of(right, text)
            sign = 1 if isinstance(op, ast.Mult) else -1
            dims = tuple(x + sign * y for x, y in zip(a.dimension, b.dimension, strict=True))
            return _Scale(a.exponent + sign * b.exponent, dims)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            power = _small_integer(right)
            if power is not None:
                a = _scale_of(left, text)
                return _Scale(a.exponent * power, tuple(x * power for x in a.dimension))
    raise UnitError(f"cannot read the unit '{text}'; only names, *, / and small integer powers are allowed")


def _small_integer(node: ast.AST) -> int | None:
    sign = 1
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        sign, node = -1, node.operand
    if isinstance(node, ast.Constant) and type(node.value) is int and abs(node.value) <= 8:
        return sign * node.value
    return None


def parse_quantity(value: str | float | int) -> Quantity:
    """Read ``"20 ms"``, ``"-70 mV"``, ``"1e-3"`` or a bare number.

    Returns
    -------
    Quantity
        In coherent units; bare numbers are dimensionless.

    Raises
    ------
    UnitError
        No number, an unknown unit, or a value that is not finite.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UnitError(f"expected a number or a text such as '10 ms', got {value!r:.60}")
    if isinstance(value, str):
        if len(value) > 200:
            raise UnitError(f"expected a quantity such as '10 ms', got a text of {len(value)} characters")
        found = _QUANTITY.fullmatch(value)
        if not found:
            raise UnitError(f"expected a number with a unit such as '10 ms', got '{shorten(value)}'")
        scale = _unit_scale(found[2])
        number, dimension = _in_coherent_units(found[1], scale), scale.dimension
    else:
        try:
            number, dimension = float(value), DIMENSIONLESS
        except OverflowError:
            raise UnitError("expected a number below 1e308") from None
    if not math.isfinite(number):
        raise UnitError(f"expected a finite number, got {shorten(str(value))}")
    return Quantity(number, dimension)


def expect(value: str | float | int, dimension: Dimension, example: str | None = None) -> float:
    """``value`` in coherent units, which must have ``dimension``; the error names both and gives an example."""
    quantity = parse_quantity(value)
    if quantity.dimension != dimension and not (quantity.value == 0 and not isinstance(value, str)):
        wanted = describe(dimension)
        sample = example or _EXAMPLES.get(wanted)
        remedy = f" Write for example '{sample}'." if sample else f" Give it in {coherent_name(dimension)}."
        raise UnitError(f"expected {wanted}, got '{shorten(str(value))}' ({describe(quantity.dimension)}).{remedy}")
    return quantity.value


def is_brian_quantity(value: object) -> bool:
    """Whether a value from Python code carries Brian2's units."""
    return hasattr(value, "dim") and type(value).__module__.startswith("brian2.")


def from_brian(quantity: Any) -> tuple[np.ndarray, str]:
    """Numbers of a Brian2 quantity in the coherent unit of its dimension, and the name of that unit."""
    scale = _Scale(0, tuple(int(d) for d in quantity.dim._dims))
    convert = np.vectorize(lambda x: _in_coherent_units(repr(float(x)), scale), otypes=[np.float64])
    return convert(np.asarray(quantity)), coherent_name(scale.dimension)


@cache
def _described() -> dict[Dimension, tuple[str, str]]:
    return {parse_unit(name).dimension: (kind, name) for kind, name in _NAMES.items()}


def describe(dimension: Dimension) -> str:
    """``"a voltage"``; dimensions without a name are spelled in coherent units."""
    if dimension == DIMENSIONLESS:
        return "a plain number"
    known = _described().get(dimension)
    return known[0] if known else f"a quantity in {coherent_name(dimension)}"


def coherent_name(dimension: Dimension) -> str:
    """Name of the coherent unit of ``dimension``: "mV", "nS", "1", else a product of ms, mV, pA, um."""
    if dimension == DIMENSIONLESS:
        return "1"
    known = _described().get(dimension)
    if known:
        return known[1]
    metre, mass, second, ampere, kelvin, mole, candela = dimension
    # kg = mV ms3 pA / um2 up to powers of ten: write mass through the voltage.
    powers = {
        "um": metre - 2 * mass, "mV": mass, "ms": second + 3 * mass, "pA": ampere + mass,
        "kelvin": kelvin, "amol": mole, "candle": candela,
    }  # fmt: skip
    return "*".join(name if p == 1 else f"{name}**{p}" for name, p in powers.items() if p)


def multiply(a: Dimension, b: Dimension, power: int = 1) -> Dimension:
    """Dimension of ``a * b**power``."""
    return tuple(x + power * y for x, y in zip(a, b, strict=True))
