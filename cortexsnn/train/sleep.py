"""Magnitudes pulled towards a target in log space, as the sleep of Massey et al. 2026 does to a network trained by gradients."""

from __future__ import annotations

import torch

from ..emit.to_torch import Network
from ..ranges import FACTOR, NOT_NEGATIVE, POSITIVE, check_number

SMALLEST = 1e-6
"""A magnitude of 0 has no logarithm; it is pulled from here."""


def pulled(w: torch.Tensor, target: float, lam: float, n: int) -> torch.Tensor:
    """Magnitudes after n steps of ``w = target (w/target)**lam``, in closed form."""
    return target * (w / target) ** (lam**n)


@torch.no_grad()
def pull(network: Network, target: float, lam: float, n: int) -> None:
    """Pull all magnitudes of a network that are trained, in place; signs stay.

    Parameters
    ----------
    network : Network
    target : float
        Above 0, in the unit of the magnitudes.
    lam : float
        Above 0 and not above 1; 1 changes nothing.
    n : int
        Steps.

    Raises
    ------
    InputError
        Numbers out of these ranges.
    """
    check_number("target", target, POSITIVE)
    check_number("lam", lam, FACTOR)
    check_number("n", n, NOT_NEGATIVE, whole=True)
    for name in network.pathways:
        w = network.pathway(name).magnitude
        if w.requires_grad:
            size = pulled(w.abs().clamp_min(SMALLEST), target, lam, n)
            w.copy_(torch.where(w < 0, -size, size))
