"""Moderate dropout and the loss of two branches that belong to learned thresholds (Wang, Cheng and Lim 2022, LTMD).

Equations as in the code that its authors published; the neuron is the piece ``thresholding_lif``.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from ..emit.to_torch import Network
from ..errors import InputError, unknown
from ..ranges import BELOW_ONE, check_number
from .labels import check_labels


def keep_probability(activity: torch.Tensor, rate: float) -> torch.Tensor:
    """Probability with which a feature is kept: 1 for the most active of the batch, least for the least active.

    ``p = (d - min d)/(max d - min d)``, ``q = clip(1 - (1 - p) rate/(1 - mean p), 0, 1)``: the mean of ``1 - q`` is the rate where nothing is
    clipped. Equal activities are all kept with ``1 - rate``.

    Parameters
    ----------
    activity : (sample, feature)
    rate : float, in [0, 1)

    Raises
    ------
    InputError
        Another rate, or activity that is empty or not finite.
    """
    check_number("rate", rate, BELOW_ONE)
    if not activity.numel() or not bool(activity.isfinite().all()):
        raise InputError(
            f"activity: expected finite numbers (sample, feature), got {tuple(activity.shape)}, NaN or infinity among them or none"
        )
    low, high = activity.min(), activity.max()
    if not bool(high > low):
        return torch.full_like(activity, 1 - rate)
    p = (activity - low) / (high - low)
    return (1 - (1 - p) * rate / (1 - p.mean())).clamp(0, 1)


class ModerateDropout(torch.nn.Module):
    """Leaves out features of a sample by their mean over steps, the same for all steps, while training."""

    def __init__(self, rate: float = 0.2) -> None:
        super().__init__()
        check_number("rate", rate, BELOW_ONE)
        self.rate = rate

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Rows (step, sample, feature)."""
        if not self.training:
            return rows
        q = keep_probability(rows.detach().mean(0), self.rate)
        mask = torch.bernoulli(q) / q.where(q > 0, torch.ones_like(q))
        return rows * mask


def add_moderate_dropout(network: Network, population: str, rate: float = 0.2) -> None:
    """Put moderate dropout between a population and all that it projects onto.

    Raises
    ------
    InputError
        The population is unknown, projects onto nothing, as a read-out, or is recurrent, so that its activity is not known before it acts;
        or a rate outside [0, 1).
    """
    sends = {p.pre for p in network.program.pathways}
    possible = [m[0] for m, recurrent in network.components if not recurrent and m[0] in sends]
    if population not in possible:
        raise InputError(
            f"moderate dropout needs a feed-forward population that projects onto others: {unknown('population', population, possible)}"
        )
    network.dropout[population] = ModerateDropout(rate)


class TwoBranches:
    """Cross-entropy of two copies of a batch and half the divergence between them; for ``fit(…, objective=TwoBranches())``.

    The divergence is symmetric and a mean over samples and classes, as published: the usual one divided by the number of classes.
    """

    copies = 2
    """How often ``fit`` repeats a batch."""

    def __call__(self, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Scores (2 * sample, class) and labels (sample,).

        Raises
        ------
        InputError
            Scores or labels that do not fit.
        """
        if scores.ndim != 2 or len(scores) % 2 or not len(scores):
            raise InputError(
                f"scores: expected those of two copies of a batch, (2 * sample, class), got {tuple(scores.shape)}; fit makes the copies"
            )
        check_labels("labels", labels, len(scores) // 2, scores.shape[1])
        first, second = scores.chunk(2)
        a, b = functional.log_softmax(first, 1), functional.log_softmax(second, 1)
        divergence = 0.5 * ((b.exp() * (b - a)).mean() + (a.exp() * (a - b)).mean())
        both = functional.cross_entropy(first, labels) + functional.cross_entropy(second, labels)
        return 0.5 * both + 0.5 * divergence
