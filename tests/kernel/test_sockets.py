"""Sockets and what travels in them, as only the kernel can show it: who holds which open file, what
is collected when, what a checkpoint keeps.  `tests/native` compares the answers with Linux's.
"""

from __future__ import annotations

import random
import struct
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import costs
from kernel import invariants, turns
from kernel.abi.errno import Blocked, E, Panic
from kernel.abi.sockets import MSG_DONTWAIT, MSG_PEEK, SCM_RIGHTS, SOL_SOCKET, Identity
from kernel.checkpoint import load, save
from kernel.servers.sockets import Sockets
from kernel.syscalls import control
from kernel.task import limits
from kernel.task.credentials import Credentials
from tests.kernel.asm import DATA, Program
from tests.kernel.system import LAST, System, still
from tests.soak import run_and_clear

AF_UNIX, STREAM, DGRAM = 1, 1, 2
PAIR, VECTOR, HEADER, CONTROL, BYTES = (DATA + at for at in (0, 64, 128, 256, 4096))


class Room:
    """A still process whose system calls are made by hand; all invariants hold after each."""

    def __init__(self, **wishes: object) -> None:
        self.system = still(**wishes)
        self.kernel = self.system.kernel
        self.space = self.system.thread.space
        self.checked = True

    @property
    def server(self) -> Sockets:
        server = self.kernel.ipc.servers["sockets"]
        assert isinstance(server, Sockets)
        return server

    @property
    def in_flight(self) -> int:
        return len(self.kernel.ipc.parcels.parcels)

    def ask(self, name: str, *arguments: int) -> int:
        result = self.system.ask(name, *arguments)
        if self.checked:
            invariants.check(self.kernel)
        return result

    def pair(self, kind: int = DGRAM) -> tuple[int, int]:
        assert self.ask("socketpair", AF_UNIX, kind, 0, PAIR) == 0
        one, other = struct.unpack("<ii", self.space.read(PAIR, 8))
        return one, other

    def send(self, fd: int, *given: int) -> int:
        """Send a byte and some descriptors."""
        size = 16 + 4 * len(given)
        head = struct.pack(f"<QII{len(given)}i", size, SOL_SOCKET, SCM_RIGHTS, *given)
        self.space.write(CONTROL, head)
        self._header(control=CONTROL, room=size if given else 0)
        return self.ask("sendmsg", fd, HEADER, MSG_DONTWAIT)

    def receive(self, fd: int, flags: int = 0) -> list[int] | int:
        """The descriptors that come with the next message, or an error."""
        self.space.write(CONTROL, bytes(16))
        self._header(control=CONTROL, room=1024)
        result = self.ask("recvmsg", fd, HEADER, flags | MSG_DONTWAIT)
        if result < 0:
            return result
        size = self.space.read_u64(CONTROL)
        count = max(0, size - 16) // 4
        return list(struct.unpack(f"<{count}i", self.space.read(CONTROL + 16, 4 * count)))

    def _header(self, control: int, room: int) -> None:
        self.space.write(VECTOR, struct.pack("<QQ", BYTES, 1))
        fields = (0, 0, VECTOR, 1, control, room, 0)
        self.space.write(HEADER, struct.pack("<Qi4xQQQQi4x", *fields))

    def badge(self, fd: int) -> int:
        return self.system.thread.descriptors.get(fd).badge


def test_an_open_file_lives_as_long_as_a_message_holds_it() -> None:
    room = Room()
    one, other = room.pair()
    assert room.ask("pipe", PAIR) == 0
    reader, writer = struct.unpack("<ii", room.space.read(PAIR, 8))
    handle = room.system.thread.descriptors.get(writer)
    assert room.send(one, writer) == 1
    assert (handle.holds, handle.in_flight) == (2, 1)
    assert room.ask("close", writer) == 0
    assert (handle.holds, handle.in_flight) == (1, 1)
    assert room.receive(other, MSG_PEEK) == [writer]
    assert (handle.holds, handle.in_flight) == (2, 1)
    assert room.receive(other) == [writer + 1]
    assert (handle.holds, handle.in_flight) == (2, 0)
    room.ask("close", writer)
    room.ask("close", writer + 1)
    assert room.ask("read", reader, BYTES, 1) == 0


