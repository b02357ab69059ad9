"""The specification as data: structure, freezing, hash, changed copies, arrays; every structural problem at once."""

from __future__ import annotations

import contextlib
import copy
import pickle
import re
from typing import Any

import brian2 as b2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cortexsnn as cx
from cortexsnn.errors import MOST_PRINTED, Problem
from cortexsnn.spec import FrozenDict, to_plain
from small_circuit import small

# -- structural problems ----------------------------------------------------------------------------------------------

STRUCTURE: list[tuple[str, Any, str]] = [
    ("name", 5, r"^name: expected a text, got 5; put it in quotes$"),
    ("name", None, r"^name: expected a text, got None"),
    ("dt", 1, r"^dt: expected a text such as '1 ms', got 1$"),
    ("duration", 1.5, r"^duration: expected a text such as '1 ms', got 1\.5$"),
    ("nme", "x", r"^nme: unknown field 'nme'; remove it or correct its spelling \(known: name, description"),
    ("self", 1, r"^self: unknown field 'self'"),
    ("cls", 1, r"^cls: unknown field 'cls'"),
    ("neurons", [], r"^neurons: expected a mapping of fields, got \[\]$"),
    ("neurons", {1: {}}, r"^neurons\.1: expected a name as key, got 1$"),
    ("neurons/cell", "lif", r"^neurons\.cell: expected a mapping of fields, got 'lif'$"),
    ("neurons/cell/equation", "", r"^neurons\.cell\.equation: unknown field .*\(known: equations, update, ports"),
    ("neurons/cell/threshold", 5, r"^neurons\.cell\.threshold: expected a text, got 5; put it in quotes$"),
    ("neurons/cell/method", "exact2", r"^neurons\.cell\.method: expected 'exact', 'exponential_euler', .*got 'exact2'$"),
    ("neurons/cell/ports/I/kind", "puls", r"^neurons\.cell\.ports\.I\.kind: expected 'pulse' or 'jump', got 'puls'$"),
    ("neurons/cell/ports/I/knd", 1, r"^neurons\.cell\.ports\.I\.knd: unknown field .*\(known: unit, kind, receptor, charge\)$"),
    ("neurons/cell/parameters/tau", True, r"tau: expected a number, a text such as '10 ms', a distribution or a list, got True$"),
    ("neurons/cell/parameters/tau", None, r"tau: expected a number, a text"),
    ("neurons/cell/parameters/tau", ["1 ms", "2 ms"], r"tau: expected real numbers and no texts, .*; write \{values: \[1, 2\], unit: ms\}$"),
    ("neurons/cell/parameters/tau", [[1, 2], [3]], r"tau: expected numbers in rows of equal length, got \[\[1, 2\], \[3\]\]$"),
    ("neurons/cell/parameters/tau", [1j], r"tau: expected real numbers and no complex numbers"),
    ("neurons/cell/parameters/tau", [None], r"tau: expected real numbers and no object entries"),
    ("neurons/cell/parameters/tau", {"distribution": "triangular"}, r"tau\.distribution: expected 'constant', 'uniform', "),
    ("neurons/cell/parameters/tau", {"distribution": "normal", "mu": 1}, r"tau\.mu: unknown field 'mu'.*known: distribution, value"),
    ("neurons/cell/parameters/tau", {"mean": 1}, r"tau\.distribution: is missing; add it$"),
    ("neurons/cell/trainable", {"tau": {"per": "cell"}}, r"trainable\.tau\.per: expected 'neuron' or 'population', got 'cell'$"),
    ("neurons/cell/reductions", {"m": {"op": "min", "of": "v"}}, r"reductions\.m\.op: expected 'sum', 'mean', 'max' or 'min_positive'"),
    ("populations/E/size", "4", r"^populations\.E\.size: expected a whole number, got '4'$"),
    ("populations/E/size", True, r"^populations\.E\.size: expected a whole number, got True$"),
    ("populations/E/size", 4.5, r"^populations\.E\.size: expected a whole number, got 4\.5$"),
    ("populations/E/size", 0, r"^populations\.E\.size: expected a number >= 1, got 0$"),
    ("populations/E/size", 10**400, r"^populations\.E\.size: expected a number <= 2147483646, got 1000000"),
    ("populations/M/shape", [], r"^populations\.M\.shape: expected at least 1 entry, got \[\]$"),
    ("populations/M/shape", [2] * 9, r"^populations\.M\.shape: expected at most 8 entries"),
    ("populations/M/shape", 3, r"^populations\.M\.shape: expected a list, got 3$"),
    ("populations/E/neuron", 5, r"^populations\.E\.neuron: expected the name of a neuron, or a list of names, got 5$"),
    ("populations/E/transmitter", "gaba", r"^populations\.E\.transmitter: expected 'excitatory', 'inhibitory' or 'mixed', got 'gaba'$"),
    ("populations/str", {"size": "x"}, r"populations\.str\.size: expected a whole number"),
    ("projections/x_E/connect", "some", r"connect: expected all, one_to_one or a mapping such as \{probability: 0\.1\}, got 'some'$"),
    ("projections/x_E/connect", {"all": "yes"}, r"connect\.all: expected true or false, got 'yes'$"),
    ("projections/x_E/connect", {"probability": "0.1"}, r"connect\.probability: expected a number, got '0\.1'$"),
    ("projections/x_E/connect", {"indegree": -1}, r"connect\.indegree: expected a number >= 0, got -1$"),
    ("projections/x_E/connect", {"total_number": 10**30}, r"connect\.total_number: expected a number <= 2147483646"),
    ("projections/x_E/connect", {"edges": {"pre": 1, "post": [0]}}, r"connect\.edges\.pre: expected a list of numbers, got 1$"),
    ("projections/x_E/trainable", "no", r"^projections\.x_E\.trainable: expected true or false, got 'no'$"),
    ("projections/x_E/gradient_scale", "1", r"gradient_scale: expected a number, got '1'$"),
    ("initialisation", [{"rule": "ei"}], r"initialisation\.0\.excitatory: is missing; add it"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "message"), STRUCTURE, ids=[f"{p}={v!r:.25}" for p, v, _ in STRUCTURE])
