"""All that a training needs to go on, in one file: tensors and numbers, written beside its place and renamed into it."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ..errors import CheckpointError

_KEY = "cortexsnn"


def write(path: Path, tensors: Mapping[str, torch.Tensor], data: Mapping[str, Any]) -> None:
    """Replace a checkpoint in one instant: whoever reads finds the old one or the new one, whole.

    Raises
    ------
    CheckpointError
        The file cannot be written.
    """
    content = save({n: t.detach().cpu().contiguous() for n, t in tensors.items()}, {_KEY: json.dumps(data)})
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_left(path)
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        _flush_names(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise CheckpointError(
            f"{path}: a checkpoint cannot be written ({error.strerror or error}); the last one is still whole"
        ) from None


def _remove_left(path: Path) -> None:
    """Remove what trainings left that were killed while they wrote, and not what one is writing."""
    pattern = re.compile(rf"\.{re.escape(path.name)}\.(\d+)\.partial")
    for left in path.parent.iterdir():
        found = pattern.fullmatch(left.name)
        if found and not _is_running(int(found[1])):
            left.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # somebody else's
    return True


def _flush_names(folder: Path) -> None:
    """Make a rename last through a loss of power, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and numbers of a checkpoint.

    Raises
    ------
    CheckpointError
        It is damaged or something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            data = json.loads((file.metadata() or {})[_KEY])
            if not isinstance(data, dict):
                raise ValueError("its data are no mapping")
            return {name: file.get_tensor(name) for name in file.keys()}, data  # noqa: SIM118 - it is no mapping
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"{path}: not a checkpoint of a training ({error!s:.100}); remove it to begin anew"
        ) from None


def optimiser_state(optimiser: torch.optim.Optimizer) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """An optimiser's state as named tensors and plain numbers."""
    state = optimiser.state_dict()
    tensors: dict[str, torch.Tensor] = {}
    numbers: dict[str, dict[str, Any]] = {}
    for index, values in state["state"].items():
        for name, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{index}/{name}"] = value
            else:
                numbers.setdefault(str(index), {})[name] = value
    return tensors, {"numbers": numbers, "groups": state["param_groups"]}


def restore_optimiser(
    optimiser: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor], data: Mapping[str, Any]
) -> None:
    """The reverse of :func:`optimiser_state`."""
    state: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in data["numbers"].items()}
    for key, value in tensors.items():
        index, name = key.split("/")
        state.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": data["groups"]})
