"""Spike times become recordings and recordings become Neo, pandas and NWB, bit for bit and back."""

from __future__ import annotations

import datetime
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from cortexsnn import analysis, recording
from cortexsnn.analysis import tables
from cortexsnn.analysis.neo_exchange import from_neo, read_neo, to_neo
from cortexsnn.analysis.nwb_exchange import from_nwb, to_nwb
from cortexsnn.analysis.spike_files import read_spikes
from cortexsnn.analysis.spike_times import bins, from_times
from cortexsnn.analysis.tables import from_pandas, to_pandas
from cortexsnn.errors import CheckpointError, InputError
from synthetic import make_recording, poisson

DT = 0.1


@pytest.fixture(params=["dense", "events"])
def simulated(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> xr.DataTree:
    """Two populations, two trials, silent neurons (the first and the last of E), spikes in the first and last step."""
    if request.param == "events":
        monkeypatch.setattr(recording, "DENSE_LIMIT", 0)
    found = {}
    for name, size, seed in (("E", 30, 1), ("I", 8, 2)):
        spikes = poisson((2, 3000, size), 0.03, seed)
        spikes[:, :, 0] = spikes[:, :, -1] = name == "I"
        spikes[:, [0, -1], 3] = True
        found[name] = recording.Events.from_dense(spikes)
    return recording.from_events(
        found, {"E": 30, "I": 8}, dt_ms=DT, n_steps=3000, n_trials=2,
        transmitters={"E": "excitatory", "I": "inhibitory"}, engine="numpy", seed=7,
    )  # fmt: skip


def assert_same_spikes(a: xr.DataTree, b: xr.DataTree) -> None:
    assert list(a.children) == list(b.children)
    for key in ("dt_ms", "n_steps", "n_trials"):
        assert a.attrs[key] == b.attrs[key]
    for name, node in a.children.items():
        one, other = recording.events(node), recording.events(b[name])
        assert one is not None
        assert other is not None
        for axis in ("trial", "step", "neuron"):
            np.testing.assert_array_equal(getattr(one, axis), getattr(other, axis))
        for key in ("size", "transmitter", "n_trials", "n_steps"):
            assert node.attrs[key] == b[name].attrs[key]
        np.testing.assert_array_equal(node["time"], b[name]["time"])
        assert set(node.data_vars) == set(b[name].data_vars)


# There and back ---------------------------------------------------------------------------------------------


def test_pandas_round_trip_is_exact(simulated: xr.DataTree) -> None:
    table = to_pandas(simulated)
    assert list(table.columns) == ["population", "trial", "neuron", "time_ms"]
    assert len(table) == recording.count_spikes(simulated)
    assert_same_spikes(simulated, from_pandas(table.sample(frac=1, random_state=0)))


def test_neo_round_trip_is_exact(simulated: xr.DataTree) -> None:
    pytest.importorskip("neo")
    block = to_neo(simulated)
    assert [len(s.spiketrains) for s in block.segments] == [38, 38]
    train = block.segments[1].spiketrains[33]
    assert {k: train.annotations[k] for k in ("population", "neuron", "transmitter")} == {
        "population": "I", "neuron": 3, "transmitter": "inhibitory",
    }  # fmt: skip
    assert float(train.t_start.rescale("ms")) == 0
    assert float(train.t_stop.rescale("ms")) == 3000 * DT
    assert_same_spikes(simulated, from_neo(block))
    assert_same_spikes(simulated, from_neo(block.segments, dt_ms=DT))


def test_nwb_round_trip_is_exact(simulated: xr.DataTree, tmp_path: Path) -> None:
    pytest.importorskip("pynwb")
    path = to_nwb(simulated, tmp_path / "run.nwb", gap_ms=70.3)
    assert [p.name for p in tmp_path.iterdir()] == ["run.nwb"]
    read = from_nwb(path)
    assert_same_spikes(simulated, read)
    assert read.attrs["n_outside"] == 0
    assert_same_spikes(simulated, read_spikes(path))


def test_nwb_file_says_what_others_need(simulated: xr.DataTree, tmp_path: Path) -> None:
    pynwb = pytest.importorskip("pynwb")
    start = datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC)
    path = to_nwb(simulated, tmp_path / "run.nwb", session_start=start, identifier="x")
    with pynwb.NWBHDF5IO(str(path), "r") as source:
        file = source.read()
        assert (file.identifier, file.session_start_time) == ("x", start)
        assert '"seed": 7' in file.notes
        units = file.units.to_dataframe()
        np.testing.assert_allclose(file.trials["start_time"][:], [0, 1.3])
        np.testing.assert_allclose(file.trials["stop_time"][:], [0.3, 1.6])
    assert len(units) == 38
    assert units["spike_times"][0].size == 0
    np.testing.assert_allclose(units["obs_intervals"][37], [[0, 0.3], [1.3, 1.6]])
    dense = recording.events(simulated["E"])
    assert dense is not None
    steps = dense.step[(dense.neuron == 3) & (dense.trial == 1)]
    times = units["spike_times"][3]
    np.testing.assert_allclose(times[times > 1], 1.3 + steps * DT / 1000, rtol=1e-14)


