"""The picture: draw commands as plain data, colours, and the painter that carries them out.

May know: the keymap, for the help that lies over the panels.  It knows no trace and no machine: it
is told what to draw.
Face: `Canvas` and the commands (`draw`), `THEMES`, `Painter` (the only file here that needs
pygame), `overlay` (help, lists, prompts), `axis` (addresses on a few hundred pixels).
"""
