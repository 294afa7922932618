"""The questions of lab 4: threads that compete, a lock under many orders, and a bank.

What a thread got is in memory, who ran when is in the trace.  Bounds are wide enough for every
scheduler that keeps the rule that a check names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from kernel.sched.policy import SLICE_INSTRUCTIONS
from kernel.sched.weights import WEIGHTS
from labs.evidence import Expectation
from labs.lab import Check
from labs.question import Question

RAM_MIB = 16
PAGE = 0x600000000000
FIRST_TID = 2
BEGUN, HALF, ENDED, GONE = range(4)
STOPS = ["begun", "half", "ended", "gone"]
FIRST_HALF, SECOND_HALF, WAITS, LOSSES = 32, 64, 96, 128
LONGEST, SHORTEST = SLICE_INSTRUCTIONS * 8 // 5, SLICE_INSTRUCTIONS * 2 // 5
"""Of a turn: a slice is half to one and a half of what the policy says, and ends with a trap."""
SOON, LATE = SLICE_INSTRUCTIONS // 8, SLICE_INSTRUCTIONS
"""Cycles: a wait that a push ends, and one that the end of a slice ends."""
FEW = 30
LEVELS = 4
FUTEX = 202
LINES = 3_000_000
"""Of Python in the loop of a kernel, for the longest of these runs ten times over."""
BANK = 4 * 1000
"""What all accounts of `bank` have together."""

Roles = Sequence[str]


def word(number: int) -> int:
    """Where a word of the page is."""
    return PAGE + number * 8


def amount(sees: list[Any], value: Any, says: str, at: str = STOPS[GONE]) -> Expectation:
    return Expectation(sees, value, says, at, decimal=True)


def competition(
    sched: str, us: int, roles: Roles, random: Random, expected: list[Expectation], cpus: int = 1
) -> Question:
    """`exam_sched` with these roles, for twice `us` microseconds."""
    cores = "1 core" if cpus == 1 else f"{cpus} cores"
    about = f"--sched {sched}, {cores}, exam_sched NONCE {us} {' '.join(roles)}"
    told = {
        "program": "exam_sched",
        "words": [str(us), *roles],
        "stops": STOPS,
        "lines": LINES,
        "machine": {"ram_mib": RAM_MIB, "cpus": cpus},
        "config": {"sched": sched, "seed": random.randrange(1, 1 << 20)},
    }
    ended = amount(["answer", "status"], 0, "the exit status", "end")
    return Question(about, told, [*expected, ended], RAM_MIB << 20)


def named(number: int, roles: Roles) -> str:
    return f"thread {number + FIRST_TID} ({roles[number]})"


def shares(roles: Roles, cores: int, words: int, slack: int = 12) -> list[Expectation]:
    """What each got in a half, per thousand of all work, as its weight says.

    `slack` is what a slice more or less is worth.
    """
    last = word(words + len(roles) - 1)
    return [
        amount(
            ["share", "p1", word(words + i), word(words), last],
            {"between": [due - slack - due // 20, due + slack + due // 20]},
            f"per thousand, the work of {named(i, roles)}",
        )
        for i, due in enumerate(_due(roles, cores))
    ]


def _due(roles: Roles, cores: int) -> list[int]:
    """The fluid model: cores divided by weight, nobody on more than one."""
    weights = [WEIGHTS[int(role[1:]) + 20] for role in roles]
    due, left, free = [0.0] * len(weights), float(sum(weights)), float(cores)
    for i in sorted(range(len(weights)), key=lambda i: -weights[i]):
        due[i] = min(1.0, free * weights[i] / left)
        left, free = left - weights[i], free - due[i]
    return [round(1000 * share / sum(due)) for share in due]


# Round robin and the switch -----------------------------------------------------------------------


def _slices(random: Random) -> Question:
    roles = ["s0"] * random.randrange(2, 5)
    expected = []
    for i in range(len(roles)):
        about = [i + FIRST_TID, BEGUN, ENDED, 0]
        for measure, value in (
            ("longest_turn", {"between": [SLICE_INSTRUCTIONS, LONGEST]}),
            ("shortest_turn", {"at_least": SHORTEST}),
        ):
            says = f"the {measure.replace('_', ' ')} of {named(i, roles)}, in cycles,"
            expected.append(amount(["cores", measure, *about], value, says))
    return competition("rr", 500, roles, random, expected)


def _alike(random: Random) -> Question:
    nices = random.sample(range(12), 4)
    roles = [f"s{nice}" for nice in nices]
    equal = shares(["s0"] * len(roles), 1, FIRST_HALF, slack=30)
    for i, wanted in enumerate(equal):
        wanted.says = f"per thousand, the work of {named(i, roles)}"
    circle = [
        amount(
            ["cores", "overtaken", i + FIRST_TID, BEGUN, ENDED],
            {"at_most": 1},
            f"the turns of any other thread between two turns of {named(i, roles)}",
        )
        for i in range(len(roles))
    ]
    return competition("rr", 1000, roles, random, equal + circle)


def _losses(random: Random) -> Question:
    roles = random.choice((["s0", "s0", "i0"], ["s0", "i0", "g0", "s0"], ["s0", "s0"]))
    sched = random.choice(("rr", "mlfq"))
    expected = []
    for i in range(len(roles)):
        for at, name, slept in ((LOSSES, "ru_nivcsw", False), (WAITS, "ru_nvcsw", True)):
            sees = ["missed", "p1", word(at + i), "switches", i + FIRST_TID, GONE, slept]
            says = f"the error of {name} of {named(i, roles)}, against the trace,"
            expected.append(amount(sees, {"at_most": 2}, says))
    return competition(sched, 500, roles, random, expected)


# The feedback queue -------------------------------------------------------------------------------


def _top(random: Random) -> Question:
    roles = random.sample(["s0", "s0", "i0", "g0", "l0"], 4)
    expected = [
        amount(
            ["cores", "first_rank", i + FIRST_TID], 0, f"the level at which {named(i, roles)} began"
        )
        for i in range(len(roles))
    ]
    return competition("mlfq", 200, roles, random, expected)


def _falls(roles: Roles, who: Sequence[int]) -> list[Expectation]:
    return [
        amount(
            ["cores", "levels", i + FIRST_TID, LEVELS - 1],
            [1, 2, 3],
            f"the first levels that {named(i, roles)} came to",
        )
        for i in who
    ]


def _descent(random: Random) -> Question:
    roles = ["s0"] * random.randrange(2, 4) + ["i0"]
    return competition("mlfq", 700, roles, random, _falls(roles, range(len(roles) - 1)))


def _gaming(random: Random) -> Question:
    roles = ["g0", *["s0"] * random.randrange(1, 4)]
    return competition("mlfq", 700, roles, random, _falls(roles, [0]))


def _doubling(random: Random) -> Question:
    roles = ["s0", "s0", "s0"]
    expected = []
    for i in range(len(roles)):
        for level in (0, LEVELS - 1):
            bounds = {"between": [SHORTEST << level, LONGEST << level]}
            says = f"the longest turn of {named(i, roles)} at level {level}, in cycles,"
            sees = ["cores", "longest_turn", i + FIRST_TID, BEGUN, ENDED, level]
            expected.append(amount(sees, bounds, says))
    return competition("mlfq", 1500, roles, random, expected)


def _sleeper(random: Random) -> Question:
    roles = ["s0"] * random.randrange(2, 5)
    roles.insert(random.randrange(len(roles)), "i0")
    me = roles.index("i0")
    says = f"the usual wait of {named(me, roles)} for a core, in cycles,"
    sees = ["cores", "middle_wait", me + FIRST_TID, BEGUN, ENDED]
    enough = amount(
        ["cores", "turns", me + FIRST_TID, BEGUN, ENDED],
        {"at_least": 50},
        f"the turns of {named(me, roles)}",
    )
    soon = amount(sees, {"at_most": SOON}, says)
    sees = ["cores", "handed_on", me + FIRST_TID, BEGUN, ENDED]
    says = f"the turns of {named(me, roles)} after which another thread ran than before,"
    few = amount(sees, {"at_most": FEW}, says)
    return competition("mlfq", 1200, roles, random, [enough, soon, few])


def _batch(random: Random) -> Question:
    """It sleeps like the one that comes soon, and pushes nobody aside."""
    roles = ["s0"] * random.randrange(2, 4) + ["b0"]
    says = f"the usual wait of {named(len(roles) - 1, roles)}, a batch thread, in cycles,"
    sees = ["cores", "middle_wait", len(roles) - 1 + FIRST_TID, HALF, ENDED]
    return competition("mlfq", 1200, roles, random, [amount(sees, {"at_least": LATE}, says)])


def _boost(random: Random) -> Question:
    roles = ["s0"] * random.randrange(2, 4) + ["i0", "g0"]
    random.shuffle(roles)
    expected = [
        amount(
            ["cores", "boosts", i + FIRST_TID, *half],
            1,
            f"the boosts of {named(i, roles)} in the {which} half",
        )
        for i in range(len(roles))
        for half, which in (((BEGUN, HALF), "first"), ((HALF, ENDED), "second"))
    ]
    return competition("mlfq", 2000, roles, random, expected)


# Stride -------------------------------------------------------------------------------------------


def _shares(random: Random) -> Question:
    roles = [f"s{nice}" for nice in (0, *random.sample(range(1, 10), 2))]
    return competition("stride", 1500, roles, random, shares(roles, 1, FIRST_HALF))


def _cores(random: Random) -> Question:
    nices = random.choices(range(4), k=random.randrange(9, 12))
    roles = [f"s{nice}" for nice in nices]
    return competition("stride", 800, roles, random, shares(roles, 4, FIRST_HALF), cpus=4)


def _late(random: Random) -> Question:
    roles = ["s0"] * random.randrange(1, 4) + ["l0"]
    return competition("stride", 1500, roles, random, shares(roles, 1, SECOND_HALF))


# The lock, the condition variable, the bank -------------------------------------------------------


def _run(
    random: Random,
    program: str,
    words: Sequence[object],
    expected: list[Expectation],
    cpus: int,
    sched: str = "rr",
) -> Question:
    """A program that is built from the student's C."""
    seed = random.randrange(1, 1 << 20)
    cores = "1 core" if cpus == 1 else f"{cpus} cores"
    said = " ".join(map(str, [program, "NONCE", *words]))
    told = {
        "program": program,
        "words": [str(word) for word in words],
        "stops": ["done"],
        "cycles": 20_000_000,
        "lines": LINES,
        "machine": {"ram_mib": RAM_MIB, "cpus": cpus},
        "config": {"seed": seed, "sched": sched},
    }
    ended = amount(["answer", "status"], 0, "the exit status", "end")
    return Question(
        f"--sched {sched}, {cores}, seed {seed}, {said}", told, [*expected, ended], RAM_MIB << 20
    )


