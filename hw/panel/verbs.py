"""The commands of `run.py panel` that take a file."""

VERBS = ("replay", "shot", "text", "gif", "check")
