"""Says before (or after) a program is run whether the agent can be loaded into it, and where its ggml is."""

from __future__ import annotations

import glob
import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ggml_viz import system
from ggml_viz.capture.elf import Elf, ElfError, defined_symbols, is_elf, read_elf
from ggml_viz.capture.macho import MachO, MachOError, is_macho, read_macho
from ggml_viz.capture.pe import PeError, is_pe, read_pe
from ggml_viz.errors import UserError

GRAPH_CALLS = frozenset(
    {
        "ggml_backend_sched_graph_compute",
        "ggml_backend_sched_graph_compute_async",
        "ggml_backend_graph_compute",
        "ggml_backend_graph_compute_async",
        "ggml_graph_compute",
    }
)
NODE_CALL = "ggml_cpu_extra_compute_forward"

_MOST_INTERPRETERS = 5  # as many as Linux follows
_MOST_LIBRARIES = 1000
# What musl has in itself, under these names and with whatever ending.
_IN_MUSL = ("libc.", "libpthread.", "librt.", "libm.", "libdl.", "libutil.", "libxnet.")
_PROTECTED = ("/System/", "/bin/", "/sbin/", "/usr/")  # by macOS
GGML_TEXT = b"GGML_ASSERT("  # stays in a program even when its symbols are stripped


@dataclass(frozen=True)
class Obstacle:
    """Why the agent cannot see a program's ggml, and how to go on."""

    message: str
    hint: str


@dataclass(frozen=True)
class GgmlObject:
    """A file with ggml in it, or that calls ggml.

    Attributes:
        path: The file.
        graphs: Its graph runs can be seen.
        nodes: So can the nodes that its CPU backend computes.
        built_in: ggml is linked into it; otherwise it calls ggml through the dynamic linker.
    """

    path: Path
    graphs: bool
    nodes: bool
    built_in: bool = False


@dataclass(frozen=True)
class Program:
    """What is known of a program from its files.

    Attributes:
        path: The file that the system runs in the end: for a script, its interpreter.
        script: The script, if it is one.
        obstacle: Why its ggml cannot be seen; None: nothing is in the way.
        ggml: Where ggml is, as far as the program was linked with it; libraries that are loaded later are not known.
        missing: Libraries that it is linked with and that were not found.
    """

    path: Path
    script: Path | None
    obstacle: Obstacle | None
    ggml: tuple[GgmlObject, ...]
    missing: tuple[str, ...]


def find_program(name: str, environment: Mapping[str, str] = os.environ) -> Path:
    """Finds what running `name` would run.

    Raises:
        UserError: With exit status 127 if there is none, 126 if it cannot be executed.
    """
    found = shutil.which(name, path=environment.get("PATH", os.defpath))
    if found:
        return Path(found)
    if not os.path.dirname(name):
        here = f"There is one in this folder: .{os.sep}{name}" if os.path.isfile(name) else None
        raise UserError(f"command not found: {name}", here, exit_status=127)
    if not os.path.exists(name):
        raise UserError(f"no such file: {name}", exit_status=127)
    what = "is a folder" if os.path.isdir(name) else "may not be executed"
    raise UserError(f"{name} {what}", None if os.path.isdir(name) else system.TO_EXECUTE.format(name), exit_status=126)


def inspect_program(path: Path, environment: Mapping[str, str] = os.environ) -> Program:
    """Inspects a program's files; nothing is executed."""
    named, path = path, _run_in_the_end(path, environment)
    script = named if path != named else None
    try:
        if is_pe(path):
            return _inspect_pe(path, script, environment)
        if is_macho(path):
            return _inspect_macho(path, script)
        elf = read_elf(path)
    except OSError as error:
        unreadable = Obstacle(f"{path} cannot be read: {error.strerror}.", "Name the program itself.")
        return Program(path, script, unreadable, (), ())
    except (ElfError, PeError, MachOError) as error:
        known = is_elf(path) or is_pe(path) or is_macho(path)
        damaged = f"{path} is damaged: {error}." if known else f"{path} is not a program."
        return Program(path, script, Obstacle(damaged, "Name the program itself."), (), ())
    obstacle = _cannot_preload(path, elf)
    if obstacle:
        return Program(path, script, obstacle, (), ())
    ggml, missing = _linked_ggml(path, elf, environment)
    if not ggml:
        ggml, obstacle = _built_in_ggml(path)
    return Program(path, script, obstacle, ggml, missing)


