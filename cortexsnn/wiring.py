"""Which population talks to which: endpoints, stages of the zero-delay graph, components for time batching."""

from __future__ import annotations

import re
from collections.abc import Iterable

import networkx as nx

_ENDPOINT = re.compile(r"\s*([A-Za-z]\w*)\s*(?:\[\s*(\d{0,10})\s*:\s*(\d{0,10})\s*\])?\s*")

Arrow = tuple[str, str]


def endpoint(text: str) -> tuple[str, int | None, int | None] | None:
    """``"E"`` or ``"E[0:100]"`` as (name, start, stop); None if it is neither."""
    found = _ENDPOINT.fullmatch(text)
    if not found:
        return None
    name, start, stop = found.groups()
    return name, int(start) if start else None, int(stop) if stop else None


def endpoint_name(text: str) -> str:
    """Population or input that an accepted endpoint names."""
    found = endpoint(text)
    return found[0] if found else text


def find_cycle(arrows: Iterable[Arrow]) -> list[str] | None:
    """Names along one cycle, the first repeated at the end, or None."""
    try:
        edges = nx.find_cycle(nx.DiGraph(list(arrows)))
    except nx.NetworkXNoCycle:
        return None
    return [edges[0][0], *(edge[1] for edge in edges)]


def stages(nodes: Iterable[str], arrows: Iterable[Arrow]) -> tuple[tuple[str, ...], ...]:
    """Topological generations of an acyclic graph; within one, the order of ``nodes``."""
    order = list(nodes)
    graph = nx.DiGraph()
    graph.add_nodes_from(order)
    graph.add_edges_from(arrows)
    return tuple(tuple(sorted(level, key=order.index)) for level in nx.topological_generations(graph))


def components(nodes: Iterable[str], arrows: Iterable[Arrow]) -> list[tuple[tuple[str, ...], bool]]:
    """Strongly connected components in topological order; the flag says whether the component is recurrent."""
    order, arrow_list = list(nodes), list(arrows)
    graph = nx.DiGraph()
    graph.add_nodes_from(order)
    graph.add_edges_from(arrow_list)
    condensed = nx.condensation(graph)
    first = {c: min(order.index(n) for n in condensed.nodes[c]["members"]) for c in condensed}
    found = []
    for c in nx.lexicographical_topological_sort(condensed, key=lambda c: first[c]):
        members = tuple(sorted(condensed.nodes[c]["members"], key=order.index))
        found.append((members, len(members) > 1 or (members[0], members[0]) in arrow_list))
    return found
