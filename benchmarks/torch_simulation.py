"""A sparse network of 4 000 conductance-based cells, 10 000 steps, on the torch engine and in Brian2; and what a step of a cell costs in memory.

``make bench NAME=torch_simulation``. The circuit is coba; both sides go from circuit to recording, with what they compile compiled
before. Memory is the growth of a process from 1 000 to 2 000 steps of a recurrent network, over cells, trials and steps: without
gradients, and with a backward pass, for torch operations and for fused kernels, where only spikes are asked for.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from measure import in_turns, row, run_program, write

import cortexsnn as cx

MEMORY = """
import sys, torch, cortexsnn as cx
steps, fused, grad = int(sys.argv[1]), sys.argv[2] == "fused", sys.argv[3] == "grad"
torch.set_num_threads(1)
circuit = cx.load("feedforward", n_inputs=8, hidden=(256,), n_classes=4, spikes=True, recurrent=True)
network = cx.to_torch(circuit, fused=fused)
inputs = {"x": (torch.rand(steps, 32, 8) < 0.3).float()}
with torch.set_grad_enabled(grad):
    outputs, _ = network(inputs)
    if grad:
        outputs["L1"]["spikes"].mean().backward()
"""
TRIALS, CELLS = 32, 256


def bytes_per_step(how: str, grad: str, folder: Path) -> float:
    """Growth of the peak memory per cell, trial and step."""
    script = folder / "memory.py"
    script.write_text(MEMORY)
    peaks = [
        run_program([sys.executable, "-W", "ignore", str(script), str(n), how, grad], folder)[1] for n in (1000, 2000)
    ]
    return (peaks[1] - peaks[0]) * 1e6 / (1000 * TRIALS * CELLS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    circuit = cx.load("coba")
    engines = {
        "ours": "torch", "Brian2, cython": "brian2:cython", "Brian2, C++ standalone": "brian2:cpp_standalone",
    }  # fmt: skip
    runs = {
        name: lambda engine=engine: cx.simulate(circuit, duration="1 second", engine=engine)  # type: ignore[misc]
        for name, engine in engines.items()
    }
    found = in_turns(options.repeats, runs)
    ours = found.pop("ours")
    rows = [row("coba, 10 000 steps", ours, "s", name, seconds) for name, seconds in found.items()]
    with tempfile.TemporaryDirectory(prefix="cortexsnn-bench-") as temporary:
        for grad, case in (("no", "without gradients"), ("grad", "with a backward pass")):
            fused, eager = (bytes_per_step(how, grad, Path(temporary)) for how in ("fused", "eager"))
            rows.append(row(f"bytes per cell, trial and step, {case}", fused, "B", "torch operations", eager))
    write("torch_simulation", rows, ("cortexsnn", "torch", "brian2", "numpy"))


if __name__ == "__main__":
    main()
