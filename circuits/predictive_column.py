"""A column of cortex that is built to learn what its input does next, alone or below another column that predicts it.

A synthesis: no single paper defines it. Layers 4, 2/3 and 5 with pyramidal cells (soma and distal apical compartment; layer 4 has point cells), and
interneurons by what they inhibit: PV somata, SOM apical compartments, VIP the SOM cells. Not here: layers 1 and 6, SOM in layer 4, gap junctions,
pulvinar. What each number is, and what it is not, stands at it and in docs/predictive_column.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ..errors import InputError
from ..neurons import piece
from ..spec import Circuit

REFERENCE = 400
"""Cells of the column whose weights stand below."""
SIZES = {
    "L4E": 100, "L4PV": 16, "L23E": 140, "L23PV": 18, "L23SOM": 14, "L23VIP": 12, "L5E": 80, "L5PV": 11, "L5SOM": 9,
}  # fmt: skip
"""Ours; cells of the reference column."""
THALAMUS, TOP_DOWN = 80, 80
BACKGROUND_HZ = 20.0
SPREAD = 0.5
"""Sigma of lognormal weights."""
CHARGE = {"A": 1.271, "N": 1.006, "G": 1.086, "Gd": 1.042}
"""What weights that were tuned as jumps at 1 ms are as charges over time constants."""

POINT_CELLS = {
    "L4E": {"C": "90 pF", "g_L": "5 nS", "E_L": "-70 mV", "V_T": "-50 mV", "V_R": "-58 mV", "refractory": "2 ms", "b_w": "1 nS"},
    "PV": {"C": "90 pF", "g_L": "10 nS", "E_L": "-68 mV", "V_T": "-48 mV", "V_R": "-58 mV", "refractory": "1 ms", "b_w": "0 nS"},
    "SOM": {"C": "80 pF", "g_L": "4 nS", "E_L": "-66 mV", "V_T": "-50 mV", "V_R": "-58 mV", "refractory": "2 ms", "b_w": "0.6 nS"},
    "VIP": {"C": "55 pF", "g_L": "3 nS", "E_L": "-66 mV", "V_T": "-48 mV", "V_R": "-57 mV", "refractory": "2 ms", "b_w": "0.5 nS"},
}  # fmt: skip
"""Ours."""
TERMINALS = {
    "tc": (0.2, "100 ms", "5 ms"),
    "dep": (0.5, "200 ms", "5 ms"),
    "pv": (0.35, "150 ms", "5 ms"),
    "fac": (0.08, "60 ms", "400 ms"),
}
"""Utilisation, recovery, facilitation. That those of excitatory synapses follow the target's class, those of inhibitory ones in part the
source's, is Campagnola et al. 2022; the numbers are ours."""


@dataclass(frozen=True)
class Connection:
    """Cells of a class onto one place of another.

    weight : nS, mean, at the reference size;  nmda : jump of NMDA as a part of AMPA's;  onto : "soma" or "apical"
    """

    pre: str
    post: str
    probability: float
    weight: float
    delay: int
    nmda: float = 0.0
    onto: str = "soma"
    terminal: str | None = None
    gaba_b: float = 0.0
    receptor: str = "E"

    @property
    def autapses(self) -> bool:
        """PV cells have some, as in cortex (recalled)."""
        return self.pre.endswith("PV")


Row = tuple[str, str, float, float, int]
"""pre, post, probability, weight [nS], delay [ms]"""


def _excitatory(nmda: float, *rows: Row, onto: str = "soma", terminal: str | None = None) -> tuple[Connection, ...]:
    return tuple(Connection(*row, nmda=nmda, onto=onto, terminal=terminal) for row in rows)


def _inhibitory(
    *rows: Row, onto: str = "soma", terminal: str | None = None, gaba_b: float = 0.0
) -> tuple[Connection, ...]:
    return tuple(Connection(*row, receptor="I", onto=onto, terminal=terminal, gaba_b=gaba_b) for row in rows)


