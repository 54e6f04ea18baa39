"""`python -m tests.compatibility`: tries ggml-viz on real programs and prints what is seen of each.

The exit status is 1 if a program crashed, printed something else, was seen otherwise than it was counted, or if nothing
was seen of it and nothing said why.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from pathlib import Path

from tests.compatibility import measure, table
from tests.compatibility.measure import Counts, Outcome, Unavailable
from tests.compatibility.programs import ENTRIES, Entry
from tests.support import runtimes


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.compatibility", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only programs in whose name and version this occurs")
    parser.add_argument("--update-readme", action="store_true", help="put the table into README.md, if all is well")
    args = parser.parse_args()
    chosen = [entry for entry in ENTRIES if not args.only or any(only in entry.label for only in args.only)]
    if not chosen:
        parser.error(f"no such program; there are: {', '.join(entry.label for entry in ENTRIES)}")
    counted: dict[str, Counts | None] = {}
    outcomes = []
    for number, entry in enumerate(chosen, 1):
        print(f"[{number}/{len(chosen)}] {entry.label} …", end=" ", flush=True, file=sys.stderr)
        began = time.monotonic()
        outcome = attempt(entry, counted)
        outcomes.append(outcome)
        said = outcome.skipped or "; ".join(outcome.problems) or (outcome.seen.level if outcome.seen else outcome.why)
        print(f"{said} ({time.monotonic() - began:.0f} s)", file=sys.stderr)
    if args.json:
        json.dump(outcomes, sys.stdout, indent=1, default=described)
        print()
    else:
        print(table.markdown(outcomes))
    if any(outcome.problems for outcome in outcomes):
        return 1
    if args.update_readme:
        table.replace_in(runtimes.ROOT / "README.md", table.markdown(outcomes))
    return 0


def attempt(entry: Entry, counted: dict[str, Counts | None]) -> Outcome:
    """Tries one program; `counted` remembers counts for those that refer to it."""
    with tempfile.TemporaryDirectory(prefix="ggml-viz-") as folder:
        try:
            reference = count_of(entry.reference, counted, Path(folder)) if entry.reference else None
            outcome = measure.compare(entry, measure.prepare(entry), Path(folder), reference)
        except Unavailable as reason:
            return Outcome(entry, skipped=str(reason))
        except Exception as error:  # one that cannot be fetched or run must not end the others
            return Outcome(entry, problems=(f"{type(error).__name__}: {error}",))
    counted.setdefault(entry.name, outcome.truth)
    return outcome


def count_of(name: str, counted: dict[str, Counts | None], folder: Path) -> Counts | None:
    if name not in counted:
        entry = next(entry for entry in ENTRIES if entry.name == name)
        counted[name] = measure.count(entry, measure.prepare(entry), folder)
    return counted[name]


def described(value: object) -> dict[str, object]:
    """An outcome, or a part of it, for JSON."""
    assert dataclasses.is_dataclass(value)
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {name: content for name, content in fields.items() if not callable(content)}


if __name__ == "__main__":
    sys.exit(main())
