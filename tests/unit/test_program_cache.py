"""The cache of compiled programs, with a build that only writes a file: concurrent, killed, damaged, without space."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import cortexsnn as cx
from cortexsnn.emit.program_cache import UNUSED_DAYS, ProgramCache, cache_folder


def _write(folder: Path, text: str = "program") -> None:
    (folder / "main").write_text(text)


BUILD = """
import sys, time
from pathlib import Path
from cortexsnn.emit.program_cache import ProgramCache

def build(folder):
    (folder / "main").write_text("half")
    print("building", flush=True)
    time.sleep(float(sys.argv[2]))
    (folder / "main").write_text("program")

ProgramCache(Path(sys.argv[1])).program("key", build)
"""


def _build_elsewhere(root: Path, seconds: float) -> subprocess.Popen[str]:
    """Another process that takes ``seconds`` to build a program."""
    return subprocess.Popen([sys.executable, "-c", BUILD, str(root), str(seconds)], stdout=subprocess.PIPE, text=True)


def test_a_program_is_built_once(tmp_path: Path) -> None:
    cache, built = ProgramCache(tmp_path), []

    def build(folder: Path) -> None:
        built.append(folder)
        _write(folder)

    folder = cache.program("key", build)
    assert cache.program("key", build) == folder == tmp_path / "key"
    assert (folder / "main").read_text() == "program"
    assert len(built) == 1
    cache.program("other", build)
    assert len(built) == 2


def test_two_processes_share_one_build(tmp_path: Path) -> None:
    pair = [_build_elsewhere(tmp_path, 1.0) for _ in range(2)]
    said = sorted(process.communicate(timeout=60)[0] for process in pair)
    assert [process.returncode for process in pair] == [0, 0]
    assert said == ["", "building\n"]
    assert (tmp_path / "key" / "main").read_text() == "program"


def test_a_killed_build_is_taken_up_by_the_next(tmp_path: Path) -> None:
    process = _build_elsewhere(tmp_path, 600)
    assert process.stdout is not None
    assert process.stdout.readline() == "building\n"
    process.kill()
    process.communicate()
    assert len(list(tmp_path.glob(".key.*/main"))) == 1
    folder = ProgramCache(tmp_path).program("key", _write)
    assert (folder / "main").read_text() == "program"
    assert not list(tmp_path.glob(".key.*"))


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        _write(folder)
        raise cx.EngineError("no")

    with pytest.raises(cx.EngineError, match="no"):
        ProgramCache(tmp_path).program("key", build)
    assert [p.name for p in tmp_path.iterdir()] == ["key.lock"]


@pytest.mark.parametrize("damage", ["main", "manifest", "no main", "no manifest", "nonsense"])
def test_a_damaged_program_is_built_again(tmp_path: Path, damage: str) -> None:
    folder = ProgramCache(tmp_path).program("key", _write)
    match damage:
        case "main":
            (folder / "main").write_text("progrbm")
        case "manifest":
            (folder / "manifest.json").write_text(json.dumps({"digest": "0"}))
        case "no main":
            (folder / "main").unlink()
        case "no manifest":
            (folder / "manifest.json").unlink()
        case _:
            (folder / "manifest.json").write_text("[")
    again = ProgramCache(tmp_path).program("key", lambda new: _write(new, "again"))
    assert (again / "main").read_text() == "again"


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(cx.EngineError, match=r"disk is full.*CORTEXSNN_CACHE"):
        ProgramCache(tmp_path).program("key", build)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(cx.EngineError, match=r"cannot be kept .*CORTEXSNN_CACHE"):
        ProgramCache(tmp_path / "file" / "cache").program("key", _write)


def test_programs_long_unused_are_removed(tmp_path: Path) -> None:
    cache = ProgramCache(tmp_path)
    old, young, new = ("cuda-" + digit * 32 for digit in "abc")
    for key in (old, young):
        cache.program(key, _write)
    before = time.time() - (UNUSED_DAYS + 1) * 86400
    os.utime(tmp_path / old, (before, before))
    cache.program(new, _write)
    assert {p.name for p in tmp_path.iterdir() if p.is_dir()} == {young, new}


def test_the_folder_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORTEXSNN_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path


def test_what_is_no_program_is_never_removed(tmp_path: Path) -> None:
    """A cache folder may hold somebody's own work."""
    old = time.time() - 100 * 86400
    theirs, ours, killed = tmp_path / "my_results", tmp_path / ("0" * 32), tmp_path / f".{'1' * 32}.abc"
    for folder in (theirs, ours, killed):
        folder.mkdir()
        (folder / "data").write_text("x")
    (ours / "manifest.json").write_text("{}")
    for folder in (theirs, ours, killed):
        os.utime(folder, (old, old))
    ProgramCache(tmp_path).program("2" * 32, lambda new: (new / "main").write_text("x"))  # type: ignore[func-returns-value]
    assert theirs.exists()
    assert not ours.exists()
    assert not killed.exists()


def test_a_program_that_lost_its_mode_is_built_again(tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        (folder / "main").write_text("x")
        (folder / "main").chmod(0o755)

    cache = ProgramCache(tmp_path)
    main = cache.program("2" * 32, build) / "main"
    main.chmod(0o444)
    if os.access(main, os.X_OK):
        pytest.skip("this user may run anything")
    assert os.access(cache.program("2" * 32, build) / "main", os.X_OK)


def test_an_entry_that_is_a_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ("2" * 32)).write_text("not a folder")
    found = ProgramCache(tmp_path).program("2" * 32, lambda new: (new / "main").write_text("x"))  # type: ignore[func-returns-value]
    assert (found / "main").read_text() == "x"
