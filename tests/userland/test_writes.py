"""The last write to a word or a register: the instruction that the panel names wrote it, and no
later one did."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hw.mmu import CAUSES
from hw.panel import commands
from hw.panel.layout import describe as panel_text
from hw.panel.machine import windows
from hw.panel.model.history import History
from hw.panel.model.moment import moment_of
from hw.panel.panels import memory as memory_panel
from hw.panel.polling import poll
from hw.panel.session import Session
from hw.panel.user import showing
from hw.panel.words.captions import caption
from kernel import turns
from kernel.boot import Config
from tests.hw.panel.recordings import drawn
from userland import again
from userland.again import Watch
from userland.gallery import record
from userland.live import Link


@contextmanager
def beside(name: str, path: Path) -> Iterator[tuple[Session, Link]]:
    """A session at the end of a run, with a machine to ask."""
    link = record(name, Config(), path)
    history = History(path)
    history.scan_all()
    session = Session(history)
    session.send = lambda word: link.obey(word, 0)
    try:
        yield session, link
    finally:
        windows.leave(session)
        session.history.close()


def settle(session: Session) -> None:
    while poll(session) or session.awaits:
        pass


def word_at(link: Link, place: int, pa: int) -> int:
    """The word at an address at the moment of a record, in a run from the start."""
    kernel, seen = link.past.at(0), []
    run = again.trace_of(kernel)

    def take(*_: object) -> None:
        if run.total == place:
            seen.append(kernel.machine.memory.words[pa >> 3])

    run.observer = take
    turns.run_until(kernel, lambda: bool(seen))
    return seen[0]


def word_in_view(session: Session) -> tuple[int, int]:
    """The addresses, virtual and physical, of the word of memory in view."""
    view = showing.view(session)
    va = memory_panel.address_of(view) & ~7
    pfn = memory_panel.columns(view)[0].frames(va >> 12)[0]
    assert pfn is not None
    return va, pfn << 12 | va & 0xFFF


def test_the_instruction_that_last_stored_into_a_word(tmp_path: Path) -> None:
    """The child of `cow` fills pages with letters.  The last store into the middle of a page gave
    that word its value."""
    with beside("cow", tmp_path / "t") as (session, link):
        faults = session.history.tracks.marks["fault"]
        session.history.seek(faults[-2] + 1)
        place = session.history.position
        session.look_at(0x7F00_0000_5800, 2)
        session.chosen = "memory"
        settle(session)
        va, pa = word_in_view(session)
        commands.press(session, "l", "l")
        settle(session)
        assert session.mode.startswith("WINDOW")
        assert session.message.startswith("last write to 0x7f0000005800")
        window, outer = session.history, session.outer
        assert outer is not None
        assert window.last is not None
        assert window.last.kind.name == "store"
        start, data = window.last.values
        assert start <= pa < start + len(data)
        assert data[pa - start] == word_at(link, place, pa) & 255
        assert outer.position <= place
        assert " stored 0x45" in caption(moment_of(window))
        assert va == 0x7F00_0000_5800
        before = window.position
        commands.press(session, "l", "l")
        settle(session)
        assert session.history is not window or window.position < before


def test_no_store_comes_between_it_and_the_moment(tmp_path: Path) -> None:
    with beside("cow", tmp_path / "t") as (session, link):
        place = session.history.tracks.marks["fault"][-2] + 1
        session.history.seek(place)
        session.look_at(0x7F00_0000_3008, 2)
        session.chosen = "memory"
        _, pa = word_in_view(session)
        commands.press(session, "l", "l")
        settle(session)
        found = Watch(link.past.at(0), pa, 8).until(place)
        assert found is not None
        total, _, instructions, by_program = found
        assert by_program
        again_at = Watch(link.past.at(total + 1), pa, 8)
        begun = again_at.kernel.machine.core.begun()
        assert begun <= instructions
        assert session.outer is not None


def test_a_write_of_the_kernel_is_named_as_such(tmp_path: Path) -> None:
    """The kernel writes the result of a call into memory, and it copies pages."""
    with beside("cow", tmp_path / "t") as (session, _):
        fault = session.history.tracks.marks["fault"][-2] + 1
        session.history.seek(fault)
        session.chosen = "memory"
        va = showing.view(session).va
        session.look_at(va, 2)
        commands.press(session, "l", "l")
        settle(session)
        assert session.message == f"last write to {va:#x}: by the kernel, up to this record"
        assert session.outer is None
        assert session.history.position <= fault


def test_memory_that_was_never_written_is_named_as_such(tmp_path: Path) -> None:
    with beside("cow", tmp_path / "t") as (session, _):
        session.look_at_physical(63 << 20)
        session.chosen = "memory"
        commands.press(session, "l", "l")
        settle(session)
        assert "nothing has written to 0x3f00000 since the start" in session.message


def test_long_computations_are_not_stepped_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The window begins shortly before the store, even if that is far from any call."""
    monkeypatch.setattr(again, "WINDOW_INSTRUCTIONS", 4_000)
    with beside("sieve", tmp_path / "t") as (session, _):
        outputs = session.history.tracks.marks["output"]
        session.history.seek(outputs[-1] - 1)
        faults = map(session.history.record, session.history.tracks.marks["fault"])
        page = [fault["page"] for fault in faults if fault["error"] & 2][-4]
        session.look_at(page + 64, showing.view(session).space)
        session.chosen = "memory"
        commands.press(session, "l", "l")
        settle(session)
        assert session.history.last is not None
        assert session.history.last.kind.name == "store", session.message


