"""Signals: which one a fault raises, when it is delivered, what a handler gets and restores."""

from __future__ import annotations

import struct

import pytest

from kernel.abi.errno import E
from kernel.mm.layout import KUSER
from tests.kernel.asm import DATA, Program, Value
from tests.kernel.system import Run, System, run_code

SIGILL, SIGTRAP, SIGFPE, SIGKILL, SIGUSR1, SIGSEGV, SIGUSR2 = 4, 5, 8, 9, 10, 11, 12
SIGTERM, SIGCHLD, SIGSTOP = 15, 17, 19
NODEFER, ONSTACK, RESTART, RESETHAND = 0x4000_0000, 0x0800_0000, 0x1000_0000, 0x8000_0000
MAPERR, ACCERR, KERNEL, USER, TKILL = 1, 2, 0x80, 0, -6
HERE, PAGE, SLEEP = 0x10_0000_0000, 4096, 1_000_000
BLOCK, UNBLOCK, SETMASK = 0, 1, 2
CODE_TRAP = 0x40_0000
RIP, RSP, RAX, EFLAGS, MASK = 16, 15, 13, 17, 22
"""Words of the registers in a ucontext, from its byte 40 on."""


def one_fault(code: bytes, mmu: str) -> tuple[int, int, int]:
    """The signal, si_code and si_addr that `code` raises; its first byte is at label `fault`."""
    program = Program()
    for number in (SIGILL, SIGTRAP, SIGFPE, SIGSEGV, 7):
        program.on_signal(number, "@handler", 4)
    program.call("mmap", HERE, 2 * PAGE, 1, 0x32, -1, 0)
    program.label("fault")
    program.raw(code)
    program.exit(99)
    program.label("handler")
    program.call("write", 1, "rsi", 24)
    program.exit()
    run = run_code(program, mmu=mmu)
    number, _, si_code, _, address = struct.unpack("<iiiiQ", run.output)
    at_code = program.labels["fault"]
    return number, si_code, address - at_code if 0 <= address - at_code < PAGE else address


def load(address: int) -> bytes:
    return b"\xa0" + address.to_bytes(8, "little")


def store(address: int) -> bytes:
    return b"\xa2" + address.to_bytes(8, "little")


def jump(address: int) -> bytes:
    return b"\x48\xb8" + address.to_bytes(8, "little") + b"\xff\xe0"


FAULTS = {
    "load from nothing": (load(0x1237), (SIGSEGV, MAPERR, 0x1237)),
    "store to nothing": (store(HERE - 5), (SIGSEGV, MAPERR, HERE - 5)),
    "store to read-only": (store(HERE + 77), (SIGSEGV, ACCERR, HERE + 77)),
    "store after a load": (load(HERE + 9) + store(HERE + 10), (SIGSEGV, ACCERR, HERE + 10)),
    "store to code": (store(CODE_TRAP + 3), (SIGSEGV, ACCERR, CODE_TRAP + 3)),
    "jump to nothing": (jump(0x5551), (SIGSEGV, MAPERR, 0x5551)),
    "jump to data": (jump(DATA + 16), (SIGSEGV, ACCERR, DATA + 16)),
    "a word across the edge": (
        b"\x48\xa1" + (HERE + 2 * PAGE - 3).to_bytes(8, "little"),
        (SIGSEGV, MAPERR, HERE + 2 * PAGE),
    ),
    "kernel half": (load(0xFFFF_8000_0000_0000), (SIGSEGV, MAPERR, 0xFFFF_8000_0000_0000)),
    "non-canonical": (load(1 << 47), (SIGSEGV, KERNEL, 0)),
    "divide by zero": (b"\x31\xc9\xf7\xf1", (SIGFPE, 1, 2)),
    "undefined": (b"\x0f\x0b", (SIGILL, 2, 0)),
    "int3": (b"\xcc", (SIGTRAP, KERNEL, 0)),
    "hlt": (b"\xf4", (SIGSEGV, KERNEL, 0)),
    "int 0x80": (b"\xcd\x80", (SIGSEGV, KERNEL, 0)),
}


