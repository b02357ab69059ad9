"""What a training is given, checked: whole numbers, numbers of a range, labels."""

from __future__ import annotations

import math

import torch

from ..errors import InputError


def check_whole(path: str, value: object, least: int = 1) -> None:
    """Refuse what is no whole number of at least ``least``.

    Raises
    ------
    InputError
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{path}: expected a whole number of at least {least}, got {value!r:.60}")


def check_number(path: str, value: object, low: float = 0.0, below: float = math.inf, *, above: bool = False) -> None:
    """Refuse what is no number from ``low`` (or above it) to below ``below``.

    Raises
    ------
    InputError
    """
    fits = isinstance(value, int | float) and not isinstance(value, bool) and low <= value < below
    if not fits or (above and value == low):
        upper = f" and below {below:g}" if below < math.inf else ""
        raise InputError(
            f"{path}: expected a number {'above' if above else 'of at least'} {low:g}{upper}, got {value!r:.60}"
        )


def check_labels(path: str, labels: object, n_samples: int, n_classes: int) -> None:
    """Refuse what is no int64 tensor (sample,) of numbers from 0 to below the number of classes.

    Raises
    ------
    InputError
    """
    if not isinstance(labels, torch.Tensor) or labels.dtype != torch.int64:
        kind = labels.dtype if isinstance(labels, torch.Tensor) else type(labels).__name__
        raise InputError(f"{path}: expected a tensor of whole numbers (sample,), torch.int64, got {kind}")
    if tuple(labels.shape) != (n_samples,):
        raise InputError(f"{path}: expected as many labels as samples, ({n_samples},), got {tuple(labels.shape)}")
    if n_samples and (int(labels.min()) < 0 or int(labels.max()) >= n_classes):
        raise InputError(
            f"{path}: labels from {int(labels.min())} to {int(labels.max())}, there are {n_classes} classes, 0 to {n_classes - 1}"
        )
