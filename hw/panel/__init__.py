"""The front panel: what the machine and its kernel did, drawn, forwards and backwards.

    records --fold--> state --panels--> draw commands --painter--> window, PNG, GIF
                        ^                     '------ describe --> text
                     history: keyframes, seek, step back

The panel reads a trace and nothing else, and imports nothing of kernel/.  A trace that still
grows, one that is being looked back into, and a file from last week take the same way.
"""
