"""What a report says, as plain frozen data. Every part may be absent; its section is then left out.

All fractions (accuracies, shares) are in [0, 1] and shown in percent. Text may come from anybody: it is
escaped on output.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from ..errors import unknown
from .numbers import count

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

AgreementClass = Literal["bitwise", "spike for spike", "different"]
SECTIONS = (
    "results", "circuit", "accuracy", "confusion", "verification", "fidelity", "rates", "dale", "training", "timings",
)  # fmt: skip
"""Sections with a table, in the order of the report."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The box on top: one sentence, then the findings behind it."""

    level: Literal["pass", "note", "fail"]
    headline: str
    findings: Sequence[str] = ()


@dataclass(frozen=True)
class Fact:
    """A number worth knowing before reading on."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class PopulationRow:
    """A population or input; `kind` is "spiking", "graded" or "input"."""

    name: str
    kind: str
    size: int
    transmitter: str
    model: str = ""


@dataclass(frozen=True, kw_only=True)
class CircuitFacts:
    """The circuit under test. `sources` are citations; `task` says what it was trained and tested on."""

    name: str
    description: str = ""
    sources: Sequence[str] = ()
    populations: Sequence[PopulationRow] = ()
    dt_ms: float | None = None
    n_synapses: int | None = None
    task: str = ""


@dataclass(frozen=True, kw_only=True)
class AccuracyRow:
    """Accuracy of one engine with the weights of one training seed.

    `predictions_equal`: share of images classified as by the engine that trained, [0, 1].
    """

    engine: str
    accuracy: float
    n_images: int
    seed: int | None = None
    predictions_equal: float | None = None


@dataclass(frozen=True, kw_only=True)
class VerificationRow:
    """Outcome of comparing two engines on the same program, inputs and seed.

    `largest_relative`: largest state difference over max(abs a, abs b, largest value of that variable).
    """

    engine_a: str
    engine_b: str
    met: AgreementClass
    spikes_compared: int
    spikes_differing: int
    largest_relative: float | None = None
    largest_variable: str = ""
    first_difference: str = ""


@dataclass(frozen=True, kw_only=True)
class FidelityRow:
    """A setting at which agreement spike for spike is not expected, against the reference.

    `rate_ks` is the distance between rate distributions, [0, 1]; `activity` a verdict of statistical fidelity. Shares `accuracy`, `spikes_differing`, `predictions_equal` in [0, 1].
    """

    setting: str
    accuracy: float | None = None
    spikes_differing: float | None = None
    rate_ks: float | None = None
    activity: str = ""
    predictions_equal: float | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Results of an experiment as text: one caption, column heads, rows whose first entry names them, what they say."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    findings: Sequence[str] = ()

    @property
    def worded(self) -> list[bool]:
        """Columns in which some entry is words, which are read along a line and may break; the others are numbers, set to the right."""
        return [any(row[k][:1].isalpha() and " " in row[k] for row in self.rows) for k in range(len(self.columns))]


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Counts (true class, predicted class) of one engine."""

    counts: ArrayLike
    labels: Sequence[str]
    engine: str = ""


@dataclass(frozen=True, kw_only=True)
class RateRow:
    """Activity of a population; rates in Hz, `active` in [0, 1], ISI CV over trains with enough intervals."""

    population: str
    transmitter: str
    n_neurons: int
    n_spikes: int
    mean_hz: float
    median_hz: float | None = None
    std_hz: float | None = None
    active: float | None = None
    isi_cv: float | None = None
    n_cv: int | None = None


