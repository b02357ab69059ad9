"""Configurations as checked, frozen data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ..emit.surrogate import surrogate
from ..errors import EngineError, InputError, unknown
from ..neurons import piece
from ..train.settings import Settings

T = TypeVar("T")


def different(values: list[T]) -> list[T]:
    """A seed or setting given twice would count one network as two, and make every interval too narrow."""
    if len(set(values)) < len(values):
        raise ValueError(f"expected different values, got {values}")
    return values


def _different_thresholds(starts: list[float]) -> list[float]:
    """Settings are named by thresholds to two places: those that look alike would be one setting."""
    different([f"{math.tanh(w):.2f}" for w in starts])
    return starts


def _piece(name: str) -> str:
    piece(name)
    return name


def _surrogate(text: str) -> str:
    try:
        surrogate(text)
    except EngineError as error:
        raise ValueError(str(error)) from None
    return text


Positive = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
Layers = Annotated[list[Positive], Field(min_length=1)]
Different = Annotated[Layers, AfterValidator(different)]
Share = Annotated[float, Field(ge=0, le=1)]


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ExperimentConfig(Config):
    """What every experiment has: the command line that made the configuration, for its report."""

    command: str = "cortexsnn"


class CircuitConfig(Config):
    """A circuit by name or path, arguments of its builder, changed parameters (path -> value)."""

    name: str
    arguments: dict[str, Any] = {}
    parameters: dict[str, Any] = {}


class TrainingConfig(Config):
    """See :class:`cortexsnn.train.fit.Settings`."""

    epochs: Positive = 60
    batch: Positive = 64
    learning_rate: Annotated[float, Field(gt=0)] = 4e-3
    clip: Annotated[float, Field(gt=0)] = 1.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    surrogate: Annotated[str, AfterValidator(_surrogate)] = "sigmoid(4)"
    optimiser: Literal["adam", "sgd"] = "adam"
    schedule: Literal["one_cycle", "constant"] = "one_cycle"


class DigitsConfig(ExperimentConfig):
    """Train on digits with several seeds, prove the first network equal in all engines, vary surrogate and precision."""

    circuit: CircuitConfig
    training: TrainingConfig = TrainingConfig()
    seeds: Annotated[list[Seed], Field(min_length=1), AfterValidator(different)]
    n_steps: Positive = 8
    engines: Annotated[list[str], Field(min_length=2)]
    surrogates: list[Annotated[str, AfterValidator(_surrogate)]] = []
    workers: Positive = 2


class ArmsConfig(ExperimentConfig):
    """What every experiment with arms has: paired seeds, processes."""

    seeds: Annotated[list[Seed], Field(min_length=2), AfterValidator(different)]
    workers: Positive = 2


class TrainedArmsConfig(ArmsConfig):
    """With arms that train by surrogate gradients."""

    training: TrainingConfig = TrainingConfig()


class DepthConfig(TrainedArmsConfig):
    """E/I stacks of growing depth, against the same without E-I Init, without E-I Prop, and with batch normalisation."""

    depths: Different
    width: Annotated[int, Field(ge=4)] = 48
    learning_rates: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)]
    n_steps: Positive = 4
    noise: Annotated[float, Field(ge=0)] = 0.4


class SelfPredictionConfig(TrainedArmsConfig):
    """Wrapped neurons on digits row by row and pixel by pixel."""

    tasks: Annotated[list[Literal["rows", "pixels"]], Field(min_length=1), AfterValidator(different)]
    neurons: Annotated[list[Annotated[str, AfterValidator(_piece)]], Field(min_length=1), AfterValidator(different)]
    hidden: Layers


class Strengths(Config):
    """Of each perturbation: probabilities, and for jitter a standard deviation [steps]; one left out is not made."""

    inserted: list[Share] = []
    deleted: list[Share] = []
    jitter: list[Annotated[float, Field(ge=0)]] = []
    channels: list[Share] = []


class GatingConfig(TrainedArmsConfig):
    """Robustness of gated neurons to perturbations not seen in training, at equal clean accuracy and rate."""

    hidden: Layers
    codings: Annotated[list[Literal["rate", "latency"]], Field(min_length=1), AfterValidator(different)] = ["rate"]
    n_steps: Positive = 20
    input_rate: Annotated[float, Field(gt=0, le=1)] = 0.5
    target_accuracy: Annotated[float, Field(gt=0, lt=1)] = 0.85
    target_rate: Annotated[float, Field(gt=0, lt=1)] = 0.1
    strengths: Strengths
    repeats: Positive = 3

    @property
    def perturbed(self) -> dict[str, list[float]]:
        """Perturbation -> its strengths."""
        return {kind: strengths for kind, strengths in self.strengths.model_dump().items() if strengths}


class DynamicsConfig(TrainedArmsConfig):
    """Learned membrane polynomials against fixed ones."""

    hidden: Layers
    degrees: Different


class CompetitionConfig(ArmsConfig):
    """Supervised spike-timing plasticity with and without competition groups."""

    per_class: Annotated[int, Field(ge=2)] = 5
    n_steps: Positive = 300
    thresholds: Annotated[list[Annotated[float, Field(gt=0, lt=1)]], Field(min_length=1)]
    features: Positive = 32
    kernel: Annotated[int, Field(ge=1, le=8)] = 5
    regulation: Annotated[float, Field(ge=0)] = 0.05
    epochs: Positive = 30
    patience: Positive = 10


class ThresholdsConfig(TrainedArmsConfig):
    """Learned or fixed thresholds, with and without moderate dropout."""

    hidden: Layers
    starts: Annotated[
        list[Annotated[float, Field(ge=0.02)]], Field(min_length=1), AfterValidator(_different_thresholds)
    ]
    leak: Share = 0.25
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    n_steps: Positive = 4
    noise: Annotated[float, Field(ge=0)] = 0.4


class EarlyConfig(ArmsConfig):
    """Losses of counts and first spikes, over the steps that were seen."""

    hidden: Layers
    n_steps: Annotated[int, Field(ge=2)] = 12
    noise: Annotated[float, Field(ge=0)] = 0.3
    epochs: Positive = 20
    learning_rate: Annotated[float, Field(gt=0)] = 0.2
    norm_rate: Annotated[float, Field(gt=0)] = 0.02


class SleepConfig(TrainedArmsConfig):
    """A network that learns by spike timing, awake and asleep."""

    n_excitatory: Positive = 100
    n_inhibitory: Positive = 25
    images: Positive = 350
    n_steps: Positive = 100
    periods: Positive = 10
    most: Annotated[float, Field(gt=0, le=1)] = 0.2
    input_weight: Annotated[float, Field(gt=0)] = 0.5
    up: Annotated[float, Field(ge=0)] = 8e-4
    down: Annotated[float, Field(ge=0)] = 2.4e-4
    lam: Annotated[float, Field(gt=0, le=1)] = 0.99997
    target: Annotated[float, Field(gt=0)] = 0.01
    fraction: Annotated[float, Field(gt=0)] = 0.05
    fractions: list[Annotated[float, Field(gt=0)]] = [0.02, 0.03, 0.1, 0.2]
    longest: Positive = 10_000
    engine: str = "brian2:cpp_standalone"
    noise: Annotated[float, Field(ge=0)] = 0.4
    surrogate_steps: Positive = 8

    @property
    def n_cells(self) -> int:
        return self.n_excitatory + self.n_inhibitory


class RateGradientConfig(TrainedArmsConfig):
    """Gradients through rates and through time as steps grow; their direction where timing matters, for leaks of a step."""

    hidden: Layers
    steps: Different
    memory_steps: Different = [16, 64, 256]
    leaks: Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=1), AfterValidator(different)] = [
        0.9,
        0.2,
    ]
    networks: Annotated[int, Field(ge=2)] = 20
    tau: Annotated[float, Field(ge=1)] = 1.25
    gain: Annotated[float, Field(gt=0)] = 2.0
    noise: Annotated[float, Field(ge=0)] = 0.4


class FiConfig(ExperimentConfig):
    """f-I curves under inhibition."""

    points: Annotated[int, Field(ge=8)] = 60
    steps: Annotated[int, Field(ge=50)] = 2000
    seed: Seed = 0


class FidelityConfig(ExperimentConfig):
    """How far activity moves with dt, integrator, weight precision, noise and delay jitter."""

    circuit: CircuitConfig
    engine: str = "numpy"
    duration: str
    discard: str = "0 ms"
    networks: Annotated[int, Field(ge=3)] = 6
    dt: list[str] = []
    pulses: Literal["hold", "charge"] = "hold"
    methods: list[str] = []
    weight_bits: list[Annotated[int, Field(ge=1, le=52)]] = []
    weight_noise: list[Annotated[float, Field(ge=0)]] = []
    drive_noise: list[Annotated[float, Field(ge=0, le=1)]] = []
    delay_jitter: list[str] = []
    bin_ms: Annotated[float, Field(gt=0)] = 5.0
    bounds: Annotated[dict[str, Annotated[float, Field(gt=0)]], Field(min_length=1)]
    workers: Positive = 2


class VerifyConfig(ExperimentConfig):
    """Prove a circuit equal between engines."""

    circuit: CircuitConfig
    inputs: str | None = None
    engines: Annotated[list[str], Field(min_length=2)]
    duration: str | None = None
    seed: Seed = 0
    trials: Positive | None = None
    minimum_spikes: int | None = None


class SimulateConfig(ExperimentConfig):
    """Run a circuit on one engine."""

    circuit: CircuitConfig
    inputs: str | None = None
    engine: str = "numpy"
    duration: str | None = None
    seed: Seed = 0
    trials: Positive | None = None


def settings_of(training: TrainingConfig, n_steps: int) -> Settings:
    """What the trainer takes, from what a configuration says."""
    t = training
    return Settings(t.epochs, t.batch, t.learning_rate, t.clip, t.label_smoothing, n_steps, t.optimiser, t.schedule)


C = TypeVar("C", bound=Config)
_HINTS = {("circuit", "str"): "; write circuit.name=NAME"} | {
    (time, kind): "; give a time with its unit, such as '500 ms'"
    for time in ("duration", "discard")
    for kind in ("int", "float")
}


def checked(kind: type[C], values: Mapping[str, Any]) -> C:
    """The configuration as ``kind``.

    Raises
    ------
    InputError
        Unknown keys, wrong types, values out of range: all of them.
    """
    try:
        return kind(**values)
    except ValidationError as error:
        lines = []
        for item in error.errors(include_url=False):
            path = ".".join(str(p) for p in item["loc"])
            if item["type"] == "extra_forbidden":
                lines.append(
                    f"{path}: {unknown('key', str(item['loc'][-1]), _model(kind, item['loc'][:-1]).model_fields)}"
                )
            elif item["type"] == "value_error":
                lines.append(f"{path}: {item['ctx']['error']}")
            else:
                hint = _HINTS.get((path, type(item["input"]).__name__), "")
                lines.append(f"{path}: {item['msg'][0].lower()}{item['msg'][1:]}, got {item['input']!r:.60}{hint}")
        raise InputError("; ".join(lines)) from None


def _model(kind: type[BaseModel], path: tuple[int | str, ...]) -> type[BaseModel]:
    """The configuration that a path leads to."""
    for key in path:
        found = kind.model_fields[str(key)].annotation
        if isinstance(found, type) and issubclass(found, BaseModel):
            kind = found
    return kind
