"""Brings the agent into a program and records what it sees."""
