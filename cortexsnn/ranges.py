"""Numbers from Python code in their ranges, as messages name them."""

from __future__ import annotations

from math import inf
from numbers import Integral, Real

from pandas import Interval

from .errors import InputError, UnitError
from .units import TIME, expect

POSITIVE = Interval(0, inf, closed="neither")
NOT_NEGATIVE = Interval(0, inf, closed="left")
SHARE = Interval(0, 1, closed="both")
FACTOR = Interval(0, 1, closed="right")
BELOW_ONE = Interval(0, 1, closed="left")
BETWEEN = Interval(0, 1, closed="neither")
COUNT = Interval(1, inf, closed="left")


def check_number(path: str, value: object, interval: Interval, *, whole: bool = False) -> None:
    """Refuse what is no real number, or no whole one, in an interval.

    Raises
    ------
    InputError
        Another type (true and false among them), NaN, or a number outside.
    """
    kind = Integral if whole else Real
    if isinstance(value, bool) or not isinstance(value, kind) or value not in interval:
        raise InputError(f"{path}: expected a {'whole ' * whole}number in {interval}, got {value!r:.60}")


def check_fields(path: str, given: object, interval: Interval, *names: str, whole: bool = False) -> None:
    """:func:`check_number` of attributes of a dataclass, each named as ``path.name``."""
    for name in names:
        check_number(f"{path}.{name}", getattr(given, name), interval, whole=whole)


def milliseconds(path: str, time: str) -> float:
    """A time such as ``"1 ms"``, in ms and above 0.

    Raises
    ------
    InputError
        No such time.
    """
    try:
        found = expect(time, TIME)
    except UnitError as error:
        raise InputError(f"{path}: {error}") from None
    check_number(f"{path} [ms]", found, POSITIVE)
    return found