def shut_out(path: Path) -> Obstacle | None:
    """Why a program, or a script's first interpreter, would run without the agent, where the system says so: macOS."""
    if not system.RUNS_MACHO:
        return None
    words = _first_line(path)
    started = Path(words[0]) if words else path
    try:
        if not is_macho(started):
            return None
        obstacle = _closed(started, read_macho(started, own_machine()))
    except (OSError, MachOError):
        return None  # the system says better what is wrong with it
    if obstacle and words:
        named = words[1] if os.path.basename(words[0]) == "env" and len(words) == 2 else "INTERPRETER"
        hint = f"Name what runs it, unless that is the system's own: ggml-viz run -- {named} {path}"
        return Obstacle(f"{path} is a script: {obstacle.message}", hint)
    return obstacle


def _first_line(path: Path) -> list[str]:
    """The words of a script's first line; empty: it is none."""
    try:
        with path.open("rb") as file:
            line = file.readline(256)
    except OSError:
        return []
    return os.fsdecode(line[2:]).split() if line.startswith(b"#!") else []


def _interpreter(path: Path, environment: Mapping[str, str]) -> Path | None:
    """The program that a script's first line names, `env` followed."""
    words = _first_line(path)
    if not words:
        return None
    if os.path.basename(words[0]) == "env":
        # The program is the first word that is neither an option nor a setting: `env -S A=1 python3 -u`.
        named = next((word for word in words[1:] if not word.startswith("-") and "=" not in word), None)
        found = shutil.which(named, path=environment.get("PATH", os.defpath)) if named else None
        return Path(found) if found else Path(words[0])
    return Path(words[0])


def _run_in_the_end(path: Path, environment: Mapping[str, str]) -> Path:
    """The program that is run for a script; of a program, itself."""
    for _ in range(_MOST_INTERPRETERS + 1):
        interpreter = _interpreter(path, environment)
        if not interpreter:
            break
        path = interpreter
    return path


def own_machine() -> str:
    """This machine's CPU, as `pe` names it."""
    return {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())


def _foreign(path: Path, of: str, runs: bool, machine: str) -> Obstacle | None:
    """Why a program of the system `of` and for the CPU `machine` is none that the agent can be in here."""
    if not runs:
        return Obstacle(f"{path} is a program of {of}.", "Use ggml-viz there, or a build for this system.")
    own = own_machine()
    if machine != own:
        return Obstacle(f"{path} is a program for {machine}; the agent is for {own}.", f"Use a build for {own}.")
    return None


def _inspect_pe(path: Path, script: Path | None, environment: Mapping[str, str]) -> Program:
    """Inspects a program of Windows."""
    pe = read_pe(path)
    if foreign := _foreign(path, "Windows", system.RUNS_PE, pe.machine):
        return Program(path, script, foreign, (), ())
    found: list[GgmlObject] = []
    missing: list[str] = []
    folders = [path.resolve().parent, *map(Path, environment.get("PATH", "").split(os.pathsep))]
    seen: set[str] = set()
    queue = [(path, pe)]
    while queue and len(seen) < _MOST_LIBRARIES:
        at, read = queue.pop(0)
        called = frozenset[str]().union(*read.imports.values())
        if any(name.startswith("ggml_") for name in called):
            found.append(GgmlObject(at, not GRAPH_CALLS.isdisjoint(called), nodes=False))
        for name in read.imports:
            # Names of sets of functions, which the system resolves itself, are no files.
            if name.lower() in seen or name.lower().startswith(("api-ms-", "ext-ms-")):
                continue
            seen.add(name.lower())
            library = next((folder / name for folder in folders if (folder / name).is_file()), None)
            if library is None:
                missing.append(name)
            elif not str(library).lower().startswith(tuple(folder.lower() for folder in system.OF_THE_SYSTEM)):
                with suppress(OSError, PeError):
                    queue.append((library, read_pe(library)))
    obstacle = None
    if not found and contains_any(path, GGML_TEXT):
        obstacle = Obstacle(
            f"ggml is linked into {path} itself: its calls cannot be seen.",
            "Use a build with shared libraries (llama.cpp: cmake -DBUILD_SHARED_LIBS=ON).",
        )
    return Program(path, script, obstacle, tuple(found), tuple(missing))


