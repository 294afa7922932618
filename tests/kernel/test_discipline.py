"""The line discipline, compared key by key with a pseudo-terminal of the host."""

from __future__ import annotations

import os
import select
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.abi import ioctls
from kernel.servers import termios
from kernel.servers.discipline import MAX_LINE_BYTES, Discipline
from kernel.servers.termios import Settings

KEYS = b"ab_ -\t\n\r\x7f\x15\x17\x04\x16\x12\x03\x1c\x1a\x01\x00\x1b\xc3\xa9"
INPUT_FLAGS = (termios.ICRNL, termios.INLCR, termios.IGNCR, termios.IUTF8)
OUTPUT_FLAGS = (termios.ONLCR, termios.OCRNL, termios.ONOCR, termios.ONLRET)
LOCAL_FLAGS = (
    *(termios.ISIG, termios.ICANON, termios.ECHO, termios.ECHOE, termios.ECHOK, termios.ECHONL),
    *(termios.ECHOCTL, termios.ECHOKE, termios.NOFLSH, termios.IEXTEN),
)
SIGINT, SIGQUIT, SIGTSTP = 2, 3, 20


def changed(start: int, flags: tuple[int, ...]) -> st.SearchStrategy[int]:
    """`start` with some of `flags` inverted, mostly a few of them."""
    return st.sets(st.sampled_from(flags), max_size=3).map(
        lambda toggled: start ^ sum(sorted(toggled))
    )


some_settings = st.builds(
    Settings,
    changed(Settings().input, INPUT_FLAGS),
    changed(Settings().output, OUTPUT_FLAGS),
    st.just(Settings().control),
    changed(Settings().local, LOCAL_FLAGS),
)


def type_at(wanted: Settings, keys: bytes) -> tuple[bytes, list[bytes]]:
    """What the terminal shows for the keys, and what the reads then return."""
    discipline = Discipline()
    discipline.set(wanted)
    shown = b"".join([discipline.receive(bytes((key,)))[0] for key in keys])
    reads = []
    while discipline.has_input():
        reads.append(discipline.read(4096))
    return shown, reads


# An oracle: Linux's own -----------------------------------------------------------------------


def at_the_host(wanted: Settings, keys: bytes) -> tuple[bytes, list[bytes]]:
    """The same at a pseudo-terminal of Linux.  There a signal discards echo that was not yet read,
    so each key waits for the echo of the key before."""
    import fcntl
    import pty

    master, slave = pty.openpty()
    try:
        fcntl.ioctl(slave, ioctls.TCSETS, wanted.pack())
        shown = b""
        for key in keys:
            os.write(master, bytes((key,)))
            shown += everything_at(master)
        os.set_blocking(slave, False)
        return shown, reads_of(slave, whole=not wanted.local & termios.ICANON)
    finally:
        os.close(master)
        os.close(slave)


def everything_at(descriptor: int) -> bytes:
    """All that arrives until nothing more comes.  The host handles a key in a separate thread."""
    found = b""
    time.sleep(0.002)
    while select.select([descriptor], [], [], 0.001)[0]:
        found += os.read(descriptor, 65536)
    return found


def reads_of(descriptor: int, *, whole: bool) -> list[bytes]:
    reads: list[bytes] = []
    while len(reads) < 100:
        try:
            reads.append(os.read(descriptor, 4096))
        except BlockingIOError:
            break
        if whole:
            break
    return reads


@pytest.mark.skipif(sys.platform != "linux", reason="the oracle is Linux's terminal")
@settings(max_examples=150)
@given(some_settings, st.lists(st.sampled_from(KEYS), max_size=12).map(bytes))
def test_keys_have_the_same_effect_as_at_a_terminal_of_the_host(
    wanted: Settings, keys: bytes
) -> None:
    ours = type_at(wanted, keys)
    for _ in range(3):  # under load, the host may be slower than `everything_at` waits
        theirs = at_the_host(wanted, keys)
        if theirs == ours:
            break
    assert theirs == ours


