"""Measures what ggml-viz costs. Each figure is a ratio, or a number with a goal, and is taken within one run."""
