"""Files that are either the old ones or the new ones, never half of each; and numbers as strict JSON."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write UTF-8 text to a file beside `path`, then rename it into place."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Not tempfile: its files are private to the user, and the report would stay so.
    beside = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    try:
        with beside.open("x", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)


def write_json(path: str | os.PathLike[str], mapping: Mapping[str, Any]) -> None:
    """Write a mapping as strict JSON, atomically.

    Numpy scalars and arrays, tuples, sets, dataclasses and paths are converted; NaN and infinities, which
    JSON lacks, become null. Anything else raises TypeError naming where it stands.
    """
    text = json.dumps(_as_json(mapping, ""), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def _as_json(value: Any, where: str) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_key(key, where): _as_json(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, set | frozenset):
        return sorted((_as_json(item, f"{where}{{}}") for item in value), key=str)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: _as_json(getattr(value, name), f"{where}.{name}") for name in names}
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(
        f"write_json: {where.lstrip('.') or 'the mapping'} is a {type(value).__name__}, which JSON cannot hold."
    )


def _key(key: Any, where: str) -> str:
    if isinstance(key, np.generic):
        key = key.item()
    if isinstance(key, bool) or not isinstance(key, str | int | float):
        raise TypeError(
            f"write_json: a key of {where.lstrip('.') or 'the mapping'} is a {type(key).__name__}; use str."
        )
    return str(key)
