"""Questions that a trace answers, one module each. Nothing here prints."""