@pytest.mark.parametrize("mmu", ["model", "silicon"])
@pytest.mark.parametrize("what", FAULTS)
def test_a_fault_has_the_right_signal_code_and_address(what: str, mmu: str) -> None:
    code, expected = FAULTS[what]
    assert one_fault(code, mmu) == expected


# Delivery ---------------------------------------------------------------------------------------


def handled(*body: tuple[Value, ...], flags: int = 0, mask: int = 0) -> Run:
    """Make calls.  The handler of SIGUSR1 writes '<', sends SIGUSR2 and writes '>'.  The handler of
    SIGUSR2 writes '2'."""
    program = Program()
    program.on_signal(SIGUSR1, "@one", flags, mask)
    program.on_signal(SIGUSR2, "@two")
    for name, *arguments in body:
        assert isinstance(name, str)
        program.call(name, *arguments)
    program.say(b".")
    program.exit()
    program.label("one")
    program.say(b"<")
    program.call("kill", 1, SIGUSR2)
    program.say(b">")
    program.raw("c3")
    program.label("two")
    program.say(b"2")
    program.raw("c3")
    return run_code(program)


def test_a_handler_runs_before_the_call_that_raised_it_returns() -> None:
    assert handled(("kill", 1, SIGUSR2)).output == b"2."


@pytest.mark.parametrize("number", [1, 2, 10, 31, 34, 64])
def test_a_thread_that_waits_takes_a_signal_that_the_one_that_runs_has_blocked(number: int) -> None:
    program = Program()
    program.on_signal(number, "@handler", 0x1000_0000)
    program.thread("waits")
    program.call("rt_sigprocmask", 0, program.words(-1), 0, 8)
    program.fork("sends")
    program.spin()
    program.label("sends")
    program.sleep(10**6)
    program.call("kill", 1, number)
    program.exit()
    program.label("waits")
    program.call("pause")
    program.label("handler")
    program.call("gettid")
    program.exit(7)
    assert run_code(program).exit_code == 7


def test_handlers_nest_unless_the_mask_forbids_it() -> None:
    assert handled(("kill", 1, SIGUSR1)).output == b"<2>."
    assert handled(("kill", 1, SIGUSR1), mask=1 << SIGUSR2 - 1).output == b"<>2."


def test_a_blocked_signal_stays_pending_and_arrives_once() -> None:
    program = Program()
    mask = program.words(1 << SIGUSR1 - 1)
    program.on_signal(SIGUSR1, "@handler")
    program.call("rt_sigprocmask", BLOCK, mask, 0, 8)
    program.call("kill", 1, SIGUSR1)
    program.call("tgkill", 1, 1, SIGUSR1)
    program.call("tgkill", 1, 1, SIGUSR1)
    program.say(b"a")
    program.call("rt_sigprocmask", UNBLOCK, mask, 0, 8)
    program.say(b"b")
    program.exit()
    program.label("handler")
    program.say(b"!")
    program.raw("c3")
    assert run_code(program).output == b"a!!b"  # one for the process, one for the thread


def recursive(flags: int) -> Run:
    """A handler for SIGUSR1 that raises SIGUSR1 once more."""
    program = Program()
    seen = program.words(0)
    program.on_signal(SIGUSR1, "@handler", flags)
    program.call("kill", 1, SIGUSR1)
    program.exit()
    program.label("handler")
    program.say(b"<")
    program.raw(b"\x48\xa1" + seen.to_bytes(8, "little"))
    program.jump_unless_zero("again")
    program.store(seen, 1)
    program.call("kill", 1, SIGUSR1)
    program.label("again")
    program.say(b">")
    program.raw("c3")
    return run_code(program)


def test_a_handler_is_not_interrupted_by_its_own_signal_unless_it_asks_for_it() -> None:
    assert recursive(0).output == b"<><>"
    assert recursive(NODEFER).output == b"<<>>"


def test_a_one_shot_handler_resets_to_the_default() -> None:
    run = recursive(RESETHAND)
    assert (run.output, run.signal) == (b"<>", SIGUSR1)


def test_an_ignored_signal_is_gone_and_the_default_of_some_is_to_ignore() -> None:
    program = Program()
    program.on_signal(SIGTERM, 1)
    for number in (SIGTERM, SIGCHLD, 18, 23, 28):
        program.call("kill", 1, number)
    program.exit(3)
    assert run_code(program).exit_code == 3


