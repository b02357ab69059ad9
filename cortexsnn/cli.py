"""The command ``cortexsnn``: Hydra around the experiments, one message and exit code 2 for a user's error."""

from __future__ import annotations

import contextlib
import datetime
import errno
import io
import itertools
import shlex
import shutil
import sys
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .errors import CheckpointError, CortexError

USER_ERROR = 2
NOT_PROVEN = 3
BUG = 70


def main() -> None:
    """What the console script runs; see ``cortexsnn_start`` for its first moments."""
    if sys.argv[1:2] == ["doctor"]:
        from .doctor import main as doctor

        sys.exit(doctor())
    try:
        _hydra()
    except KeyboardInterrupt:
        _exit("interrupted; nothing was written")


def _hydra() -> None:
    import hydra

    said = io.StringIO()
    job = hydra.main(version_base="1.3", config_path="pkg://cortexsnn.configs", config_name="main")(_job)
    try:
        with contextlib.redirect_stderr(said):
            job()
    except SystemExit as stop:
        if said.getvalue().strip():
            _exit(_one_line(said.getvalue()))
        sys.exit(stop.code)


def _job(config: Any) -> None:
    """One run of a configuration; a function of the module, for the launchers of a sweep send it to other processes."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    if isinstance(sys.stderr, io.StringIO):  # Hydra has read the command line: what is said from now on is for the user
        sys.stderr = sys.__stderr__
    given = [o for o in HydraConfig.get().overrides.task if not o.startswith("output=")]  # a place, not a setting
    values = {**OmegaConf.to_container(config, resolve=True), "command": shlex.join(["cortexsnn", *given])}  # type: ignore[dict-item]
    _run_or_exit(values, OmegaConf.to_yaml(config, resolve=True))


def _one_line(text: str) -> str:
    """What Hydra says of a key or an experiment that it does not know, without its advice for developers of Hydra programs."""
    if "Traceback" in text:  # of a launcher that cannot start: its last line says why
        text = next((line for line in reversed(text.splitlines()) if line and not line[0].isspace()), text)
    kept = [line.strip() for line in text.splitlines() if line.strip() and "HYDRA_FULL_ERROR" not in line]
    return " ".join(" ".join(kept).split())[:600]


def _run_or_exit(values: Mapping[str, Any], resolved: str) -> None:
    try:
        if not run(values, resolved).proven:
            sys.exit(NOT_PROVEN)
    except CortexError as error:
        _exit(str(error))
    except KeyboardInterrupt:
        _exit("interrupted; nothing was written")
    except Exception:  # a bug of ours, not the user's error: the traceback is what a report of it needs
        traceback.print_exc()
        print("cortexsnn: this is a bug; please report it with the lines above", file=sys.stderr)
        sys.exit(BUG)


def _exit(message: str) -> None:
    print(f"cortexsnn: {message}", file=sys.stderr)
    sys.exit(USER_ERROR)


def _rename(partial: Path, parent: Path) -> Path:
    """Call a finished folder by the time; runs that end in the same moment get another number."""
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S-%f")[:-3]
    for number in itertools.count(1):
        target = parent / (stamp if number == 1 else f"{stamp}-{number}")
        try:
            return partial.rename(target)  # fails where somebody else's folder is, for that is not empty
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
    raise AssertionError


class Finished(NamedTuple):
    """The folder of a run, and whether it proved what it set out to prove (True where it proves nothing)."""

    folder: Path
    proven: bool


def run(values: Mapping[str, Any], resolved: str) -> Finished:
    """Run one experiment into a folder that appears only when it is complete.

    Parameters
    ----------
    values : mapping
        ``name`` and ``output`` beside the experiment's own keys; ``command``, the command line, is kept for the report.
    resolved : str
        The configuration as YAML, kept as ``config.yaml``.

    Returns
    -------
    Finished
    """
    from .experiments import NotProven, experiment

    settings = dict(values)
    name, output = str(settings.pop("name")), Path(str(settings.pop("output")))
    function = experiment(name)
    settings.setdefault("command", f"cortexsnn experiment={name}")
    parent = output / name
    try:
        parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=parent))
    except OSError as error:
        raise CheckpointError(
            f"output: cannot write to '{parent}' ({error.strerror}); choose another with output=FOLDER"
        ) from None
    try:
        (partial / "config.yaml").write_text(resolved, encoding="utf-8")
        summary = function(settings, partial)
        partial.chmod(0o755)
        target = _rename(partial, parent)
    except OSError as error:
        raise CheckpointError(
            f"output: cannot write to '{parent}' ({error.strerror}); choose another with output=FOLDER"
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        for folder in (parent, output):
            with contextlib.suppress(OSError):  # not empty: others have left results here
                folder.rmdir()
    print(summary)
    report = target / "report.html"
    print(f"results in {target}" + (f", report in {report}" if report.exists() else ""))
    return Finished(target, not isinstance(summary, NotProven))
