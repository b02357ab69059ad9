"""Exported Brian2 scripts, executed without this package: the same spikes, from nothing but the text and its numbers."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import brian2 as b2
import numpy as np
import pytest
from brian2.core.functions import DEFAULT_FUNCTIONS

import cortexsnn as cx
from cortexsnn.errors import InputError
from cortexsnn.export import to_brian2_script
from cortexsnn.export_language import STAR_UNITS, TAKEN, brian2_names, free_text, quantity, units_to_import
from cortexsnn.recording import events
from cortexsnn.units import parse_unit
from random_circuits import seeded_case

ALONE = """
import runpy, sys
sys.modules['cortexsnn'] = None
for script in sys.argv[1:]:
    runpy.run_path(script, run_name='__main__')
"""

SHIPPED: list[tuple[str, dict[str, Any], str, int]] = [
    # circuit, arguments, duration, least number of spikes
    ("izhikevich", {}, "200 ms", 150),
    ("conductance_ei", {}, "100 ms", 300),
    ("adaptive_exponential", {}, "150 ms", 250),
    ("two_compartment", {}, "150 ms", 200),
    ("cuba", {}, "30 ms", 900),
    ("coba", {}, "30 ms", 1500),
    ("hodgkin_huxley", {}, "8 ms", 500),
    ("brunel2000", {"n_excitatory": 400}, "100 ms", 3000),
    ("potjans_diesmann2014", {"scale": 0.02}, "20 ms", 150),
]

CELL: dict[str, Any] = {
    # Equal time constants, for which Brian2's own 'exact' gives NaN; u is not held but follows v, which is.
    "equations": "dv/dt = (v_0 - v + g)/tau : volt (unless refractory)\ndg/dt = -g/tau : volt\ndu/dt = (v - u)/tau : volt",
    "ports": {"g": {"unit": "volt", "kind": "jump", "charge": "conserved"}},
    "threshold": "v > 10*mV + 2*mV*trace",
    "reset": "v = 0*mV",
    "refractory": "t_ref",
    "after_reset": "trace = 0.9*trace + 0.1*spiked",
    "method": "exact",
    "parameters": {
        "tau": "10 ms",
        "v_0": {"distribution": "uniform", "low": "8 mV", "high": "14 mV"},
        "t_ref": {"distribution": "uniform", "low": "1 ms", "high": "3 ms"},
    },
}
INTEGRATOR: dict[str, Any] = {
    # No leak: its slope is 0 until the first conductance arrives. N and lambda_ mean something to Brian2.
    "equations": "dv/dt = (lambda_*(50*mV - v) + I)/N : volt\ndlambda_/dt = -lambda_/(3*ms) : siemens",
    "ports": {"lambda_": {"unit": "siemens", "kind": "jump"}, "I": {"unit": "amp", "kind": "pulse"}},
    "threshold": "v >= 20*mV",
    "reset": "v = 0",
    "parameters": {"N": "100 pF"},
    "method": "exponential_euler",
}
DISCRETE: dict[str, Any] = {
    "update": "u = where(m > 0, 0.5, 0.25)*u + x - 0.1*m",
    "ports": {"x": {"kind": "pulse"}},
    "reductions": {"m": {"op": "mean", "of": "x + u"}},
    "threshold": "u >= 1",
    "reset": "u -= 1",
}
GRADED: dict[str, Any] = {
    "ports": {"x": {"kind": "pulse"}},
    "output": "r = clip(x, 0, inf)",
    "parameters": {"gain": 0.3},
}
MECHANISMS: dict[str, Any] = {
    "name": "mechanisms",
    "dt": "0.5 ms",
    "neurons": {"cell": CELL, "integrator": INTEGRATOR, "discrete": DISCRETE, "graded": GRADED},
    "populations": {
        "A": {"size": 12, "neuron": "cell", "transmitter": "excitatory"},
        "B": {"size": 8, "neuron": "integrator", "transmitter": "inhibitory"},
        "C": {"shape": [2, 3, 2], "neuron": "discrete", "transmitter": "excitatory"},
        "G": {"size": 4, "neuron": "graded", "transmitter": "inhibitory"},
    },
    "inputs": {
        "current": {"size": 5, "kind": "current", "unit": "pA"},
        "given": {"size": 6, "kind": "spikes"},
        "counts": {"size": 12, "kind": "poisson", "rate": "20 Hz", "sources": 20},
    },
    "projections": {
        "current_B": {
            "pre": "current", "post": "B", "port": "I", "connect": "all", "delay": "1.5 ms",
            "weight": {"distribution": "uniform", "low": 0, "high": 1},
        },
        "counts_A": {"pre": "counts", "post": "A", "port": "g", "connect": "one_to_one", "weight": "0.7 mV"},
        "counts_C": {"pre": "counts", "post": "C", "port": "x", "connect": {"indegree": 3}, "weight": 0.1, "delay": "0.5 ms"},
        "given_A": {
            "pre": "given[1:6]", "post": "A", "port": "g", "connect": {"probability": 0.5}, "weight": "1 mV",
            "delay": {"distribution": "uniform", "low": "0.5 ms", "high": "4 ms"},
        },
        "A_B": {
            "pre": "A", "post": "B", "deliver": {"lambda_": "clip(u/(10*mV), 0, 1)*nS"}, "connect": {"probability": 0.5},
            "weight": 2,
        },
        "A_C": {"pre": "A", "post": "C", "port": "x", "connect": {"indegree": 4}, "weight": 0.6},
        "C_G": {"pre": "C", "post": "G", "port": "x", "connect": "all", "weight": 0.2},
        "G_C": {"pre": "G", "post": "C", "deliver": {"x": "gain*r"}, "connect": "all", "weight": 0.2, "delay": "1 ms"},
        "B_A": {"pre": "B", "post": "A", "port": "g", "connect": "all", "weight": "0.3 mV", "delay": "1 ms"},
    },
}  # fmt: skip


def drives() -> dict[str, np.ndarray]:
    random = np.random.default_rng(3)
    return {"current": random.uniform(0, 200, (300, 5)), "given": random.random((300, 6)) < 0.2}


def run(*scripts: Path) -> list[dict[str, np.ndarray]]:
    """Execute scripts where this package cannot be imported; what each of them saves."""
    done = subprocess.run(
        [sys.executable, "-c", ALONE, *map(str, scripts)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    saved = (np.load(script.with_name(f"{script.stem}_spikes.npz"), allow_pickle=False) for script in scripts)
    return [dict(arrays) for arrays in saved]


def compared(circuit: cx.Circuit, found: Mapping[str, np.ndarray], **arguments: Any) -> int:
    """Spikes of a run that a script reproduces, all of them."""
    recording, spikes = cx.simulate(circuit, engine="numpy", **arguments), 0
    for name, node in recording.children.items():
        wanted = events(node)
        if wanted is not None:
            np.testing.assert_array_equal(found[f"{name}.step"], wanted.step, err_msg=name)
            np.testing.assert_array_equal(found[f"{name}.neuron"], wanted.neuron, err_msg=name)
            spikes += len(wanted)
    return spikes


@pytest.mark.slow
@pytest.mark.parametrize(("name", "arguments", "duration", "least"), SHIPPED, ids=[s[0] for s in SHIPPED])
def test_a_circuit_spikes_as_here(
    name: str, arguments: dict[str, Any], duration: str, least: int, tmp_path: Path
) -> None:
    circuit = cx.load(name, **arguments)
    to_brian2_script(circuit, tmp_path / "script.py", duration, seed=1)
    assert compared(circuit, *run(tmp_path / "script.py"), duration=duration, seed=1) >= least


def test_a_layered_circuit_runs_in_stages(tmp_path: Path) -> None:
    circuit = cx.load("lateral_inhibition").with_parameters(
        {f"populations.{layer}.parameters.b_E": 0.4 for layer in ("E1", "E2")}
    )
    inputs = {"image": np.random.default_rng(1).random((30, 64))}
    to_brian2_script(circuit, tmp_path / "script.py", inputs=inputs, seed=2)
    assert compared(circuit, *run(tmp_path / "script.py"), inputs=inputs, seed=2) >= 1000


def test_mechanisms_without_a_counterpart_in_brian2_are_written_out(tmp_path: Path) -> None:
    circuit = cx.validate(cx.Circuit(**MECHANISMS))
    text = to_brian2_script(circuit, tmp_path / "script.py", inputs=drives(), seed=5)
    assert text.count("method=written_out") == 2
    (found,) = run(tmp_path / "script.py")
    assert compared(circuit, found, inputs=drives(), seed=5) >= 400
    assert min(found[f"{name}.step"].size for name in "ABC") >= 50


@pytest.mark.slow
def test_random_circuits_spike_as_here(tmp_path: Path) -> None:
    said: list[tuple[cx.Circuit, dict[str, Any], Path]] = []
    for seed in range(10):
        case = seeded_case(seed, most_populations=3)
        given = {name: rows[:, :1] for name, rows in case.inputs.items()}
        circuit, arguments = cx.Circuit(**case.mapping), {"inputs": given or None, "seed": case.seed}
        arguments |= {"duration": None if given else case.duration}
        try:
            to_brian2_script(circuit, tmp_path / f"script_{seed}.py", **arguments)
        except InputError:
            continue
        said.append((circuit, arguments, tmp_path / f"script_{seed}.py"))
    assert len(said) >= 6
    found = run(*(script for _, _, script in said))
    assert sum(compared(c, f, **a) for (c, a, _), f in zip(said, found, strict=True)) >= 500


def test_another_seed_or_delay_spikes_otherwise(tmp_path: Path) -> None:
    circuit, script, changed = cx.load("izhikevich"), tmp_path / "script.py", tmp_path / "changed.py"
    text = to_brian2_script(circuit, script, "200 ms", seed=1)
    changed.write_text(text.replace("delay=1*ms - dt", "delay=1*ms", 1), encoding="utf-8")
    shutil.copy(script.with_suffix(".npz"), changed.with_suffix(".npz"))
    same, later = run(script, changed)
    with pytest.raises(AssertionError, match="E"):
        compared(circuit, same, duration="200 ms", seed=2)
    with pytest.raises(AssertionError, match="E"):
        compared(circuit, later, duration="200 ms", seed=1)
    assert compared(circuit, same, duration="200 ms", seed=1) >= 150


# -- text -----------------------------------------------------------------------------------------------------------------


def test_the_script_reads_as_the_circuit(tmp_path: Path) -> None:
    text = to_brian2_script(cx.load("conductance_ei"), duration="10 ms")
    for line in (
        "dg_e/dt = -g_e / tau_e : siemens",
        "threshold='v > V_T',",
        "refractory=5*ms,",
        "method='exponential_euler',",
        "on_pre='g_e_post += w',",
        "defaultclock.dt = 0.1*ms",
    ):
        assert line in text
    assert "'C': 200*pF," in text
    assert not list(tmp_path.iterdir())


def test_the_script_imports_brian2_and_numpy_alone() -> None:
    for name, arguments, duration, _ in SHIPPED[:4]:
        tree = ast.parse(to_brian2_script(cx.load(name, **arguments), duration=duration))
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        assert imported == {"pathlib", "numpy", "brian2"}


@pytest.mark.parametrize(
    "hostile",
    [
        '"""\nimport os\nos.abort()\n"""',
        "ends in a backslash \\",
        '\\"""; os.abort()',
        "'''",
        '""""""',
        "line\u2028separator\x00null\x0cfeed\rreturn \u202e\ud800",
        '"',
    ],
)
def test_free_text_cannot_break_out(hostile: str) -> None:
    plain = {**MECHANISMS, "name": hostile, "description": hostile, "sources": [hostile, hostile]}
    harmless = to_brian2_script(cx.Circuit(**{**plain, "name": "n", "description": "", "sources": []}), inputs=drives())
    tree = ast.parse(to_brian2_script(cx.Circuit(**plain), inputs=drives()))
    assert ast.dump(ast.Module(tree.body[1:], [])) == ast.dump(ast.Module(ast.parse(harmless).body[1:], []))
    shown = "".join(ast.get_docstring(tree, clean=False).split())  # type: ignore[union-attr]
    printable = "".join(c if c.isprintable() else "" if c.isspace() else "?" for c in hostile)
    assert "".join(printable.split()) in shown


