"""Linux's memory calls inside views, and pages that leave memory while views show them."""

from __future__ import annotations

import pytest

from kernel import invariants
from kernel.abi.errno import E, KernelError
from kernel.mm.replace import replacement_of
from kernel.vas.records import own_slot
from tests.kernel.asm import Program
from tests.kernel.system import System
from tests.kernel.vas_world import FIXED, HERE, PAGE, PRIVATE_ANON, ROOT, RW, THERE, R, World

OURS = pytest.mark.parametrize("sync", ["subtree", "forward"])
EVERY = pytest.mark.parametrize("sync", ["subtree", "forward", "rfc"])
MAYMOVE, TO_FIXED, NOREPLACE, GROWSDOWN = 1, 2, 0x100000, 0x100
DONTNEED, POPULATE_WRITE, REMOVE = 4, 23, 9


def two_threads(sync: str, kind: int = RW) -> tuple[World, int]:
    """One thread in its own space, another one inside a VAS."""
    world = World(sync=sync, ram=8)
    vid = world.attached(kind=kind)
    return world, vid


@OURS
def test_a_process_mapping_that_grows_or_moves_inside_still_belongs_to_the_process(
    sync: str,
) -> None:
    world, vid = two_threads(sync)
    at = world.map(HERE)
    world.thread.space.write(at, b"home")
    outside = world.clone()
    assert world.ask("vas_switch", vid) == 0
    assert world.ask("mremap", at, PAGE, 3 * PAGE, 0, 0) == at
    world.thread.space.write(at + 2 * PAGE, b"grown")
    assert outside.space.read(at + 2 * PAGE, 5) == b"grown"
    moved = world.ask("mremap", at, 3 * PAGE, 3 * PAGE, MAYMOVE | TO_FIXED, THERE)
    assert moved == THERE
    assert outside.space.read(THERE, 4) == b"home"
    assert world.process.space.map.find(THERE) is not None
    invariants.check(world.kernel)


@OURS
def test_a_mapping_of_the_vas_still_belongs_to_the_vas(sync: str) -> None:
    world, vid = two_threads(sync)
    assert world.ask("vas_switch", vid) == 0
    at = world.map(HERE)
    world.thread.space.write(at, b"vas")
    moved = world.ask("mremap", at, PAGE, 2 * PAGE, MAYMOVE | TO_FIXED, THERE)
    assert moved == THERE
    assert world.thread.space.read(THERE, 3) == b"vas"
    assert world.process.space.map.find(THERE) is None
    invariants.check(world.kernel)


@OURS
def test_a_stack_that_is_mapped_inside_grows_inside(sync: str) -> None:
    world, vid = two_threads(sync)
    assert world.ask("vas_switch", vid) == 0
    at = world.map(THERE, flags=PRIVATE_ANON | FIXED | GROWSDOWN)
    world.thread.space.write(at - 3 * PAGE, b"deep")
    assert world.process.space.map.find(at - 3 * PAGE) is None
    for call in (("vas_switch", 0), ("vas_detach", 0, vid), ("vas_attach", 0, vid, R)):
        assert world.ask(*call) == 0
    assert world.ask("vas_switch", vid) == 0
    assert world.thread.space.read(at - 3 * PAGE, 4) == b"deep"
    with pytest.raises(KernelError):
        world.thread.space.read(at - 4 * PAGE, 1)
    invariants.check(world.kernel)


@OURS
def test_a_mapping_does_not_grow_into_what_a_view_shows(sync: str) -> None:
    world = World(sync=sync, ram=8)
    vid, sid = world.vas(), world.segment("next", HERE + PAGE, 1)
    assert world.ask("vas_seg_attach", vid, sid, R) == 0
    assert world.ask("vas_attach", 0, vid, R) == 0
    at = world.map(HERE)
    assert world.ask("mremap", at, PAGE, 2 * PAGE, 0, 0) == -E.NOMEM
    moved = world.ask("mremap", at, PAGE, 2 * PAGE, MAYMOVE, 0)
    assert moved > 0
    assert moved != at
    invariants.check(world.kernel)