def _inspect_macho(path: Path, script: Path | None) -> Program:
    """Inspects a program of macOS."""
    macho = read_macho(path, own_machine())
    if foreign := _foreign(path, "macOS", system.RUNS_MACHO, macho.machine):
        return Program(path, script, foreign, (), ())
    obstacle = shut_out(script or path) or _closed(path, macho)
    if obstacle:
        return Program(path, script, obstacle, (), ())
    found: list[GgmlObject] = []
    missing: list[str] = []
    seen: set[str] = set()
    queue = [(path, macho)]
    while queue and len(seen) < _MOST_LIBRARIES:
        at, read = queue.pop(0)
        if any(name.startswith("ggml_") for name in read.called):
            found.append(GgmlObject(at, not GRAPH_CALLS.isdisjoint(read.called), nodes=False))
        for name in read.libraries:
            if name in seen or name.startswith(system.OF_THE_SYSTEM):
                continue
            seen.add(name)
            library = next((each for each in _macho_places(name, at, path, (*read.search, *macho.search))), None)
            if library is None:
                missing.append(name)
                continue
            with suppress(OSError, MachOError):
                queue.append((library, read_macho(library, macho.machine)))
    if not found and contains_any(path, GGML_TEXT):
        obstacle = Obstacle(
            f"ggml is linked into {path} itself: its calls cannot be seen.",
            "Use a build with shared libraries (llama.cpp: cmake -DBUILD_SHARED_LIBS=ON).",
        )
    return Program(path, script, obstacle, tuple(found), tuple(missing))


def _macho_places(name: str, user: Path, program: Path, search: Sequence[str]) -> list[Path]:
    """Where a library lies that `user` names."""

    def place(text: str) -> Path:
        text = text.replace("@loader_path", str(user.resolve().parent))
        return Path(text.replace("@executable_path", str(program.resolve().parent)))

    names = [name.replace("@rpath", folder, 1) for folder in search] if name.startswith("@rpath/") else [name]
    return [found for found in map(place, names) if found.is_file()]


def _closed(path: Path, macho: MachO) -> Obstacle | None:
    """Why macOS would not load the agent into this program."""
    whole = str(path.resolve())
    if whole.startswith(_PROTECTED) and not whole.startswith("/usr/local/"):
        return Obstacle(
            f"{path} is one of the system's own programs: macOS keeps the agent out of them and of what they start.",
            "Name the program that computes. For Python or Node.js, use one from Homebrew, conda or its own site.",
        )
    if macho.closed:
        return Obstacle(
            f"{path} is signed with the hardened runtime: macOS keeps the agent out of it.",
            "Sign a copy of it without: cp PROGRAM COPY && codesign --force --sign - COPY",
        )
    return _runs_privileged(path)


def _cannot_preload(path: Path, elf: Elf) -> Obstacle | None:
    """Why the dynamic linker would not load the agent into this program."""
    if elf.bits != 64:
        return Obstacle(f"{path} is a 32-bit program; the agent is 64-bit.", "Use a 64-bit build of it.")
    if elf.machine != platform.machine():
        return Obstacle(
            f"{path} is a program for {elf.machine}; this machine is {platform.machine()}.",
            f"Use a build for {platform.machine()}.",
        )
    if elf.interpreter is None:
        return Obstacle(
            f"{path} is statically linked: nothing can be preloaded into it.",
            "If it computes with ggml, use a build with shared libraries (llama.cpp: cmake -DBUILD_SHARED_LIBS=ON).",
        )
    return _runs_privileged(path)


def _runs_privileged(path: Path) -> Obstacle | None:
    """Programs that gain rights when they start are not open to preloading."""
    gained = system.gained_rights(path)
    if not gained:
        return None
    return Obstacle(
        f"{path} is {gained}: the system does not allow preloading into programs that gain rights.",
        "Run a copy of it without those rights (cp drops them).",
    )


