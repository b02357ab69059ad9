"""Input rows of a run from the command line: an NPZ file with an array for every input."""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ..errors import InputError


def read_inputs(path: str | None) -> dict[str, np.ndarray] | None:
    """Arrays (step, trial, channel) or (step, channel) by the name of the input; None without a file.

    Raises
    ------
    InputError
        No such file, or no NPZ file of plain arrays.
    """
    if path is None:
        return None
    try:
        with np.load(Path(path), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, BadZipFile, AttributeError) as error:
        reason = " ".join(str(error).split())[:100]
        raise InputError(
            f"inputs: cannot read '{path}' ({reason}); write it with numpy.savez(path, name=array)"
        ) from None
