"""`python -m tests.fuzz [--count N] [--seed S] [--jobs J] [--case NUMBER]`: hostile traces, read in every way there is.

Each must be read, or refused with one clear message, each time within a second of CPU time and a gigabyte of memory.
"""

from __future__ import annotations

import argparse
import ctypes
import multiprocessing
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.sharedctypes import RawValue
from pathlib import Path
from types import FrameType

from tests.fuzz.consume import LOOKS, looks_at, opened
from tests.fuzz.hostile import hostile_trace

from ggml_viz.errors import UserError
from ggml_viz.model.trace import Trace

# Generous, for slow machines: what grows faster than the file takes far longer.
MAX_S, MAX_GROWTH_BYTES = 2.5, 1 << 30
_ADDRESS_SPACE_BYTES = 8 << 30
# A new process now and then, so that its memory tells of few traces.
_TRACES_A_PROCESS = 10_000
# What native code does is not interrupted; a process that is busy with one trace for so many looks at it is ended.
_LOOK_S, _MAX_LOOKS = 0.05, 1200
_PR_SET_PDEATHSIG = 1
_STEP_NAMES = ("open", *(look.name for look in LOOKS))


class Tally(ctypes.Structure):
    """What came of some traces; a process that tries some brings it up to date for the one that started it.

    Attributes:
        number: The trace that is being tried.
        read: How many could be read.
        refused: How many were no traces.
        failed: How many failed.
        slowest_s: CPU time of the slowest step.
        slowest: The number of its trace.
        slowest_step: Which it was: index in _STEP_NAMES.
        peak_bytes: The most memory that the process had.
    """

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("number", "read", "refused", "failed", "slowest", "slowest_step")),
        *(("slowest_s", ctypes.c_double), ("peak_bytes", ctypes.c_int64)),
    )
    number: int
    read: int
    refused: int
    failed: int
    slowest: int
    slowest_step: int
    slowest_s: float
    peak_bytes: int

    def add(self, other: Tally) -> None:
        """Takes in what came of others."""
        self.read += other.read
        self.refused += other.refused
        self.failed += other.failed
        self.peak_bytes = max(self.peak_bytes, other.peak_bytes)
        if other.slowest_s > self.slowest_s:
            self.slowest_s, self.slowest, self.slowest_step = other.slowest_s, other.slowest, other.slowest_step

    def __str__(self) -> str:
        tried, slowest = self.read + self.refused + self.failed, f"{_STEP_NAMES[self.slowest_step]} of {self.slowest}"
        return (
            f"{tried} traces: {self.read} read, {self.refused} refused, {self.failed} failed; "
            f"slowest {self.slowest_s:.2f} s ({slowest}), at most {self.peak_bytes / 1e6:.0f} MB"
        )


def try_traces(
    seed: int, numbers: range, tally: Tally, folder: Path, make: Callable[[int, int], bytes] = hostile_trace
) -> None:
    """Tries some traces, in this process, written to a folder. What fails is printed, with how to try it again."""
    base_bytes = _memory_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = signal.signal(signal.SIGPROF, _too_long)
        path = folder / f"hostile.{os.getpid()}.ggmlviz"
        for number in numbers:
            tally.number = number
            path.write_bytes(make(seed, number))
            try:
                if _is_read(path, number, tally):
                    tally.read += 1
                else:
                    tally.refused += 1
                _check_memory(base_bytes, tally)
            except (Exception, _TooLong):
                traceback.print_exc()
                print(_again(seed, number), file=sys.stderr, flush=True)
                tally.failed += 1
        signal.signal(signal.SIGPROF, before)
        path.unlink()


def _is_read(path: Path, number: int, tally: Tally) -> bool:
    """Gives one trace to what reads it. Returns whether it is one."""
    trace: Trace
    try:
        with _timed(number, 0, tally):
            trace = opened(path)
    except UserError as error:
        _check_message(error)
        return False
    rng = random.Random(number)
    for look in looks_at(number):
        try:
            with _timed(number, 1 + LOOKS.index(look), tally):
                look.read(trace, rng)
        except UserError as error:
            _check_message(error)
    return True