def _linked_ggml(
    path: Path, elf: Elf, environment: Mapping[str, str]
) -> tuple[tuple[GgmlObject, ...], tuple[str, ...]]:
    """Follows what the program is linked with, as the dynamic linker would, and picks what has to do with ggml."""
    found: list[GgmlObject] = []
    missing: list[str] = []
    folders = _library_folders(elf, environment)
    seen: set[str] = set()
    queue = [(path, elf)]
    while queue and len(seen) < _MOST_LIBRARIES:
        at, read = queue.pop(0)
        if any(name.startswith("ggml_") for name in read.called):
            found.append(GgmlObject(at, not GRAPH_CALLS.isdisjoint(read.called), NODE_CALL in read.called))
        for name in read.needed:
            if name in seen or (elf.uses_musl and name.startswith(_IN_MUSL)):
                continue
            seen.add(name)
            library = _find_library(name, [*_own_folders(at, read), *folders], read.machine)
            if library:
                queue.append(library)
            else:
                missing.append(name)
    return tuple(found), tuple(missing)


def _find_library(name: str, folders: Sequence[str], machine: str) -> tuple[Path, Elf] | None:
    candidates = [name] if os.sep in name else [os.path.join(folder, name) for folder in folders]
    for candidate in map(Path, candidates):
        try:
            elf = read_elf(candidate)
        except (OSError, ElfError):
            continue
        if elf.bits == 64 and elf.machine == machine:
            return candidate, elf
    return None


def _own_folders(path: Path, elf: Elf) -> list[str]:
    origin = str(path.resolve().parent)
    return [folder.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for folder in elf.search]


def _library_folders(program: Elf, environment: Mapping[str, str]) -> list[str]:
    """Where a program's dynamic linker looks, glibc's cache replaced by what the cache is made from."""
    folders = [folder for folder in environment.get("LD_LIBRARY_PATH", "").replace(";", ":").split(":") if folder]
    if program.uses_musl:
        try:
            own = Path(f"/etc/ld-musl-{platform.machine()}.path").read_text(errors="replace")
        except OSError:
            own = "/lib:/usr/local/lib:/usr/lib"
        return folders + own.replace(":", " ").split()
    for configuration in ["/etc/ld.so.conf", *sorted(glob.glob("/etc/ld.so.conf.d/*.conf"))]:
        try:
            lines = Path(configuration).read_text(errors="replace").splitlines()
        except OSError:
            continue
        folders += [line.strip() for line in lines if line.strip().startswith("/")]
    for base in ("/lib", "/usr/lib"):
        folders += [f"{base}/{platform.machine()}-linux-gnu", f"{base}64", base]
    return folders


def _built_in_ggml(path: Path) -> tuple[tuple[GgmlObject, ...], Obstacle | None]:
    """Finds ggml that was linked into the program itself, where no call goes through the dynamic linker.

    The agent then goes by the symbol table, if stripping has left one.
    """
    try:
        symbols = defined_symbols(path, "ggml_")
    except (OSError, ElfError):
        symbols = set()
    if not GRAPH_CALLS.isdisjoint(symbols):
        return (GgmlObject(path, True, NODE_CALL in symbols, built_in=True),), None
    if not symbols and not contains_any(path, GGML_TEXT):
        return (), None
    return (), Obstacle(
        f"ggml is linked into {path} itself, without symbols: its calls cannot be seen, only that OpenMP's barriers are"
        " waited at.",
        "Use a build that is not stripped, or one with shared libraries (llama.cpp: cmake -DBUILD_SHARED_LIBS=ON).",
    )


def contains_any(path: Path, *texts: bytes) -> bool:
    """Whether one of these texts occurs in a file; not, if it cannot be read."""
    longest = max(map(len, texts))
    try:
        with path.open("rb") as file:
            tail = b""
            while block := file.read(1 << 20):
                window = tail + block
                if any(text in window for text in texts):
                    return True
                tail = block[-longest:]
    except OSError:
        pass
    return False
