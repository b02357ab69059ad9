"""Networks in which every number may be trained, whatever the circuit says: for tests of gradients."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

import cortexsnn as cx
from cortexsnn.emit.to_torch import Network
from cortexsnn.lower import lower
from cortexsnn.realise import realise
from cortexsnn.training import TrainableNumber, TrainableWeight, Training
from cortexsnn.units import parse_unit
from cortexsnn.validate import validate


def networks(circuit: cx.Circuit, seed: int = 0, **options: Any) -> tuple[Network, Network]:
    """The eager network and the one of fused kernels, with gradients to all weights, parameters and initial values."""
    program, realisation = lower(validate(circuit)), realise(circuit, seed)
    program = replace(
        program,
        populations=tuple(replace(p, threshold_scale=p.threshold_scale or 1.0) for p in program.populations),
    )
    numbers = []
    for p in program.populations:
        for names, is_parameter in ((p.parameters, True), (p.states, False)):
            for name in names:
                known = realisation.parameters if is_parameter else realisation.initial
                value = np.array(known[p.name].get(name, np.zeros(1)), dtype=float)
                numbers.append(TrainableNumber(p.name, name, is_parameter, value, -np.inf, np.inf))
    weights = {p.name: TrainableWeight(True, True, 1.0) for p in program.pathways}
    units = {name: parse_unit(drive.unit).value for name, drive in circuit.inputs.items()}
    training = Training(tuple(numbers), weights, (), units, None)
    made = [Network(program, realisation, training, torch.float64, fused=fused, **options) for fused in (False, True)]
    for network in made:
        network.probes = {
            p.name: (*p.states, *p.ports, *(("distance",) if p.threshold else ())) for p in program.populations
        }
    return made[0], made[1]


def losses(
    network: Network, inputs: dict[str, torch.Tensor] | None, n_steps: int, n_trials: int, parts: int = 1
) -> torch.Tensor:
    """A random weighting of everything that a network returns, run in so many calls, each beginning where the last one ended."""
    generator = torch.Generator().manual_seed(1)
    total, state, done = torch.zeros((), dtype=torch.float64), None, 0
    for k in range(parts):
        steps = (n_steps - done) // (parts - k)
        rows = {name: r[done : done + steps] for name, r in (inputs or {}).items()} or None
        outputs, state = network(rows, state, None if rows else steps, n_trials)
        done += steps
        for found in outputs.values():
            for values in found.values():
                scale = values.detach().abs().max().clamp(min=1e-3)
                total = (
                    total + (values / scale * torch.rand(values.shape, generator=generator, dtype=torch.float64)).sum()
                )
    assert state is not None
    for states in state.states.values():
        for values in states.values():
            total = total + (values * torch.rand(values.shape, generator=generator, dtype=torch.float64)).sum()
    return total


def gradients(network: Network, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    """Gradient of every parameter that the loss depends on."""
    named = dict(network.named_parameters())
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return {name: g for name, g in zip(named, found, strict=True) if g is not None}
