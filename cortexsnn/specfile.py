"""Circuits as files: YAML 1.2 for the text, safetensors beside it for arrays; reading is bounded, writing is atomic."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from .errors import CheckpointError, InputError, Problem, SpecError, unknown
from .grammar import shorten
from .spec import Array, Circuit, to_plain

MAX_BYTES = 2**19
MAX_DEPTH = 40
MAX_NODES = 20_000
MAX_ALIASES = 1000
"""Bounds on a YAML file; the slowest text within them is refused or read in a few seconds."""
SUFFIXES = (".yaml", ".yml")


def read_circuit(path: str | Path) -> Circuit:
    """Read a circuit; validation of its meaning is left to :func:`cortexsnn.validate.validate`.

    Raises
    ------
    SpecError
        No such file, no YAML, too large or too deep, unknown fields.
    CheckpointError
        The arrays beside it are missing or damaged.
    """
    path = Path(path)
    data = _read_yaml(path)
    if not isinstance(data, dict):
        raise _refused(path, f"expected a mapping with name, dt, neurons, populations …, got {data!r:.60}")
    strange = [key for key in data if not isinstance(key, str)]
    if strange:
        raise _refused(path, f"expected names as keys, got {strange[0]!r:.60}; put it in quotes")
    return Circuit(**_Arrays(path).load(data))


def _refused(where: object, message: str) -> SpecError:
    return SpecError([Problem(str(where), message)])


def _read_yaml(path: Path) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    text = _read_text(path)
    try:
        _check_bounds(path, YAML(typ="safe", pure=True).parse(StringIO(text)))
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        if problem.startswith("but "):
            problem = f"{getattr(error, 'context', None)}, {problem}"
        mark = getattr(error, "problem_mark", None)
        raise _refused(f"{path}:{mark.line + 1}" if mark else path, f"no valid YAML: {shorten(problem)}") from None
    except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RecursionError) as error:
        # The constructors of dates, numbers and sets let these through.
        raise _refused(path, f"no valid YAML: {shorten(str(error))}") from None


def _read_text(path: Path) -> str:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise _refused(path, "cannot read the circuit: no regular file")
        if found.st_size > MAX_BYTES:
            limit = f"at most {MAX_BYTES} are read, put arrays into safetensors"
            raise _refused(path, f"file of {found.st_size} bytes; {limit}")
        with path.open("rb") as file:
            return file.read(MAX_BYTES).decode("utf-8")
    except OSError as error:
        raise _refused(path, f"cannot read the circuit: {error.strerror}") from None
    except UnicodeDecodeError:
        raise _refused(path, "expected YAML in UTF-8; convert the file") from None
    except ValueError as error:  # a null byte in the path
        raise _refused(path, f"cannot read the circuit: {error}") from None


def _check_bounds(path: Path, events: Any) -> None:
    """Refuse nesting, aliases and sizes that could exhaust memory, while the text is still a stream of events."""
    depth = aliases = 0
    for nodes, event in enumerate(events):
        kind = type(event).__name__
        depth += kind.endswith("StartEvent") - kind.endswith("EndEvent")
        aliases += kind == "AliasEvent"
        if depth > MAX_DEPTH or nodes > MAX_NODES or aliases > MAX_ALIASES:
            bounds = f"{MAX_DEPTH} levels, {MAX_NODES} nodes or {MAX_ALIASES} aliases"
            raise _refused(path, f"YAML with more than {bounds}; put arrays into safetensors, write less")
        if kind == "ScalarEvent" and event.value == "<<":
            raise _refused(path, "merge keys (<<) are not part of YAML 1.2; write the fields out")
        if kind == "DocumentStartEvent" and event.version not in (None, (1, 2)):
            raise _refused(path, "expected YAML 1.2; remove the %YAML line")


class _Arrays:
    """Replaces ``{file: x.safetensors, key: k, unit: u, sha256: …}`` by the array it names; walks at most ``MAX_NODES`` nodes.

    The walk is bounded because aliases make YAML a graph: it may be cyclic, or small in text and vast when unfolded.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.budget = path, MAX_NODES
        self.opened: dict[Path, dict[str, np.ndarray]] = {}

    def load(self, node: Any, depth: int = 0) -> Any:
        self.budget -= 1
        if self.budget < 0 or depth > MAX_DEPTH:
            raise _refused(self.path, "aliases unfold to too many nodes or to a cycle; write the parts out")
        if isinstance(node, dict):
            if set(node) <= {"file", "key", "unit", "sha256"} and {"file", "key"} <= set(node):
                return self._array(str(node["file"]), str(node["key"]), str(node.get("unit", "1")), node.get("sha256"))
            return {key: self.load(value, depth + 1) for key, value in node.items()}
        if isinstance(node, list):
            return [self.load(value, depth + 1) for value in node]
        return node

    def _array(self, name: str, key: str, unit: str, checksum: object) -> Array:
        folder = self.path.parent.resolve()
        try:
            file = (folder / name).resolve()
        except (OSError, ValueError):
            raise CheckpointError(f"{name!r:.80}: no file name; name a .safetensors file beside the circuit") from None
        if not file.is_relative_to(folder):
            raise CheckpointError(f"{name}: arrays must lie beside the circuit file or below it; move them there")
        if file not in self.opened:
            self.opened[file] = read_arrays(file)
        try:
            values = self.opened[file][key]
        except KeyError:
            raise CheckpointError(f"{name}: {unknown('array', key, self.opened[file])}") from None
        if checksum is not None and str(checksum) != _checksum(values):
            raise CheckpointError(
                f"{name}: array '{key}' is not the one that was saved (its checksum differs); the file is damaged, save again"
            )
        try:
            return Array(values, unit)
        except InputError as error:
            raise CheckpointError(f"{name}: array '{key}': {error}") from None


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a safetensors file.

    Raises
    ------
    CheckpointError
        The file is missing, truncated or no safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    reason: object = "no regular file"
    try:
        if path.is_file():
            return load_file(path)
    except (OSError, SafetensorError, ValueError, TypeError, LookupError, ArithmeticError) as error:
        reason = shorten(str(error))
    raise CheckpointError(f"{path}: cannot read the arrays ({reason}); the file is missing, cut off or damaged")


