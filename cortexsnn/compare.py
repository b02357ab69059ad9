"""Two recordings of one circuit: equal bit for bit, spike for spike, or different, and where the first difference is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from .errors import InputError
from .job import DISTANCE, SPIKES, Events
from .recording import events

TOLERANCE = 1e-10
"""States agree where ``|a - b| <= TOLERANCE * max(|a|, |b|, largest value of that variable in the run)``."""

BITWISE = "bitwise"
SPIKE_FOR_SPIKE = "spike for spike"
DIFFERENT = "different"


@dataclass(frozen=True)
class Difference:
    """The first place where two recordings differ; ``margin`` holds both signed distances to threshold, if recorded. Of a plastic
    projection ``population`` is its name and ``neuron`` an edge."""

    population: str
    variable: str
    trial: int
    step: int
    neuron: int
    time_ms: float
    a: float
    b: float
    margin: tuple[float, float] | None = None
    of: str = "neuron"

    def __str__(self) -> str:
        text = (
            f"{self.population}.{self.variable} of {self.of} {self.neuron} in step {self.step} (t = {self.time_ms:g} ms, trial {self.trial}): "
            f"{self.a!r} against {self.b!r}"
        )
        if self.margin:
            text += f"; distance to threshold {self.margin[0]:.3g} and {self.margin[1]:.3g}"
        return text


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare` found.

    Attributes
    ----------
    engines : (str, str)
    met : "bitwise", "spike for spike" or "different"
        The exactness class that holds; bitwise means every recorded value is identical.
    n_spikes : int
        Spikes of the first recording; an agreement of silent recordings proves nothing.
    first_difference : Difference or None
        The earliest place outside the tolerance.
    first_unequal : Difference or None
        The earliest place that is not identical bit for bit, which the class "spike for spike" allows.
    table : xarray.Dataset
        One row per population and variable: entries, spikes, differing entries, largest absolute and relative difference.
    """

    engines: tuple[str, str]
    met: str
    n_spikes: int
    first_difference: Difference | None
    table: xr.Dataset
    first_unequal: Difference | None = None

    @property
    def agree(self) -> bool:
        """Whether spikes are identical and states within the tolerance."""
        return self.met != DIFFERENT

    def __str__(self) -> str:
        a, b = self.engines
        if self.agree:
            worst = float(self.table["max_relative"].max()) if self.table.sizes["row"] else 0.0
            text = f"{a} = {b}: {self.met}, {self.n_spikes} spikes compared, largest relative difference {worst:.2g}"
            text += "" if self.n_spikes else "; without a spike this proves little"
            return text if self.first_unequal is None else f"{text}, first in {self.first_unequal}"
        differing = int(self.table["n_different"].where(self.table["variable"] == SPIKES, 0).sum())
        return f"{a} != {b}: {differing} spikes in one only ({self.n_spikes} in {a}); first: {self.first_difference}"


def compare(recording_a: xr.DataTree, recording_b: xr.DataTree, tolerance: float = TOLERANCE) -> Comparison:
    """Compare two recordings of the same populations, steps and trials.

    Parameters
    ----------
    recording_a, recording_b : xarray.DataTree
        Variables that only one of them holds are left out.
    tolerance : float
        Relative tolerance for states; spikes are compared exactly.

    Raises
    ------
    InputError
        Other populations, sizes, steps, trials or dt, or nothing in common to compare.
    """
    _check_comparable(recording_a, recording_b)
    rows: list[dict[str, object]] = []
    found: list[Found] = []
    unequal: list[Found] = []
    for order, name in enumerate(recording_a.children):
        a, b = recording_a.children[name], recording_b.children[name]
        for variable in _common(a, b):
            if variable == SPIKES:
                row, first = _compare_spikes(name, a, b)
                loose = first
            else:
                row, first, loose = _compare_values(name, variable, a, b, tolerance)
            rows.append(row)
            for kept, difference in ((found, first), (unequal, loose)):
                if difference:
                    where = (difference.trial, difference.step, order, difference.neuron, variable != SPIKES)
                    kept.append((where, difference))
    if not rows:
        raise InputError("the recordings have no variable in common; record the same probes")
    first_difference, first_unequal = _earliest(found), _earliest(unequal)
    table = _table(rows)
    identical = not bool(table["n_unequal"].any())
    met = DIFFERENT if first_difference else BITWISE if identical else SPIKE_FOR_SPIKE
    engines = tuple(str(r.attrs.get("engine", "?")) for r in (recording_a, recording_b))
    return Comparison(engines, met, int(table["n_spikes"].sum()), first_difference, table, first_unequal)  # type: ignore[arg-type]


Found = tuple[tuple[int, int, int, int, bool], Difference]


def _earliest(found: list[Found]) -> Difference | None:
    return min(found, key=lambda f: f[0])[1] if found else None


