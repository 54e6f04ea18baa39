"""Pictures without a toolkit: what a face draws, as numbers."""