def save(circuit: Circuit, path: str | Path) -> Path:
    """Write a circuit without loss; arrays go to ``<stem>.safetensors`` beside the YAML.

    Both files are written beside their places and renamed, the arrays first, so a reader never meets half a circuit.

    Raises
    ------
    CheckpointError
        The place cannot be written, or does not end in .yaml.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.representer import SafeRepresenter
    from safetensors.numpy import save

    if not isinstance(path, str | os.PathLike):
        raise InputError(f"path: expected the name of a YAML file, got {type(path).__name__}")

    class Representer(SafeRepresenter):
        """ruamel's own, which stays as it is."""

    Representer.add_representer(str, _text)
    if not isinstance(circuit, Circuit):
        raise InputError(f"circuit: expected a Circuit, got {type(circuit).__name__}")
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise CheckpointError(f"{path}: expected a name that ends in .yaml; rename it")
    arrays: dict[str, np.ndarray] = {}
    plain = _store_arrays(to_plain(circuit), path.with_suffix(".safetensors").name, (), arrays)
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # keep the author's order
    yaml.width = 120
    yaml.Representer = Representer
    stream = StringIO()
    yaml.dump(plain, stream)
    contents = {path.with_suffix(".safetensors"): save(arrays)} if arrays else {}
    write_files({**contents, path: stream.getvalue().encode("utf-8")})
    return path


def _text(representer: Any, text: str) -> Any:
    """Double quotes, and so escapes, for line separators of Unicode: readers fold them, and the writer does not know it."""
    style = '"' if set(text) & set("\x85\u2028\u2029") else None
    return representer.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _store_arrays(node: Any, file: str, where: tuple[str, ...], arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(node, Array):
        key = ".".join(where)
        arrays[key] = np.ascontiguousarray(node.values)
        return {"file": file, "key": key, "unit": node.unit, "sha256": _checksum(arrays[key])}
    if isinstance(node, dict):
        return {key: _store_arrays(value, file, (*where, key), arrays) for key, value in node.items()}
    if isinstance(node, list):
        return [_store_arrays(value, file, (*where, str(i)), arrays) for i, value in enumerate(node)]
    return node


def _checksum(values: np.ndarray) -> str:
    """First 16 hexadecimal digits of the SHA-256 of an array's bytes."""
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:16]


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Write files that belong together: all are complete on disk before the first takes its name.

    Raises
    ------
    CheckpointError
        A folder is missing, read-only or full; no file has changed then.
    """
    temporary: dict[Path, Path] = {}
    path = Path()
    try:
        for path, data in contents.items():
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
            temporary[path] = Path(name)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            temporary[path].chmod(0o644)
        for path, written in temporary.items():
            written.replace(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"{path}: cannot be written ({reason}); choose a folder you may write to") from None
    finally:
        for left in temporary.values():
            left.unlink(missing_ok=True)
