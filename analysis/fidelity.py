"""How far apart two engines or settings are, with an interval and a verdict: equivalent, different, inconclusive.

The unit of all statements is the network (or, with one network, the trial): a network's neurons are no independent samples, so
they are never counted as such. Each network gives one number per statistic, from which means and intervals follow.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from scipy import stats

from ..errors import InputError, unknown
from .statistics import activity_statistics
from .trains import trains

Recordings = xr.DataTree | xr.DataArray | Sequence[xr.DataTree | xr.DataArray]
EQUIVALENT, DIFFERENT, INCONCLUSIVE = "equivalent", "different", "inconclusive"
MIN_UNITS = 3
"""Fewest networks (or trials) for which an interval is given."""
LEVEL = 0.95
FACTS = {"n_neurons": "neurons per population", "duration_ms": "ms analysed", "bin_ms": "ms per bin",
         "min_intervals": "least intervals"}  # fmt: skip
"""Attributes of statistics that enter their values by definition, so that only equal ones compare; and what they are."""


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
        differed, were the spread that was seen the true one (over many experiments with 3 to 16 units it reads up to 0.07 too
        low on average where the true probability is near 0.9, and up to 0.05 too high where it is below 0.3; half of that
        with 30 units);
        ``detectable``: the true difference that would be called different in 80 % of repetitions; ``spread`` (yardstick,
        population, statistic): standard deviations over recordings that differ in one thing only, in the unit of the
        difference. ``power``, ``detectable`` and a relative ``spread`` are NaN where the reference is silent.
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

    Where a bound is relative and the reference's mean is 0 (it is silent in every unit), any other mean is infinitely far
    away: ``difference`` is infinite, and so are those ends of the interval whose absolute value is not 0. So the verdict is
    *different* where the absolute interval leaves 0 out, else *inconclusive*. Silent in every unit on both sides is a
    difference of exactly 0, *equivalent*.

    Parameters
    ----------
    recordings_a, recordings_b : recording or sequence of recordings
        One per network, that is per draw of wiring and parameters; a single recording each makes its trials the units, and
        the verdict one about that network. What :func:`activity_statistics` gave of a recording stands for it. Populations
        are equally large and windows equally long throughout, also in the yardsticks; of statistics this is checked where
        their attributes ``n_neurons`` and ``duration_ms`` say it, and ``bin_ms`` and ``min_intervals`` are the same.
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
        Fewer than three units, other populations, sizes, durations or bins, numbers that do not pair, no bounds, or bounds
        that are no numbers above 0.
    """
    if not 0.5 < level < 1:
        raise InputError(f"level: expected a number between 0.5 and 1, got {level}.")
    wanted = _bounds(bounds)
    window = {"bin_ms": bin_ms, "start_ms": start_ms, "stop_ms": stop_ms}
    settings = {"statistics": tuple(wanted), **{k: v for k, v in window.items() if v is not None}}
    (a, unit, facts), (b, other, facts_b) = (_units(r, settings) for r in (recordings_a, recordings_b))
    if unit != other:
        raise InputError("recordings: one recording against several; give networks on both sides, or one network each.")
    if list(a["population"].values) != list(b["population"].values):
        raise InputError(
            "recordings hold different spiking populations: "
            f"{', '.join(map(str, a['population'].values))} against {', '.join(map(str, b['population'].values))}."
        )
    _require_same([*facts, *facts_b], a["population"].values)
    n = (a.sizes["unit"], b.sizes["unit"])
    if min(n) < MIN_UNITS or (paired and n[0] != n[1]):
        wish = f"at least {MIN_UNITS} {unit}s on both sides" + (", as many on one as on the other" if paired else "")
        raise InputError(f"recordings: expected {wish}, got {n[0]} and {n[1]}; add {unit}s or pass paired=False.")
    table = _table(a, b, paired, wanted, level)
    if yardsticks:
        means = table["a"].where(table["a"] != 0).transpose("population", "statistic").values
        scale = np.where(table["relative"].values, means, 1.0)
        spread = []
        for r in yardsticks.values():
            found, _, own = _units(tuple(r), settings)
            _require_same([*facts, *own], a["population"].values)
            spread.append(found.std("unit", ddof=1, skipna=True).values / scale)
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

    Raises
    ------
    InputError
        No settings, or as :func:`fidelity`.
    """
    if not settings:
        raise InputError(
            "settings: expected at least one value of the setting with its recordings, got none; add those to compare."
        )
    found = [fidelity(recordings_a, recordings, **options).table for recordings in settings.values()]  # type: ignore[arg-type]
    return xr.concat(found, dim=name).assign_coords({name: list(settings)})


def _bounds(given: Mapping[str, Bound | float] | None) -> dict[str, Bound]:
    if given is not None and not given:
        raise InputError(
            "bounds: expected a bound for at least one statistic, got none; leave it out for the defaults."
        )
    found = {k: v if isinstance(v, Bound) else Bound(v) for k, v in (BOUNDS if given is None else given).items()}
    for name, bound in found.items():
        if not (isinstance(bound.value, Real) and bound.value > 0):
            raise InputError(
                f"bounds.{name}: expected a number above 0, got {bound.value!r}; "
                "5 % of the mean is Bound(0.05, relative=True)."
            )
    return found


def _units(
    recordings: Recordings, settings: Mapping[str, object]
) -> tuple[xr.DataArray, str, list[Mapping[Hashable, Any]]]:
    """Statistics per unit, (unit, population, statistic): of every network its mean over trials, or of one its trials.

    With them "network" or "trial", and the attributes of every recording's statistics.
    """
    several = [recordings] if isinstance(recordings, xr.DataTree | xr.DataArray) else list(recordings)
    if not several:
        raise InputError("recordings: expected at least one, got none.")
    found = [_selected(r, settings) if isinstance(r, xr.DataArray) else _measured(r, settings) for r in several]
    facts: list[Mapping[Hashable, Any]] = [f.attrs for f in found]
    if len(found) == 1:
        return found[0].rename(trial="unit").transpose("unit", "population", "statistic"), "trial", facts
    if any(list(f["population"].values) != list(found[0]["population"].values) for f in found):
        raise InputError("recordings: networks of one setting hold different spiking populations.")
    return xr.concat([f.mean("trial", skipna=True) for f in found], dim="unit"), "network", facts


def _measured(recording: xr.DataTree, settings: Mapping[str, Any]) -> xr.DataArray:
    found = activity_statistics(recording, **settings)
    window = {k: v for k, v in settings.items() if k in ("start_ms", "stop_ms")}
    held = [trains(recording, str(name), **window) for name in found["population"].values]
    more = {"n_neurons": [t.n_neurons for t in held], "duration_ms": held[0].seconds * 1000} if held else {}
    return found.assign_attrs(more)


def _require_same(facts: Sequence[Mapping[Hashable, Any]], populations: np.ndarray) -> None:
    for key, what in FACTS.items():
        given = [f[key] for f in facts if key in f]
        for other in given[1:]:
            differs = ~np.isclose(given[0], other, rtol=1e-9, atol=0)
            if differs.any():
                place, pair = "recordings", (given[0], other)
                if key == "n_neurons":
                    k = int(np.flatnonzero(differs)[0])
                    place, pair = f"recordings.{populations[k]}", (given[0][k], other[k])
                raise InputError(
                    f"{place}: expected as many {what} everywhere, got {pair[0]:g} and {pair[1]:g}; statistics would differ "
                    "by that alone. Compare equally large populations over equally long windows (stop_ms) and bins."
                )


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
        # Relative to nothing everything but nothing is infinite: the absolute interval, each end divided by 0.
        found = _compared(x, y, paired, bound, False, tail)
        ends = {k: np.sign(found[k]) * np.inf if found[k] else 0.0 for k in ("difference", "low", "high")}
        return {**found, **ends, "power": np.nan, "detectable": np.nan}
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
