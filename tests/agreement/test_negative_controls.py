"""What a comparison must find: each change is reported at the step, population, neuron and variable worked out here by hand.

A chain without recurrence, so that the place of the first difference is known: x drives A (delay 0), A drives B after 3 steps.
Both integrate without leak: u += in; A fires when u reaches 1 exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cortexsnn as cx
from cortexsnn.lower import lower
from cortexsnn.run import all_probes
from cortexsnn.spec import to_plain

N, STEPS = 8, 200
DRIVE = (np.random.default_rng(3).random((STEPS, 1, N)) < 0.4).astype(float)
ENGINES = ("numpy", "torch", "brian2")


def chain(**changes: Any) -> cx.Circuit:
    """Dyadic numbers throughout: the bitwise class."""
    plain: dict[str, Any] = {
        "name": "chain",
        "dt": "1 ms",
        "neurons": {
            "sum": {
                "update": "u = u + x",
                "ports": {"x": {"kind": "pulse"}},
                "threshold": "u >= 1",
                "reset": "u -= 1",
                "initial": {"u": {"values": [0.0] * N}},
            }
        },
        "populations": {
            "A": {"size": N, "neuron": "sum", "transmitter": "excitatory"},
            "B": {"size": N, "neuron": "sum", "transmitter": "excitatory"},
        },
        "inputs": {"x": {"size": N, "kind": "spikes"}},
        "projections": {
            "x_A": {"pre": "x", "post": "A", "port": "x", "connect": "one_to_one", "weight": [0.25] * N},
            "A_B": {"pre": "A", "post": "B", "port": "x", "connect": "one_to_one", "weight": [0.125] * N, "delay": "3 ms"},
        },
    }  # fmt: skip
    for path, value in changes.items():
        *parents, last = path.split("__")
        node = plain
        for key in parents:
            node = node[key]
        node[last] = value
    return cx.validate(cx.Circuit(**plain))


def run(circuit: cx.Circuit, engine: str = "numpy") -> Any:
    return cx.simulate(circuit, {"x": DRIVE}, engine=engine, probes=all_probes(lower(circuit)))


def input_steps(neuron: int) -> np.ndarray:
    return np.flatnonzero(DRIVE[:, 0, neuron])


def fourth_input(neuron: int) -> int:
    """Four quarters reach the threshold: the first spike of A."""
    return int(input_steps(neuron)[3])


@pytest.mark.parametrize("engine", ENGINES)
def test_the_unchanged_circuit_is_bitwise_equal(engine: str) -> None:
    report = cx.compare(run(chain()), run(chain(), engine))
    assert report.met == "bitwise"
    assert report.n_spikes >= 100


@pytest.mark.parametrize("engine", ENGINES)
def test_one_weight_one_ulp_off(engine: str) -> None:
    """States are compared: the sum of neuron 5 differs from its first input on."""
    weights = [0.25] * N
    weights[5] = np.nextafter(0.25, 1)
    report = cx.compare(run(chain()), run(chain(projections__x_A__weight=weights), engine), tolerance=0)
    first = report.first_difference
    assert first is not None
    assert (first.population, first.variable, first.neuron, first.step) == ("A", "u", 5, int(input_steps(5)[0]))
    assert first.a == 0.25
    assert first.b == np.nextafter(0.25, 1)


@pytest.mark.parametrize("engine", ENGINES)
def test_one_weight_one_part_in_a_million_off(engine: str) -> None:
    weights = [0.125] * N
    weights[2] *= 1 + 1e-6
    report = cx.compare(run(chain()), run(chain(projections__A_B__weight=weights), engine))
    first = report.first_difference
    assert first is not None
    assert (first.population, first.variable, first.neuron, first.step) == ("B", "u", 2, fourth_input(2) + 3)


@pytest.mark.parametrize("engine", ENGINES)
def test_one_delay_one_step_longer(engine: str) -> None:
    delays = {"values": [3.0] * 4 + [4.0] + [3.0] * 3, "unit": "ms"}
    report = cx.compare(run(chain()), run(chain(projections__A_B__delay=delays), engine))
    first = report.first_difference
    assert first is not None
    assert (first.population, first.variable, first.neuron, first.step) == ("B", "u", 4, fourth_input(4) + 3)
    assert (first.a, first.b) == (0.125, 0.0)


@pytest.mark.parametrize("engine", ENGINES)
def test_strict_for_weak_inequality(engine: str) -> None:
    """The sum reaches 1 exactly: ``>=`` fires, ``>`` does not; the margin says it was a tie."""
    report = cx.compare(run(chain()), run(chain(neurons__sum__threshold="u > 1"), engine))
    first = report.first_difference
    step = min(fourth_input(k) for k in range(N))
    neuron = next(k for k in range(N) if fourth_input(k) == step)
    assert first is not None
    assert (first.population, first.variable, first.neuron, first.step) == ("A", "spikes", neuron, step)
    assert (first.a, first.b) == (1.0, 0.0)
    assert first.margin == (0.0, 0.0)


@pytest.mark.parametrize("engine", ENGINES)
def test_one_initial_value_changed(engine: str) -> None:
    start = [0.0] * N
    start[6] = 1e-6
    report = cx.compare(run(chain()), run(chain(neurons__sum__initial={"u": {"values": start}}), engine))
    first = report.first_difference
    assert first is not None
    assert (first.population, first.variable, first.neuron, first.step) == ("A", "u", 6, 0)


def test_silence_is_no_agreement() -> None:
    quiet = to_plain(chain())
    report = cx.verify(cx.Circuit(**quiet), {"x": np.zeros((20, 1, N))}, engines=("numpy", "torch"))
    assert report.met == "bitwise"
    assert not report.agree
    assert "PROVE NOTHING" in str(report)