def says(slot: int, value: Any, what: str) -> Expectation:
    proof = isinstance(value, dict) and "mix" in value
    return Expectation(["number", "p1", word(slot)], value, what, "done", decimal=not proof)


def _exclusion(random: Random) -> Question:
    threads, rounds = random.randrange(3, 6), random.randrange(2000, 2500)
    expected = [
        says(2, 0, "the threads that met another one inside"),
        says(1, {"mix": threads * rounds}, "the proof that no increment was lost"),
    ]
    words = ["exclusion", threads, rounds]
    return _run(random, "exam_lock", words, expected, random.choice((1, 4)))


def _sleep(random: Random) -> Question:
    what = "the microseconds of processor time that waiting took"
    return _run(random, "exam_lock", ["sleep"], [says(1, {"at_most": 40}, what)], 1)


def _quiet(random: Random) -> Question:
    rounds = random.randrange(200, 400)
    calls = Expectation(
        ["count", "syscall", {"number": FUTEX}], 0, "the number of futex calls where nobody waits"
    )
    proof = says(1, {"mix": rounds}, "the proof that no increment was lost")
    return _run(random, "exam_lock", ["quiet", rounds], [proof, calls], 1)


def _limit(random: Random) -> Question:
    expected = [
        says(1, 1, "mtx_timedlock gave up at its deadline (1: yes), which"),
        says(2, 1, "mtx_timedlock took a free lock though the deadline was over (1: yes), which"),
    ]
    return _run(random, "exam_lock", ["late"], expected, 1)


