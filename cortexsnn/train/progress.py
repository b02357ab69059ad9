"""Where a training is: epoch and batch, weights, optimiser, schedule, generator, history, the best weights so far."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..emit.to_torch import Network
from ..errors import CheckpointError
from . import checkpoint, together
from .settings import Settings, optimiser_of, scaler_of, schedule_of


@dataclass
class History:
    """Per epoch: mean training loss, validation loss and accuracy in [0, 1]; ``best`` is the epoch of the weights that are kept."""

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    best: int = 0


class Progress:
    """A training under way.

    Attributes
    ----------
    epoch, batch : int
        Epochs done, and batches done of the one under way.
    history : History
    kept : dict
        Weights of the best epoch.
    finished : bool
    """

    def __init__(
        self, network: Network, settings: Settings, seed: int, n_samples: int, path: Path | None, every: float,
        identity: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.network, self.settings, self.path, self.every = network, settings, path, every
        self.identity = dict(identity or {})
        self.seed, self.n_samples = seed, n_samples
        self.optimiser = optimiser_of(network, settings)
        per_epoch = -(-n_samples // settings.batch)
        self.schedule = schedule_of(self.optimiser, settings, settings.epochs * per_epoch)
        self.scaler = scaler_of(network, settings)
        self.generator = torch.Generator().manual_seed(seed)
        self.history = History()
        self.epoch = self.batch = 0
        self.total = 0.0
        self.best: tuple[float, float] = (-1.0, 0.0)
        self.kept: dict[str, torch.Tensor] = {}
        self.stopped = False
        self._order_from = self.generator.get_state()
        self._saved = time.monotonic()
        self._pending: tuple[dict[str, torch.Tensor], dict[str, Any]] | None = None

    @property
    def finished(self) -> bool:
        return self.stopped or self.epoch >= self.settings.epochs

    @property
    def where(self) -> str:
        """For messages."""
        return f"epoch {self.epoch}, batch {self.batch}"

    @property
    def may_overflow(self) -> bool:
        """Whether a gradient that is not finite can be the doing of a large scale of the loss: the next step has a smaller one."""
        return self.scaler.is_enabled() and self.scaler.get_scale() > 1.0

    def step(self) -> None:
        """A step of the optimiser and the schedule, left out where the gradient overflowed."""
        scale = self.scaler.get_scale()
        self.scaler.step(self.optimiser)
        self.scaler.update()
        if self.scaler.get_scale() >= scale:
            self.schedule.step()

    def begin(self) -> None:
        """The network is as the training finds it."""
        self.kept = copy.deepcopy(self.network.state_dict())
        self.save()

    def batches(self) -> Iterator[torch.Tensor]:
        """Samples of the batches of this epoch that are still to be done."""
        self._order_from = self.generator.get_state()
        order = torch.randperm(self.n_samples, generator=self.generator).split(self.settings.batch)
        yield from order[self.batch :]

    def done(self, loss: float, n_samples: int) -> None:
        """A batch is done."""
        self.total += loss * n_samples
        self.batch += 1
        if self.path is not None and time.monotonic() - self._saved >= self.every:
            self._pending = self._content()

    def confirm(self) -> None:
        """The next loss was a sound one: what the last batch left may be kept."""
        if self._pending is not None:
            self._write(*self._pending)

    def end_epoch(self, score: tuple[float, float], newest: bool, stop: bool) -> None:
        """An epoch is done; its weights are kept if none were better, or always if ``newest``."""
        self.history.loss.append(self.total / self.n_samples)
        if newest or score > self.best:
            self.best, self.history.best = score, self.epoch
            self.kept = copy.deepcopy(self.network.state_dict())
        patience = self.settings.patience
        self.stopped = stop or (patience is not None and self.epoch - self.history.best >= patience)
        self.epoch, self.batch, self.total = self.epoch + 1, 0, 0.0
        self._order_from = self.generator.get_state()
        self.save()

    # -- the file -------------------------------------------------------------------------------------------------

    def _identity(self) -> dict[str, Any]:
        """What must be the same for a training to go on."""
        return {
            "program": self.network.program.hash, "settings": dataclasses.asdict(self.settings), "seed": self.seed,
            "samples": self.n_samples, "dtype": str(self.network.dtype), "surrogate": self.network.surrogate,
            "realisation": self.network.realisation.seed, "detach_reset": all(d.detach_reset for d in self.network.dynamics.values()),
            "numbers": _numbers_of(self.network), **self.identity,
        }  # fmt: skip

    def save(self) -> None:
        """Write the checkpoint, if there is to be one."""
        if self.path is not None:
            self._write(*self._content())

    def _write(self, tensors: dict[str, torch.Tensor], data: dict[str, Any]) -> None:
        """Of several processes the first does."""
        self._saved, self._pending = time.monotonic(), None
        if self.path is not None and together.is_first():
            checkpoint.write(self.path, tensors, data)

    def _content(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """All that a training needs to go on, as it is now."""
        optimiser, groups = checkpoint.optimiser_state(self.optimiser)
        tensors = {
            "order": self._order_from,
            "generator": torch.get_rng_state(),
            **{f"network/{n}": t for n, t in self.network.state_dict().items()},
            **{f"kept/{n}": t for n, t in self.kept.items()},
            **{f"optimiser/{n}": t for n, t in optimiser.items()},
        }
        data = {
            "identity": self._identity(), "epoch": self.epoch, "batch": self.batch, "total": self.total, "best": self.best,
            "stopped": self.stopped, "history": dataclasses.asdict(self.history), "optimiser": groups,
            "schedule": self.schedule.state_dict(), "scaler": self.scaler.state_dict(),
        }  # fmt: skip
        return {n: t.detach().clone() for n, t in tensors.items()}, copy.deepcopy(data)

    def restore(self) -> bool:
        """Go on from the checkpoint, if there is one.

        Raises
        ------
        CheckpointError
            Damaged, or of another training: names what differs.
        """
        if self.path is None or not self.path.exists():
            return False
        tensors, data = checkpoint.read(self.path)
        ours, theirs = _flat(self._identity()), _flat(data.get("identity", {}))
        different = [
            f"{n} {theirs.get(n)} there, {ours.get(n)} here" for n in ours | theirs if ours.get(n) != theirs.get(n)
        ]
        if different:
            raise CheckpointError(
                f"{self.path}: of another training ({'; '.join(different)}); choose another file or remove this one"
            )

        def part(prefix: str) -> dict[str, torch.Tensor]:
            return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}

        self.network.load_state_dict(part("network/"))
        self.kept = part("kept/")
        checkpoint.restore_optimiser(self.optimiser, part("optimiser/"), data["optimiser"])
        self.schedule.load_state_dict(data["schedule"])
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(data["scaler"])
        self.generator.set_state(tensors["order"])
        torch.set_rng_state(tensors["generator"])
        self.epoch, self.batch, self.total = data["epoch"], data["batch"], data["total"]
        self.best, self.stopped = (data["best"][0], data["best"][1]), data["stopped"]
        self.history = History(**data["history"])
        return True


def digest(*arrays: Any) -> str:
    """Name of some numbers, 16 hexadecimal digits."""
    found = hashlib.sha256()
    for array in map(np.ascontiguousarray, arrays):
        found.update(f"{array.dtype.str}{array.shape}".encode() + array.tobytes())
    return found.hexdigest()[:16]


def _numbers_of(network: Network) -> str:
    """Name of all that was drawn for a network: parameters, initial values, edges."""
    drawn = network.realisation
    numbers = [
        v for found in (drawn.parameters, drawn.initial) for p in sorted(found) for _, v in sorted(found[p].items())
    ]
    for name in sorted(drawn.rules):
        numbers += [v for _, v in sorted(drawn.rules[name].constants.items())]
        numbers += [np.array(v) for _, v in sorted(drawn.rules[name].initial.items())]
    declared = repr((network.training_data.weights, network.training_data.numbers)).encode()
    numbers.append(np.frombuffer(declared, np.uint8))
    for name in sorted(drawn.edges):
        edges = drawn.edges[name]
        numbers += [edges.pre, edges.post, edges.values, edges.delay]
    return digest(*numbers)


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found