def test_nwb_files_are_valid(simulated: xr.DataTree, tmp_path: Path) -> None:
    pynwb = pytest.importorskip("pynwb")
    path = to_nwb(simulated, tmp_path / "run.nwb")
    with pynwb.NWBHDF5IO(str(path), "r") as source:
        assert pynwb.validate(io=source) == []


def test_nwb_replaces_nothing_unasked_and_leaves_no_rest(simulated: xr.DataTree, tmp_path: Path) -> None:
    pytest.importorskip("pynwb")
    path = tmp_path / "run.nwb"
    path.write_text("mine")
    with pytest.raises(CheckpointError, match="is there already"):
        to_nwb(simulated, path)
    assert path.read_text() == "mine"
    to_nwb(simulated, path, replace=True)
    assert_same_spikes(simulated, from_nwb(path))
    with pytest.raises(CheckpointError, match="cannot be written"):
        to_nwb(simulated, tmp_path / "no" / "run.nwb")
    with pytest.raises(InputError, match="gap_ms"):
        to_nwb(simulated, tmp_path / "b.nwb", gap_ms=-1)
    assert [p.name for p in tmp_path.iterdir()] == ["run.nwb"]


@pytest.mark.parametrize("dt", [0.1, 0.025, 1 / 30, 0.7])
def test_every_step_of_a_long_recording_comes_back(dt: float, tmp_path: Path) -> None:
    """Steps up to 2**31 - 3 in ms, us and s: written as step * dt, each must be read as itself."""
    steps = np.unique(np.random.default_rng(0).integers(0, 2**31 - 3, 200_000))
    for ms in (steps * dt, steps * dt / 1000 * 1000, steps * dt * 1000 / 1000):
        np.testing.assert_array_equal(bins(ms, 0.0, dt, "x"), steps)
    start = 12345.6
    few = np.arange(100_000)
    np.testing.assert_array_equal(bins(few * dt + start, start, dt, "x"), few)


def test_states_become_analog_signals_with_their_units() -> None:
    pytest.importorskip("neo")
    given = make_recording({"E": poisson((2, 50, 4), 0.1, 0)}, dt_ms=0.5)
    node = given["E"].to_dataset()
    node["odd"] = (("trial", "step", "neuron"), node["v"].values, {"units": "nS*mV**3"})
    given["E"] = xr.DataTree(node)
    block = to_neo(given)
    signals = {s.annotations["variable"]: s for s in block.segments[1].analogsignals}
    assert set(signals) == {"v", "distance"}
    assert signals["v"].units.dimensionality.string == "mV"
    assert float(signals["v"].sampling_period.rescale("ms")) == 0.5
    np.testing.assert_array_equal(signals["v"].magnitude, given["E"]["v"].values[1])
    assert block.annotations["left_out"] == "E.odd [nS*mV**3]"
    assert not to_neo(given, states=False).segments[0].analogsignals


# Elephant ---------------------------------------------------------------------------------------------------


def test_elephant_finds_the_same_rates_and_cvs(simulated: xr.DataTree) -> None:
    """The same sums in another order: relative 1e-12. Elephant's CV has n in the denominator, ours n - 1."""
    pytest.importorskip("neo")
    statistics = pytest.importorskip("elephant.statistics")
    block = to_neo(simulated)
    for name, first, size in (("E", 0, 30), ("I", 30, 8)):
        rates = analysis.neuron_rates(simulated, name).values
        cvs = analysis.isi_cv(simulated, name, min_intervals=10).values
        assert np.isfinite(cvs).sum() > 10
        for trial, segment in enumerate(block.segments):
            for neuron, train in enumerate(segment.spiketrains[first : first + size]):
                rate = float(statistics.mean_firing_rate(train).rescale("Hz"))
                assert rate == pytest.approx(rates[trial, neuron], rel=1e-12)
                if np.isfinite(cvs[trial, neuron]) and cvs[trial, neuron] > 0:
                    isi = statistics.isi(train)
                    theirs = float(statistics.cv(isi)) * np.sqrt(isi.size / (isi.size - 1))
                    assert theirs == pytest.approx(cvs[trial, neuron], rel=1e-12)


# Spike times ------------------------------------------------------------------------------------------------


def test_times_on_the_grid_are_on_it() -> None:
    """0.3 / 0.1 < 3 and 0.7 / 0.1 < 7 in binary; a plain floor gives 2 and 6."""
    assert np.floor(0.3 / 0.1) == 2
    np.testing.assert_array_equal(bins(np.array([0.0, 0.3, 0.7, 0.39, 0.2999]), 0.0, 0.1, "x"), [0, 3, 7, 3, 2])
    np.testing.assert_array_equal(bins(np.array([-0.1, -0.05, 1e-9]), 0.0, 0.1, "x"), [-1, -1, 0])
    single = (np.arange(5000) * 0.1).astype(np.float32)
    np.testing.assert_array_equal(bins(single, 0.0, 0.1, "x"), np.arange(5000))
    with pytest.raises(InputError, match=r"float32 spike times .* coarser"):
        bins(np.array([3e6], dtype=np.float32), 0.0, 0.1, "x")


