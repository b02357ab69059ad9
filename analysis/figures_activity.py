"""Figures of activity: rasters of two engines, the first difference in context, rates, example images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ..errors import InputError, unknown
from .figures_style import (
    INK,
    LIGHT,
    NEUTRAL,
    RASTER_LIMIT,
    WIDTH,
    empty_note,
    new_figure,
    plain,
    styled,
    transmitter_colour,
)
from .rates import neuron_rates, population_rates, spike_trains
from .trains import EVENTS, dt_ms, spiking_populations, trains

_GAP = 4
"""Empty lines between two populations of a raster."""


@styled
def raster_overlay(
    recording_a: xr.DataTree,
    recording_b: xr.DataTree,
    *,
    labels: tuple[str, str] | None = None,
    trial: int = 0,
    populations: Sequence[str] | None = None,
    start_ms: float = 0.0,
    stop_ms: float | None = None,
    max_neurons: int = 40,
) -> Figure:
    """Spikes of two engines on top of each other: agreement is a dot inside every circle.

    Parameters
    ----------
    recording_a, recording_b : xarray.DataTree
        Same populations and grid. Spikes of a are open grey circles, spikes of b dots: warm for excitatory,
        blue for inhibitory, dark grey otherwise. A spike only one of them has is crossed.
    labels : two str, optional
        Names for the legend; default the attribute ``engine``.
    trial : int
        Position of the trial shown.
    max_neurons : int
        Of a larger population evenly spaced neurons are shown, and those whose spikes differ; the axis says
        how many of how many. The counts in the legend are of all neurons.
    """
    names = spiking_populations(recording_a) if populations is None else tuple(populations)
    label_a, label_b = labels or (recording_a.attrs.get("engine", "a"), recording_b.attrs.get("engine", "b"))
    figure = new_figure(WIDTH, 4.0)
    axes = figure.add_subplot()
    dt, offset, n_a, n_b, n_single = dt_ms(recording_a), 0, 0, 0, 0
    ticks: list[tuple[float, str]] = []
    for name in names:
        pair = [
            spike_trains(r, name, start_ms=start_ms, stop_ms=stop_ms).isel(trial=trial).values
            for r in (recording_a, recording_b)
        ]
        if pair[0].shape != pair[1].shape:
            raise InputError(f"{name}: the recordings hold {pair[0].shape} and {pair[1].shape} (step, neuron).")
        n_neurons = pair[0].shape[1]
        differing = np.flatnonzero((pair[0] ^ pair[1]).any(axis=0))[:max_neurons]
        shown = np.union1d(_spread_out(n_neurons, max_neurons), differing)
        a, b = (spikes[:, shown] for spikes in pair)
        colour = transmitter_colour(recording_a[name].attrs.get("transmitter", "mixed"))
        many = bool(a.sum() + b.sum() > RASTER_LIMIT)
        for spikes, style in (
            (a, {"markersize": 4.2, "mfc": "none", "mec": NEUTRAL, "mew": 0.65}),
            (b, {"markersize": 2.0, "mfc": colour, "mec": "none"}),
            (a ^ b, {"marker": "x", "markersize": 8, "mec": INK, "mew": 1.4, "zorder": 4}),
        ):
            step, line = np.nonzero(spikes)
            options: dict[str, Any] = {"marker": "o", "linestyle": "none", "rasterized": many} | style
            axes.plot(start_ms + step * dt, offset + line, **options)
        n_a, n_b = n_a + int(pair[0].sum()), n_b + int(pair[1].sum())
        n_single += int((pair[0] ^ pair[1]).sum())
        count = f"{shown.size} of {n_neurons}" if shown.size < n_neurons else f"{n_neurons}"
        ticks.append((offset + (shown.size - 1) / 2, f"{plain(name)}\n{count}"))
        offset += shown.size + _GAP
        if name != names[-1]:
            axes.axhline(offset - (_GAP + 1) / 2, color=LIGHT, linewidth=0.7)
    axes.set_yticks([t for t, _ in ticks], [text for _, text in ticks])
    for tick, name in zip(axes.get_yticklabels(), names, strict=True):
        tick.set_color(transmitter_colour(recording_a[name].attrs.get("transmitter", "mixed")))
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel="Time [ms]", ylabel="Population (neurons shown)", ylim=(offset - _GAP + 0.5, -1.5))
    steps = spike_trains(recording_a, names[0], start_ms=start_ms, stop_ms=stop_ms).sizes["step"] if names else 1
    axes.set_xlim(start_ms - dt, start_ms + steps * dt)
    handle: dict[str, Any] = {"marker": "o", "linestyle": "none"}
    axes.plot([], [], markersize=5.5, mfc="none", mec=NEUTRAL, label=f"{plain(label_a)}: {n_a} spikes", **handle)
    axes.plot([], [], markersize=3, mfc=INK, mec="none", label=f"{plain(label_b)}: {n_b} spikes", **handle)
    axes.plot([], [], "x", color=INK, markersize=7, mew=1.4, label=f"in one only: {n_single}")
    figure.set_figheight(float(np.clip(0.9 + 0.027 * offset, 2.4, 7.5)))
    figure.legend(loc="outside upper left", ncols=3, handletextpad=0.2, columnspacing=1.6)
    return figure


@styled
def raster(
    recording: xr.DataTree,
    populations: Sequence[str] | None = None,
    *,
    trial: int = 0,
    start_ms: float = 0.0,
    stop_ms: float | None = None,
    max_neurons: int = 40,
) -> Figure:
    """Spikes of one trial, populations stacked: warm for excitatory, blue for inhibitory, dark grey otherwise.

    Parameters
    ----------
    recording : xarray.DataTree
    populations : sequence of str, optional
        Every spiking one unless given.
    trial : int
        Position of the trial shown.
    start_ms, stop_ms : float, ms, multiples of dt
    max_neurons : int
        Of a larger population evenly spaced neurons are shown; the axis says how many of how many.

    Raises
    ------
    InputError
        Unknown population, a trial or window outside of the recording, or `max_neurons` below 1.
    """
    if max_neurons < 1:
        raise InputError(f"max_neurons: expected at least 1, got {max_neurons}; say how many neurons to show.")
    names = spiking_populations(recording) if populations is None else tuple(populations)
    figure = new_figure(WIDTH, 4.0)
    axes = figure.add_subplot()
    offset, ticks, colours = 0, [], []
    for name in names:
        found = trains(recording, name, start_ms=start_ms, stop_ms=stop_ms)
        if not 0 <= trial < found.n_trials:
            raise InputError(f"trial: expected 0 to {found.n_trials - 1}, got {trial}; {name} holds {found.n_trials}.")
        shown = _spread_out(found.n_neurons, max_neurons)
        line_of = np.full(found.n_trains, -1)
        line_of[trial * found.n_neurons + shown] = offset + np.arange(shown.size)
        pieces = [(line_of[train], step) for train, step in found.raw()]
        line = np.concatenate([np.zeros(0, int), *(at for at, _ in pieces)])
        step = np.concatenate([np.zeros(0, int), *(s for _, s in pieces)])[line >= 0]
        colours.append(transmitter_colour(recording[name].attrs.get("transmitter", "mixed")))
        axes.plot(start_ms + step * found.dt_ms, line[line >= 0], "o", color=colours[-1], markersize=2, mew=0,
                  rasterized=step.size > RASTER_LIMIT)  # fmt: skip
        axes.set_xlim(start_ms - found.dt_ms, start_ms + found.n_steps * found.dt_ms)
        count = f"{shown.size} of {found.n_neurons}" if shown.size < found.n_neurons else f"{found.n_neurons}"
        ticks.append((offset + (shown.size - 1) / 2, f"{plain(name)}\n{count}"))
        offset += shown.size + _GAP
        if name != names[-1]:
            axes.axhline(offset - (_GAP + 1) / 2, color=LIGHT, linewidth=0.7)
    axes.set_yticks([at for at, _ in ticks], [text for _, text in ticks])
    for tick, colour in zip(axes.get_yticklabels(), colours, strict=True):
        tick.set_color(colour)
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel="Time [ms]", ylabel="Population (neurons shown)", ylim=(max(offset - _GAP, 1) + 0.5, -1.5))
    figure.set_figheight(float(np.clip(0.9 + 0.027 * offset, 2.4, 7.5)))
    if not names:
        empty_note(axes, "no spiking population recorded")
    return figure


@styled
def first_difference(
    recording_a: xr.DataTree,
    recording_b: xr.DataTree,
    *,
    population: str,
    neuron: int,
    step: int,
    trial: int = 0,
    variable: str | None = None,
    window: int = 25,
    labels: tuple[str, str] | None = None,
) -> Figure:
    """One neuron around the step where two recordings part: the trace, threshold distance, growth of the gap.

    Parameters
    ----------
    neuron, trial : int
        Positions in the recording.
    variable : str, optional
        State to draw; default the first recorded one that is neither ``spikes`` nor ``distance``.
    window : int
        Steps shown on either side of `step`.
    """
    label_a, label_b = labels or (recording_a.attrs.get("engine", "a"), recording_b.attrs.get("engine", "b"))
    nodes = [
        _one_neuron(_with_one_train(r, population, trial, neuron), population, trial, neuron, step, window)
        for r in (recording_a, recording_b)
    ]
    states = [str(v) for v in nodes[0].data_vars if v not in ("spikes", "distance") and v in nodes[1].data_vars]
    if variable is None and states:
        variable = states[0]
    if variable is not None and variable not in states:
        raise InputError(f"{population}: {unknown('variable', variable, states)}")
    panels = [name for name in (variable, "distance") if name and all(name in node for node in nodes)]
    figure = new_figure(WIDTH, 1.0 + 1.35 * (len(panels) + 1))
    axes_all = np.atleast_1d(figure.subplots(len(panels) + 1, 1, sharex=True))
    colour = transmitter_colour(recording_a[population].attrs.get("transmitter", "mixed"))
    at = step * dt_ms(recording_a)
    times = [node["time"].values for node in nodes]
    for axes, name in zip(axes_all, panels, strict=False):
        axes.plot(times[0], nodes[0][name], color=LIGHT, linewidth=4, solid_capstyle="round", label=plain(label_a))
        axes.plot(times[1], nodes[1][name], color=colour, linewidth=1.3, label=plain(label_b))
        unit = nodes[0][name].attrs.get("units", "1")
        if name == "distance":
            axes.axhline(0, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
            values = [float(node[name].sel(step=step)) for node in nodes]
            axes.set_title(
                f"Distance to threshold before reset; step {step}: {values[0]:.4g} {plain(unit)}, "
                f"second minus first {values[1] - values[0]:.2g} {plain(unit)}"
            )
            axes.set_ylabel(f"Distance [{plain(unit)}]")
        else:
            axes.set_title(f"{plain(population)}, neuron {neuron}, trial {trial}")
            axes.set_ylabel(f"{plain(name)} [{plain(unit)}]")
    gap_axes = axes_all[-1]
    for name, line in zip(panels, ("-", (0, (4, 2))), strict=False):
        gap = np.abs(nodes[0][name].values - nodes[1][name].values)
        unit = nodes[0][name].attrs.get("units", "1")
        drawn = np.where(gap > 0, gap, np.nan)
        gap_axes.plot(times[0], drawn, color=INK, linestyle=line, marker=".", markersize=4, linewidth=1,
                      label=f"{plain(name)} [{plain(unit)}]")  # fmt: skip
    if any(np.any(nodes[0][name].values != nodes[1][name].values) for name in panels):
        gap_axes.set_yscale("log")
        gap_axes.legend(loc="upper left", ncols=2)
    else:
        same = "all recorded states in this window are identical"
        empty_note(gap_axes, same if panels else "no states were recorded")
    gap_axes.set_title("Absolute difference; gaps where it is exactly 0")
    gap_axes.set_ylabel("Difference")
    gap_axes.set_xlabel("Time [ms]")
    for axes in axes_all:
        axes.axvline(at, color=INK, linewidth=0.8, alpha=0.55)
    _spike_ticks(axes_all[0], nodes, times, (NEUTRAL, colour))
    axes_all[0].annotate(f"step {step}", (at, 1), xycoords=("data", "axes fraction"), xytext=(4, -2),
                         textcoords="offset points", va="top", fontsize=8)  # fmt: skip
    if panels:
        figure.legend(*axes_all[0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    return figure


@styled
def rate_distributions(
    recording: xr.DataTree, *, populations: Sequence[str] | None = None, max_dots: int = 400, seed: int = 0
) -> Figure:
    """Distribution of firing rates over neurons, one line per population.

    A dot is a neuron (its mean over trials; of large populations a random subset), the bar spans the
    quartiles, the tick is the median.
    """
    names = spiking_populations(recording) if populations is None else tuple(populations)
    figure = new_figure(WIDTH, 0.9 + 0.72 * max(len(names), 1))
    axes = figure.add_subplot()
    table = population_rates(recording, names)
    generator = np.random.default_rng(seed)
    for row, name in enumerate(names):
        rates = neuron_rates(recording, name).mean("trial").values
        colour = transmitter_colour(recording[name].attrs.get("transmitter", "mixed"))
        subset = rates if rates.size <= max_dots else generator.choice(rates, max_dots, replace=False)
        heights = row + generator.uniform(-0.3, 0.3, subset.size)
        axes.plot(subset, heights, "o", color=colour, alpha=0.35, markersize=3.2, mew=0,
                  rasterized=subset.size * len(names) > RASTER_LIMIT)  # fmt: skip
        low, median, high = np.percentile(rates, (25, 50, 75))
        axes.plot([low, high], [row, row], color=INK, linewidth=2.2, solid_capstyle="butt")
        axes.plot([median, median], [row - 0.22, row + 0.22], color=INK, linewidth=2.2, solid_capstyle="butt")
        line = table.sel(population=name)
        axes.annotate(
            f"mean {float(line['mean']):.3g} Hz\nactive {100 * float(line['active_fraction']):.0f} %",
            (1, row), xycoords=("axes fraction", "data"), xytext=(8, 0), textcoords="offset points",
            va="center", fontsize=8,
        )  # fmt: skip
    sizes = table["n_neurons"].values.astype(int)
    axes.set_yticks(range(len(names)), [f"{plain(n)}\nn = {size}" for n, size in zip(names, sizes, strict=True)])
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel="Firing rate [Hz]", ylabel="Population", ylim=(max(len(names), 1) - 0.5, -0.5))
    axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
    if not names:
        empty_note(axes, "no spiking population recorded")
    return figure


@styled
def example_images(
    images: ArrayLike,
    recording: xr.DataTree,
    *,
    trials: Sequence[int] | None = None,
    true: Sequence[object] | None = None,
    predicted: Sequence[object] | None = None,
    populations: Sequence[str] | None = None,
    max_neurons: int = 40,
) -> Figure:
    """Input images beside the activity they cause.

    Parameters
    ----------
    images : (example, height, width)
    trials : sequence of int, optional
        Position of the trial of each image; default 0, 1, 2, ...
    true, predicted : sequence, optional
        Classes of each image, written above it.
    """
    pictures = np.asarray(images)
    rows = range(len(pictures)) if trials is None else trials
    names = spiking_populations(recording) if populations is None else tuple(populations)
    figure = new_figure(WIDTH, 0.5 + 1.45 * max(len(pictures), 1))
    grid = figure.subplots(max(len(pictures), 1), 2, width_ratios=(1, 4.6), squeeze=False)
    for i, (picture, trial) in enumerate(zip(pictures, rows, strict=True)):
        left, right = grid[i]
        left.imshow(picture, cmap="Greys", interpolation="nearest")
        left.set_xticks([])
        left.set_yticks([])
        left.spines[:].set(visible=True, color=LIGHT)
        title = [
            f"{word} {plain(values[i])}"
            for word, values in (("true", true), ("predicted", predicted))
            if values is not None
        ]
        left.set_title(", ".join(title), fontsize=8.5, fontweight="normal", loc="center")
        _raster(right, recording, names, trial, max_neurons)
        if i < len(pictures) - 1:
            right.tick_params(labelbottom=False)
    grid[-1, 1].set_xlabel("Time [ms]")
    if len(pictures) == 0:
        empty_note(grid[0, 1], "no images")
    return figure


def _raster(axes: Axes, recording: xr.DataTree, names: Sequence[str], trial: int, max_neurons: int) -> None:
    """Spikes of one trial, populations stacked, their names on the axis."""
    offset, dt, n_steps = 0, dt_ms(recording), 1
    ticks: list[float] = []
    for name in names:
        spikes = spike_trains(recording, name).isel(trial=trial).values
        shown = _spread_out(spikes.shape[1], max_neurons)
        step, line = np.nonzero(spikes[:, shown])
        colour = transmitter_colour(recording[name].attrs.get("transmitter", "mixed"))
        axes.plot(
            step * dt,
            offset + line,
            "o",
            color=colour,
            markersize=2,
            mew=0,
            rasterized=step.size > RASTER_LIMIT,
        )
        ticks.append(offset + (shown.size - 1) / 2)
        offset, n_steps = offset + shown.size + _GAP, spikes.shape[0]
    axes.set(xlim=(-dt, n_steps * dt), ylim=(max(offset - _GAP, 1) + 0.5, -1.5))
    axes.set_yticks(ticks, [plain(name) for name in names])
    axes.tick_params(axis="y", length=0)
    for label, name in zip(axes.get_yticklabels(), names, strict=True):
        label.set_color(transmitter_colour(recording[name].attrs.get("transmitter", "mixed")))


def _with_one_train(recording: xr.DataTree, population: str, trial: int, neuron: int) -> xr.DataTree:
    """Event arrays as dense spikes for the figure of one neuron: its train stands in every row, in no more memory."""
    if population not in recording.children or EVENTS[0] not in recording[population].data_vars:
        return recording
    found = trains(recording, population)
    train = np.zeros(found.n_steps, dtype=bool)
    for which, step in found.raw():
        train[step[which == trial * found.n_neurons + neuron]] = True
    shape = (found.n_trials, found.n_steps, found.n_neurons)
    spikes = (("trial", "step", "neuron"), np.broadcast_to(train[None, :, None], shape))
    node = found.node.drop_vars(list(EVENTS)).assign(spikes=spikes)
    return xr.DataTree.from_dict({"/": recording.to_dataset(), population: node})


def _one_neuron(recording: xr.DataTree, population: str, trial: int, neuron: int, step: int, window: int) -> xr.Dataset:
    """All variables of one neuron in the steps around `step`, labelled by step."""
    if population not in recording.children:
        raise InputError(f"recording: {unknown('population', population, recording.children)}")
    node = recording[population].to_dataset()
    n_steps = node.sizes["step"]
    if not (0 <= step < n_steps and 0 <= neuron < node.sizes["neuron"] and 0 <= trial < node.sizes["trial"]):
        raise InputError(f"{population}: step {step}, neuron {neuron}, trial {trial} lie outside {dict(node.sizes)}.")
    steps = np.arange(max(step - window, 0), min(step + window + 1, n_steps))
    return node.isel(trial=trial, neuron=neuron, step=steps).assign_coords(step=steps)


def _spike_ticks(
    axes: Axes, nodes: Sequence[xr.Dataset], times: Sequence[np.ndarray], colours: tuple[str, str]
) -> None:
    """Spikes of both recordings as ticks along the lower edge, a below b."""
    for row, (node, time, colour) in enumerate(zip(nodes, times, colours, strict=True)):
        if "spikes" in node:
            at = time[node["spikes"].values.astype(bool)]
            axes.plot(at, np.full(at.size, 0.03 + 0.1 * row), "|", color=colour, markersize=7, mew=1.6,
                      transform=axes.get_xaxis_transform())  # fmt: skip


def _spread_out(n: int, most: int) -> np.ndarray:
    """Positions of at most `most` of `n` neurons, evenly spaced and always the same."""
    return np.arange(n) if n <= most else np.unique(np.linspace(0, n - 1, most).round().astype(int))
