"""Surrogate-gradient training of a classifier with a graded read-out, which survives being killed at any instant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from ..emit.to_torch import Network
from ..errors import InputError, NumericalError
from . import together
from .data import Part
from .encode import Encoder, repeated
from .initialise import initialise
from .penalties import Outputs, Penalty
from .progress import History, Progress, digest
from .rates import rate_scores, readout_of
from .settings import Settings
from .windows import Rows, windows

Objective = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Loss of scores (sample, class) and labels (sample,)."""
LARGEST_LOSS = 1e6
"""Beyond, a training has exploded."""
VALIDATED_AT_ONCE = 8
"""Batches of the validation part that are run together."""


def fit(
    network: Network,
    train: Part,
    validation: Part,
    settings: Settings,
    seed: int,
    report: Callable[[int, History], object] = lambda e, h: None,
    encode: Encoder | None = None,
    penalty: Penalty | None = None,
    until: float | None = None,
    checkpoint: Path | str | None = None,
    every: float = 60.0,
    encode_validation: Encoder | None = None,
    objective: Objective | None = None,
) -> History:
    """Train in place and leave the network at its best epoch on the validation part.

    Deterministic for a seed on one machine and number of threads. Magnitudes stay >= 0: every forward call projects. Under ``torchrun``
    each process takes its share of every batch, and all end with the same network; a penalty is each process' of its own share.

    Parameters
    ----------
    network : Network
        With a read-out; initialised here from the first batch where its circuit names an initialisation.
    train, validation : Part
    settings : Settings
    seed : int
        Order of the batches.
    report : callable(epoch, history)
        Called after every epoch.
    encode : callable, optional
        Samples (sample, …) to input rows (step, sample, channel); repeats images for ``settings.n_steps`` unless given.
    penalty : callable(outputs), optional
        A further term of the loss, from what the network returned; see ``cortexsnn.train.penalties``.
    until : float, between 0 and 1, optional
        Stop at the first epoch whose validation accuracy, mean with the two epochs before, reaches this, and keep the weights of
        that epoch: to compare networks at equal accuracy, without favouring a lucky epoch.
    checkpoint : path, optional
        A file that holds everything: a call that finds it goes on from there, and ends bit for bit where a call that was never
        interrupted ends. It is replaced in one instant, so it survives a kill at any moment.
    every : float
        Seconds between checkpoints within an epoch; 0 for one after every batch.
    encode_validation : callable, optional
        For a validation part from another file than the training part, whose samples another encoder reads.
    objective : callable(scores, labels), optional
        The loss of scores (sample, class); cross-entropy with ``label_smoothing`` unless given. With an attribute ``copies`` it gets scores of
        so many copies of the batch, one after the other.

    Raises
    ------
    InputError
        The circuit has no read-out or not exactly one input; samples and labels do not fit each other or the read-out.
    NumericalError
        Loss or gradient are no longer finite, or the loss has exploded; names epoch, batch and the population and step, or the
        parameter, where it began. The last checkpoint is kept.
    CheckpointError
        The checkpoint is damaged or of another training, or cannot be written.
    """
    name = input_name(network)
    if settings.gradient == "rate" and penalty is not None:
        raise InputError("penalty: gradients through rates know no single steps; leave it out, or settings.gradient")
    check_part(network, "train", train)
    check_part(network, "validation", validation)
    labels = torch.as_tensor(train.labels)
    images = torch.as_tensor(train.images, dtype=network.dtype)
    encode = encode or repeated(settings.n_steps)
    named = None if objective is None else getattr(objective, "__name__", type(objective).__name__)
    identity = {
        "data": digest(train.images, train.labels), "validation": digest(validation.images, validation.labels), "penalty": penalty is not None, "objective": named,
    }  # fmt: skip
    progress = Progress(
        network, settings, seed, len(labels), None if checkpoint is None else Path(checkpoint), every, identity
    )
    if not progress.restore():
        initialise(network, {name: encode(images[: 4 * settings.batch])})
        together.same_start(network)
        progress.begin()
    while not progress.finished:
        network.train()
        for chosen in progress.batches():
            rows, wanted = encode(images[together.share(chosen)]), labels[together.share(chosen)]
            loss = take_step(network, name, rows, wanted, settings, penalty, progress, objective)
            progress.done(loss, len(chosen))
        _validate(network, validation, encode_validation or encode, settings.batch, progress.history)
        history = progress.history
        accuracy = history.validation_accuracy
        reached = until is not None and len(accuracy) >= 3 and bool(np.mean(accuracy[-3:]) >= until)
        progress.end_epoch((accuracy[-1], -history.validation_loss[-1]), newest=until is not None, stop=reached)
        report(progress.epoch - 1, history)
    network.load_state_dict(progress.kept)
    network.project()
    network.eval()
    return progress.history