def _check_comparable(a: xr.DataTree, b: xr.DataTree) -> None:
    for which, recording in (("first", a), ("second", b)):
        if not isinstance(recording, xr.DataTree) or "n_steps" not in recording.attrs:
            found = type(recording).__name__
            raise InputError(f"{which} recording: expected what simulate or load_recording returns, got a {found}")
    if set(a.children) != set(b.children):
        raise InputError(f"recordings of different populations: {', '.join(a.children)} and {', '.join(b.children)}")
    for key in ("dt_ms", "n_trials", "n_steps"):
        if a.attrs.get(key) != b.attrs.get(key):
            raise InputError(f"recordings differ in {key}: {a.attrs.get(key)} and {b.attrs.get(key)}")
    for name in a.children:
        if a[name].attrs["size"] != b[name].attrs["size"]:
            raise InputError(f"population '{name}' has {a[name].attrs['size']} and {b[name].attrs['size']} neurons")
        if a[name].attrs["kind"] == "plastic" and not all(
            np.array_equal(a[name].to_dataset()[end], b[name].to_dataset()[end]) for end in ("pre", "post")
        ):
            raise InputError(f"'{name}' joins other cells in one recording than in the other; compare runs of one seed")


def _common(a: xr.DataTree, b: xr.DataTree) -> list[str]:
    apart = (SPIKES, "spike_trial", "spike_step", "spike_neuron", DISTANCE)
    names = [str(n) for n in a.data_vars if n in b.data_vars and n not in apart]
    return [*names, SPIKES] if events(a) is not None and events(b) is not None else names


def _rows(values: Any) -> np.ndarray:
    """(trial, step, cell); a sum over the population is one cell, what is known of the end alone one step."""
    if "step" not in values.dims:
        values = values.expand_dims("step", 1)
    found = values.transpose("trial", "step", ...).values
    return found if found.ndim == 3 else found[..., None]


def _compare_values(
    name: str, variable: str, a: xr.DataTree, b: xr.DataTree, tolerance: float
) -> tuple[dict[str, object], Difference | None, Difference | None]:
    """A row of the table, the first place outside the tolerance, the first that is not identical."""
    x, y = (_rows(node[variable]) for node in (a, b))
    with np.errstate(invalid="ignore"):
        same = (x == y) | (np.isnan(x) & np.isnan(y))
        gap = np.where(same, 0.0, np.abs(x - y))
        finite = np.isfinite(x) & np.isfinite(y)  # one infinity must not make the bound infinite
        bound = tolerance * max(np.abs(x[finite]).max(initial=0), np.abs(y[finite]).max(initial=0))
        wrong = ~same & ~(finite & (gap <= bound))
    row = _row(
        name,
        variable,
        x.size,
        0,
        int((~same).sum()),
        int(wrong.sum()),
        float(gap.max(initial=0)),
        bound / tolerance if tolerance else 0,
    )

    def first(mask: np.ndarray) -> Difference | None:
        if not mask.any():
            return None
        trial, step, neuron = (int(i) for i in np.unravel_index(np.argmax(mask), mask.shape))
        values = float(x[trial, step, neuron]), float(y[trial, step, neuron])
        step = a.attrs["n_steps"] - 1 if "step" not in a[variable].dims else step
        return _difference(name, variable, a, b, trial, step, neuron, *values)

    return row, first(wrong), first(~same)


def _compare_spikes(name: str, a: xr.DataTree, b: xr.DataTree) -> tuple[dict[str, object], Difference | None]:
    x, y = _keys(a), _keys(b)
    lone = np.setxor1d(x, y, assume_unique=True)
    entries = a.attrs["size"] * a.attrs["n_steps"] * a.attrs["n_trials"]
    row = _row(name, SPIKES, entries, x.size, lone.size, lone.size, float(lone.size > 0), 1.0)
    if lone.size == 0:
        return row, None
    rest, neuron = divmod(int(lone.min()), a.attrs["size"])
    trial, step = divmod(rest, a.attrs["n_steps"])
    in_a = bool((x == lone.min()).any())
    return row, _difference(name, SPIKES, a, b, trial, step, neuron, float(in_a), float(not in_a))


def _keys(node: xr.DataTree) -> np.ndarray:
    """Spikes as one sortable integer each."""
    found = events(node)
    e = found if found is not None else Events(*(np.zeros(0, np.int32),) * 3)
    return (e.trial.astype(np.int64) * node.attrs["n_steps"] + e.step) * node.attrs["size"] + e.neuron


def _difference(
    name: str, variable: str, a: xr.DataTree, b: xr.DataTree, trial: int, step: int, neuron: int, x: float, y: float
) -> Difference:
    margin = None
    if DISTANCE in a.data_vars and DISTANCE in b.data_vars:
        here = {"trial": trial, "step": step, "neuron": neuron}
        margin = (float(a[DISTANCE].isel(here)), float(b[DISTANCE].isel(here)))
    of = "edge" if a.attrs["kind"] == "plastic" else "neuron"
    return Difference(name, variable, trial, step, neuron, float(a.to_dataset()["time"].values[step]), x, y, margin, of)


def _row(
    name: str, variable: str, entries: int, n_spikes: int, unequal: int, different: int, largest: float, scale: float
) -> dict[str, object]:
    relative = largest / scale if scale else 0.0
    return {
        "population": name, "variable": variable, "entries": entries, "n_spikes": n_spikes, "n_unequal": unequal,
        "n_different": different, "max_absolute": largest, "max_relative": relative,
    }  # fmt: skip


def _table(rows: list[dict[str, object]]) -> xr.Dataset:
    return xr.Dataset({key: ("row", [row[key] for row in rows]) for key in rows[0]})
