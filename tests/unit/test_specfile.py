"""Circuits as files: bounded reading of hostile text, loss-free round trips, writing that is complete or nothing."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from safetensors.numpy import save_file

import cortexsnn as cx
from cortexsnn.specfile import read_circuit
from small_circuit import small


def written(folder: Path, text: str | bytes, name: str = "c.yaml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# -- reading ----------------------------------------------------------------------------------------------------------

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 20)
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{k}: &a{k} {{<<: [{', '.join([f'*a{k - 1}'] * 9)}], y{k}: 1}}\n" for k in range(1, 30)
)
LIMITS = r"YAML with more than 40 levels, 20000 nodes or 1000 aliases; put arrays into safetensors, write less$"
TEXTS: dict[str, tuple[str | bytes, str]] = {
    "flow depth": ("[" * 10_000 + "]" * 10_000, LIMITS),
    "mapping depth": ("".join(" " * k + f"a{k}:\n" for k in range(900)), LIMITS),
    "sequence depth": ("- " * 10_000, LIMITS),
    "questions": ("? " * 10_000, LIMITS),
    "nodes": ("a: [" + "1, " * 30_000 + "1]", LIMITS),
    "aliases": ("a: &a 1\nb: [" + "*a, " * 2000 + "*a]", LIMITS),
    "documents": ("---\n" * 20_000, LIMITS),
    "alias bomb": (BOMB, r"aliases unfold to too many nodes or to a cycle; write the parts out$"),
    "merge bomb": (MERGES, r"merge keys \(<<\) are not part of YAML 1\.2; write the fields out$"),
    "cyclic alias": ("name: &a [*a]\n", r"aliases unfold to too many nodes or to a cycle"),
    "cycle at the top": ("&a\nname: *a\nneurons: *a\n", r"aliases unfold to too many nodes or to a cycle"),
    "duplicate key": ("name: a\ndt: 1 ms\nname: b\n", r"c\.yaml:3: no valid YAML: found duplicate key \"name\""),
    "duplicate nested key": ("neurons:\n  a: {update: x}\n  a: {}\n", r"c\.yaml:3: no valid YAML: found duplicate key \"a\""),
    "python object": ("a: !!python/object/apply:os.system ['true']", r"c\.yaml:1: no valid YAML: could not determine a constructor"),
    "unclosed": ("name: [unclosed\n", r"c\.yaml:2: no valid YAML: "),
    "tab": ("a:\n\t- b\n", r"c\.yaml:2: no valid YAML: "),
    "no document": ("", r"c\.yaml: expected a mapping with name, dt, neurons, populations …, got None"),
    "list": ("- 1\n", r"expected a mapping with name, dt, .*got \[1\]"),
    "scalar": ("hello", r"expected a mapping with name, dt, .*got 'hello'"),
    "two documents": ("a: 1\n---\nb: 1\n", r"c\.yaml:2: no valid YAML: expected a single document in the stream, but found another document$"),
    "number as key": ("1: 2\n", r"expected names as keys, got 1; put it in quotes$"),
    "null as key": ("null: 2\n", r"expected names as keys, got None"),
    "mapping as key": ("? {a: 1}\n: 2\n", r"no valid YAML: found unhashable key"),
    "yaml 1.1": ("%YAML 1.1\n---\nname: no\n", r"expected YAML 1\.2; remove the %YAML line$"),
    "utf-16": ("name: a".encode("utf-16"), r"expected YAML in UTF-8; convert the file$"),
    "binary": (bytes(range(256)), r"expected YAML in UTF-8"),
    "control character": ("name: a\x07b\n", r"no valid YAML: unacceptable character #x0007: special characters are not allowed$"),
    "no date": ("description: 2024-13-45\n", r"no valid YAML: month must be in 1\.\.12"),
    "date": ("description: 2024-01-02\n", r"description: expected a text, got datetime\.date"),
    "bytes": ("description: !!binary aGk=\n", r"description: expected a text, got b'hi'"),
    "set": ("sources: !!set {a, b}\n", r"sources: expected a list, got \{'[ab]', '[ab]'\}"),
    "long integer": ("a: " + "9" * 5000, r"no valid YAML: Exceeds the limit \(4300 digits\)"),
    "unknown anchor": ("name: *nobody\n", r"no valid YAML: found undefined alias"),
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_hostile_text_is_refused_at_once(name: str, tmp_path: Path) -> None:
    text, message = TEXTS[name]
    path = written(tmp_path, text)
    begin = time.perf_counter()
    with pytest.raises(cx.SpecError, match=message) as caught:
        cx.load(path)
    assert time.perf_counter() - begin < 5
    assert all("\n" not in str(p) for p in caught.value.problems)


def test_a_gigabyte_is_refused_without_reading(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    with path.open("wb") as file:
        file.truncate(2**30)
    begin = time.perf_counter()
    with pytest.raises(
        cx.SpecError, match=r"file of 1073741824 bytes; at most 524288 are read, put arrays into safetensors$"
    ):
        cx.load(path)
    assert time.perf_counter() - begin < 0.5


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    for path, message in {
        tmp_path / "absent.yaml": r"absent\.yaml: cannot read the circuit: No such file or directory$",
        tmp_path: r"cannot read the circuit: no regular file$",
        tmp_path / "pipe.yaml": r"cannot read the circuit: no regular file$",
        "/dev/zero": r"cannot read the circuit: no regular file$",
        "a\0b.yaml": r"cannot read the circuit: embedded null byte$",
    }.items():
        with pytest.raises(cx.SpecError, match=message):
            cx.load(path)
    for name in ("nobody", "a" * 5000, "a\0b", ""):
        with pytest.raises(
            (cx.InputError, cx.SpecError), match=r"unknown circuit '.*known: .*izhikevich|no regular file"
        ):
            cx.load(name)
    with pytest.raises(cx.InputError, match=r"^unknown circuit 'izhikevic'; known: .* Did you mean 'izhikevich'\?"):
        cx.load("izhikevic")
    with pytest.raises(cx.InputError, match="'izhikevich' takes no arguments, use with_parameters"):
        cx.load("izhikevich", size=3)
    with pytest.raises(cx.InputError, match=r"circuit 'lateral_inhibition': .*colour"):
        cx.load("lateral_inhibition", colour="red")


def test_scalars_are_those_of_yaml_1_2(tmp_path: Path) -> None:
    text = "name: on\ndescription: '1e-3'\ndt: 1 ms\nneurons: {no: {update: u = 0.5*u*k, parameters: {k: 1e-3, o: 010, y: 1_0}}}\n"
    text += "populations: {yes: {size: 2, neuron: no, transmitter: mixed}}\n"
    circuit = cx.load(written(tmp_path, text))
    assert circuit.name == "on"
    assert list(circuit.populations) == ["yes"]
    parameters = circuit.neurons["no"].parameters
    assert parameters["k"] == 0.001
    assert parameters["o"] == 10
    assert circuit.description == "1e-3"


def test_yes_is_no_boolean(tmp_path: Path) -> None:
    text = "name: a\ndt: 1 ms\nneurons: {n: {}}\npopulations: {E: {size: 2, neuron: n, transmitter: mixed}}\n"
    text += "projections: {E_E: {pre: E, post: E, port: x, connect: all, weight: 1, trainable: yes}}\n"
    with pytest.raises(cx.SpecError, match=r"^projections\.E_E\.trainable: expected true or false, got 'yes'$"):
        cx.load(written(tmp_path, text))


# -- round trips ------------------------------------------------------------------------------------------------------


def full() -> cx.Circuit:
    """A circuit in which everything that can be an array, a distribution or a part is one."""
    rng = np.random.default_rng(1)
    return cx.Circuit(
        **small(
            {
                "neurons/cell/parameters/tau": {"distribution": "normal", "mean": "10 ms", "std": "1 ms", "min": "5 ms"},
                "neurons/cell/trainable": {"tau": {"per": "neuron", "min": "5 ms"}, "v": {}},
                "populations/E/parameters": {"E_L": cx.Array(rng.normal(-70, 1, 4), "mV")},
                "populations/E/initial": {"v": {"distribution": "uniform", "low": "-70 mV", "high": "-60 mV"}},
                "populations/N": {"shape": [3, 4, 4], "neuron": "cell", "transmitter": "inhibitory"},
                "inputs/p/rate": cx.Array([1, 2, 3, 4], "Hz"),
                "inputs/s": {"size": 2, "kind": "spikes", "transmitter": "inhibitory"},
                "projections/E_I/weight": cx.Array(rng.random((4, 2)), "nS"),
                "projections/conv": {
                    "pre": "M", "post": "N", "port": "I", "connect": {"conv2d": {"kernel": 3, "padding": 1}},
                    "weight": cx.Array(rng.normal(size=(3, 2, 3, 3)), "pA"), "delay": "1 ms", "trainable": True,
                },
                "projections/part": {
                    "pre": "E[1:3]", "post": "I[:1]", "deliver": {"I": "100*pA*int(tau > 9*ms)"},
                    "connect": {"edges": {"pre": np.array([0, 1, 1], np.int32), "post": np.array([0, 0, 0], np.uint8)}},
                    "weight": {"distribution": "gamma", "shape": 2, "scale": 0.5}, "delay": cx.Array([1.0, 2.0, 3.0], "ms"),
                },
                "projections/drawn": {
                    "pre": "s", "post": "E", "port": "I", "connect": {"indegree": 1, "multapses": False},
                    "weight": {"distribution": "lognormal", "median": "1 pA", "sigma": 0.5}, "gradient_scale": 0.25,
                    "delay": {"distribution": "exponential", "mean": "2 ms", "min": "1 ms"},
                },
                "description": "a: b\n# no comment\n  'quotes' \"double\"\n\ttab",
                "sources": ["on", "1e-3", "~", "- x", ""],
            }
        )
    )  # fmt: skip


def test_round_trip_keeps_everything(tmp_path: Path) -> None:
    circuit = cx.validate(full())
    path = cx.save(circuit, tmp_path / "mine.yaml")
    assert sorted(os.listdir(tmp_path)) == ["mine.safetensors", "mine.yaml"]
    again = cx.load(path)
    assert again == circuit
    assert again.hash == circuit.hash
    assert again.projections["part"].connect.edges.post.values.dtype == np.uint8  # type: ignore[union-attr]
    assert list(again.projections) == list(circuit.projections)
    cx.save(again, tmp_path / "twice.yaml")
    text = (tmp_path / "mine.yaml").read_text().replace("mine.safetensors", "twice.safetensors")
    assert (tmp_path / "twice.yaml").read_text() == text


def test_the_file_and_python_say_the_same(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    with path.open("w") as file:
        YAML(typ="safe").dump(small(), file)
    assert set(read_circuit(path).projections) == set(small()["projections"])
    ordered = cx.save(cx.Circuit(**small()), tmp_path / "d.yaml")
    assert read_circuit(ordered) == cx.Circuit(**small())
    assert read_circuit(ordered).hash == cx.Circuit(**small()).hash


@settings(max_examples=150, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(max_size=60), st.floats(allow_nan=False, allow_infinity=False), st.lists(st.text(max_size=20), max_size=3)
)
@example("\x85 \u2028\u2029", 0.5, ["\x85a"])
def test_texts_and_numbers_survive(tmp_path: Path, text: str, number: float, sources: list[str]) -> None:
    changes = {"description": text, "neurons/cell/parameters/extra": number, "sources": sources}
    circuit = cx.Circuit(**small(changes))
    path = cx.save(circuit, tmp_path / "t.yaml")
    assert read_circuit(path) == circuit


# -- arrays beside the circuit ----------------------------------------------------------------------------------------


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


def _half_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])


def _garbage(path: Path) -> None:
    path.write_bytes(os.urandom(1000))


def _huge_header(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 2**60) + b"{}")


def _flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[10] ^= 0xFF
    path.write_bytes(data)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [_truncated, _half_header, _garbage, _huge_header, _flipped, _empty, Path.unlink])
def test_damaged_arrays_are_refused(damage: Callable[[Path], object], tmp_path: Path) -> None:
    path = cx.save(full(), tmp_path / "c.yaml")
    damage(tmp_path / "c.safetensors")
    with pytest.raises(
        cx.CheckpointError,
        match=r"c\.safetensors: cannot read the arrays \(.*\); the file is missing, cut off or damaged$",
    ):
        cx.load(path)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("{file: ../secret.safetensors, key: a}", r"arrays must lie beside the circuit file or below it; move them there$"),
        ("{file: /etc/passwd, key: a}", r"arrays must lie beside the circuit file"),
        ("{file: link.safetensors, key: a}", r"arrays must lie beside the circuit file"),
        ("{file: absent.safetensors, key: a}", r"cannot read the arrays \(no regular file\)"),
        ("{file: ., key: a}", r"cannot read the arrays \(no regular file\)"),
        ("{file: pipe, key: a}", r"cannot read the arrays \(no regular file\)"),
        ('{file: "a\\0b", key: a}', r"no file name; name a \.safetensors file beside the circuit$"),
        ("{file: [1], key: {a: 1}}", r"cannot read the arrays"),
        ("{file: c.safetensors, key: weihgt}", r"c\.safetensors: unknown array 'weihgt'; known: nan, weight\. Did you mean 'weight'\?$"),
        ("{file: c.safetensors, key: nan, unit: ms}", r"tau: expected finite numbers, got nan at index 1; correct it$"),
        ("{file: c.safetensors, key: weight, unit: furlong}", r"tau: unknown unit 'furlong'"),
        ("{file: c.safetensors, key: weight, unit: ms}", r"tau: expected one number or one per neuron"),
    ],
)  # fmt: skip
def test_references_to_arrays_are_checked(reference: str, message: str, tmp_path: Path) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    save_file({"a": np.ones(3)}, tmp_path / "secret.safetensors")
    (folder / "link.safetensors").symlink_to(tmp_path / "secret.safetensors")
    os.mkfifo(folder / "pipe")
    save_file({"weight": np.ones(3), "nan": np.array([1.0, np.nan])}, folder / "c.safetensors")
    path = cx.save(cx.Circuit(**small({"neurons/cell/parameters/tau": "HERE"})), folder / "d.yaml")
    path.write_text(path.read_text().replace("HERE", reference))
    with pytest.raises((cx.CheckpointError, cx.SpecError), match=message):
        cx.load(path)


# -- writing ----------------------------------------------------------------------------------------------------------


def _below_a_file(folder: Path) -> Path:
    (folder / "file").write_text("")
    return folder / "file" / "c.yaml"


def _in_no_folder(folder: Path) -> Path:
    return folder / "absent" / "c.yaml"


def _onto_a_folder(folder: Path) -> Path:
    (folder / "c.yaml").mkdir()
    return folder / "c.yaml"


def _onto_arrays_that_are_a_folder(folder: Path) -> Path:
    (folder / "c.safetensors").mkdir()
    return folder / "c.yaml"


def _in_proc(folder: Path) -> Path:
    return Path("/proc/c.yaml")


def _with_a_null_byte(folder: Path) -> Path:
    return folder / "a\0b.yaml"


@pytest.mark.parametrize(
    "place", [_below_a_file, _in_no_folder, _onto_a_folder, _onto_arrays_that_are_a_folder, _in_proc, _with_a_null_byte]
)
def test_saving_where_nothing_can_be_written_leaves_nothing(place: Callable[[Path], Path], tmp_path: Path) -> None:
    path = place(tmp_path)
    before = sorted(str(p) for p in tmp_path.rglob("*"))
    with pytest.raises(cx.CheckpointError, match=r"cannot be written \(.*\); choose a folder you may write to$"):
        cx.save(full(), path)
    assert sorted(str(p) for p in tmp_path.rglob("*")) == before


def test_a_failed_save_keeps_the_older_circuit_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = cx.save(full(), tmp_path / "c.yaml")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    other = full().with_parameters({"projections.E_I.weight": cx.Array(np.zeros((4, 2)), "nS")})

    def full_disk(self: Any, *arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(cx.CheckpointError, match=r"No space left on device"):
        cx.save(other, path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", ["mine", "mine.safetensors", "mine.json", ".yaml", ""])
def test_names_that_are_no_yaml_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(cx.CheckpointError, match=r"expected a name that ends in \.yaml; rename it$"):
        cx.save(full(), tmp_path / name if name else "")
    assert os.listdir(tmp_path) == []
