"""Networks that predict frames: the column in its arms and a plain recurrent network, with the inputs that all of them get."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...circuits.predictive_column import BACKGROUND_HZ, SIZES, TERMINALS
from ...library import load
from ...neurons import piece
from ...spec import Circuit
from ...train.frame_spikes import FrameCode, Spikes, noise
from ...train.scan import Scans
from ...validate import validate

FEEDBACK, SOMA, NONE, PLAIN = "apical feedback", "the same onto somata", "no apical feedback", "plain LIF network"
APICAL = {FEEDBACK: "feedback", SOMA: "soma", NONE: "unrelated"}
"""Arm of the column -> argument of its builder. Without feedback the same connections carry what knows nothing of the sequence."""
PYRAMIDAL = ("L23E", "L5E")
"""Classes with an apical compartment."""
TAU = 20.0
"""Of the plain network's cells and read-out [ms], as of the column's."""
TOP_DOWN_HZ, UNRELATED_HZ = 1.0, 8.0
"""Of inputs that say nothing; the second in place of layer 5 of a column above, about as much as it fires."""


def column(arm: str, cells: int, code: FrameCode, **more: Any) -> Circuit:
    """The column of an arm, trainable, with a read-out of the next frame."""
    return load(
        "predictive_column", cells=cells, apical=APICAL[arm], thalamus=code.channels, commands=code.commands, outputs=code.pixels, trainable=True,
        **more,
    )  # fmt: skip


def plain(parameters: int, code: FrameCode) -> Circuit:
    """A recurrent network of LIF cells with signed weights, about so many of them trained; the same inputs, noise aside, and read-out."""
    inputs, outputs = code.channels + code.commands, code.pixels
    b = inputs + outputs
    n = max(2, round((-b + (b * b + 4 * (parameters - outputs)) ** 0.5) / 2))
    populations = {
        "cells": {"size": n, "neuron": "lif", "transmitter": "mixed"},
        "prediction": {"size": outputs, "neuron": "readout", "transmitter": "mixed"},
    }

    def uniform(fan_in: float, gain: float) -> dict[str, Any]:
        bound = gain * (3 / fan_in) ** 0.5
        return {"distribution": "uniform", "low": -bound, "high": bound}

    projections: dict[str, Any] = {
        name: {"pre": name, "post": "cells", "port": "x", "connect": "all", "trainable": True, "weight": uniform(size, 3.0), "delay": "1 ms"}
        for name, size in (("thalamus", code.channels), ("command", code.commands))
    }  # fmt: skip
    projections["cells_cells"] = {
        "pre": "cells", "post": "cells", "port": "x", "connect": "all", "trainable": True, "weight": uniform(n, 1.0), "delay": "1 ms",
    }  # fmt: skip
    projections["cells_prediction"] = {
        "pre": "cells", "post": "prediction", "port": "x", "connect": "all", "trainable": True, "weight": uniform(n, 1.0),
    }  # fmt: skip
    return validate(
        Circuit(
            name="plain_recurrent",
            description=f"{n} LIF cells, recurrent, weights of either sign, and a leaky read-out.",
            sources=("Ours: what a column is compared with.",),
            dt="1 ms",
            neurons={"lif": piece("lif", tau=TAU, decay_input=False), "readout": piece("readout", tau=TAU, bias=True)},
            populations=populations,
            inputs={
                "thalamus": {"size": code.channels, "kind": "spikes", "transmitter": "mixed"},
                "command": {"size": code.commands, "kind": "spikes", "transmitter": "mixed"},
            },
            projections=projections,
            readout="prediction",
        )
    )


def rows(circuit: Circuit, code: FrameCode, scans: Scans, random: np.random.Generator) -> Spikes:
    """Spikes of every input for sequences, also of those that carry nothing, (step, sample, channel); an unrelated command is that of another
    sequence. Unrelated inputs have a stream of their own, so that with them and without all others are the same."""
    apart = np.random.Generator(random.bit_generator.jumped())  # type: ignore[attr-defined]
    shown = {"thalamus": code.thalamus(scans.shown, random), "command": code.command(scans.commands, random)}
    if "unrelated_command" in circuit.inputs:
        shown["unrelated_command"] = code.command(np.roll(scans.commands, 1, axis=1), apart)
    steps, samples = shown["thalamus"].shape[:2]
    rates = {"background": BACKGROUND_HZ, "top_down": TOP_DOWN_HZ}
    quiet = {
        name: noise(steps, samples, drive.n, rates.get(name, UNRELATED_HZ), random if name in rates else apart)
        for name, drive in circuit.inputs.items() if name not in shown
    }  # fmt: skip
    return {**shown, **quiet}


def cells(circuit: Circuit) -> list[str]:
    """Populations of cells, without terminals and read-outs."""
    terminals = {f"terminal_{kind}" for kind in TERMINALS} | {"opponent_readout", "readout"}
    return [name for name, p in circuit.populations.items() if not terminals.intersection(p.pieces)]


def class_of(name: str) -> str:
    """E, PV, SOM or VIP; E for the cells of another network."""
    own = name.split("_")[-1]
    return own.lstrip("L2345") if own in SIZES and not own.endswith("E") else "E"