INTRINSIC: tuple[Connection, ...] = (
    # probabilities of Billeh et al. 2020 are marked C, others are ours
    *_excitatory(0.15, ("L4E", "L4E", 0.24, 0.30, 2), ("L4E", "L23E", 0.06, 3.0, 2)),  # 0.24: C
    *_excitatory(0.15, ("L23E", "L23E", 0.16, 0.30, 2), ("L23E", "L5E", 0.05, 1.5, 2), ("L5E", "L5E", 0.116, 0.60, 2)),  # first, third: C
    *_excitatory(0.10, ("L23E", "L23VIP", 0.105, 0.35, 2)),  # C, of Htr3a cells, of which 40 % are VIP
    *_excitatory(
        0.05, ("L4E", "L4PV", 0.43, 0.96, 1), ("L4E", "L23PV", 0.10, 1.08, 2), ("L23E", "L23PV", 0.395, 1.08, 1),
        ("L23E", "L5PV", 0.08, 0.96, 2), ("L5E", "L5PV", 0.083, 1.08, 1), terminal="dep",
    ),  # C but L23E to L5PV
    *_excitatory(0.10, ("L23E", "L23SOM", 0.182, 0.35, 2), ("L5E", "L5SOM", 0.063, 0.60, 2), terminal="fac"),  # C
    *_inhibitory(
        ("L4PV", "L4E", 0.44, 1.92, 1), ("L4PV", "L4PV", 0.45, 1.92, 1), ("L23PV", "L23E", 0.41, 1.92, 1), ("L23PV", "L23PV", 0.45, 1.92, 1),
        ("L5PV", "L5E", 0.455, 4.2, 1), ("L5PV", "L5PV", 0.36, 1.92, 1), terminal="pv",
    ),  # C
    *_inhibitory(("L23SOM", "L23E", 0.424, 1.3, 2), ("L5SOM", "L5E", 0.317, 3.0, 2), ("L5SOM", "L23E", 0.169, 1.3, 2), onto="apical", gaba_b=0.02),  # C
    *_inhibitory(("L23SOM", "L23PV", 0.6, 0.32, 2), ("L23SOM", "L23VIP", 0.6, 0.8, 2)),  # Hertaeg and Sprekeler 2020; ours
    *_inhibitory(("L23VIP", "L23SOM", 0.625, 1.2, 2)),  # C, of Htr3a cells
    *_inhibitory(("L23VIP", "L23E", 0.087, 0.3, 2), onto="apical"),  # C, of Htr3a cells
)  # fmt: skip
FROM_THALAMUS: tuple[Connection, ...] = _excitatory(
    0.10, ("thalamus", "L4E", 0.08, 9.0, 2), ("thalamus", "L4PV", 0.35, 1.8, 1), ("thalamus", "L5E", 0.1, 1.5, 2), terminal="tc",
)  # fmt: skip
FROM_ABOVE: tuple[Connection, ...] = (
    *_excitatory(0.25, ("top_down", "L23E", 0.3, 0.55, 3), ("top_down", "L5E", 0.3, 1.3, 3), onto="apical"),
    *_excitatory(0.10, ("top_down", "L23VIP", 0.3, 0.6, 3)),
    *_excitatory(0.05, ("top_down", "L23SOM", 0.1, 0.15, 3), terminal="fac"),
)
"""Of an input ``top_down``, or of layer 5 of the column above."""
BACKGROUND = {
    "L4E": (20, 1.15), "L4PV": (30, 1.4), "L23E": (30, 1.05), "L23PV": (30, 1.6), "L23SOM": (20, 1.05), "L23VIP": (20, 0.85), "L5E": (30, 3.1),
    "L5PV": (30, 1.75), "L5SOM": (20, 1.05),
}  # fmt: skip
"""Channels of 20 Hz onto each soma, and their weight [nS]: ours, for the rates in the docs."""


_MEDIAN = 0.8825
"""Of a lognormal distribution of mean 1 and sigma 0.5."""


