"""The user: what looking, pointing and typing mean.

May know: the session, and everything below it.  It carries out no command of the keymap: it
answers with the name of one.
Face: `showing.view` (what a session shows), `inside` (arrows and clicks in a panel), `pointing`
(the pointer, tooltips, the menu), `asking` (prompts), `sifting` (searches), `markers`, `scenes`.
"""
