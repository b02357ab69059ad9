"""Entropy of spike counts and what they tell about the stimulus, in bits, corrected for the bias of few trials."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from scipy import special

from ..errors import InputError
from .trains import labelled, trains
from .tuning import stimulus_of_trial

MIN_TRIALS = 10
"""Fewest trials for which an entropy is reported: per stimulus, for an information."""
CORRECTIONS = ("panzeri_treves", "miller_madow", "shuffle", "none")
_BLOCK = 1 << 22
"""Entries of tables (stimulus, response, neuron) held at once."""

Correction = Literal["panzeri_treves", "miller_madow", "shuffle", "none"]


def entropy(occurrences: ArrayLike, *, correction: Literal["miller_madow", "none"] = "none") -> np.ndarray:
    """Entropy of a distribution known from how often each outcome came.

    Parameters
    ----------
    occurrences : (outcome, ...), >= 0
        Numbers, or probabilities where no correction is asked for.
    correction : "miller_madow" or "none"
        Adds ``(K - 1)/(2 N ln 2)`` with K the outcomes seen and N the observations.

    Returns
    -------
    (...), bits
        NaN where nothing was observed.

    Raises
    ------
    InputError
        Negative or NaN occurrences, or an unknown correction.

    Source
    ------
    Miller (1955), Note on the bias of information estimates, in Information Theory in Psychology, Free Press, 95.
    Paninski (2003), Neural Comput. 15, 1191. doi:10.1162/089976603321780272
    """
    if correction not in ("miller_madow", "none"):
        raise InputError(f"correction: expected 'miller_madow' or 'none', got {correction!r}.")
    seen = np.asarray(occurrences, dtype=float)
    if not (seen >= 0).all():
        raise InputError("occurrences: expected numbers >= 0, got negative ones or NaN.")
    total = seen.sum(axis=0)
    total = np.where(total > 0, total, np.nan)
    bits = special.entr(seen / total).sum(axis=0) / np.log(2)
    if correction == "miller_madow":
        bits = bits + ((seen > 0).sum(axis=0) - 1) / (2 * total * np.log(2))
    return np.asarray(bits)


def count_entropy(
    recording: xr.DataTree,
    population: str,
    *,
    correction: Literal["miller_madow", "none"] = "miller_madow",
    min_trials: int = MIN_TRIALS,
    start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> xr.DataArray:
    """Entropy of every neuron's spike count over trials.

    Parameters
    ----------
    correction : "miller_madow" or "none"
        The plug-in entropy is too low on average; Miller and Madow's term leaves a bias of order ``1/n_trials**2`` once all
        counts that occur have been seen.
    min_trials : int, >= 2
        With fewer trials, NaN.

    Returns
    -------
    xarray.DataArray, (neuron,), bits
        0 for a count that never varies, as of a silent neuron.

    Source
    ------
    As :func:`entropy`.
    """
    if min_trials < 2:
        raise InputError(f"min_trials: {min_trials} given; an entropy needs at least 2.")
    found = trains(recording, population, start_ms=start_ms, stop_ms=stop_ms)
    counts, which = found.counts(), np.zeros(found.n_trials, dtype=np.int64)
    bits = np.full(found.n_neurons, np.nan)
    for block in _blocks(counts, 1):
        bits[block] = entropy(_tables(counts[:, block], which, 1)[0], correction=correction)
    if found.n_trials < min_trials:
        bits[:] = np.nan
    return labelled(
        xr.DataArray(bits, dims="neuron"), "entropy", "bit", population, correction=correction,
        n_trials=found.n_trials, min_trials=min_trials, n_defined=int(np.isfinite(bits).sum()),
    )  # fmt: skip


def mutual_information(
    recording: xr.DataTree,
    population: str,
    stimulus: ArrayLike,
    *,
    correction: Correction = "panzeri_treves",
    n_shuffles: int = 100,
    seed: int = 0,
    min_trials: int = MIN_TRIALS,
    start_ms: float = 0.0,
    stop_ms: float | None = None,
) -> xr.DataArray:
    """Information between the stimulus and the spike count of every neuron, ``H(count) - H(count | stimulus)``.

    With few trials the plug-in value is too high on average, by about ``(sum(R_s - 1) - (R - 1))/(2 N ln 2)`` bits with N
    trials, R counts that can occur and R_s that can occur with stimulus s.

    Parameters
    ----------
    stimulus : (trial,)
    correction : "panzeri_treves", "miller_madow", "shuffle" or "none"
        Subtracts that bias, R_s being estimated as in Panzeri and Treves (1996) or taken as the counts seen (Miller and
        Madow; too little where counts were missed); or subtracts the mean over shuffled labels, which is right for no
        information and too much for a lot of it, since shuffled responses fill more counts; or nothing. All can
        go below 0. The first two need several trials of a stimulus for every count that can occur: with 12 trials each of
        four stimuli and Poisson counts of mean 2, of a bias of 0.29 bits they leave 0.07 and 0.13.
    n_shuffles, seed : int
        For "shuffle".
    min_trials : int, >= 2
        With fewer trials of any stimulus, NaN.

    Returns
    -------
    xarray.DataArray, (neuron,), bits
        0 for a count that never varies, as of a silent neuron.

    Raises
    ------
    InputError
        Not one label per trial, fewer than two stimuli, or an option out of range.

    Source
    ------
    Panzeri, Treves (1996), Network 7, 87. doi:10.1080/0954898X.1996.11978656
    Panzeri, Senatore, Montemurro, Petersen (2007), J. Neurophysiol. 98, 1064. doi:10.1152/jn.00559.2007
    """
    if correction not in CORRECTIONS:
        raise InputError(f"correction: expected one of {', '.join(CORRECTIONS)}, got {correction!r}.")
    if min_trials < 2 or n_shuffles < 1:
        raise InputError(f"expected min_trials >= 2 and n_shuffles >= 1, got {min_trials} and {n_shuffles}.")
    found = trains(recording, population, start_ms=start_ms, stop_ms=stop_ms)
    kinds, which = stimulus_of_trial(stimulus, found.n_trials)
    if kinds.size < 2:
        raise InputError(f"stimulus: expected at least 2 different stimuli, got {kinds.size}.")
    counts, n = found.counts(), np.bincount(which)
    bits = np.full(found.n_neurons, np.nan)
    random = np.random.default_rng(seed)
    shuffled = [random.permutation(which) for _ in range(n_shuffles if correction == "shuffle" else 0)]
    for block in _blocks(counts, kinds.size) if n.min() >= min_trials else ():
        tables = _tables(counts[:, block], which, kinds.size)
        bits[block] = _plug_in(tables)
        if correction == "shuffle":
            total = sum(_plug_in(_tables(counts[:, block], each, kinds.size)) for each in shuffled)
            bits[block] -= total / n_shuffles
        elif correction != "none":
            bits[block] -= _bias(tables, bayesian=correction == "panzeri_treves")
    return labelled(
        xr.DataArray(bits, dims="neuron"), "information", "bit", population, correction=correction,
        n_stimuli=int(kinds.size), n_trials=found.n_trials, min_trials=min_trials,
        n_defined=int(np.isfinite(bits).sum()),
        **({"n_shuffles": n_shuffles, "seed": seed} if correction == "shuffle" else {}),
    )  # fmt: skip


def spatial_information(curves: xr.DataArray) -> xr.DataArray:
    """Information per spike of a rate that depends on the stimulus (or place), ``sum(p r/m log2(r/m))``.

    p is the share of trials of each stimulus and m the mean rate over trials. Not corrected for few trials: noise in the
    rates makes it positive.

    Parameters
    ----------
    curves : xarray.DataArray, (stimulus, neuron)
        Of :func:`tuning_curves`, with its ``n_trials``; stimuli without a value are left out.

    Returns
    -------
    xarray.DataArray, (neuron,), bits per spike
        NaN for a silent neuron.

    Source
    ------
    Skaggs, McNaughton, Gothard, Markus (1993), NIPS 5, 1030.
    """
    if set(curves.dims) != {"stimulus", "neuron"} or "n_trials" not in curves.coords:
        raise InputError(f"curves: expected (stimulus, neuron) with n_trials as of tuning_curves, got {curves.dims}.")
    rates, n = curves.transpose("stimulus", "neuron").values, curves["n_trials"].values
    kept = ~np.isnan(rates).any(axis=1)
    share = n[kept] / max(int(n[kept].sum()), 1)
    mean = share @ rates[kept]
    relative = rates[kept] / np.where(mean > 0, mean, np.nan)
    bits = np.asarray(share @ -special.entr(relative) / np.log(2))
    return labelled(
        xr.DataArray(bits, dims="neuron"), "spatial_information", "bit per spike",
        str(curves.attrs.get("population", "")), n_stimuli=int(kept.sum()), n_defined=int(np.isfinite(bits).sum()),
    )  # fmt: skip


def relevant_responses(occurrences: np.ndarray, possible: np.ndarray) -> np.ndarray:
    """Number of responses that can occur, those included that a short experiment missed.

    With x unseen responses in addition to the K seen, the posterior mean of the probabilities under a uniform prior gives an
    expected number of responses seen in N trials. The x for which that number is nearest to K, at most
    ``possible - K``, is added. x = 0 is judged by the observed frequencies themselves.

    Parameters
    ----------
    occurrences : (response, ...)
    possible : (...), broadcastable
        Responses that occur with any stimulus.

    Returns
    -------
    (...)

    Source
    ------
    Panzeri, Treves (1996), Network 7, 87. doi:10.1080/0954898X.1996.11978656
    """
    seen = occurrences > 0
    n, k = occurrences.sum(axis=0).astype(float), seen.sum(axis=0)
    safe = np.maximum(n, 1)
    frequency = occurrences / safe
    best = np.zeros(k.shape, dtype=np.int64)
    nearest = np.where(seen, (1 - frequency) ** safe, 0).sum(axis=0)  # K - expected, for x = 0
    room = np.broadcast_to(possible, k.shape) - k
    unseen_each = 1 - (safe / (safe + k)) ** (1 / safe)
    for x in range(1, int(room.max(initial=0)) + 1):
        # Shrunk so that each unseen response has the probability unseen_each.
        posterior = (1 - x * unseen_each) * (occurrences + 1) / (safe + k)
        expected = np.where(seen, 1 - (1 - posterior) ** safe, 0).sum(axis=0) + x * (1 - (1 - unseen_each) ** safe)
        distance = np.abs(k - expected)
        better = (distance < nearest) & (x <= room) & (n > 0)
        best, nearest = np.where(better, x, best), np.where(better, distance, nearest)
    return np.asarray(k + best)


def _tables(counts: np.ndarray, which: np.ndarray, n_kinds: int) -> np.ndarray:
    """How often each count came with each stimulus, (stimulus, response, neuron)."""
    n_responses, n_neurons = int(counts.max(initial=0)) + 1, counts.shape[1]
    at = (which[:, None] * n_responses + counts) * n_neurons + np.arange(n_neurons)
    found = np.bincount(at.reshape(-1), minlength=n_kinds * n_responses * n_neurons)
    return found.reshape(n_kinds, n_responses, n_neurons)


def _blocks(counts: np.ndarray, n_kinds: int) -> list[slice]:
    rows = max(n_kinds * (int(counts.max(initial=0)) + 1), counts.shape[0])
    width = max(1, _BLOCK // rows)
    return [slice(at, at + width) for at in range(0, counts.shape[1], width)]


def _plug_in(tables: np.ndarray) -> np.ndarray:
    n = tables.sum(axis=(0, 1))
    given = sum(table.sum(axis=0) / n * entropy(table) for table in tables)
    bits = entropy(tables.sum(axis=0)) - given
    return np.asarray(np.where(np.abs(bits) < 1e-13, 0, bits))  # rounding, where nothing is told


def _bias(tables: np.ndarray, *, bayesian: bool) -> np.ndarray:
    """Of the plug-in information [bits], (neuron,)."""
    together = (tables.sum(axis=0) > 0).sum(axis=0)
    each = relevant_responses(np.moveaxis(tables, 0, 1), together) if bayesian else (tables > 0).sum(axis=1)
    return np.asarray(((each - 1).sum(axis=0) - (together - 1)) / (2 * tables.sum(axis=(0, 1)) * np.log(2)))
