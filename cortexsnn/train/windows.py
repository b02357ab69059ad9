"""Steps of a batch in windows: truncated back-propagation, states computed again, matrix products in lower precision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from ..emit.to_torch import Network, State
from ..errors import InputError
from .penalties import Outputs
from .settings import PRECISIONS, Settings

Rows = Mapping[str, torch.Tensor]


def windows(network: Network, rows: Rows, settings: Settings) -> Iterator[tuple[Outputs, float]]:
    """Outputs of each window and its share of all steps; the caller goes back through one before the next is computed.

    Raises
    ------
    InputError
        Steps in windows, and dropout, whose mask is for all steps; or see :func:`recomputed`.
    """
    if settings.truncate:
        _check_dropout(network, "truncate")
    device, precision = network._anchor.device.type, PRECISIONS[settings.precision]
    n_steps = len(next(iter(rows.values())))
    length = settings.truncate or n_steps
    state: State | None = None
    for first in range(0, n_steps, length):
        part = {name: r[first : first + length] for name, r in rows.items()}
        with torch.autocast(device, precision, enabled=precision is not None):
            if settings.recompute:
                outputs = recomputed(network, part, settings.recompute)
            else:
                outputs, state = network(part, state)
        if state is not None:
            state = state.detach()
        yield outputs, min(length, n_steps - first) / n_steps


def recomputed(network: Network, rows: Rows, length: int, state: State | None = None) -> Outputs:
    """The outputs of a run of which only ``length`` steps are kept at once for the way back; the others are computed again.

    Raises
    ------
    InputError
        The network normalises over batches or drops out, in training mode: that is over all steps at once.
    """
    _check_dropout(network, "recompute")
    if len(network.normalisation) and network.training:
        raise InputError(
            "recompute: batch normalisation looks at all steps at once, and steps that are computed again would count twice; leave one out"
        )
    parts: list[Outputs] = []
    n_steps = len(next(iter(rows.values())))
    for first in range(0, n_steps, length):
        part = {name: r[first : first + length] for name, r in rows.items()}
        outputs, state = checkpoint(network, part, state, use_reentrant=False)
        parts.append(outputs)
    joined: dict[str, dict[str, Any]] = {
        name: {key: torch.cat([p[name][key] for p in parts]) for key in found} for name, found in parts[0].items()
    }
    return joined


def _check_dropout(network: Network, option: str) -> None:
    if len(network.dropout) and network.training:
        raise InputError(
            f"{option}: dropout after {', '.join(network.dropout)} leaves out features by their mean over all steps, the same in all of them, "
            "and would draw again in each window; leave one out"
        )
