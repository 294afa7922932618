"""Segments of System V shared memory: their frames, their lifetimes, their ids and their limits.

`tests/native/p_shm.c` and `p_shm_rights.c` compare the calls with Linux.
"""

from __future__ import annotations

from typing import Any

import pytest

from hw import costs
from kernel import invariants
from kernel.abi.errno import E
from kernel.abi.shm import (
    IPC_CREAT,
    IPC_RMID,
    SHM_DEST,
    SHM_LOCK,
    SHM_REMAP,
    SHM_UNLOCK,
    SHMMNI,
    SegmentStatus,
)
from kernel.checkpoint import load, save
from kernel.kernel import Kernel
from kernel.mm.shootdown import Shootdown
from kernel.task import limits
from kernel.task.process import Thread
from tests.kernel.system import System, still
from tests.kernel.tight import pager

PAGE = 4096
HERE, THERE = 0x10_0000_0000, 0x20_0000_0000
PRIVATE, FIXED, ANON, RW = 2, 0x10, 0x20, 3


def segments(kernel: Kernel) -> list[SegmentStatus]:
    return kernel.ipc.ports["shm"].shared_segments()


def made(system: System, pages: int = 2, key: int = 0) -> int:
    id = system.ask("shmget", key, pages * PAGE, IPC_CREAT | 0o600)
    assert id >= 0
    return id


def child_of(system: System) -> Thread:
    return system.kernel.tasks.threads[system.ask("fork")]


def free(system: System) -> int:
    return len(system.kernel.memory.frames.free)


# One object, several names and lifetimes --------------------------------------------------------


def test_two_processes_show_one_frame_and_it_outlives_both() -> None:
    system = still()
    before, id = free(system), made(system, 1)
    child = child_of(system)
    assert system.ask("shmat", id, HERE, 0) == HERE
    assert system.ask("shmat", id, THERE, 0, thread=child) == THERE
    system.thread.space.write(HERE, b"shared")
    assert child.space.read(THERE, 6) == b"shared"
    one, other = system.thread.space.table.lookup(HERE), child.space.table.lookup(THERE)
    assert one >> 12 == other >> 12
    assert segments(system.kernel)[0].attached == 2
    system.kernel.life.exit_process(child.process, 0)
    assert [(s.attached, s.resident, s.last) for s in segments(system.kernel)] == [
        (1, 1, child.pid)
    ]
    assert system.ask("shmdt", HERE) == 0
    assert [(s.attached, s.resident) for s in segments(system.kernel)] == [(0, 1)]
    assert free(system) < before
    assert system.ask("shmctl", id, IPC_RMID, 0) == 0
    assert segments(system.kernel) == []
    invariants.check(system.kernel)


@pytest.mark.parametrize("end", ["shmdt", "munmap", "mmap", "exit", "remap"])
def test_a_removed_segment_dies_with_its_last_mapping_however_that_goes(end: str) -> None:
    system = still()
    id, other = made(system), made(system, 2, key=7)
    child = child_of(system)
    assert system.ask("shmat", id, HERE, 0, thread=child) == HERE
    child.space.write(HERE, b"x" * 2 * PAGE)
    assert system.ask("shmctl", id, IPC_RMID, 0) == 0
    assert [s.mode & SHM_DEST for s in segments(system.kernel)] == [SHM_DEST, 0]
    held = free(system)
    if end == "shmdt":
        assert system.ask("shmdt", HERE, thread=child) == 0
    elif end == "munmap":
        assert system.ask("munmap", HERE, 2 * PAGE, thread=child) == 0
    elif end == "mmap":
        flags = PRIVATE | FIXED | ANON
        assert system.ask("mmap", HERE, 2 * PAGE, RW, flags, -1, 0, thread=child) == HERE
    elif end == "remap":
        assert system.ask("shmat", other, HERE, SHM_REMAP, thread=child) == HERE
    else:
        system.kernel.life.exit_process(child.process, 0)
    assert [s.id for s in segments(system.kernel)] == [other]
    assert free(system) >= held + 2
    invariants.check(system.kernel)


def test_a_mapping_that_fails_leaves_no_count_behind() -> None:
    system = still()
    id = made(system, 4)
    limits.put(system.process, limits.AS, (system.thread.space.map.size_bytes() + PAGE,) * 2)
    assert system.ask("shmat", id, 0, 0) == -E.NOMEM
    assert system.ask("shmat", id, HERE, SHM_REMAP) == -E.NOMEM
    assert segments(system.kernel)[0].attached == 0
    assert system.ask("shmctl", id, IPC_RMID, 0) == 0
    assert segments(system.kernel) == []


