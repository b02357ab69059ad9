"""Components of a network run by fused kernels: which pathways they deliver, and tables of numbers to and from a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ..fused import compiled, triton_kernel
from ..fused.component import Call, ComponentFunction, Kernels, Tensors, run_forward
from ..fused.cpp import CONSTANT, EMITTED, PORT, STATE
from ..fused.forward import RECORD
from ..fused.phases import Block, phases
from ..fused.plan import MOST_WRITTEN_OUT, EdgeGroup, Plan, why_not
from ..fused.sparse_rows import product
from ..job import numerical_error
from ..program import Pathway
from .surrogate import expression
from .to_torch_numbers import capturing
from .to_torch_pathway import Group, PathwayModule

if TYPE_CHECKING:
    from .to_torch import Network, _Run


class FusedComponents:
    """Kernels of a network, by component and mode of the run."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._kernels: dict[object, Kernels] = {}
        self._reasons: dict[object, str | None] = {}

    def __getstate__(self) -> dict[str, object]:
        """A copy of a network finds its kernels again."""
        return {"network": self.network, "_kernels": {}, "_reasons": {}}

    def why_not(self, members: tuple[str, ...]) -> str | None:
        """Why a component is not run by kernels, None if it is."""
        key = (members, self.network._anchor.device.type)
        if key not in self._reasons:
            self._reasons[key] = self._why_not(members)
        return self._reasons[key]

    def _why_not(self, members: tuple[str, ...]) -> str | None:
        network = self.network
        pathways = tuple(m.pathway for m in network._into(members))
        plastic = next((p.name for p in pathways if p.rule), None)
        if plastic:
            return f"projections.{plastic}: plastic edges go step by step"
        reason = why_not(network.program, members, pathways)
        match network._anchor.device.type:
            case "cpu":
                return compiled.why_not() or reason
            case "cuda":
                return triton_kernel.why_not() or reason or self._why_not_on_gpu(members)
        return f"no kernels for {network._anchor.device.type}"

    def _why_not_on_gpu(self, members: tuple[str, ...]) -> str | None:
        p = self.network.program.population(members[0])
        if len(members) > 1 or any(m.pathway.pre in members or m.reads_state for m in self.network._into(members)):
            return "recurrent components go step by step on a GPU"
        if p.reductions and p.size > triton_kernel.LARGEST_BLOCK:
            return f"a reduction over {p.size} cells"
        return None

    @property
    def _on_gpu(self) -> bool:
        return self.network._anchor.device.type == "cuda"

    def run(self, run: _Run, members: tuple[str, ...]) -> None:
        """Run a component; rows, states and recorded rows go into ``run``."""
        network = self.network
        inside, ports = self._arrivals(run, members)
        kernels = self._kernels_of(run, members, inside, ports is not None)
        plan = kernels.plan
        sources = dict.fromkeys((*members, *(m.pathway.pre for m in inside)))
        depth = {s: network.longest(s) for s in sources}
        given, fixed = self._numbers(run, plan, {m.pathway.pre for m in inside})
        for source in sources:
            if source in run.rows:
                rows = run.rows[source]
                given[f"{EMITTED}:{source}"] = torch.stack(rows) if isinstance(rows, list) else rows
            elif depth[source]:
                empty = network._anchor.new_zeros(0, run.n_trials, network.program.size(source))
                given[f"{EMITTED}:{source}"] = network._with_history(run, source, empty)
        for (population, port), rows in (ports or {}).items():
            given[f"{PORT}:{population}:{port}"] = rows
        for module in inside:
            self._weights(run, module, given, fixed)
        lists = {(m.pathway.name, g): e.listed(True) for m in inside for g, e in enumerate(m.edge_groups)}
        delays = {m.pathway.name: tuple(g.delay for g in m.edge_groups) for m in inside}
        call = Call(kernels, run.n_steps, run.n_trials, run.start, depth, fixed, lists, delays)
        results = self._results(run, call, given, members)
        for p in plan.populations:
            for state in p.states:
                run.env[p.name][state] = results[f"{STATE}:{p.name}:{state}"]
            if p.emits:
                rows = run.rows[p.name] = results[f"{EMITTED}:{p.name}"]
                now = rows[depth[p.name] :] if depth[p.name] else rows  # a slice costs a copy on the way back
                run.recorded[p.name][str(network.emitted_name(p.name))] = now
            for probe in plan.probes.get(p.name, ()):
                run.recorded[p.name][probe] = results[f"{RECORD}:{p.name}:{probe}"]

    def product(self, pathway: Pathway, sent: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
        """Rows times a matrix, by lists of spikes where that is possible."""
        same = sent.dtype == matrix.dtype == self.network.dtype and not torch.is_autocast_enabled("cpu")
        if (
            pathway.emits == "spikes" and same and sent.ndim == 3 and sent.device.type == "cpu"
            and self.network.fused is not False and compiled.why_not() is None
        ):  # fmt: skip
            return product(sent, matrix)
        return sent @ matrix

    def steps(self, run: _Run, members: tuple[str, ...]) -> dict[str, Kernels]:
        """Kernels for one step of each population of a recurrent component, on a GPU, where nothing happens within its step."""
        network = self.network
        if not self._on_gpu or network.fused is False or triton_kernel.why_not():
            return {}
        inside = tuple(m.pathway for m in network._into(members))
        blocks_of = [x.population.name for x in phases(network.program, members, inside) if isinstance(x, Block)]
        found = {}
        for name in members:
            p, blocks = network.program.population(name), blocks_of.count(name)
            if blocks == 1 + bool(p.reductions) and (not p.reductions or p.size <= triton_kernel.LARGEST_BLOCK):
                found[name] = self._kernels_of(run, (name,), [], True)
        return found

    def step(self, run: _Run, kernels: Kernels, i: int) -> None:
        """One step of a population whose ports are full."""
        network, plan = self.network, kernels.plan
        (p,) = plan.populations
        env = run.env[p.name]
        given, fixed = self._numbers(run, plan, set())
        given |= {f"{PORT}:{p.name}:{port}": env[port].unsqueeze(0) for port in p.ports}
        call = Call(kernels, 1, run.n_trials, run.start + i, {p.name: 0}, fixed, {}, {})
        results = self._results(run, call, given, None)
        for state in p.states:
            env[state] = results[f"{STATE}:{p.name}:{state}"]
        if p.emits:
            emitted = results[f"{EMITTED}:{p.name}"][0]
            run.rows[p.name].append(emitted)
            run.recorded[p.name][str(network.emitted_name(p.name))].append(emitted)
        for probe in plan.probes.get(p.name, ()):
            run.recorded[p.name][probe].append(results[f"{RECORD}:{p.name}:{probe}"][0])

    def _kernels_of(
        self, run: _Run, members: tuple[str, ...], inside: list[PathwayModule], keeps_ports: bool
    ) -> Kernels:
        network, grad = self.network, torch.is_grad_enabled()
        if grad:
            self._scales(members)
        constants = {
            (p, n): v
            for p in dict.fromkeys((*members, *(m.pathway.pre for m in inside)))
            for n, v in run.constants.get(p, {}).items()
        }
        varying = frozenset(k for k, v in constants.items() if v.numel() > 1)
        differentiable = frozenset(k for k, v in constants.items() if grad and v.requires_grad)
        probes = {p: tuple(network.probes.get(p, ())) for p in members}
        key = (members, tuple(m.pathway.name for m in inside), keeps_ports, grad, varying, differentiable,
               tuple(probes.items()), run.exact, self._on_gpu)  # fmt: skip
        if key not in self._kernels:
            plan = Plan(
                program=network.program,
                members=members,
                inside=tuple(m.pathway.name for m in inside),
                groups={m.pathway.name: _groups(run, m) for m in inside},
                varying=varying,
                differentiable=differentiable,
                probes=probes,
                number=compiled.number_of(network.dtype),
                keeps_ports=keeps_ports,
                checks=not grad,
                surrogate=expression(network.surrogate),
                detach_reset=network.dynamics[members[0]].detach_reset or not grad,
            )
            self._kernels[key] = Kernels(plan, self._on_gpu)
        return self._kernels[key]

    def _numbers(self, run: _Run, plan: Plan, sources: set[str]) -> tuple[Tensors, Tensors]:
        """States and constants that gradients go to, and constants that none go to."""
        network = self.network
        given = {f"{STATE}:{p.name}:{state}": run.env[p.name][state] for p in plan.populations for state in p.states}
        fixed: Tensors = {"like": network._anchor}
        for name in {*plan.members, *sources}:
            for constant, value in run.constants.get(name, {}).items():
                target = given if (name, constant) in plan.differentiable else fixed
                target[f"{CONSTANT}:{name}:{constant}"] = value.contiguous()  # propagators are views
        return given, fixed

    def _results(self, run: _Run, call: Call, given: Tensors, members: tuple[str, ...] | None) -> Tensors:
        """What the forward kernel gives; ``members`` are looked at for NaN and infinity."""
        plan, network = call.kernels.plan, self.network
        given = {n: t.to(network.dtype) for n, t in given.items()}
        if torch.is_grad_enabled():
            outputs = ComponentFunction.apply(call, tuple(given), *given.values())
            return dict(zip(_result_names(plan), outputs, strict=True))
        results, bad, _ = run_forward(call, given)
        if members and self._on_gpu and not capturing(network._anchor) and not _finite(results):
            network._run_batched(run, members[0])  # says where
        self._check(run, plan, results, bad)
        return results

    def _arrivals(
        self, run: _Run, members: tuple[str, ...]
    ) -> tuple[list[PathwayModule], dict[tuple[str, str], torch.Tensor] | None]:
        """Modules whose pathways the kernel delivers, and what all others bring; None where it delivers everything."""
        network = self.network
        modules = network._into(members)
        normalised = any(key.split(":")[0] in members for key in network.normalisation)
        if run.exact and not normalised and not self._on_gpu:
            return modules, None
        inside = [m for m in modules if m.pathway.pre in members or m.reads_state]
        ports = network.arrivals(run, members, [m for m in modules if m not in inside])
        return inside, ports

    def _scales(self, members: tuple[str, ...]) -> None:
        """Raise the error of a threshold that cannot be trained."""
        for name in members:
            if self.network.program.population(name).threshold:
                self.network.dynamics[name].scale()

    def _weights(self, run: _Run, module: PathwayModule, given: Tensors, fixed: Tensors) -> None:
        name = module.pathway.name
        if _in_a_loop(module):
            joined = module.joined
            fixed |= {f"first:{name}:0": joined.first, f"post:{name}:0": joined.post, f"delays:{name}": joined.delays}
            for k in range(len(module.pathway.deliveries)):
                weight = run.weights[name, k]
                target = given if weight.requires_grad and torch.is_grad_enabled() else fixed
                target[f"weight:{name}:{k}:0"] = weight.expand(joined.chosen.shape)[joined.chosen]
            return
        for g, group in enumerate(module.edge_groups):
            matrix = _as_matrix(run, module, group)
            if not matrix:
                fixed[f"first:{name}:{g}"], fixed[f"post:{name}:{g}"] = group.first_edges, group.post_cells
            for k in range(len(module.pathway.deliveries)):
                weight = run.weights[name, k]
                weight = group.matrix(weight) if matrix else group.weights(weight)
                target = given if weight.requires_grad and torch.is_grad_enabled() else fixed
                target[f"{'matrix' if matrix else 'weight'}:{name}:{k}:{g}"] = weight.contiguous()

    def _check(self, run: _Run, plan: Plan, results: Tensors, bad: torch.Tensor | None) -> None:
        """Raise the error of the first step in which a state left the numbers."""
        found = [] if bad is None else [tuple(row) for row in bad.tolist() if row[0] >= 0]
        if not found:
            return
        worst: list[tuple[int, int, int, int, int, float]] = []
        first = min(step for step, _, _ in found)
        for step, number, trial in found:
            if step != first:
                continue
            p = plan.program.populations[number]
            for v, name in enumerate(p.finite):
                if name in p.states:
                    values = results[f"{STATE}:{p.name}:{name}"][trial]
                else:
                    values = results[f"{EMITTED}:{p.name}"][step - run.n_steps, trial]
                for neuron in (~torch.isfinite(values)).nonzero()[:1].flatten().tolist():
                    worst.append((number, v, trial, neuron, step, float(values[neuron])))
        number, v, _, neuron, step, value = min(worst)
        p = plan.program.populations[number]
        raise numerical_error(plan.program, p.name, p.finite[v], neuron, run.start + step, value)


def _in_a_loop(module: PathwayModule) -> bool:
    return len(module.edge_groups) > MOST_WRITTEN_OUT


def _groups(run: _Run, module: PathwayModule) -> tuple[EdgeGroup, ...]:
    if _in_a_loop(module):
        return (EdgeGroup(None, False),)
    return tuple(EdgeGroup(g.delay, _as_matrix(run, module, g)) for g in module.edge_groups)


def _as_matrix(run: _Run, module: PathwayModule, group: Group) -> bool:
    """A matrix adds up edges that join the same pair; exact sums add them one by one."""
    return group.dense and not module.reads_post and not (run.exact and group.repeated)


def _finite(results: Tensors) -> bool:
    return all(bool(torch.isfinite(rows).all()) for rows in results.values())


def _result_names(plan: Plan) -> list[str]:
    """Names of what ``run_forward`` returns, in its order."""
    found = []
    for p in plan.populations:
        found += [f"{EMITTED}:{p.name}"] if p.emits else []
        found += [f"{RECORD}:{p.name}:{n}" for n in plan.probes.get(p.name, ())]
        found += [f"{STATE}:{p.name}:{n}" for n in p.states]
    return found
