"""`python -m tests.fuzz [--count N] [--seed S] [--jobs J] [--case NUMBER]`: hostile traces, read in every way there is.

Each must be read, or refused with one clear message, within a second of CPU time and a gigabyte of memory.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from tests.fuzz.consume import consume
from tests.fuzz.hostile import hostile_trace

MAX_S, MAX_GROWTH_BYTES = 1.0, 1 << 30
_ADDRESS_SPACE_BYTES = 6 << 30


@dataclass
class Tally:
    """What came of some traces.

    Attributes:
        read: How many could be read.
        refused: How many were refused.
        slowest_s: CPU time of the slowest.
        slowest: Its number.
        peak_bytes: The most memory that the process had.
        failed: Numbers of those that failed.
    """

    read: int = 0
    refused: int = 0
    slowest_s: float = 0.0
    slowest: int = -1
    peak_bytes: int = 0
    failed: tuple[int, ...] = ()


def try_traces(seed: int, numbers: range) -> Tally:
    """Tries some traces, in this process. What fails is printed, with how to try it again."""
    tally, failed = Tally(), []
    base = _memory_bytes()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        signal.signal(signal.SIGVTALRM, _too_long)
        path = Path(folder) / "hostile.ggmlviz"
        for number in numbers:
            path.write_bytes(hostile_trace(seed, number))
            began = time.process_time()
            signal.setitimer(signal.ITIMER_VIRTUAL, MAX_S)
            try:
                if consume(path, number):
                    tally.read += 1
                else:
                    tally.refused += 1
            except (Exception, _TooLong):
                traceback.print_exc()
                print(f"FAILED: python -m tests.fuzz --seed {seed} --case {number}", file=sys.stderr, flush=True)
                failed.append(number)
            finally:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            took_s = time.process_time() - began
            if took_s > tally.slowest_s:
                tally.slowest_s, tally.slowest = took_s, number
            tally.peak_bytes = _memory_bytes()
            if tally.peak_bytes - base > MAX_GROWTH_BYTES:
                print(f"TOO MUCH MEMORY: python -m tests.fuzz --seed {seed} --case {number}", file=sys.stderr)
                failed.append(number)
                break
    tally.failed = tuple(failed)
    return tally


class _TooLong(BaseException):
    """It took more than MAX_S of CPU time. No Exception, so that nobody takes it for something else."""


def _too_long(number: int, frame: FrameType | None) -> None:
    raise _TooLong


def _memory_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _work(job: tuple[int, range]) -> Tally:
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE_BYTES, _ADDRESS_SPACE_BYTES))
    return try_traces(*job)


def main() -> int:
    """Tries as many as asked for and says what came of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first trace")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--case", type=int, help="only this one; it is kept in hostile.ggmlviz")
    args = parser.parse_args()
    if args.case is not None:
        Path("hostile.ggmlviz").write_bytes(hostile_trace(args.seed, args.case))
        return 1 if try_traces(args.seed, range(args.case, args.case + 1)).failed else 0
    step = 2000
    last = args.first + args.count
    jobs = [(args.seed, range(at, min(at + step, last))) for at in range(args.first, last, step)]
    whole = Tally()
    began = time.monotonic()
    # A new process now and then, so that its memory tells of few traces.
    with multiprocessing.get_context("fork").Pool(args.jobs, maxtasksperchild=5) as pool:
        for done, tally in enumerate(pool.imap_unordered(_work, jobs), 1):
            whole.read += tally.read
            whole.refused += tally.refused
            whole.failed += tally.failed
            whole.peak_bytes = max(whole.peak_bytes, tally.peak_bytes)
            if tally.slowest_s > whole.slowest_s:
                whole.slowest_s, whole.slowest = tally.slowest_s, tally.slowest
            if done % 10 == 0 or done == len(jobs):
                print(
                    f"{whole.read + whole.refused + len(whole.failed)} of {args.count}: {whole.read} read, "
                    f"{whole.refused} refused, {len(whole.failed)} failed; slowest {whole.slowest_s:.2f} s "
                    f"({whole.slowest}), at most {whole.peak_bytes / 1e6:.0f} MB; {time.monotonic() - began:.0f} s",
                    flush=True,
                )
    return 1 if whole.failed else 0


if __name__ == "__main__":
    sys.exit(main())
