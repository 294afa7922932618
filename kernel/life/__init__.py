"""How processes and threads begin and end, and how a thread takes a signal.

`life` makes them (spawn, clone, exec) and ends them (exit, wait).  `elf` loads programs.
`delivery` lets a thread take a signal: die, stop, or enter a handler with a `sigframe` on its
stack.  This floor may know every floor below: memory, tasks, VASes, messages.
Its face: `life.Life`, `delivery.deliver`, `delivery.sigreturn`.
"""
