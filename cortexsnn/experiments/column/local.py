"""A local alternative to gradients: apical synapses learn to predict their soma's spikes, inhibition holds its cells at a rate.

Nothing here sees an error of frames. What learns is what the command does to apical compartments and how strongly cells are inhibited; what frames
themselves do (thalamus, L4E to L23E, L23E to L5E) stays as drawn: cells learn no features of frames, for which L4E to L23E would have to be plastic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from ...learned import learned, with_rules
from ...plasticity import rule
from ...realise import realise
from ...run import simulate
from ...spec import Circuit, to_plain
from ...train.frame_spikes import FrameCode, Spikes
from ...train.scan import Scans
from ...validate import validate
from .networks import PYRAMIDAL, cells, rows
from .score import errors_by_kind

APICAL = ("command_L23E", "command_L5E")
SOMATIC = ("L23PV_L23E", "L5PV_L5E")
"""PV cells onto somata of cells whose dendrites predict. Not of layer 4: with four times its inhibition it still follows the thalamus at 14 Hz."""
DENDRITIC = ("L23SOM_L23E", "L5SOM_L23E", "L5SOM_L5E")
"""SOM cells onto apical compartments."""
MOST_APICAL, MOST_INHIBITION = 4.0, 10.0
"""Bounds of weights, times the mean of their projection as drawn. Four is three standard deviations up a lognormal distribution of sigma 0.5; with four
times their inhibition, cells of layer 2/3 do not come down to the target."""
PHI_MAX, K, WIDTH = 150.0, 0.5, 5.0
THETA = {"L23E": -40.0, "L5E": -38.0}
"""Of the rate [Hz] that a dendrite's potential [mV] predicts, ``PHI_MAX/(1 + K exp((THETA - V)/WIDTH))``. The first two are the rule's own; THETA and
WIDTH make the spikes of untrained cells that see digits most likely, to a millivolt: what is learned is not a mere scale of the dendrite."""
PENALTIES = tuple(10.0 ** np.arange(7))
"""Of the ridge regression, on counts of spikes."""
PROBABILITY = 1e-12
"""Least share of a step that a mean rate is taken for, so that a silent cell has a likelihood."""


class LocalRules(NamedTuple):
    """What learns, and how fast.

    apical_rate, inhibitory_rate : float
        Changes of weights as parts of their bounds: by a filtered error of 1, by a pair of spikes; 0 holds the weights.
    target : float
        Rate at which inhibition holds the cells it reaches [Hz]; ours.
    inhibition : names of projections
        ``DENDRITIC`` may stand beside ``SOMATIC``; with it frames are read out no better and dendrites are a little further from their somata.
    """

    apical_rate: float = 0.01
    inhibitory_rate: float = 0.002
    target: float = 10.0
    inhibition: tuple[str, ...] = SOMATIC


DEFAULT = LocalRules()


def plastic(circuit: Circuit, rules: LocalRules = DEFAULT) -> Circuit:
    """The column whose apical synapses of the command follow ``dendritic_prediction`` and whose inhibition follows ``inhibitory_stdp``.

    Parameters
    ----------
    circuit : Circuit
        A column with apical feedback and weights as they are drawn. What learns by a rule is no longer trained.
    rules : LocalRules
    """
    plain: dict[str, Any] = to_plain(circuit)
    for name in APICAL:
        plain["projections"][name] |= {"trainable": False, "plasticity": rule(
            "dendritic_prediction", w_max=_most(circuit, name), interval=circuit.dt, dendrite="Vd", rate=rules.apical_rate,
            phi_max=f"{PHI_MAX:g} Hz", k=K, theta=f"{THETA[circuit.projections[name].post]:g} mV", width=f"{WIDTH:g} mV",
        )}  # fmt: skip
    for name in rules.inhibition:
        plain["projections"][name] |= {"trainable": False, "plasticity": rule(
            "inhibitory_stdp", w_max=_most(circuit, name), rate=rules.inhibitory_rate, target=f"{rules.target:g} Hz",
        )}  # fmt: skip
    return validate(Circuit(**plain))


def learn(circuit: Circuit, draw: Callable[[], Spikes], updates: int, engine: str, seed: int) -> Circuit:
    """What a plastic circuit is after its runs, without its rules.

    Sequences of a run follow each other in one trial; traces and cells start anew with a run, weights go on.

    Parameters
    ----------
    circuit : Circuit
        From :func:`plastic`.
    draw : callable
        Spikes of every input for the next run, (step, sequence, channel).
    updates : int
        Runs.
    engine : str
    seed : int
        The edges that are not plastic are drawn from it: the circuit that was taught is the one returned only with this seed.
    """
    for _ in range(updates):
        recording = simulate(circuit, chained(draw()), engine=engine, seed=seed, probes={})
        circuit = learned(circuit, recording)
    return with_rules(circuit)


def chained(spikes: Mapping[str, np.ndarray]) -> Spikes:
    """Sequences one after the other as one trial: (step, sequence, channel) -> (step, 1, channel)."""
    return {name: s.transpose(1, 0, 2).reshape(-1, 1, s.shape[2]) for name, s in spikes.items()}


def moved(before: Circuit, after: Circuit, seed: int) -> dict[str, tuple[float, float]]:
    """Of every projection that is plastic in ``before``: mean change of a weight as a part of the mean weight, and share of weights at a bound."""
    edges, found = (realise(c, seed).edges for c in (before, after)), {}
    old, new = edges
    for name, projection in before.projections.items():
        if projection.plasticity is not None:
            w, most = new[name].values, float(_most(before, name).split()[0])
            change = np.abs(w - old[name].values).mean() / old[name].values.mean()
            found[name] = float(change), float(((w <= 0) | (w >= most * (1 - 1e-9))).mean())
    return found


def read_out(
    circuit: Circuit, code: FrameCode, train: Scans, test: Scans, engine: str, seed: int, chain: bool = False
) -> dict[str, float]:
    """Mean squared errors, by kind of frame, of a ridge regression from what pyramidal cells do in the second half of a frame to the next frame, and mean
    rates of all cells [Hz]. The same for every column, however its weights came about.

    Parameters
    ----------
    circuit : Circuit
        Without rules.
    code : FrameCode
    train, test : Scans
        Sequences to fit, with the penalty that leaves the least error when one frame is left out, and to score.
    engine : str
    seed : int
        Of the circuit's edges and of the spikes of the inputs.
    chain : bool
        Whether sequences follow each other in one trial, the state in which :func:`learn` teaches; else each starts from rest, as in training by
        gradients, and its first frames are seen by rested synapses and cells, which fire two thirds as much again.
    """
    from sklearn.linear_model import RidgeCV

    x, _ = _counts(circuit, code, train, engine, seed, 0, chain)
    z, rates = _counts(circuit, code, test, engine, seed, 1, chain)
    model = RidgeCV(PENALTIES).fit(x, train.targets.reshape(len(x), -1))
    return {**errors_by_kind(model.predict(z).reshape(test.targets.shape), test), **rates}


def _counts(
    circuit: Circuit, code: FrameCode, scans: Scans, engine: str, seed: int, part: int, chain: bool
) -> tuple[np.ndarray, dict[str, float]]:
    """Spikes of pyramidal cells in the second half of every frame, (frame and sequence, cell), and rates of all cells [Hz]."""
    inputs = rows(circuit, code, scans, np.random.default_rng([seed, part]))
    recording = simulate(
        circuit, chained(inputs) if chain else inputs, engine=engine, seed=seed,
        probes={name: ["spikes"] for name in cells(circuit)},
    )  # fmt: skip
    spikes = np.concatenate([_rows(recording, name, "spikes") for name in PYRAMIDAL], axis=2)
    if chain:
        spikes = spikes.reshape(scans.moves.shape[1], -1, spikes.shape[2]).transpose(1, 0, 2)
    counts = spikes.reshape(-1, code.ms, *spikes.shape[1:])[:, code.ms // 2 :].sum(1, dtype=float)
    rates = {f"rate {name}": 1000 * float(recording[name]["spikes"].mean()) for name in cells(circuit)}
    return counts.reshape(-1, counts.shape[2]), rates


def dendritic_information(recording: xr.DataTree, name: str) -> float:
    """How much more likely the soma's spikes are by what the dendrite predicts than by the cell's mean rate [bit/spike]; below 0 where they are less so.

    The log-likelihood is the one that the rule climbs, ``sum(S log(phi) - phi dt)`` over steps (Urbanczik and Senn 2014).
    """
    v, spikes = _rows(recording, name, "Vd"), _rows(recording, name, "spikes")
    ms = float(recording.attrs["dt_ms"])
    mean = np.maximum(spikes.mean((0, 1)), PROBABILITY)
    gain = _log_likelihood(spikes, predicted_rate(v, name) * ms / 1000) - _log_likelihood(spikes, mean)
    return float(gain.sum() / max(1, spikes.sum()) / np.log(2))


def dendritic_error(recording: xr.DataTree, name: str) -> float:
    """Distance between the mean rate that a cell's dendrite predicts and its soma's, mean over cells [Hz]."""
    predicted = predicted_rate(_rows(recording, name, "Vd"), name).mean((0, 1))
    rate = 1000 / float(recording.attrs["dt_ms"]) * _rows(recording, name, "spikes").mean((0, 1))
    return float(np.abs(predicted - rate).mean())


def predicted_rate(v: np.ndarray, name: str) -> np.ndarray:
    """Rate [Hz] that goes with a potential of the dendrite [mV] of a cell of a population."""
    return PHI_MAX / (1 + K * np.exp((THETA[name] - v) / WIDTH))


def _log_likelihood(spikes: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Of spikes (step, trial, cell) of a Poisson process with so many expected in a step."""
    return spikes * np.log(expected) - expected


def _rows(recording: xr.DataTree, name: str, what: str) -> np.ndarray:
    """(step, trial, cell)."""
    return np.asarray(recording[name][what].transpose("step", "trial", "neuron").values)


def _most(circuit: Circuit, name: str) -> str:
    """Bound of the weights of a projection that are lognormal as drawn."""
    weight: Any = circuit.projections[name].weight
    median, unit = weight.median.split()
    most = MOST_APICAL if name in APICAL else MOST_INHIBITION
    return f"{most * float(median) * np.exp(weight.sigma**2 / 2):.6g} {unit}"
