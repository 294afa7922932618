"""The caption: one plain sentence that says what just happened. Its reasons come from the other
records of the step."""

from __future__ import annotations

from collections.abc import Callable

from hw.mmu import CAUSES, CR3_NOFLUSH
from hw.paging import ADDRESS, NX, P, W, explain_error
from hw.panel.model.fold import THREAD_SWITCH
from hw.panel.model.moment import Moment
from hw.panel.model.state import FRAMES, PTES, REGIONS, TLB
from hw.panel.words.words import (
    VECTORS,
    access_word,
    call_text,
    counted,
    kind_words,
    result_text,
    rights_letters,
    tag_name,
    thread_name,
)
from hw.trace import Record

SIDES = ("instruction TLB", "data TLB")
FLUSHES = (
    "a change of one page",
    "a flush of one PCID",
    "a flush of everything",
    "a write of CR3",
    "a right that was missing",
)
ACTIONS = ("it kills the process", "it is ignored", "its handler is called", "the process stops")
LOCKS = ("no longer", "now, with others who read", "now, alone, to write")


def caption(moment: Moment) -> str:
    """What just happened, in a sentence."""
    last = moment.last
    if last is None and moment.oldest:
        return f"Here the history begins: what was before record {moment.oldest:,} is forgotten."
    if last is None:
        return "The machine is about to start; nothing has been recorded yet."
    sentence = CAPTIONS.get(last.kind.name)
    return sentence(moment, last) if sentence else _described(last)


def _described(record: Record) -> str:
    """A kind without a sentence of its own: its description and its fields."""
    pairs = zip(record.kind.fields, record.values, strict=True)
    fields = ", ".join(
        f"{name} {value.decode(errors='replace') if isinstance(value, bytes) else value}"
        for name, value in pairs
    )
    return f"{record.kind.doc.rstrip('.')}: {fields}."


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]


def _caption_syscall(moment: Moment, record: Record) -> str:
    about, result = moment.about, record["result"]
    who = thread_name(moment.state, record["tid"])
    ended = f"it answers {result_text(about, result)}"
    if -4096 < result < 0:
        ended = f"it fails with {about.error(-result)}"
    return f"{who} called {call_text(about, record)}: {ended}{_changes(moment)}."


def _changes(moment: Moment) -> str:
    """What else a step changed, in numbers."""
    rows = ((REGIONS, "region"), (PTES, "table entry"), (FRAMES, "frame"))
    found = []
    for shelf, noun in rows:
        number = sum(1 for edit in moment.edits if edit[0] == shelf)
        if number:
            found.append(counted(number, noun, "table entries" if noun == "table entry" else ""))
    gone = sum(r["dropped"] for r in moment.records if r.kind.name == "tlb_flush")
    if gone:
        found.append(f"{counted(gone, 'TLB entry', 'TLB entries')} dropped")
    return f"; changed: {', '.join(found)}" if found else ""


def _caption_fault(moment: Moment, record: Record) -> str:
    page, error = record["page"], record["error"]
    who = thread_name(moment.state, record["tid"])
    region = moment.state.region_at(moment.core.space, page)
    where = f"{page:#x} ({region.name or 'anonymous memory'})" if region else f"{page:#x}"
    return f"{who} {access_word(error)[0]} {where}: {fault_reason(moment, record)}."


def fault_reason(moment: Moment, record: Record) -> str:
    """Why an access faulted, and what the kernel did about it."""
    error, page = record["error"], record["page"]
    if record["outcome"] == 2:
        return f"{explain_error(error)}, and no region allows it; the program must answer for it"
    leaf = moment.leaves(moment.core.cr3 & ADDRESS).get(page >> 12)
    if leaf is None:
        return f"{explain_error(error)}; the kernel resolved it"
    pfn = (leaf.entry & ADDRESS) >> 12
    before = int(str(moment.changed.get((PTES, leaf.slot)) or 0))
    frame = moment.state.frames.get(pfn)
    kind = moment.about.owner(frame.owner) if frame else "unknown"
    if not before & P:
        fresh = (FRAMES, pfn) in moment.changed
        how = "a new" if fresh else "an existing"
        where = moment.tracks.space_name(moment.core.space)
        return f"the page was not there yet; {how} frame {pfn:#x} ({kind}) is mapped in {where}"
    old = (before & ADDRESS) >> 12
    if old != pfn:
        left = moment.state.frames.get(old)
        holders = f", which {counted(left.refs, 'holder')} still needed" if left else ""
        return f"copy on write: frame {old:#x}{holders}, was copied to frame {pfn:#x}, its own"
    if leaf.entry & W and not before & W:
        return f"copy on write, but nobody shares frame {pfn:#x} any more: it may simply be written"
    return f"{explain_error(error)}; the entry was renewed"