@dataclass(frozen=True, kw_only=True)
class DaleRow:
    """One projection of the Dale audit. `minimum` and `maximum` are of the stored weights, in `unit`."""

    projection: str
    source: str
    transmitter: str
    receptor: str
    n_weights: int
    minimum: float
    maximum: float
    zeros: float
    unit: str = "1"
    verdict: Literal["holds", "violated", "not applied"] = "holds"

    @classmethod
    def from_weights(
        cls,
        projection: str,
        source: str,
        transmitter: str,
        receptor: str,
        weights: ArrayLike,
        unit: str = "1",
    ) -> DaleRow:
        """Audit stored weights: magnitudes must not be negative unless the source is mixed."""
        values = np.asarray(weights, dtype=float).ravel()
        held = bool(values.size == 0 or values.min() >= 0)
        return cls(
            projection=projection, source=source, transmitter=transmitter, receptor=receptor,
            n_weights=values.size, minimum=float(values.min()) if values.size else float("nan"),
            maximum=float(values.max()) if values.size else float("nan"),
            zeros=float((values == 0).mean()) if values.size else float("nan"), unit=unit,
            verdict="not applied" if transmitter == "mixed" else "holds" if held else "violated",
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class EpochRow:
    """One epoch of training. `chosen`: the weights of this epoch are the reported ones."""

    epoch: int
    loss: float
    validation_accuracy: float | None = None
    validation_loss: float | None = None
    seed: int | None = None
    seconds: float | None = None
    chosen: bool = False


@dataclass(frozen=True)
class TimingRow:
    """Wall-clock time of a stage [s]."""

    stage: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What is needed to run this again. `config` is the resolved configuration as text."""

    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    seeds: Mapping[str, object] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)
    machine: str = ""
    config: str = ""
    date: str = field(default_factory=lambda: datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"))


class ReportFigure(NamedTuple):
    """A figure and the section it closes; without one it stands among the figures at the end."""

    caption: str
    figure: Figure
    section: str = ""


@dataclass(frozen=True, kw_only=True)
class ReportContent:
    """A whole report.

    `verdict` is derived from `verification` and `dale` where absent. `notes` adds a sentence to the caption
    of a section's table, for instance ``{"verification": "10 trials, seed 0."}``; keys as in `SECTIONS`.
    `figures` may be plain pairs (caption, figure). `tables` stand below `results`, each with what it says.
    """

    title: str
    subtitle: str = ""
    verdict: Verdict | None = None
    facts: Sequence[Fact] = ()
    circuit: CircuitFacts | None = None
    results: Table | None = None
    tables: Sequence[Table] = ()
    accuracy: Sequence[AccuracyRow] = ()
    verification: Sequence[VerificationRow] = ()
    fidelity: Sequence[FidelityRow] = ()
    confusion: Confusion | None = None
    figures: Sequence[ReportFigure | tuple[str, Figure]] = ()
    rates: Sequence[RateRow] = ()
    dale: Sequence[DaleRow] = ()
    program: str = ""
    training: Sequence[EpochRow] = ()
    timings: Sequence[TimingRow] = ()
    provenance: Provenance | None = None
    notes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        named = {*self.notes, *(ReportFigure(*figure).section for figure in self.figures)} - {""}
        for name in sorted(named - set(SECTIONS)):
            raise ValueError(f"report: {unknown('section', name, SECTIONS)}")

    @property
    def spikes_compared(self) -> int:
        """Spikes of one engine that entered the verification."""
        return max((row.spikes_compared for row in self.verification), default=0)


def derived_verdict(content: ReportContent) -> Verdict | None:
    """The verdict that follows from the verification and the Dale audit alone; None where both are absent."""
    rows, dale = content.verification, _dale_findings(content.dale)
    broken = any(row.verdict == "violated" for row in content.dale)
    if not rows:
        if not dale:
            return None
        return Verdict(level="fail" if broken else "pass", headline=dale[0], findings=dale[1:])
    different = [row for row in rows if row.met == "different"]
    silent = [row for row in rows if row.spikes_compared == 0]
    total = f"{count(content.spikes_compared)} spikes compared"
    if different:
        who = "The two engines" if len(rows) == 1 else f"{len(different)} of {len(rows)} engine pairs"
        headline = f"{who} differ; {total}."
        dale = [
            f"{row.engine_a} and {row.engine_b}: {row.first_difference or 'see the table.'}" for row in different
        ] + dale
    elif silent:
        headline = f"{len(silent)} of {len(rows)} comparisons met no spike: silence agrees with everything."
    else:
        bitwise = sum(row.met == "bitwise" for row in rows)
        who = "The two engines agree" if len(rows) == 1 else f"All {len(rows)} engine pairs agree"
        how = "bitwise" if bitwise == len(rows) else "spike for spike"
        some = f" ({bitwise} of them bitwise)" if 0 < bitwise < len(rows) else ""
        headline = f"{who} {how}{some}: {total}, 0 differ."
    level: Literal["pass", "note", "fail"] = "fail" if broken or different else "note" if silent else "pass"
    return Verdict(level=level, headline=headline, findings=dale)


def _dale_findings(rows: Sequence[DaleRow]) -> list[str]:
    names = {
        verdict: [row.projection for row in rows if row.verdict == verdict]
        for verdict in ("holds", "violated", "not applied")
    }
    findings = []
    if names["violated"]:
        findings.append(f"Dale's law is violated in {', '.join(names['violated'])}.")
    elif names["holds"]:
        findings.append(f"Dale's law holds in all {len(names['holds'])} projections to which it applies.")
    if names["not applied"]:
        findings.append(f"Declared as mixed, so exempt from Dale's law: {', '.join(names['not applied'])}.")
    return findings
