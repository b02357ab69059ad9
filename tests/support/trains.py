"""A small training that is the same in every process: ``python trains.py CHECKPOINT RESULT [EPOCHS]``; torchrun starts several."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

import cortexsnn as cx
from cortexsnn.emit.to_torch import Network
from cortexsnn.train import together
from cortexsnn.train.data import Part
from cortexsnn.train.fit import fit, use_one_thread
from cortexsnn.train.settings import Settings

EPOCHS = 20


def data() -> tuple[Part, Part]:
    """Images of four classes: a bright quarter, and noise."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, 150)
    images = random.random((150, 12)) * 0.6 + (np.arange(12)[None, :] // 3 == labels[:, None]) * 0.5
    return Part(images[:120], labels[:120]), Part(images[120:], labels[120:])


def network(seed: int = 0, **options: object) -> Network:
    circuit = cx.load("lateral_inhibition", n_inputs=12, hidden=(16,), n_classes=4)
    return cx.to_torch(circuit, seed=seed, surrogate="sigmoid(4)", **options)  # type: ignore[arg-type]


def settings(**more: object) -> Settings:
    return Settings(**{"epochs": EPOCHS, "batch": 24, "n_steps": 6, "learning_rate": 1e-2, **more})  # type: ignore[arg-type]


if __name__ == "__main__":
    together.join()
    use_one_thread()
    trained = network(dtype=torch.float64)
    train, validation = data()
    fit(trained, train, validation, settings(), 1, checkpoint=None if sys.argv[1] == "-" else sys.argv[1], every=0)
    if together.is_first():
        save_file({n: t.contiguous() for n, t in trained.state_dict().items()}, Path(sys.argv[2]))
