"""Compiles the two native libraries, for the wheel and for a checkout.

The compiler is that of the `ziglang` package, so that none need be on the machine; it links against glibc 2.17 whatever
the machine has. Environment:

    GGML_VIZ_CC    a compiler command to use instead (the wheel is then tagged for this machine's Linux only)
    GGML_VIZ_ARCH  x86_64 or aarch64: the architecture to build for, if not this machine's

`python hatch_build.py` builds into the checkout, as an editable install does.
"""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
NATIVE = ROOT / "native"
INSTALLED = ROOT / "src" / "ggml_viz" / "_native"
GLIBC = (2, 17)
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


class NativeBuildHook(BuildHookInterface[Any]):
    """Puts the native libraries into the wheel, or into the checkout for an editable install."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds."""
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
