"""Integration methods against closed forms: exact values, and the order of convergence as a fitted slope."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cortexsnn as cx
from cortexsnn.run import all_probes


def cell(equations: str, dt: str, method: str | None = None, **fields: Any) -> cx.Circuit:
    """One population of one cell with the given equations."""
    neuron = {"equations": equations, "parameters": {"tau": "10 ms"}, "threshold": "v > 1e9", **fields}
    if method:
        neuron["method"] = method
    return cx.validate(
        cx.Circuit(
            name="cell",
            dt=dt,
            neurons={"cell": neuron},
            populations={"P": {"size": 1, "neuron": "cell", "transmitter": "excitatory"}},
        )
    )


def trace(circuit: cx.Circuit, duration: str, variable: str = "v") -> np.ndarray:
    recording = cx.simulate(circuit, duration=duration, probes={"P": [variable]})
    return np.asarray(recording["P"][variable].values[0, :, 0])


@pytest.mark.parametrize("method", ["exact", "exponential_euler"])
def test_leak_decays_exactly(method: str) -> None:
    v = trace(cell("dv/dt = -v/tau : 1", "0.5 ms", method, initial={"v": 2.0}), "20 ms")
    np.testing.assert_allclose(v, 2 * np.exp(-0.05 * np.arange(1, 41)), rtol=1e-13)


@pytest.mark.parametrize("tau_s", [10.0, 10.0 + 1e-9, 10.001, 3.0])
def test_alpha_function_also_for_equal_time_constants(tau_s: float) -> None:
    """v' = (g - v)/tau, g' = -g/tau_s from g(0) = 1: the limit t/tau exp(-t/tau) where a symbolic solution gives 0/0."""
    circuit = cell(
        "dv/dt = (g - v)/tau : 1\ndg/dt = -g/tau_s : 1",
        "0.1 ms",
        "exact",
        parameters={"tau": "10 ms", "tau_s": f"{tau_s!r} ms"},
        initial={"g": 1.0},
    )
    t = 0.1 * np.arange(1, 501)
    if abs(tau_s - 10) < 1e-6:
        expected = t / 10 * np.exp(-t / 10)
    else:
        expected = tau_s / (tau_s - 10) * (np.exp(-t / tau_s) - np.exp(-t / 10))
    np.testing.assert_allclose(trace(circuit, "50 ms"), expected, atol=1e-9)


def test_names_of_variables_may_run_together() -> None:
    """Four leaks of their own time constants: a_b with c and a with b_c must not be taken for each other."""
    taus = {"a": 5, "b_c": 8, "a_b": 13, "c": 21}
    circuit = cell(
        "\n".join(f"d{name}/dt = -{name}/({tau}*ms) : 1" for name, tau in taus.items()),
        "1 ms",
        "exact",
        threshold="a > 1e9",
        initial=dict.fromkeys(taus, 1.0),
    )
    for name, tau in taus.items():
        np.testing.assert_allclose(trace(circuit, "20 ms", name), np.exp(-np.arange(1, 21) / tau), rtol=1e-12)


ORDER = {"euler": 1, "rk2": 2, "rk4": 4, "exponential_euler": 1}


@pytest.mark.parametrize("method", ORDER)
def test_order_of_convergence(method: str) -> None:
    """v' = (w - v)/tau, w' = -v/tau oscillates; the error at 20 ms falls as dt**order."""
    equations = "dv/dt = (w - v)/tau : 1\ndw/dt = -v/tau : 1"
    steps = [1.0, 0.5, 0.25, 0.125]
    reference = trace(cell(equations, "1 ms", "exact", initial={"v": 1.0, "w": 1.0}), "20 ms")[-1]
    errors = [
        abs(trace(cell(equations, f"{dt} ms", method, initial={"v": 1.0, "w": 1.0}), "20 ms")[-1] - reference)
        for dt in steps
    ]
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert slope == pytest.approx(ORDER[method], abs=0.2)


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("rk2", 2), ("rk4", 4)])
def test_order_of_convergence_with_explicit_time(method: str, order: int) -> None:
    """v' = cos(t/tau)/tau: the stages of a Runge-Kutta step read the time within the step."""
    steps = [2.0, 1.0, 0.5, 0.25]
    errors = [
        abs(trace(cell("dv/dt = cos(t/tau)*(1 + v)/tau : 1", f"{dt} ms", method), "20 ms")[-1] - _driven(20))
        for dt in steps
    ]
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert slope == pytest.approx(order, abs=0.2)


