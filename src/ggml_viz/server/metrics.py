"""What Prometheus scrapes of the live processes: counters of all since watching began, and what is so now.

Names and units are by Prometheus's conventions: base units, `_total` for what only grows.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from ggml_viz import __version__
from ggml_viz.analysis.summary import Summary
from ggml_viz.sources.processes import LiveSource
from ggml_viz.sources.source import Catalog

CONTENT_TYPE = CONTENT_TYPE_LATEST


def expose(catalog: Catalog) -> bytes:
    """All metrics, as text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Processes(catalog))
    return generate_latest(registry)


class _Processes(Collector):
    """The live processes of a catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def collect(self) -> Iterator[Metric]:
        """One family after the other, each with all processes."""
        info = GaugeMetricFamily("ggml_viz_info", "Version of ggml-viz.", labels=["version"])
        info.add_metric([__version__], 1)
        yield info
        live = [source for source in self._catalog.sources() if isinstance(source, LiveSource)]
        summaries = [(str(source.watch.pid), source, source.summary()) for source in live]
        yield from _activity([(pid, source) for pid, source, _ in summaries])
        yield from _families([(pid, summary) for pid, _, summary in summaries])


def _activity(sources: list[tuple[str, LiveSource]]) -> Iterator[Metric]:
    up = GaugeMetricFamily("ggml_viz_up", "Whether the process is watched now.", labels=["pid", "command"])
    now = GaugeMetricFamily(
        "ggml_viz_tokens_per_second", "Tokens through the model in the last whole second.", labels=["pid", "phase"]
    )
    for pid, source in sources:
        described = source.describe()
        up.add_metric([pid, described["command"]], int(described["state"] in ("running", "paused")))
        for phase, tokens in source.tokens_now().items():
            now.add_metric([pid, phase], tokens)
    yield up
    yield now


def _families(summaries: list[tuple[str, Summary]]) -> Iterator[Metric]:
    tokens = CounterMetricFamily("ggml_viz_tokens", "Tokens that went through the model.", labels=["pid", "phase"])
    phase_seconds = CounterMetricFamily(
        "ggml_viz_phase_seconds", "Time of each phase, pauses of the program left out.", labels=["pid", "phase"]
    )
    graphs = CounterMetricFamily("ggml_viz_graphs", "Graphs computed.", labels=["pid", "phase"])
    op_seconds = CounterMetricFamily("ggml_viz_op_seconds", "Wall time of nodes, by op.", labels=["pid", "op"])
    op_nodes = CounterMetricFamily("ggml_viz_op_nodes", "Nodes executed, by op.", labels=["pid", "op"])
    waiting = GaugeMetricFamily(
        "ggml_viz_barrier_wait_ratio", "Share of the threads' time in nodes that they waited.", labels=["pid"]
    )
    work = CounterMetricFamily("ggml_viz_thread_work_seconds", "Time at work.", labels=["pid", "worker"])
    wait = CounterMetricFamily("ggml_viz_thread_wait_seconds", "Time at barriers.", labels=["pid", "worker"])
    memory = GaugeMetricFamily(
        "ggml_viz_memory_bytes", "Buffers at their peak, by usage and place.", labels=["pid", "usage", "backend"]
    )
    kv_read = GaugeMetricFamily("ggml_viz_kv_read_bytes", "KV cache that one decode read at most.", labels=["pid"])
    splits = CounterMetricFamily("ggml_viz_splits", "Calls into backends.", labels=["pid", "backend"])
    copies, copied, copying = (
        CounterMetricFamily(f"ggml_viz_{name}", text, labels=["pid", "source", "target"])
        for name, text in (
            ("copies", "Copies between memories."),
            ("copied_bytes", "Bytes that they moved."),
            ("copy_seconds", "Time of the calls."),
        )
    )
    records = CounterMetricFamily("ggml_viz_records", "Records seen.", labels=["pid"])
    lost = CounterMetricFamily("ggml_viz_lost_records", "Records lost before they were read.", labels=["pid"])
    overhead = GaugeMetricFamily(
        "ggml_viz_overhead_ratio", "Cost of recording, as a share of the threads' time in graphs.", labels=["pid"]
    )
    for pid, summary in summaries:
        for phase in summary.phases:
            tokens.add_metric([pid, phase.phase], phase.tokens)
            phase_seconds.add_metric([pid, phase.phase], phase.seconds)
            graphs.add_metric([pid, phase.phase], phase.runs)
        for op in summary.ops:
            op_seconds.add_metric([pid, op.op], op.seconds)
            op_nodes.add_metric([pid, op.op], op.count)
        for thread in summary.threads:
            work.add_metric([pid, str(thread.worker)], thread.work_s)
            wait.add_metric([pid, str(thread.worker)], thread.wait_s)
        whole = sum(thread.work_s + thread.wait_s for thread in summary.threads)
        if whole:
            waiting.add_metric([pid], sum(thread.wait_s for thread in summary.threads) / whole)
        for use in summary.memory.buffers:
            memory.add_metric([pid, use.usage, use.backend], use.bytes)
        if summary.memory.kv:
            kv_read.add_metric([pid], summary.memory.kv.read_bytes)
        for backend in summary.backends:
            splits.add_metric([pid, backend.backend], backend.splits)
        for copy in summary.copies:
            labels = [pid, copy.source, copy.target]
            copies.add_metric(labels, copy.count)
            copied.add_metric(labels, copy.bytes)
            copying.add_metric(labels, copy.seconds)
        records.add_metric([pid], summary.trace.records)
        lost.add_metric([pid], summary.trace.lost)
        overhead.add_metric([pid], summary.overhead.share)
    yield from (tokens, phase_seconds, graphs, op_seconds, op_nodes, waiting, work, wait, memory, kv_read, splits)
    yield from (copies, copied, copying, records, lost, overhead)