def test_tuples_lists_and_lists_per_trial_say_the_same() -> None:
    by_trial = [[[0.3, 0.1], [], [2.0]], [[], [], [0.5]]]
    columns = ([2.0, 0.3, 0.5, 0.1], [2, 0, 2, 0], [0, 0, 1, 0])
    a = from_times({"E": by_trial}, dt_ms=0.1, duration_ms=3)
    b = from_times({"E": columns}, dt_ms=0.1, duration_ms=3, neurons={"E": 3})
    assert_same_spikes(a, b)
    found = recording.events(a["E"])
    assert found is not None
    assert [c.tolist() for c in (found.trial, found.step, found.neuron)] == [[0, 0, 0, 1], [1, 3, 20, 5], [0, 0, 2, 2]]
    one = from_times({"E": [np.array([0.3]), []]}, dt_ms=0.1)
    assert (one.attrs["n_trials"], one.attrs["n_steps"], one["E"].attrs["size"]) == (1, 4, 2)
    assert from_times({"E": [np.array([], dtype=float)] * 4}, dt_ms=0.1, duration_ms=1)["E"].attrs["size"] == 4


def test_names_of_neurons_and_trials_are_kept(tmp_path: Path) -> None:
    spikes = {"E": ([1.0, 2.0, 2.0], ["b", "a", "b"], [11, 12, 12]), "I": ([0.5], [907], [11])}
    found = from_times(
        spikes, dt_ms=0.5, duration_ms=5, neurons={"E": ["b", "silent", "a"]}, start_ms=0.5, subject="M3"
    )
    assert found["E"]["neuron_id"].values.tolist() == ["b", "silent", "a"]
    assert found["E"]["trial_id"].values.tolist() == [11, 12]
    np.testing.assert_array_equal(analysis.neuron_rates(found, "E") * 0.005, [[1, 0, 0], [1, 0, 1]])
    np.testing.assert_array_equal(np.argwhere(found["E"]["spikes"].values), [[0, 1, 0], [1, 3, 0], [1, 3, 2]])
    assert (found.attrs["start_ms"], found.attrs["subject"]) == (0.5, "M3")
    again = recording.load_recording(recording.save_recording(found, tmp_path / "r.zarr"))
    assert again["E"]["neuron_id"].values.tolist() == ["b", "silent", "a"]
    for back in (from_pandas(to_pandas(found)), _through_neo(found), _through_nwb(found, tmp_path)):
        assert_same_spikes(found, back)
        assert back["E"]["neuron_id"].values.tolist() == ["b", "silent", "a"]
        assert back["E"]["trial_id"].values.tolist() == [11, 12]
        assert back["I"]["neuron_id"].values.tolist() == [907]


def _away(found: xr.DataTree, folder: Path) -> dict[str, xr.DataTree]:
    return {
        "pandas": from_pandas(to_pandas(found)), "neo": _through_neo(found), "nwb": _through_nwb(found, folder),
    }  # fmt: skip


@pytest.mark.parametrize("start", [-5.0, 0.0, 3_600_000.3])
def test_start_and_attributes_come_back(start: float, tmp_path: Path) -> None:
    spikes = {"E": (start + np.array([0.0, 0.3, 4.9]), ["b", "a", "b"], [3, 7, 7]), "I": ([start + 0.7], [7], [3])}
    found = from_times(
        spikes, dt_ms=0.1, duration_ms=5, start_ms=start, trials=[3, 7], neurons={"E": ["a", "b", "c"], "I": [7]},
        subject="M3", age_days=np.int64(90), depth_mm=1.5, awake=True,
    )  # fmt: skip
    for name, back in _away(found, tmp_path).items():
        assert_same_spikes(found, back)
        for node in ("E", "I"):
            assert back[node]["neuron_id"].values.tolist() == found[node]["neuron_id"].values.tolist(), name
            assert back[node]["trial_id"].values.tolist() == [3, 7], name
        assert {k: v for k, v in back.attrs.items() if k != "n_outside"} == found.attrs, name
        assert type(back.attrs["awake"]) is bool, name


def test_exported_times_are_those_of_the_data(tmp_path: Path) -> None:
    """A spike 0.3 ms into a recording that begins at -5 ms is at -4.7 ms; NWB begins at 0, or at a start above."""
    found = from_times({"E": ([-4.7], [1])}, dt_ms=0.1, duration_ms=2, start_ms=-5.0, subject="M3")
    node = found["E"].to_dataset()
    node["v"] = (("trial", "step", "neuron"), np.zeros((1, 20, 1)), {"units": "mV"})
    found["E"] = xr.DataTree(node)
    assert to_pandas(found)["time_ms"].tolist() == [pytest.approx(-4.7)]
    assert from_pandas(to_pandas(found), start_ms=-6.0, duration_ms=3.0, subject="M4").attrs["subject"] == "M4"
    pytest.importorskip("neo")
    segment = to_neo(found).segments[0]
    train = segment.spiketrains[0].rescale("ms")
    assert [float(t) for t in (train.t_start, train[0], train.t_stop)] == pytest.approx([-5.0, -4.7, -3.0])
    assert float(segment.analogsignals[0].t_start.rescale("ms")) == -5.0
    assert from_neo([segment], dt_ms=0.1).attrs["start_ms"] == -5.0
    assert "trial" not in from_neo(segment, dt_ms=0.1).attrs
    assert to_neo(found).annotations["subject"] == "M3"
    pynwb = pytest.importorskip("pynwb")
    for start, first in ((-5.0, 0.0), (60_000.0, 60.0)):
        found = from_times({"E": ([start + 0.3], [1])}, dt_ms=0.1, duration_ms=2, start_ms=start, subject="M3")
        path = to_nwb(found, tmp_path / f"{first}.nwb")
        with pynwb.NWBHDF5IO(str(path), "r") as source:
            file = source.read()
            assert pynwb.validate(io=source) == []
            assert file.subject.subject_id == "M3"
            np.testing.assert_allclose(file.trials["start_time"][:], first)
            np.testing.assert_allclose(file.units["spike_times"].target[:], first + 0.0003, rtol=1e-14)
            np.testing.assert_allclose(file.units["obs_intervals"].target[:], [[first, first + 0.002]])
        assert from_nwb(path, start_ms=0.1, duration_ms=1.0).attrs["start_ms"] == pytest.approx(start + 0.1)
        assert from_nwb(path, by_trial=False, start_ms=first * 1000).attrs["start_ms"] == first * 1000


