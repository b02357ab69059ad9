"""Other programs, asked for a limited time, whatever they do: not there, broken, silent, or without an end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class Answer(NamedTuple):
    """What came of a program.

    trouble : why it is of no use, empty if it ended with code 0
    text : what it printed, on both outputs
    """

    trouble: str
    text: str
    seconds: float

    @property
    def first_line(self) -> str:
        return next((line.strip() for line in self.text.splitlines() if line.strip()), "")


def ask(
    command: Sequence[str | Path],
    seconds: float = 20,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Answer:
    """Run a program and wait for it at most ``seconds``; it and all that it started are gone afterwards."""
    start = time.perf_counter()
    with tempfile.TemporaryFile() as output:  # a pipe would be held open by what a killed program leaves behind
        try:
            process = subprocess.Popen(
                [str(part) for part in command], cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            return Answer(f"cannot be started ({error.strerror or error})", "", 0.0)
        try:
            code = process.wait(seconds)
            trouble = "" if code == 0 else f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        except subprocess.TimeoutExpired:
            _end(process)
            trouble = f"did not end within {seconds:g} s"
        except BaseException:
            _end(process)
            raise
        output.seek(0)
        text = output.read(100_000).decode(errors="replace")
    return Answer(trouble, text, time.perf_counter() - start)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and what it started, which shares its group."""
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
