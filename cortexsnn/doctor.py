"""cortexsnn doctor: what is here, which engines run, and what to install for those that do not.

Every other program is asked for a limited time and may be missing, broken or silent; nothing here ends in a traceback.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from .emit import cuda_toolkit as cuda
from .emit.program_cache import cache_folder
from .emit.to_brian2_program import EXACT_FLAGS
from .emit.to_brian2_session import RUNTIME_FLAGS
from .outside import ask
from .recording import installed

CPP_PROBE = """#include <cmath>
#include <cstdio>
#include <optional>
int main() { std::optional<double> x = std::sqrt(4.0); std::printf("%g\\n", *x); return *x == 2.0 ? 0 : 1; }
"""
CUDA_PROBE = """#include <cstdio>
#include <curand.h>
#include <curand_kernel.h>
#include <thrust/device_vector.h>
__global__ void twice(double* x) { x[threadIdx.x] *= 2; }
int main() {
    curandGenerator_t generator;
    if (curandCreateGenerator(&generator, CURAND_RNG_PSEUDO_DEFAULT) != CURAND_STATUS_SUCCESS) return 2;
    thrust::device_vector<double> x(32, 1.0);
    twice<<<1, 32>>>(thrust::raw_pointer_cast(x.data()));
    return x[31] == 2.0 ? 0 : 1;
}
"""
"""What brian2cuda includes: where this compiles, its programs do."""
_CPP_SECONDS, _CUDA_SECONDS, _IMPORT_SECONDS = 60.0, 300.0, 120.0
_REQUIRED = ("numpy", "xarray", "brian2", "torch")
_WIDTH = 13


class Finding(NamedTuple):
    """One thing that was looked at.

    trouble : empty if it works
    remedy : how to get it to work
    """

    name: str
    here: str
    trouble: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.name:{_WIDTH}s} {self.here}{f': {self.trouble}' if self.here and self.trouble else self.trouble}"


@dataclass(frozen=True)
class Examination:
    """All findings, by name."""

    findings: dict[str, Finding]
    lacking: tuple[cuda.Missing, ...]

    def trouble(self, *names: str) -> str:
        """Why something that needs all of these does not work; empty if it does."""
        return ", ".join(
            f"{self.findings[n].name} {self.findings[n].trouble}" for n in names if self.findings[n].trouble
        )

    def engines(self) -> dict[str, str]:
        """Engine -> why it does not run here, empty if it does."""
        toolkit = self.trouble("nvcc") if not self.lacking else ""
        return {
            "numpy": self.trouble("numpy", "xarray"),
            "torch": self.trouble("torch"),
            "brian2:numpy": self.trouble("brian2"),
            "brian2:cython": self.trouble("brian2", "g++", "Python.h"),
            "brian2:cpp_standalone": self.trouble("brian2", "g++", "cache"),
            "brian2:cuda_standalone": ", ".join(m.what for m in self.lacking)
            or toolkit
            or self.trouble("brian2", "cache"),
        }

    @property
    def exit_code(self) -> int:
        """0, or 1 where an import or the C++ compiler does not work. CUDA is optional."""
        return int(bool(self.trouble(*_REQUIRED, "g++")))


def examine() -> Examination:
    """Look at everything, several things at a time."""
    with ThreadPoolExecutor() as pool:
        looked = [pool.submit(_import, name) for name in _REQUIRED]
        looked += [
            pool.submit(look) for look in (_python, _python_headers, _cpp, _nvcc, _curand, _gpu, _brian2cuda, _cache)
        ]
        lacking = pool.submit(cuda.missing)
        found = [future.result() for future in looked]
        return Examination({finding.name: finding for finding in found}, tuple(lacking.result()))


def report() -> str:
    """What :func:`examine` found, as text."""
    return _text(examine())


def main() -> int:
    """Print the report; the exit code of ``cortexsnn doctor``."""
    found = examine()
    print(_text(found))
    return found.exit_code


# -- one thing each -------------------------------------------------------------------------------------------------------


def _python() -> Finding:
    return Finding(
        "python", f"{platform.python_version()} on {platform.system()} {platform.machine()} ({sys.executable})"
    )


def _import(name: str) -> Finding:
    """Whether a package can be imported, tried in a process of its own."""
    version = installed(name) or "not installed"
    answer = ask([sys.executable, "-W", "ignore", "-c", f"import {name}"], _IMPORT_SECONDS, environment=_plain())
    if not answer.trouble:
        return Finding(name, version)
    said = next((line for line in reversed(answer.text.splitlines()) if "Error" in line), answer.trouble)
    return Finding(
        name, version, f"cannot be imported ({said.strip()[:160]})", "in the checkout: pip install -c constraints.txt ."
    )


def _plain() -> dict[str, str]:
    """Brian2 leaves files behind when an import ends in an error; here none."""
    return {**os.environ, "BRIAN2_LOGGING": "none"}


def _python_headers() -> Finding:
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if header.is_file():
        return Finding("Python.h", str(header))
    return Finding("Python.h", "", "is not found", "apt-get install python3-dev, or the like")


def _cpp() -> Finding:
    compiler = shutil.which("g++")
    remedy = "apt-get install g++ (macOS: xcode-select --install)"
    if compiler is None:
        return Finding("g++", "", "is not found", remedy)
    version = ask([compiler, "--version"]).first_line or "says nothing"
    outcome, trouble = compile_probe([compiler, *EXACT_FLAGS], CPP_PROBE, "probe.cpp", seconds=_CPP_SECONDS)
    return Finding("g++", f"{version} ({compiler}), {outcome}", trouble, remedy if trouble else "")


def _nvcc() -> Finding:
    nvcc = cuda.find_nvcc()
    if nvcc is None:
        return Finding("nvcc", "", "is not found")
    found = cuda.toolkit(nvcc)
    if found is None:
        return Finding("nvcc", str(nvcc), "does not answer")
    device = cuda.gpu()
    capability = device.capability if device else cuda.GENERIC_CAPABILITY
    with tempfile.TemporaryDirectory(prefix="cortexsnn-doctor-") as links:
        environment = found.environment(Path(links))
        command = [*found.command(capability), "-Xcompiler", ",".join(RUNTIME_FLAGS), "-lcurand"]
        outcome, trouble = compile_probe(
            command, CUDA_PROBE, "probe.cu", seconds=_CUDA_SECONDS, environment=environment, run=device is not None
        )
    return Finding("nvcc", f"release {found.version} ({nvcc}), {outcome}", trouble)


def compile_probe(
    command: Sequence[str],
    code: str,
    name: str,
    *,
    seconds: float,
    environment: dict[str, str] | None = None,
    run: bool = True,
) -> tuple[str, str]:
    """Compile a small program and perhaps run it.

    Returns
    -------
    (str, str)
        What it did and how long that took, and the trouble, empty if there was none.
    """
    with tempfile.TemporaryDirectory(prefix="cortexsnn-doctor-") as folder:
        source, program = Path(folder) / name, Path(folder) / "probe"
        source.write_text(code)
        compiled = ask([*command, str(source), "-o", str(program)], seconds, Path(folder), environment)
        took = f"{compiled.seconds:.1f} s"
        if compiled.trouble:
            said = next((line for line in compiled.text.splitlines() if "rror" in line), compiled.first_line)
            return (
                f"tried for {took}",
                f"cannot compile a probe ({compiled.trouble}{f': {said.strip()[:160]}' if said else ''})",
            )
        if not run:
            return f"compiles a probe in {took}", ""
        # A stub that compiles nothing also ends with code 0.
        ran = ask([program], 60, Path(folder), cuda.runtime_environment())
        trouble = (
            f"its probe does not run ({ran.trouble}{f': {ran.first_line}' if ran.first_line else ''})"
            if ran.trouble
            else ""
        )
        return f"compiles a probe in {took}", trouble


def _curand() -> Finding:
    nvcc = cuda.find_nvcc()
    found = cuda.toolkit(nvcc) if nvcc else None
    if found is None:
        return Finding("curand", "", "is looked for only where nvcc is")
    headers, library = found.headers or "not found", found.library or "not found"
    trouble = "" if found.headers and found.library else "is not complete"
    return Finding("curand", f"headers {headers}, library {library}", trouble)


def _gpu() -> Finding:
    if shutil.which("nvidia-smi") is None:
        return Finding("gpu", "", "none (nvidia-smi is not found)")
    found = cuda.gpu()
    if found is None:
        return Finding("gpu", "", "none answers nvidia-smi")
    return Finding("gpu", f"{found.name}, compute capability {found.capability}")


def _brian2cuda() -> Finding:
    version = installed("brian2cuda")
    return Finding("brian2cuda", version or "", "" if version else "not installed")


def _cache() -> Finding:
    """Where compiled programs are kept, and whether they can be."""
    folder = cache_folder()
    remedy = "name another folder in the environment variable CORTEXSNN_CACHE"
    there = next((f for f in (folder, *folder.parents) if f.exists()), Path("/"))
    try:
        free = shutil.disk_usage(there).free / 1e9
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        return Finding("cache", str(folder), f"cannot be written ({error.strerror or error})", remedy)
    small = free < 0.2
    text = f"{folder} (writable, {free:.1f} GB free)"
    return Finding("cache", text, "has too little space for a program" if small else "", remedy if small else "")


# -- the text -------------------------------------------------------------------------------------------------------------


def _text(found: Examination) -> str:
    names = ("python", *_REQUIRED, "brian2cuda", "g++", "Python.h", "nvcc", "curand", "gpu", "cache")
    lines = [str(found.findings[name]) for name in names]
    lines.insert(1, f"{'cortexsnn':{_WIDTH}s} {installed('cortexsnn')}")
    lines.append("")
    lines += [
        f"engine {name:24s} {'no: ' + trouble if trouble else 'yes'}" for name, trouble in found.engines().items()
    ]
    if found.lacking:
        lines.append(f"{'':31s} simulate runs cpp_standalone in its place and says so; verify refuses")
    needed = [f for f in found.findings.values() if f.trouble and f.remedy]
    if needed:
        lines += ["", "To install:", *(f"  {f.name} {f.trouble}\n      {f.remedy}" for f in needed)]
    lines += ["", *_cuda_text(found)]
    return "\n".join(lines)


def _cuda_text(found: Examination) -> list[str]:
    """The one combination, and for each part that is missing or another release what brings it."""
    lines = [
        "CUDA is optional. This combination works: "
        + ", ".join(f"{name} {version}" for name, version in cuda.COMBINATION),
        *(f"  missing: {m.what}\n      {m.remedy}" for m in found.lacking),
    ]
    if not found.lacking:
        for name in ("brian2", "brian2cuda"):
            known, here = dict(cuda.COMBINATION)[name], installed(name)
            if here != known:
                lines.append(f"  another release: {name} {here}\n      pip install {name}=={known}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
