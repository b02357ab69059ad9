"""Balance of excitatory and inhibitory currents."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ..errors import InputError, unknown
from .trains import labelled, node_of, to_steps


def synaptic_current(
    recording: xr.DataTree, population: str, conductance: str, reversal_mv: float, *, voltage: str = "v"
) -> xr.DataArray:
    """Current ``g (E - v)`` of a recorded conductance [nS] and voltage [mV], positive where it depolarises.

    Returns
    -------
    xarray.DataArray, (trial, step, neuron), pA
    """
    g, v = (_state(recording, population, name) for name in (conductance, voltage))
    if (g.attrs.get("units"), v.attrs.get("units")) != ("nS", "mV"):
        raise InputError(
            f"recording.{population}: expected '{conductance}' in nS and '{voltage}' in mV, got "
            f"{g.attrs.get('units')} and {v.attrs.get('units')}; multiply them yourself for another unit."
        )
    return labelled(g * (reversal_mv - v), f"current_{conductance}", "pA", population, reversal_mv=reversal_mv)


def ei_balance(
    excitatory: xr.DataArray, inhibitory: xr.DataArray, *, dt_ms: float, max_lag_ms: float = 20.0
) -> xr.Dataset:
    """How excitation and inhibition of each neuron cancel, on average and in time.

    Parameters
    ----------
    excitatory, inhibitory : DataArray (trial, step, neuron)
        Currents of one unit; the inhibitory one is negative where it hyperpolarises.
    dt_ms : float, ms
    max_lag_ms : float, ms, multiple of dt
        Lags of the correlation.

    Returns
    -------
    xarray.Dataset, (trial, neuron)
        ``ratio``: minus the mean of I over the mean of E (1: balanced on average; negative where both have the same sign; NaN
        where the mean of E is 0);
        ``residual``: mean of abs(E + I) over mean of abs(E) + abs(I), 0 where they cancel at every moment, 1 where they never
        meet; ``lag`` [ms]: at which inhibition, taken as a magnitude, follows excitation best, and ``correlation`` there. With
        ``cross_correlation`` (trial, neuron, lag). The last three are NaN where a current does not change.

    Raises
    ------
    InputError
        Different shapes or units, NaN, `dt_ms` not above 0, or a lag off the grid or as long as the recording.

    Source
    ------
    Okun, Lampl (2008), Nat. Neurosci. 11, 535. doi:10.1038/nn.2105 (tight balance and its lag)
    """
    pair = [c.transpose("trial", "step", "neuron") for c in (excitatory, inhibitory)]
    if pair[0].shape != pair[1].shape or pair[0].attrs.get("units") != pair[1].attrs.get("units"):
        raise InputError(
            f"inhibitory: expected shape {pair[0].shape} and unit {pair[0].attrs.get('units')}, got "
            f"{pair[1].shape} and {pair[1].attrs.get('units')}."
        )
    e, i = (np.asarray(c.values, dtype=float) for c in pair)
    if not (np.isfinite(e).all() and np.isfinite(i).all()):
        raise InputError("excitatory, inhibitory: NaN or infinity among the currents; give finite numbers.")
    most = to_steps(max_lag_ms, dt_ms, "max_lag_ms")
    if not 0 <= most < e.shape[1] - 1:
        raise InputError(f"max_lag_ms: {max_lag_ms:g} ms must be shorter than the recording of {e.shape[1]} steps.")
    mean_e, mean_i = e.mean(axis=1), i.mean(axis=1)
    amount = (np.abs(e) + np.abs(i)).mean(axis=1)
    nothing = np.full(mean_e.shape, np.nan)
    ratio = np.divide(-mean_i, mean_e, out=nothing.copy(), where=mean_e != 0)
    residual = np.divide(np.abs(e + i).mean(axis=1), amount, out=nothing.copy(), where=amount > 0)
    lags = np.arange(-most, most + 1)
    cross = np.stack([_lagged(e, -i, int(lag)) for lag in lags], axis=-1)
    known = np.isfinite(cross).all(axis=-1)
    best = np.where(known, np.where(np.isfinite(cross), cross, -np.inf).argmax(axis=-1), 0)
    correlation = np.where(known, np.take_along_axis(cross, best[..., None], axis=-1)[..., 0], np.nan)
    dims = ("trial", "neuron")
    return xr.Dataset(
        {
            "ratio": (dims, ratio, {"units": "1"}),
            "residual": (dims, residual, {"units": "1"}),
            "lag": (dims, np.where(known, lags[best] * dt_ms, np.nan), {"units": "ms"}),
            "correlation": (dims, correlation, {"units": "1"}),
            "cross_correlation": ((*dims, "lag_ms"), cross, {"units": "1"}),
        },
        coords={"lag_ms": ("lag_ms", lags * dt_ms, {"units": "ms"})},
        attrs={"max_lag_ms": max_lag_ms, "n_defined": int(known.sum())},
    )


def _lagged(a: np.ndarray, b: np.ndarray, lag: int) -> np.ndarray:
    """Pearson correlation over time of a(t) with b(t + lag), (trial, neuron); NaN where one does not change."""
    n = a.shape[1] - abs(lag)
    x, y = (a[:, :n], b[:, lag:]) if lag >= 0 else (a[:, -lag:], b[:, :n])
    # Around its mean a constant is a residue of rounding, not 0.
    changes = (x.max(axis=1) > x.min(axis=1)) & (y.max(axis=1) > y.min(axis=1))
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    scale = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    return np.divide((x * y).sum(axis=1), scale, out=np.full(scale.shape, np.nan), where=changes & (scale > 0))


def _state(recording: xr.DataTree, population: str, variable: str) -> xr.DataArray:
    node = node_of(recording, population)
    if variable not in node.data_vars:
        raise InputError(f"recording.{population}: {unknown('variable', variable, map(str, node.data_vars))}")
    found: xr.DataArray = node[variable]
    return found