def test_free_text_stays_in_its_lines() -> None:
    assert free_text('a"""b') == ['a\\"\\"\\"b']
    assert free_text("a\n b\tc", "- ") == ["- a b c"]


def test_names_that_brian2_needs_are_changed() -> None:
    group = b2.NeuronGroup(1, "v : 1", threshold="v > 1", reset="", refractory=1 * b2.ms)
    synapses = b2.Synapses(group, group, on_pre="v_post += 1")
    known = {*dir(group), *group.variables, *dir(synapses), *synapses.variables} - {"v"}
    known |= {*DEFAULT_FUNCTIONS, "pi_post", "mV", "xi", "xi_1", "syn_a", "rows2_a"}
    names = brian2_names(sorted(n for n in known if n[0].isalpha()))
    assert not [old for old, new in names.items() if old == new]
    assert len(set(names.values())) == len(names)
    assert not set(names.values()) & (TAKEN | known)
    assert brian2_names(["v", "N", "N_var"]) == {"v": "v", "N": "N_varx", "N_var": "N_var"}


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        ("20 ms", "ms", "20*ms"),
        ("-50.40 mV", "mV", "-50.4*mV"),
        ("+.5e-1 mV/ms ** 2", "mV/ms**2", "0.05*mV/ms**2"),
        ("3", "1", "3"),
        (0.25, "1", "0.25"),
        (0, "mV", "0*mV"),
        ("007 nS", "nS", "7*nS"),
    ],
)
def test_quantities_are_written_as_in_the_circuit(value: Any, unit: str, text: str) -> None:
    assert quantity(value, parse_unit(unit).dimension) == text


