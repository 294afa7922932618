"""Programs that are frozen in the middle, killed, and brought back as another process.

`revive` (userland/programs) does it from outside, at a moment that the caller chooses.  What a
program prints and how it ends must be what it is undisturbed.  A program is not frozen while it has
children, so a moment means that time or the next one at which it has none.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hw.costs import CYCLES_PER_SECOND
from kernel import invariants, turns
from kernel.choose import Chooser
from kernel.wait.signals import name
from tests.kernel.leftovers import left_open
from tests.kernel.system import ROOT, SMALL, System
from tests.oracle import empty_folder
from userland import build

NEVER = 10**15
"""Nanoseconds; no program takes so long."""
TURNS = 400_000
MOST_TRIES = 60
"""Draws of a moment for one restart: later ones fall behind the program's end."""
SHORTEST = 1_000

OURS = (
    "basics crossings exam_lock exam_paging exam_sched exam_segments exam_stale exam_store faults "
    "forkbench gups hello matmul memcalls overcommit pie signals store stream upper vas_heap "
    "vas_lifetime vas_malloc vas_stacks bank"
).split()
"""With the arguments of `SMALL`.  Left out is what prints frames, cycles or ids of others, or what
the kernel did for a view, what has children all the time, and what has sockets or endpoints."""
LONGER: dict[str, tuple[str, ...]] = {
    "nullcall": ("2000",),
    "sha256": ("200",),
    "sieve": ("9000",),
    "spin": ("5000",),
    "switcher": ("30",),
    "threads": ("3", "200"),
}
SCRIPTS = {
    "loop": "i=0; while [ $i -lt 400 ]; do i=$((i+1)); done; echo $i",
    "functions": "f() { local n=$1; [ $n -eq 0 ] || { echo $n; f $((n-1)); }; }; f 12; exit 3",
    "files": "cd /tmp; for i in 1 2 3 4 5 6; do echo $i >>a; echo $((i*i)) >b; read x <b; echo $x; "
    "done; while read y; do echo got $y; done <a",
    "tools": "for i in 3 1 2; do echo $i; done | sort; seq 5 | while read n; do echo $((n*n)); "
    "done; echo abc | tr a-c x-z; ls /bin | grep -c .",
    "traps": "trap 'echo bye' EXIT; trap 'echo usr' USR1; kill -USR1 $$; "
    "for i in 1 2 3; do echo $i; done; case $0 in *) echo $#;; esac",
    "words": 'set -- a b c; for w in "$@"; do x=$x$w; echo ${x%c} ${#x}; done; cat <<E\n$x\nE\n',
}
STOCK = (
    *("native/p_futex", "native/p_jobs", "native/p_limits", "native/p_memory", "native/p_mmap"),
    *("native/p_settings", "native/p_timers", "native/p_wait", "stock/threads"),
)
"""C programs, here built with a stock C library."""
BUSYBOX = (
    "i=0; while [ $i -lt 30 ]; do i=$((i+1)); echo $i; done; for f in 1 2 3; do echo $f >/tmp/$f; "
    "read x </tmp/$f; echo $x; done; echo $(expr 3 + 4)"
)


@dataclass(frozen=True)
class Subject:
    """A program to freeze: its words, and files that it needs beside the built-in ones."""

    words: tuple[str, ...]
    files: dict[bytes, bytes]


@dataclass(frozen=True)
class Ending:
    """What a user sees of a run."""

    output: str
    how: str
    nanoseconds: int
    """When the first process that ran the program ended."""
    restarted: bool

    @property
    def seen(self) -> tuple[str, str]:
        return self.output, self.how


