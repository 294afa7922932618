"""Messages: endpoints, the servers behind them, and the paths that lead from server to server.

A call to a server is send, block, reply.  Programs and the core send in the same way, and the
sender cannot tell whether a Python server or a program's thread answers.  This floor may know
tasks and waiting; it knows no system call.
Its face: `endpoints.Endpoints` (call, reply, close), `paths.send` and `paths.open_file`, and
`parcels.Parcels`: descriptors that travel in messages.
"""