def test_attributes_without_a_place_are_named(tmp_path: Path) -> None:
    pynwb = pytest.importorskip("pynwb")
    pytest.importorskip("neo")
    found = from_times({"E": ([1.0], [1])}, dt_ms=0.1, electrodes=[1, 2], subject="M3")
    assert to_pandas(found).attrs[tables.ATTRS]["left_out"] == "attribute electrodes"
    assert to_neo(found).annotations["left_out"] == "attribute electrodes"
    with pynwb.NWBHDF5IO(str(to_nwb(found, tmp_path / "a.nwb")), "r") as source:
        assert '"left_out": "attribute electrodes"' in source.read().notes
    for name, back in _away(found, tmp_path).items():
        assert back.attrs["subject"] == "M3", name
        assert not {"left_out", "electrodes"} & set(back.attrs), name


@pytest.mark.parametrize("how", ["pandas", "neo", "nwb"])
def test_a_population_without_neurons_is_refused(how: str, tmp_path: Path) -> None:
    pytest.importorskip({"pandas": "pandas", "neo": "neo", "nwb": "pynwb"}[how])
    none = recording.Events(*(np.zeros(0, dtype=np.int64) for _ in range(3)))
    found = recording.from_events({"E": none, "I": none}, {"E": 0, "I": 2}, dt_ms=1.0, n_steps=5, n_trials=2)
    export: Callable[..., Any] = {
        "pandas": to_pandas, "neo": to_neo, "nwb": lambda r, p=None: to_nwb(r, tmp_path / "a.nwb", p),
    }[how]  # fmt: skip
    with pytest.raises(InputError, match=r"populations: .*got none in E; leave it out with populations=\['I'\]"):
        export(found)
    export(found, ["I"])


def _through_neo(found: xr.DataTree) -> xr.DataTree:
    pytest.importorskip("neo")
    return from_neo(to_neo(found))


def _through_nwb(found: xr.DataTree, folder: Path) -> xr.DataTree:
    pytest.importorskip("pynwb")
    return from_nwb(to_nwb(found, folder / "named.nwb"))


def test_duration_is_that_of_the_last_spike_of_all() -> None:
    found = from_times({"E": ([0.31], [0]), "I": ([1.2], [0])}, dt_ms=0.1)
    assert found.attrs["n_steps"] == 13
    np.testing.assert_allclose(analysis.neuron_rates(found, "E"), 1 / 0.0013)


