"""Brian2's global state, set for one run and put back: device, code generation target, float flags of the exact classes."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import EngineError

EXACT_FLAGS = ["-w", "-O2", "-ffp-contract=off", "-std=c++17"]
"""No fast-math and no fused multiply-add: sums and products round as in numpy."""
_HEADER = "objects.h"
_MAKE = (
    f"g++ {' '.join(EXACT_FLAGS)} -Wno-write-strings -I. -x c++-header {_HEADER} -o {_HEADER}.gch"
    f" && touch make.deps && make CXX='g++ -include {_HEADER}'"
)
"""Every file of a standalone program includes one header: parsed once, the build takes a third of the time. A fresh folder
needs no dependency file either, which would cost another pass over all sources."""


@contextlib.contextmanager
def session(target: str) -> Iterator[Any]:
    """Brian2 ready for ``target``; yields a function that runs a Network for a time in ms.

    Raises
    ------
    EngineError
        The target needs something that is not here.
    """
    import brian2 as b2

    if target == "cuda_standalone":
        raise EngineError(
            "target 'cuda_standalone' needs brian2cuda (Python >= 3.12) and a GPU; use target='cpp_standalone'"
        )
    if target in ("cython", "cpp_standalone") and shutil.which("g++") is None:
        raise EngineError(f"target '{target}' needs a C++ compiler; install g++ or use target='numpy'")
    jobs = f"-j{os.cpu_count() or 1}"
    keys = (
        "codegen.target",
        "codegen.loop_invariant_optimisations",
        "codegen.cpp.extra_compile_args_gcc",
        "devices.cpp_standalone.extra_make_args_unix",
        "devices.cpp_standalone.make_cmd_unix",
        "core.stop_on_keyboard_interrupt",
    )
    before = {key: b2.prefs[key] for key in keys}
    b2.prefs["codegen.target"] = target if target != "cpp_standalone" else "auto"
    b2.prefs["codegen.loop_invariant_optimisations"] = False
    b2.prefs["codegen.cpp.extra_compile_args_gcc"] = EXACT_FLAGS
    b2.prefs["devices.cpp_standalone.extra_make_args_unix"] = [jobs]
    b2.prefs["core.stop_on_keyboard_interrupt"] = (
        False  # it would end the run early and return as if nothing had happened
    )
    # The order of additions is the contract's, and a threshold without reset is meant: these warnings do not apply here.
    for warning in (
        "codegen.generators.base",
        "codegen.generators.numpy_generator",
        "groups.neurongroup.only_threshold",
    ):
        b2.BrianLogger.suppress_hierarchy(f"brian2.{warning}")
    folder = None
    try:
        if target == "cpp_standalone":
            folder = tempfile.mkdtemp(prefix="cortexsnn-")
            b2.prefs["devices.cpp_standalone.make_cmd_unix"] = _MAKE
            b2.set_device("cpp_standalone", directory=folder, build_on_run=False)
            b2.device.reinit()
            b2.device.activate(build_on_run=False, directory=folder)
        b2.start_scope()
        yield lambda network, duration_ms: _run(network, duration_ms, folder)
    finally:
        if target == "cpp_standalone":
            b2.device.reinit()
            b2.set_device("runtime")
        for key, value in before.items():
            b2.prefs[key] = value
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


def _run(network: Any, duration_ms: float, folder: str | None) -> None:
    import brian2 as b2
    import numpy as np

    with np.errstate(all="ignore"):  # both branches of a where are computed
        network.run(duration_ms * b2.ms, namespace={})
    if folder:
        with _interrupts() as interrupted:
            try:
                b2.device.build(directory=folder, compile=True, run=True, clean=False, with_output=False)
            except RuntimeError as error:
                if interrupted:
                    raise KeyboardInterrupt from None  # the terminal has stopped the compiler, too
                said = _last_words(Path(folder))
                raise EngineError(f"the compiled Brian2 program failed: {error!s:.120}{said}") from None


@contextlib.contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Notes ctrl-C, whatever Brian2 makes of it; in another thread than the main one signals cannot be watched."""
    seen: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield seen
        return
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: Any) -> None:
        seen.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, note if callable(before) else before)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, before)


def _last_words(folder: Path) -> str:
    """The end of what the program printed, on one line; the folder does not outlive the run. The compiler writes to the terminal."""
    with contextlib.suppress(OSError):
        text = " ".join((folder / "results" / "stdout.txt").read_text(errors="replace").split())
        return f"; it said: …{text[-300:]}" if text else ""
    return ""
