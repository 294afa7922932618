"""The questions of lab 3, made from a seed: its parts A to C, and by name those of part D."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from random import Random

from labs.evidence import END
from labs.lab import ROOT, Check
from labs.question import Question
from labs.questions import replacement
from labs.questions.memory import (
    ANONYMOUS,
    ANSWERS,
    BASE,
    CLOCK,
    ELSEWHERE,
    FIFO,
    GUARD_PAGES,
    NONE,
    NOT_ALLOWED,
    NOT_MAPPED,
    PAGE,
    PAST_END,
    PRIVATE,
    PROGRAM,
    READ,
    SHARED,
    SIGBUS,
    SIGSEGV,
    STACK_PAGES,
    STACK_TOP,
    WORD,
    WRITE,
    Scene,
    page,
)

NEXT_TABLE = 560, 1000
"""Pages below the end of the stack that the table of its first pages does not serve."""


# Part A: demand ---------------------------------------------------------------------------------


def _lazy(random: Random) -> Scene:
    pages = random.randrange(8, 13)
    loaded, stored = _split(random, range(pages), 2, 3)
    scene = Scene(f"{pages} pages are mapped, {len(loaded)} loaded from, {len(stored)} stored to")
    scene.map(BASE, pages)
    scene.stop("mapped")
    resident = ["resident", "p1", BASE, page(pages)]
    scene.sees(resident, 0, "the number of resident pages of the mapping")
    for number in loaded:
        scene.load(page(number))
    for number in stored:
        scene.store(page(number), number)
    scene.stop("touched")
    for number in sorted(loaded):
        scene.number("p1", page(number), 0, f"the first word of page {number}, only loaded from,")
    for number in sorted(stored):
        scene.number("p1", page(number), {"mix": number}, f"what was stored to page {number}")
    scene.sees(resident, len(loaded) + len(stored), "the number of resident pages of the mapping")
    return scene


def _rights(random: Random) -> Scene:
    scene = Scene("a page is read only, one is closed, and none of them may be executed")
    read_only, closed, data = (page(n) for n in random.sample(range(0, 60, 3), 3))
    scene.map(read_only, 2, READ)
    scene.map(closed, 1, NONE)
    scene.map(data, 1)
    scene.load(read_only)
    scene.attempt("w", read_only, SIGSEGV, NOT_ALLOWED, 1)
    scene.attempt("w", read_only + PAGE, SIGSEGV, NOT_ALLOWED, 4)
    scene.attempt("r", closed, SIGSEGV, NOT_ALLOWED, 7)
    scene.attempt("x", data, SIGSEGV, NOT_ALLOWED, 10)
    scene.stop("tried")
    scene.sees(["rights", "p1", read_only], "r", "the rights of the page that is read only")
    return scene


def _file(random: Random) -> Scene:
    offset = random.randrange(3)
    scene = Scene("one file is mapped twice, privately, and only loaded from")
    scene.map(BASE, 3, WRITE, PRIVATE)
    scene.map(ELSEWHERE, 3, READ, PRIVATE)
    scene.load(page(offset))
    scene.load(page(offset, ELSEWHERE))
    scene.stop("loaded")
    scene.number("p1", page(offset), _word_of_file(offset, 0), f"the first word of page {offset}")
    places = ["same", "p1", page(offset), "p1", page(offset, ELSEWHERE)]
    scene.sees(places, True, "one frame in both mappings")
    scene.sees(["rights", "p1", page(offset)], "r", "the rights of a page that is still the file's")
    return scene


def _private(random: Random) -> Scene:
    start = random.randrange(1, 3)
    telling = [n for n in range(4) if _word_of_file(start + n, 0) != _word_of_file(n, 0)]
    first, second = random.sample(telling, 2)
    scene = Scene(
        f"one file is mapped twice, privately, from its page {start} on, "
        "and two pages of one mapping are stored to"
    )
    scene.map(BASE, 4, WRITE, PRIVATE, start)
    scene.map(ELSEWHERE, 4, READ, PRIVATE, start)
    scene.load(page(first))
    for number in (first, second):
        scene.load(page(number, ELSEWHERE))
        scene.store(page(number) + WORD, number)
    scene.stop("stored")
    for number in (first, second):
        of_file = start + number
        words = _word_of_file(of_file, 0), _word_of_file(of_file, 1)
        which, source = f"word 1 of page {number}", f"page {of_file} of the program's file"
        scene.number("p1", page(number) + WORD, {"mix": number}, f"{which}, stored to,")
        scene.number("p1", page(number), words[0], f"word 0 of {source},")
        scene.number(
            "p1", page(number, ELSEWHERE) + WORD, words[1], f"{which} of the other mapping"
        )
    return scene


def _beyond(random: Random) -> Scene:
    pages = len(_bytes_of_file()) + PAGE - 1 >> 12
    behind = page(pages + random.randrange(3))
    scene = Scene(f"a file of {pages} pages is mapped as {pages + 4}")
    scene.map(BASE, pages + 4, WRITE, PRIVATE)
    scene.attempt("r", page(pages - 1), 0, 0, 1)
    scene.attempt("r", behind, SIGBUS, PAST_END, 4)
    scene.attempt("w", behind, SIGBUS, PAST_END, 7)
    scene.stop("tried")
    return scene


def _bytes_of_file() -> bytes:
    return (ROOT / "userland" / "bin" / PROGRAM).read_bytes()


def _word_of_file(number: int, word: int) -> int:
    at = number * PAGE + word * WORD
    return int.from_bytes(_bytes_of_file()[at : at + WORD], "little")


# Part B: fork -----------------------------------------------------------------------------------


def _filled(random: Random, about: str, kind: int = PRIVATE | ANONYMOUS) -> tuple[Scene, int]:
    """Pages with two numbers in each, and one that was never touched behind them."""
    pages = random.randrange(4, 8)
    scene = Scene(about)
    scene.map(BASE, pages + 1, WRITE, kind)
    for number in range(pages):
        scene.store(page(number), number)
        scene.store(page(number) + WORD, number + 100)
    return scene, pages


def _sharing(random: Random) -> Scene:
    scene, pages = _filled(random, "a process fills pages and forks")
    scene.do("(", "-1", ")")
    scene.stop("forked")
    for number in range(pages):
        _is_same(scene, number, shared=True)
        for who, name in (("p1", "parent"), ("p2", "child")):
            says = f"the {name}'s rights on page {number}"
            scene.sees(["rights", who, page(number)], "r", says)
        scene.sees(["marks", "p1", page(number)], "AD", f"the parent's A and D of page {number}")
        scene.sees(["marks", "p2", page(number)], "none", f"the child's A and D of page {number}")
    scene.sees(["frame", "p2", page(pages)], None, "the child's frame of a page never touched")
    scene.do("+1", "W")
    return scene


def _is_same(scene: Scene, number: int, *, shared: bool) -> None:
    places = ["same", "p1", page(number), "p2", page(number)]
    scene.sees(places, shared, f"one frame for parent and child behind page {number}")


def _stale(random: Random) -> Scene:
    scene, pages = _filled(random, "the parent goes on storing after the fork")
    scene.do("(", "-1", ")")
    for number in range(pages):
        scene.store(page(number), number + 200)
    scene.stop("stored")
    for number in range(pages):
        scene.number("p2", page(number), {"mix": number}, f"what the child has in page {number}")
        says = f"what the parent has in page {number}"
        scene.number("p1", page(number), {"mix": number + 200}, says)
    scene.do("+1", "W")
    return scene


def _copies(random: Random) -> Scene:
    scene, pages = _filled(random, "the child stores to one page")
    written = random.randrange(pages)
    scene.do("(")
    scene.store(page(written), 300)
    scene.do("+1", "-2", ")", "-1")
    scene.stop("stored")
    scene.number("p1", page(written), {"mix": written}, f"what the parent has in page {written}")
    scene.number("p2", page(written), {"mix": 300}, f"what the child stored to page {written}")
    says = f"the word behind it, which the child did not store to in page {written},"
    scene.number("p2", page(written) + WORD, {"mix": written + 100}, says)
    for number in range(pages):
        _is_same(scene, number, shared=number != written)
    scene.do("+2", "W")
    return scene


def _last(random: Random) -> Scene:
    scene, pages = _filled(random, "the child copies one page and ends; the parent stores to two")
    copied, left = random.sample(range(pages), 2)
    scene.do("(", "-1")
    scene.store(page(copied), 300)
    scene.do(")")
    scene.stop("forked")
    scene.do("+1", "W")
    scene.store(page(copied), 400)
    scene.store(page(left), 401)
    scene.stop("alone")
    for number, value in ((copied, 400), (left, 401)):
        scene.number("p1", page(number), {"mix": value}, f"what was stored to page {number}")
        says = f"the frame of page {number}, which nobody else had any more, kept"
        scene.sees(["kept", "p1", page(number), "forked"], True, says)
        scene.sees(["rights", "p1", page(number)], "rw", f"the rights on page {number}")
    return scene


def _shared(random: Random) -> Scene:
    about = "a process maps shared memory, forks, and the child stores to it"
    scene, pages = _filled(random, about, SHARED | ANONYMOUS)
    written = random.randrange(pages)
    scene.do("(", "-1")
    scene.store(page(written), 300)
    scene.do("+2", "-3", ")")
    scene.stop("forked")
    for who, name in (("p1", "parent"), ("p2", "child")):
        says = f"the {name}'s rights on page {written}"
        scene.sees(["rights", who, page(written)], "rw", says)
    scene.do("+1", "-2")
    scene.stop("stored")
    _is_same(scene, written, shared=True)
    scene.number("p1", page(written), {"mix": 300}, f"what the parent finds in page {written}")
    scene.do("+3", "W")
    return scene


def _leak(random: Random) -> Scene:
    scene, pages = _filled(random, "parent and child store to the same pages, and end")
    written = random.sample(range(pages), 3)
    scene.do("(")
    for number in written:
        scene.store(page(number), 300 + number)
    scene.do(")")
    for number in written:
        scene.store(page(number), 400 + number)
    scene.do("W")
    says = "the number of frames with anonymous memory, after everybody has ended,"
    scene.sees(["held", "anonymous"], 0, says, END)
    return scene


def _paid(random: Random) -> Scene:
    """What a VAS gets, its owner pays for: at the limit the kernel ends the process."""
    few, many = random.randrange(40, 80), (1 << 20) // PAGE
    scene = Scene(f"a child copies {few} pages of a file into a VAS, and then {many}, the limit")
    scene.vas_limit_mib = 1
    scene.do("(")
    scene.view(BASE, 1)
    scene.do("i1", f"f{page(16):x},{few:x}", "+1", f"f{ELSEWHERE:x},{many:x}", "+2", ")", "W")
    scene.stop("copied")
    for slot, value, says in ((1, 1, "below the limit"), (2, 0, "at the limit, without an end,")):
        text = f"whether the child goes on after the copies {says}"
        scene.number("p1", ANSWERS + slot * WORD, value, text)
    return scene


# Part C: what is not there ----------------------------------------------------------------------


def _nowhere(random: Random) -> Scene:
    scene = Scene("two mappings have a hole between them")
    hole = random.randrange(2, 9)
    scene.map(BASE, 2)
    scene.map(page(2 + hole), 2)
    for slot, how in enumerate("rwx"):
        scene.attempt(how, page(2 + random.randrange(hole)), SIGSEGV, NOT_MAPPED, 1 + 3 * slot)
    scene.attempt("r", page(4 + hole), SIGSEGV, NOT_MAPPED, 10)
    scene.attempt("w", page(-random.randrange(30, 60)), SIGSEGV, NOT_MAPPED, 13)
    scene.stop("tried")
    return scene


def _stack(random: Random) -> Scene:
    """The second page lies below the first: pages that moved with the stack would be one."""
    depths = sorted(random.sample(range(20, 900), 4))
    order = sorted(random.sample(depths, 2))
    order += random.sample([depth for depth in depths if depth not in order], 2)
    scene = Scene(f"the stack is stored to, {', '.join(map(str, order))} pages below its end")
    for depth in order:
        scene.store(STACK_TOP - depth * PAGE, depth)
    scene.stop("grown")
    for depth in depths:
        says = f"what was stored {depth} pages below the stack's end"
        scene.number("p1", STACK_TOP - depth * PAGE, {"mix": depth}, says)
    low, high = STACK_TOP - depths[-1] * PAGE, STACK_TOP - (depths[0] - 1) * PAGE
    scene.sees(["resident", "p1", low, high], 4, "the number of resident pages of that stretch")
    _tells_the_trace(scene, order)
    return scene


def _tells_the_trace(scene: Scene, depths: Sequence[int]) -> None:
    """Each shape that the stack has had makes two records: the stack has it, and has it no more."""
    grown = [depth for i, depth in enumerate(depths) if depth > max(depths[:i], default=0)]
    for depth in grown:
        start = STACK_TOP - depth * PAGE
        says = f"the number of records (region) of a stack from {start:#x}"
        records = ["count", "region", {"start": start, "end": STACK_TOP}]
        scene.sees(records, 2, says, END)


def _limit(random: Random) -> Scene:
    scene = Scene(f"the stack may have {STACK_PAGES} pages")
    floor = STACK_TOP - STACK_PAGES * PAGE
    scene.attempt("w", floor - random.randrange(1, 100) * WORD, SIGSEGV, NOT_MAPPED, 1)
    scene.attempt("w", floor, 0, 0, 4)
    scene.stop("tried")
    return scene


def _guard(random: Random) -> Scene:
    other = STACK_TOP - random.randrange(100, 1000) * PAGE
    scene = Scene("another mapping lies below the stack")
    scene.map(other, 1)
    scene.store(other, 1)
    nearest = other + PAGE + GUARD_PAGES * PAGE
    scene.attempt("w", nearest - PAGE, SIGSEGV, NOT_MAPPED, 1)
    scene.attempt("w", other + PAGE, SIGSEGV, NOT_MAPPED, 4)
    scene.attempt("w", nearest, 0, 0, 7)
    scene.attempt("w", nearest - PAGE, SIGSEGV, NOT_MAPPED, 10)
    scene.stop("tried")
    scene.number("p1", other, {"mix": 1}, "what the other mapping holds")
    return scene


def _views(random: Random) -> Scene:
    """A view shows the stack and something of its VAS, which the process itself does not see."""
    other = STACK_TOP - random.randrange(*NEXT_TABLE) * PAGE
    scene = Scene("the process has a VAS attached, which has a page below the stack")
    scene.view(other, 1)
    nearest = other + PAGE + GUARD_PAGES * PAGE
    scene.attempt("w", nearest - PAGE, SIGSEGV, NOT_MAPPED, 1)
    scene.store(nearest, 2)
    scene.do("i1")
    scene.load(nearest, 4)
    scene.load(other, 5)
    scene.stop("tried")
    scene.number("p1v1", nearest, {"mix": 2}, "what the view shows where the stack has grown to")
    scene.number(
        "p1v1", other, {"mix": 1}, "what the view still shows of the VAS, below the stack,"
    )
    scene.number("p1", ANSWERS + 4 * WORD, {"mix": 2}, "what the thread inside reads there")
    scene.number("p1", ANSWERS + 5 * WORD, {"mix": 1}, "what it reads in the VAS's page")
    scene.do("i0")
    return scene


MAKERS: dict[str, tuple[Callable[[Random], Scene], ...]] = {
    "lazy": (_lazy,),
    "rights": (_rights,),
    "file": (_file,),
    "private": (_private,),
    "beyond": (_beyond,),
    "sharing": (_sharing,),
    "stale": (_stale,),
    "copies": (_copies,),
    "last": (_last,),
    "shared": (_shared,),
    "leak": (_leak,),
    "paid": (_paid,),
    "nowhere": (_nowhere,),
    "stack": (_stack,),
    "limit": (_limit,),
    "guard": (_guard, _views),
    "fifo": (partial(replacement.string, replace=FIFO),),
    "belady": tuple(partial(replacement.belady, frames=frames) for frames in (3, 4)),
    "clock": (partial(replacement.string, replace=CLOCK),),
    "hot": (replacement.hot,),
    "locked": (replacement.locked,),
    "everywhere": (replacement.everywhere,),
}


def questions(check: Check, seed: int) -> list[Question]:
    """The questions of one check: the same seed gives the same ones."""
    random = Random(f"{check.name} {seed}")
    return [maker(random).question() for maker in MAKERS[check.name]]


def _split(random: Random, among: Sequence[int], first: int, second: int) -> tuple[list[int], ...]:
    chosen = random.sample(among, first + second)
    return chosen[:first], chosen[first:]
