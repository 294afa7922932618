"""Address spaces behave like dictionaries of pages, whatever is done to them in whatever order."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel import invariants, life
from kernel.errno import E, KernelError
from kernel.process import Thread
from kernel.space import AddressSpace
from tests.kernel.system import still

PAGE, HERE = 4096, 0x10_0000_0000
SHARED, PRIVATE, FIXED, ANON, RW = 1, 2, 0x10, 0x20, 3


class Naive:
    """A space as a dictionary of pages: (rights, cell), where a cell is a mutable byte."""

    def __init__(self) -> None:
        self.pages: dict[int, tuple[int, list[int], bool]] = {}

    def fork(self) -> Naive:
        twin = Naive()
        for page, (prot, cell, shared) in self.pages.items():
            twin.pages[page] = (prot, cell if shared else list(cell), shared)
        return twin


PAGES = 12
Operation = tuple[str, int, int, int, int]
operations = st.lists(
    st.tuples(
        st.sampled_from(
            ["map", "map", "share", "unmap", "protect", "fork", "write", "write", "read"]
        ),
        st.integers(0, 3),
        st.integers(0, PAGES - 1),
        st.integers(1, 5),
        st.integers(1, 255),
    ),
    min_size=5,
    max_size=60,
)


class Pair:
    """The kernel's spaces and naive ones, side by side."""

    def __init__(self) -> None:
        self.system = still(ram=2)
        self.spaces = [(self.system.thread, Naive())]

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
@settings(max_examples=120)
def test_spaces_behave_like_a_dictionary_of_pages(steps: list[Operation]) -> None:
    pair = Pair()
    for step in steps:
        pair.step(step)
    pair.compare()
    invariants.check(pair.system.kernel)
    for thread, _ in pair.spaces[1:]:
        pair.system.kernel.life.exit_process(thread.process, 0)
        invariants.check(pair.system.kernel)
