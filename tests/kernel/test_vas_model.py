"""Under any calls, VASes behave like dictionaries of pages that several processes share.

Hypothesis's state machine drives the kernel, without user code, from several processes and cores.
Beside it runs a model that knows only pages, cells and counts.  After every step the test compares
the results and the contents that the cores see through their TLBs, and checks all invariants.  At
the end nothing is left.
"""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from kernel import invariants
from kernel.abi.errno import E
from kernel.kernel import Kernel
from kernel.life import life
from kernel.task.credentials import Credentials
from kernel.task.process import Process, Thread
from tests.kernel.vas_pages import Home, Page, Shared
from tests.kernel.vas_world import World

PAGE = 4096
FIXED, ANON, RW = 0x10, 0x20, 3
THREAD_FLAGS = 0x10F00
O_RDONLY, O_RDWR = 0, 2
ROOT = Credentials()
CORE, WHICH, PLACE = st.integers(0, 1), st.integers(0, 9), st.integers(0, 11)
NUMBER, BYTE = st.integers(0, 25), st.integers(1, 255)
ID = st.integers(0, 7)
"""Ids; most of them belong to something that exists."""


class Pair(RuleBasedStateMachine):
    """The kernel and the model."""

    wishes: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.system = World(ram=3, cpus=2, traced=False, **self.wishes)
        self.kernel: Kernel = self.system.kernel
        self.heap = self.system.process.space.break_start
        bases = (self.heap + 2 * PAGE, 0x10_0000_0000, (1 << 46) + (1 << 39), 0x7FFF_0000_0000)
        self.places = [base + i * PAGE for base in bases for i in range(3)]
        self.homes: dict[int, Home] = {1: Home()}
        self.vases: dict[int, Shared] = {}
        self.segments: dict[int, Shared] = {}
        self.serial = 0
        self.used = self.frames()

    def frames(self) -> int:
        return len(self.kernel.memory.frames.used())

    # Choosing -----------------------------------------------------------------------------

    def thread(self, which: int) -> Thread:
        threads = list(self.kernel.tasks.threads.values())
        return threads[which % len(threads)]

    def home(self, thread: Thread) -> Home:
        return self.homes[thread.process.pid]

    def ask(self, core: int, thread: Thread, name: str, *arguments: int) -> int:
        self.kernel.machine.take_turn(self.kernel.machine.cores[core])
        result = self.system.ask(name, *arguments, thread=thread)
        self.settle()
        return result

    def settle(self) -> None:
        self.system.settle()

    def named(self, text: bytes) -> int:
        """A new name.  No program has it in memory, so it goes to the kernel directly."""
        self.serial += 1
        self.name = text + str(self.serial).encode()
        return self.serial

    def vid(self, draw: int, thread: Thread) -> int:
        """A VAS id: usually one that the thread's process has attached, or one that exists."""
        known = sorted(self.home(thread).attached) if draw < 4 else sorted(self.vases)
        return known[draw % len(known)] if known and draw < 7 else draw

    def sid(self, draw: int) -> int:
        known = sorted(self.segments)
        return known[draw % len(known)] if known and draw < 7 else draw

    def span(self, first: int, count: int) -> range:
        first %= len(self.places)
        start = self.places[first]
        return range(start, start + PAGE * (count % 3 + 1), PAGE)

    # What the model sees ------------------------------------------------------------------------

    def layers(self, thread: Thread) -> list[tuple[dict[int, Page], bool]]:
        """The dictionaries that a thread sees, and for each whether it may store into it."""
        home, vid = self.home(thread), thread.space.vid
        if not vid:
            return [(home.pages, True)]
        write, local = home.attached[vid]
        return [(home.pages, True), (self.vases[vid].pages, write), (local, True)]

    def clash(self, thread: Thread, pages: range) -> bool:
        """Would pages of the thread's process hide pages of a VAS, or the reverse?"""
        home, vid = self.home(thread), thread.space.vid
        if not vid:
            others = [
                layer
                for v, (_, local) in home.attached.items()
                for layer in (self.vases[v].pages, local)
            ]
        else:
            others = [
                layer
                for other in self.homes.values()
                if vid in other.attached and other is not home
                for layer in (other.pages, other.attached[vid][1])
            ]
        return any(page in layer for layer in others for page in pages)

    # VASes and segments -------------------------------------------------------------------------

    @initialize(places=st.lists(PLACE, min_size=3, max_size=3), tie=st.booleans())
    def begin(self, places: list[int], tie: bool) -> None:
        """Two attached VASes with one segment each, another segment, two processes, a thread."""
        for place in places:
            self.create_segment(0, place, 1)
        for vid in (1, 2):
            self.create_vas(0)
            if tie:
                self.attach_segment(0, 0, vid, vid, True)
        self.fork(0, 0)
        self.clone(0, 0)
        self.attach(0, 0, 0, 1, True)
        self.attach(0, 0, 1, 2, True)

    @rule(what=st.integers(0, 7), which=WHICH, id=st.integers(1, 4), first=PLACE)
    def objects(self, what: int, which: int, id: int, first: int) -> None:
        if what < 3:
            self.create_vas(which)
        elif what < 6:
            self.create_segment(which, first, id)
        elif what == 6:
            self.delete_vas(which, id)
        else:
            self.delete_segment(which, id)

    def create_vas(self, which: int) -> None:
        if len(self.vases) < 3:
            self.named(b"vas")
            made = self.kernel.vases.create(
                self.thread(which).process.credentials, self.name, 0o666
            )
            assert made.id == min(set(range(1, 5)) - set(self.vases)), "the lowest id first"
            self.vases[made.id] = Shared()

    def delete_vas(self, which: int, vid: int) -> None:
        answer = self.ask(0, self.thread(which), "vas_delete", vid)
        vas = self.vases.get(vid)
        if vas is None:
            assert answer == -E.INVAL
        elif vas.readers or vas.writers:
            assert answer == -E.BUSY
        else:
            assert answer == 0
            for sid, write in vas.segments.items():
                self.segments[sid].count(write, -1)
            del self.vases[vid]

    def create_segment(self, which: int, first: int, count: int) -> None:
        if len(self.segments) < 3:
            pages = self.span(first, count)
            self.named(b"segment")
            who = self.thread(which).process.credentials
            made = self.kernel.vases.make_segment(who, self.name, pages[0], pages[-1] + PAGE, 0o666)
            assert made.id == min(set(range(1, 5)) - set(self.segments))
            shown = {page: Page([0], RW, True, made.id) for page in pages}
            self.segments[made.id] = Shared(shown)

    def delete_segment(self, which: int, sid: int) -> None:
        answer = self.ask(1, self.thread(which), "vas_seg_delete", sid)
        segment = self.segments.get(sid)
        if segment is None:
            assert answer == -E.INVAL
        elif segment.readers or segment.writers:
            assert answer == -E.BUSY
        else:
            assert answer == 0
            del self.segments[sid]

    def shown(self, sid: int, write: bool) -> dict[int, Page]:
        prot = RW if write else 1
        return {
            at: Page(page.cell, prot, True, sid) for at, page in self.segments[sid].pages.items()
        }

    def tie(self, core: int, which: int, vid: int, sid: int, write: bool) -> None:
        vid = 0 if vid == 0 else self.vid(vid, self.thread(which))
        self.attach_segment(core, which, vid, self.sid(sid), write)

    def attach_segment(self, core: int, which: int, vid: int, sid: int, write: bool) -> None:
        thread = self.thread(which)
        kind = O_RDWR if write else O_RDONLY
        answer = self.ask(core, thread, "vas_seg_attach", vid, sid, kind)
        home, vas, segment = self.home(thread), self.vases.get(vid), self.segments.get(sid)
        if segment is None or (vid and vas is None):
            assert answer == -E.INVAL
            return
        there = home.segments if not vid else set(vas.segments) if vas else set()
        pages = home.pages if vas is None else vas.pages
        if sid in there:
            assert answer == 0
        elif (vas and (vas.readers or vas.writers)) or not segment.admits(write):
            assert answer == -E.BUSY
        elif any(page in pages for page in segment.pages) or (
            vas is None and self._hidden(home, segment.pages)
        ):
            assert answer == -E.FAULT
        else:
            assert answer == 0
            segment.count(write, 1)
            pages.update(self.shown(sid, write))
            if vas is not None:
                vas.segments[sid] = write
            else:
                home.segments.add(sid)

    def _hidden(self, home: Home, pages: dict[int, Page]) -> bool:
        layers = [
            layer
            for vid, (_, local) in home.attached.items()
            for layer in (self.vases[vid].pages, local)
        ]
        return any(page in layer for layer in layers for page in pages)

    def detach_segment(self, core: int, which: int, vid: int, sid: int) -> None:
        thread = self.thread(which)
        vid, sid = 0 if vid < 3 else self.vid(vid, thread), self.sid(sid)
        answer = self.ask(core, thread, "vas_seg_detach", vid, sid)
        home, vas = self.home(thread), self.vases.get(vid)
        if (vid and (vas is None or sid not in vas.segments)) or (
            not vid and sid not in home.segments
        ):
            assert answer == -E.INVAL
        elif vas is not None and (vas.readers or vas.writers):
            assert answer == -E.BUSY
        else:
            assert answer == 0
            pages = home.pages if vas is None else vas.pages
            write = any(page.prot & 2 for page in pages.values() if page.segment == sid)
            self.segments[sid].count(write, -1)
            self._drop_segment(pages, sid)
            if vas is not None:
                del vas.segments[sid]
            else:
                home.segments.discard(sid)

    def _drop_segment(self, pages: dict[int, Page], sid: int) -> None:
        for page in [at for at, shown in pages.items() if shown.segment == sid]:
            del pages[page]

    def local_segment(
        self, core: int, which: int, vid: int, sid: int, write: bool, on: bool
    ) -> None:
        thread = self.thread(which)
        vid, sid = self.vid(vid, thread), self.sid(sid)
        home, segment = self.home(thread), self.segments.get(sid)
        local = home.attached[vid][1] if vid in home.attached else {}
        there = any(page.segment == sid for page in local.values())
        if not on:
            answer = self.ask(core, thread, "vas_local_detach", vid, sid)
            assert answer == (0 if there else -E.INVAL)
            if there:
                was = any(page.prot & 2 for page in local.values() if page.segment == sid)
                self.segments[sid].count(was, -1)
                self._drop_segment(local, sid)
            return
        answer = self.ask(core, thread, "vas_local_attach", vid, sid, O_RDWR if write else O_RDONLY)
        if vid not in home.attached or segment is None:
            assert answer == -E.INVAL
        elif there:
            assert answer == 0
        elif not segment.admits(write):
            assert answer == -E.BUSY
        elif {*home.pages, *self.vases[vid].pages, *local} & segment.pages.keys():
            assert answer == -E.FAULT
        else:
            assert answer == 0
            segment.count(write, 1)
            local.update(self.shown(sid, write))

    @rule(what=st.integers(0, 9), core=CORE, which=WHICH, vid=ID, sid=ID, write=st.booleans())
    def segments_in_vases(
        self, what: int, core: int, which: int, vid: int, sid: int, write: bool
    ) -> None:
        if what < 4:
            self.tie(core, which, vid, sid, write)
        elif what < 6:
            self.detach_segment(core, which, vid, sid)
        else:
            self.local_segment(core, which, vid, sid, write, what < 9)

    # Attach, detach, switch ---------------------------------------------------------------------

    def join(self, core: int, which: int, whom: int, vid: int, write: bool) -> None:
        known = sorted(self.vases)
        vid = known[vid % len(known)] if known and vid < 7 else vid
        self.attach(core, which, whom, vid, write)

    def attach(self, core: int, which: int, whom: int, vid: int, write: bool) -> None:
        target = self.thread(whom)
        kind = O_RDWR if write else O_RDONLY
        answer = self.ask(core, self.thread(which), "vas_attach", target.pid, vid, kind)
        vas, home = self.vases.get(vid), self.home(target)
        if vas is None:
            assert answer == -E.INVAL
        elif vid in home.attached:
            assert answer == 0
        elif not vas.admits(write):
            assert answer == -E.BUSY
        elif set(vas.pages) & set(home.pages):
            assert answer == -E.FAULT
        else:
            assert answer == 0
            vas.count(write, 1)
            home.attached[vid] = (write, {})

    def detach(self, core: int, which: int, vid: int) -> None:
        thread = self.thread(which)
        vid = self.vid(vid, thread)
        home = self.home(thread)
        inside = any(each.space.vid == vid for each in thread.process.threads)
        answer = self.ask(core, thread, "vas_detach", 0, vid)
        if vid not in home.attached:
            assert answer == -E.INVAL
        elif inside:
            assert answer == -E.BUSY
        else:
            assert answer == 0
            self._detached(home, vid)

    def _detached(self, home: Home, vid: int) -> None:
        write, local = home.attached.pop(vid)
        self.vases[vid].count(write, -1)
        for sid in {page.segment for page in local.values()}:
            was = any(page.prot & 2 for page in local.values() if page.segment == sid)
            self.segments[sid].count(was, -1)

    def switch(self, core: int, which: int, vid: int) -> None:
        thread = self.thread(which)
        vid = 0 if vid == 0 else self.vid(vid, thread)
        known = not vid or vid in self.home(thread).attached
        assert self.ask(core, thread, "vas_switch", vid) == (0 if known else -E.INVAL)
        if known:
            assert self.ask(core, thread, "active_vas") == vid

    @rule(what=st.integers(0, 9), core=CORE, which=WHICH, whom=WHICH, vid=ID, write=st.booleans())
    def views(self, what: int, core: int, which: int, whom: int, vid: int, write: bool) -> None:
        if what < 3:
            self.join(core, which, whom, vid, write)
        elif what < 5:
            self.detach(core, which, vid)
        else:
            self.switch(core, which, vid)

    # Memory -------------------------------------------------------------------------------------

    def map(self, core: int, which: int, first: int, count: int, shared: bool) -> None:
        self.map_one(core, which, first, count, shared)
        self.use(core, which, first, 7, True)

    def map_one(self, core: int, which: int, first: int, count: int, shared: bool) -> None:
        thread, pages = self.thread(which), self.span(first, count)
        flags = FIXED | ANON | (1 if shared else 2)
        answer = self.ask(core, thread, "mmap", pages[0], len(pages) * PAGE, RW, flags, -1, 0)
        layers = self.layers(thread)
        if len(layers) > 1 and not layers[1][1]:
            assert answer == -E.ACCES
        elif self.clash(thread, pages):
            assert answer == -E.FAULT
        elif any(layer[p].segment for layer, _ in layers for p in pages if p in layer):
            assert answer == -E.PERM
        else:
            assert answer == pages[0]
            for page in pages:
                for layer, _ in layers:
                    layer.pop(page, None)
                layers[min(len(layers) - 1, 1)][0][page] = Page([0], RW, shared)

    @rule(
        what=st.integers(0, 9),
        core=CORE,
        which=WHICH,
        first=PLACE,
        count=st.integers(0, 6),
        prot=st.integers(0, 3),
    )
    def memory(self, what: int, core: int, which: int, first: int, count: int, prot: int) -> None:
        if what < 4:
            self.map(core, which, first, count, bool(prot & 1))
        elif what < 6:
            self.unmap(core, which, first, count)
        elif what < 8:
            self.protect(core, which, first, count, prot)
        else:
            self.brk(core, which, count)

    def _refusal(self, thread: Thread, pages: range) -> int:
        layers = self.layers(thread)
        if any(layer[p].segment for layer, _ in layers for p in pages if p in layer):
            return -E.PERM
        if len(layers) > 1 and not layers[1][1] and any(p in layers[1][0] for p in pages):
            return -E.ACCES
        return 0

    def unmap(self, core: int, which: int, first: int, count: int) -> None:
        thread, pages = self.thread(which), self.span(first, count)
        refusal = self._refusal(thread, pages)
        assert self.ask(core, thread, "munmap", pages[0], len(pages) * PAGE) == refusal
        if not refusal:
            for layer, _ in self.layers(thread):
                for page in pages:
                    layer.pop(page, None)

    def protect(self, core: int, which: int, first: int, count: int, prot: int) -> None:
        thread, pages = self.thread(which), self.span(first, count)
        mapped = sorted(at for layer, _ in self.layers(thread) for at in layer)
        if mapped and count < 5:
            pages = range(mapped[first % len(mapped)], mapped[first % len(mapped)] + PAGE, PAGE)
        answer = self.ask(core, thread, "mprotect", pages[0], len(pages) * PAGE, prot)
        layers = self.layers(thread)
        found = [[layer for layer, _ in layers if page in layer] for page in pages]
        if not all(found):
            assert answer == -E.NOMEM
            return
        assert answer == self._refusal(thread, pages)
        if not answer:
            for page, (layer,) in zip(pages, found, strict=True):
                layer[page].prot = prot

    def brk(self, core: int, which: int, top: int) -> None:
        thread = self.thread(which)
        home = self.home(thread)
        fits = self._fits(home, top)
        answer = self.ask(core, thread, "brk", self.heap + top * PAGE)
        assert answer == self.heap + (top if fits else home.top) * PAGE
        if fits:
            for page in range(top, home.top):
                home.pages.pop(self.heap + page * PAGE, None)
            for page in range(home.top, top):
                home.pages[self.heap + page * PAGE] = Page([0], RW)
            home.top = top

    def _fits(self, home: Home, top: int) -> bool:
        if top <= home.top:
            gone = [home.pages.get(self.heap + page * PAGE) for page in range(top, home.top)]
            return not any(page.segment for page in gone if page)
        wanted = {self.heap + page * PAGE: Page([0], 0) for page in range(home.top, top + 1)}
        return not any(page in home.pages for page in wanted) and not self._hidden(home, wanted)

    # Access -------------------------------------------------------------------------------------

    @rule(core=CORE, which=WHICH, page=NUMBER, value=BYTE, store=st.booleans())
    def touch(self, core: int, which: int, page: int, value: int, store: bool) -> None:
        self.use(core, which, page, value, store)

    @rule(core=CORE, which=WHICH, page=NUMBER, value=BYTE, store=st.booleans())
    def use(self, core: int, which: int, page: int, value: int, store: bool) -> None:
        running = self.kernel.tasks.seats[core].thread
        if running is not None and which < 7:  # usually the thread on the core goes on
            which = list(self.kernel.tasks.threads.values()).index(running)
        """Access memory as a running program would: through the core's TLB, with faults."""
        thread = self.thread(which)
        spots = [*self.places, *(self.heap + i * PAGE for i in range(6))]
        mapped = sorted(at for layer, _ in self.layers(thread) for at in layer)
        at = mapped[page % len(mapped)] if mapped and page < 20 else spots[page % len(spots)]
        self.system.run_on(core, thread)
        seen = self.system.touch(core, at, value if store else None)
        assert seen == self.expected(thread, at, value if store else None)
        self.settle()

    def expected(self, thread: Thread, at: int, value: int | None) -> int | None:
        for layer, may_store in self.layers(thread):
            if at in layer:
                page = layer[at]
                if not page.prot or (value is not None and not (page.prot & 2 and may_store)):
                    return None
                if value is not None:
                    page.cell[0] = value
                return page.cell[0]
        return None

    # Life ---------------------------------------------------------------------------------------

    @rule(what=st.integers(0, 9), core=CORE, which=WHICH)
    def live(self, what: int, core: int, which: int) -> None:
        (self.fork, self.fork, self.clone, self.clone, self.exit, self.exec, *[self.look] * 4)[
            what
        ](core, which)

    def look(self, core: int, which: int) -> None:
        assert self.ask(core, self.thread(which), "active_vas") >= 0

    def fork(self, core: int, which: int) -> None:
        parent = self.thread(which)
        if len(self.homes) >= 3:
            return
        self.kernel.machine.take_turn(self.kernel.machine.cores[core])
        child = self.kernel.life.clone(parent, life.CloneRequest())
        home = self.home(parent)
        pages = {
            at: Page(page.cell if page.shared else list(page.cell), page.prot, page.shared)
            for at, page in home.pages.items()
            if not page.segment
        }
        self.homes[child.pid] = Home(pages, top=home.top)
        self.settle()
        assert self.ask(core, child, "active_vas") == 0

    def clone(self, core: int, which: int) -> None:
        parent = self.thread(which)
        if len(self.kernel.tasks.threads) < 6:
            self.kernel.machine.take_turn(self.kernel.machine.cores[core])
            child = self.kernel.life.clone(parent, life.CloneRequest(THREAD_FLAGS))
            assert child.space is parent.space, "it starts where it was made"
            self.settle()

    def exit(self, core: int, which: int) -> None:
        thread = self.thread(which)
        if thread.pid == 1 and len(thread.process.threads) == 1:
            return
        self.kernel.machine.take_turn(self.kernel.machine.cores[core])
        last = len(thread.process.threads) == 1
        self.kernel.life.exit_thread(thread, 0)
        if last:
            self._gone(thread.process)
        self.settle()

    def _gone(self, process: Process) -> None:
        self._empty(self.homes.pop(process.pid))

    def _empty(self, home: Home) -> None:
        for vid in list(home.attached):
            self._detached(home, vid)
        for sid in home.segments:
            write = any(page.prot & 2 for page in home.pages.values() if page.segment == sid)
            self.segments[sid].count(write, -1)

    def exec(self, core: int, which: int) -> None:
        thread = self.thread(which)
        self.kernel.machine.take_turn(self.kernel.machine.cores[core])
        self.kernel.life.exec(thread, b"/idle", [b"idle"], [])
        thread.call = None
        self._empty(self.homes[thread.pid])
        self.homes[thread.pid] = Home()
        self.settle()
        assert self.ask(core, thread, "active_vas") == 0

    def teardown(self) -> None:
        """Every thread reads every page.  Then all of it is deleted, and no frame is left."""
        for thread in list(self.kernel.tasks.threads.values()):
            for core in (0, 1):
                self.system.run_on(core, thread)
                for at in self.places:
                    assert self.system.touch(core, at) == self.expected(thread, at, None)
        self.settle()
        self.kernel.life.exit_process(self.system.process, 0)
        self.settle()
        for vid in list(self.vases):
            self.kernel.vases.delete(ROOT, vid)
        for sid in list(self.segments):
            self.kernel.vases.delete_segment(ROOT, sid)
        invariants.check(self.kernel)
        files = sum(len(made.pages) for made in invariants.live_objects(self.kernel).values())
        assert self.frames() == self.kernel.machine.first_free_frame + 1 + files
        assert not any(account.charged for account in self.kernel.vases.accounts.values())


@pytest.mark.parametrize("pcid", [True, False])
@pytest.mark.parametrize("sync", ["subtree", "forward"])
def test_views_behave_like_dictionaries_of_pages(sync: str, pcid: bool) -> None:
    class Wished(Pair):
        wishes: ClassVar[dict[str, Any]] = {"sync": sync, "pcid": pcid, "pcids": 3}

    run_state_machine_as_test(
        Wished, settings=settings(max_examples=60, stateful_step_count=60, deadline=None)
    )
