"""The page walk, compared with a walker that we did not write: the emulated CPU's own.

A case is a path of four entries, with any flags and any address in each, and one access at
CPL 3.  The model walks a copy of the tables, the CPU walks the tables.  Both must reach the
same word, or fault with the same code, and leave the same accessed and dirty bits behind.

Physical memory, from frame 0 on: an empty frame; the machine's own frames; the tables that a case
may write; two tables that map the code of the access; data.  Each 8-byte word of the data is a
number that occurs only once.  The word is also code: it puts this number into EAX and stops.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from random import Random

from unicorn.unicorn_const import (
    UC_ERR_FETCH_UNMAPPED,
    UC_ERR_READ_UNMAPPED,
    UC_ERR_WRITE_UNMAPPED,
)

from hw.calibration import calibrate
from hw.cpu import GENERAL_PROTECTION, PAGE_FAULT
from hw.engine import ERR_OK, RESERVED_FRAMES, Engine, RegisterBatch
from hw.memory import PAGE_SIZE, WORDS_PER_PAGE, PhysicalMemory
from hw.paging import (
    FETCH,
    NX,
    PS,
    READ,
    RESERVED_ADDRESS,
    SHIFTS,
    WRITE,
    A,
    D,
    G,
    P,
    PageFault,
    Step,
    U,
    W,
    is_canonical,
    page_frame,
    walk,
)

MEMORY_FRAMES = 1024
TABLES = range(RESERVED_FRAMES, RESERVED_FRAMES + 8)
"""Frames for the tables of a case.  Each may serve at any level, even at two levels at once."""
STUB_TABLES = range(TABLES.stop, TABLES.stop + 3)
STUB_PFN = STUB_TABLES.stop
DATA = range(STUB_PFN + 1, MEMORY_FRAMES)

STUB_INDEX = 0x0F0
"""The PML4 entry that leads to the code.  Cases do not write this index at any level."""
STUB_VA = STUB_INDEX << 39
LOAD_VA, STORE_VA = STUB_VA, STUB_VA + 16
LOAD, STORE = b"\x48\x8b\x03\x0f\x05", b"\x48\x89\x03\x0f\x05"  # mov rax,[rbx] / mov [rbx],rax
MARK = 0x5EED_0000_0000_0000  # what a store stores

FLAGS = (P, W, U, 1 << 3, 1 << 4, A, D, PS, G, 1 << 9, 1 << 11, 1 << 52, 1 << 62, NX)
RESERVED_BITS = (1 << 40, 1 << 45, 1 << 51)
LOW_BITS = (1 << 12, 1 << 13, 1 << 20, 1 << 21, 1 << 29)  # PAT, and what large leaves must clear
OUTSIDE = (MEMORY_FRAMES, MEMORY_FRAMES + 512, 0x4_0000, 0xFFF_FFFF)
ACCESSES = (READ, WRITE, FETCH)
OUTSIDE_ERRORS = (UC_ERR_READ_UNMAPPED, UC_ERR_WRITE_UNMAPPED, UC_ERR_FETCH_UNMAPPED)


@dataclass(frozen=True)
class Case:
    """Four table frames, the entry read in each (level 4 first), and the access."""

    tables: tuple[int, ...]
    entries: tuple[int, ...]
    va: int
    access: int


@dataclass(frozen=True)
class Outcome:
    """`fault` is empty, "#GP", "#PF" and the error code, or "outside memory".

    `value` is the word that was read or stored, or the number that the code there put into EAX.
    """

    fault: str
    value: int
    tables: bytes = field(repr=False)


@dataclass
class Result:
    """What `compare` found: the number of cases, the count of each outcome, every difference."""

    compared: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)


def random_case(rng: Random) -> Case:
    """A random case, in which each legal and illegal feature occurs at some rate."""
    tables = [rng.choice(TABLES) for _ in range(4)] if rng.random() < 0.3 else list(TABLES[:4])
    tables[0] = TABLES[0]
    entries = [_random_entry(rng, level, tables) for level in (4, 3, 2, 1)]
    va = sum(_random_index(rng, level) << shift for level, shift in SHIFTS.items())
    va |= 8 * rng.randrange(512)
    if va >> 47 & 1:
        va |= 0xFFFF << 48
    if rng.random() < 0.04:
        va ^= rng.choice((1 << rng.randrange(48, 64), 0xFFFF << 48))
    return Case(tuple(tables), tuple(entries), va, rng.choice(ACCESSES))


def _random_index(rng: Random, level: int) -> int:
    top = 512 if level in (1, 4) else 4  # so that large pages mostly stay inside memory
    index = rng.choice((0, 1, top - 1, rng.randrange(top)))
    return index + 1 if index == STUB_INDEX else index


def _random_entry(rng: Random, level: int, tables: list[int]) -> int:
    entry = P | W | U | rng.choice((0, A, A | D))
    for _ in range(rng.choice((0, 0, 1, 1, 2, 4))):
        entry ^= rng.choice(FLAGS)
    if rng.random() < 0.03:
        entry |= rng.choice(RESERVED_BITS)
    if level in (2, 3) and rng.random() < 0.2:
        entry |= PS
    if level == 1 or (entry & PS and level < 4):
        pfn = rng.choice((rng.choice(DATA), rng.choice(TABLES), rng.choice(DATA)))
        pfn = pfn if level == 1 or rng.random() < 0.1 else pfn >> 9 * (level - 1) << 9 * (level - 1)
    else:
        pfn = tables[5 - level]
    if rng.random() < 0.04:
        pfn = rng.choice((*OUTSIDE, rng.choice(DATA)))
    if level > 1 and rng.random() < 0.04:
        entry ^= rng.choice(LOW_BITS)
    return entry ^ pfn << 12


class _Events:
    """The hooks: every event stops the engine, and the last exception is kept."""

    engine: Engine
    vector = -1

    def on_fill(self, _uc: int, va: int, access: int, entry_address: int, _: int) -> bool:
        return False

    def on_syscall(self, _uc: int, _: int) -> None:
        self.engine.stop()

    def on_sysenter(self, _uc: int, _: int) -> None:
        self.engine.stop()

    def on_interrupt(self, _uc: int, vector: int, _: int) -> None:
        self.vector = vector
        self.engine.stop()

    def on_invalid(self, _uc: int, _: int) -> bool:
        self.vector = 6
        self.engine.stop()
        return True

    def on_in(self, _uc: int, _port: int, _size: int, _: int) -> int:
        return 0

    def on_out(self, _uc: int, _port: int, _size: int, _value: int, _: int) -> None:
        self.engine.stop()


class Oracle:
    """One emulated CPU in ring 3 with its own walker, used for case after case."""

    def __init__(self) -> None:
        self.memory = PhysicalMemory(MEMORY_FRAMES * PAGE_SIZE)
        self._events = _Events()
        self.engine = Engine(self.memory, self._events, silicon=True)
        self.engine.use(calibrate())
        self._events.engine = self.engine
        self._scratch = bytearray(self.engine.fresh_context)
        self._window = slice(TABLES.start * WORDS_PER_PAGE, STUB_TABLES.stop * WORDS_PER_PAGE)
        self._registers = RegisterBatch(self.engine.handle, ["rax", "rbx"])
        self._excepted = False
        self._clean = bytearray(self.engine.fresh_context)
        self._write_stub()
        for slot in range(DATA.start * WORDS_PER_PAGE, DATA.stop * WORDS_PER_PAGE):
            self.memory.words[slot] = data_word(slot)
        self._pristine = memoryview(bytes(self.memory.bytes)).cast("Q")
        self.model = memoryview(bytearray(self.memory.bytes)).cast("Q")
        """The tables as the model's walk leaves them."""

    def _write_stub(self) -> None:
        words, flags = self.memory.words, P | U | A
        pdpt, pd, pt = STUB_TABLES
        for table, target in ((pdpt, pd), (pd, pt), (pt, STUB_PFN)):
            words[table * WORDS_PER_PAGE] = target << 12 | flags
        words[TABLES[0] * WORDS_PER_PAGE + STUB_INDEX] = pdpt << 12 | flags
        self.memory.write(STUB_PFN << 12, LOAD)
        self.memory.write((STUB_PFN << 12) + STORE_VA - LOAD_VA, STORE)

    def difference(self, case: Case) -> tuple[str | None, Outcome | None]:
        """The disagreement of the two walkers in words, and the model's outcome.

        There is no outcome if the case would run code in a page table: it is not tried.
        """
        slots = []
        for table, entry, shift in zip(case.tables, case.entries, SHIFTS.values(), strict=True):
            slots.append(table * WORDS_PER_PAGE + (case.va >> shift & 511))
            self.memory.words[slots[-1]] = self.model[slots[-1]] = entry
        model, slot = self._ask_model(case)
        slots.append(slot)
        silicon = None if model is None else self._ask_silicon(case, slot)
        for slot in slots:
            self.memory.words[slot] = self.model[slot] = self._pristine[slot]
        if model == silicon:
            return None, model
        return f"{case}: the model says {model}, the CPU {silicon}", model

    def _ask_model(self, case: Case) -> tuple[Outcome | None, int]:
        """The outcome, and the word that the access reaches (0 if none)."""
        if not is_canonical(case.va):
            return self._outcome("#GP", 0, self.model), 0
        steps: list[Step] = []
        try:
            leaf, level, _ = walk(self.model, TABLES[0] << 12, case.va, case.access, steps)
        except PageFault as fault:
            if _is_marked_early(steps[-1]):
                self.model[steps[-1].table_pa + steps[-1].index * 8 >> 3] |= A
            return self._outcome(f"#PF {fault.error:#x}", 0, self.model), 0
        pfn = page_frame(leaf, level, case.va)
        if pfn >= MEMORY_FRAMES:
            return self._outcome("outside memory", 0, self.model), 0
        slot = pfn * WORDS_PER_PAGE + (case.va >> 3 & 511)
        if case.access == FETCH:
            return (self._outcome("", slot, self.model) if pfn in DATA else None), slot
        if case.access == WRITE:
            self.model[slot] = MARK
        return self._outcome("", self.model[slot], self.model), slot

    def _ask_silicon(self, case: Case, slot: int) -> Outcome:
        """Make the access on the CPU; the outcome of a store is what is now in word `slot`."""
        engine, events, registers = self.engine, self._events, self._registers
        events.vector = -1
        if self._excepted:
            engine.restore(self._clean)
        registers.values[0], registers.values[1] = MARK, case.va
        registers.write()
        engine.set_cr3(TABLES[0] << 12)
        status = engine.run({READ: LOAD_VA, WRITE: STORE_VA, FETCH: case.va}[case.access], 1000)
        self._excepted = events.vector >= 0 or status != ERR_OK
        return self._outcome(*self._verdict(case, status, slot), self.memory.words)

    def _verdict(self, case: Case, status: int, slot: int) -> tuple[str, int]:
        if self._events.vector == PAGE_FAULT:
            error, va = self.engine.finish_exception(self._scratch), self.engine.fault_address()
            return f"#PF {error:#x}" + ("" if va == case.va else f" at {va:#x}"), 0
        if self._events.vector == GENERAL_PROTECTION:
            return "#GP", 0
        if self._events.vector >= 0:
            return f"exception {self._events.vector}", 0
        if status in OUTSIDE_ERRORS:
            return "outside memory", 0
        if status != ERR_OK:
            return self.engine.describe(status), 0
        return "", self.memory.words[slot] if case.access == WRITE else self._registers.read()[0]

    def _outcome(self, fault: str, value: int, words: memoryview) -> Outcome:
        return Outcome(fault, value, words[self._window].tobytes())


def _is_marked_early(step: Step) -> bool:
    """A 1 GiB leaf in which the emulated CPU sets A before it checks the rights.

    SDM vol. 3A, 4.8 leaves the order open.  For other sizes the CPU checks first, like the model.
    """
    large = step.level == 3 and step.entry & (P | PS) == P | PS
    return large and not step.entry & RESERVED_ADDRESS


def data_word(slot: int) -> int:
    """`mov eax, slot; syscall; nop`."""
    return int.from_bytes(b"\xb8" + slot.to_bytes(4, "little") + b"\x0f\x05\x90", "little")


@functools.cache
def oracle() -> Oracle:
    """One for the whole process: cases leave nothing behind."""
    return Oracle()


def compare(count: int, seed: int) -> Result:
    """Try `count` random cases."""
    rng, result, judge = Random(seed), Result(), oracle()
    while result.compared < count:
        difference, outcome = judge.difference(random_case(rng))
        if outcome is None:
            continue
        result.compared += 1
        result.outcomes[outcome.fault] = result.outcomes.get(outcome.fault, 0) + 1
        if difference is not None:
            result.differences.append(difference)
    return result