@OURS
def test_a_mapping_that_must_move_goes_where_every_view_of_its_owner_has_room(sync: str) -> None:
    """Another VAS shows something where this VAS has its own mappings."""
    world, vid = two_threads(sync)
    other = world.vas("other")
    sid = world.segment("there", own_slot(vid))
    assert world.ask("vas_seg_attach", other, sid, RW) == 0
    assert world.ask("vas_attach", 0, other, RW) == 0
    at = world.map(HERE)
    world.map(HERE + PAGE)
    world.thread.space.write(at, b"home")
    assert world.ask("vas_switch", vid) == 0
    moved = world.ask("mremap", at, PAGE, 2 * PAGE, MAYMOVE, 0)
    assert world.process.space.read(moved, 4) == b"home"
    invariants.check(world.kernel)


def test_a_segment_is_sealed_against_mremap_too() -> None:
    world = World(ram=8)
    sid = world.segment()
    assert world.ask("vas_seg_attach", 0, sid, RW) == 0
    for new in (PAGE, 3 * PAGE):
        assert world.ask("mremap", HERE, 2 * PAGE, new, MAYMOVE, 0) == -E.PERM
    assert world.ask("mremap", HERE, 2 * PAGE, 2 * PAGE, MAYMOVE | TO_FIXED, THERE) == -E.PERM
    invariants.check(world.kernel)


@OURS
def test_discarded_pages_are_discarded_in_every_view(sync: str) -> None:
    world, vid = two_threads(sync)
    at = world.map(HERE)
    world.thread.space.write(at, b"x")
    outside = world.clone()
    assert world.ask("vas_switch", vid) == 0
    assert world.thread.space.read(at, 1) == b"x"
    assert world.ask("madvise", at, PAGE, DONTNEED) == 0
    assert outside.space.read(at, 1) == b"\0"
    assert world.ask("madvise", at, PAGE, POPULATE_WRITE) == 0
    assert world.ask("mlock", at, PAGE) == 0
    invariants.check(world.kernel)


@OURS
def test_a_reader_cannot_discard_pages_of_a_vas(sync: str) -> None:
    world, vid = two_threads(sync)
    assert world.ask("vas_switch", vid) == 0
    private, shared = world.map(HERE), THERE
    assert world.ask("mmap", shared, PAGE, 3, 0x21 | FIXED, -1, 0) == shared
    for at in (private, shared):
        world.thread.space.write(at, b"kept")
    assert world.ask("vas_switch", 0) == 0
    assert world.ask("vas_detach", 0, vid) == 0
    assert world.ask("vas_attach", 0, vid, R) == 0
    assert world.ask("vas_switch", vid) == 0
    assert world.ask("madvise", private, PAGE, DONTNEED) == -E.ACCES
    assert world.ask("madvise", shared, PAGE, REMOVE) == -E.ACCES
    assert world.ask("mremap", private, PAGE, 2 * PAGE, MAYMOVE, 0) == -E.ACCES
    for at in (private, shared):
        assert world.thread.space.read(at, 4) == b"kept"
    invariants.check(world.kernel)


def fills_and_reads(pages: int) -> Program:
    """Fill memory of the process and of the VAS with numbers, in more pages than there are frames.
    Then add them up inside, where both are visible."""
    program = Program()
    total = program.room(8)
    program.call("vas_create", program.put(b"v\0"), 0o600)
    program.call("vas_attach", 0, 1, RW)
    program.call("mmap", HERE, pages * PAGE, 3, PRIVATE_ANON | FIXED, -1, 0)
    program.call("vas_switch", 1)
    program.call("mmap", THERE, pages * PAGE, 3, PRIVATE_ANON | FIXED, -1, 0)
    for base, label in ((HERE, "fill"), (THERE, "fill too")):
        program.move("rbx", base)
        program.move("r12", pages)
        program.label(label)
        program.raw("4c8923")  # mov [rbx], r12
        program.raw("4881c300100000")  # add rbx, 4096
        program.raw("49ffcc")  # dec r12
        program.move("rax", "r12")
        program.jump_unless_zero(label)
    program.move("r13", 0)
    for base, label in ((HERE, "add"), (THERE, "add too")):
        program.move("rbx", base)
        program.move("r12", pages)
        program.label(label)
        program.raw("4c032b")  # add r13, [rbx]
        program.raw("4881c300100000")
        program.raw("49ffcc")
        program.move("rax", "r12")
        program.jump_unless_zero(label)
    program.store(total, "r13")
    program.dump(total, 8)
    program.exit()
    return program


