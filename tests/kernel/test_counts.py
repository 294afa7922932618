"""What each event costs: its exact counts of primitives, on both MMUs.

Two tables from an event to its counts: `GUEST` has what programs do, `CALLS` the calls on VASes and
segments.  What the machine does without a kernel is in `tests/hw/test_machine_counts.py`.
Cycles are the sum of counts times prices, and no more.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from hw.trace import Kind, Trace
from kernel.mm.residency import MCL_CURRENT
from tests.hw.bare import BOTH_MMUS
from tests.hw.counts import NAMES, Bill, Counts, counts, on, plus
from tests.hw.test_machine_counts import CODES, MACHINE
from tests.kernel.asm import DATA, Program
from tests.kernel.system import System
from tests.kernel.tight import pager
from tests.kernel.vas_world import HERE, PAGE, RW, World

Step = Callable[[Program], None]
READ_WRITE, SHARED, PRIVATE = 3, 0x31, 0x32
"""PROT_READ | PROT_WRITE; MAP_SHARED and MAP_PRIVATE with MAP_FIXED and MAP_ANONYMOUS."""
SPAN = 512
"""The pages under one table of leaves."""
SIGSEGV, SA_RESTORER = 11, 0x0400_0000


# Programs -----------------------------------------------------------------------------------------


@dataclass
class Event:
    """What a program does between two null calls; `before` comes before the first of them."""

    event: Step
    counts: Counts
    before: Step = lambda program: None
    wishes: dict[str, Any] = field(default_factory=dict)
    at_mark: Callable[[System], None] = lambda system: None
    """Done by hand in the first null call."""


CALL = counts(instruction=2, syscall=1)
"""The null call behind the event: MOV and SYSCALL."""


def spent(row: Event, mmu: str) -> Counts:
    program = Program()
    row.before(program)
    program.call("null_call")
    row.event(program)
    program.call("null_call")
    program.exit()
    system = System(program, **{"ram": 2, "mmu": mmu, **row.wishes})
    marks: list[Bill] = []

    def observe(kind: Kind, values: tuple[Any, ...]) -> None:
        system._observe(kind, values)
        if kind.name == "syscall" and system.calls[-1].name == "null_call" and values[0] == 1:
            if not marks:
                row.at_mark(system)
            marks.append(Bill.of(system.kernel.machine))

    system.kernel.machine.attach_trace(Trace({}, None, observe))
    system.run()
    return {
        name: number - CALL.get(name, 0)
        for name, number in marks[-1].since(marks[0]).items()
        if number != CALL.get(name, 0)
    }


def steps(*parts: Step) -> Step:
    def do(program: Program) -> None:
        for part in parts:
            part(program)

    return do


def mapped(kind: int) -> Step:
    """512 pages at HERE.  The last one is in use, so that the tables are there."""
    size = SPAN * PAGE
    return steps(call("mmap", HERE, size, READ_WRITE, kind, -1, 0), store(HERE + size - PAGE))


def load(va: int) -> Step:
    """MOV; the address is part of it."""
    return lambda program: program.load_byte(va)


def store(va: int) -> Step:
    """Two MOVs."""
    return lambda program: program.store_byte(va, 7)


def call(name: str | int, *arguments: int) -> Step:
    """MOV for the number and for each argument, and SYSCALL."""
    return lambda program: program.call(name, *arguments)


def asks(name: str | int, *arguments: int, **more: int) -> Event:
    row = counts(instruction=2 + len(arguments), syscall=1)
    return Event(call(name, *arguments), plus(row, more))


def pages_in_use(number: int) -> Step:
    return steps(mapped(PRIVATE), *(store(HERE + i * PAGE) for i in range(number)))


def idle_child(program: Program) -> None:
    """A child that does not run before its parent ends."""
    program.fork("on")
    program.label("on")


def child_that_ended(program: Program) -> None:
    program.fork("end")
    program.wait()
    program.jump("on")
    program.label("end")
    program.exit()
    program.label("on")


def file_pages(program: Program) -> None:
    program.put(bytes([1]) * 4 * PAGE)
    program.load_byte(DATA)


def pages_that_may_leave(program: Program) -> None:
    pages_in_use(1)(program)
    program.call("mlockall", MCL_CURRENT)
    program.call("munlock", HERE, (SPAN - 1) * PAGE)


def all_out(system: System) -> None:
    pager(system).make_room(1 << 30)


def bad_load(program: Program) -> None:
    program.load_byte(PAGE)
    program.label("on")


def other(start: Callable[[Program, str], None]) -> Step:
    """Someone else who yields for ever, and everything warm."""

    def do(program: Program) -> None:
        start(program, "loop")
        program.jump("on")
        program.label("loop")
        program.call("sched_yield")
        program.jump("loop")
        program.label("on")
        program.call("sched_yield")
        program.call("sched_yield")

    return do


def new_thread(program: Program, label: str) -> None:
    program.thread(label)


def new_process(program: Program, label: str) -> None:
    program.fork(label)


def spinner(program: Program) -> None:
    program.jump("on")
    program.label("loop")
    program.spin()
    program.label("on")


def attached_view(program: Program) -> None:
    program.call("vas_create", program.put(b"v\0"), 0o600)
    program.call("vas_attach", 0, 1, RW)
    program.call("vas_switch", 1)
    program.call("vas_switch", 0)


LOAD, STORE, WALK = counts(instruction=1), counts(instruction=2), counts(walk_step=4)
FAULT = counts(exception=1, region_find=1)
SHOWN = plus(FAULT, WALK, counts(pte_write=1))
"""The kernel shows a page, and the core walks to it."""
ZEROED = plus(SHOWN, counts(frame_zero=1))
THREE_PAGES_DOWN, SIXTY_FOUR_DOWN = "c68424 00d0ffff 01", "c68424 0000fcff 01"
"""mov byte [rsp - n], 1"""
TASK = counts(task_create=1, context_save=1)
SWITCHES = counts(
    instruction=5, syscall=2, schedule_pick=2, context_save=2, context_restore=2
)  # there and back; the other one yields too, and jumps
TO_VIEW = counts(instruction=3, syscall=1, table_lookup=1)

GUEST = {
    # Calls
    "null call": asks("null_call"),
    "unknown call": asks(999),
    "getpid": asks("getpid"),
    "yield to nobody": asks("sched_yield"),
    "mmap": asks("mmap", HERE, PAGE, 3, PRIVATE, -1, 0, record_create=1, region_change=1),
    "write of a byte: a message and its reply": Event(
        lambda program: program.say(b"a"),
        counts(instruction=5, syscall=1, message=2, user_copy_line=1),
        lambda program: program.say(b"a"),
    ),
    "write of 65 bytes: two lines": Event(
        lambda program: program.say(b"a" * 65),
        counts(instruction=5, syscall=1, message=2, user_copy_line=2),
        lambda program: program.say(b"a" * 65),
    ),
    # Translation
    "load of a page in the TLB": Event(load(HERE), LOAD, pages_in_use(1)),
    "load of a page in the tables": Event(
        load(HERE), plus(LOAD, WALK), steps(mapped(PRIVATE), call("getrandom", HERE, 8, 0))
    ),
    "first store to a page that was loaded: D": Event(
        store(HERE), plus(STORE, WALK), steps(mapped(SHARED), load(HERE))
    ),
    # Faults
    "demand zero, load": Event(load(HERE), plus(LOAD, ZEROED), mapped(PRIVATE)),
    "demand zero, store": Event(store(HERE), plus(STORE, ZEROED), mapped(PRIVATE)),
    "demand zero, shared": Event(store(HERE), plus(STORE, ZEROED), mapped(SHARED)),
    "demand zero, and two tables": Event(
        store(HERE),
        plus(STORE, ZEROED, counts(table_allocate=2, frame_zero=2, pte_write=2)),
        call("mmap", HERE, PAGE, READ_WRITE, PRIVATE, -1, 0),
    ),
    "file, load": Event(load(DATA + PAGE), plus(LOAD, ZEROED), file_pages),
    "file, private store": Event(
        store(DATA + PAGE), plus(STORE, ZEROED, counts(frame_copy=1)), file_pages
    ),
    "file, private store after a load": Event(
        store(DATA + PAGE),
        plus(STORE, SHOWN, counts(frame_copy=1, invlpg=1)),
        steps(file_pages, load(DATA + PAGE)),
    ),
    "copy-on-write": Event(
        store(HERE),
        plus(STORE, SHOWN, counts(frame_copy=1, invlpg=1)),
        steps(pages_in_use(1), idle_child),
    ),
    "copy-on-write, the last holder": Event(
        store(HERE), plus(STORE, SHOWN), steps(pages_in_use(1), child_that_ended)
    ),
    "refused, and its handler entered": Event(
        bad_load,
        plus(FAULT, counts(user_copy_line=15)),
        lambda program: program.on_signal(SIGSEGV, "@on", SA_RESTORER),
    ),
    "stack, inside its region": Event(
        lambda program: program.raw(THREE_PAGES_DOWN), plus(LOAD, ZEROED)
    ),
    "stack, growth": Event(
        lambda program: program.raw(SIXTY_FOUR_DOWN), plus(LOAD, ZEROED, counts(region_change=1))
    ),
    "paged in": Event(
        load(HERE),
        plus(LOAD, SHOWN, counts(disk_read=1)),
        pages_that_may_leave,
        {"ram": 1, "swap": 1},
        all_out,
    ),
    # Threads, views and processes
    "a thread is made": Event(
        lambda program: program.thread("loop"),
        plus(TASK, counts(instruction=9, syscall=1)),
        spinner,
    ),
    "to another thread and back": Event(call("sched_yield"), SWITCHES, other(new_thread)),
    "to another process and back": Event(
        call("sched_yield"),
        plus(SWITCHES, counts(space_load=2, cr3_write_tagged=2)),
        other(new_process),
    ),
    "to another process and back, without tags": Event(
        call("sched_yield"),
        plus(SWITCHES, counts(cr3_write=2, walk_step=8)),
        other(new_process),
        {"pcid": False},
    ),
    "to a view": Event(
        call("vas_switch", 1),
        plus(TO_VIEW, counts(space_load=1, cr3_write_tagged=1)),
        attached_view,
    ),
    "to a view, without tags": Event(
        call("vas_switch", 1),
        plus(TO_VIEW, counts(cr3_write=1, walk_step=4)),
        attached_view,
        {"pcid": False},
    ),
}

FORK = counts(
    instruction=4,  # and the child's jump
    syscall=1,
    task_create=2,  # process and thread
    context_save=1,
    record_create=4,  # the objects of code, data, stack and HERE
    region_change=4,
    descriptor_copy=3,
    table_allocate=9,
    frame_zero=9,
    pte_write=8 + 1,  # tables below the root; the kernel's user page
)
SHARED_PAGE = counts(pte_write=2)
"""A page that the parent has stored to: its leaf loses W, and the child gets one."""
READ_PAGE = counts(pte_write=1)
for number in (0, 1, 8, 30):
    GUEST[f"fork with {number} pages at HERE"] = Event(
        idle_child,
        # Besides them code, stack, and the page that mapped() stores to.
        plus(FORK, READ_PAGE, *[SHARED_PAGE] * (2 + number), counts(invlpg=2 + number)),
        pages_in_use(number),
    )
GUEST["fork with 34 stale pages: the whole tag goes"] = Event(
    idle_child,
    plus(FORK, READ_PAGE, *[SHARED_PAGE] * 34, counts(flush_pcid=1), WALK),
    pages_in_use(32),
)


@pytest.mark.parametrize("mmu", BOTH_MMUS)
@pytest.mark.parametrize("name", GUEST)
def test_what_a_program_does_costs_exactly_this(name: str, mmu: str) -> None:
    row = GUEST[name]
    assert spent(row, mmu) == on(mmu, row.counts)


# Calls on VASes and segments ----------------------------------------------------------------------

Setup = Callable[[World], tuple[int, ...]]
"""Prepares, and returns the call's arguments."""


