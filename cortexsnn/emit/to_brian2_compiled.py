"""Numbers and results of a compiled Brian2 program: files that it reads when it starts, and writes while it runs.

Brian2 generates the code of the populations and synapses. What surrounds a step (inputs, restart of trials, recording) is in
``cortexsnn.h``; this module writes the few lines that connect Brian2's arrays with it, and hangs them into Brian2's schedule.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from ..drive import CHUNK
from ..job import SPIKES
from ..probes import split
from ..program import WEIGHT, Pathway, PopulationStep, RuleStep
from .to_brian2_names import local
from .to_brian2_numbers import input_kind, is_direct, sign_in_program, spent
from .to_brian2_population import EVERY
from .to_brian2_rule import ARRIVED, edge_variable, used_constants

if TYPE_CHECKING:
    from .to_brian2_network import JobNetwork


_READERS = {"drawn": "DrawnRows", "numbers": "GivenRows<double>", "spikes": "GivenRows<uint8_t>"}
"""How the program reads an input; see ``cortexsnn.h``."""


_OVER = {None: "Probe::Cells", "sum": "Probe::Sum", "mean": "Probe::Mean"}


class _Code:
    """What Brian2 asks of a piece of code that it did not generate."""

    def __init__(self, name: str) -> None:
        self.name = name

    def before_run(self) -> None:
        pass

    def after_run(self) -> None:
        pass


class Compiled:
    """A ``Supply`` of files, which collects C++ lines: ``declared``, ``opening`` when the program starts, ``hooks`` in its steps."""

    def __init__(self, network: JobNetwork, number: int, alone: bool) -> None:
        self.network, self.job, self.b2, self.number = network, network.job, network.b2, number
        self.inside = "" if alone and self.job.n_trials == 1 else "local_step(t) >= 0"
        self.name = f"job{number}"
        self.opening: list[str] = [f"{self.name} = new Job({number}, {self._file('times')});"]
        self.hooks: dict[str, str] = {}
        self.filled: set[str] = set()
        self.declared: list[str] = [f"static Job* {self.name};"]
        self._hook("begin", "start", 0, f"local_step<{number}> = {self.name}->begin();")
        self._hook("end", "record", 0, f"{self.name}->end();")

    def _file(self, name: str) -> str:
        return json.dumps(f"j{self.number}.{name}")

    def _array(self, group: Any, name: str) -> str:
        """C++ name of the array behind a variable of a Brian2 object."""
        return f"brian::{self.b2.device.get_array_name(group.variables[name], access_data=False)}"

    def _hook(self, name: str, when: str, order: int, code: str) -> None:
        """A function of ours in a slot of the step: Brian2 adds the names of an object's pieces of code to its program."""
        function = f"{self.name}_{name}"
        self.hooks[f"_run_{function}"] = code
        hook = self.b2.BrianObject(clock=self.network.clock, when=when, order=order, name=f"{function}_hook")
        hook._code_objects = [_Code(function)]
        self.network.add(hook)

    def local_step(self) -> Any:
        function = self.b2.Function(
            lambda t: t, arg_units=[None], arg_types=["float"], return_unit=1, return_type="float", stateless=False
        )
        name = f"cortex_local_step_{self.number}"
        code = f"static inline double {name}(double t) {{ return double(cortexsnn::local_step<{self.number}>); }}"
        function.implementations.add_implementation("cpp", code, name=name)
        return function

    def add_input(self, name: str) -> None:
        network, n = self.network, self.job.program.size(name)
        rows = self.job.drive[name]
        sends = next(d.sends for d in self.job.program.inputs if d.name == name)
        event = EVERY if sends == "values" else "spike"
        group = self.b2.NeuronGroup(
            n,
            "\n".join([f"{local('value')} : 1", *network.registers(name)]),
            events={event: "False", **network.late_events(name)},
            namespace=network.namespace,
            clock=network.clock,
            name=f"{network.prefix}{name}_input",
        )
        for event_name, thresholder in group.thresholder.items():
            thresholder.when, thresholder.order = "input", 1
            thresholder.active = event_name.startswith("late")
        network.groups[name] = group
        network.add(group)
        network.add_shift(name, group)
        self.opening += [
            f"{{ auto* input = new {_READERS[input_kind(rows)]}({self._file(f'{name}.rows')}, {n}, {self.name}->n_steps, {self.name}->n_trials);",
            f"  input->value = {self._array(group, local('value'))};"
            if sends == "values"
            else f"  input->spikes = {self._array(group, '_spikespace')};",
            f"  {self.name}->inputs.push_back(input); }}",
        ]
        if sends == "values":
            self.opening.append(f"{self.name}->gate({self._array(group, f'_{EVERY}space')}, {n});")
        self._forget(group, name)

    def give(self, group: Any, name: str, values: np.ndarray, number: str) -> None:
        self.opening.append(f"load({self._file(number)}, {self._array(group, name)}, {values.size});")

    def state_model(self, population: PopulationStep) -> list[str]:
        return []

    def add_states(self, group: Any, population: PopulationStep, initial: dict[str, np.ndarray]) -> None:
        for name in initial:
            file = self._file(f"{population.name}.initial.{name}")
            self.opening.append(f"{self.name}->start({file}, {self._array(group, local(name))}, {population.size});")
        self._forget(group, population.name)

    def _forget(self, group: Any, source: str) -> None:
        """Values on their way are gone when a trial starts."""
        for line in self.network.registers(source):
            array = self._array(group, line.split(" :")[0])
            self.opening.append(f"{self.name}->queues.push_back({{{array}, {group.N}}});")

    def every(self, group: Any) -> None:
        group.thresholder[EVERY].active = False
        self.opening.append(f"{self.name}->gate({self._array(group, f'_{EVERY}space')}, {group.N});")

    def finite_model(self, population: PopulationStep) -> list[str]:
        return []

    def finite_code(self, group: Any, population: PopulationStep) -> list[str]:
        for name in population.finite:
            named = json.dumps(f"{population.name} {name}")
            self.opening.append(
                f"{self.name}->watched.push_back({{{named}, {self._array(group, local(name))}, {population.size}}});"
            )
        return []

    def deliver_directly(self, pathway: Pathway) -> bool:
        if not is_direct(self.job, pathway) or self.job.edges[pathway.name].pre.size == 0:
            return False
        value = self._array(self.network.groups[pathway.pre], local("value"))
        pre, post = (self.job.program.size(name) for name in (pathway.pre, pathway.post))
        for k, delivery in enumerate(pathway.deliveries):
            name = f"{self.name}_{pathway.name}_{k}"
            port = self._array(self.network.groups[pathway.post], local(delivery.port))
            self.declared.append(f"static Delivery* deliver_{name};")
            file = self._file(f"{pathway.name}.0")
            made = f"new Delivery({value}, {pre}, {port}, {post}, {file}, {k}, {sign_in_program(delivery)})"
            self.opening.append(f"deliver_{name} = {made};")
            call = f"if (local_step<{self.number}> >= 0) (*deliver_{name})();"
            self._hook(f"deliver_{pathway.name}_{k}", "arrivals", len(self.network.objects), call)
        return True

    def connect(self, synapses: Any, pathway: Pathway, chosen: Any, delay: int) -> None:
        synapses._connect_called = True  # the program reads its edges itself
        synapses.go.delay = 0 * self.b2.ms  # so does the queue its delays, and Brian2 must not prepare it
        self.filled.add(f"{synapses.go.name}_push_spikes")
        file = f"{pathway.name}.{delay}"
        n_pre, n_post = (self.job.program.size(name) for name in (pathway.pre, pathway.post))
        dt = f"{self.job.program.dt!r}e-3"
        queue = f"fill_queue(brian::{synapses.go.name}, {self._file(file)}, {spent(self.job, pathway)}, {dt}, {n_pre}, {n_post})"
        post, file_of_post = self._array(synapses, "_synaptic_post"), self._file(f"{file}.post")
        self.opening += [
            f"{{ const size_t n = {queue};",
            f"  {self._array(synapses, 'N')}[0] = int32_t(n);",
            f"  load_cells({file_of_post}, {post}, n, {n_post});",
        ]
        if pathway.rule or any(d.factor for d in pathway.deliveries):
            pre, file_of_pre = self._array(synapses, "_synaptic_pre"), self._file(f"{file}.pre")
            self.opening.append(f"  load_cells({file_of_pre}, {pre}, n, {n_pre});")
        if pathway.rule:
            self._give_rule(synapses, pathway, pathway.rule, file)
        for k, delivery in enumerate(() if pathway.rule else pathway.deliveries):
            array, numbers = self._array(synapses, f"w{k}"), self._file(f"{file}.w{k}")
            self.opening.append(f"  load_weights({numbers}, {array}, n, {sign_in_program(delivery)});")
        self.opening.append("}")

    def _give_rule(self, synapses: Any, pathway: Pathway, rule: RuleStep, file: str) -> None:
        """Lines within the block that has read the edges, ``n`` of them."""
        arrays = {name: self._array(synapses, edge_variable(name)) for name in (WEIGHT, *rule.states)}
        self.opening.append(f"  load_weights({self._file(f'{file}.w')}, {arrays[WEIGHT]}, n, 1.0);")
        for name in rule.states:
            self.opening.append(f"  fill({self._file(f'{pathway.name}.initial.{name}')}, {arrays[name]}, n);")
        if rule.on_pre:
            self.opening.append(f"  {self._array(synapses, edge_variable(ARRIVED))}.assign(n, 0.0);")
        for name in used_constants(self.job, pathway):
            array = self._array(synapses, edge_variable(name))
            self.opening.append(f"  load({self._file(f'{pathway.name}.constant.{name}')}, {array}, 1);")
        for probe in self.job.probes.get(pathway.name, ()):
            over, variable = split(probe)
            made = (
                f"new Probe({arrays[variable]}.data(), n, {self._file(f'{pathway.name}.probe.{probe}')}, {_OVER[over]})"
            )
            self.opening.append(f"  {self.name}->probes.push_back({made});")
        for name, array in arrays.items():
            kept = self._file(f"{file}.final.{name}")
            self.opening.append(f"  {self.name}->finals.push_back({{&{array}, new Results({kept})}});")

    def add_monitors(self, group: Any, population: PopulationStep, probed: tuple[str, ...]) -> None:
        for name in probed:
            if name == SPIKES:
                array, file = self._array(group, "_spikespace"), self._file(f"{population.name}.spikes")
                probe = f"new SpikeProbe({array}, {population.size}, {file})"
                self.opening.append(f"{self.name}->spike_probes.push_back({probe});")
            else:
                over, variable = split(name)
                array, file = self._array(group, local(variable)), self._file(f"{population.name}.probe.{name}")
                probe = f"new Probe({array}, {population.size}, {file}, {_OVER[over]})"
                self.opening.append(f"{self.name}->probes.push_back({probe});")