def test_what_waits_in_a_socket_is_closed_with_it() -> None:
    room = Room()
    one, other = room.pair()
    inner = room.pair()
    assert room.send(one, *inner) == 1
    for fd in inner:
        room.ask("close", fd)
    assert len(room.server.open) == 4
    room.ask("close", other)
    assert len(room.server.open) == 1
    assert room.in_flight == 0


def test_a_socket_in_its_own_queue_is_collected_with_its_last_descriptor() -> None:
    room = Room()
    one, other = room.pair()
    assert room.send(one, other) == 1
    room.ask("close", other)
    assert list(room.server.open) == [room.badge(one)]
    assert room.in_flight == 0
    assert room.send(one) == -E.CONNREFUSED


def test_what_can_be_reached_through_several_sockets_stays() -> None:
    room = Room()
    ends = [room.pair() for _ in range(4)]
    for outer, inner in pairwise(ends):
        assert room.send(outer[0], inner[1]) == 1
    for _, end in ends[1:]:
        room.ask("close", end)
    assert room.in_flight == 3
    fd = ends[0][1]
    for _ in range(3):
        found = room.receive(fd)
        assert isinstance(found, list)
        (fd,) = found
    assert room.in_flight == 0


def test_a_chain_of_a_thousand_sockets_falls_without_recursion() -> None:
    room = Room(user=Credentials())
    room.checked = False
    last = room.pair()[0]
    for _ in range(1000):
        one, other = room.pair()
        room.send(one, last)
        room.ask("close", last)
        room.ask("close", one)
        last = other
    assert room.in_flight == 1000
    room.checked = True
    room.ask("close", last)
    assert room.in_flight == 0


def test_a_collection_is_charged_by_what_is_in_flight() -> None:
    room = Room()
    one, other = room.pair()
    many, end = room.pair()
    for _ in range(10):
        assert room.send(many, *[one] * 20) == 1
    assert room.send(one, other) == 1
    state = room.kernel.machine.cores[0].state
    before = state.counts[costs.QUEUE_LOOK]
    room.ask("close", other)
    assert state.counts[costs.QUEUE_LOOK] - before == 10 * 21 + 2
    before = state.counts[costs.QUEUE_LOOK]
    room.ask("close", end)
    assert state.counts[costs.QUEUE_LOOK] == before  # nothing could be lost: nothing is looked at


def test_a_user_may_have_as_many_in_flight_as_open_and_root_more() -> None:
    for user, refused in ((Credentials(1000, 1000), True), (Credentials(), False)):
        room = Room(user=user)
        one, _ = room.pair()
        limits.put(room.system.process, limits.NOFILE, (100, 100))
        sent = 0
        while (result := room.send(one, *[one] * 50)) == 1 and sent < 4:
            sent += 1
        assert result == (-E.TOOMANYREFS if refused else 1)
        assert sent == (3 if refused else 4)


@pytest.mark.parametrize("left", [0, 8, 15, 16, 17, 24, 27, 28, 29, 64])
def test_an_identity_is_cut_off_where_the_room_for_it_ends(left: int) -> None:
    """As put_cmsg() of Linux does: without room for the head there is nothing, and MSG_CTRUNC."""
    thread = Room().system.thread
    thread.space.write(CONTROL, bytes(64))
    room = control.Room(CONTROL, left, 0x20)
    room.put_identity(thread, Identity(7, 8, 9))
    whole = struct.pack("<QIIIII", 28, SOL_SOCKET, 2, 7, 8, 9)
    shown = whole if left >= 28 else struct.pack("<Q", left) + whole[8:left] if left >= 16 else b""
    assert thread.space.read(CONTROL, 64) == shown.ljust(64, b"\0")
    assert room.flags == (0x20 if left >= 28 else 0x28)
    assert room.left == max(0, left - 32) if left >= 16 else room.left == left


