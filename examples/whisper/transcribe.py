"""Transcribes a recording with pywhispercpp and prints the text.

    python transcribe.py MODEL.bin SPEECH.wav [PYWHISPERCPP_FOLDER]

The recording is 16 kHz, 16 bits, mono.
"""

from __future__ import annotations

import sys
import wave

import numpy as np

if len(sys.argv) > 3:
    sys.path.insert(0, sys.argv[3])

# The bare bindings: the package around them imports a downloader that is not needed here.
import _pywhispercpp as whisper

with wave.open(sys.argv[2], "rb") as file:
    samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768

whisper.whisper_log_set(lambda _level, _text: None)
context = whisper.whisper_init_from_file_with_params(sys.argv[1], whisper.whisper_context_default_params())
parameters = whisper.whisper_full_default_params(whisper.whisper_sampling_strategy.WHISPER_SAMPLING_GREEDY)
parameters.print_progress = False
parameters.print_realtime = False
if whisper.whisper_full(context, parameters, samples, len(samples)) != 0:
    raise SystemExit("the transcription failed")
for segment in range(whisper.whisper_full_n_segments(context)):
    print(whisper.whisper_full_get_segment_text(context, segment).decode().strip())
whisper.whisper_free(context)
# A logger that outlives the interpreter would crash it.
whisper.whisper_log_set(None)
