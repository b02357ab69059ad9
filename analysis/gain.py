"""Gain and offset of f-I curves, and what inhibition does to them: divide, subtract, both."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from scipy.optimize import OptimizeWarning, curve_fit

from ..errors import InputError

MARGIN = 0.1
"""Least relative change of the gain, and least shift of the offset relative to the dynamic range, that counts."""


class Line(NamedTuple):
    """``rate = gain * max(0, drive - offset)`` fitted to a curve; ``gain_se`` and ``offset_se`` are standard errors of the fit,
    ``residual`` the root mean square error relative to the largest rate."""

    gain: float
    offset: float
    gain_se: float
    offset_se: float
    residual: float


def gain_and_offset(drive: ArrayLike, rate: ArrayLike, ceiling: float = np.inf) -> Line:
    """Fit a threshold-linear curve.

    Parameters
    ----------
    drive, rate : (point,)
        At least four points, two of them with a rate above 0; drive increases.
    ceiling : float
        Points from the first rate above it on are left out: a refractory period or the length of a step bends the curve there.

    Raises
    ------
    InputError
        Rows of different length, NaN or infinity.
    ValueError
        Too few points, or points that do not determine the line.
    """
    x, y = np.asarray(drive, dtype=float), np.asarray(rate, dtype=float)
    if x.ndim != 1 or x.shape != y.shape:
        raise InputError(
            f"drive, rate: expected two rows of one length, got {x.shape} and {y.shape}; give one rate per drive."
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError("drive, rate: NaN or infinity among the points; leave these points out.")
    if (y > ceiling).any():
        x, y = x[: np.argmax(y > ceiling)], y[: np.argmax(y > ceiling)]
    if x.size < 4 or (y > 0).sum() < 2:
        raise ValueError(
            f"expected at least 4 points, 2 of them active, got {x.shape} and {(y > 0).sum()} active; widen the drive"
        )
    active = x[y > 0.02 * y.max()]
    start = (y.max() / max(x.max() - active.min(), 1e-12), active.min())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", OptimizeWarning)
            found, covariance = curve_fit(
                lambda d, gain, offset: gain * np.maximum(0, d - offset), x, y, p0=start, maxfev=20_000
            )
    except (OptimizeWarning, RuntimeError):
        raise ValueError(f"{x.size} points do not determine gain and offset; give more points of drive") from None
    fitted = found[0] * np.maximum(0, x - found[1])
    error = np.sqrt(np.diag(covariance))
    gain, offset = (float(v) for v in found)
    return Line(gain, offset, float(error[0]), float(error[1]), float(np.sqrt(((fitted - y) ** 2).mean()) / y.max()))


def effect_of_inhibition(curves: xr.DataArray, ceiling: float | None = None) -> xr.Dataset:
    """What inhibition does to f-I curves.

    Parameters
    ----------
    curves : DataArray (inhibition, drive)
        Rates; the first row is the one with the weakest inhibition.
    ceiling : float, optional
        As for :func:`gain_and_offset`; the largest rate of the first row unless given.

    Returns
    -------
    Dataset
        Per inhibition: gain, offset, their standard errors, ``gain_ratio`` to the first row and ``offset_shift`` as a share of
        the drive that takes the first row's line from 0 to the ceiling; attribute ``verdict``, at the strongest inhibition:
        "divisive" where the gain falls by more than 10 % and the offset stays within 10 % of that range, "subtractive" where
        the gain stays and the offset rises, "both" where the gain falls and the offset rises, else "neither" with what
        happens. What moves must do so by twice its standard error beyond the margin.
    """
    drive = curves["drive"].values.astype(float)
    rates = curves.transpose("inhibition", "drive").values
    top = float(rates[0].max()) if ceiling is None else ceiling
    lines = [gain_and_offset(drive, row, top) for row in rates]
    gain, offset = np.array([f.gain for f in lines]), np.array([f.offset for f in lines])
    gain_se, offset_se = np.array([f.gain_se for f in lines]), np.array([f.offset_se for f in lines])
    span = top / gain[0]
    ratio = gain / gain[0]
    ratio_se = ratio * np.hypot(gain_se / gain, gain_se[0] / gain[0])
    shift, shift_se = (offset - offset[0]) / span, np.hypot(offset_se, offset_se[0]) / span
    gain_moves = _direction(ratio[-1] - 1, 2 * ratio_se[-1])
    offset_moves = _direction(shift[-1], 2 * shift_se[-1])
    verdict = {
        ("falls", "stays"): "divisive", ("stays", "rises"): "subtractive", ("falls", "rises"): "both",
    }.get((gain_moves, offset_moves), f"neither: gain {gain_moves}, offset {offset_moves}")  # fmt: skip
    columns = {
        "gain": gain, "offset": offset, "gain_se": gain_se, "offset_se": offset_se, "gain_ratio": ratio, "gain_ratio_se": ratio_se,
        "offset_shift": shift, "offset_shift_se": shift_se, "residual": np.array([f.residual for f in lines]),
    }  # fmt: skip
    return xr.Dataset(
        {name: ("inhibition", values) for name, values in columns.items()},
        coords={"inhibition": curves["inhibition"]},
        attrs={"verdict": verdict, "margin": MARGIN},
    )


def _direction(change: float, uncertainty: float) -> str:
    """Whether a quantity rises or falls by more than the margin beyond its uncertainty."""
    if change - uncertainty > MARGIN:
        return "rises"
    return "falls" if change + uncertainty < -MARGIN else "stays"
