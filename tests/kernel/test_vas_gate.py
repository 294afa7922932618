"""The gate of a VAS: the one way in, whatever the program outside does.

Each attack runs in the process that has the VAS attached.  A byte of the VAS is the secret, and no
attack may print it.
"""

from __future__ import annotations

import pytest

from kernel import invariants
from kernel.abi.errno import E
from kernel.wait.signals import SIGSEGV, SIGTRAP
from tests.kernel.asm import Program
from tests.kernel.system import Run, System
from tests.kernel.vas_world import FIXED, HERE, OTHER, OWNER, PAGE, RW, THERE, R, World

EVERY = pytest.mark.parametrize("sync", ["subtree", "forward", "rfc"])
SHARINGS = pytest.mark.parametrize("sharing", ["attach", "switch"])
SECRET, GATE = HERE, HERE + PAGE
USR1, ALRM = 10, 14
GO_HOME = bytes.fromhex("31ff b839050000 0f05")  # vas_switch(0)
FAULT = bytes.fromhex("a1 0000000000000000")  # movabs eax, [0]
NONE, READ_EXEC = 0, 5


def waits(turns: int) -> bytes:
    """Code that counts down from `turns`."""
    return b"\xb9" + turns.to_bytes(4, "little") + b"\xff\xc9\x75\xfc"


def guarded(gate: bytes, rights: int = READ_EXEC) -> Program:
    """VAS 1 with a secret and a gate, attached; the program is home."""
    program = Program()
    program.call("vas_create", program.put(b"v\0"), 0o600)
    program.call("vas_attach", 0, 1, RW)
    program.call("vas_switch", 1)
    program.call("mmap", SECRET, 2 * PAGE, 3, 0x32, -1, 0)
    program.store_byte(SECRET, ord("S"))
    for i, byte in enumerate(gate):
        program.store_byte(GATE + i, byte)
    program.call("mprotect", GATE, PAGE, rights)
    program.call("vas_switch", 0)
    program.call("vas_detach", 0, 1)  # under rfc this makes it the VAS's
    program.call("vas_attach", 0, 1, RW)
    program.call("vas_entry", 1, GATE)
    return program


def handler(program: Program) -> None:
    """Says in which view it runs, and tries to print the secret."""
    program.label("handler")
    program.say(b"handler ")
    program.call("active_vas")
    program.raw(bytes.fromhex("85c0"))
    program.jump_if_zero("at home")
    program.dump(SECRET, 1)
    program.label("at home")


def run(program: Program, **wishes: object) -> Run:
    return System(program, **{"ram": 8, "checked": True, **wishes}).run()


# Without a gate, and with one ---------------------------------------------------------------------


def test_hijacked_code_can_switch_by_itself_and_read_the_secret() -> None:
    program = Program()
    program.call("vas_create", program.put(b"v\0"), 0o600)
    program.call("vas_attach", 0, 1, RW)
    program.call("vas_switch", 1)
    program.call("mmap", SECRET, PAGE, 3, 0x32, -1, 0)
    program.store_byte(SECRET, ord("S"))
    program.call("vas_switch", 0)
    program.call("vas_switch", 1)
    program.dump(SECRET, 1)
    program.exit()
    assert run(program).output == b"S"


@EVERY
@pytest.mark.parametrize("mmu", ["model", "silicon"])
def test_a_switch_leads_to_the_gate_and_the_gate_leads_back_to_its_caller(
    mmu: str, sync: str
) -> None:
    """The caller has its registers again, whatever the gate did to them."""
    gate = bytes.fromhex("4d31c9 4831e4 4831db") + GO_HOME  # r9, rsp, rbx = 0
    program = guarded(gate)
    result, kept, here = program.words(-1), program.words(-1), program.words(-1)
    program.move("rbx", 0x1234)
    program.call("vas_switch", 1)
    program.store(result)
    program.store(kept, "rbx")
    program.raw("53 5b")  # push, pop
    program.call("active_vas")
    program.store(here)
    for at in (result, kept, here):
        program.dump(at, 8)
    program.exit(7)
    done = run(program, mmu=mmu, sync=sync)
    assert done.output == bytes(8) + (0x1234).to_bytes(8, "little") + bytes(8)
    assert done.exit_code == 7


def test_a_gate_that_leaves_by_code_that_is_at_home_goes_on_there() -> None:
    """It is the gate's own fault: outsiders can rewrite that code."""
    program = guarded(bytes.fromhex("41ffe4"))  # jmp r12
    program.move("r12", "@leaving")
    program.call("vas_switch", 1)
    program.exit(1)
    program.label("leaving")
    program.call("vas_switch", 0)
    program.exit(3)
    assert run(program).exit_code == 3


