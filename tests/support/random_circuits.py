"""Random circuits, as the mappings that ``cortexsnn.Circuit(**mapping)`` takes, with drives: what the engines are fuzzed with."""

from __future__ import annotations

import pprint
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
from hypothesis import strategies as st

from random_neurons import CONDUCTANCE, CURRENT, KINDS, PLAIN, VOLTAGE, Draft, Kind, write

POPULATIONS = (
    "E",
    "I",
    "N",
    "A",
    "A_run_regularly",
    "A_b",
    "double",
    "int",
    "L4",
    "L4_spike_thresholder",
    "x",
    "defaultclock",
)
INPUTS = ("image", "input", "drive_1", "S", "spikes", "std")
PROJECTIONS = ("E_I", "w", "syn", "A_pre", "x_post", "go", "P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8", "P9")
TRANSMITTERS = ("excitatory", "excitatory", "inhibitory", "mixed")


@dataclass(frozen=True)
class Case:
    """One random circuit with everything a run needs.

    Attributes
    ----------
    family : "dyadic" (promises bitwise agreement) or "general" (spike for spike)
    mapping : fields of a Circuit
    inputs : name -> (step, trial, channel)
    """

    family: str
    mapping: dict[str, Any]
    inputs: dict[str, np.ndarray]
    n_steps: int
    n_trials: int
    seed: int

    @property
    def duration(self) -> str:
        return f"{self.n_steps * float(self.mapping['dt'].split()[0])!r} ms"

    def __repr__(self) -> str:
        return f"Case({self.family}, {self.n_steps} steps, {self.n_trials} trials, seed {self.seed})\n{pprint.pformat(self.mapping, width=150)}"


def random_case(random: Random, family: str, most_populations: int = 4, native: bool = False) -> Case:
    """Draw a circuit; the same ``random`` state gives the same circuit. ``native`` keeps to what Brian2 has itself."""
    return _Circuit(random, family, most_populations, native).case()


def seeded_case(seed: int, most_populations: int = 4) -> Case:
    """The circuit of a number; even numbers are dyadic, odd ones general."""
    return random_case(Random(seed), ("dyadic", "general")[seed % 2], most_populations)


def cases(family: str | None = None, most_populations: int = 4) -> st.SearchStrategy[Case]:
    """Hypothesis strategy over the same circuits, which it can shrink."""
    families = st.sampled_from(["dyadic", "general"]) if family is None else st.just(family)
    return st.builds(random_case, st.randoms(use_true_random=False), families, st.just(most_populations))


