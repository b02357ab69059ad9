"""Fused kernels against torch operations: the same spikes in float64, the same gradients to 1e-10, for every circuit.

``CORTEXSNN_FUZZ=N`` (``make fuzz N=200``) adds N random circuits.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import cortexsnn as cx
import everything_trainable as trainable
from cortexsnn.emit.to_torch import Network
from fused_circuits import CIRCUITS, delayed
from random_circuits import seeded_case

pytestmark = pytest.mark.compiled

TOLERANCE = 1e-10
"""Of a gradient, relative to the largest entry of its tensor."""
MORE = int(os.environ.get("CORTEXSNN_FUZZ", "0"))
FIRST_OF_MORE = 20_000


class Run:
    """Both networks run with the same numbers."""

    def __init__(
        self, circuit: cx.Circuit, inputs: Mapping[str, np.ndarray] | None, n_steps: int, n_trials: int, parts: int = 1,
        seed: int = 0, **options: Any,
    ) -> None:  # fmt: skip
        self.eager, self.fused = trainable.networks(circuit, seed, **options)
        self.inputs = {n: torch.tensor(np.asarray(r, float)) for n, r in (inputs or {}).items()} or None
        self.shape = (n_steps, n_trials)
        self.losses = [trainable.losses(n, self.inputs, *self.shape, parts) for n in (self.eager, self.fused)]
        self.gradients = [
            trainable.gradients(n, loss) for n, loss in zip((self.eager, self.fused), self.losses, strict=True)
        ]

    def spikes(self, network: Network) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            outputs, _ = network(self.inputs, None, None if self.inputs else self.shape[0], self.shape[1])
        return {name: found["spikes"] for name, found in outputs.items() if "spikes" in found}

    def check(self) -> int:
        """Everything agrees; returns how many spikes there were."""
        eager, fused = self.spikes(self.eager), self.spikes(self.fused)
        for name, rows in eager.items():
            assert torch.equal(rows, fused[name]), name
        assert torch.allclose(*self.losses, rtol=1e-10, atol=1e-10)
        assert self.worst() <= TOLERANCE, self.where()
        return int(sum(rows.sum() for rows in eager.values()))

    def differences(self) -> dict[str, float]:
        """Largest difference of each gradient, relative to its largest entry."""
        eager, fused = self.gradients
        assert {n for n, g in eager.items() if bool((g != 0).any())} <= set(fused)
        return {
            n: float((eager[n] - fused[n]).abs().max() / eager[n].abs().max().clamp(min=1e-300))
            for n in eager if n in fused
        }  # fmt: skip

    def worst(self) -> float:
        return max(self.differences().values(), default=0.0)

    def where(self) -> str:
        return ", ".join(f"{n}: {d:.1e}" for n, d in self.differences().items() if d > TOLERANCE)


@pytest.mark.parametrize("name", CIRCUITS)
def test_circuits_agree(name: str) -> None:
    run = Run(*CIRCUITS[name]())
    n_spikes = run.check()
    assert n_spikes >= 50, n_spikes
    assert any(bool((g != 0).any()) for g in run.gradients[1].values())


@pytest.mark.parametrize("options", [{"detach_reset": False}, {"derivative": "sigmoid(4)"}, {"derivative": "triangle"}])
def test_options_agree(options: dict[str, Any]) -> None:
    assert Run(*delayed(), **options).check() >= 200


@pytest.mark.parametrize("name", ["conductance_ei", "delays"])
def test_a_run_in_parts_agrees(name: str) -> None:
    """States, spikes on their way, and the gradient back through both."""
    assert Run(*CIRCUITS[name](), parts=3).check() >= 50


def _random(seeds: range) -> None:
    spikes = 0
    for seed in seeds:
        case = seeded_case(seed)
        run = Run(cx.Circuit(**case.mapping), case.inputs, case.n_steps, case.n_trials, seed=case.seed)
        try:
            spikes += run.check()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}\n{case}") from error
    assert spikes >= 50 * len(seeds)


@pytest.mark.parametrize("first", range(0, 12, 4))
def test_random_circuits_agree(first: int) -> None:
    _random(range(first, first + 4))


@pytest.mark.parametrize("first", range(FIRST_OF_MORE, FIRST_OF_MORE + MORE, 4))
def test_more_random_circuits_agree(first: int) -> None:
    _random(range(first, min(first + 4, FIRST_OF_MORE + MORE)))


TRITON = (
    "feedforward",
    "lateral_inhibition",
    "four_mechanisms",
    "shuffled_prediction",
    "lateral_inhibition_recurrent",
    "delays",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRITON)
def test_triton_agrees(name: str) -> None:
    """In Triton's interpreter; on a GPU where there is one."""
    pytest.importorskip("triton", reason="Triton is not installed: pip install triton")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    script = Path(str(trainable.__file__)).with_name("triton_cases.py")
    environment = {**os.environ, "PYTHONPATH": str(script.parent)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script, device, name],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    output, gradient, spikes = map(float, done.stdout.split()[-3:])
    assert output <= TOLERANCE
    assert gradient <= TOLERANCE
    assert spikes >= 50


@pytest.mark.parametrize("trials", [1, 3])
def test_a_large_population_to_whose_port_nothing_arrives(trials: int) -> None:
    """Cells go through a kernel in blocks; a port that is empty in every step has memory for a block only."""
    circuit = cx.Circuit(
        name="free", dt="1 ms",
        neurons={"cell": {"update": "v = 0.5*v + x + 0.6", "ports": {"x": {"kind": "pulse"}}, "threshold": "v > 1", "reset": "v = 0"}},
        populations={"A": {"size": 20_000, "neuron": "cell", "transmitter": "excitatory"}},
    )  # fmt: skip
    found, reference = (cx.simulate(circuit, duration="20 ms", engine=e, trials=trials) for e in ("torch", "numpy"))
    comparison = cx.compare(found, reference)
    assert comparison.met == "bitwise", comparison
    assert comparison.n_spikes >= 100_000


def test_a_network_can_be_copied_and_compiled_around() -> None:
    """``copy.deepcopy`` and ``torch.compile`` meet compiled functions that neither understands."""
    circuit, inputs, _, _ = CIRCUITS["feedforward"]()
    network = cx.to_torch(circuit, dtype=torch.float64, fused=True)
    rows = {n: torch.tensor(r) for n, r in inputs.items()}
    expected = network(rows)[0]["out"]["logit"]
    assert torch.equal(copy.deepcopy(network)(rows)[0]["out"]["logit"], expected)
    around = torch.compile(lambda x: network({"x": x})[0]["out"]["logit"] * 2, backend="eager")
    found = around(rows["x"])
    assert torch.equal(found, expected * 2)
    found.sum().backward()
    assert any(p.grad is not None and bool((p.grad != 0).any()) for p in network.parameters())


def test_another_surrogate_is_seen() -> None:
    """The negative control of the comparison of gradients: a slope that differs by a millionth."""
    run = Run(*delayed())
    other = Run(*delayed(), derivative="atan(2.000002)")
    run.gradients[1] = other.gradients[1]
    assert run.worst() > 100 * TOLERANCE


def test_weights_of_a_delayed_pathway_matter() -> None:
    """The negative control of the comparison of spikes: one weight 1e-3 larger."""
    run = Run(*delayed())
    with torch.no_grad():
        run.fused.pathway("A_B").magnitude[0] *= 1.5
    eager, fused = run.spikes(run.eager), run.spikes(run.fused)
    assert any(not torch.equal(rows, fused[name]) for name, rows in eager.items())
