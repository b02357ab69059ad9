"""Fluorescence against the closed form of one spike, and the properties of the forward model."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy import optimize, signal

from cortexsnn.analysis.calcium import INDICATORS, Indicator, fluorescence
from cortexsnn.errors import InputError
from cortexsnn.recording import Events, from_events
from synthetic import make_recording, poisson

FAST = Indicator(rise_ms=5.0, decay_ms=40.0, amplitude=0.2)


def one_spike(step: int, n_steps: int = 4000, dt_ms: float = 0.1) -> xr.DataTree:
    spikes = np.zeros((1, n_steps, 2))
    spikes[0, step, 1] = 1
    return make_recording({"E": spikes}, dt_ms=dt_ms)


def kernel(t: np.ndarray, indicator: Indicator) -> np.ndarray:
    """Scaled to a peak of the amplitude, found numerically."""
    r, d = indicator.rise_ms, indicator.decay_ms

    def shape(x: np.ndarray | float) -> np.ndarray:
        return np.asarray(np.exp(-np.asarray(x) / d) - np.exp(-np.asarray(x) / r))

    peak = -optimize.minimize_scalar(
        lambda x: -float(shape(x)), bounds=(0, 5 * d), method="bounded", options={"xatol": 1e-9}
    ).fun
    return np.where(t >= 0, indicator.amplitude * shape(np.maximum(t, 0)) / peak, 0)


@pytest.mark.parametrize("indicator", [FAST, Indicator(71.0, 686.0, 0.23)])
@pytest.mark.parametrize("dt_ms", [0.1, 0.5])
def test_one_spike_gives_the_kernel(indicator: Indicator, dt_ms: float) -> None:
    """The recursion is exact, so only rounding is left, 1e-12 of the amplitude."""
    found = fluorescence(one_spike(100, dt_ms=dt_ms), "E", indicator, dt_ms)
    expected = kernel((np.arange(4000) - 100) * dt_ms, indicator)
    np.testing.assert_allclose(found[0, :, 1], expected, atol=1e-12)
    np.testing.assert_array_equal(found[0, :, 0], 0)
    assert found.dims == ("trial", "frame", "neuron")
    assert found.attrs["units"] == "dF/F"


def test_without_a_rise_the_kernel_is_one_exponential() -> None:
    found = fluorescence(one_spike(50), "E", Indicator(0.0, 30.0, 0.5), 0.1)
    t = (np.arange(4000) - 50) * 0.1
    np.testing.assert_allclose(found[0, :, 1], np.where(t >= 0, 0.5 * np.exp(-np.maximum(t, 0) / 30), 0), atol=1e-14)


def test_many_spikes_are_the_convolution_and_trials_do_not_mix() -> None:
    """Against scipy's convolution; its rounding is 1e-12 at these sizes."""
    spikes = poisson((3, 2000, 7), 0.02, 0)
    found = fluorescence(make_recording({"E": spikes}), "E", FAST, 1.0)
    response = kernel(np.arange(2000.0), FAST)[None, :, None]
    np.testing.assert_allclose(found, signal.convolve(spikes, response)[:, :2000], atol=1e-10)


def test_linear_without_a_hill_function_and_not_with_one() -> None:
    a, b = poisson((1, 500, 3), 0.05, 1), poisson((1, 500, 3), 0.05, 2)
    b &= ~a
    made = [make_recording({"E": x}) for x in (a, b, a | b)]
    one, two, both = (fluorescence(x, "E", FAST, 10.0) for x in made)
    np.testing.assert_allclose(one + two, both, atol=1e-13)
    steep = FAST._replace(hill=2.0, half=3.0)
    one, two, both = (fluorescence(x, "E", steep, 10.0) for x in made)
    assert float(np.abs(one + two - both).max()) > 0.01


def test_hill_function_of_the_linear_trace() -> None:
    """A frame of one step shows the function itself; one spike has the amplitude at its peak (sampled every 0.1 ms, so below by
    at most 1e-5 of it), and the ceiling is amplitude (1 + half^hill)."""
    spikes = poisson((1, 4000, 4), 0.05, 3)
    recording = make_recording({"E": spikes}, dt_ms=0.1)
    linear = fluorescence(recording, "E", FAST, 0.1) / FAST.amplitude
    found = fluorescence(recording, "E", FAST._replace(hill=2.3, half=4.0), 0.1)
    c, k = linear.values**2.3, 4.0**2.3
    np.testing.assert_allclose(found, 0.2 * (1 + k) * c / (c + k), atol=1e-12)
    assert float(found.max()) < 0.2 * (1 + k)
    single = fluorescence(one_spike(100), "E", FAST._replace(hill=2.3, half=4.0), 0.1)
    assert 0 < 0.2 - float(single.max()) < 1e-5


