"""Numbers as a reader of a paper expects them."""

from __future__ import annotations

import math

DASH, THIN, SPACE, MINUS, TIMES = "\u2013", "\u202f", "\u00a0", "\u2212", "\u00d7"
_SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def count(value: int | None) -> str:
    """12 345, with thin spaces."""
    return DASH if value is None else f"{int(value):,}".replace(",", THIN).replace("-", MINUS)


def number(value: float | None, digits: int = 3) -> str:
    """Significant digits, powers of ten written out; a dash for None and NaN."""
    if value is None or math.isnan(value):
        return DASH
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    if value == 0:
        return "0"
    rounded = abs(float(f"{value:.{digits - 1}e}"))
    if not 1e-3 <= rounded < 1e5:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa.replace('-', MINUS)}{THIN}{TIMES}{THIN}10{str(int(exponent)).translate(_SUPERSCRIPT)}"
    places = max(digits - 1 - math.floor(math.log10(rounded)), 0)
    return f"{value:.{places}f}".replace("-", MINUS)


def fixed(value: float | None, places: int) -> str:
    """A fixed number of decimals, for columns to be compared by eye."""
    return DASH if value is None or not math.isfinite(value) else f"{value:.{places}f}".replace("-", MINUS)


def percent(fraction: float | None, digits: int = 1) -> str:
    """97.2 %. Neither 0 nor 100 is shown unless it is exactly that."""
    if fraction is None or math.isnan(fraction):
        return DASH
    if fraction in (0.0, 1.0):
        return f"{100 * fraction:.0f}{SPACE}%"
    step = 10.0**-digits
    shown = f"{100 * fraction:.{digits}f}"
    if float(shown) >= 100 > 100 * fraction:
        return f">{SPACE}{100 - step:.{digits}f}{SPACE}%"
    if float(shown) == 0:
        return f"<{SPACE}{step:.{digits}f}{SPACE}%"
    return f"{shown}{SPACE}%"


def seconds(value: float | None) -> str:
    """5.1 ms, 8.6 s, 3 min 20 s."""
    if value is None or math.isnan(value):
        return DASH
    if value < 1:
        return f"{number(1000 * value)}{SPACE}ms"
    if value < 120:
        return f"{number(value)}{SPACE}s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes}{SPACE}min {rest}{SPACE}s"
