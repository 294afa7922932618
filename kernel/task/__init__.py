"""Tasks: processes, threads, and what belongs to one of them, as records.

These records hold state and answer questions about it.  They schedule nothing, wake nobody and
send no message: the floors above do that.  This floor may know `kernel.abi` and `kernel.mm`.
Its face: `process.Process`, `process.Thread` and its `process.Call`, `credentials.Credentials`,
`descriptors.Descriptors`, and the time of programs in `clock`.
"""
