"""What the target cuda_standalone needs from a machine: brian2cuda, a CUDA toolkit, curand, a GPU. Where they are, what is missing.

Nothing here imports Brian2 or runs a compiler for longer than a moment.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import NamedTuple

from ..errors import EngineError
from ..outside import ask

COMBINATION = (
    ("Python", "3.12 or newer"),
    ("brian2", "2.10.1"),
    ("brian2cuda", "1.0b1"),
    ("CUDA toolkit", "13.0"),
    ("nvidia-curand", "10.4"),
)
"""The one set of releases that was seen to generate and compile. On older Pythons pip finds an alpha that needs Brian2 2.8."""
GENERIC_CAPABILITY = 9.0
"""Compute capability a program is compiled for where no GPU says otherwise."""
NVCC_FLAGS = ("-w", "-std=c++17", "-fmad=false")
"""No fast math and no fused multiply-add: sums and products round as in numpy. CUDA 13's headers want C++17."""
PLACES = ("/usr/local/cuda", "/opt/cuda")
"""Where installers put a toolkit."""
_RELEASE = re.compile(r"release (\d+\.\d+)")


class Missing(NamedTuple):
    """One thing that is not here, and the command or step that brings it."""

    what: str
    remedy: str


@dataclass(frozen=True)
class Toolkit:
    """A CUDA toolkit and the curand that goes with it, which may come from a package of the index.

    headers : folder of ``curand_kernel.h``, None if there is none
    library : curand's shared library, None if there is none
    """

    nvcc: Path
    version: float
    headers: Path | None
    library: Path | None

    def command(self, capability: float) -> list[str]:
        """The compiler with the flags that compiling and linking share."""
        return [str(self.nvcc), "-ccbin", "g++", f"-arch=sm_{str(capability).replace('.', '')}", *NVCC_FLAGS]

    def environment(self, links: Path) -> dict[str, str]:
        """Environment in which nvcc finds curand's headers and, through a link that is laid in ``links``, its library."""
        found = dict(os.environ)
        if self.headers is not None:
            _prepend(found, "CPATH", self.headers)
        if self.library is not None:
            links.mkdir(exist_ok=True)
            link = links / "libcurand.so"  # a package holds libcurand.so.10 only, for which no linker looks
            link.unlink(missing_ok=True)
            link.symlink_to(self.library)
            _prepend(found, "LIBRARY_PATH", links)
        return found


class Gpu(NamedTuple):
    """The GPU that CUDA calls number 0."""

    name: str
    capability: float


def runtime_environment() -> dict[str, str]:
    """Environment in which a compiled program finds curand's library; the compiler need not be here."""
    found = dict(os.environ)
    library = _package_file("lib/libcurand.so*")
    if library is not None:
        _prepend(found, "LD_LIBRARY_PATH", library.parent)
    return found


def _prepend(environment: dict[str, str], name: str, folder: Path) -> None:
    environment[name] = os.pathsep.join(part for part in (str(folder), environment.get(name, "")) if part)


def find_nvcc() -> Path | None:
    """The CUDA compiler: of CUDA_PATH, on PATH, or where installers put it."""
    given = os.environ.get("CUDA_PATH")
    for place in (*([given] if given else []), None, *PLACES):
        nvcc = shutil.which("nvcc", path=None if place is None else str(Path(place) / "bin"))
        if nvcc:
            return Path(nvcc)
    return None


def nvcc_version(nvcc: Path) -> float | None:
    """Release of a compiler, such as 13.0; None if it does not say."""
    answer = ask([nvcc, "--version"])
    found = None if answer.trouble else _RELEASE.search(answer.text)
    return float(found.group(1)) if found else None


def toolkit(nvcc: Path) -> Toolkit | None:
    """The toolkit of a compiler; None if the compiler does not answer."""
    version = nvcc_version(nvcc)
    if version is None:
        return None
    root = _root(nvcc)
    headers = [root / "include", *root.glob("targets/*/include")]
    libraries = [root / "lib64", root / "lib", *root.glob("targets/*/lib")]
    header = next((f / "curand_kernel.h" for f in headers if (f / "curand_kernel.h").is_file()), None)
    library = next((f / "libcurand.so" for f in libraries if (f / "libcurand.so").exists()), None)
    header = header or _package_file("include/curand_kernel.h")
    return Toolkit(nvcc, version, header.parent if header else None, library or _package_file("lib/libcurand.so*"))


