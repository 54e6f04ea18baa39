"""The machine that a trace was recorded on, and the peaks that `ggml-viz probe` measured there."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggml_viz import system

if TYPE_CHECKING:
    from ggml_viz.trace.reader import TraceFile

_MAX_PEAKS = 1024
_MAX_TEXT = 256


@dataclass(frozen=True, slots=True)
class Peaks:
    """The most that a machine does with so many threads, as it was measured.

    Attributes:
        threads: How many computed at once.
        triad_bytes_per_s: Memory bandwidth of a[i] = b[i] + s·c[i], three words counted for each i as STREAM does.
        read_bytes_per_s: Memory bandwidth of adding up what is read, as in decoding, which only reads weights.
        flops_per_s: Single-precision operations of a loop of fused multiply-adds, two for each.
        int8_ops_per_s: Operations of a loop of dot products of 8-bit integers, two for each multiply-add: what products
            with quantized weights are made of.
    """

    threads: int
    triad_bytes_per_s: float
    read_bytes_per_s: float
    flops_per_s: float
    int8_ops_per_s: float

    @property
    def bandwidth_bytes_per_s(self) -> float:
        """The peak of the memory bandwidth: the larger of the two that were measured."""
        return max(self.triad_bytes_per_s, self.read_bytes_per_s)


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine, and what is known of it.

    Attributes:
        identity: Tells one machine from another.
        cpu: What it calls its CPU.
        cpus: CPUs online.
        peaks: Measured peaks, by rising count of threads; empty: it was not measured.
    """

    identity: str
    cpu: str
    cpus: int
    peaks: tuple[Peaks, ...] = ()

    def at(self, threads: int) -> Peaks:
        """The peaks with so many threads; between two counts that were measured on the line that joins them.

        Raises:
            ValueError: None were measured.
        """
        if not self.peaks:
            raise ValueError("the machine was not measured")
        above = next((peaks for peaks in self.peaks if peaks.threads >= threads), self.peaks[-1])
        below = next((peaks for peaks in reversed(self.peaks) if peaks.threads <= threads), self.peaks[0])
        if above.threads <= below.threads:
            return below
        part = (threads - below.threads) / (above.threads - below.threads)
        low, high = asdict(below), asdict(above)
        return Peaks(threads, *(low[f] + part * (high[f] - low[f]) for f in _RATES))

    def to_json(self) -> str:
        """As text, for a file or a trace."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Machine | None:
        """From such text; None if it is anything else."""
        try:
            data = json.loads(text)
            peaks = sorted((_peaks(item) for item in data["peaks"][:_MAX_PEAKS]), key=lambda peaks: peaks.threads)
            identity, cpu = str(data["identity"])[:_MAX_TEXT], str(data["cpu"])[:_MAX_TEXT]
            return cls(identity, cpu, int(data["cpus"]), tuple(peaks))
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError, AttributeError):
            return None


_RATES = tuple(field.name for field in fields(Peaks) if field.name != "threads")


def _peaks(item: Any) -> Peaks:
    threads, rates = int(item["threads"]), [float(item[rate]) for rate in _RATES]
    # Limits far beyond any machine keep hostile figures from overflowing what is computed with them.
    if not 0 < threads < 1 << 16 or not all(math.isfinite(rate) and 1 <= rate <= 1e18 for rate in rates):
        raise ValueError("no peaks")
    return Peaks(threads, *rates)


def this_machine() -> Machine:
    """The machine that this runs on, with its peaks where they were measured before."""
    cpu, own = system.cpu_name(), system.machine_identity()
    cpus = os.cpu_count() or 1
    identity = hashlib.sha256(f"{own}\n{cpu}\n{cpus}".encode()).hexdigest()[:16]
    return Machine(identity, cpu, cpus, remembered_peaks(identity))


def remembered_peaks(identity: str) -> tuple[Peaks, ...]:
    """What was measured on a machine before; empty: nothing."""
    try:
        known = Machine.from_json(peaks_path(identity).read_text())
    except (OSError, ValueError):
        return ()
    return known.peaks if known and known.identity == identity else ()


def remember(machine: Machine) -> Path:
    """Keeps what was measured on this machine for later. Returns the file.

    Raises:
        OSError: It cannot be written.
    """
    path = peaks_path(machine.identity)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_text(machine.to_json())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    return path


def peaks_path(identity: str) -> Path:
    """Where the peaks of a machine are kept."""
    return system.cache_folder() / f"machine-{identity}.json"


def machine_of(file: TraceFile) -> Machine | None:
    """The machine of a trace; peaks that the trace does not hold are those measured since, if it is this machine."""
    machine = Machine.from_json(file.machine_json) if file.machine_json else None
    if machine is None or machine.peaks:
        return machine
    here = this_machine()
    return here if here.identity == machine.identity else machine


def measure(threads: int) -> Peaks:
    """Measures the peaks of this machine with so many threads; takes about a second.

    Raises:
        OSError: There is not enough memory, or no such number of threads.
    """
    from ggml_viz.native import measure_peaks

    return Peaks(threads, *measure_peaks(threads, _measured_bytes()))


def _measured_bytes() -> int:
    """What the arrays take that bandwidth is measured on: well beyond the caches, where the memory allows it."""
    largest = max(32 << 20, system.largest_cache_bytes())
    available = system.available_bytes()
    return min(4 * largest, 1 << 30, (1 << 30 if available is None else available) // 4)


def thread_counts(cpus: int) -> Sequence[int]:
    """With how many threads a machine of so many CPUs is measured: each count up to 8, then powers of two, and all."""
    return sorted({*range(1, min(cpus, 8) + 1), *(1 << i for i in range(4, 11) if 1 << i < cpus), cpus})
