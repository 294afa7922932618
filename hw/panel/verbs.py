"""The commands of `run.py panel` that take a file, and what a panel says to the machine's side
beside what it asks of the machine."""

VERBS = ("replay", "shot", "text", "gif", "captions", "check")
SAY = "say"
"""Followed by a sentence for the user's terminal."""
