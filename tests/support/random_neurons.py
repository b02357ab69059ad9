"""Random neuron models: the grammar behind ``random_circuits``.

States are counted in natural units (16 mV, 32 pA, 4 nS, 1), so that every term between two of them is consistent whatever
their dimensions are, and the dynamics relax towards targets of order one: activity without explosions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

from cortexsnn.grammar import is_reserved


class Kind(NamedTuple):
    """A dimension: its name in equations, the unit values are written in, and a natural size in that unit."""

    dimension: str
    unit: str
    scale: float

    def quantity(self, x: float) -> Any:
        """``x`` natural units as a value of a circuit file."""
        return x * self.scale if self.unit == "1" else f"{x * self.scale!r} {self.unit}"

    def literal(self, x: float) -> str:
        """``x`` natural units inside an expression."""
        return repr(x * self.scale) if self.unit == "1" else f"{x * self.scale!r}*{self.unit}"

    def plain(self, text: str) -> str:
        """An expression of this kind as a plain number of order one."""
        return f"({text})" if self.unit == "1" else f"(({text})/({self.scale!r}*{self.unit}))"

    def of(self, text: str) -> str:
        """A plain number as an expression of this kind."""
        return f"({text})" if self.unit == "1" else f"({text})*({self.scale!r}*{self.unit})"


PLAIN = Kind("1", "1", 1.0)
VOLTAGE = Kind("volt", "mV", 16.0)
CURRENT = Kind("amp", "pA", 32.0)
CONDUCTANCE = Kind("siemens", "nS", 4.0)
KINDS = (PLAIN, VOLTAGE, CURRENT, CONDUCTANCE)

_NAMES = [
    "N",
    "i",
    "j",
    "k",
    "n",
    "m",
    "w",
    "w0",
    "w1",
    "E",
    "I",
    "S",
    "Q",
    "O",
    "C",
    "R",
    "beta",
    "gamma",
    "zeta",
    "lambda_",
    "double",
    "int8",
    "float32",
    "long",
    "new",
    "template",
    "register",
    "switch",
    "default",
    "bool",
    "main",
    "size",
    "rand",
    "NULL",
    "M_PI",
    "x",
    "x_pre",
    "x_x",
    "y_post",
    "z_syn",
    "value",
    "trial",
    "step",
    "summed",
    "lastspike",
    "not_refractory",
    "t_in_timesteps",
    "c1",
    "c2",
    "c3",
    "k_1_v",
    "k_v",
    "a_v",
    "v_held",
    "new_v",
    "held_v",
    "slope_v",
    "h1_r",
    "n0_v",
    "tmp_v",
    "init_v",
    "first_bad",
    "term_m",
    "x_v",
    "z_v",
    "k_z_v",
    "nA",
    "uS",
    "Hz",
    "kelvin",
    "xi",
    "t_",
    "go",
    "np",
    "self",
    "len",
    "Abs",
    "Max",
    "Heaviside",
    "Symbol",
    "oo",
    "nan",
    "delay",
    "i_pre",
    "spikes_",
    "distance_",
    "refractory",
    "event",
    "unless",
    "local_step",
    "a_name_that_is_exactly_sixty_four_characters_long_0123456789_abc",
]
NASTY = [n for n in _NAMES if not is_reserved(n)]
"""Names that mean something to Brian2, sympy, C++, Python or the emitters."""

SMOOTH = (
    "clip({0}, -1, 1)",
    "{0}/(1 + {0}*{0})",
    "{0}/(1 + abs({0}))",
    "0.5*clip({0}, 0, 2)**2",
    "{0} - 0.25*clip({0}, -1, 1)**3",
)
STEPS = (
    "floor(4*clip({0}, -1, 1))/4", "ceil(2*clip({0}, -1, 1))/2", "0.5*sign({0})", "int({0} > 0.25)", "where({0} > 0.5, 1, {0}/2)",
    "where({0} > 0 and not {0} > 1, {0}, 0.5)", "where({0} < -1 or {0} > 0.5, 0.25, 0)", "int({0})/int(2 + {0}*{0})",
    "sign({0} - 0.5)/(3 + sign({0}))", "clip({0}, 0.5, 0.25*{0})",
)  # fmt: skip
LIBRARY = (
    "tanh({0})", "exp(-{0}**2)", "1/(1 + exp(-4*{0}))", "log1p(abs({0}))", "sqrt(abs({0}))", "sin({0})", "cos(3*{0})/2",
    "exprel(clip({0}, -2, 2))/4", "arctan({0})", "expm1(clip({0}, -1, 1))/2", "log(1 + abs({0}))", "log10(2 + abs({0}))",
    "sinh(clip({0}, -1, 1))/2", "cosh(clip({0}, -1, 1))/4", "tan(clip({0}, -1, 1))/2", "arcsin(clip({0}, -1, 1))/2",
    "arccos(clip({0}, -1, 1))/4", "(1 + {0}**2)**-1",
)  # fmt: skip
"""Functions whose last bit depends on the library."""


@dataclass
class Draft:
    """A neuron in the making: what it says, and what others may use of it."""

    pieces: list[dict[str, Any]]
    pulses: dict[str, Kind] = field(default_factory=dict)
    jumps: dict[str, tuple[Kind, str | None]] = field(default_factory=dict)
    states: dict[str, Kind] = field(default_factory=dict)
    parameters: dict[str, Kind] = field(default_factory=dict)
    main: str = "v"
    output: tuple[str, Kind] | None = None


class Author:
    """Writes one population's neuron.

    Parameters
    ----------
    random : random.Random
        Every choice comes from here; Hypothesis passes its own.
    exact : bool
        Only arithmetic that every library rounds alike: the bitwise class.
    dt : float, ms
    size : int
        Neurons of the population.
    native : bool
        Only what Brian2 itself understands, with names it allows.
    """

    def __init__(self, random: Random, exact: bool, dt: float, size: int, native: bool = False) -> None:
        self.random, self.exact, self.dt, self.size, self.native = random, exact, dt, size, native
        self.pool = [] if native else random.sample(NASTY, len(NASTY))
        self.taken: set[str] = set()
        self.piece: dict[str, Any] = {"parameters": {}, "initial": {}, "ports": {}}
        self.lines: list[str] = []
        self.draft = Draft([self.piece])

    # -- small choices ------------------------------------------------------------------------------------------

    def chance(self, p: float) -> bool:
        return self.random.random() < p

    def sixteenths(self, low: int, high: int) -> float:
        """A dyadic number between low/16 and high/16."""
        return self.random.randint(low, high) / 16

    def name(self, usual: str) -> str:
        """``usual``, or something nastier; never twice."""
        while self.pool and (self.chance(0.4) or usual in self.taken):
            found = self.pool.pop()
            if found not in self.taken:
                self.taken.add(found)
                return found
        while usual in self.taken:
            usual += "_"
        self.taken.add(usual)
        return usual

    def constant(self, usual: str, x: float, kind: Kind, spread: bool = True) -> str:
        """``x`` as a literal, or as a parameter, the same for all neurons or not."""
        if self.chance(0.35):
            return kind.literal(x)
        name = self.name(usual)
        self.draft.parameters[name] = kind
        value: Any = kind.quantity(x)
        if spread and self.chance(0.35):
            value = {"values": [(x + self.sixteenths(-2, 2)) * kind.scale for _ in range(self.size)], "unit": kind.unit}
            if not self.exact and self.chance(0.5):
                bounds = sorted(
                    (kind.quantity(0.9 * x), kind.quantity(1.1 * x)), key=lambda q: float(str(q).split()[0])
                )
                value = {"distribution": "uniform", "low": bounds[0], "high": bounds[1]}
        self.piece["parameters"][name] = value
        return name

    def time_constant(self, low: int = 4) -> str:
        """A parameter or literal between ``low`` and 16 steps."""
        steps = self.random.randint(low, 16)
        if self.chance(0.2):
            return f"({steps * self.dt!r}*ms)"
        name = self.name("tau")
        self.draft.parameters[name] = Kind("second", "ms", 1.0)
        value: Any = f"{steps * self.dt!r} ms"
        if self.chance(0.25):
            value = {"values": [(low + self.random.randint(0, 8)) * self.dt for _ in range(self.size)], "unit": "ms"}
        self.piece["parameters"][name] = value
        return name

    def function(self, text: str) -> str:
        """A bounded function of a plain number."""
        choices = SMOOTH + STEPS + (() if self.exact else LIBRARY + LIBRARY)
        if self.native:
            choices = tuple(c for c in choices if "where" not in c and "int" not in c)
        return self.random.choice(choices).format(text)

    def state(self, usual: str, kind: Kind) -> str:
        name = self.name(usual)
        self.draft.states[name] = kind
        if self.chance(0.6):
            value: Any = kind.quantity(self.sixteenths(-4, 12))
            if self.chance(0.4):
                value = {"values": [self.sixteenths(-4, 12) * kind.scale for _ in range(self.size)], "unit": kind.unit}
            elif not self.exact and self.chance(0.4):
                value = {"distribution": "uniform", "low": kind.quantity(-0.25), "high": kind.quantity(0.75)}
            self.piece["initial"][name] = value
        return name

    # -- differential equations ---------------------------------------------------------------------------------

    def differential(self) -> None:
        """A main state that relaxes to a target made of bias, ports and further states."""
        linear, kind = self.chance(0.4), self.random.choice((PLAIN, VOLTAGE))
        main = self.draft.main = self.state("v", kind)
        bias = self.constant("bias", self.random.choice((1.0, 1.25, 1.5, 2.0)), kind)
        target, drive = [bias], ""
        for _ in range(self.random.randint(0, 3)):
            role = "filter" if linear else self.random.choice(("filter", "conductance", "gate"))
            if role == "conductance":
                g, reversal = self._conductance(), self.random.choice((-1.0, 4.0))
                drive += f" + {CONDUCTANCE.plain(g)}*({self.constant('E', reversal, kind, False)} - {main})"
            else:
                name, other = self._filter(main, kind, gated=role == "gate")
                target.append(kind.of(f"{self.sixteenths(-4, 4)!r}*{other.plain(name)}"))
        for _ in range(self.random.randint(1, 2)):
            port, of = self._pulse()
            target.append(kind.of(of.plain(port)))
        own = not linear and self.chance(0.5)
        if own:
            target.append(kind.of(f"{self.sixteenths(1, 4)!r}*{self.function(kind.plain(main))}"))
        if self.chance(0.2) and not self.native:
            clock = "where(t > 10*ms, 1, t/(20*ms))" if self.exact else "sin(t/(4*ms))*(dt/ms)"
            target.append(kind.of(f"0.25*{clock}"))
        whole = " + ".join(target)
        if self.chance(0.3):
            name = self.name("goal")
            self.lines.append(f"{name} = {whole} : {kind.dimension}")
            whole = name
        flag = " (unless refractory)" if self.chance(0.6) else ""
        right = f"(({whole}) - {main}{drive})/{self.time_constant(8 if drive else 4)}"
        self.lines.insert(self.random.randint(0, len(self.lines)), f"d{main}/dt = {right} : {kind.dimension}{flag}")
        methods = ["exponential_euler", "euler", "rk2", "rk4", *(["exact", "exact", None] if linear else [None])]
        if self.exact and (drive or own):
            methods = ["euler", "rk2", "rk4"]  # a slope that changes needs exprel in every step
        if (
            self.native
        ):  # Brian2 refuses exponential Euler of what is not linear in itself, and solves large systems forever
            unfit = {None, *(["exponential_euler"] if own else []), *(["exact"] if len(self.draft.states) > 2 else [])}
            methods = [m for m in methods if m not in unfit]
        method = self.random.choice(methods)
        if method:
            self.piece["method"] = method

    def _conductance(self) -> str:
        name = self.state("g", CONDUCTANCE)
        self.piece["initial"].pop(name, None)
        receptor = self.random.choice(("excitatory", "inhibitory", "any", None))
        self.draft.jumps[name] = (CONDUCTANCE, receptor)
        self._jump(name, CONDUCTANCE, receptor)
        self.lines.append(f"d{name}/dt = -{name}/{self.time_constant()} : siemens")
        return name

    def _filter(self, main: str, kind: Kind, gated: bool) -> tuple[str, Kind]:
        own = self.random.choice(KINDS)
        name = self.state("u", own)
        source = self.function(kind.plain(main)) if gated else f"{self.sixteenths(-8, 8)!r}*{kind.plain(main)}"
        flag = " (unless refractory)" if self.chance(0.25) else ""
        self.lines.append(f"d{name}/dt = ({own.of(source)} - {name})/{self.time_constant()} : {own.dimension}{flag}")
        if self.chance(0.5):
            receptor = self.random.choice((None, None, "any"))
            self.draft.jumps[name] = (own, receptor)
            self._jump(name, own, receptor)
        return name, own

    def _jump(self, name: str, kind: Kind, receptor: str | None) -> None:
        port = {"unit": kind.dimension, "kind": "jump"}
        if receptor:
            port["receptor"] = receptor
        if self.chance(0.3) and not self.native:
            port["charge"] = "conserved"
        self.piece["ports"][name] = port

    def _pulse(self) -> tuple[str, Kind]:
        kind = self.random.choice(KINDS)
        name = self.name("I")
        self.draft.pulses[name] = kind
        self.piece["ports"][name] = {"unit": kind.dimension, "kind": "pulse"}
        return name, kind

    # -- discrete time ------------------------------------------------------------------------------------------

    def discrete(self) -> None:
        """``update`` lines; each sees the earlier ones."""
        main = self.draft.main = self.state("u", PLAIN)
        port = self.name("x")
        self.draft.pulses[port] = PLAIN
        self.piece["ports"][port] = {"kind": "pulse"}
        decay, bias = (
            self.constant("decay", self.sixteenths(8, 14), PLAIN),
            self.constant("bias", self.sixteenths(3, 10), PLAIN),
        )
        lines = [f"{main} = {decay}*{main} + {port} + {bias}"]
        if self.chance(0.5):
            other = self.state("a", PLAIN)
            lines.insert(self.random.randint(0, 1), f"{other} = 0.75*{other} + 0.125*{self.function(main)}")
            lines.append(f"{main} -= 0.25*{other}")
        if self.chance(0.4):
            self._reduction(main, PLAIN)
        self.piece["update"] = "\n".join([*lines, *([self.piece.pop("update")] if "update" in self.piece else [])])

    def _reduction(self, main: str, kind: Kind) -> None:
        name, op = self.name("m"), self.random.choice(("sum", "mean", "max", "min_positive"))
        of = self.random.choice((main, f"{main} - {kind.literal(0.25)}", kind.of(self.function(kind.plain(main)))))
        self.piece["reductions"] = {name: {"op": op, "of": of}}
        value = kind.plain(name)
        bounded = f"where({value} < 8, {value}, 0)" if op == "min_positive" else f"clip({value}, -4, 4)"
        line = f"{main} += {kind.of(f'0.0625*{bounded}')}"
        self.piece["update"] = "\n".join([*filter(None, [self.piece.get("update")]), line])

    # -- spikes and outputs -------------------------------------------------------------------------------------

    def spiking(self) -> None:
        main, kind = self.draft.main, self.draft.states[self.draft.main]
        level = self.random.choice((0.5, 0.75, 1.0))
        top = self.constant("V_T", level, kind)
        others = [n for n in self.draft.states if n != main]
        forms = [f"{main} > {top}", f"{main} >= {top}", f"not {main} <= {top}", f"{kind.plain(main)} - {level} > 0"]
        if others:
            other = self.random.choice(others)
            size = self.draft.states[other].plain(other)
            forms += [f"{main} > {top} and {size} < 2", f"{main} > {top} or {size} > 4"]
        form = self.piece["threshold"] = self.random.choice(forms)
        self.piece["threshold_scale"] = 0.5 if form.endswith("> 0") else kind.quantity(0.5)
        resets = [
            f"{main} = {self.constant('V_R', self.sixteenths(-4, 2), kind)}",
            f"{main} -= {top}",
            f"{main} = 0.25*{main}",
        ]
        lines = [self.random.choice(resets)]
        if others and self.chance(0.6):
            other = self.random.choice(others)
            lines.append(f"{other} += {self.draft.states[other].literal(self.sixteenths(-2, 4))}")
        self.piece["reset"] = self.random.choice((" ; ", "\n")).join(lines)
        self._refractory()

    def _refractory(self) -> None:
        choice = self.random.choice(("literal", "parameter", None, None if self.native else "zero"))
        if choice == "literal":
            self.piece["refractory"] = f"{self.random.randint(1, 6) * self.dt!r} ms"
        elif choice == "zero":
            self.piece["refractory"] = "0 ms"
        elif choice == "parameter":
            name = self.piece["refractory"] = self.name("t_ref")
            values = [self.random.randint(int(self.native), 5) * self.dt for _ in range(self.size)]
            self.piece["parameters"][name] = (
                {"values": values, "unit": "ms"} if self.chance(0.6) else f"{values[0]!r} ms"
            )

    def graded(self) -> None:
        main, kind = self.draft.main, self.draft.states[self.draft.main]
        own = self.random.choice((PLAIN, kind))
        name = self.name("r")
        self.draft.output = (name, own)
        self.piece["output"] = f"{name} = {own.of(self.function(kind.plain(main)))}"

    # -- further pieces -----------------------------------------------------------------------------------------

    def extras(self) -> None:
        """after_reset, a composed piece with ``adds``, a reduction on a neuron with differential equations."""
        main, kind = self.draft.main, self.draft.states[self.draft.main]
        spikes = "threshold" in self.piece
        if self.lines and self.chance(0.3):
            self._reduction(main, kind)
        if self.chance(0.35):
            trace = self.state("trace", PLAIN)
            self.lines.append(f"{trace} : 1")
            add = "spiked" if spikes and self.chance(0.7) else f"0.25*{kind.plain(main)}"
            self.piece["after_reset"] = f"{trace} = 0.75*{trace} + {add}"
        if self.draft.pulses and self.chance(0.35):
            self._composed(main, kind)

    def _composed(self, main: str, kind: Kind) -> None:
        port = self.random.choice(list(self.draft.pulses))
        memory = self.name("p")
        second: dict[str, Any] = {"adds": {port: self.draft.pulses[port].of(f"0.25*{memory}")}}
        second["initial"] = {memory: self.sixteenths(0, 4)}
        line = f"{memory} = 0.5*{memory} + 0.125*{self.function(kind.plain(main))}"
        second[self.random.choice(("update", "after_reset"))] = line
        self.draft.pieces.append(second)

    def finish(self) -> Draft:
        if self.lines:
            self.piece["equations"] = "\n".join(self.lines)
        chosen = [n for n in self.draft.parameters if self.chance(0.4)]
        self.piece["trainable"] = {name: {"per": "neuron"} for name in chosen}
        return self.draft


def write(random: Random, exact: bool, dt: float, size: int, native: bool = False) -> Draft:
    """A random neuron for a population of ``size`` cells."""
    author = Author(random, exact, dt, size, native)
    if native:
        author.differential()
        author.spiking()
        return author.finish()
    body: Callable[[], None] = author.differential if author.chance(0.7) else author.discrete
    body()
    if author.chance(0.8):
        author.spiking()
    else:
        author.graded()
    author.extras()
    return author.finish()
