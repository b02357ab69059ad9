"""What is installed: package list against folders, content of the wheel, versions that must agree."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FOLDERS: dict[str, str] = PROJECT["tool"]["setuptools"]["package-dir"]
VERSION: str = PROJECT["project"]["version"]
PYTHONS = ("3.11", "3.12", "3.13")


def own(package: str, path: Path) -> bool:
    """Whether a file in a package's folder is that package's: ``cortexsnn_start`` lies inside of ``cortexsnn``."""
    others = [
        ROOT / folder
        for name, folder in FOLDERS.items()
        if name != package and Path(folder).is_relative_to(FOLDERS[package])
    ]
    return not any(path.is_relative_to(other) for other in others)


def installed_paths() -> dict[str, Path]:
    """Every file of the package folders: path inside the wheel -> path in the checkout."""
    found = {}
    for package, folder in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*")):
            inside = path.relative_to(ROOT / folder)
            hidden = any(part.startswith(".") or part == "__pycache__" for part in inside.parts)
            if path.is_file() and not hidden and own(package, path):
                found[f"{package.replace('.', '/')}/{inside.as_posix()}"] = path
    return found


def environment(python: str) -> dict[str, str]:
    return {"python_version": python, "python_full_version": f"{python}.0", "extra": ""}


def constraints(python: str) -> dict[str, str]:
    """The pins that hold for one Python version: normalised name -> version."""
    pins: dict[str, str] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate(environment(python)):
            continue
        (specifier,) = requirement.specifier
        assert specifier.operator == "==", f"constraints.txt: {line} is no exact pin"
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        assert name not in pins, f"constraints.txt: two pins of {name} on Python {python}"
        pins[name] = specifier.version
    return pins


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names inside a wheel built from a copy of the checkout (a build/ folder there would hide deletions)."""
    base = tmp_path_factory.mktemp("wheel")
    source = base / "source"
    left_out = (".*", "*venv*", "build", "dist", "outputs", "multirun", "*.egg-info", "*.zarr", "__pycache__")
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*left_out))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    built = subprocess.run([*command, "-w", str(base), str(source)], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (wheel,) = base.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


def test_package_list_names_every_folder() -> None:
    listed = PROJECT["tool"]["setuptools"]["packages"]
    found = []
    for package, folder in FOLDERS.items():
        for init in (ROOT / folder).rglob("__init__.py"):
            inside = init.parent.relative_to(ROOT / folder).parts
            if own(package, init):
                found.append(".".join((package, *inside)))
    assert sorted(listed) == sorted(found)


def test_every_module_lies_in_a_package() -> None:
    stray = [
        str(path.relative_to(ROOT))
        for path in installed_paths().values()
        if path.suffix == ".py" and not (path.parent / "__init__.py").exists()
    ]
    assert stray == [], "folders of these modules lack an __init__.py"


@pytest.mark.slow
def test_wheel_has_one_top_level_name_beside_its_command(wheel_names: set[str]) -> None:
    top = {name.split("/")[0] for name in wheel_names}
    assert top == {"cortexsnn", "cortexsnn_start", f"cortexsnn-{VERSION}.dist-info"}


@pytest.mark.slow
def test_wheel_holds_every_file_of_the_packages(wheel_names: set[str]) -> None:
    expected = set(installed_paths())
    missing = sorted(expected - wheel_names)
    assert missing == [], "extend packages or package-data in pyproject.toml"
    extra = {name for name in wheel_names - expected if not name.startswith(f"cortexsnn-{VERSION}.dist-info/")}
    assert extra == set()
    assert "cortexsnn/py.typed" in wheel_names


def test_changelog_has_an_entry_for_the_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    (entry,) = [section for section in sections if section.startswith(f"[{VERSION}]")]
    assert re.search(r"^- \S", entry, flags=re.MULTILINE), f"the entry of {VERSION} is empty"


def test_citation_names_the_version() -> None:
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(rf'^version: "{re.escape(VERSION)}"$', text, flags=re.MULTILINE)


@pytest.mark.parametrize("python", PYTHONS)
def test_constraints_satisfy_the_declared_bounds(python: str) -> None:
    pins = constraints(python)
    project = PROJECT["project"]
    for line in [*project["dependencies"], *project["optional-dependencies"]["test"]]:
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate(environment(python)):
            continue
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        assert name in pins, f"constraints.txt has no pin for {line} on Python {python}"
        assert requirement.specifier.contains(pins[name]), f"{line}, pinned to {pins[name]}"


def test_cuda_extra_is_offered_from_python_3_12_on() -> None:
    for line in PROJECT["project"]["optional-dependencies"]["cuda"]:
        marker = Requirement(line).marker
        assert isinstance(marker, Marker)
        assert [python for python in PYTHONS if marker.evaluate(environment(python))] == ["3.12", "3.13"]


def test_commit_hook_and_constraints_name_the_same_ruff() -> None:
    text = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert re.findall(r"rev: v(\S+)", text) == [constraints("3.11")["ruff"]]