@pytest.mark.parametrize("number", [1, 2, 3, 6, 10, 13, 14, 15, 31, 34, 64])
def test_the_default_of_the_others_is_to_kill(number: int) -> None:
    program = Program()
    program.call("kill", 1, number)
    program.exit(3)
    assert run_code(program).signal == number


@pytest.mark.parametrize("number", [SIGKILL, SIGSTOP])
def test_kill_and_stop_cannot_be_handled_or_blocked(number: int) -> None:
    program = Program()
    mask, old = program.words((1 << 64) - 1), program.room(16)
    for handler in (0, 1, 0x1234):
        program.on_signal(number, handler)
    program.call("rt_sigprocmask", SETMASK, mask, 0, 8)
    program.call("rt_sigprocmask", SETMASK, 0, old, 8)
    program.dump(old, 8)
    program.call("kill", 1, SIGKILL)
    run = run_code(program)
    assert run.results("rt_sigaction") == [-E.INVAL] * 3
    assert not int.from_bytes(run.output, "little") >> number - 1 & 1
    assert run.signal == SIGKILL


@pytest.mark.parametrize("how", ["blocked", "ignored"])
def test_a_fault_kills_the_thread_even_if_its_signal_is_blocked_or_ignored(how: str) -> None:
    program = Program()
    if how == "blocked":
        program.on_signal(SIGSEGV, "@handler")
        program.call("rt_sigprocmask", BLOCK, program.words(1 << SIGSEGV - 1), 0, 8)
    else:
        program.on_signal(SIGSEGV, 1)
    program.load_byte(0)
    program.label("handler")
    program.exit(3)
    assert run_code(program).signal == SIGSEGV


def test_a_handler_without_a_stack_is_not_called() -> None:
    program = Program()
    program.on_signal(SIGUSR1, "@handler")
    program.move("rsp", 0x1000)
    program.call("kill", 1, SIGUSR1)
    program.label("handler")
    program.exit(3)
    assert run_code(program).signal == SIGSEGV


# Interrupted calls ------------------------------------------------------------------------------


def interrupted(call: tuple[Value, ...], flags: int) -> Run:
    """A signal arrives while a call waits.  Later the end of a child, or input, ends the call."""
    program = Program()
    program.on_signal(SIGUSR1, "@handler", flags)
    program.fork("child")
    name, *arguments = call
    assert isinstance(name, str)
    program.call(name, *arguments)
    program.say(b"e")
    program.exit()
    program.label("handler")
    program.say(b"h")
    program.raw("c3")
    program.label("child")
    program.sleep(SLEEP)
    program.call("kill", 1, SIGUSR1)
    program.sleep(SLEEP)
    program.say(b"c")
    program.exit(5)
    return run_code(program, source=lambda: b"typed")


@pytest.mark.parametrize("call", [("wait4", -1, 0, 0, 0), ("read", 0, DATA, 5)], ids=lambda c: c[0])
def test_a_call_that_waits_is_interrupted_or_restarted(call: tuple[str, int]) -> None:
    cut, restarted = interrupted(call, 0), interrupted(call, RESTART)
    assert cut.results(call[0], 1) == [-E.INTR]
    assert cut.output == b"he"
    assert restarted.results(call[0], 1)[0] > 0
    assert restarted.output == b"hce"


@pytest.mark.parametrize("flags", [0, RESTART])
@pytest.mark.parametrize(
    "call", [("nanosleep", DATA + 512, DATA + 600), ("futex", DATA + 600, 0, 0, DATA + 512)]
)
def test_sleeping_is_never_restarted(call: tuple[str, int], flags: int) -> None:
    program = Program()
    program.on_signal(SIGUSR1, "@handler", flags)
    program.move("rax", 50)
    program.store(DATA + 512)
    program.fork("child")
    program.call(*call)
    program.dump(DATA + 600, 8)
    program.exit()
    program.label("handler")
    program.raw("c3")
    program.label("child")
    program.sleep(2_000_000_000)
    program.call("kill", 1, SIGUSR1)
    program.exit()
    run = run_code(program)
    assert run.results(call[0], 1) == [-E.INTR]
    left = int.from_bytes(run.output, "little")
    assert left == (47 if call[0] == "nanosleep" else 0)