@pytest.mark.parametrize("sync", ["subtree", "forward", "rfc"])
def test_a_segment_that_is_mapped_inside_a_vas_belongs_to_it_and_not_to_the_process(
    sync: str,
) -> None:
    system = still(sync=sync)
    id, child = made(system, 1), child_of(system)
    system.ask("mmap", THERE, PAGE, RW, PRIVATE | FIXED | ANON, -1, 0)
    system.thread.space.write(THERE, b"view\0")
    vid = system.ask("vas_create", THERE, 0o600)
    system.ask("mmap", THERE, PAGE, RW, PRIVATE | FIXED | ANON, -1, 0, thread=child)
    assert system.ask("vas_attach", 0, vid, 2, thread=child) == 0
    assert system.ask("vas_switch", vid, thread=child) == 0
    at = system.ask("shmat", id, 0, 0, thread=child)
    child.space.write(at, b"inside")
    invariants.check(system.kernel)
    assert system.ask("vas_switch", 0, thread=child) == 0
    system.kernel.life.exit_process(child.process, 0)
    invariants.check(system.kernel)
    assert segments(system.kernel)[0].attached == 1
    assert system.ask("shmctl", id, IPC_RMID, 0) == 0
    assert segments(system.kernel)[0].mode & SHM_DEST
    assert system.ask("vas_delete", vid) == 0
    assert segments(system.kernel) == []
    invariants.check(system.kernel)


def test_an_eager_kernel_gives_all_frames_at_once_and_to_both() -> None:
    system = still(eager=True)
    id = made(system, 3)
    system.ask("shmat", id, HERE, 0)
    assert segments(system.kernel)[0].resident == 3
    child = child_of(system)
    system.thread.space.write(HERE, b"seen")
    assert child.space.read(HERE, 4) == b"seen"
    assert segments(system.kernel)[0].attached == 2
    invariants.check(system.kernel)


def test_frames_wait_for_the_shootdowns_that_are_under_way() -> None:
    """A core that has not answered yet may still have the pages in its TLB."""
    system = still()
    id, shootdowns = made(system, 1), system.kernel.memory.shootdowns
    system.ask("shmat", id, HERE, 0)
    system.thread.space.write(HERE, b"x")
    region = system.thread.space.map.find(HERE)
    assert region is not None
    pfn = region.object.pages[0]
    system.ask("shmdt", HERE)
    shootdowns.open[0] = Shootdown(
        id=0,
        space=system.thread.space,
        generations={},
        pages=[],
        frames=[],
        waiting=1,
        initiator=shootdowns.current,
    )
    assert system.ask("shmctl", id, IPC_RMID, 0) == 0
    assert shootdowns.limbo == [pfn]
    del shootdowns.open[0]
    shootdowns.limbo.clear()
    shootdowns.release([pfn])
    invariants.check(system.kernel)


# Paging -----------------------------------------------------------------------------------------


def test_pages_go_to_the_disk_and_come_back_unless_they_are_locked() -> None:
    system = still(ram=1, swap=1)
    id, locked = made(system), made(system)
    for place, number in ((HERE, id), (THERE, locked)):
        assert system.ask("shmat", number, place, 0) == place
        system.thread.space.write(place, b"content" * 1000)
        assert system.ask("shmdt", place) == 0
    assert system.ask("shmctl", locked, SHM_LOCK, 0) == 0
    pager(system).make_room(1 << 30)
    invariants.check(system.kernel)
    assert [(s.resident, s.swapped) for s in segments(system.kernel)] == [(0, 2), (2, 0)]
    assert system.ask("shmctl", locked, SHM_UNLOCK, 0) == 0
    pager(system).make_room(1 << 30)
    assert [(s.resident, s.swapped) for s in segments(system.kernel)] == [(0, 2), (0, 2)]
    system.ask("shmat", id, HERE, 0)
    assert system.thread.space.read(HERE, 7000) == b"content" * 1000
    for number in (id, locked):
        assert system.ask("shmctl", number, IPC_RMID, 0) == 0
    system.ask("shmdt", HERE)
    invariants.check(system.kernel)


