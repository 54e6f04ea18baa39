"""Traces in other tools' formats, one module each."""
