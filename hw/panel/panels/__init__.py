"""The panels.  Each is a function from a view to draw commands, and one to lines of text."""
