"""Random circuits against Brian2's own integrators, thresholds, refractoriness and queues: the lowering has no part in it."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

import cortexsnn as cx
import native_brian2
from cortexsnn.realise import realise
from cortexsnn.recording import events
from engines import job_of, record
from random_circuits import random_case

SPIKES_PER_CIRCUIT = 50
CIRCUITS = 8


@pytest.mark.slow
def test_spikes_are_those_of_a_plain_brian2_script() -> None:
    spikes = 0
    for seed in range(CIRCUITS):
        case = random_case(Random(seed), "general", most_populations=3, native=True)
        circuit = cx.Circuit(**case.mapping)
        duration = None if case.inputs else case.duration
        recording = record(job_of(circuit, case.inputs, duration, 1, case.seed), "numpy")
        for name, expected in native_brian2.simulate(case, realise(circuit, case.seed)).items():
            found = events(recording[name])
            assert found is not None
            np.testing.assert_array_equal(
                np.stack([found.step, found.neuron]), np.stack(expected), err_msg=f"seed {seed}, {name}\n{case}"
            )
            spikes += len(found)
    assert spikes >= SPIKES_PER_CIRCUIT * CIRCUITS
