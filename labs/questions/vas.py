"""The questions of lab 5: a program attaches, switches and detaches; the judge looks at the tables.

What each scene does stands in `exam_vas`; here is what must then be so.  Addresses, sizes and
orders come from the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from labs.lab import Check
from labs.question import Question
from labs.questions.scene import (
    EACCES,
    EBUSY,
    EFAULT,
    EINVAL,
    ESRCH,
    EXAM_PAGE,
    GIB,
    GIB_512,
    MIB_2,
    PAGE,
    STACK,
    TEXT,
    Scene,
    places,
    symbol,
)

PROGRAM = "exam_vas"
AT_HOME, INSIDE, IN_A, IN_B = range(1, 5)
KINDS = {0: 4, 2: 6}
"""What the trace calls O_RDONLY and O_RDWR."""
APART = {4: GIB_512, 3: GIB, 2: MIB_2, 1: PAGE * 8}
"""By the highest level whose entries tell two places apart: how far they are from each other."""
LOADED = "core 0 having loaded the tables of what thread 1 sees"


def scene(about: str, name: str, numbers: list[int], stops: list[str], **config: Any) -> Scene:
    return Scene(PROGRAM, about, name=name, numbers=numbers, stops=stops, config=config)


def _own_memory(asked: Scene, at: str, who: str) -> None:
    """Code, stack and globals are the process's, wherever its threads are."""
    owned = ((TEXT, "its code"), (STACK, "its stack"), (symbol(PROGRAM, "globals"), "its data"))
    for va, what in owned:
        asked.shows(at, who, "p1", va, what)


# Attach -------------------------------------------------------------------------------------------


def _attach(random: Random) -> Iterator[Scene]:
    for kind in KINDS:
        asked = scene(f"vas_attach with type {kind}, twice", "attach", [kind], ["once", "twice"])
        asked.see("once", "thread 1 still seeing what process 1 has", True, "one_root", "t1", "p1")
        _own_memory(asked, "once", "p1v1")
        asked.errnos("twice", ("vas_attach", 0), ("vas_attach when attached already", 0))
        made = {"vid": 1, "kind": KINDS[kind], "alive": 1}
        asked.see(
            "twice",
            "the number of attachments made (records vas_attach)",
            1,
            "count",
            "vas_attach",
            made,
        )
        yield asked


def _refused(random: Random) -> Iterator[Scene]:
    (place,) = places(random, 1)
    asked = scene("vas_attach where it must fail", "refused", [place], ["tried"])
    asked.errnos(
        "tried",
        ("attaching VAS 4711, which does not exist,", EINVAL),
        ("attaching to process 4711, which does not exist,", ESRCH),
        ("attaching a VAS of mode 0400 for writing", EACCES),
        ("attaching it for reading", 0),
        (f"attaching a VAS with a segment at {place:#x}, where the process has memory,", EFAULT),
        ("vas_delete of that VAS, which nobody has attached,", 0),
    )
    asked.see("tried", "the number of layout conflicts that were told", 1, "count", "conflict", {})
    yield asked
    asked = scene("process 1 has a VAS attached for writing", "one_writer", [], ["tried"])
    asked.errnos(
        "tried",
        ("process 2 attaching it for writing, too,", EBUSY),
        ("process 2 attaching it for reading", EBUSY),
        ("vas_detach by process 1", 0),
        ("vas_delete then, when nobody is counted any more,", 0),
    )
    yield asked


def _reader(random: Random) -> Iterator[Scene]:
    (place,) = places(random, 1)
    asked = scene("a VAS attached with O_RDONLY", "reads", [place], ["inside"])
    asked.shows("inside", "t1", "v1", place, "the VAS's page")
    for who, rights in (("v1", "rw"), ("t1", "r")):
        asked.see("inside", f"the rights of {who} at {place:#x}", rights, "rights", who, place)
    data = symbol(PROGRAM, "globals")
    asked.see("inside", "the rights of t1 in its own data", "rw", "rights", "t1", data)
    asked.said("inside", 2, "the errno of mapping memory inside", EACCES)
    yield asked


# Switch -------------------------------------------------------------------------------------------


def _inside(random: Random) -> Iterator[Scene]:
    (place,), pages = places(random, 1), random.randrange(2, 6)
    stops = ["entered", "mapped", "home", "inside again"]
    asked = scene("vas_switch in", "inside", [place, pages], stops)
    asked.see("entered", "thread 1 seeing the view", True, "one_root", "t1", "p1v1")
    asked.see(
        "entered", "thread 1 seeing what its process has at home", False, "one_root", "t1", "p1"
    )
    for stop in ("entered", "home", "inside again"):
        asked.see(stop, LOADED, True, "one_root", "c0", "t1")
    _own_memory(asked, "entered", "t1")
    _own_memory(asked, "mapped", "t1")
    asked.said("mapped", 2, "active_vas() inside", 1)
    yield asked


