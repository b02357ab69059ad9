"""Peak memory of a call, as the operating system counts it."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..errors import EngineError

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_above(call: Callable[[], object]) -> float:
    """Megabytes that resident memory reaches during a call, at most, above where it is before.

    For a process that does little else: memory that was freed before and is used again is not seen.

    Raises
    ------
    EngineError
        Not Linux, whose process files say it.
    """
    if not STATUS.exists():
        raise EngineError("peak memory is read from /proc/self/status, which this system does not have; run on Linux")
    with suppress(OSError):  # where it is not allowed, the highest so far counts as well
        CLEAR.write_text("5")
    before = _megabytes("VmRSS")
    call()
    return max(_megabytes("VmHWM") - before, 0.0)


def _megabytes(name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB", STATUS.read_text(), re.MULTILINE)
    assert found is not None
    return int(found.group(1)) * 1024 / 1e6