def test_structure_is_checked(path: str, value: Any, message: str) -> None:
    with pytest.raises(cx.SpecError) as caught:
        cx.Circuit(**small({path: value}))
    text = [str(p) for p in caught.value.problems]
    assert any(re.search(message, line) for line in text), text
    assert all("\n" not in line and len(line) < 500 for line in text)


def test_all_structural_problems_are_reported_at_once() -> None:
    changes = {"name": 1, "populations/E/size": "x", "projections/x_E/wieght": 1, "inputs/x/kind": "noise"}
    with pytest.raises(cx.SpecError, match=r"^5 problems in the circuit:\n  - ") as caught:
        cx.Circuit(**small(changes, without=("dt",)))
    paths = [p.path for p in caught.value.problems]
    assert sorted(paths) == ["dt", "inputs.x.kind", "name", "populations.E.size", "projections.x_E.wieght"]
    assert pickle.loads(pickle.dumps(caught.value)).problems == caught.value.problems


def test_long_lists_of_problems_are_cut_in_print_only() -> None:
    error = cx.SpecError([Problem(f"a.{k}", "wrong") for k in range(MOST_PRINTED + 7)])
    assert str(error).splitlines()[-1] == "  and 7 more"
    assert len(error.problems) == MOST_PRINTED + 7


def test_messages_are_one_printable_line_whatever_the_names() -> None:
    assert str(Problem("a\n\x1b[31m.b", "x\ty")) == "a ?[31m.b: x y"