@pytest.mark.parametrize(
    ("spikes", "options", "message"),
    [
        ({}, {}, "name at least one"),
        ({"E": ([], [])}, {}, "E: no neurons"),
        ({"E": []}, {}, "E: no neurons"),
        ({"E": [[], []]}, {}, "duration_ms: no population has a spike"),
        ({"E": ([-0.1], [0])}, {}, r"E: 1 spikes before the start.*-0\.1 ms"),
        ({"E": ([0.1, np.nan], [0, 0])}, {}, r"E: 1 spike times are no finite number, the first is spike 1 \(nan\)"),
        ({"E": ([np.inf], [0])}, {}, "no finite number"),
        ({"E": ([1.0], [0])}, {"duration_ms": 1.0}, "E: 1 spikes at or after the end"),
        ({"E": ([1.0], [0])}, {"duration_ms": 1.05}, "duration_ms: 1.05 ms is no integer multiple"),
        ({"E": ([1.0], [0])}, {"duration_ms": 0.0}, "duration_ms: expected 1 to"),
        ({"E": ([1.0], [0])}, {"dt_ms": 0.0}, "dt_ms: expected a positive"),
        ({"E": ([1.0], [0])}, {"dt_ms": np.nan}, "dt_ms: expected a positive"),
        ({"E": ([1.0], [0])}, {"dt_ms": "0.1 ms"}, "dt_ms: expected a number in ms, got '0.1 ms'"),
        ({"E": ([1.0], [0])}, {"dt_ms": None}, "dt_ms: expected a number in ms, got None"),
        ({"E": ([1.0], [0])}, {"duration_ms": "5 ms"}, "duration_ms: expected a number in ms"),
        ({"E": ([1.0], [0])}, {"start_ms": "0"}, "start_ms: expected a number in ms"),
        ({"E": ([1.0], [0])}, {"start_ms": np.nan}, "start_ms: expected"),
        ({"E": ([1e12], [0])}, {}, r"2\*\*31 steps"),
        ({"E": ([1.0, 1.04], ["x", "x"])}, {}, r"E: 1 times two.*neuron x at 1 and 1\.04 ms; use dt_ms of at most 0\.04"),
        ({"E": ([1.0, 1.0], [4, 4])}, {}, "listed twice"),
        ({"E": ([1.0], [0], [0.5])}, {}, r"E\.trials: expected integers or text, got 0\.5"),
        ({"E": ([1.0], [0], ["a"])}, {}, r"E\.trials: expected integers, got text"),
        ({"E": ([1.0], [0], [np.nan])}, {}, r"E\.trials: .*got nan"),
        ({"E": ([1.0], [0.5])}, {}, r"E\.neurons: expected integers or text, got 0\.5"),
        ({"E": ([1.0], [True])}, {}, r"E\.neurons: .*bool"),
        ({"E": ([1.0, 2.0], [1, "a"])}, {}, r"E\.neurons: .*got int, str"),
        ({"E": ([1.0, 2.0], [1])}, {}, r"got shapes \(2,\), \(1,\)"),
        ({"E": (["x"], [1])}, {}, "E: expected spike times as a one-dimensional array of numbers"),
        ({"E": np.ones((3, 2))}, {}, "E: expected a tuple .*got ndarray"),
        ({"E": [[[0.1], [0.2]], [[0.1]]]}, {}, "as many neurons in every trial, got 2, 1"),
        ({"E": [np.ones((2, 2))]}, {}, r"neuron 0 of trial 0.*shape \(2, 2\)"),
        ({"E": [[0.1]]}, {"neurons": {"E": 2}}, r"hold 1 neurons, neurons\.E says 2"),
        ({"E": ([1.0], [5])}, {"neurons": {"E": 5}}, r"E: neuron: '5'.*not among the 5 of neurons\.E"),
        ({"E": ([1.0], ["5"])}, {"neurons": {"E": 9}}, "not among the 9"),
        ({"E": ([1.0], [5])}, {"neurons": {"E": [5, 5]}}, "5 is named twice"),
        ({"E": ([1.0], [5])}, {"neurons": {"E": 0}}, "at least 1"),
        ({"E": ([1.0], [5])}, {"neurons": {"e": 9}}, "neurons: unknown population 'e'"),
        ({"E": ([1.0], [5])}, {"transmitters": {"E": "gaba"}}, r"transmitters\.E: unknown transmitter 'gaba'"),
        ({"E": ([1.0, 1.0], [0, 0], [1, 3])}, {}, r"none between 1 and 3.*trials="),
        ({"E": ([1.0], [0], [7])}, {"trials": 3}, "E: trial: '7'.*not among the 3 of trials"),
        ({"E": ([1.0], [0], [0]), "I": ([1.0], [0])}, {}, "I: its spikes do not say their trial"),
        ({"E": ([1.0], [0])}, {"trials": 2}, "do not say their trial"),
        ({"E": [[[0.1]], [[0.1]]], "I": [[[0.1]]]}, {}, "I: its lists hold 1 trials where 2"),
        ({"a/b": ([1.0], [0])}, {}, "names without '/'"),
        ({3: ([1.0], [0])}, {}, "got 3"),
    ],
)  # fmt: skip
def test_bad_times_are_refused(spikes: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_times(spikes, **{"dt_ms": 0.1, **options})


def test_times_with_units_as_text_are_refused_everywhere(tmp_path: Path) -> None:
    pytest.importorskip("neo")
    pytest.importorskip("pynwb")
    found = from_times({"E": ([1.0], [0])}, dt_ms=0.1)
    block, path = to_neo(found), to_nwb(found, tmp_path / "a.nwb")
    for argument in ("dt_ms", "start_ms", "duration_ms"):
        for read, source in ((from_pandas, to_pandas(found)), (from_neo, block), (from_nwb, path), (read_spikes, path)):
            with pytest.raises(InputError, match=rf"{argument}: expected a number in ms, got '0\.1 ms'"):
                read(source, **{argument: "0.1 ms"})  # type: ignore[operator]
    with pytest.raises(InputError, match="gap_ms: expected a number in ms"):
        to_nwb(found, tmp_path / "b.nwb", gap_ms="1 s")  # type: ignore[arg-type]


def test_silent_trials_count_where_they_are_named() -> None:
    found = from_times({"E": ([1.0, 1.0], [0, 0], [1, 3])}, dt_ms=0.1, duration_ms=2, trials=[1, 2, 3])
    np.testing.assert_array_equal(analysis.neuron_rates(found, "E")[:, 0] * 0.002, [1, 0, 1])


# Files ------------------------------------------------------------------------------------------------------


def test_a_csv_becomes_a_recording(simulated: xr.DataTree, tmp_path: Path) -> None:
    path = tmp_path / "spikes.csv"
    to_pandas(simulated).sample(frac=1, random_state=1).to_csv(path, index=False)
    sizes = {"E": 30, "I": 8}
    sent = {"E": "excitatory", "I": "inhibitory"}
    read = read_spikes(path, dt_ms=DT, duration_ms=300, neurons=sizes, transmitters=sent)
    assert_same_spikes(simulated, read)
    assert read.attrs["source_file"] == "spikes.csv"
    xr.testing.assert_identical(analysis.isi_cv(read, "E"), analysis.isi_cv(simulated, "E"))
    xr.testing.assert_identical(analysis.population_rates(read), analysis.population_rates(simulated))
    table = to_pandas(simulated)
    table = table.assign(time_s=table.pop("time_ms") / 1000)
    table.to_csv(tmp_path / "spikes.tsv.gz", index=False, sep="\t")
    assert_same_spikes(
        simulated, read_spikes(tmp_path / "spikes.tsv.gz", dt_ms=DT, duration_ms=300, neurons=sizes, transmitters=sent)
    )


def test_an_npz_becomes_a_recording(simulated: xr.DataTree, tmp_path: Path) -> None:
    table = to_pandas(simulated)
    path = tmp_path / "spikes.npz"
    np.savez(
        path, t=table["time_ms"].to_numpy() * 1000, cell=table["neuron"].to_numpy(), trial=table["trial"].to_numpy(),
        population=table["population"].to_numpy().astype("S"), waveforms=np.zeros((3, 4)),
    )  # fmt: skip
    read = read_spikes(
        path, dt_ms=DT, duration_ms=300, neurons={"E": 30, "I": 8}, columns={"time_us": "t", "neuron": "cell"},
        transmitters={"E": "excitatory", "I": "inhibitory"},
    )  # fmt: skip
    assert_same_spikes(simulated, read)
    xr.testing.assert_identical(analysis.fano_factor(read, "I", 10.0), analysis.fano_factor(simulated, "I", 10.0))


def test_neuron_names_of_a_csv_are_integers_only_if_all_are(tmp_path: Path) -> None:
    for ids, expected in (
        (["7", "10", "9"], [7, 9, 10]),
        (["7.0", "10.0", "9.0"], [7, 9, 10]),
        (["7", "007", "9"], ["007", "7", "9"]),
        (["7", "unit 1", "9"], ["7", "9", "unit 1"]),
    ):
        (tmp_path / "a.csv").write_text("time_ms,neuron\n" + "".join(f"{k}.5, {i}\n" for k, i in enumerate(ids)))
        found = read_spikes(tmp_path / "a.csv", dt_ms=1, population="V1")
        assert found["V1"]["neuron_id"].values.tolist() == expected
        assert found.attrs["n_steps"] == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time,neuron\n1,1\n", "time_unit: column 'time' needs"),
        ("t,neuron\n1,1\n", r"expected the column one of time_ms, .*its columns are t, neuron, known are time, time_ms"),
        ("time_ms,cell\n1,1\n", "expected the column neuron; its columns are time_ms, cell"),
        ("time_ms,time_s,neuron\n1,1,1\n", "expected the column one of"),
        ("time_ms,neuron\n1,1\n\n1.5 ms,1\nx,2\n", r"line 4, column time_ms: expected a finite number, got '1\.5 ms' \(2 such"),
        ("time_ms,neuron\n1,1\nnan,1\n", "line 3, column time_ms: .*'nan'"),
        ("time_ms,neuron\n1,1\ninf,1\n", "line 3, column time_ms: .*'inf'"),
        ("time_ms,neuron\n1,1\n2,\n", "line 3, column neuron: expected an entry"),
        ("time_ms,neuron,trial\n1,1,0\n2,1,b\n", "line 3, column trial: expected a finite number, got 'b'"),
        ("time_ms,neuron,trial\n1,1,0\n2,1,0.5\n", r"trials: expected integers or text, got 0\.5"),
        ("time_ms,neuron,population\n1,1,E\n2,1,\n", "line 3, column population"),
        ("time_ms,neuron\n1,1\n2,1,3,4\n", "cannot be read as text with columns|line 3"),
        ("time_ms,neuron\n1,1,2\n1,1,2\n", "more entries than its header"),
        ("time_ms,neuron\n", "no spikes and no neurons"),
        ("", "cannot be read"),
        ("time_ms,neuron\n-3,1\n", "1 spikes before the start"),
    ],
)  # fmt: skip
def test_bad_csv_is_refused_with_its_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_spikes(tmp_path / "a.csv", dt_ms=0.1)


