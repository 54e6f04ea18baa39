"""Compiles the native sources, and C programs for tests, with the machine's compiler: plain, or under a sanitizer."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hatch_build

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "native"
CORE = ("core", *hatch_build.SHARED_PARTS)
AGENT = ("agent", *hatch_build.SHARED_PARTS)

COMPILER = shlex.split(os.environ.get("CC") or "gcc")
FLAGS = (
    "-std=c11",
    "-O2",
    "-g",
    "-fPIC",
    "-fvisibility=hidden",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-D_GNU_SOURCE",
    f"-I{NATIVE}",
)
LIBRARIES = ("-lpthread", "-ldl", "-lm")
SANITIZERS = {
    "plain": (),
    "address": ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"),
    "thread": ("-fsanitize=thread",),
}
# What a program or library has to have loaded before anything else, where the program itself was not compiled so.
RUNTIMES = {"plain": None, "address": "libasan.so", "thread": "libtsan.so"}
ENVIRONMENT = {
    # ggml and OpenMP keep what they have until the process ends.
    "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:abort_on_error=1",
    # What is not compiled so is not seen to synchronise; so it must not be seen to access, either.
    "TSAN_OPTIONS": "halt_on_error=1:abort_on_error=1:ignore_noninstrumented_modules=1:die_after_fork=0",
}


def call(command: Sequence[str | Path]) -> str:
    """Runs a command; what it printed is the result, or in the error if it fails."""
    words = [str(word) for word in command]
    result = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if result.returncode != 0:
        raise AssertionError(f"{shlex.join(words)}\nended with {result.returncode}\n{result.stdout[-8000:]}")
    return result.stdout


def objects(folder: Path, parts: Sequence[str], sanitizer: str = "plain") -> list[Path]:
    """Compiles all sources of the given parts of `native/`, each once a folder and sanitizer."""
    pairs = []
    for source in hatch_build.sources(parts):
        target = folder / sanitizer / f"{source.parent.name}-{source.stem}.o"
        pairs.append((source, target))
        target.parent.mkdir(parents=True, exist_ok=True)

    def make(pair: tuple[Path, Path]) -> None:
        source, target = pair
        if not target.exists():
            call([*COMPILER, *FLAGS, *SANITIZERS[sanitizer], "-c", source, "-o", target])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(make, pairs))
    return [target for _, target in pairs]


def program(
    folder: Path, source: Path, parts: Sequence[str] = CORE, sanitizer: str = "plain", more: Sequence[str | Path] = ()
) -> Path:
    """Compiles a C program together with parts of `native/`."""
    linked = objects(folder, parts, sanitizer)
    target = folder / sanitizer / source.stem
    target.parent.mkdir(parents=True, exist_ok=True)
    include = f"-I{ROOT / 'tests' / 'native'}"
    call([*COMPILER, *FLAGS, *SANITIZERS[sanitizer], include, source, *linked, *more, *LIBRARIES, "-o", target])
    return target


def agent(folder: Path, sanitizer: str) -> list[Path]:
    """Compiles the agent; returns what LD_PRELOAD has to hold."""
    hidden = folder / "agent"
    target = hidden / sanitizer / "agent.so"
    linked = objects(hidden, AGENT, sanitizer)
    call([*COMPILER, *SANITIZERS[sanitizer], "-shared", "-Wl,-z,now,-Bsymbolic", *linked, *LIBRARIES, "-o", target])
    runtime = RUNTIMES[sanitizer]
    return [*([Path(call([*COMPILER, f"-print-file-name={runtime}"]).strip())] if runtime else []), target]


def start_command(sanitizer: str) -> list[str]:
    """What to put before a program: ThreadSanitizer needs the address space as it was laid out in its time."""
    if sanitizer == "thread" and shutil.which("setarch"):
        fixed = ["setarch", os.uname().machine, "-R"]
        if subprocess.run([*fixed, "true"], capture_output=True).returncode == 0:
            return fixed
    return []