def _home(random: Random) -> Iterator[Scene]:
    (place,), pages = places(random, 1), random.randrange(2, 6)
    stops = ["entered", "mapped", "home", "inside again"]
    asked = scene("vas_switch(0)", "inside", [place, pages], stops)
    for stop in ("home", "inside again"):
        asked.see(stop, LOADED, True, "one_root", "c0", "t1")
    asked.see("home", "thread 1 seeing what its process has", True, "one_root", "t1", "p1")
    asked.absent("home", place, "t1", "p1")
    asked.said("inside again", 3, "active_vas() at home", 0)
    asked.see(
        "inside again",
        "the number of switches (records vas_switch), three of six being to where the thread is,",
        3,
        "count",
        "vas_switch",
        {"tid": 1},
    )
    yield asked


def _belongs(random: Random) -> Iterator[Scene]:
    (place,), pages = places(random, 1), random.randrange(2, 6)
    stops = ["entered", "mapped", "home", "inside again"]
    asked = scene("mmap inside", "inside", [place, pages], stops)
    for page in range(pages):
        asked.holds("mapped", "v1", place, INSIDE, page)
        asked.shows("mapped", "t1", "v1", place + page * PAGE, "the VAS's page")
        asked.holds("inside again", "t1", place, INSIDE, page)
    asked.absent("mapped", place, "p1")
    asked.absent("home", place, "p1")
    asked.holds("home", "v1", place, INSIDE)
    asked.absent("mapped", EXAM_PAGE, "v1")
    yield asked


def _not_attached(random: Random) -> Iterator[Scene]:
    asked = scene("vas_switch where it must fail", "not_attached", [], ["tried"])
    asked.errnos(
        "tried",
        ("switching to a VAS that is not attached", EINVAL),
        ("switching to VAS 4711, which does not exist,", EINVAL),
        ("switching to VAS -1", EINVAL),
        ("switching to a VAS that is attached", 0),
        ("switching from there to VAS 4711", EINVAL),
    )
    asked.see("tried", "thread 1 still in the VAS", True, "one_root", "t1", "p1v1")
    yield asked


def _threads(random: Random) -> Iterator[Scene]:
    both, alone = places(random, 2)
    stops = ["both inside", "one at home"]
    asked = scene("two threads in two VASes", "two", [both, alone], stops)
    for tid, vid, name in ((1, 1, IN_A), (2, 2, IN_B)):
        who = f"t{tid}"
        says = f"thread {tid} seeing its view of VAS {vid}"
        asked.see("both inside", says, True, "one_root", who, f"p1v{vid}")
        asked.holds("both inside", who, both, name)
        _own_memory(asked, "both inside", who)
    asked.see("one at home", "thread 1 seeing what its process has", True, "one_root", "t1", "p1")
    asked.see("one at home", "thread 2 still seeing VAS 2", True, "one_root", "t2", "p1v2")
    asked.holds("one at home", "t2", both, IN_B)
    yield asked


def _hidden(random: Random) -> Iterator[Scene]:
    both, alone = places(random, 2)
    stops = ["both inside", "one at home"]
    asked = scene("what one VAS has and another has not", "two", [both, alone], stops)
    asked.holds("both inside", "t1", alone, INSIDE)
    asked.absent("both inside", alone, "t2", "v2", "p1v2", "p1")
    asked.absent("both inside", both, "p1")
    asked.absent("one at home", alone, "t1", "t2")
    asked.see("both inside", f"two frames at {both:#x}", False, "same", "t1", both, "t2", both)
    yield asked


def _lasts(random: Random) -> Iterator[Scene]:
    (place,) = places(random, 1)
    stops = ["its maker is gone", "two look"]
    asked = scene("memory that outlives its process", "lasts", [place], stops)
    asked.holds("its maker is gone", "v1", place, INSIDE)
    asked.absent("its maker is gone", place, "p1")
    for who in ("t1", "t3"):
        asked.holds("two look", who, place, INSIDE)
        asked.shows("two look", who, "v1", place, "the VAS's page")
    asked.shows("two look", "t3", "t1", place, "the VAS's page")
    asked.said("two look", 510, "how many processes found it", 2)
    yield asked


# What views share ---------------------------------------------------------------------------------


