"""Threads of compiled kernels: a process forked from one that used them needs ``torch.set_num_threads(1)``, as for torch itself, and no more."""

from __future__ import annotations

import subprocess
import sys

import pytest

_FORKED = """
import os
import torch
import cortexsnn as cx
torch.set_num_threads(2)
circuit = cx.load("izhikevich")
def run():
    return int(cx.simulate(circuit, duration="300 ms", engine="torch", trials=4, seed=1)["E"]["spikes"].sum())
first = run()
reading, writing = os.pipe()
if os.fork() == 0:
    torch.set_num_threads(1)
    os.write(writing, repr(run()).encode())
    os._exit(0)
os.close(writing)
found = os.fdopen(reading).read()
assert first > 100, first
assert found == repr(first), (found, first)
"""


@pytest.mark.compiled
@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_kernels_run_in_a_forked_process() -> None:
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _FORKED], capture_output=True, text=True, timeout=120, check=False
    )
    assert found.returncode == 0, found.stderr[-2000:]
