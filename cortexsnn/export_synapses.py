"""Inputs and projections in an exported Brian2 script."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .export_language import base_unit, code, number, quantity, times_unit
from .export_neurons import call, drawn_as, indented, triple
from .export_plan import MOST_LATE, Plan, Route
from .export_regular import late_name
from .expression import names
from .program import Delivery
from .spec import Array, Connect, Distribution, Input
from .units import TIME, coherent_name, parse_unit
from .values import dimension_of

# -- inputs -------------------------------------------------------------------------------------------------------------


def input_section(plan: Plan, name: str) -> list[str]:
    """Lines that make one input; none where nothing hears it."""
    routes = [r for r in plan.routes.values() if r.pathway.pre == name]
    if not routes:
        return []
    source = plan.circuit.inputs[name]
    head = ["", f"# Input {name}: {source.n} channels, {_kind(source)}, {source.transmitter}."]
    return [*head, *(_spikes(plan, name) if routes[0].way == "spikes" else _rows(plan, name, routes))]


def _kind(source: Input) -> str:
    if source.sources is not None:
        return f"each with the number of spikes of {source.sources} Poisson sources in every step"
    return {"current": "a number in every step", "spikes": "spikes", "poisson": "Poisson spikes"}[source.kind]


def _spikes(plan: Plan, name: str) -> list[str]:
    drive = plan.job.drive[name]
    channels = [np.flatnonzero(drive[0, step]) for step in range(plan.job.n_steps)]
    steps = np.repeat(np.arange(plan.job.n_steps, dtype=np.int32), [c.size for c in channels])
    stored = plan.store(f"inputs.{name}.channel", np.concatenate(channels).astype(np.int32))
    times = plan.store(f"inputs.{name}.step", steps)
    return call(f"inp_{name} = SpikeGeneratorGroup", [str(drive.shape[2]), stored, f"{times}*dt", "when='start'"])


def _rows(plan: Plan, name: str, routes: list[Route]) -> list[str]:
    """Rows of an input over time, and a group that shows them to synapses where there are any."""
    drive, source = plan.job.drive[name], plan.circuit.inputs[name]
    values = np.array([drive[0, step] for step in range(plan.job.n_steps)])
    if source.sources is not None:
        values = values.astype(np.min_scalar_type(int(values.max(initial=0))))
    unit = parse_unit(source.unit).dimension
    arguments = [plan.store(f"inputs.{name}.rows", values), *([coherent_name(unit)] if any(unit) else [])]
    plan.helpers.add("timed")
    lines = []
    for late in sorted({r.delay for r in routes if r.delay is not None}):
        made = ", ".join([*arguments, *([f"late={late}"] if late else [])])
        lines.append(f"rows{late or ''}_{name} = timed({made})")
    shown = sorted({r.delay for r in routes if r.way == "sum" and r.delay is not None})
    if shown:
        variables = [f"{_value(late)} : {base_unit(unit)}" for late in shown]
        lines += [f"inp_{name} = NeuronGroup({source.n}, '''", *indented(variables), "''')"]
    for late in shown:
        lines.append(f"inp_{name}.run_regularly('{_value(late)} = rows{late or ''}_{name}(t, i)', when='start')")
    return lines


def _value(late: int | None) -> str:
    """Variable of an input's group with what it sent so many steps ago."""
    return f"value_{late}" if late else "value"


# -- projections --------------------------------------------------------------------------------------------------------


