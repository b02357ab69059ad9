"""Kernels know every function of the language and its derivative, at ties and bounds as torch has them; sums over edges."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import cortexsnn as cx
import everything_trainable as trainable
from cortexsnn.expression import FUNCTIONS
from cortexsnn.fused.edges import Edges, edge_sums
from cortexsnn.fused.sparse_rows import listed, product

pytestmark = pytest.mark.compiled

EXPRESSIONS = {
    "positive": "log(1 + x*x) + log10(2 + x*x) + log1p(x*x) + sqrt(0.5 + x*x) + abs(x) + exp(-x*x) + expm1(0.1*x)",
    "around 0": "exprel(x) + exprel(1e-7*x) + tanh(x) + sinh(x) + cosh(x) + arctan(3*x) + sin(x)*cos(2*x) + tan(0.3*x)",
    "inverse": "arcsin(0.3*x) + arccos(0.3*x)",
    "steps": "x*floor(3*x) + x*ceil(2*x) + x*sign(x) + x*int(4*x) + x*int(x > 0.5)",
    "selections": "where(x > 0, x*x, -x) + where((x > -1) and not (x > 1) or x == 2, 3*x, x/2)",
    "clips": "clip(x, 0, 1)*2 + clip(x, -a, b) + clip(x*x, 0.25, inf) + clip(1, x, a)",
    "straight": "straight_through(where(x > 0, 1, 0), x*x)",
    "quotients": "1/(1 + x*x) - (x - a)/(b + x*x)/3 - -x",
}


def test_all_functions_are_here() -> None:
    used = " ".join(EXPRESSIONS.values())
    assert {f for f in FUNCTIONS if f"{f}(" not in used} == set()


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_a_function_and_its_derivative(name: str) -> None:
    circuit = cx.Circuit(
        name="one", dt="1 ms",
        neurons={"cell": {"ports": {"x": {"kind": "pulse"}}, "output": f"r = {EXPRESSIONS[name]}",
                          "parameters": {"a": 0.75, "b": 0.5}}},
        populations={"A": {"size": 64, "neuron": "cell", "transmitter": "mixed"}},
        inputs={"s": {"size": 64, "kind": "current", "unit": "1"}},
        projections={"s_A": {"pre": "s", "post": "A", "port": "x", "connect": "one_to_one", "weight": 1.0}},
    )  # fmt: skip
    special = torch.tensor([0.0, 0.5, 0.75, -0.75, 1.0, -1.0, 2.0, 0.25, -0.5, 1e-6])
    rows = torch.randn(2, 1, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows[0, 0, :10] = special
    found = []
    for network in trainable.networks(circuit):
        drive = rows.clone().requires_grad_()
        outputs, _ = network({"s": drive})
        r = outputs["A"]["r"]
        mix = torch.linspace(0.5, 1.5, r.numel(), dtype=torch.float64).view_as(r)
        found.append((r, *torch.autograd.grad((r * mix).sum(), [drive, *network.parameters()], allow_unused=True)))
    for eager, fused in zip(*found, strict=True):
        if eager is not None and bool((eager != 0).any()):
            torch.testing.assert_close(fused, eager, rtol=1e-12, atol=1e-12)


def _edges(compiled: bool) -> tuple[Edges, torch.Tensor]:
    """Random edges, several between the same pair, some cells without any."""
    random = np.random.default_rng(0)
    pre = np.sort(random.integers(0, 7, 30))
    post = random.integers(0, 5, 30)
    first = np.searchsorted(pre, np.arange(9))
    index = [torch.from_numpy(a) for a in (pre, post, first)]
    return Edges(*index, torch.from_numpy(post.astype(np.int32)), 5, compiled), torch.rand(30, dtype=torch.float64)


@pytest.mark.parametrize("compiled", [True, False])
def test_sums_over_edges_are_products_with_a_matrix(compiled: bool) -> None:
    edges, weight = _edges(compiled)
    matrix = torch.zeros(8, 5, dtype=torch.float64).index_put((edges.pre, edges.post), weight, accumulate=True)
    rows = torch.randn(3, 4, 8, dtype=torch.float64)
    torch.testing.assert_close(edge_sums(rows, weight, edges), rows @ matrix)
    assert torch.autograd.gradcheck(
        lambda x, w: edge_sums(x, w, edges), (rows.requires_grad_(), weight.requires_grad_())
    )


@pytest.mark.slow
def test_twenty_thousand_cells_with_a_thousand_inputs_each_never_become_a_matrix() -> None:
    """A matrix would have 400 million entries; the gradient has one for each of 20 million edges."""
    circuit = cx.Circuit(
        name="large", dt="1 ms",
        neurons={"cell": {"update": "v = 0.5*v + x", "ports": {"x": {"kind": "pulse"}}, "threshold": "v > 1", "reset": "v = 0"}},
        populations={"A": {"size": 20_000, "neuron": "cell", "transmitter": "excitatory"}},
        inputs={"s": {"size": 20_000, "kind": "spikes"}},
        projections={"s_A": {"pre": "s", "post": "A", "port": "x", "connect": {"indegree": 1000}, "weight": 0.03, "trainable": True}},
    )  # fmt: skip
    network = cx.to_torch(circuit)
    rows = (torch.rand(3, 1, 20_000, generator=torch.Generator().manual_seed(0)) < 0.02).float()
    outputs, _ = network({"s": rows})
    outputs["A"]["spikes"].sum().backward()
    gradient = network.pathway("s_A").magnitude.grad
    assert gradient is not None
    assert gradient.shape == (20_000_000,)
    sent = rows.sum((0, 1))[torch.from_numpy(network.realisation.edges["s_A"].pre.astype(np.int64))] > 0
    assert bool((gradient[~sent] == 0).all())
    assert float((gradient[sent] != 0).float().mean()) > 0.9
    assert int(outputs["A"]["spikes"].detach().sum()) > 1000


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5])
def test_products_of_spikes_are_those_of_a_dense_matrix(share: float) -> None:
    """By lists where few cells spike, by a dense product where many do; both with gradients to rows and matrix."""
    generator = torch.Generator().manual_seed(0)
    rows = (torch.rand(20, 8, 130, generator=generator, dtype=torch.float64) < share).double()
    matrix = torch.rand(130, 70, generator=generator, dtype=torch.float64)
    assert (listed(rows.reshape(-1, 130)) is None) == (share == 0.5)
    found = []
    for multiply in (product, torch.matmul):
        x, m = rows.clone().requires_grad_(), matrix.clone().requires_grad_()
        y = multiply(x, m)
        mix = torch.linspace(-1, 1, y.numel(), dtype=torch.float64).view_as(y)
        found.append((y, *torch.autograd.grad((y * mix).sum(), [x, m])))
    for ours, dense in zip(*found, strict=True):
        torch.testing.assert_close(ours, dense, rtol=1e-12, atol=1e-12)
