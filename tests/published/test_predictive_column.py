"""The predictive column: its cells by the sheet's hand-worked table, charge over time steps, terminals, rates, sizes, every engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cortexsnn as cx
from cortexsnn.analysis import bursts, mean_correlation, pairwise_correlation
from cortexsnn.circuits import predictive_column as column
from cortexsnn.neurons import piece
from cortexsnn.recording import events
from cortexsnn.spec import to_plain

STANDALONE = "brian2:cpp_standalone"
STEP_PA, APICAL_NS = {"L5": 1450.0, "L23": 620.0}, {"L5": 20.0, "L23": 8.5}
ONSET = 20
CLASSES = tuple(column.SIZES)


def one_cell(
    layer: str,
    basal: float,
    apical: float,
    gaba: float = 0.0,
    late: int = 5,
    dt: str | None = None,
    charge: bool = True,
) -> tuple[list[float], float]:
    """Spike times after the onset of a somatic current of 5 ms, and time of the apical compartment above -40 mV [ms].

    Apical AMPA and half as much NMDA, and GABA_A, ``late`` steps after the onset, in units of the sheet's apical jump; as jumps of 1 ms.
    """
    fields = piece("pyramidal", layer=layer, charge=charge)
    fields["equations"] = fields["equations"].replace("g_Gs*(E_I - Vs))/C_s", "g_Gs*(E_I - Vs) + I)/C_s")
    fields["ports"] = {**fields["ports"], "I": {"unit": "amp", "kind": "pulse"}}
    factor = column.CHARGE if charge else dict.fromkeys(column.CHARGE, 1.0)
    jump = APICAL_NS[layer]
    circuit = cx.validate(
        cx.Circuit(
            name="one_cell", dt="1 ms", neurons={"cell": fields},
            populations={"E": {"size": 1, "neuron": "cell", "transmitter": "excitatory"}},
            inputs={
                "soma": {"size": 1, "kind": "current", "unit": "pA"}, "apical": {"size": 1, "kind": "spikes"},
                "veto": {"size": 1, "kind": "spikes", "transmitter": "inhibitory"},
            },
            projections={
                "soma_E": {"pre": "soma", "post": "E", "port": "I", "connect": "all", "weight": 1.0},
                "apical_E": {
                    "pre": "apical", "post": "E", "deliver": {"g_Ad": "1", "g_Nd": repr(0.5 * factor["N"] / factor["A"])}, "connect": "all",
                    "weight": f"{apical * jump * factor['A']!r} nS",
                },
                "veto_E": {"pre": "veto", "post": "E", "port": "g_Gd", "connect": "all", "weight": f"{gaba * jump * factor['Gd']!r} nS"},
            },
        )
    )  # fmt: skip
    rows: dict[str, Any] = {n: np.zeros((150, 1, 1)) for n in ("soma", "apical", "veto")}
    rows["soma"][ONSET : ONSET + 5] = basal * STEP_PA[layer]
    rows["apical"][ONSET + late], rows["veto"][ONSET + late] = apical > 0, gaba > 0
    finer = {} if dt is None else {"dt": dt}
    node = cx.simulate(circuit, rows, probes={"E": ["spikes", "Vd"]}, **finer)["E"]
    step = 1.0 if dt is None else float(dt.split()[0])
    spikes = np.flatnonzero(node["spikes"].values.ravel()) * step - ONSET
    return [round(float(t), 3) for t in spikes], float((node["Vd"].values > -40).sum() * step)


@pytest.mark.parametrize("layer", ["L5", "L23"])
@pytest.mark.parametrize("dt", [None, "0.1 ms"])
def test_a_plateau_needs_a_spike_and_apical_input_and_inhibition_removes_it(layer: str, dt: str | None) -> None:
    assert [len(one_cell(layer, 1, 0, dt=dt)[0]), one_cell(layer, 1, 0, dt=dt)[1]] == [1, 0.0]
    assert one_cell(layer, 0, 1, dt=dt) == ([], 0.0)
    spikes, plateau = one_cell(layer, 1, 1, dt=dt)
    assert len(spikes) == 3
    assert 45 <= plateau <= 52
    assert len(one_cell(layer, 1, 3, dt=dt)[0]) == 3
    vetoed = one_cell(layer, 1, 1, gaba=1, dt=dt)
    assert vetoed == ([spikes[0]], 0.0)


def test_the_table_of_jumps_that_are_not_charges() -> None:
    """The sheet's own cell: spikes 4, 22, 30 ms and 51 ms of plateau at 1 ms; 47.0 ms at 0.1 ms.

    The sheet's cell and this one differ in places: at 0.1 ms its third spike comes at 28.5 ms, here at 28.2; with three times the apical input
    at 1 ms its plateau lasts 57 ms, here 54.
    """
    assert one_cell("L5", 1, 1, charge=False) == ([4.0, 22.0, 30.0], 51.0)
    assert one_cell("L5", 1, 3, charge=False)[1] > 51.0
    assert one_cell("L23", 1, 1, charge=False)[1] == 51.0
    spikes, plateau = one_cell("L5", 1, 1, charge=False, dt="0.1 ms")
    assert plateau == pytest.approx(47.0, abs=0.11)
    assert spikes[:2] == pytest.approx([4.5, 20.3], abs=0.21)


@pytest.mark.parametrize(("layer", "with_spike", "alone"), [("L5", (6, 9), (36, 45)), ("L23", (3.8, 5.1), (15, 19))])
def test_smallest_apical_input_with_a_plateau(
    layer: str, with_spike: tuple[float, float], alone: tuple[float, float]
) -> None:
    for basal, (below, above) in ((1, with_spike), (0, alone)):
        assert one_cell(layer, basal, below / APICAL_NS[layer])[1] == 0.0
        assert one_cell(layer, basal, above / APICAL_NS[layer])[1] > 40


def test_apical_input_counts_for_some_20_ms_after_a_spike() -> None:
    found = [one_cell("L5", 1, 1, late=late)[1] > 0 for late in (0, 5, 15, 30, 50)]
    assert found == [True, True, True, False, False]


# -- charge ---------------------------------------------------------------------------------------------------------------


TAUS = {"g_As": 2, "g_Ad": 2, "g_Ns": 80, "g_Nd": 80, "g_Gs": 6, "g_Gd": 12, "x_B": 45}
"""Time constant of what a synapse of each port opens [ms]."""


def _areas(dt: str | None, charge: bool) -> dict[str, tuple[float, ...]]:
    """Of one synaptic event of each receptor, weight 1 nS: its charge [nS ms], areas of the potentials of soma and apical compartment [mV ms].

    Every receptor in a trial of its own: where all open at once, what one of them gets wrong another hides.
    """
    kinds = {port: "excitatory" if port[:3] in ("g_A", "g_N") else "inhibitory" for port in TAUS}
    circuit = cx.validate(
        cx.Circuit(
            name="synapses", dt="1 ms", neurons={"cell": piece("pyramidal", charge=charge)},
            populations={"E": {"size": 1, "neuron": "cell", "transmitter": "excitatory"}},
            inputs={f"to_{p}": {"size": 1, "kind": "spikes", "transmitter": kind} for p, kind in kinds.items()},
            projections={p: {"pre": f"to_{p}", "post": "E", "port": p, "connect": "all", "weight": "1 nS"} for p in TAUS},
        )
    )  # fmt: skip
    rows = {f"to_{p}": np.zeros((600, len(TAUS) + 1, 1)) for p in TAUS}
    for trial, r in enumerate(rows.values()):
        r[10, trial] = 1  # nothing in the last trial: where the cell comes to rest by itself
    finer = {} if dt is None else {"dt": dt}
    node = cx.simulate(circuit, rows, probes={"E": [*TAUS, "Vs", "Vd"]}, **finer)["E"]
    step = 1.0 if dt is None else float(dt.split()[0])
    found = {}
    for trial, (port, tau) in enumerate(TAUS.items()):
        g, soma, apical = (
            float((node[n].isel(trial=trial) - node[n].isel(trial=-1)).sum()) * step for n in (port, "Vs", "Vd")
        )
        found[port] = g * float(np.exp(step / tau)), soma, apical  # the update sees a jump before it decays
    return found


@pytest.mark.slow
def test_a_synapse_means_the_same_at_every_step() -> None:
    base = _areas(None, True)
    for port, (charge, *potentials) in base.items():
        assert charge == pytest.approx(TAUS[port], rel=1e-3)  # of NMDA a part is still to come
        assert all((area > 0.1) == (port[:3] in ("g_A", "g_N")) and abs(area) > 0.1 for area in potentials), port
    for dt in ("0.5 ms", "0.1 ms", "0.05 ms"):
        for port, found in _areas(dt, True).items():
            assert found == pytest.approx(base[port], rel=0.01), (dt, port)
    held = [_areas(dt, False)["g_As"][0] for dt in (None, "0.1 ms")]
    assert held[0] / held[1] == pytest.approx(1.271 / 1.0252, rel=0.01)


# -- terminals --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(column.TERMINALS))
def test_terminals_release_what_the_rule_of_single_edges_releases(kind: str) -> None:
    """A population of terminals against the rule ``short_term``, whose closed form is tested elsewhere: the same potentials."""
    utilisation, recovery, facilitation = column.TERMINALS[kind]
    cell = {
        "equations": "dv/dt = -v/(20*ms) : 1", "ports": {"v": {"kind": "jump", "receptor": "excitatory"}}, "threshold": "v > 1e9",
        "reset": "v = 0",
    }  # fmt: skip
    rows = (np.random.default_rng(0).random((600, 1, 3)) < 0.04).astype(float)
    common: dict[str, Any] = {"name": kind, "dt": "1 ms", "inputs": {"x": {"size": 3, "kind": "spikes"}}}
    target = {"size": 3, "neuron": "cell", "transmitter": "excitatory"}
    short = {
        "piece": "short_term", "utilisation": utilisation, "tau_recovery": recovery, "tau_facilitation": facilitation,
    }  # fmt: skip
    edges = {
        "pre": "x",
        "post": "cells",
        "port": "v",
        "connect": "one_to_one",
        "weight": 1.0,
        "delay": "2 ms",
        "plasticity": short,
    }
    by_edge = cx.Circuit(
        **common, neurons={"cell": cell}, populations={"cells": target}, projections={"x_cells": edges}
    )
    terminal = piece("terminal", utilisation=utilisation, tau_recovery=recovery, tau_facilitation=facilitation)
    by_axon = cx.Circuit(
        **common, neurons={"cell": cell, "terminal": terminal},
        populations={"axons": {"size": 3, "neuron": "terminal", "transmitter": "excitatory"}, "cells": target},
        projections={
            "x_axons": {"pre": "x", "post": "axons", "port": "s", "connect": "one_to_one", "weight": 1.0, "delay": "2 ms"},
            "axons_cells": {"pre": "axons", "post": "cells", "deliver": {"v": "(u + U*(1 - u))*x"}, "connect": "one_to_one", "weight": 1.0},
        },
    )  # fmt: skip
    found = [
        cx.simulate(cx.validate(c), {"x": rows}, probes={"cells": ["v"]})["cells"]["v"].values
        for c in (by_edge, by_axon)
    ]
    assert found[0].max() > 0.1
    np.testing.assert_allclose(found[1], found[0], rtol=1e-9, atol=1e-12)


# -- the circuit --------------------------------------------------------------------------------------------------------------


def test_who_inhibits_whom_and_where() -> None:
    circuit = cx.load("predictive_column", columns=2)
    sources = {name: p.transmitter for name, p in circuit.populations.items()}
    for name, p in circuit.projections.items():
        if p.pre in sources and "s" not in (p.deliver or {}):
            excites = sources[p.pre] == "excitatory"
            assert all(port[:3] in (("g_A", "g_N") if excites else ("g_G", "x_B")) for port in p.deliver or {}), name
    onto = {n: set(p.deliver or {}) for n, p in circuit.projections.items()}
    assert onto["c1_L23PV_c1_L23E"] == {"g_Gs"}
    assert onto["c1_L23SOM_c1_L23E"] == {"g_Gd", "x_B"}
    assert "c1_L23VIP_c1_L23SOM" in onto
    assert not any(n.startswith("c1_L23SOM_c1_L23SOM") for n in onto)
    assert onto["c2_L5E_c1_L23E"] == {"g_Ad", "g_Nd"}
    assert circuit.projections["c2_L5E_c1_L23E"].pre == "c2_L5E"
    somatic = cx.load("predictive_column", columns=2, apical="soma")
    assert set(somatic.projections["c2_L5E_c1_L23E"].deliver or {}) == {"g_As", "g_Ns"}
    assert "c2_L5E_c1_L23E" not in cx.load("predictive_column", columns=2, apical="none").projections


def test_a_cell_has_the_same_mean_input_at_every_size() -> None:
    """Indegree times mean weight: that of the reference size, up to the rounding of medians."""
    sums = []
    for cells in (100, 400, 2000):
        plain = to_plain(cx.load("predictive_column", cells=cells))["projections"]
        found = {}
        for name, p in plain.items():
            if "indegree" in p["connect"] and not name.startswith("background"):
                median = float(str(p["weight"]["median"]).split()[0])
                found[name] = p["connect"]["indegree"] * median
        sums.append(found)
    assert len(sums[0]) > 25
    for name, total in sums[1].items():
        others = [s[name] for s in sums]
        assert max(others) / min(others) < 1.15, (name, total)


@pytest.mark.compiled
@pytest.mark.slow
def test_rates_at_rest() -> None:
    """Two seconds without a stimulus: every class within the range recalled of the literature, PV cells a little below (5 Hz there); bursts below a third
    of events and little correlation."""
    ranges = {"E": (0.1, 10), "PV": (4, 30), "SOM": (2, 15), "VIP": (2, 15)}
    recording = cx.simulate(cx.load("predictive_column"), duration="2 second", engine=STANDALONE, seed=0)
    for name in CLASSES:
        spikes = recording[name]["spikes"].transpose("step", "trial", "neuron").values[:, 0]
        rates = spikes.mean(0) * 1e3
        low, high = ranges[next(k for k in ("PV", "SOM", "VIP", "E") if name.endswith(k))]
        assert low <= rates.mean() <= high, (name, rates.mean())
        if name in ("L23E", "L5E"):
            assert np.median(rates) <= rates.mean()
            burst = bursts(recording, name, 16.0)
            assert 0.05 < float(burst["burst_rate"].mean() / burst["event_rate"].mean()) < 0.33
            assert mean_correlation(pairwise_correlation(recording, name, 25.0)) < 0.1


@pytest.mark.compiled
@pytest.mark.slow
def test_rates_do_not_depend_on_the_step_where_charge_is_conserved() -> None:
    """Pyramidal rates at 0.25 ms: within a fifth of those at 1 ms with charge conserved, below a third without."""
    found = {}
    for charge in (True, False):
        circuit = cx.load("predictive_column", charge=charge)
        for dt in ("1 ms", "0.25 ms"):
            recording = cx.simulate(circuit, duration="1 second", engine=STANDALONE, seed=0, dt=dt)
            spikes = [events(recording[n]) for n in ("L23E", "L5E")]
            found[charge, dt] = sum(s.step.size for s in spikes if s is not None)
    assert found[True, "1 ms"] > 200
    assert found[True, "0.25 ms"] == pytest.approx(found[True, "1 ms"], rel=0.2)
    assert found[False, "0.25 ms"] < found[False, "1 ms"] / 3


@pytest.mark.compiled
@pytest.mark.slow
def test_every_engine_over_two_seconds() -> None:
    """More than 10 000 spikes of the cells themselves, beside those of terminals; a resting potential a nanovolt away is found."""
    circuit = cx.load("predictive_column", cells=1000)
    rows = {"thalamus": np.random.default_rng(0).random((2000, 1, 200)) < 0.03}
    engines = ("numpy", "torch", "brian2", STANDALONE)
    report = cx.verify(circuit, rows, engines=engines, seed=1, minimum_spikes=10_000)
    assert report.agree, str(report)
    recording = report.recordings["numpy"]
    own = sum(int(recording[n]["spikes"].sum()) for n in CLASSES)
    assert own > 10_000
    moved = circuit.with_parameters({"neurons.SOM.parameters.E_L": "-66.000001 mV"})
    short = {"thalamus": rows["thalamus"][:100]}
    a, b = (cx.simulate(c, short, seed=1, probes={"L23SOM": ["spikes", "v"]}) for c in (circuit, moved))
    assert not cx.compare(a, b).agree


@pytest.mark.slow
def test_a_hierarchy_with_a_command_and_a_read_out_in_every_engine() -> None:
    circuit = cx.load("predictive_column", cells=100, columns=2, commands=16, outputs=8)
    report = cx.verify(circuit, duration="300 ms", engines=("numpy", "torch", "brian2"), seed=0, minimum_spikes=1000)
    assert report.agree, str(report)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"cells": 10}, "cells: expected 60 to 10000"),
        ({"columns": 4, "cells": 20_000}, "columns: expected 1, 2 or 3"),
        ({"apical": "dendrite"}, "apical: expected feedback, soma, unrelated or none"),
        ({"background": 5}, "background: expected 30 channels"),
        ({"plateau": -1.0}, "plateau"),
    ],
)
def test_bad_input_is_named(arguments: dict[str, Any], expected: str) -> None:
    with pytest.raises(cx.InputError, match=expected):
        cx.load("predictive_column", **arguments)
