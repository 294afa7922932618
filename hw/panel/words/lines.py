"""The log: a line for each kind of record, as terse as strace(1)."""

from __future__ import annotations

from collections.abc import Callable

from hw.panel.model.about import About
from hw.panel.words.words import VECTORS, access_word, call_text, kind_words, result_text
from hw.trace import Record

OUTCOMES = ("resolved", "resolved after a pause", "refused")
LOCKED = ("let go", "shared", "alone")


def log_line(about: About, record: Record) -> str:
    """One line of the log, without number and time."""
    line = LINES.get(record.kind.name)
    return line(about, record) if line else str(record).split(" ", 2)[-1]


def _log_syscall(about: About, record: Record) -> str:
    return f"T{record['tid']} {call_text(about, record)} = {result_text(about, record['result'])}"


def _log_fault(about: About, record: Record) -> str:
    access = access_word(record["error"])[1]
    outcome = "" if record["outcome"] == 0 else f", {OUTCOMES[record['outcome']]}"
    return f"T{record['tid']} #PF {access} {record['page']:#x} err={record['error']:#x}{outcome}"


def _log_exception(about: About, record: Record) -> str:
    what = VECTORS.get(record["vector"], f"vector {record['vector']}")
    return f"T{record['tid']} #{record['vector']} {what} at {record['rip']:#x}"


LINES: dict[str, Callable[[About, Record], str]] = {
    "syscall": _log_syscall,
    "fault": _log_fault,
    "exception": _log_exception,
    "wait": lambda about, r: f"T{r['tid']} {about.call_name(r['number'])} sleeps",
    "stop": lambda about, r: f"T{r['tid']} is stopped",
    "wake": lambda about, r: f"T{r['tid']} wakes up",
    "run": lambda about, r: f"T{r['tid']} runs, space {r['space']}",
    "vas_switch": lambda about, r: (
        f"T{r['tid']} switches to {'VAS ' + str(r['vid']) if r['vid'] else 'its own space'}"
    ),
    "vas": lambda about, r: f"VAS {r['vid']} {'is made' if r['alive'] else 'is gone'}",
    "segment": lambda about, r: f"segment {r['sid']} {'is made' if r['alive'] else 'is gone'}",
    "vas_attach": lambda about, r: (
        f"VAS {r['vid']} attached, {kind_words(r['kind'])}"
        if r["alive"]
        else f"VAS {r['vid']} detached"
    ),
    "seg_attach": lambda about, r: (
        f"segment {r['sid']} {'attached to' if r['alive'] else 'detached from'} VAS {r['vid']}"
    ),
    "seg_lock": lambda about, r: f"T{r['tid']} lock of segment {r['sid']}: {LOCKED[r['how']]}",
    "conflict": lambda about, r: f"conflict at {r['start']:#x} in space {r['space']}",
    "thread_new": lambda about, r: f"T{r['tid']} is made, process {r['pid']}, space {r['space']}",
    "thread_end": lambda about, r: f"T{r['tid']} ends",
    "exec": lambda about, r: f"P{r['pid']} runs {r['path'].decode(errors='replace')}",
    "signal": lambda about, r: f"T{r['tid']} {about.signal(r['number'])}, action {r['action']}",
    "console_output": lambda about, r: f"out: {r['data'].decode(errors='replace').rstrip()}",
    "log": lambda about, r: f"kernel: {r['text'].decode(errors='replace')}",
    "shootdown": lambda about, r: f"shootdown {r['id']}: {r['waiting']} cores must answer",
    "shootdown_done": lambda about, r: f"shootdown {r['id']} is done",
    "nvm_flush": lambda about, r: f"flush of the line at {r['pa']:#x}",
    "nvm_fence": lambda about, r: f"fence: {r['lines']} lines of NVM are durable",
    "nvm_commit": lambda about, r: f"commit {r['number']} of NVM",
}