@pytest.mark.parametrize(
    ("part", "fields", "message"),
    [
        (cx.Neuron, {"ports": 3}, r"^ports: expected a mapping"),
        (cx.Population, {"size": "x", "neuron": "a", "transmitter": "mixed"}, r"^size: expected a whole number"),
        (cx.Projection, {"pre": "a", "post": "b", "connect": "all"}, r"^weight: is missing; add it$"),
    ],
)
def test_parts_built_alone_raise_the_same_error(part: Any, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(cx.SpecError, match=message):
        part(**fields)


# -- frozen, equal, hashed --------------------------------------------------------------------------------------------


def test_circuits_are_frozen() -> None:
    circuit = cx.Circuit(**small())
    with pytest.raises(Exception, match="frozen"):
        circuit.name = "other"
    with pytest.raises(TypeError, match=r"circuits are frozen; use circuit\.with_parameters"):
        circuit.populations["Q"] = circuit.populations["E"]  # type: ignore[index]
    for change in ("pop", "clear", "popitem", "update", "setdefault"):
        with pytest.raises(TypeError, match="frozen"):
            getattr(circuit.neurons, change)("a")
    assert isinstance(copy.deepcopy(circuit).neurons, FrozenDict)
    assert pickle.loads(pickle.dumps(circuit)) == circuit
    with pytest.raises(ValueError, match="read-only"):
        cx.Array([1.0]).values[0] = 2


def test_to_plain_and_back_is_the_identity() -> None:
    circuit = cx.Circuit(**small())
    assert to_plain(circuit) == small()
    assert cx.Circuit(**to_plain(circuit)) == circuit
    built = cx.Circuit(**{**small(), "neurons": dict(circuit.neurons), "populations": dict(circuit.populations)})
    assert built == circuit
    assert built.hash == circuit.hash


CHANGES: dict[str, Any] = {
    "name": "other", "description": "x", "sources": ["x"], "dt": "0.5 ms", "duration": "30 ms", "readout": None,
    "neurons/cell/equations": "dv/dt = (E_L - v + R*I)/tau : volt\ndg/dt = -g/tau_g : siemens", "neurons/cell/reset": "v = V_T",
    "neurons/cell/threshold": "v >= V_T", "neurons/cell/threshold_scale": "5 mV", "neurons/cell/refractory": "3 ms",
    "neurons/cell/method": "euler", "neurons/cell/parameters/tau": "11 ms", "neurons/cell/initial/v": "-71 mV",
    "neurons/cell/ports/g/receptor": "any", "neurons/cell/ports/g/charge": "conserved", "neurons/cell/after_reset": "a = v/mV",
    "neurons/cell/trainable": {"tau": {}}, "neurons/cell/description": "x", "neurons/cell/adds": {"I": "1*pA"},
    "neurons/cell/reductions": {"m": {"op": "sum", "of": "v"}}, "neurons/rate/output": "r = 2*x*R_0", "populations/E/size": 5,
    "populations/E/transmitter": "mixed", "populations/E/parameters": {"tau": "12 ms"}, "populations/E/initial": {"v": "-65 mV"},
    "inputs/x/unit": "nA", "inputs/x/transmitter": "inhibitory", "inputs/p/rate": "11 Hz", "inputs/p/size": 5,
    "projections/E_I/pre": "E[0:2]", "projections/E_I/connect": {"probability": 0.5}, "projections/E_I/weight": "2 nS",
    "projections/E_I/delay": "2 ms", "projections/E_I/trainable": True, "projections/E_I/gradient_scale": 0.5,
    "projections/I_E/connect": {"probability": 0.5, "autapses": False}, "projections/I_E/port": "g",
    "projections/x_E/weight": [100.0, 100.0, 100.0, 101.0],
}  # fmt: skip


@pytest.mark.parametrize("path", CHANGES)
def test_the_hash_changes_with_every_field(path: str) -> None:
    assert cx.Circuit(**small({path: CHANGES[path]})).hash != cx.Circuit(**small()).hash


def test_the_hash_is_stable() -> None:
    """A value: between processes, versions of Python and machines the same."""
    assert cx.Circuit(**small()).hash == cx.Circuit(**small()).hash == "9c1b2ac66c0ab7ab"
    weights = [
        cx.Circuit(**small({"projections/x_E/weight": [1.0, 2.0, 3.0, w]})).hash
        for w in (4.0, np.nextafter(4.0, 5), 4.0)
    ]
    assert weights[0] == weights[2] != weights[1]


# -- changed copies ---------------------------------------------------------------------------------------------------


def test_all_paths_that_lead_nowhere_are_named() -> None:
    with pytest.raises(cx.InputError, match=r"populations\.Q\.size: .*; projections\.p\.weight: "):
        cx.Circuit(**small()).with_parameters({"populations.Q.size": 3, "projections.p.weight": "1 nS"})


def test_with_parameters_changes_a_copy() -> None:
    circuit = cx.Circuit(**small())
    changed = circuit.with_parameters(
        {
            "populations.E.parameters.tau": "15 ms", "neurons.cell.trainable.tau": {"per": "neuron"}, "populations.M.shape.0": 3,
            "projections.I_E.connect.probability": 0.25, "inputs.y": {"size": 1, "kind": "spikes"}, "dt": "0.5 ms",
            "populations.I.size": np.int64(3), "projections.E_I.weight": 2 * b2.nS, "projections.I_E.weight": np.float64(3) * b2.pA,
        }
    )  # fmt: skip
    assert circuit == cx.Circuit(**small())
    assert changed.populations["E"].parameters["tau"] == "15 ms"
    assert changed.populations["M"].n == 3 * 16
    assert changed.populations["I"].size == 3
    assert changed.projections["I_E"].connect.probability == 0.25
    assert changed.projections["E_I"].weight == "2.0 nS"
    assert changed.inputs["y"].kind == "spikes"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("populations.Q.size", r"^populations\.Q\.size: unknown part 'Q'; known: E, I, M, out\.$"),
        ("populations.E.parametres.tau", r"^populations\.E\.parametres\.tau: unknown part 'parametres'"),
        ("projections.E_I.connect.autapses", r"^projections\.E_I\.connect\.autapses: 'projections\.E_I\.connect' is 'all' and has no parts; set it as a whole$"),
        ("populations.M.shape.7", r"^populations\.M\.shape\.7: unknown part '7'; known: 0, 1, 2\.$"),
        ("populations.M.shape.x", r"unknown part 'x'"),
        ("dt.unit", r"^dt\.unit: 'dt' is '1 ms' and has no parts; set it as a whole$"),
        ("..", r"unknown part ''"),
        (5, r"^expected paths such as 'populations\.E\.size', got 5$"),
    ],
)  # fmt: skip
def test_paths_that_lead_nowhere(path: Any, message: str) -> None:
    with pytest.raises(cx.InputError, match=message):
        cx.Circuit(**small()).with_parameters({path: 1})


