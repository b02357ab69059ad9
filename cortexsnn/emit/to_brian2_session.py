"""Brian2's global state, set for one run and put back: device, code generation target, float flags of the exact classes."""

from __future__ import annotations

import contextlib
import gc
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..errors import EngineError

RUNTIME_FLAGS = ["-w", "-O2", "-ffp-contract=off", "-std=c++17"]
"""Of cython. No fast-math and no fused multiply-add: sums and products round as in numpy."""
_QUIET = ("codegen.generators.base", "codegen.generators.numpy_generator", "groups.neurongroup.only_threshold")
"""The order of additions is the contract's, and a threshold without reset is meant: these warnings do not apply here."""


@contextlib.contextmanager
def brian_session(target: str, folder: Path | None = None) -> Iterator[Callable[[Any, float], None]]:
    """Brian2 ready for ``target``; yields a function that runs a Network for a time in ms.

    A standalone target writes its project to ``folder`` when the caller builds it.

    Raises
    ------
    EngineError
        The target needs something that is not here.
    """
    import brian2 as b2
    import numpy as np

    if threading.current_thread() is not threading.main_thread():
        raise EngineError(
            "Brian2 runs and builds in the main thread only; use processes, or build a program with target='cpp_standalone' there first"
        )
    if target == "cython" and shutil.which("g++") is None:
        raise EngineError("target 'cython' needs a C++ compiler; install g++ or use target='numpy'")
    settings = {
        "codegen.target": target if folder is None else "auto",
        "codegen.loop_invariant_optimisations": False,
        "codegen.cpp.extra_compile_args_gcc": RUNTIME_FLAGS,
        "codegen.cpp.headers": [],
        # Brian2 would end the run early and return as if nothing had happened.
        "core.stop_on_keyboard_interrupt": False,
    }
    before = {name: b2.prefs[name] for name in settings}
    for warning in _QUIET:
        b2.BrianLogger.suppress_hierarchy(f"brian2.{warning}")

    def run(network: Any, duration_ms: float) -> None:
        with np.errstate(all="ignore"):  # both branches of a where are computed
            network.run(duration_ms * b2.ms, namespace={})

    try:
        for name, value in settings.items():
            b2.prefs[name] = value
        if folder is not None:
            gc.collect()  # what an earlier run left in cycles holds its names, and the same objects would be called otherwise
            b2.set_device(target, directory=str(folder), build_on_run=False)
            b2.device.reinit()
            b2.device.activate(build_on_run=False, directory=str(folder))
        b2.start_scope()
        yield run
    finally:
        if folder is not None:
            b2.device.reinit()
            b2.set_device("runtime")
        for name, value in before.items():
            b2.prefs[name] = value
