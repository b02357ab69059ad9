"""Hand-worked examples of the method sheets: a circuit, its input, and the numbers that every engine must give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

import cortexsnn as cx
from cortexsnn.job import Job
from engines import job_of


@dataclass(frozen=True)
class Example:
    """``expected``: variable of population ``cell`` -> (step, neuron) or (step,); ``u_pre`` stands for distance + threshold."""

    name: str
    circuit: cx.Circuit
    inputs: Mapping[str, np.ndarray]
    expected: Mapping[str, Any]
    threshold: float = 1.0
    tolerance: float = 0.0
    """Absolute; 0 where all numbers are exact in binary, else half a unit of the last printed digit."""

    def job(self) -> Job:
        return job_of(self.circuit, self.inputs)

    def check(self, recording: xr.DataTree) -> None:
        node = recording["cell"]
        for variable, values in self.expected.items():
            wanted = np.asarray(values, dtype=float)
            source = "distance" if variable == "u_pre" else variable
            found = node[source].isel(trial=0).transpose("step", "neuron").values.astype(float)
            if variable == "u_pre":
                found = found + self.threshold
            found = found if wanted.ndim == 2 else found[:, 0]
            np.testing.assert_allclose(found, wanted, rtol=0, atol=self.tolerance, err_msg=f"{self.name}: {variable}")


@dataclass
class Cell:
    """A population ``cell`` of one neuron model, driven through its ports by inputs with fixed weights.

    weights : port -> (channel, neuron) matrix; its input is ``x_<port>`` where there is one, else ``x`` for all ports.
    recurrent : port -> (neuron, neuron) matrix of the cells onto themselves, one step later.
    units : port -> unit of its weights.
    transmitters : name of an input, or ``cell`` -> transmitter; mixed unless stated.
    """

    pieces: Mapping[str, Mapping[str, Any]]
    size: int = 1
    weights: Mapping[str, Any] = field(default_factory=lambda: {"x": [[1.0]]})
    inputs: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    kind: str = "current"
    recurrent: Mapping[str, Any] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    transmitters: Mapping[str, str] = field(default_factory=dict)
    trainable: bool = False

    def circuit(self) -> cx.Circuit:
        inputs = {
            name: {
                "size": np.asarray(rows).reshape(len(rows), -1).shape[1],
                "kind": self.kind,
                "transmitter": self.transmitters.get(name, "mixed"),
            }
            for name, rows in self.inputs.items()
        }
        projections = {}
        for port, matrix in self.weights.items():
            source = f"x_{port}" if f"x_{port}" in self.inputs else "x"
            projections[f"w_{port}"] = self._projection(source, port, matrix)
        for port, matrix in self.recurrent.items():
            projections[f"r_{port}"] = {**self._projection("cell", port, matrix), "delay": "1 ms"}
        transmitter = self.transmitters.get("cell", "mixed")
        return cx.Circuit(
            name="hand", dt="1 ms", neurons=dict(self.pieces), inputs=inputs, projections=projections,
            populations={"cell": {"size": self.size, "neuron": list(self.pieces), "transmitter": transmitter}},
        )  # fmt: skip

    def _projection(self, source: str, port: str, matrix: Any) -> dict[str, Any]:
        w = np.asarray(matrix, dtype=float)
        pre, post = np.indices(w.shape).reshape(2, -1)
        return {
            "pre": source, "post": "cell", "port": port, "connect": {"edges": {"pre": pre, "post": post}},
            "weight": {"values": w.ravel(), "unit": self.units.get(port, "1")}, "trainable": self.trainable,
        }  # fmt: skip

    def rows(self) -> dict[str, np.ndarray]:
        return {name: np.asarray(rows, dtype=float).reshape(len(rows), 1, -1) for name, rows in self.inputs.items()}


def example(
    name: str, cell: Cell, expected: Mapping[str, Any], threshold: float = 1.0, tolerance: float = 0.0
) -> Example:
    return Example(name, cell.circuit(), cell.rows(), expected, threshold, tolerance)
