"""Walking the chunks of a trace file, up to its end or to the first chunk that cannot be trusted."""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ggml_viz.errors import UserError

MAGIC = b"GGMLVIZ2"
MAGIC_VERSION_1 = b"GGMLVIZ1"
VERSION = 2
VERSION_1 = 1
FILE_HEADER = struct.Struct("<8sII")
HEADER_VERSION_1 = struct.Struct("<8sI")
CHUNK_HEADER = struct.Struct("<4sIII")
CIRCULAR = 1
CIRCULAR_PREFIX = struct.Struct("<3Q")
CIRCULAR_ALIGN_BYTES = 16
PAD = b"PAD "
PAYLOAD_LIMIT_BYTES = 64 << 20
OTHER = "other"
_KINDS = {kind.encode(): kind for kind in ("GRUP", "MACH", "DEFS", "RECS", "CLOK", "STAT", "DONE", "PAD ")}

# Each process costs memory and time to remember; a file that claims more of them than this is not a trace of a program.
PROCESS_LIMIT = 4_096


class Chunk(NamedTuple):
    """Where a chunk lies in the file."""

    kind: bytes
    process: int
    """A number that no other process in the file has; 0 for a chunk about the file itself."""
    offset: int
    """Of the chunk's header, in bytes from the file's start."""
    length: int
    """Of the payload, in bytes, without its prefix."""
    prefix_bytes: int = 0
    """In a circular file, what precedes the payload."""
    sequence: int = 0
    """In a circular file, how many chunks were written before."""
    records_before: int = 0
    """In a circular file, how many records of the process were written before, whether still there or not."""
    latest_before: int = 0
    """In a circular file, the time in ticks after which none of those records ended."""

    @property
    def payload_offset(self) -> int:
        """Of the payload, in bytes from the file's start."""
        return self.offset + CHUNK_HEADER.size + self.prefix_bytes


@dataclass(slots=True)
class KindCount:
    """How much of a file one kind of chunk takes."""

    chunks: int = 0
    payload_bytes: int = 0


@dataclass(slots=True)
class Integrity:
    """How much of a file can be read, and what ends the readable part before the file's end.

    Attributes:
        file_bytes: Size of the file.
        readable_bytes: Up to the end of the last whole chunk.
        checked_bytes: How much of that was compared with its checksum.
        damage: What is wrong at `readable_bytes`; None if the file ends there.
        kinds: Count and size by kind of chunk; kinds of later versions are counted together under OTHER.
    """

    file_bytes: int
    readable_bytes: int = FILE_HEADER.size
    checked_bytes: int = FILE_HEADER.size
    damage: str | None = None
    kinds: dict[str, KindCount] = field(default_factory=dict)

    @property
    def chunks(self) -> int:
        """Whole chunks in the file."""
        return sum(kind.chunks for kind in self.kinds.values())


def check_file_header(path: str, data: bytes) -> None:
    """Refuses a file that is not a trace, or of a version that cannot be read.

    Args:
        path: The file, for the message.
        data: Its beginning.

    Raises:
        UserError: It is not.
    """
    if data.startswith(MAGIC_VERSION_1):
        # A header that is cut says nothing against it.
        version = HEADER_VERSION_1.unpack_from(data)[1] if len(data) >= HEADER_VERSION_1.size else VERSION_1
        known = version == VERSION_1
    elif len(data) < FILE_HEADER.size or not data.startswith(MAGIC):
        raise UserError(f"{path} is not a ggml-viz trace", "Make one with: ggml-viz run -- COMMAND")
    else:
        version = FILE_HEADER.unpack_from(data)[1]
        known = version == VERSION
    if not known:
        raise UserError(f"{path} is a version {version} trace; this ggml-viz reads versions {VERSION_1} and {VERSION}")


def walk_chunks(data: mmap.mmap | bytes, integrity: Integrity, check_records: bool) -> Iterator[Chunk]:
    """Yields the whole chunks of a file in order, and writes into `integrity` where and why it stops.

    Args:
        data: The file, whose header has been checked.
        integrity: Brought up to date after each chunk. A caller that finds a chunk's payload broken sets its `damage`,
            which ends the walk before that chunk.
        check_records: Compare RECS chunks with their checksums too; they are nearly all of a large file.

    Yields:
        Chunks whose checksum is right (or was not asked for).
    """
    if not FILE_HEADER.unpack_from(data)[2] & CIRCULAR:
        yield from _walk(data, integrity, check_records, circular=False)
        return
    chunks = [_without_prefix(data, chunk) for chunk in _walk(data, integrity, check_records, circular=True)]
    for chunk in sorted(chunks, key=lambda chunk: chunk.sequence):
        yield chunk
        if integrity.damage is not None and integrity.damage.startswith("damaged"):
            return


def _without_prefix(data: mmap.mmap | bytes, chunk: Chunk) -> Chunk:
    prefix = CIRCULAR_PREFIX.unpack_from(data, chunk.payload_offset)
    return Chunk(*chunk[:3], chunk.length - CIRCULAR_PREFIX.size, CIRCULAR_PREFIX.size, *prefix)


def walk_further(data: mmap.mmap | bytes, integrity: Integrity) -> Iterator[Chunk]:
    """Yields the chunks behind those that `integrity` counts already, of a file that has grown and is not circular."""
    integrity.file_bytes, integrity.damage = len(data), None
    yield from _walk(data, integrity, check_records=False, circular=False)


def _walk(data: mmap.mmap | bytes, integrity: Integrity, check_records: bool, circular: bool) -> Iterator[Chunk]:
    """Yields the chunks as they lie in the file, prefixes not looked at, without a circular file's PADs."""
    view = memoryview(data)
    size = len(view)
    offset = integrity.readable_bytes
    processes: set[int] = set()
    while offset < size:
        if size - offset < CHUNK_HEADER.size:
            integrity.damage = f"cut: {size - offset} bytes of a chunk's header remain"
            return
        kind, process, length, crc = CHUNK_HEADER.unpack_from(view, offset)
        body = offset + CHUNK_HEADER.size
        if length > PAYLOAD_LIMIT_BYTES:
            integrity.damage = f"damaged: a chunk claims {length} bytes"
            return
        if body + length > size:
            integrity.damage = f"cut: {size - body} of the {length} bytes of a chunk remain"
            return
        is_pad = circular and kind == PAD
        if circular and not is_pad and length < CIRCULAR_PREFIX.size:
            integrity.damage = "damaged: a chunk has no room for its number"
            return
        checked = check_records or kind != b"RECS"
        if checked:
            actual = zlib.crc32(view[body : body if is_pad else body + length], zlib.crc32(view[offset : offset + 12]))
            if actual != crc:
                integrity.damage = "damaged: a chunk has a wrong checksum"
                return
        processes.add(process)
        if len(processes) > PROCESS_LIMIT:
            integrity.damage = f"damaged: it claims more than {PROCESS_LIMIT} processes"
            return
        if not is_pad:
            yield Chunk(kind, process, offset, length)
        if integrity.damage is not None:
            return
        offset = body + length
        if circular:
            offset = min(size, -(-offset // CIRCULAR_ALIGN_BYTES) * CIRCULAR_ALIGN_BYTES)
        integrity.readable_bytes = offset
        if checked:
            integrity.checked_bytes += CHUNK_HEADER.size + length
        name = _KINDS.get(kind, OTHER)
        count = integrity.kinds.get(name) or integrity.kinds.setdefault(name, KindCount())
        count.chunks += 1
        count.payload_bytes += length