def _caption_run(moment: Moment, record: Record) -> str:
    who = thread_name(moment.state, record["tid"])
    before = record["previous"]
    whom = f" from {thread_name(moment.state, before)}" if before else ""
    after = "the address space stays, so CR3 is not written and no TLB entry goes"
    if moment.core.switch != THREAD_SWITCH:
        after = "it is another address space, so CR3 is written next"
    return f"Core {record.core} switched{whom} to {who} in space {record['space']}; {after}."


def _caption_cr3(moment: Moment, record: Record) -> str:
    core, change = moment.core, _cr3_words(moment, record)
    switches = [r for r in moment.records if r.kind.name in ("run", "vas_switch")]
    run = switches[-1] if switches else None
    who = f"T{core.tid}"
    if run is not None and run.kind.name == "vas_switch":
        who = _switch_words(moment, run) + ": same registers, same process"
        return f"{who}; {change}."
    if run is not None:
        before = run["previous"]
        whom = f" from {thread_name(moment.state, before)}" if before else ""
        who = f"Core {record.core} switched{whom} to {thread_name(moment.state, run['tid'])}"
    else:
        who = f"Core {record.core} went to space {core.space} within {who}"
    return f"{who}: {change}."


def _switch_words(moment: Moment, record: Record) -> str:
    """`T2 (demo) switched from its own space to VAS 1`."""
    old, new = (f"VAS {vid}" if vid else "its own space" for vid in (record["old"], record["vid"]))
    return f"{thread_name(moment.state, record['tid'])} switched from {old} to {new}"


def _text(record: Record, field: str) -> str:
    return str(record[field].decode(errors="replace"))


def _caption_store(moment: Moment, record: Record) -> str:
    data = record["data"]
    shown = f"{int.from_bytes(data, 'little'):#x}" if len(data) <= 8 else data.hex(" ")
    rip = moment.state.registers.get(moment.core_id, {}).get("rip", 0)
    who, what = thread_name(moment.state, moment.core.tid), _instruction(moment, rip)
    size = counted(len(data), "byte")
    return f"{who} stored {shown} ({size}) at physical {record['pa']:#x}: {what}."


def _caption_instruction(moment: Moment, record: Record) -> str:
    who = thread_name(moment.state, moment.core.tid)
    return f"{who} is about to run {_instruction(moment, record['rip'])}."


def _instruction(moment: Moment, rip: int) -> str:
    """`mov eax, 1 (main+0x18, cow.c:30)`."""
    listing = moment.about.disassemble(rip, 1)
    what = listing[0].text if listing else "an instruction"
    place = moment.about.place(rip)
    where = moment.about.symbol(rip) or "unknown code"
    line = f", {place.file.rsplit('/', 1)[-1]}:{place.line}" if place else ""
    return f"{what} ({where}{line})"


def _caption_vas(moment: Moment, record: Record) -> str:
    what = f"VAS {record['vid']} ({_text(record, 'name')})"
    if not record["alive"]:
        return f"{what} is gone, and with it space {record['space']}, its own."
    return f"{what} was made; it lives without a process, and space {record['space']} is its own."


def _caption_segment(moment: Moment, record: Record) -> str:
    pages = counted((record["end"] - record["start"]) >> 12, "page")
    verb = f"was made: {pages} at {record['start']:#x}" if record["alive"] else "is gone"
    return f"Segment {record['sid']} ({_text(record, 'name')}) {verb}."


def _caption_attach(moment: Moment, record: Record) -> str:
    what, whose = f"VAS {record['vid']}", f"the process of space {record['home']}"
    if not record["alive"]:
        return f"{what} is detached from {whose}; their common space, {record['view']}, is gone."
    rights = kind_words(record["kind"])
    return f"{what} is attached, {rights}, for {whose}; together they are space {record['view']}."


def _caption_seg_attach(moment: Moment, record: Record) -> str:
    how = "attached to" if record["alive"] else "detached from"
    alone = f", for the process of space {record['home']} alone" if record["home"] else ""
    rights = f", {kind_words(record['kind'])}" if record["alive"] else ""
    return f"Segment {record['sid']} is {how} VAS {record['vid']}{rights}{alone}."