def take_step(
    network: Network, name: str, rows: torch.Tensor, labels: torch.Tensor, settings: Settings, penalty: Penalty | None,
    progress: Progress, objective: Objective | None = None,
) -> float:  # fmt: skip
    """Forward, backward and a step of the optimiser; the mean loss."""
    rows = rows.repeat(1, getattr(objective, "copies", 1), 1)
    progress.optimiser.zero_grad(set_to_none=True)
    total, share = 0.0, together.weight(len(labels))
    for found, outputs, part in _found(network, {name: rows}, settings) if len(labels) else ():
        if objective is None:
            loss = functional.cross_entropy(found, labels, label_smoothing=settings.label_smoothing)
        else:
            loss = objective(found, labels)
        if penalty is not None:
            loss = loss + penalty(outputs)
        loss = loss * part
        total += float(loss.detach())
        if not abs(total) <= LARGEST_LOSS:
            raise NumericalError(f"the loss became {total:g} in {progress.where}: {_origin(network, name, rows)}")
        progress.scaler.scale(loss * share).backward()
    progress.confirm()
    together.add_gradients(network)
    progress.scaler.unscale_(progress.optimiser)
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
    if not bool(torch.isfinite(norm)) and not progress.may_overflow:
        bad = next((n for n, p in network.named_parameters() if p.grad is not None and not p.grad.isfinite().all()), "")
        raise NumericalError(
            f"the gradient of {bad or 'all parameters together'} became {float(norm)} in {progress.where}: "
            f"{_origin(network, name, rows)}"
        )
    progress.step()
    return together.mean(total, len(labels))


def _found(network: Network, rows: Rows, settings: Settings) -> Iterator[tuple[torch.Tensor, Outputs, float]]:
    """Scores, all that the network returned, and their share of all steps."""
    if settings.gradient == "rate":
        yield rate_scores(network, rows).float(), {}, 1.0
        return
    for outputs, part in windows(network, rows, settings):
        yield scores(network, outputs).float(), outputs, part


@torch.no_grad()
def _origin(network: Network, name: str, rows: torch.Tensor) -> str:
    """Where a loss that is no number, or too large a one, comes from, and what to do."""
    remedy = "lower the learning rate or clip more"
    for parameter, values in network.named_parameters():
        if not bool(values.isfinite().all()):
            return f"{parameter} is not finite; {remedy}"
    try:
        outputs, state = network({name: rows})
    except NumericalError as error:
        return f"{error}"
    readout = readout_of(network)
    size = outputs[readout][str(network.emitted_name(readout))].abs().amax((1, 2))
    largest = max(
        ((float(v.abs().max()), f"{p}.{n}") for p, found in state.states.items() for n, v in found.items()),
        default=(0.0, "none"),
    )
    return (
        f"the output of {readout} is largest in step {int(size.argmax())}, {float(size.max()):.3g}; of all states {largest[1]} ends largest, "
        f"{largest[0]:.3g}; {remedy}, truncate the steps that gradients go back through, or use a wider surrogate"
    )


def check_part(network: Network, path: str, part: Part) -> None:
    """Refuse samples and labels that do not fit each other or the read-out.

    Raises
    ------
    InputError
    """
    images, labels = np.asarray(part.images), np.asarray(part.labels)
    if len(images) != len(labels) or len(labels) == 0:
        raise InputError(
            f"{path}: {len(images)} samples and {len(labels)} labels; expected as many of each, at least one"
        )
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise InputError(f"{path}: expected whole numbers as labels, (sample,), got {labels.dtype} {labels.shape}")
    n_classes = network.program.size(readout_of(network))
    if labels.min() < 0 or labels.max() >= n_classes:
        raise InputError(
            f"{path}: labels from {labels.min()} to {labels.max()}, the read-out has classes 0 to {n_classes - 1}"
        )


def use_one_thread() -> None:
    """Small matrices gain nothing from more threads, and several trainings share the cores."""
    torch.set_num_threads(1)


def scores(network: Network, outputs: Outputs) -> torch.Tensor:
    """Class scores, (trial, class): the mean over steps of the read-out."""
    readout = readout_of(network)
    return outputs[readout][str(network.emitted_name(readout))].mean(0)


@torch.no_grad()
def predict(network: Network, samples: np.ndarray, encode: Encoder) -> tuple[np.ndarray, Outputs]:
    """Predicted classes (sample,) and everything the network returned, in evaluation mode."""
    network.eval()
    outputs, _ = network({input_name(network): encode(torch.as_tensor(samples, dtype=network.dtype))})
    return scores(network, outputs).argmax(1).numpy(), outputs


def input_name(network: Network) -> str:
    """The one input of a classifier.

    Raises
    ------
    InputError
        No read-out, or not exactly one input.
    """
    readout_of(network)
    own = network.realisation.rows
    names = [d.name for d in network.program.inputs if d.kind not in ("poisson", "counts") and d.name not in own]
    if len(names) != 1:
        raise InputError(f"inputs: a classifier takes exactly one, the circuit has {', '.join(names) or 'none'}")
    return names[0]


@torch.no_grad()
def _validate(network: Network, part: Part, encode: Encoder, batch: int, history: History) -> None:
    network.eval()
    labels = torch.as_tensor(part.labels)
    samples, name = torch.as_tensor(part.images, dtype=network.dtype), input_name(network)
    parts = [scores(network, network({name: encode(chosen)})[0]) for chosen in samples.split(VALIDATED_AT_ONCE * batch)]
    found = torch.cat(parts)
    history.validation_loss.append(float(functional.cross_entropy(found, labels)))
    history.validation_accuracy.append(float((found.argmax(1) == labels).double().mean()))
