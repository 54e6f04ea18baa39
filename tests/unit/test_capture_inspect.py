"""What is said of a program before it is run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ggml_viz.capture.inspect import find_program, inspect_program
from ggml_viz.errors import UserError

LIBRARY = """
int ggml_cpu_extra_compute_forward(void *p, void *n) { return p == n; }
int ggml_graph_compute(void *g, void *p) { return ggml_cpu_extra_compute_forward(g, p); }
int ggml_backend_graph_compute(void *b, void *g) { return ggml_graph_compute(b, g); }
"""
PROGRAM = (
    "int ggml_backend_graph_compute(void *b, void *g); int main(void) { return ggml_backend_graph_compute(0, 0); }"
)


def compile_c(folder: Path, source: str, *arguments: str) -> None:
    subprocess.run(["cc", "-x", "c", "-", "-O0", *arguments], input=source.encode(), cwd=folder, check=True)


def executable(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(0o755)
    return path


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program whose ggml is in a library of its own, beneath it."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "lib").mkdir()
    compile_c(folder, LIBRARY, "-shared", "-fPIC", "-o", "lib/libggml-renamed.so")
    compile_c(folder, PROGRAM, "-o", "program", "-Llib", "-l:libggml-renamed.so", "-Wl,-rpath,$ORIGIN/lib")
    return folder


def test_ggml_in_a_library_is_found(shared: Path) -> None:
    program = inspect_program(shared / "program")
    assert program.obstacle is None
    assert program.missing == ()
    found = {part.path.name: (part.graphs, part.nodes) for part in program.ggml}
    assert found == {"program": (True, False), "libggml-renamed.so": (True, True)}


def test_missing_library_is_named(shared: Path, tmp_path: Path) -> None:
    alone = executable(tmp_path / "alone", (shared / "program").read_bytes())
    assert inspect_program(alone).missing == ("libggml-renamed.so",)
    found = inspect_program(alone, {"LD_LIBRARY_PATH": str(shared / "lib")})
    assert found.missing == ()


def test_program_without_ggml_has_no_obstacle() -> None:
    program = inspect_program(Path(sys.executable))
    assert program.obstacle is None
    assert program.ggml == ()


def test_static_program_cannot_be_captured(tmp_path: Path) -> None:
    compile_c(tmp_path, LIBRARY + "int main(void) { return 0; }", "-static", "-o", "static")
    obstacle = inspect_program(tmp_path / "static").obstacle
    assert obstacle
    assert "statically linked" in obstacle.message
    assert "BUILD_SHARED_LIBS" in obstacle.hint


BUILT_IN = LIBRARY + 'int puts(const char *); int main(void) { return puts("GGML_ASSERT(%s) failed"); }'


def test_ggml_linked_into_the_program_is_found_by_its_symbols(tmp_path: Path) -> None:
    compile_c(tmp_path, BUILT_IN, "-o", "program")
    program = inspect_program(tmp_path / "program")
    assert program.obstacle is None
    assert [(part.path, part.graphs, part.built_in) for part in program.ggml] == [(tmp_path / "program", True, True)]


def test_stripped_program_with_ggml_in_it_cannot_be_captured(tmp_path: Path) -> None:
    compile_c(tmp_path, BUILT_IN, "-o", "program", "-s")
    obstacle = inspect_program(tmp_path / "program").obstacle
    assert obstacle
    assert "linked into" in obstacle.message
    assert "without symbols" in obstacle.message


def test_what_musl_has_in_itself_is_not_missing(shared: Path) -> None:
    needs = ("-Llib", "-l:libggml-renamed.so", "-lm", "-Wl,--no-as-needed", "-Wl,-rpath,$ORIGIN/lib")
    compile_c(shared, PROGRAM, "-o", "musl", *needs, "-Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1")
    program = inspect_program(shared / "musl", {"LD_LIBRARY_PATH": "/nowhere"})
    assert program.obstacle is None
    assert program.missing == ()
    assert [part.path.name for part in program.ggml] == ["musl", "libggml-renamed.so"]


def test_setuid_program_of_another_user_cannot_be_captured(tmp_path: Path) -> None:
    program = executable(tmp_path / "program", Path(sys.executable).resolve().read_bytes())
    program.chmod(0o4755)
    assert inspect_program(program).obstacle is None  # ours: nothing is gained
    if os.getuid() == 0:
        os.chown(program, 65534, 65534)
        program.chmod(0o4755)
    else:
        program = Path("/usr/bin/passwd")
    obstacle = inspect_program(program).obstacle
    assert obstacle
    assert "setuid" in obstacle.message


def test_script_leads_to_its_interpreter(tmp_path: Path) -> None:
    direct = executable(tmp_path / "direct", f"#!{sys.executable} -u\n")
    assert inspect_program(direct).path == Path(sys.executable)
    assert inspect_program(direct).script == direct
    by_env = executable(tmp_path / "by-env", "#!/usr/bin/env -S A=1 sh -e\n")
    assert inspect_program(by_env).path.name == "sh"
    script_by_script = executable(tmp_path / "twice", f"#!{direct}\n")
    assert inspect_program(script_by_script).path == Path(sys.executable)


def test_scripts_that_name_each_other_come_to_an_end(tmp_path: Path) -> None:
    executable(tmp_path / "a", f"#!{tmp_path}/b\n")
    executable(tmp_path / "b", f"#!{tmp_path}/a\n")
    assert inspect_program(tmp_path / "a").obstacle


def test_what_is_no_program_is_said_so(tmp_path: Path) -> None:
    obstacle = inspect_program(executable(tmp_path / "text", "hello")).obstacle
    assert obstacle
    assert "not a program" in obstacle.message


def test_programs_are_found_as_the_shell_finds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = executable(tmp_path / "tool", "#!/bin/sh\n")
    assert find_program("tool", {"PATH": str(tmp_path)}) == tool
    assert find_program(str(tool), {}) == tool
    monkeypatch.chdir(tmp_path)
    assert find_program("./tool", {}) == Path("./tool")


@pytest.mark.parametrize(
    ("name", "status"), [("no-such-program", 127), ("./nothing", 127), ("./data", 126), ("./", 126)]
)
def test_what_cannot_be_run_has_the_shell_s_exit_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, status: int
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").write_text("")
    with pytest.raises(UserError) as error:
        find_program(name, {"PATH": "/usr/bin:/bin"})
    assert error.value.exit_status == status
