"""That a trained network does the same in every engine, spike for spike, at the step it was trained at."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...train.data import digits
from ...verify import Verification, verify
from .config import ColumnConfig, Proof
from .networks import cells, rows
from .training import trained


class Proven(NamedTuple):
    """What the engines did, and the spikes of cells among those compared: terminals and inputs pass on what others fire."""

    verification: Verification
    cell_spikes: int
    minimum: int

    @property
    def agree(self) -> bool:
        return self.verification.agree and self.cell_spikes >= self.minimum


def prove(config: ColumnConfig, proof: Proof, folder: Path) -> Proven:
    """The first network on long held-out sequences, all states compared."""
    seed = config.seeds[0]
    circuit = trained(config, folder, seed)
    random = np.random.default_rng([seed, 107])
    scans = config.world_of()._replace(frames=proof.frames).scans(digits(seed).test, proof.sequences, random)
    inputs = rows(circuit, config.frame_code, scans, random)
    found = verify(circuit, inputs, engines=proof.engines, seed=seed)
    recording = next(iter(found.recordings.values()))
    fired = sum(int(recording[name]["spikes"].sum()) for name in cells(circuit))
    return Proven(found, fired, proof.minimum_spikes)
