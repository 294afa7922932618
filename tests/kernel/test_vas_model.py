"""Under any calls, VASes behave like dictionaries of pages that several processes share.

Hypothesis's state machine drives the kernel, without user code, from several processes and cores.
Beside it runs a model that knows only pages, cells and counts.  After every step the test compares
the results and the contents that the cores see through their TLBs, and checks all invariants.  At
the end nothing is left.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule, run_state_machine_as_test

from kernel import invariants
from kernel.abi.errno import E
from kernel.ipc import segment_files
from kernel.life import life
from kernel.task.credentials import Credentials
from kernel.task.process import Process, Thread
from tests.kernel.vas_named import CORE, PAGE, PLACE, RW, STACK, WHICH, Named
from tests.kernel.vas_pages import Home, Page

FIXED, ANON, GROWSDOWN = 0x10, 0x20, 0x100
THREAD_FLAGS = 0x10F00
ROOT = Credentials()
MAPPED = 26
NUMBER, BYTE = st.integers(0, 2 * MAPPED - 1), st.integers(1, 255)
"""Which page: below `MAPPED` of those that are mapped, in the first half of it of those that are
not the process's own, else of all places."""
STACK_GUARD, STACK_LIMIT = 16 * PAGE, 8 << 20
"""How much below a stack must be free when it grows, and how far it may reach down."""


