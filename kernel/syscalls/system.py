"""System calls that say what this system is."""

from __future__ import annotations

from kernel.abi.errno import E, KernelError
from kernel.kernel import Kernel
from kernel.syscalls import Ptr, syscall
from kernel.task.process import Thread

UTSNAME_FIELD_BYTES = 65


@syscall(63, owner="system")
def uname(k: Kernel, t: Thread, out: Ptr) -> int:
    """Name and version of the system, as struct utsname.  EFAULT."""
    reply = k.ipc.call(t, k.system, "uname")
    fields = reply.data.split(b"\0")
    if len(fields) != 6:
        raise KernelError(E.IO)
    t.space.write(out, b"".join(field.ljust(UTSNAME_FIELD_BYTES, b"\0") for field in fields))
    return 0
