"""Projections on tensors: dense products and edge lists for training, sums in the contract's order for exactness."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple, cast

import numpy as np
import torch

from ..expression import compile_tree, names
from ..fused.edges import Edges
from ..fused.plan import reads_post
from ..program import Delivery, Pathway, StepProgram
from ..realise import Edges as RealisedEdges
from .surrogate import ScaleGradient
from .to_torch_library import torch_library
from .to_torch_rule import PlasticRule

DENSE_SHARE = 0.05
"""Least share of possible edges for which a dense product is used."""
DENSE_LIMIT = 2**26
"""Largest dense matrix, in entries."""
FEW_ROWS = 256
"""Up to so many rows, exact mode adds row by row; beyond, edge by edge over all rows."""
CHUNK = 2**24
"""Entries of an edge-by-row block held at once in exact mode."""


class Group(torch.nn.Module):
    """Edges of one pathway that share a delay, in order of presynaptic cell."""

    pre: torch.Tensor
    post: torch.Tensor
    chosen: torch.Tensor
    edges: torch.Tensor
    first_edges: torch.Tensor
    post_cells: torch.Tensor

    def __init__(self, delay: int, chosen: np.ndarray, edges: RealisedEdges, n_pre: int, n_post: int) -> None:
        super().__init__()
        self.delay, self.n_pre, self.n_post = delay, n_pre, n_post
        pre, post = edges.pre[chosen].astype(np.int64), edges.post[chosen].astype(np.int64)
        # Cell c owns the edges first_edges[c] to first_edges[c + 1].
        first = np.searchsorted(pre, np.arange(n_pre + 1))
        self.first = first.tolist()
        for name, index in (
            ("pre", pre), ("post", post), ("chosen", chosen), ("edges", np.arange(chosen.size)), ("first_edges", first),
            ("post_cells", post.astype(np.int32)),
        ):  # fmt: skip
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(index)), persistent=False)
        flat = pre * n_post + post
        self.full = chosen.size == n_pre * n_post and bool((flat == np.arange(chosen.size)).all())
        self.in_order = bool((chosen == np.arange(edges.pre.size)).all()) if chosen.size == edges.pre.size else False
        self.dense = self.full or (chosen.size >= DENSE_SHARE * n_pre * n_post and n_pre * n_post <= DENSE_LIMIT)
        self.repeated = self.dense and not self.full and np.unique(flat).size < flat.size

    def weights(self, weight: torch.Tensor) -> torch.Tensor:
        """Weights of this group's edges, from those of the whole pathway."""
        return weight if self.in_order else weight[self.chosen]

    def matrix(self, weight: torch.Tensor) -> torch.Tensor:
        """Dense (pre, post) matrix; edges that join the same pair add up."""
        weight = self.weights(weight)
        if self.full:
            return weight.view(self.n_pre, self.n_post)
        flat = weight.new_zeros(self.n_pre * self.n_post)
        return flat.index_add(0, self.pre * self.n_post + self.post, weight).view(self.n_pre, self.n_post)

    def listed(self, compiled: bool) -> Edges:
        """The edges as a list; ``compiled`` allows compiled sums."""
        return Edges(self.pre, self.post, self.first_edges, self.post_cells, self.n_post, compiled)

    def gather(self, rows: torch.Tensor, weight: torch.Tensor, per_edge: torch.Tensor) -> torch.Tensor:
        """Sum over edges of what each carries, ``per_edge`` (…, edge), for rows (…, pre); (…, post), differentiable."""
        gains = per_edge * self.weights(weight)
        return gains.new_zeros((*rows.shape[:-1], self.n_post)).index_add(-1, self.post, gains)

    def add_in_order(
        self, port: torch.Tensor, rows: torch.Tensor, weight: torch.Tensor, per_edge: torch.Tensor | None,
        cells: list[list[int]] | None = None,
    ) -> None:  # fmt: skip
        """Add to ``port`` (row, post) in place, edge after edge, as the reference does.

        ``weight`` is that of this group's edges; ``cells`` are those of each row that send something, if known.
        """
        pre, post = self.pre, self.post
        if per_edge is not None:
            port.copy_(port.t().contiguous().index_add_(0, post, (per_edge * weight).t()).t())
            return
        if rows.shape[0] <= FEW_ROWS:  # row by row, only cells that send something: adding zeros changes nothing
            for k, (row, into) in enumerate(zip(rows, port, strict=True)):
                sending = cells[k] if cells else row.nonzero().squeeze(-1).tolist()
                if sending:
                    active = torch.cat([self.edges[self.first[c] : self.first[c + 1]] for c in sending])
                    into.index_add_(0, post[active], row[pre[active]] * weight[active])
            return
        target = port.t().contiguous()
        step = max(1, CHUNK // rows.shape[0])
        columns = rows.t().contiguous()
        for start in range(0, pre.numel(), step):
            part = slice(start, start + step)
            target.index_add_(0, post[part], columns[pre[part]] * weight[part, None])
        port.copy_(target.t())


class Joined(NamedTuple):
    """Edges of all groups of a pathway in one list, the longest delay first; cell c of group g owns the edges ``first[g, c]`` to
    ``first[g, c + 1]``. ``chosen`` are their places in the pathway."""

    first: torch.Tensor
    post: torch.Tensor
    chosen: torch.Tensor
    delays: torch.Tensor


class PathwayModule(torch.nn.Module):
    """One projection: its edges, and its magnitudes as parameter or buffer.

    ``magnitude`` is (parameter,): one per edge, or one per kernel entry where edges share.
    """

    magnitude: torch.Tensor
    index: torch.Tensor | None
    all_post: torch.Tensor
    all_pre: torch.Tensor | None

    def __init__(
        self, pathway: Pathway, program: StepProgram, edges: RealisedEdges, dtype: torch.dtype, trainable: bool, signed: bool,
        gradient_scale: float, rule: PlasticRule | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.rule = rule
        self.pathway, self.trainable, self.signed, self.gradient_scale = pathway, trainable, signed, gradient_scale
        n_pre, n_post = program.size(pathway.pre), program.size(pathway.post)
        magnitude = torch.tensor(edges.values if edges.index is not None else edges.weight, dtype=dtype)
        if trainable:
            self.magnitude = torch.nn.Parameter(magnitude)
        else:
            self.register_buffer("magnitude", magnitude)
        index = None if edges.index is None else torch.from_numpy(np.ascontiguousarray(edges.index))
        self.register_buffer("index", index, persistent=False)
        self.register_buffer("all_post", torch.from_numpy(edges.post.astype(np.int64)), persistent=False)
        all_pre = torch.from_numpy(edges.pre.astype(np.int64)) if rule else None
        self.register_buffer("all_pre", all_pre, persistent=False)
        order = np.argsort(edges.pre, kind="stable")
        delay = np.broadcast_to(edges.delay, edges.pre.shape)[order]
        self.groups = torch.nn.ModuleList(
            Group(int(d), order[delay == d], edges, n_pre, n_post) for d in np.unique(delay)[::-1]
        )
        self.edge_groups = cast(list[Group], list(self.groups))  # a ModuleList is slow to index
        self.longest = edges.max_delay
        self.factors = [compile_tree(d.factor, torch_library(dtype)) if d.factor else None for d in pathway.deliveries]
        post = program.population(pathway.post)
        self.post_names = {f"{n}_post": n for n in (*post.states, *post.parameters)}
        read = set().union(*(names(d.factor) for d in pathway.deliveries if d.factor))
        source = next((p for p in program.populations if p.name == pathway.pre), None)
        self.reads_post = reads_post(pathway, program)
        varying = {*source.states, *(r.name for r in source.reductions)} if source else set()
        self.reads_state = bool(read & varying) or self.reads_post
        self.emitted_name = source.output.target if source and source.output else "value"

    @cached_property
    def joined(self) -> Joined:
        """On the CPU, for kernels that go through the delays in a loop."""
        groups = self.edge_groups
        before = np.cumsum([0, *(g.chosen.numel() for g in groups[:-1])])
        first = torch.stack([g.first_edges + int(n) for g, n in zip(groups, before, strict=True)])
        delays = torch.tensor([g.delay for g in groups], dtype=torch.int64)
        return Joined(first, torch.cat([g.post_cells for g in groups]), torch.cat([g.chosen for g in groups]), delays)

    def effective(self, delivery: Delivery, constants: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Signed weight of every edge for one port, (edge,); where a rule moves magnitudes, what they are multiplied with."""
        weight = self.magnitude.new_ones(1) if self.rule else self.magnitude
        if self.gradient_scale != 1.0 and torch.is_grad_enabled():
            weight = ScaleGradient.apply(weight, self.gradient_scale)
        if self.index is not None:
            weight = weight[self.index]
        if delivery.sign < 0:
            weight = -weight
        if delivery.scale is not None:
            scale = constants[delivery.scale]
            weight = weight * (scale if scale.numel() == 1 else scale[self.all_post])
        return weight

    def sent(self, k: int, rows: torch.Tensor, source: Mapping[str, Any]) -> torch.Tensor:
        """What the presynaptic cells send through delivery ``k``: rows times a factor of presynaptic values."""
        factor = self.factors[k]
        if factor is None or self.reads_post:
            return rows
        values = {**source, **({self.emitted_name: rows} if self.pathway.emits == "values" else {})}
        gain = factor(values)
        return rows * gain if self.pathway.emits == "spikes" else gain.expand(rows.shape)

    def per_edge(
        self, k: int, group: Group, rows: torch.Tensor, source: Mapping[str, Any], target: Mapping[str, Any],
        own: Mapping[str, Any] | None = None,
    ) -> torch.Tensor:  # fmt: skip
        """What each edge carries, before its weight, from values of both ends and its ``own``: (row, edge)."""
        factor = self.factors[k]
        if factor is None:
            return rows[..., group.pre]

        def at(value: Any, index: torch.Tensor) -> Any:
            return value[..., index] if isinstance(value, torch.Tensor) and value.shape[-1:].numel() > 1 else value

        values: dict[str, Any] = {n: at(v, group.pre) for n, v in source.items()}
        if self.pathway.emits == "values":
            values[self.emitted_name] = rows[..., group.pre]
        values.update({n: at(target[plain], group.post) for n, plain in self.post_names.items() if plain in target})
        values.update({n: at(v, group.chosen) for n, v in (own or {}).items()})
        gain = torch.as_tensor(factor(values), dtype=rows.dtype).expand(rows.shape[:-1] + group.pre.shape)
        return rows[..., group.pre] * gain if self.pathway.emits == "spikes" else gain