def test_changes_are_validated() -> None:
    circuit = cx.Circuit(**small())
    with pytest.raises(
        cx.SpecError, match=r"^populations\.E\.parameters\.tua: unknown parameter 'tua'.*Did you mean 'tau'\?$"
    ):
        circuit.with_parameters({"populations.E.parameters.tua": "1 ms"})
    with pytest.raises(cx.SpecError, match=r"^populations\.E\.colour: unknown field"):
        circuit.with_parameters({"populations.E.colour": "red"})
    with pytest.raises(cx.SpecError, match=r"unknown field ''"):
        circuit.with_parameters({"": 1})
    with pytest.raises(cx.InputError, match="expected a mapping of paths to values, got 5"):
        circuit.with_parameters(5)  # type: ignore[arg-type]


# -- arrays -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "kind"), [([1, 2], "i"), ([1.5], "f"), ([True], "b"), (np.float32([1]), "f"), (np.array(3, ">i4"), "i")]
)
def test_arrays_keep_their_kind(values: Any, kind: str) -> None:
    array = cx.Array(values, "ms")
    assert array.values.dtype.kind == kind
    assert array.values.dtype.isnative
    assert array == cx.Array(np.array(values), "ms")
    assert array != cx.Array(values, "mV")
    assert hash(array) == hash(cx.Array(values, "ms"))
    assert repr(array) == f"Array(shape={np.shape(values)}, unit='ms')"


@pytest.mark.parametrize("values", [["a"], [1j], [[1], [1, 2]], [None], [{}], [10**400]])
def test_arrays_hold_real_numbers(values: Any) -> None:
    with pytest.raises(cx.InputError, match=r"^expected (real )?numbers"):
        cx.Array(values)


def test_quantities_of_brian2_bring_their_unit() -> None:
    assert cx.Array([1, 2] * b2.uS).unit == "nS"
    assert np.allclose(cx.Array([1, 2.5] * b2.uS).values, [1000, 2500], rtol=1e-15, atol=0)
    circuit = cx.Circuit(
        **small({"projections/x_E/weight": [1, 2, 3, 4] * b2.nS, "neurons/cell/parameters/tau": 10 / 3 * b2.ms})
    )
    weight = circuit.projections["x_E"].weight
    assert isinstance(weight, cx.Array)
    assert weight.unit == "nS"
    assert np.allclose(weight.values, [1, 2, 3, 4], rtol=1e-15, atol=0)
    assert circuit.neurons["cell"].parameters["tau"] == f"{float(10 / 3 * b2.ms) * 1e3!r} ms"


@settings(max_examples=50, deadline=5000)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_any_value_anywhere_is_a_circuit_or_a_spec_error(value: Any) -> None:
    for path in ("neurons/cell/parameters/tau", "populations/E", "projections/x_E/connect", "name", "initialisation"):
        with contextlib.suppress(cx.SpecError):
            cx.validate(cx.Circuit(**small({path: value})))
