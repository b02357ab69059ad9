"""Cells of prediction errors in recordings in which they were planted, and in recordings without any."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import cortexsnn as cx
from cortexsnn.analysis import from_times
from cortexsnn.analysis.prediction_errors import prediction_error_cells

CONDITIONS = {"control": "off", "over": "command only", "under": "frames only", "match": "match"}
N_CELLS, N_TRIALS, STEPS = 40, 60, 200


def recorded(rates: dict[str, np.ndarray], seed: int = 0) -> tuple[xr.DataTree, np.ndarray]:
    """Poisson spikes of cells with a rate [Hz] in each condition, and the labels."""
    random = np.random.default_rng(seed)
    labels = np.repeat(list(rates), N_TRIALS)
    spikes = np.concatenate([random.random((N_TRIALS, STEPS, N_CELLS)) < r / 1000 for r in rates.values()])
    trial, step, neuron = np.nonzero(spikes)
    order = random.permutation(labels.size)
    place = np.argsort(order)
    recording = from_times(
        {"E": (step.astype(float), neuron, place[trial])}, dt_ms=1.0, duration_ms=float(STEPS), neurons={"E": range(N_CELLS)}, trials=range(labels.size),
    )  # fmt: skip
    return recording, labels[order]


def flat(rate: float = 20.0) -> dict[str, np.ndarray]:
    return {label: np.full(N_CELLS, rate) for label in CONDITIONS.values()}


def test_planted_cells_are_found_with_their_sign_and_confirmed_on_the_other_half() -> None:
    rates = flat()
    rates["command only"][:5] = 80.0
    rates["frames only"][5:12] = 80.0
    rates["frames only"][12:20] = rates["match"][12:20] = 80.0  # driven by frames: no error cells
    recording, labels = recorded(rates)
    found = prediction_error_cells(recording, "E", labels, CONDITIONS, flat=0.6)
    kind = found["kind"].values
    assert (kind[:5] == -1).sum() >= 4
    assert (kind[5:12] == 1).sum() >= 5
    assert (kind[12:] == 0).all()
    assert (found["n"] > 10 * found["n_expected"]).all()
    assert (found["p"] == 1 / 201).all()
    assert (found["measured"] > 1.0).all()
    assert float(found["confirmed"].sum()) >= 8
    swapped = prediction_error_cells(
        recording, "E", labels, {**CONDITIONS, "over": "frames only", "under": "command only"}, flat=0.6
    )
    np.testing.assert_array_equal(swapped["kind"], -kind)


def test_without_an_effect_no_more_are_found_than_by_chance() -> None:
    found = [
        prediction_error_cells(
            *_labelled(recorded(flat(), seed)), CONDITIONS, driven=0.1, flat=1.0, rate=0.9, n_permutations=50
        )
        for seed in range(6)
    ]
    n, expected = (sum(float(f[what].sum()) for f in found) for what in ("n", "n_expected"))
    assert expected > 0.5  # criteria so weak that chance finds some
    assert n <= 4 * expected + 3
    assert sum(float((f["p"] <= 0.05).sum()) for f in found) <= 2


def test_cells_driven_at_random_are_more_than_permuted_labels_give_and_no_more_than_permuted_cells() -> None:
    """Half of the cells follow each condition, whatever the others do: some look like error cells, and no error is computed."""
    found = []
    for seed in range(5):
        random = np.random.default_rng(100 + seed)
        rates = {label: np.where(random.random(N_CELLS) < 0.5, 60.0, 20.0) for label in CONDITIONS.values()}
        rates["off"] = np.full(N_CELLS, 20.0)
        found.append(prediction_error_cells(*_labelled(recorded(rates, seed)), CONDITIONS, flat=0.6))
    assert sum(float(f["n"].sum()) for f in found) > 20
    assert all((f["p"] <= 2 / 201).all() for f in found)
    assert sum(float((f["p_independent"] <= 0.05).sum()) for f in found) <= 2
    n, expected = (sum(float(f[what].sum()) for f in found) for what in ("n", "n_independent"))
    assert 0.7 < n / expected < 1.4


def test_error_cells_are_more_than_cells_that_are_driven_at_random() -> None:
    """Every cell that a condition drives is driven by that one alone."""
    rates = flat()
    rates["command only"][:8] = 80.0
    rates["frames only"][8:16] = 80.0
    rates["match"][16:32] = 80.0
    found = prediction_error_cells(*_labelled(recorded(rates)), CONDITIONS, flat=0.6)
    assert (found["p_independent"] <= 0.05).all()
    assert (found["n"] > 1.5 * found["n_independent"]).all()


def _labelled(pair: tuple[xr.DataTree, np.ndarray]) -> tuple[xr.DataTree, str, np.ndarray]:
    return pair[0], "E", pair[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conditions": {"over": "a"}}, "conditions: expected a label each for control, over, under, match"),
        ({"conditions": {**CONDITIONS, "match": "off"}}, "all different"),
        ({"driven": 0.0}, "driven and flat above 0"),
        ({"n_permutations": 5}, "n_permutations >= 19"),
        ({"conditions": {**CONDITIONS, "match": "nothing"}}, "nothing"),
    ],
)
def test_bad_options_are_named(change: dict[str, object], message: str) -> None:
    recording, labels = recorded(flat())
    with pytest.raises(cx.InputError, match=message):
        prediction_error_cells(recording, "E", labels, **{"conditions": CONDITIONS, **change})
