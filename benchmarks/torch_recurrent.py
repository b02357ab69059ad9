"""A training step of a recurrent network, 700-256-20 cells, 100 steps, batch 64, float32: ours, other libraries, bare matrix products.

``make bench NAME=torch_recurrent``. A step is the forward pass, the backward pass and Adam's update. The bare products are those that a
dense network cannot do without: inputs and read-out of all steps at once, the recurrent ones step by step, and theirs of the backward
pass. Medians of runs that take turns.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from measure import in_turns, row, write
from peers import torch_networks as peers
from torch.nn import functional

import cortexsnn as cx
from cortexsnn.train.fit import scores

SIZES = N_INPUTS, N_HIDDEN, N_OUT = 700, 256, 20
STEPS, BATCH, DENSITY = 100, 64, 0.05


def ours(inputs: torch.Tensor, labels: torch.Tensor, fused: bool) -> Callable[[], object]:
    """The circuit's training step."""
    circuit = cx.load(
        "feedforward", n_inputs=N_INPUTS, hidden=(N_HIDDEN,), n_classes=N_OUT, spikes=True, recurrent=True, gain=4.0
    )
    network = cx.to_torch(circuit, fused=fused)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-4)

    def run() -> float:
        optimiser.zero_grad(set_to_none=True)
        outputs, _ = network({"x": inputs})
        functional.cross_entropy(scores(network, outputs), labels).backward()
        optimiser.step()
        return float(outputs["L1"]["spikes"].detach().mean())

    print("spikes per cell and step:", run())
    return run


def products(inputs: torch.Tensor) -> Callable[[], object]:
    """The matrix products alone."""
    into, back, out = (torch.rand(shape) for shape in ((N_INPUTS, N_HIDDEN), (N_HIDDEN, N_HIDDEN), (N_HIDDEN, N_OUT)))
    rows, hidden = inputs.reshape(-1, N_INPUTS), torch.rand(STEPS, BATCH, N_HIDDEN)
    flat, arriving, to_out = hidden.view(-1, N_HIDDEN), torch.empty(BATCH, N_HIDDEN), torch.rand(STEPS * BATCH, N_OUT)

    def run() -> None:
        rows @ into
        for step in hidden:
            torch.mm(step, back, out=arriving)
        flat @ out
        to_out @ out.t()
        flat.t() @ to_out
        for step in hidden:
            torch.mm(step, back.t(), out=arriving)
        flat.t() @ flat
        rows.t() @ flat

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    inputs = (torch.rand(STEPS, BATCH, N_INPUTS, generator=generator) < DENSITY).float()
    labels = torch.randint(0, N_OUT, (BATCH,), generator=generator)
    runs = {
        "ours": ours(inputs, labels, True),
        "matrix products alone": products(inputs),
        "torch operations of the circuit": ours(inputs, labels, False),
        **peers.recurrent(SIZES, inputs, labels),
    }
    found = in_turns(options.repeats, runs)
    mine = found.pop("ours") * 1e3
    rows = [row("training step", mine, "ms", name, seconds * 1e3) for name, seconds in found.items()]
    write("torch_recurrent", rows, ("cortexsnn", "torch", "spikingjelly", "snntorch", "norse"))


if __name__ == "__main__":
    main()
