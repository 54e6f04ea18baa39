"""Uses two copies of ggml in one process: runs two scripts, one after the other, as if each were alone.

Usage: two_copies.py SCRIPT ARGUMENT… -- SCRIPT ARGUMENT…
"""

import runpy
import sys

arguments = sys.argv[1:]
end = arguments.index("--")
for words in (arguments[:end], arguments[end + 1 :]):
    sys.argv = words
    runpy.run_path(words[0], run_name="__main__")