# Signals ------------------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("mmu", ["model", "silicon"])
@pytest.mark.parametrize("rights", [READ_EXEC, NONE])
def test_a_gate_that_faults_is_home_before_the_handler_runs(
    mmu: str, sync: str, rights: int
) -> None:
    """It faults itself, or its page cannot be fetched for the moment."""
    program = guarded(FAULT, rights)
    result = program.words(-1)
    program.on_signal(SIGSEGV, "@handler")
    program.call("vas_switch", 1)
    program.store(result)
    program.dump(result, 8)
    program.exit()
    handler(program)
    program.raw("c3")
    done = run(program, mmu=mmu, sync=sync)
    assert done.output == b"handler " + (-E.FAULT).to_bytes(8, "little", signed=True)


@EVERY
def test_without_a_handler_the_fault_of_a_gate_kills(sync: str) -> None:
    program = guarded(FAULT)
    program.call("vas_switch", 1)
    program.exit()
    assert run(program, sync=sync).signal == SIGSEGV


def test_a_fault_tells_nothing_of_the_gates_registers() -> None:
    """The frame has the caller's registers, and no address; vector registers are cleared."""
    secret_in_xmm0 = bytes.fromhex("48b8") + b"SSSSSSSS" + bytes.fromhex("66480f6ec0")
    program = guarded(secret_in_xmm0 + FAULT)
    program.on_signal(SIGSEGV, "@handler", flags=4)
    program.call("vas_switch", 1)
    program.exit()
    program.label("handler")
    program.raw(bytes.fromhex("4889e3"))  # mov rbx, rsp
    program.call("write", 1, "rbx", 1200)
    program.exit()
    output = run(program).output
    assert len(output) == 1200
    assert b"SSSS" not in output


@EVERY
@pytest.mark.parametrize("cpus", [1, 2])
def test_a_signal_that_comes_while_a_gate_runs_waits_until_the_thread_is_home(
    sync: str, cpus: int
) -> None:
    """A timer rings in the middle of the gate's loop."""
    program = guarded(waits(200_000) + GO_HOME)
    soon = program.words(0, 0, 0, 20)  # 20 us
    program.on_signal(ALRM, "@handler")
    program.call("setitimer", 0, soon, 0)
    program.call("vas_switch", 1)
    program.say(b"back")
    program.exit()
    handler(program)
    program.raw("c3")
    assert run(program, sync=sync, cpus=cpus).output == b"handler back"


def test_a_signal_without_a_handler_ends_a_gate_at_once() -> None:
    program = guarded(bytes.fromhex("ebfe"))  # jmp here
    soon = program.words(0, 0, 0, 20)
    program.call("setitimer", 0, soon, 0)
    program.call("vas_switch", 1)
    program.exit()
    assert run(program).signal == ALRM


def test_a_mask_or_a_call_of_the_gate_lets_no_handler_in() -> None:
    """The gate pauses: only what has no handler ends that."""
    program = guarded(bytes.fromhex("b822000000 0f05") + GO_HOME)  # pause()
    soon = program.words(0, 0, 0, 20)
    later = program.words(0, 0, 0, 500)
    program.on_signal(ALRM, "@handler")
    program.call("setitimer", 0, soon, 0)
    program.call("setitimer", 1, later, 0)
    program.fork("child")
    program.call("vas_switch", 1)
    program.exit()
    program.label("child")
    program.sleep(2_000_000)
    program.call("kill", 1, 9)
    program.exit()
    handler(program)
    program.raw("c3")
    done = run(program)
    assert (done.output, done.signal) == (b"", 9)


def test_the_callers_trap_flag_does_not_stop_a_gate() -> None:
    program = guarded(GO_HOME)
    program.on_signal(SIGTRAP, "@handler")
    program.raw(bytes.fromhex("9c 48810c2400010000 9d"))  # set TF
    program.call("vas_switch", 1)
    program.exit()
    handler(program)
    program.raw("c3")
    assert set(run(program).output.split(b"handler ")) == {b""}


def test_a_forged_signal_frame_is_no_way_round_the_gate() -> None:
    program = guarded(GO_HOME)
    context = 8 + 40 + 8 * 18 + 8 + 8 * 5  # return address, ucontext head, sigcontext up to the VAS
    program.on_signal(USR1, "@handler")
    program.call("kill", 1, USR1)
    program.dump(SECRET, 1)
    program.exit(1)
    program.label("handler")
    program.raw(b"\x48\xc7\x84\x24" + context.to_bytes(4, "little") + (1).to_bytes(4, "little"))
    program.raw("c3")
    done = run(program)
    assert (done.output, done.signal) == (b"", SIGSEGV)


# Where a gate may lie -----------------------------------------------------------------------------


def in_text(world: World, vid: int) -> int:
    return world.thread.rip


def in_data(world: World, vid: int) -> int:
    return world.page


