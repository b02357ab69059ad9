"""Where timing matters: gradients through rates and through time of one layer, by when its input comes."""

from __future__ import annotations

import numpy as np
import torch

from ..bridge import to_torch
from ..library import load
from .gradient import Compared, compare_rates

CONSTANT, STATIONARY, ANYWHERE, TIMED = (
    "constant",
    "spikes at random",
    "three spikes anywhere",
    "three spikes early or late",
)
INPUTS = (CONSTANT, STATIONARY, ANYWHERE, TIMED)
"""Of one layer for 20 steps: numbers, spikes with probability 1/2, three of each channel at any time, three in the half that the class says."""
CHANNELS, SAMPLES, SPIKES, HALF = 20, 32, 3, 10


def direction(kind: str, leak: float, seed: int) -> Compared:
    """Cosine and ratio of the two gradients of one layer of two cells, one for each class, scored by their rates."""
    cell = {"piece": "lif", "tau": 1 / (1 - leak), "decay_input": False}
    circuit = load("feedforward", pieces=[cell], n_inputs=CHANNELS, hidden=(2,), n_classes=2, gain=2.0).with_parameters(
        {
            "projections.L1_out.connect": "one_to_one",
            "projections.L1_out.weight": 1.0,
            "projections.L1_out.trainable": False,
        }
    )
    network = to_torch(circuit, seed=seed, surrogate="sigmoid(4)", dtype=torch.float64)
    labels = np.arange(SAMPLES) // (SAMPLES // 2)
    rows = torch.from_numpy(_rows(kind, labels, np.random.default_rng(seed)))
    (found,) = compare_rates(network, {"x": rows}, torch.as_tensor(labels))
    return found


def _rows(kind: str, labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """(step, sample, channel)"""
    shape = (2 * HALF, len(labels), CHANNELS)
    if kind == CONSTANT:
        return np.broadcast_to(random.random(shape[1:]), shape).copy()
    if kind == STATIONARY:
        return (random.random(shape) < 0.5).astype(float)
    order = random.random(shape)
    if kind == TIMED:  # steps of the other half come last
        order += np.arange(2 * HALF)[:, None, None] // HALF != labels[None, :, None]
    return (order.argsort(0).argsort(0) < SPIKES).astype(float)
