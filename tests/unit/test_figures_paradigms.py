"""Figures of paradigms hold the numbers they were given."""

from __future__ import annotations

import numpy as np

from cortexsnn.analysis import figures_paradigms
from cortexsnn.analysis.figures_style import to_png


def test_courses_draw_the_mean_of_each_condition_at_the_end_of_a_trial() -> None:
    rates = {"E": {"a": [[1.0, 2.0, 9.0], [3.0, 4.0, 11.0]], "b": [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]}}
    figure = figures_paradigms.courses(rates, bin_ms=100.0, window=(200.0, 300.0), title="$x$", shown_ms=200.0)
    a, b = figure.axes[0].get_lines()
    np.testing.assert_allclose(a.get_xydata(), [[150, 3], [250, 10]])
    np.testing.assert_allclose(b.get_ydata(), 0)
    assert [t.get_text() for t in figure.axes[0].get_legend().get_texts()] == ["a", "b"]
    assert figure.axes[0].get_ylabel() == "Rate [Hz]"
    assert to_png(figure).startswith(b"\x89PNG")


def test_effects_stand_in_their_order_with_their_direction() -> None:
    values = {
        "one": {"trained": [1.0, 2.0], "untrained": [0.0, 0.1]},
        "two": {"trained": [-1.0, -1.2], "untrained": [0.0, 0.1]},
    }
    figure = figures_paradigms.effects(values, {"one": 1, "two": -1}, xlabel="Contrast")
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["one  →", "two  ←"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first is on top
    dots = [line.get_xydata()[0] for line in axes.get_lines() if line.get_marker() in ("o", "s")]
    np.testing.assert_allclose(sorted(x for x, _ in dots), [-1.1, 0.05, 0.05, 1.5])


def test_the_same_effect_lies_on_the_line() -> None:
    figure = figures_paradigms.same_effect({"rate": {"PV": ([1.0, 2.0], [1.0, 2.0])}}, xlabel="a", ylabel="b")
    points, line = figure.axes[0].get_lines()
    np.testing.assert_array_equal(*points.get_data())
    np.testing.assert_array_equal(*line.get_data())
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("a", "b")


def test_what_is_covered_is_no_shade_of_grey() -> None:
    shown = np.zeros((3, 1, 4))
    shown[1, 0, :2] = np.nan
    figure = figures_paradigms.predicted_images(shown, np.ones((3, 1, 4)), np.full((3, 1, 4), 0.5), n=1)
    image = figure.axes[1].get_images()[0]
    red, _, blue = image.cmap(image.norm(image.get_array()))[0, 0, :3]
    assert blue > red + 0.2
    assert image.cmap(image.norm(image.get_array()))[1, 0, :3].tolist() == [0, 0, 0]
    np.testing.assert_array_equal(figure.axes[3].get_images()[0].get_array(), 1.0)
