"""1 000 images through a trained digits circuit: one compiled Brian2 program against torch, eager.

``make bench NAME=brian2_digits``. The circuit is the digits experiment's, trained for ten epochs. ``simulate`` in Brian2 begins with a
circuit and ends with a recording (its program is built before); torch is the module's forward pass in float64 (sums in the order of
all engines) and float32, by torch operations and by fused kernels, without gradients, on numbers that are tensors already, and
``simulate(engine="torch")``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from measure import in_turns, row, write

import cortexsnn as cx
from cortexsnn.train.data import digits
from cortexsnn.train.fit import fit, use_one_thread
from cortexsnn.train.settings import Settings

TRIALS, STEPS, REPEATS = 1000, 8, 7


def main() -> None:
    use_one_thread()
    data = digits()
    circuit = cx.load("lateral_inhibition")
    network = cx.to_torch(circuit, seed=0, surrogate="sigmoid(4)")
    fit(network, data.train, data.validation, Settings(epochs=10), 0)
    trained = cx.from_torch(circuit, network)
    images = np.resize(data.test.images, (TRIALS, data.test.images.shape[1]))
    inputs = {"image": np.broadcast_to(images, (STEPS, *images.shape))}

    def module(dtype: torch.dtype, fused: bool) -> Callable[[], object]:
        made = cx.to_torch(trained, seed=0, dtype=dtype, fused=fused)
        tensors = {"image": torch.tensor(inputs["image"], dtype=dtype)}

        def run() -> object:
            with torch.no_grad():
                return made(tensors)

        return run

    runs: dict[str, Callable[[], object]] = {
        "ours": lambda: cx.simulate(trained, inputs, engine="brian2:cpp_standalone"),
        "simulate(engine='torch')": lambda: cx.simulate(trained, inputs, engine="torch"),
        "torch eager, float64": module(torch.float64, False),
        "torch eager, float32": module(torch.float32, False),
        "fused kernels, float64": module(torch.float64, True),
        "fused kernels, float32": module(torch.float32, True),
    }
    seconds = in_turns(REPEATS, runs)  # the first call of each builds the program and fills caches
    ours = seconds.pop("ours")
    write("brian2_digits", [row(f"{TRIALS} trials of {STEPS} steps", ours, "s", n, t) for n, t in seconds.items()])


if __name__ == "__main__":
    main()
