"""Arrows of import, read from the syntax trees of every module that is installed.

The rules are few: each heavy library has its place, the analysis knows recordings only, the emitters never
see the specification, and nothing executes text or unpickles.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FOLDERS: dict[str, str] = PROJECT["tool"]["setuptools"]["package-dir"]

# Library -> the modules that may import it (a type-only import under TYPE_CHECKING is free).
PLACES = {
    "brian2": ("cortexsnn.units", "cortexsnn.lower", "cortexsnn.lower.*", "cortexsnn.emit.to_brian2*"),
    "torch": (
        "cortexsnn.emit.to_torch*",
        "cortexsnn.emit.surrogate",
        "cortexsnn.train",
        "cortexsnn.train.*",
        "cortexsnn.fused.buffers",
        "cortexsnn.fused.compiled",
        "cortexsnn.fused.triton_kernel",
        "cortexsnn.fused.component",
        "cortexsnn.fused.edges",
        "cortexsnn.fused.sparse_rows",
    ),
    "matplotlib": ("cortexsnn.analysis.figures*",),
}
ANALYSIS_MAY_SEE = ("cortexsnn.analysis", "cortexsnn.analysis.*", "cortexsnn.recording", "cortexsnn.errors")
EMIT_MUST_NOT_SEE = ("cortexsnn.spec", "cortexsnn.specfile", "cortexsnn.validate")
UNPICKLERS = ("pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve")
EXECUTORS = ("eval", "exec")


@dataclass(frozen=True)
class Import:
    """One imported name, absolute: for `from .program import Step`, both the module and module.Step."""

    name: str
    line: int
    type_only: bool


def modules() -> dict[str, Path]:
    """Installed module name -> file."""
    found = {}
    for package, folder in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            inside = path.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join((package, *(part for part in inside if part != "__init__")))] = path
    return found


def within(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def belongs(name: str, parents: tuple[str, ...]) -> bool:
    """Is the name one of these modules, or inside of one?"""
    return any(name == parent or name.startswith(f"{parent}.") for parent in parents)


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def imports(tree: ast.AST, module: str, is_package: bool) -> Iterator[Import]:
    """All imports of a module, also those inside functions and through importlib with a literal name."""
    type_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and _is_type_checking(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(tree):
        free = id(node) in type_only
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, free)
        elif isinstance(node, ast.ImportFrom):
            parent = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*parent, *([node.module] if node.module else [])])
            yield Import(base, node.lineno, free)
            for alias in node.names:
                yield Import(f"{base}.{alias.name}", node.lineno, free)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield Import(node.args[0].value, node.lineno, free)


def executions(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Lines that run text or unpickle: eval(…), exec(…), allow_pickle=True, torch.load."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in EXECUTORS:
            yield node.lineno, node.id
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "builtins" and node.attr in EXECUTORS:
                yield node.lineno, node.attr
            if (node.value.id, node.attr) in (("torch", "load"), ("torch", "save")):
                yield node.lineno, f"torch.{node.attr} (pickles; use safetensors)"
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            allowed = not (isinstance(node.value, ast.Constant) and node.value.value is False)
            if allowed:
                yield node.value.lineno, "allow_pickle"


def problems(module: str, source: str, is_package: bool = False) -> list[str]:
    """Broken rules of one module, each with its line."""
    tree = ast.parse(source)
    found = set()
    for item in imports(tree, module, is_package):
        top = item.name.split(".")[0]
        where = f"{module}:{item.line}: imports {item.name}"
        if top in PLACES and not item.type_only and not within(module, PLACES[top]):
            found.add(f"{where}; {top} belongs to {', '.join(PLACES[top])}")
        if top in ("analysis", "circuits", "configs", "tests", "benchmarks"):
            found.add(f"{where}; the installed name is cortexsnn.{top}, or the folder is not installed")
        if top in UNPICKLERS:
            found.add(f"{where}; no pickles")
        if belongs(module, ("cortexsnn.analysis",)) and top == "cortexsnn" and item.name != "cortexsnn":
            parent = item.name.rpartition(".")[0]
            if not within(item.name, ANALYSIS_MAY_SEE) and not belongs(parent, ANALYSIS_MAY_SEE[2:]):
                found.add(f"{where}; the analysis sees recordings only")
        if belongs(module, ("cortexsnn.emit",)) and belongs(item.name, EMIT_MUST_NOT_SEE):
            found.add(f"{where}; an emitter sees the program, never the specification")
    found.update(f"{module}:{line}: {what}" for line, what in executions(tree))
    return sorted(found)


@pytest.mark.parametrize("module", sorted(modules()))
def test_rules_hold(module: str) -> None:
    path = modules()[module]
    assert problems(module, path.read_text(encoding="utf-8"), path.name == "__init__.py") == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("cortexsnn.run", "import torch"),
        ("cortexsnn.run", "def run():\n    from torch import nn"),
        ("cortexsnn.run", "import importlib\nimportlib.import_module('brian2')"),
        ("cortexsnn.emit.to_torch", "import brian2.units"),
        ("cortexsnn.emit.to_brian2", "import torch"),
        ("cortexsnn.analysis.rates", "import matplotlib.pyplot as plt"),
        ("cortexsnn.analysis.rates", "from ..run import simulate"),
        ("cortexsnn.analysis.rates", "from cortexsnn import simulate"),
        ("cortexsnn.analysis.rates", "from .. import spec"),
        ("cortexsnn.analysis.rates", "from analysis import distance"),
        ("cortexsnn.emit.to_numpy", "from ..spec import Circuit"),
        ("cortexsnn.emit.to_numpy", "from .. import validate"),
        ("cortexsnn.emit.to_numpy", "if TYPE_CHECKING:\n    from ..spec import Circuit"),
        ("cortexsnn.recording", "import pickle"),
        ("cortexsnn.recording", "numpy.load(path, allow_pickle=True)"),
        ("cortexsnn.train.loop", "torch.load(path)"),
        ("cortexsnn.expression", "eval(text)"),
        ("cortexsnn.expression", "import builtins\nbuiltins.exec(text)"),
    ],
)
def test_a_broken_rule_is_reported(module: str, source: str) -> None:
    assert problems(module, source) != []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("cortexsnn.emit.to_torch", "import torch\nmodel.eval()"),
        ("cortexsnn.emit.to_torch_fused", "from ..program import StepProgram"),
        ("cortexsnn.lower.dynamics", "from brian2 import Equations"),
        ("cortexsnn.run", "if TYPE_CHECKING:\n    import torch"),
        ("cortexsnn.analysis.figures_raster", "import matplotlib"),
        ("cortexsnn.analysis.rates", "from ..recording import spikes\nfrom .distance import victor_purpura"),
        ("cortexsnn.analysis.rates", "from ..errors import AnalysisError\nfrom . import distance"),
        ("cortexsnn.recording", "numpy.load(path, allow_pickle=False)"),
    ],
)
def test_what_is_allowed_passes(module: str, source: str) -> None:
    assert problems(module, source) == []
