"""Layers of E and I cells put on top of each other: the common part of the lateral-inhibition circuits.

A layer is two populations: E cells (spiking) and E // ratio I cells (graded, at steady state within the step), both driven by
the layer before; I inhibits E of the same layer, one weight for what is subtracted and for the divisor.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..errors import InputError
from ..neurons import piece
from ..spec import Circuit


@dataclass
class Stack:
    """Populations and projections of an E/I stack in the making.

    Parameters
    ----------
    name : str
        For messages.
    source : str
        Input that drives the first layer.
    shape : tuple of int
        (channels,) or (channels, rows, columns) of that input.
    ratio : int
        E cells (or channels) per I cell.
    scale_gradient : bool
        E-I Prop's second rule: the gradient of the inhibitory weights divided by the fan-in of the layer.
    initialise : bool
        Whether ``cortexsnn.initialise`` sets the layers by E-I Init. Without it, weights start half-normal with the standard
        deviation of Kaiming's rule, and inhibition at its mean.
    """

    name: str
    source: str
    shape: tuple[int, ...]
    ratio: int = 4
    scale_gradient: bool = True
    initialise: bool = True
    populations: dict[str, Any] = field(default_factory=dict)
    projections: dict[str, Any] = field(default_factory=dict)
    neurons: dict[str, Any] = field(default_factory=dict)
    initialisation: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.input, self.input_shape = self.source, self.shape
        if not self.shape or min(self.shape) < 1:
            raise InputError(
                f"{self.name}: expected an input of at least one channel, row and column, got {self.shape}"
            )

    def layer(
        self, e: str, i: str, cells: int, excitatory: str, interneuron: str, kernel: int | None = None, stride: int = 1,
        padding: int = 0, parameters: dict[str, Any] | None = None, divides: bool = True, port: str | None = None,
    ) -> None:  # fmt: skip
        """Add an E/I layer on top; it becomes the source of the next.

        Parameters
        ----------
        e, i : str
            Names of its populations.
        cells : int
            E cells, or E channels of a convolutional layer.
        excitatory, interneuron : str
            Names in ``neurons``.
        kernel, stride, padding : int
            Of a convolutional layer; I to E is then a 1 x 1 convolution.
        parameters : mapping, optional
            Of the E cells.
        divides : bool
            Whether I divides as well as subtracts.
        port : str, optional
            One signed port of E for excitation and subtraction, in place of I_EE and I_sub.
        """
        n_i = self.inhibitory(e, cells)
        place = self._place(e, kernel, stride, padding)
        fan_in = self.shape[0] * (kernel or 1) ** 2
        self.populations[e] = {**self._sized(cells, place), "neuron": excitatory, "transmitter": "excitatory"}
        if parameters:
            self.populations[e]["parameters"] = parameters
        self.populations[i] = {**self._sized(n_i, place), "neuron": interneuron, "transmitter": "inhibitory"}
        connect = {"conv2d": {"kernel": kernel, "stride": stride, "padding": padding}} if kernel else "all"
        for post, target in ((e, port or "I_EE"), (i, "x")):
            self.projections[f"{self.source}_{post}"] = {
                "pre": self.source, "post": post, "port": target, "connect": connect, "trainable": True,
                "weight": self._start(fan_in),
            }  # fmt: skip
        deliver = {port or "I_sub": "r"} | ({"I_div": "g_I*r"} if divides else {})
        self.projections[f"{i}_{e}"] = {
            "pre": i, "post": e, "deliver": deliver, "connect": {"conv2d": {"kernel": 1}} if kernel else "all",
            "trainable": True, "weight": 1.0 / n_i, "gradient_scale": 1.0 / fan_in if self.scale_gradient else 1.0,
        }  # fmt: skip
        if self.initialise:
            self.initialisation.append({
                "rule": "ei", "excitatory": f"{self.source}_{e}", "to_inhibitory": f"{self.source}_{i}", "inhibitory": f"{i}_{e}",
                **({"gain": f"{i}.g_I"} if divides else {}), **({"fan_in": fan_in} if kernel else {}),
            })  # fmt: skip
        self.source, self.shape = e, (cells, *place)

    def relay(self, name: str, *others: str) -> None:
        """A graded population that adds up the source and ``others`` of the same shape (the residual sum of SEW-ResNet)."""
        self._graded(name, self.shape)
        for source in (self.source, *others):
            self.projections[f"{source}_{name}"] = {
                "pre": source, "post": name, "port": "x", "connect": "one_to_one", "weight": 1.0,
            }  # fmt: skip
        self.source = name

    def average_pool(self, name: str, window: int) -> None:
        """Average pooling as a projection: a graded population, each of whose cells hears one window with equal weights."""
        if len(self.shape) != 3 or self.shape[1] % window or self.shape[2] % window:
            raise InputError(
                f"{self.name}: pooling by {window} needs rows and columns divisible by it, got {self.shape}"
            )
        channels, rows, columns = self.shape
        pre = [[c, y, x] for c in range(channels) for y in range(rows) for x in range(columns)]
        small = (rows // window, columns // window)
        before, self.source, self.shape = self.source, name, (channels, *small)
        self._graded(name, self.shape)
        edges = {
            "pre": list(range(len(pre))),
            "post": [(c * small[0] + y // window) * small[1] + x // window for c, y, x in pre],
        }
        self.projections[f"{before}_{name}"] = {
            "pre": before, "post": name, "port": "x", "connect": {"edges": edges}, "weight": 1.0 / window**2,
        }  # fmt: skip

    def readout(self, n_classes: int) -> None:
        """The E/I read-out: subtractive only."""
        if not self.populations:
            raise InputError(f"{self.name}: expected at least one layer, got none")
        self.neurons.update(
            ei_readout=piece("ei_readout"), ei_readout_interneuron=piece("ei_interneuron", divides=False)
        )
        if len(self.shape) == 3:
            self.shape = (self.shape[0] * self.shape[1] * self.shape[2],)
        self.layer("out", "I_out", n_classes, "ei_readout", "ei_readout_interneuron", divides=False)

    def circuit(self, description: str, sources: tuple[str, ...], steps: int) -> Circuit:
        """The finished circuit: a real-valued input, the layers, ``out`` as read-out."""
        return Circuit(
            name=self.name,
            description=description,
            sources=sources,
            dt="1 ms",
            duration=f"{steps} ms",
            neurons=self.neurons,
            populations=self.populations,
            inputs={self.input: {**self._sized(self.input_shape[0], self.input_shape[1:]), "kind": "current"}},
            projections=self.projections,
            readout="out",
            initialisation=tuple(self.initialisation),
        )

    def inhibitory(self, layer: str, cells: int) -> int:
        """I cells of a layer.

        Raises
        ------
        InputError
            The layer would have no E or no I cells.
        """
        if self.ratio < 1:
            raise InputError(f"{self.name}: expected a ratio of at least 1 E cell per I cell, got {self.ratio}")
        if cells // self.ratio < 1:
            raise InputError(
                f"{self.name}: layer {layer} with {cells} E cells and ratio {self.ratio} has no I cells; "
                f"give it at least {self.ratio} E cells or a smaller ratio"
            )
        return cells // self.ratio

    def _graded(self, name: str, shape: tuple[int, ...]) -> None:
        self.neurons.setdefault("relay", piece("relay"))
        self.populations[name] = {**self._sized(shape[0], shape[1:]), "neuron": "relay", "transmitter": "excitatory"}

    def _place(self, layer: str, kernel: int | None, stride: int, padding: int) -> tuple[int, ...]:
        if kernel is None:
            return ()
        if len(self.shape) != 3:
            raise InputError(
                f"{self.name}: layer {layer} is convolutional, but '{self.source}' has no rows and columns"
            )
        return tuple((n + 2 * padding - kernel) // stride + 1 for n in self.shape[1:])

    @staticmethod
    def _sized(channels: int, place: tuple[int, ...]) -> dict[str, Any]:
        return {"shape": [channels, *place]} if place else {"size": channels}

    def _start(self, fan_in: int) -> dict[str, Any]:
        if self.initialise:
            return {"distribution": "exponential", "mean": _mean_weight(fan_in)}
        return {"distribution": "normal", "mean": 0.0, "std": (2 / fan_in) ** 0.5}  # truncated at 0


def _mean_weight(fan_in: int, rate: float = 0.2) -> float:
    """beta of E-I Init for a binary input of the given rate: sqrt((1-p) / (d (2-p)))."""
    return float(((1 - rate) / (fan_in * (2 - rate))) ** 0.5)