def projection_section(plan: Plan, route: Route) -> list[str]:
    """Lines that make the synapses of one projection; none where the target reads an input's rows itself."""
    _check(plan, route)
    if route.way == "rows":
        return []
    name, edges = route.pathway.name, plan.job.edges[route.pathway.name]
    synapses, shared = f"syn_{name}", edges.values.size == 1
    unit = dimension_of(route.projection.weight)
    model = [f"w : {base_unit(unit)} ({'shared, ' if shared else ''}constant)"]
    lines = [_delivered(plan, route, d, port) for d, port in zip(route.pathway.deliveries, route.ports, strict=True)]
    arguments = [f"{_source(route)}, pop_{route.pathway.post},"]
    if route.way == "sum":
        arguments += triple("", [*model, *lines])
    else:
        arguments += [f"'{model[0]}',", *(triple("on_pre=", lines) if len(lines) > 1 else [f"on_pre='{lines[0]}',"])]
    delay, behind = _delay(plan, route)
    arguments += [f"delay={delay},"] if delay else []
    return [
        "", f"# {name}: {edges.pre.size} connections{_wiring(route.projection.connect)}",
        f"{synapses} = Synapses(", *indented(arguments), ")",
        *call(f"{synapses}.connect", _connect(plan, route)),
        f"{synapses}.w = {_weight(plan, route)}{drawn_as(route.projection.weight)}",
        *behind,
        *_placed(plan, route),
    ]  # fmt: skip


def _source(route: Route) -> str:
    return f"{'inp' if route.from_input else 'pop'}_{route.pathway.pre}"


def _delivered(plan: Plan, route: Route, delivery: Delivery, port: str) -> str:
    """What one connection adds to a port: a statement of ``on_pre``, or the sum over all of them."""
    population, name = route.pathway.post, route.pathway.name
    parts = ["w"]
    text = (route.projection.deliver or {}).get(port)
    if text is not None:
        if "where(" in text:
            plan.helpers.add("where")
        factor = code(text, _seen(plan, route))
        parts.append(factor if factor.isidentifier() else f"({factor})")
        if route.way == "sum" and route.delay:
            parts.append(f"int(t > {route.delay - 0.5:g} * dt)")  # nothing has arrived before
    elif route.way == "sum":
        parts.append(_sent(plan, route))
    if delivery.scale:
        parts.append(f"{plan.names[population][delivery.scale]}_post")
    gain = " * ".join(parts)
    arrivals = plan.arrivals[population, port]
    if route.way == "sum":
        unit = base_unit(plan.models[population].dimensions[port])
        return f"{arrivals.sums[name]}_post = {'-' if delivery.sign < 0 else ''}{gain} : {unit} (summed)"
    return f"{arrivals.added}_post {'+' if delivery.sign > 0 else '-'}= {gain}"


def _sent(plan: Plan, route: Route) -> str:
    """Variable of the source that a projection of values carries."""
    source = plan.models.get(route.pathway.pre)
    if source is None or source.output is None:
        return f"{_value(route.delay)}_pre"
    name = source.output.target
    return f"{plan.names[route.pathway.pre][late_name(name, min(route.delay, MOST_LATE)) if route.delay else name]}_pre"


def _seen(plan: Plan, route: Route) -> Mapping[str, str]:
    """Names that a ``deliver`` may read, as synapses see them."""
    pre, post = route.pathway.pre, route.pathway.post
    table = {f"{n}_post": f"{plan.names[post][n]}_post" for n in plan.models[post].dimensions}
    if pre not in plan.models:
        return {**table, "value": _sent(plan, route)}
    source, own = plan.models[pre], {n: f"{plan.names[pre][n]}_pre" for n in plan.models[pre].dimensions}
    return {**table, **own, **({source.output.target: _sent(plan, route)} if source.output else {})}


def _wiring(connect: Connect) -> str:
    match connect.kind:
        case "probability":
            return f", with probability {connect.probability:g}"
        case "indegree":
            return f", {connect.indegree} onto every cell"
        case "all":
            return ", all to all"
        case "one_to_one" | "total_number" | "conv2d" | "edges":
            said = {
                "one_to_one": "one to one",
                "total_number": "drawn",
                "conv2d": "a convolution",
                "edges": "as listed",
            }
            return f", {said[connect.kind]}"
    return ""


