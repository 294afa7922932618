"""A kernel in user space: guests in bare views, whose calls are signals."""

from __future__ import annotations

import re
import struct

import pytest

from kernel import checkpoint, invariants, turns
from kernel.vas.vases import SYNCS
from tests.kernel.asm import Program
from tests.kernel.system import System
from tests.kernel.test_vas_bare import call, furnished
from tests.kernel.vas_world import PAGE, RW, THERE

EVERY = pytest.mark.parametrize("sync", SYNCS)
MMUS = pytest.mark.parametrize("mmu", ["model", "silicon"])
SIGSYS, SIGSYS_BIT = 31, 0x100
SIGINFO, ONSTACK = 4, 0x0800_0000
ROUNDS = 12


def check(output: bytes) -> None:
    """Two guests work in turns; one dies of the kernel's memory, and one cannot leave."""
    *ends, letters = output.splitlines()
    assert re.fullmatch(rb"guest 2 may not touch 0x4\w+", ends[0])
    assert sorted(ends[1:]) == [b"guest %d ends with 0" % n for n in (1, 3, 4)]
    assert sorted(letters) == sorted(b"a" * ROUNDS + b"c" * ROUNDS + b".")
    assert b"ca" in letters
    assert b"ac" in letters, "they are time-sliced"


@EVERY
@MMUS
@pytest.mark.parametrize("sharing", ["attach", "switch"])
def test_guests_take_turns_and_touch_nothing_but_their_own(
    sharing: str, mmu: str, sync: str
) -> None:
    done = System("skas", mmu=mmu, sync=sync, sharing=sharing).run()
    check(done.output)
    assert done.exit_code == 0


def test_all_invariants_hold_on_the_way() -> None:
    check(System("skas", checked=True, cpus=2).run().output)


@pytest.mark.parametrize("sched", ["fifo", "mlfq", "stride", "eevdf"])
def test_the_kernels_scheduler_does_not_matter(sched: str) -> None:
    check(System("skas", sched=sched).run().output)


def test_what_a_switch_costs_is_told() -> None:
    """The manual says how much."""
    output = System("skas", "switch", "200", traced=False).run().output
    count, each = map(int, re.findall(rb"\d+", output.splitlines()[-1]))
    assert count >= 400
    assert 2_200 < each * 2.4 < 2_800


@EVERY
def test_a_call_inside_tells_its_number_and_place(sync: str) -> None:
    """siginfo: code, and behind it the address, the number, and the machine; rax has the number."""
    program = Program()
    stack = program.put(struct.pack("<QIiQ", THERE, 0, 0, 2 * PAGE))
    program.on_signal(SIGSYS, "@handler", SIGINFO | ONSTACK)
    program.call("mmap", THERE, 2 * PAGE, 3, 0x32, -1, 0)
    program.call("vas_sigaltstack", stack, 0)
    rest = furnished(call(231, 3), RW | SIGSYS_BIT, program=program)
    rest.label("handler")
    rest.raw("4889f3")  # mov rbx, rsi
    rest.call("write", 1, "rbx", 32)
    rest.exit(9)
    done = System(rest, ram=8, checked=True, sync=sync).run()
    number, _, code, _, at, called, machine = struct.unpack("<iiiiQiI", done.output)
    assert (number, code, called, machine) == (SIGSYS, 2, 231, 0xC000_003E)
    assert at & PAGE - 1 == 2 + len(call(231, 3))
    assert done.exit_code == 9


@EVERY
def test_a_checkpoint_inside_a_guest_runs_to_the_same_end(sync: str) -> None:
    system = System("skas", sync=sync, watched=False)
    while not system.thread.space.traps:
        turns.run_traps(system.kernel, 1)
    turns.run_traps(system.kernel, 9)
    written: list[bytes] = []
    again = checkpoint.load(checkpoint.save(system.kernel), written.append)
    invariants.check(again)
    process = again.tasks.processes[system.process.pid]
    turns.run(again, lambda: process.zombie)
    assert b"".join(written) == system.run().output
