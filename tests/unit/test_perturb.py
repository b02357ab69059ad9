"""Small changes of a job: what they change, by how much, and what they leave alone."""

from __future__ import annotations

import numpy as np
import pytest

import cortexsnn as cx
from cortexsnn.job import Job
from cortexsnn.perturb import coarse_weights, jittered_delays, lost_spikes, noisy_weights, redrawn_spikes
from engines import job_of


@pytest.fixture(scope="module")
def job() -> Job:
    return job_of(cx.load("conductance_ei"), duration="100 ms")


def test_coarse_weights_lie_on_their_levels(job: Job) -> None:
    for name, edges in coarse_weights(job, 4).edges.items():
        own = job.edges[name].values
        step = own.max() / 15
        np.testing.assert_allclose(edges.values / step, np.rint(edges.values / step), atol=1e-9)
        assert np.abs(edges.values - own).max() <= step / 2 * (1 + 1e-9)
    for name, edges in coarse_weights(job, 52).edges.items():
        np.testing.assert_allclose(edges.values, job.edges[name].values, rtol=1e-12)


def test_noise_on_weights_has_its_size_and_no_other_sign(job: Job) -> None:
    """Relative deviations of 20 %: their standard deviation within 5 %, over thousands of weights."""
    gains = np.concatenate(
        [e.values / job.edges[n].values for n, e in noisy_weights(job, 0.2, 1).edges.items() if e.values.size > 500]
    )
    assert gains.std() == pytest.approx(0.2, rel=0.05)
    assert min(float(e.values.min(initial=0)) for e in noisy_weights(job, 2.0, 1).edges.values()) >= 0


def test_jitter_moves_delays_but_never_to_zero(job: Job) -> None:
    dt = job.program.dt
    moved = jittered_delays(job, 10 * dt, 1)
    for name, edges in moved.edges.items():
        own = np.broadcast_to(job.edges[name].delay, edges.delay.shape)
        assert ((edges.delay == 0) == (own == 0)).all()
        far = own >= 40
        if far.sum() > 500:
            assert (edges.delay - own)[far].std() == pytest.approx(10, rel=0.1)
    assert any((e.delay != job.edges[n].delay).any() for n, e in moved.edges.items())


def test_redrawn_spikes_keep_their_rate(job: Job) -> None:
    """Within five standard errors of a binomial count; a share of 0 changes nothing."""
    for share in (0.0, 1.0):
        for name, rows in redrawn_spikes(job, share, 1).drive.items():
            own = np.asarray(job.drive[name])
            assert abs(int(rows.sum()) - int(own.sum())) <= 5 * np.sqrt(own.sum())
            assert (share == 0) == bool((rows == own).all())


def test_lost_spikes_keep_the_mean_drive_and_make_it_noisier(job: Job) -> None:
    name = next(iter(job.drive))
    own, changed = {p.name for p in job.program.pathways if p.pre == name}, lost_spikes(job, name, 0.5, 1)
    before, after = (np.asarray(j.drive[name]) for j in (job, changed))
    assert not (after & ~before.astype(bool)).any()
    assert abs(int(after.sum()) - before.sum() / 2) <= 5 * np.sqrt(before.sum() / 4)
    assert own
    for key, edges in changed.edges.items():
        np.testing.assert_array_equal(edges.values, job.edges[key].values * (2 if key in own else 1))
    assert (np.asarray(lost_spikes(job, name, 0.0, 1).drive[name]) == before).all()


def test_another_seed_is_another_change_and_the_same_the_same(job: Job) -> None:
    a, b, c = (noisy_weights(job, 0.1, seed).edges for seed in (1, 1, 2))
    name = next(iter(a))
    np.testing.assert_array_equal(a[name].values, b[name].values)
    assert (a[name].values != c[name].values).any()
