"""Images as inputs: scikit-learn's digits, split once and for all."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SPLIT_SEED = 0
"""Seed of the split into training, validation and held-out images; not a training seed."""
HELD_OUT = 0.25
VALIDATION = 0.15
"""Share of the training part on which the checkpoint is chosen."""


class Part(NamedTuple):
    """Images (image, channel) in [0, 1] and labels (image,)."""

    images: np.ndarray
    labels: np.ndarray


class Digits(NamedTuple):
    """1 797 images of 8 x 8 pixels: 1 144 to train, 203 to choose the checkpoint, 450 held out; stratified."""

    train: Part
    validation: Part
    test: Part


def digits(split: int = SPLIT_SEED) -> Digits:
    """Load and split the digits; pixel values 0..16 become 0..1.

    Parameters
    ----------
    split : int
        Seed of the split, stratified by class; experiments that compare arms give every training seed a split of its own.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    images = images / 16.0
    rest, held, rest_labels, held_labels = train_test_split(
        images, labels, test_size=HELD_OUT, stratify=labels, random_state=split
    )
    train, validation, train_labels, validation_labels = train_test_split(
        rest, rest_labels, test_size=VALIDATION, stratify=rest_labels, random_state=split
    )
    return Digits(Part(train, train_labels), Part(validation, validation_labels), Part(held, held_labels))


def noisy(part: Part, level: float, seed: int) -> Part:
    """Gaussian noise of standard deviation ``level`` on every pixel, clipped to [0, 1]: a task that stays below the ceiling."""
    noise = np.random.default_rng(seed).normal(0.0, level, part.images.shape)
    return Part(np.clip(part.images + noise, 0.0, 1.0), part.labels)


def logistic_regression(data: Digits) -> float:
    """Held-out accuracy of a linear classifier on the pixels: what a network must beat to have done anything."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=5000).fit(data.train.images, data.train.labels)
    return float(model.score(data.test.images, data.test.labels))
