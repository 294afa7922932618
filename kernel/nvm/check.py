"""Reading a module whole: what is on it, what is wrong with it, and how to repair it.

It works on any source of bytes, a file or a machine's module, so that `run.py nvm` and the kernel
that boots have one answer.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from hw.host import printable
from hw.memory import PAGE_SIZE
from kernel.nvm.format import (
    KINDS,
    MAGIC,
    MOST_BYTES,
    SLOTS,
    VERSION,
    Damage,
    Entry,
    MediumError,
    Record,
    Root,
    checksum,
    frames_for,
    newer,
    pack_catalogue,
    pack_root,
    runs_of,
    unpack_catalogue,
    unpack_record,
    unpack_root,
    version_of,
)

Source = Callable[[int, int], bytes]
"""Bytes of a module, by offset and size."""
SLOT_NAMES = "AB"
SEE = "`run.py nvm check FILE` says more, `run.py nvm repair FILE` keeps what is whole"


@dataclass(slots=True)
class Contents:
    """A module that was read: its root, its records, and what is wrong, one sentence each."""

    root: Root
    slot: int
    entries: list[Entry] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    spans: list[tuple[int, int, str]] = field(default_factory=list)
    """Which frames are whose, as (first, count, words)."""


def read(source: Source, size_bytes: int) -> Contents:
    """Read a module of this size.  Raises `MediumError` where there is nothing to go on with."""
    roots, problems = _roots(source, size_bytes)
    slot = max(roots, key=lambda i: roots[i].number)
    found = Contents(roots[slot], slot, problems=problems)
    _read_catalogue(source, found)
    _read_records(source, found)
    found.problems += _overlaps(found)
    return found


def _roots(source: Source, size_bytes: int) -> tuple[dict[int, Root], list[str]]:
    """The good root slots, and what is wrong with the others."""
    roots: dict[int, Root] = {}
    frames = [source(slot * PAGE_SIZE, PAGE_SIZE) for slot in range(SLOTS)]
    problems = []
    for slot, frame in enumerate(frames):
        try:
            roots[slot] = unpack_root(frame)
        except Damage as damage:
            problems.append(f"root slot {SLOT_NAMES[slot]} {damage}")
    if not roots:
        raise _unreadable(frames, problems)
    made = max(roots.values(), key=lambda root: root.number).frames * PAGE_SIZE
    if made != size_bytes:
        raise MediumError(
            f"it was made with {made:,} bytes, and has {size_bytes:,}",
            "a part is missing, or was added: take a whole copy of the file",
        )
    return roots, problems


def _unreadable(frames: list[bytes], problems: list[str]) -> MediumError:
    """Why neither root slot is good."""
    known = [frame for frame in frames if frame[: len(MAGIC)] == MAGIC]
    if not known:
        return MediumError("it holds no NVM of Vantage", "`run.py nvm format FILE` makes a new one")
    versions = [version_of(frame) for frame in frames]
    if versions[0] == versions[1] != VERSION:
        return newer(versions[0])
    return MediumError(
        f"nothing can be found on it: {'; '.join(problems)}",
        "there is no repair; take a copy of the file, or format it anew",
    )


def _read_catalogue(source: Source, found: Contents) -> None:
    root = found.root
    place = (root.pfn, root.size_bytes, root.checksum)
    try:
        data = _piece(source, root, *place)
        found.entries = unpack_catalogue(data)
        found.spans.append((root.pfn, frames_for(root.size_bytes), "the catalogue"))
    except Damage as damage:
        found.problems.append(f"the catalogue {damage}")


def _read_records(source: Source, found: Contents) -> None:
    whole: list[Entry] = []
    for entry in found.entries:
        name = f"{KINDS[entry.kind] if entry.kind < len(KINDS) else 'object'} {entry.id}"
        try:
            data = _piece(source, found.root, entry.pfn, entry.size_bytes, entry.checksum)
            record = unpack_record(data)
            if record.key != entry.key:
                raise Damage("is of another object")
        except Damage as damage:
            found.problems.append(f"the record of {name} {damage}")
            continue
        words = f"{KINDS[record.kind]} {record.id} ({text(record.name)})"
        found.spans.append((entry.pfn, frames_for(entry.size_bytes), f"the record of {words}"))
        found.spans += [(pfn, count, words) for _, pfn, count in runs_of(record)]
        whole.append(entry)
        found.records.append(record)
    found.entries = whole


def _piece(source: Source, root: Root, pfn: int, size_bytes: int, crc: int) -> bytes:
    """A catalogue or a record.  Raises `Damage`."""
    if size_bytes > MOST_BYTES or not SLOTS <= pfn <= root.frames - frames_for(size_bytes):
        raise Damage("lies outside the module")
    data = source(pfn * PAGE_SIZE, size_bytes) if size_bytes else b""
    if checksum(data) != crc:
        raise Damage("has a wrong checksum")
    return data


def _overlaps(found: Contents) -> Iterator[str]:
    """Every frame has one use at most, and is in the module."""
    at, last = SLOTS, "the root slots"
    for pfn, count, words in sorted(found.spans):
        if pfn + count > found.root.frames or count < 0:
            yield f"{words} reaches outside the module"
        elif count and pfn < at:
            yield f"{words} and {last} have frames in common"
        if count and pfn + count > at:
            at, last = pfn + count, words


def text(name: bytes) -> str:
    """A name from the medium, fit for a terminal."""
    return printable(name.decode(errors="backslashreplace"))


# Making and repairing -------------------------------------------------------------------------


def formatted(frames: int) -> bytes:
    """The first frames of an empty module of this size; all others are zero."""
    slots = (pack_root(Root(frames, number=number, pfn=SLOTS)) for number in (1, 2))
    return b"".join(slot.ljust(PAGE_SIZE, b"\0") for slot in slots)


@dataclass(slots=True)
class Repair:
    """What a repair writes, in this order, and what it says about it."""

    writes: list[tuple[int, bytes]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)


def repair(source: Source, size_bytes: int) -> Repair:
    """Keep every object that is whole.  Raises `MediumError` where nothing is left."""
    found = read(source, size_bytes)
    done = Repair(told=list(found.problems))
    if not found.problems:
        return done
    before = _older(source, size_bytes, found)
    if before is not None and any(p.startswith("the catalogue") for p in found.problems):
        done.told.append("gone back to the state before the last change")
        found = before
        before = None
    records = {record.key: record for record in found.records}
    entries = {entry.key: entry for entry in found.entries}
    for record, entry in zip(before.records, before.entries, strict=True) if before else ():
        if record.key not in records and _named_damaged(found, record):
            records[record.key], entries[record.key] = record, entry
            done.told.append(f"took {_words(record)} as it was before its last change")
    kept = _without_overlaps(records, entries, done)
    _write(found.root, kept, records, done)
    return done


def _words(record: Record) -> str:
    return f"{KINDS[record.kind]} {text(record.name)}"


def _named_damaged(found: Contents, record: Record) -> bool:
    return any(
        problem.startswith(f"the record of {KINDS[record.kind]} {record.id} ")
        for problem in found.problems
    )


def _older(source: Source, size_bytes: int, found: Contents) -> Contents | None:
    """What the other root slot leads to, if it is whole."""
    try:
        root = unpack_root(source((1 - found.slot) * PAGE_SIZE, PAGE_SIZE))
    except (Damage, MediumError):
        return None
    if root.frames * PAGE_SIZE != size_bytes:
        return None
    older = Contents(root, 1 - found.slot)
    _read_catalogue(source, older)
    _read_records(source, older)
    return None if any(p.startswith("the catalogue") for p in older.problems) else older


def _without_overlaps(
    records: dict[tuple[int, int], Record], entries: dict[tuple[int, int], Entry], done: Repair
) -> list[Entry]:
    """Leave out what shares a frame with an object that is kept."""
    taken: list[tuple[int, int]] = [(0, SLOTS)]
    kept = []
    for key, entry in sorted(entries.items()):
        runs = [(entry.pfn, frames_for(entry.size_bytes))]
        runs += [(pfn, count) for _, pfn, count in runs_of(records[key])]
        if any(_hits(taken, run) for run in runs):
            done.told.append(f"gave up {_words(records[key])}: its frames are another's")
            continue
        taken = sorted((*taken, *(run for run in runs if run[1])))
        kept.append(entry)
    return kept


def _hits(taken: list[tuple[int, int]], run: tuple[int, int]) -> bool:
    i = bisect_right(taken, run)
    before, after = taken[i - 1] if i else (0, 0), taken[i] if i < len(taken) else None
    return sum(before) > run[0] or (after is not None and after[0] < sum(run))


def _write(
    root: Root, kept: list[Entry], records: dict[tuple[int, int], Record], done: Repair
) -> None:
    """A new catalogue in free frames, then both root slots."""
    data = pack_catalogue(kept)
    used = [(0, SLOTS), *((entry.pfn, frames_for(entry.size_bytes)) for entry in kept)]
    for entry in kept:
        used += [(pfn, count) for _, pfn, count in runs_of(records[entry.key])]
    pfn = _room(sorted(used), max(1, frames_for(len(data))), root.frames)
    done.writes.append((pfn * PAGE_SIZE, data))
    for slot in range(SLOTS):
        new = Root(root.frames, root.number + 1 + slot, pfn, len(data), checksum(data))
        done.writes.append((slot * PAGE_SIZE, pack_root(new).ljust(PAGE_SIZE, b"\0")))


def _room(used: list[tuple[int, int]], count: int, frames: int) -> int:
    at = 0
    for pfn, length in used:
        if pfn - at >= count:
            return at
        at = max(at, pfn + length)
    if at + count > frames:
        raise MediumError("it is full, and a repair needs a free frame", "copy the file and format")
    return at
