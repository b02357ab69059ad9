"""Figures of experiments with arms and paired seeds, and of f-I curves and learned dynamics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, PercentFormatter
from numpy.typing import ArrayLike

from .figures_style import COLOURS, INK, MARKERS, NEUTRAL, WIDTH, new_figure, plain, styled
from .paired import estimate


@styled
def arms_over(
    values: Mapping[str, Mapping[float, Sequence[float]]], *, xlabel: str, ylabel: str, percent: bool = True,
    log_x: bool = False, log_y: bool = False, title: str = "",
) -> Figure:  # fmt: skip
    """One line per arm over a setting: mean and 95 % interval over seeds.

    Parameters
    ----------
    values : arm -> setting -> one value per seed
    xlabel, ylabel : str
    percent : bool
        Values are shares, drawn in percent.
    log_x, log_y : bool
    title : str
    """
    figure = new_figure(WIDTH * 0.75, 3.1)
    axes = figure.add_subplot()
    for k, (arm, by_setting) in enumerate(values.items()):
        x = np.array(sorted(by_setting))
        found = [estimate(by_setting[s]) for s in sorted(by_setting)]
        mean = np.array([f.mean for f in found])
        spread = np.array([[f.mean - f.low, f.high - f.mean] for f in found]).T
        axes.errorbar(
            x, mean, spread, color=COLOURS[k % 7], marker=MARKERS[k % 7], markersize=4.5, capsize=2.5, linewidth=1.2,
            label=plain(arm),
        )  # fmt: skip
    axes.set(
        xlabel=xlabel,
        ylabel=ylabel,
        title=title,
        xscale="log" if log_x else "linear",
        yscale="log" if log_y else "linear",
    )
    if log_x:  # after the scale, which brings ticks of its own
        where = sorted({setting for by_setting in values.values() for setting in by_setting})
        axes.set_xticks(where, [f"{x:g}" for x in where])
        axes.xaxis.set_minor_locator(NullLocator())
    if percent:  # after the scale, too
        axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=""))
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


@styled
def arms_beside(groups: Mapping[str, Mapping[str, Sequence[float]]], *, ylabel: str, percent: bool = True) -> Figure:
    """Arms side by side in groups: every seed a dot, seeds of a group joined by lines, the mean a bar.

    Parameters
    ----------
    groups : group -> arm -> one value per seed
    ylabel : str
    percent : bool
    """
    figure = new_figure(WIDTH, 3.0)
    panels = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
    for axes, (group, arms) in zip(panels, groups.items(), strict=True):
        table = np.array([np.asarray(v, dtype=float) for v in arms.values()])
        x = np.arange(len(arms))
        axes.plot(x, table, color=NEUTRAL, linewidth=0.5, alpha=0.6)
        for k, row in enumerate(table):
            axes.plot(
                np.full(row.size, k), row, MARKERS[k % 7], color=COLOURS[k % 7], markersize=3.5, markeredgewidth=0
            )
            axes.plot([k - 0.3, k + 0.3], [row.mean()] * 2, color=INK, linewidth=1.6)
        axes.set_xticks(x, [plain(a) for a in arms], rotation=60, ha="right", fontsize=7.5)
        axes.set_title(plain(group))
        axes.margins(x=0.08)
    panels[0].set_ylabel(ylabel)
    if percent:
        panels[0].yaxis.set_major_formatter(PercentFormatter(1, symbol=""))
    return figure


@styled
def arms_listed(groups: Mapping[str, Mapping[str, Sequence[float]]], *, xlabel: str) -> Figure:
    """Many arms, a row each, in groups beside each other: every seed a dot, the mean a bar, the first arm's mean a dashed line.

    Parameters
    ----------
    groups : group -> arm -> one value per seed; the same arms in each
    xlabel : str
    """
    arms = list(next(iter(groups.values())))
    figure = new_figure(WIDTH, 0.21 * len(arms) + 0.8)
    panels = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
    for axes, (group, by_arm) in zip(panels, groups.items(), strict=True):
        for k, arm in enumerate(arms):
            values = np.asarray(by_arm[arm], dtype=float)
            axes.plot(
                values, np.full(values.size, k), "o", color=COLOURS[0], markersize=3, markeredgewidth=0, alpha=0.7
            )
            axes.plot([values.mean()] * 2, [k - 0.3, k + 0.3], color=INK, linewidth=1.6)
        axes.axvline(float(np.mean(by_arm[arms[0]])), color=NEUTRAL, linewidth=0.7, linestyle="--", zorder=0)
        axes.set_title(plain(group))
        axes.set_xlabel(xlabel)
    panels[0].set_yticks(range(len(arms)), [plain(a) for a in arms], fontsize=7.5)
    panels[0].invert_yaxis()
    return figure


@styled
def gradient_over_time(norms: Mapping[str, ArrayLike], *, ylabel: str = "Gradient norm at the input") -> Figure:
    """Norm of the gradient of the loss with respect to the input of every step; one line per arm, (step,) each, log scale."""
    figure = new_figure(WIDTH * 0.75, 3.0)
    axes = figure.add_subplot()
    for k, (arm, values) in enumerate(norms.items()):
        row = np.asarray(values, dtype=float)
        axes.plot(np.arange(row.size), np.where(row > 0, row, np.nan), color=COLOURS[k % 7], marker=MARKERS[k % 7],
                  markersize=3, markevery=max(1, row.size // 12), linewidth=1.1, label=plain(arm))  # fmt: skip
    axes.set(xlabel="Step of the input", ylabel=ylabel, yscale="log")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


@styled
def fi_curves(curves: Mapping[str, xr.DataArray], *, drive_labels: Mapping[str, str]) -> Figure:
    """f-I curves at several strengths of inhibition, one panel per circuit or condition.

    Parameters
    ----------
    curves : name -> DataArray (inhibition, drive) of rates [spikes per step]
    drive_labels : name -> label of the horizontal axis
    """
    columns = min(2, len(curves))
    lines = -(-len(curves) // columns)
    figure = new_figure(WIDTH, 1.75 * lines + 0.2)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, (name, data) in zip(panels, curves.items(), strict=False):
        for k, level in enumerate(data["inhibition"].values):
            shade = 0.75 * (1 - k / max(1, data.sizes["inhibition"] - 1))
            axes.plot(data["drive"], data.isel(inhibition=k), color=str(shade), linewidth=1.3, label=f"{level:g}")
        axes.set(title=plain(name), xlabel=drive_labels[name], ylabel="Spikes per step")
        axes.legend(title="inhibition", fontsize=7, title_fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    for axes in panels[len(curves) :]:
        axes.set_axis_off()
    return figure


@styled
def membrane_maps(
    coefficients: Mapping[str, Sequence[ArrayLike]], *, lowest: float = -2.0, highest: float = 1.0
) -> Figure:
    """Learned maps ``u -> f(u)``: one panel per population, one line per seed, with the identity; crossings are fixed points.

    Parameters
    ----------
    coefficients : population -> per seed c_0 to c_K
    lowest, highest : float
        Range of u that is drawn.
    """
    figure = new_figure(WIDTH * 0.9, 2.9)
    panels = figure.subplots(1, len(coefficients), sharey=True, squeeze=False)[0]
    u = np.linspace(lowest, highest, 200)
    for axes, (name, seeds) in zip(panels, coefficients.items(), strict=True):
        axes.plot(u, u, color=NEUTRAL, linewidth=0.8, linestyle=(0, (4, 3)))
        for k, c in enumerate(seeds):
            axes.plot(
                u, np.polynomial.polynomial.polyval(u, np.asarray(c, dtype=float)), color=COLOURS[k % 7], linewidth=1.1
            )
        axes.axvline(1.0, color=INK, linewidth=0.6)
        axes.set(title=plain(name), xlabel="u of the last step", ylim=(lowest, 2 * highest))
    panels[0].set_ylabel("f(u)")
    return figure
