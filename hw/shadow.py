"""What the emulator may hold in its own translation cache: always a subset of what the TLBs hold.

The emulator answers by itself what it holds, and asks the core for the rest.  So the core counts
every miss, fill and eviction exactly, although it does not see most hits.  When an entry leaves
the TLBs, it leaves this cache too.

The same module decides when translated code is stale: code of a frame that was stored into.
"""

from __future__ import annotations

from hw.corrections import LOCKED_REGISTER, refused_offsets
from hw.engine import PROT_EXEC, PROT_READ, PROT_WRITE, Engine
from hw.memory import PAGE_SHIFT, PAGE_SIZE, PhysicalMemory
from hw.mmu import MmuState
from hw.paging import FETCH, NX, W, leaves, page_frame
from hw.tlb import Entry

FLUSH_SINGLY = 3
"""At most this many pages are dropped one by one; more are dropped with all others."""
FOLLOW_PAGES, FOLLOW_SINGLY = 64, 8
"""When CR3 changes, a cache of at most 64 pages is looked through; at most 8 are dropped singly."""
ASKED_TOO_OFTEN = 2_000
"""After this many hits that the emulator did not hold, its cache is too small.  It grows only when
it is flushed while it is well filled, so the core flushes it.  No entry of the TLBs changes."""