def _caption_conflict(moment: Moment, record: Record) -> str:
    """Which call fails, why, and with which error. Before the call is recorded: which thread meets
    a conflict."""
    tid, here = moment.core.tid, moment.core.space
    target = moment.tracks.space_name(record["space"])
    name, other = (_text(record, f"{of}name") or "memory" for of in ("", "other_"))
    region = moment.state.region_at(here, record["start"]) if here != record["space"] else None
    whose = f" of {moment.tracks.space_name(here)}" if region and region.name == name else ""
    failed = next((r for n, r in moment.log if n >= moment.position and _fails(r, tid)), None)
    what = f"{thread_name(moment.state, tid)} meets a conflict"
    if failed is not None:
        error = moment.about.error(-failed["result"])
        what = f"{thread_name(moment.state, tid)}: {call_text(moment.about, failed)} fails, {error}"
    size, has = (record[f"{of}end"] - record[f"{of}start"] for of in ("", "other_"))
    place = f"{record['other_start']:#x}-{record['other_end']:#x}"
    why = f"which has {other} at {place}"
    if name == other and record["start"] == record["other_start"] and size != has:
        why = f"whose {other} has {'grown' if has > size else 'shrunk'} to {place} meanwhile"
    mine = f"{name}{whose} at {record['start']:#x}-{record['end']:#x}"
    return f"{what}: {mine} cannot go into {target}, {why}."


def _fails(record: Record, tid: int) -> bool:
    return record.kind.name == "syscall" and record["tid"] == tid and -4096 < record["result"] < 0


def _caption_lock(moment: Moment, record: Record) -> str:
    return f"T{record['tid']} has the lock of segment {record['sid']} {LOCKS[record['how']]}."


def _cr3_words(moment: Moment, record: Record) -> str:
    """What a write of CR3 changed, and what it did to the TLBs."""
    old, new = record["old"] & 0xFFF, record["new"] & 0xFFF
    flushed = sum(r["dropped"] for r in moment.records if r.kind.name == "tlb_flush")
    kept = sum(1 for key in moment.state.tlb if key[0] == record.core)
    config = moment.about.config
    tagged = config.get("pcid", True)
    change = f"CR3 changed from PCID {old} to {new}"
    if not tagged:
        change = f"CR3 changed from {record['old'] & ADDRESS:#x} to {record['new'] & ADDRESS:#x}"
    if config.get("mmu") == "silicon":
        return f"{change}, and the TLB of the emulated CPU is not observable"
    if not tagged:
        gone = f"all {counted(flushed, 'TLB entry is', 'TLB entries are')} gone"
        return f"{change}; PCIDs are off: {gone if flushed else 'there was no TLB entry to lose'}"
    how = "bit 63 was set" if record["new"] & CR3_NOFLUSH else "bit 63 was clear"
    return f"{change}, {flushed:,} of {kept + flushed:,} TLB entries flushed ({how})"


def _caption_miss(moment: Moment, record: Record) -> str:
    side, cause = record["side"], CAUSES[record["cause"]]
    why = {
        "cold": "this page was never cached",
        "capacity": "the TLB was full and the entry had to go",
        "conflict": "its set was full, though others had room",
        "flushed": "the entry had been flushed",
        "permission": "the entry lacked the right that was asked for",
        "dirty": "a first store must set the D bit",
    }[cause]
    va = record["vpn"] << 12
    return (
        f"{_capital(SIDES[side])} miss at {va:#x} under PCID {record['pcid']} ({cause}: {why}); "
        "the CPU walks the tables."
    )


def _caption_fill(moment: Moment, record: Record) -> str:
    rights = record["rights"]
    may = "read" + (", write" if rights & W else "") + ("" if rights & NX else ", execute")
    evicted = ""
    if any(e[0] == TLB and e[2] is not None for e in moment.edits[-3:]) and record["old_vpn"]:
        old = record["old_vpn"] << 12
        evicted = f"; it evicted {old:#x} ({tag_name(record['old_tag'])})"
    return (
        f"The walk ended at frame {record['pfn']:#x}; the {SIDES[record['side']]} now holds "
        f"{record['vpn'] << 12:#x} in set {record['set']}, way {record['way']}, "
        f"{tag_name(record['tag'])}, {may}{evicted}."
    )


def _caption_dirty(moment: Moment, record: Record) -> str:
    va = record["vpn"] << 12
    return f"First store to {va:#x} through a clean entry: the walk set the D bit in its leaf."


def _caption_flush(moment: Moment, record: Record) -> str:
    run = next((r for r in reversed(moment.records) if r.kind.name == "cr3_load"), None)
    if record["why"] == 3 and run is not None:
        return _caption_cr3(moment, run)
    kept = sum(1 for key in moment.state.tlb if key[0] == record.core)
    gone = counted(record["dropped"], "TLB entry was", "TLB entries were")
    return f"For {FLUSHES[record['why']]}, {gone} dropped; {kept:,} stay."


