"""Converts a Whisper model from CTranslate2's format to the file that whisper.cpp reads.

    python convert.py FOLDER MODEL.bin

FOLDER holds `model.bin` and `vocabulary.txt` with 16-bit weights, as faster-whisper uses them. Needs numpy only.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]

SAMPLE_RATE = 16000  # Hz
FFT_SAMPLES = 400
MAGIC = 0x67676D6C
F32, F16 = 0, 1
CT2_TYPES = ("<f4", "i1", "<i2", "<i4", "<f2")  # by CTranslate2's type number
END_OF_TEXT = "<|endoftext|>"

# The parts of a layer: CTranslate2's name -> whisper.cpp's.
LAYER_PARTS = {
    "self_attention/layer_norm": "attn_ln",
    "self_attention/linear_1": "attn.out",
    "attention/layer_norm": "cross_attn_ln",
    "attention/linear_0": "cross_attn.query",
    "attention/linear_2": "cross_attn.out",
    "ffn/layer_norm": "mlp_ln",
    "ffn/linear_0": "mlp.0",
    "ffn/linear_1": "mlp.2",
}
# Several projections in one matrix, one beneath the other.
FUSED_PARTS = {
    "self_attention/linear_0": ("attn.query", "attn.key", "attn.value"),
    "attention/linear_1": ("cross_attn.key", "cross_attn.value"),
}
WEIGHT_NAMES = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}
OTHER_PARTS = {
    "encoder/position_encodings/encodings": "encoder.positional_embedding",
    "decoder/position_encodings/encodings": "decoder.positional_embedding",
    "encoder/conv1/weight": "encoder.conv1.weight",
    "encoder/conv1/bias": "encoder.conv1.bias",
    "encoder/conv2/weight": "encoder.conv2.weight",
    "encoder/conv2/bias": "encoder.conv2.bias",
    "encoder/layer_norm/gamma": "encoder.ln_post.weight",
    "encoder/layer_norm/beta": "encoder.ln_post.bias",
    "decoder/layer_norm/gamma": "decoder.ln.weight",
    "decoder/layer_norm/beta": "decoder.ln.bias",
    "decoder/embeddings/weight": "decoder.token_embedding.weight",
}
# whisper.cpp keeps these in 32 bits although they have two dimensions.
WIDE = {"encoder.positional_embedding", "decoder.positional_embedding", "encoder.conv1.bias", "encoder.conv2.bias"}


def read_ctranslate2(path: Path) -> dict[str, Array]:
    """Reads the variables of a CTranslate2 model by name."""
    with path.open("rb") as file:

        def number(form: str) -> int:
            (value,) = struct.unpack(form, file.read(struct.calcsize(form)))
            return int(value)

        def text() -> str:
            return file.read(number("<H")).rstrip(b"\0").decode()

        version, spec, _revision = number("<I"), text(), number("<I")
        if version < 4 or spec != "WhisperSpec":
            raise SystemExit(f"{path} is no Whisper model in CTranslate2's format")
        variables = {}
        for _ in range(number("<I")):
            name = text()
            shape = [number("<I") for _ in range(number("<B"))]
            dtype = np.dtype(CT2_TYPES[number("<B")])
            variables[name] = np.frombuffer(file.read(number("<I")), dtype).reshape(shape)
        return variables


def whisper_tensors(variables: dict[str, Array]) -> Iterator[tuple[str, Array]]:
    """Names and arranges the weights as whisper.cpp wants them."""
    for name, value in variables.items():
        if name in OTHER_PARTS:
            theirs = OTHER_PARTS[name]
            yield theirs, value[:, None] if theirs.endswith(("conv1.bias", "conv2.bias")) else value
            continue
        side, _, rest = name.partition("/layer_")
        layer, _, rest = rest.partition("/")
        part, _, kind = rest.rpartition("/")
        if part in LAYER_PARTS:
            yield f"{side}.blocks.{layer}.{LAYER_PARTS[part]}.{WEIGHT_NAMES[kind]}", value
        elif part in FUSED_PARTS:
            parts = FUSED_PARTS[part]
            for which, piece in zip(parts, np.split(value, len(parts)), strict=True):
                # Whisper's keys have no bias; CTranslate2 stores zeros.
                if not (which.endswith("key") and kind == "bias"):
                    yield f"{side}.blocks.{layer}.{which}.{kind}", piece


def vocabulary(path: Path) -> list[bytes]:
    """The tokens that are text, as bytes: the file writes each byte as a printable character, as GPT-2 did."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    byte_of = {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}
    tokens = path.read_text("utf-8").split("\n")
    return [bytes(byte_of[character] for character in token) for token in tokens[: tokens.index(END_OF_TEXT)]]


def mel_filters(mels: int) -> npt.NDArray[np.float32]:
    """Slaney's triangular filters of equal area, float32 array [mels, FFT_SAMPLES / 2 + 1]."""
    # The scale is linear below 1000 Hz (15 mels) and logarithmic above: 27 mels for a factor of 6.4.
    top = 15 + 27 * np.log(SAMPLE_RATE / 2 / 1000) / np.log(6.4)
    steps = np.linspace(0, top, mels + 2)
    edges = np.where(steps < 15, steps * 200 / 3, 1000 * 6.4 ** ((steps - 15) / 27))
    frequencies = np.linspace(0, SAMPLE_RATE / 2, FFT_SAMPLES // 2 + 1)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (frequencies - low) / (middle - low), (high - frequencies) / (high - middle)
    return (np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)).astype(np.float32)


def write_tensor(file: BinaryIO, name: str, value: Array) -> None:
    """Writes a tensor: matrices in 16 bits, vectors in 32, dimensions innermost first."""
    wide = value.ndim < 2 or name in WIDE
    encoded = name.encode()
    file.write(struct.pack("<iii", value.ndim, len(encoded), F32 if wide else F16))
    file.write(struct.pack(f"<{value.ndim}i", *reversed(value.shape)))
    file.write(encoded)
    file.write(np.ascontiguousarray(value, "<f4" if wide else "<f2").tobytes())


def convert(folder: Path, out: Path) -> None:
    """Converts the model in `folder` to the file `out`."""
    variables = read_ctranslate2(folder / "model.bin")
    tokens = vocabulary(folder / "vocabulary.txt")

    def layers(side: str) -> int:
        return len(
            {name.split("/")[1] for name in variables if name.startswith(f"{side}/layer_") and "norm/" not in name}
        )

    n_vocab, text_state = variables["decoder/embeddings/weight"].shape
    text_context = variables["decoder/position_encodings/encodings"].shape[0]
    audio_context, audio_state = variables["encoder/position_encodings/encodings"].shape
    mels = variables["encoder/conv1/weight"].shape[1]
    audio_heads, text_heads = int(variables["encoder/num_heads"]), int(variables["decoder/num_heads"])
    filters = mel_filters(mels)
    with out.open("wb") as file:
        audio = (audio_context, audio_state, audio_heads, layers("encoder"))
        text = (text_context, text_state, text_heads, layers("decoder"))
        file.write(struct.pack("<12i", MAGIC, n_vocab, *audio, *text, mels, F16))
        file.write(struct.pack("<2i", *filters.shape) + filters.astype("<f4").tobytes())
        file.write(struct.pack("<i", len(tokens)))
        for token in tokens:
            file.write(struct.pack("<i", len(token)) + token)
        for name, value in whisper_tensors(variables):
            write_tensor(file, name, value)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
