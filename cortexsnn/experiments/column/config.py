"""Configuration of experiment=predictive_column: world, training, paradigms with the effects expected in them, simulations."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from ...circuits.predictive_column import SIZES
from ...train.frame_spikes import FrameCode
from ...train.next_frame import FrameSettings
from ...train.scan import World
from ..config import ArmsConfig, Config, Positive, Share, different
from .networks import PYRAMIDAL

MEAN_PIXEL = 0.3
"""Of digits, about: where the bias of a read-out starts."""
Milliseconds = Annotated[int, Field(ge=1)]
Variant = Literal[
    "untrained", "shuffled", "uncoupled", "no short-term plasticity", "command cut", "apical feedback cut", "no SOM", "no VIP", "no PV",
    "no plateau", "hierarchy", "hierarchy, upper column cut",
]  # fmt: skip
"""Networks that an effect can be set against: other trainings, and lesions of the trained network; of hierarchies the lower column."""
Lesion = Literal["PV", "SOM", "VIP", "plateau", "command", "apical feedback", "short-term plasticity"]
Arm = Literal["apical feedback", "the same onto somata", "no apical feedback", "shuffled", "uncoupled"]


def known_cells(name: str) -> str:
    """The name of a class, refused if it is none."""
    if name not in SIZES:
        raise ValueError(f"expected a class of cells ({', '.join(SIZES)}), got {name!r:.40}")
    return name


class WorldConfig(Config):
    """See :class:`cortexsnn.train.scan.World`."""

    frames: Annotated[int, Field(ge=2)] = 6
    window: Annotated[int, Field(ge=2, le=8)] = 4
    turn: Share = 0.2
    still: Share = 0.15
    occluded: Share = 0.25
    cover: Share = 0.5


class CodeConfig(Config):
    """See :class:`cortexsnn.train.frame_spikes.FrameCode`."""

    ms: Annotated[int, Field(ge=2)] = 50
    copies: Positive = 2
    most: Annotated[float, Field(gt=0, le=500)] = 200.0
    least: Annotated[float, Field(ge=0)] = 2.0
    commands: Annotated[int, Field(ge=2, multiple_of=2)] = 32
    command_rate: Annotated[float, Field(gt=0, le=300)] = 30.0


class FrameTrainingConfig(Config):
    """See :class:`cortexsnn.train.next_frame.FrameSettings`; ranges of rates are class -> lowest, highest [Hz]."""

    updates: Positive = 500
    batch: Positive = 32
    weight_rate: Annotated[float, Field(gt=0)] = 0.1
    bias_rate: Annotated[float, Field(gt=0)] = 3e-3
    plain_bias_rate: Annotated[float, Field(gt=0)] = 1e-2
    clip: Annotated[float, Field(gt=0)] = 1.0
    truncate: Milliseconds = 100
    surrogate: str = "fast_sigmoid(10)"
    strength: Annotated[float, Field(ge=0)] = 0.01
    ranges: dict[Literal["E", "PV", "SOM", "VIP"], tuple[float, float]]

    @field_validator("ranges")
    @classmethod
    def _in_order(cls, ranges: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        for name, (low, high) in ranges.items():
            if not 0 < low < high:
                raise ValueError(f"{name}: expected two rates above 0, the lower first, got {low:g} and {high:g}")
        return ranges


class Effect(Config):
    """What is expected: rate of ``cells`` in trials labelled ``first`` minus that in ``second``, or the mean apical potential.

    sign : 1, -1, or 0 for little
    minus : two more conditions, whose difference is taken off: what the two differences have in common is no part of the effect
    within : the network in which it is measured, unless it is the trained column
    against : a variant; then the effect is how much larger the difference is than in that network
    select : two conditions; then only of cells that respond more in the first (Hedges' g above 0.5) in odd trials, measured in even ones
    bound : where little is expected, how much is little [Hz or mV]
    late : added to the table when trainings were under way, before any of the networks was shown a paradigm
    size : what the reference states, as text
    """

    name: str
    first: str
    second: str
    cells: str
    compartment: Literal["soma", "apical"] = "soma"
    sign: Literal[-1, 0, 1]
    minus: tuple[str, str] | None = None
    within: Variant | None = None
    against: Variant | None = None
    select: tuple[str, str] | None = None
    bound: Annotated[float, Field(gt=0)] | None = None
    late: bool = False
    size: str = "not stated"
    reference: str
    rival: str

    @model_validator(mode="after")
    def _bounded(self) -> Effect:
        if (self.sign == 0) != (self.bound is not None):
            raise ValueError(f"{self.name}: expected a bound where sign is 0, and only there")
        if self.select and self.compartment == "apical":
            raise ValueError(
                f"{self.name}: cells are selected by their rates; expected no select, or compartment: soma"
            )
        if self.compartment == "apical" and self.cells not in PYRAMIDAL:
            raise ValueError(
                f"{self.name}: {self.cells} has no apical compartment; expected cells: {' or '.join(PYRAMIDAL)}, or compartment: soma"
            )
        return self

    @model_validator(mode="after")
    def _selected(self) -> Effect:
        if self.select and self.minus:
            raise ValueError(f"{self.name}: expected select or minus, got both")
        return self

    @property
    def conditions(self) -> tuple[str, ...]:
        return (self.first, self.second, *(self.minus or ()), *(self.select or ()))

    @property
    def variants(self) -> tuple[Variant, ...]:
        """Networks beside the trained column that it takes."""
        return tuple(v for v in (self.within, self.against) if v)

    @field_validator("cells")
    @classmethod
    def _known(cls, cells: str) -> str:
        return known_cells(cells)


class ParadigmConfig(Config):
    """Trials of every condition; effects."""

    trials: Annotated[int, Field(ge=4)]
    effects: list[Effect]
    labels: frozenset[str] = frozenset()

    @model_validator(mode="after")
    def _labelled(self) -> ParadigmConfig:
        for effect in self.effects:
            for label in effect.conditions:
                if label not in self.labels:
                    raise ValueError(
                        f"effects.{effect.name}: expected a condition ({', '.join(sorted(self.labels))}), got {label!r:.40}"
                    )
        return self


class Oddball(ParadigmConfig):
    """``before`` stimuli and one more, of which the response is taken; the same stimuli are last in every condition. ``trials`` of each condition and
    stimulus of each pair; the stimuli of a pair differ by ``distance``, the root mean square over pixels."""

    before: Annotated[int, Field(ge=2)] = 6
    pairs: Positive = 3
    distance: Annotated[float, Field(ge=0, lt=1)] = 0.4
    others: Annotated[int, Field(ge=2)] = 8
    shown: Milliseconds = 250
    pause: Milliseconds = 250
    labels: frozenset[str] = frozenset({"deviant", "standard", "control"})


class Omission(ParadigmConfig):
    """``before`` stimuli, so that two pauses at least can differ before the last one: one alone is always the mean."""

    before: Annotated[int, Field(ge=3)] = 6
    shown: Milliseconds = 250
    pause: Milliseconds = 250
    labels: frozenset[str] = frozenset({"omitted", "irregular", "blank", "shown"})


class Repetition(ParadigmConfig):
    """A sequence of ``length`` frames ``repeats`` times; before the last of them, others in the control."""

    length: Annotated[int, Field(ge=2)] = 4
    repeats: Annotated[int, Field(ge=3)] = 8
    shown: Milliseconds = 250
    labels: frozenset[str] = frozenset({"repeated", "control"})


class Sequence(ParadigmConfig):
    """A scan at the trained pace; the last frame fits it, or another one, or follows frames in any order."""

    before: Annotated[int, Field(ge=2)] = 4
    labels: frozenset[str] = frozenset({"expected", "violation", "random"})


class CellCriteria(Config):
    """Cells of prediction errors, fixed before: ``driven`` or ``flat``, in pooled standard deviations; conditions of the paradigm, by role."""

    control: str = "off"
    over: str = "command only"
    under: str = "frames only"
    match: str = "match"
    cells: tuple[str, ...] = ("L23E", "L5E")
    driven: Annotated[float, Field(gt=0)] = 0.5
    flat: Annotated[float, Field(gt=0)] = 0.2
    rate: Annotated[float, Field(gt=0, lt=1)] = 0.05
    permutations: Annotated[int, Field(ge=19)] = 200

    @property
    def roles(self) -> tuple[str, ...]:
        return self.control, self.over, self.under, self.match

    @field_validator("cells")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(known_cells(name) for name in names)


class Mismatch(ParadigmConfig):
    """The window moves as commanded for ``before``; then, for ``halt``, it goes on or stops, with the command or without."""

    before: Milliseconds = 300
    halt: Milliseconds = 300
    criteria: CellCriteria = CellCriteria()
    labels: frozenset[str] = frozenset({"match", "halt", "replay", "command only", "frames only", "off"})

    @model_validator(mode="after")
    def _roles(self) -> Mismatch:
        roles = self.criteria.roles
        if not set(roles) <= self.labels or len(set(roles)) < len(roles):
            raise ValueError(
                f"criteria: expected different conditions ({', '.join(sorted(self.labels))}), got {', '.join(roles)}"
            )
        return self


class Surround(ParadigmConfig):
    shown: Milliseconds = 300
    labels: frozenset[str] = frozenset({"centre", "same", "orthogonal", "annulus", "blank"})


class TopDown(ParadigmConfig):
    """More command: of the channels of one way, or as much of any channels."""

    shown: Milliseconds = 300
    gain: Annotated[float, Field(gt=1)] = 1.3
    labels: frozenset[str] = frozenset({"plain", "featured", "anywhere"})


class Paradigms(Config):
    oddball: Oddball | None = None
    omission: Omission | None = None
    repetition: Repetition | None = None
    sequence: Sequence | None = None
    mismatch: Mismatch | None = None
    surround: Surround | None = None
    top_down: TopDown | None = None

    def given(self) -> dict[str, ParadigmConfig]:
        """Name -> what is configured."""
        found = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: p for name, p in found.items() if p is not None}


class Biophysics(Config):
    """How the trained network is simulated: sequences of each, time steps, integrators, disturbances; of synaptic noise, the share of background spikes
    that is lost."""

    sequences: Annotated[int, Field(ge=4)] = 64
    dt: Annotated[tuple[str, ...], Field(min_length=1)] = ("0.5 ms", "0.1 ms", "0.05 ms")
    methods: tuple[str, ...] = ()
    weight_bits: tuple[Annotated[int, Field(ge=1, le=52)], ...] = ()
    weight_noise: tuple[Annotated[float, Field(ge=0)], ...] = ()
    drive_noise: tuple[Share, ...] = ()
    synaptic_noise: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = ()
    delay_jitter: tuple[str, ...] = ()
    fine: str = "0.1 ms"


class Proof(Config):
    """Engines in which the first trained network must do the same, on sequences of so many frames."""

    engines: Annotated[list[str], Field(min_length=2), AfterValidator(different)]
    sequences: Positive = 4
    frames: Annotated[int, Field(ge=2)] = 48
    minimum_spikes: Annotated[int, Field(ge=1)] = 10_000


class LocalConfig(Config):
    """The local alternative: runs of so many sequences, changes of weights as parts of their bounds, the rate wanted [Hz]; sequences that the read-out
    is fitted on."""

    updates: Positive = 10
    sequences: Positive = 200
    apical_rate: Annotated[float, Field(gt=0)] = 0.01
    inhibitory_rate: Annotated[float, Field(gt=0)] = 0.002
    target: Annotated[float, Field(gt=0)] = 10.0
    fitted: Positive = 1500


class ColumnConfig(ArmsConfig):
    """The predictive column, trained, shown paradigms, simulated as biophysics.

    hierarchy : cells of each of two columns, trained beside
    arms : columns that are trained, that with apical feedback among them
    retrain : updates after a lesion
    held_out : sequences
    networks : folder in which trained networks are looked for and kept; of the run's own unless given
    """

    cells: Annotated[int, Field(ge=60, le=10_000)] = 200
    world: WorldConfig = WorldConfig()
    code: CodeConfig = CodeConfig()
    training: FrameTrainingConfig
    hierarchy: Annotated[int, Field(ge=60, le=10_000)] | None = None
    arms: Annotated[list[Arm], AfterValidator(different)]
    retrain: Annotated[int, Field(ge=1)] = 100
    held_out: Annotated[int, Field(ge=8)] = 400
    variants: Annotated[list[Variant], AfterValidator(different)]
    lesions: Annotated[list[Lesion], AfterValidator(different)]
    paradigms: Paradigms = Paradigms()
    biophysics: Biophysics | None = Biophysics()
    proof: Proof | None = None
    local: LocalConfig | None = None
    engine: str = "brian2:cpp_standalone"
    networks: str | None = None

    @model_validator(mode="after")
    def _needed(self) -> ColumnConfig:
        needed = {"apical feedback", *({"shuffled", "uncoupled"} & set(self.variants))}
        if missing := needed - set(self.arms):
            raise ValueError(
                f"arms: expected {', '.join(sorted(missing))} too, which the experiment or its variants need"
            )
        if not self.hierarchy and (asked := [v for v in self.variants if v.startswith("hierarchy")]):
            raise ValueError(f"hierarchy: expected a number of cells, for variants ask for {' and '.join(asked)}")
        return self

    @property
    def frame_code(self) -> FrameCode:
        return FrameCode(pixels=self.world.window**2, **self.code.model_dump())

    def world_of(self, **more: bool) -> World:
        return World(**self.world.model_dump(), **more)

    def frame_settings(
        self, updates: int | None = None, bias_rate: float | None = None, start: float | None = MEAN_PIXEL
    ) -> FrameSettings:
        t = self.training
        return FrameSettings(
            t.updates if updates is None else updates, t.batch, self.code.ms, t.weight_rate, bias_rate or t.bias_rate, t.clip, t.truncate,
            start,
        )  # fmt: skip
