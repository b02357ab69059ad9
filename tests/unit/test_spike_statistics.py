"""Statistics of spikes against elephant, closed forms and scipy; the same however spikes are stored and cut into pieces."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy import sparse

import cortexsnn as cx
from cortexsnn import analysis
from cortexsnn import recording as recordings
from cortexsnn.analysis import correlation, kernels
from cortexsnn.analysis import trains as reading
from cortexsnn.analysis.trains import stable_order, trains
from cortexsnn.errors import InputError
from processes import correlated_counts, gamma_trains, recording_of, times_of
from synthetic import make_recording, poisson

elephant = pytest.importorskip("elephant", reason="the oracle of these statistics")


def spike_trains(recording: xr.DataTree) -> list[object]:
    """Neo's spike trains of population E."""
    import neo
    import quantities as pq

    stop = recording.attrs["n_steps"] * recording.attrs["dt_ms"] * pq.ms
    return [neo.SpikeTrain(t * pq.ms, t_stop=stop) for t in times_of(recording)]


# However spikes are stored ----------------------------------------------------------------------------------------


MEASURES = {
    "rates": lambda r: analysis.neuron_rates(r, "E", start_ms=20),
    "cv": lambda r: analysis.isi_cv(r, "E", min_intervals=2),
    "lv": lambda r: analysis.local_variation(r, "E", min_intervals=2),
    "intervals": lambda r: analysis.intervals(r, "E", stop_ms=250),
    "fano": lambda r: analysis.fano_factor(r, "E", 30.0, min_counts=2),
    "psth": lambda r: analysis.psth(r, "E", 7.0, per="neuron"),
    "bursts": lambda r: analysis.bursts(r, "E", 3.0).to_array(),
    "correlation": lambda r: analysis.pairwise_correlation(r, "E", 10.0, min_spikes=1),
    "synchrony": lambda r: analysis.synchrony(r, "E", 10.0),
    "spectrum": lambda r: analysis.rate_spectrum(r, "E", 100.0, bin_ms=5.0),
}


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("stored", ["pieces", "events", "lazy"])
def test_a_statistic_does_not_depend_on_how_spikes_are_stored(
    name: str, stored: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spikes = {"E": poisson((3, 300, 11), 0.15, 4)}
    spikes["E"][:, :, 2] = False
    expected = MEASURES[name](make_recording(spikes))
    trial, step, neuron = np.nonzero(spikes["E"])
    if stored != "pieces":
        monkeypatch.setattr(recordings, "DENSE_LIMIT", 0)
    found = recording_of(trial * 11 + neuron, step, 3, 11, 300, 1.0)
    assert ("spikes" in found["E"]) == (stored == "pieces")
    if stored == "lazy":
        pytest.importorskip("dask")
        found = cx.load_recording(cx.save_recording(found, tmp_path / "r.zarr"), lazy=True)
        assert found["E"]["spike_step"].chunks is not None
    monkeypatch.setattr(reading, "PIECE", 37)
    xr.testing.assert_allclose(MEASURES[name](found), expected, rtol=1e-13)  # sums of fractions in another order


@pytest.mark.parametrize("n", [50, 1 << 17, 1 << 34])
def test_stable_order_is_numpys(n: int) -> None:
    keys = np.random.default_rng(0).integers(0, n, 5000)
    keys[::3] = keys[0]
    np.testing.assert_array_equal(stable_order(keys, n), np.argsort(keys, kind="stable"))


def test_dense_view_of_event_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    dense = correlated_counts(4, 50, 0.2, 0.0, 0)
    monkeypatch.setattr(recordings, "DENSE_LIMIT", 0)
    ragged = correlated_counts(4, 50, 0.2, 0.0, 0)
    a, b = (analysis.spike_trains(r, "E", start_ms=10, stop_ms=40) for r in (dense, ragged))
    np.testing.assert_array_equal(a.values, b.values)
    np.testing.assert_array_equal(a["time"], b["time"])
    assert analysis.spiking_populations(ragged) == ("E",)


# Someone else's spikes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": [0, 9, 10]}, "every step to be an integer between 0 and 9"),
        ({"step": [0, -1, 2]}, "every step"),
        ({"step": [0.0, 1.5, 2.0]}, "every step"),
        ({"neuron": [0, 1, 2]}, "every neuron to be an integer between 0 and 1"),
        ({"trial": [0, 0, 1]}, "every trial"),
        ({"step": [3, 3, 4], "neuron": [1, 1, 0]}, "neuron 1 spikes twice in step 3 of trial 0; use a smaller dt_ms"),
        ({"step": [0, 1]}, "differ in length"),
    ],
)
def test_events_that_make_no_recording_are_refused(change: dict[str, list[float]], message: str) -> None:
    columns = {"trial": [0, 0, 0], "step": [0, 1, 2], "neuron": [0, 1, 0]} | change
    given = cx.recording.Events(**{k: np.array(v) for k, v in columns.items()})
    with pytest.raises(InputError, match=message):
        cx.recording.from_events({"E": given}, {"E": 2}, dt_ms=1.0, n_steps=10)


