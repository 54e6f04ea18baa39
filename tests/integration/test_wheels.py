"""The packages of a release: what a wheel contains is for its system, and the same wherever it was built."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from hatch_build import ROOT, TARGETS
from tests.support import aarch64, runtimes
from tests.support.tracefile import trace_from_text
from tools import wheels

HERE = "linux-x86_64"
# By target: the format of its libraries, and what stands for the CPU there.
FORMATS = {
    "linux-x86_64": ("ELF", 62),
    "linux-aarch64": ("ELF", 183),
    "windows-x86_64": ("PE", 0x8664),
    "macos-x86_64": ("Mach-O", 0x01000007),
    "macos-aarch64": ("Mach-O", 0x0100000C),
}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packages")
    wheels.build_source_archive(folder)
    wheels.build_wheels(folder)
    return folder


def wheel(folder: Path, target: str) -> Path:
    (found,) = folder.glob(f"*-py3-none-{TARGETS[target].tag}.whl")
    return found


def library_format(content: bytes) -> tuple[str, int]:
    """The format of a library, and its CPU."""
    if content.startswith(b"\x7fELF"):
        return "ELF", struct.unpack_from("<H", content, 18)[0]
    if content.startswith(b"\xcf\xfa\xed\xfe"):
        return "Mach-O", struct.unpack_from("<I", content, 4)[0]
    (header,) = struct.unpack_from("<I", content, 60)
    assert content.startswith(b"MZ")
    assert content[header : header + 4] == b"PE\0\0"
    return "PE", struct.unpack_from("<H", content, header + 4)[0]


def test_one_package_a_target_and_a_source_archive(packages: Path) -> None:
    assert len(list(packages.glob("*.whl"))) == len(TARGETS)
    assert len(list(packages.glob("*.tar.gz"))) == 1
    assert len(list(packages.iterdir())) == len(TARGETS) + 1


@pytest.mark.parametrize("target", TARGETS)
def test_wheel_is_for_its_system(packages: Path, target: str) -> None:
    with zipfile.ZipFile(wheel(packages, target)) as archive:
        names = archive.namelist()
        libraries = {name: archive.read(name) for name in names if name.startswith("ggml_viz/_native/")}
    if TARGETS[target].minhook:
        assert b"MinHook" in libraries.pop("ggml_viz/_native/MinHook.LICENSE.txt")
    named = (f"ggml_viz/_native/{TARGETS[target].library.format(name)}" for name in ("agent", "core"))
    assert sorted(libraries) == sorted(named)
    for content in libraries.values():
        assert library_format(content) == FORMATS[target]
        for folder in (ROOT, Path.home(), Path(sys.prefix)):
            assert os.fsencode(folder) + b"/" not in content
    assert "ggml_viz/server/dashboard/index.html" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_metadata_and_tags_hold(packages: Path) -> None:
    def ask(*command: str | Path) -> str:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    ask(sys.executable, "-m", "twine", "check", "--strict", *packages.iterdir())
    for target, described in TARGETS.items():
        if target.startswith("linux"):
            said = " ".join(ask(sys.executable, "-m", "auditwheel", "show", wheel(packages, target)).split())
            assert f'consistent with the following platform tag: "{described.tag.partition(".")[0]}"' in said


def test_source_archive_makes_the_same_wheels_in_another_folder(packages: Path, tmp_path: Path) -> None:
    (source,) = packages.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    wheels.build_wheels(tmp_path, source=unpacked)
    for target in TARGETS:
        assert wheel(tmp_path, target).read_bytes() == wheel(packages, target).read_bytes(), target


def test_wheel_installs_and_works(packages: Path, tmp_path: Path) -> None:
    python = tmp_path / "new" / "bin" / "python"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def call(*command: str | Path) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    call(sys.executable, "-m", "venv", "--without-pip", tmp_path / "new")
    call(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-compile", wheel(packages, HERE))
    ggml_viz = python.with_name("ggml-viz")
    assert call(ggml_viz, "--version").split()[-1] in wheel(packages, HERE).name
    assert "llama-simple" in call(ggml_viz, "info", golden_trace(tmp_path))


def test_wheel_for_another_cpu_installs_and_works(packages: Path, tmp_path: Path) -> None:
    """By that CPU's own Python, and with its numpy."""
    installed, trace = tmp_path / "installed", golden_trace(tmp_path)
    needed = ("numpy", "pydantic-settings", "rich")
    version = aarch64.python().name.removeprefix("python")
    runtimes.install_foreign(installed, wheel(packages, "linux-aarch64"), version, aarch64.PLATFORMS, needed)
    done = subprocess.run(
        aarch64.command(aarch64.python(), "-B", "-m", "ggml_viz", "report", trace),
        env=aarch64.environment(PYTHONPATH=installed),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    here = subprocess.run([sys.executable, "-m", "ggml_viz", "report", trace], capture_output=True, text=True)
    assert done.stdout == here.stdout


def golden_trace(folder: Path) -> Path:
    """A small trace."""
    text = (ROOT / "tests" / "golden" / "one_thread.txt").read_text().partition("$ ggml-viz ")[0]
    trace = folder / "run.ggmlviz"
    trace.write_bytes(trace_from_text(text))
    return trace
