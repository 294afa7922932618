"""Virtual address spaces that live without a process: the RFC.

`records` is what the kernel remembers; `vases` has every operation with its rights.  A `view` is
what a thread sees inside a VAS; `tables` are the page tables that it shares.  Two policies are
chosen at boot: how views follow each other (`sync`: subtree; `forward`; `rfc`), and who may be
inside at once (`sharing`).  This floor may know memory, tasks and the scheduler; it knows no
message and no file.
Its face: `vases.Vases`, and `listing` for those who show it.
"""
