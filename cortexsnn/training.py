"""What of a circuit may be trained, as plain data for the torch emitter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .assembly import assemble
from .errors import EngineError
from .realise import Realisation
from .spec import Circuit, Initialisation
from .units import parse_quantity, parse_unit
from .wiring import endpoint_name


@dataclass(frozen=True)
class TrainableNumber:
    """A parameter or initial value: (1,) or (neuron,), coherent units, with bounds."""

    population: str
    name: str
    is_parameter: bool
    value: np.ndarray
    low: float
    high: float

    @property
    def key(self) -> str:
        return f"{self.population}:{self.name}"


@dataclass(frozen=True)
class TrainableWeight:
    """How a projection's magnitudes are trained; ``signed`` where the source's transmitter is mixed, ``rests`` where plasticity leaves
    weights alone while gradients are taken."""

    trainable: bool
    signed: bool
    gradient_scale: float
    rests: bool = False


@dataclass(frozen=True)
class Training:
    """Trainable numbers, weights and data-dependent initialisation of a circuit; size of one unit of each input."""

    numbers: tuple[TrainableNumber, ...]
    weights: Mapping[str, TrainableWeight]
    initialisation: tuple[Initialisation, ...]
    input_units: Mapping[str, float]
    readout: str | None


def training_of(circuit: Circuit, realisation: Realisation) -> Training:
    """Collect what the circuit declares trainable, with the realised numbers as starting points."""
    numbers = []
    for name, population in circuit.populations.items():
        model = assemble(circuit, population, lambda path, message: None)
        if model is None:
            raise EngineError(f"populations.{name}: not valid; call validate(circuit) first")
        for key, trainable in model.trainable.items():
            is_parameter = key in model.parameters
            start = (realisation.parameters if is_parameter else realisation.initial)[name][key]
            if trainable.per == "neuron":
                value = np.broadcast_to(start, (population.n,)).copy()
            elif (start == start[0]).all():
                value = start[:1].copy()
            else:
                raise EngineError(
                    f"{name}.{key}: differs between neurons but is trainable per population; use per: neuron"
                )
            low = -np.inf if trainable.min is None else parse_quantity(trainable.min).value
            high = np.inf if trainable.max is None else parse_quantity(trainable.max).value
            numbers.append(TrainableNumber(name, key, is_parameter, value, low, high))
    sources = {**circuit.populations, **circuit.inputs}
    weights = {
        name: TrainableWeight(
            p.trainable,
            sources[endpoint_name(p.pre)].transmitter == "mixed",  # type: ignore[attr-defined]
            p.gradient_scale,
            p.plasticity is not None and p.plasticity.wins == "gradient",
        )
        for name, p in circuit.projections.items()
    }
    units = {name: parse_unit(drive.unit).value for name, drive in circuit.inputs.items()}
    return Training(tuple(numbers), weights, circuit.initialisation, units, circuit.readout)