@dataclass
class _Parts:
    """Populations and projections in the making, of all columns."""

    scale: float
    trainable: bool
    short_term: bool
    charge: bool
    drawn_delays: bool
    populations: dict[str, Any] = field(default_factory=dict)
    projections: dict[str, Any] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    def column(self, prefix: str, spread: float) -> None:
        for name, reference in SIZES.items():
            kind = name if name.endswith("E") else name.lstrip("L2345")
            self.populations[prefix + name] = {
                "size": self._cells(prefix + name, reference), "neuron": kind, "transmitter": "excitatory" if name.endswith("E") else "inhibitory",
                "parameters": {"V_T": _around(POINT_CELLS.get(kind, {}).get("V_T", "-50 mV"), spread)} if spread else {},
            }  # fmt: skip

    def connect(self, connection: Connection, pre: str, post: str, source: str) -> None:
        """``source`` is the class of ``pre`` in the reference column."""
        n, reference = self.sizes[pre], {**SIZES, "thalamus": THALAMUS, "top_down": TOP_DOWN}[source]
        not_itself = pre == post and not connection.autapses
        indegree = min(n - not_itself, max(1, round(connection.probability * n)))
        weight = connection.weight * connection.probability * (reference - not_itself) / indegree
        entry: dict[str, Any] = {
            "pre": pre, "post": post, "connect": {"indegree": indegree, "multapses": False, "autapses": not not_itself},
            "delay": _delay(connection, self.drawn_delays), "trainable": self.trainable,
            "weight": _lognormal(weight * self._gain(connection)),
            "deliver": self._ports(connection),
        }  # fmt: skip
        if connection.terminal and not self.short_term:  # what a rested terminal releases, always
            share = TERMINALS[connection.terminal][0]
            entry["deliver"] = {port: f"{share:g}*{factor}" for port, factor in entry["deliver"].items()}
        elif connection.terminal:
            entry["pre"] = self._terminal(pre, connection)
            entry["delay"] = "0 ms"
            entry["deliver"] = {port: f"({factor})*(u + U*(1 - u))*x" for port, factor in entry["deliver"].items()}
        self.projections[f"{pre}_{post}"] = entry

    def background(self, prefix: str) -> None:
        for name, (indegree, weight) in BACKGROUND.items():
            self.projections[f"background_{prefix}{name}"] = {
                "pre": "background", "post": prefix + name, "port": "g_As", "connect": {"indegree": indegree, "multapses": False},
                "weight": _lognormal(weight * self._factor("A")),
            }  # fmt: skip

    def _cells(self, name: str, reference: int) -> int:
        self.sizes[name] = max(2, round(reference * self.scale))
        return self.sizes[name]

    def _factor(self, receptor: str) -> float:
        return CHARGE[receptor] if self.charge else 1.0

    def _gain(self, connection: Connection) -> float:
        """Of a weight, by the receptor that it is stated for."""
        if connection.receptor == "E":
            return self._factor("A")
        return self._factor("Gd" if connection.onto == "apical" else "G")

    def _ports(self, connection: Connection) -> dict[str, str]:
        """Of one weight, the share of each receptor."""
        place = "d" if connection.onto == "apical" else "s"
        if connection.receptor == "I":
            return {f"g_G{place}": "1", **({"x_B": f"{connection.gaba_b:g}"} if connection.gaba_b else {})}
        nmda = connection.nmda * self._factor("N") / self._factor("A")
        return {f"g_A{place}": "1", **({f"g_N{place}": f"{nmda:.6g}"} if nmda else {})}

    def _terminal(self, pre: str, connection: Connection) -> str:
        name = f"{pre}_{connection.terminal}_{connection.delay}"
        if name not in self.populations:
            inhibits = connection.receptor == "I"
            self.populations[name] = {
                "size": self.sizes[pre], "neuron": f"terminal_{connection.terminal}", "transmitter": "inhibitory" if inhibits else "excitatory",
            }  # fmt: skip
            self.projections[name] = {
                "pre": pre, "post": name, "deliver": {"s": "1"}, "connect": "one_to_one", "weight": 1.0, "delay": f"{connection.delay} ms",
            }  # fmt: skip
        return name


