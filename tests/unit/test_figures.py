"""Figures hold what they claim: data, labels, units, readable type; hostile names stay text."""

from __future__ import annotations

import sys
from collections.abc import Callable

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from cortexsnn import analysis
from cortexsnn.analysis import figures, figures_statistics, from_times
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
    "one raster": lambda: figures.raster(two_populations()),
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
    "accuracy": "[%]", "training": "[%]", "confusion": "[%]", "dale": "[nS]", "raster": "[ms]", "one raster": "[ms]",
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


def texts(figure: Figure) -> str:
    return " ".join(t.get_text() for t in figure.findobj(mpl.text.Text))


def test_event_arrays_are_drawn_without_a_dense_copy() -> None:
    """10^7 steps of 1000 neurons."""
    times = {"E": (np.array([1.0, 5.0, 7.0]), np.array([0, 5, 5]))}
    recording = from_times(times, dt_ms=0.1, duration_ms=1e6, neurons={"E": 1000})
    assert "n = 1000" in texts(figures.rate_distributions(recording))
    figure = figures.first_difference(recording, recording, population="E", neuron=5, step=50)
    assert "no states were recorded" in texts(figure)
    assert "identical" not in texts(figure)
    ticks = [line for line in figure.axes[0].get_lines() if line.get_marker() == "|"]
    assert [list(t.get_xdata()) for t in ticks] == [[5.0, 7.0], [5.0, 7.0]]
    with pytest.raises(InputError, match="outside"):
        figures.first_difference(recording, recording, population="E", neuron=1000, step=50)
    drawn = figures.raster(recording, max_neurons=1000, start_ms=4, stop_ms=10).axes[0].get_lines()[0]
    np.testing.assert_allclose(drawn.get_xdata(), [5, 7])
    assert list(drawn.get_ydata()) == [5, 5]


def test_a_raster_of_one_trial_and_window() -> None:
    spikes = np.zeros((2, 20, 100), dtype=bool)
    spikes[1, 5, 0] = spikes[1, 9, 99] = spikes[1, 15, 99] = spikes[0, 6, 0] = True
    recording = make_recording({"E": spikes, "I": np.zeros((2, 20, 3))})
    axes = figures.raster(recording, ["E"], trial=1, start_ms=5, stop_ms=12, max_neurons=10).axes[0]
    drawn = axes.get_lines()[0]
    assert sorted(zip(drawn.get_xdata(), drawn.get_ydata(), strict=True)) == [(5, 0), (9, 9)]
    assert drawn.get_color() == figures.EXCITATORY
    assert [t.get_text() for t in axes.get_yticklabels()] == ["E\n10 of 100"]
    with pytest.raises(InputError, match="trial: expected 0 to 1, got 2"):
        figures.raster(recording, trial=2)
    with pytest.raises(InputError, match="max_neurons: expected at least 1"):
        figures.raster(recording, max_neurons=0)


def test_fidelity_curves_explain_themselves_and_hide_no_yardstick() -> None:
    a = [two_populations(s) for s in range(4)]
    silent = [make_recording({"E": np.zeros((2, 100, 80)), "I": np.zeros((2, 100, 20))}) for _ in range(4)]
    curve = analysis.fidelity_curve(a, {0.1: a, 0.2: silent}, "dt", yardsticks={"new noise": a, "new wiring": a[:3]})
    figure = figures_statistics.fidelity_curves(curve, xlabel="Time step [ms]")
    labels = [t.get_text() for t in figure.legends[0].get_texts()]
    verdicts = ["equivalent", "inconclusive", "different"]
    assert labels == ["E", "I", *verdicts, "bound", "± SD over new noise", "± SD over new wiring"]
    assert [p.get_title(loc="left") for p in figure.axes[:3]] == ["rate", "variation of rates", "ISI CV"]
    rate = figure.axes[0]
    sticks = [x for x in rate.get_lines() if len(x.get_xdata()) == 2 and x.get_xdata()[0] == x.get_xdata()[1] > 1]
    assert len({float(x.get_xdata()[0]) for x in sticks}) == 4
    drawn = {x.get_color() for x in rate.get_lines() if x.get_marker() == "o" and len(x.get_xdata())}
    assert drawn == {figures.EXCITATORY, figures.INHIBITORY}
    assert figure.legends[0].get_lines()[0].get_color() == figures.EXCITATORY
    from_silence = analysis.fidelity_curve(silent, {0.1: a}, "dt", bounds={"rate": analysis.Bound(0.05, relative=True)})
    assert texts(figures_statistics.fidelity_curves(from_silence, xlabel="dt")).count("↑ ∞") == 2


def test_statistics_of_silence_say_so() -> None:
    silent = make_recording({"E": np.zeros((1, 400, 6))})
    spectrum = analysis.rate_spectrum(silent, "E", segment_ms=50.0, bin_ms=1.0)
    assert "no spikes" in texts(figures_statistics.spectra({"E": spectrum}))
    matrix = analysis.pairwise_correlation(silent, "E", bin_ms=5.0)
    assert texts(figures_statistics.correlation_matrix(matrix)).count("no spikes") == 2
    loud = make_recording({"E": poisson((1, 400, 6), 0.1, 1)})
    spectrum = analysis.rate_spectrum(loud, "E", segment_ms=50.0, bin_ms=1.0)
    figure = figures_statistics.spectra({"E": spectrum})
    assert "no spikes" not in texts(figure)
    assert figure.axes[0].get_lines()[0].get_color() == figures.EXCITATORY
    drawn = figures_statistics.correlation_matrix(analysis.pairwise_correlation(loud, "E", bin_ms=5.0))
    assert "no spikes" not in texts(drawn)


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
        lambda: figures.raster(make_recording({})),
        lambda: figures.raster(make_recording({"E": np.zeros((1, 5, 2))})),
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