def _driven(t_ms: float) -> float:
    """Solution of v' = cos(t/tau)(1 + v)/tau from v(0) = 0."""
    return float(np.exp(np.sin(t_ms / 10)) - 1)


def test_vanishing_conductance_is_integrated_without_nan() -> None:
    """dv/dt = (I0 - g v)/C with g = 0: plain integration, where B/A of the textbook form is 0/0."""
    circuit = cell(
        "dv/dt = (1 - g*v)/tau : 1\ndg/dt = 0*g/tau : 1", "1 ms", "exponential_euler", parameters={"tau": "10 ms"}
    )
    np.testing.assert_allclose(trace(circuit, "10 ms"), 0.1 * np.arange(1, 11), rtol=1e-12)


@pytest.mark.parametrize("refractory_ms", [0, 1, 5])
@pytest.mark.parametrize("drive", [1.2, 2.0, 5.0])
def test_rate_of_a_leaky_integrator(drive: float, refractory_ms: int) -> None:
    """Spikes every r - 1 + ceil(tau/dt ln(I/(I - 1))) steps: a spike of step k masks the updates k+1 … k+r-1."""
    circuit = cell(
        "dv/dt = (drive - v)/tau : 1 (unless refractory)",
        "1 ms",
        "exact",
        parameters={"tau": "10 ms", "drive": drive},
        threshold="v > 1",
        reset="v = 0",
        refractory=f"{refractory_ms} ms",
    )
    steps = np.flatnonzero(cx.simulate(circuit, duration="2000 ms")["P"]["spikes"].values[0, :, 0])
    rise = int(np.floor(10 * np.log(drive / (drive - 1)))) + 1
    assert set(np.diff(steps)) == {rise + max(refractory_ms - 1, 0)}
    assert steps.size >= 50


@pytest.mark.parametrize(("charge", "expected"), [("conserved", 3 * 2.0), (None, 3 * 1.0 / (1 - np.exp(-1 / 2.0)))])
def test_charge_of_a_jump(charge: str | None, expected: float) -> None:
    """A jump of 3 onto exponential decay (tau 2 ms, dt 1 ms) delivers w tau if conserved, else w dt/(1 - exp(-dt/tau))."""
    port = {"kind": "jump", **({"charge": charge} if charge else {})}
    plain = {
        "name": "jump",
        "dt": "1 ms",
        "neurons": {"cell": {"equations": "dg/dt = -g/tau : 1", "ports": {"g": port}, "parameters": {"tau": "2 ms"}}},
        "populations": {"P": {"size": 1, "neuron": "cell", "transmitter": "excitatory"}},
        "inputs": {"x": {"size": 1, "kind": "spikes"}},
        "projections": {"x_P": {"pre": "x", "post": "P", "port": "g", "connect": "all", "weight": 3.0}},
    }
    rows = np.zeros((60, 1))
    rows[0] = 1
    circuit = cx.validate(cx.Circuit(**plain))
    g = cx.simulate(circuit, {"x": rows}, probes={"P": ["g"]})["P"]["g"].values[0, :, 0]
    # g is recorded after its decay; before it, each value is exp(dt/tau) larger.
    assert float((g * np.exp(0.5)).sum() * 1.0) == pytest.approx(expected, rel=1e-10)


def test_all_probes_cover_every_state() -> None:
    program = cx.lower(cell("dv/dt = -v/tau : 1", "1 ms"))
    assert all_probes(program) == {"P": ("v", "spikes", "distance")}