class Pair(Named):
    """The kernel and the model."""

    def __init__(self) -> None:
        super().__init__()
        self.spots = [
            *self.places,
            *(self.heap + i * PAGE for i in range(6)),
            *(STACK + i * PAGE for i in range(-2, 2)),
        ]
        self.file = self.system.open_bytes()

    def visible(self, thread: Thread) -> list[int]:
        """Every page that the thread sees."""
        return sorted(at for layer, _ in self.layers(thread) for at in layer)

    def pick(self, thread: Thread, page: int) -> int:
        inside = sorted(at for layer, _ in self.layers(thread)[1:] for at in layer)
        mapped = inside if inside and page < MAPPED // 2 else self.visible(thread)
        if mapped and page < MAPPED:
            return mapped[page % len(mapped)]
        return self.spots[page % len(self.spots)]

    # The beginning ------------------------------------------------------------------------------
    @initialize(
        places=st.lists(PLACE, min_size=2, max_size=2),
        group=st.integers(0, 4),
        tie=st.booleans(),
        write=st.booleans(),
        local=st.booleans(),
    )
    def begin(self, places: list[int], group: int, tie: bool, write: bool, local: bool) -> None:
        """Two attached VASes, three segments, two processes, a thread, a stack.

        What grows in the first process soon meets what the first VAS shows, in one of the places.
        """
        of_stack = group == 4
        self.create_segment(0, 3 * group + (0 if of_stack else 2), 0 if of_stack else 1)
        for place in places:
            self.create_segment(0, place, 1)
        for vid in (1, 2):
            self.create_vas(0)
            if tie or vid == 1:
                self.attach_segment(0, 0, vid, vid, True)
        self.fork(0, 0)
        self.clone(0, 0)
        self.map_stack(0, 0)
        if 0 < group < 4:
            self.map_one(0, 0, 3 * group, 0, False)
        self.attach(0, 0, 0, 1, write)
        self.attach(0, 0, 1, 2, True)
        if local:
            self.local_segment(0, 0, vid=1, sid=2, write=True, on=True)
            self.switch(0, 0, 1)

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
        what=st.integers(0, 7),
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
        else:
            self.protect(core, which, first, count, prot)

    @rule(what=st.integers(0, 9), core=CORE, which=WHICH, page=PLACE, more=st.integers(0, 6))
    def grow(self, what: int, core: int, which: int, page: int, more: int) -> None:
        if what < 3:
            self.brk(core, which, more)
        elif what < 6:
            self.resize(core, which, page, more % 4, moves=page > 11)
        elif what < 9:
            self.access(core, self.thread(which), STACK - more % 4 * PAGE, 1 + page)
        else:
            self.map_stack(core, which)

    def map_stack(self, core: int, which: int) -> None:
        """A page that grows downwards, where the stack begins."""
        thread = self.thread(which)
        if not thread.space.vid and not self.clash(thread, range(STACK + PAGE, STACK + 2 * PAGE)):
            flags = FIXED | ANON | GROWSDOWN | 2
            answer = self.ask(core, thread, "mmap", STACK + PAGE, PAGE, RW, flags, -1, 0)
            assert answer == STACK + PAGE
            self.home(thread).pages[STACK + PAGE] = Page([0], RW, grows=True)

    def resize(self, core: int, which: int, page: int, more: int, moves: bool) -> None:
        """mremap of a whole mapping to a larger size, in place where there is room."""
        thread = self.thread(which)
        mapped = self.visible(thread)
        region = thread.space.map.find(mapped[page % len(mapped)]) if mapped else None
        if region is None or region.floor or (region.shared and not region.segment):
            return
        old = range(region.start, region.end, PAGE)
        new = range(region.end, region.end + more * PAGE, PAGE)
        layers = self.layers(thread)
        layer = next(layer for layer, _ in layers if old[0] in layer)
        sealed, read_only = region.segment, len(layers) > 1 and layers[1] == (layer, False)
        free = self.is_free(thread, new)
        size, grown = len(old) * PAGE, (len(old) + more) * PAGE
        answer = self.ask(core, thread, "mremap", old[0], size, grown, int(moves), 0)
        if not more:
            assert answer == old[0]
        elif not (free or moves):
            assert answer == -E.NOMEM
        elif sealed or read_only:
            assert answer == -(E.ACCES if read_only and (free or not sealed) else E.PERM)
        else:
            assert (answer == old[0]) == free
            assert free or self.is_free(thread, range(answer, answer + grown, PAGE))
            prot = layer[old[-1]].prot
            pages = [layer.pop(at) for at in old] + [Page([0], prot) for _ in new]
            layer.update({answer + i * PAGE: each for i, each in enumerate(pages)})

    def is_free(self, thread: Thread, pages: range) -> bool:
        """May any layer that the thread sees map something here?"""
        seen = any(page in layer for layer, _ in self.layers(thread) for page in pages)
        return not (seen or self.clash(thread, pages) or self.hidden(self.home(thread), pages))

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
        mapped = self.visible(thread)
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
        return not any(page in home.pages for page in wanted) and not self.hidden(home, wanted)

    # Access -------------------------------------------------------------------------------------

    @rule(core=CORE, which=WHICH, page=NUMBER, value=BYTE, store=st.booleans())
    def use(self, core: int, which: int, page: int, value: int, store: bool) -> None:
        running = self.kernel.tasks.seats[core].thread
        if running is not None and which < 7:  # usually the thread on the core goes on
            which = list(self.kernel.tasks.threads.values()).index(running)
        thread = self.thread(which)
        self.access(core, thread, self.pick(thread, page), value if store else None)

    def access(self, core: int, thread: Thread, at: int, value: int | None) -> None:
        """Access memory as a running program would: through the core's TLB, with faults."""
        self.system.run_on(core, thread)
        assert self.system.touch(core, at, value) == self.expected(thread, at, value)
        self.settle()

    @rule(core=CORE, which=WHICH, page=NUMBER, value=BYTE, before=st.booleans())
    def fill(self, core: int, which: int, page: int, value: int, before: bool) -> None:
        """The kernel stores one byte for a program, and with `before` the one below it as well."""
        thread = self.thread(which)
        at = self.pick(thread, page)
        size = 2 if before and at - PAGE not in (self.heap - PAGE, self.system.page) else 1
        start, offset = at - size + 1, value - size + 1
        answer = self.ask(core, thread, "pread64", self.file, start, size, offset)
        if not self.stores(thread, start & -PAGE):
            assert answer == -E.FAULT
        elif size == 2 and not self.stores(thread, at, may_grow=False):
            assert answer == 1
        else:
            assert answer == size
            self.expected(thread, at, value)

    def stores(self, thread: Thread, at: int, may_grow: bool = True) -> bool:
        """May the thread store there?"""
        found = self.found(thread, at, may_grow)
        return found is not None and bool(found[0].prot & 2 and found[1])

    def expected(self, thread: Thread, at: int, value: int | None) -> int | None:
        found = self.found(thread, at)
        if found is None or not found[0].prot:
            return None
        page, may_store = found
        if value is not None:
            if not (page.prot & 2 and may_store):
                return None
            page.cell[0] = value
        return page.cell[0]

    def found(self, thread: Thread, at: int, may_grow: bool = True) -> tuple[Page, bool] | None:
        """The page that an access meets, and whether it may store.  A stack grows for it."""
        for layer, may_store in self.layers(thread):
            if at in layer:
                return layer[at], may_store
        home = self.home(thread)
        if may_grow and self.stack_grows(home, at):
            return home.pages[at], True
        return None

    def stack_grows(self, home: Home, at: int) -> bool:
        """A stack grows down to a page unless anything is there, or too close below."""
        above = min((page for page in home.pages if page > at), default=0)
        if not above or not home.pages[above].grows or at < STACK + 2 * PAGE - STACK_LIMIT:
            return False
        gap = range(at - STACK_GUARD, above, PAGE)
        if any(page in home.pages for page in gap) or self.hidden(home, gap):
            return False
        prot = home.pages[above].prot
        home.pages |= {page: Page([0], prot, grows=True) for page in range(at, above, PAGE)}
        return True

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
            at: replace(page, cell=page.cell if page.shared else list(page.cell))
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
                for at in {*self.places, *self.visible(thread)}:
                    assert self.system.touch(core, at) == self.expected(thread, at, None)
        self.settle()
        self.kernel.life.exit_process(self.system.process, 0)
        self.settle()
        for vid in list(self.vases):
            self.kernel.vases.delete(ROOT, vid)
        for sid in list(self.segments):
            segment_files.delete(self.kernel.ipc, self.kernel.vases, ROOT, sid)
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
        Wished, settings=settings(max_examples=40, stateful_step_count=60, deadline=None)
    )
