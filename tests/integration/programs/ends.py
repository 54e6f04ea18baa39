"""Runs command lines, and says as JSON how each ended: the whole exit status, and what it wrote.

Usage: ends.py COMMANDS.json
"""

import json
import subprocess
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    commands = json.load(file)
ended = []
for command in commands:
    done = subprocess.run([sys.executable, *command], capture_output=True)
    ended.append([done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")])
print(json.dumps(ended))
