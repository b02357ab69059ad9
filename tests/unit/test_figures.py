"""Figures hold what they claim: data, labels, units, readable type; hostile names stay text."""

from __future__ import annotations

import sys
from collections.abc import Callable

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from cortexsnn.analysis import figures
from cortexsnn.errors import InputError
from synthetic import make_recording, poisson, two_populations

HISTORY = {"epoch": [1, 2, 3], "loss": [2.0, 1.0, 0.5], "validation_accuracy": [0.3, 0.7, 0.9]}
WEIGHTS = [
    figures.ProjectionWeights("E_I", np.array([0.0, 0.1, 0.4]), "excitatory", "nS"),
    figures.ProjectionWeights("I_E", -np.array([0.2, 0.1, 0.4]), "inhibitory", "nS"),
    figures.ProjectionWeights("out", np.array([-0.2, 0.1]), "mixed"),
]
DRAWERS: dict[str, Callable[[], Figure]] = {
    "accuracy": lambda: figures.accuracy_bars({"torch": [0.9, 0.95], "brian2": 0.9}, n_images=360, chance=0.1),
    "confusion": lambda: figures.confusion_matrix([[3, 1], [0, 0]], ["a", "b"], engine="torch"),
    "training": lambda: figures.training_curve({"seed 0": HISTORY, "seed 1": HISTORY}, chosen={"seed 0": 2}),
    "dale": lambda: figures.dale_audit(WEIGHTS),
    "raster": lambda: figures.raster_overlay(two_populations(), two_populations(engine="brian2")),
    "difference": lambda: figures.first_difference(
        two_populations(), two_populations(v_shift=1e-12), population="E", neuron=3, step=50
    ),
    "rates": lambda: figures.rate_distributions(two_populations()),
    "images": lambda: figures.example_images(
        np.eye(8)[None].repeat(2, 0), two_populations(), true=[1, 2], predicted=[1, 3]
    ),
}


@pytest.mark.parametrize("name", DRAWERS)
def test_figures_have_content_labels_and_readable_type(name: str) -> None:
    figure = DRAWERS[name]()
    axes = [a for a in figure.axes if a.get_visible()]
    assert any(a.has_data() for a in axes)
    assert any(a.get_xlabel() for a in axes)
    texts = [t for t in figure.findobj(mpl.text.Text) if t.get_text() and t.get_visible()]
    # Exponents of logarithmic axes are set by the formatter inside a text and do not count.
    assert min(t.get_fontsize() for t in texts) >= 8
    assert figures.to_png(figure).startswith(b"\x89PNG")


UNITS = {
    "accuracy": "[%]", "training": "[%]", "confusion": "[%]", "dale": "[nS]", "raster": "[ms]",
    "difference": "[mV]", "rates": "[Hz]", "images": "[ms]",
}  # fmt: skip


@pytest.mark.parametrize("name", UNITS)
def test_figures_state_their_units(name: str) -> None:
    labels = [label for a in DRAWERS[name]().axes for label in (a.get_xlabel(), a.get_ylabel())]
    assert any(UNITS[name] in label for label in labels), labels


def test_raster_draws_every_spike_of_both_and_crosses_what_one_lacks() -> None:
    a = np.zeros((1, 20, 100), dtype=bool)
    a[0, 5, 17] = a[0, 9, 99] = True
    b = a.copy()
    b[0, 5, 17], b[0, 6, 17] = False, True
    figure = figures.raster_overlay(make_recording({"E": a}), make_recording({"E": b}), max_neurons=10)
    circles, dots, crosses = figure.axes[0].get_lines()[:3]
    assert sorted(circles.get_xdata()) == [5, 9]
    assert sorted(dots.get_xdata()) == [6, 9]
    assert sorted(crosses.get_xdata()) == [5, 6], "a differing neuron is shown even when many are left out"
    assert circles.get_markerfacecolor() == "none"
    assert circles.get_markersize() > dots.get_markersize()
    labels = [t.get_text() for t in figure.legends[0].get_texts()]
    assert labels == ["numpy: 2 spikes", "numpy: 2 spikes", "in one only: 2"]