def _root(nvcc: Path) -> Path:
    """Folder of the toolkit. A compiler on PATH may be a script that calls the real one, so it is asked."""
    answer = ask([nvcc, "--dryrun", "-x", "cu", "-c", os.devnull, "-o", os.devnull])
    found = re.search(r"^#\$ TOP=(.+)$", answer.text, re.MULTILINE)
    return (Path(found.group(1)) if found else nvcc.resolve().parent.parent).resolve()


def _package_file(pattern: str) -> Path | None:
    """A file of the packages that PyPI has for parts of CUDA: ``nvidia/cu13/include/curand.h``, before that ``nvidia/curand/…``."""
    spec = util.find_spec("nvidia")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        found = sorted(p for part in ("cu13", "curand", "cu12") for p in (Path(folder) / part).glob(pattern))
        if found:
            return found[0]
    return None


def gpu() -> Gpu | None:
    """The first GPU that programs may use, None if none answers."""
    smi, chosen = shutil.which("nvidia-smi"), os.environ.get("CUDA_VISIBLE_DEVICES")
    if smi is None or chosen == "":
        return None
    which = ["-i", chosen.split(",")[0]] if chosen else ["-i", "0"]
    answer = ask([smi, *which, "--query-gpu=name,compute_cap", "--format=csv,noheader"])
    name, _, capability = ("" if answer.trouble else answer.first_line).rpartition(", ")
    try:
        return Gpu(name, float(capability))
    except ValueError:
        return None


def missing() -> list[Missing]:
    """What stands between this machine and the target, in the order in which to install it."""
    return [*_missing_package(), *_missing_toolkit(), *_missing_gpu()]


def _missing_package() -> list[Missing]:
    if util.find_spec("brian2cuda") is not None:
        return []
    if sys.version_info < (3, 12):
        here = f"brian2cuda is not installed, and Python is {sys.version_info.major}.{sys.version_info.minor}"
        return [
            Missing(here, "make a virtual environment of Python 3.12 or newer; in it: pip install 'cortexsnn[cuda]'")
        ]
    return [Missing("brian2cuda is not installed", "pip install 'cortexsnn[cuda]'")]


def _missing_toolkit() -> list[Missing]:
    nvcc = find_nvcc()
    if nvcc is None:
        remedy = "install NVIDIA's CUDA toolkit 13.0 and put its bin folder on PATH, or name its folder in CUDA_PATH"
        return [Missing("nvcc is not found", remedy)]
    found = toolkit(nvcc)
    if found is None:
        return [Missing(f"{nvcc} does not answer", "install NVIDIA's CUDA toolkit 13.0 again")]
    lacking = [name for name, here in (("headers", found.headers), ("library", found.library)) if here is None]
    if lacking:
        return [Missing(f"curand's {' and '.join(lacking)} are not found", "pip install nvidia-curand")]
    if shutil.which("g++") is None:
        return [Missing("g++ is not found, which nvcc calls", "apt-get install g++")]
    return []


def _missing_gpu() -> list[Missing]:
    if gpu() is not None:
        return []
    return [Missing("no NVIDIA GPU answers", "needs an NVIDIA GPU and its driver; nvidia-smi must list it")]


def why_not() -> str | None:
    """Why the target cannot run here and what to do, in one sentence; None if it can."""
    found = missing()
    if not found:
        return None
    return f"{', '.join(m.what for m in found)} ({'; '.join(m.remedy for m in found)}; cortexsnn doctor says more)"


def require() -> Toolkit:
    """The toolkit of a machine on which the target runs.

    Raises
    ------
    EngineError
        Names all that is missing and how to get it.
    """
    return _toolkit_or_error(missing())


def require_compiler() -> Toolkit:
    """The toolkit of a machine that can compile programs, with or without brian2cuda and a GPU.

    Raises
    ------
    EngineError
        Names all that is missing and how to get it.
    """
    return _toolkit_or_error(_missing_toolkit())


def _toolkit_or_error(lacking: list[Missing]) -> Toolkit:
    nvcc = find_nvcc()
    found = toolkit(nvcc) if nvcc else None
    if lacking or found is None:
        what, remedy = ", ".join(m.what for m in lacking), "; ".join(m.remedy for m in lacking)
        raise EngineError(f"target 'cuda_standalone' cannot run here: {what}; {remedy}; or use target='cpp_standalone'")
    return found
