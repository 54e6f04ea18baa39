"""What reports conclude from real runs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.integration.conftest import GGML_VIZ, report
from tests.support import runtimes


def recorded(trace: Path, *command: str | Path, environment: dict[str, str] | None = None) -> dict[str, Any]:
    done = subprocess.run(
        [GGML_VIZ, "run", "--quiet", "-o", trace, "--", *command],
        capture_output=True,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    assert done.returncode == 0, done.stderr
    return report(trace)


def llama_bench(threads: int) -> list[str | Path]:
    sizes = ("-p", "32", "-n", "32", "-r", "1")
    return [runtimes.llama_cpp("llama-bench"), "-m", runtimes.smollm2(), "-t", str(threads), *sizes]


def test_a_healthy_run_has_no_finding(tmp_path: Path) -> None:
    """One of three: on a machine that others use too, threads do wait for each other now and then."""
    found = []
    for attempt in range(3):
        findings = recorded(tmp_path / f"{attempt}", *llama_bench(os.cpu_count() or 1))["findings"]
        if not findings:
            return
        found.append([finding["sentence"] for finding in findings])
    pytest.fail(f"each run has findings: {found}")


def test_more_threads_than_cpus_are_found(tmp_path: Path) -> None:
    cpus = os.cpu_count() or 1
    findings = recorded(tmp_path / "t", *llama_bench(4 * cpus))["findings"]
    oversubscribed = [finding for finding in findings if finding["rule"] == "too-many-threads"]
    assert {finding["phase"] for finding in oversubscribed} >= {"decode"}
    for finding in oversubscribed:
        assert finding["advice"] == f"use -t {cpus}"
        assert finding["cost_s"] > 0


def test_a_probed_machine_gives_a_ceiling(tmp_path: Path) -> None:
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    probe = [GGML_VIZ, "probe", "--json"]
    done = subprocess.run(probe, capture_output=True, text=True, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr
    machine = json.loads(done.stdout)
    assert [peaks["threads"] for peaks in machine["peaks"]][-1] == os.cpu_count()
    for peaks in machine["peaks"]:
        assert 1e9 < peaks["read_bytes_per_s"] < 1e13
        assert 1e9 < peaks["triad_bytes_per_s"] < 1e13
        assert 1e9 < peaks["flops_per_s"] <= 2 * peaks["int8_ops_per_s"]
    again = subprocess.run(probe, capture_output=True, text=True, env={**os.environ, **environment})
    assert json.loads(again.stdout) == machine

    said = recorded(tmp_path / "t", *llama_bench(os.cpu_count() or 1), environment=environment)
    roofline = said["roofline"]
    assert roofline["machine"]["peaks"] == machine["peaks"]
    assert roofline["modelled_share"] > 0.99
    ceiling = roofline["decode"]
    (decode,) = (phase for phase in said["phases"] if phase["phase"] == "decode")
    assert ceiling["reached"] == pytest.approx(decode["tokens_per_second"] / ceiling["tokens_per_second"])
    assert 0.02 < ceiling["reached"] < 1.5
    for row in (*said["ops"], *said["roles"], *said["layers"]):
        if row["floor_share"] is not None:
            assert 0 <= row["floor_share"] < 3
    product = next(op for op in said["ops"] if op["op"] == "MUL_MAT")
    assert product["gbps"] == pytest.approx(product["bytes"] / product["seconds"] * 1e-9)


def test_layers_and_roles_add_up(tmp_path: Path) -> None:
    said = recorded(tmp_path / "t", *llama_bench(os.cpu_count() or 1))
    in_ops = sum(op["seconds"] for op in said["ops"])
    for rows in (said["layers"], said["roles"]):
        assert sum(row["seconds"] for row in rows) == pytest.approx(in_ops)
    layers = {row["layer"] for row in said["layers"]}
    assert layers == {"", *map(str, range(30))}
    roles = {row["role"] for row in said["roles"] if row["phase"] == "decode"}
    assert roles >= {"attn_q", "attn_k", "attn_v", "attn_output", "kqv", "ffn_up", "ffn_gate", "ffn_down", "output"}