def test_frames_are_means_over_the_exposure() -> None:
    spikes = poisson((2, 1000, 3), 0.02, 4)
    recording = make_recording({"E": spikes}, dt_ms=0.5)  # 500 ms
    fine = fluorescence(recording, "E", FAST, 0.5).values
    found = fluorescence(recording, "E", FAST, 33.5)  # 14 frames of 67 steps and an incomplete one
    assert found.sizes["frame"] == 14
    np.testing.assert_allclose(found, fine[:, :938].reshape(2, 14, 67, 3).mean(axis=2), atol=1e-14)
    np.testing.assert_allclose(found.time, 33.5 * np.arange(14))
    short = fluorescence(recording, "E", FAST, 33.5, exposure_ms=5.0)
    np.testing.assert_allclose(short, fine[:, :938].reshape(2, 14, 67, 3)[:, :, :10].mean(axis=2), atol=1e-14)
    late = fluorescence(recording, "E", FAST, 50.0, start_ms=100.0, stop_ms=300.0)  # earlier spikes count
    np.testing.assert_allclose(late, fine[:, 200:600].reshape(2, 4, 100, 3).mean(axis=2), atol=1e-14)
    np.testing.assert_allclose(late.time, [100, 150, 200, 250])


def test_noise_has_the_stated_spread_and_its_own_stream_per_trial() -> None:
    """2 x 500 x 40 frames of silence: relative standard error of a standard deviation 1/sqrt(2 x 40000) = 0.0035; tolerance five of
    them. Correlation between neighbouring frames, neurons or trials: five times 1/sqrt(19000)."""
    recording = make_recording({"E": np.zeros((2, 500, 40))})
    noise = fluorescence(recording, "E", FAST, 1.0, noise=0.1, seed=5).values
    assert noise.std() == pytest.approx(0.1, rel=0.0177)
    assert abs(noise.mean()) < 5 * 0.1 / np.sqrt(noise.size)
    for x, y in ((noise[:, 1:], noise[:, :-1]), (noise[:, :, 1:], noise[:, :, :-1]), (noise[0], noise[1])):
        assert abs(np.corrcoef(x.ravel(), y.ravel())[0, 1]) < 5 / np.sqrt(19_000)
    np.testing.assert_array_equal(noise, fluorescence(recording, "E", FAST, 1.0, noise=0.1, seed=5))
    assert (noise != fluorescence(recording, "E", FAST, 1.0, noise=0.1, seed=6).values).any()
    smaller = make_recording({"E": np.zeros((1, 500, 30))})
    np.testing.assert_array_equal(noise[:1, :, :30], fluorescence(smaller, "E", FAST, 1.0, noise=0.1, seed=5))


def test_blocks_of_neurons_and_event_arrays_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    spikes = poisson((2, 300, 11), 0.03, 6)
    whole = fluorescence(make_recording({"E": spikes}), "E", FAST, 10.0, noise=0.01)
    events = from_events({"E": Events.from_dense(spikes)}, {"E": 11}, dt_ms=1.0, n_steps=300, n_trials=2)
    monkeypatch.setattr("cortexsnn.analysis.calcium._BLOCK", 1000)
    np.testing.assert_allclose(fluorescence(events, "E", FAST, 10.0, noise=0.01), whole, atol=1e-15)


@pytest.mark.parametrize(
    ("name", "peak_ms", "half_ms"), [("GCaMP6s", 179, 550), ("GCaMP6m", 80, 270), ("GCaMP6f", 45, 142)]
)
def test_presets_have_the_time_to_peak_and_to_half_of_the_paper(name: str, peak_ms: float, half_ms: float) -> None:
    """Time constants are rounded to three digits: 1 %."""
    made = INDICATORS[name]
    trace = fluorescence(one_spike(0, n_steps=40_000), "E", name, 0.1)[0, :, 1].values
    at = int(trace.argmax())
    assert at * 0.1 == pytest.approx(peak_ms, rel=0.01)
    half = at + int(np.argmax(trace[at:] < made.amplitude / 2))
    assert (half - at) * 0.1 == pytest.approx(half_ms, rel=0.01)
    assert trace.max() == pytest.approx(made.amplitude, rel=1e-6)


def test_bad_input_is_refused_and_nobody_is_no_problem() -> None:
    recording = one_spike(3, n_steps=100, dt_ms=1.0)
    with pytest.raises(InputError, match=r"unknown indicator 'GCaMP6x'.*GCaMP6s"):
        fluorescence(recording, "E", "GCaMP6x", 10.0)
    for wrong in ((40.0, 5.0), (-1.0, 5.0), (5.0, np.nan), (5.0, np.inf)):
        with pytest.raises(InputError, match="rise_ms < decay_ms"):
            fluorescence(recording, "E", Indicator(*wrong), 10.0)
    with pytest.raises(InputError, match="half > 0"):
        fluorescence(recording, "E", FAST._replace(half=0.0), 10.0)
    with pytest.raises(InputError, match="noise >= 0"):
        fluorescence(recording, "E", FAST, 10.0, noise=np.nan)
    with pytest.raises(InputError, match="integer multiple"):
        fluorescence(recording, "E", FAST, 33.3)
    with pytest.raises(InputError, match="exposure_ms"):
        fluorescence(recording, "E", FAST, 10.0, exposure_ms=11.0)
    with pytest.raises(InputError, match="fit into the window"):
        fluorescence(recording, "E", FAST, 200.0)
    empty = fluorescence(make_recording({"E": np.zeros((2, 100, 0))}), "E", FAST, 10.0, noise=0.1)
    assert empty.shape == (2, 10, 0)
