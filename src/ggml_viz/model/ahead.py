"""Making the next item while the last one is used: native code and numpy leave the interpreter free meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_END = object()


def one_ahead(items: Iterator[Item], worth: bool = True) -> Iterator[Item]:
    """Yields the items, each made while its predecessor is used; an item must outlive the making of the next.

    Args:
        items: The items.
        worth: Whether a thread is worth its while; else they are yielded as they come.
    """
    if not worth:
        yield from items
        return
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, items, _END)
        while (item := coming.result()) is not _END:
            coming = thread.submit(next, items, _END)
            yield item  # type: ignore[misc]


def side_by_side(function: Callable[[Item], Result], items: Sequence[Item], threads: int = 2) -> list[Result]:
    """What a function returns for each item, some threads at once."""
    if len(items) < 2 or threads < 2:
        return [function(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, items))