@pytest.mark.parametrize(("nanoseconds", "received"), [(0, 1), (10**9 - 1, 3)])
def test_recvmmsg_looks_at_the_clock_after_each_message(nanoseconds: int, received: int) -> None:
    """Without time it takes one of the three that wait; the time that is left is told."""
    room = Room()
    one, other = room.pair()
    for _ in range(3):
        room.send(one)
    rows, timeout = DATA + 512, DATA + 1024
    room.space.write(rows, struct.pack("<Qi4xQQQQi4xi4x", 0, 0, VECTOR, 1, 0, 0, 0, 0) * 3)
    room.space.write(timeout, struct.pack("<qq", 0, nanoseconds))
    assert room.ask("recvmmsg", other, rows, 3, 0, timeout) == received
    seconds, left = struct.unpack("<qq", room.space.read(timeout, 16))
    assert seconds == 0
    assert left == 0 if not nanoseconds else 0 < left <= nanoseconds


@pytest.mark.parametrize("length", [0, 1, 2, 110, 128, 129, -1])
def test_a_connected_socket_needs_no_address_and_takes_none_that_is_too_long(length: int) -> None:
    """sendto(2): an address of no bytes is none."""
    room = Room()
    one, _ = room.pair()
    answer = room.ask("sendto", one, BYTES, 1, MSG_DONTWAIT, DATA + 1024, length)
    assert answer == 1 if not length else answer < 0
    if not 0 <= length <= 128:
        assert answer == -E.INVAL


def test_descriptors_that_no_number_is_free_for_are_closed() -> None:
    room = Room()
    one, other = room.pair()
    inner = room.pair()
    assert room.send(one, *inner) == 1
    handle = room.system.thread.descriptors.get(inner[0])
    limits.put(room.system.process, limits.NOFILE, (1, 1))
    assert room.receive(other) == []
    assert (handle.holds, handle.in_flight, room.in_flight) == (1, 0, 0)


# A model: which sockets there are, and which a process can reach --------------------------------

Step = tuple[str, int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("pair", "send", "send", "send", "receive", "close", "close")),
        st.integers(0, 30),
        st.integers(0, 30),
    ),
    max_size=60,
)


class World:
    """What ought to be: `queues` holds, for each socket, the sockets in each of its messages."""

    def __init__(self) -> None:
        self.descriptors: dict[int, int] = {}
        self.peers: dict[int, int] = {}
        self.queues: dict[int, list[tuple[int, ...]]] = {}

    def reachable(self) -> set[int]:
        """What descriptors lead to, be it through messages."""
        found: set[int] = set()
        work = list(self.descriptors.values())
        while work:
            socket = work.pop()
            if socket not in found:
                found.add(socket)
                work += [inner for message in self.queues[socket] for inner in message]
        return found

    def settle(self) -> None:
        """What cannot be reached is gone."""
        alive = self.reachable()
        self.queues = {socket: q for socket, q in self.queues.items() if socket in alive}


