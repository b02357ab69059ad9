"""Neuron dynamics alone, forward and backward, 16 steps x 32 trials x 4 096 cells in float32: fused kernels, torch operations, peers.

``make bench NAME=torch_kernels`` (the libraries of the extra ``peers`` are measured where they are installed; ``--device cuda`` on a GPU, where the
result is ``torch_kernels_cuda``). What arrives at the cells is
given; the loss is a weighted sum of the spikes. Medians of runs that take turns. First come leaky integrate-and-fire cells beside other
libraries, and beside what only moves the numbers: input and gradient read, spikes and gradient written, once. Then cells
of the package and a user's own equations, each beside the torch operations of the same circuit. ``first call`` is a new process with an
empty cache, to the end of the first backward pass; ``cached`` the same once more.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import torch
from measure import HERE, in_turns, row, write
from peers import numba_lif
from peers import torch_networks as peers

import cortexsnn as cx
from cortexsnn.emit.to_torch import Network
from cortexsnn.lower import lower
from cortexsnn.neurons import piece
from cortexsnn.realise import realise
from cortexsnn.training import Training
from cortexsnn.validate import validate

SHAPE = STEPS, TRIALS, CELLS = 16, 32, 4096

LIF = {
    "update": "v = decay*v + x", "ports": {"x": {"kind": "pulse"}}, "threshold": "v > 1", "reset": "v -= 1",
    "parameters": {"decay": 0.5},
}  # fmt: skip
CONDUCTANCE = {
    "equations": """dv/dt = (g_L*(E_L - v) + g_e*(E_e - v) + g_i*(E_i - v))/C : volt (unless refractory)
                    dg_e/dt = -g_e/tau_e : siemens
                    dg_i/dt = -g_i/tau_i : siemens""",
    "ports": {"g_e": {"unit": "siemens", "kind": "jump", "receptor": "excitatory"},
              "g_i": {"unit": "siemens", "kind": "jump", "receptor": "inhibitory"}},
    "threshold": "v > V_T", "threshold_scale": "10 mV", "reset": "v = E_L", "refractory": "3 ms",
    "method": "exponential_euler", "initial": {"v": "-60 mV"},
    "parameters": {"C": "200 pF", "g_L": "10 nS", "E_L": "-60 mV", "V_T": "-50 mV", "E_e": "0 mV", "E_i": "-80 mV",
                   "tau_e": "5 ms", "tau_i": "10 ms"},
}  # fmt: skip
FITZHUGH_NAGUMO = {
    "equations": """dv/dt = (v - v**3/3 - w + I)/tau : 1
                    dw/dt = 0.08*(v + 0.7 - 0.8*w)/tau : 1""",
    "ports": {"I": {"kind": "pulse"}}, "threshold": "v > 1", "reset": "v = -1", "method": "rk4", "parameters": {"tau": "2 ms"},
}  # fmt: skip
MODELS: dict[str, tuple[list[dict[str, Any]], float]] = {
    "lif": ([LIF], 1.0),
    "adaptive_exponential": ([piece("adaptive_exponential")], 2000.0),
    "conductance-based": ([CONDUCTANCE], 5.0),
    "self_prediction": ([piece("lif"), piece("self_prediction", reading="A")], 1.0),
    "dynamic_gating": ([piece("dynamic_gating")], 1.0),
    "own equations (FitzHugh-Nagumo, rk4)": ([FITZHUGH_NAGUMO], 1.0),
}


class Cells(Network):
    """A population to which given numbers arrive."""

    given: dict[tuple[str, str], torch.Tensor]

    def arrivals(self, *ignored: Any) -> dict[tuple[str, str], torch.Tensor]:
        return dict(self.given)


def cells(name: str, fused: bool, device: str = "cpu") -> Callable[[], torch.Tensor]:
    """A function that runs a model forward and backward and returns its spikes."""
    parts, scale = MODELS[name]
    circuit = cx.Circuit(
        name="cells", dt="1 ms", neurons={f"part_{k}": part for k, part in enumerate(parts)},
        populations={"E": {"size": CELLS, "neuron": [f"part_{k}" for k in range(len(parts))], "transmitter": "mixed"}},
    )  # fmt: skip
    program = lower(validate(circuit))
    network = Cells(program, realise(circuit, 0), Training((), {}, (), {}, None), torch.float32, fused=fused)
    network.to(device)
    generator = torch.Generator().manual_seed(0)
    (population,) = program.populations
    rows = {
        port: (torch.rand(SHAPE, generator=generator) * scale).to(device).requires_grad_() for port in population.ports
    }
    network.given = {("E", port): r for port, r in rows.items()}
    weights = torch.rand(SHAPE, generator=generator).to(device)

    def run() -> torch.Tensor:
        outputs, _ = network(n_steps=STEPS, n_trials=TRIALS)
        spikes = outputs["E"]["spikes"]
        torch.autograd.backward(spikes, weights)
        for r in rows.values():
            r.grad = None
        if device == "cuda":
            torch.cuda.synchronize()
        return spikes.detach()

    return run


def floor(device: str = "cpu") -> Callable[[], object]:
    """Numbers moved as a perfect kernel would have to."""
    given = [torch.rand(SHAPE, device=device) for _ in range(2)]
    into = [torch.empty(SHAPE, device=device) for _ in range(2)]

    def run() -> None:
        for source, target in zip(given, into, strict=True):
            target.copy_(source)
        if device == "cuda":
            torch.cuda.synchronize()

    return run


def first_call(name: str, folder: str, device: str) -> float:
    """Seconds of the first forward and backward pass of a new process, what it imports not counted."""
    code = f"import time; from torch_kernels import cells; run = cells({name!r}, True, {device!r}); start = time.perf_counter(); run(); print(time.perf_counter() - start)"
    places = os.pathsep.join((str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])))
    environment = {**os.environ, "CORTEXSNN_CACHE": folder, "TRITON_CACHE_DIR": folder, "PYTHONPATH": places}
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return float(found.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    options = parser.parse_args()
    device = options.device
    case = "lif: forward and backward"
    runs: dict[str, Callable[[], object]] = {
        "ours": cells("lif", True, device),
        "numbers moved once": floor(device),
        "torch operations of the circuit": cells("lif", False, device),
        **(peers.lif(SHAPE) if device == "cpu" else {}),
    }
    peer_first = {}
    if device == "cpu":
        runs["numba, by hand"], peer_first["numba, by hand"] = numba_lif.lif(SHAPE)
    found = in_turns(options.repeats, runs)
    ours = found.pop("ours")
    rows = [
        row(
            case,
            ours * 1e3,
            "ms",
            name,
            seconds * 1e3,
            **({"peer_first_call_s": peer_first[name]} if name in peer_first else {}),
        )
        for name, seconds in found.items()
    ]
    for name in MODELS:
        both = {"ours": cells(name, True, device), "torch operations": cells(name, False, device)}
        n_spikes = float(both["ours"]().mean())
        found = in_turns(max(3, options.repeats // 3), both)
        with tempfile.TemporaryDirectory(prefix="cortexsnn-bench-") as folder:
            first, cached = first_call(name, folder, device), first_call(name, folder, device)
        rows.append(
            row(f"{name}: forward and backward", found["ours"] * 1e3, "ms", "torch operations", found["torch operations"] * 1e3,
                first_call_s=first, cached_call_s=cached, spikes_per_cell_and_step=n_spikes)
        )  # fmt: skip
    gpu = torch.cuda.get_device_name() if device == "cuda" else None
    name = "torch_kernels" if device == "cpu" else "torch_kernels_cuda"
    write(name, rows, ("cortexsnn", "torch", "triton", "spikingjelly", "snntorch", "norse"), gpu=gpu)


if __name__ == "__main__":
    main()