def linked(world: World) -> tuple[int, int]:
    vid, sid = world.vas(), world.segment()
    assert world.ask("vas_seg_attach", vid, sid, RW) == 0
    return vid, sid


def at_home(world: World) -> tuple[int, int]:
    sid = world.segment()
    assert world.ask("vas_seg_attach", 0, sid, RW) == 0
    return 0, sid


def locally(world: World) -> tuple[int, int]:
    vid, sid = world.attached(), world.segment()
    assert world.ask("vas_local_attach", vid, sid, RW) == 0
    return vid, sid


def with_three_pages(world: World) -> int:
    vid = world.inside()
    assert world.ask("mmap", HERE, 8 * PAGE, READ_WRITE, PRIVATE, -1, 0) == HERE
    world.thread.space.write(HERE, bytes(3 * PAGE))
    assert world.ask("vas_switch", 0) == 0
    return vid


def detached(world: World) -> tuple[int]:
    vid = with_three_pages(world)
    assert world.ask("vas_detach", 0, vid) == 0
    return (vid,)


def full_segment(world: World) -> int:
    _, sid = at_home(world)
    world.thread.space.write(HERE, bytes(2 * PAGE))
    return sid


def named(world: World, *rest: int) -> tuple[int, ...]:
    return (world.text("new"), *rest)