def _caption_pte(moment: Moment, record: Record) -> str:
    level = {4: "PML4", 3: "PDPT", 2: "PD", 1: "PT"}[record["level"]]
    old, new = record["old"], record["new"]
    verb = "was changed" if old & P and new & P else "was filled in" if new & P else "was cleared"
    what = f"entry {record['index']:03x} of the {level} at {record['table']:#x} {verb}"
    known = moment.tables().get(record["table"])
    names = [moment.tracks.space_name(space) for space in known[1]] if known else []
    whose = "that no space uses yet" if not names else f"of {', '.join(names[:3])}"
    whose += f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"Page table {whose}: {what}: {old:#x} is now {new:#x}."


def _caption_frame(moment: Moment, record: Record) -> str:
    pfn, before, now, old_owner, owner = record.values[:5]
    if not before:
        whom = "the kernel"
        if tid := moment.core.tid:
            where = moment.tracks.space_name(moment.core.space)
            whom = f"{thread_name(moment.state, tid)} in {where}"
        return f"Frame {pfn:#x} was taken, as {moment.about.owner(owner)}, for {whom}."
    if not now:
        return f"Frame {pfn:#x} ({moment.about.owner(old_owner)}) is free again."
    verb = "shared" if now > before else "let go by one"
    return f"Frame {pfn:#x} was {verb}: {counted(now, 'holder')} now, {before} before."


def _caption_region(moment: Moment, record: Record) -> str:
    number = (record["end"] - record["start"]) >> 12
    pages = counted(number, "page") + (" is" if number == 1 else " are")
    name = record["name"].decode(errors="replace") or "anonymous memory"
    if record["prot"] == 255:
        return f"Space {record['space']}: {pages} unmapped at {record['start']:#x}."
    return (
        f"Space {record['space']}: {pages} mapped at {record['start']:#x}: {name}, "
        f"{rights_letters(record['prot'])}, {'shared' if record['shared'] else 'private'}."
    )


def _caption_new(moment: Moment, record: Record) -> str:
    tid, pid, parent, space, name = record.values[:5]
    words = name.decode(errors="replace")
    if tid == pid:
        whom = f"process {parent}" if parent else "the kernel"
        return f"Process {pid} ({words}) was made by {whom}, with thread T{tid} in space {space}."
    return f"Thread T{tid} of process {pid} was made; it shares space {space}."


def _caption_signal(moment: Moment, record: Record) -> str:
    name, whom = moment.about.signal(record["number"]), thread_name(moment.state, record["tid"])
    return f"Signal {name} for {whom}: {ACTIONS[record['action']]}."


def _caption_exception(moment: Moment, record: Record) -> str:
    what = VECTORS.get(record["vector"], f"vector {record['vector']}")
    where = moment.about.symbol(record["rip"]) or "unknown code"
    page = what == VECTORS[14]  # an address of 0 is the lesson of a null pointer
    detail = f", {explain_error(record['error'])} at {record['va']:#x}" if page else ""
    who = thread_name(moment.state, record["tid"])
    return f"{who}: {what} at {record['rip']:#x} ({where}){detail}; the program must answer for it."


RANKS = {"mlfq": "its level is", "stride": "its pass is", "eevdf": "its deadline is"}
"""Policy -> what the rank of a thread is there."""


def _caption_pick(moment: Moment, record: Record) -> str:
    others = "nobody else waits"
    if record["others"]:
        others = f"{counted(record['others'], 'other')} must wait"
    rank = RANKS.get(moment.about.config.get("sched", ""))
    why = f"; {rank} {record['rank']:,}" if rank else ""
    who = thread_name(moment.state, record["tid"])
    return (
        f"Core {record.core} takes {who}, which waited {record['waited']:,} modelled cycles; "
        f"{others}{why}."
    )


def _caption_level(moment: Moment, record: Record) -> str:
    who = thread_name(moment.state, record["tid"])
    return (
        f"{who} moves from level {record['before']} of the queue to level {record['after']}; "
        "level 0 runs first."
    )


def _caption_input(moment: Moment, record: Record) -> str:
    return f"Input: {_text(record, 'data')!r}." if record["data"] else "The input has ended."


