"""The model: what a trace says of the machine, at any of its moments.

May know: traces (hw/trace.py), the machine's formats (hw/paging.py, hw/tlb.py) and nothing else of
the panel.  No colour, no sentence and no user is in here.
Face: `History` (a file, sought and stepped), `moment_of` (what the panels draw), `parse` and
`position_of` (conditions and places as people write them), `answers` (what a machine has told).
"""
