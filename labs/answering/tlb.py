"""Lab 2: a TLB driven from outside, one operation after the other; or a whole system around it."""

from __future__ import annotations

from typing import Any

from hw.tlb import GLOBAL, TAG_BITS, Entry, Tlb
from labs.answering import system
from labs.answering.desk import Desk

IN_ORDER = "in order"


def answer(told: dict[str, Any], desk: Desk) -> dict[str, Any]:
    """What each operation returned, by its number, and what is in the TLB after the last.

    An audit ends with the first operation that leaves the bookkeeping out of order.
    """
    if "program" in told:
        return system.answer(told, desk)
    tlb, said = Tlb(*told["shape"]), {}
    for number, row in enumerate(told["operations"], 1):
        said[str(number)] = perform(tlb, row)
        if told["audit"]:
            said[f"books {number}"] = audited = books(tlb)
            if audited != IN_ORDER:
                return said
    return {**said, "content": content(tlb)}


def perform(tlb: Tlb, row: list[Any]) -> str:
    """One operation: the name of a method and its arguments; `fill` takes those of an entry."""
    name, *arguments = row
    match name:
        case "fill":
            return told_of(tlb.fill(Entry(*arguments)))
        case "lookup":
            return told_of(tlb.lookup(*arguments))
        case _:
            return listed(getattr(tlb, name)(*arguments))


def told_of(entry: Entry | None) -> str:
    """An entry as reports write it."""
    if entry is None:
        return "nothing"
    owner = "global" if entry.tag == GLOBAL else f"PCID {entry.tag}"
    return f"page {entry.vpn:#x} ({owner}) in frame {entry.pfn:#x}"


def listed(entries: list[Entry]) -> str:
    """Entries in the order of their pages, as the order in which they went is free."""
    chosen = sorted(entries, key=lambda entry: (entry.vpn, entry.tag))
    return ", ".join(map(told_of, chosen)) or "nothing"


def content(tlb: Tlb) -> str:
    """What the ways hold, in the order of the pages."""
    return listed([entry for ways in tlb.slots for entry in ways if entry is not None])


def books(tlb: Tlb) -> str:
    """Do `index`, `ages`, `large` and the entries say the same as the ways?  If not, what not."""
    held: dict[int, Entry] = {}
    for number, ways in enumerate(tlb.slots):
        used = [way for way, entry in enumerate(ways) if entry is not None]
        if sorted(tlb.ages[number]) != used:
            return f"set {number} uses the ways {used}, but its ages are {tlb.ages[number]}"
        for way in used:
            entry = ways[way]
            assert entry is not None
            key = entry.vpn << TAG_BITS | entry.tag
            if (entry.set_index, entry.way, entry.key) != (number, way, key):
                return f"{told_of(entry)} does not know its set, its way or its key"
            held[key] = entry
    if held != tlb.index:
        return f"the ways hold {len(held)} entries, `index` has {len(tlb.index)} or other ones"
    large = sum(entry.level > 1 for entry in held.values())
    return IN_ORDER if tlb.large == large else f"`large` is {tlb.large}, but {large} are pieces"
