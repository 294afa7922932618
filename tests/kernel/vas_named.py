"""Rules and model of VASes, segments and attachments: the half of the test that maps no memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from kernel.abi.errno import E
from kernel.kernel import Kernel
from kernel.task.process import Thread
from tests.kernel.vas_pages import Home, Page, Shared
from tests.kernel.vas_world import World

PAGE = 4096
RW = 3
O_RDONLY, O_RDWR = 0, 2
EDGES = (0x10_0000_0000, (1 << 46) + (1 << 39), 0x7FFF_0000_0000)
"""Page tables of three levels end here, and what grows across needs new ones."""
STACK = 0x10_8000_0000
"""A stack begins above this edge, and may grow below it as long as the guard is free."""
CORE, WHICH, PLACE = st.integers(0, 1), st.integers(0, 9), st.integers(0, 14)
ID = st.integers(0, 7)
"""Ids; most of them belong to something that exists."""


class Named(RuleBasedStateMachine):
    """VASes and segments, in the kernel and in the model."""

    wishes: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.system = World(ram=3, cpus=2, traced=False, **self.wishes)
        self.kernel: Kernel = self.system.kernel
        self.heap = self.system.process.space.break_start
        bases = (self.heap + 2 * PAGE, *(edge - PAGE for edge in EDGES), STACK - 18 * PAGE)
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
            vas is None and self.hidden(home, segment.pages)
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

    def hidden(self, home: Home, pages: Iterable[int]) -> bool:
        """Does a view of the process show anything else there?"""
        attached = home.attached.items()
        layers = [layer for v, (_, local) in attached for layer in (self.vases[v].pages, local)]
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
