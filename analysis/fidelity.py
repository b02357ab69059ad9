"""How far apart two engines or settings are, with an interval and a verdict: equivalent, different, inconclusive.

The unit of all statements is the network (or, with one network, the trial): a network's neurons are no independent samples, so
they are never counted as such. Each network gives one number per statistic, from which means and intervals follow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from scipy import stats

from ..errors import InputError, unknown
from .statistics import activity_statistics

Recordings = xr.DataTree | xr.DataArray | Sequence[xr.DataTree | xr.DataArray]
EQUIVALENT, DIFFERENT, INCONCLUSIVE = "equivalent", "different", "inconclusive"
MIN_UNITS = 3
"""Fewest networks (or trials) for which an interval is given."""
LEVEL = 0.95


class Bound(NamedTuple):
    """Differences up to ``value`` do not matter; ``relative``: to the mean of the first setting."""

    value: float
    relative: bool = False


BOUNDS: Mapping[str, Bound] = {
    "rate": Bound(0.05, relative=True),
    "rate_variation": Bound(0.05),
    "isi_cv": Bound(0.05),
    "lv": Bound(0.05),
    "correlation": Bound(0.01),
    "synchrony": Bound(0.05, relative=True),
}
"""What we call negligible unless told otherwise; a choice, not a finding."""


@dataclass(frozen=True)
class Fidelity:
    """What :func:`fidelity` found.

    Attributes
    ----------
    table : xarray.Dataset, (population, statistic)
        ``a``, ``b``: means; ``difference`` (b - a, relative where ``relative``) with its simultaneous interval ``low`` to
        ``high``; ``bound``; ``verdict``; ``n``, the units that enter; ``power``: the probability of "equivalent" if nothing
        differed, given the spread that was seen; ``detectable``: the true difference that would be called different in 80 %
        of repetitions; ``spread`` (yardstick, population, statistic): standard deviations over recordings that differ in
        one thing only, in the unit of the difference.
    unit : "network" or "trial"
    paired : bool
    level : float
        Of all intervals together.
    """

    table: xr.Dataset
    unit: str
    paired: bool
    level: float

    @property
    def verdict(self) -> str:
        """Different if anything is, equivalent if everything is, else inconclusive."""
        found = {str(v) for v in self.table["verdict"].values.ravel()}
        return DIFFERENT if DIFFERENT in found else EQUIVALENT if found == {EQUIVALENT} else INCONCLUSIVE

    def __str__(self) -> str:
        t = self.table
        lines = [
            f"{self.verdict} ({'paired ' if self.paired else ''}{self.unit}s, {100 * self.level:g} % intervals over "
            f"{t['verdict'].size} statistics together)"
        ]
        for population in t["population"].values:
            for statistic in t["statistic"].values:
                row = t.sel(population=population, statistic=statistic)
                as_percent = bool(row["relative"])
                scale, unit = (100, " %") if as_percent else (1, "")
                lines.append(
                    f"  {population} {statistic}: {float(row['a']):.4g} and {float(row['b']):.4g}, difference "
                    f"{scale * float(row['difference']):+.3g}{unit} ({scale * float(row['low']):+.3g} to "
                    f"{scale * float(row['high']):+.3g}), bound {scale * float(row['bound']):.3g}{unit}: {row['verdict'].item()}"
                )
        return "\n".join(lines)


def fidelity(
    recordings_a: Recordings,
    recordings_b: Recordings,
    *,
    paired: bool = True,
    bounds: Mapping[str, Bound | float] | None = None,
    yardsticks: Mapping[str, Sequence[xr.DataTree | xr.DataArray]] | None = None,
    level: float = LEVEL,
    bin_ms: float | None = None,
    start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> Fidelity:
    """Compare two settings statistically.

    A statistic is *equivalent* where its interval lies inside the bound, *different* where it lies outside of it altogether,
    else *inconclusive*. With ``m`` statistics the intervals are t-intervals at level ``1 - (1 - level)/m`` (Bonferroni). So a
    difference as large as its bound is called equivalent, and one no larger called different, with probability (1 - level)/2
    at most, over all statistics together.

    Parameters
    ----------
    recordings_a, recordings_b : recording or sequence of recordings
        One per network, that is per draw of wiring and parameters; a single recording each makes its trials the units, and
        the verdict one about that network. What :func:`activity_statistics` gave of a recording stands for it.
    paired : bool
        The k-th recordings (or trials) of both belong together: same wiring, same drive. Else independent draws (Welch).
    bounds : statistic -> Bound or number, optional
        Which statistics are compared, and by which bound; :data:`BOUNDS` unless given. A number is an absolute bound.
    yardsticks : name -> recordings, optional
        Sets that differ in one thing only, kept apart: for instance "new noise" (same wiring, other drive), "new wiring",
        "new training".
    level : float, between 0.5 and 1
    bin_ms, start_ms, stop_ms
        As in :func:`activity_statistics`.

    Raises
    ------
    InputError
        Fewer than three units, other populations, numbers that do not pair, or bounds that are not above 0.
    """
    if not 0.5 < level < 1:
        raise InputError(f"level: expected a number between 0.5 and 1, got {level}.")
    wanted = _bounds(bounds)
    window = {"bin_ms": bin_ms, "start_ms": start_ms, "stop_ms": stop_ms}
    settings = {"statistics": tuple(wanted), **{k: v for k, v in window.items() if v is not None}}
    (a, unit), (b, other) = (_units(r, settings) for r in (recordings_a, recordings_b))
    if unit != other:
        raise InputError("recordings: one recording against several; give networks on both sides, or one network each.")
    if list(a["population"].values) != list(b["population"].values):
        raise InputError(
            "recordings hold different spiking populations: "
            f"{', '.join(map(str, a['population'].values))} against {', '.join(map(str, b['population'].values))}."
        )
    n = (a.sizes["unit"], b.sizes["unit"])
    if min(n) < MIN_UNITS or (paired and n[0] != n[1]):
        wish = f"at least {MIN_UNITS} {unit}s on both sides" + (", as many on one as on the other" if paired else "")
        raise InputError(f"recordings: expected {wish}, got {n[0]} and {n[1]}; add {unit}s or pass paired=False.")
    table = _table(a, b, paired, wanted, level)
    if yardsticks:
        scale = np.where(table["relative"], table["a"], 1.0)
        spread = [
            _units(tuple(r), settings)[0].std("unit", ddof=1, skipna=True).values / scale for r in yardsticks.values()
        ]
        table["spread"] = (("yardstick", "population", "statistic"), np.stack(spread))
        table = table.assign_coords(yardstick=list(yardsticks))
    return Fidelity(table, unit, paired, level)


def fidelity_curve(
    recordings_a: Sequence[xr.DataTree | xr.DataArray],
    settings: Mapping[float | str, Sequence[xr.DataTree | xr.DataArray]],
    name: str,
    **options: object,
) -> xr.Dataset:
    """:func:`fidelity` of one reference against several settings, for instance over dt.

    Parameters
    ----------
    recordings_a : sequence of recordings
        The reference.
    settings : value -> recordings
    name : str
        Of the setting, the dimension of the result, such as "dt".
    options
        As for :func:`fidelity`.

    Returns
    -------
    xarray.Dataset, (name, population, statistic)
    """
    found = [fidelity(recordings_a, recordings, **options).table for recordings in settings.values()]  # type: ignore[arg-type]
    return xr.concat(found, dim=name).assign_coords({name: list(settings)})


def _bounds(given: Mapping[str, Bound | float] | None) -> dict[str, Bound]:
    found = {k: v if isinstance(v, Bound) else Bound(float(v)) for k, v in (given or BOUNDS).items()}
    for name, bound in found.items():
        if not bound.value > 0:
            raise InputError(f"bounds.{name}: expected a number above 0, got {bound.value}.")
    return found


def _units(recordings: Recordings, settings: Mapping[str, object]) -> tuple[xr.DataArray, str]:
    """Statistics per unit, (unit, population, statistic): of every network its mean over trials, or of one its trials."""
    several = [recordings] if isinstance(recordings, xr.DataTree | xr.DataArray) else list(recordings)
    if not several:
        raise InputError("recordings: expected at least one, got none.")
    measure: Any = activity_statistics
    found = [_selected(r, settings) if isinstance(r, xr.DataArray) else measure(r, **settings) for r in several]
    if len(found) == 1:
        return found[0].rename(trial="unit").transpose("unit", "population", "statistic"), "trial"
    if any(list(f["population"].values) != list(found[0]["population"].values) for f in found):
        raise InputError("recordings: networks of one setting hold different spiking populations.")
    return xr.concat([f.mean("trial", skipna=True) for f in found], dim="unit"), "network"


def _selected(found: xr.DataArray, settings: Mapping[str, object]) -> xr.DataArray:
    wanted, known = settings["statistics"], found["statistic"].values.tolist()
    for name in wanted:  # type: ignore[attr-defined]
        if name not in known:
            raise InputError(f"bounds: {unknown('statistic', name, known)}")
    return found.sel(statistic=list(wanted))  # type: ignore[call-overload, no-any-return]


def _table(a: xr.DataArray, b: xr.DataArray, paired: bool, bounds: Mapping[str, Bound], level: float) -> xr.Dataset:
    shape = (a.sizes["population"], a.sizes["statistic"])
    limits = np.array([bounds[str(s)].value for s in a["statistic"].values])
    relative = np.array([bounds[str(s)].relative for s in a["statistic"].values])
    columns = {k: np.full(shape, np.nan) for k in ("a", "b", "difference", "low", "high", "power", "detectable")}
    n, verdicts = np.zeros(shape, dtype=int), np.full(shape, INCONCLUSIVE, dtype="<U12")
    tail = (1 - level) / 2 / max(1, shape[0] * shape[1])
    for at in np.ndindex(shape):
        x, y = a.values[:, at[0], at[1]], b.values[:, at[0], at[1]]
        row = _compared(x, y, paired, float(limits[at[1]]), bool(relative[at[1]]), tail)
        for key, value in row.items():
            if key == "n":
                n[at] = value
            else:
                columns[key][at] = value
        if columns["low"][at] >= -limits[at[1]] and columns["high"][at] <= limits[at[1]]:
            verdicts[at] = EQUIVALENT
        elif columns["low"][at] > limits[at[1]] or columns["high"][at] < -limits[at[1]]:
            verdicts[at] = DIFFERENT
    dims = ("population", "statistic")
    units = np.where(relative, "1", a["units"].values)
    table = xr.Dataset(
        {
            **{k: (dims, v) for k, v in columns.items()},
            "n": (dims, n),
            "verdict": (dims, verdicts),
            "bound": ("statistic", limits),
            "relative": ("statistic", relative),
        },
        coords={"population": a["population"], "statistic": a["statistic"].values},
        attrs={"level": level, "paired": int(paired)},
    )
    return table.assign_coords(units=("statistic", units))


def _compared(
    x: np.ndarray, y: np.ndarray, paired: bool, bound: float, relative: bool, tail: float
) -> dict[str, float]:
    """One statistic: means, difference, interval, power and what could be detected."""
    if paired:
        both = np.isfinite(x) & np.isfinite(y)
        x, y = x[both], y[both]
    else:
        x, y = x[np.isfinite(x)], y[np.isfinite(y)]
    fewest = min(x.size, y.size)
    if fewest < MIN_UNITS:
        return {"n": fewest}
    scale = float(x.mean()) if relative and (x.any() or y.any()) else 1.0  # nothing on both sides: no difference
    if scale == 0:
        return {"n": fewest, "a": 0.0, "b": float(y.mean())}
    difference = float(y.mean() - x.mean()) / scale
    if paired:
        error, freedom = float((y - x).std(ddof=1) / np.sqrt(x.size)) / abs(scale), x.size - 1.0
    else:
        parts = np.array([x.var(ddof=1) / x.size, y.var(ddof=1) / y.size])
        error = float(np.sqrt(parts.sum())) / abs(scale)
        below = float((parts**2 / np.array([x.size - 1, y.size - 1])).sum())
        freedom = float(parts.sum() ** 2 / below) if below > 0 else fewest - 1.0
    quantile = float(stats.t.ppf(1 - tail, freedom))
    half = quantile * error
    room = (bound - half) / error if error > 0 else np.inf
    return {
        "n": fewest, "a": float(x.mean()), "b": float(y.mean()), "difference": difference,
        "low": difference - half, "high": difference + half,
        "power": max(0.0, 2 * float(stats.t.cdf(room, freedom)) - 1),
        "detectable": bound + (quantile + float(stats.t.ppf(0.8, freedom))) * error,
    }  # fmt: skip
