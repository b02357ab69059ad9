"""Supervised spike-timing plasticity of a layer of first spikes, with competition in groups (Goupy, Tirilly and Bilasco 2024).

Rules as in the code that the authors published (S2-STDP, SSTDP, R-STDP, neuronal competition groups); not local in time: the errors need the
first spikes of all classes, so weights change at the end of a sample. Times are in [0, t_max], and t_max means silence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from pandas import Interval

from ..errors import InputError, unknown
from ..ranges import BETWEEN, COUNT, FACTOR, NOT_NEGATIVE, POSITIVE, SHARE, check_fields, check_number, milliseconds
from ..spec import Array, Circuit
from ..structure import real_numbers
from ..validate import validate
from .features import Features
from .first_spikes import CELL, T_MAX, checked_times, first_crossings

Rule = Literal["s2-stdp", "sstdp", "r-stdp"]
RULES = ("s2-stdp", "sstdp", "r-stdp")
NEGATIVE = Interval(-np.inf, 0, closed="neither")
ROUNDING = 1e-12
"""Errors of times below this are none: what is left of differences of equal times."""


@dataclass(frozen=True)
class CompetitionSettings:
    """How a layer learns; the defaults are the published ones of S2-STDP with groups on features of MNIST.

    Parameters
    ----------
    rule : {"s2-stdp", "sstdp", "r-stdp"}
    gap : float
        t_gap: by how much the target is to fire before the others, as a part of t_max.
    a_plus, a_minus : float
        Of inputs before and after a spike; a_minus < 0.
    threshold : float
        theta_0, in units of summed weights.
    mean, spread : float
        Of the normal distribution that weights are drawn from.
    normalise : bool
        Keep each cell's sum of weights.
    regulation : float
        eta of the training thresholds; 0 for winner-takes-all alone.
    annealing, decay : float
        Per epoch, of eta and of a_plus and a_minus.
    non_targets : int
        Cells of a group that learn to fire late.
    epochs, patience : int
    """

    rule: Rule = "s2-stdp"
    gap: float = 0.03
    a_plus: float = 0.05
    a_minus: float = -0.1
    threshold: float = 200.0
    mean: float = 0.3
    spread: float = 0.01
    normalise: bool = True
    regulation: float = 10.0
    annealing: float = 0.5
    decay: float = 0.98
    non_targets: int = 1
    epochs: int = 100
    patience: int = 10

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise InputError(f"settings.rule: {unknown('rule', self.rule, RULES)}")
        check_fields("settings", self, BETWEEN, "gap")
        check_fields("settings", self, POSITIVE, "a_plus", "threshold")
        check_fields("settings", self, NEGATIVE, "a_minus")
        check_fields("settings", self, SHARE, "mean", "annealing")
        check_fields("settings", self, NOT_NEGATIVE, "spread", "regulation")
        check_fields("settings", self, FACTOR, "decay")
        check_fields("settings", self, NOT_NEGATIVE, "non_targets", whole=True)
        check_fields("settings", self, COUNT, "epochs", "patience", whole=True)


@dataclass
class Layer:
    """Cells in groups, cell k of class ``k // per_class``; the first ``non_targets`` of a group learn to fire late.

    weights : (cell, input), not negative;  thresholds : (cell,), those of training

    Raises
    ------
    InputError
        Weights that are no such numbers, or cells that are not as many for every class.
    """

    weights: np.ndarray
    n_classes: int
    settings: CompetitionSettings
    thresholds: np.ndarray = field(init=False)
    sums: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        check_number("n_classes", self.n_classes, COUNT, whole=True)
        w = self.weights = real_numbers("weights", self.weights).astype(float)
        if w.ndim != 2 or not w.size or not (np.isfinite(w) & (w >= 0)).all():
            raise InputError(f"weights: expected finite numbers >= 0, (cell, input), got an array of {w.shape}")
        if len(self.weights) % self.n_classes or self.settings.non_targets >= self.per_class:
            raise InputError(
                f"weights: {len(self.weights)} cells in {self.n_classes} classes with {self.settings.non_targets} non-targets each; "
                "expected as many cells for every class, one of them a target at least"
            )
        self.thresholds = np.full(len(self.weights), self.settings.threshold)
        self.sums = np.abs(self.weights).sum(1)

    @staticmethod
    def drawn(n_inputs: int, n_classes: int, per_class: int, settings: CompetitionSettings, seed: int) -> Layer:
        """Weights from the settings' normal distribution, within [0, 1]."""
        for name, count in (("n_inputs", n_inputs), ("n_classes", n_classes), ("per_class", per_class)):
            check_number(name, count, COUNT, whole=True)
        random = np.random.default_rng(seed)
        weights = random.normal(settings.mean, settings.spread, (n_classes * per_class, n_inputs))
        return Layer(np.clip(weights, 0, 1), n_classes, settings)

    @property
    def per_class(self) -> int:
        return len(self.weights) // self.n_classes

    @property
    def class_of(self) -> np.ndarray:
        return np.arange(len(self.weights)) // self.per_class

    @property
    def is_target(self) -> np.ndarray:
        return np.arange(len(self.weights)) % self.per_class >= self.settings.non_targets

    def first_spikes(self, times: np.ndarray, thresholds: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Times of the first spikes and the potentials at them, (cell,), by :func:`.first_spikes.first_crossings`."""
        given = np.full(len(self.weights), self.settings.threshold) if thresholds is None else thresholds
        return first_crossings(self.weights, given, times)

    def predict(self, samples: np.ndarray) -> np.ndarray:
        """Classes of samples (sample, input) of input times: that of the first cell, by time and then by potential.

        Raises
        ------
        InputError
            Another number of inputs, or times outside [0, 1].
        """
        found = []
        for times in checked_times("samples", samples, self.weights.shape[1]):
            spikes, potentials = self.first_spikes(times)
            found.append(self.class_of[np.lexsort((-potentials, spikes))[0]])
        return np.array(found)

    def winners(self, spikes: np.ndarray, potentials: np.ndarray) -> np.ndarray:
        """The first cell of each class, (class,)."""
        by_class = np.lexsort((-potentials, spikes, self.class_of))
        return by_class.reshape(self.n_classes, self.per_class)[:, 0]

    def learn(self, times: np.ndarray, label: int, rates: tuple[float, float], regulation: float) -> np.ndarray:
        """One sample: thresholds of the label's group, then weights of the winners; returns the cells that learned.

        They are the winners, one of each class at most, less those that fired when they were to.

        Parameters
        ----------
        times : (input,)
        label : int
        rates : a_plus and a_minus of this epoch
        regulation : float
            eta of this epoch.

        Raises
        ------
        InputError
            Times outside [0, 1], another number of inputs, or a label that is no class.
        """
        times = self._sample(times, label)
        own = (self.class_of == label) & self.is_target
        trained = np.where(own, self.thresholds, self.settings.threshold)
        spikes, potentials = self.first_spikes(times, trained)
        winners = self.winners(spikes, potentials)
        self._regulate(own, spikes, potentials, regulation)
        is_target = (self.class_of[winners] == label) & self.is_target[winners]
        errors = timing_errors(spikes[winners], is_target, self.settings.gap, self.settings.rule)
        wrong = np.abs(errors) > ROUNDING
        self._move(winners[wrong], errors[wrong], times, spikes, rates)
        return winners[wrong]

    def reinforce(self, times: np.ndarray, label: int, rates: tuple[float, float], accuracy: float) -> None:
        """R-STDP: the very first cell learns, by how often the epoch before was wrong or right; parameters and errors as of :meth:`learn`."""
        times = self._sample(times, label)
        spikes, potentials = self.first_spikes(times)
        first = np.lexsort((-potentials, spikes))[:1]
        right = self.class_of[first[0]] == label
        self._move(first, np.array([1 - accuracy if right else -accuracy]), times, spikes, rates)

    def _sample(self, times: np.ndarray, label: int) -> np.ndarray:
        _labels("label", [label], 1, self.n_classes)
        return checked_times("times", [times], self.weights.shape[1])[0]

    def _regulate(self, own: np.ndarray, spikes: np.ndarray, potentials: np.ndarray, regulation: float) -> None:
        cells = np.flatnonzero(own)
        winner = cells[np.lexsort((-potentials[cells], spikes[cells]))[0]]
        self.thresholds[cells] = regulated(self.thresholds[cells], cells == winner, regulation, self.settings.threshold)

    def _move(
        self, cells: np.ndarray, errors: np.ndarray, times: np.ndarray, spikes: np.ndarray, rates: tuple[float, float]
    ) -> None:
        change = weight_changes(errors, times, spikes[cells], rates)
        moved = np.clip(self.weights[cells] + change, 0, 1)
        if self.settings.normalise:
            total = np.abs(moved).sum(1, keepdims=True)
            moved = moved * np.where(total > 0, self.sums[cells, None] / np.where(total > 0, total, 1), 1)
        self.weights[cells] = moved


def timing_errors(winners: np.ndarray, is_target: np.ndarray, gap: float, rule: Rule) -> np.ndarray:
    """Errors of the winners' times: above 0 for cells that must fire earlier.

    ``T_bar`` is the mean of the times of those that fire, at most t_max - gap/C; the target is to fire at ``T_bar - gap (C - 1)/C``, the others at
    ``T_bar + gap/C``. SSTDP only pushes the target to earlier and the others to later times.

    Raises
    ------
    InputError
        A rule without such errors.
    """
    if rule not in RULES[:2]:
        raise InputError(f"rule: {unknown('rule', rule, RULES[:2])}")
    n = len(winners)
    firing = winners[winners < T_MAX]
    mean = min(float(firing.mean()) if firing.size else np.inf, T_MAX - gap / n)
    wanted = np.where(is_target, mean - gap * (n - 1) / n, mean + gap / n)
    if rule == "sstdp":
        wanted = np.where(is_target, np.minimum(winners, wanted), np.maximum(winners, wanted))
    return (winners - wanted) / T_MAX


def weight_changes(errors: np.ndarray, times: np.ndarray, spikes: np.ndarray, rates: tuple[float, float]) -> np.ndarray:
    """Additive plasticity with the error as third factor, (cell, input): inputs up to the spike by a_plus, later ones by a_minus.

    A silent cell counts as firing at t_max, so that with an error above 0 all its inputs grow, silent ones too, as published.
    """
    before = times[None, :] <= spikes[:, None]
    return errors[:, None] * np.where(before, *rates)


def regulated(thresholds: np.ndarray, won: np.ndarray, regulation: float, lowest: float) -> np.ndarray:
    """Training thresholds of a group after a competition: the winner's rises, the others' fall, not below ``lowest``."""
    n = len(thresholds)
    change = np.where(won, regulation * (n - 1) / n, -regulation / n)
    return np.maximum(thresholds + change, lowest)


@dataclass
class CompetitionHistory:
    """Per epoch: accuracies on the training (while it learned) and validation part; ``updates`` is how often each cell learned."""

    training_accuracy: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    updates: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    best: int = 0


def fit_layer(
    layer: Layer, train: tuple[np.ndarray, np.ndarray], validation: tuple[np.ndarray, np.ndarray], seed: int,
    report: Callable[[int, CompetitionHistory], object] = lambda epoch, history: None,
) -> CompetitionHistory:  # fmt: skip
    """Train in place, sample after sample, and leave the layer at its best epoch on the validation part.

    Parameters
    ----------
    layer : Layer
    train, validation : (samples, labels)
        Input times (sample, input) in [0, 1], 1 for silence, and classes (sample,).
    seed : int
        Order of the samples.

    Raises
    ------
    InputError
        Times or labels out of their range, or shapes that do not fit.
    """
    train, validation = (_part(path, part, layer) for path, part in (("train", train), ("validation", validation)))
    settings, random = layer.settings, np.random.default_rng(seed)
    history = CompetitionHistory(updates=np.zeros(len(layer.weights), np.int64))
    rates, regulation, kept, accuracy = (
        (settings.a_plus, settings.a_minus),
        settings.regulation,
        layer.weights.copy(),
        0.0,
    )
    best = -1.0
    for epoch in range(settings.epochs):
        layer.thresholds[:] = settings.threshold
        right = 0
        for k in random.permutation(len(train[1])):
            times, label = train[0][k], int(train[1][k])
            right += int(layer.predict(times[None])[0] == label)
            if settings.rule == "r-stdp":
                layer.reinforce(times, label, rates, accuracy)
            else:
                history.updates[layer.learn(times, label, rates, regulation)] += 1
        accuracy = right / len(train[1])
        history.training_accuracy.append(accuracy)
        history.validation_accuracy.append(float((layer.predict(validation[0]) == validation[1]).mean()))
        if history.validation_accuracy[-1] > best:
            best, history.best, kept = history.validation_accuracy[-1], epoch, layer.weights.copy()
        rates = (rates[0] * settings.decay, rates[1] * settings.decay)
        regulation *= settings.annealing
        report(epoch, history)
        if epoch - history.best >= settings.patience:
            break
    layer.weights[:] = kept
    return history


def _part(path: str, part: tuple[np.ndarray, np.ndarray], layer: Layer) -> tuple[np.ndarray, np.ndarray]:
    samples = checked_times(path, part[0], layer.weights.shape[1])
    return samples, _labels(path, part[1], len(samples), layer.n_classes)


def _labels(path: str, labels: Any, n: int, n_classes: int) -> np.ndarray:
    found = real_numbers(path, labels)
    if found.shape != (n,) or found.dtype.kind not in "iu":
        raise InputError(f"{path}: expected {n} whole numbers as labels, (sample,), got {found.dtype} {found.shape}")
    if found.min() < 0 or found.max() >= n_classes:
        raise InputError(f"{path}: expected labels in 0 to {n_classes - 1}, got {found.min()} to {found.max()}")
    return found


def to_circuit(layer: Layer, n_steps: int, dt: str = "1 ms", features: Features | None = None) -> Circuit:
    """The layer as a circuit: integrate-and-fire cells that spike once, on the grid of ``n_steps``; input ``x`` takes spikes.

    With input times on the grid, every engine gives the times of :meth:`Layer.first_spikes`; potentials stay where they were at the spike. With
    ``features`` the input is their image, and they are a population between.

    Raises
    ------
    InputError
        No step, or a dt that is no time.
    """
    check_number("n_steps", n_steps, COUNT, whole=True)
    duration = f"{n_steps * milliseconds('dt', dt):.15g} ms"
    neurons: dict[str, Any] = {"cell": {**CELL, "parameters": {"theta": layer.settings.threshold}}}
    populations: dict[str, Any] = {}
    source, inputs, projections = "x", {"x": {"size": layer.weights.shape[1], "kind": "spikes"}}, dict[str, Any]()
    if features is not None:
        inputs = {"x": {"shape": [1, *features.image], "kind": "spikes"}}
        places = features.shape[1] * features.shape[2]
        populations["features"] = {
            "shape": list(features.shape), "neuron": "cell", "transmitter": "excitatory",
            "parameters": {"theta": np.repeat(features.thresholds, places).tolist()},
        }  # fmt: skip
        projections["x_features"] = {
            "pre": "x", "post": "features", "port": "x", "connect": {"conv2d": {"kernel": features.weights.shape[1]}},
            "weight": Array(features.weights[:, None].copy()),
        }  # fmt: skip
        source = "features"
    populations["cells"] = {"size": len(layer.weights), "neuron": "cell", "transmitter": "excitatory"}
    projections[f"{source}_cells"] = {
        "pre": source, "post": "cells", "port": "x", "connect": "all", "weight": Array(layer.weights.T.copy())
    }  # fmt: skip
    return validate(
        Circuit(
            name="competition_groups", dt=dt, duration=duration, neurons=neurons, inputs=inputs, populations=populations, projections=projections
        )
    )  # fmt: skip


def decided(recording: Any, layer: Layer) -> np.ndarray:
    """Classes that a recording of :func:`to_circuit` decides for, (trial,); it must hold spikes and ``v``."""
    spikes = recording["cells"]["spikes"].transpose("trial", "step", "neuron").values
    potentials = recording["cells"]["v"].transpose("trial", "step", "neuron").values[:, -1]
    times = np.where(spikes.any(1), spikes.argmax(1), spikes.shape[1])
    return np.array([layer.class_of[np.lexsort((-v, t))[0]] for t, v in zip(times, potentials, strict=True)])


def balance(updates: Sequence[int] | np.ndarray, layer: Layer) -> float:
    """How evenly the targets of a class share its updates: 1 for all alike, 1/n for one of n alone; a mean over classes."""
    counts = np.asarray(updates)[layer.is_target].reshape(layer.n_classes, -1).astype(float)
    totals = counts.sum(1)
    shares = counts[totals > 0] / totals[totals > 0, None]
    return float((1 / (shares**2).sum(1) / counts.shape[1]).mean()) if len(shares) else float("nan")