def build(
    cells: int = REFERENCE, columns: int = 1, thalamus: int | None = None, commands: int = 0, outputs: int = 0,
    apical: Literal["feedback", "soma", "unrelated", "none"] = "feedback", short_term: bool = True, charge: bool = True, plateau: float = 0.6,
    spread: float = 1.0, background: int = 300, drawn_delays: bool = True, trainable: bool = False,
) -> Circuit:  # fmt: skip
    """One column, or a hierarchy whose upper column drives the apical compartments of the one below.

    Populations L4E, L4PV, L23E, L23PV, L23SOM, L23VIP, L5E, L5PV, L5SOM, of several columns with ``c1_``, ``c2_`` … before; c1 is the lowest.
    Input ``thalamus`` reaches layers 4 and 5 of the lowest column, ``top_down`` the apical compartments of the highest, ``command`` (if there are
    any) those of all; ``background`` all somata.

    Every projection keeps its share of connected cells, rounded to an indegree of one at least, and its weight times its indegree: a cell's mean
    input is the same at every size, and its fluctuations fall with the square root of the indegree.

    Parameters
    ----------
    cells : int
        Of a column, 60 to 10 000.
    columns : {1, 2, 3}
    thalamus, commands : int
        Channels of the inputs; of the thalamus 80 at 400 cells unless given.
    outputs : int
        Numbers of a read-out ``prediction`` of layers 2/3 and 5 of the lowest column, by weights of two opponent ports.
    apical : {"feedback", "soma", "unrelated", "none"}
        Where what comes from above acts: on apical compartments; on somata; on apical compartments, but from inputs ``unrelated_…`` in place of the
        command and of the layer above, with as many channels; nowhere.
    short_term : bool
        Whether axons have terminals with depression or facilitation, where the literature has them.
    charge : bool
        Whether jumps conserve charge, so that a synapse means the same at every time step.
    plateau : float
        Times the conductance of the calcium-like gate of pyramidal cells.
    spread : float
        Standard deviation of thresholds [mV].
    background : int
        Channels of 20 Hz.
    drawn_delays : bool
        Whether delays between excitatory cells of a column differ by a millisecond to either side; a network with one each trains a tenth faster.
    trainable : bool
        Whether all weights but those of the background are trainable.

    Raises
    ------
    InputError
        A size out of range.
    """
    _check(cells, columns, thalamus, commands, outputs, apical, background)
    parts = _Parts(cells / REFERENCE, trainable, short_term, charge, drawn_delays)
    prefixes = [f"c{k}_" for k in range(1, columns + 1)] if columns > 1 else [""]
    inputs: dict[str, Any] = {
        "thalamus": {"size": thalamus or max(2, round(THALAMUS * cells / REFERENCE)), "kind": "poisson", "rate": "4 Hz"},
        "top_down": {"size": max(2, round(TOP_DOWN * cells / REFERENCE)), "kind": "poisson", "rate": "1 Hz"},
        "background": {"size": background, "kind": "poisson", "rate": f"{BACKGROUND_HZ:g} Hz"},
    }  # fmt: skip
    if commands:
        inputs["command"] = {"size": commands, "kind": "poisson", "rate": "1 Hz"}
    parts.sizes.update({name: i["size"] for name, i in inputs.items()})
    for prefix in prefixes:
        parts.column(prefix, spread)
    if apical == "unrelated":
        rates = {f"{prefix}L5E": 4 for prefix in prefixes[1:]} | ({"command": 1} if commands else {})
        for source, rate in rates.items():
            parts.sizes[f"unrelated_{source}"] = n = parts.sizes[source]
            inputs[f"unrelated_{source}"] = {"size": n, "kind": "poisson", "rate": f"{rate} Hz"}
    for k, prefix in enumerate(prefixes):
        parts.background(prefix)
        for connection in INTRINSIC:
            parts.connect(connection, prefix + connection.pre, prefix + connection.post, connection.pre)
        below = f"{prefixes[k - 1]}L23E" if k else "thalamus"
        for connection in FROM_THALAMUS:
            parts.connect(connection, below, prefix + connection.post, "thalamus")
        above = [f"{prefixes[k + 1]}L5E"] if k + 1 < len(prefixes) else ["top_down"]
        for source in [*above, *(["command"] if commands else [])]:
            for connection in FROM_ABOVE:
                onto_apical = connection.onto == "apical"
                if onto_apical and apical == "none":
                    continue
                placed = replace(connection, onto="soma") if apical == "soma" else connection
                other = f"unrelated_{source}" if onto_apical and f"unrelated_{source}" in inputs else source
                parts.connect(placed, other, prefix + connection.post, "top_down")
    if outputs:
        _read_out(parts, prefixes[0], outputs)
    return Circuit(
        name="predictive_column",
        description=f"{columns} column(s) of {cells} cells: layers 4, 2/3 and 5, apical compartments, PV, SOM and VIP cells.",
        sources=(
            "A synthesis, not a published model; not here: layers 1 and 6, SOM in layer 4, gap junctions, pulvinar.",
            "Billeh et al. 2020, Neuron 106:388: probabilities marked in the source, those of VIP from all Htr3a cells.",
            "Naud & Sprekeler 2018, PNAS 115:E6329: midpoint and slope of the apical nonlinearity, adaptation, as in public code.",
            "Campagnola et al. 2022, doi:10.1126/science.abj5861: short-term dynamics follow the target's class (excitatory), in part the source's (inhibitory).",
            "Ours: sizes, capacitances, weights, short-term constants, background, and the probabilities not marked.",
        ),
        dt="1 ms",
        duration="1 second",
        neurons=_neurons(parts, plateau, outputs),
        populations=parts.populations,
        inputs=inputs,
        projections=parts.projections,
        readout="prediction" if outputs else None,
    )


