"""Statistics of 10^7 spikes against elephant in one run, and 10^8 spikes from 10^5 neurons read from disk; times and peak memory.

``make bench NAME=analysis_statistics``; ``--spikes 1e6`` and ``--large 1e7`` make it smaller. Every measurement runs in a process
of its own, whose peak memory is the kernel's count; times are medians of repeats. Loading and making the data is not counted,
but what each side must do to a list of spikes to begin (Neo objects, binning) is.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

RESULT = Path(__file__).parent / "results" / "analysis_statistics.json"
RATE_HZ, BIN_MS, DT_MS = 20.0, 5.0, 0.1
REPEATS = 5


def write_recording(path: Path, n_spikes: int, n_neurons: int, seed: int = 0) -> None:
    """Poisson spikes of one population as event arrays in a zarr recording, made a second at a time."""
    from cortexsnn.recording import Events, from_events, save_recording

    seconds = max(1, round(n_spikes / n_neurons / RATE_HZ))
    steps = round(1000 / DT_MS)
    random = np.random.default_rng(seed)
    rows, cells = [], []
    for second in range(seconds):
        count = random.poisson(n_neurons * RATE_HZ)
        key = np.unique(random.integers(0, steps * n_neurons, count))
        step, neuron = np.divmod(key, n_neurons)
        rows.append((step + second * steps).astype(np.int32))
        cells.append(neuron.astype(np.int32))
    step, neuron = np.concatenate(rows), np.concatenate(cells)
    events = Events(np.zeros(step.size, np.int32), step, neuron)
    save_recording(from_events({"E": events}, {"E": n_neurons}, dt_ms=DT_MS, n_steps=seconds * steps), path)


def spike_lists(path: Path) -> tuple[list[np.ndarray], float]:
    """Times [ms] of every neuron, and the length [ms]."""
    import cortexsnn as cx

    recording = cx.load_recording(path)
    node = recording["E"]
    order = np.lexsort((node["spike_step"].values, node["spike_neuron"].values))
    neuron, times = node["spike_neuron"].values[order], node["spike_step"].values[order] * DT_MS
    cuts = np.searchsorted(neuron, np.arange(1, node.attrs["size"]))
    return np.split(times, cuts), recording.attrs["n_steps"] * DT_MS


# What is measured: each prepares outside the clock and returns what is timed --------------------------------------------


def ours_cv(path: Path) -> Callable[[], Any]:
    import cortexsnn as cx
    from cortexsnn import analysis

    recording = cx.load_recording(path)
    return lambda: analysis.isi_cv(recording, "E").values


def ours_rate(path: Path) -> Callable[[], Any]:
    import cortexsnn as cx
    from cortexsnn import analysis

    recording = cx.load_recording(path)
    return lambda: analysis.neuron_rates(recording, "E").values


def ours_correlation(path: Path) -> Callable[[], Any]:
    import cortexsnn as cx
    from cortexsnn import analysis

    recording = cx.load_recording(path)
    return lambda: analysis.pairwise_correlation(recording, "E", BIN_MS).values


def _neo(path: Path) -> tuple[Callable[[], list[Any]], list[np.ndarray]]:
    import neo
    import quantities as pq

    times, stop = spike_lists(path)
    return lambda: [neo.SpikeTrain(t, units="ms", t_stop=stop * pq.ms) for t in times], times


def elephant_cv(path: Path) -> Callable[[], Any]:
    from elephant.statistics import cv, isi

    trains, _ = _neo(path)
    return lambda: [cv(isi(t), ddof=1) for t in trains()]


def elephant_rate(path: Path) -> Callable[[], Any]:
    from elephant.statistics import mean_firing_rate

    trains, _ = _neo(path)
    return lambda: [float(mean_firing_rate(t).rescale("Hz")) for t in trains()]


def elephant_correlation(path: Path) -> Callable[[], Any]:
    import quantities as pq
    from elephant.conversion import BinnedSpikeTrain
    from elephant.spike_train_correlation import correlation_coefficient

    trains, _ = _neo(path)
    return lambda: correlation_coefficient(BinnedSpikeTrain(trains(), bin_size=BIN_MS * pq.ms))


def streamed(path: Path) -> Callable[[], Any]:
    import cortexsnn as cx
    from cortexsnn import analysis

    recording = cx.load_recording(path, lazy=True)

    def run() -> float:
        rate = analysis.neuron_rates(recording, "E").values
        cv = analysis.isi_cv(recording, "E").values
        lv = analysis.local_variation(recording, "E").values
        shares = analysis.bursts(recording, "E", 10.0)["burst_fraction"].values
        return float(np.nanmean(rate) + np.nanmean(cv) + np.nanmean(lv) + np.nanmean(shares))

    return run


def measured(name: str, path: Path, repeats: int) -> dict[str, Any]:
    """Median time [s] and peak memory [GB] of one case, with what it found."""
    found: dict[str, Any] = _aside(_measure, name, path, repeats)
    return found


def _aside(function: Callable[..., Any], *arguments: object) -> Any:
    """In a process of its own: a new process begins with the peak of the one that starts it, so this one must stay small."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def _measure(name: str, path: Path, repeats: int) -> dict[str, Any]:
    run = globals()[name](path)
    seconds = []
    found: Any = None
    for _ in range(repeats):
        start = time.perf_counter()
        found = run()
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"seconds": median(seconds), "peak_gb": peak, "found": np.asarray(found, dtype=float)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spikes", type=float, default=1e7)
    parser.add_argument("--neurons", type=int, default=1000)
    parser.add_argument("--large", type=float, default=1e8)
    parser.add_argument("--large-neurons", type=int, default=100_000)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spikes.zarr"
        _aside(write_recording, path, int(options.spikes), options.neurons)
        for what in ("rate", "cv", "correlation"):
            ours = measured(f"ours_{what}", path, REPEATS)
            peer = measured(f"elephant_{what}", path, 1 if what == "correlation" else REPEATS)
            same = float(np.nanmax(np.abs(ours["found"].reshape(peer["found"].shape) - peer["found"])))
            rows.append(
                {
                    "case": f"{what}, {options.spikes:g} spikes, {options.neurons} neurons", "value": ours["seconds"], "unit": "s",
                    "peer": "elephant", "peer_value": peer["seconds"], "ratio": peer["seconds"] / ours["seconds"],
                    "peak_gb": ours["peak_gb"], "peer_peak_gb": peer["peak_gb"], "largest_difference": same,
                }
            )  # fmt: skip
            print(json.dumps(rows[-1]), file=sys.stderr)
        large = Path(folder) / "large.zarr"
        _aside(write_recording, large, int(options.large), options.large_neurons)
        found = measured("streamed", large, 1)
        rows.append(
            {
                "case": f"rate, CV, LV and bursts read from disk, {options.large:g} spikes, {options.large_neurons} neurons",
                "value": found["seconds"], "unit": "s", "peer": None, "peer_value": None, "ratio": None, "peak_gb": found["peak_gb"],
            }
        )  # fmt: skip
        print(json.dumps(rows[-1]), file=sys.stderr)
    RESULT.parent.mkdir(exist_ok=True)
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    RESULT.write_text(json.dumps({"machine": machine, "versions": _versions(), "rows": rows}, indent=2) + "\n")


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {n: version(n) for n in ("cortexsnn", "elephant", "neo", "numpy", "scipy", "xarray", "zarr", "dask")}


if __name__ == "__main__":
    main()