# Claims ------------------------------------------------------------------------------------------


@given(st.binary(max_size=200), st.integers(1, 20))
def test_in_raw_mode_every_byte_comes_through_in_order(keys: bytes, count: int) -> None:
    discipline = Discipline()
    discipline.set(Settings(input=0, output=0, local=0))
    assert discipline.receive(keys) == (b"", [])
    found = b""
    while discipline.has_input():
        found += discipline.read(count)
    assert found == keys


@given(some_settings, st.binary(max_size=300))
def test_no_sequence_of_keys_breaks_it(wanted: Settings, keys: bytes) -> None:
    discipline = Discipline()
    discipline.set(wanted)
    shown, signals = discipline.receive(keys)
    assert set(signals) <= {SIGINT, SIGQUIT, SIGTSTP}
    assert discipline.waiting() <= len(keys)
    assert len(shown) <= 30 * len(keys) ** 2 + 30
    discipline.set(Settings())
    while discipline.has_input():
        discipline.read(7)


def test_signals_come_in_the_order_of_their_keys_and_discard_the_line() -> None:
    discipline = Discipline()
    shown, signals = discipline.receive(b"abc\x03de\x1c\x1af\n")
    assert signals == [SIGINT, SIGQUIT, SIGTSTP]
    assert shown == b"abc^Cde^\\^Zf\r\n"
    assert discipline.read(100) == b"f\n"


def test_a_read_takes_one_line_or_a_part_of_it() -> None:
    discipline = Discipline()
    discipline.receive(b"one\ntwo\n")
    assert discipline.waiting() == 8
    assert [discipline.read(2), discipline.read(100), discipline.read(100)] == [
        *(b"on", b"e\n", b"two\n"),
    ]
    assert not discipline.has_input()


def test_an_end_of_file_is_a_read_of_nothing_and_only_once() -> None:
    discipline = Discipline()
    discipline.receive(b"part\x04\x04")
    assert [discipline.read(9), discipline.has_input(), discipline.read(9)] == [b"part", True, b""]
    assert not discipline.has_input()


def test_an_overlong_line_is_cut_and_still_ends() -> None:
    discipline = Discipline()
    shown, _ = discipline.receive(b"x" * 10_000 + b"\n")
    assert discipline.read(1 << 20) == b"x" * MAX_LINE_BYTES + b"\n"
    assert shown.count(b"x") == MAX_LINE_BYTES


def test_output_can_be_stopped_and_continued() -> None:
    discipline = Discipline()
    discipline.receive(b"\x13")
    assert discipline.held
    discipline.receive(b"\x11")
    assert not discipline.held


@pytest.mark.parametrize(
    ("minimum", "time_limit", "typed", "count", "enough"),
    [
        (1, 0, 0, 9, False),
        (1, 0, 1, 9, True),
        (3, 0, 2, 9, False),
        (3, 0, 2, 2, True),
        (0, 0, 0, 9, True),
        (0, 5, 0, 9, False),
        (0, 5, 1, 9, True),
        (3, 5, 2, 9, False),
    ],
)
def test_vmin_and_vtime(
    minimum: int, time_limit: int, typed: int, count: int, enough: bool
) -> None:
    wanted = Settings(local=0)
    characters = bytearray(wanted.characters)
    characters[termios.MIN], characters[termios.TIME] = minimum, time_limit
    wanted.characters = bytes(characters)
    discipline = Discipline()
    discipline.set(wanted)
    discipline.receive(b"x" * typed)
    assert discipline.enough(count) == enough


def test_tabs_can_be_spaces() -> None:
    wanted = Settings()
    wanted.output |= termios.XTABS
    discipline = Discipline()
    discipline.set(wanted)
    assert discipline.process(b"a\tbcdefgh\t.\n\t") == b"a       bcdefgh .\r\n        "


@given(some_settings)
def test_settings_are_packed_as_the_kernel_packs_them(wanted: Settings) -> None:
    packed = wanted.pack()
    assert len(packed) == 36
    assert Settings.unpack(packed) == wanted
