"""Endpoints: where messages are sent, by programs and by the core, and received.

Sending is synchronous: the sender blocks until its message was taken, a caller until it was
answered.  An endpoint is served either by threads that call `ipc_recv` or by a Python server;
the sender cannot tell which.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hw import costs, trace
from hw.machine import Machine
from kernel.abi.errno import Blocked, E, KernelError
from kernel.abi.message import Message, Port, Reply, Server
from kernel.ipc.parcels import Parcels
from kernel.log import Log
from kernel.mm.objects import MemoryObject
from kernel.sched.tasks import Tasks
from kernel.task.descriptors import Handle
from kernel.task.process import Call, Process, Thread
from kernel.wait.ready import Readiness

MESSAGE = trace.declare(
    "message", "id:Q endpoint:Q pid:Q badge:Q operation:s bytes:Q", "A message was sent."
)
REPLY = trace.declare("reply", "id:Q result:q bytes:Q", "A message was answered.")


@dataclass(slots=True, eq=False)
class Endpoint:
    """`queue` holds messages that no thread has taken yet; `server` names the Python server that
    handles them at once, if there is one."""

    id: int
    server: str = ""
    queue: list[Message] = field(default_factory=list)
    handle: Handle = field(init=False)
    """What all descriptors for a program's endpoint share: the last one ends it."""

    def __post_init__(self) -> None:
        self.handle = Handle(self.id, 0)


@dataclass(slots=True)
class WellKnown:
    """The handles that boot makes: where paths start, and the servers that the core asks."""

    root: Handle
    """The directory / of the file server."""
    home: Handle
    """Where the first program starts."""
    pipes: Handle
    names: Handle
    system: Handle
    shm: Handle
    sockets: Handle
    console_input: Handle
    console: Handle
    console_errors: Handle