def _early(random: Random) -> Question:
    expected = [says(1, {"mix": 1}, "the proof that the signal arrived")]
    return _run(random, "exam_lock", ["early"], expected, cpus=1, sched="mlfq")


def _handoff(random: Random) -> Question:
    pairs, items = random.randrange(2, 4), random.randrange(100, 200)
    expected = [
        says(2, 0, "the threads that met another one inside, or had no mutex after cnd_wait,"),
        says(1, {"mix": pairs * items * (items + 1) // 2}, "the proof that every item arrived"),
    ]
    words = ["handoff", pairs, items]
    return _run(random, "exam_lock", words, expected, random.choice((1, 4)))


def _wake(random: Random) -> Question:
    threads = random.randrange(3, 7)
    expected = [
        says(1, 0, "the threads that woke before any signal"),
        says(2, 1, "the threads that one signal woke"),
        says(3, {"mix": threads}, "the proof that a broadcast woke the rest"),
    ]
    return _run(random, "exam_lock", ["wake", threads], expected, 1)


def _order(random: Random) -> Question:
    words = [random.randrange(3, 6), random.randrange(150, 250)]
    proof = says(1, {"mix": BANK}, "the proof that all money is still there")
    return _run(random, "bank", words, [proof], random.choice((1, 4)))


MAKERS: dict[str, tuple[tuple[Callable[[Random], Question], ...], int]] = {
    "slices": ((_slices,), 1),
    "alike": ((_alike,), 1),
    "losses": ((_losses,), 2),
    "top": ((_top,), 1),
    "descent": ((_descent,), 1),
    "gaming": ((_gaming,), 1),
    "doubling": ((_doubling,), 1),
    "sleeper": ((_sleeper, _batch), 1),
    "boost": ((_boost,), 1),
    "exclusion": ((_exclusion,), 3),
    "sleep": ((_sleep,), 1),
    "quiet": ((_quiet,), 1),
    "limit": ((_limit,), 1),
    "early": ((_early,), 1),
    "handoff": ((_handoff,), 2),
    "wake": ((_wake,), 2),
    "order": ((_order,), 5),
    "shares": ((_shares,), 2),
    "cores": ((_cores,), 1),
    "late": ((_late,), 2),
}
"""Each check's makers of questions, and how many each makes."""


def questions(check: Check, seed: int) -> list[Question]:
    """The questions of one check: the same seed gives the same ones."""
    random = Random(f"{check.name} {seed}")
    makers, count = MAKERS[check.name]
    return [make(random) for make in makers for _ in range(count)]