def _connect(plan: Plan, route: Route) -> list[str]:
    """Arguments of ``connect``: a rule where it says all, else the drawn cells."""
    projection, edges = route.projection, plan.job.edges[route.pathway.name]
    whole = "[" not in projection.pre + projection.post and edges.values.size == 1 and edges.delay.size == 1
    if whole and projection.connect.kind == "all" and projection.connect.autapses:
        return []
    if whole and projection.connect.kind == "one_to_one":
        return ["j='i'"]
    key = f"projections.{route.pathway.name}"
    return [f"i={plan.store(f'{key}.pre', edges.pre)}", f"j={plan.store(f'{key}.post', edges.post)}"]


def _weight(plan: Plan, route: Route) -> str:
    written, edges = route.projection.weight, plan.job.edges[route.pathway.name]
    unit = dimension_of(written)
    if edges.values.size > 1:
        return times_unit(plan.store(f"projections.{route.pathway.name}.weight", edges.weight), unit)
    if isinstance(written, Distribution | Array):
        return times_unit(number(float(edges.values[0])), unit)
    return quantity(written, unit)


def _delay(plan: Plan, route: Route) -> tuple[str, list[str]]:
    """One delay for all as an argument, or lines that set one for each connection. A sum has none: its rows are late."""
    if route.way == "sum" or route.delay == 0:
        return "", []
    written = route.projection.delay
    if route.delay is None:
        steps = plan.store(f"projections.{route.pathway.name}.delay", plan.job.edges[route.pathway.name].delay)
        text = f"{steps}*dt" if route.from_input else f"({steps} - 1)*dt"
        return "", [f"syn_{route.pathway.name}.delay = {text}{drawn_as(written)}"]
    one = f"{route.delay}*dt" if isinstance(written, Distribution | Array) else quantity(written, TIME)
    return one if route.from_input else f"{one} - dt", []


def _placed(plan: Plan, route: Route) -> list[str]:
    """Slots other than Brian2's own: connections without delay, and sums that something reads before the update."""
    synapses, post = f"syn_{route.pathway.name}", route.pathway.post
    if route.way == "spikes":
        return (
            [f"{synapses}.pre.when = 'same_step_{route.pathway.stage + 1}'"] if route.pathway.stage is not None else []
        )
    target = plan.models[post]
    jumps = any(target.ports[port].kind == "jump" for port in route.ports)
    if len(plan.program.stages) == 1 and not target.reductions and not jumps:
        return []
    slot = f"before_{plan.slot('groups', post)}"
    return [f"for updater in {synapses}.summed_updaters.values():", f"    updater.when, updater.order = '{slot}', 0"]


# -- what cannot be said ------------------------------------------------------------------------------------------------


def _check(plan: Plan, route: Route) -> None:
    pathway, path = route.pathway, f"projections.{route.pathway.name}"
    if pathway.emits == "values" and route.delay is None:
        told = "numbers that arrive after different delays have no counterpart in Brian2"
        plan.report(f"{path}.delay", f"{told}; give one delay to all, or split the projection")
    elif pathway.emits == "values" and not route.from_input and (route.delay or 0) > MOST_LATE:
        told = f"an output that arrives {route.delay} steps later would take as many variables"
        plan.report(
            f"{path}.delay", f"{told}; at most {MOST_LATE} steps can be said, use a shorter delay or a larger dt"
        )
    for port, text in (route.projection.deliver or {}).items():
        _check_factor(plan, route, f"{path}.deliver.{port}", names(text))


def _check_factor(plan: Plan, route: Route, path: str, read: set[str]) -> None:
    pre, post = route.pathway.pre, route.pathway.post
    own = {*plan.models[pre].dimensions} if pre in plan.models else set()
    target = plan.models[post]
    for name in sorted(read):
        state = name.removesuffix("_post")
        if state == name or state not in target.dimensions:
            continue
        if name in own:
            plan.report(path, f"'{name}' is a variable of '{pre}' and of '{post}'; rename that of '{pre}'")
        port = target.ports.get(state)
        arrivals = plan.arrivals.get((post, state))
        if port and port.kind == "jump" and arrivals and (arrivals.added or arrivals.sums):
            told = f"'{name}' is read before this step's jumps, which Brian2 adds to it one by one"
            plan.report(path, f"{told}; read a variable that no port adds to, or simulate(..., engine='brian2')")
