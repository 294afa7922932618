"""Every call on VASes and segments, with every error that it declares and every right.

The test compares the table of cases with the declarations.  A documented error without a case
fails, and so does a case whose error is not documented.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from kernel import invariants
from kernel.strace import error_name
from kernel.syscalls import TABLE, SystemCall
from kernel.task.credentials import Credentials
from kernel.vas.listing import listing
from kernel.vas.records import MAX_ATTACHMENTS
from tests.kernel.asm import NUMBERS
from tests.kernel.vas_kept import KEPT_CASES
from tests.kernel.vas_world import GROUP, HERE, OTHER, OWNER, PAGE, RW, THERE, R, World

BAD, NOBODY = 0x1234, 999
CALLS = [row for number, row in sorted(TABLE.items()) if 1332 <= number < 1400]
ELSEWHERE = {"vas_attach_bare", "vas_sigaltstack", "vas_fork", "vas_exec"}
"""Their errors are in `test_vas_bare`, `test_vas_visit` and `test_vas_restart`."""
RFC = (
    "vas_create vas_delete vas_find vas_attach vas_detach vas_switch active_vas vas_getattr "
    "vas_setattr vas_seg_create vas_seg_delete vas_seg_find vas_seg_attach vas_seg_detach "
    "vas_seg_getattr vas_seg_setattr"
).split()
ATTRIBUTES = (0o644).to_bytes(4, "little") + (1000).to_bytes(4, "little") * 2

Case = Callable[[World], int]
CASES: dict[tuple[str, str], list[Case]] = {}
Made = Callable[[World], int] | int
"""An argument: a number, or a function that computes it from the world of the case."""


def asks(call: str, *arguments: Made, who: Credentials | None = None) -> Case:
    """A case of one call.  The caller may be another user than the owner of the VAS or segment."""

    def ask(world: World) -> int:
        values = [value if isinstance(value, int) else value(world) for value in arguments]
        if who is not None:
            world.process.credentials = who
        return world.ask(call, *values)

    return ask


def a_vas(world: World) -> int:
    return world.vas()


def a_segment(world: World) -> int:
    return world.segment()


def attached(world: World) -> int:
    return world.attached()


def guarded(world: World) -> int:
    """A VAS with a gate; the caller is home."""
    vid = world.inside()
    at = world.map(HERE)
    assert world.ask("vas_switch", 0) == 0
    assert world.ask("vas_entry", vid, at) == 0
    return vid


def text(name: str) -> Case:
    return lambda world: world.text(name)


def a_vas_of(mode: int) -> Case:
    return lambda world: world.vas(mode=mode)


def a_segment_of(mode: int) -> Case:
    return lambda world: world.segment(mode=mode)


def case(name: str, error: str) -> Callable[[Case], Case]:
    def note(function: Case) -> Case:
        CASES.setdefault((name, error), []).append(function)
        return function

    return note


def test_the_rfcs_calls_have_their_numbers() -> None:
    assert [NUMBERS[name] for name in RFC] == list(range(1332, 1348))


def test_every_documented_error_has_a_case_and_every_case_is_documented() -> None:
    documented = {
        (row.name, error)
        for row in CALLS
        if row.name not in ELSEWHERE
        for error in re.findall(r"\bE[A-Z]{3,}\b", row.doc)
    }
    assert documented == set(CASES)


# Names -----------------------------------------------------------------------------------------


def named(call: str, *rest: int, before: tuple[Made, ...] = ()) -> None:
    """The errors of every call that takes a name."""
    for at in (0, text("x" * 256)):
        case(call, "EINVAL")(asks(call, *before, at, *rest))
    case(call, "EFAULT")(asks(call, *before, BAD, *rest))


named("vas_create", 0o600)
named("vas_find")
named("vas_seg_create", HERE, HERE + PAGE, 0o600)
named("vas_seg_find")
named("vas_clone", 0o600, before=(a_vas,))
named("vas_seg_clone", 0o600, before=(a_segment,))


@case("vas_create", "EEXIST")
def _(w: World) -> int:
    w.vas("one")
    return w.vas("one")


@case("vas_create", "ENOMEM")
def _(w: World) -> int:
    w.kernel.vases.limit_frames = 1
    w.vas("one")
    return w.vas("two")


@case("vas_create", "ENOMEM")
def _(w: World) -> int:
    return without_frames(w, "vas_create", w.text("one"), 0o600)


@case("vas_find", "ESRCH")
def _(w: World) -> int:
    w.segment("one")
    return w.ask("vas_find", w.text("one"))


@case("vas_seg_find", "ESRCH")
def _(w: World) -> int:
    w.vas("one")
    return w.ask("vas_seg_find", w.text("one"))


for bounds in ((HERE + 1, HERE + PAGE), (HERE, HERE + 1), (HERE, HERE), (HERE + PAGE, HERE)):
    case("vas_seg_create", "EINVAL")(asks("vas_seg_create", text("one"), *bounds, 0o600))
for bounds in ((0, PAGE), (0x7FFF_FFFF_E000, 0x8000_0000_0000), (1 << 63, (1 << 63) + PAGE)):
    case("vas_seg_create", "EFAULT")(asks("vas_seg_create", text("one"), *bounds, 0o600))


@case("vas_seg_create", "EEXIST")
def _(w: World) -> int:
    w.segment("one")
    return w.segment("one", THERE)


@case("vas_seg_create", "ENOMEM")
def _(w: World) -> int:
    w.kernel.vases.limit_frames = 1
    w.vas("one")
    return w.segment("two")


# Ids -------------------------------------------------------------------------------------------


def unknown(call: str, *rest: int) -> None:
    for id in (1, -1, NOBODY):
        case(call, "EINVAL")(asks(call, id, *rest))


for call in ("vas_delete", "vas_seg_delete", "vas_switch"):
    unknown(call)
for call in ("vas_getattr", "vas_setattr", "vas_seg_getattr", "vas_seg_setattr"):
    unknown(call, BAD)
unknown("vas_ctl", 1, 1)
unknown("vas_ctl", 2, 0)
unknown("vas_seg_ctl", 1, 1)
unknown("vas_local_attach", 1, R)
unknown("vas_local_detach", 1)
unknown("vas_entry", 0x40_0000)
for pid, vid in ((-1, a_vas), (0, -1), (NOBODY, -1), (-1, -1)):
    case("vas_attach", "EINVAL")(asks("vas_attach", pid, vid, R))
    case("vas_detach", "EINVAL")(asks("vas_detach", pid, vid))
for id in (0, NOBODY):
    case("vas_attach", "EINVAL")(asks("vas_attach", 0, id, R))
    case("vas_detach", "EINVAL")(asks("vas_detach", 0, id))
    case("vas_seg_attach", "EINVAL")(asks("vas_seg_attach", a_vas, id, R))
    case("vas_seg_detach", "EINVAL")(asks("vas_seg_detach", a_vas, id))
    case("vas_clone", "EINVAL")(asks("vas_clone", id, text("x"), 0))
    case("vas_seg_clone", "EINVAL")(asks("vas_seg_clone", id, text("x"), 0))
for arguments in ((NOBODY, a_segment), (0, a_segment)):
    case("vas_seg_detach", "EINVAL")(asks("vas_seg_detach", *arguments))
case("vas_seg_attach", "EINVAL")(asks("vas_seg_attach", NOBODY, a_segment, R))
case("vas_switch", "EINVAL")(asks("vas_switch", a_vas))
case("vas_detach", "EINVAL")(asks("vas_detach", 0, a_vas))
case("vas_local_attach", "EINVAL")(asks("vas_local_attach", a_vas, a_segment, R))
case("vas_local_detach", "EINVAL")(asks("vas_local_detach", attached, a_segment))
for kind in (3, -1, 7, 0o100003):
    case("vas_attach", "EINVAL")(asks("vas_attach", 0, a_vas, kind))
    case("vas_seg_attach", "EINVAL")(asks("vas_seg_attach", a_vas, a_segment, kind))
    case("vas_local_attach", "EINVAL")(asks("vas_local_attach", attached, a_segment, kind))
for command, value in ((0, 1), (3, 1), (1, 3), (1, -1)):
    case("vas_ctl", "EINVAL")(asks("vas_ctl", attached, command, value))
    case("vas_seg_ctl", "EINVAL")(asks("vas_seg_ctl", a_segment, command, value))
for entry in (0, 1 << 47, (1 << 64) - 1):
    case("vas_entry", "EINVAL")(asks("vas_entry", attached, entry))


# Pointers, and who may -------------------------------------------------------------------------


def attributes(call: str, make: Callable[[World], int]) -> None:
    case(call, "EINVAL")(lambda w: w.ask(call, make(w), 0))
    case(call, "EFAULT")(lambda w: w.ask(call, make(w), BAD))
    if "set" not in call:
        return
    for who, group in ((GROUP, 100), (OTHER, 200), (OWNER, 200)):

        def as_user(w: World, who: Credentials = who, group: int = group) -> int:
            id = make(w)
            at = w.put(ATTRIBUTES[:8] + group.to_bytes(4, "little"))
            w.process.credentials = who
            return w.ask(call, id, at)

        case(call, "EACCES")(as_user)

    @case(call, "EACCES")
    def give_away(w: World) -> int:
        id = make(w)
        return w.ask(call, id, w.put(ATTRIBUTES[:4] + bytes(4) + (100).to_bytes(4, "little")))


for call in ("vas_getattr", "vas_setattr"):
    attributes(call, lambda w: w.vas(mode=0o666))
for call in ("vas_seg_getattr", "vas_seg_setattr"):
    attributes(call, lambda w: w.segment(mode=0o666))


for call in ("vas_delete", "vas_ctl"):
    case(call, "EACCES")(asks(call, a_vas_of(0o664), 1, 1, who=OTHER))
for call in ("vas_seg_delete", "vas_seg_ctl"):
    case(call, "EACCES")(asks(call, a_segment_of(0o664), 1, 1, who=OTHER))
case("vas_attach", "EACCES")(asks("vas_attach", 0, a_vas_of(0o664), RW, who=OTHER))
case("vas_clone", "EACCES")(asks("vas_clone", a_vas_of(0o662), text("x"), 0, who=OTHER))
case("vas_seg_clone", "EACCES")(asks("vas_seg_clone", a_segment_of(0o662), text("x"), 0, who=OTHER))
for modes in ((0o664, 0o666), (0o666, 0o664)):
    case("vas_seg_attach", "EACCES")(
        asks("vas_seg_attach", a_vas_of(modes[0]), a_segment_of(modes[1]), RW, who=OTHER)
    )
case("vas_local_attach", "EACCES")(
    asks("vas_local_attach", attached, a_segment_of(0o664), RW, who=OTHER)
)


@case("vas_clone", "EACCES")
def _(w: World) -> int:
    vid, sid = w.vas(mode=0o666), w.segment(mode=0o660)
    assert w.ask("vas_seg_attach", vid, sid, R) == 0
    return asks("vas_clone", vid, w.text("x"), 0, who=OTHER)(w)


@case("vas_attach", "EACCES")
def _(w: World) -> int:
    stranger = w.fork(OTHER)
    return w.ask("vas_attach", stranger.pid, w.vas(mode=0o666), R)


@case("vas_detach", "EACCES")
def _(w: World) -> int:
    vid, stranger = w.vas(mode=0o666), w.fork(OTHER)
    assert w.ask("vas_attach", 0, vid, R, thread=stranger) == 0
    return w.ask("vas_detach", stranger.pid, vid)


case("vas_detach", "EACCES")(asks("vas_detach", 0, guarded))
case("vas_entry", "EACCES")(asks("vas_entry", attached, 0x40_0000))


@case("vas_seg_detach", "EACCES")
def _(w: World) -> int:
    vid, sid = w.vas(mode=0o664), w.segment(mode=0o666)
    assert w.ask("vas_seg_attach", vid, sid, R) == 0
    return asks("vas_seg_detach", vid, sid, who=OTHER)(w)


# Processes -------------------------------------------------------------------------------------

for vid in (a_vas, 0, NOBODY):
    for kind in (R, 3):
        case("vas_attach", "ESRCH")(asks("vas_attach", NOBODY, vid, kind))
    case("vas_detach", "ESRCH")(asks("vas_detach", NOBODY, vid))


@case("vas_attach", "ESRCH")
def _(w: World) -> int:
    child = w.fork()
    w.kernel.life.exit_process(child.process, 0)
    return w.ask("vas_attach", child.pid, w.vas(), R)


# Busy ------------------------------------------------------------------------------------------

case("vas_delete", "EBUSY")(asks("vas_delete", attached))
case("vas_delete", "EBUSY")(asks("vas_delete", attached, who=OTHER))
case("vas_detach", "EBUSY")(lambda w: w.ask("vas_detach", 0, w.inside()))


@case("vas_detach", "EBUSY")
def _(w: World) -> int:
    vid = w.inside()
    w.clone()
    assert w.ask("vas_switch", 0) == 0
    return w.ask("vas_detach", 0, vid)


@case("vas_seg_delete", "EBUSY")
def _(w: World) -> int:
    vid, sid = w.vas(), w.segment()
    assert w.ask("vas_seg_attach", vid, sid, R) == 0
    return w.ask("vas_seg_delete", sid)


@case("vas_seg_delete", "EBUSY")
def _(w: World) -> int:
    """EBUSY comes before EACCES, as in the RFC."""
    sid = w.segment()
    assert w.ask("vas_seg_attach", 0, sid, R) == 0
    return asks("vas_seg_delete", sid, who=OTHER)(w)


@case("vas_seg_ctl", "EBUSY")
def _(w: World) -> int:
    vid, sid = w.vas(), w.segment()
    assert w.ask("vas_seg_attach", vid, sid, R) == 0
    return w.ask("vas_seg_ctl", sid, 1, 1)


case("vas_seg_attach", "EBUSY")(asks("vas_seg_attach", attached, a_segment, R))


@case("vas_seg_detach", "EBUSY")
def _(w: World) -> int:
    vid, sid = w.vas(), w.segment()
    assert w.ask("vas_seg_attach", vid, sid, R) == 0
    assert w.ask("vas_attach", 0, vid, R) == 0
    return w.ask("vas_seg_detach", vid, sid)


@case("vas_attach", "EBUSY")
def _(w: World) -> int:
    vid, child = w.vas(), w.fork()
    vas = w.kernel.vases.vases[vid]
    vas.readers = MAX_ATTACHMENTS
    result = w.ask("vas_attach", 0, vid, R, thread=child)
    vas.readers = 0
    return result


@case("vas_attach", "EBUSY")
def _(w: World) -> int:
    vid, child = w.attached(), w.fork()
    return w.ask("vas_attach", 0, vid, R, thread=child)


@case("vas_seg_attach", "EBUSY")
def _(w: World) -> int:
    one, two, sid = w.vas("one"), w.vas("two"), w.segment()
    assert w.ask("vas_seg_attach", one, sid, RW) == 0
    return w.ask("vas_seg_attach", two, sid, R)


@case("vas_clone", "EBUSY")
def _(w: World) -> int:
    vid, sid = w.vas(), w.segment()
    assert w.ask("vas_seg_attach", vid, sid, RW) == 0
    return w.ask("vas_clone", vid, w.text("x"), 0o600)


@case("vas_local_attach", "EBUSY")
def _(w: World) -> int:
    vid, sid = w.attached(), w.segment()
    assert w.ask("vas_seg_attach", 0, sid, RW) == 0
    return w.ask("vas_local_attach", vid, sid, R)


case("vas_entry", "EBUSY")(asks("vas_entry", guarded, HERE))


# Conflicts, and no memory ----------------------------------------------------------------------


@case("vas_attach", "EFAULT")
def _(w: World) -> int:
    vid, sid = w.vas(), w.segment()
    assert w.ask("vas_seg_attach", vid, sid, RW) == 0
    assert w.map(HERE + PAGE) == HERE + PAGE
    return w.ask("vas_attach", 0, vid, RW)


@case("vas_seg_attach", "EFAULT")
def _(w: World) -> int:
    vid, one, two = w.vas(), w.segment("one"), w.segment("two", HERE + PAGE)
    assert w.ask("vas_seg_attach", vid, one, RW) == 0
    return w.ask("vas_seg_attach", vid, two, RW)


@case("vas_seg_attach", "EFAULT")
def _(w: World) -> int:
    w.map(HERE)
    return w.ask("vas_seg_attach", 0, w.segment(), RW)


@case("vas_local_attach", "EFAULT")
def _(w: World) -> int:
    vid = w.attached()
    w.map(HERE)
    return w.ask("vas_local_attach", vid, w.segment(), RW)


@case("vas_switch", "EFAULT")
def _(w: World) -> int:
    w.kernel.vases.choose("rfc", "attach")
    w.ask("brk", w.ask("brk", 0) + PAGE)
    vid = w.attached()
    w.ask("brk", w.ask("brk", 0) + PAGE)
    return w.ask("vas_switch", vid)


@case("vas_detach", "EFAULT")
def _(w: World) -> int:
    w.kernel.vases.choose("rfc", "attach")
    vid, child = w.vas(), w.fork()
    for thread in (w.thread, child):
        assert w.ask("vas_attach", 0, vid, R, thread=thread) == 0
        assert w.ask("vas_switch", vid, thread=thread) == 0
        assert w.map(HERE, thread) == HERE
        assert w.ask("vas_switch", 0, thread=thread) == 0
    assert w.ask("vas_detach", 0, vid) == 0
    return w.ask("vas_detach", 0, vid, thread=child)


def without_frames(w: World, name: str, *arguments: int) -> int:
    kept, w.kernel.memory.frames.free = w.kernel.memory.frames.free, []
    try:
        return w.ask(name, *arguments)
    finally:
        w.kernel.memory.frames.free = kept


case("vas_attach", "ENOMEM")(lambda w: without_frames(w, "vas_attach", 0, w.vas(), R))


@case("vas_local_attach", "ENOMEM")
def _(w: World) -> int:
    vid, sid = w.attached(), w.segment()
    return without_frames(w, "vas_local_attach", vid, sid, R)


@case("vas_clone", "ENOMEM")
def _(w: World) -> int:
    vid, at = w.vas(), w.text("x")
    return without_frames(w, "vas_clone", vid, at, 0o600)


@case("vas_clone", "EEXIST")
def _(w: World) -> int:
    return w.ask("vas_clone", w.vas("one"), w.text("one"), 0o600)


@case("vas_seg_clone", "EEXIST")
def _(w: World) -> int:
    return w.ask("vas_seg_clone", w.segment("one"), w.text("one"), 0o600)


@case("vas_seg_clone", "ENOMEM")
def _(w: World) -> int:
    sid = w.segment()
    assert w.ask("vas_seg_attach", 0, sid, RW) == 0
    w.thread.space.write(HERE, b"x")
    at = w.text("x")
    return without_frames(w, "vas_seg_clone", sid, at, 0o600)


@case("vas_seg_attach", "ENOMEM")
def _(w: World) -> int:
    """The slot belongs to the process; now a segment beside its program needs tables."""
    vid, sid = w.attached(), w.segment(start=0x5000_0000)
    assert vid
    assert w.ask("vas_local_attach", vid, w.segment("x", 0x6000_0000), R) == 0
    return without_frames(w, "vas_seg_attach", 0, sid, R)


for call, error, make in KEPT_CASES:
    case(call, error)(make)


# All of them -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "error", "number"),
    [(name, error, i) for (name, error), found in CASES.items() for i in range(len(found))],
)
def test_a_call_ends_with_the_error_that_it_documents(name: str, error: str, number: int) -> None:
    world = World()
    result = CASES[name, error][number](world)
    assert result < 0
    assert error_name(-result) == error
    invariants.check(world.kernel)


@pytest.mark.parametrize(
    ("type", "kind"),
    [(0o700, 4), (0o770, 4), (0o2000000, 4), (0o2000001, 2), (0o2000002, 6), (-2, 6)],
)
def test_flags_beside_the_access_mode_of_a_type_do_not_count(type: int, kind: int) -> None:
    world = World()
    vid, sid = world.vas(), world.segment()
    assert world.ask("vas_seg_attach", vid, sid, type) == 0
    assert world.ask("vas_attach", 0, vid, type) == 0
    assert world.kernel.vases.vases[vid].segments == {sid: kind}
    assert world.kernel.vases.attachment(world.process, vid).kind == kind
    private = world.segment("private", THERE)
    assert world.ask("vas_local_attach", vid, private, type) == 0
    assert world.kernel.vases.attachment(world.process, vid).segments == {private: kind}


def test_an_empty_name_is_a_name() -> None:
    world = World()
    vid, sid = world.vas(""), world.segment("")
    at = world.text("")
    assert (world.ask("vas_find", at), world.ask("vas_seg_find", at)) == (vid, sid)
    assert error_name(-world.vas("")) == error_name(-world.segment("")) == "EEXIST"
    invariants.check(world.kernel)


@pytest.mark.parametrize("row", CALLS, ids=lambda row: row.name)
def test_a_failed_call_leaves_nothing_behind(row: SystemCall) -> None:
    """Each call gets nonsense in one argument after the other."""
    world = World()
    vid, sid = world.attached(), world.segment()
    at = world.put(b"name\0")
    sane = {"vid": vid, "sid": sid, "name": at, "attr": at, "type": RW, "pid": 0}
    before = listing(world.kernel.vases)
    for i, (argument, _) in enumerate(row.arguments):
        if argument not in sane:
            continue
        arguments = [sane.get(other, 0) for other, _ in row.arguments]
        arguments[i] = NOBODY if argument in ("vid", "sid", "pid") else 3
        assert world.ask(row.name, *arguments) < 0
        assert listing(world.kernel.vases) == before
    invariants.check(world.kernel)