def test_raster_refuses_recordings_of_other_shape() -> None:
    with pytest.raises(InputError, match="E: the recordings hold"):
        figures.raster_overlay(make_recording({"E": np.zeros((1, 5, 2))}), make_recording({"E": np.zeros((1, 5, 3))}))


def test_first_difference_shows_both_traces_and_the_size_of_the_gap() -> None:
    figure = DRAWERS["difference"]()
    trace, distance, gap = figure.axes
    assert len(trace.get_lines()) >= 2
    assert gap.get_yscale() == "log"
    drawn = gap.get_lines()[0].get_ydata()
    assert np.nanmax(drawn) == pytest.approx(1e-12, rel=0.05)
    assert np.isnan(drawn).any()
    assert "threshold" in distance.get_title(loc="left")
    a = two_populations()
    with pytest.raises(InputError, match=r"'w'.*v"):
        figures.first_difference(a, a, population="E", neuron=0, step=3, variable="w")
    with pytest.raises(InputError, match="outside"):
        figures.first_difference(a, a, population="E", neuron=0, step=3000)


def test_dale_figure_draws_no_zero_on_the_forbidden_side() -> None:
    weights = figures.ProjectionWeights("I_E", np.array([0.0] * 50 + [-1.0]), "inhibitory")
    axes = figures.dale_audit([weights]).axes[0]
    right = [patch for patch in axes.patches if patch.get_hatch() is None and patch.get_x() >= -1e-9]
    assert sum(patch.get_height() for patch in right) == 0
    assert "50 zeros" in " ".join(t.get_text() for t in axes.texts)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: figures.accuracy_bars({}),
        lambda: figures.training_curve({}),
        lambda: figures.dale_audit([]),
        lambda: figures.dale_audit([figures.ProjectionWeights("none", np.zeros(0), "excitatory")]),
        lambda: figures.rate_distributions(make_recording({})),
        lambda: figures.raster_overlay(make_recording({}), make_recording({})),
        lambda: figures.raster_overlay(*(2 * [make_recording({"E": np.zeros((1, 5, 2))})])),
        lambda: figures.confusion_matrix(np.zeros((2, 2), dtype=int)),
        lambda: figures.example_images(np.zeros((0, 8, 8)), two_populations()),
    ],
)
def test_figures_of_nothing_still_draw(draw: Callable[[], Figure]) -> None:
    assert figures.to_svg(draw()).startswith("<svg")


def test_hostile_names_are_text_and_neither_formula_nor_markup() -> None:
    name = r"$\frac{1}{</svg><script>alert(1)</script>$"
    recording = make_recording({name: poisson((1, 20, 5), 0.2, 0)})
    svg = figures.to_svg(figures.raster_overlay(recording, recording, labels=("$a$", "<script>")))
    assert "<script" not in svg
    assert "alert" not in svg


def test_svg_is_inline_prefixed_and_the_same_every_time() -> None:
    first, second = (figures.to_svg(DRAWERS["dale"](), "f1-") for _ in range(2))
    assert first == second
    assert "http" not in first
    assert "<!--" not in first
    assert "<metadata" not in first
    identifiers = [part.split('"', 1)[0] for part in first.split(' id="')[1:]]
    assert identifiers
    assert all(i.startswith("f1-") for i in identifiers)
    assert len(set(identifiers)) == len(identifiers)
    assert first.count("url(#") == first.count("url(#f1-") > 0


def test_figures_leave_no_global_state() -> None:
    before = dict(mpl.rcParams)
    DRAWERS["raster"]()
    assert dict(mpl.rcParams) == before
    assert "matplotlib.pyplot" not in sys.modules or not mpl.pyplot.get_fignums()
