"""Several processes train one network: each takes its share of every batch, gradients are added up (torchrun starts the processes)."""

from __future__ import annotations

import atexit

import torch
from torch import distributed


def active() -> bool:
    """Whether there are several processes: a process group was made, as ``join`` does under torchrun."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def join(backend: str | None = None) -> None:
    """Meet the other processes that torchrun started; does nothing without it.

    Parameters
    ----------
    backend : str, optional
        "nccl" where there is a GPU, else "gloo".
    """
    if distributed.is_torchelastic_launched() and not distributed.is_initialized():
        distributed.init_process_group(backend or ("nccl" if torch.cuda.is_available() else "gloo"))
        atexit.register(leave)  # threads of a group that is still there can abort a process that ends


def leave() -> None:
    """Part from the other processes; does nothing alone. ``join`` has it done at the end of the process."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def is_first() -> bool:
    """Whether this process writes files and messages."""
    return not active() or distributed.get_rank() == 0


def share(samples: torch.Tensor) -> torch.Tensor:
    """This process' samples of a batch."""
    return samples.tensor_split(distributed.get_world_size())[distributed.get_rank()] if active() else samples


def weight(n_samples: int) -> float:
    """Share of this process' mean loss in that of the whole batch."""
    if not active():
        return 1.0
    total = torch.tensor(float(n_samples), dtype=torch.float64)
    distributed.all_reduce(total)
    return n_samples / float(total)


def mean(value: float, n_samples: int) -> float:
    """The mean over the whole batch of a mean over this process' samples."""
    if not active():
        return value
    total = torch.tensor([value * n_samples, float(n_samples)], dtype=torch.float64)
    distributed.all_reduce(total)
    return float(total[0] / total[1])


def same_start(network: torch.nn.Module) -> None:
    """All processes begin with the numbers of the first."""
    if active():
        with torch.no_grad():
            for values in (*network.parameters(), *network.buffers()):
                distributed.broadcast(values, 0)


def add_gradients(network: torch.nn.Module) -> None:
    """Gradients of all processes added up, the same everywhere afterwards."""
    if not active():
        return
    for parameter in network.parameters():
        if parameter.requires_grad:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            distributed.all_reduce(parameter.grad)