def test_unsorted_events_are_sorted_and_empty_ones_are_a_silent_population() -> None:
    given = cx.recording.Events(np.array([1, 0, 0]), np.array([4, 9, 2]), np.array([0, 1, 1]))
    nobody = cx.recording.Events(*(np.zeros(0, int),) * 3)
    found = cx.recording.from_events({"E": given, "I": nobody}, {"E": 2, "I": 3}, dt_ms=0.5, n_steps=10, n_trials=2)
    np.testing.assert_allclose(analysis.intervals(found, "E"), [3.5])
    assert int(analysis.neuron_rates(found, "I").sum()) == 0


@pytest.mark.parametrize("bad", [np.nan, 2, -1, 0.5])
def test_dense_numbers_that_are_no_spikes_are_refused(bad: float) -> None:
    recording = make_recording({"E": np.zeros((2, 30, 3))})
    node = recording["E"].to_dataset()
    spikes = node["spikes"].astype(float)
    spikes[1, ::5, 2] = 1
    recording["E"] = node.assign(spikes=spikes)
    assert analysis.neuron_rates(recording, "E").values[1, 2] == 200
    assert analysis.spike_trains(recording, "E").dtype == bool
    spikes[1, 20, 2] = bad
    recording["E"] = node.assign(spikes=spikes)
    for read in (analysis.neuron_rates, analysis.spike_trains):
        with pytest.raises(InputError, match=r"recording\.E\.spikes: expected bool, or 0 and 1 only, got float64"):
            read(recording, "E")


