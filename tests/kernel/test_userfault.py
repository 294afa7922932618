"""Pages that a program fills, beyond what `tests/native/p_userfault.c` compares with Linux."""

from __future__ import annotations

import struct

import pytest

from kernel import invariants, turns
from kernel.abi.errno import E
from kernel.checkpoint import load, save
from kernel.mm import space
from kernel.syscalls import userfault
from kernel.task.credentials import Credentials
from tests.kernel.asm import Program
from tests.kernel.system import System, run_code, still

ROOT = Credentials()
PAGE, RW, PRIVATE_ANON = 4096, 3, 0x22
HERE = 0x10_0000_0000
USER_MODE_ONLY, MISSING = 1, 1


def demand(program: Program, view: bool = False) -> None:
    """A thread touches a page; the first one reads of it, fills it, and the thread says it."""
    content = program.put(b"filled in time!\n" * 256)
    api = program.words(userfault.UFFD_API, 0, 0)
    registered = program.words(HERE, PAGE, MISSING, 0)
    copied = program.words(HERE, content, PAGE, 0, 0)
    message = program.room(32)
    program.call("mmap", HERE, PAGE, RW, PRIVATE_ANON | 0x10, -1, 0)
    program.call("userfaultfd", USER_MODE_ONLY)
    program.keep("rbx")
    program.call("ioctl", "rbx", userfault.API, api)
    program.call("ioctl", "rbx", userfault.REGISTER, registered)
    if view:
        program.call("vas_create", program.put(b"v\0"), 0o600)
        program.call("vas_attach", 0, 1, 2)
    program.thread("toucher", flags=0x50F00)
    program.call("read", "rbx", message, 32)
    program.call("ioctl", "rbx", userfault.COPY, copied)
    program.call("pause")
    program.label("toucher")
    if view:
        program.call("vas_switch", 1)
    program.load_byte(HERE)
    program.dump(HERE, 16)
    program.call("exit_group", 0)


@pytest.mark.parametrize("mmu", ["model", "silicon"])
@pytest.mark.parametrize("cpus", [1, 2])
def test_a_thread_sleeps_until_its_page_is_there(cpus: int, mmu: str) -> None:
    program = Program()
    demand(program)
    assert run_code(program, cpus=cpus, mmu=mmu).output == b"filled in time!\n"


@pytest.mark.parametrize(
    ("sync", "output"),
    [("subtree", b"filled in time!\n"), ("forward", b"filled in time!\n"), ("rfc", bytes(16))],
)
def test_in_a_view_too_unless_its_memory_is_a_copy(sync: str, output: bytes) -> None:
    program = Program()
    demand(program, view=True)
    assert run_code(program, sync=sync).output == output


def test_a_checkpoint_may_come_between_fault_and_page() -> None:
    program = Program()
    demand(program)
    system = System(program, ram=4, watched=False)
    copies = 0
    while not system.process.zombie:
        turns.run_traps(system.kernel, 1)
        if any(channel[0] == "userfault" for channel in system.kernel.tasks.channels):
            written: list[bytes] = []
            copy = load(save(system.kernel), written.append)
            first = copy.tasks.processes[system.process.pid]
            turns.run(copy, lambda first=first: first.zombie)  # type: ignore[misc]
            assert b"".join(written) == b"filled in time!\n"
            invariants.check(copy)
            copies += 1
    assert copies


def test_a_page_that_nobody_fills_is_named_when_all_threads_wait() -> None:
    waits = Program()
    api, registered = waits.words(userfault.UFFD_API, 0, 0), waits.words(HERE, PAGE, MISSING, 0)
    waits.call("mmap", HERE, PAGE, RW, PRIVATE_ANON | 0x10, -1, 0)
    waits.call("userfaultfd", USER_MODE_ONLY)
    waits.keep("rbx")
    waits.call("ioctl", "rbx", userfault.API, api)
    waits.call("ioctl", "rbx", userfault.REGISTER, registered)
    waits.load_byte(HERE)
    with pytest.raises(turns.Deadlock, match="waits for the page of word 0x1000000000, which a"):
        run_code(waits)


# Called directly --------------------------------------------------------------------------------