def take_step(room: Room, world: World, step: Step) -> None:
    name, a, b = step
    fds = sorted(world.descriptors)
    if name == "pair" and len(fds) < 20:
        pair = room.pair()
        badges = [room.badge(fd) for fd in pair]
        for fd, badge, peer in zip(pair, badges, badges[::-1], strict=True):
            world.descriptors[fd], world.peers[badge], world.queues[badge] = badge, peer, []
    if not fds or name == "pair":
        return
    fd = fds[a % len(fds)]
    mine = world.descriptors[fd]
    if name == "send":
        given = [fds[b % len(fds)], fds[b // 5 % len(fds)]][: 1 + b % 2]
        result, peer = room.send(fd, *given), world.peers[mine]
        if peer in world.queues:
            assert result == 1
            world.queues[peer].append(tuple(world.descriptors[each] for each in given))
        else:
            assert result in (-E.CONNREFUSED, -E.NOTCONN)
            world.queues[mine] = [] if result == -E.CONNREFUSED else world.queues[mine]
    elif name == "receive":
        found = room.receive(fd)
        if not world.queues[mine]:
            assert found == -E.AGAIN
        else:
            assert isinstance(found, list)
            sockets = world.queues[mine].pop(0)
            assert tuple(room.badge(each) for each in found) == sockets
            world.descriptors.update(zip(found, sockets, strict=True))
    else:
        room.ask("close", fd)
        del world.descriptors[fd]
    world.settle()


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_there_are_just_the_sockets_that_a_process_can_reach(steps: list[Step]) -> None:
    room, world = Room(), World()
    for step in steps:
        take_step(room, world, step)
        assert set(room.server.open) == world.reachable(), step
        flying = sum(len(queue) for queue in world.queues.values())
        assert room.in_flight == flying
    room.system.end()


# Whole programs -----------------------------------------------------------------------------------


def passing() -> Program:
    """A child sends a descriptor for a pipe, and the pipe in it, and ends; its parent prints."""
    program = Program()
    pair, pipe, got, text = (program.room(64) for _ in range(4))
    vector = program.words(text, 5)
    control = program.words(20, SOL_SOCKET | SCM_RIGHTS << 32, 0, 0)
    header = program.words(0, 0, vector, 1, control, 24, 0)
    taker = program.words(0, 0, program.words(got, 5), 1, control, 24, 0)
    program.call("socketpair", AF_UNIX, STREAM, 0, pair)
    program.fork("child")
    program.wait()
    program.call("recvmsg", 3, taker, 0)
    program.dump(got, 5)
    program.call("close", 3)
    program.call("close", 4)
    program.call("read", 5, got, 8)
    program.dump(got, 8)
    program.call("read", 5, got, 8)
    program.exit()
    program.label("child")
    program.call("pipe", pipe)
    program.call("write", 6, program.put(b"in flight"[:8]), 8)
    program.store(text, int.from_bytes(b"hello", "little"))
    program.store(control + 16, 5)
    program.call("sendmsg", 4, header, 0)
    program.store(control + 16, 3)
    program.call("sendmsg", 4, header, 0)
    program.store(control + 16, 4)
    program.call("sendmsg", 3, header, 0)
    program.exit()
    return program


def test_descriptors_arrive_after_their_sender_has_ended() -> None:
    run = System(passing(), checked=True, ram=4).run()
    assert run.output == b"hello" + b"in fligh"
    assert run.results("read") == [8, 0]


def test_a_checkpoint_keeps_what_is_in_flight() -> None:
    expected = System(passing(), ram=4, watched=False).run()
    system = System(passing(), ram=4, watched=False)
    flew = 0
    while not system.process.zombie:
        turns.run_traps(system.kernel, 1)
        flew = max(flew, len(system.kernel.ipc.parcels.parcels))
        written: list[bytes] = []
        copy = load(save(system.kernel), written.append)
        invariants.check(copy)
        first = copy.tasks.processes[system.process.pid]
        turns.run(copy, lambda first=first: first.zombie)  # type: ignore[misc]
        assert b"".join([*system.written, *written]) == expected.output
        assert not copy.ipc.parcels.parcels
        assert first.exit_status == 0
    assert flew == 3


def test_a_socket_server_that_is_killed_after_every_trap_loses_nothing() -> None:
    system = System(passing(), ram=4, watched=False, traced=False)
    while not system.process.zombie:
        turns.run_traps(system.kernel, 1)
        system.kernel.ipc.restart("sockets", "killed by a test")
        invariants.check(system.kernel)
    assert b"".join(system.written) == b"hello" + b"in fligh"


def test_a_hog_that_makes_circles_of_sockets_leaves_nothing() -> None:
    """It puts each pair into the queue of one of its ends, and closes both."""
    program = Program()
    pair = program.room(64)
    control = program.words(24, SOL_SOCKET | SCM_RIGHTS << 32, 3 | 4 << 32)
    vector = program.words(pair, 1)
    header = program.words(0, 0, vector, 1, control, 24, 0)
    program.label("again")
    program.call("socketpair", AF_UNIX, DGRAM, 0, pair)
    for _ in range(3):
        program.call("sendmsg", 3, header, MSG_DONTWAIT)
    program.call("close", 3)
    program.call("close", 4)
    program.jump("again")
    system = System(program, ram=4, traced=False)
    used = set(system.kernel.memory.frames.used())
    LAST.clear()
    assert run_and_clear(system.kernel, used, most_instructions=50_000) == "runs on"
    assert not system.kernel.ipc.parcels.parcels


# The checker can fail -----------------------------------------------------------------------------


@pytest.fixture
def broken() -> Room:
    """A room with one parcel in flight, which a test breaks on purpose."""
    room = Room()
    one, _ = room.pair()
    assert room.send(one, one) == 1
    LAST.clear()
    return room


def complaint(room: Room) -> str:
    with pytest.raises(Panic) as caught:
        invariants.check(room.kernel)
    return str(caught.value)


def test_it_sees_a_wrong_count_of_holds_in_flight(broken: Room) -> None:
    broken.kernel.ipc.parcels.parcels[1].handles[0].in_flight = 2
    assert "a handle is in 1 parcels, and counts 2" in complaint(broken)


def test_it_sees_a_parcel_that_no_message_has(broken: Room) -> None:
    (packet,) = broken.server.open[2].queue
    packet.parcel = 0
    assert "parcels [1] are in no message" in complaint(broken)
    packet.parcel = 7
    assert "parcel 7 is in socket 2, and is not known to be there" in complaint(broken)


def test_it_sees_a_parcel_that_nobody_can_receive(broken: Room) -> None:
    parcels = broken.kernel.ipc.parcels
    parcels.parcels[1].receiver = broken.kernel.ipc.well_known.sockets.endpoint, 1
    parcels.waiting = {parcels.parcels[1].receiver: [1]}
    parcels.parcels[1].handles[0].holds = 1
    assert "descriptors are in flight that no process can receive" in complaint(broken)


def test_it_sees_wrong_accounts(broken: Room) -> None:
    broken.server.open[1].used += 1
    broken.kernel.ipc.parcels.users[1000] = 5
    text = complaint(broken)
    assert "socket 1 should account for 768 bytes, has 769" in text
    assert "the counts of descriptors in flight are wrong" in text


# Wild calls ---------------------------------------------------------------------------------------

WILD = (
    *("socketpair", "sendto", "recvfrom", "sendmsg", "recvmsg", "shutdown", "getsockname"),
    *("getpeername", "setsockopt", "getsockopt", "sendmmsg", "recvmmsg", "pidfd_open", "dup"),
    *("pidfd_send_signal", "pidfd_getfd", "write", "read", "close", "sendmsg", "recvmsg"),
)
AREA_BYTES = 1 << 14


@pytest.mark.parametrize("seed", range(8))
def test_wild_calls_get_an_errno_or_wait(seed: int) -> None:
    room, dice = Room(), random.Random(seed)
    room.checked = False
    values = (*range(24), 40, 64, 253, 1024, DATA, DATA + AREA_BYTES - 8, 1 << 31, (1 << 64) - 1)
    thread = room.system.thread
    for step in range(1500):
        word = dice.choice((dice.choice(values), DATA + 8 * dice.randrange(AREA_BYTES // 8)))
        room.space.write(DATA + 8 * dice.randrange(AREA_BYTES // 8), struct.pack("<Q", word))
        if step % 16 == 0:
            room.pair(dice.choice((STREAM, DGRAM, 5)))
            some = [fd for fd in thread.descriptors.handles if fd > 2]
            room.send(dice.choice(some), *dice.sample(some, min(len(some), 3)))
        name = dice.choice(WILD)
        arguments = [dice.choice((*values, *(DATA + 8 * n for n in range(40)))) for _ in range(6)]
        if dice.random() < 0.9:
            arguments[0] = dice.randrange(24)
        try:
            room.ask(name, *arguments)
        except Blocked:
            room.kernel.ipc.cancel(thread, thread.current_call())
            thread.call = None
        thread.pending.clear()
        room.system.process.pending.clear()
        thread.killed = False
        if step % 50 == 0:
            invariants.check(room.kernel)
    assert not room.kernel.ipc.restarts
    invariants.check(room.kernel)
