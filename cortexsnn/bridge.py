"""Between circuits and trainable networks: to_torch, from_torch, initialise."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from .errors import InputError
from .lower import lower
from .realise import Edges, realise
from .spec import Array, Circuit, to_plain
from .training import training_of
from .units import coherent_name, parse_unit
from .validate import validate
from .wiring import endpoint_name

if TYPE_CHECKING:
    import torch

    from .emit.to_torch import Network


def to_torch(
    circuit: Circuit,
    seed: int = 0,
    dtype: torch.dtype | None = None,
    surrogate: str = "atan",
    detach_reset: bool = True,
    fused: bool | None = None,
) -> Network:
    """The circuit as a trainable ``torch.nn.Module``.

    Parameters
    ----------
    circuit : Circuit
    seed : int
        Draws edges, weights and initial state, as in every engine.
    dtype : torch.dtype
        float32 unless stated; float64 for exact comparison.
    surrogate : str
        "atan", "sigmoid", "fast_sigmoid", "triangle", "rectangle", "gaussian", with a steepness as in "sigmoid(4)".
    detach_reset : bool
        Hide the reset from the gradient.
    fused : bool, optional
        Run steps in compiled kernels: where they can be compiled unless stated; True insists, False runs torch operations.

    Raises
    ------
    SpecError, EngineError
    """
    from .emit.to_torch import Network

    program = lower(validate(circuit))
    realisation = realise(circuit, seed)
    training = training_of(circuit, realisation)
    return Network(program, realisation, training, dtype, surrogate, detach_reset, fused)


def from_torch(circuit: Circuit, network: Network) -> Circuit:
    """The circuit with the network's values: edges pinned as explicit lists, magnitudes, parameters, initial values.

    Parameters
    ----------
    circuit : Circuit
        The circuit the network was made from.
    network : Network

    Raises
    ------
    InputError
        The network was made from another circuit, or normalises its inputs: fold first.
    """
    from .emit.to_torch import Network

    if not isinstance(network, Network):
        raise InputError(f"network: expected what to_torch returns, got {type(network).__name__}")
    if lower(validate(circuit)).hash != network.program.hash:
        raise InputError("the network was made from another circuit; pass the circuit that went into to_torch")
    if len(network.normalisation):
        raise InputError(
            "the network normalises over batches, which no circuit does; call cortexsnn.train.normalise.fold first"
        )
    network.project()
    trained = network.trained_realisation()
    plain: dict[str, Any] = to_plain(circuit)
    for name in circuit.projections:
        plain["projections"][name] |= pinned(circuit, name, trained.edges[name], network.program.dt)
    for name, rows in network.realisation.rows.items():
        unit = circuit.inputs[name].unit
        plain["inputs"][name]["rows"] = Array(rows / parse_unit(unit).value, unit)
    for number in network.training_data.numbers:
        values = (trained.parameters if number.is_parameter else trained.initial)[number.population][number.name]
        unit = network.program.population(number.population).unit(number.name)
        kind = "parameters" if number.is_parameter else "initial"
        plain["populations"][number.population].setdefault(kind, {})[number.name] = Array(values, unit)
    for population, fixed in network.overrides.items():
        for key, value in fixed.items():
            unit = network.program.population(population).unit(key)
            plain["populations"][population].setdefault("parameters", {})[key] = Array(value, unit)
    return validate(Circuit(**plain))


def pinned(circuit: Circuit, name: str, edges: Edges, dt: float) -> dict[str, Any]:
    """Fields of a projection that hold its edges as they are: explicit lists, or the kernel that edges share."""
    projection, unit = circuit.projections[name], _weight_unit(circuit, name)
    if edges.index is not None:
        return {"weight": Array(edges.values.reshape(_kernel_shape(circuit, name)), unit)}
    return {
        "pre": endpoint_name(projection.pre),
        "post": endpoint_name(projection.post),
        "connect": {"edges": {"pre": Array(edges.pre), "post": Array(edges.post)}},
        "weight": Array(edges.values, unit),
        "delay": Array(edges.delay * dt, "ms"),
    }


def _weight_unit(circuit: Circuit, projection: str) -> str:
    from .values import dimension_of

    return coherent_name(dimension_of(circuit.projections[projection].weight)).replace("fC", "fcoulomb")


def _kernel_shape(circuit: Circuit, name: str) -> tuple[int, ...]:
    projection = circuit.projections[name]
    shapes = {**circuit.populations, **circuit.inputs}
    pre, post = shapes[endpoint_name(projection.pre)].shape, shapes[endpoint_name(projection.post)].shape  # type: ignore[attr-defined]
    k = projection.connect.conv2d.kernel if projection.connect.conv2d else 1
    return ((post or (1,))[0], (pre or (1,))[0], k, k)


def initialise(network: Network, batch: Any) -> None:
    """Data-dependent initialisation (E-I Init) of the layers that the circuit lists under ``initialisation``.

    Parameters
    ----------
    network : Network
    batch : mapping
        Inputs as for the network, (step, trial, channel).

    Warns
    -----
    UserWarning
        The circuit lists none, and nothing happens.
    """
    from .emit.to_torch import Network
    from .train.initialise import initialise as run

    if not isinstance(network, Network):
        raise InputError(f"network: expected what to_torch returns, got {type(network).__name__}")
    if not network.training_data.initialisation:
        warnings.warn(
            "the circuit lists no layers under 'initialisation', so initialise does nothing; see docs/format.md",
            stacklevel=2,
        )
    run(network, batch)