def test_bad_files_are_refused(tmp_path: Path) -> None:
    def refuse(name: str, message: str, **options: Any) -> None:
        with pytest.raises(InputError, match=message):
            read_spikes(tmp_path / name, **{"dt_ms": 0.1, **options})

    refuse("none.csv", "no such file")
    (tmp_path / "a.pkl").write_bytes(b"\x80\x04N.")
    refuse("a.pkl", "can run code")
    np.savez(tmp_path / "object.npz", time_ms=np.array([1.0, None]), neuron=np.array([1, 2]))
    refuse("object.npz", "NPZ of plain arrays")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 cut off")
    refuse("broken.npz", "NPZ of plain arrays")
    np.savez(tmp_path / "long.npz", time_ms=np.ones(3), neuron=np.arange(2))
    refuse("long.npz", r"time_ms \(3,\), neuron \(2,\)")
    np.savez(tmp_path / "other.npz", x=np.ones(3))
    refuse("other.npz", "its columns are x")
    (tmp_path / "latin.csv").write_bytes("time_ms,neuron\n1,ä\n".encode("latin-1"))
    refuse("latin.csv", "cannot be read as text")
    (tmp_path / "a.csv").write_text("time_ms,neuron\n1,1\n")
    refuse("a.csv", "dt_ms is not known", dt_ms=None)
    refuse("a.csv", "unknown column 'cell'", columns={"neuron": "cell"})
    refuse("a.csv", "columns: unknown column 'unit'", columns={"unit": "neuron"})
    refuse("a.csv", "time_unit", time_unit="s")
    refuse("a.csv", "align: only for NWB", align="stimulus")
    recording.save_recording(from_times({"E": ([1.0], [1])}, dt_ms=1.0), tmp_path / "r.zarr")
    refuse("r.zarr", "use load_recording")


