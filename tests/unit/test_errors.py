"""Bad input: every problem is refused with its path, what was expected and what to do; several are reported at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cortexsnn as cx
from cortexsnn.specfile import read_circuit

CELL = {
    "equations": "dv/dt = (E_L - v + R*I)/tau : volt (unless refractory)\ndg/dt = -g/tau : siemens",
    "ports": {
        "I": {"unit": "amp", "kind": "pulse"},
        "g": {"unit": "siemens", "kind": "jump", "receptor": "excitatory"},
    },
    "threshold": "v > V_T",
    "reset": "v = E_L",
    "refractory": "2 ms",
    "parameters": {"tau": "10 ms", "R": "100 Mohm", "E_L": "-70 mV", "V_T": "-50 mV"},
    "initial": {"v": "-70 mV"},
}


def mapping() -> dict[str, Any]:
    return {
        "name": "net",
        "dt": "1 ms",
        "duration": "20 ms",
        "neurons": {"cell": {**CELL, "ports": dict(CELL["ports"]), "parameters": dict(CELL["parameters"])}},  # type: ignore[call-overload]
        "populations": {
            "E": {"size": 4, "neuron": "cell", "transmitter": "excitatory"},
            "I": {"size": 2, "neuron": "cell", "transmitter": "inhibitory"},
        },
        "inputs": {"x": {"size": 4, "kind": "current", "unit": "pA"}},
        "projections": {
            "x_E": {"pre": "x", "post": "E", "port": "I", "connect": "one_to_one", "weight": 100.0},
            "E_I": {"pre": "E", "post": "I", "port": "g", "connect": "all", "weight": "1 nS", "delay": "1 ms"},
            "I_E": {"pre": "I", "post": "E", "port": "I", "connect": "all", "weight": "10 pA", "delay": "2 ms"},
        },
    }


def changed(path: str, value: Any) -> dict[str, Any]:
    plain = mapping()
    *parents, last = path.split("/")
    node = plain
    for key in parents:
        node = node[key]
    node[last] = value
    return plain


def test_the_unchanged_mapping_is_valid() -> None:
    assert cx.validate(cx.Circuit(**mapping())).name == "net"


CASES = [
    ("neurons/cell/parameters/tau", "10 mss", r"neurons\.cell\.parameters\.tau: .*mss"),
    ("neurons/cell/parameters/tau", "10 mV", r"neurons\.cell\.equations.*: .*"),
    ("populations/E/parameters", {"tau": "10 mV"}, r"populations\.E\.parameters\.tau: expected a time.*voltage"),
    ("populations/E/parameters", {"tua": "10 ms"}, r"populations\.E\.parameters\.tua: unknown.*Did you mean 'tau'"),
    ("neurons/cell/refractory", "1.5 ms", r"refractory: 1\.5 ms is no multiple of dt = 1 ms; use 1 ms or 2 ms"),
    ("projections/E_I/delay", "0.3 ms", r"projections\.E_I\.delay: 0\.3 ms is no multiple of dt"),
    ("duration", "0.5 ms", r"duration: 0\.5 ms is no multiple of dt"),
    ("dt", "0 ms", r"dt: expected a time above 0"),
    ("projections/E_I/post", "J", r"projections\.E_I\.post: unknown population 'J'; known: E, I"),
    ("projections/E_I/port", "h", r"projections\.E_I\.port: unknown port of 'I' 'h'; known: I, g"),
    ("projections/E_I/weight", "-1 nS", r"projections\.E_I\.weight: .*magnitude"),
    ("projections/E_I/weight", "1 pA", r"projections\.E_I\.weight: expected a conductance.*current"),
    ("projections/E_I/weight", [[1.0, 2.0]], r"projections\.E_I\.weight: expected one number or an array"),
    ("projections/I_E/port", "g", r"projections\.I_E\.port: inhibitory source 'I' on an excitatory receptor"),
    ("projections/E_I/connect", {"probability": 1.5}, r"projections\.E_I\.connect\.probability: expected .*\[0, 1\]"),
    ("projections/E_I/connect", {"probability": 0.5, "all": True}, r"projections\.E_I\.connect: expected exactly one"),
    ("projections/E_I/connect", {"edges": {"pre": [0, 9], "post": [0, 1]}}, r"edge 1 names cell 9; 'E' has cells 0 to 3"),
    ("projections/x_E/connect", {"indegree": 9, "multapses": False}, r"9 different sources wanted, 4 exist"),
    ("projections/x_E/weight", [1.0, 2.0, float("nan"), 4.0], r"projections\.x_E\.weight: expected finite numbers, got nan at index 2"),
    ("neurons/cell/threshold", "v", r"neurons\.cell\.threshold: expected a condition"),
    ("neurons/cell/threshold", "v > 3", r"neurons\.cell\.threshold: "),
    ("neurons/cell/reset", "v = __import__('os').system('true')", r"neurons\.cell\.reset: .*may be called"),
    ("neurons/cell/reset", "v = v.real", r"neurons\.cell\.reset: 'v\.real' is not allowed"),
    ("neurons/cell/reset", "v = E_L*9**9**9", r"neurons\.cell\.reset: .*exponent"),
    ("neurons/cell/reset", "v = E_L/0", r"neurons\.cell\.reset: 'E_L / 0' divides by zero"),
    ("neurons/cell/equations", "dv/dt = (E_L - v)/(0*tau) : volt\ndg/dt = -g/tau : siemens", r"neurons\.cell\.equations\.v: .*divides by zero"),
    ("neurons/cell/reset", "v = [E_L for i in v][0]", r"neurons\.cell\.reset: "),
    ("neurons/cell/parameters/tau", "1 ms**9**9", r"neurons\.cell\.parameters\.tau: "),
    ("neurons/cell/parameters/tau", "1e999 ms", r"neurons\.cell\.parameters\.tau: .*"),
    ("neurons/cell/method", "exact2", r"neurons\.cell\.method: expected 'exact'"),
    ("neurons/cell/equations", "dv/dt = -v : volt\ndg/dt = -g/tau : siemens", r"neurons\.cell\.equations\.v: 'v': expected a voltage per time"),
    ("populations/E/neuron", "sell", r"populations\.E\.neuron: unknown neuron 'sell'; known: cell"),
    ("populations/E/size", 0, r"populations\.E\.size: "),
    ("readout", "E", r"readout: 'E' has no output; a readout is a graded population"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "message"), CASES, ids=[f"{p}={v!r:.30}" for p, v, _ in CASES])
def test_problem_is_named_with_its_path(path: str, value: Any, message: str) -> None:
    with pytest.raises(cx.SpecError, match=message) as caught:
        cx.lower(cx.Circuit(**changed(path, value)))
    assert all(len(str(problem).splitlines()) == 1 for problem in caught.value.problems)


def test_zero_delay_cycle_is_printed() -> None:
    plain = mapping()
    for name in ("E_I", "I_E"):
        plain["projections"][name]["delay"] = "0 ms"
    with pytest.raises(
        cx.SpecError, match=r"projections: zero delays form a cycle: (E -> I -> E|I -> E -> I); give one"
    ):
        cx.validate(cx.Circuit(**plain))


def test_all_problems_at_once() -> None:
    plain = changed("projections/E_I/post", "J")
    plain["projections"]["I_E"]["weight"] = "-1 pA"
    plain["neurons"]["cell"]["refractory"] = "0.1 ms"
    plain["dt"] = "1 ms"
    with pytest.raises(cx.SpecError, match="problems in the circuit") as caught:
        cx.validate(cx.Circuit(**plain))
    paths = {problem.path for problem in caught.value.problems}
    assert {"projections.E_I.post", "projections.I_E.weight"} <= paths
    assert any("refractory" in path for path in paths)


def test_exact_method_on_nonlinear_equations_names_the_way_out() -> None:
    plain = changed("neurons/cell/equations", "dv/dt = (E_L - v + R*g*(v - E_L))/tau : volt\ndg/dt = -g/tau : siemens")
    plain["neurons"]["cell"]["method"] = "exact"
    plain["neurons"]["cell"]["ports"]["I"] = {"unit": "amp", "kind": "pulse"}
    with pytest.raises(cx.SpecError, match=r"method exact needs linear equations.*exponential_euler"):
        cx.lower(cx.Circuit(**plain))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (None, r"inputs\.x: nobody drives it"),
        ({"y": np.zeros((5, 1, 4))}, r"inputs: unknown input 'y'; known: x"),
        ({"x": np.zeros((5, 1, 3))}, r"inputs\.x: expected shape \(step, trial, 4\)"),
        ({"x": np.zeros((5, 1, 4), dtype=complex)}, r"inputs\.x: expected numbers|inputs\.x: expected real"),
        ({"x": np.full((5, 1, 4), "a")}, r"inputs\.x: expected"),
        ({"x": np.full((5, 1, 4), np.nan)}, r"inputs\.x: nan at step 0"),
    ],
)
def test_inputs_that_do_not_fit(inputs: Any, message: str) -> None:
    with pytest.raises(cx.InputError, match=message):
        cx.simulate(cx.Circuit(**mapping()), inputs)


def test_duration_that_contradicts_the_inputs() -> None:
    with pytest.raises(cx.InputError, match=r"duration: '7 ms' is 7 steps, inputs\.x has 5 rows"):
        cx.simulate(cx.Circuit(**mapping()), {"x": np.zeros((5, 1, 4))}, duration="7 ms")


@pytest.mark.parametrize("field", ["update", "adds", "reductions"])
def test_an_output_cannot_be_read_before_it_is_formed(field: str) -> None:
    neuron = {"update": "u = 0.5*u + x", "ports": {"x": {"kind": "pulse"}}, "output": "r = tanh(u)"}
    neuron |= {
        "update": {"update": "u = 0.5*u + x + r"},
        "adds": {"adds": {"x": "r"}},
        "reductions": {"reductions": {"m": {"op": "sum", "of": "r"}}},
    }[field]  # type: ignore[operator]
    plain = {
        "name": "n",
        "dt": "1 ms",
        "neurons": {"c": neuron},
        "populations": {"P": {"size": 2, "neuron": "c", "transmitter": "mixed"}},
    }
    with pytest.raises(cx.SpecError, match=rf"neurons\.c\.{field}.*unknown name 'r'"):
        cx.validate(cx.Circuit(**plain))


def test_nan_during_a_run_names_the_place() -> None:
    plain = changed("neurons/cell/reset", "v = E_L*exp(-20*v/mV)")
    for engine in ("numpy", "torch", "brian2"):
        with pytest.raises(cx.NumericalError, match=r"E\.v of neuron 0 became (-?inf|nan) in step 2 "):
            cx.simulate(cx.Circuit(**plain), {"x": np.full((5, 1, 4), 10.0)}, engine=engine)


# -- files ------------------------------------------------------------------------------------------------------------


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 10_000, r"c\.yaml.*(levels|valid YAML)"),
        ("a: " + "{b: " * 10_000, r"c\.yaml.*(levels|valid YAML)"),
        ("name: a\nname: b\n", r"duplicate key"),
        ("a: &a [*a]\n", r"c\.yaml"),
        ("- 1\n- 2\n", r"expected a mapping"),
        ("a: !!python/object/apply:os.system ['true']\n", r"c\.yaml"),
        ("name: [unclosed\n", r"no valid YAML"),
        ("", r"expected a mapping"),
    ],
)
def test_yaml_that_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(cx.CortexError, match=message):
        cx.load(written(tmp_path, text))


def test_aliases_that_unfold_to_billions_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, 12)]
    with pytest.raises(cx.SpecError, match=r"aliases|nodes"):
        cx.load(written(tmp_path, "\n".join(lines)))


def test_a_gigabyte_is_refused_by_its_size(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    with path.open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(cx.SpecError, match="1073741824 bytes; at most"):
        cx.load(path)


def test_scalars_are_those_of_yaml_1_2(tmp_path: Path) -> None:
    text = "name: on\ndt: 1 ms\nneurons: {no: {update: u = 0.5*u, parameters: {k: 1e-3}}}\n"
    text += "populations: {yes: {size: 2, neuron: no, transmitter: mixed}}\n"
    circuit = cx.load(written(tmp_path, text))
    assert circuit.name == "on"
    assert "no" in circuit.neurons
    assert "yes" in circuit.populations
    assert circuit.neurons["no"].parameters["k"] == 1e-3


def test_round_trip_keeps_everything(tmp_path: Path) -> None:
    plain = changed("projections/E_I/weight", cx.Array(np.random.default_rng(0).random((4, 2)), "nS"))
    plain["projections"]["I_E"]["delay"] = {"distribution": "uniform", "low": "1 ms", "high": "4 ms", "min": "2 ms"}
    plain["populations"]["E"]["parameters"] = {"tau": cx.Array([9.0, 10.0, 11.0, 12.0], "ms")}
    circuit = cx.validate(cx.Circuit(**plain))
    again = cx.load(cx.save(circuit, tmp_path / "c.yaml"))
    assert again == circuit
    assert again.hash == circuit.hash
    assert read_circuit(tmp_path / "c.yaml") == circuit


@pytest.mark.parametrize(
    "name", ["izhikevich", "conductance_ei", "adaptive_exponential", "two_compartment", "lateral_inhibition"]
)
def test_round_trip_of_shipped_circuits(tmp_path: Path, name: str) -> None:
    circuit = cx.load(name)
    assert cx.load(cx.save(circuit, tmp_path / f"{name}.yaml")) == circuit


def test_a_probability_of_one_stays_a_probability(tmp_path: Path) -> None:
    """1.0 equals True, which is how ``connect: all`` is kept."""
    circuit = cx.Circuit(**changed("projections/x_E/connect", {"probability": 1.0}))
    assert cx.load(cx.save(circuit, tmp_path / "c.yaml")) == circuit
    assert circuit.with_parameters({"projections.x_E.delay": "2 ms"}).projections["x_E"].connect.probability == 1.0


def test_saving_below_a_file_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(cx.CheckpointError, match="cannot be written"):
        cx.save(cx.Circuit(**mapping()), tmp_path / "file" / "c.yaml")
    assert os.listdir(tmp_path) == ["file"]


def test_damaged_arrays_are_refused(tmp_path: Path) -> None:
    circuit = cx.Circuit(**changed("projections/x_E/weight", [1.0, 2.0, 3.0, 4.0]))
    path = cx.save(circuit, tmp_path / "c.yaml")
    arrays = tmp_path / "c.safetensors"
    arrays.write_bytes(arrays.read_bytes()[:-8])
    with pytest.raises(cx.CheckpointError, match=r"c\.safetensors: cannot read the arrays"):
        cx.load(path)
    arrays.unlink()
    with pytest.raises(cx.CheckpointError, match=r"c\.safetensors"):
        cx.load(path)


def test_recordings_survive_zarr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = cx.Circuit(**mapping())
    inputs = {"x": np.full((30, 2, 4), 10.0)}
    probes = {"E": ["v", "spikes"], "I": ["spikes"]}
    dense = cx.simulate(circuit, inputs, probes=probes)
    monkeypatch.setattr("cortexsnn.recording.DENSE_LIMIT", 1)
    sparse = cx.simulate(circuit, inputs, probes=probes)
    assert "spike_neuron" in sparse["E"]
    assert cx.compare(dense, sparse).met == "bitwise"
    assert cx.compare(dense, sparse).n_spikes >= 8
    for recording in (dense, sparse):
        again = cx.load_recording(cx.save_recording(recording, tmp_path / "r.zarr"))
        assert cx.compare(recording, again).met == "bitwise"
        assert again["E"]["v"].attrs["units"] == "mV"
        assert again["E"]["time"].attrs["units"] == "ms"
        assert again.attrs["circuit_hash"] == circuit.hash
    with pytest.raises(cx.CheckpointError, match="cannot read a recording"):
        cx.load_recording(tmp_path)


def test_arguments_of_another_kind_are_refused() -> None:
    recording = cx.simulate(cx.Circuit(**mapping()), {"x": np.zeros((5, 1, 4))})
    with pytest.raises(cx.InputError, match="circuit: expected a Circuit, got int"):
        cx.lower(3)  # type: ignore[arg-type]
    with pytest.raises(cx.InputError, match=r"second recording: expected what simulate .* got a dict"):
        cx.compare(recording, {})  # type: ignore[arg-type]


GRADED = {
    "name": "graded", "dt": "1 ms",
    "neurons": {"g": {"update": "y = 0.5*y + x", "ports": {"x": {"kind": "pulse"}}, "output": "r = k*sqrt(y - 0.5)", "parameters": {"k": 1.0}}},
    "populations": {"A": {"size": 4, "neuron": "g", "transmitter": "excitatory"}},
    "inputs": {"i": {"size": 4, "kind": "current"}},
    "projections": {"i_A": {"pre": "i", "post": "A", "port": "x", "connect": "one_to_one", "weight": 1}},
}  # fmt: skip


@pytest.mark.parametrize("engine", ["numpy", "torch", "brian2"])
def test_nan_in_an_output_names_the_place(engine: str) -> None:
    rows = np.full((6, 1, 4), 1.0)
    rows[3, 0, 2] = -2.0
    with pytest.raises(cx.NumericalError, match=r"A\.r of neuron 2 became nan in step 3"):
        cx.simulate(cx.Circuit(**GRADED), {"i": rows}, engine=engine)


def test_one_infinity_does_not_hide_other_differences() -> None:
    rows = {"i": np.full((6, 1, 4), 1.0)}
    a, b = (
        cx.simulate(cx.Circuit(**GRADED).with_parameters({"populations.A.parameters.k": k}), rows) for k in (1.0, 1.5)
    )
    for recording in (a, b):
        recording["A"]["r"].values[0, 2, 1] = np.inf
        recording["A"]["r"].values[0, 0, 0] = np.nan
    found = cx.compare(a, b)
    assert not found.agree
    assert found.first_difference is not None
    assert (found.first_difference.step, found.first_difference.neuron) == (0, 1)
    assert cx.compare(a, a, tolerance=0).met == "bitwise"


def test_the_first_unequal_bit_is_named_where_the_class_allows_it() -> None:
    rows = {"i": np.full((6, 1, 4), 1.0)}
    a, b = (
        cx.simulate(cx.Circuit(**GRADED).with_parameters({"populations.A.parameters.k": k}), rows)
        for k in (1.0, 1.0 + 1e-13)
    )
    found = cx.compare(a, b)
    assert found.met == "spike for spike"
    assert found.first_unequal is not None
    assert found.first_unequal.step == 0
    assert "first in A.r of neuron 0 in step 0" in str(found)


def test_one_flipped_bit_of_an_array_is_refused(tmp_path: Path) -> None:
    path = cx.save(cx.Circuit(**changed("projections/x_E/weight", [1.0, 2.0, 3.0, 4.0])), tmp_path / "c.yaml")
    arrays = tmp_path / "c.safetensors"
    damaged = bytearray(arrays.read_bytes())
    damaged[-3] ^= 4
    arrays.write_bytes(damaged)
    with pytest.raises(
        cx.CheckpointError, match=r"c\.safetensors: array 'projections\.x_E\.weight' is not the one that was saved"
    ):
        cx.load(path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.full((3, 1, 4), np.nan), "inputs.x: NaN or infinity"),
        (np.zeros((3, 1, 4), complex), "inputs.x: expected real numbers"),
        (np.zeros((3, 1, 5)), r"inputs.x: expected shape \(step, trial, 4\)"),
        ("text", r"inputs.x: expected a tensor"),
    ],
)
def test_the_torch_module_refuses_what_simulate_refuses(rows: Any, message: str) -> None:
    network = cx.to_torch(cx.Circuit(**mapping()))
    with pytest.raises(cx.InputError, match=message):
        network({"x": rows})


def test_the_same_engine_twice_is_no_comparison() -> None:
    with pytest.raises(cx.InputError, match="at least two different ones"):
        cx.verify(cx.Circuit(**mapping()), {"x": np.zeros((5, 1, 4))}, engines=("brian2", "brian2:numpy"))
    with pytest.raises(cx.InputError, match="minimum_spikes: expected an integer >= 0"):
        cx.verify(cx.Circuit(**mapping()), {"x": np.zeros((5, 1, 4))}, minimum_spikes=-5)


def test_faults_of_one_population_are_all_reported() -> None:
    """A jump port without state, two unknown names, a wrong dimension, a bad threshold, a port that is not there."""
    plain = mapping()
    plain["neurons"]["cell"].update(
        equations="dv/dt = (E_L - v + zzz*foo)/tau : volt (unless refractory)\ndu/dt = -u : volt", threshold="q > V_T"
    )
    plain["projections"]["E_I"]["port"] = "nn"
    with pytest.raises(cx.SpecError) as caught:
        cx.validate(cx.Circuit(**plain))
    told = str(caught.value)
    for part in ("ports.g", "'foo'", "zzz", "equations.u", "threshold", "projections.E_I.port"):
        assert part in told, part


def test_a_refractory_period_is_not_trained() -> None:
    plain = mapping()
    plain["neurons"]["cell"].update(refractory="t_ref", trainable={"t_ref": {"min": "1 ms"}})
    plain["neurons"]["cell"]["parameters"]["t_ref"] = "2 ms"
    with pytest.raises(cx.SpecError, match=r"neurons\.cell\.trainable\.t_ref: .*counts whole steps"):
        cx.validate(cx.Circuit(**plain))


@pytest.mark.parametrize("values", [[True, True, False, True], [True, 1.0, 2.0, 3.0]])
def test_true_is_no_number_in_a_list(values: list[object]) -> None:
    with pytest.raises(cx.SpecError, match="true"):
        cx.validate(cx.Circuit(**changed("populations/E/parameters", {"E_L": {"values": values, "unit": "mV"}})))


def test_a_recording_with_a_missing_chunk_is_damaged(tmp_path: Path) -> None:
    circuit = cx.validate(cx.Circuit(**mapping()))
    recording = cx.simulate(circuit, {"x": np.full((40, 4), 400.0)}, probes={"E": ["v", "spikes"]})
    path = cx.save_recording(recording, tmp_path / "r.zarr")
    assert cx.compare(recording, cx.load_recording(path)).met == "bitwise"
    chunk = max(
        (p for p in (path / "E" / "v").rglob("*") if p.is_file() and p.name != "zarr.json"),
        key=lambda p: p.stat().st_size,
    )
    chunk.unlink()
    with pytest.raises(cx.CheckpointError, match="not those that were written"):
        cx.load_recording(path)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda c: cx.to_torch(c, dtype="float32"), cx.EngineError),
        (lambda c: cx.to_torch(c, dtype=int), cx.EngineError),
        (lambda c: cx.to_torch(c)(np.zeros((3, 1, 4))), cx.InputError),
        (lambda c: cx.realise("x"), cx.InputError),
        (lambda c: cx.verify(c, engines=5), cx.InputError),
        (lambda c: cx.save_recording("x", "q.zarr"), cx.InputError),
        (lambda c: cx.initialise("x", None), cx.InputError),
        (lambda c: cx.save(c, None), cx.InputError),
        (lambda c: cx.Circuit({}), cx.InputError),
        (lambda c: setattr(c, "dt", "2 ms"), cx.InputError),
        (lambda c: cx.load("lateral_inhibition", hiden=(4,)), cx.InputError),
    ],
)
def test_calls_that_make_no_sense_say_so(call: Any, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        call(cx.validate(cx.Circuit(**mapping())))
    assert "\n" not in str(caught.value)
