"""Distances between spike trains against elephant, PySpike, sums over a grid, and numbers worked by hand.

Where nothing else is said, tolerances are 1e-12: sums of fewer than a hundred terms of order 1 in double precision.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from cortexsnn import recording as recording_module
from cortexsnn.analysis import ragged, spike_metrics
from cortexsnn.analysis.distance import distances, wasserstein_distance
from cortexsnn.analysis.spike_metrics import van_rossum, victor_purpura
from cortexsnn.analysis.spike_profiles import isi_distance, spike_distance
from cortexsnn.analysis.train_distance import KINDS, train_distance, train_distances
from cortexsnn.errors import InputError
from cortexsnn.recording import Events, from_events
from synthetic import make_recording, poisson, two_populations

SCALES = {"van_rossum": {"tau_ms": 7.0}, "victor_purpura": {"cost_per_ms": 0.15}, "spike": {}, "isi": {}}
LENGTH = 60.0


def random_trains(n: int, seed: int, *, most: int = 8) -> list[np.ndarray]:
    """Trains of 0 to ``most`` spikes at whole ms in [0, 60], so that coincidences and spikes at the edges occur."""
    generator = np.random.default_rng(seed)
    return [np.unique(generator.integers(0, 61, generator.integers(0, most + 1))).astype(float) for _ in range(n)]


def pure(kind: str, a: np.ndarray, b: np.ndarray, length: float = LENGTH) -> float:
    if kind == "van_rossum":
        return van_rossum(a, b, SCALES[kind]["tau_ms"])
    if kind == "victor_purpura":
        return victor_purpura(a, b, SCALES[kind]["cost_per_ms"])
    return (spike_distance if kind == "spike" else isi_distance)(a, b, 0.0, length)


# Van Rossum -------------------------------------------------------------------------------------------------


def test_van_rossum_by_hand() -> None:
    """One spike more is 1; two spikes d apart are sqrt(2 - 2 exp(-d/tau)) apart; far apart, squares add."""
    assert van_rossum([], [], 10) == 0
    assert van_rossum([5], [], 10) == 1
    assert van_rossum([5, 1e6, 2e6], [], 10) == pytest.approx(np.sqrt(3), rel=1e-14)
    assert van_rossum([5], [8], 10) == pytest.approx(np.sqrt(2 - 2 * np.exp(-0.3)), rel=1e-14)
    assert van_rossum([5, 5], [], 10) == pytest.approx(2, rel=1e-14)


def test_van_rossum_keeps_its_accuracy_where_trains_nearly_agree() -> None:
    """A difference of two sums, as often computed, has an error of 1e-16 in the square, hence 1e-8 in the distance of 1e-6:
    a hundredth. Here 1e-6 suffices for the rounding of the gap itself (1e-11 * (1 +- 1e-5))."""
    assert van_rossum([0.0], [1e-11], 20.0) == pytest.approx(1e-6, rel=1e-6)


def test_van_rossum_is_the_integral() -> None:
    """Trapezoids of h = 0.005 ms to 60 time constants behind the last spike. All spikes are on the grid, and both limits of
    a jump are used, so what is left is the error on smooth pieces: (2 h/tau)**2/12 = 1e-6 of the integral, half of it
    for the root, which is below 3; tolerance 1e-5."""
    a, b, tau, h = np.array([3.0, 4, 9, 20, 21, 40]), np.array([3.0, 8, 22, 23, 38, 39]), 3.0, 0.005
    time = np.arange(0, 40 + 60 * tau, h)

    def filtered(train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        since = time[:, None] - train
        decay = np.exp(-np.maximum(since, 0) / tau)
        return (decay * (since > 1e-9)).sum(axis=1), (decay * (since > -1e-9)).sum(axis=1)

    (left_a, right_a), (left_b, right_b) = filtered(a), filtered(b)
    left, right = (left_a - left_b) ** 2, (right_a - right_b) ** 2
    integral = ((right[:-1] + left[1:]) / 2 * h).sum()
    assert van_rossum(a, b, tau) == pytest.approx(np.sqrt(2 / tau * integral), abs=1e-5)


def test_van_rossum_is_that_of_elephant() -> None:
    """Elephant subtracts sums of up to 64 terms: 1e-14 in the square, 1e-7 in the root where it is 0."""
    dissimilarity = pytest.importorskip("elephant.spike_train_dissimilarity")
    neo, pq = pytest.importorskip("neo"), pytest.importorskip("quantities")
    found = random_trains(14, 1, most=40)
    for tau in (0.5, 7.0, 400.0):
        theirs = dissimilarity.van_rossum_distance(
            [neo.SpikeTrain(t, units="ms", t_stop=LENGTH) for t in found], tau * pq.ms
        )
        ours = [[van_rossum(a, b, tau) for b in found] for a in found]
        np.testing.assert_allclose(ours, np.asarray(theirs), rtol=1e-12, atol=2e-7)


def test_van_rossum_of_a_long_train_does_not_overflow() -> None:
    """Spikes 500 time constants apart from each other, and 20 000 of them: sums of exp(t/tau) would be infinite."""
    times = np.arange(20_000) * 500.0
    assert van_rossum(times, [], 1.0) == pytest.approx(np.sqrt(20_000), rel=1e-12)
    dense = np.arange(20_000) * 0.1
    squared = dense.size + 2 * (np.exp(-0.1 * np.arange(1, dense.size)) * np.arange(dense.size - 1, 0, -1)).sum()
    assert van_rossum(dense, [], 1.0) == pytest.approx(np.sqrt(squared), rel=1e-12)


# Victor-Purpura ---------------------------------------------------------------------------------------------


def test_victor_purpura_by_hand() -> None:
    assert victor_purpura([], [], 1) == 0
    assert victor_purpura([1, 2, 3], [], 1) == 3
    assert victor_purpura([10, 20, 30], [12, 24, 30], 0.1) == pytest.approx(0.6, rel=1e-14)  # move by 2 and by 4
    assert victor_purpura([10], [40], 0.1) == 2  # a move would cost 3
    assert victor_purpura([10], [40], 0) == 0
    assert victor_purpura([1, 2, 3], [7], 0) == 2
    # Pairing in order is not greedy: 4 goes to 3, not to the nearer 4.5, which 5 needs.
    assert victor_purpura([4, 5], [3, 4.5], 1) == pytest.approx(1.5, rel=1e-14)


def test_victor_purpura_is_that_of_elephant() -> None:
    dissimilarity = pytest.importorskip("elephant.spike_train_dissimilarity")
    neo, pq = pytest.importorskip("neo"), pytest.importorskip("quantities")
    found = random_trains(14, 2, most=30)
    for cost in (0.01, 0.15, 3.0):
        theirs = dissimilarity.victor_purpura_distance(
            [neo.SpikeTrain(t, units="ms", t_stop=LENGTH) for t in found], cost / pq.ms
        )
        ours = [[victor_purpura(a, b, cost) for b in found] for a in found]
        np.testing.assert_allclose(ours, np.asarray(theirs, dtype=float), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["van_rossum", "victor_purpura"])
def test_metrics_obey_the_triangle_inequality(kind: str) -> None:
    found = random_trains(9, 3)
    d = np.array([[pure(kind, a, b) for b in found] for a in found])
    np.testing.assert_allclose(d, d.T, atol=1e-12)
    assert (d[:, None, :] <= d[:, :, None] + d[None, :, :] + 1e-12).all()


# ISI and SPIKE ----------------------------------------------------------------------------------------------


def test_isi_and_spike_distance_by_hand() -> None:
    """a = [1], b = [3] in [0, 4]. Intervals of a: 1, then 3; of b: 3, then 1. Each spike is 1 away from the other train,
    by the auxiliary spikes at the edges. SPIKE: (3 + 1)/(2*4), then (3 + 3)/(2*9), then the first again."""
    assert isi_distance([1], [3], 0, 4) == pytest.approx((2 / 3 + 2 * 0 + 2 / 3) / 4, rel=1e-14)
    assert spike_distance([1], [3], 0, 4) == pytest.approx((1 / 2 + 2 / 3 + 1 / 2) / 4, rel=1e-14)
    # An empty train: one interval of 4 against two of 2.
    assert isi_distance([2], [], 0, 4) == pytest.approx(1 / 2, rel=1e-14)
    # Spikes of the empty train stand at 0 and 4, where the other has its auxiliary spikes: S = 0. The spike at 2 is 2
    # away from both: (2 * 4 + 0 * 2)/(2 * 3**2).
    assert spike_distance([2], [], 0, 4) == pytest.approx(8 / 18, rel=1e-14)


def grid_distances(a: np.ndarray, b: np.ndarray, length: float) -> tuple[float, float]:
    """Both distances straight from the definition, at the midpoints of a grid of 0.5 ms.

    Spikes lie on whole ms and the integrands are linear between them, for which midpoints are exact.
    """
    a, b = (train if train.size else np.array([0.0, length]) for train in (a, b))

    def edges(t: np.ndarray) -> tuple[float, float]:
        if t.size == 1:
            return 0.0, length
        return min(0.0, t[0] - (t[1] - t[0])), max(length, t[-1] + (t[-1] - t[-2]))

    edge = {0: edges(a), 1: edges(b)}

    def at(which: int, time: float) -> tuple[float, float]:
        """Interval around a time, and S."""
        own, other = (a, b) if which == 0 else (b, a)
        targets = np.array([*edge[1 - which], *other])
        near = [float(np.min(np.abs(targets - t))) for t in own]
        before, after = own[own <= time], own[own > time]
        if not before.size:
            return after[0] - edge[which][0], near[0]
        if not after.size:
            return edge[which][1] - before[-1], near[-1]
        k, x = before.size - 1, after[0] - before[-1]
        return x, (near[k] * (after[0] - time) + near[k + 1] * (time - before[-1])) / x

    isi, spike = [], []
    for time in np.arange(0.25, length, 0.5):
        (x_a, s_a), (x_b, s_b) = at(0, time), at(1, time)
        isi.append(abs(x_a - x_b) / max(x_a, x_b))
        spike.append((s_a * x_b + s_b * x_a) / (2 * ((x_a + x_b) / 2) ** 2))
    return float(np.mean(isi)), float(np.mean(spike))


def test_isi_and_spike_distance_are_the_integrals_of_the_definition() -> None:
    found = [*random_trains(12, 4), np.array([0.0]), np.array([60.0]), np.array([0.0, 60.0])]
    for a, b in product(found, repeat=2):
        isi, spike = grid_distances(a, b, LENGTH)
        assert isi_distance(a, b, 0, LENGTH) == pytest.approx(isi, abs=1e-12)
        assert spike_distance(a, b, 0, LENGTH) == pytest.approx(spike, abs=1e-12)


def test_isi_and_spike_distance_are_those_of_pyspike() -> None:
    """Without single spikes exactly at an edge: at the start SPIKE differs as its docstring says, at the end PySpike divides 0
    by 0 for two such trains."""
    pyspike = pytest.importorskip("pyspike")
    found = [t for t in random_trains(45, 5) if not (t.size == 1 and t[0] in (0, LENGTH))]
    assert min(t.size for t in found) == 0
    assert any(t.size > 1 and t[0] == 0 for t in found)
    assert any(t.size > 1 and t[-1] == LENGTH for t in found)
    for a, b in product(found, repeat=2):
        theirs_a, theirs_b = (pyspike.SpikeTrain(t + 100, [100, 100 + LENGTH]) for t in (a, b))
        given = (a + 100, b + 100, 100, 100 + LENGTH)
        assert isi_distance(*given) == pytest.approx(pyspike.isi_distance(theirs_a, theirs_b), abs=1e-12)
        assert spike_distance(*given) == pytest.approx(pyspike.spike_distance(theirs_a, theirs_b), abs=1e-12)


def test_spike_distance_does_not_jump_at_the_start() -> None:
    """A single spike moved by 1e-9 ms changes the distance by some 1e-9/60."""
    for other in random_trains(6, 6):
        at_start, later = (spike_distance([t], other, 0, LENGTH) for t in (0.0, 1e-9))
        assert at_start == pytest.approx(later, abs=1e-9)


def test_time_scale_free_distances_do_not_change_with_the_unit() -> None:
    a, b = random_trains(20, 7)[-2:]
    for distance in (isi_distance, spike_distance):
        assert distance(a, b, 0, 60) == pytest.approx(distance(a * 1e3 + 5, b * 1e3 + 5, 5, 60_005), rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_trains_are_at_distance_zero_and_jittered_ones_are_not(kind: str) -> None:
    generator = np.random.default_rng(8)
    a = np.sort(generator.uniform(0, 60, 30))
    assert pure(kind, a, a) == 0
    assert pure(kind, np.array([]), np.array([])) == 0
    near, far = (np.sort(np.clip(a + generator.normal(0, s, a.size), 0, 60)) for s in (0.05, 1.0))
    assert 0 < pure(kind, a, near) < pure(kind, a, far)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: van_rossum([2, 1], [], 1), "a: .*ascending"),
        (lambda: van_rossum([], [np.nan], 1), "b: .*finite"),
        (lambda: van_rossum([[1.0]], [], 1), "one row"),
        (lambda: van_rossum([], [], 0), "tau_ms"),
        (lambda: van_rossum([], [], np.inf), "tau_ms"),
        (lambda: van_rossum([], [], np.nan), "tau_ms"),
        (lambda: victor_purpura([], [], -1), "cost_per_ms"),
        (lambda: victor_purpura([], [], np.nan), "cost_per_ms"),
        (lambda: isi_distance([5], [1], 0, 4), "a: .*leave the window"),
        (lambda: spike_distance([1], [-1], 0, 4), "b: .*leave the window"),
        (lambda: spike_distance([], [], 4, 4), "start_ms < stop_ms"),
        (lambda: isi_distance([], [], 0, np.nan), "start_ms < stop_ms"),
    ],
)
def test_bad_trains_are_refused(call: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()  # type: ignore[operator]


# Recordings -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_neuron_by_neuron_distances_are_those_of_the_trains(kind: str) -> None:
    """Different dt, a window inside of the recording, silent neurons on either side."""
    a, b = poisson((3, 100, 9), 0.08, 1), poisson((3, 200, 9), 0.04, 2)
    a[0, :, 0] = b[0, :, 0] = a[1, :, 1] = False
    found = train_distance(
        make_recording({"E": a}, dt_ms=1.0), make_recording({"E": b}, dt_ms=0.5), "E", kind,
        start_ms=20.0, stop_ms=80.0, **SCALES[kind],
    )  # fmt: skip
    assert found.dims == ("trial", "neuron")
    assert found.shape == (3, 9)
    assert found.attrs["n_defined"] == 27
    silent = (a[:, 20:80].sum(axis=1) == 0) & (b[:, 40:160].sum(axis=1) == 0)
    assert found.attrs["n_both_silent"] == silent.sum() >= 1
    assert found.attrs.items() >= {"units": "1", "population": "E", "kind": kind, **SCALES[kind]}.items()
    expected = [
        [pure(kind, np.flatnonzero(a[k, 20:80, n]) * 1.0, np.flatnonzero(b[k, 40:160, n]) * 0.5) for n in range(9)]
        for k in range(3)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_all_pairs_of_a_trial(kind: str) -> None:
    spikes = poisson((2, 60, 7), 0.1, 3)
    spikes[1, :, 4] = False
    found = train_distances(make_recording({"E": spikes}), "E", kind, trial=1, **SCALES[kind])
    assert found.dims == ("neuron", "neuron_b")
    assert (found.attrs["trial"], found.attrs["n_silent"]) == (1, 1)
    times = [np.flatnonzero(spikes[1, :, n]).astype(float) for n in range(7)]
    np.testing.assert_allclose(found, [[pure(kind, a, b) for b in times] for a in times], rtol=1e-12, atol=1e-12)
    with pytest.raises(InputError, match="trial: expected 0 to 1"):
        train_distances(make_recording({"E": spikes}), "E", kind, trial=2, **SCALES[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_batches_and_pieces_and_storage_change_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = poisson((2, 60, 30), 0.1, 4), poisson((2, 60, 30), 0.1, 5)
    a[:, :, 3] = True
    whole = train_distance(make_recording({"E": a}), make_recording({"E": b}), "E", kind, **SCALES[kind])
    pairs = train_distances(make_recording({"E": a}), "E", kind, **SCALES[kind])
    for module in (ragged, spike_metrics):
        monkeypatch.setattr(module, "BATCH", 50)
    monkeypatch.setattr("cortexsnn.analysis.trains.PIECE", 37)
    monkeypatch.setattr(recording_module, "DENSE_LIMIT", 0)
    events_a, events_b = (
        from_events({"E": Events.from_dense(x)}, {"E": 30}, dt_ms=1.0, n_steps=60, n_trials=2) for x in (a, b)
    )
    assert "spikes" not in events_a["E"]
    np.testing.assert_allclose(train_distance(events_a, events_b, "E", kind, **SCALES[kind]), whole, rtol=1e-12)
    np.testing.assert_allclose(train_distances(events_a, "E", kind, **SCALES[kind]), pairs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_spikes_at_another_dt_have_distance_zero(kind: str) -> None:
    """0.3 * k and 0.1 * 3 k differ in the last bit; van Rossum's root would make 1e-7 of it."""
    coarse = poisson((2, 70, 20), 0.1, 0)
    fine = np.zeros((2, 210, 20), dtype=bool)
    fine[:, ::3] = coarse
    a, b = make_recording({"E": coarse}, dt_ms=0.3), make_recording({"E": fine}, dt_ms=0.1)
    assert (train_distance(a, b, "E", kind, start_ms=3.0, **SCALES[kind]) == 0).all()
    later = make_recording({"E": np.roll(fine, 1, axis=1)}, dt_ms=0.1)
    spiking = coarse[:, 10:].any(axis=1)
    assert (train_distance(a, later, "E", kind, start_ms=3.0, **SCALES[kind]).values[spiking] > 0).all()


