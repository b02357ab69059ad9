"""Peak memory of a gradient, each in a process of its own."""

from __future__ import annotations

import multiprocessing

import numpy as np

import cortexsnn as cx
from cortexsnn.train.data import Part
from cortexsnn.train.fit import use_one_thread
from cortexsnn.train.gradient import peak

N_CELLS, N_SAMPLES = 2048, 64
"""Half a megabyte of float32 for each step and layer."""


def peak_of(by_rates: bool, n_steps: int) -> float:
    """Megabytes of a wide layer with few inputs, forward and backward; torch operations through time.

    The lesser of two processes: what else happens to be resident only adds.
    """
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        return min(pool.starmap(_peak, [(by_rates, n_steps)] * 2, chunksize=1))


def _peak(by_rates: bool, n_steps: int) -> float:
    use_one_thread()
    network = cx.to_torch(cx.load("feedforward", n_inputs=4, hidden=(N_CELLS,), n_classes=2, gain=2.0), fused=False)
    images = np.random.default_rng(0).random((N_SAMPLES, 4))
    return peak(network, Part(images, np.arange(N_SAMPLES) % 2), n_steps, by_rates)["peak"]
