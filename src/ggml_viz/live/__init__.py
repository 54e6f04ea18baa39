"""A running process as the analyses see a trace: brought up to date as its records arrive."""
