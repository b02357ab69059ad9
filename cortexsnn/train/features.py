"""Features that a layer of first spikes learns by itself: one kernel per feature, shared by all places, and a race for who learns.

Plasticity is multiplicative and of signs alone, as of Kheradpisheh et al. 2018 (Neural Networks 99:56): an input up to the winner's spike gains
``a_plus w (1 - w)``, any other loses ``a_minus w (1 - w)``. Thresholds that rise for the winner and fall for the others share the wins among
the features; that they do so by these amounts is ours, as are all numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from ..errors import InputError
from ..ranges import COUNT, FACTOR, NOT_NEGATIVE, POSITIVE, check_fields
from .first_spikes import T_MAX, checked_times, first_crossings


@dataclass(frozen=True)
class FeatureSettings:
    """How features are learned.

    Parameters
    ----------
    features, kernel : int
        Their number; rows and columns that each sees.
    threshold : float
        To begin with, in units of summed weights; never below half of it.
    rise : float
        Of the winner's threshold in a sample; those of the others fall by as much together.
    a_plus, a_minus : float
    epochs : int
    """

    features: int = 32
    kernel: int = 5
    threshold: float = 4.0
    rise: float = 0.1
    a_plus: float = 0.1
    a_minus: float = 0.075
    epochs: int = 3

    def __post_init__(self) -> None:
        check_fields("settings", self, COUNT, "features", "kernel", "epochs", whole=True)
        check_fields("settings", self, POSITIVE, "threshold")
        check_fields("settings", self, NOT_NEGATIVE, "rise")
        check_fields("settings", self, FACTOR, "a_plus", "a_minus")


@dataclass
class Features:
    """Kernels of features over an image, each cell spiking once at most.

    weights : (feature, row, column), in [0, 1];  thresholds : (feature,);  image : (rows, columns)
    """

    weights: np.ndarray
    thresholds: np.ndarray
    image: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(feature, rows, columns) of the cells."""
        return (len(self.weights), *(n - k + 1 for n, k in zip(self.image, self.weights.shape[1:], strict=True)))

    def first_spikes(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Times and potentials (feature, place) of one image of input times (row * column,)."""
        flat = self.weights.reshape(len(self.weights), -1)
        found = [first_crossings(flat, self.thresholds, patch) for patch in self.patches(times)]
        spikes, potentials = (np.stack(x, axis=1) for x in zip(*found, strict=True))
        return spikes, potentials

    def patches(self, times: np.ndarray) -> np.ndarray:
        """What each place sees of an image, (place, input)."""
        size = self.weights.shape[1:]
        return np.lib.stride_tricks.sliding_window_view(times.reshape(self.image), size).reshape(-1, size[0] * size[1])

    def times(self, samples: np.ndarray) -> np.ndarray:
        """Times (sample, feature * place) that samples (sample, row * column) of input times evoke."""
        return np.stack([self.first_spikes(s)[0].ravel() for s in samples])


def learn_features(samples: np.ndarray, image: tuple[int, int], settings: FeatureSettings, seed: int) -> Features:
    """Features of samples (sample, row * column) of times, without labels.

    Raises
    ------
    InputError
        Samples that are no such images, times outside [0, 1], or images smaller than a kernel.
    """
    samples = checked_times("samples", samples, image[0] * image[1])
    if settings.kernel > min(image):
        raise InputError(f"settings.kernel: {settings.kernel} is larger than an image of {image[0]} x {image[1]}")
    random, n = np.random.default_rng(seed), settings.features
    start = random.normal(0.5, 0.1, (n, settings.kernel, settings.kernel))
    layer = Features(np.clip(start, 0.01, 0.99), np.full(n, settings.threshold), image)
    sample = partial(_learn, layer, settings=settings)
    for _ in range(settings.epochs):
        for k in random.permutation(len(samples)):
            sample(samples[k])
    return layer


def _learn(layer: Features, times: np.ndarray, settings: FeatureSettings) -> None:
    """The first cell of all, by time and then by potential, learns what its place saw."""
    spikes, potentials = layer.first_spikes(times)
    if spikes.min() == T_MAX:
        return
    feature, place = divmod(int(np.lexsort((-potentials.ravel(), spikes.ravel()))[0]), spikes.shape[1])
    before = layer.patches(times)[place] <= spikes[feature, place]
    w = layer.weights[feature]
    w += np.where(before.reshape(w.shape), settings.a_plus, -settings.a_minus) * w * (1 - w)
    won = np.arange(len(layer.weights)) == feature
    n = len(won)
    change = settings.rise * np.where(won, (n - 1) / n, -1 / n)
    layer.thresholds = np.maximum(layer.thresholds + change, settings.threshold / 2)
