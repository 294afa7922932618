"""Address spaces behave like dictionaries of pages, under any calls in any order."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel import invariants
from kernel.abi.errno import E, KernelError
from kernel.life import life
from kernel.mm.space import AddressSpace
from kernel.task.process import Thread
from tests.kernel.system import still
from tests.kernel.tight import pager

PAGE, HERE = 4096, 0x10_0000_0000
SHARED, PRIVATE, FIXED, ANON, RW = 1, 2, 0x10, 0x20, 3


class Naive:
    """A space as a dictionary of pages: (rights, cell, shared), where a cell is a mutable byte."""

    def __init__(self) -> None:
        self.pages: dict[int, Page] = {}

    def fork(self) -> Naive:
        twin = Naive()
        for page, (prot, cell, shared) in self.pages.items():
            twin.pages[page] = (prot, cell if shared else list(cell), shared)
        return twin


Page = tuple[int, list[int], bool]
PAGES = 12
Operation = tuple[str, int, int, int, int]
operations = st.lists(
    st.tuples(
        st.sampled_from(
            "map map share unmap protect fork write write read move grow drop out".split()
        ),
        st.integers(0, 3),
        st.integers(0, PAGES - 1),
        st.integers(1, 5),
        st.integers(1, 255),
    ),
    min_size=8,
    max_size=60,
)


class Pair:
    """The kernel's spaces beside naive ones."""

    def __init__(self) -> None:
        self.system = still(ram=2, swap=1)
        self.spaces = [(self.system.thread, Naive())]
        self.step(("map", 0, 0, 8, 1))
        for page in range(8):
            self.step(("write", 0, page, 1, 100 + page))

    def step(self, operation: Operation) -> None:
        kind, which, first, count, value = operation
        thread, naive = self.spaces[which % len(self.spaces)]
        count = min(count, PAGES - first)
        pages = range(first, first + count)
        at = HERE + first * PAGE
        if kind == "fork":
            if len(self.spaces) < 4:
                twin = self.system.kernel.life.clone(thread, life.CloneRequest())
                self.spaces.append((twin, naive.fork()))
        elif kind in ("map", "share"):
            shared = kind == "share"
            flags = FIXED | ANON | (SHARED if shared else PRIVATE)
            assert self.system.ask("mmap", at, count * PAGE, RW, flags, thread=thread) == at
            naive.pages.update({page: (RW, [0], shared) for page in pages})
        elif kind == "unmap":
            assert self.system.ask("munmap", at, count * PAGE, thread=thread) == 0
            for page in pages:
                naive.pages.pop(page, None)
        elif kind == "protect":
            self._protect(thread, naive, pages, value % 4)
        elif kind in ("move", "grow"):
            target = first if kind == "grow" else value % PAGES
            self._remap(thread, naive, pages, target, fixed=kind == "move")
        elif kind == "drop":
            self._drop(thread, naive, pages)
        elif kind == "out":
            pager(self.system).make_room(len(self.system.kernel.memory.frames.free) + count)
        else:
            self._access(thread.space, naive, first, value if kind == "write" else None)

    def _protect(self, thread: Thread, naive: Naive, pages: range, prot: int) -> None:
        at = HERE + pages[0] * PAGE
        answer = self.system.ask("mprotect", at, len(pages) * PAGE, prot, thread=thread)
        if not all(page in naive.pages for page in pages):
            assert answer == -E.NOMEM
            return
        assert answer == 0
        for page in pages:
            naive.pages[page] = (prot, *naive.pages[page][1:])

    def _remap(
        self, thread: Thread, naive: Naive, pages: range, target: int, *, fixed: bool
    ) -> None:
        """Move pages to `target`, or let them grow by one in place.

        The model does not know where mappings begin and end.  So the test only moves pages that
        lie in one private mapping.
        """
        area = thread.space.map.overlapping(HERE, HERE + PAGES * PAGE)
        private = [region for region in area if not region.shared]
        if not private:
            return
        region = private[pages[0] % len(private)]
        start, stop = (region.start - HERE) // PAGE, (region.end - HERE) // PAGE
        pages = range(max(start, stop - len(pages)), stop)
        grown = len(pages) + (not fixed)
        if max(target, pages[0] if not fixed else 0) + grown > PAGES:
            return
        flags, new = (3, HERE + target * PAGE) if fixed else (0, 0)
        sizes = len(pages) * PAGE, grown * PAGE
        answer = self.system.ask(
            "mremap", HERE + pages[0] * PAGE, *sizes, flags, new, thread=thread
        )
        if fixed:
            overlap = target < pages.stop and pages.start < target + grown
            assert answer == (-E.INVAL if overlap else new)
            if not overlap:
                moved = [naive.pages.pop(page) for page in pages]
                naive.pages.update(enumerate(moved, target))
        elif pages.stop in naive.pages:
            assert answer == -E.NOMEM
        else:
            assert answer == HERE + pages[0] * PAGE
            naive.pages[pages.stop] = (naive.pages[pages[-1]][0], [0], False)

    def _drop(self, thread: Thread, naive: Naive, pages: range) -> None:
        at, holes = HERE + pages[0] * PAGE, any(page not in naive.pages for page in pages)
        answer = self.system.ask("madvise", at, len(pages) * PAGE, 4, thread=thread)
        assert answer == (-E.NOMEM if holes else 0)
        for page in pages:
            if page in naive.pages and not naive.pages[page][2]:
                naive.pages[page] = (naive.pages[page][0], [0], False)

    def _access(self, view: AddressSpace, naive: Naive, page: int, value: int | None) -> None:
        prot, cell, _ = naive.pages.get(page, (0, [0], False))
        allowed = bool(prot & 2) if value is not None else bool(prot)
        at = HERE + page * PAGE + 77
        if not allowed:
            with pytest.raises(KernelError) as caught:
                view.read(at, 1) if value is None else view.write(at, b"x")
            assert caught.value.number == E.FAULT
        elif value is None:
            assert view.read(at, 1)[0] == cell[0]
        else:
            view.write(at, bytes([value]))
            cell[0] = value

    def compare(self) -> None:
        for thread, naive in self.spaces:
            for page in range(PAGES):
                self._access(thread.space, naive, page, None)
            for one, two in pairwise(thread.space.map):
                assert one.end <= two.start


@given(operations)
@settings(max_examples=200)
def test_spaces_behave_like_dictionaries_of_pages(steps: list[Operation]) -> None:
    pair = Pair()
    for step in steps:
        pair.step(step)
    pair.compare()
    invariants.check(pair.system.kernel)
    for thread, _ in pair.spaces[1:]:
        pair.system.kernel.life.exit_process(thread.process, 0)
        invariants.check(pair.system.kernel)