def _follows(random: Random) -> Iterator[Scene]:
    home, vas = places(random, 2)
    near = home + random.choice((GIB, MIB_2, PAGE * 16))
    for second in (vas, near):
        stops = ["grown at home", "grown inside", "unmapped at home"]
        asked = scene("memory that comes while a thread is inside", "grows", [home, second], stops)
        for page in (0, 1):
            asked.holds("grown at home", "p1", home, AT_HOME, page)
            asked.shows("grown at home", "t2", "p1", home + page * PAGE, "mapped at home")
            asked.shows("grown inside", "t2", "v1", second + page * PAGE, "mapped inside")
        asked.said("grown inside", 1, "what the thread inside reads there", {"mix": 100 * AT_HOME})
        asked.said(
            "grown inside", 2, "what it reads in the heap, which grew at home,", {"mix": AT_HOME}
        )
        asked.absent("grown inside", second, "p1")
        asked.absent("unmapped at home", home, "t2")
        asked.shows("unmapped at home", "t2", "p1", home + PAGE, "which stays")
        yield asked


def _shared(random: Random) -> Iterator[Scene]:
    for level, late in ((4, 1), (3, 0), (2, 1)):
        asked, home, vas, _ = _near(random, level, late)
        _tables(asked, level, home, vas)
        yield asked


def _split(random: Random) -> Iterator[Scene]:
    for level in (3, 2, 1):
        yield _both_show(*_near(random, level, random.randrange(2)))
    for level in (4, 3, 2):
        yield _both_show(*_straddling(random, level))


def _near(random: Random, level: int, late: int) -> tuple[Scene, int, int, int]:
    """Two ranges that entries of `level` tell apart, and tables above it do not; `late`: whether
    the VAS has its one before the attach."""
    home = random.randrange(16, 96) * GIB_512
    home += random.randrange(1, 500) * GIB + random.randrange(1, 500) * MIB_2
    return _placed(random, home, home + APART[level], random.randrange(2), late)


def _straddling(random: Random, level: int) -> tuple[Scene, int, int, int]:
    """The VAS's range ends in the span of an entry of `level` where the process has something, and
    begins in the span before."""
    border = random.randrange(16, 96) * GIB_512
    if level < 4:
        border += random.randrange(1, 500) * GIB
    if level < 3:
        border += random.randrange(1, 500) * MIB_2
    return _placed(random, border + APART[level - 1] * 8, border - PAGE, 1, random.randrange(2))


def _placed(
    random: Random, home: int, vas: int, early: int, late: int
) -> tuple[Scene, int, int, int]:
    pages = random.randrange(3, 6)
    order = ("after", "before")
    about = (
        f"the process's {pages} pages at {home:#x}, mapped {order[early]} the attach, the "
        f"VAS's at {vas:#x}, {order[late]} it"
    )
    asked = scene(about, "near", [home, vas, pages, early, late], ["inside", "home unmapped"])
    return asked, home, vas, pages


def _both_show(asked: Scene, home: int, vas: int, pages: int) -> Scene:
    """Every page of both, and nothing of one in the other's own tables."""
    for page in range(pages):
        asked.holds("inside", "p1", home, AT_HOME, page)
        asked.holds("inside", "v1", vas, INSIDE, page)
        asked.shows("inside", "t1", "p1", home + page * PAGE, "the process's")
        asked.shows("inside", "t1", "v1", vas + page * PAGE, "the VAS's")
        asked.absent("home unmapped", home + page * PAGE, "p1v1", "p1")
        asked.shows("home unmapped", "p1v1", "v1", vas + page * PAGE, "the VAS's")
    asked.absent("inside", vas, "p1")
    asked.absent("inside", home, "v1")
    return asked


def _tables(asked: Scene, level: int, home: int, vas: int) -> None:
    """One table from below the level that tells the two places apart, two from there up."""
    for owner, va in (("p1", home), ("v1", vas)):
        for table in (3, 2, 1):
            shared = table < level
            says = f"at {va:#x}, the view using {owner}'s own table of level {table}"
            asked.see("inside", says, shared, "one_table", table, "t1", va, owner, va)


# Detach -------------------------------------------------------------------------------------------


