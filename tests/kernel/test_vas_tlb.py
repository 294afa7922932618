"""Memory that several views show: no core uses a stale translation of it.

Two cores load and store through their TLBs, without the emulator.  One thread changes memory.  The
other, on the other core, has just used it through another view.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hw.machine import IPI_TAKEN
from kernel.life import delivery
from kernel.mm.frames import FRAME, FREE
from kernel.mm.shootdown import SHOOTDOWN, SHOOTDOWN_DONE, TAG_KEPT, TAG_NONE
from kernel.task.process import Thread
from kernel.wait.signals import SIGSEGV
from tests.kernel.asm import Program
from tests.kernel.test_shootdown import observed
from tests.kernel.vas_world import FIXED, HERE, PAGE, PRIVATE_ANON, RW, THERE, R, World

SYNC = pytest.mark.parametrize("sync", ["subtree", "forward"])
PCID = pytest.mark.parametrize("pcid", [True, False])
SPOTS = {"beside the program": 0x68_0000, "in a slot of the VAS's": HERE + (1 << 45)}


class Cores(World):
    """A process with two threads, one on each core: `inside` in a VAS, `outside` at home."""

    def __init__(self, sync: str, pcid: bool) -> None:
        super().__init__(sync=sync, pcid=pcid, cpus=2, pcids=3)
        self.vid = self.attached()
        self.outside, self.inside_thread = self.thread, self.clone()
        assert self.ask("vas_switch", self.vid, thread=self.inside_thread) == 0

    def both_use(self, at: int, one: Thread, two: Thread) -> None:
        """Load and store on both cores, so that both have the translations."""
        for core, thread in enumerate((one, two)):
            self.run_on(core, thread)
            assert self.touch(core, at, 7) == 7
            assert self.touch(core, at) == 7
        self.settle()

    def does(self, thread: Thread, name: str, *arguments: int) -> None:
        """A call by the thread on core 0; the other core has not yet taken the interrupt."""
        self.kernel.machine.take_turn(self.kernel.machine.cores[0])
        assert self.ask(name, *arguments, thread=thread) >= 0

    def stale(self, at: int) -> tuple[int | None, int | None]:
        """What core 1 can load and store after it has answered."""
        self.settle()
        return self.touch(1, at), self.touch(1, at, 8)


@SYNC
@PCID
@pytest.mark.parametrize("who", ["outside", "inside"])
def test_unmapped_process_memory_leaves_every_view_at_once(sync: str, pcid: bool, who: str) -> None:
    cores = Cores(sync, pcid)
    at = cores.map(HERE, cores.outside)
    pair = (cores.outside, cores.inside_thread)
    one, two = pair if who == "outside" else pair[::-1]
    cores.both_use(at, one, two)
    cores.does(one, "munmap", at, PAGE)
    assert cores.stale(at) == (None, None)


@SYNC
@PCID
def test_removed_rights_are_gone_in_every_view_at_once(sync: str, pcid: bool) -> None:
    cores = Cores(sync, pcid)
    at = cores.map(HERE, cores.outside)
    cores.both_use(at, cores.outside, cores.inside_thread)
    cores.does(cores.outside, "mprotect", at, PAGE, 1)
    assert cores.stale(at) == (7, None)
    cores.does(cores.outside, "mprotect", at, PAGE, 0)
    assert cores.stale(at) == (None, None)


@SYNC
@PCID
def test_a_heap_that_shrinks(sync: str, pcid: bool) -> None:
    cores = Cores(sync, pcid)
    top = cores.ask("brk", 0)
    cores.does(cores.inside_thread, "brk", top + PAGE)
    cores.both_use(top, cores.inside_thread, cores.outside)
    cores.does(cores.inside_thread, "brk", top)
    assert cores.stale(top) == (None, None)


@SYNC
@PCID
def test_memory_of_the_vas_seen_by_two_threads_inside(sync: str, pcid: bool) -> None:
    cores = Cores(sync, pcid)
    assert cores.ask("vas_switch", cores.vid, thread=cores.outside) == 0
    at = cores.map(HERE, cores.inside_thread)
    cores.both_use(at, cores.inside_thread, cores.outside)
    cores.does(cores.inside_thread, "munmap", at, PAGE)
    assert cores.stale(at) == (None, None)


@SYNC
@PCID
@pytest.mark.parametrize("spot", SPOTS)
def test_a_segment_that_one_attachment_has_for_itself(sync: str, pcid: bool, spot: str) -> None:
    cores = Cores(sync, pcid)
    at = SPOTS[spot]
    assert cores.ask("vas_switch", cores.vid, thread=cores.outside) == 0
    sid = cores.segment("s", at)
    cores.does(cores.outside, "vas_local_attach", cores.vid, sid, RW)
    cores.both_use(at, cores.outside, cores.inside_thread)
    cores.does(cores.outside, "vas_local_detach", cores.vid, sid)
    assert cores.stale(at) == (None, None)


@SYNC
@PCID
def test_a_segment_in_the_process_s_own_space_and_its_deletion_in_the_window(
    sync: str, pcid: bool
) -> None:
    """The kernel may reuse its frames only when the core that still sees them has answered."""
    cores = Cores(sync, pcid)
    sid = cores.segment()
    assert cores.ask("vas_seg_attach", 0, sid, RW) == 0
    cores.both_use(HERE, cores.outside, cores.inside_thread)
    pfn = cores.kernel.vases.segments[sid].object.pages[0]
    cores.does(cores.outside, "vas_seg_detach", 0, sid)
    cores.does(cores.outside, "vas_seg_delete", sid)
    assert cores.kernel.memory.frames.refs[pfn] == 1, "the window: nobody else may have it"
    assert cores.touch(1, HERE) == 7
    assert cores.stale(HERE) == (None, None)
    assert cores.kernel.memory.frames.refs[pfn] == 0


@SYNC
@PCID
def test_copy_on_write_after_a_fork_moves_every_view_to_the_new_frame(
    sync: str, pcid: bool
) -> None:
    cores = Cores(sync, pcid)
    at = cores.map(HERE, cores.outside)
    cores.both_use(at, cores.outside, cores.inside_thread)
    cores.kernel.machine.take_turn(cores.kernel.machine.cores[0])
    child = cores.fork(thread=cores.outside)
    cores.settle()
    assert cores.touch(0, at, 9) == 9
    cores.settle()
    assert cores.touch(1, at) == 9
    assert child.space.read(at, 1) == b"\x07"


@SYNC
@PCID
def test_detach_and_a_new_attachment_for_reading_only(sync: str, pcid: bool) -> None:
    cores = Cores(sync, pcid)
    at = cores.map(HERE, cores.inside_thread)
    cores.run_on(1, cores.inside_thread)
    assert cores.touch(1, at, 7) == 7
    inside = cores.inside_thread
    assert cores.ask("vas_switch", 0, thread=inside) == 0
    assert cores.ask("vas_detach", 0, cores.vid, thread=inside) == 0
    assert cores.ask("vas_attach", 0, cores.vid, R, thread=inside) == 0
    assert cores.ask("vas_switch", cores.vid, thread=inside) == 0
    cores.run_on(1, cores.inside_thread)
    assert cores.stale(at) == (7, None)


@SYNC
@PCID
def test_delete_and_a_new_vas_with_the_same_id(sync: str, pcid: bool) -> None:
    cores = Cores(sync, pcid)
    at = cores.map(HERE, cores.inside_thread)
    cores.run_on(1, cores.inside_thread)
    assert cores.touch(1, at, 7) == 7
    ask = cores.ask
    assert ask("vas_switch", 0, thread=cores.inside_thread) == 0
    assert ask("vas_detach", 0, cores.vid) == 0
    assert ask("vas_delete", cores.vid) == 0
    assert cores.attached("again") == cores.vid
    assert ask("vas_switch", cores.vid, thread=cores.inside_thread) == 0
    cores.run_on(1, cores.inside_thread)
    assert cores.stale(at) == (None, None)


@SYNC
@PCID
def test_a_resize_against_a_fault_in_another_view(sync: str, pcid: bool) -> None:
    """The race that the author of forwarding feared: one core shrinks the heap, and the other, in
    another view, is about to use it.  Until the other core has answered, it may use translations
    that it has, and nobody else gets those frames.  It gets no new translations."""
    cores = Cores(sync, pcid)
    top = cores.ask("brk", 0)
    cores.does(cores.outside, "brk", top + 2 * PAGE)
    cores.both_use(top, cores.outside, cores.inside_thread)
    region = cores.process.space.map.find(top)
    assert region is not None
    pfn = region.object.pages[region.object_page(top)]
    cores.does(cores.outside, "brk", top)
    assert cores.touch(1, top) == 7, "the window"
    assert cores.touch(1, top + PAGE) is None, "a fault in it finds no region"
    assert cores.kernel.memory.frames.refs[pfn] == 1
    assert cores.stale(top) == (None, None)
    assert cores.kernel.memory.frames.refs[pfn] == 0


@SYNC
@PCID
def test_a_resize_against_a_mapping_made_in_another_view(sync: str, pcid: bool) -> None:
    """In the window a third thread, inside, maps memory there.  The heap does not grow over it
    again, and the core that had the old page sees the new one."""
    cores = Cores(sync, pcid)
    third = cores.clone()
    assert cores.ask("vas_switch", cores.vid, thread=third) == 0
    top = cores.ask("brk", 0)
    cores.does(cores.outside, "brk", top + PAGE)
    cores.both_use(top, cores.outside, cores.inside_thread)
    cores.does(cores.outside, "brk", top)
    assert cores.map(top, third) == top
    third.space.write(top, b"new")
    cores.settle()
    assert cores.touch(1, top) == ord("n")
    assert cores.ask("brk", top + PAGE, thread=cores.outside) == top


@SYNC
def test_more_views_than_tags(sync: str) -> None:
    """Four views, each with one page at the same address, share three tags.  Every switch shows the
    right page."""
    cores = Cores(sync, True)
    vids = [cores.vid, *(cores.attached(f"v{i}") for i in range(3))]
    for turn in range(3):
        for vid in vids:
            assert cores.ask("vas_switch", vid, thread=cores.outside) == 0
            if not turn:
                cores.map(HERE, cores.outside)
            cores.run_on(0, cores.outside)
            if not turn:
                assert cores.touch(0, HERE, vid) == vid
            assert cores.touch(0, HERE) == vid
            cores.settle()


@pytest.mark.parametrize("tagging", [TAG_NONE, 1, TAG_KEPT])
def test_the_tag_settings_of_a_view(tagging: int) -> None:
    cores = Cores("subtree", True)
    at = cores.map(HERE, cores.inside_thread)
    assert cores.ask("vas_ctl", cores.vid, 1, tagging) == 0
    others = [cores.attached(f"v{i}") for i in range(4)]
    cores.run_on(0, cores.inside_thread)
    assert cores.touch(0, at, 7) == 7
    misses = cores.kernel.machine.cores[0].mmu.state.misses
    before = sum(map(sum, misses))

    def back_after(vids: list[int]) -> int:
        for vid in vids:
            assert cores.ask("vas_switch", vid, thread=cores.inside_thread) == 0
            cores.run_on(0, cores.inside_thread)
        assert cores.touch(0, at) == 7
        return sum(map(sum, misses)) - before

    assert back_after([0, cores.vid]) == (1 if tagging == TAG_NONE else 0)
    missed = back_after([*others, cores.vid])
    assert missed == {TAG_NONE: 2, 1: 1, TAG_KEPT: 0}[tagging], "four others took all tags"


# In user code ---------------------------------------------------------------------------------


def reader_inside(ending: Callable[[Program], None]) -> bytes:
    """One thread reads a page for ever inside a VAS.  The other, outside, then unmaps it."""
    program = Program()
    program.call("mmap", THERE, PAGE, 3, PRIVATE_ANON | FIXED, -1, 0)
    program.store_byte(THERE, 1)
    program.call("vas_create", program.put(b"v\0"), 0o600)
    program.call("vas_attach", 0, 1, RW)
    program.thread("reader")
    program.sleep(10**5)
    ending(program)
    program.spin()
    program.label("reader")
    program.call("vas_switch", 1)
    program.raw("48bb" + THERE.to_bytes(8, "little").hex())  # mov rbx, THERE
    program.raw("8a03 ebfc")  # again: mov al, [rbx]; jmp again
    return program.elf()


@PCID
@pytest.mark.parametrize("cpus", [1, 2])
def test_a_reader_in_a_view_faults_when_the_original_unmaps(cpus: int, pcid: bool) -> None:
    program = reader_inside(lambda program: program.call("munmap", THERE, PAGE))
    _, records, status = observed(program, cpus, pcid)
    assert status == SIGSEGV
    died = [values for kind, values in records if kind is delivery.SIGNAL]
    assert [(values[2], values[4]) for values in died] == [(SIGSEGV, THERE)]


def test_the_window_of_a_shootdown_is_in_the_trace_and_no_frame_is_freed_in_it() -> None:
    program = reader_inside(lambda program: program.call("munmap", THERE, PAGE))
    kernel, records, _ = observed(program, 2, True)
    kinds = [kind for kind, _ in records]
    told, taken, done = (kinds.index(kind) for kind in (SHOOTDOWN, IPI_TAKEN, SHOOTDOWN_DONE))
    freed = [i for i, (kind, values) in enumerate(records) if kind is FRAME and values[4] == FREE]
    assert told < taken < done
    assert not [i for i in freed if told < i < taken]
    assert not kernel.memory.shootdowns.open
    assert not kernel.memory.shootdowns.limbo
