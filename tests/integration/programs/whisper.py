"""Transcribes a recording with pywhispercpp, greedily; whisper.cpp's own timings go to stderr.

Usage: whisper.py MODEL.bin RECORDING.wav THREADS
"""

import json
import sys
import wave

import _pywhispercpp as whisper
import numpy as np

with wave.open(sys.argv[2]) as recording:
    samples = np.frombuffer(recording.readframes(recording.getnframes()), "<i2").astype(np.float32) / 32768

context = whisper.whisper_init_from_file_with_params(sys.argv[1], whisper.whisper_context_default_params())
params = whisper.whisper_full_default_params(whisper.whisper_sampling_strategy.WHISPER_SAMPLING_GREEDY)
params.n_threads = int(sys.argv[3])
params.temperature = params.temperature_inc = 0.0
params.print_progress = params.print_realtime = False
assert whisper.whisper_full(context, params, samples, len(samples)) == 0
texts = [whisper.whisper_full_get_segment_text(context, i) for i in range(whisper.whisper_full_n_segments(context))]
whisper.whisper_print_timings(context)
print(json.dumps({"text": b"".join(texts).decode()}))
