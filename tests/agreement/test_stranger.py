"""A circuit such as a stranger would write: Hodgkin-Huxley cells, an adaptive threshold driven by a sine of t, a graded field."""

from pathlib import Path

import cortexsnn as cx

CIRCUIT = Path(__file__).with_name("stranger.yaml")


def test_hodgkin_huxley_rk4_and_a_graded_field_agree() -> None:
    report = cx.verify(cx.load(CIRCUIT), engines=("numpy", "torch", "brian2"), trials=2)
    assert report.agree, str(report)
    assert report.n_spikes >= 300
    assert len(report.comparisons) == 3
