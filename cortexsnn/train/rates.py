"""Back-propagation through rates: one pass back over time-averaged quantities in place of one through every step.

Yu et al. 2024 (arXiv 2410.11488), for any feed-forward circuit: a first pass runs the steps and keeps, for each population, the rate of
what it emits and the sensitivity of that rate to a constant on each of its ports; a second pass goes once through the network with these
as slopes. The sensitivity is carried along with the states (forward-mode differentiation), so memory does not grow with the number of
steps; what grows is the input alone. It is exact for inputs that are constant in time and blind to when a spike comes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd import forward_ad

from ..emit.to_torch import Network
from ..errors import EngineError, InputError

Rows = Mapping[str, torch.Tensor]


@dataclass
class Measured:
    """Means over steps of one population: what it emits, (trial, cell), and its derivative by a constant on each port."""

    rate: torch.Tensor
    slopes: dict[str, torch.Tensor]


def rate_scores(network: Network, rows: Rows) -> torch.Tensor:
    """Class scores, (trial, class), whose derivative by trained weights goes through rates.

    Parameters
    ----------
    network : Network
        Feed-forward, without delays, with a read-out.
    rows : mapping
        Inputs (step, trial, channel).

    Raises
    ------
    InputError
        The circuit names no read-out, or inputs do not fit.
    EngineError
        A circuit that is recurrent or delayed, plastic or normalised, with dropout or trained numbers (time constants, thresholds), or whose
        projections read states.
    """
    readout = readout_of(network)
    check_feedforward(network)
    drive, n_steps, n_trials = network.drive(rows)
    run = network._begin(drive, n_steps, n_trials, None)
    measured = _measure(network, run, n_steps, n_trials)
    run.matrices.clear()  # those of the first pass have no gradient
    means = {name: given.mean(0) for name, given in drive.items()} | {name: m.rate for name, m in measured.items()}
    for members, _ in network.components:
        name = members[0]
        ports = _arrivals(network, run, name, means)
        found = measured[name].rate
        for port, slope in measured[name].slopes.items():
            found = found + (ports[port] - ports[port].detach()) * slope
        means[name] = found
    return means[readout]


def readout_of(network: Network) -> str:
    """The population that scores classes.

    Raises
    ------
    InputError
        The circuit names none.
    """
    if network.training_data.readout is None:
        raise InputError(
            "readout: the circuit names none; add 'readout: name' of a graded population to train a classifier"
        )
    return network.training_data.readout


def check_feedforward(network: Network) -> None:
    """Refuse what has no rates of this kind.

    Raises
    ------
    EngineError
        Names the population or projection.
    """
    reasons = [f"{members[0]} is recurrent" for members, recurrent in network.components if recurrent]
    for p in network.program.pathways:
        module = network.pathway(p.name)
        what = (
            "is plastic"
            if p.rule
            else "has a delay"
            if module.longest
            else "reads states"
            if module.reads_state
            else ""
        )
        reasons += [f"projections.{p.name} {what}"] if what else []
    reasons += [f"{key} is normalised over batches" for key in network.normalisation]
    reasons += [f"{name} has dropout" for name in network.dropout]
    reasons += [f"number {n.key} is trained" for n in network.training_data.numbers]
    reasons += [f"{p.name} emits nothing" for p in network.program.populations if not p.emits]
    if reasons:
        raise EngineError(
            f"gradients through rates reach the weights of feed-forward circuits without delays and nothing else: {'; '.join(reasons)}"
        )


def _arrivals(network: Network, run: Any, name: str, rows: Rows) -> dict[str, torch.Tensor]:
    """What one step, or a mean over steps, brings to the ports of a population, (trial, cell)."""
    size = network.program.size(name)
    n_trials = run.n_trials
    ports = {port: network._anchor.new_zeros(n_trials, size) for port in network.program.population(name).ports}
    for module in network._into((name,)):
        source = run.env.get(module.pathway.pre, {})
        for k, delivery in enumerate(module.pathway.deliveries):
            sent = module.sent(k, rows[module.pathway.pre], source)
            for g in range(len(module.edge_groups)):
                ports[delivery.port] = network._add(run, module, k, g, ports[delivery.port], sent)
    return ports


def _measure(network: Network, run: Any, n_steps: int, n_trials: int) -> dict[str, Measured]:
    """Run all steps; states carry their derivative by a constant on a port, one copy of them for each port."""
    order = [members[0] for members, _ in network.components]
    reached = {
        name: list(dict.fromkeys(d.port for m in network._into((name,)) for d in m.pathway.deliveries))
        for name in order
    }
    constants = {n: {k: _plain(v) for k, v in run.env[n].items()} for n in order}
    envs = {(name, port): dict(constants[name]) for name in order for port in reached[name]}
    totals: dict[str, Measured] = {}
    with forward_ad.dual_level():
        for i in range(n_steps):
            now = {name: given[i] for name, given in run.rows.items()}
            for name in order:
                with torch.no_grad():
                    ports = _arrivals(network, run, name, now)
                shape, found = (n_trials, network.program.size(name)), totals.get(name)
                for port in reached[name]:
                    emitted, slope = _step(network, name, envs[name, port], ports, port, shape, run.start + i)
                    now[name] = emitted
                    if found is None:
                        found = totals[name] = Measured(torch.zeros_like(emitted), {})
                    total = found.slopes.get(port)
                    found.slopes[port] = slope / n_steps if total is None else total + slope / n_steps
                if found is not None:
                    found.rate += now[name] / n_steps
    return totals


def _plain(value: Any) -> Any:
    return value.detach() if isinstance(value, torch.Tensor) else value


def _step(
    network: Network, name: str, env: dict[str, Any], ports: Rows, port: str, shape: tuple[int, int], step: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """What a population emits in a step, and its derivative by the port."""
    dynamics = network.dynamics[name]
    env.update({n: v.detach() for n, v in ports.items()})
    env[port] = forward_ad.make_dual(env[port], torch.ones_like(env[port]))
    env["t"] = network._anchor.new_full((1,), step * network.program.dt)
    with torch.enable_grad():  # the surrogate is there for gradients alone; nothing here asks for them backward
        emitted = dynamics.update(env, shape, False)
        dynamics.reset(env, shape)
        dynamics.after_reset(env, shape)
    assert emitted is not None
    value, tangent = forward_ad.unpack_dual(emitted)
    return value.detach(), torch.zeros_like(value) if tangent is None else tangent.detach()
