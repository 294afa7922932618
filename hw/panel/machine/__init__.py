"""The machine: what a trace does not hold, and the machine beside the panel is asked for.

May know: the session, whose one way to the machine is a line of text; the answer is a file.  It
knows no key, and nothing of what lies over the panels.
Face: `questions.ask` (a verb, numbers, and what to do with the answer) and its five users: windows
of instructions, memory, last writes, other TLBs, and going on from an earlier moment.
"""
