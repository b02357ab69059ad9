"""What an engine is given and what it gives back: a program, its numbers, the drive; spike events and traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from .drive import Drive
from .errors import NumericalError
from .lower import Constants
from .program import WEIGHT, PopulationStep, RuleStep, StepProgram
from .realise import Edges, RuleNumbers

SPIKES = "spikes"
DISTANCE = "distance"


@dataclass(frozen=True)
class Job:
    """One run of a program.

    drive : input -> (trial, step, channel), numbers in coherent units or spikes; all inputs are present
    probes : population -> names to record; "spikes" and "distance" beside states, ports, the output, and sums over them
    cells : population -> name -> int32, cells of those that are not recorded of all
    rules : plastic pathway -> its numbers
    """

    program: StepProgram
    constants: Constants
    initial: Mapping[str, Mapping[str, np.ndarray]]
    edges: Mapping[str, Edges]
    drive: Mapping[str, Drive]
    probes: Mapping[str, tuple[str, ...]]
    n_trials: int
    n_steps: int
    cells: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)
    rules: Mapping[str, RuleNumbers] = field(default_factory=dict)


@dataclass(frozen=True)
class Events:
    """Spikes as three int arrays, (event,), sorted by trial, step, neuron."""

    trial: np.ndarray
    step: np.ndarray
    neuron: np.ndarray

    @staticmethod
    def from_dense(spikes: np.ndarray) -> Events:
        """From a bool array (trial, step, neuron)."""
        trial, step, neuron = np.nonzero(spikes)
        return Events(trial.astype(np.int32), step.astype(np.int32), neuron.astype(np.int32))

    def dense(self, n_trials: int, n_steps: int, n_neurons: int) -> np.ndarray:
        """Bool array (trial, step, neuron)."""
        spikes = np.empty(n_trials * n_steps * n_neurons, dtype=bool)
        spikes.fill(
            False
        )  # in order: zeros that are only promised would be brought in page by page, by spikes anywhere
        spikes[(self.trial.astype(np.int64) * n_steps + self.step) * n_neurons + self.neuron] = True
        return spikes.reshape(n_trials, n_steps, n_neurons)

    def __len__(self) -> int:
        return self.trial.size


@dataclass
class Traces:
    """What was recorded. ``spikes``: population -> Events; ``values``: population or plastic pathway -> name -> (trial, step, cell), or
    (trial, step) for sums; ``final``: plastic pathway -> name -> (trial, edge), at the end of the run."""

    spikes: dict[str, Events] = field(default_factory=dict)
    values: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    final: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)


def in_series(trials: Sequence[Traces]) -> Traces:
    """Runs of one trial each as the trials of one run."""
    first = trials[0]

    def joined(kind: str) -> dict[str, dict[str, np.ndarray]]:
        return {
            place: {name: np.concatenate([getattr(t, kind)[place][name] for t in trials]) for name in found}
            for place, found in getattr(first, kind).items()
        }

    spikes = {}
    for name in first.spikes:
        events = [t.spikes[name] for t in trials]
        numbers = np.repeat(np.arange(len(trials), dtype=np.int32), [len(e) for e in events])
        spikes[name] = Events(
            numbers, np.concatenate([e.step for e in events]), np.concatenate([e.neuron for e in events])
        )
    return Traces(spikes, joined("values"), joined("final"))


def numerical_error(
    program: StepProgram, population: str, variable: str, neuron: int, step: int, value: float
) -> NumericalError:
    """The error of a run in which a state left the real numbers."""
    return NumericalError(
        f"{population}.{variable} of neuron {neuron} became {value} in step {step} (t = {step * program.dt:g} ms); "
        "use a smaller dt, another method, or check weights and parameters"
    )


def check_final(program: StepProgram, traces: Traces) -> None:
    """Refuse plastic edges that left the real numbers.

    Raises
    ------
    NumericalError
        Names the projection, variable and edge.
    """
    for pathway in program.pathways:
        for name, values in traces.final.get(pathway.name, {}).items():
            bad = np.argwhere(~np.isfinite(values))
            if len(bad):
                trial, edge = bad[0]
                raise NumericalError(
                    f"{pathway.name}.{name} of edge {edge} became {values[trial, edge]} (trial {trial}); "
                    "check the statements of its rule, for divisions and logarithms, and its parameters"
                )


def initial_states(job: Job, population: PopulationStep) -> dict[str, np.ndarray]:
    """Values of all states before the first step, each (neuron,)."""
    given = job.initial[population.name]
    return {name: np.array(given[name]) if name in given else np.zeros(population.size) for name in population.states}


def edge_states(edges: Edges, rule: RuleStep, numbers: RuleNumbers) -> dict[str, np.ndarray]:
    """The weight and the states of plastic edges before the first step, each (edge,)."""
    n = edges.pre.shape
    return {
        WEIGHT: np.array(edges.weight),
        **{name: np.full(n, numbers.initial.get(name, 0.0)) for name in rule.states},
    }