def test_bad_nwb_and_neo_files_are_refused(tmp_path: Path) -> None:
    pynwb = pytest.importorskip("pynwb")
    pytest.importorskip("neo")
    (tmp_path / "a.nwb").write_bytes(b"no hdf5")
    (tmp_path / "a.xyz").write_bytes(b"")
    with pytest.raises(InputError, match="cannot be read as NWB"):
        read_spikes(tmp_path / "a.nwb")
    with pytest.raises(InputError, match="no reader of Neo knows this ending"):
        read_spikes(tmp_path / "a.xyz", dt_ms=1.0)
    with pytest.raises(InputError, match="unknown reader 'PickleIO'"):
        read_neo(str(tmp_path / "a.pkl"), "PickleIO")
    with pytest.raises(InputError, match="trials: only for text"):
        read_spikes(tmp_path / "a.nwb", trials=3)
    file = _nwb(pynwb)
    _write(pynwb, file, tmp_path / "empty.nwb")
    with pytest.raises(InputError, match="no units with spike times"):
        read_spikes(tmp_path / "empty.nwb", dt_ms=1.0)


def test_a_neo_file_becomes_a_recording(simulated: xr.DataTree, tmp_path: Path) -> None:
    pytest.importorskip("neo")
    path = tmp_path / "trains.txt"
    trains = to_neo(simulated, ["I"]).segments[0].spiketrains  # a line of times in s for each, in Neo's plain format
    path.write_text("".join("\t".join(f"{t:.4f}" for t in s.rescale("s").magnitude) + "\n" for s in trains))
    with pytest.raises(InputError, match=r"several readers of Neo know it: .*choose with neo_io="):
        read_spikes(path, dt_ms=DT)
    # This reader rounds to single precision, and hands doubles on.
    read = read_spikes(path, dt_ms=DT, neo_io="AsciiSpikeTrainIO", population="I", duration_ms=300.0, start_ms=-DT / 2)
    dense = analysis.spike_trains(simulated, "I").values
    np.testing.assert_array_equal(analysis.spike_trains(read, "I").values[0], dense[0])


# Neo and NWB of others --------------------------------------------------------------------------------------


def test_segments_of_an_experiment() -> None:
    """Own starts, no annotations but one, a neuron missing in one segment, times in s, a spike at t_stop."""
    neo, pq = pytest.importorskip("neo"), pytest.importorskip("quantities")

    def train(times: list[float], start: float, **annotations: Any) -> Any:
        return neo.SpikeTrain(np.array(times) * pq.s, t_start=start * pq.s, t_stop=(start + 0.01) * pq.s, **annotations)

    one, two = neo.Segment(), neo.Segment()
    one.spiketrains.extend([train([5.001, 5.01], 5, neuron="a"), train([], 5, neuron="b")])
    two.spiketrains.extend([train([7.0003], 7, neuron="b")])
    found = from_neo([one, two], dt_ms=0.1)
    assert found["neurons"]["neuron_id"].values.tolist() == ["a", "b"]
    assert found.attrs["n_steps"] == 101
    np.testing.assert_array_equal(np.argwhere(found["neurons"]["spikes"].values), [[0, 10, 0], [0, 100, 0], [1, 3, 1]])
    plain = from_neo([train([5.001], 5), train([5.002], 5)], dt_ms=0.1)
    np.testing.assert_array_equal(np.argwhere(plain["neurons"]["spikes"].values), [[0, 10, 0], [0, 20, 1]])
    cut = from_neo([one, two], dt_ms=0.1, start_ms=5000.0, duration_ms=3000.0)
    assert np.argwhere(cut["neurons"]["spikes"].values)[-1].tolist() == [1, 20003, 1]
    for source, options, message in (
        (one, {}, "dt_ms: expected"),
        ([], {"dt_ms": 0.1}, "empty"),
        ([one, train([], 0)], {"dt_ms": 0.1}, "mixed"),
        (neo.Segment(), {"dt_ms": 0.1}, "no spike trains"),
        ("file.nix", {"dt_ms": 0.1}, "mixed|expected"),
        (3, {"dt_ms": 0.1}, "got int"),
        ([train([], 0, neuron=1), train([], 0, neuron=1)], {"dt_ms": 0.1}, "two spike trains of neuron 1"),
        ([train([], 0), train([], 1)], {"dt_ms": 0.1}, "t_start of its spike trains runs from 0 to 1000 ms"),
    ):
        with pytest.raises(InputError, match=message):
            from_neo(source, **options)
    long = neo.Segment()
    long.spiketrains.append(neo.SpikeTrain([1.0] * pq.s, t_stop=2 * pq.s))
    with pytest.raises(InputError, match="segments last from 10"):
        from_neo([two, long], dt_ms=0.1)