def test_input_that_comes_after_an_interrupted_read_goes_to_the_next_read() -> None:
    program = Program()
    at = program.room(32)
    program.on_signal(SIGUSR1, "@handler")
    program.fork("child")
    program.call("read", 0, at, 4)
    program.call("read", 0, at, 16)
    program.dump(at, 16)
    program.exit()
    program.label("handler")
    program.raw("c3")
    program.label("child")
    program.sleep(SLEEP)
    program.call("kill", 1, SIGUSR1)
    program.exit()
    pieces = [b"the whole line", b""]
    run = run_code(program, source=lambda: pieces.pop(0))
    assert run.results("read") == [-E.INTR, 14]
    assert run.output.rstrip(b"\0") == b"the whole line"


# The frame --------------------------------------------------------------------------------------


def test_a_handler_is_told_who_sent_the_signal() -> None:
    program = Program()
    program.on_signal(SIGUSR1, "@handler", 4)
    program.call("kill", 1, SIGUSR1)
    program.call("tgkill", 1, 1, SIGUSR1)
    program.exit()
    program.label("handler")
    program.call("write", 1, "rsi", 24)
    program.raw("c3")
    output = run_code(program).output
    assert struct.unpack("<4i2i4i2i", output) == (
        *(SIGUSR1, 0, USER, 0, 1, 1000),
        *(SIGUSR1, 0, TKILL, 0, 1, 1000),
    )


@pytest.mark.parametrize(
    ("end", "code", "status"), [(("exit_group", 42), 1, 42), (("kill", 2, SIGTERM), 2, SIGTERM)]
)
def test_a_parent_is_told_which_child_ended_and_how(
    end: tuple[str, int], code: int, status: int
) -> None:
    """CLD_EXITED with the status, or CLD_KILLED with the signal (sigaction(2))."""
    program = Program()
    program.on_signal(SIGCHLD, "@handler", 4)
    program.fork("child")
    program.sleep(10**12)
    program.exit()
    program.label("child")
    program.call(*end)
    program.label("handler")
    program.call("write", 1, "rsi", 28)
    program.raw("c3")
    fields = struct.unpack("<7i", run_code(program).output)
    assert fields == (SIGCHLD, 0, code, 0, 2, 1000, status)


REGISTERS = "rbx rcx rdx rsi rdi rbp r8 r9 r10 r11 r12 r13 r14 r15".split()


@pytest.mark.parametrize("mmu", ["model", "silicon"])
def test_every_register_comes_back_from_a_handler(mmu: str) -> None:
    """Fill all general registers, flags, SSE and x87 registers; fault; let the handler destroy them
    all; compare."""
    program = Program()
    pattern = program.put(bytes(range(1, 17)) * 2)
    fpu_before, fpu_after = program.room(512), program.room(512)
    general = program.room(8 * 16)
    program.on_signal(SIGSEGV, "@handler", 4)
    program.move("rax", pattern)
    program.raw("f30f6f00 f3440f6f7810")  # movdqu xmm0, [rax]; movdqu xmm15, [rax + 16]
    program.raw("d9ebd9e8")  # fldpi; fld1
    program.move("rax", fpu_before)
    program.raw("0fae00")  # fxsave [rax]
    for i, register in enumerate(REGISTERS):
        program.move(register, 0x1111 * (i + 1))
    program.move("rax", 0x1234)
    program.raw("fd f9")  # std; stc
    program.label("fault")
    program.raw("8a00")  # mov al, [rax]: faults
    program.label("after")
    program.raw("9c")  # pushfq
    program.raw(b"\x48\xa3" + general.to_bytes(8, "little"))
    for i, register in enumerate(REGISTERS, 1):
        program.move("rax", register)
        program.store(general + 8 * i)
    program.raw("58")  # pop rax
    program.store(general + 8 * 15)
    program.raw("fc")  # cld
    program.move("rax", fpu_after)
    program.raw("0fae00")
    for at, size in ((general, 128), (fpu_before, 512), (fpu_after, 512)):
        program.dump(at, size)
    program.exit()
    program.label("handler")
    program.raw("488382a800000002")  # add qword [rdx + 168], 2: skip the load
    program.raw("660fefc0 66450fefff dbe3")  # pxor xmm0, xmm0; pxor xmm15, xmm15; fninit
    for register in REGISTERS:
        if register not in ("rsp",):
            program.move(register, 0)
    program.raw("c3")
    output = run_code(program, mmu=mmu).output
    values = struct.unpack("<16Q", output[:128])
    assert values[0] == 0x1234
    assert values[1:15] == tuple(0x1111 * (i + 1) for i in range(14))
    assert values[15] & 0x401 == 0x401
    before, after = output[128:640], output[640:]
    assert before[160:176] == bytes(range(1, 17))
    assert after[160:] == before[160:]
    assert after[:5] == before[:5]
    assert after[24:28] == before[24:28]
    assert [after[32 + 16 * i :][:10] for i in (0, 1)] == [
        before[32 + 16 * i :][:10] for i in (0, 1)
    ]


