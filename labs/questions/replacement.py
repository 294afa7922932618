"""The questions of lab 3, part D: which frame has to go when memory is short.

The simulator of a textbook, which knows no kernel, works out what replacement should do.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from labs.evidence import END
from labs.questions.memory import BASE, CLOCK, ELSEWHERE, FIFO, Scene, page

KEPT_FREE = 4
"""Frames that the kernel has free whenever a program runs: one fault never takes more than 5."""


def simulate(policy: str, frames: int, references: Sequence[int]) -> tuple[list[int], int]:
    """The victims and the number of faults, after OSTEP, chapter 22: a queue and a use bit."""
    queue: list[int] = []
    used: set[int] = set()
    victims, faults = [], 0
    for number in references:
        if number not in queue:
            faults += 1
            if len(queue) == frames:
                while policy == CLOCK and queue[0] in used:
                    used.remove(queue[0])
                    queue.append(queue.pop(0))
                victims.append(queue.pop(0))
            queue.append(number)
        used.add(number)
    return victims, faults


def _short(about: str, replace: str, frames: int) -> Scene:
    """Everything but the question's pages is locked, and those have `frames` frames."""
    scene = Scene(f"{about}; {replace}, {frames} frames", ram_mib=1, swap_mib=1, replace=replace)
    scene.do("L")
    scene.map(BASE, 64)
    scene.do(f"B{frames + KEPT_FREE:x}")
    return scene


def _refer(scene: Scene, references: Sequence[int], frames: int) -> None:
    """Store at the first reference of a page, load at each other one."""
    seen: set[int] = set()
    for number in references:
        if number in seen:
            scene.load(page(number))
        else:
            scene.store(page(number), number)
        seen.add(number)
    scene.stop("done")
    victims, faults = simulate(scene.replace, frames, references)
    scene.sees(["listed", "page_out", "page", {}], victims, "the list of pages that left", END)
    back = faults - len(seen)
    scene.sees(["count", "page_in", {}], back, "the number of pages that came back", END)
    resident = ["resident", "p1", BASE, page(64)]
    scene.sees(resident, min(frames, len(seen)), "the number of resident pages")


def string(random: Random, replace: str) -> Scene:
    """A string on which the two policies soon choose otherwise."""
    while True:
        frames = random.randrange(3, 7)
        references = [random.randrange(frames + 3) for _ in range(28)]
        fifo, clock = (simulate(policy, frames, references)[0] for policy in (FIFO, CLOCK))
        if fifo[:4] != clock[:4]:
            break
    scene = _short("a reference string", replace, frames)
    _refer(scene, references, frames)
    return scene


BELADY = (1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5)
"""Belady, Nelson and Shedler, CACM 12:6 (1969): 9 faults with 3 frames and 10 with 4."""


def belady(random: Random, frames: int) -> Scene:
    names = random.sample(range(64), 6)
    scene = _short("Belady's string", FIFO, frames)
    _refer(scene, [names[number] for number in BELADY], frames)
    return scene


def hot(random: Random) -> Scene:
    """One page is used between all others."""
    frames, (hot, *others) = random.randrange(4, 7), random.sample(range(64), 20)
    references = [hot]
    for number in others:
        references += [number, hot]
    scene = _short("one page is used all the time", CLOCK, frames)
    _refer(scene, references, frames)
    return scene


def locked(random: Random) -> Scene:
    frames, pages = random.randrange(3, 6), random.randrange(2, 5)
    about = f"{pages} pages are locked, {frames} frames are left"
    scene = Scene(about, ram_mib=1, swap_mib=1, replace=FIFO)
    scene.map(ELSEWHERE, pages)
    for number in range(pages):
        scene.store(page(number, ELSEWHERE), number + 100)
    scene.do("L")
    scene.map(BASE, 64)
    scene.do(f"B{frames + KEPT_FREE:x}")
    _refer(scene, range(20), frames)
    resident = ["resident", "p1", ELSEWHERE, page(pages, ELSEWHERE)]
    scene.sees(resident, pages, "the number of locked pages in memory")
    return scene


def everywhere(random: Random) -> Scene:
    """The hot page is shared after a fork, and only the child uses it."""
    hot, rounds, frames = random.randrange(50, 64), 40, 14
    scene = Scene("a page is used by the child alone", ram_mib=1, swap_mib=1)
    scene.do("L")
    scene.map(BASE, 64)
    scene.store(page(hot), hot)
    scene.do("(")
    for turn in range(rounds):
        scene.do(f"-{2 * turn + 1:x}")
        scene.load(page(hot))
        scene.do(f"+{2 * turn + 2:x}")
    end = 2 * rounds + 1
    scene.do(f"-{end:x}", ")", f"B{frames + KEPT_FREE:x}")
    for turn in range(rounds):
        scene.store(page(turn), turn)
        scene.do(f"+{2 * turn + 1:x}", f"-{2 * turn + 2:x}")
    scene.stop("done")
    scene.number("p2", page(hot), {"mix": hot}, "what the child has in its page")
    scene.do(f"+{end:x}", "W")
    left = ["count", "page_out", {"page": hot}]
    says = "how often the page that the child uses left memory (once: all were in use)"
    scene.sees(left, {"at_most": 1}, says, END)
    return scene
