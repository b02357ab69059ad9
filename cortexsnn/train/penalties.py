"""Further terms of a loss, from what a network returned: activity held near a rate, excitation and inhibition held in balance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch

from ..job import SPIKES

Outputs = Mapping[str, Mapping[str, torch.Tensor]]
Penalty = Callable[[Outputs], torch.Tensor]


def rate(populations: Iterable[str], target: float, strength: float) -> Penalty:
    """``strength`` times the mean squared distance of each cell's spikes per step, over steps and trials, from ``target``."""
    names = tuple(populations)

    def penalty(outputs: Outputs) -> torch.Tensor:
        parts = [((outputs[name][SPIKES].mean((0, 1)) - target) ** 2).mean() for name in names]
        return strength * torch.stack(parts).sum()

    return penalty


def ranges(wanted: Mapping[str, tuple[float, float]], dt_ms: float, strength: float) -> Penalty:
    """``strength`` times the squared relative distance of each population's mean rate from its range (lowest, highest) [Hz]; 0 inside."""

    def penalty(outputs: Outputs) -> torch.Tensor:
        total = torch.zeros(())
        for name, (low, high) in wanted.items():
            rate = outputs[name][SPIKES].mean() * (1000 / dt_ms)
            total = total + ((rate - high).clamp(min=0) / high) ** 2 + ((low - rate).clamp(min=0) / low) ** 2
        return strength * total

    return penalty


def spikes(cells: Mapping[str, int], wanted: float, dt_ms: float, strength: float) -> Penalty:
    """``strength`` times the squared relative distance of what populations (-> cells) fire together from a number of spikes [1/s]."""

    def penalty(outputs: Outputs) -> torch.Tensor:
        fired = torch.stack([outputs[name][SPIKES].mean() * n for name, n in cells.items()]).sum() * (1000 / dt_ms)
        return strength * (fired / wanted - 1) ** 2

    return penalty


def balance(population: str, excitation: str, inhibition: str, strength: float) -> Penalty:
    """``strength`` times the squared difference of what arrives at two ports, over the squared sum: 0 in balance, at most 1.

    Means over steps and trials, for each cell. The network must return the ports: ``network.probes = {population: (excitation,
    inhibition)}``.
    """

    def penalty(outputs: Outputs) -> torch.Tensor:
        e, i = (outputs[population][port].mean((0, 1)) for port in (excitation, inhibition))
        total = (e.abs() + i.abs()).clamp(min=torch.finfo(e.dtype).tiny)
        return strength * (((e.abs() - i.abs()) / total) ** 2).mean()

    return penalty


def together(*penalties: Penalty) -> Penalty:
    """The sum of penalties."""
    return lambda outputs: torch.stack([p(outputs) for p in penalties]).sum()
