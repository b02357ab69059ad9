"""One projection against its two ends: endpoints, ports, signs, units, times, connections."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from . import expression as ex
from .dimensions import check_dimensions
from .errors import ExpressionError, UnitError, unknown
from .grid import MAX_DELAY, check_steps, read_steps
from .model import Model
from .rule import Rule, assemble_rule
from .spec import CONNECT_KINDS, Array, Circuit, Distribution, Input, Population, Port, Projection
from .units import DIMENSIONLESS, TIME, Dimension, coherent_name, multiply, parse_unit
from .values import describe_unit, dimension_of, lower_bound, scaled
from .wiring import endpoint

MAX_EDGES = 2**31 - 2


class End(NamedTuple):
    """A population or input, and the part of it that is meant."""

    name: str
    start: int
    stop: int

    @property
    def n(self) -> int:
        return self.stop - self.start


def has_zero_delay(projection: Projection) -> bool:
    """Whether spikes arrive in the step of their emission; drawn delays are at least one step."""
    delay = projection.delay
    try:
        return (
            not isinstance(delay, Distribution)
            and dimension_of(delay) in (TIME, DIMENSIONLESS)
            and lower_bound(delay) == 0
        )
    except UnitError:
        return False


class ProjectionCheck:
    """Reports every problem of one projection.

    Parameters
    ----------
    circuit : Circuit
    models : mapping
        Population -> Model, without those whose neuron is unknown.
    dt : float, ms
        0 where the circuit's own is wrong; times are then not checked.
    name : str
    projection : Projection
    report : callable(path, message)
    """

    def __init__(
        self, circuit: Circuit, models: Mapping[str, Model], dt: float, name: str, projection: Projection,
        report: Callable[[str, str], None],
    ) -> None:  # fmt: skip
        self.circuit, self.models, self.dt, self.name, self.projection = circuit, models, dt, name, projection
        self.connect = projection.connect
        self.rule: Rule | None = None
        self.sources: Mapping[str, Population | Input] = {**circuit.populations, **circuit.inputs}
        self.report: Callable[[str, str], None] = lambda field, message: report(f"projections.{name}.{field}", message)

    def run(self) -> None:
        pre, post = self._end("pre"), self._end("post")
        self._guard("delay", self._check_delay)
        if not np.isfinite(self.projection.gradient_scale) or self.projection.gradient_scale <= 0:
            self.report("gradient_scale", f"expected a number above 0, got {self.projection.gradient_scale}")
        if pre is None or post is None:
            return
        self._check_connect(pre, post)
        if self.projection.plasticity is not None:
            self.rule = assemble_rule(self.circuit, self.projection, self.models, self.dt, self.report)
            self._check_rule_names(pre.name)
        self._check_ports(pre.name, post.name)
        self._check_weight(pre, post)
        if isinstance(self.projection.delay, Array):
            self._check_shape("delay", self.projection.delay, self._shapes(pre, post))

    def _guard(self, field: str, function: Callable[[], object]) -> None:
        try:
            function()
        except (UnitError, ExpressionError) as error:
            self.report(field, str(error))

    def _end(self, side: str) -> End | None:
        """One end, or None after reporting."""
        text: str = getattr(self.projection, side)
        parsed = endpoint(text)
        if not parsed:
            wanted = "a population such as 'E' or a part such as 'E[0:100]'"
            self.report(side, f"expected {wanted}, got '{ex.shorten(text)}'")
            return None
        name, start, stop = parsed
        known = self.sources if side == "pre" else self.circuit.populations
        if name not in known:
            if name in self.sources:
                self.report(side, f"'{name}' is an input and cannot be a target; name a population")
            else:
                self.report(side, unknown("population or input" if side == "pre" else "population", name, known))
            return None
        n = known[name].n
        start, stop = start or 0, n if stop is None else stop
        if not 0 <= start < stop <= n:
            self.report(side, f"'{ex.shorten(text)}' is empty or beyond the {n} cells of '{name}'; give a part within")
            return None
        return End(name, start, stop)

    # -- signs and units ----------------------------------------------------------------------------------------

    def _check_ports(self, pre: str, post: str) -> None:
        projection, model = self.projection, self.models.get(post)
        if bool(projection.port) == bool(projection.deliver):
            self.report("port", "expected either port: name or deliver: {port: expression}; give one of them")
            return
        if model is None:
            return
        for port_name in projection.deliver or (projection.port or "",):
            if port_name not in model.ports:
                field = f"deliver.{port_name}" if projection.deliver else "port"
                self.report(field, unknown(f"port of '{post}'", port_name, model.ports))
        factor, factor_dimension = self._default_factor(pre)
        if factor is None:
            return
        for port_name, text in (projection.deliver or {projection.port or "": factor}).items():
            field = f"deliver.{port_name}" if projection.deliver else "port"
            port = model.ports.get(port_name)
            if port is None:
                continue
            self._check_receptor(field, pre, port)
            dimension = self._factor_dimension(field, text, pre, model) if projection.deliver else factor_dimension
            if dimension is not None:
                wanted = multiply(model.dimensions[port_name], dimension, -1)
                self._guard("weight", lambda w=wanted, p=port_name: self._expect_weight(w, p))  # type: ignore[misc]

    def _expect_weight(self, wanted: Dimension, port: str) -> None:
        found = dimension_of(self.projection.weight)
        if found != wanted:
            remedy = f"give it in {coherent_name(wanted)}" if wanted != DIMENSIONLESS else "give it without a unit"
            raise UnitError(f"expected {describe_unit(wanted)} for port '{port}', got {describe_unit(found)}; {remedy}")

    def _default_factor(self, pre: str) -> tuple[str | None, Dimension]:
        """What a source sends where no ``deliver`` says, and its dimension; None where that is not known."""
        if pre in self.circuit.inputs:
            drive = self.circuit.inputs[pre]
            if drive.kind != "current":
                return "1", DIMENSIONLESS
            try:
                return "value", parse_unit(drive.unit).dimension
            except UnitError:
                return None, DIMENSIONLESS
        model = self.models.get(pre)
        if model is None:
            return None, DIMENSIONLESS
        if model.output:
            return model.output.target, model.dimensions.get(model.output.target, DIMENSIONLESS)
        if model.threshold is None:
            pieces = [self.circuit.neurons[piece] for piece in self.circuit.populations[pre].pieces]
            if all(p.threshold is None and p.output is None for p in pieces):  # else the neuron itself was reported
                self.report("pre", f"'{pre}' has neither a threshold nor an output, so it sends nothing; add one")
            return None, DIMENSIONLESS
        return "1", DIMENSIONLESS

    def _check_rule_names(self, pre: str) -> None:
        """A projection with a rule is a node of recordings; what an edge sends may read the rule's names beside its source's."""
        name = self.name
        if name in self.sources:
            self.report(
                "plasticity", f"'{name}' is a population or input too, and recordings name both; rename the projection"
            )
        source = self.models.get(pre)
        for clash in sorted(
            {*(self.rule.on_edges if self.rule else ())} & {*(source.dimensions if source else ()), "value"}
        ):
            if self.projection.deliver and any(
                clash in ex.names(ex.parse(t)) for t in self.projection.deliver.values()
            ):
                self.report(
                    "plasticity", f"'{clash}' is a name of '{pre}' and of the rule, and deliver reads it; rename one"
                )

    def _factor_dimension(self, field: str, text: str, pre: str, post: Model) -> Dimension | None:
        """Dimension of a ``deliver`` expression; refuses presynaptic states where their time would be ambiguous."""
        source = self.models.get(pre)
        table = {f"{n}_post": post.dimensions[n] for n in (*post.states, *post.parameters)}
        if source:
            table.update(source.dimensions)
        elif self.circuit.inputs[pre].kind == "current":
            table["value"] = parse_unit(self.circuit.inputs[pre].unit).dimension
        if self.rule:
            table |= self.rule.on_edges
        try:
            tree = ex.accept_number(text)
            dimension = check_dimensions(ex.render(tree), table)
        except (ExpressionError, UnitError) as error:
            self.report(field, str(error))
            return None
        if source:
            self._check_time_of(field, ex.names(tree), source)
        return dimension

    def _check_time_of(self, field: str, used: set[str], source: Model) -> None:
        late = set() if has_zero_delay(self.projection) else used & {*source.states, *source.reductions}
        if late:
            remedy = "use parameters and the output, or a delay of 0"
            self.report(field, f"'{min(late)}' changes while a delayed signal travels; {remedy}")
        ports = used & set(source.ports) - set(source.states)
        if ports:
            self.report(field, f"'{min(ports)}' is a pulse port; deliver states, parameters or the output")

    def _check_receptor(self, field: str, pre: str, port: Port) -> None:
        transmitter = self.sources[pre].transmitter
        if port.receptor in ("excitatory", "inhibitory") and transmitter != port.receptor:
            conflict = f"{transmitter} source '{pre}' on an {port.receptor} receptor"
            self.report(field, f"{conflict}; choose another port or make the source {port.receptor}")

    # -- weights and delays -------------------------------------------------------------------------------------

    def _check_weight(self, pre: End, post: End) -> None:
        weight = self.projection.weight
        if isinstance(weight, Array):
            conv = self.connect.kind == "conv2d"
            allowed = [self._kernel_shape(pre.name, post.name)] if conv else self._shapes(pre, post)
            self._check_shape("weight", weight, allowed)
        self._guard("weight", lambda: self._check_magnitude(pre.name))

    def _check_magnitude(self, pre: str) -> None:
        weight = self.projection.weight
        dimension_of(weight)
        if self.sources[pre].transmitter == "mixed" or lower_bound(weight) >= 0:
            return
        where = ""
        if isinstance(weight, Array):
            index = np.unravel_index(int(weight.values.argmin()), weight.values.shape)
            where = f", got {weight.values[index]} at index {', '.join(str(int(i)) for i in index) or '0'}"
        sign = "the sign comes from the source's transmitter; make it positive"
        raise UnitError(f"expected a magnitude >= 0{where}; {sign}")

    def _shapes(self, pre: End, post: End) -> list[tuple[int, ...]]:
        """Shapes that numbers given per edge may have."""
        found: list[tuple[int, ...]] = [(), (1,)]
        n_edges = self._edge_count(pre, post)
        if n_edges is not None:
            found.append((n_edges,))
        if self.connect.kind == "all" and (self.connect.autapses or pre.name != post.name):
            found.append((pre.n, post.n))
        return found

    def _check_shape(self, field: str, array: Array, allowed: list[tuple[int, ...]]) -> None:
        shape = array.values.shape
        if shape not in allowed:
            listed = " or ".join("one number" if s in ((), (1,)) else f"an array {s}" for s in allowed if s != (1,))
            self.report(field, f"expected {listed}, got an array {shape}; give one number per edge")

    def _kernel_shape(self, pre: str, post: str) -> tuple[int, ...]:
        k = self.connect.conv2d.kernel if self.connect.conv2d else 0
        return (self.sources[post].shape or (0,))[0], (self.sources[pre].shape or (0,))[0], k, k

    def _check_delay(self) -> None:
        delay, dt = self.projection.delay, self.dt
        if dt <= 0:
            return
        if isinstance(delay, Distribution | Array) and dimension_of(delay) != TIME:
            raise UnitError(f"expected times, got {describe_unit(dimension_of(delay))}; give them in ms")
        if isinstance(delay, Distribution):
            if delay.min is not None and read_steps(delay.min, dt) < 1:
                raise UnitError("drawn delays are at least one step; give min: a time of at least dt")
            if lower_bound(delay) < 0:
                raise UnitError("expected delays >= 0; draw from positive times")
            return
        if isinstance(delay, Array):
            check_steps(scaled(delay), dt)
            if lower_bound(delay) == 0 and delay.values.any():
                raise UnitError("delays of one projection are all 0 or all at least dt; split the projection")
            longest = round(float(scaled(delay).max(initial=0)) / dt)
        else:
            longest = read_steps(delay, dt)
        if longest > MAX_DELAY:
            raise UnitError(f"a delay of {longest} steps; at most {MAX_DELAY} are possible, shorten it or raise dt")

    # -- connections --------------------------------------------------------------------------------------------

    def _edge_count(self, pre: End, post: End) -> int | None:
        """Number of edges where it is known before drawing."""
        connect, pairs = self.connect, pre.n * post.n
        match connect.kind:
            case "all" if connect.autapses or pre.name != post.name:
                return pairs
            case "all":
                return pairs - max(0, min(pre.stop, post.stop) - max(pre.start, post.start))
            case "one_to_one":
                return pre.n
            case "edges":
                return connect.edges.pre.values.size if connect.edges else None
            case "total_number":
                return connect.total_number
            case "indegree":
                return (connect.indegree or 0) * post.n
        return None

    def _check_connect(self, pre: End, post: End) -> None:
        connect, pairs = self.connect, pre.n * post.n
        same = pre.name == post.name
        expected = self._edge_count(pre, post) or 0
        match connect.kind:
            case "all":
                pass
            case "one_to_one":
                if pre.n != post.n:
                    self.report("connect", f"one_to_one needs equal sizes, got {pre.n} and {post.n}; take equal parts")
                elif same and pre.start == post.start and not connect.autapses:
                    self.report("connect.autapses", "one_to_one joins every cell with itself here; leave autapses out")
            case "probability":
                p = connect.probability
                if p is None or not 0 <= p <= 1:
                    self.report("connect.probability", f"expected a number in [0, 1], got {p}")
                else:
                    expected = int(p * pairs)
            case "indegree" | "total_number":
                self._check_number(pre, post)
            case "conv2d":
                expected = self._check_conv2d(pre, post)
            case "edges":
                self._check_edges(pre, post)
            case kind:
                got = " and ".join(filter(None, kind.split("+"))) or "none"
                self.report("connect", f"expected exactly one of {', '.join(CONNECT_KINDS)}; got {got}")
        if connect.multapses and connect.kind in ("all", "one_to_one", "probability", "conv2d"):
            self.report("connect.multapses", f"{connect.kind} joins no pair twice; use indegree or total_number")
        if expected > MAX_EDGES:
            self.report("connect", f"about {expected:.3g} edges; at most 2**31 - 2 are possible, connect fewer")

    def _check_number(self, pre: End, post: End) -> None:
        """Whether as many different pairs exist as are wanted."""
        connect, kind = self.connect, self.connect.kind
        free = pre.n - (not connect.autapses and pre.name == post.name)
        wanted, exist, what = connect.indegree or 0, free, "sources"
        if kind == "total_number":
            wanted, exist, what = connect.total_number or 0, free * post.n, "pairs"
        if connect.multapses is False and wanted > exist:
            self.report(f"connect.{kind}", f"{wanted} different {what} wanted, {exist} exist; lower it")
        elif wanted and free < 1:
            self.report(f"connect.{kind}", "no source is left without autapses; allow autapses")

    def _check_conv2d(self, pre: End, post: End) -> int:
        """Returns an upper bound on the number of edges."""
        a, b, conv = self.sources[pre.name].shape, self.sources[post.name].shape, self.connect.conv2d
        if a is None or b is None or len(a) != 3 or len(b) != 3 or conv is None:
            self.report("connect.conv2d", "both ends need a shape: [channels, rows, columns]; give one")
            return 0
        if "[" in self.projection.pre + self.projection.post:
            self.report("connect.conv2d", "takes whole populations, no parts; name the population alone")
        if not self.connect.autapses:
            self.report("connect.autapses", "conv2d shares one kernel and can leave no edge out; leave autapses out")
        out = tuple((n + 2 * conv.padding - conv.kernel) // conv.stride + 1 for n in a[1:])
        if out != b[1:]:
            got = f"gives {out[0]} x {out[1]} positions, '{post.name}' has {b[1]} x {b[2]}"
            self.report("connect.conv2d", f"{got}; change kernel, stride, padding or shape")
        return a[0] * b[0] * b[1] * b[2] * conv.kernel**2

    def _check_edges(self, pre: End, post: End) -> None:
        connect = self.connect
        if connect.edges is None:
            return
        a, b = connect.edges.pre.values, connect.edges.post.values
        if a.ndim != 1 or a.shape != b.shape:
            wanted = "expected pre and post as lists of equal length"
            self.report("connect.edges", f"{wanted}, got shapes {a.shape} and {b.shape}")
            return
        sound = True
        for side, index, end in (("pre", a, pre), ("post", b, post)):
            if index.size and index.dtype.kind not in "iu":
                self.report(f"connect.edges.{side}", f"expected whole numbers, got {index.dtype}")
                sound = False
            elif index.size and (index.min() < 0 or index.max() >= end.n):
                bad = int(np.flatnonzero((index < 0) | (index >= end.n))[0])
                known = f"'{end.name}' has cells 0 to {end.n - 1}" + (" in this part" if end.start else "")
                self.report(f"connect.edges.{side}", f"edge {bad} names cell {index[bad]}; {known}")
                sound = False
        if not sound:
            return
        a, b = a.astype(np.int64), b.astype(np.int64)
        if not connect.autapses and pre.name == post.name and (a + pre.start == b + post.start).any():
            self.report("connect.edges", "an edge joins a cell with itself although autapses: false; remove it")
        if connect.multapses is False and np.unique(a * post.n + b).size < a.size:
            self.report("connect.edges", "a pair appears twice although multapses: false; remove one")
