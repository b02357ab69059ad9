"""Figures of statistics: spectra, correlations, balance of currents, fidelity over a setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter
from matplotlib.typing import LineStyleType

from .figures_style import (
    COLOURS,
    EXCITATORY,
    INHIBITORY,
    INK,
    LIGHT,
    MARKERS,
    NEUTRAL,
    WIDTH,
    empty_note,
    new_figure,
    plain,
    population_colours,
    styled,
)

TITLES = {"rate_variation": "variation of rates", "isi_cv": "ISI CV", "lv": "local variation"}
"""Names of statistics as figures write them, where they are no words."""
VERDICT_MARKERS = {"equivalent": ("o", True), "inconclusive": ("o", False), "different": ("X", True)}
"""Verdict -> marker, filled."""
BAND = "#DDE1E6"
YARDSTICK_LINES: tuple[LineStyleType, ...] = ("-", (0, (2, 1)), ":")


@styled
def spectra(found: Mapping[str, xr.DataArray], *, log_x: bool = True) -> Figure:
    """Power spectra or coherences, one line each, over frequency; the value at frequency 0 is left out.

    Parameters
    ----------
    found : name -> DataArray (frequency,)
        As :func:`cortexsnn.analysis.rate_spectrum` and :func:`~cortexsnn.analysis.spike_field_coherence` give them.
    log_x : bool
    """
    figure = new_figure(WIDTH * 0.75, 3.0)
    axes = figure.add_subplot()
    own = population_colours(list(found)) if {*found} & {"E", "I"} else {}
    for k, (name, power) in enumerate(found.items()):
        axes.plot(power["frequency"][1:], power[1:], color=own.get(name, COLOURS[k % 7]), marker=MARKERS[k % 7], markersize=3,
                  markevery=max(1, power.size // 12), label=plain(name))  # fmt: skip
    coherence = all(p.name == "coherence" for p in found.values())
    silent = not any(_drawable(power.values[1:], coherence) for power in found.values())
    label = "Coherence" if coherence else "Power [spikes²/s²/Hz]"
    axes.set(xlabel="Frequency [Hz]", ylabel=label, xscale="log" if log_x else "linear",
             yscale="linear" if coherence or silent else "log")  # fmt: skip
    if found and silent:
        empty_note(axes, "no spikes")
    if found:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    else:
        empty_note(axes, "no spectra")
    return figure


def _drawable(values: np.ndarray, coherence: bool) -> bool:
    """Anything to see: on a logarithmic axis, anything above 0."""
    return bool((np.isfinite(values) & (coherence | (values > 0))).any())


@styled
def correlation_matrix(
    matrix: xr.DataArray, *, order: Sequence[int] | None = None, limit: float | None = None
) -> Figure:
    """Pairwise correlations as a matrix, the diagonal left out, and their distribution.

    Parameters
    ----------
    matrix : DataArray (neuron, neuron_b), or (pair,) of sampled pairs, which has a distribution only
    order : sequence of int, optional
        Neurons in this order.
    limit : float, optional
        Ends of the colour scale; the 99th percentile of the magnitudes unless given.
    """
    square = matrix.ndim == 2
    values = matrix.values.astype(float)
    if square:
        if order is not None:
            values = values[np.ix_(order, order)]
        values = values.copy()
        np.fill_diagonal(values, np.nan)
        pairs = values[np.triu_indices(values.shape[0], 1)]
    else:
        pairs = values
    pairs = pairs[np.isfinite(pairs)]
    figure = new_figure(WIDTH if square else WIDTH * 0.5, 2.9)
    panels = figure.subplots(1, 2 if square else 1, squeeze=False)[0]
    unit = (
        "Correlation"
        if matrix.name == "correlation"
        else f"{plain(matrix.name)} [{plain(matrix.attrs.get('units', '1'))}]"
    )
    if square:
        reach = limit or (float(np.percentile(np.abs(pairs), 99)) if pairs.size else 1.0) or 1.0
        image = panels[0].imshow(values, cmap="RdBu_r", vmin=-reach, vmax=reach, interpolation="nearest")
        panels[0].set(xlabel="Neuron", ylabel="Neuron")
        if not pairs.size:
            empty_note(panels[0], "no spikes" if not np.isfinite(matrix).any() else "no pair with enough spikes")
        figure.colorbar(image, ax=panels[0], shrink=0.85).set_label(unit)
    axes = panels[-1]
    if pairs.size:
        axes.hist(pairs, bins=40, color=LIGHT, edgecolor=NEUTRAL, linewidth=0.5)
        axes.axvline(float(pairs.mean()), color=INK, linewidth=1.2)
        axes.set_title(f"mean {pairs.mean():.3g}, {pairs.size} pairs", fontweight="normal", fontsize=8.5)
    else:
        empty_note(axes, "no spikes" if not np.isfinite(matrix).any() else "no pair with enough spikes")
    axes.set(xlabel=unit, ylabel="Pairs")
    return figure


@styled
def ei_balance(
    excitatory: xr.DataArray,
    inhibitory: xr.DataArray,
    balance: xr.Dataset,
    *,
    dt_ms: float,
    trial: int = 0,
    neuron: int = 0,
) -> Figure:
    """Currents of one neuron with their sum, and the correlation of excitation with inhibition over the lag.

    Parameters
    ----------
    excitatory, inhibitory : DataArray (trial, step, neuron)
    balance : Dataset
        What :func:`cortexsnn.analysis.ei_balance` gave of them.
    dt_ms : float, ms
    trial, neuron : int
        Whose currents are drawn; the right panel has all neurons in grey and their mean.
    """
    figure = new_figure(WIDTH, 2.7)
    left, right = figure.subplots(1, 2, width_ratios=(1.7, 1))
    one = [c.isel(trial=trial, neuron=neuron).values for c in (excitatory, inhibitory)]
    time = np.arange(one[0].size) * dt_ms
    left.plot(time, one[0], color=EXCITATORY, linewidth=0.9, label="excitation")
    left.plot(time, one[1], color=INHIBITORY, linewidth=0.9, label="inhibition")
    left.plot(time, one[0] + one[1], color=INK, linewidth=0.9, label="sum")
    left.axhline(0, color=NEUTRAL, linewidth=0.6)
    left.set(xlabel="Time [ms]", ylabel=f"Current [{plain(excitatory.attrs.get('units', '1'))}]")
    left.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1.0))
    cross = balance["cross_correlation"]
    lines = cross.values.reshape(-1, cross.sizes["lag_ms"])
    lines = lines[np.isfinite(lines).all(axis=1)]
    if lines.size:
        right.plot(cross["lag_ms"], lines[:60].T, color=LIGHT, linewidth=0.5)
        right.plot(cross["lag_ms"], lines.mean(axis=0), color=INK, linewidth=1.4)
    else:
        empty_note(right, "a current never changes")
    right.axvline(0, color=NEUTRAL, linewidth=0.6)
    right.set(xlabel="Inhibition lags by [ms]", ylabel="Correlation of magnitudes")
    return figure


@styled
def fidelity_curves(curve: xr.Dataset, *, xlabel: str, statistics: Sequence[str] | None = None) -> Figure:
    """Differences from the reference over a setting, one panel per statistic: intervals, the bound, the yardsticks.

    Parameters
    ----------
    curve : Dataset (setting, population, statistic)
        As :func:`cortexsnn.analysis.fidelity_curve` gives it. Filled markers: equivalent; crosses: different; open:
        inconclusive; an infinite difference (from a silent reference) is an arrow at the edge. The grey band is the bound;
        at the right edge the spread of the yardsticks, where given. A legend says so.
    xlabel : str
        Of the setting.
    statistics : sequence of str, optional
    """
    setting = str(curve["verdict"].dims[0])
    names = [str(s) for s in (curve["statistic"].values if statistics is None else statistics)]
    columns = min(3, max(len(names), 1))
    lines = -(-max(len(names), 1) // columns)
    figure = new_figure(WIDTH, 0.7 + 2.1 * lines)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    x = np.arange(curve.sizes[setting])
    colours = population_colours([str(p) for p in curve["population"].values])
    yardsticks = [str(y) for y in curve["yardstick"].values] if "spread" in curve else []
    for axes, name in zip(panels, names, strict=False):
        rows = curve.sel(statistic=name)
        bound, relative = float(rows["bound"].values.ravel()[0]), bool(rows["relative"].values.ravel()[0])
        axes.axhspan(-bound, bound, color=BAND, linewidth=0, zorder=0)
        axes.axhline(0, color=NEUTRAL, linewidth=0.6)
        for k, (population, colour) in enumerate(colours.items()):
            row = rows.sel(population=population)
            _differences(axes, row, x + 0.14 * (k - (len(colours) - 1) / 2), colour)
            for j in range(len(yardsticks)):
                spread = row["spread"].isel(yardstick=j).values.ravel()[0]
                at = x[-1] + 0.4 + 0.12 * (j * len(colours) + k)
                axes.plot([at, at], [-spread, spread], color=colour, linewidth=1.2, linestyle=YARDSTICK_LINES[j % 3])
        unit = "%" if relative else plain(rows["units"].item())
        right = x[-1] + 0.5 + 0.12 * len(colours) * len(yardsticks)
        axes.set(title=plain(TITLES.get(name, name)), ylabel=f"Difference [{unit}]", xlim=(-0.5, right))
        if relative:
            axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=""))
        axes.set_xticks(x, [plain(v) for v in curve[setting].values], rotation=30, ha="right")
        axes.set_xlabel(plain(xlabel))
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    handles: list[Artist] = [Line2D([], [], color=c, linewidth=3, label=plain(p)) for p, c in colours.items()]
    handles += [
        Line2D([], [], color=INK, marker=m, mfc=INK if filled else "white", linestyle="none", markersize=4.5, label=v)
        for v, (m, filled) in VERDICT_MARKERS.items()
    ]
    handles.append(Patch(color=BAND, label="bound"))
    handles += [
        Line2D([], [], color=INK, linewidth=1.2, linestyle=YARDSTICK_LINES[j % 3], label=f"± SD over {plain(y)}")
        for j, y in enumerate(yardsticks)
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=4, columnspacing=1.4, handlelength=1.8)
    return figure


def _differences(axes: Axes, row: xr.Dataset, at: np.ndarray, colour: str) -> None:
    """One population's differences with their intervals, a marker for the verdict."""
    middle, low, high = (row[k].values for k in ("difference", "low", "high"))
    finite = np.isfinite(middle) & np.isfinite(low) & np.isfinite(high)
    ends = np.stack([middle[finite] - low[finite], high[finite] - middle[finite]])
    axes.errorbar(at[finite], middle[finite], ends, color=colour, linestyle="none", capsize=2, linewidth=1)
    for verdict, (marker, filled) in VERDICT_MARKERS.items():
        here = finite & (row["verdict"].values == verdict)
        axes.plot(at[here], middle[here], marker, color=colour, mfc=colour if filled else "white", markersize=4.5)
    for place, value in zip(at, middle, strict=True):
        if np.isinf(value):
            axes.annotate("↑ ∞" if value > 0 else "↓ ∞", (place, 0.97 if value > 0 else 0.03), color=colour, ha="center",
                          va="top" if value > 0 else "bottom", xycoords=("data", "axes fraction"))  # fmt: skip
