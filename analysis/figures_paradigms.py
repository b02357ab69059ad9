"""Figures of paradigms, of predicted frames, and of the same effect in two engines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from .figures_style import COLOURS, LIGHT, MARKERS, NEUTRAL, WIDTH, new_figure, plain, styled
from .paired import estimate


@styled
def courses(
    rates: Mapping[str, Mapping[str, ArrayLike]], *, bin_ms: float, window: tuple[float, float], title: str = "", shown_ms: float = 1500.0
) -> Figure:  # fmt: skip
    """Rate over time by condition, one panel per class of cells; the window of the response is shaded.

    Parameters
    ----------
    rates : class -> condition -> (network, bin), Hz; the band is the standard error over networks
    bin_ms : float
    window : first and last ms of the response
    title : str
    shown_ms : float
        How much of a trial is drawn, up to the end of it.
    """
    figure = new_figure(WIDTH, 1.9 * -(-len(rates) // 2) + 0.4)
    panels = figure.subplots(-(-len(rates) // 2), 2, squeeze=False, sharex=True).ravel()
    for axes, (name, by_condition) in zip(panels, rates.items(), strict=False):
        axes.axvspan(*window, color=LIGHT, alpha=0.35, linewidth=0)
        for k, (condition, values) in enumerate(by_condition.items()):
            found = np.atleast_2d(np.asarray(values, dtype=float))
            first = max(0, found.shape[1] - round(shown_ms / bin_ms))
            found, time = found[:, first:], (np.arange(first, found.shape[1]) + 0.5) * bin_ms
            mean, error = found.mean(0), found.std(0, ddof=1) / len(found) ** 0.5 if len(found) > 1 else 0 * found[0]
            axes.fill_between(time, mean - error, mean + error, color=COLOURS[k % 7], alpha=0.2, linewidth=0)
            axes.plot(time, mean, color=COLOURS[k % 7], linewidth=1.2, label=plain(condition))
        axes.set(title=plain(name), ylabel="Rate [Hz]")
        axes.set_ylim(bottom=0)
    for axes in panels[len(rates) :]:
        axes.set_axis_off()
    for axes in panels[-2:]:
        axes.set_xlabel("Time [ms]")
    panels[min(1, len(rates) - 1)].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    if title:
        figure.suptitle(plain(title), x=0.01, ha="left", fontweight="bold", fontsize=9.5)
    return figure


@styled
def effects(values: Mapping[str, Mapping[str, Sequence[float]]], signs: Mapping[str, int], *, xlabel: str) -> Figure:
    """Effects below each other: mean and 95 % interval over networks, a marker per kind of network; an arrow for the direction expected.

    Parameters
    ----------
    values : effect -> kind of network -> one number per network
    signs : effect -> 1, -1 or 0 for no direction
    xlabel : str
    """
    figure = new_figure(WIDTH, 0.34 * len(values) + 0.9)
    axes = figure.add_subplot()
    axes.axvline(0, color=NEUTRAL, linewidth=0.8)
    kinds = list(next(iter(values.values())))
    for row, by_kind in enumerate(values.values()):
        for k, kind in enumerate(kinds):
            found = estimate(by_kind[kind])
            y = row + 0.5 * ((k + 0.5) / len(kinds) - 0.5)
            axes.errorbar(
                [found.mean], [y], xerr=[[found.mean - found.low], [found.high - found.mean]], color=COLOURS[k % 7], marker=MARKERS[k % 7],
                markersize=4, capsize=1.5, linewidth=1.0, label=plain(kind) if row == 0 else None,
            )  # fmt: skip
    arrows = {1: "→", -1: "←", 0: "·"}
    axes.set_yticks(range(len(values)), [f"{plain(name)}  {arrows[signs[name]]}" for name in values], fontsize=8)
    axes.set(xlabel=xlabel, ylim=(len(values) - 0.5, -0.5))
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2)
    return figure


@styled
def same_effect(
    values: Mapping[str, Mapping[Any, tuple[Sequence[float], Sequence[float]]]], *, xlabel: str, ylabel: str
) -> Figure:
    """The same effects found in two ways: a panel per measure, a marker per lesion, a dot per network, the identity as a line.

    Parameters
    ----------
    values : measure -> lesion -> (found one way, found the other), one number per network each
    xlabel, ylabel : str
    """
    columns = min(3, len(values))
    lines = -(-len(values) // columns)
    figure = new_figure(WIDTH, 2.3 * lines + 0.3)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, (measure, by_lesion) in zip(panels, values.items(), strict=False):
        for k, (lesion, (a, b)) in enumerate(by_lesion.items()):
            axes.plot(
                a,
                b,
                MARKERS[k % 7],
                color=COLOURS[k % 7],
                markersize=4,
                alpha=0.75,
                markeredgewidth=0,
                label=plain(lesion),
            )
        low, high = (f(*axes.get_xlim(), *axes.get_ylim()) for f in (min, max))
        axes.plot([low, high], [low, high], color=NEUTRAL, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
        axes.set(title=plain(measure), xlabel=xlabel)
        axes.locator_params(axis="x", nbins=3)  # small numbers are long
    for axes in panels[len(values) :]:
        axes.set_axis_off()
    for k in range(0, len(values), columns):
        panels[k].set_ylabel(ylabel)
    panels[min(columns, len(values)) - 1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


@styled
def predicted_images(shown: ArrayLike, targets: ArrayLike, found: ArrayLike, *, n: int = 2) -> Figure:
    """Sequences of frames: what was shown (blue where covered), what came next, and the prediction of it.

    Parameters
    ----------
    shown, targets, found : (frame, sample, pixel) of square frames; NaN in ``shown`` where nothing was
    n : int
        Samples.
    """
    rows = [("shown", shown), ("next", targets), ("predicted", found)]
    arrays = [np.asarray(values, dtype=float) for _, values in rows]
    frames, side = arrays[0].shape[0], round(arrays[0].shape[2] ** 0.5)
    grey = colormaps["gray"].with_extremes(bad=COLOURS[5])
    figure = new_figure(0.62 * frames * n + 0.9, 2.3)
    panels = figure.subplots(3, frames * n, squeeze=False)
    for row, ((label, _), values) in enumerate(zip(rows, arrays, strict=True)):
        for column in range(frames * n):
            axes = panels[row, column]
            image = values[column % frames, column // frames].reshape(side, side)
            axes.imshow(image, cmap=grey, vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[])
        panels[row, 0].set_ylabel(label, rotation=0, ha="right", va="center")
    return figure