def test_a_handler_may_use_another_stack_which_is_reported_as_in_use() -> None:
    program = Program()
    stack = program.room(8192)
    new, old = program.words(stack, 0, 8192), program.room(32)
    program.call("sigaltstack", new, 0)
    program.on_signal(SIGUSR1, "@handler", ONSTACK)
    program.call("kill", 1, SIGUSR1)
    program.call("sigaltstack", 0, old)
    program.dump(old, 24)
    program.exit()
    program.label("handler")
    program.move("rbx", "rsp")
    program.store(old, "rbx")
    program.dump(old, 8)
    program.call("sigaltstack", new, 0)
    program.call("sigaltstack", 0, old)
    program.dump(old, 24)
    program.raw("c3")
    run = run_code(program)
    inside, sp, flags, size = struct.unpack("<QQqQ", run.output[:32])
    assert stack < inside < stack + 8192
    assert (sp, flags, size) == (stack, 1, 8192)
    assert struct.unpack("<QqQ", run.output[32:]) == (stack, 0, 8192)
    assert run.results("sigaltstack") == [0, -E.PERM, 0, 0]


@pytest.mark.parametrize(
    ("flags", "size", "answer"),
    [(0, 2047, -E.NOMEM), (4, 8192, -E.INVAL), (2, 0, 0), (0, 2048, 0)],
)
def test_errors_of_sigaltstack(flags: int, size: int, answer: int) -> None:
    program = Program()
    program.call("sigaltstack", program.words(DATA, flags, size), 0)
    program.call("sigaltstack", 8, 0)
    program.exit()
    assert run_code(program).results("sigaltstack") == [answer, -E.FAULT]


def test_a_child_inherits_the_alternate_stack_and_the_mask_but_no_pending_signal() -> None:
    program = Program()
    new, old = program.words(DATA, 0, 4096), program.room(32)
    mask = program.words(1 << SIGUSR1 - 1)
    program.call("sigaltstack", new, 0)
    program.call("rt_sigprocmask", BLOCK, mask, 0, 8)
    program.call("kill", 1, SIGUSR1)
    program.fork("child")
    program.wait()
    program.exit()
    program.label("child")
    program.call("sigaltstack", 0, old)
    program.dump(old, 24)
    program.call("rt_sigprocmask", SETMASK, 0, old, 8)
    program.dump(old, 8)
    program.call("rt_sigprocmask", UNBLOCK, mask, 0, 8)
    program.say(b"alive")
    program.exit()
    output = run_code(program).output
    assert output[32:] == b"alive"
    assert int.from_bytes(output[24:32], "little") == 1 << SIGUSR1 - 1
    assert struct.unpack("<QqQ", output[:24]) == (DATA, 0, 4096)


