"""System calls: what programs can ask of the kernel.

A module here serves one subject.  A handler checks and decodes what a program passed, and asks a
floor below to do the work.  It may know every floor below, and it keeps no state.
The face is `TABLE`: an import of this package completes it.  A handler itself imports
`kernel.syscalls.table`, and declares its row there with `@syscall`.
"""

from __future__ import annotations

from kernel.syscalls import (  # noqa: F401 - the import of a module declares its calls
    attributes,
    credentials,
    descriptors,
    files,
    futex,
    io,
    ipc,
    jobs,
    limits,
    memory,
    pidfd,
    poll,
    process,
    process_vm,
    residency,
    sched,
    settings,
    shm,
    signal,
    sockets,
    system,
    time,
    vas,
    vas_bare,
    vas_restart,
)
from kernel.syscalls.table import CORE, TABLE, ArgumentType, SystemCall

__all__ = ["CORE", "TABLE", "ArgumentType", "SystemCall"]