class Shadow:
    """The cache of the emulator that runs one core.  `peers` has those of all cores."""

    def __init__(
        self, engine: Engine, memory: PhysicalMemory, mmu: MmuState, peers: list[Shadow]
    ) -> None:
        self.engine = engine
        self._memory = memory
        self._mmu = mmu
        self._peers = peers
        peers.append(self)
        self._writable: set[int] = set()
        """Frames that the emulator may store into without asking."""
        self._given: dict[int, tuple[int, int]] = {}
        """Pages that it may hold: frame, and PROT_* bits."""
        self._asked = 0
        self._code_is_stale = False
        self._watched: dict[Engine, set[int]] = {engine: set()}
        """Frames of which an engine tells every store."""
        self._scanned: set[int] = set()
        self._refused: dict[int, list[int]] = {}
        """Frames with code that must not be translated, and where in them it is."""
        self.exits: set[int] = set()
        """Linear addresses of such code, as far as it was met."""
        self.has_new_exits = False
        """Some are new since the guest was entered.  They are set at the next entry: the library
        walks through its exits when a run ends, and asks for pages while it does."""

    def use(self, engine: Engine) -> None:
        """Another engine takes over this core.  What it has cached is old."""
        self.engine = engine
        self._watched.setdefault(engine, set())
        self._watch_aliases()
        engine.flush_code()
        self.shrink()

    def shrink(self, gone: list[Entry] | None = None) -> None:
        """Drop the entries that have left the TLBs; None: drop all."""
        if gone is None or len(gone) > FLUSH_SINGLY:
            self._writable.clear()
            self._given.clear()
            self._asked = 0
            self.engine.flush_tlb()
        else:
            for entry in gone:
                if self._given.pop(entry.vpn, None):
                    self.engine.flush_page(entry.vpn << 12)

    def asked_for_a_hit(self) -> None:
        """The emulator did not hold what the TLBs hold."""
        self._asked += 1
        if self._asked > ASKED_TOO_OFTEN:
            self.shrink()

    def follow(self) -> None:
        """CR3 has changed.  Keep what the TLBs hold alike under the new tag.

        A view shares most pages with its process, so a switch of views drops little.
        """
        given = self._given if len(self._given) <= FOLLOW_PAGES else {}
        stale = [vpn for vpn, known in given.items() if not self._is_cached(vpn, *known)]
        if not given or len(stale) > FOLLOW_SINGLY:
            self.shrink()
            return
        for vpn in stale:
            del self._given[vpn]
            self.engine.flush_page(vpn << 12)

    def _is_cached(self, vpn: int, pfn: int, rights: int) -> bool:
        """Do the TLBs lead from `vpn` to `pfn` with these rights, under the current tag?"""
        state = self._mmu
        if rights & PROT_EXEC:
            code = state.itlb.lookup(vpn, state.pcid)
            if code is None or code.pfn != pfn or code.rights & NX:
                return False
        if rights & PROT_READ:
            data = state.dtlb.lookup(vpn, state.pcid)
            if data is None or data.pfn != pfn:
                return False
            return not rights & PROT_WRITE or bool(data.dirty and data.rights & W)
        return True

    def give(self, vpn: int, entry: Entry, kind: int) -> int:
        """What the emulator may do with a page from now on: what both TLBs allow together.

        `entry` is the one that answers an access of this `kind`.  Returns PROT_* bits.
        """
        state, pfn, rights = self._mmu, entry.pfn, 0
        data: Entry | None = entry
        if kind == FETCH:
            data = state.dtlb.lookup(vpn, state.pcid)
        if not entry.rights & NX:
            code = entry if kind == FETCH else state.itlb.lookup(vpn, state.pcid)
            if code is not None and code.pfn == pfn:
                rights = PROT_EXEC
                self._fetches(pfn)
                self._scan(pfn)
                if pfn in self._refused:
                    self._exit_at(vpn, pfn)
        if data is not None and data.pfn == pfn:
            rights |= PROT_READ
            if data.dirty and data.rights & W:
                rights |= PROT_WRITE
                self._writable.add(pfn)
                if pfn in self._memory.code.fetched:
                    self._code_may_change(by_another_page=not rights & PROT_EXEC)
        self._given[vpn] = pfn, rights
        return rights

    def code_pa(self, va: int) -> int:
        """Where in memory the emulator finds the code at `va`; 0: it holds no such page."""
        if self.engine.silicon:
            return self.engine.code_pa(va)
        known = self._given.get(va >> 12)
        if known is None or not known[1] & PROT_EXEC:
            return 0
        return known[0] << 12 | va & 0xFFF

    def held_code(self, va: int, size_bytes: int) -> bytes:
        """The code at `va`, if it is in one page that the model lets the emulator hold; b"" else.
        A program's every block asks: the common case at once."""
        known, end = self._given.get(va >> 12), (va & 0xFFF) + size_bytes
        if known is None or end > PAGE_SIZE or not known[1] & PROT_EXEC:
            return b""
        end += known[0] << 12
        return self._memory.bytes[end - size_bytes : end].tobytes()

    # Translated code --------------------------------------------------------------------------

    def _fetches(self, pfn: int) -> None:
        """Code comes from this frame from now on.  A core that may store into it must ask again."""
        if pfn not in self._memory.code.fetched:
            self._memory.code.fetched.add(pfn)
        for peer in self._peers:
            if pfn in peer._writable:
                peer.shrink()

    def _code_may_change(self, *, by_another_page: bool) -> None:
        """This core can store into code from now on.  The emulator notices that where the code
        runs at the same address.  Other cores and other addresses need a fresh start."""
        if by_another_page:
            self._memory.code.was_written = True
            return
        for peer in self._peers:
            if peer is not self:
                peer._code_is_stale = True

    def _scan(self, pfn: int) -> None:
        """Look through a frame of code before any of it is translated."""
        if pfn not in self._scanned and pfn < self._memory.frames:
            self._scanned.add(pfn)
            page = self._memory.read(pfn << PAGE_SHIFT, PAGE_SIZE)
            if LOCKED_REGISTER.search(page):
                self._refused[pfn] = refused_offsets(page)

    def _exit_at(self, vpn: int, pfn: int) -> None:
        new = {vpn << PAGE_SHIFT | offset for offset in self._refused[pfn]}
        if not new <= self.exits:
            self.exits |= new
            self.has_new_exits = True

    def _scan_tables(self) -> None:
        """On silicon the core does not see fetches: look at all that programs may fetch."""
        for peer in self._peers:
            for pfn in sorted(self._memory.code.unscanned):
                peer._scan(pfn)
        self._memory.code.unscanned.clear()
        self.exits.clear()  # an exit in a page that is gone would disturb the next run
        if self._refused:
            for va, leaf, level, rights in leaves(self._memory.words, self._mmu.cr3):
                pfn = page_frame(leaf, level, va)
                if not rights & NX and pfn in self._refused:
                    self._exit_at(va >> PAGE_SHIFT, pfn)

    def refresh_code(self) -> None:
        """Drop translations of code that has changed.  The guest must not be running."""
        code = self._memory.code
        if code.was_written:
            code.was_written = False
            for peer in self._peers:
                peer._watch_aliases()
            if not self.engine.silicon:  # there the next fetch would not tell
                code.fetched.clear()
            for peer in self._peers:
                peer._drop_code()
        elif self._code_is_stale:
            self._drop_code()
        if self.engine.silicon and (code.unscanned or self._refused):
            self._scan_tables()

    def _watch_aliases(self) -> None:
        """The emulator does not notice a store into code through a page that it cannot fetch."""
        watched = self._watched[self.engine]
        for pfn in sorted(self._memory.code.aliased - watched):
            watched.add(pfn)
            first = pfn << PAGE_SHIFT
            self.engine.watch_stores(self._stored_into_code, first, first + PAGE_SIZE - 1)

    def _stored_into_code(self, pa: int, size_bytes: int) -> None:
        self.engine.forget_frame(pa, size_bytes)
        for peer in self._peers:
            if peer is not self:
                peer._code_is_stale = True

    def _drop_code(self) -> None:
        self._code_is_stale = False
        if self.engine.silicon:
            self._memory.code.unscanned |= self._scanned
        self._scanned.clear()
        self._refused.clear()
        self.exits.clear()
        self.engine.flush_code()
        self.shrink()