CAPTIONS: dict[str, Callable[[Moment, Record], str]] = {
    "instruction": _caption_instruction,
    "pick": _caption_pick,
    "level": _caption_level,
    "console_input": _caption_input,
    "console_size": lambda moment, r: (
        f"The terminal has {r['rows']} rows and {r['columns']} columns now."
    ),
    "disk_read": lambda moment, r: f"Block {r['block']} was read from the paging disk.",
    "disk_write": lambda moment, r: f"Block {r['block']} was written to the paging disk.",
    "store": _caption_store,
    "page": lambda _, record: f"The kernel changed frame {record['pfn']:#x}.",
    "vas": _caption_vas,
    "segment": _caption_segment,
    "vas_attach": _caption_attach,
    "seg_attach": _caption_seg_attach,
    "conflict": _caption_conflict,
    "seg_lock": _caption_lock,
    "page_out": lambda moment, r: (
        f"Memory is short: the page in frame {r['pfn']:#x} left it, page {r['page']} of object "
        f"{r['object']}; {'its file has it' if r['block'] < 0 else 'block ' + str(r['block'])}."
    ),
    "page_in": lambda moment, r: (
        f"A page came back into frame {r['pfn']:#x}: page {r['page']} of object {r['object']}, "
        f"{r['distance']} page-outs after it had left."
    ),
    "paging": lambda _, r: (
        f"{r['major']} pages have come back so far, {r['refaults']} of them soon after they had "
        f"left{': the system is thrashing' if r['thrashing'] else ''}."
    ),
    "vas_switch": lambda moment, r: (
        f"{_switch_words(moment, r)}; its tables are loaded before it goes on."
    ),
    "push": lambda moment, r: (
        f"A table entry for {r['va']:#x} was written into the view of space {r['space']} as well."
    ),
    "forward": lambda moment, r: (
        f"The new extent of the region at {r['start']:#x} reached the view, space {r['space']}."
    ),
    "syscall": _caption_syscall,
    "fault": _caption_fault,
    "exception": _caption_exception,
    "run": _caption_run,
    "cr3_load": _caption_cr3,
    "tlb_miss": _caption_miss,
    "tlb_fill": _caption_fill,
    "tlb_dirty": _caption_dirty,
    "tlb_flush": _caption_flush,
    "pte": _caption_pte,
    "frame": _caption_frame,
    "region": _caption_region,
    "thread_new": _caption_new,
    "signal": _caption_signal,
    "space": lambda moment, r: (
        f"Address space {r['space']} {'was made' if r['alive'] else 'is gone'}; "
        f"its top table is at {r['pml4']:#x}."
    ),
    "wait": lambda moment, r: (
        f"{thread_name(moment.state, r['tid'])} must wait in "
        f"{moment.about.call_name(r['number'])}: its thread sleeps."
    ),
    "stop": lambda moment, r: (
        f"{thread_name(moment.state, r['tid'])} sleeps, because its process is stopped."
    ),
    "wake": lambda moment, r: (
        f"{thread_name(moment.state, r['tid'])} sleeps no more: it is ready for a core."
    ),
    "thread_end": lambda moment, r: f"Thread T{r['tid']} of process {r['pid']} ended.",
    "exec": lambda moment, r: (
        f"Process {r['pid']} runs {r['path'].decode(errors='replace')} now, in a new space, "
        f"number {r['space']}."
    ),
    "console_output": lambda moment, r: f"Output: {r['data'].decode(errors='replace').rstrip()!r}.",
    "message": lambda moment, r: (
        f"Process {r['pid']} sent a message: {r['operation'].decode(errors='replace')}, "
        f"{r['bytes']} bytes, to endpoint {r['endpoint']}."
    ),
    "reply": lambda moment, r: f"Message {r['id']} was answered: {r['result']}.",
    "log": lambda moment, r: f"The kernel says: {r['text'].decode(errors='replace')}.",
    "ipi_sent": lambda moment, r: f"Core {r.core} interrupts core {r['target']}.",
    "ipi_taken": lambda moment, r: (
        f"Core {r.core} takes the interrupt that core {r['source']} sent."
    ),
    "shootdown": lambda moment, r: (
        f"{counted(r['pages'], 'page')} of space {r['space']} may be stale in "
        f"{counted(r['waiting'], 'other core')}: each must drop them and answer."
    ),
    "shootdown_done": lambda moment, r: "The last core has answered: no TLB holds them any more.",
    "nvm_flush": lambda moment, r: (
        f"Core {r.core} flushes the line at {r['pa']:#x}, which the next fence makes durable."
    ),
    "nvm_fence": lambda moment, r: (
        f"{counted(r['lines'], 'flushed line')} of NVM: durable from now on."
    ),
    "nvm_commit": lambda moment, r: (
        f"NVM is in its state {r['number']}: {counted(r['changed'], 'record')} changed, "
        f"{r['gone']} gone, all at once."
    ),
}