@pytest.mark.parametrize("piece", [2, 1 << 20])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": [3, 2, 5, 1, 4]}, "in order of trial and step"),
        ({"step": [2, 5, 4, 1, 4]}, "in order of trial and step"),
        ({"trial": [0, 1, 1, 0, 1]}, "in order of trial and step"),
        ({"trial": [1, 1, 0, 1, 1], "step": [1, 2, 3, 4, 5]}, "in order of trial and step"),
        ({"step": [-1, 3, 5, 1, 4]}, r"spike_step: expected integers from 0 to 9, got -1"),
        ({"step": [2, 3, 5, 1, 10]}, "spike_step: .* to 10"),
        ({"neuron": [0, 1, 0, 1, 2]}, "spike_neuron: expected integers from 0 to 1"),
        ({"neuron": [0, -1, 0, 1, 0]}, "spike_neuron"),
        ({"trial": [0, 0, 0, 1, 2]}, "spike_trial"),
        ({"step": [2.0, 3.0, 5.0, 1.0, 4.0]}, "as many integers"),
    ],
)
def test_events_of_someone_else_are_checked_while_they_are_read(
    change: dict[str, list[float]], message: str, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Node written by hand, not by from_events."""
    monkeypatch.setattr(reading, "PIECE", piece)
    right = {"trial": [0, 0, 0, 1, 1], "step": [2, 3, 5, 1, 4], "neuron": [0, 1, 0, 1, 0]}

    def by_hand(columns: dict[str, list[float]]) -> xr.DataTree:
        events = {f"spike_{name}": ("event", np.array(values)) for name, values in columns.items()}
        coords = {"time": ("step", np.arange(10.0))}
        node = xr.Dataset(events, coords, {"size": 2, "n_trials": 2, "n_steps": 10, "kind": "spiking"})
        return xr.DataTree.from_dict({"/": xr.Dataset(attrs={"dt_ms": 1.0}), "E": node})

    np.testing.assert_allclose(analysis.intervals(by_hand(right), "E"), [3.0])
    assert analysis.spike_trains(by_hand(right), "E").values.sum() == 5
    for read in (analysis.neuron_rates, analysis.intervals, analysis.spike_trains):
        with pytest.raises(InputError, match=message):
            read(by_hand({**right, **change}), "E")


# Nobody, and nobody who spikes ----------------------------------------------------------------------------------------

LABELS = np.repeat([0, 1], 6)
EVERY_STATISTIC = MEASURES | {
    "active": lambda r: analysis.active_fraction(r, "E"),
    "population rates": lambda r: analysis.population_rates(r)[["mean", "median", "std"]].to_array(),
    "psth of all": lambda r: analysis.psth(r, "E", 5.0),
    "psth by trial": lambda r: analysis.psth(r, "E", 5.0, per="trial"),
    "fano over trials": lambda r: analysis.fano_factor(r, "E", 30.0, over="trial"),
    "covariance": lambda r: analysis.pairwise_correlation(r, "E", 5.0, measure="covariance"),
    "sampled": lambda r: analysis.pairwise_correlation(r, "E", 5.0, n_pairs=2),
    "signal and noise": lambda r: analysis.signal_and_noise_correlation(r, "E", LABELS).to_array(),
    "population fano": lambda r: analysis.population_fano(r, "E", 5.0),
    "coherence": lambda r: analysis.spike_field_coherence(r, "E", "v", 100.0),
    "dimensions": lambda r: analysis.participation_ratio(r, "E", 5.0),
    "components": lambda r: analysis.principal_components(r, "E", 5.0)["n_components"],
    "activity": lambda r: analysis.activity_statistics(r),
    "distances": lambda r: analysis.distances(r, r)[["rate_ks", "isi_cv_ks", "rate_difference"]].to_array(),
    "tuning": lambda r: analysis.tuning_curves(r, "E", LABELS),
    "d prime": lambda r: analysis.d_prime(r, "E", LABELS, 0, 1),
    "roc": lambda r: analysis.roc_area(r, "E", LABELS, 0, 1),
    "plateaus": lambda r: analysis.plateaus(r, "E", "v", 0.0, 1.0)["duration"],
}
OF_SILENCE = {
    "rates", "psth", "bursts", "spectrum", "active", "population rates", "psth of all", "psth by trial", "activity", "distances",
    "tuning", "roc",
}  # fmt: skip
"""Those that have a value, such as a rate of 0, without spikes."""


@pytest.mark.parametrize("name", EVERY_STATISTIC)
@pytest.mark.parametrize("n_neurons", [0, 4])
def test_no_neurons_and_no_spikes_give_nan_or_nothing_without_a_warning(name: str, n_neurons: int) -> None:
    recording = make_recording({"E": np.zeros((12, 300, n_neurons))})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = EVERY_STATISTIC[name](recording)
    if n_neurons == 0 or name not in OF_SILENCE:
        assert np.isnan(found.values).all()
    else:
        assert not np.isnan(found.values).all()


def test_every_result_says_how_many_values_are_defined() -> None:
    recording = correlated_counts(6, 600, 0.3, 0.2, 1, n_trials=12)
    found = {
        "activity": analysis.activity_statistics(recording),
        "signal and noise": analysis.signal_and_noise_correlation(recording, "E", LABELS),
        "dimensions": analysis.participation_ratio(recording, "E", 5.0),
        "spectrum": analysis.rate_spectrum(recording, "E", 100.0),
        "coherence": analysis.spike_field_coherence(recording, "E", recording["E"]["spikes"].sum("neuron"), 100.0),
    }
    numbers = {name: result.attrs["n_defined"] for name, result in found.items()}
    signal = found["signal and noise"]["signal"].values
    both = int(
        np.isfinite(signal.diagonal()).sum()
    )  # with noise only, some estimates of a signal variance are negative
    assert numbers == {"activity": 12 * 6, "signal and noise": both, "dimensions": 1, "spectrum": 51, "coherence": 51}


def test_too_few_bins_have_no_synchrony_and_no_fano_factor() -> None:
    recording = correlated_counts(6, 90, 0.3, 0.2, 1)
    for measure in (analysis.synchrony, analysis.population_fano):
        assert np.isnan(measure(recording, "E", 10.0)).all()
        assert np.isfinite(measure(recording, "E", 9.0)).all()
        few = measure(recording, "E", 10.0, min_counts=9)
        assert np.isfinite(few).all()
        assert few.attrs["min_counts"] == 9
        with pytest.raises(InputError, match="at least 2"):
            measure(recording, "E", 10.0, min_counts=1)


# Intervals -----------------------------------------------------------------------------------------------------------


def test_cv_and_local_variation_are_elephants() -> None:
    """The same formulas in float64: equal up to rounding of sums of a few hundred intervals, 1e-12."""
    from elephant.statistics import cv, isi, lv

    recording = gamma_trains(20, 1.7, 12, 20, 1)
    intervals = [isi(t).magnitude for t in spike_trains(recording)]
    np.testing.assert_allclose(analysis.isi_cv(recording, "E")[0], [cv(i, ddof=1) for i in intervals], rtol=1e-12)
    expected = [lv(i) for i in intervals]
    np.testing.assert_allclose(analysis.local_variation(recording, "E")[0], expected, rtol=1e-12)


@pytest.mark.parametrize("shape", [0.5, 1.0, 4.0])
def test_gamma_renewal_trains_have_their_cv_and_local_variation(shape: float) -> None:
    """CV 1/sqrt(k) and LV 3/(2k + 1); 200 trains of about 1000 intervals: five standard errors of the mean over trains, and
    2 % for intervals cut by the window and the step of 0.01 ms."""
    recording = gamma_trains(20, shape, 200, 50, 2)
    for found, expected in (
        (analysis.isi_cv(recording, "E"), 1 / np.sqrt(shape)),
        (analysis.local_variation(recording, "E"), 3 / (2 * shape + 1)),
    ):
        values = found.values.ravel()
        assert abs(values.mean() - expected) < 5 * values.std() / np.sqrt(values.size) + 0.02 * expected


def test_local_variation_ignores_a_slow_change_of_rate() -> None:
    """A regular train whose interval grows from 10 to 40 steps: CV is large, LV nearly 0."""
    steps = np.cumsum(np.linspace(10, 40, 60).round().astype(int))
    recording = recording_of(np.zeros(60, int), steps, 1, 1, int(steps[-1]) + 1, 1.0)
    assert float(analysis.isi_cv(recording, "E").squeeze()) > 0.3
    assert float(analysis.local_variation(recording, "E").squeeze()) < 0.01


def test_fano_factor_is_elephants_over_trials() -> None:
    from elephant.statistics import fanofactor

    recording = gamma_trains(30, 2.0, 3, 1, 3, n_trials=20)
    found = analysis.fano_factor(recording, "E", 1000.0, over="trial")
    all_trains = spike_trains(recording)
    expected = [fanofactor(all_trains[k::3]) * 20 / 19 for k in range(3)]  # elephant divides by n
    np.testing.assert_allclose(found.squeeze(), expected, rtol=1e-12)


# Bursts and plateaus ---------------------------------------------------------------------------------------------------


def test_bursts_of_a_train_written_by_hand() -> None:
    """Steps 0 2 4 | 20 | 30 31 with intervals up to 3 merged: three events, two bursts, five of six spikes inside."""
    recording = recording_of(np.zeros(6, int), np.array([0, 2, 4, 20, 30, 31]), 1, 2, 100, 1.0)
    found = analysis.bursts(recording, "E", 3.0).isel(trial=0, neuron=0)
    assert {k: float(v) for k, v in found.data_vars.items()} == pytest.approx(
        {"event_rate": 30.0, "burst_rate": 20.0, "burst_fraction": 5 / 6, "spikes_per_burst": 2.5}
    )
    silent = analysis.bursts(recording, "E", 3.0).isel(trial=0, neuron=1)
    assert float(silent["event_rate"]) == 0
    assert np.isnan(silent["burst_fraction"])


def test_burst_fraction_of_a_poisson_process() -> None:
    """A spike is alone if no other lies within b before or after: the share in bursts is 1 - exp(-2 r b). 100 trains of 1000
    spikes: five standard errors."""
    recording = gamma_trains(20, 1.0, 100, 50, 5)
    share = analysis.bursts(recording, "E", 10.0)["burst_fraction"].values.ravel()
    assert abs(share.mean() - (1 - np.exp(-2 * 0.2))) < 5 * share.std() / 10
    events = analysis.bursts(recording, "E", 10.0)["event_rate"].values.ravel()
    assert abs(events.mean() - 20 * np.exp(-0.2)) < 5 * events.std() / 10


def test_plateaus_written_by_hand() -> None:
    v = np.full((1, 100, 2), -70.0)
    v[0, :5, 0] = v[0, 20:50, 0] = v[0, 60:64, 0] = v[0, 90:, 0] = -20
    recording = make_recording({"E": np.zeros((1, 100, 2))})
    recording["E"] = recording["E"].to_dataset().assign(v=(("trial", "step", "neuron"), v))
    found = analysis.plateaus(recording, "E", "v", -30.0, 10.0).isel(trial=0)
    np.testing.assert_allclose(found["rate"], [20, 0])  # the one that begins before the window is left out
    np.testing.assert_allclose(found["duration"], [30, np.nan])  # and of the last the end is not seen
    np.testing.assert_allclose(found["time_fraction"], [0.45, 0])


def test_plateaus_do_not_depend_on_blocks_and_their_window_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    v = np.random.default_rng(0).normal(size=(3, 120, 4)).cumsum(axis=1)
    recording = make_recording({"E": np.zeros(v.shape)})
    recording["E"] = recording["E"].to_dataset().assign(v=(("trial", "step", "neuron"), v))
    whole = analysis.plateaus(recording, "E", "v", 0.5, 2.0, start_ms=10)
    assert whole.attrs["n_defined"] > 6
    for size in (1, 37, 4 * 55):
        monkeypatch.setattr(importlib.import_module("cortexsnn.analysis.bursts"), "PIECE", size)
        xr.testing.assert_identical(analysis.plateaus(recording, "E", "v", 0.5, 2.0, start_ms=10), whole)
    for start, stop in ((-20, None), (0, 121), (30, 30), (50, 40)):
        with pytest.raises(InputError, match=r"recording\.E: the window of steps .* is empty or leaves"):
            analysis.plateaus(recording, "E", "v", 0.5, 2.0, start_ms=start, stop_ms=stop)


# Correlation -----------------------------------------------------------------------------------------------------------


def test_correlation_and_covariance_are_elephants() -> None:
    import quantities as pq
    from elephant.conversion import BinnedSpikeTrain
    from elephant.spike_train_correlation import correlation_coefficient, covariance

    recording = gamma_trains(20, 1.0, 15, 20, 6)
    binned = BinnedSpikeTrain(spike_trains(recording), bin_size=5 * pq.ms)
    for measure, oracle in (("correlation", correlation_coefficient), ("covariance", covariance)):
        found = analysis.pairwise_correlation(recording, "E", 5.0, measure=measure)  # type: ignore[arg-type]
        np.testing.assert_allclose(found, oracle(binned), atol=1e-12)
        assert found.attrs["units"] == {"correlation": "1", "covariance": "spikes**2"}[measure]


@pytest.mark.parametrize("p", [0.05, 0.5])
def test_dense_and_sparse_products_are_numpys(p: float) -> None:
    recording = correlated_counts(9, 400, p, 0.3, 7, n_trials=2)
    counts = recording["E"]["spikes"].values.reshape(-1, 9).astype(float)
    found = analysis.pairwise_correlation(recording, "E", 1.0)
    np.testing.assert_allclose(found, np.corrcoef(counts.T), atol=1e-12)


def test_correlated_trains_have_their_correlation() -> None:
    """Mean over 1225 pairs, 20 seeds give the standard error; five of them."""
    means = [
        analysis.mean_correlation(analysis.pairwise_correlation(correlated_counts(50, 2000, 0.1, 0.2, s), "E", 1.0))
        for s in range(20)
    ]
    assert abs(np.mean(means) - 0.2) < 5 * np.std(means, ddof=1) / np.sqrt(20)
    assert np.std(means, ddof=1) < 0.02


def test_sampled_pairs_are_those_of_the_matrix() -> None:
    recording = correlated_counts(40, 1000, 0.1, 0.2, 8)
    matrix = analysis.pairwise_correlation(recording, "E", 2.0).values
    sampled = analysis.pairwise_correlation(recording, "E", 2.0, n_pairs=300)
    assert sampled.dims == ("pair",)
    a, b = sampled["neuron"].values, sampled["neuron_b"].values
    assert (a < b).all()
    assert len({*zip(a.tolist(), b.tolist(), strict=True)}) == 300
    np.testing.assert_allclose(sampled, matrix[a, b], atol=1e-12)
    for n_pairs in (0, -1):
        with pytest.raises(InputError, match=f"n_pairs: expected at least 1 pair, got {n_pairs}"):
            analysis.pairwise_correlation(recording, "E", 2.0, n_pairs=n_pairs)
    every = analysis.pairwise_correlation(recording, "E", 2.0, n_pairs=10_000)
    assert every.size == 780
    assert analysis.mean_correlation(every) == pytest.approx(analysis.mean_correlation(xr.DataArray(matrix)))


def test_silent_and_rare_neurons_have_no_correlation_and_give_no_warning() -> None:
    recording = recording_of(np.array([0] * 20 + [1]), np.append(np.arange(20) * 3, 5), 1, 3, 100, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = analysis.pairwise_correlation(recording, "E", 10.0)
        assert np.isnan(analysis.mean_correlation(found))
    assert found.attrs["n_defined"] == 1
    assert np.isfinite(found.values).sum() == 1


def test_signal_and_noise_correlation_are_told_apart() -> None:
    """Counts = signal of 8 stimuli (correlation 1 or -1) + noise shared by the first two neurons (correlation 0.5).

    2000 trials: the standard error of the noise correlation is about 0.02, that of the signal below 0.05; five of them.
    """
    random = np.random.default_rng(9)
    stimulus = np.repeat(np.arange(8), 250)
    tuning = np.linspace(4, 20, 8)
    rates = np.stack([tuning, 24 - tuning, tuning], axis=1)[stimulus]
    common = random.poisson(12, stimulus.size)
    counts = np.stack(
        [random.poisson(rates[:, 0]) + common, random.poisson(rates[:, 1]) + common, random.poisson(rates[:, 2])],
        axis=1,
    )
    trial, step, neuron = np.nonzero(np.arange(100)[None, :, None] < counts[:, None, :])
    recording = recording_of(trial * 3 + neuron, step, 2000, 3, 100, 1.0)
    found = analysis.signal_and_noise_correlation(recording, "E", stimulus)
    assert float(found["signal"][0, 1]) == pytest.approx(-1, abs=0.05)
    assert float(found["signal"][0, 2]) == pytest.approx(1, abs=0.05)
    assert float(found["noise"][0, 1]) == pytest.approx(0.5, abs=0.1)
    assert float(found["noise"][0, 2]) == pytest.approx(0, abs=0.1)
    with pytest.raises(InputError, match="1 labels are NaN"):
        analysis.signal_and_noise_correlation(recording, "E", np.append(stimulus[:-1].astype(float), np.nan))
    with pytest.raises(InputError, match="at least 2 stimuli of 4 trials each"):
        analysis.signal_and_noise_correlation(recording, "E", np.append(stimulus[:-1], 99))


# Spectra, synchrony ------------------------------------------------------------------------------------------------------


def test_spectrum_of_poisson_neurons_is_flat_at_twice_the_rate() -> None:
    """2 r/N = 4 per neuron of 20 Hz in a population of 10; 400 half-overlapping segments, 23 frequencies: about 2 %."""
    recording = gamma_trains(20, 1.0, 10, 100, 10, dt_ms=0.1)
    power = analysis.rate_spectrum(recording, "E", 500.0, bin_ms=10.0)
    assert float(power[1:-1].mean()) == pytest.approx(4.0, rel=0.1)
    assert float(power[1:-1].std()) < 1.0
    assert power.attrs["n_segments"] == 399
    assert float(power["frequency"][1]) == 2.0


def test_coherence_finds_the_common_rhythm_and_only_it() -> None:
    random = np.random.default_rng(11)
    time = np.arange(20_000) / 1000
    rhythm = np.sin(2 * np.pi * 25 * time)
    spikes = random.random((2, 20_000, 30)) < 0.02 * (1 + 0.8 * rhythm)[None, :, None]
    field = xr.DataArray(rhythm + random.normal(size=(2, 20_000)), dims=("trial", "step"))
    recording = make_recording({"E": spikes})
    found = analysis.spike_field_coherence(recording, "E", field, 400.0)
    at = found.sel(frequency=25.0)
    assert float(at) > 0.9
    elsewhere = found.where(abs(found["frequency"] - 25) > 8, drop=True)
    # Unrelated: 1/n of n independent segments, and a Hann window makes about 0.95 of the half-overlapping ones count.
    assert float(elsewhere.mean()) == pytest.approx(1 / found.attrs["n_segments"], rel=0.5)
    flat = analysis.spike_field_coherence(recording, "E", xr.zeros_like(field), 400.0)
    assert np.isnan(flat).all()
    with pytest.raises(InputError, match="dimensions trial and step"):
        analysis.spike_field_coherence(recording, "E", field.rename(step="time"), 400.0)


def test_coherence_is_scipys_for_one_trial() -> None:
    from scipy import signal

    random = np.random.default_rng(12)
    spikes = random.random((1, 4000, 5)) < 0.1
    field = random.normal(size=(1, 4000)) + spikes.mean(axis=2)
    found = analysis.spike_field_coherence(
        make_recording({"E": spikes}), "E", xr.DataArray(field, dims=("trial", "step")), 256.0
    )
    _, expected = signal.coherence(spikes[0].mean(axis=1) * 1000, field[0], fs=1000, nperseg=256)
    np.testing.assert_allclose(found[1:], expected[1:], rtol=1e-10)


def test_synchrony_of_identical_and_of_independent_trains() -> None:
    """Independent: 1/sqrt(N) = 0.1; 5000 bins: relative standard error of a variance is 2 %, of chi 1 %; five of them."""
    one = poisson((1, 5000, 1), 0.2, 13)
    same = make_recording({"E": np.repeat(one, 100, axis=2)})
    assert float(analysis.synchrony(same, "E", 1.0)[0]) == pytest.approx(1.0, rel=1e-12)
    apart = analysis.synchrony(make_recording({"E": poisson((2, 5000, 100), 0.2, 14)}), "E", 1.0)
    np.testing.assert_allclose(apart, 0.1, rtol=0.05)
    assert apart.attrs["independent"] == pytest.approx(0.1)
    assert np.isnan(analysis.synchrony(make_recording({"E": np.zeros((1, 20, 3))}), "E", 1.0)).all()


def test_population_fano_of_bernoulli_neurons() -> None:
    """Binomial: 1 - p = 0.8; identical trains: N (1 - p) = 80. 5000 bins: 2 % standard error; five of them."""
    apart = analysis.population_fano(make_recording({"E": poisson((1, 5000, 100), 0.2, 15)}), "E", 1.0)
    assert float(apart[0]) == pytest.approx(0.8, rel=0.1)
    same = make_recording({"E": np.repeat(poisson((1, 5000, 1), 0.2, 16), 100, axis=2)})
    assert float(analysis.population_fano(same, "E", 1.0)[0]) == pytest.approx(80, rel=0.1)


@pytest.mark.parametrize("value", [0.3, -65.1])
def test_a_constant_field_has_no_coherence(value: float) -> None:
    """Around its mean a constant is a residue of rounding, with any spectrum."""
    recording = make_recording({"E": poisson((2, 1000, 7), 0.1, 3)})
    field = xr.DataArray(np.full((2, 1000), value), dims=("trial", "step"))
    every = make_recording({"E": np.ones((2, 1000, 7))})
    for bin_ms in (1.0, 3.0):
        assert np.isnan(analysis.spike_field_coherence(recording, "E", field, 90.0, bin_ms=bin_ms)).all()
        assert np.isnan(analysis.spike_field_coherence(every, "E", "v", 90.0, bin_ms=bin_ms)).all()


def test_one_segment_has_no_coherence() -> None:
    recording = make_recording({"E": poisson((1, 150, 7), 0.1, 3)})
    one = analysis.spike_field_coherence(recording, "E", "v", 150.0)
    assert np.isnan(one).all()
    assert (one.attrs["n_segments"], one.attrs["min_segments"], one.attrs["n_defined"]) == (1, 2, 0)
    assert np.isfinite(analysis.spike_field_coherence(recording, "E", "v", 100.0)).all()
    assert np.isnan(analysis.spike_field_coherence(recording, "E", "v", 100.0, min_segments=3)).all()
    with pytest.raises(InputError, match="at least 2"):
        analysis.spike_field_coherence(recording, "E", "v", 100.0, min_segments=1)


# Balance -----------------------------------------------------------------------------------------------------------------


def test_balance_finds_ratio_and_lag() -> None:
    """Inhibition = 0.8 of excitation, 3 ms later."""
    random = np.random.default_rng(17)
    e = random.gamma(2.0, 1.0, (1, 2000, 2))
    i = -0.8 * np.roll(e, 6, axis=1)
    i[:, :6] = -1.6
    pair = [xr.DataArray(c, dims=("trial", "step", "neuron"), attrs={"units": "pA"}) for c in (e, i)]
    found = analysis.ei_balance(*pair, dt_ms=0.5, max_lag_ms=10.0)
    np.testing.assert_allclose(found["lag"], 3.0)
    np.testing.assert_allclose(found["correlation"], 1.0, atol=0.02)
    np.testing.assert_allclose(found["ratio"], 0.8, atol=0.01)
    cancel = analysis.ei_balance(pair[0], -pair[0].assign_attrs(units="pA"), dt_ms=0.5)
    assert float(cancel["residual"].max()) == 0.0


def test_current_of_a_conductance_has_its_unit_and_refuses_another() -> None:
    recording = make_recording({"E": np.zeros((1, 10, 2))})
    g = xr.DataArray(np.full((1, 10, 2), 2.0), dims=("trial", "step", "neuron"), attrs={"units": "nS"})
    recording["E"] = recording["E"].to_dataset().assign(g=g)
    found = analysis.synaptic_current(recording, "E", "g", 0.0)
    np.testing.assert_allclose(found, -2 * recording["E"]["v"])
    assert found.attrs["units"] == "pA"
    with pytest.raises(InputError, match="expected 'distance' in nS"):
        analysis.synaptic_current(recording, "E", "distance", 0.0)


def test_constant_currents_have_no_lag_and_give_no_warning() -> None:
    flat = xr.DataArray(np.ones((1, 100, 1)), dims=("trial", "step", "neuron"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = analysis.ei_balance(flat, -flat, dt_ms=1.0)
    assert np.isnan(found["lag"]).all()
    assert float(found["ratio"].squeeze()) == 1.0
    with pytest.raises(InputError, match="NaN or infinity"):
        analysis.ei_balance(flat * np.nan, flat, dt_ms=1.0)


@pytest.mark.parametrize("constant", ["E", "I"])
def test_rounding_of_a_constant_current_is_no_correlation(constant: str) -> None:
    dims = ("trial", "step", "neuron")
    flat = xr.DataArray(np.full((1, 1001, 2), 0.3), dims=dims)
    moving = xr.DataArray(np.random.default_rng(0).normal(size=(1, 1001, 2)), dims=dims)
    pair = (flat, moving) if constant == "E" else (moving, flat)
    for e, i in (pair, (flat, -flat)):
        found = analysis.ei_balance(e, i, dt_ms=1.0)
        assert np.isnan(found["correlation"]).all()
        assert np.isnan(found["lag"]).all()
        assert found.attrs["n_defined"] == 0
    assert np.isfinite(analysis.ei_balance(moving, moving, dt_ms=1.0)["lag"]).all()
    np.testing.assert_allclose(analysis.ei_balance(flat, flat, dt_ms=1.0)["ratio"], -1)  # both of one sign
    for dt in (0, -1.0):
        with pytest.raises(InputError, match="dt above 0 ms"):
            analysis.ei_balance(moving, moving, dt_ms=dt)


def test_windows_are_those_of_trains() -> None:
    recording = correlated_counts(3, 100, 0.3, 0.0, 18)
    found = trains(recording, "E", start_ms=10, stop_ms=60)
    assert (found.n_steps, found.n_trains, found.seconds) == (50, 3, 0.05)
    with pytest.raises(InputError, match="finite multiple"):
        trains(recording, "E", start_ms=float("nan"))
    with pytest.raises(InputError, match=r"start_ms: expected a number in ms .*got '1 ms'"):
        trains(recording, "E", start_ms="1 ms")  # type: ignore[arg-type]


def test_one_node_is_no_recording() -> None:
    node = correlated_counts(3, 100, 0.3, 0.0, 18)["E"].to_dataset()
    for read in (
        lambda r: analysis.neuron_rates(r, "E"), analysis.activity_statistics, analysis.spiking_populations,
        lambda r: analysis.plateaus(r, "E", "v", 0, 1), lambda r: analysis.synaptic_current(r, "E", "g", 0.0),
    ):  # fmt: skip
        with pytest.raises(InputError, match=r"expected an xarray\.DataTree.*got Dataset"):
            read(node)


KERNELS = (kernels.interval_sums, kernels.bin_counts, kernels.shared_counts, kernels.shared_bits)


@pytest.fixture
def without_numba(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Calling it forgets the compiled loops."""

    def forget() -> None:
        monkeypatch.setattr(kernels, "_compiled", lambda function: None)
        for kernel in KERNELS:
            kernel.cache_clear()
        assert all(kernel() is None for kernel in KERNELS)

    yield forget
    for kernel in KERNELS:
        kernel.cache_clear()


@pytest.mark.parametrize("name", ["cv", "correlation", "fano"])
def test_compiled_loops_are_the_array_operations(
    name: str, without_numba: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums of integers are exact in either order: not a bit may differ."""
    pytest.importorskip("numba")
    recording = gamma_trains(20, 1.3, 12, 20, 19, n_trials=2)
    monkeypatch.setattr(reading, "PIECE", 501)
    compiled = MEASURES[name](recording)
    without_numba()
    xr.testing.assert_equal(MEASURES[name](recording), compiled)


@pytest.mark.parametrize(("chance", "bits"), [(0.01, False), (0.07, True), (0.15, True), (0.4, None)])
def test_every_way_to_multiply_counts_gives_the_same(chance: float, bits: bool | None) -> None:
    """Entries of 1 and above, rows beyond a block of bits and not a multiple of 64; against a dense product, exactly."""
    pytest.importorskip("numba")
    random = np.random.default_rng(5)
    dense = random.binomial(3, chance / 3, (16_500, 11))
    share = np.count_nonzero(dense) / dense.size
    assert dense.max() > 1
    assert bits is None or (share <= correlation._DENSE_SHARE and (share > correlation._BITS_SHARE) == bits)
    assert (correlation._products(sparse.csr_array(dense)) == dense.T @ dense).all()
