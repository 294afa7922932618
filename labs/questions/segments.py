"""The questions of lab 6: who may share, who waits for whom, and what two views make of a heap.

What each scene does stands in `exam_segments`; here is what must then be so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from random import Random
from typing import Any

from labs.lab import Check
from labs.question import Question
from labs.questions.scene import EBUSY, EFAULT, PAGE, Scene, places

PROGRAM = "exam_segments"
TYPES = {0: "O_RDONLY", 1: "O_WRONLY", 2: "O_RDWR"}
WHERE = ("in another VAS", "at home", "in one attachment of another VAS")
SHARED, ALONE, RELEASED = 1, 2, 0
"""What `seg_lock` records say."""
STACK_END, DEEP_PAGES = 0x7FFF_FFFF_E000, 45


def scene(about: str, name: str, numbers: list[int], stops: list[str], **config: Any) -> Scene:
    return Scene(PROGRAM, about, name=name, numbers=numbers, stops=stops, config=config)


def locks(about: str, name: str, numbers: list[int], stops: list[str]) -> Scene:
    """One under SpaceJMP's rule."""
    return scene(about, name, numbers, stops, vas_sharing="switch")


def _admitted(first: int, second: int) -> int:
    """The errno of the second: only readers come together."""
    return 0 if first == second == 0 else EBUSY


# The sharing rule ---------------------------------------------------------------------------------


def _pairs(random: Random) -> Iterator[Scene]:
    for first, second in product(TYPES, TYPES):
        both = f"{TYPES[first]}, then {TYPES[second]}"
        asked = scene(f"two processes attach a VAS with {both}", "pairs", [first, second], ["both"])
        errno = _admitted(first, second)
        asked.errnos("both", ("the first vas_attach", 0), ("the second vas_attach", errno))
        says = "process 2 having a view of the VAS"
        asked.see("both", says, not errno, "one_root", "p2v1", "p2v1")
        yield asked


def _segments(random: Random) -> Iterator[Scene]:
    for first, second, where in product((0, 2), (0, 2), range(len(WHERE))):
        both = f"with {TYPES[first]} in one VAS, then with {TYPES[second]} {WHERE[where]}"
        asked = scene(f"a segment {both}", "segments", [first, second, where], ["both"])
        errno = _admitted(first, second)
        asked.errnos("both", ("the first attaching", 0), ("the second attaching", errno))
        yield asked


def _freed(random: Random) -> Iterator[Scene]:
    asked = scene("one after the other", "freed", [], ["tried"])
    asked.errnos(
        "tried",
        ("a writer while there is a writer", EBUSY),
        ("a writer after that one has detached", 0),
        ("a writer after that one has ended", 0),
        ("a writer while there is a reader", EBUSY),
        ("a reader while there is a reader", 0),
        ("another reader, after the second one has ended", 0),
        ("a writer when all readers are gone", 0),
    )
    yield asked


# Locks --------------------------------------------------------------------------------------------


def _locked(asked: Scene, how: list[int], **fields: int) -> None:
    asked.see(
        "end",
        "what became of the locks in turn (0 given up, 1 shared, 2 alone)",
        how,
        "listed",
        "seg_lock",
        "how",
        fields,
    )


def _alone(random: Random) -> Iterator[Scene]:
    (place,), rounds = places(random, 1), random.randrange(3, 9)
    stops = ["one is inside", "both have counted"]
    asked = locks("two threads count in a segment", "alone", [place, rounds], stops)
    asked.see("one is inside", "thread 1 inside", True, "one_root", "t1", "p1v1")
    asked.see(
        "one is inside", "thread 2, which must wait, still at home", True, "one_root", "t2", "p1"
    )
    says = f"the count, after {rounds} times by each of two,"
    asked.see("both have counted", says, 2 * rounds, "number", "v1", place)
    yield asked


def _together(random: Random) -> Iterator[Scene]:
    (place,) = places(random, 1)
    for first, second in ((0, 0), (0, 2), (2, 0), (2, 2)):
        both = f"{TYPES[first]}, another one with {TYPES[second]}"
        stops = ["the second comes", "the second is inside"]
        asked = locks(f"one is inside with {both}", "together", [place, first, second], stops)
        waits = bool(_admitted(first, second))
        says = "process 1 inside"
        asked.see("the second comes", says, True, "one_root", "t1", "p1v1")
        says = f"process 2, which {'must' if waits else 'need not'} wait, still at home"
        asked.see("the second comes", says, waits, "one_root", "t2", "p2")
        asked.see("the second is inside", "process 2 inside", True, "one_root", "t2", "p2v1")
        yield asked