@pytest.mark.parametrize("mmu", ["model", "silicon"])
@pytest.mark.parametrize("sync", ["subtree", "forward"])
def test_pages_of_process_and_vas_leave_memory_and_come_back(sync: str, mmu: str) -> None:
    pages = 250
    system = System(fills_and_reads(pages), ram=1, swap=4, sync=sync, mmu=mmu, vas_limit=4)
    run = system.run()
    assert run.status == 0
    assert int.from_bytes(run.output, "little") == pages * (pages + 1)
    pager = replacement_of(system.kernel.memory.objects)
    assert pager is not None
    assert pager.outs > 100, "most of it was away"
    invariants.check(system.kernel)


@OURS
def test_a_mapping_that_must_not_replace_finds_what_a_view_shows(sync: str) -> None:
    """EEXIST at home and inside; MAP_FIXED is EFAULT, and a hint goes elsewhere."""
    world, vid = two_threads(sync)
    inside = world.clone()
    assert world.ask("vas_switch", vid, thread=inside) == 0
    world.map(HERE, inside)
    world.map(THERE)
    for thread, at in (
        (world.thread, HERE),
        (inside, THERE),
        (inside, HERE),
        (world.thread, THERE),
    ):
        assert world.map(at, thread, flags=NOREPLACE) == -E.EXIST
    assert world.map(HERE) == -E.FAULT
    assert world.map(HERE, flags=0) not in (HERE, -E.FAULT)
    invariants.check(world.kernel)


# Who pays for pages that are out ------------------------------------------------------------------


def all_out(world: World) -> None:
    pager = replacement_of(world.kernel.memory.objects)
    assert pager is not None
    pager.make_room(1 << 30)
    invariants.check(world.kernel)


@pytest.mark.parametrize("how", ["munmap", "madvise", "give", "delete"])
@pytest.mark.parametrize("back", [0, 1, 4])
def test_a_page_that_is_out_is_paid_for_until_it_is_given_up(how: str, back: int) -> None:
    """Four pages of a VAS go out, and `back` of them come back before they are given up."""
    world = World(ram=1, swap=1, user=ROOT)
    vid, account = world.inside(), world.kernel.vases.account(0)
    tables = len(world.kernel.vases.vas(vid).space.table.used)
    assert account.charged == tables
    assert world.ask("mmap", HERE, 4 * PAGE, 3, PRIVATE_ANON | FIXED, -1, 0) == HERE
    world.thread.space.write(HERE, bytes(4 * PAGE))
    all_out(world)
    space = world.kernel.vases.vas(vid).space
    assert not space.table.lookup(HERE)
    assert account.charged == len(space.table.used) + 4
    world.thread.space.read(HERE, back * PAGE)
    assert account.charged == len(space.table.used) + 4
    if how == "munmap":
        assert world.ask("munmap", HERE, 4 * PAGE) == 0
    elif how == "madvise":
        assert world.ask("madvise", HERE, 4 * PAGE, DONTNEED) == 0
    elif how == "give":
        world.kernel.vases.give(world.kernel.vases.vas(vid), 1002)
        assert world.kernel.vases.account(1002).charged == len(space.table.used) + 4
        assert (account.charged, account.owned) == (0, 0)
    else:
        assert world.ask("vas_switch", 0) == 0
        assert world.ask("vas_detach", 0, vid) == 0
        assert world.ask("vas_delete", vid) == 0
        assert account.charged == 0
    if how in ("munmap", "madvise"):
        assert account.charged == len(space.table.used)
    invariants.check(world.kernel)


def test_a_segment_is_paid_for_while_its_pages_are_out_and_after_a_copy_of_them() -> None:
    world = World(ram=1, swap=1)
    account, sid = world.kernel.vases.account(world.process.credentials.uid), world.segment()
    assert world.ask("vas_seg_attach", 0, sid, RW) == 0
    world.thread.space.write(HERE, b"a" * 2 * PAGE)
    all_out(world)
    assert account.charged == 2
    clone = world.ask("vas_seg_clone", sid, world.text("clone"), 0o600)
    assert account.charged == 4
    all_out(world)
    assert world.ask("vas_seg_delete", clone) == 0
    assert account.charged == 2
    assert world.ask("vas_seg_detach", 0, sid) == 0
    assert world.ask("vas_seg_delete", sid) == 0
    assert account.charged == 0


