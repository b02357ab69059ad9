"""Compiled programs on disk, each under the digest of what it depends on.

A program is built beside its place and renamed into it, under a lock of its own: whoever comes second waits and finds it, and
what a killed build left is removed by the next. A program that is not the one that was put there is built again.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

from ..errors import EngineError

_MANIFEST = "manifest.json"
_KEY = re.compile(r"(?:[a-z]+-)?[0-9a-f]{32}")
"""Names of programs; nothing else in the folder is ever removed, for it may be somebody's own."""
UNUSED_DAYS = 60
"""A program that was not run for so long is removed when another one is built."""


def cache_folder() -> Path:
    """Folder of all programs: the environment variable CORTEXSNN_CACHE, else the user's cache."""
    given = os.environ.get("CORTEXSNN_CACHE")
    return Path(given).expanduser().absolute() if given else user_cache_path("cortexsnn") / "programs"


class ProgramCache:
    """Programs of one folder."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or cache_folder()

    def program(self, key: str, build: Callable[[Path], None]) -> Path:
        """Folder of the program called ``key``; ``build(folder)`` makes it, with a file ``main``, where there is none.

        Raises
        ------
        EngineError
            The folder cannot be written, or what ``build`` raises.
        """
        folder = self.root / key
        if _whole(folder):
            with contextlib.suppress(OSError):  # somebody else's cache, perhaps one that can only be read
                os.utime(folder)
            return folder
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            with FileLock(self.root / f"{key}.lock"):
                if not _whole(folder):
                    self._build(key, folder, build)
        except OSError as error:
            reason = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or str(error)
            remedy = "free some space there, or name another folder in the environment variable CORTEXSNN_CACHE"
            raise EngineError(f"{self.root}: compiled programs cannot be kept ({reason}); {remedy}") from None
        return folder

    def why_not_written(self) -> str | None:
        """Why nothing can be added, None if it can."""
        place = self.root
        while not place.exists() and place != place.parent:
            place = place.parent
        if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
            return None
        return f"{self.root} cannot be written; name another folder in the environment variable CORTEXSNN_CACHE"

    def _build(self, key: str, folder: Path, build: Callable[[Path], None]) -> None:
        for left in self.root.glob(f".{key}.*"):  # by a build that was killed: nobody else holds the lock
            shutil.rmtree(left, ignore_errors=True)
        if folder.is_dir() and not folder.is_symlink():
            shutil.rmtree(folder, ignore_errors=True)
        else:
            folder.unlink(missing_ok=True)
        self._prune()
        temporary = Path(tempfile.mkdtemp(prefix=f".{key}.", dir=self.root))
        try:
            build(temporary)
            access = os.R_OK | (os.X_OK if os.access(temporary / "main", os.X_OK) else 0)
            manifest = {"digest": _digest(temporary / "main"), "access": access}
            (temporary / _MANIFEST).write_text(json.dumps(manifest))
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _prune(self) -> None:
        oldest = time.time() - UNUSED_DAYS * 86400
        for folder in self.root.iterdir():
            with contextlib.suppress(OSError):
                if _is_ours(folder) and folder.stat().st_mtime < oldest:
                    shutil.rmtree(folder, ignore_errors=True)


def _is_ours(folder: Path) -> bool:
    """Whether a folder is a program, or what a build that was killed left of one."""
    if folder.name.startswith("."):
        return _KEY.fullmatch(folder.name[1:].split(".")[0]) is not None
    return _KEY.fullmatch(folder.name) is not None and (folder / _MANIFEST).is_file()


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _whole(folder: Path) -> bool:
    try:
        manifest = json.loads((folder / _MANIFEST).read_text())
        return manifest["digest"] == _digest(folder / "main") and os.access(folder / "main", manifest["access"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
