"""That a trained network does the same in every engine, spike for spike, at the step it was trained at."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...library import load
from ...train.data import digits
from ...verify import Verification, verify
from .config import ColumnConfig, Proof
from .networks import FEEDBACK, rows
from .training import network_file


def prove(config: ColumnConfig, proof: Proof, folder: Path) -> Verification:
    """The first network on long held-out sequences, all states compared."""
    seed = config.seeds[0]
    circuit = load(network_file(folder, FEEDBACK, seed))
    random = np.random.default_rng([seed, 107])
    scans = config.world_of()._replace(frames=proof.frames).scans(digits(seed).test, proof.sequences, random)
    inputs = rows(circuit, config.frame_code, scans, random)
    return verify(circuit, inputs, engines=proof.engines, seed=seed, minimum_spikes=proof.minimum_spikes)
