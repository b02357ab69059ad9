"""Samples to input rows: each encoder takes a batch (sample, …) and gives (step, sample, channel)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

Encoder = Callable[[torch.Tensor], torch.Tensor]


def repeated(n_steps: int) -> Encoder:
    """Direct coding: every image (sample, channel) is presented in every step."""
    return lambda images: images.expand(n_steps, *images.shape)


def by_rows(n_columns: int = 8) -> Encoder:
    """One row of an image (sample, pixel) per step, a channel per column."""
    return lambda images: images.unflatten(1, (-1, n_columns)).transpose(0, 1)


def by_pixels(images: torch.Tensor) -> torch.Tensor:
    """One pixel of an image (sample, pixel) per step, one channel."""
    return images.t().unsqueeze(-1)


def as_given(sequences: torch.Tensor) -> torch.Tensor:
    """Sequences (sample, step, channel), for instance spikes drawn beforehand."""
    return sequences.transpose(0, 1)


def rate_spikes(images: np.ndarray, n_steps: int, most: float, seed: int) -> np.ndarray:
    """Bernoulli spikes, (sample, step, channel): probability ``most`` per step at pixel value 1.

    Parameters
    ----------
    images : (sample, channel), values in [0, 1]
    n_steps : int
    most : float, between 0 and 1
    seed : int
    """
    draws = np.random.default_rng(seed).random((images.shape[0], n_steps, images.shape[1]))
    return (draws < most * images[:, None, :]).astype(np.float32)


def latency_spikes(images: np.ndarray, n_steps: int) -> np.ndarray:
    """One spike per pixel above 0, the earlier the brighter: step ``round((1 - x)(n_steps - 1))``; (sample, step, channel)."""
    at = np.rint((1 - images) * (n_steps - 1)).astype(int)
    spikes = np.arange(n_steps)[None, :, None] == at[:, None, :]
    return (spikes & (images > 0)[:, None, :]).astype(np.float32)


def delta_spikes(sequences: np.ndarray, threshold: float) -> np.ndarray:
    """Spikes where a signal has moved by ``threshold`` since its last spike: (sample, step, channel) to twice the channels.

    Channels of rises come first, then those of falls; the first step is where the signal is measured from.
    """
    level = sequences[:, 0].astype(float)
    up, down = (np.zeros(sequences.shape, np.float32) for _ in range(2))
    for k in range(1, sequences.shape[1]):
        moved = sequences[:, k] - level
        up[:, k], down[:, k] = moved >= threshold, moved <= -threshold
        level = level + threshold * (up[:, k] - down[:, k])
    return np.concatenate([up, down], axis=2)