def test_units_that_brian2_does_not_bring_are_imported() -> None:
    assert units_to_import("x = 3*fcoulomb + 2*mV + fmolar*'katal'") == ["fcoulomb", "fmolar"]
    assert [unit for unit in STAR_UNITS if not hasattr(b2, unit)] == []
    assert [unit for unit in ("fcoulomb", "fmolar") if not hasattr(b2.units.allunits, unit)] == []


# -- refusals -------------------------------------------------------------------------------------------------------------


def test_everything_that_cannot_be_said_is_listed_at_once(tmp_path: Path) -> None:
    plain = {key: dict(value) if isinstance(value, dict) else value for key, value in MECHANISMS.items()}
    neurons, projections = plain["neurons"], plain["projections"]
    neurons["cell"] = {**CELL, "update": "v = 0.99*v"}
    projections["current_B"] |= {"delay": {"distribution": "uniform", "low": "1 ms", "high": "3 ms"}}
    projections["G_C"] = {**projections["G_C"], "delay": "20 ms"}
    projections["given_A"] = {**projections["given_A"], "deliver": {"g": "g_post/mV*mV"}, "weight": 1}
    del projections["given_A"]["port"]
    with pytest.raises(InputError) as error:
        to_brian2_script(cx.Circuit(**plain), tmp_path / "script.py", inputs=drives())
    lines = str(error.value).splitlines()
    assert lines[0] == "no plain Brian2 script can say these 4 things:"
    for path, remedy in (
        ("populations.A.neuron: its update assigns 'v'", "leave out '(unless refractory)'"),
        ("projections.current_B.delay: numbers that arrive after different delays", "give one delay to all"),
        ("projections.G_C.delay: an output that arrives 40 steps later", "use a shorter delay"),
        (
            "projections.given_A.deliver.g: 'g_post' is read before this step's jumps",
            "read a variable that no port adds to",
        ),
    ):
        assert [line for line in lines if line.startswith(f"  - {path}") and remedy in line], path
    assert not list(tmp_path.iterdir())


