"""Statistical fidelity: statistics against closed forms and numpy, intervals against scipy, verdicts by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from cortexsnn import analysis
from cortexsnn.analysis import Bound
from cortexsnn.errors import InputError
from cortexsnn.experiments import fidelity as experiment
from processes import correlated_counts, gamma_trains
from synthetic import make_recording, poisson, two_populations


def networks(rate: float, n: int = 6, seed: int = 0, shape: float = 1.0) -> list[xr.DataTree]:
    """Networks whose wiring makes them differ: each has a rate of its own, the same for every call with the same seed."""
    own = np.random.default_rng(seed).normal(1, 0.1, n)
    return [
        gamma_trains(rate * f, shape, 20, 10, 1000 * seed + 17 * k + int(rate * 7), dt_ms=0.1)
        for k, f in enumerate(own)
    ]


def test_statistics_are_those_of_the_single_functions() -> None:
    recording = make_recording({"E": poisson((2, 3000, 30), 0.05, 1), "I": poisson((2, 3000, 8), 0.1, 2)})
    found = analysis.activity_statistics(recording)
    assert found.dims == ("population", "trial", "statistic")
    for name in ("E", "I"):
        row = found.sel(population=name)
        np.testing.assert_allclose(row.sel(statistic="rate"), analysis.neuron_rates(recording, name).mean("neuron"))
        np.testing.assert_allclose(row.sel(statistic="isi_cv"), analysis.isi_cv(recording, name).mean("neuron"))
        np.testing.assert_allclose(row.sel(statistic="lv"), analysis.local_variation(recording, name).mean("neuron"))
        chi = analysis.synchrony(recording, name, 5.0)
        np.testing.assert_allclose(row.sel(statistic="synchrony"), chi**2, rtol=1e-12)
        for trial in range(2):
            one = recording.isel(trial=[trial])
            c = analysis.pairwise_correlation(one, name, 5.0, measure="covariance", min_spikes=1).values
            n = c.shape[0]
            expected = (c.sum() - np.trace(c)) / (n * (n - 1)) / (np.trace(c) / n)
            assert float(row.sel(statistic="correlation")[trial]) == pytest.approx(expected, rel=1e-9)
    assert list(found["units"].values[:2]) == ["Hz", "1"]


def test_correlation_of_correlated_trains() -> None:
    """40 trials; five standard errors."""
    found = analysis.activity_statistics(
        correlated_counts(40, 1000, 0.1, 0.2, 3, n_trials=40), statistics=("correlation",), bin_ms=1.0
    ).values.ravel()
    assert abs(found.mean() - 0.2) < 5 * found.std() / np.sqrt(40)


def test_paired_interval_is_that_of_scipy_with_bonferroni() -> None:
    a, b = networks(20), networks(22, seed=1)
    found = analysis.fidelity(a, b, bounds={"rate": Bound(0.05, relative=True), "isi_cv": Bound(0.05)})
    x, y = (np.array([float(analysis.neuron_rates(r, "E").mean()) for r in side]) for side in (a, b))
    expected = stats.ttest_rel(y, x).confidence_interval(1 - 0.05 / 2)
    row = found.table.sel(population="E", statistic="rate")
    assert float(row["low"]) == pytest.approx(expected.low / x.mean())
    assert float(row["high"]) == pytest.approx(expected.high / x.mean())
    unpaired = analysis.fidelity(a, b, paired=False, bounds={"rate": Bound(0.5)}).table.squeeze()
    welch = stats.ttest_ind(y, x, equal_var=False).confidence_interval(0.95)
    assert (float(unpaired["low"]), float(unpaired["high"])) == pytest.approx((welch.low, welch.high))


def test_verdicts() -> None:
    a = networks(20)
    same = analysis.fidelity(a, a)
    assert same.verdict == "equivalent"
    assert float(same.table["power"].min()) == 1.0
    assert same.unit == "network"
    faster = analysis.fidelity(a, networks(26), bounds={"rate": Bound(0.05, relative=True)})
    assert faster.verdict == "different"
    assert "different" in str(faster)
    few = analysis.fidelity(networks(20, 3), networks(20, 3, seed=2), bounds={"rate": Bound(0.01, relative=True)})
    assert few.verdict == "inconclusive"
    assert float(few.table["power"]) < 0.5


def test_trials_are_the_units_of_one_network() -> None:
    one = make_recording({"E": poisson((30, 400, 20), 0.05, 4)})
    other = make_recording({"E": poisson((30, 400, 20), 0.05, 5)})
    found = analysis.fidelity(one, other, bounds={"rate": Bound(0.1, relative=True)})
    assert found.unit == "trial"
    assert found.verdict == "equivalent"
    assert int(found.table["n"]) == 30


def test_yardsticks_are_kept_apart() -> None:
    noise = [make_recording({"E": poisson((1, 2000, 20), 0.05, s)}) for s in range(5)]
    wiring = [make_recording({"E": poisson((1, 2000, 20), p, 9)}) for p in (0.03, 0.05, 0.07)]
    found = analysis.fidelity(
        noise, noise, bounds={"rate": Bound(0.05, relative=True)}, yardsticks={"new noise": noise, "new wiring": wiring}
    )
    spread = found.table["spread"].sel(population="E", statistic="rate")
    assert list(spread["yardstick"].values) == ["new noise", "new wiring"]
    rates = [float(analysis.neuron_rates(r, "E").mean()) for r in noise]
    assert float(spread[0]) == pytest.approx(np.std(rates, ddof=1) / np.mean(rates))
    assert float(spread[1]) > 5 * float(spread[0])


def test_a_curve_over_settings() -> None:
    a = networks(20, 4)
    found = analysis.fidelity_curve(
        a, {0.1: a, 0.2: networks(23, 4)}, "dt", bounds={"rate": Bound(0.05, relative=True)}
    )
    assert found["verdict"].dims == ("dt", "population", "statistic")
    assert [str(v) for v in found["verdict"].values.ravel()] == ["equivalent", "different"]
    assert list(found["dt"].values) == [0.1, 0.2]


def test_silence_on_both_sides_is_no_difference_and_irregularity_stays_undefined() -> None:
    quiet = [make_recording({"E": np.zeros((1, 100, 5))}) for _ in range(4)]
    found = analysis.fidelity(quiet, quiet)
    assert found.table["verdict"].sel(population="E", statistic="rate").item() == "equivalent"
    assert found.table["verdict"].sel(population="E", statistic="isi_cv").item() == "inconclusive"
    assert int(found.table["n"].sel(population="E", statistic="isi_cv")) == 0
    assert found.verdict == "inconclusive"


def test_silence_against_activity_is_different_in_either_order_and_bursts_of_few_units_are_inconclusive() -> None:
    quiet = [make_recording({"E": np.zeros((1, 500, 5))}) for _ in range(4)]
    loud = [make_recording({"E": poisson((1, 500, 5), 0.04, s)}) for s in range(4)]
    bounds = {"rate": Bound(0.05, relative=True)}
    found = analysis.fidelity(quiet, loud, bounds=bounds, yardsticks={"new noise": loud})
    assert found.verdict == "different"
    assert [float(found.table[k].squeeze()) for k in ("difference", "low", "high")] == [np.inf] * 3
    assert np.isnan([float(found.table[k].squeeze()) for k in ("power", "detectable", "spread")]).all()
    assert "nan" not in str(found)
    swapped = analysis.fidelity(loud, quiet, bounds=bounds)
    assert swapped.verdict == "different"
    assert float(swapped.table["difference"].squeeze()) == -1
    single = analysis.fidelity(quiet, [*quiet[:3], loud[0]], bounds=bounds).table.squeeze()
    assert single["verdict"].item() == "inconclusive"
    assert (float(single["low"]), float(single["high"])) == (-np.inf, np.inf)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 400, 10), r"recordings\.E: expected as many neurons per population everywhere, got 5 and 10"),
        ((1, 800, 5), "expected as many ms analysed everywhere, got 400 and 800"),
    ],
)
def test_other_sizes_and_durations_are_refused(shape: tuple[int, int, int], message: str) -> None:
    a = [make_recording({"E": poisson((1, 400, 5), 0.1, s)}) for s in range(3)]
    b = [make_recording({"E": poisson(shape, 0.1, s)}) for s in range(3)]
    with pytest.raises(InputError, match=message):
        analysis.fidelity(a, b)
    with pytest.raises(InputError, match="expected as many"):
        analysis.fidelity(a, [*a[:2], b[0]])
    with pytest.raises(InputError, match=message):
        analysis.fidelity(a, a, yardsticks={"new noise": b})
    assert analysis.fidelity(a, [make_recording({"E": poisson((1, 800, 5), 0.1, s)}) for s in range(3)], stop_ms=400)


def test_statistics_of_other_bins_or_sizes_are_refused_where_their_attributes_say_so() -> None:
    recordings = [make_recording({"E": poisson((1, 400, 5), 0.1, s)}) for s in range(3)]
    a, b = ([analysis.activity_statistics(r, bin_ms=bin_ms) for r in recordings] for bin_ms in (5.0, 10.0))
    with pytest.raises(InputError, match="ms per bin everywhere, got 5 and 10"):
        analysis.fidelity(a, b)
    with pytest.raises(InputError, match=r"recordings\.E: .* got 5 and 6"):
        analysis.fidelity(recordings, [f.assign_attrs(n_neurons=[6]) for f in a])
    assert analysis.fidelity(recordings, a).verdict in ("equivalent", "inconclusive")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], [two_populations()]), "at least one, got none"),
        (([two_populations()] * 2, [two_populations()] * 2), "at least 3 networks on both sides"),
        (([two_populations()] * 4, [two_populations()] * 3), "as many on one as on the other"),
        ((two_populations(), [two_populations()] * 3), "one recording against several"),
        (
            ([two_populations()] * 3, [make_recording({"E": np.zeros((1, 100, 5))})] * 3),
            "different spiking populations: E, I against E",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(arguments: tuple[object, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        analysis.fidelity(*arguments)  # type: ignore[arg-type]


def test_bounds_and_level_are_checked() -> None:
    a = [two_populations(s) for s in range(3)]
    with pytest.raises(InputError, match=r"bounds\.rate: expected a number above 0"):
        analysis.fidelity(a, a, bounds={"rate": 0.0})
    with pytest.raises(InputError, match=r"bounds\.rate: expected a number above 0, got '5 %'"):
        analysis.fidelity(a, a, bounds={"rate": "5 %"})  # type: ignore[dict-item]
    with pytest.raises(InputError, match="bounds: expected a bound for at least one statistic"):
        analysis.fidelity(a, a, bounds={})
    with pytest.raises(InputError, match="settings: expected at least one value"):
        analysis.fidelity_curve(a, {}, "dt")
    with pytest.raises(InputError, match=r"unknown statistic 'rates'"):
        analysis.fidelity(a, a, bounds={"rates": 1.0})
    with pytest.raises(InputError, match="level"):
        analysis.fidelity(a, a, level=1.0)


def test_the_experiment_writes_power_detectable_difference_and_what_it_cost(tmp_path: Path) -> None:
    values = {
        "command": "fidelity", "circuit": {"name": "izhikevich"}, "duration": "150 ms", "discard": "0 ms", "networks": 3, "dt": [],
        "methods": [], "weight_bits": [], "weight_noise": [0.5], "drive_noise": [], "delay_jitter": [], "bounds": {"rate": 0.05},
        "workers": 1,
    }  # fmt: skip
    experiment.run(values, tmp_path)
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["wall_seconds"] >= found["cpu_seconds"] * 0.5 > 0
    assert found["workers"] == 1
    row = dict(zip(found["table"]["columns"], found["table"]["rows"][0], strict=True))
    shown = {f"{s['power']:.2g}, {100 * s['detectable']:.3g} %" for s in found["settings"][0]["statistics"]}
    assert row["Power, detectable"] in shown
    assert "| Power, detectable |" in (tmp_path / "results.md").read_text()
