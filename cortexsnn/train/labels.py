"""Labels of a training, checked."""

from __future__ import annotations

import torch

from ..errors import InputError


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
