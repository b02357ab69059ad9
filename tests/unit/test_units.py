"""Quantities: one coherent set, exact powers of ten, Brian2's table of names, and refusals that say what to write."""

from __future__ import annotations

import math
import pickle

import brian2 as b2
import numpy as np
import pytest
from brian2.core.namespace import DEFAULT_UNITS

from cortexsnn import units
from cortexsnn.errors import UnitError
from cortexsnn.grid import check_steps, read_steps, round_to_steps, to_steps
from cortexsnn.units import DIMENSIONLESS, RATE, TIME, expect, parse_quantity, parse_unit

VOLTAGE = parse_unit("mV").dimension


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("20 ms", 20.0), ("0.02 second", 20.0), ("20000 us", 20.0), ("-70 mV", -70.0), ("-0.07 volt", -70.0), (".5e1ms", 5.0),
        ("1 nS", 1.0), ("30 uS", 30000.0), ("200 pF", 200.0), ("1 uF/cm**2", 0.01), ("100 Mohm", 0.1), ("10 Hz", 0.01),
        ("1/ms", None), ("3", 3.0), ("1e-3", 1e-3), ("+2 mV", 2.0), ("5 mV/ms", 5.0), ("1 mV*nS", 1.0), ("1 ms**-1", 1.0),
        ("2 1", 2.0), (7, 7.0), (0.1, 0.1), (10**20, 1e20),
    ],
)  # fmt: skip
def test_quantities_are_scaled_by_exact_powers_of_ten(text: str | float, value: float | None) -> None:
    if value is None:
        with pytest.raises(UnitError, match=r"^cannot read the unit '/ms'; write for example"):
            parse_quantity(text)
    else:
        assert parse_quantity(text).value == value


def test_every_unit_of_brian2_has_its_size() -> None:
    table = {name: unit for name, unit in DEFAULT_UNITS.items() if hasattr(unit, "scale")}
    assert len(table) > 1000
    for name, unit in table.items():
        scale = units._brian_units()[name]
        assert math.isclose(float(np.asarray(unit)), 10.0**scale.exponent, rel_tol=1e-12), name
        assert tuple(unit.dim._dims) == scale.dimension, name


@pytest.mark.parametrize(
    "name", ["ms", "mV", "nS", "pA", "pF", "Mohm", "Hz", "coulomb", "mM", "metre", "kelvin", "mole", "joule", "watt", "candle"]
)  # fmt: skip
def test_the_coherent_unit_of_a_dimension_is_one_of_itself(name: str) -> None:
    dimension = parse_unit(name).dimension
    assert parse_unit(units.coherent_name(dimension)) == (1.0, dimension)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10 mss", r"^unknown unit 'mss'; use Brian2's names, for example ms, mV"),
        ("10 s", r"^unknown unit 's'; use Brian2's names, write 'second'$"),
        ("ms", r"^expected a number with a unit such as '10 ms', got 'ms'$"),
        ("", r"^expected a number with a unit such as '10 ms', got ''$"),
        ("nan ms", r"^expected a number with a unit"),
        ("1e9999 ms", r"^expected a finite number, got 1e9999 ms$"),
        ("1e99999999999999999999 ms", r"^expected a finite number"),
        ("1 ms**9**9", r"^cannot read the unit 'ms\*\*9\*\*9'; only names, \*, / and small integer powers"),
        ("1 ms**99999999999", r"^cannot read the unit"),
        ("1 " + "(" * 5 + "ms" + "**8)" * 5, r"^the powers in the unit .* are too large; write for example 'mV'"),
        ("1 ms mV", r"^cannot read the unit 'ms mV'; write for example"),
        ("1 __import__('os')", r"^cannot read the unit"),
        ("1 ms.real", r"^cannot read the unit"),
        ("1 (lambda: ms)", r"^cannot read the unit"),
        ("1 " + "(" * 150 + ")" * 48, r"^expected a quantity such as '10 ms', got a text of|^unit text of"),
        ("1 " + "m" * 300, r"^expected a quantity such as '10 ms', got a text of 302 characters"),
        ("1 " + "m" * 150, r"^unit text of 150 characters; write a short one"),
        (True, r"^expected a number or a text such as '10 ms', got True"),
        (None, r"^expected a number or a text"),
        (float("nan"), r"^expected a finite number, got nan"),
        (10**400, r"^expected a number below 1e308"),
    ],
)
def test_what_is_no_quantity_is_refused(text: object, message: str) -> None:
    with pytest.raises(UnitError, match=message) as caught:
        parse_quantity(text)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_wrong_dimension_names_both_and_gives_an_example() -> None:
    with pytest.raises(UnitError, match=r"^expected a time, got '10 mV' \(a voltage\)\. Write for example '10 ms'\.$"):
        expect("10 mV", TIME)
    with pytest.raises(UnitError, match=r"^expected a rate, got '5' \(a plain number\)\. Write for example '10 Hz'\.$"):
        expect("5", RATE)
    with pytest.raises(UnitError, match=r"^expected a capacitance, got '1 ms' \(a time\)\. Give it in pF\.$"):
        expect("1 ms", parse_unit("pF").dimension)
    assert expect(0, VOLTAGE) == 0.0
    with pytest.raises(UnitError, match="a plain number"):
        expect("0", VOLTAGE)


def test_brian2_quantities_keep_every_digit() -> None:
    values, unit = units.from_brian(10 / 3 * b2.pA)
    assert (float(values), unit) == (10 / 3, "pA")
    values, unit = units.from_brian(np.array([0.1, 0.2, 20.0]) * b2.nS / b2.ms)
    assert (values.tolist(), unit) == ([0.1, 0.2, 20.0], "nS/ms")
    assert units.from_brian(20 * b2.ms)[0] == 20.0
    assert parse_unit("1").dimension == DIMENSIONLESS


# -- times on the grid ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("time", "dt", "steps"), [(10, 0.1, 100), (1.0, 0.125, 8), (0.3, 0.1, 3), (0, 1, 0), (2e8, 0.1, 2 * 10**9)]
)
def test_times_are_whole_steps(time: float, dt: float, steps: int) -> None:
    assert to_steps(time, dt) == steps


@pytest.mark.parametrize(
    ("time", "dt", "message"),
    [
        (0.35, 0.1, r"^0\.35 ms is no multiple of dt = 0\.1 ms; use 0\.3 ms or 0\.4 ms$"),
        (1234567.5, 1.0, r"^1234567\.5 ms is no multiple of dt = 1 ms; use 1234567 ms or 1234568 ms$"),
        (-1.0, 1.0, r"^expected a time >= 0, got -1 ms; give a positive one$"),
        (-1e300, 1e-300, r"^expected a time >= 0"),
        (1e300, 1e-300, r"more than 2\*\*31 steps of 1e-300 ms; give a shorter time or a larger dt$"),
    ],
)
def test_times_off_the_grid_are_refused(time: float, dt: float, message: str) -> None:
    with pytest.raises(UnitError, match=message):
        to_steps(time, dt)
    with pytest.raises(UnitError, match=message):
        check_steps(np.array([[dt, time]]), dt)


def test_only_drawn_times_are_rounded() -> None:
    assert read_steps("2 ms", 0.5) == 4
    check_steps(np.array([0.5, 1.0, 0.0]), 0.5)
    assert round_to_steps(np.array([0.04, 0.26, 3.0]), 0.1, 1).tolist() == [1, 3, 30]
