"""The words: what a record and a moment say in English.

May know: the model.  It knows no colour, no panel and no user.
Face: `caption` (a sentence for a moment), `log_line` (a line for a record), `Narrator` (a trace
that grows, told event by event), and the small words that panels share.
"""
