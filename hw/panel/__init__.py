"""The front panel: what the machine and its kernel did, drawn, forwards and backwards.

    records --fold--> state --panels--> draw commands --painter--> window, PNG, GIF
                        ^                     '------ describe --> text
                     history: keyframes, seek, step back

The panel reads a trace and nothing else, and imports nothing of kernel/.  It treats a trace that
still grows, a trace with a machine beside it, and a file of last week alike.

README.md lists its floors.  A file imports files of lower floors and of its own folder, and no
others: tests/hw/panel/test_floors.py holds that.
"""