def attributes(number: int, world: World) -> tuple[int, int]:
    return number, world.put(struct.pack("<III", 0o600, 1000, 100))


def one(vid: int) -> tuple[int]:
    return (vid,)


def found(number: int, world: World, name: str) -> tuple[int]:
    assert number
    return (world.text(name),)


STRING = counts(user_copy_line=64)
"""The kernel reads the page of a name up to its end."""
NAME = plus(STRING, counts(name_lookup=1))
SMALL = counts(user_copy_line=1)
TABLE = counts(table_allocate=1, frame_zero=1)
SEGMENT_MADE = plus(NAME, counts(record_create=2))
VAS_MADE = plus(NAME, TABLE, counts(record_create=2))
VIEW_MADE = plus(TABLE, counts(record_create=2, table_lookup=2, pte_write=2))

CALLS: list[tuple[str, str, Setup, Counts]] = [
    ("vas_create", "", lambda w: named(w, 0o600), VAS_MADE),
    ("vas_delete", "empty", lambda w: one(w.vas()), {}),
    ("vas_delete", "one segment", lambda w: one(linked(w)[0]), counts(region_change=1)),
    ("vas_delete", "one mapping of its own", detached, counts(region_change=1)),
    ("vas_find", "", lambda w: found(w.vas(), w, "vas"), NAME),
    ("vas_attach", "empty", lambda w: (0, w.vas(), RW), VIEW_MADE),
    (
        "vas_attach",
        "one segment",
        lambda w: (0, linked(w)[0], RW),
        plus(VIEW_MADE, TABLE, counts(region_find=4, pte_write=1)),
    ),
    ("vas_detach", "", lambda w: (0, w.attached()), {}),
    ("vas_switch", "in", lambda w: one(w.attached()), counts(table_lookup=1)),
    ("vas_switch", "home", lambda w: one(w.inside() * 0), counts(table_lookup=1)),
    ("active_vas", "", lambda w: (), {}),
    ("vas_getattr", "", lambda w: (w.vas(), w.page), SMALL),
    ("vas_setattr", "", lambda w: attributes(w.vas(), w), SMALL),
    ("vas_seg_create", "", lambda w: named(w, HERE, HERE + PAGE, 0o600), SEGMENT_MADE),
    ("vas_seg_delete", "", lambda w: one(w.segment()), {}),
    ("vas_seg_find", "", lambda w: found(w.segment(), w, "segment"), NAME),
    ("vas_seg_attach", "", lambda w: (w.vas(), w.segment(), RW), counts(region_change=1)),
    ("vas_seg_attach", "home", lambda w: (0, w.segment(), RW), counts(region_change=1)),
    ("vas_seg_detach", "", linked, counts(region_change=1)),
    ("vas_seg_detach", "home", at_home, counts(region_change=1)),
    ("vas_seg_getattr", "", lambda w: (w.segment(), w.page), SMALL),
    ("vas_seg_setattr", "", lambda w: attributes(w.segment(), w), SMALL),
    (
        "vas_clone",
        "one segment",
        lambda w: (linked(w)[0], *named(w, 0o600)),
        plus(VAS_MADE, counts(table_lookup=1, region_change=1)),
    ),
    (
        "vas_clone",
        "three pages of its own",
        lambda w: (with_three_pages(w), *named(w, 0o600)),
        plus(VAS_MADE, counts(record_create=1, region_change=1, frame_copy=3)),
    ),
    ("vas_ctl", "tag", lambda w: (w.attached(), 1, 2), counts(table_lookup=1)),
    ("vas_ctl", "pushed", lambda w: (w.attached(), 2, 0), {}),
    (
        "vas_seg_clone",
        "two pages",
        lambda w: (full_segment(w), *named(w, 0o600)),
        plus(SEGMENT_MADE, counts(frame_copy=2)),
    ),
    ("vas_seg_ctl", "", lambda w: (w.segment(), 1, 1), {}),
    (
        "vas_local_attach",
        "",
        lambda w: (w.attached(), w.segment(), RW),
        plus(
            TABLE,  # the layer's
            TABLE,  # the view's
            counts(record_create=1, table_lookup=1, region_change=1, region_find=6, pte_write=1),
        ),
    ),
    ("vas_local_detach", "", locally, counts(region_change=1)),
    ("vas_entry", "", lambda w: (with_three_pages(w), HERE), counts(table_lookup=1)),
]


