"""Spikes of a layer with a double-exponential response and gradients by their times, one number at a time (Zhu et al. 2023).

Written from the equations alone: traces that a spike clears, sums over the input spikes since the output spike before.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Found(NamedTuple):
    """Output spikes (step, trial, post), gradients of weights (pre, post) and of input times (step, trial, pre)."""

    spikes: np.ndarray
    weights: np.ndarray
    times: np.ndarray
    n_clipped: int


def spike_time_gradient(
    spikes: np.ndarray,
    weights: np.ndarray,
    by_time: np.ndarray,
    taus: tuple[float, float, float],
    threshold: float,
    kernel: str,
    steepest: float = 4.0,
) -> Found:
    """``by_time`` (step, trial, post): derivative of the loss by the time of a spike there; ``taus`` of membrane, synapse and gradient."""
    tau_m, tau_s, tau_g = taus
    theta_m, theta_s, theta_g = 1 / tau_m, 1 / tau_s, 1 / tau_g
    factor = theta_s / (theta_s - theta_m)

    def eps(k: int) -> float:
        return ((1 - theta_m) ** k - (1 - theta_s) ** k) * factor

    def kappa(k: int) -> float:
        return (1 - theta_g) ** k if kernel == "exponential" else eps(k) - eps(k - 1)

    n_steps, n_trials, n_pre = spikes.shape
    n_post = weights.shape[1]
    fired, to_weights, to_times, n_clipped = np.zeros(by_time.shape), np.zeros(weights.shape), np.zeros(spikes.shape), 0
    for b in range(n_trials):
        for o in range(n_post):
            m = n = g = u_before = 0.0
            first = 0
            for t in range(n_steps):
                current = sum(weights[j, o] * spikes[t, b, j] for j in range(n_pre))
                m, n, g = (m + current) * (1 - theta_m), (n + current) * (1 - theta_s), (g + current) * (1 - theta_g)
                u = (m - n) * factor
                rise = u - u_before
                rise_back = g if kernel == "exponential" else rise
                u_before = u
                if u < threshold:
                    continue
                fired[t, b, o] = 1.0
                a = max(-1 / rise, -steepest) if rise > 0 else 0.0
                back = -1 / rise_back if rise_back > 0 else 0.0
                n_clipped += rise <= 0 or 1 / rise > steepest
                for s in range(first, t + 1):
                    for j in range(n_pre):
                        if spikes[s, b, j]:
                            to_weights[j, o] += by_time[t, b, o] * a * eps(t - s + 1)
                            to_times[s, b, j] += by_time[t, b, o] * back * -weights[j, o] * kappa(t - s + 1)
                m = n = g = u_before = 0.0
                first = t + 1
    return Found(fired, to_weights, to_times, n_clipped)
