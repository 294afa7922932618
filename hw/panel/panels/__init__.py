"""The panels: each is a function from a view to draw commands, and one to lines of text.

May know: the model, the picture and the words.  They know no session, no window and no key.
Face: `title`, `draw` and `describe` of each module; `layout` says where they stand.  Some also tell
what is at a place of theirs (`frame_at`, `record_at`), for a pointer.
"""
