"""Figures of results: accuracy, confusion, training, Dale's law.

The figures of activity are passed on from here. Every function returns a ``matplotlib.figure.Figure``.
Fractions are in [0, 1] and drawn in percent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike

from .distance import wilson_interval
from .figures_activity import example_images as example_images
from .figures_activity import first_difference as first_difference
from .figures_activity import raster as raster
from .figures_activity import raster_overlay as raster_overlay
from .figures_activity import rate_distributions as rate_distributions
from .figures_style import (
    EXCITATORY,
    INHIBITORY,
    INK,
    LIGHT,
    NEUTRAL,
    WIDTH,
    empty_note,
    new_figure,
    plain,
    styled,
    transmitter_colour,
)
from .figures_style import to_png as to_png
from .figures_style import to_svg as to_svg


class ProjectionWeights(NamedTuple):
    """Weights of a projection for the Dale audit: magnitude times the sign of the source."""

    name: str
    effective: ArrayLike
    transmitter: str
    unit: str = "1"


@styled
def accuracy_bars(
    accuracy: Mapping[str, Sequence[float] | float],
    *,
    n_images: int | None = None,
    chance: float | None = None,
) -> Figure:
    """Accuracy per engine: the mean over training seeds as a bar, every seed as a dot.

    Parameters
    ----------
    accuracy : mapping engine -> fraction(s), [0, 1]
        One value per training seed.
    n_images : int, optional
        With a single seed: size of the test set, for the 95 % Wilson interval.
    chance : float, [0, 1], optional
        Accuracy of guessing, drawn as a dashed line.
    """
    names = list(accuracy)
    values = [np.atleast_1d(np.asarray(accuracy[name], dtype=float)) for name in names]
    figure = new_figure(WIDTH * 0.8, 0.95 + 0.42 * max(len(names), 1))
    axes = figure.add_subplot()
    for row, value in enumerate(values):
        mean = float(value.mean())
        axes.barh(row, mean, height=0.62, color=LIGHT, edgecolor=NEUTRAL, linewidth=0.8)
        text = f"{100 * mean:.1f} %"
        if value.size > 1:
            offsets = np.linspace(-0.16, 0.16, value.size)
            axes.plot(value, row + offsets, "o", color=INK, markersize=3.5, markeredgewidth=0, clip_on=False)
            text += f" ± {100 * value.std(ddof=1):.1f}"
        elif n_images:
            low, high = wilson_interval(mean, n_images)
            axes.plot([low, high], [row, row], color=INK, linewidth=1.2, solid_capstyle="butt")
        axes.annotate(text, (1.0, row), xytext=(8, 0), textcoords="offset points", va="center", annotation_clip=False)
    if chance is not None:
        axes.axvline(chance, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.annotate("chance", (chance, -0.5), xytext=(3, 2), textcoords="offset points", fontsize=8)
    axes.set_yticks(range(len(names)), [plain(name) for name in names])
    axes.set(xlim=(0, 1), ylim=(max(len(names), 1) - 0.5, -0.5), xlabel="Test accuracy [%]", ylabel="Engine")
    axes.xaxis.set_major_formatter(PercentFormatter(1, symbol=""))
    axes.tick_params(axis="y", length=0)
    return figure


@styled
def confusion_matrix(counts: ArrayLike, labels: Sequence[str] | None = None, *, engine: str | None = None) -> Figure:
    """Confusion matrix: counts in the cells, shade the share of the row.

    Parameters
    ----------
    counts : (class, class), int
        Row: true class; column: predicted class.
    """
    matrix = np.asarray(counts)
    n = matrix.shape[0]
    names = [str(i) for i in range(n)] if labels is None else [plain(label) for label in labels]
    totals = matrix.sum(axis=1, keepdims=True)
    share = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    side = float(np.clip(0.3 * n + 1.1, 2.6, WIDTH - 0.9))
    figure = new_figure(side + 0.9, side)
    axes = figure.add_subplot()
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(matrix):
        if count:
            colour = "white" if share[row, column] > 0.55 else INK
            axes.text(column, row, str(int(count)), ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(n), names)
    axes.set_yticks(range(n), names)
    axes.set_xticks(np.arange(n + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(n + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.tick_params(which="both", length=0)
    axes.set(xlabel="Predicted class", ylabel="True class")
    if engine:
        axes.set_title(plain(engine))
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, shrink=0.85, aspect=24, format=PercentFormatter(1, symbol=""))
    bar.set_label("Share of the true class [%]")
    bar.outline.set_visible(False)
    return figure


@styled
def training_curve(
    histories: Mapping[str, Mapping[str, Sequence[float]]], *, chosen: Mapping[str, float] | None = None
) -> Figure:
    """Loss and validation accuracy per epoch, one line per training seed.

    Parameters
    ----------
    histories : mapping label -> columns
        Columns ``epoch``, ``loss``, ``validation_accuracy`` [0, 1]; optional ``validation_loss`` is dashed.
    chosen : mapping label -> epoch, optional
        Epoch whose weights are reported, ringed.
    """
    figure = new_figure(WIDTH, 2.7)
    left, right = figure.subplots(1, 2)
    shades = np.linspace(0.15, 0.62, max(len(histories), 1))
    for shade, (label, history) in zip(shades, histories.items(), strict=False):
        colour, epoch = str(shade), history["epoch"]
        marker = "o" if len(epoch) <= 40 else ""
        left.plot(epoch, history["loss"], color=colour, marker=marker, markersize=2.8, label=plain(label))
        if "validation_loss" in history:
            left.plot(epoch, history["validation_loss"], color=colour, linestyle=(0, (4, 2)), linewidth=1.1)
        accuracy = history["validation_accuracy"]
        right.plot(epoch, accuracy, color=colour, marker=marker, markersize=2.8, label=plain(label))
        if chosen and label in chosen:
            at = list(epoch).index(chosen[label])
            right.plot(epoch[at], accuracy[at], "o", mfc="none", mec=EXCITATORY, markersize=8, mew=1.3)
    if any("validation_loss" in history for history in histories.values()):
        left.plot([], [], color=NEUTRAL, linestyle=(0, (4, 2)), label="validation")
    left.set(xlabel="Epoch", ylabel="Loss [1]", title="a  Training loss")
    right.set(xlabel="Epoch", ylabel="Accuracy [%]", title="b  Validation accuracy")
    right.yaxis.set_major_formatter(PercentFormatter(1, symbol="", decimals=None))
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y", color="#E4E7EB", linewidth=0.7)
        axes.set_axisbelow(True)
    if not histories:
        empty_note(left, "no training recorded")
    elif len(histories) > 1 or len(left.get_lines()) > 1:
        left.legend()
    return figure


@styled
def dale_audit(projections: Sequence[ProjectionWeights], *, columns: int = 2, bins: int = 30) -> Figure:
    """Effective weights of every projection against the side of zero its source permits.

    The forbidden side is hatched; a mixed source has none. Each panel names the smallest magnitude and the
    number of zeros, which no bar contains. `bins` is per side.
    """
    n_rows = max(-(-len(projections) // columns), 1)
    n_columns = min(columns, max(len(projections), 1))
    figure = new_figure(WIDTH if n_columns > 1 else WIDTH * 0.6, 0.5 + 1.55 * n_rows)
    grid = np.atleast_1d(figure.subplots(n_rows, n_columns, squeeze=False)).ravel()
    for axes, (name, effective, transmitter, unit) in zip(grid, projections, strict=False):
        weights = np.asarray(effective, dtype=float).ravel()
        reach = float(np.abs(weights).max(initial=0.0)) * 1.05 or 1.0
        # Zeros belong to neither side: they are counted in words. A bin edge lies at zero.
        axes.hist(
            weights[weights != 0], bins=np.linspace(-reach, reach, 2 * bins + 1).tolist(),
            color=transmitter_colour(transmitter),
        )  # fmt: skip
        forbidden = {"excitatory": (-reach, 0.0), "inhibitory": (0.0, reach)}.get(transmitter)
        if forbidden:
            axes.axvspan(*forbidden, facecolor="none", edgecolor="#D3D8DD", hatch="////", linewidth=0, zorder=0)
        axes.axvline(0, color=INK, linewidth=0.9)
        n_zero = int((weights == 0).sum())
        smallest = f"min |w| = {np.abs(weights).min():.3g}" if weights.size else "no weights"
        note = f"{transmitter}\nn = {weights.size}\n{smallest}" + (f"\n{n_zero} zeros" if n_zero else "")
        at_left = transmitter != "inhibitory"
        axes.text(
            0.03 if at_left else 0.97, 0.94, note, transform=axes.transAxes, va="top", fontsize=8,
            ha="left" if at_left else "right", bbox={"facecolor": "white", "edgecolor": "none", "pad": 2},
        )  # fmt: skip
        axes.set_title(plain(name))
        violated = forbidden and bool(((weights > forbidden[0]) & (weights < forbidden[1])).any())
        near = reach if violated or not forbidden else 0.7 * reach
        limits = (-reach, near) if transmitter == "inhibitory" else (-near, reach)
        axes.set(xlim=limits, xlabel=f"Effective weight [{plain(unit)}]")
        axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    for axes in grid[::n_columns]:
        axes.set_ylabel("Weights")
    for axes in grid[len(projections) :]:
        axes.set_visible(False)
    if not projections:
        grid[0].set_visible(True)
        empty_note(grid[0], "no projections")
    return figure


__all__ = [
    "EXCITATORY", "INHIBITORY", "ProjectionWeights", "accuracy_bars", "confusion_matrix", "dale_audit",
    "example_images", "first_difference", "raster", "raster_overlay", "rate_distributions", "to_png", "to_svg",
    "training_curve",
]  # fmt: skip