def test_thousand_trains_take_no_loop_over_spikes() -> None:
    """4000 pairs of about 50 spikes; an engine that spikes one step later has van Rossum's closed form wherever spikes are
    much further apart than the time constant."""
    spikes = np.zeros((4, 2000, 1000), dtype=bool)
    spikes[:, 20::40] = True
    later = np.roll(spikes, 1, axis=1)
    found = train_distance(make_recording({"E": spikes}), make_recording({"E": later}), "E", "van_rossum", tau_ms=1.0)
    np.testing.assert_allclose(found, np.sqrt(50 * (2 - 2 * np.exp(-1))), rtol=1e-12)


def test_empty_population_has_no_distances() -> None:
    recording = make_recording({"E": np.zeros((2, 5, 0))})
    for kind in KINDS:
        assert train_distance(recording, recording, "E", kind, **SCALES[kind]).shape == (2, 0)  # type: ignore[arg-type]
        assert train_distances(recording, "E", kind, **SCALES[kind]).shape == (0, 0)  # type: ignore[arg-type]


def test_recordings_that_do_not_match_are_refused() -> None:
    def of(shape: tuple[int, int, int], dt_ms: float = 1.0) -> object:
        return make_recording({"E": np.zeros(shape)}, dt_ms=dt_ms)

    for other, message in [
        (of((2, 10, 3)), "2 in the other; |3 in the other"),
        (of((3, 10, 2)), "2 trials of E against 3"),
        (of((2, 11, 2)), "windows of 10 ms against 11 ms"),
        (of((2, 10, 2), 0.5), "windows of 10 ms against 5 ms"),
    ]:
        with pytest.raises(InputError, match=message):
            train_distance(of((2, 10, 2)), other, "E", "isi")  # type: ignore[arg-type]
    assert train_distance(of((2, 10, 2)), of((2, 11, 2)), "E", "isi", stop_ms=10.0).shape == (2, 2)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="unknown population"):
        train_distance(of((2, 10, 2)), of((2, 10, 2)), "X", "isi")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "scale", "message"),
    [
        ("hamming", {}, "van_rossum, victor_purpura, spike, isi"),
        ("van_rossum", {}, "give tau_ms"),
        ("victor_purpura", {}, "give cost_per_ms"),
        ("isi", {"tau_ms": 5.0}, "leave it out"),
        ("van_rossum", {"tau_ms": 5.0, "cost_per_ms": 1.0}, "leave it out"),
        ("van_rossum", {"tau_ms": -5.0}, "above 0"),
        ("victor_purpura", {"cost_per_ms": -5.0}, "at least 0"),
    ],
)
def test_a_time_scale_missing_or_not_used_is_refused(kind: str, scale: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        train_distances(two_populations(), "E", kind, **scale)  # type: ignore[arg-type]


# Distributions ----------------------------------------------------------------------------------------------


def test_wasserstein_distance_is_that_of_scipy_and_of_the_definition() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=300), generator.normal(0.5, size=200)
    assert wasserstein_distance(a, b) == stats.wasserstein_distance(a, b)
    assert wasserstein_distance(a, a + 3) == pytest.approx(3, rel=1e-12)  # a shift
    # Area between the distribution functions: |1/2 - 1| over [0, 1].
    assert wasserstein_distance([0, 1], [0]) == pytest.approx(0.5, rel=1e-14)
    # Samples of equal size: the mean difference in order.
    expected = np.abs(np.sort(a[:200]) - np.sort(b)).mean()
    assert wasserstein_distance(a[:200], b) == pytest.approx(expected, rel=1e-12)
    assert wasserstein_distance([1.0, np.nan], [1.0]) == 0.0
    assert np.isnan(wasserstein_distance([np.nan], [1.0]))
    assert np.isnan(wasserstein_distance([], []))
    assert np.isnan(wasserstein_distance([np.inf], [1.0]))


def test_wasserstein_distance_of_rates_is_the_shift_where_all_neurons_fire_faster() -> None:
    """100 spikes more in 100 steps of 1 ms would be 1000 Hz; here 10 more for each neuron of E: 100 Hz."""
    spikes = {"E": np.zeros((1, 100, 8)), "I": poisson((1, 100, 4), 0.1, 1)}
    for n in range(8):
        spikes["E"][0, :n, n] = 1
    faster = {name: x.copy() for name, x in spikes.items()}
    faster["E"][0, 50:60] = 1
    found = distances(make_recording(spikes), make_recording(faster))
    assert found.rate_wasserstein.attrs["units"] == "Hz"
    assert float(found.rate_wasserstein.sel(population="E")) == pytest.approx(100, rel=1e-12)
    assert float(found.rate_wasserstein.sel(population="I")) == 0
    assert "isi_cv_wasserstein" in found
