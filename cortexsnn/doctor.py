"""cortexsnn doctor: what is here, and which engines run."""

from __future__ import annotations

import platform
import shutil
import subprocess

from .recording import versions


def report() -> str:
    """Versions, compilers, GPU, and for every engine whether it can run here."""
    lines = [f"python    {platform.python_version()} on {platform.system()} {platform.machine()}"]
    lines += [f"{name:9s} {version}" for name, version in versions().items()]
    compiler = shutil.which("g++") or shutil.which("c++")
    lines.append(f"{'compiler':9s} {_first_line([compiler, '--version']) if compiler else 'none'}")
    lines.append(f"{'nvcc':9s} {shutil.which('nvcc') or 'none'}")
    lines.append(f"{'gpu':9s} {_first_line(['nvidia-smi', '-L']) if shutil.which('nvidia-smi') else 'none'}")
    needs = "yes" if compiler else "no: install a C++ compiler such as g++"
    lines += [
        "",
        "engine numpy                    yes",
        "engine torch                    yes",
        "engine brian2:numpy             yes",
    ]
    lines += [f"engine brian2:cython            {needs}", f"engine brian2:cpp_standalone    {needs}"]
    lines.append("engine brian2:cuda_standalone   no: not supported yet")
    return "\n".join(lines)


def _first_line(command: list[str]) -> str:
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "not answering"
    return (
        (found.stdout or found.stderr).strip().splitlines()[0] if (found.stdout or found.stderr).strip() else "silent"
    )