class _Circuit:
    def __init__(self, random: Random, family: str, most_populations: int, native: bool) -> None:
        self.random, self.family, self.exact, self.native = random, family, family == "dyadic", native
        self.dt = random.choice((1.0, 0.5, 0.25, 0.125)) if self.exact else random.choice((1.0, 0.5, 0.1, 0.2))
        self.n_steps, self.n_trials = random.randint(60, 100), 1 if native else random.choice((1, 1, 2, 3))
        self.numbers = np.random.default_rng(random.randint(0, 2**32))
        self.mapping: dict[str, Any] = {
            "name": "random", "dt": f"{self.dt!r} ms", "neurons": {}, "populations": {}, "inputs": {}, "projections": {},
        }  # fmt: skip
        self.drafts: dict[str, Draft] = {}
        self.inputs: dict[str, np.ndarray] = {}
        n = random.randint(1, most_populations)
        self.names = random.sample(POPULATIONS, n) if self.chance(0.6) and not native else ["L1", "L2", "L3", "L4"][:n]

    def chance(self, p: float) -> bool:
        return self.random.random() < p

    def case(self) -> Case:
        for name in self.names:
            self._population(name)
        for name in self.random.sample(INPUTS, self.random.randint(1, 2)):
            self._input(name)
        names = self.random.sample(PROJECTIONS, len(PROJECTIONS))
        for source in self.mapping["inputs"]:
            for target in self.random.sample(self.names, self.random.randint(1, len(self.names))):
                self._projection(names.pop(), source, target)
        for _ in range(self.random.randint(1, 2 * len(self.names))):
            if names:
                self._projection(names.pop(), self.random.choice(self.names), self.random.choice(self.names))
        seed = self.random.randint(0, 10_000)
        return Case(self.family, self.mapping, self.inputs, self.n_steps, self.n_trials, seed)

    # -- parts --------------------------------------------------------------------------------------------------

    def _size(self) -> dict[str, Any]:
        if self.chance(0.25):
            return {"shape": [self.random.randint(1, 2), self.random.choice((2, 3)), self.random.choice((2, 3))]}
        return {"size": self.random.choice((1, 2, 3, 5, 8))}

    def _population(self, name: str) -> None:
        sized = self._size()
        draft = self.drafts[name] = write(self.random, self.exact, self.dt, _n(sized), self.native)
        names = [f"{name}_{k}" for k in range(len(draft.pieces))]
        self.mapping["neurons"].update(zip(names, draft.pieces, strict=True))
        population: dict[str, Any] = {**sized, "neuron": names[0] if len(names) == 1 else names}
        population["transmitter"] = self.random.choice(TRANSMITTERS)
        main = draft.main
        if self.chance(0.3):
            population["initial"] = {main: draft.states[main].quantity(self.random.randint(-4, 8) / 16)}
        plain = [n for n, k in draft.parameters.items() if k in KINDS and not n.startswith("V_")]
        if plain and self.chance(0.3):
            chosen = self.random.choice(plain)
            population["parameters"] = {chosen: draft.pieces[0]["parameters"][chosen]}
        self.mapping["populations"][name] = population

    def _input(self, name: str) -> None:
        sized, kind = (
            self._size(),
            self.random.choice(("spikes", "poisson") if self.native else ("current", "spikes", "poisson")),
        )
        drive: dict[str, Any] = {**sized, "kind": kind, "transmitter": self.random.choice(TRANSMITTERS)}
        n, shape = _n(sized), (self.n_steps, self.n_trials, _n(sized))
        if kind == "current":
            drive["unit"] = self.random.choice(("1", "mV", "pA", "nS"))
            self.inputs[name] = self.numbers.integers(-8, 33, shape) / 16 * _by_unit(drive["unit"]).scale
        elif kind == "spikes":
            self.inputs[name] = self.numbers.random(shape) < 0.25
        else:
            rates = [0.25 / self.dt, {"values": list(self.numbers.uniform(0, 0.5 / self.dt, n)), "unit": "kHz"}]
            rate = self.random.choice(rates)
            drive["rate"] = f"{rate!r} kHz" if isinstance(rate, float) else rate
        self.mapping["inputs"][name] = drive

    # -- projections --------------------------------------------------------------------------------------------

    def _projection(self, name: str, pre: str, post: str) -> None:
        source = self.mapping["inputs"].get(pre) or self.mapping["populations"][pre]
        target, draft = self.mapping["populations"][post], self.drafts[post]
        sign = source["transmitter"]
        pulses = list(draft.pulses.items())
        jumps = [(n, k) for n, (k, r) in draft.jumps.items() if r in (None, "any", sign)]
        port, kind = self.random.choice(pulses + jumps) if pulses + jumps else (None, PLAIN)
        if port is None:
            return
        entry: dict[str, Any] = {"pre": pre, "post": post}
        zero = pre in self.mapping["inputs"] or self.names.index(pre) < self.names.index(post)
        immediate = zero and self.chance(0.4) and not self.native
        sent = self._sent(pre)
        n_edges = self._connect(entry, source, target)
        # An excitatory conductance must not turn negative, nor any population drive another into the ground.
        strength = 0.5 if kind is CONDUCTANCE else 1.0
        self._ports(entry, pre, post, port, kind, sent, immediate, [p for p in pulses if p[0] != port])
        unit = _ratio(kind, sent) if "deliver" not in entry else entry.pop("_unit")
        entry["weight"] = self._weight(n_edges, unit, strength, signed=sign == "mixed" and kind is not CONDUCTANCE)
        entry["delay"] = self._delay(n_edges, immediate)
        entry["trainable"] = self.chance(0.5)
        self.mapping["projections"][name] = entry

    def _sent(self, pre: str) -> Kind | None:
        """What a source of values sends; None for spikes."""
        if pre in self.drafts:
            output = self.drafts[pre].output
            return output[1] if output else None
        drive = self.mapping["inputs"][pre]
        return _by_unit(drive["unit"]) if drive["kind"] == "current" else None

    def _ports(
        self, entry: dict[str, Any], pre: str, post: str, port: str, kind: Kind, sent: Kind | None, immediate: bool,
        others: list[tuple[str, Kind]],
    ) -> None:  # fmt: skip
        """``port``, or ``deliver`` with expressions of both ends; the weight is then a plain number."""
        if self.native or self.chance(0.6):
            entry["port"] = port
            return
        ports = [(port, kind), *self.random.sample(others, min(len(others), self.random.randint(0, 1)))]
        entry["deliver"] = {name: of.of(self._factor(pre, post, sent, immediate)) for name, of in ports}
        entry["_unit"] = Kind("1", "1", 1.0)

    def _factor(self, pre: str, post: str, sent: Kind | None, immediate: bool) -> str:
        draft, target = self.drafts.get(pre), self.drafts[post]
        own = draft.output[0] if draft and draft.output else "value"
        body = "1" if sent is None else sent.plain(own)
        choices = [body, f"0.5*{body}", f"clip({body}, 0, 1)"]
        if draft:
            names = dict(draft.parameters)
            if immediate:
                names.update(draft.states)
            choices += [f"{body}*clip({k.plain(n)}, 0, 1)" for n, k in names.items() if k in KINDS]
        if post not in self._ambiguous(pre, post):
            # Weak, where a cell multiplies what it receives: a gain above one would be chaos, and no library's last bit holds.
            gains = [(n, k, 0.125) for n, k in target.states.items()] + [
                (n, k, 1.0) for n, k in target.parameters.items()
            ]
            choices += [f"{g}*{body}*clip({k.plain(n + '_post')}, 0, 1)" for n, k, g in gains if k in KINDS]
        return self.random.choice(choices)

    def _ambiguous(self, pre: str, post: str) -> set[str]:
        """The target itself, if a source's variable could be taken for one of its own."""
        draft = self.drafts.get(pre)
        own = {*draft.states, *draft.parameters} if draft else set()
        return {post} if any(n.endswith("_post") for n in own) else set()

    def _connect(self, entry: dict[str, Any], source: dict[str, Any], target: dict[str, Any]) -> int | None:
        """Adds ``connect``, maybe parts of populations; returns the number of edges where it is known."""
        n_pre, n_post = _n(source), _n(target)
        if "shape" in source and "shape" in target and self.chance(0.7) and self._convolution(entry, source, target):
            return None
        if self.chance(0.2) and n_pre > 2:
            entry["pre"], n_pre = f"{entry['pre']}[1:{n_pre}]", n_pre - 1
        if self.chance(0.2) and n_post > 2:
            entry["post"], n_post = f"{entry['post']}[:{n_post - 1}]", n_post - 1
        kinds = ["all", "probability", "indegree", "total_number", "edges"]
        kind = self.random.choice([*kinds, "one_to_one"] if n_pre == n_post else kinds)
        free = n_pre - 1
        match kind:
            case "all" | "one_to_one":
                entry["connect"] = kind
                return n_pre * n_post if kind == "all" else n_pre
            case "probability":
                entry["connect"] = {"probability": self.random.choice((0.3, 0.7, 1.0)), "autapses": self.chance(0.5)}
            case "indegree":
                multapses = self.chance(0.5)
                entry["connect"] = {"indegree": self.random.randint(1, max(1, free)), "multapses": multapses}
                entry["connect"]["autapses"] = free < 1 or self.chance(0.5)
                return int(entry["connect"]["indegree"]) * n_post
            case "total_number":
                entry["connect"] = {
                    "total_number": self.random.randint(0, max(1, free) * n_post),
                    "multapses": self.chance(0.5),
                }
                entry["connect"]["autapses"] = free < 1 or self.chance(0.5)
                return int(entry["connect"]["total_number"])
            case _:
                n = self.random.randint(1, 2 * max(n_pre, n_post))
                pre, post = (self.numbers.integers(0, size, n).tolist() for size in (n_pre, n_post))
                entry["connect"] = {"edges": {"pre": pre, "post": post}}
                return n
        return None

    def _convolution(self, entry: dict[str, Any], source: dict[str, Any], target: dict[str, Any]) -> bool:
        for kernel, stride, padding in self.random.sample(
            [(3, 1, 1), (2, 1, 0), (1, 1, 0), (2, 1, 1), (3, 2, 2), (2, 2, 1)], 6
        ):
            sides = [(n + 2 * padding - kernel) // stride + 1 for n in source["shape"][1:]]
            if sides == target["shape"][1:]:
                entry["connect"] = {"conv2d": {"kernel": kernel, "stride": stride, "padding": padding}}
                return True
        return False

    def _weight(self, n: int | None, unit: Kind, strength: float, signed: bool) -> Any:
        low = -6 if signed else 0
        top = max(1, round(6 * strength))
        if n and self.chance(0.4):
            return {"values": (self.numbers.integers(low, top + 1, n) / 16 * unit.scale).tolist(), "unit": unit.unit}
        if not self.exact and self.chance(0.5):
            median, mean = unit.quantity(0.2 * strength), unit.quantity(0.25 * strength)
            return self.random.choice(
                [
                    {"distribution": "lognormal", "median": median, "sigma": 0.5},
                    {"distribution": "gamma", "shape": 2, "scale": unit.quantity(0.1 * strength)},
                    {"distribution": "normal", "mean": mean, "std": unit.quantity(0.1 * strength)},
                    {"distribution": "uniform", "low": unit.quantity(0.0), "high": mean},
                    {"distribution": "exponential", "mean": median},
                ]
            )
        return unit.quantity(self.random.randint(1, top) / 16)

    def _delay(self, n: int | None, immediate: bool) -> Any:
        if immediate:
            return "0 ms"
        steps = self.random.randint(1, 6)
        if self.chance(0.3):
            return {"distribution": "uniform", "low": f"{self.dt!r} ms", "high": f"{6 * self.dt!r} ms"}
        if n and self.chance(0.3):
            return {"values": (self.numbers.integers(1, 6, n) * self.dt).tolist(), "unit": "ms"}
        return f"{steps * self.dt:.10g} ms"


def _n(sized: dict[str, Any]) -> int:
    return int(np.prod(sized["shape"])) if "shape" in sized else int(sized["size"])


def _by_unit(unit: str) -> Kind:
    return next(k for k in (PLAIN, VOLTAGE, CURRENT, CONDUCTANCE) if k.unit == unit)


def _ratio(port: Kind, sent: Kind | None) -> Kind:
    """Kind of a weight: the port's for spikes, port over sent for values."""
    if sent is None or sent is PLAIN:
        return port
    unit = "1" if port is sent else f"1/{sent.unit}" if port is PLAIN else f"{port.unit}/{sent.unit}"
    return Kind("", unit, port.scale / sent.scale)
