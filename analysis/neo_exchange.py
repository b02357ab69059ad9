"""Recordings as Neo objects and back: the way to elephant and to what other packages read and write through Neo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from ..errors import InputError, unknown
from ..recording import SPIKES
from .exchange import (
    attributes_of,
    carry,
    library,
    neuron_names,
    number_ms,
    plain,
    selected,
    spikes_of,
    start_of,
    trial_names,
)
from .spike_times import Labels, bins, from_times, since

# Our coherent units in the spelling of `quantities`. A table, since that package would evaluate any text as code.
QUANTITIES = {
    "1": "dimensionless", "ms": "ms", "s": "s", "mV": "mV", "V": "V", "pA": "pA", "nA": "nA", "nS": "nS", "pF": "pF",
    "kHz": "kHz", "Hz": "Hz", "um": "um", "mM": "mM", "mV/ms": "mV/ms", "pA/ms": "pA/ms", "nS/ms": "nS/ms",
}  # fmt: skip


def to_neo(recording: xr.DataTree, populations: Sequence[str] | None = None, *, states: bool = True) -> Any:
    """A recording as a Neo block.

    Parameters
    ----------
    recording : xarray.DataTree
    populations : sequence of str, optional
        None: all with spikes but inputs.
    states : bool
        Recorded states as analog signals too.

    Returns
    -------
    neo.Block
        A segment per trial; in it a spike train per neuron, silent ones included, [ms] from the recording's ``start_ms``
        to the end of the trial, each spike at the beginning of its step, annotated with ``population``, ``neuron``,
        ``transmitter``; and, of populations and states with a unit in ``QUANTITIES``, an analog signal (time, neuron), annotated with
        ``population`` and ``variable``. The root's attributes that are text or numbers are annotations of the block. Its
        annotation ``left_out`` names what is missing: states in other units or without trial, step, neuron, everything
        else beside spikes, and other attributes of the root. Connectivity is not in it.

    Raises
    ------
    InputError
        No spikes, a population without neurons, or neo is not installed.
    """
    neo, ms = library("neo"), library("quantities").ms
    found, start = selected(recording, populations), start_of(recording)
    dt, n_steps, labels = found[0].dt_ms, found[0].n_steps, trial_names(found[0])
    begin, stop = start * ms, (start + n_steps * dt) * ms
    attributes, missing = attributes_of(recording)
    block = neo.Block(name="recording", dt_ms=dt, n_steps=n_steps)
    block.annotate(**attributes)
    block.segments = [neo.Segment(name=f"trial {k}", index=at, trial=int(k)) for at, k in enumerate(labels)]
    left_out: list[str] = []
    for population in found:
        transmitter = str(population.node.attrs.get("transmitter", "mixed"))
        spikes, n_neurons, labels_of = spikes_of(population), population.n_neurons, neuron_names(population).tolist()
        owner = spikes.trial.astype(np.int64) * n_neurons + spikes.neuron
        order = np.argsort(owner, kind="stable")  # events come by time within a trial
        ends = np.searchsorted(owner[order], np.arange(1, population.n_trains))
        times = np.split((start + spikes.step * dt)[order], ends)
        for train, (at, of) in zip(times, np.ndindex(len(labels), n_neurons), strict=True):
            block.segments[at].spiketrains.append(
                neo.SpikeTrain(
                    train * ms, t_start=begin, t_stop=stop, sampling_rate=1 / (dt * ms), population=population.population,
                    neuron=labels_of[of], transmitter=transmitter,
                )
            )  # fmt: skip
        for name, values in population.node.data_vars.items() if states else ():
            if name == SPIKES or str(name).startswith("spike_"):
                continue
            unit = str(values.attrs.get("units", ""))
            if unit not in QUANTITIES or set(values.dims) != {"trial", "step", "neuron"}:
                left_out.append(f"{population.population}.{name} [{unit}]")
                continue
            rows = values.transpose("trial", "step", "neuron").values
            for segment, signal in zip(block.segments, rows, strict=True):
                segment.analogsignals.append(
                    neo.AnalogSignal(
                        signal, units=QUANTITIES[unit], sampling_period=dt * ms, t_start=begin, name=f"{population.population}.{name}",
                        population=population.population, variable=str(name),
                    )
                )  # fmt: skip
    block.annotate(left_out=", ".join(left_out + missing))
    return block


def from_neo(
    source: Any,
    /,
    *,
    dt_ms: float | None = None,
    start_ms: float | None = None,
    duration_ms: float | None = None,
    population: str = "neurons",
    neurons: Mapping[str, Labels] | None = None,
    transmitters: Mapping[str, str] | None = None,
    **provenance: Any,
) -> xr.DataTree:
    """A recording from Neo objects.

    Each segment is a trial, or all of a plain list of spike trains one. A train's population, name and transmitter are its
    annotations ``population``, ``neuron`` and ``transmitter``; trains without a population belong to `population`, and where
    one of a population has no name they are numbered in the order of their segment. A neuron that is missing in a
    segment was silent there. What :func:`to_neo` made comes back spike by spike; analog signals are not read.
    Annotations of a block that are text or numbers become attributes of the root.

    Parameters
    ----------
    source : neo.Block, neo.Segment, list of either kind of segments, or list of neo.SpikeTrain
        Lazy spike trains are loaded.
    dt_ms : float, ms
        Width of a step. None: as annotated by :func:`to_neo`.
    start_ms : float, ms, optional
        Time in each segment that becomes 0. None: the ``t_start`` of its spike trains; where segments begin at different
        times, the attribute ``start_ms`` is 0. Some readers round times to single precision and hand them on as double;
        times that were on the grid may then lie just below it, and half a step less here keeps them in their steps.
    duration_ms : float, ms, multiple of dt, optional
        Length of every trial. None: from ``t_start`` to ``t_stop``, rounded up to a step; a step more where a spike is at
        ``t_stop``, which Neo allows.
    population : str
        Where a train does not say it.
    neurons, transmitters, provenance
        As for :func:`from_times`.

    Raises
    ------
    InputError
        As :func:`from_times`; nothing in it; trains of a segment or segments that begin, end or last differently.
    """
    neo = library("neo")
    told = {} if isinstance(source, (list, tuple)) else source.annotations if hasattr(source, "annotations") else {}
    dt_ms = told.get("dt_ms") if dt_ms is None else dt_ms
    for argument, given in (("dt_ms", dt_ms), ("start_ms", start_ms), ("duration_ms", duration_ms)):
        if given is not None:
            number_ms(given, argument)
    if dt_ms is None or not (np.isfinite(dt_ms) and dt_ms > 0):
        raise InputError(f"dt_ms: expected the width of a step in ms, got {dt_ms}; Neo does not say it, give it.")
    segments, names = _segments(neo, source)
    if not any(len(trains_) for trains_ in segments):
        raise InputError("source: no spike trains in any segment; read them from a file that has sorted spikes.")
    spans = [_span(f"trial {k}", s, start_ms, dt_ms, duration_ms) for k, s in zip(names, segments, strict=True) if s]
    n_steps = {n for _, n, _ in spans}
    if duration_ms is None and len(n_steps) > 1:
        raise InputError(
            f"source: segments last from {min(n_steps) * dt_ms:g} to {max(n_steps) * dt_ms:g} ms; cut them to one length with "
            "time_slice, or give duration_ms."
        )
    duration_ms = max(*n_steps, *(needed for _, _, needed in spans)) * dt_ms if duration_ms is None else duration_ms
    begins = [start for start, _, _ in spans]
    starts = iter(begins)
    found = _Found(population)
    for at, segment in enumerate(segments):
        if segment:
            found.add(at, segment, next(starts), dt_ms)
    sizes = found.names | dict(neurons or {})
    read = from_times(
        found.columns(names), dt_ms=dt_ms, duration_ms=duration_ms, neurons=sizes, trials=names,
        transmitters=found.transmitters | dict(transmitters or {}), **provenance,
    )  # fmt: skip
    together = max(begins) - min(begins) <= 1e-6 * dt_ms
    read.attrs["start_ms"] = begins[0] if together else 0.0
    return carry(read, plain(told) if isinstance(source, neo.Block) else {}, provenance)


def _segments(neo: Any, source: Any) -> tuple[list[list[Any]], list[int]]:
    """Spike trains of every trial, and the trials' names."""
    kind = type(source).__name__
    if isinstance(source, neo.Block):
        source = list(source.segments)
    elif isinstance(source, neo.Segment):
        source = [source]
    elif isinstance(source, neo.SpikeTrain) or not hasattr(source, "__iter__"):
        raise InputError(f"source: expected a neo Block, Segment, or a list of Segments or SpikeTrains, got {kind}.")
    items = list(source)
    if items and all(isinstance(item, neo.Segment) for item in items):
        rows = [list(segment.spiketrains) for segment in items]
        labels = [segment.annotations.get("trial") for segment in items]
    else:
        rows, labels = [items], [0]
    # A train that a file holds lazily is a proxy for it.
    rows = [[t.load() if hasattr(t, "load") else t for t in row] for row in rows]
    if not items or not all(isinstance(t, neo.SpikeTrain) for row in rows for t in row):
        raise InputError(f"source: expected Segments or SpikeTrains, got an empty or mixed {kind}; give one kind.")
    if not all(isinstance(k, (int, np.integer)) for k in labels) or len(set(labels)) < len(labels):
        labels = list(range(len(items)))
    return rows, [int(k) for k in labels]


