"""How much of the gradient of the last step's loss reaches the input of every step: transport through time."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from ..emit.to_torch import Network
from .data import Part
from .encode import Encoder
from .fit import input_name


def input_gradient(network: Network, part: Part, encode: Encoder) -> np.ndarray:
    """Norm over samples and channels of the gradient of the cross-entropy of the last step's scores, (step,).

    The mean score of a training loss would be reached from every step without any memory; the last step's only through states.

    Parameters
    ----------
    network : Network
        A classifier with one input.
    part : Part
    encode : callable
        Samples to rows, as in training.
    """
    rows = encode(torch.as_tensor(part.images, dtype=network.dtype)).detach().clone().requires_grad_()
    outputs, _ = network({input_name(network): rows})
    readout = str(network.training_data.readout)
    last = outputs[readout][str(network.emitted_name(readout))][-1]
    functional.cross_entropy(last, torch.as_tensor(part.labels)).backward()
    assert rows.grad is not None
    return np.asarray(rows.grad.flatten(1).norm(dim=1).numpy(), dtype=float)
