"""What can be looked at, as every face sees it: each question has a method, the same of a trace and of a process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from ggml_viz.errors import UserError

if TYPE_CHECKING:
    from ggml_viz.analysis.profile import Profile

EXPORTS = ("chrome", "perfetto", "speedscope", "csv", "ggmlviz")
ACTIONS = ("pause", "resume", "stop", "detail", "record", "stop-recording")


class NotThereError(UserError):
    """What was asked for is not there."""


class BadQuestionError(UserError):
    """What was asked makes no sense."""


class Source(ABC):
    """A trace or a live process, as faces see it: each method answers a question, in JSON-able data.

    Methods may take long and are called in threads, several at once. What they raise is a UserError.

    Attributes:
        id: Its name in addresses.
        name: What people call it.
    """

    id: str
    name: str
    is_live: bool

    @property
    def steps(self) -> int:
        """How often something new came; of a trace nothing does."""
        return 0

    @property
    def duration_s(self) -> float:
        """How long it has lasted so far."""
        return float(self.describe()["duration_s"])

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Has something called, in another thread, whenever something new came. Returns how to end that."""
        return lambda: None

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Source: what it is and how it stands; at once."""

    def opened(self) -> dict[str, Any]:
        """The same for somebody who is going to look at it."""
        return self.describe()

    @abstractmethod
    def report(self, from_s: float | None = None, until_s: float | None = None) -> dict[str, Any]:
        """Schema 1 of `report --json`: of all, or of the runs that began in an interval."""

    @abstractmethod
    def series(self, columns: int, from_s: float | None, until_s: float | None) -> dict[str, Any]:
        """Series: tokens per second and busy threads over time."""

    @abstractmethod
    def now(self) -> dict[str, Any]:
        """Now: what each thread does this instant."""

    @abstractmethod
    def timeline(self) -> dict[str, Any]:
        """Timeline: its lanes and labels."""

    @abstractmethod
    def tile(
        self, from_s: float, until_s: float, columns: int, lanes: Sequence[int] | None, spans: bool, request: int
    ) -> bytes:
        """A tile: what lanes show of an interval."""

    @abstractmethod
    def span(self, lane: int, run: int, node: int, begin_s: float) -> dict[str, Any]:
        """Span: all that is known of one bar of the timeline."""

    @abstractmethod
    def search(self, text: str, limit: int) -> dict[str, Any]:
        """Matches: nodes whose name, op or role has a text in it."""

    @abstractmethod
    def occurrence(
        self, process: int, graph: int, node: int, after_s: float | None, before_s: float | None
    ) -> dict[str, Any]:
        """Occurrence: the next execution of a node after a moment, or the last before one."""

    @abstractmethod
    def longest(self, process: int, graph: int, node: int, rank: int) -> dict[str, Any]:
        """Occurrence, and a `count` of all: the execution of a node that took longest (rank 0), or the next longest."""

    @abstractmethod
    def graphs(self) -> dict[str, Any]:
        """Graphs: those that were computed."""

    @abstractmethod
    def layers(self, process: int, graph: int) -> dict[str, Any]:
        """Layers: of one graph."""

    @abstractmethod
    def layer(self, process: int, graph: int, layer: int | None) -> dict[str, Any]:
        """Layer: its nodes, set out; None: those outside layers."""

    @abstractmethod
    def tensor(self, process: int, graph: int, node: int) -> dict[str, Any]:
        """Tensor: all that is known of a node of a graph, or of a tensor that it reads, by its index there."""

    @abstractmethod
    def memory(self) -> dict[str, Any]:
        """Memory: buffers over time."""

    @abstractmethod
    def arena(self, process: int, graph: int, placement: int, buffer: int) -> dict[str, Any]:
        """Arena: how tensors share one buffer."""

    @abstractmethod
    def tables(self) -> dict[str, Any]:
        """Tables: their columns."""

    @abstractmethod
    def rows(self, name: str, offset: int, limit: int) -> dict[str, Any]:
        """Rows: of one table."""

    @abstractmethod
    def sql(self, query: str) -> dict[str, Any]:
        """Answer: of a query."""

    @abstractmethod
    def control(self, action: str, level: str | None) -> dict[str, Any]:
        """Source: after it was told to do something."""

    @abstractmethod
    def export(self, format: str, out: BinaryIO, from_s: float | None, until_s: float | None, table_name: str) -> None:
        """Writes it, or the interval of it, in one of EXPORTS."""

    @abstractmethod
    def picture(
        self,
        form: str,
        picture: str,
        out: BinaryIO,
        from_s: float | None,
        until_s: float | None,
        graph: tuple[int, int] | None,
        layer: int | None,
    ) -> None:
        """Draws one of `export --picture`'s pictures (form: svg or png) of it, or of an interval.

        Of a layer's picture, `graph` is process and number (None: the graph that took most time), `layer` its layer
        (None: what is outside layers); such a picture is always of all runs.
        """

    @abstractmethod
    def profile(self) -> Profile:
        """What a comparison compares."""

    @abstractmethod
    def close(self) -> None:
        """Ends what it has started; it is not asked any more."""


class Provider(Protocol):
    """Something that has sources: files, or the live processes of this user."""

    def sources(self) -> Sequence[Source]:
        """Those that there are now, in the order in which they are shown."""

    def remove(self, source: Source) -> None:
        """Does not show one of them any more; of one that is another's nothing happens."""

    def close(self) -> None:
        """Ends them all."""


class Catalog:
    """All sources of a face.

    Args:
        providers: Who has some.
    """

    def __init__(self, providers: Sequence[Provider]) -> None:
        self._providers = list(providers)

    @property
    def providers(self) -> Sequence[Provider]:
        """Who has some."""
        return tuple(self._providers)

    def sources(self) -> list[Source]:
        """Those that there are now."""
        return [source for provider in self._providers for source in provider.sources()]

    def get(self, identifier: str) -> Source:
        """The source of that id.

        Raises:
            NotThereError: There is none.
        """
        for source in self.sources():
            if source.id == identifier:
                return source
        raise NotThereError(f"there is no source {identifier[:80]}", "GET /api/v1/sources lists them.")

    def compare(self, before: str, after: str) -> dict[str, Any]:
        """Schema 1 of `diff --json`, of two sources."""
        from ggml_viz.analysis.diff import compare_profiles

        first, second = self.get(before), self.get(after)
        return compare_profiles([first.profile()], [second.profile()]).to_json()

    def add(self, provider: Provider) -> None:
        """Has the sources of one more, before those that there are."""
        self._providers.insert(0, provider)

    def remove(self, source: Source) -> None:
        """Does not show a source any more, and ends what it has started."""
        for provider in self._providers:
            provider.remove(source)

    def close(self) -> None:
        """Ends them all."""
        for provider in self._providers:
            provider.close()