@pytest.mark.parametrize("register", ["rax", "rsp", "rdi"])
def test_the_instruction_that_last_changed_a_register(tmp_path: Path, register: str) -> None:
    with beside("threads", tmp_path / "t") as (session, _):
        session.history.seek(session.history.tracks.marks["syscall"][-8] + 1)
        session.chosen, session.register = "cpu", register
        commands.press(session, "S", "S")
        settle(session)
        for _ in range(3):
            commands.press(session, "S", "S")
        there = session.history.position
        value = session.history.state.registers[0][register]
        commands.press(session, "l", "l")
        if session.history.position == there:
            assert "S goes further back" in session.message
            return
        assert session.history.state.registers[0][register] != value
        commands.press(session, "s", "s")
        while session.history.position < there:
            assert session.history.state.registers[0][register] == value
            commands.press(session, "s", "s")


def test_arrows_choose_a_register(tmp_path: Path) -> None:
    with beside("hello", tmp_path / "t") as (session, _):
        session.history.seek(session.history.tracks.marks["syscall"][2] + 1)
        commands.press(session, "5", "5")
        commands.press(session, "down")
        assert session.register == "rdi"
        commands.press(session, "up")
        commands.press(session, "up")
        assert session.register == "r9"


def test_back_by_instruction_goes_on_in_the_window_before(tmp_path: Path) -> None:
    with beside("cow", tmp_path / "t") as (session, _):
        calls = session.history.tracks.marks["syscall"]
        session.history.seek(calls[12] + 1)
        commands.press(session, "S", "S")
        settle(session)
        first = session.history.file.header["window"]["first"]
        rips: list[int] = []
        while session.outer is not None and session.history.file.header["window"]["first"] == first:
            rips.append(session.history.state.registers[0]["rip"])
            commands.press(session, "S", "S")
            settle(session)
        assert session.outer is not None
        assert session.history.file.header["window"]["first"] < first
        assert session.history.last is not None
        assert session.history.last.kind.name == "instruction"
        commands.press(session, "s", "s")
        settle(session)
        assert session.history.state.registers[0]["rip"] == rips[-1]


# Other machines -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pingpong", "sieve"])
def test_other_tlbs_are_compared_in_the_same_run(tmp_path: Path, name: str) -> None:
    """The same machine has the misses of its records.  One without PCIDs loses entries to flushes.
    A larger TLB has no more misses of capacity and conflict."""
    with beside(name, tmp_path / "t") as (session, _):
        session.history.seek(2 * session.history.scanned // 3)
        counts = dict(session.history.state.counts)
        commands.press(session, "i", "i")
        settle(session)
        this, untagged, *larger, smaller = session.variants
        assert (this.name, untagged.name) == ("this machine", "no PCIDs")
        recorded = [
            sum(n for key, n in counts.items() if key[0] == "miss" and key[2] == side)
            for side in (0, 1)
        ]
        for side in (0, 1):
            assert recorded[side] <= this.total(side) <= recorded[side] + 40
        flushed = [variant.misses[1][CAUSES.index("flushed")] for variant in session.variants]
        if name == "pingpong":
            assert flushed[1] > 100 * flushed[0] > 0
        lost = [sum(v.misses[1][CAUSES.index(c)] for c in ("capacity", "conflict")) for v in larger]
        mine = sum(this.misses[1][CAUSES.index(c)] for c in ("capacity", "conflict"))
        theirs = sum(smaller.misses[1][CAUSES.index(c)] for c in ("capacity", "conflict"))
        assert max(lost) <= mine <= theirs
        assert (mine < theirs) == (name == "sieve")
        text = "\n".join(panel_text(showing.view(session), ["tlb"]))
        assert "what if: no PCIDs" in text
        assert drawn(session)


def test_without_a_machine_the_question_is_answered_with_a_reason(tmp_path: Path) -> None:
    with beside("hello", tmp_path / "t") as (session, _):
        session.send = None
        commands.press(session, "i", "i")
        assert "run.py panel PROGRAM" in session.message
