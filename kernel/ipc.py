"""Endpoints: where messages are sent, by programs and by the core, and received.

Sending is synchronous: the sender blocks until its message was taken, a caller until it was
answered.  An endpoint is served either by threads that call `ipc_recv` or by a Python server;
who sends cannot tell which.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hw import costs, trace
from kernel.errno import Blocked, E, KernelError
from kernel.message import Message, Reply, Server
from kernel.port import CorePort
from kernel.process import Call, Handle, Process, Thread

if TYPE_CHECKING:
    from kernel.kernel import Kernel

MESSAGE = trace.declare(
    "message", "id:Q endpoint:Q pid:Q badge:Q operation:s bytes:Q", "A message was sent."
)
REPLY = trace.declare("reply", "id:Q result:q bytes:Q", "A message was answered.")


@dataclass(slots=True, eq=False)
class Endpoint:
    """`queue` holds messages that nobody has taken; `server` names who handles them at once."""

    id: int
    server: str = ""
    queue: list[Message] = field(default_factory=list)
    handle: Handle = field(init=False)
    """What all descriptors for a program's endpoint share: the last one ends it."""

    def __post_init__(self) -> None:
        self.handle = Handle(self.id, 0)


@dataclass(slots=True)
class Ipc:
    """All endpoints, and the messages that wait for an answer."""

    kernel: Kernel
    endpoints: dict[int, Endpoint] = field(default_factory=dict)
    servers: dict[str, Server] = field(default_factory=dict)
    callers: dict[int, Thread] = field(default_factory=dict)
    """Who waits for the reply to a message."""
    received: dict[int, int] = field(default_factory=dict)
    """The process that has taken a message and owes the reply."""
    port: CorePort = field(init=False)
    made: int = 0

    def __post_init__(self) -> None:
        self.port = CorePort(self.kernel)

    # Endpoints ------------------------------------------------------------------------------

    def create(self, server: str = "") -> Endpoint:
        self.made += 1
        endpoint = self.endpoints[self.made] = Endpoint(self.made, server)
        return endpoint

    def attach(self, server: Server) -> Endpoint:
        """A Python server starts; returns its endpoint."""
        self.servers[server.name] = server
        return self.create(server.name)

    def close(self, handle: Handle) -> None:
        """A descriptor goes; the last one tells the server, or ends a program's endpoint."""
        handle.holds -= 1
        if handle.holds:
            return
        endpoint = self.endpoints.get(handle.endpoint)
        if endpoint is not None and endpoint.server:
            self._deliver(self._message(None, endpoint, handle.badge, "close", expect_reply=False))
        elif endpoint is not None:
            self._end(endpoint)

    def _end(self, endpoint: Endpoint) -> None:
        """Nobody can reach the endpoint any more: whoever waits for it learns that."""
        del self.endpoints[endpoint.id]
        for message in endpoint.queue:
            self.reply(message.id, Reply(-E.PIPE))
        self.kernel.wake(("receive", endpoint.id, 0))

    # Calls by the core and by programs ---------------------------------------------------------

    def call(
        self,
        thread: Thread,
        handle: Handle,
        operation: str | int,
        words: tuple[int, ...] = (),
        data: bytes = b"",
        caps: tuple[int, ...] = (),
        *,
        one_way: bool = False,
    ) -> Reply:
        """Send and wait for the answer.  Raises `Blocked` until it is there, and then
        `KernelError` for a server's error.  The system call is executed again when it comes."""
        call = self.kernel.traps.current_call(thread)
        if call.used == len(call.replies) and not call.message:
            endpoint = self.endpoints.get(handle.endpoint)
            if endpoint is None:
                raise KernelError(E.PIPE)
            message = self._message(thread, endpoint, handle.badge, operation)
            message = replace(message, words=words, data=data, caps=caps, one_way=one_way)
            call.message, call.endpoint = message.id, endpoint.id
            self.callers[message.id] = thread
            self._deliver(message)
        if call.used == len(call.replies):
            raise Blocked(("reply", call.message, 0))
        reply = call.replies[call.used]
        call.used += 1
        if reply.result < 0:
            raise KernelError(E(-reply.result))
        return reply

    def reply(self, message_id: int, reply: Reply) -> None:
        """Answer a message; a caller that is gone misses nothing."""
        thread = self.callers.pop(message_id, None)
        self.received.pop(message_id, None)
        if self.kernel.machine.trace:
            self.kernel.machine.trace.emit(REPLY, message_id, reply.result, len(reply.data))
        if thread is None or thread.call is None or thread.call.message != message_id:
            return
        self.kernel.machine.charge(costs.MESSAGE)
        thread.call.message = 0
        thread.call.replies.append(reply)
        self.kernel.wake(("reply", message_id, 0))

    def next_message(self, endpoint: Endpoint) -> Message:
        """The oldest message of a program's endpoint.  Raises `Blocked` if there is none."""
        if not endpoint.queue:
            raise Blocked(("receive", endpoint.id, 0))
        return endpoint.queue[0]

    def take(self, endpoint: Endpoint, process: Process) -> None:
        """`process` has received the oldest message, and owes the reply."""
        self.received[endpoint.queue.pop(0).id] = process.pid

    def owes_reply(self, process: Process, message_id: int) -> bool:
        """Has this process received the message, and not answered it?"""
        return self.received.get(message_id) == process.pid

    def abandon(self, process: Process) -> None:
        """A process ends: whoever waits for its replies learns that there will be none."""
        owed = [number for number, pid in self.received.items() if pid == process.pid]
        for endpoint in list(self.endpoints.values()):
            if endpoint.queue and not self._can_be_served(endpoint):
                owed += [message.id for message in endpoint.queue]
                endpoint.queue.clear()
        for number in owed:
            self.reply(number, Reply(-E.PIPE))

    def _can_be_served(self, endpoint: Endpoint) -> bool:
        """Is there a thread that could receive from it: one that does not itself wait there?"""
        waiting = {message.id for message in endpoint.queue}
        return any(
            thread.call is None or thread.call.message not in waiting
            for process in self.kernel.processes.values()
            if endpoint.handle in process.descriptors.handles.values()
            for thread in process.threads
        )

    def cancel(self, call: Call) -> None:
        """The caller was interrupted or killed: withdraw its message, if it has sent one."""
        if self.callers.pop(call.message, None) is None:
            return
        endpoint = self.endpoints.get(call.endpoint)
        if endpoint is not None and endpoint.server:
            withdrawal = self._message(None, endpoint, 0, "cancel", expect_reply=False)
            self._deliver(replace(withdrawal, words=(call.message,)))
        elif endpoint is not None:
            endpoint.queue = [m for m in endpoint.queue if m.id != call.message]

    def interrupt(self, server: str) -> None:
        """A device of `server` has something new."""
        self.servers[server].interrupt(self.port)

    # Inside ---------------------------------------------------------------------------------

    def _message(
        self,
        thread: Thread | None,
        endpoint: Endpoint,
        badge: int,
        operation: str | int,
        *,
        expect_reply: bool = True,
    ) -> Message:
        self.made += 1
        number = self.made if expect_reply else 0
        if thread is None:
            return Message(number, endpoint.id, 0, 0, 0, badge, operation)
        sender = thread.process
        who = sender.credentials
        return Message(
            number, endpoint.id, sender.pid, who.uid, who.gid, badge, operation,
            groups=who.groups, group=sender.group, session=sender.session, umask=sender.umask,
        )  # fmt: skip

    def _deliver(self, message: Message) -> None:
        machine, endpoint = self.kernel.machine, self.endpoints[message.endpoint]
        machine.charge(costs.MESSAGE)
        if machine.trace:
            operation = str(message.operation).encode()
            shape = (message.id, message.endpoint, message.pid, message.badge)
            machine.trace.emit(MESSAGE, *shape, operation, len(message.data))
        if not endpoint.server:
            endpoint.queue.append(message)
            # All of them: one that is woken may end before it has taken the message.
            self.kernel.wake(("receive", endpoint.id, 0))
            return
        reply = self.servers[endpoint.server].handle(message, self.port)
        if reply is not None and message.id:
            self.reply(message.id, reply)