@contextmanager
def _timed(number: int, step: int, tally: Tally) -> Iterator[None]:
    began_s = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, MAX_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        took_s = time.process_time() - began_s
        if took_s > tally.slowest_s:
            tally.slowest_s, tally.slowest, tally.slowest_step = took_s, number, step
    assert took_s < MAX_S, f"{_STEP_NAMES[step]} took {took_s:.2f} s"


class _TooLong(BaseException):
    """It took more than MAX_S of CPU time. No Exception, so that nobody takes it for something else."""


def _too_long(number: int, frame: FrameType | None) -> None:
    raise _TooLong


def _check_message(error: UserError) -> None:
    assert error.message, "there is no message"
    assert error.message.isprintable(), f"the message is not one line: {error.message!r}"


def _check_memory(base_bytes: int, tally: Tally) -> None:
    tally.peak_bytes = _memory_bytes()
    if tally.peak_bytes - base_bytes > MAX_GROWTH_BYTES:
        raise MemoryError(f"it took {(tally.peak_bytes - base_bytes) / 1e6:.0f} MB")


def _memory_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _again(seed: int, number: int) -> str:
    return f"FAILED: python -m tests.fuzz --seed {seed} --case {number}"


class _Worker:
    """A process that tries some traces.

    Args:
        seed: Of the traces.
        numbers: Theirs.
        folder: Where they are written to.
    """

    def __init__(self, seed: int, numbers: range, folder: Path) -> None:
        self._seed, self._numbers, self._folder = seed, numbers, folder
        self.tally: Tally = RawValue(Tally)  # type: ignore[assignment]
        self._seen, self._looks = numbers.start, 0
        self.process = multiprocessing.get_context("fork").Process(target=self._work)
        self.process.start()

    def _work(self) -> None:
        resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE_BYTES, _ADDRESS_SPACE_BYTES))
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        try_traces(self._seed, self._numbers, self.tally, self._folder)

    def left(self) -> range | None:
        """The traces that it leaves to another if it has ended; None: it has not.

        What makes a process end before its time is the trace that it was trying.
        """
        if self.process.is_alive():
            self._looks = self._looks + 1 if self._seen == self.tally.number else 0
            self._seen = self.tally.number
            if self._looks < _MAX_LOOKS:
                return None
            self.process.kill()
        self.process.join()
        if self.process.exitcode == 0:
            return range(0)
        print(f"{_again(self._seed, self.tally.number)} (exit status {self.process.exitcode})", file=sys.stderr)
        self.tally.failed += 1
        return range(self.tally.number + 1, self._numbers.stop)


def _try_all(seed: int, numbers: range, jobs: int, folder: Path) -> Tally:
    """Tries traces in some processes at once."""
    parts = [numbers[at : at + _TRACES_A_PROCESS] for at in range(0, len(numbers), _TRACES_A_PROCESS)][::-1]
    whole, began = Tally(), time.monotonic()
    workers: list[_Worker] = []
    while parts or workers:
        while parts and len(workers) < jobs:
            workers.append(_Worker(seed, parts.pop(), folder))
        time.sleep(_LOOK_S)
        for worker in list(workers):
            if (left := worker.left()) is None:
                continue
            workers.remove(worker)
            whole.add(worker.tally)
            if left:
                parts.append(left)
            print(f"{whole}; {time.monotonic() - began:.0f} s", flush=True)
    return whole


def main() -> int:
    """Tries as many as asked for and says what came of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first trace")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--case", type=int, help="only this one; it is kept in hostile.ggmlviz")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        if args.case is None:
            tally = _try_all(args.seed, range(args.first, args.first + args.count), args.jobs, Path(folder))
        else:
            Path("hostile.ggmlviz").write_bytes(hostile_trace(args.seed, args.case))
            tally = Tally()
            try_traces(args.seed, range(args.case, args.case + 1), tally, Path(folder))
            print(tally)
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