def _ms(quantity: Any) -> float:
    return float(quantity.rescale("ms").magnitude)


def _span(
    where: str, segment: list[Any], start_ms: float | None, dt_ms: float, duration_ms: float | None
) -> tuple[float, int, int]:
    """Start [ms] and length in steps of a trial, and the length that its last spike needs; 0 where a length was given."""
    begins, ends = {_ms(t.t_start) for t in segment}, {_ms(t.t_stop) for t in segment}
    for edge, edges, given, argument in (
        ("t_start", begins, start_ms, "start_ms"), ("t_stop", ends, duration_ms, "duration_ms"),
    ):  # fmt: skip
        if given is None and max(edges) - min(edges) > 1e-6 * dt_ms:
            raise InputError(
                f"source, {where}: {edge} of its spike trains runs from {min(edges):g} to {max(edges):g} ms; "
                f"give {argument}, within which all were observed."
            )
    start = min(begins) if start_ms is None else start_ms
    if duration_ms is not None:
        return start, 0, 0
    # Times go down to a step; the end goes up to one, hence the two signs. It is as coarse as the times are.
    coarse = np.result_type(np.float32, *(t.dtype for t in segment))
    whole = -int(bins(np.array([-max(ends)], dtype=coarse), -start, dt_ms, where)[0])
    last = max((int(bins(_times(t), start, dt_ms, where).max()) for t in segment if len(t)), default=-1)
    return start, whole, last + 1


