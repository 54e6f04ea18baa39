"""Programs of macOS: made ones, ones whose signatures say more, and hostile ones; and what is said of them."""

from __future__ import annotations

import plistlib
import random
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from ggml_viz import system
from ggml_viz.capture import inspect
from ggml_viz.capture.inspect import inspect_program, shut_out
from ggml_viz.capture.macho import MachOError, is_macho, read_macho
from ggml_viz.system import macos

HARDENED, KNOWN_LIBRARIES_ONLY, RESTRICTED = 0x10000, 0x2000, 0x800
ENTITLED = (
    "com.apple.security.cs.allow-dyld-environment-variables",
    "com.apple.security.cs.disable-library-validation",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that says it is of ggml, and a program for each CPU that calls it."""
    folder = tmp_path_factory.mktemp("macho")
    (folder / "library.c").write_text("int ggml_graph_compute(void) { return 0; }")
    (folder / "program.c").write_text("int ggml_graph_compute(void); int main(void) { return ggml_graph_compute(); }")
    for cpu, name in (("aarch64", "arm64"), ("x86_64", "x86_64")):
        compile_for(
            cpu, folder, "-shared", "-Wl,-install_name,@rpath/libggml.dylib", "library.c", "-o", "libggml.dylib"
        )
        compile_for(cpu, folder, "program.c", "libggml.dylib", "-Wl,-rpath,@executable_path/lib", "-o", name)
        (folder / "lib").mkdir(exist_ok=True)
        (folder / "libggml.dylib").rename(folder / "lib" / f"libggml.dylib.{name}")
    return folder


def compile_for(cpu: str, folder: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "ziglang", "cc", "-target", f"{cpu}-macos.11.0", *arguments]
    subprocess.run(command, cwd=folder, check=True)


@pytest.fixture
def macos_on_arm(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked of the system is answered as on a Mac."""
    monkeypatch.setattr(system, "RUNS_MACHO", True)
    monkeypatch.setattr(system, "OF_THE_SYSTEM", macos.OF_THE_SYSTEM)
    monkeypatch.setattr(inspect, "own_machine", lambda: "arm64")


def signed(program: Path, target: Path, flags: int, entitlements: tuple[str, ...] = ()) -> Path:
    """A copy of a program with other flags in its signature, and a signature that entitles it to something."""
    data = bytearray(program.read_bytes())
    at, command = 32, 0
    while command != 0x1D:
        command, length = struct.unpack_from("<II", data, at)
        at += length
    offset, size = struct.unpack_from("<II", data, at - length + 8)
    blob = data[offset : offset + size]
    _, _, count = struct.unpack_from(">III", blob)
    parts = dict(struct.iter_unpack(">II", blob[12 : 12 + 8 * count]))
    start = parts[0]
    directory = blob[start : start + struct.unpack_from(">I", blob, start + 4)[0]]
    struct.pack_into(">I", directory, 12, struct.unpack_from(">I", directory, 12)[0] | flags)
    text = plistlib.dumps(dict.fromkeys(entitlements, True))
    entitled = struct.pack(">II", 0xFADE7171, 8 + len(text)) + text
    head = struct.pack(">IIIIIII", 0xFADE0CC0, 28 + len(directory) + len(entitled), 2, 0, 28, 5, 28 + len(directory))
    fresh = head + directory + entitled
    struct.pack_into("<II", data, at - length + 8, offset, len(fresh))
    target.write_bytes(data[:offset] + fresh)
    return target


def fat(*programs: Path) -> bytes:
    """A file for several CPUs."""
    head, body = struct.pack(">II", 0xCAFEBABE, len(programs)), b""
    for program in programs:
        data = program.read_bytes()
        cpu, kind = struct.unpack_from("<4xII", data)
        head += struct.pack(">IIIII", cpu, kind, 4096 + len(body), len(data), 12)
        body += data + bytes(-len(data) % 4096)
    return head + bytes(4096 - len(head)) + body


@pytest.mark.parametrize("machine", ["arm64", "x86_64"])
def test_program_tells_what_it_is_linked_with(machine: str, built: Path) -> None:
    macho = read_macho(built / machine, machine)
    assert macho.machine == machine
    assert sorted(macho.libraries) == ["/usr/lib/libSystem.B.dylib", "@rpath/libggml.dylib"]
    assert macho.search == ("@executable_path/lib",)
    assert "ggml_graph_compute" in macho.called
    assert not macho.closed


def test_file_for_several_cpus_is_read_for_the_one_that_is_asked_for(built: Path, tmp_path: Path) -> None:
    both = tmp_path / "both"
    both.write_bytes(fat(built / "x86_64", built / "arm64"))
    assert is_macho(both)
    assert read_macho(both, "arm64").machine == "arm64"
    assert read_macho(both, "x86_64").machine == "x86_64"
    assert read_macho(both, "riscv64").machine == "x86_64"


@pytest.mark.parametrize(
    ("flags", "entitlements", "closed"),
    [
        (0, (), False),
        (HARDENED, (), True),
        (HARDENED, ENTITLED[:1], True),  # it would be ended for a library that nobody has signed
        (HARDENED, ENTITLED, False),
        (KNOWN_LIBRARIES_ONLY, (), True),
        (RESTRICTED, ENTITLED, True),
    ],
)
def test_signature_tells_whether_the_agent_is_let_in(
    flags: int, entitlements: tuple[str, ...], closed: bool, built: Path, tmp_path: Path
) -> None:
    assert read_macho(signed(built / "arm64", tmp_path / "signed", flags, entitlements), "arm64").closed == closed


def test_programs_of_other_systems_are_none(tmp_path: Path) -> None:
    java = tmp_path / "Some.class"
    java.write_bytes(struct.pack(">IHH", 0xCAFEBABE, 0, 61))
    assert not is_macho(java)
    assert not is_macho(Path(sys.executable))
    with pytest.raises(MachOError):
        read_macho(Path(sys.executable), "arm64")


def test_damaged_files_are_said_to_be_damaged(built: Path, tmp_path: Path) -> None:
    chance, whole = random.Random(7), bytearray(signed(built / "arm64", tmp_path / "signed", HARDENED).read_bytes())
    damaged = tmp_path / "damaged"
    for _ in range(1000):
        data = bytearray(whole[: chance.randrange(len(whole))] if chance.random() < 0.3 else whole)
        for _ in range(chance.randrange(8) if data else 0):
            data[chance.randrange(min(len(data), 2048))] = chance.choice((0, 1, 0x7F, 0xFF))
        damaged.write_bytes(data)
        with suppress(MachOError):  # nothing else is raised
            read_macho(damaged, "arm64")


# --- what is said of programs ---


@pytest.mark.usefixtures("macos_on_arm")
def test_libraries_are_followed_as_the_dynamic_linker_does(built: Path, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes((built / "arm64").read_bytes())
    assert inspect_program(program).missing == ("@rpath/libggml.dylib",)
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libggml.dylib").write_bytes((built / "lib" / "libggml.dylib.arm64").read_bytes())
    found = inspect_program(program)
    assert found.obstacle is None
    assert found.missing == ()
    assert [(each.path, each.graphs) for each in found.ggml] == [(program, True)]


@pytest.mark.usefixtures("macos_on_arm")
def test_hardened_program_is_refused_with_a_way_out(built: Path, tmp_path: Path) -> None:
    program = signed(built / "arm64", tmp_path / "program", HARDENED)
    obstacle = shut_out(program)
    assert obstacle is not None
    assert "hardened runtime" in obstacle.message
    assert "codesign" in obstacle.hint
    assert inspect_program(program).obstacle == obstacle
    assert shut_out(built / "arm64") is None


@pytest.mark.usefixtures("macos_on_arm")
def test_program_of_the_system_is_refused_also_where_a_script_names_it(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "bin"
    theirs.mkdir()
    env = theirs / "env"
    env.write_bytes((built / "arm64").read_bytes())
    monkeypatch.setattr(inspect, "_PROTECTED", (f"{theirs}/",))
    script = tmp_path / "script"
    script.write_text(f"#!{env} python3\n")
    for started in (env, script):
        obstacle = shut_out(started)
        assert obstacle is not None
        assert "the system's own" in obstacle.message
    assert f"ggml-viz run -- python3 {script}" in obstacle.hint


@pytest.mark.usefixtures("macos_on_arm")
def test_program_for_another_cpu_is_named(built: Path) -> None:
    obstacle = inspect_program(built / "x86_64").obstacle
    assert obstacle is not None
    assert "a program for x86_64; the agent is for arm64" in obstacle.message


def test_elsewhere_it_is_a_program_of_macos(built: Path) -> None:
    obstacle = inspect_program(built / "arm64").obstacle
    assert obstacle is not None
    assert "is a program of macOS" in obstacle.message
    assert shut_out(built / "arm64") is None
