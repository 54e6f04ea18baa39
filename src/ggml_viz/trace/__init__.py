"""The trace file and what lies in it: chunks, definitions and records, as docs/trace-format.md specifies them.

Nothing here knows what a layer, a phase or a token is.
"""