def _times(train: Any) -> np.ndarray:
    return np.asarray(train.times.rescale("ms").magnitude)


class _Found:
    """Spikes of all segments, by population, each after the start of its own segment."""

    def __init__(self, default: str) -> None:
        self.default = default
        self.transmitters: dict[str, str] = {}
        self._order: dict[str, dict[Any, None]] = {}
        self._parts: dict[str, list[tuple[np.ndarray, Any, int]]] = {}

    def add(self, at: int, segment: list[Any], start_ms: float, dt_ms: float) -> None:
        by_population: dict[str, list[Any]] = {}
        for train in segment:
            name = str(train.annotations.get("population", self.default))
            by_population.setdefault(name, []).append(train)
            if "transmitter" in train.annotations:
                self.transmitters[name] = str(train.annotations["transmitter"])
        for name, members in by_population.items():
            labels = [t.annotations.get("neuron") for t in members]
            if any(label is None for label in labels):
                labels = list(range(len(members)))
            labels = [k.item() if isinstance(k, np.generic) else k for k in labels]
            if len(set(labels)) < len(labels):
                twice = next(k for k in labels if labels.count(k) > 1)
                raise InputError(
                    f"source, {name}: two spike trains of neuron {twice!r:.40} in a segment; name them apart."
                )
            self._order.setdefault(name, {}).update(dict.fromkeys(labels))
            for train, label in zip(members, labels, strict=True):
                times, _ = since(_times(train), start_ms, dt_ms, f"{name}, neuron {label!r:.40}")
                self._parts.setdefault(name, []).append((times, label, at))

    @property
    def names(self) -> dict[str, Any]:
        return {name: list(order) for name, order in self._order.items()}

    def columns(self, trial_names: list[int]) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """As :func:`from_times` takes them."""
        columns = {}
        for name, parts in self._parts.items():
            lengths = [times.size for times, _, _ in parts]
            owner = np.repeat(np.asarray([label for _, label, _ in parts]), lengths)
            trial = np.repeat(np.asarray(trial_names)[[at for _, _, at in parts]], lengths)
            columns[name] = (np.concatenate([times for times, _, _ in parts]), owner, trial)
        return columns


def read_neo(path: str, io: str | None = None) -> Any:
    """The block of a file in one of the formats that Neo reads, spikes loaded only when they are asked for.

    Formats of pickled or evaluated content are refused: they can run code.

    Parameters
    ----------
    path : str
    io : str, optional
        Name of the reader, such as ``"BlackrockIO"``; needed where several know the ending.

    Raises
    ------
    InputError
        No reader, several, not this file's, or several blocks.
    """
    neo_io = library("neo.io")
    known = {c.__name__: c for c in neo_io.iolist if c.is_readable and c.__name__ not in ("PickleIO", "ElphyIO")}
    if io is None:
        try:
            candidates = neo_io.list_candidate_ios(path)
        except ValueError:
            candidates = []
        suited = [c.__name__ for c in candidates if any(o.__name__ == "SpikeTrain" for o in c.supported_objects)]
        suited = [name for name in dict.fromkeys(suited) if name in known]
        if len(suited) != 1:
            which = f"several readers of Neo know it: {', '.join(suited)}; choose with neo_io=" if suited else (
                "no reader of Neo knows this ending for spikes; convert it to CSV, NPZ or NWB"
            )  # fmt: skip
            raise InputError(f"{path}: {which}.")
        io = suited[0]
    if io not in known:
        raise InputError(f"neo_io: {unknown('reader', io, known)}")
    try:
        reader = known[io](path)
        blocks = reader.read(lazy=True) if getattr(reader, "support_lazy", False) else reader.read()
    except Exception as error:  # the readers of vendors' formats raise anything
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"{path}: {io} cannot read it ({type(error).__name__}: {reason}); check the file or neo_io."
        ) from None
    if len(blocks) != 1:
        raise InputError(f"{path}: {len(blocks)} blocks; pass one of them to from_neo.")
    return blocks[0]