def _busy(random: Random) -> Iterator[Scene]:
    (place,) = places(random, 1)
    stops = ["another is inside", "the caller is inside"]
    asked = scene("vas_detach while a thread is inside", "busy", [place], stops)
    calls = (
        ("vas_detach by thread 1 while thread 2 is inside", EBUSY),
        ("vas_delete meanwhile", EBUSY),
        ("vas_detach by the thread that is inside", EBUSY),
    )
    asked.errnos("another is inside", *calls[:2])
    asked.holds("another is inside", "t2", place, INSIDE)
    asked.see("another is inside", "thread 2 in the attached view", True, "one_root", "t2", "p1v1")
    asked.errnos("the caller is inside", *calls)
    asked.holds("the caller is inside", "t1", place, INSIDE)
    yield asked
    (place,) = places(random, 1)
    asked = scene(
        "vas_detach while a thread waits for a lock on its way in",
        "on_the_way",
        [place],
        ["another is on its way", "nobody is"],
        vas_sharing="switch",
    )
    refused = ("vas_detach while thread 3 is on its way in", EBUSY)
    asked.errnos("another is on its way", refused)
    asked.errnos("nobody is", refused, ("vas_detach after everybody has left", 0))
    yield asked


def _detach(random: Random) -> Iterator[Scene]:
    (place,) = places(random, 1)
    stops = ["attached", "detached", "tried", "deleted"]
    for sync in ("subtree", "rfc"):
        about = f"vas_detach under --vas-sync {sync}"
        asked = scene(about, "leaves", [place], stops, vas_sync=sync)
        asked.see("attached", "process 1 having a view of VAS 1", True, "one_root", "p1v1", "p1v1")
        asked.see("detached", "process 1 having a view of VAS 1", False, "one_root", "p1v1", "p1v1")
        asked.holds("detached", "v1", place, INSIDE)
        asked.errnos(
            "deleted",
            ("vas_detach", 0),
            ("vas_detach when it is detached already", EINVAL),
            ("vas_detach of VAS 4711, which does not exist,", EINVAL),
            ("vas_detach from process 4711, which does not exist,", ESRCH),
            ("vas_switch to what was detached", EINVAL),
            ("vas_detach where an entry is registered", EACCES),
            ("vas_delete of what was detached", 0),
        )
        ended = {"vid": 1, "alive": 0}
        asked.see("deleted", "the number of attachments ended", 1, "count", "vas_attach", ended)
        yield asked


# Costs and policies -------------------------------------------------------------------------------


def _cost(random: Random) -> Iterator[Scene]:
    rounds = random.randrange(3, 9)
    for pages in (1, random.randrange(24, 48)):
        (place,) = places(random, 1)
        about = f"{rounds} times in and out of a VAS of {pages} pages"
        asked = scene(about, "prices", [place, pages, rounds], ["before", "after"])
        for kind, fields, what, value in (
            ("vas_switch", {}, "switches", 2 * rounds),
            ("cr3_load", {}, "writes to CR3", 2 * rounds),
            ("pte", {}, "page-table entries written", 0),
            ("frame", {}, "frames taken or given back", 0),
            ("vas_attach", {}, "attachments made or ended", 0),
            ("tlb_flush", {"why": 3}, "flushes by a load of CR3, while both have a tag,", 0),
        ):
            asked.see("after", f"the number of {what}", value, "between", 0, 1, kind, fields)
        yield asked


def _policies(random: Random) -> Iterator[Scene]:
    asked = scene(
        "--vas-sync rfc, after the heap has grown at home",
        "out_of_step",
        [],
        ["tried"],
        vas_sync="rfc",
    )
    asked.errnos("tried", ("vas_switch into a copy that cannot follow", EFAULT))
    asked.see("tried", "thread 1 still at home", True, "one_root", "t1", "p1")
    asked.see("tried", "the number of conflicts that were told", 1, "count", "conflict", {})
    yield asked
    (place,) = places(random, 1)
    asked = scene(
        "--vas-sharing switch, with a lockable segment",
        "locked",
        [place],
        ["inside", "at home"],
        vas_sharing="switch",
    )
    asked.see("inside", "the locks taken by thread 1", [2], "listed", "seg_lock", "how", {"tid": 1})
    asked.see("at home", "the lock taken and given up", [2, 0], "listed", "seg_lock", "how", {})
    yield asked


MAKERS: dict[str, Callable[[Random], Iterator[Scene]]] = {
    "attach": _attach,
    "refused": _refused,
    "reader": _reader,
    "inside": _inside,
    "home": _home,
    "belongs": _belongs,
    "not_attached": _not_attached,
    "threads": _threads,
    "hidden": _hidden,
    "lasts": _lasts,
    "follows": _follows,
    "shared": _shared,
    "split": _split,
    "busy": _busy,
    "detach": _detach,
    "cost": _cost,
    "policies": _policies,
}


def questions(check: Check, seed: int) -> list[Question]:
    """The questions of one check: the same seed gives the same ones."""
    random = Random(f"{check.name} {seed}")
    return [asked.question() for asked in MAKERS[check.name](random)]
