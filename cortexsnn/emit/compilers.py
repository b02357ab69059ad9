"""A compiler run on many files side by side; its first complaint ends all of them, in one sentence."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tqdm import tqdm

from ..errors import EngineError

_COMPLAINT = re.compile(r"(?<!collect2: )[Ee]rror|undefined reference|multiple definition|space left")
"""The linker says what is wrong first, and then that there was an error."""


@dataclass(frozen=True)
class Compiler:
    """A compiler in a folder.

    command : program and the flags of every call
    without_space, otherwise : remedies for a full disk and for any other failure
    """

    name: str
    command: Sequence[str]
    folder: Path
    without_space: str
    otherwise: str
    environment: Mapping[str, str] | None = None

    def __call__(self, *arguments: str) -> None:
        """One call.

        Raises
        ------
        EngineError
            With the first complaint.
        """
        found = subprocess.run(
            [*self.command, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if found.returncode:
            text = found.stderr + found.stdout
            said = next((line for line in text.splitlines() if _COMPLAINT.search(line)), text)
            remedy = self.without_space if "space left" in text else self.otherwise
            raise EngineError(f"{self.name} failed: {said.strip()[:300]}; {remedy}")

    def objects(self, units: Sequence[Path], *arguments: str) -> list[str]:
        """Compile ``units``, those listed first begin first; returns the object files.

        Raises
        ------
        EngineError
            As above.
        """
        objects = [f"{unit}.o" for unit in units]
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            done = [
                pool.submit(self, *arguments, str(unit), "-o", made) for unit, made in zip(units, objects, strict=True)
            ]
            try:
                for future in tqdm(
                    as_completed(done), total=len(done), desc=self.name, delay=5, leave=False, disable=None
                ):
                    future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return objects


def largest_first(units: Sequence[Path]) -> list[Path]:
    """So that no large one is left over at the end."""
    return sorted(units, key=lambda path: -path.stat().st_size)


@cache
def processor() -> str:
    """What the compiler may tune a program for, so that a shared cache serves different machines."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next((line for line in lines if line.startswith(("flags", "Features"))), "") + platform.machine()
    return f"{platform.machine()} {platform.processor()} {platform.platform()}"
