"""A tiny llama model with random weights, in the file formats of past years.

Old programs read no newer format, and no registry has a model that small in one of theirs. The weights mean nothing,
but the graphs are those of a real model, and greedy sampling gives the same tokens each time.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

# Until 2024 llama.cpp knew a model by its number of layers, and refused others.
EMBEDDING, FEED_FORWARD, LAYERS, HEADS, CONTEXT = 64, 192, 32, 4, 512
_PIECES = ("▁", *(f"▁{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"), *"abcdefghijklmnopqrstuvwxyz")
# A SentencePiece vocabulary: three special tokens, one for each byte, a few letters.
VOCABULARY = ("<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *_PIECES)
_BYTE, _NORMAL = 6, 1
_KINDS = (2, 3, 3, *[_BYTE] * 256, *[_NORMAL] * len(_PIECES))

_F32 = 0
_ALIGNMENT = 32
_UINT32, _FLOAT32, _INT32, _STRING, _ARRAY = 4, 6, 5, 8, 9  # of a GGUF value


def write_gguf(path: Path, version: int) -> None:
    """Writes it as GGUF; versions 2 and 3 have the same layout on little-endian machines."""
    values: list[tuple[str, bytes]] = [
        ("general.architecture", _string_value("llama")),
        ("general.name", _string_value("random")),
        ("tokenizer.ggml.model", _string_value("llama")),
        ("llama.attention.layer_norm_rms_epsilon", struct.pack("<If", _FLOAT32, 1e-5)),
        ("tokenizer.ggml.tokens", _array(_STRING, [_string(piece) for piece in VOCABULARY])),
        ("tokenizer.ggml.scores", _array(_FLOAT32, [struct.pack("<f", -i) for i in range(len(VOCABULARY))])),
        ("tokenizer.ggml.token_type", _array(_INT32, [struct.pack("<i", kind) for kind in _KINDS])),
    ]
    numbers = {
        "llama.context_length": CONTEXT,
        "llama.embedding_length": EMBEDDING,
        "llama.block_count": LAYERS,
        "llama.feed_forward_length": FEED_FORWARD,
        "llama.rope.dimension_count": EMBEDDING // HEADS,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": HEADS,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    }
    values += [(key, struct.pack("<II", _UINT32, number)) for key, number in numbers.items()]
    tensors = list(_tensors(_GGUF_NAMES))
    with path.open("wb") as file:
        file.write(struct.pack("<4sIQQ", b"GGUF", version, len(tensors), len(values)))
        for key, value in values:
            file.write(_string(key) + value)
        offset = 0
        for name, weights in tensors:
            shape = weights.shape[::-1]
            file.write(_string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, _F32, offset))
            offset += -(-weights.nbytes // _ALIGNMENT) * _ALIGNMENT
        for _name, weights in tensors:
            _align(file)
            file.write(weights.tobytes())


def write_ggjt(path: Path, version: int) -> None:
    """Writes it as llama.cpp read it from April (version 1) to August 2023 (version 3)."""
    multiple = FEED_FORWARD  # the smallest multiple of this that holds two thirds of four embeddings
    numbers = (len(VOCABULARY), EMBEDDING, multiple, HEADS, LAYERS, EMBEDDING // HEADS, _F32)
    with path.open("wb") as file:
        file.write(struct.pack("<II7I", 0x67676A74, version, *numbers))
        for i, piece in enumerate(VOCABULARY):
            text = bytes([i - 3]) if _KINDS[i] == _BYTE else piece.replace("▁", " ").encode()
            file.write(struct.pack("<I", len(text)) + text + struct.pack("<f", -i))
        for name, weights in _tensors(_GGJT_NAMES):
            shape = weights.shape[::-1]
            file.write(struct.pack("<3I", len(shape), len(name), _F32))
            file.write(struct.pack(f"<{len(shape)}I", *shape) + name.encode())
            _align(file)
            file.write(weights.tobytes())


_GGUF_NAMES = {
    "embedding": "token_embd.weight",
    "norm": "output_norm.weight",
    "output": "output.weight",
    "layer": "blk.{}.",
    "attention": ("attn_q.weight", "attn_k.weight", "attn_v.weight", "attn_output.weight"),
    "attention norm": "attn_norm.weight",
    "feed forward": ("ffn_gate.weight", "ffn_down.weight", "ffn_up.weight"),
    "feed forward norm": "ffn_norm.weight",
}
_GGJT_NAMES = {
    "embedding": "tok_embeddings.weight",
    "norm": "norm.weight",
    "output": "output.weight",
    "layer": "layers.{}.",
    "attention": ("attention.wq.weight", "attention.wk.weight", "attention.wv.weight", "attention.wo.weight"),
    "attention norm": "attention_norm.weight",
    "feed forward": ("feed_forward.w1.weight", "feed_forward.w2.weight", "feed_forward.w3.weight"),
    "feed forward norm": "ffn_norm.weight",
}


def _tensors(names: dict[str, str | tuple[str, ...]]) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    random = np.random.default_rng(1)

    def matrix(rows: int, columns: int) -> npt.NDArray[np.float32]:
        return (random.standard_normal((rows, columns)) / columns**0.5).astype(np.float32)

    ones = np.ones(EMBEDDING, np.float32)
    yield str(names["embedding"]), matrix(len(VOCABULARY), EMBEDDING)
    yield str(names["norm"]), ones
    yield str(names["output"]), matrix(len(VOCABULARY), EMBEDDING)
    for i in range(LAYERS):
        prefix = str(names["layer"]).format(i)
        yield prefix + str(names["attention norm"]), ones
        for name in names["attention"]:
            yield prefix + name, matrix(EMBEDDING, EMBEDDING)
        yield prefix + str(names["feed forward norm"]), ones
        gate, down, up = names["feed forward"]
        yield prefix + gate, matrix(FEED_FORWARD, EMBEDDING)
        yield prefix + down, matrix(EMBEDDING, FEED_FORWARD)
        yield prefix + up, matrix(FEED_FORWARD, EMBEDDING)


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _string_value(text: str) -> bytes:
    return struct.pack("<I", _STRING) + _string(text)


def _array(kind: int, items: list[bytes]) -> bytes:
    return struct.pack("<IIQ", _ARRAY, kind, len(items)) + b"".join(items)


def _align(file: BinaryIO) -> None:
    file.write(b"\0" * (-file.tell() % _ALIGNMENT))
