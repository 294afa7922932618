"""Files in memory without a name: their frames and lifetimes, and that seals survive everything.

`tests/native/p_memfd.c` compares the calls with Linux.
"""

from __future__ import annotations

from typing import Any

import pytest

from kernel import invariants
from kernel.abi.errno import E
from kernel.abi.nodes import F_SEAL_FUTURE_WRITE, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_WRITE
from kernel.checkpoint import load, save
from kernel.servers import tree
from kernel.servers.files import Files
from kernel.task.process import Thread
from tests.kernel.system import System, still
from tests.kernel.tight import pager

PAGE = 4096
HERE, THERE = 0x10_0000_0000, 0x20_0000_0000
SHARED, PRIVATE, FIXED, ANON, RW, READ = 1, 2, 0x10, 0x20, 3, 1
F_ADD_SEALS, F_GET_SEALS, MFD_ALLOW_SEALING, MADV_REMOVE = 1033, 1034, 2, 9


def ready(**wishes: Any) -> System:
    """A system with a page for names at THERE."""
    system = still(**wishes)
    system.ask("mmap", THERE, PAGE, RW, PRIVATE | FIXED | ANON, -1, 0)
    system.thread.space.write(THERE, b"x\0")
    return system


def made(system: System, pages: int = 2, flags: int = MFD_ALLOW_SEALING) -> int:
    fd = system.ask("memfd_create", THERE, flags)
    assert fd >= 0
    assert system.ask("ftruncate", fd, pages * PAGE) == 0
    return fd


def mapped(system: System, fd: int, prot: int = RW, at: int = HERE, **who: Any) -> int:
    return system.ask("mmap", at, 2 * PAGE, prot, SHARED | FIXED, fd, 0, **who)


def nodes(system: System) -> int:
    files = system.kernel.ipc.servers["files"]
    assert isinstance(files, Files)
    return len(files.tree.inodes)


def child_of(system: System) -> Thread:
    return system.kernel.tasks.threads[system.ask("fork")]


def free(system: System) -> int:
    return len(system.kernel.memory.frames.free)


@pytest.mark.parametrize("last", ["descriptor", "mapping", "descriptor of a child", "exit"])
def test_it_dies_with_its_last_descriptor_and_mapping(last: str) -> None:
    system = ready()
    known, before = nodes(system), len(system.kernel.ipc.published)
    fd = made(system)
    system.ask("mmap", HERE, 2 * PAGE, RW, SHARED | FIXED, fd, 0)
    system.thread.space.write(HERE, b"x" * 2 * PAGE)
    held = free(system)
    if last == "descriptor":
        system.ask("munmap", HERE, 2 * PAGE)
        assert free(system) <= held + 2  # page tables may go, the file's pages do not
        system.ask("close", fd)
    elif last == "mapping":
        system.ask("close", fd)
        assert system.thread.space.read(HERE, 2) == b"xx"
        system.ask("munmap", HERE, 2 * PAGE)
    else:
        child = child_of(system)
        system.ask("close", fd)
        system.ask("munmap", HERE, 2 * PAGE)
        assert nodes(system) == known + 1
        assert child.space.read(HERE, 2) == b"xx"
        if last == "exit":
            system.kernel.life.exit_process(child.process, 0)
        else:
            system.ask("munmap", HERE, 2 * PAGE, thread=child)
            system.ask("close", fd, thread=child)
    assert (nodes(system), len(system.kernel.ipc.published)) == (known, before)
    assert free(system) >= held + 2 - (5 if last == "descriptor of a child" else 0)
    invariants.check(system.kernel)


def test_there_are_as_many_as_nodes_and_then_it_is_enomem(monkeypatch: pytest.MonkeyPatch) -> None:
    system = ready()
    monkeypatch.setattr(tree, "MAX_INODES", nodes(system))
    assert system.ask("memfd_create", THERE, 0) == -E.NOMEM
    invariants.check(system.kernel)