def _which(random: Random) -> Iterator[Scene]:
    for vas_type in (2, 0):
        (place,) = places(random, 1)
        lockable = random.sample(range(4), 3)
        read_only = random.sample(lockable, 1)
        asked = _in_order(random, place, lockable, read_only, vas_type)
        modes = [
            SHARED if which in read_only or (vas_type == 0 and which != 3) else ALONE
            for which in sorted(lockable)
        ]
        _locked(asked, [*modes, RELEASED, RELEASED, RELEASED], tid=1)
        yield asked


def _order(random: Random) -> Iterator[Scene]:
    for _ in range(2):
        (place,) = places(random, 1)
        asked = _in_order(random, place, [0, 1, 2, 3], [], 2)
        asked.see(
            "inside",
            "the order in which the locks are taken, by id,",
            [1, 2, 3, 4],
            "listed",
            "seg_lock",
            "sid",
            {"tid": 1},
        )
        yield asked


def _in_order(
    random: Random, place: int, lockable: list[int], read_only: list[int], vas_type: int
) -> Scene:
    shuffled = [3, 2, 1, 0] if random.randrange(2) else [2, 3, 0, 1]
    numbers = [
        place,
        sum(which << 4 * i for i, which in enumerate(shuffled)),
        sum(1 << which for which in lockable),
        sum(1 << which for which in read_only),
        vas_type,
    ]
    ids = ", ".join(str(which + 1) for which in sorted(lockable))
    about = f"a VAS attached with {TYPES[vas_type]}; lockable are the segments {ids}"
    return locks(about, "order", numbers, ["inside"])


def _circle(random: Random) -> Iterator[Scene]:
    (place,), steps = places(random, 1), 3 * random.randrange(2, 5)
    asked = locks("three threads go round three VASes", "circle", [place, steps], ["over"])
    for vid in (1, 2, 3):
        says = f"the count in VAS {vid}"
        asked.see("over", says, steps, "number", f"v{vid}", place)
    yield asked


def _turns(random: Random) -> Iterator[Scene]:
    (place,) = places(random, 1)
    for kinds in ((0, 2, 0), (2, 0, 2), (2, 2, 0)):
        order = ", ".join(TYPES[kind] for kind in kinds)
        asked = locks(
            f"three come one after the other: {order}", "turns", [place, *kinds], ["two wait"]
        )
        for tid in (2, 3):
            says = f"process {tid}, which must wait, still at home"
            asked.see("two wait", says, True, "one_root", f"t{tid}", f"p{tid}")
        asked.see(
            "end", "who has the lock, in turn", [1, 1, 2, 2, 3, 3], "listed", "seg_lock", "tid", {}
        )
        yield asked


def _ends(random: Random) -> Iterator[Scene]:
    hows = ("exits inside", "is killed inside", "is killed while it waits", "is a thread that ends")
    for number, how in enumerate(hows, 1):
        (place,) = places(random, 1)
        asked = locks(f"who {how}", "ends", [place, number], ["the next is inside"])
        says = "thread 1 inside, after who was before it is gone,"
        asked.see("the next is inside", says, True, "one_root", "t1", "p1v1")
        taken = [ALONE, RELEASED, ALONE]
        asked.see(
            "the next is inside", "what became of the lock", taken, "listed", "seg_lock", "how", {}
        )
        yield asked


# Two views of one process -------------------------------------------------------------------------


def _stamps(random: Random) -> Iterator[Scene]:
    (place,), rounds = places(random, 1), random.randrange(3, 7)
    stops = [
        "before",
        "nothing new",
        "one region new",
        "brought over",
        "another one new",
        "brought over too",
        "stack grown",
    ]
    asked = scene(
        "a view that is a copy, and its process's own memory",
        "stamps",
        [place, rounds],
        stops,
        vas_sync="rfc",
    )
    for first, what, most in (
        (0, "when nothing is new", 0),
        (2, "when a region of two pages is new", 2),
        (4, "when another one, of one page, is new", 1),
    ):
        says = f"the number of leaves written by switching {what}"
        asked.see(
            stops[first + 1],
            says,
            {"at_most": most},
            "between",
            first,
            first + 1,
            "pte",
            {"level": 1},
        )
    for page in (0, 1):
        asked.shows("brought over", "t1", "p1", place + page * PAGE, "in the changed region")
    deep = STACK_END - DEEP_PAGES * PAGE
    asked.said("stack grown", 2, "the errno of vas_switch after the stack has grown", 0)
    asked.shows("stack grown", "t1", "p1", deep, "on the stack that grew")
    yield asked