def _nwb(pynwb: Any) -> Any:
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    return pynwb.NWBFile(session_description="x", identifier="x", session_start_time=start)


def _write(pynwb: Any, file: Any, path: Path) -> Path:
    with pynwb.NWBHDF5IO(str(path), "w") as out:
        out.write(file)
    return path


def test_an_nwb_file_of_an_experiment(tmp_path: Path) -> None:
    pynwb = pytest.importorskip("pynwb")
    file = _nwb(pynwb)
    file.add_unit_column("cell_type", "x")
    file.add_trial_column("stimulus", "x")
    file.add_unit(spike_times=[0.2, 1.0003, 2.5], cell_type="PV")
    file.add_unit(spike_times=[], cell_type="SST")
    file.add_unit(spike_times=[3.001, 0.9999], cell_type="PV")
    file.add_trial(start_time=1.0, stop_time=2.0, stimulus=1.0002)
    file.add_trial(start_time=3.0, stop_time=4.5, stimulus=3.0)
    path = _write(pynwb, file, tmp_path / "a.nwb")
    with pytest.raises(InputError, match="dt_ms"):
        from_nwb(path)
    with pytest.raises(InputError, match="duration_ms: trials last from 1000 to 1500 ms"):
        from_nwb(path, dt_ms=0.1)
    found = from_nwb(path, dt_ms=0.1, duration_ms=1000.0, population_column="cell_type")
    assert list(found.children) == ["PV", "SST"]
    assert found["PV"]["neuron_id"].values.tolist() == [0, 2]
    assert found.attrs["n_outside"] == 3
    np.testing.assert_array_equal(np.argwhere(found["PV"]["spikes"].values), [[0, 3, 0], [1, 10, 1]])
    aligned = from_nwb(path, dt_ms=0.1, align="stimulus", start_ms=-0.5, duration_ms=2.0)
    np.testing.assert_array_equal(np.argwhere(aligned["neurons"]["spikes"].values), [[0, 2, 2], [0, 6, 0], [1, 15, 2]])
    whole = from_nwb(path, dt_ms=0.1, by_trial=False)
    assert (whole.attrs["n_trials"], whole.attrs["n_steps"]) == (1, 30011)
    assert whole["neurons"].attrs["size"] == 3
    with pytest.raises(InputError, match=r"PV: 2 times two.*neuron 0 at 200 and 1000\.3 ms; use dt_ms of at most 800"):
        from_nwb(path, dt_ms=3000.0, by_trial=False, population_column="cell_type")
    with pytest.raises(InputError, match="unknown column 'area'"):
        from_nwb(path, dt_ms=0.1, population_column="area")
    with pytest.raises(InputError, match="align: unknown column 'cue'"):
        from_nwb(path, dt_ms=0.1, align="cue")


# What is missing --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hidden", "call"),
    [
        ("neo", lambda r, p: to_neo(r)),
        ("neo", lambda r, p: from_neo([])),
        ("pynwb", lambda r, p: to_nwb(r, p / "a.nwb")),
        ("pynwb", lambda r, p: from_nwb(p / "a.nwb")),
    ],
)
def test_a_missing_library_is_named_with_what_brings_it(
    hidden: str, call: Callable[[xr.DataTree, Path], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, hidden, None)
    with pytest.raises(InputError, match=rf"{hidden}: not installed; pip install 'cortexsnn\[interchange\]'"):
        call(from_times({"E": ([1.0], [1])}, dt_ms=1.0), tmp_path)


def test_import_loads_neither_neo_nor_pynwb(tmp_path: Path) -> None:
    code = (
        "import sys, cortexsnn.analysis.spike_files; "
        "sys.exit(any(m in sys.modules for m in ('neo', 'pynwb', 'quantities', 'h5py')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=tmp_path).returncode == 0


def test_nothing_to_export_is_said() -> None:
    empty = xr.DataTree.from_dict({"E": xr.Dataset()})
    empty.attrs["dt_ms"] = 1.0
    with pytest.raises(InputError, match="no population holds spikes"):
        to_pandas(empty)
    silent = from_times({"E": [[], []]}, dt_ms=1.0, duration_ms=5)
    assert to_pandas(silent).empty
    assert_same_spikes(silent, from_pandas(to_pandas(silent)))


def test_tables_without_attributes_need_dt() -> None:
    table = pd.DataFrame({"time_ms": [0.1], "neuron": ["a"]})
    with pytest.raises(InputError, match="table: dt_ms is not known"):
        from_pandas(table)
    assert list(from_pandas(table, dt_ms=0.1).children) == ["neurons"]
    with pytest.raises(InputError, match="table, row 0, column time_ms"):
        from_pandas(table.assign(time_ms=np.nan), dt_ms=0.1)
    assert tables.ATTRS in to_pandas(from_pandas(table, dt_ms=0.1)).attrs