def test_a_seal_on_the_content_holds_when_every_descriptor_is_gone() -> None:
    """The mapping keeps the object alive, and the object knows."""
    system = ready()
    fd = made(system)
    assert mapped(system, fd) == HERE
    assert system.ask("fcntl", fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) == 0
    system.ask("close", fd)
    assert system.ask("madvise", HERE, PAGE, MADV_REMOVE) == -E.PERM
    system.thread.space.write(HERE, b"still")
    invariants.check(system.kernel)


def test_a_mapping_of_another_process_is_in_the_way_of_a_seal() -> None:
    system = ready()
    fd = made(system)
    child = child_of(system)
    assert mapped(system, fd, thread=child) == HERE
    assert system.ask("fcntl", fd, F_ADD_SEALS, F_SEAL_WRITE) == -E.BUSY
    system.kernel.life.exit_process(child.process, 0)
    assert system.ask("fcntl", fd, F_ADD_SEALS, F_SEAL_WRITE) == 0


def test_a_forked_and_a_moved_view_of_a_sealed_file_stay_read_only() -> None:
    system = ready()
    fd = made(system)
    assert system.ask("fcntl", fd, F_ADD_SEALS, F_SEAL_WRITE) == 0
    assert mapped(system, fd, READ) == HERE
    child = child_of(system)
    assert system.ask("mprotect", HERE, PAGE, RW, thread=child) == -E.ACCES
    moved = system.ask("mremap", HERE, 2 * PAGE, 4 * PAGE, 1, 0)
    assert system.ask("mprotect", moved, PAGE, RW) == -E.ACCES
    twice = system.ask("mremap", moved, 0, 2 * PAGE, 1, 0)
    assert system.ask("mprotect", twice, PAGE, RW) == -E.ACCES
    invariants.check(system.kernel)


def test_a_checkpoint_and_a_new_server_keep_seals() -> None:
    system = ready(watched=False, traced=False)
    fd = made(system)
    mapped(system, fd)
    system.thread.space.write(HERE, b"kept")
    assert system.ask("fcntl", fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_GROW) == 0
    system.kernel.ipc.restart("files", "killed by a test")
    kernel = load(save(system.kernel), lambda _: None)
    system.kernel, thread = kernel, next(iter(kernel.tasks.threads.values()))
    invariants.check(kernel)
    assert system.ask("fcntl", fd, F_GET_SEALS, 0, thread=thread) == 16 | F_SEAL_GROW
    assert system.ask("ftruncate", fd, 3 * PAGE, thread=thread) == -E.PERM
    assert mapped(system, fd, at=HERE + (1 << 30), thread=thread) == -E.PERM
    assert thread.space.read(HERE, 4) == b"kept"
    system.kernel.life.exit_process(thread.process, 0)
    invariants.check(kernel)


def test_its_pages_go_to_the_disk_and_a_hole_gives_their_blocks_back() -> None:
    system = ready(ram=1, swap=1)
    fd = made(system)
    mapped(system, fd)
    system.thread.space.write(HERE, b"out" * 2000)
    pager(system).make_room(1 << 30)
    blocks = len(pager(system).free_blocks)
    assert system.ask("fallocate", fd, 3, 100, PAGE) == 0
    invariants.check(system.kernel)
    assert (
        system.thread.space.read(HERE, 6000)
        == (b"out" * 2000)[:100] + bytes(PAGE) + (b"out" * 2000)[100 + PAGE :]
    )
    assert system.ask("fallocate", fd, 3, 0, 2 * PAGE) == 0
    assert len(pager(system).free_blocks) > blocks
    assert system.thread.space.read(HERE, 2 * PAGE) == bytes(2 * PAGE)
    invariants.check(system.kernel)


def test_only_a_file_without_a_name_can_be_sealed_at_all() -> None:
    system = ready()
    system.thread.space.write(THERE + 16, b"/tmp/named\0")
    fd = system.ask("open", THERE + 16, 0o102, 0o600)
    assert system.ask("fcntl", fd, F_GET_SEALS, 0) == F_SEAL_SEAL
    assert system.ask("fcntl", fd, F_ADD_SEALS, 0) == -E.PERM
