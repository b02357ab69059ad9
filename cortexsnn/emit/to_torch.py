"""A StepProgram as a ``torch.nn.Module``: the same statements on tensors, differentiable through surrogate gradients.

Components of the circuit graph without recurrence run all steps of a projection as one product over (step, trial); recurrent
ones go step by step. Under ``no_grad`` in float64 sums run edge after edge in the contract's order and constants are the
hoisted numbers of every other engine, so what is verified is what runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import torch

from ..errors import EngineError, InputError, unknown
from ..fused.edges import edge_sums
from ..job import SPIKES, numerical_error
from ..lower import rule_numbers
from ..probes import probe_names
from ..program import WEIGHT, PopulationStep, StepProgram
from ..realise import Realisation
from ..training import TrainableWeight, Training
from ..wiring import components
from .surrogate import surrogate
from .to_torch_constants import Constants
from .to_torch_fused import FusedComponents
from .to_torch_numbers import capturing, check_rows, clamp, real_rows
from .to_torch_pathway import Group, PathwayModule
from .to_torch_population import Env, PopulationDynamics
from .to_torch_rule import ARRIVED, PlasticRule

Rows = torch.Tensor
"""What a source emitted: (step, trial, neuron)."""


@dataclass
class State:
    """Where a run stopped: states (trial, neuron), the last emitted rows of every source, steps done; of plastic projections the weights
    ``w`` and states of edges, (trial, edge)."""

    states: dict[str, dict[str, torch.Tensor]]
    emitted: dict[str, torch.Tensor]
    step: int = 0
    edges: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)

    def detach(self) -> State:
        """The same numbers, from which no gradient goes back."""

        def without(values: dict[str, dict[str, torch.Tensor]]) -> dict[str, dict[str, torch.Tensor]]:
            return {p: {n: v.detach() for n, v in found.items()} for p, found in values.items()}

        emitted = {n: rows.detach() for n, rows in self.emitted.items()}
        return State(without(self.states), emitted, self.step, without(self.edges))


@dataclass
class _Run:
    """One forward call."""

    n_steps: int
    n_trials: int
    exact: bool
    start: int
    env: dict[str, Env]
    history: dict[str, torch.Tensor]
    constants: Mapping[str, Mapping[str, torch.Tensor]]
    rows: dict[str, Any] = field(default_factory=dict)
    recorded: dict[str, dict[str, Any]] = field(default_factory=dict)
    weights: dict[tuple[str, int], torch.Tensor] = field(default_factory=dict)
    matrices: dict[tuple[str, int, int], torch.Tensor] = field(default_factory=dict)
    ordered: dict[tuple[str, int, int], torch.Tensor] = field(default_factory=dict)
    spiking: dict[tuple[str, int], list[list[int]]] = field(default_factory=dict)
    edges: dict[str, Env] = field(default_factory=dict)

    def cells(self, source: str, row: int) -> list[list[int]]:
        """Cells that spiked in a row, for each trial; looked up once however many delays read the row."""
        if (source, row) not in self.spiking:
            self.spiking[source, row] = [trial.nonzero().squeeze(-1).tolist() for trial in self.rows[source][row]]
        return self.spiking[source, row]


def _outside_compiled_code(run: Callable[..., Any]) -> Callable[..., Any]:
    """Kernels are compiled already: ``torch.compile`` of a model leaves a network as it is."""
    return cast(Callable[..., Any], torch.compiler.disable(run)) if torch.compiler.is_compiling() else run


class Network(torch.nn.Module):
    """A circuit that trains. Made by :func:`cortexsnn.to_torch`.

    ``outputs, state = network(inputs, state=None)``: inputs maps names to tensors (step, trial, channel) in the input's
    unit; ``outputs["E"]["spikes"]`` is (step, trial, neuron), a graded population gives its output by name.

    Attributes
    ----------
    pathways : ModuleDict
        projection -> module whose ``magnitude`` is the Parameter of a trainable projection, >= 0 by projection.
    numbers : ParameterDict
        ``"population:name"`` -> trainable parameter or initial value.
    normalisation : ModuleDict
        ``"population:port"`` -> module of (rows, first step) applied to what arrives there, (step, trial, neuron), before the
        population's update; see ``cortexsnn.train.normalise``.
    dropout : ModuleDict
        population -> module applied to what it sends while training, (step, trial, neuron); see ``cortexsnn.train.thresholding``.
    probes : dict
        population -> further names to return (states, "distance"), plastic projection -> names ("w", states); empty by default.
    """

    _anchor: torch.Tensor

    def __init__(
        self, program: StepProgram, realisation: Realisation, training: Training, dtype: torch.dtype | None = None,
        derivative: str = "atan", detach_reset: bool = True, fused: bool | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        dtype = torch.float32 if dtype is None else dtype
        if dtype not in (torch.float32, torch.float64):
            raise EngineError(f"dtype: expected torch.float32 or torch.float64, got {dtype!r:.60}")
        self.program, self.realisation, self.training_data, self.dtype = program, realisation, training, dtype
        self.surrogate, self.probes = derivative, dict[str, tuple[str, ...]]()
        bump = surrogate(derivative)
        self.dynamics = {p.name: PopulationDynamics(p, bump, detach_reset, dtype) for p in program.populations}
        self.numbers = torch.nn.ParameterDict(
            {n.key: torch.nn.Parameter(torch.tensor(n.value, dtype=dtype)) for n in training.numbers}
        )
        self.pathways = torch.nn.ModuleDict()
        numbers = rule_numbers(program, realisation)
        for p in program.pathways:
            how = training.weights.get(p.name, TrainableWeight(False, False, 1.0))
            rule = PlasticRule(p, p.rule, numbers[p.name], dtype, how.rests) if p.rule else None
            self.pathways[p.name] = PathwayModule(
                p, program, realisation.edges[p.name], dtype, how.trainable, how.signed, how.gradient_scale, rule
            )
        self.normalisation = torch.nn.ModuleDict()
        self.dropout = torch.nn.ModuleDict()
        self.overrides: dict[str, dict[str, np.ndarray]] = {}
        self.register_buffer("_anchor", torch.zeros((), dtype=dtype), persistent=False)
        self.constants = Constants(self)
        self.fused = fused
        self.kernels = FusedComponents(self)
        self.components = components(
            [p.name for s in program.stages for p in map(program.population, s)], self._arrows()
        )

    def _arrows(self) -> list[tuple[str, str]]:
        """Edges of the circuit graph; a pathway that reads states ties both ends into one component."""
        found = []
        for p in self.program.pathways:
            ends = (p.pre if p.pre in self.dynamics else p.post, p.post)  # an input is in no component
            if p.pre in self.dynamics:
                found.append(ends)
            if self.pathway(p.name).reads_state:
                found.append(ends[::-1])
            if p.rule:  # goes step by step, beside whatever its rule reads
                beside = [s.source for s in p.rule.signals]
                beside += [p.pre] if any(n.endswith("_pre") for n in p.rule.reads) else []
                for source in (p.post, *(n for n in beside if n in self.dynamics)):
                    found += [(source, p.post), (p.post, source)]
        return found

    # -- public ---------------------------------------------------------------------------------------------------

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Network:
        """Moves between devices; numbers keep their precision, for constants were computed for it.

        Raises
        ------
        EngineError
            ``.double()``, ``.half()`` and the like.
        """
        if fn(self._anchor).dtype != self.dtype:
            raise EngineError(
                f"a network keeps its precision, {self.dtype}; make another with to_torch(circuit, dtype=torch.float64), "
                "or train in lower precision with torch.autocast"
            )
        return super()._apply(fn, recurse)

    def pathway(self, name: str) -> PathwayModule:
        """The module of a projection."""
        return cast(PathwayModule, self.pathways[name])

    @torch.no_grad()
    def project(self) -> None:
        """Put magnitudes back to >= 0 and trainable numbers into their bounds; every forward call begins with it.

        Values inside are not touched at all: an in-place write would spoil the graph of an earlier forward call.
        """
        for name in self.pathways:
            if self.pathway(name).trainable and not self.pathway(name).signed:
                clamp(self.pathway(name).magnitude, 0.0, np.inf)
        for number in self.training_data.numbers:
            clamp(self.numbers[number.key], number.low, number.high)
        for module in self.normalisation.values():
            if isinstance(module, torch.nn.BatchNorm1d):
                clamp(module.weight, 0.0, np.inf)  # a negative scale would turn excitation into inhibition

    def forward(
        self,
        inputs: Mapping[str, torch.Tensor] | None = None,
        state: State | None = None,
        n_steps: int | None = None,
        n_trials: int = 1,
    ) -> tuple[dict[str, dict[str, torch.Tensor]], State]:
        """Run as many steps as the inputs have rows, or ``n_steps`` where no input is given.

        Raises
        ------
        InputError
            Names or shapes that do not fit.
        EngineError
            Training with a threshold that has a dimension but no ``threshold_scale``.
        NumericalError
            Without gradients: a state became NaN or infinite.
        """
        run = self._run if self.fused is False else _outside_compiled_code(self._run)
        return run({} if inputs is None else inputs, state, n_steps, n_trials)

    def _run(
        self, inputs: Mapping[str, torch.Tensor], state: State | None, n_steps: int | None, n_trials: int
    ) -> tuple[dict[str, dict[str, torch.Tensor]], State]:
        self.project()
        run = self._begin(*self.drive(inputs, state, n_steps, n_trials), state)
        for members, recurrent in self.components:
            if self._is_fused(members):
                self.kernels.run(run, members)
            elif recurrent:
                self._run_steps(run, members)
            else:
                self._run_batched(run, members[0])
            if self.training and members[0] in self.dropout:
                self._leave_out(run, members[0])
        outputs = {
            name: {k: torch.stack(v) if isinstance(v, list) else v for k, v in found.items()}
            for name, found in run.recorded.items()
        }
        return outputs, self._end(run)

    def _leave_out(self, run: _Run, name: str) -> None:
        rows, depth = run.rows[name], self.longest(name)
        rows = torch.stack(rows) if isinstance(rows, list) else rows
        run.rows[name] = torch.cat([rows[:depth], self.dropout[name](rows[depth:])])

    def _is_fused(self, members: tuple[str, ...]) -> bool:
        """Whether a component is run by compiled kernels.

        Raises
        ------
        EngineError
            They were asked for and are not possible.
        """
        if self.fused is False:
            return False
        reason = self.kernels.why_not(members)
        if reason and self.fused:
            raise EngineError(f"{', '.join(members)}: fused kernels cannot run: {reason}; or choose fused=None")
        return reason is None

    # -- beginning and end ----------------------------------------------------------------------------------------

    def drive(
        self,
        inputs: Mapping[str, torch.Tensor],
        state: State | None = None,
        n_steps: int | None = None,
        n_trials: int = 1,
    ) -> tuple[dict[str, torch.Tensor], int, int]:
        """All inputs checked, in coherent units, (step, trial, channel), Poisson spikes drawn; with the numbers of steps and trials."""
        known = {d.name: d for d in self.program.inputs}
        if not isinstance(inputs, Mapping):
            wish = f"{{'{next(iter(known), 'input')}': tensor of (step, trial, channel)}}"
            raise InputError(f"inputs: expected a mapping such as {wish}, got {type(inputs).__name__}")
        for name in inputs:
            if name not in known:
                raise InputError(f"inputs: {unknown('input', name, known)}")
        drive = {}
        for name, given in inputs.items():
            rows = real_rows(name, given)
            if rows.ndim != 3 or rows.shape[2] != known[name].size or rows.shape[0] < 1:
                raise InputError(
                    f"inputs.{name}: expected shape (step, trial, {known[name].size}), got {tuple(rows.shape)}"
                )
            unit = self.training_data.input_units.get(name, 1.0)
            drive[name] = rows.to(self._anchor) if unit == 1.0 else rows.to(self._anchor) * unit
            if not capturing(self._anchor):
                check_rows(name, drive[name], known[name].sends == "spikes")
        if len({rows.shape[:2] for rows in drive.values()}) > 1:
            raise InputError(
                f"inputs: steps and trials differ: {', '.join(f'{n} {tuple(r.shape)}' for n, r in drive.items())}"
            )
        if drive:
            n_steps, n_trials = next(iter(drive.values())).shape[:2]
        if n_steps is None:
            raise InputError("inputs: pass at least one array (step, trial, channel), or n_steps and n_trials")
        for what, number in (("n_steps", n_steps), ("n_trials", n_trials)):
            if isinstance(number, bool) or not isinstance(number, int) or number < 1:
                raise InputError(f"{what}: expected an integer above 0, got {number!r:.60}")
        self._check_state(state, n_trials)
        self._check_probes()
        start = state.step if state else 0
        for name, step in known.items():
            if name not in drive:
                if step.kind not in ("poisson", "counts"):
                    own = torch.tensor(self.realisation.own_rows(name, start, start + n_steps))
                    drive[name] = own.to(self._anchor)[:, None].expand(-1, n_trials, -1)
                    continue
                drawn = np.asarray(self.realisation.poisson_drive(name, n_trials, start + n_steps))[:, start:]
                drive[name] = torch.from_numpy(drawn.transpose(1, 0, 2).copy()).to(self._anchor)
        return drive, n_steps, n_trials

    def _check_state(self, state: State | None, n_trials: int) -> None:
        """Refuse a state of another network, or of other trials."""
        if state is None:
            return
        if not isinstance(state, State):
            raise InputError(f"state: expected what an earlier call returned, got {type(state).__name__}")
        wanted: dict[tuple[str, str], tuple[int, ...]] = {
            (p.name, n): (n_trials, p.size) for p in self.program.populations for n in p.states
        }
        wanted |= {
            (p.name, n): (n_trials, self.realisation.edges[p.name].pre.size)
            for p in self.program.pathways if p.rule for n in (WEIGHT, *p.rule.states)
        }  # fmt: skip
        found = {
            (p, n): tuple(v.shape) for p, values in (state.states | state.edges).items() for n, v in values.items()
        }
        sources = (*(p.name for p in self.program.populations), *(d.name for d in self.program.inputs))
        wanted |= {
            (name, "on its way"): (self.longest(name), n_trials, self.program.size(name))
            for name in sources
            if self.longest(name)
        }
        found |= {(name, "on its way"): tuple(rows.shape) for name, rows in state.emitted.items()}
        if found.keys() != wanted.keys():
            raise InputError("state: of another network; pass what a call of this one returned")
        for (population, name), shape in found.items():
            if shape != wanted[population, name]:
                raise InputError(
                    f"state: {population}.{name} is {shape}, expected {wanted[population, name]}; "
                    "go on with as many trials as the call before had"
                )

    def _check_probes(self) -> None:
        known = {p.name: {*probe_names(p), *p.states} for p in self.program.populations}
        known |= {p.name: {WEIGHT, *p.rule.states} for p in self.program.pathways if p.rule}
        for place, wanted in self.probes.items():
            if place not in known:
                raise InputError(f"probes: {unknown('population or plastic projection', place, known)}")
            for name in wanted:
                if name not in known[place]:
                    raise InputError(f"probes.{place}: {unknown('variable', name, sorted(known[place]))}")

    def _begin(self, drive: dict[str, torch.Tensor], n_steps: int, n_trials: int, state: State | None) -> _Run:
        exact = not torch.is_grad_enabled() and self._anchor.dtype == torch.float64
        constants = self.constants.now()
        history = dict(state.emitted) if state else {}
        run = _Run(n_steps, n_trials, exact, state.step if state else 0, {}, history, constants)
        for p in self.program.populations:
            env: Env = dict(constants[p.name])
            env.update(state.states[p.name] if state else self._initial(p, n_trials))
            run.env[p.name] = env
            wanted = (self.emitted_name(p.name), *self.probes.get(p.name, ()))
            run.recorded[p.name] = {name: [] for name in wanted if name}
        for name, rows in drive.items():
            run.rows[name] = self._with_history(run, name, rows)
        for pathway in self.program.pathways:
            for k, delivery in enumerate(pathway.deliveries):
                weight = self.pathway(pathway.name).effective(delivery, constants[pathway.post])
                run.weights[pathway.name, k] = weight
            rule = self.pathway(pathway.name).rule
            if rule:
                magnitude = self.pathway(pathway.name).magnitude
                edges = state.edges[pathway.name] if state else rule.begin(magnitude, n_trials)
                run.edges[pathway.name] = edges | rule.constants(self._anchor)
                run.recorded[pathway.name] = {name: [] for name in self.probes.get(pathway.name, ())}
        return run

    def _initial(self, p: PopulationStep, n_trials: int) -> dict[str, torch.Tensor]:
        given = self.realisation.initial[p.name]
        found = {}
        for name in p.states:
            value = self.number(p.name, name)
            if value is None:
                value = torch.tensor(given[name] if name in given else np.zeros(p.size)).to(self._anchor)
            found[name] = value.expand(p.size).expand(n_trials, p.size)
        return found

    def number(self, population: str, name: str) -> torch.Tensor | None:
        """A trainable parameter or initial value, None if it is not trained."""
        key = f"{population}:{name}"
        return self.numbers[key] if key in self.numbers else None  # noqa: SIM401 - a ParameterDict has no typed get

    def emitted_name(self, population: str) -> str | None:
        """ "spikes", the name of a graded output, or None."""
        p = self.program.population(population)
        return SPIKES if p.threshold else p.output.target if p.output else None

    def longest(self, source: str) -> int:
        """Longest delay, in steps, of what ``source`` sends."""
        return max((self.pathway(p.name).longest for p in self.program.pathways if p.pre == source), default=0)

    def _with_history(self, run: _Run, source: str, rows: torch.Tensor) -> torch.Tensor:
        """Rows preceded by the last ``longest(source)`` rows of the past, zeros at the beginning of time."""
        depth = self.longest(source)
        if depth == 0:
            return rows
        past = run.history.get(source)
        if past is None:
            past = rows.new_zeros((depth, *rows.shape[1:]))
        return torch.cat([past, rows])

    def _end(self, run: _Run) -> State:
        emitted = {}
        for source, rows in run.rows.items():
            depth = self.longest(source)
            if depth:
                emitted[source] = (torch.stack(rows) if isinstance(rows, list) else rows)[-depth:]
        states = {p.name: {n: run.env[p.name][n] for n in p.states} for p in self.program.populations}
        edges = {
            p.name: {n: run.edges[p.name][n] for n in (WEIGHT, *p.rule.states)} for p in self.program.pathways if p.rule
        }
        return State(states, emitted, run.start + run.n_steps, edges)

    # -- trained numbers ------------------------------------------------------------------------------------------

    def trained_realisation(self) -> Realisation:
        """The realisation with trained magnitudes, parameters and initial values, float64."""
        parameters = {p: {**v, **self.overrides.get(p, {})} for p, v in self.realisation.parameters.items()}
        initial = {p: dict(values) for p, values in self.realisation.initial.items()}
        for number in self.training_data.numbers:
            value = self.numbers[number.key].detach().cpu().double().numpy().copy()
            if number.is_parameter:
                parameters[number.population][number.name] = value
            else:
                size = self.program.population(number.population).size
                initial[number.population][number.name] = np.broadcast_to(value, (size,)).copy()
        edges = {
            name: replace(e, values=self.pathway(name).magnitude.detach().cpu().double().numpy().copy())
            for name, e in self.realisation.edges.items()
        }
        return replace(self.realisation, parameters=parameters, initial=initial, edges=edges)

    def override(self, population: str, values: Mapping[str, np.ndarray]) -> None:
        """Fix parameters of a population to other numbers, (1,) or (neuron,), in this network and what is made from it."""
        self.overrides.setdefault(population, {}).update(values)
        self.constants = Constants(self)

    # -- execution ------------------------------------------------------------------------------------------------

    def _run_batched(self, run: _Run, name: str) -> None:
        """A population without recurrence: all arrivals of all steps first, then its steps."""
        step = self.program.population(name)
        ports = {port: rows for (_, port), rows in self.arrivals(run, (name,), self._into((name,))).items()}
        for i in range(run.n_steps):
            run.env[name].update({port: rows[i] for port, rows in ports.items()})
            self._advance(run, step, i)
            self._finish(run, step, i)

    def arrivals(
        self, run: _Run, members: tuple[str, ...], modules: list[PathwayModule]
    ) -> dict[tuple[str, str], torch.Tensor]:
        """What pathways that read no states bring to the ports of some populations, (step, trial, neuron), for all steps at once."""
        ports = {
            (p.name, port): self._anchor.new_zeros(run.n_steps, run.n_trials, p.size)
            for p in map(self.program.population, members)
            for port in p.ports
        }
        for module in modules:
            for k, delivery in enumerate(module.pathway.deliveries):
                rows_of, port = run.rows[module.pathway.pre], (module.pathway.post, delivery.port)
                for g, group in enumerate(module.edge_groups):
                    rows = self._shifted(run, module, rows_of, group.delay)
                    if module.pathway.emits == "values" and group.delay > run.start:
                        silent = min(group.delay - run.start, run.n_steps)  # nothing was sent before the first step
                        sent = module.sent(k, rows, run.env.get(module.pathway.pre, {})).clone()
                        sent[:silent] = 0
                    else:
                        sent = module.sent(k, rows, run.env.get(module.pathway.pre, {}))
                    ports[port] = self._add(run, module, k, g, ports[port], sent)
        for (name, at), rows in ports.items():
            if f"{name}:{at}" in self.normalisation:
                ports[name, at] = self.normalisation[f"{name}:{at}"](rows, run.start)
        return ports

    def _run_steps(self, run: _Run, members: tuple[str, ...]) -> None:
        """A recurrent component, step by step in the order of the contract."""
        steps = [self.program.population(name) for name in members]
        modules = self._into(members)
        for p in steps:
            run.rows[p.name] = list(self._with_history(run, p.name, self._anchor.new_zeros(0, run.n_trials, p.size)))
        fused = self.kernels.steps(run, members)
        plastic = [self.pathway(p.name) for p in self.program.pathways if p.rule and p.post in members]  # as declared
        for i in range(run.n_steps):
            for p in steps:
                run.env[p.name].update({port: self._anchor.new_zeros(run.n_trials, p.size) for port in p.ports})
            for module in plastic:
                self._advance_edges(run, module, i)
            self._deliver(run, modules, None, i)
            for s, stage in enumerate(self.program.stages):
                present = [p for p in steps if p.name in stage]
                for p in present:
                    if p.name in fused:
                        self.kernels.step(run, fused[p.name], i)
                    else:
                        self._update(run, p, i)
                self._deliver(run, modules, s, i)
                for p in present:
                    if p.name not in fused:
                        self.dynamics[p.name].reset(run.env[p.name], (run.n_trials, p.size))
            for p in steps:
                if p.name not in fused:
                    self._finish(run, p, i)
            for module in plastic:
                self._learn(run, module, i)

    # -- plastic edges --------------------------------------------------------------------------------------------

    def _ends(self, run: _Run, module: PathwayModule, i: int | None) -> dict[str, Any]:
        """What a rule reads beside its edges; inputs and third factors at the end of step ``i``."""
        rule, p = module.rule, module.pathway
        assert rule is not None
        assert module.all_pre is not None

        def value(source: str) -> torch.Tensor:
            row: torch.Tensor = run.rows[source][self.longest(source) + (i or 0)]
            return row

        names = {"pre": run.env.get(p.pre, {}), "post": run.env[p.post]}
        if p.pre not in run.env and i is not None and "value_pre" in rule.rule.reads:
            names["pre"] = {"value": value(p.pre)}
        found = rule.ends(names, {"pre": module.all_pre, "post": module.all_post})
        if i is not None:
            for s in rule.rule.signals:
                found[s.name] = run.env[s.source][s.variable] if s.source in run.env else value(s.source)
        return found

    def _advance_edges(self, run: _Run, module: PathwayModule, i: int) -> None:
        assert module.rule is not None
        t = (run.start + i) * self.program.dt
        module.rule.advance(run.edges[module.pathway.name], self._ends(run, module, None), t)

    def _learn(self, run: _Run, module: PathwayModule, i: int) -> None:
        p, env = module.pathway, run.edges[module.pathway.name]
        assert module.rule is not None
        fired = run.rows[p.post][-1] > 0 if self.program.population(p.post).threshold else None
        module.rule.learn(
            env, self._ends(run, module, i), fired, module.all_post, run.start + i, self.program.size(p.post)
        )
        for name, found in run.recorded[p.name].items():
            found.append(env[name])

    def _into(self, members: tuple[str, ...]) -> list[PathwayModule]:
        """Pathways into a component in order of arrival: before the stages as declared, then stage by stage."""
        found = [p for p in self.program.pathways if p.post in members]
        found.sort(key=lambda p: -1 if p.stage is None else p.stage)
        return [self.pathway(p.name) for p in found]

    def _deliver(self, run: _Run, modules: list[PathwayModule], stage: int | None, i: int) -> None:
        for module in modules:
            p = module.pathway
            if p.stage != stage:
                continue
            target = run.env[p.post]
            source = run.env.get(p.pre, {})
            depth = self.longest(p.pre)
            for g, group in enumerate(module.edge_groups):
                row = i + depth - group.delay
                if p.emits == "values" and run.start + i < group.delay:
                    continue
                cells = run.cells(p.pre, row) if run.exact and p.emits == "spikes" else None
                if cells is not None and not any(cells):
                    continue
                rows = run.rows[p.pre][row]
                if module.rule:
                    self._deliver_plastic(run, module, g, group, rows)
                    continue
                for k, delivery in enumerate(p.deliveries):
                    per_edge = (
                        module.per_edge(k, group, rows, source, target)
                        if module.reads_post and p.deliveries[k].factor
                        else None
                    )
                    sent = module.sent(k, rows, source)
                    target[delivery.port] = self._add(run, module, k, g, target[delivery.port], sent, per_edge, cells)

    def _deliver_plastic(self, run: _Run, module: PathwayModule, g: int, group: Group, rows: torch.Tensor) -> None:
        """One group's contribution where every trial has weights of its own, edge after edge."""
        p, env = module.pathway, run.edges[module.pathway.name]
        target = run.env[p.post]
        assert p.rule is not None
        own = {name: env[name] for name in (*p.rule.states, *p.rule.parameters)}
        if p.emits == "spikes":
            env[ARRIVED][:, group.chosen] |= rows[:, group.pre] > 0
        for k, delivery in enumerate(p.deliveries):
            carried = module.per_edge(k, group, rows, run.env.get(p.pre, {}), target, own)
            gain = carried * (env[WEIGHT] * run.weights[p.name, k])[:, group.chosen]
            port = target[delivery.port]
            target[delivery.port] = port.t().contiguous().index_add(0, group.post, gain.t()).t()

    def _shifted(self, run: _Run, module: PathwayModule, rows: Any, delay: int) -> torch.Tensor:
        """Rows as they arrive ``delay`` steps later, for all steps of the run."""
        if isinstance(rows, list):
            rows = torch.stack(rows)
        begin = self.longest(module.pathway.pre) - delay
        return rows[begin : begin + run.n_steps]

    def _add(
        self, run: _Run, module: PathwayModule, k: int, g: int, port: torch.Tensor, sent: torch.Tensor,
        per_edge: torch.Tensor | None = None, cells: list[list[int]] | None = None,
    ) -> torch.Tensor:  # fmt: skip
        """The port with one group's contribution; in exact mode in place (every step begins with ports of its own)."""
        group, weight = module.edge_groups[g], run.weights[module.pathway.name, k]
        key = (module.pathway.name, k, g)
        if run.exact:
            if key not in run.ordered:
                run.ordered[key] = group.weights(weight)
            flat = None if per_edge is None else per_edge.reshape(-1, per_edge.shape[-1])
            group.add_in_order(
                port.view(-1, port.shape[-1]), sent.reshape(-1, sent.shape[-1]), run.ordered[key], flat, cells
            )
            return port
        if per_edge is not None:
            return port + group.gather(sent, weight, per_edge)
        if not group.dense:
            return port + edge_sums(sent, group.weights(weight), group.listed(self.fused is not False))
        if key not in run.matrices:
            run.matrices[key] = group.matrix(weight)
        return port + self.kernels.product(module.pathway, sent, run.matrices[key])

    def _advance(self, run: _Run, p: PopulationStep, i: int) -> None:
        self._update(run, p, i)
        self.dynamics[p.name].reset(run.env[p.name], (run.n_trials, p.size))

    def _update(self, run: _Run, p: PopulationStep, i: int) -> None:
        env = run.env[p.name]
        env["t"] = self._anchor.new_full((1,), (run.start + i) * self.program.dt)
        emitted = self.dynamics[p.name].update(env, (run.n_trials, p.size), run.exact)
        if emitted is not None:
            if p.name not in run.rows:
                run.rows[p.name] = list(self._with_history(run, p.name, self._anchor.new_zeros(0, *emitted.shape)))
            run.rows[p.name].append(emitted)

    def _finish(self, run: _Run, p: PopulationStep, i: int) -> None:
        env = run.env[p.name]
        self.dynamics[p.name].after_reset(env, (run.n_trials, p.size))
        for name, found in run.recorded[p.name].items():
            found.append(env[name].expand(run.n_trials, p.size))
        if not torch.is_grad_enabled():
            for name in p.finite:
                if not torch.isfinite(env[name]).all():
                    values = env[name].expand(run.n_trials, p.size)
                    bad = (~torch.isfinite(values)).nonzero()[0]
                    raise numerical_error(
                        self.program, p.name, name, int(bad[1]), run.start + i, float(values[tuple(bad)])
                    )
