"""The peaks of a machine: remembered, told, put into traces, and not believed if they are nonsense."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.support.tracefile import machine_chunk, trace_from_text

from ggml_viz import native
from ggml_viz.cli import main
from ggml_viz.machine import Machine, Peaks, machine_of, peaks_path, remember, this_machine, thread_counts
from ggml_viz.trace.reader import open_trace

ONE, FOUR = Peaks(1, 10e9, 8e9, 50e9, 100e9), Peaks(4, 20e9, 26e9, 200e9, 400e9)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_between_two_counts_of_threads_it_is_on_the_line() -> None:
    machine = Machine("x", "A CPU", 4, (ONE, FOUR))
    assert machine.at(1) == ONE
    assert machine.at(4) == machine.at(64) == FOUR
    assert machine.at(2).flops_per_s == pytest.approx(100e9)
    assert machine.at(2).bandwidth_bytes_per_s == pytest.approx(14e9)
    assert Machine("x", "A CPU", 4, (FOUR,)).at(1) == FOUR
    with pytest.raises(ValueError, match="not measured"):
        Machine("x", "A CPU", 4).at(1)


def test_counts_of_threads() -> None:
    assert list(thread_counts(1)) == [1]
    assert list(thread_counts(6)) == [1, 2, 3, 4, 5, 6]
    assert list(thread_counts(48)) == [1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 48]


def test_is_remembered(cache: Path) -> None:
    assert this_machine().peaks == ()
    here = this_machine()
    path = remember(Machine(here.identity, here.cpu, here.cpus, (ONE, FOUR)))
    assert path == peaks_path(here.identity)
    assert path.is_relative_to(cache)
    assert this_machine().peaks == (ONE, FOUR)
    assert len(list(path.parent.iterdir())) == 1
    path.write_text(path.read_text().replace(here.identity, "another"))
    assert this_machine().peaks == ()


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "null", "{", '"x"', '{"identity": "x", "cpu": "c", "cpus": 1, "peaks": 7}', "[" * 100_000),
        '{"identity": "x", "cpu": "c", "cpus": 1, "peaks": [{"threads": 1}]}',
        ONE_WITH := '{"identity": "x", "cpu": "c", "cpus": 1, "peaks": [{"threads": 0, "triad_bytes_per_s": 1e9, '
        '"read_bytes_per_s": 1e9, "flops_per_s": 1e9, "int8_ops_per_s": 1e9}]}',
        ONE_WITH.replace('"threads": 0', '"threads": 1').replace("1e9}", "NaN}"),
        ONE_WITH.replace('"threads": 0', '"threads": 1').replace("1e9}", "1e300}"),
        ONE_WITH.replace('"threads": 0', '"threads": 1').replace("1e9}", "0}"),
    ],
)
def test_nonsense_is_no_machine(text: str) -> None:
    assert Machine.from_json(text) is None


def test_is_read_from_a_trace_or_else_from_what_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "t.ggmlviz"
    data = trace_from_text("process\ndone ended")
    path.write_bytes(data[:16] + machine_chunk({"triad": 2e9, "read": 1e9, "flops": 3e9, "int8": 4e9}) + data[16:])
    machine = machine_of(open_trace(path))
    assert machine is not None
    assert machine.at(1) == Peaks(1, 2e9, 1e9, 3e9, 4e9)
    path.write_bytes(data)
    assert machine_of(open_trace(path)) is None

    # A recording says which machine it was made on, also where that was not measured; later it may have been.
    here = this_machine()
    native.Recorder(tmp_path, "token", path, machine=here.to_json()).close()
    assert machine_of(open_trace(path)) == here
    remember(Machine(here.identity, here.cpu, here.cpus, (ONE,)))
    later = machine_of(open_trace(path))
    assert later is not None
    assert later.peaks == (ONE,)


def test_a_flight_recorder_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "t.ggmlviz"
    native.Recorder(tmp_path, "token", path, max_bytes=1 << 20, machine=this_machine().to_json()).close()
    assert open_trace(path).machine_json == this_machine().to_json()


def test_measures_plausibly() -> None:
    for threads in (1, 2):
        triad, read, floats, integers = native.measure_peaks(threads, 64 << 20, rounds=1, round_s=0.01)
        assert 1e8 < triad < 1e13
        assert 1e8 < read < 1e13
        assert 1e8 < floats < 1e14
        assert integers > floats / 4
    with pytest.raises(OSError, match="Invalid"):
        native.measure_peaks(0, 1 << 20)


def test_command_tells_what_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    here = this_machine()
    remember(Machine(here.identity, here.cpu, here.cpus, (ONE, FOUR)))
    assert main(["probe", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == 1
    assert [peaks["threads"] for peaks in told["peaks"]] == [1, 4]
    assert main(["probe"]) == 0
    text = capsys.readouterr().out
    assert "      4         20.0        26.0       200          400" in text
    assert "measured before" in text


def test_what_cannot_be_kept_is_told(
    capsys: pytest.CaptureFixture[str], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.write_text("a file where a folder should be")
    monkeypatch.setattr("ggml_viz.commands.probe.measure", lambda threads: Peaks(threads, 1e9, 1e9, 1e9, 1e9))
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    assert main(["probe"]) == 1
    assert "cannot be kept" in capsys.readouterr().err