def unreadable_at_home(world: World, vid: int) -> int:
    """No store reaches it now, but the process may give itself the right."""
    return world.ask("mmap", THERE, PAGE, NONE, 0x22 | FIXED, -1, 0)


def in_a_segment(world: World, vid: int) -> int:
    assert world.ask("vas_local_attach", vid, world.segment(start=THERE), RW) == 0
    return THERE


def in_shared_memory(world: World, vid: int) -> int:
    assert world.ask("vas_switch", vid) == 0
    at = world.ask("mmap", THERE, PAGE, 7, 0x21 | FIXED, -1, 0)
    assert world.ask("vas_switch", 0) == 0
    return at


def nowhere(world: World, vid: int) -> int:
    return THERE


@EVERY
@pytest.mark.parametrize(
    "place",
    [in_text, in_data, unreadable_at_home, in_a_segment, in_shared_memory, nowhere],
)
def test_a_gate_lies_where_nobody_outside_can_write(sync: str, place: object) -> None:
    world = World(sync=sync)
    vid = world.attached()
    assert callable(place)
    assert world.ask("vas_entry", vid, place(world, vid)) == -E.ACCES


@EVERY
@pytest.mark.parametrize("rights", [NONE, 1, READ_EXEC])
def test_private_memory_of_the_vas_will_do_whatever_its_rights_are_for_the_moment(
    sync: str, rights: int
) -> None:
    world = World(sync=sync)
    vid = world.inside()
    at = world.map(HERE)
    assert world.ask("mprotect", at, PAGE, rights) == 0
    assert world.ask("vas_entry", vid, at) == -E.BUSY, "a thread is inside"
    assert world.ask("vas_switch", 0) == 0
    assert world.ask("vas_entry", vid, at) == 0
    assert world.ask("vas_entry", vid, at) == -E.BUSY
    assert world.ask("vas_detach", 0, vid) == -E.ACCES
    assert world.ask("mprotect", at, PAGE, 7) == -E.NOMEM, "nothing is there at home"
    invariants.check(world.kernel)


def test_a_reader_cannot_register_a_gate() -> None:
    world = World()
    vid = world.inside()
    at = world.map(HERE)
    assert world.ask("vas_switch", 0) == 0
    assert world.ask("vas_detach", 0, vid) == 0
    assert world.ask("vas_attach", 0, vid, R) == 0
    assert world.ask("vas_entry", vid, at) == -E.ACCES


def test_under_rfc_home_cannot_slip_a_page_of_its_own_under_the_gate() -> None:
    """A region with the gate's bounds is no counterpart of the gate's."""
    world = World(sync="rfc")
    vid = world.inside()
    gate = world.map(HERE)
    world.thread.space.write(gate, GO_HOME)
    assert world.ask("vas_switch", 0) == 0
    assert world.ask("vas_detach", 0, vid) == 0
    assert world.ask("vas_attach", 0, vid, RW) == 0
    assert world.ask("vas_entry", vid, gate) == 0
    world.map(HERE)
    world.process.space.write(HERE, b"forged")
    assert world.ask("vas_switch", vid) == -E.FAULT
    (attachment,) = world.kernel.vases.vases[vid].attachments.values()
    assert attachment.view.read(gate, len(GO_HOME)) == GO_HOME


# Rights -------------------------------------------------------------------------------------------


@EVERY
@SHARINGS
@pytest.mark.parametrize("how", ["rights", "clone", "another user"])
def test_the_gate_belongs_to_the_vas_its_clones_and_all_attachments(
    sync: str, sharing: str, how: str
) -> None:
    """The owner gives itself the rights back and attaches anew, or clones: there is the gate."""
    world = World(sync=sync, sharing=sharing)
    vid = world.vas(mode=0o666)
    assert world.ask("vas_attach", 0, vid, RW) == 0
    assert world.ask("vas_switch", vid) == 0
    at = world.map(HERE)
    assert world.ask("vas_switch", 0) == 0
    assert world.ask("vas_detach", 0, vid) == 0
    registrar = world.fork()
    assert world.ask("vas_attach", 0, vid, RW, thread=registrar) == 0
    assert world.ask("vas_entry", vid, at, thread=registrar) == 0
    world.kernel.life.exit_process(registrar.process, 0)
    attr = world.put((0o666).to_bytes(4, "little") + (1000).to_bytes(4, "little") * 2)
    world.ask("vas_setattr", vid, attr)
    if how == "clone":
        vid = world.ask("vas_clone", vid, world.text("twin"), 0o600)
    caller = world.fork(OTHER if how == "another user" else OWNER)
    assert world.ask("vas_attach", 0, vid, RW, thread=caller) == 0
    with pytest.raises(AssertionError):  # no result: the registers are set instead
        world.ask("vas_switch", vid, thread=caller)
    assert caller.registers["rip"] == at
    assert caller.space.gated
    invariants.check(world.kernel)