@pytest.mark.parametrize("mmu", BOTH_MMUS)
@pytest.mark.parametrize(
    ("name", "setup", "row"),
    [(name, setup, row) for name, _, setup, row in CALLS],
    ids=[f"{name} {what}".strip() for name, what, _, _ in CALLS],
)
def test_a_call_on_vases_costs_exactly_this(name: str, setup: Setup, row: Counts, mmu: str) -> None:
    world = World(mmu=mmu, sharing="switch", ram=2)
    arguments = setup(world)
    before = Bill.of(world.kernel.machine)
    assert world.ask(name, *arguments) >= 0
    assert Bill.of(world.kernel.machine).since(before) == row


@pytest.mark.parametrize("mmu", BOTH_MMUS)
@pytest.mark.parametrize("pages", [1, 33, 34])
@pytest.mark.parametrize("targets", [0, 1, 3])
def test_a_shootdown_with_n_targets_costs_exactly_this(targets: int, pages: int, mmu: str) -> None:
    """Each core drops the pages one by one, or its tag if there are more than 33."""
    world = World(mmu=mmu, ram=2, cpus=targets + 1)
    machine = world.kernel.machine
    assert world.ask("mmap", HERE, 64 * PAGE, READ_WRITE, PRIVATE, -1, 0) == HERE
    world.thread.space.write(HERE, bytes(pages * PAGE))
    world.run_on(0, world.thread)
    for number in range(1, targets + 1):
        world.run_on(number, world.clone())
    machine.take_turn(machine.cores[0])
    drops = counts(invlpg=pages) if pages <= 33 else counts(flush_pcid=1)
    began = Bill.of(machine)
    assert world.ask("munmap", HERE, 64 * PAGE) == 0
    asked = Bill.of(machine)
    tables = 3  # that are empty now, with an entry each above
    sent = {"ipi_send": targets} if targets else {}
    row = plus(drops, counts(pte_write=pages + tables, region_change=1), sent)
    assert asked.since(began) == row
    for core in machine.cores[1:]:
        machine.take_turn(core)
        before = Bill.of(machine)
        (message,) = machine.take_ipis()
        world.kernel.memory.shootdowns.answer(message)
        assert Bill.of(machine).since(before, waits=True) == plus(drops, counts(interrupt=1))


def test_every_primitive_is_in_a_row() -> None:
    rows = [
        *(row.counts for row in GUEST.values()),
        *(row[3] for row in CALLS),
        *(row[1] for row in CODES.values()),
        *(row[1] for row in MACHINE.values()),
    ]
    elsewhere = {"lock_change", "queue_look"}  # tests/kernel/test_vas_costs.py
    elsewhere |= {"nvm_flush", "nvm_fence"}  # tests/kernel/test_medium.py
    assert {name for row in rows for name, number in row.items() if number} | elsewhere == set(
        NAMES
    )