@pytest.mark.parametrize("grows", [False, True])
@pytest.mark.parametrize("out", [False, True])
def test_what_is_merged_back_under_rfc_is_paid_for_and_no_more_than_its_region_allows(
    grows: bool, out: bool
) -> None:
    """New pages of a region that the VAS had already, or that grew down, reach it at detach."""
    world = World(sync="rfc", ram=2, swap=1)
    vid, flags = world.inside(), PRIVATE_ANON | FIXED | (GROWSDOWN if grows else 0)
    assert world.ask("mmap", HERE, 4 * PAGE, 3, flags, -1, 0) == HERE
    assert world.ask("vas_switch", 0) == 0
    assert world.ask("vas_detach", 0, vid) == 0
    assert world.ask("vas_attach", 0, vid, RW) == 0
    assert world.ask("vas_switch", vid) == 0
    world.thread.space.write(HERE + PAGE, b"b" * 2 * PAGE)
    if grows:
        world.thread.space.write(HERE - PAGE, b"c")
    assert world.ask("mprotect", HERE - grows * PAGE, (4 + grows) * PAGE, 7) == 0
    if out:
        all_out(world)
    assert world.ask("vas_switch", 0) == 0
    assert world.ask("vas_detach", 0, vid) == 0
    invariants.check(world.kernel)
    vas = world.kernel.vases.vas(vid)
    assert vas.account.charged == len(vas.space.table.used) + 2 + grows


@EVERY
def test_a_read_into_a_vas_that_is_attached_for_reading_changes_nothing(sync: str) -> None:
    world = World(sync=sync)
    file, vid, sid = world.open_bytes(), world.vas(), world.segment()
    world.map(HERE - PAGE)
    assert world.ask("vas_seg_attach", vid, sid, RW) == 0
    assert world.ask("vas_attach", 0, vid, R) == 0
    assert world.ask("vas_switch", vid) == 0
    assert world.ask("pread64", file, HERE - 1, 2, 10) == 1, "the process's own byte only"
    for touched_before in (False, True):
        assert world.ask("pread64", file, HERE, 4, 10) == -E.FAULT
        assert world.thread.space.read(HERE, 4) == bytes(4), touched_before
    invariants.check(world.kernel)


@EVERY
@pytest.mark.parametrize("at", [HERE + 2 * PAGE, THERE], ids=["beside the VAS", "far away"])
def test_a_private_segment_is_written_in_a_view_that_is_for_reading(sync: str, at: int) -> None:
    """By a program, and by the kernel for it; the memory of the VAS beside it stays closed."""
    world = World(sync=sync)
    file, vid, sid = world.open_bytes(), world.vas(), world.segment()
    assert world.ask("vas_seg_attach", vid, sid, RW) == 0
    assert world.ask("vas_attach", 0, vid, R) == 0
    assert world.ask("vas_local_attach", vid, world.segment("own", at), RW) == 0
    assert world.ask("vas_switch", vid) == 0
    world.run_on(0, world.thread)
    assert world.touch(0, at, 5) == 5
    assert world.ask("pread64", file, at + PAGE - 1, 2, 7) == 2
    assert world.touch(0, at + PAGE) == 8
    assert world.touch(0, HERE + PAGE, 5) is None
    invariants.check(world.kernel)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("munmap", (HERE, PAGE)),
        ("munmap", (HERE - PAGE, 4 * PAGE)),
        ("mprotect", (HERE, PAGE, 1)),
        ("mremap", (HERE, PAGE, 2 * PAGE, 1, 0)),
        ("mremap", (HERE, 2 * PAGE, 3 * PAGE, 0, 0)),
        ("mremap", (HERE, 2 * PAGE, PAGE, 0, 0)),
        ("mmap", (HERE, PAGE, 3, 0x32, -1, 0)),
        ("mmap", (HERE - PAGE, 2 * PAGE, 3, 0x32, -1, 0)),
    ],
)
def test_a_segment_at_home_is_sealed_against_every_call_on_memory(
    name: str, arguments: tuple[int, ...]
) -> None:
    world = World()
    sid = world.segment("s", HERE, 2)
    assert world.ask("vas_seg_attach", 0, sid, RW) == 0
    shown = [(r.start, r.end, r.prot, r.segment) for r in world.process.space.map]
    assert (HERE, HERE + 2 * PAGE, 3, sid) in shown
    assert world.ask(name, *arguments) == -E.PERM
    assert [(r.start, r.end, r.prot, r.segment) for r in world.process.space.map] == shown
    invariants.check(world.kernel)