class World:
    """A process with eight registered pages."""

    def __init__(self, flags: int = 0, **wishes: object) -> None:
        self.system = still(user=ROOT, **wishes)
        self.space = self.system.thread.space
        self.words = self.system.ask("mmap", 0, PAGE, RW, PRIVATE_ANON, -1, 0)
        self.ask("mmap", HERE, 8 * PAGE, RW, PRIVATE_ANON | 0x10, -1, 0)
        self.fd = self.ask("userfaultfd", flags)
        assert self.control(userfault.API, userfault.UFFD_API, 0, 0) == 0

    def ask(self, name: str, *arguments: int) -> int:
        return self.system.ask(name, *arguments)

    def control(self, request: int, *words: int) -> int:
        self.space.write(self.words, struct.pack(f"<{len(words)}Q", *words))
        return self.ask("ioctl", self.fd, request, self.words)

    def register(self, start: int = HERE, pages: int = 8) -> int:
        return self.control(userfault.REGISTER, start, pages * PAGE, MISSING, 0)

    def copy(self, to: int, pages: int = 1) -> int:
        return self.control(userfault.COPY, to, self.words, pages * PAGE, 0, 0)


def test_a_call_that_stores_its_result_to_a_missing_page_ends_in_efault() -> None:
    """It may have had its effect, so it cannot be executed again; read(2) asks for room first."""
    world = World()
    assert world.register() == 0
    for name, arguments in (
        ("times", (HERE,)),
        ("clock_gettime", (0, HERE)),
        ("newfstatat", (-100, world.words, HERE, 0)),
    ):
        world.space.write(world.words, b"/\0")
        assert world.ask(name, *arguments) == -E.FAULT, name


def test_a_segment_of_a_vas_has_no_filler() -> None:
    world = World()
    start = HERE + (1 << 30)
    world.space.write(world.words, b"segment\0")
    sid = world.ask("vas_seg_create", world.words, start, start + 2 * PAGE, 0o600)
    assert world.ask("vas_seg_attach", 0, sid, 2) == 0
    assert world.register(start, 2) == -E.INVAL


def test_a_descriptor_outlives_its_memory() -> None:
    world = World()
    system, ask = world.system, world.system.ask
    child = system.kernel.tasks.processes[world.ask("fork")].threads[0]
    fd = ask("userfaultfd", 0, thread=child)
    heir = system.process.descriptors.add(child.descriptors.get(fd))
    system.kernel.life.exit_process(child.process, 0)
    world.fd = heir
    assert world.control(userfault.API, userfault.UFFD_API, 0, 0) == 0
    assert world.register() == -E.NOMEM
    assert world.copy(HERE) == -E.SRCH
    assert world.ask("close", heir) == 0


def test_pages_that_were_filled_are_paid_for_once_and_may_leave_memory() -> None:
    world = World(swap=4)
    assert world.register() == 0
    free = len(world.system.kernel.memory.frames.free)
    assert world.copy(HERE) == 0
    assert world.copy(HERE) == -E.EXIST
    assert len(world.system.kernel.memory.frames.free) == free - 1
    pager = world.system.kernel.memory.objects.pager
    assert pager is not None
    pager.make_room(1 << 30)
    assert world.copy(HERE) == -E.EXIST  # it is on the disk, and not missing
    assert world.space.read(HERE, 8) == struct.pack("<Q", HERE)


def test_without_memory_a_copy_fills_what_it_can() -> None:
    world = World(ram=1)
    big = world.ask("mmap", 0, 1 << 30, RW, PRIVATE_ANON, -1, 0)
    assert world.register(big, 1 << 18) == 0
    page = big
    while (result := world.copy(page)) == 0:
        page += PAGE
    assert result == -E.NOMEM
    assert world.ask("munmap", big, 1 << 30) == 0
    assert world.register() == 0
    assert world.copy(HERE) == 0


def test_beyond_the_limit_of_regions_nothing_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    monkeypatch.setattr(space, "MAX_REGIONS", len(world.space.map) + 1)
    assert world.register(HERE + PAGE, 1) == -E.NOMEM
    assert world.register(HERE, 8) == 0


def test_a_user_without_rights_fills_only_what_programs_touch() -> None:
    system = still(user=Credentials(1000, 1000))
    assert system.ask("userfaultfd", 0) == -E.PERM
    assert system.ask("userfaultfd", USER_MODE_ONLY) == 3