def _conflict(random: Random) -> Iterator[Scene]:
    whos = {1: "inside alone", 2: "at home alone", 3: "inside and at home"}
    for number, who in whos.items():
        asked = scene(
            f"--vas-sync rfc, the heap grows {who}", "heaps", [number], ["stuck"], vas_sync="rfc"
        )
        for slot in (3, 4, 5):
            asked.said("stuck", slot, f"the errno of vas_switch(0), try {slot - 2},", EFAULT)
        asked.see("stuck", "thread 2 still inside", True, "one_root", "t2", "p1v1")
        asked.see(
            "stuck",
            "the number of conflicts told that name both heaps",
            3,
            "count",
            "conflict",
            {"name": "[heap]", "other_name": "[heap]"},
        )
        yield asked
    (place,) = places(random, 1)
    asked = scene(
        "a region that is newer at home than inside", "older", [place], ["tried"], vas_sync="rfc"
    )
    asked.errnos("tried", ("vas_switch(0) with an older region", EFAULT))
    named = {"start": place, "other_start": place}
    asked.see(
        "tried",
        "the number of conflicts told that name both regions",
        1,
        "count",
        "conflict",
        named,
    )
    yield asked


def _forward(random: Random) -> Iterator[Scene]:
    asked, place = _forwarded(random, "a thread is inside, another one at home")
    for page in (0, 1):
        asked.shows("grown", "t2", "p1", place + page * PAGE, "which it has read")
    asked.said("copied", 2, "vas_ctl's count of what was pushed having grown by a fork (1: yes)", 1)
    asked.shows("copied", "t2", "p1", place, "copied for a store after a fork")
    asked.see("protected", f"what thread 2 may do at {place:#x}", "r", "rights", "t2", place)
    asked.absent("unmapped", place + PAGE, "p1", "t2")
    yield asked


def _lazy(random: Random) -> Iterator[Scene]:
    asked, place = _forwarded(random, "pages that a thread inside has touched, and one it has not")
    asked.absent("touched", place + 2 * PAGE, "t2")
    for page, times, what in (
        (2, 0, "that nobody inside has touched"),
        (1, 2, "that was touched, then made copy-on-write, then unmapped"),
    ):
        says = f"the number of entries pushed for a page {what},"
        asked.see("looked", says, times, "count", "push", {"va": place + page * PAGE})
    yield asked


def _forwarded(random: Random, what: str) -> tuple[Scene, int]:
    (place,) = places(random, 1)
    stops = ["grown", "touched", "copied", "protected", "unmapped", "looked"]
    about = f"--vas-sync forward, {what}"
    return scene(about, "forwarded", [place], stops, vas_sync="forward"), place


def _masked(random: Random) -> Iterator[Scene]:
    (place,) = places(random, 1)
    asked = Scene(
        PROGRAM,
        "--vas-sync forward, a reader's view of a page that a writer protects",
        name="reader",
        numbers=[place],
        stops=["seen", "changed", "read"],
        config={"vas_sync": "forward", "vas_sharing": "switch"},
    )
    for stop in ("seen", "read"):
        asked.shows(stop, "t1", "v1", place, "the VAS's page")
        for who, rights in (("v1", "rw"), ("t1", "r")):
            asked.see(stop, f"the rights of {who} at {place:#x}", rights, "rights", who, place)
    yield asked


MAKERS: dict[str, Callable[[Random], Iterator[Scene]]] = {
    "pairs": _pairs,
    "segments": _segments,
    "freed": _freed,
    "alone": _alone,
    "together": _together,
    "which": _which,
    "order": _order,
    "circle": _circle,
    "turns": _turns,
    "ends": _ends,
    "stamps": _stamps,
    "conflict": _conflict,
    "forward": _forward,
    "lazy": _lazy,
    "masked": _masked,
}


def questions(check: Check, seed: int) -> list[Question]:
    """The questions of one check: the same seed gives the same ones."""
    random = Random(f"{check.name} {seed}")
    return [asked.question() for asked in MAKERS[check.name](random)]