def sources(supplies: list[Compiled]) -> tuple[str, str]:
    """Header with the declarations that Brian2's main program needs, and the file with their definitions."""
    functions = {name: code for supply in supplies for name, code in supply.hooks.items()}
    declared = "\n".join(f"void {name}();" for name in functions)
    chunk = f"#define CORTEXSNN_DRIVE_CHUNK {CHUNK}"
    header = f'#pragma once\n{chunk}\n#include "cortexsnn.h"\n{declared}\nvoid cortexsnn_open();\nvoid cortexsnn_close();\ndouble cortexsnn_duration();\n'
    first = supplies[0].name
    lines = [
        '#include "objects.h"',
        '#include "synapses_classes.h"',
        '#include "hooks.h"',
        "using namespace cortexsnn;",
        *(line for supply in supplies for line in supply.declared),
        "void cortexsnn_open() {",
        *(f"    {line}" for supply in supplies for line in supply.opening),
        "}",
        "static int64_t cortexsnn_steps() {",
        "    int64_t most = 0;",
        *(f"    if ({s.name}->total() > most) most = {s.name}->total();" for s in supplies),
        "    return most;",
        "}",
        "double cortexsnn_duration() {",
        "    double longest = 0;",
        *(
            f"    if ({s.name}->total() * {s.job.program.dt!r}e-3 > longest) longest = {s.name}->total() * {s.job.program.dt!r}e-3;"
            for s in supplies
        ),
        "    return longest;",
        "}",
        "void cortexsnn_close() {",
        *(f"    {s.name}->finish();" for s in supplies),
        "    std::fflush(stdout);",
        "    std::_Exit(0);",
        "}",
    ]
    for name, code in functions.items():
        progress = f" tell_progress({first}->now, cortexsnn_steps());" if name == f"_run_{first}_begin" else ""
        lines.append(f"void {name}() {{ {code}{progress} }}")
    return header, "\n".join(lines) + "\n"
