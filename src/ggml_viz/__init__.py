"""ggml-viz: record what a ggml runtime does while it runs, and say where the time went."""

__version__ = "0.1.0"