def changed_frame(word: int, value: int) -> Run:
    """Return from a handler through a frame in which register number `word` was overwritten."""
    program = Program()
    program.on_signal(SIGUSR1, "@handler", 4)
    program.call("kill", 1, SIGUSR1)
    program.exit(3)
    program.label("handler")
    program.move("rax", value)
    program.raw(b"\x48\x89\x82" + struct.pack("<i", 40 + 8 * word))  # mov [rdx + n], rax
    program.raw("c3")
    return run_code(program)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        (RIP, 0),
        (RIP, 1 << 47),
        (RIP, (1 << 64) - 1),
        (RIP, KUSER + PAGE),
        (RSP, 0),
        (RSP, 1 << 63),
        (EFLAGS, (1 << 64) - 1),
        (23, 8),
        (23, (1 << 64) - 1),
        (23, 0),
        (MASK, (1 << 64) - 1),
    ],
)
def test_a_damaged_frame_ends_in_a_signal_or_goes_on(word: int, value: int) -> None:
    run = changed_frame(word, value)
    assert run.status in (SIGSEGV, SIGTRAP, 3 << 8)


@pytest.mark.parametrize("mmu", ["model", "silicon"])
@pytest.mark.parametrize("code", ["e460", "fa", "f4"], ids=["in", "cli", "hlt"])
def test_a_program_cannot_give_itself_rights_by_returning_from_a_handler(
    code: str, mmu: str
) -> None:
    """The handler sets all flags in the frame, even IOPL.  The ports stay closed."""
    program = with_all_flags()
    program.raw(code)
    program.exit(3)
    assert run_code(program, mmu=mmu).signal == SIGSEGV


def test_only_the_flags_of_a_program_come_back_from_a_handler() -> None:
    program = with_all_flags()
    at = program.room(8)
    program.store(at, "rbx")
    program.dump(at, 8)
    program.exit()
    flags = int.from_bytes(run_code(program).output, "little")
    assert flags == 0x4_0ED7  # AC OF DF IF SF ZF AF PF CF and the bit that is always one


def with_all_flags() -> Program:
    """Returns from a handler with every flag but TF set in the frame; then rbx = RFLAGS."""
    program = Program()
    program.on_signal(SIGUSR1, "@handler", 4)
    program.call("kill", 1, SIGUSR1)
    program.raw("9c 5b")  # pushfq; pop rbx
    program.raw("6a02 9d")  # push 2; popfq
    program.jump("on")
    program.label("handler")
    program.move("rax", ~0x100)
    program.raw(b"\x48\x89\x82" + struct.pack("<i", 40 + 8 * EFLAGS))  # mov [rdx + n], rax
    program.raw("c3")
    program.label("on")
    return program


def test_the_system_survives_a_sigreturn_without_a_handler() -> None:
    program = Program()
    program.call("rt_sigreturn")
    program.exit(3)
    assert run_code(program).status in (SIGSEGV, 3 << 8)


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        (("rt_sigaction", 0, 0, 0, 8), -E.INVAL),
        (("rt_sigaction", 65, 0, 0, 8), -E.INVAL),
        (("rt_sigaction", 10, 0, 0, 4), -E.INVAL),
        (("rt_sigaction", 10, 8, 0, 8), -E.FAULT),
        (("rt_sigaction", 10, 0, 8, 8), -E.FAULT),
        (("rt_sigprocmask", 3, 0, 0, 8), 0),
        (("rt_sigprocmask", 3, DATA, 0, 8), -E.INVAL),
        (("rt_sigprocmask", 0, 0, 0, 4), -E.INVAL),
        (("rt_sigprocmask", 0, 8, 0, 8), -E.FAULT),
        (("rt_sigprocmask", 0, 0, 8, 8), -E.FAULT),
    ],
)
def test_errors_of_the_calls_on_signals(call: tuple[str, int], answer: int) -> None:
    program = Program()
    program.call(*call)
    program.exit()
    assert run_code(program).calls[0].result == answer


def test_the_signals_program_says_what_it_should() -> None:
    run = System("signals").run()
    assert b"SIGCHLD tells of our child, status 42" in run.output
    assert b"NOT" not in run.output


def test_a_program_that_steps_over_its_own_end_ends() -> None:
    """The trap of a single step comes when the thread is gone."""
    program = Program()
    program.on_signal(SIGTRAP, "@handler")
    program.raw("9c 48810c2400010000 9d")  # pushf; or qword [rsp], TF; popf
    program.exit(3)
    program.label("handler")
    program.raw("c3")
    assert run_code(program).exit_code == 3
