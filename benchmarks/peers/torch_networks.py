"""The same networks in other libraries, as their documentation writes them; what is not installed is left out."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import nn

Run = Callable[[], object]


def lif(shape: tuple[int, int, int], decay: float = 0.5) -> dict[str, Run]:
    """Leaky integrate-and-fire cells that get given numbers (step, trial, cell), forward and backward."""
    found: dict[str, Run] = {}
    if find_spec("spikingjelly"):
        from spikingjelly.activation_based import functional, neuron

        node = neuron.LIFNode(tau=1 / decay, decay_input=False, v_reset=None, step_mode="m")

        def jelly(x: torch.Tensor) -> torch.Tensor:
            functional.reset_net(node)
            return node(x)  # type: ignore[no-any-return]

        found["SpikingJelly"] = _forward_and_backward(jelly, shape)
    if find_spec("snntorch"):
        import snntorch

        leaky = snntorch.Leaky(beta=decay)

        def snn(x: torch.Tensor) -> torch.Tensor:
            membrane, spikes = leaky.init_leaky(), []
            for row in x:
                spike, membrane = leaky(row, membrane)
                spikes.append(spike)
            return torch.stack(spikes)

        found["snnTorch"] = _forward_and_backward(snn, shape)
    if find_spec("norse"):
        import norse.torch as norse

        cell = norse.Lift(norse.LIFBoxCell())
        found["Norse"] = _forward_and_backward(lambda x: cell(x)[0], shape)
    return found


def _forward_and_backward(cells: Callable[[torch.Tensor], torch.Tensor], shape: tuple[int, int, int]) -> Run:
    generator = torch.Generator().manual_seed(0)
    x, weights = torch.rand(shape, generator=generator).requires_grad_(), torch.rand(shape, generator=generator)

    def run() -> None:
        torch.autograd.backward(cells(x), weights)
        x.grad = None

    return run


class _Recurrent(nn.Module):
    """Input, recurrent cells, read-out without a leak; ``cells(x, state) -> spikes, state`` for one step."""

    def __init__(
        self, sizes: tuple[int, int, int], cells: nn.Module | Callable[..., tuple[torch.Tensor, object]]
    ) -> None:
        super().__init__()
        n_inputs, n_hidden, n_out = sizes
        self.into, self.back = nn.Linear(n_inputs, n_hidden, bias=False), nn.Linear(n_hidden, n_hidden, bias=False)
        self.out, self.cells, self.n_hidden = nn.Linear(n_hidden, n_out, bias=False), cells, n_hidden

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        arriving, spikes, state, rows = self.into(x), x.new_zeros(x.shape[1], self.n_hidden), None, []
        for row in arriving:
            spikes, state = self.cells(row + self.back(spikes), state)
            rows.append(spikes)
        return self.out(torch.stack(rows)).mean(0)  # type: ignore[no-any-return]


def recurrent(sizes: tuple[int, int, int], inputs: torch.Tensor, labels: torch.Tensor) -> dict[str, Run]:
    """A training step of a recurrent network, the gradient and the optimiser's step included."""
    found: dict[str, Run] = {}
    if find_spec("spikingjelly"):
        from spikingjelly.activation_based import functional, neuron

        node = neuron.LIFNode(tau=2.0, decay_input=False, v_reset=None, step_mode="s")
        jelly = _Recurrent(sizes, lambda x, state: (node(x), state))
        found["SpikingJelly"] = training_step(jelly, inputs, labels, lambda: functional.reset_net(node))
    if find_spec("snntorch"):
        import snntorch

        leaky = snntorch.Leaky(beta=0.5)

        def snn(x: torch.Tensor, state: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
            return leaky(x, leaky.init_leaky() if state is None else state)  # type: ignore[no-any-return]

        found["snnTorch"] = training_step(_Recurrent(sizes, snn), inputs, labels)
    if find_spec("norse"):
        import norse.torch as norse

        found["Norse"] = training_step(_Recurrent(sizes, norse.LIFBoxCell()), inputs, labels)
    return found


def training_step(
    model: Callable[[torch.Tensor], torch.Tensor], inputs: torch.Tensor, labels: torch.Tensor,
    before: Callable[[], object] = lambda: None,
) -> Run:  # fmt: skip
    """Forward, backward and a step of Adam."""
    assert isinstance(model, nn.Module)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-4)

    def run() -> None:
        before()
        optimiser.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(model(inputs), labels).backward()
        optimiser.step()

    return run
