"""How alike two populations represent the same stimuli: dissimilarity matrices, linear CKA, Procrustes distance.

All start from responses, a matrix (trial or stimulus, neuron) of spike counts; row k of one belongs to the same stimulus as
row k of the other. Neurons need no partners, and their numbers may differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from ..errors import InputError
from .distance import check_same_window
from .trains import Trains, labelled, trains

Dissimilarity = Literal["correlation", "cosine", "euclidean"]
DISSIMILARITIES = ("correlation", "cosine", "euclidean")

MIN_PAIRS = 3
"""Fewest pairs of rows over which dissimilarities are correlated."""
MIN_ROWS_UNBIASED = 4
"""Fewest rows for the unbiased HSIC, which divides by n - 3."""
_CONSTANT = 1e-12
"""Spread, relative to the size of the numbers, below which it is rounding."""
_DECIMALS = 9


def response_matrix(
    recording: xr.DataTree,
    population: str,
    *,
    stimuli: Sequence[object] | None = None,
    start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> xr.DataArray:
    """Spike counts of every neuron in every trial.

    Parameters
    ----------
    recording : xarray.DataTree
    population : str
    stimuli : sequence, one per trial, optional
        What was shown; the counts are then averaged over the trials of each stimulus.
    start_ms, stop_ms : float, ms

    Returns
    -------
    xarray.DataArray, (trial, neuron) or (stimulus, neuron), spikes
        With `stimuli`, the coordinate ``stimulus`` in sorted order and ``attrs["n_trials"]``.

    Raises
    ------
    InputError
        Not one stimulus per trial.
    """
    return _responses(trains(recording, population, start_ms=start_ms, stop_ms=stop_ms), stimuli)


def dissimilarity_matrix(
    recording: xr.DataTree,
    population: str,
    *,
    dissimilarity: Dissimilarity = "correlation",
    stimuli: Sequence[object] | None = None,
    start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> xr.DataArray:
    """Representational dissimilarity matrix: how different the population responds in two trials, for all pairs.

    Parameters
    ----------
    recording, population, stimuli, start_ms, stop_ms
        As in `response_matrix`.
    dissimilarity : {"correlation", "cosine", "euclidean"}
        1 minus Pearson's correlation over neurons, 1 minus the cosine, or the length of the difference [spikes].

    Returns
    -------
    xarray.DataArray, (trial, trial_b) or (stimulus, stimulus_b)
        Symmetric, zeros on the diagonal. NaN where a row has no correlation (every neuron responds alike) or no
        cosine (none responds); ``attrs["n_defined"]`` counts the pairs that have a value, each once.

    Raises
    ------
    InputError
        Unknown dissimilarity, or not one stimulus per trial.

    Source
    ------
    Kriegeskorte, Mur & Bandettini (2008), Front. Syst. Neurosci. 2, 4. doi:10.3389/neuro.06.004.2008
    """
    from scipy.spatial.distance import squareform

    responses = response_matrix(recording, population, stimuli=stimuli, start_ms=start_ms, stop_ms=stop_ms)
    pairs = _dissimilarities(responses.values, dissimilarity)
    n = responses.shape[0]
    square = squareform(pairs, checks=False) if n > 1 else np.zeros((n, n))
    dim = str(responses.dims[0])
    coords = {dim: responses[dim], f"{dim}_b": responses[dim].values} if dim in responses.coords else {}
    array = xr.DataArray(square, dims=(dim, f"{dim}_b"), coords=coords)
    return labelled(
        array, "dissimilarity", "spikes" if dissimilarity == "euclidean" else "1", population,
        dissimilarity=dissimilarity, n_defined=int(np.isfinite(pairs).sum()),
    )  # fmt: skip


def representational_similarity(
    recording_a: xr.DataTree,
    recording_b: xr.DataTree,
    population_a: str,
    population_b: str | None = None,
    *,
    dissimilarity: Dissimilarity = "correlation",
    stimuli: Sequence[object] | None = None,
    start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> xr.Dataset:
    """How alike two populations, or one in two recordings, represent the same trials.

    Parameters
    ----------
    recording_a, recording_b : xarray.DataTree
        Trial k of one shows what trial k of the other shows; dt may differ.
    population_a, population_b : str
        The same name in both where `population_b` is None.
    dissimilarity : {"correlation", "cosine", "euclidean"}
        For `rsa`.
    stimuli : sequence, one per trial, optional
        Responses are averaged over the trials of each stimulus.
    start_ms, stop_ms : float, ms
        The same window in both, a multiple of either dt.

    Returns
    -------
    xarray.Dataset, no dimensions, dimensionless
        ``rsa``, ``cka``, ``cka_unbiased`` (1 where the same, see `rsa` and `linear_cka`) and ``procrustes`` (0 where the same,
        see `procrustes_distance`); NaN where undefined, ``attrs["n_defined"]`` of them not. ``rsa`` has
        ``attrs["n_pairs"]``, the pairs of rows that enter. Attributes: ``n_rows``, ``min_pairs``, ``min_rows_unbiased``.

    Notes
    -----
    Trial-to-trial noise lowers all of them: compare with the value between two seeds of one setting.

    Raises
    ------
    InputError
        Numbers of trials or windows that differ, unknown dissimilarity, or not one stimulus per trial.
    """
    name_b = population_a if population_b is None else population_b
    found_a = trains(recording_a, population_a, start_ms=start_ms, stop_ms=stop_ms)
    found_b = trains(recording_b, name_b, start_ms=start_ms, stop_ms=stop_ms)
    check_same_window(found_a, found_b)
    x, y = (_responses(found, stimuli).values for found in (found_a, found_b))
    pairs_x, pairs_y = _dissimilarities(x, dissimilarity), _dissimilarities(y, dissimilarity)
    values = {
        "rsa": _spearman(pairs_x, pairs_y),
        "cka": linear_cka(x, y),
        "cka_unbiased": linear_cka(x, y, unbiased=True),
        "procrustes": procrustes_distance(x, y),
    }
    table = xr.Dataset({name: ((), value, {"units": "1"}) for name, value in values.items()})
    table["rsa"].attrs["n_pairs"] = int((np.isfinite(pairs_x) & np.isfinite(pairs_y)).sum())
    table.attrs = {
        "population_a": population_a, "population_b": name_b, "dissimilarity": dissimilarity, "n_rows": x.shape[0],
        "min_pairs": MIN_PAIRS, "min_rows_unbiased": MIN_ROWS_UNBIASED,
        "n_defined": int(np.isfinite(list(values.values())).sum()),
    }  # fmt: skip
    return table


def rsa(x: ArrayLike, y: ArrayLike, *, dissimilarity: Dissimilarity = "correlation") -> float:
    """Spearman correlation between the dissimilarities of all pairs of rows in two response matrices.

    Parameters
    ----------
    x, y : array_like, (row, neuron of x) and (row, neuron of y), finite
    dissimilarity : {"correlation", "cosine", "euclidean"}
        See `dissimilarity_matrix`.

    Returns
    -------
    float, in [-1, 1]
        Pairs without a dissimilarity in either matrix are left out. NaN below `MIN_PAIRS` pairs, or where all pairs are
        equally dissimilar.

    Raises
    ------
    InputError
        No matrices, other numbers of rows, or numbers that are not finite.

    Source
    ------
    Kriegeskorte, Mur & Bandettini (2008), Front. Syst. Neurosci. 2, 4. doi:10.3389/neuro.06.004.2008
    """
    x, y = _matrices(x, y)
    return _spearman(_dissimilarities(x, dissimilarity), _dissimilarities(y, dissimilarity))


def linear_cka(x: ArrayLike, y: ArrayLike, *, unbiased: bool = False) -> float:
    """Centred kernel alignment of two response matrices with the linear kernel.

    ``HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L))`` with ``K = x x^T`` and ``L = y y^T``. It does not change where either
    matrix is rotated, scaled as a whole or shifted.

    Parameters
    ----------
    x, y : array_like, (row, neuron of x) and (row, neuron of y), finite
    unbiased : bool
        With the unbiased estimate of HSIC. The plain one grows towards 1 for unrelated responses once there are more
        neurons than rows; the unbiased one then has mean 0, so that it can be negative.

    Returns
    -------
    float, in [0, 1], unbiased in [-1, 1]
        NaN where the rows of a matrix do not differ, and unbiased below `MIN_ROWS_UNBIASED` rows.

    Raises
    ------
    InputError
        No matrices, other numbers of rows, or numbers that are not finite.

    Source
    ------
    Kornblith, Norouzi, Lee & Hinton (2019), ICML, section 3. arXiv:1905.00414. Unbiased HSIC: Song, Smola, Gretton,
    Bedo & Borgwardt (2012), J. Mach. Learn. Res. 13, 1393, section 4; computed as the inner product of U-centred
    matrices, which is the same: Székely & Rizzo (2014), Ann. Stat. 42, 2382, eqs. 2.2-2.4. doi:10.1214/14-AOS1255
    """
    x, y = _matrices(x, y)
    if unbiased and x.shape[0] < MIN_ROWS_UNBIASED:
        return float("nan")
    kernels = []
    for matrix in (x, y):
        centred = _centred(matrix)
        kernel = centred @ centred.T
        whole = float(np.linalg.norm(kernel))
        if unbiased:
            kernel = _u_centred(kernel)
        size = float(np.linalg.norm(kernel))
        if not size > _CONSTANT * whole:
            return float("nan")
        kernels.append(kernel / size)
    return float(np.clip(np.sum(kernels[0] * kernels[1]), -1, 1))  # beyond 1 by rounding alone


def procrustes_distance(x: ArrayLike, y: ArrayLike) -> float:
    """Least distance between two response matrices, each centred and of unit size, over all rotations and reflections.

    Parameters
    ----------
    x, y : array_like, (row, neuron of x) and (row, neuron of y), finite
        The one with fewer neurons is filled up with silent ones.

    Returns
    -------
    float, in [0, sqrt(2)]
        ``min_R ||x R - y||`` (Frobenius), a metric; ``sqrt(2 - 2 s)`` with s the sum of the singular values of
        ``x^T y``, so that the disparity of ``scipy.spatial.procrustes``, which also scales, is ``1 - s**2``. NaN where
        the rows of a matrix do not differ.

    Raises
    ------
    InputError
        No matrices, other numbers of rows, or numbers that are not finite.

    Source
    ------
    Williams, Kunz, Kornblith & Linderman (2021), NeurIPS, section 2. arXiv:2110.14739; Schönemann (1966), Psychometrika 31, 1.
    doi:10.1007/BF02289451
    """
    from scipy.linalg import orthogonal_procrustes

    scaled = []
    for matrix in _matrices(x, y):
        centred = _centred(matrix)
        size = float(np.linalg.norm(centred))
        if not size > 0:
            return float("nan")
        scaled.append(_few_columns(centred / size))
    width = max(matrix.shape[1] for matrix in scaled)
    first, second = (np.pad(matrix, ((0, 0), (0, width - matrix.shape[1]))) for matrix in scaled)
    # The difference itself, not 2 - 2 s, which would lose half of the digits where the two nearly agree.
    rotation, _ = orthogonal_procrustes(first, second)
    return float(np.linalg.norm(first @ rotation - second))


def _responses(found: Trains, stimuli: Sequence[object] | None) -> xr.DataArray:
    counts = found.counts()
    if stimuli is None:
        return labelled(
            xr.DataArray(counts, dims=("trial", "neuron")), "spike_count", "spikes", found.population,
            window_ms=found.n_steps * found.dt_ms,
        )  # fmt: skip
    shown = np.asarray(stimuli)
    if shown.shape != (found.n_trials,):
        raise InputError(
            f"stimuli: expected one per trial of {found.population}, {found.n_trials} in all, got shape {shown.shape}."
        )
    names, which = np.unique(shown, return_inverse=True)
    total = np.zeros((names.size, found.n_neurons))
    np.add.at(total, which, counts)
    n_trials = np.bincount(which, minlength=names.size)
    array = xr.DataArray(total / n_trials[:, None], dims=("stimulus", "neuron"), coords={"stimulus": names})
    return labelled(
        array, "spike_count", "spikes", found.population, window_ms=found.n_steps * found.dt_ms,
        n_trials=n_trials.tolist(),
    )  # fmt: skip


def _matrices(x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    for name, matrix in (("x", first), ("y", second)):
        if matrix.ndim != 2:
            raise InputError(f"{name}: expected a matrix (trial, neuron), got shape {matrix.shape}.")
        if not np.isfinite(matrix).all():
            raise InputError(f"{name}: holds NaN or infinity; leave those trials or neurons out of both matrices.")
    if first.shape[0] != second.shape[0]:
        raise InputError(
            f"x and y: {first.shape[0]} rows against {second.shape[0]}; row k of either must be the same stimulus."
        )
    return first, second


def _centred(matrix: np.ndarray) -> np.ndarray:
    """Less the mean of every column; exactly 0 where only rounding is left."""
    if not matrix.size:
        return matrix
    centred = matrix - matrix.mean(axis=0)
    centred[:, np.abs(centred).max(axis=0) <= _CONSTANT * np.abs(matrix).max(axis=0)] = 0.0
    return centred


def _u_centred(kernel: np.ndarray) -> np.ndarray:
    """Row and column means without the diagonal taken out, and a diagonal of 0."""
    n = kernel.shape[0]
    kernel = kernel - np.diag(np.diag(kernel))
    rows = kernel.sum(axis=0) / (n - 2)
    kernel = kernel - rows - rows[:, None] + kernel.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(kernel, 0.0)
    return kernel


def _few_columns(matrix: np.ndarray) -> np.ndarray:
    """The same rows up to a rotation, in no more columns than rows."""
    if matrix.shape[1] <= matrix.shape[0]:
        return matrix
    return np.asarray(np.linalg.qr(matrix.T, mode="r")).T


def _dissimilarities(matrix: np.ndarray, dissimilarity: str) -> np.ndarray:
    """Of all pairs of rows, as ``scipy.spatial.distance.pdist`` orders them; NaN where undefined."""
    from scipy.spatial.distance import pdist

    if dissimilarity not in DISSIMILARITIES:
        raise InputError(f"dissimilarity: expected one of {', '.join(DISSIMILARITIES)}, got {dissimilarity!r}.")
    n, width = matrix.shape
    if n < 2 or width == 0:
        return np.full(n * (n - 1) // 2, np.nan)
    matrix = np.asarray(matrix, dtype=float)
    if dissimilarity == "euclidean":
        return np.asarray(pdist(matrix))
    # A correlation is the cosine of rows less their means.
    rows = _centred(matrix.T).T if dissimilarity == "correlation" else matrix
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = np.full(rows.shape, np.nan)
    np.divide(rows, length, out=unit, where=length > 0)
    first, second = np.triu_indices(n, 1)
    return np.clip(1 - (unit @ unit.T)[first, second], 0.0, 2.0)


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    from scipy.stats import rankdata

    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < MIN_PAIRS:
        return float("nan")
    ranks = []
    for values in (a[both], b[both]):
        # Equal dissimilarities that differ in their last bit are to be ties.
        rank = rankdata(np.round(values / max(values.max(), np.finfo(float).tiny), _DECIMALS))
        ranks.append(rank - rank.mean())
    size = float(np.linalg.norm(ranks[0]) * np.linalg.norm(ranks[1]))
    return float(np.clip(ranks[0] @ ranks[1] / size, -1, 1)) if size > 0 else float("nan")
