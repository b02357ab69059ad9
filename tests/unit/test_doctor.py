"""cortexsnn doctor on machines that are not this one: PATHs with no compiler, a broken one, one that never ends, other CUDAs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from cortexsnn import doctor
from cortexsnn.emit import cuda_toolkit
from cortexsnn.outside import ask

WORKING_GXX = """\
case "$*" in *--version*) echo "g++ (fake) 12.0"; exit 0 ;; esac
while [ "$1" != -o ]; do shift; done
printf '#!/bin/sh\\nexit 0\\n' > "$2" && /bin/chmod +x "$2"
"""
NVCC = """\
case "$*" in *--version*) echo "Cuda compilation tools, release 13.0, V13.0.88"; exit 0 ;;
             *--dryrun*) echo "#\\$ TOP=ROOT/toolkit/bin/.." >&2; exit 0 ;; esac
echo "curand.h: error: not a real compiler" >&2; exit 1
"""
SMI = 'echo "NVIDIA H100 80GB HBM3, 9.0"\n'


def machine(monkeypatch: pytest.MonkeyPatch, folder: Path, programs: Mapping[str, str]) -> Path:
    """A PATH that holds these shell scripts and nothing else, and no other place for CUDA."""
    folder.mkdir(exist_ok=True)
    for name, script in programs.items():
        program = folder / name
        program.write_text(f"#!/bin/sh\n{script.replace('ROOT', str(folder))}")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("CUDA_PATH", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(cuda_toolkit, "PLACES", ())
    monkeypatch.setattr(cuda_toolkit, "_package_file", lambda pattern: None)
    return folder


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Imports take seconds: only the last tests, which undo this, try them."""
    monkeypatch.setattr(doctor, "_import", lambda name: doctor.Finding(name, "1.0"))


def test_without_a_compiler(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine(monkeypatch, tmp_path / "bin", {})
    assert doctor.main() == 1
    said = capsys.readouterr().out
    assert "engine numpy                    yes" in said
    assert "engine brian2:numpy             yes" in said
    assert "engine brian2:cpp_standalone    no: g++ is not found" in said
    assert "apt-get install g++" in said
    assert "nvcc          is not found" in said


@pytest.mark.parametrize(
    ("script", "trouble"),
    [
        ("echo 'probe.cpp:1: fatal error: cmath: No such file' >&2; exit 1\n", "cmath: No such file"),
        ("kill -11 $$\n", "was ended by signal 11"),
        ("exit 0\n", "its probe does not run (cannot be started (No such file or directory))"),
    ],
)
def test_broken_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, trouble: str) -> None:
    machine(monkeypatch, tmp_path / "bin", {"g++": script})
    found = doctor.examine()
    assert trouble in found.engines()["brian2:cpp_standalone"]
    assert found.exit_code == 1


def test_compiler_that_never_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nor may what it started hold anything up."""
    machine(monkeypatch, tmp_path / "bin", {"g++": "case $1 in --version) exit 0;; esac; /bin/sleep 60\n"})
    monkeypatch.setattr(doctor, "_CPP_SECONDS", 0.5)
    start = time.perf_counter()
    found = doctor.examine()
    assert time.perf_counter() - start < 20
    assert "did not end within 0.5 s" in found.engines()["brian2:cpp_standalone"]


def test_file_that_is_no_program(tmp_path: Path) -> None:
    path = tmp_path / "g++"
    path.write_bytes(b"\x7fELF nonsense")
    path.chmod(0o755)
    assert "cannot be started" in ask([path]).trouble


def test_cuda_is_optional(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine(monkeypatch, tmp_path / "bin", {"g++": WORKING_GXX})
    assert doctor.main() == 0
    said = capsys.readouterr().out
    assert "engine brian2:cpp_standalone    yes" in said
    assert "engine brian2:cuda_standalone   no: " in said
    assert "nvcc is not found" in said
    for name, version in cuda_toolkit.COMBINATION:
        assert f"{name} {version}" in said


def test_every_part_of_cuda_that_is_missing_has_a_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine(monkeypatch, tmp_path / "bin", {"nvcc": NVCC})
    found = {m.what: m.remedy for m in cuda_toolkit.missing()}
    assert all(found.values())
    assert found["curand's headers and library are not found"] == "pip install nvidia-curand"
    assert "no NVIDIA GPU answers" in found
    assert not any("nvcc" in what for what in found)


def test_toolkit_with_curand_and_a_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where everything answers, nothing is missing, and a compiler that cannot compile its probe is found out all the same."""
    folder = machine(monkeypatch, tmp_path / "bin", {"g++": WORKING_GXX, "nvcc": NVCC, "nvidia-smi": SMI})
    for file in ("include/curand_kernel.h", "lib64/libcurand.so"):
        (folder / "toolkit" / file).parent.mkdir(parents=True)
        (folder / "toolkit" / file).touch()
    toolkit = cuda_toolkit.toolkit(folder / "nvcc")
    assert toolkit is not None
    assert (toolkit.version, toolkit.headers) == (13.0, folder / "toolkit" / "include")
    assert "-arch=sm_120" in toolkit.command(12.0)
    assert "-fmad=false" in toolkit.command(9.0)
    environment = toolkit.environment(tmp_path / "links")
    assert environment["CPATH"].split(":")[0] == str(folder / "toolkit" / "include")
    assert (tmp_path / "links" / "libcurand.so").resolve() == folder / "toolkit" / "lib64" / "libcurand.so"
    assert cuda_toolkit.gpu() == ("NVIDIA H100 80GB HBM3", 9.0)
    monkeypatch.setattr(cuda_toolkit, "_missing_package", list)
    assert cuda_toolkit.why_not() is None
    assert "curand.h: error: not a real compiler" in doctor.examine().engines()["brian2:cuda_standalone"]


@pytest.mark.parametrize("smi", ["exit 9\n", "echo 'No devices were found'\n", "echo\n"])
def test_gpu_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, smi: str) -> None:
    machine(monkeypatch, tmp_path / "bin", {"nvidia-smi": smi})
    assert cuda_toolkit.gpu() is None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    machine(monkeypatch, tmp_path / "bin", {"nvidia-smi": SMI})
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert cuda_toolkit.gpu() is None


def test_cache_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CORTEXSNN_CACHE", str(tmp_path / "file" / "programs"))
    found = doctor._cache()
    assert "cannot be written" in found.trouble
    assert "CORTEXSNN_CACHE" in found.remedy


def test_package_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    (tmp_path / "xarray.py").write_text("raise ImportError('numpy has no attribute ptp')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = doctor._import("xarray")
    assert "numpy has no attribute ptp" in found.trouble
    assert found.remedy


@pytest.mark.slow
@pytest.mark.compiled
def test_this_machine(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert doctor.main() == 0
    said = capsys.readouterr().out
    assert "engine brian2:cpp_standalone    yes" in said
    assert "Traceback" not in said