def test_a_refractory_period_of_no_step_for_some_cells_is_refused() -> None:
    neuron = {
        **CELL,
        "equations": "dg/dt = (v_0 - g)/tau : volt (unless refractory)",
        "threshold": "g > 9*mV",
        "reset": "g = 0",
    }
    neuron["after_reset"] = "trace = 0.5*trace"
    neuron["ports"] = {"g": {"unit": "volt", "kind": "jump"}}
    neuron["parameters"] = {**CELL["parameters"], "t_ref": {"values": [0, 1], "unit": "ms"}}
    circuit = cx.Circuit(
        name="n",
        dt="0.5 ms",
        duration="5 ms",
        neurons={"cell": neuron},
        populations={"A": {"size": 2, "neuron": "cell", "transmitter": "excitatory"}},
    )
    with pytest.raises(InputError, match=r"populations\.A\.parameters\.t_ref: is 0 for some cells"):
        to_brian2_script(circuit)


@pytest.mark.parametrize("path", ["script.txt", "script", 3])
def test_a_path_that_is_no_script_is_refused(path: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="path: expected"):
        to_brian2_script(cx.load("izhikevich"), tmp_path / path if isinstance(path, str) else path, "10 ms")
    assert not list(tmp_path.iterdir())


def test_several_trials_are_refused() -> None:
    inputs = {"image": np.zeros((5, 2, 64))}
    with pytest.raises(InputError, match="trials: 1 wanted, the inputs have 2"):
        to_brian2_script(cx.load("lateral_inhibition"), inputs=inputs)


def test_failure_leaves_nothing_half_written(tmp_path: Path) -> None:
    circuit, script = cx.load("izhikevich"), tmp_path / "script.py"
    to_brian2_script(circuit, script, "10 ms", seed=1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(before) == {"script.py", "script.npz"}
    with pytest.raises(cx.CheckpointError):
        to_brian2_script(circuit, tmp_path / "missing" / "script.py", "10 ms", seed=2)
    with pytest.raises(InputError, match="duration"):
        to_brian2_script(circuit, script, "10 mV", seed=2)
    (tmp_path / "other.py").mkdir()
    with pytest.raises(cx.CheckpointError):
        to_brian2_script(circuit, tmp_path / "other.py", "10 ms", seed=2)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_the_same_circuit_and_seed_give_the_same_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        to_brian2_script(cx.load("izhikevich"), tmp_path / name / "script.py", "10 ms", seed=1)
    for file in ("script.py", "script.npz"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
