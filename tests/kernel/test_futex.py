"""Futexes: a word in shared memory is the same futex in every process and at every address."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable

import pytest

from kernel.abi.errno import Blocked, E
from kernel.life import life
from kernel.wait import futex
from tests.kernel.asm import Program
from tests.kernel.system import run_code, still
from tests.kernel.vas_world import THREAD, World

HERE, THERE, PAGE, SLEEP = 0x10_0000_0000, 0x20_0000_0000, 4096, 1_000_000
WAIT, WAKE, REQUEUE, PRIVATE_FLAG = 0, 1, 3, 128
SHARED, PRIVATE = 0x31, 0x32


def mapped(kind: int) -> Program:
    program = Program()
    program.call("mmap", HERE, PAGE, 3, kind, -1, 0)
    return program


def test_a_wake_reaches_another_process_through_shared_memory() -> None:
    program = mapped(SHARED)
    program.fork("child")
    program.call("futex", HERE + 8, WAIT, 0, 0)
    program.exit()
    program.label("child")
    program.sleep(SLEEP)
    program.call("futex", HERE + 8, WAKE, 5)
    program.exit()
    assert run_code(program).results("futex", 2) == [1]


def test_a_wake_does_not_leave_private_memory() -> None:
    program = mapped(PRIVATE)
    program.fork("child")
    program.call("futex", HERE, WAIT, 0, program.words(1, 0))
    program.exit()
    program.label("child")
    program.sleep(SLEEP)
    program.call("futex", HERE, WAKE, 5)
    program.exit()
    run = run_code(program)
    assert run.results("futex", 1) == [-E.TIMEDOUT]
    assert run.results("futex", 2) == [0]


def test_a_futex_is_identified_by_object_and_offset_not_by_address() -> None:
    system = still()
    system.ask("mmap", HERE, 4 * PAGE, 3, SHARED, -1, 0)
    twin = system.kernel.life.clone(system.thread, life.CloneRequest()).space
    one = futex.channel(system.thread.space, HERE + PAGE + 4)
    assert futex.channel(twin, HERE + PAGE + 4) == one
    assert one[2] == PAGE + 4
    system.ask("munmap", HERE, PAGE)
    assert futex.channel(system.thread.space, HERE + PAGE + 4) == one
    system.ask("mmap", THERE, PAGE, 3, SHARED, -1, 0)
    assert futex.channel(system.thread.space, THERE + 4) != one


def test_a_wait_for_another_value_than_the_words_returns_at_once() -> None:
    program = mapped(PRIVATE)
    program.call("futex", HERE, WAIT, 1, 0)
    program.call("futex", HERE, WAIT | PRIVATE_FLAG, 1, 0)
    program.exit()
    assert run_code(program).results("futex") == [-E.AGAIN, -E.AGAIN]


def test_a_wait_ends_with_its_timeout() -> None:
    program = mapped(PRIVATE)
    clock = program.room(16)
    program.call("futex", HERE, WAIT, 0, program.words(2, 500_000_000))
    program.call("futex", HERE, WAIT, 0, program.words(0, 0))
    program.call("clock_gettime", 1, clock)
    program.dump(clock, 16)
    program.exit()
    run = run_code(program)
    assert run.results("futex") == [-E.TIMEDOUT, -E.TIMEDOUT]
    assert int.from_bytes(run.output[:8], "little") == 2
    assert 500_000_000 <= int.from_bytes(run.output[8:], "little") < 501_000_000


@pytest.mark.parametrize(
    ("count", "woken"), [(0, 1), (1, 1), (2, 2), (0x7FFF_FFFF, 3), (0xFFFF_FFFF, 1)]
)
def test_a_wake_wakes_the_given_number_of_sleepers_oldest_first(count: int, woken: int) -> None:
    program = mapped(SHARED)
    for name in (b"a", b"b", b"c"):
        program.call("fork")
        program.jump_unless_zero(f"after {name!r}")
        program.call("futex", HERE, WAIT, 0, 0)
        program.say(name)
        program.exit()
        program.label(f"after {name!r}")
        program.sleep(SLEEP)
    program.call("futex", HERE, WAKE, count)
    program.sleep(SLEEP)
    program.exit()
    run = run_code(program)
    assert run.results("futex", 1) == [woken]
    assert run.output == b"abc"[:woken]


def sleepers(program: Program, *words: int) -> None:
    """Children a, b, c ... that sleep, each on its word, and say their name when they wake."""
    for number, word in enumerate(words):
        program.call("fork")
        program.jump_unless_zero(f"after {number}")
        program.call("futex", word, WAIT, 0, 0)
        program.say(bytes([97 + number]))
        program.exit()
        program.label(f"after {number}")
        program.sleep(SLEEP)


@pytest.mark.parametrize(
    ("words", "wakes", "moves", "to", "result", "order"),
    [
        ((HERE, HERE, HERE), 1, 1, HERE, 2, b"abc"),
        ((HERE, HERE, HERE), 0, 2, HERE, 2, b"abc"),
        ((HERE, HERE, HERE), 0, 9, HERE, 3, b"abc"),
        ((HERE, HERE, HERE + 8, HERE + 8), 0, 1, HERE + 8, 1, b"cdab"),
        ((HERE, HERE, HERE, HERE + 8), 1, 1, HERE + 8, 2, b"adbc"),
    ],
)
def test_a_requeue_puts_sleepers_behind_those_of_another_word_and_onto_itself_changes_nothing(
    words: tuple[int, ...], wakes: int, moves: int, to: int, result: int, order: bytes
) -> None:
    """The call counts both (Linux, futex_requeue).  Then the sleepers on HERE + 8 wake first."""
    program = mapped(SHARED)
    sleepers(program, *words)
    program.call("futex", HERE, REQUEUE, wakes, moves, to)
    program.sleep(SLEEP)
    for word in (HERE + 8, HERE):
        for _ in words:
            program.call("futex", word, WAKE, 1)
            program.sleep(SLEEP)
    program.exit()
    run = run_code(program)
    assert run.results("futex", 1)[0] == result
    assert run.output == order


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((HERE + 1, WAIT, 0, 0), E.INVAL),
        ((HERE + 2, WAKE, 1, 0), E.INVAL),
        ((8, WAIT, 0, 0), E.FAULT),
        ((8, WAKE, 1, 0), E.FAULT),
        ((1 << 47, WAIT, 0, 0), E.FAULT),
        ((HERE, WAIT, 0, 8), E.FAULT),
        ((HERE, 99, 0, 0), E.NOSYS),
    ],
)
def test_errors(arguments: tuple[int, ...], error: E) -> None:
    program = mapped(PRIVATE)
    program.call("futex", *arguments)
    program.exit()
    assert run_code(program).results("futex") == [-error]


def test_an_invalid_timeout_is_refused() -> None:
    program = mapped(PRIVATE)
    program.call("futex", HERE, WAIT, 0, program.words(0, 10**9))
    program.exit()
    assert run_code(program).results("futex") == [-E.INVAL]


def test_a_wait_on_unreadable_memory_fails_with_efault() -> None:
    program = Program()
    program.call("mmap", HERE, PAGE, 0, PRIVATE, -1, 0)
    program.call("futex", HERE, WAIT, 0, 0)
    program.exit()
    assert run_code(program).results("futex") == [-E.FAULT]


def test_an_owner_that_dies_after_it_freed_its_lock_still_wakes_the_next_one() -> None:
    """Between the store and the wake: list_op_pending says that it was at it (Linux,
    handle_futex_death)."""
    program = Program()
    word = program.words(2)
    head = program.words(0, 0, word)
    program.store(head, head)  # the list is empty
    program.call("set_robust_list", head, 24)
    program.thread("waiter")
    program.sleep(100_000)
    program.store(word, 0)
    program.call("exit", 0)
    program.label("waiter")
    program.call("futex", word, 0, 2, 0)
    program.say(b"woken")
    program.exit()
    assert run_code(program).output == b"woken"


# FUTEX_WAKE_OP ------------------------------------------------------------------------------------

OPERATIONS: list[Callable[[int, int], int]] = [
    lambda old, operand: operand,
    lambda old, operand: old + operand,
    lambda old, operand: old | operand,
    lambda old, operand: old & ~operand,
    lambda old, operand: old ^ operand,
]
COMPARISONS: list[Callable[[int, int], bool]] = [
    *(operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge),
]
SHIFTED = 8


def signed(value: int, bits: int) -> int:
    return (value & (1 << bits) - 1 ^ 1 << bits - 1) - (1 << bits - 1)


@pytest.mark.parametrize("old", [0, 5, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF])
@pytest.mark.parametrize("compared", range(6))
def test_wake_op_changes_the_word_and_compares_its_old_value_with_its_sign(
    compared: int, old: int
) -> None:
    """FUTEX_WAKE_OP of futex(2): operand and comparand have 12 bits and a sign."""
    world = World()
    word, sleeps = world.page, world.page + 64
    sleeper = world.kernel.tasks.threads[world.ask("clone", THREAD, 0, 0, 0, 0)]
    world.kernel.tasks.policy.remove(sleeper)
    for limit in (0, 5, 0x7FF, 0x800, 0xFFF):
        for operation, operand in itertools.product((0, 1, 2, 3, 4, 8, 9), (0, 1, 0xFFF, 31)):
            world.process.space.write(word, old.to_bytes(4, "little"))
            encoded = operation << 28 | compared << 24 | operand << 12 | limit
            woken = world.ask("futex", sleeps, 5, 1, 1, word, encoded)
            amount = 1 << (operand & 31) if operation & SHIFTED else signed(operand, 12)
            wanted = OPERATIONS[operation & 7](old, amount) & 0xFFFF_FFFF
            assert world.process.space.read(word, 4) == wanted.to_bytes(4, "little")
            assert woken == 0
        holds = COMPARISONS[compared](signed(old, 32), signed(limit, 12))
        encoded = 1 << 28 | compared << 24 | limit  # nothing is added
        world.process.space.write(word, old.to_bytes(4, "little"))
        with pytest.raises(Blocked) as blocked:
            world.ask("futex", word, 0, old, 0, 0, 0, thread=sleeper)
        world.kernel.tasks.seat.thread = sleeper
        world.kernel.tasks.block(sleeper, blocked.value.channel)
        assert world.ask("futex", sleeps, 5, 1, 1, word, encoded) == holds
        if not holds:
            assert world.ask("futex", word, 1, 1, 0, 0, 0) == 1
        world.kernel.tasks.policy.remove(sleeper)


def test_wake_op_refuses_operations_and_comparisons_that_there_are_not() -> None:
    world = World()
    for encoded in (5 << 28, 7 << 28, 6 << 24, 15 << 24):
        assert world.ask("futex", world.page, 5, 1, 1, world.page + 64, encoded) == -E.NOSYS
    assert world.process.space.read(world.page, 80) == bytes(80)
