"""Files in NVM at /nvm: the DAX rival, by name and size, through reboots and power cuts."""

from __future__ import annotations

from kernel import invariants
from kernel.abi.errno import E
from tests.kernel.images import MemoryImage, after_power_cut, again, booted
from tests.kernel.vas_world import HERE, PAGE, World

RW, CREATE = 2, 0x40
SHARED, VALIDATE, SYNC, FIXED = 1, 3, 0x80000, 0x10
MS_SYNC = 4


def opened(world: World, path: str = "/nvm/file", flags: int = RW | CREATE) -> int:
    fd = world.ask("open", world.text(path), flags, 0o640)
    assert fd >= 0, fd
    return fd


def mapped(world: World, fd: int, pages: int = 2) -> None:
    flags = VALIDATE | SYNC | FIXED
    assert world.ask("mmap", HERE, pages * PAGE, 3, flags, fd, 0) == HERE


def touch(world: World, at: int, value: int | None = None) -> int | None:
    world.run_on(0, world.thread)
    return world.touch(0, at, value)


def test_a_file_that_is_mapped_with_map_sync_survives_a_power_cut() -> None:
    image = MemoryImage()
    world = booted(image)
    fd = opened(world)
    assert world.ask("ftruncate", fd, 2 * PAGE) == 0
    mapped(world, fd)
    assert touch(world, HERE + PAGE, 9) == 9
    assert world.ask("msync", HERE + PAGE, PAGE, MS_SYNC) == 0
    world.settle()
    world = after_power_cut(world, image)
    fd = opened(world, flags=RW)
    mapped(world, fd)
    assert touch(world, HERE + PAGE) == 9
    assert touch(world, HERE) == 0
    assert world.ask("lseek", fd, 0, 2) == 2 * PAGE
    world.settle()


def test_what_was_written_is_durable_with_fsync() -> None:
    image = MemoryImage()
    world = booted(image)
    fd = opened(world)
    assert world.ask("write", fd, world.put(b"hello"), 5) == 5
    assert world.ask("fsync", fd) == 0
    invariants.check(world.kernel)
    world = after_power_cut(world, image)
    fd = opened(world, flags=RW)
    assert world.ask("read", fd, world.page, 100) == 5
    assert world.process.space.read(world.page, 5) == b"hello"
    assert world.ask("ftruncate", fd, 2) == 0
    world = after_power_cut(world, image)
    fd = opened(world, flags=RW)
    assert world.ask("read", fd, world.page, 100) == 2
    world.settle()


def test_names_and_folders_come_back_and_what_was_unlinked_does_not() -> None:
    image = MemoryImage()
    world = booted(image)
    assert world.ask("mkdir", world.text("/nvm/folder"), 0o755) == 0
    opened(world, "/nvm/folder/a")
    opened(world, "/nvm/b")
    at = world.put(b"/nvm/b\0/nvm/folder/c\0")
    assert world.ask("rename", at, at + 7) == 0
    assert world.ask("unlink", world.text("/nvm/folder/a")) == 0
    assert world.ask("chmod", world.text("/nvm/folder/c"), 0o604) == 0
    world = after_power_cut(world, image)
    assert world.ask("open", world.text("/nvm/folder/a"), 0, 0) == -E.NOENT
    assert world.ask("open", world.text("/nvm/b"), 0, 0) == -E.NOENT
    fd = opened(world, "/nvm/folder/c", 0)
    assert world.ask("fstat", fd, world.page) == 0
    mode = int.from_bytes(world.process.space.read(world.page + 24, 4), "little")
    assert mode & 0o777 == 0o604
    assert world.ask("unlink", world.text("/nvm/folder/c")) == 0
    assert world.ask("close", fd) == 0
    assert world.ask("rmdir", world.text("/nvm/folder")) == 0
    world.settle()


def test_from_the_folder_a_path_leads_up_again() -> None:
    world = booted(MemoryImage())
    assert world.ask("chdir", world.text("/nvm")) == 0
    assert world.ask("getcwd", world.page, 100) == 5
    assert world.process.space.read(world.page, 5) == b"/nvm\0"
    fd = opened(world, "../bytes", 0)
    assert world.ask("read", fd, world.page, 100) == 100
    at = world.put(b"/bytes\0x\0")
    assert world.ask("rename", at, at + 7) == -E.XDEV
    assert world.ask("symlink", at, at + 7) == -E.PERM


def test_elsewhere_map_sync_is_refused_and_a_full_module_is_enospc() -> None:
    world = booted(MemoryImage())
    fd = world.open_bytes()
    assert world.ask("mmap", 0, PAGE, 1, VALIDATE | SYNC, fd, 0) == -E.OPNOTSUPP
    assert world.ask("mmap", 0, PAGE, 1, SHARED | SYNC, fd, 0) > 0
    fd = opened(world)
    assert world.ask("ftruncate", fd, 300 * PAGE) == -E.NOSPC
    assert world.ask("ftruncate", fd, 100 * PAGE) == 0
    assert world.ask("ftruncate", fd, 0) == 0
    assert world.ask("ftruncate", fd, 200 * PAGE) == 0
    world.settle()
    plain = World()
    fd = plain.open_bytes()
    assert plain.ask("mmap", 0, PAGE, 1, VALIDATE | SYNC, fd, 0) == -E.OPNOTSUPP


def test_a_module_with_files_boots_again_without_a_word() -> None:
    image = MemoryImage()
    world = booted(image)
    for number in range(5):
        fd = opened(world, f"/nvm/{number}")
        assert world.ask("write", fd, world.put(b"x" * 100), 100) == 100
        assert world.ask("fsync", fd) == 0
    world = again(image)
    invariants.check(world.kernel)
