"""Another dt than the circuit's own: the same drive and draws on a finer grid, converging, and equal between engines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cortexsnn as cx
from cortexsnn.errors import InputError
from cortexsnn.lower import lower
from cortexsnn.realise import realise
from cortexsnn.refine import refine
from cortexsnn.run import all_probes, prepare
from cortexsnn.validate import validate
from engines import record


def leaky(port: dict[str, Any], equations: str, **changes: Any) -> cx.Circuit:
    """Four cells behind spikes, a projection of 2 ms among them, dt 1 ms."""
    plain: dict[str, Any] = {
        "name": "leaky", "dt": "1 ms",
        "neurons": {"cell": {
            "equations": equations, "ports": {"x": port}, "threshold": "v > 1e9", "reset": "v = 0",
            "parameters": {"tau": "10 ms", "tau_g": "5 ms"}, "method": "exact",
        }},
        "populations": {"P": {"size": 4, "neuron": "cell", "transmitter": "excitatory"}},
        "inputs": {"in": {"size": 4, "kind": "spikes"}},
        "projections": {
            "in_P": {"pre": "in", "post": "P", "port": "x", "connect": "one_to_one", "weight": 1.0},
            "P_P": {"pre": "P", "post": "P", "port": "x", "connect": "all", "weight": 0.1, "delay": "2 ms"},
        },
    }  # fmt: skip
    plain["neurons"]["cell"].update(changes)
    return cx.validate(cx.Circuit(**plain))


DRIVE = {"in": np.random.default_rng(0).random((40, 1, 4)) < 0.3}


@pytest.mark.parametrize("factor", [2, 5])
def test_a_held_pulse_gives_the_same_membrane_and_a_charge_the_same_integral(factor: int) -> None:
    """dv/dt = (x - v)/tau is linear: a pulse held for 1 ms gives the same v at every whole ms, to rounding, at any dt."""
    circuit = leaky({"kind": "pulse"}, "dv/dt = (x - v)/tau : 1")
    probes = {"P": ["v"]}
    own = cx.simulate(circuit, DRIVE, probes=probes)["P"]["v"].values
    fine = cx.simulate(circuit, DRIVE, probes=probes, dt=f"{1 / factor!r} ms")["P"]["v"].values[:, factor - 1 :: factor]
    np.testing.assert_allclose(fine, own, rtol=1e-12, atol=1e-15)
    given = cx.simulate(circuit, DRIVE, probes=probes, dt=f"{1 / factor!r} ms", pulses="charge")["P"]["v"].values
    for found in (own, given[:, factor - 1 :: factor]):
        # The whole charge: the integral of v over time is that of x, plus what has not leaked yet.
        total = found.sum(axis=1) + 10 * found[:, -1]
        np.testing.assert_allclose(total, DRIVE["in"].sum(axis=0), rtol=0.1)


def test_a_jump_decays_from_the_same_time() -> None:
    circuit = leaky({"kind": "jump"}, "dv/dt = -v/tau : 1\ndx/dt = -x/tau_g : 1")
    own, fine = (cx.simulate(circuit, DRIVE, probes={"P": ["x"]}, dt=dt)["P"]["x"].values for dt in ("1 ms", "0.25 ms"))
    np.testing.assert_allclose(fine[:, 3::4], own, rtol=1e-12)


def test_spikes_converge_as_the_step_shrinks() -> None:
    """AdEx with the circuit's own drive: the rate at dt/4 lies nearer to that at dt/8 than that at dt does."""
    circuit = cx.load("adaptive_exponential")
    count = {
        k: sum(int(node["spikes"].sum()) for node in cx.simulate(circuit, duration="200 ms", dt=f"{own(circuit) / k!r} ms").children.values())
        for k in (1, 4, 8)
    }  # fmt: skip
    assert min(count.values()) >= 100
    assert abs(count[4] - count[8]) <= abs(count[1] - count[8])


def own(circuit: cx.Circuit) -> float:
    return float(circuit.dt.split()[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["conductance_ei", "izhikevich", "two_compartment"])
@pytest.mark.parametrize("pulses", ["hold", "charge"])
def test_engines_agree_on_the_finer_grid(name: str, pulses: Any) -> None:
    circuit = validate(cx.load(name))
    realisation, program = realise(circuit, 1), lower(circuit)
    job = prepare(circuit, program, realisation, None, "60 ms", all_probes(program))
    fine = refine(circuit, job, realisation, f"{own(circuit) / 2!r} ms", pulses)
    assert fine.n_steps == 2 * job.n_steps
    reference = record(fine, "numpy")
    for engine in ("torch", "brian2"):
        comparison = cx.compare(reference, record(fine, engine))
        assert comparison.agree, str(comparison)
        assert comparison.n_spikes >= 50
    with pytest.raises(InputError, match="differ in dt_ms"):
        cx.compare(reference, record(job, "numpy"))


@pytest.mark.parametrize(
    ("dt", "message"),
    [("0.3 ms", "dt: .*no multiple"), ("2 ms", "dt: "), ("0 ms", "whole part"), ("1 mV", "dt: expected a time")],
)
def test_a_dt_that_divides_nothing_is_refused(dt: str, message: str) -> None:
    circuit = leaky({"kind": "pulse"}, "dv/dt = (x - v)/tau : 1")
    with pytest.raises(InputError, match=message):
        cx.simulate(circuit, DRIVE, dt=dt)


def test_discrete_models_are_refused() -> None:
    circuit = cx.load("lateral_inhibition")
    with pytest.raises(InputError, match="given in discrete time"):
        cx.simulate(circuit, {"image": np.zeros((4, 1, 64))}, dt="0.5 ms")