@cache
def subjects() -> dict[str, Subject]:
    """Everything that this host can build; nothing is built yet but what is asked for here."""
    found = {name: Subject((name, *SMALL[name]), {}) for name in OURS}
    found |= {name: Subject((name, *words), {}) for name, words in LONGER.items()}
    found |= {f"sh {name}": Subject(("sh", "-c", text), {}) for name, text in SCRIPTS.items()}
    if Path("/bin/busybox").exists():
        busybox = {b"/bin/busybox": Path("/bin/busybox").read_bytes()}
        found["busybox sh"] = Subject(("busybox", "sh", "-c", BUSYBOX), busybox)
    if shutil.which(sys.executable) is not None:
        found |= _built()
    return found


def _built() -> dict[str, Subject]:
    """Programs that need the compiler."""
    found, musl = {}, ("-target", "x86_64-linux-musl", "-static", "-O1", "-pthread")
    with empty_folder() as folder:
        target = folder / "objects"
        build.cc([str(ROOT / "tests" / "userland" / "static_objects.cc"), "-o", str(target)])
        found["C++"] = _subject("objects", target)
        for source in STOCK:
            short = Path(source).name
            words = (*musl, str(ROOT / "tests" / f"{source}.c"), "-o", str(folder / short))
            subprocess.run([sys.executable, "-m", "ziglang", "cc", *words], check=True)
            found[source] = _subject(short, folder / short)
    return found


def _subject(short: str, path: Path) -> Subject:
    return Subject((short,), {b"/bin/" + short.encode(): path.read_bytes()})


# Runs -------------------------------------------------------------------------------------------


def revived(subject: Subject, nanoseconds: int, **wishes: Any) -> Ending:
    """The program, frozen after so much modelled time.  All invariants hold at the end."""
    wishes = {"turns": TURNS, "traced": False, "watched": False, "init": True, "cpus": 2, **wishes}
    system = System("revive", str(nanoseconds), *subject.words, files=subject.files, **wishes)
    kernel, restarted, ended_at = system.kernel, False, 0
    kernel.machine.console.error_sink = system.written.append

    def ended() -> bool:
        nonlocal restarted, ended_at
        if not ended_at and any(child.zombie for child in system.process.children):
            ended_at = kernel.tasks.now() * 1_000_000_000 // CYCLES_PER_SECOND
        restarted |= system.process.name != "revive" and bool(kernel.vases.vases)
        return system.process.zombie

    turns.run(kernel, ended)
    invariants.check(kernel)
    status = system.process.exit_status
    how = name(status & 0x7F) if status & 0x7F else f"exit {status >> 8}"
    output = b"".join(system.written).decode(errors="replace")
    system.end()
    assert not list(left_open(kernel)), list(left_open(kernel))
    return Ending(output, how, ended_at, restarted)


def undisturbed(subject: Subject, **wishes: Any) -> Ending:
    """The program in the same surroundings, which end before it is frozen."""
    return revived(subject, NEVER, **wishes)


def check(subject: Subject, moments: int, seed: int, **wishes: Any) -> int:
    """Freeze the program at so many random moments; returns at how many it was restarted.

    Raises AssertionError: it printed something else, or ended in another way.
    """
    whole, chooser, done = undisturbed(subject, **wishes), Chooser(seed), 0
    assert not whole.restarted
    for _ in range(MOST_TRIES):
        span = max(1, whole.nanoseconds - SHORTEST)
        at = SHORTEST + int.from_bytes(chooser.bytes(8), "little") % span
        found = revived(subject, at, **wishes)
        if found.seen != whole.seen:
            raise AssertionError(
                f"{subject.words[0]}, frozen after {at} ns: {_apart(whole, found)}"
            )
        done += found.restarted
        if done == moments:
            break
    return done


def _apart(whole: Ending, found: Ending) -> str:
    """Where the two outputs differ first."""
    ours, theirs = found.output.splitlines(), whole.output.splitlines()
    for mine, other in zip(ours, theirs, strict=False):
        if mine != other:
            return f"{mine!r} and not {other!r}"
    return f"{len(ours)} lines and {found.how}, not {len(theirs)} and {whole.how}"