def _neurons(parts: _Parts, plateau: float, outputs: int) -> dict[str, Any]:
    found = {"L23E": piece("pyramidal", layer="L23", plateau=plateau, charge=parts.charge)}
    found["L5E"] = piece("pyramidal", layer="L5", plateau=plateau, charge=parts.charge)
    found |= {name: piece("point_cell", **fields, charge=parts.charge) for name, fields in POINT_CELLS.items()}
    used = {p["neuron"] for p in parts.populations.values()}
    for kind, (utilisation, recovery, facilitation) in TERMINALS.items():
        if f"terminal_{kind}" in used:
            found[f"terminal_{kind}"] = piece(
                "terminal", utilisation=utilisation, tau_recovery=recovery, tau_facilitation=facilitation
            )
    if outputs:
        found["opponent_readout"] = piece("opponent_readout")
    return found


def _read_out(parts: _Parts, prefix: str, outputs: int) -> None:
    """What excites cannot lower a number: one weight raises it, another lowers it, both magnitudes."""
    parts.populations["prediction"] = {"size": outputs, "neuron": "opponent_readout", "transmitter": "excitatory"}
    for source in (f"{prefix}L23E", f"{prefix}L5E"):
        for port in ("plus", "minus"):
            parts.projections[f"{source}_{port}"] = {
                "pre": source, "post": "prediction", "port": port, "connect": "all", "trainable": parts.trainable,
                "weight": {"distribution": "exponential", "mean": 2.0 / parts.sizes[source]},
            }  # fmt: skip


def _check(
    cells: int, columns: int, thalamus: int | None, commands: int, outputs: int, apical: str, background: int
) -> None:
    wrong = {
        "cells: expected 60 to 10000": not 60 <= cells <= 10_000,
        "columns: expected 1, 2 or 3": columns not in (1, 2, 3),
        "thalamus: expected 1 channel at least": thalamus is not None and thalamus < 1,
        "commands and outputs: expected 0 or more": min(commands, outputs) < 0,
        "apical: expected feedback, soma, unrelated or none": apical not in ("feedback", "soma", "unrelated", "none"),
        f"background: expected {max(n for n, _ in BACKGROUND.values())} channels at least": background < max(n for n, _ in BACKGROUND.values()),
    }  # fmt: skip
    found = [text for text, is_wrong in wrong.items() if is_wrong]
    if found:
        raise InputError(f"predictive_column: {'; '.join(found)}")


def _delay(connection: Connection, drawn: bool) -> str | dict[str, str]:
    """Between excitatory cells drawn a millisecond to either side, else one time."""
    if not (drawn and connection.pre.endswith("E") and connection.post.endswith("E")):
        return f"{connection.delay} ms"
    return {
        "distribution": "uniform",
        "low": f"{connection.delay - 1} ms",
        "high": f"{connection.delay + 1} ms",
        "min": "1 ms",
    }


def _lognormal(mean: float) -> dict[str, Any]:
    """Weights of a mean [nS]."""
    return {"distribution": "lognormal", "median": f"{mean * _MEDIAN:.6g} nS", "sigma": SPREAD}


def _around(value: str, spread: float) -> dict[str, Any]:
    return {"distribution": "normal", "mean": value, "std": f"{spread:g} mV"}
