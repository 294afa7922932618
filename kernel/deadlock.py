"""What to say when every thread waits: what each waits for, and which processes were killed."""

from __future__ import annotations

from kernel.kernel import Kernel
from kernel.syscalls import TABLE
from kernel.task.process import Thread

_WAITS_FOR = {
    "userfault": "for the page of word {1:#x}, which a program is to fill (userfaultfd {0})",
    "futex": "for the futex at word {0:#x} of object {1}",
    "child": "for a child of process {0}",
    "vfork": "for exec or exit of process {0}, which it made by vfork",
    "signal": "for a signal",
    "ready": "for file {1} of {server}",
    "poll": "for one of several files",
    "reply": "for the answer to message {0}",
    "receive": "for a message to {server}",
    "stopped": "for SIGCONT",
}
"""What a channel stands for; `sleep` has a deadline, so no thread waits for it for ever."""


def why(kernel: Kernel) -> str:
    """What each thread waits for, and which processes were killed: one of them may be missed."""
    told = [_wait_of(kernel, thread) for thread in kernel.tasks.threads.values()]
    text = f"every thread waits and nothing can wake one: {'; '.join(told)}"
    if kernel.life.killed:
        text += f". Killed before: {', '.join(kernel.life.killed)}"
    return text


def _wait_of(kernel: Kernel, thread: Thread) -> str:
    kind, first, second = thread.channel or ("nothing", 0, 0)
    endpoint = kernel.ipc.endpoints.get(first)
    server = endpoint.server if endpoint is not None and endpoint.server else f"endpoint {first}"
    what = _WAITS_FOR.get(kind, f"on {kind} {{0}}").format(first, second, server=server)
    call = f" in {TABLE[thread.call.number].name}" if thread.call is not None else ""
    whose = f"thread {thread.tid} of process {thread.pid} ({thread.process.name})"
    return f"{whose} waits{call} {what}"
