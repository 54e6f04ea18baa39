"""Traces and running processes, and what can be asked of them: what every face that shows many draws from."""
