"""How well the next frame is predicted, by what was seen, and by predictors that are no networks."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ...train.scan import MOVES, Scans

KINDS = ("all", "visible", "occluded", "moving", "occluded, moving")
"""Frames by what is seen in them and by whether the next differs; copying fails where the window moves."""


def errors_by_kind(found: np.ndarray, scans: Scans) -> dict[str, float]:
    """Mean squared errors of predictions (frame, sample, pixel); NaN for a kind of which there is none."""
    error, moves = ((found - scans.targets) ** 2).mean(-1), scans.moves != 0
    chosen = (np.ones_like(moves), ~scans.occluded, scans.occluded, moves, moves & scans.occluded)
    return {
        kind: float(error[where].mean()) if where.any() else float("nan")
        for kind, where in zip(KINDS, chosen, strict=True)
    }


def predicted_frames(recording: xr.DataTree, ms: int) -> np.ndarray:
    """The read-out's mean over the second half of every frame, (frame, sample, pixel)."""
    node = recording["prediction"].to_dataset()
    y = next(node[name] for name in node.data_vars if node[name].dims == ("trial", "step", "neuron"))
    steps = y.transpose("step", "trial", "neuron").values
    return np.asarray(steps.reshape(-1, ms, *steps.shape[1:])[:, ms // 2 :].mean(1))


def copied(scans: Scans) -> np.ndarray:
    """What was last seen of every pixel, as the prediction."""
    found = scans.frames[:-1].copy()
    for k in range(1, len(found)):
        found[k] = np.where(scans.covered[k], found[k - 1], found[k])
    return found


def mean_frame(train: Scans, scans: Scans) -> np.ndarray:
    """The mean of all training frames, as the prediction."""
    return np.broadcast_to(train.frames.mean((0, 1)), scans.targets.shape)


def autoregressive(train: Scans, scans: Scans, order: int = 3, products: int = 0, ridge: float = 1.0) -> np.ndarray:
    """Least squares from the last ``order`` frames as seen, what was seen, and their commands; with ``products``, also the command
    times the frame, which a linear predictor lacks; with two, also both last commands times the frame before, which an occluded frame takes."""

    def fitted(s: Scans) -> np.ndarray:
        return np.stack([_features(s, k, order, products) for k in range(len(s.moves))])

    x, y = fitted(train), train.targets
    x, y = x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1])
    weights = np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ y)
    return np.asarray(fitted(scans) @ weights)


def _features(scans: Scans, k: int, order: int, products: int) -> np.ndarray:
    """Of the frames up to k, (sample, feature)."""
    n = scans.moves.shape[1]
    parts, ways = [np.ones((n, 1))], np.ones((n, 1))
    for at in range(k, k - order, -1):
        shown = np.nan_to_num(scans.shown[at]) if at >= 0 else np.zeros_like(scans.frames[0])
        way = (scans.commands[at][:, None] == (*MOVES, 0)) & (at >= 0)
        seen = ~scans.covered[at] & (at >= 0)
        parts += [shown, way, seen]
        if k - at < products:
            ways = (ways[:, :, None] * way[:, None, :]).reshape(n, -1)  # of this step and all later ones
            parts.append((ways[:, :, None] * shown[:, None, :]).reshape(n, -1))
    return np.concatenate(parts, axis=1).astype(float)