@dataclass(slots=True)
class Endpoints:
    """All endpoints, and the messages that wait for an answer."""

    machine: Machine
    log: Log
    tasks: Tasks
    ready: Readiness
    well_known: WellKnown = field(init=False)
    endpoints: dict[int, Endpoint] = field(default_factory=dict)
    servers: dict[str, Server] = field(default_factory=dict)
    callers: dict[int, Thread] = field(default_factory=dict)
    """The thread that waits for the reply to each message."""
    received: dict[int, int] = field(default_factory=dict)
    """The process that has taken a message and owes the reply."""
    ports: dict[str, Port] = field(default_factory=dict)
    published: dict[int, MemoryObject] = field(default_factory=dict)
    """The memory objects that servers made, by their capability ids."""
    restarts: list[str] = field(default_factory=list)
    """The servers that had to be started again."""
    debug: bool = False
    """A bug in a server is a traceback, and not the server's end."""
    made: int = 0
    ending: int = 0
    """The process whose memory is being given back."""
    parcels: Parcels = field(init=False)
    """Descriptors on their way."""

    def __post_init__(self) -> None:
        self.parcels = Parcels(self.machine)

    # Endpoints ------------------------------------------------------------------------------

    def create(self, server: str = "") -> Endpoint:
        self.made += 1
        endpoint = self.endpoints[self.made] = Endpoint(self.made, server)
        return endpoint

    def attach(self, server: Server, port: Port) -> None:
        """A Python server starts behind `port.endpoint`, which was made for it."""
        self.servers[server.name] = server
        self.ports[server.name] = port

    def restart(self, name: str, why: str) -> None:
        """A server has died; another one takes its place behind the same endpoint.

        What it stores stays, so open files go on; what only it knew is gone.
        """
        self.restarts.append(name)
        self.log.say(f"the server {name!r} died ({why}) and was started again")
        self.servers[name] = self.servers[name].restarted()
        self.ready.server_restarted(self.ports[name].endpoint)

    def close(self, handle: Handle) -> None:
        """A descriptor goes; the last one tells the server, or ends a program's endpoint.

        With a socket go the messages in it, and with them the descriptors that travel there.
        """
        self._let_go(handle)
        self._close_lost()

    def _close_lost(self) -> None:
        """Close what lost messages held.  That can lose more of them, so it goes step by step."""
        while self.parcels.dropped or self.parcels.suspect:
            if self.parcels.dropped:
                self._let_go(self.parcels.dropped.pop())
            else:
                self.parcels.collect()

    def _let_go(self, handle: Handle) -> None:
        handle.holds -= 1
        if handle.holds:
            if handle.in_flight:
                self.parcels.note_closed(handle)
            return
        self.ready.closed(handle)
        endpoint = self.endpoints.get(handle.endpoint)
        if endpoint is not None and endpoint.server:
            farewell = Message(endpoint=endpoint.id, badge=handle.badge, operation="close")
            self._emit_message(farewell)
            self._serve(endpoint.server, farewell)
        elif endpoint is not None:
            self._end(endpoint)

    def _end(self, endpoint: Endpoint) -> None:
        """No descriptor leads to the endpoint any more: threads that wait for it learn that."""
        del self.endpoints[endpoint.id]
        for message in endpoint.queue:
            self.reply(message.id, Reply(-E.PIPE))
        self.tasks.wake(("receive", endpoint.id, 0))

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
        as_ids: tuple[int, int] | None = None,
    ) -> Reply:
        """Send and wait for the answer.  Raises `Blocked` until it is there, and then
        `KernelError` for a server's error.  The system call is executed again when it comes.

        `as_ids`: in the name of this user and group, and not of those that count for files.
        """
        call = thread.call or thread.current_call()
        if call.used == len(call.replies) and not call.message:
            endpoint = self.endpoints.get(handle.endpoint)
            if endpoint is None:
                raise KernelError(E.PIPE)
            content = (words, data, caps, one_way, as_ids)
            message = self._message(thread, endpoint, handle.badge, operation, *content)
            if endpoint.server:
                call.replies.append(self._answered_at_once(message, endpoint))
            else:
                call.message, call.endpoint = message.id, endpoint.id
                self.callers[message.id] = thread
                self._deliver(message, endpoint)
        if call.used == len(call.replies):
            raise Blocked(("reply", call.message, 0))
        reply = call.replies[call.used]
        call.used += 1
        if reply.result < 0:
            raise KernelError(E(-reply.result))
        return reply

    def serves_files(self, handle: Handle) -> bool:
        """Is there a server of ours behind it, and not a program or nothing?"""
        endpoint = self.endpoints.get(handle.endpoint)
        return endpoint is not None and endpoint.server != ""

    def is_of(self, handle: Handle, name: str) -> bool:
        """Is this server of ours behind it?"""
        endpoint = self.endpoints.get(handle.endpoint)
        return endpoint is not None and endpoint.server == name

    def node(self, endpoint: int, badge: int) -> Handle:
        """A passing reference to a server's node, which is not closed."""
        return Handle(endpoint, badge)

    def ask(
        self,
        endpoint: int,
        badge: int,
        operation: str,
        words: tuple[int, ...] = (),
        data: bytes = b"",
    ) -> Reply:
        """The core's own question to a Python server, not on behalf of a process."""
        self.made += 1
        name = self.endpoints[endpoint].server
        message = Message(
            id=self.made,
            endpoint=endpoint,
            badge=badge,
            operation=operation,
            words=words,
            data=data,
        )
        return self._serve(name, message)

    def reply(self, message_id: int, reply: Reply) -> None:
        """Answer a message; a caller that is gone misses nothing."""
        thread = self.callers.pop(message_id, None)
        self.received.pop(message_id, None)
        self._emit_reply(message_id, reply)
        if thread is None or thread.call is None or thread.call.message != message_id:
            return
        self.machine.charge(costs.MESSAGE)
        thread.call.message = 0
        thread.call.replies.append(reply)
        self.tasks.wake(("reply", message_id, 0))

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
        """A process ends: threads that wait for its replies learn that there will be none."""
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
            for thread in self.tasks.threads.values()
            if endpoint.handle in thread.descriptors.handles.values()
        )

    def cancel(self, thread: Thread, call: Call) -> None:
        """The caller was interrupted or killed: it waits for nothing any more."""
        self.ready.unwatch(thread, call)
        if call.opened is not None:
            self.close(call.opened)
        if self.callers.pop(call.message, None) is None:
            return
        endpoint = self.endpoints.get(call.endpoint)
        if endpoint is not None:
            endpoint.queue = [m for m in endpoint.queue if m.id != call.message]

    def mapped(self, memory_object: MemoryObject) -> None:
        """A region shows an object whose server counts them."""
        self._tell(memory_object.node, "mapped")

    def unmapped(self, memory_object: MemoryObject) -> None:
        """A region shows it no longer."""
        self._tell(memory_object.node, "unmapped")

    def interrupt(self, server: str) -> None:
        """A device of `server` has something new."""
        self.servers[server].interrupt(self.ports[server])

    # Inside ---------------------------------------------------------------------------------

    def _tell(self, node: tuple[int, int], operation: str) -> None:
        """News for a Python server; the process that ends is its cause, or the one that runs."""
        (endpoint, badge), thread = node, self.tasks.seat.thread
        pid = self.ending or (thread.pid if thread is not None else 0)
        message = Message(endpoint=endpoint, badge=badge, operation=operation, pid=pid)
        self._emit_message(message)
        self._serve(self.endpoints[endpoint].server, message)

    def _message(
        self,
        thread: Thread,
        endpoint: Endpoint,
        badge: int,
        operation: str | int,
        words: tuple[int, ...],
        data: bytes,
        caps: tuple[int, ...],
        one_way: bool,
        as_ids: tuple[int, int] | None,
    ) -> Message:
        self.made += 1
        sender = thread.process
        who = sender.credentials
        uid, gid = as_ids or (who.file_uid, who.file_gid)
        return Message(
            id=self.made,
            endpoint=endpoint.id,
            badge=badge,
            operation=operation,
            words=words,
            data=data,
            caps=caps,
            one_way=one_way,
            pid=sender.pid,
            tid=thread.tid,
            uid=uid,
            gid=gid,
            groups=who.groups,
            group=sender.group,
            session=sender.session,
            umask=thread.surroundings.umask,
        )

    def _deliver(self, message: Message, endpoint: Endpoint) -> None:
        """Put it where the threads of a program find it."""
        self._emit_message(message)
        endpoint.queue.append(message)
        # All of them: one that is woken may end before it has taken the message.
        self.tasks.wake(("receive", endpoint.id, 0))

    def _answered_at_once(self, message: Message, endpoint: Endpoint) -> Reply:
        """Send and get the reply, as Python servers are asked: no thread sleeps."""
        self._emit_message(message)
        reply = self._serve(endpoint.server, message)
        self._emit_reply(message.id, reply)
        self.machine.charge(costs.MESSAGE)
        if self.parcels.dropped:
            self._close_lost()
        return reply

    def _emit_message(self, message: Message) -> None:
        machine = self.machine
        machine.charge(costs.MESSAGE)
        if machine.trace:
            name, size_bytes = str(message.operation).encode(), len(message.data)
            endpoint, pid, badge = message.endpoint, message.pid, message.badge
            machine.trace.emit(MESSAGE, message.id, endpoint, pid, badge, name, size_bytes)

    def _emit_reply(self, message_id: int, reply: Reply) -> None:
        self.machine.emit(REPLY, message_id, reply.result, len(reply.data))

    def _serve(self, name: str, message: Message) -> Reply:
        """A Python server's answer; whatever else it raises is its death, and only its own."""
        try:
            return self.servers[name].handle(message, self.ports[name])
        except KernelError as error:
            return Reply(-error.number)
        except Exception as error:
            if self.debug:
                raise
            self.restart(name, f"{type(error).__name__}: {error}")
            return Reply(-E.IO)