def test_a_user_can_lock_as_much_as_rlimit_memlock_says() -> None:
    system = still()
    one, two = made(system, 2), made(system, 2)
    limits.put(system.process, limits.MEMLOCK, (3 * PAGE, 3 * PAGE))
    assert system.ask("shmctl", one, SHM_LOCK, 0) == 0
    assert system.ask("shmctl", two, SHM_LOCK, 0) == -E.NOMEM
    assert system.ask("shmctl", one, SHM_UNLOCK, 0) == 0
    assert system.ask("shmctl", two, SHM_LOCK, 0) == 0
    limits.put(system.process, limits.MEMLOCK, (0, 0))
    assert system.ask("shmctl", one, SHM_LOCK, 0) == -E.PERM


# Ids and limits ---------------------------------------------------------------------------------


def test_indexes_go_round_and_an_id_is_not_soon_given_again() -> None:
    """As Linux's ipc/util.c: in turn up to 64, or half more than there are; then the sequence."""
    system = still()
    kept = made(system)
    given = []
    for _ in range(140):
        given.append(made(system))
        assert system.ask("shmctl", given[-1], IPC_RMID, 0) == 0
    assert kept == 0
    assert given[:64] == [*range(1, 64), 1 << 15 | 1]
    assert given[126:128] == [2 << 15 | 1, 2 << 15 | 2]
    assert system.ask("shmat", given[0], 0, 0) == -E.INVAL


def test_with_many_segments_the_round_is_longer() -> None:
    system = still()
    assert [made(system) for _ in range(200)] == list(range(200))


def test_there_are_4096_segments_at_most() -> None:
    system = still(ram=64)
    for _ in range(SHMMNI):
        made(system, 1)
    assert system.ask("shmget", 0, 1, 0o600) == -E.NOSPC


def test_all_segments_together_may_promise_half_of_the_memory() -> None:
    system = still()
    half = system.kernel.machine.memory.frames // 2
    assert system.ask("shmget", 0, half * PAGE + 1, 0o600) == -E.NOSPC
    id = made(system, half)
    assert system.ask("shmget", 0, 1, 0o600) == -E.NOSPC
    assert system.ask("shmctl", id, IPC_RMID, 0) == 0
    made(system, half)


def test_an_orphan_cannot_take_all_memory_from_others() -> None:
    """Segments without a process are full, and a program still has the other half."""
    system = still()
    id = made(system, system.kernel.machine.memory.frames // 2)
    system.ask("shmat", id, HERE, 0)
    space = system.thread.space
    for page in range(system.kernel.machine.memory.frames // 2):
        space.write(HERE + page * PAGE, b"x")
    assert system.ask("shmdt", HERE) == 0
    assert free(system) > system.kernel.machine.memory.frames // 4
    invariants.check(system.kernel)


def test_to_look_for_an_attachment_is_charged_by_the_regions() -> None:
    system = still()
    for page in range(0, 64, 2):
        system.ask("mmap", HERE + page * PAGE, PAGE, RW, PRIVATE | FIXED | ANON, -1, 0)
    counts = system.kernel.machine.core.state.counts
    before = counts[costs.REGION_FIND]
    assert system.ask("shmdt", THERE) == -E.INVAL
    assert counts[costs.REGION_FIND] - before == (len(system.thread.space.map) >> 4) + 1


# The state --------------------------------------------------------------------------------------


def test_a_checkpoint_keeps_segments_and_what_they_wait_for() -> None:
    system = still(watched=False, traced=False)
    id = made(system, key=9)
    system.ask("shmat", id, HERE, 0)
    system.thread.space.write(HERE, b"kept")
    system.ask("shmctl", id, IPC_RMID, 0)
    other: Any = load(save(system.kernel), lambda _: None)
    invariants.check(other)
    assert segments(other) == segments(system.kernel)
    thread = next(iter(other.tasks.threads.values()))
    assert thread.space.read(HERE, 4) == b"kept"
    thread.space.unmap(HERE, HERE + 2 * PAGE)
    assert segments(other) == []
    invariants.check(other)
    assert len(segments(system.kernel)) == 1


def test_a_server_that_dies_forgets_no_segment() -> None:
    system = still()
    id = made(system, key=9)
    system.ask("shmat", id, HERE, 0)
    system.kernel.ipc.restart("shm", "killed by a test")
    invariants.check(system.kernel)
    assert system.ask("shmget", 9, 1, 0) == id
    assert made(system) == id + 1
    assert system.ask("shmctl", id, IPC_RMID, 0) == 0
    assert system.ask("shmdt", HERE) == 0
    assert len(segments(system.kernel)) == 1
    invariants.check(system.kernel)
