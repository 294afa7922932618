"""Runs programs and hand-made code beside the reference TLBs of `tests.hw.reference_tlb`."""

from __future__ import annotations

import io
from typing import Any

from elftools.elf.elffile import ELFFile

from hw.machine import MachineConfig
from hw.trace import Kind, Trace
from kernel import turns
from kernel.boot import Config, boot, spawn
from kernel.kernel import Kernel
from tests.hw.bare import Bare
from tests.hw.reference_tlb import Reference
from userland.programs import built_in, read_program


def segments(program: bytes) -> list[range]:
    """The addresses of the program's own parts; two of them may show the same frame."""
    found = [s.header for s in ELFFile(io.BytesIO(program)).iter_segments()]
    loads = [header for header in found if header["p_type"] == "PT_LOAD"]
    return [range(row["p_vaddr"], row["p_vaddr"] + row["p_memsz"]) for row in loads]


def watched(
    config: MachineConfig, line: str, sync: str = "subtree"
) -> tuple[Kernel, list[Reference], int]:
    """Run a program with a reference on every core, until it ends or a reference fails; returns
    its wait status too."""
    name, *arguments = line.split()
    program = read_program(name)
    parts = segments(program)
    kernel = boot(Config(config, vas_sync=sync), built_in(), lambda _: None)

    def belongs(va: int) -> bool:
        return any(va in part for part in parts)

    references = [Reference(core, belongs) for core in kernel.machine.cores]

    def observe(kind: Kind, values: tuple[Any, ...]) -> None:
        if kind.name == "pte":
            for reference in references:
                reference.observe(kind, values)
        else:
            references[kernel.machine.core.state.id].observe(kind, values)

    kernel.machine.attach_trace(Trace({}, observer=observe))
    words = [name.encode(), *(word.encode() for word in arguments)]
    process = spawn(kernel, program, words, [], Config().user)
    turns.run(kernel, lambda: process.zombie or any(r.failure is not None for r in references))
    return kernel, references, process.exit_status


def watched_code(
    itlb: tuple[int, int], dtlb: tuple[int, int], code: dict[int, bytes], *, pcid: bool = True
) -> tuple[Bare, Reference]:
    """A bare machine with `code` by address, and a reference on its core."""
    bare = Bare(itlb=itlb, dtlb=dtlb, pcid=pcid)
    for va, text in code.items():
        bare.put(va, text)
    bare.core.load_cr3(bare.root)
    reference = Reference(bare.core)
    bare.machine.attach_trace(Trace({}, observer=reference.observe))
    return bare, reference


def go(bare: Bare, rip: int, budget: int = 5000, **registers: int) -> None:
    """Run hand-made code from `rip`."""
    bare.core.set_registers({"rip": rip, **registers})
    bare.core.run(budget)
