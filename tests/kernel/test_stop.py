"""Stop and continue: SIGSTOP, SIGCONT, and what the parent learns of them."""

from __future__ import annotations

import pytest

from kernel.abi.errno import E
from tests.kernel.asm import Program
from tests.kernel.system import run_code

SIGKILL, SIGTERM, SIGCONT, SIGSTOP, SIGTSTP = 9, 15, 18, 19, 20
WNOHANG, WUNTRACED, WNOWAIT = 1, 2, 0x100_0000
A_WHILE = 10**6  # nanoseconds


def with_spinning_child() -> Program:
    """A program whose child spins; its pid is in R15.  Code appended later is the parent's."""
    program = Program()
    program.fork("child")
    program.keep("r15")
    program.sleep(A_WHILE)
    return program


def ending_with_child(program: Program) -> Program:
    program.exit()
    program.label("child")
    program.call("setpgid", 0, 0)  # a group that another process could continue
    program.raw("ebfe")  # jmp .
    return program


@pytest.mark.parametrize("signal", [SIGSTOP, SIGTSTP])
@pytest.mark.parametrize("cpus", [1, 2])
def test_a_stopped_child_is_reported_once_and_ends_after_it_goes_on(signal: int, cpus: int) -> None:
    program = with_spinning_child()
    status = program.put(bytes(16))
    program.call("kill", "r15", signal)
    program.call("wait4", "r15", status, WUNTRACED, 0)
    program.call("wait4", "r15", status + 8, WUNTRACED | WNOHANG, 0)
    program.call("kill", "r15", SIGTERM)
    program.sleep(A_WHILE)
    program.call("wait4", "r15", status + 8, WNOHANG, 0)
    program.call("kill", "r15", SIGCONT)
    program.call("wait4", "r15", status + 8, 0, 0)
    program.call("write", 1, status, 16)
    run = run_code(ending_with_child(program), cpus=cpus)
    assert run.results("wait4") == [2, 0, 0, 2], "a stopped process does not even take SIGTERM"
    assert run.output[:4] == (signal << 8 | 0x7F).to_bytes(4, "little")
    assert run.output[8:12] == SIGTERM.to_bytes(4, "little")


def test_sigkill_ends_a_stopped_process() -> None:
    program = with_spinning_child()
    program.call("kill", "r15", SIGSTOP)
    program.sleep(A_WHILE)
    program.call("kill", "r15", SIGKILL)
    program.call("wait4", "r15", 0, 0, 0)
    program.call("kill", "r15", 0)
    run = run_code(ending_with_child(program))
    assert run.results("wait4") == [2]
    assert run.results("kill") == [0, 0, -E.SRCH]


def word(value: int) -> bytes:
    return value.to_bytes(8, "little", signed=True)


@pytest.mark.parametrize(
    ("call", "ends"),
    [
        (("epoll_wait", 3, 0x60_8000, 1, -1), True),
        (("rt_sigtimedwait", 0x60_8100, 0, 0, 8), True),
        (("poll", 0, 0, 2), False),
        (("pause",), False),
        (("futex", 0x60_8200, 0, 0, 0), False),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_stop_ends_some_calls_and_the_others_go_on(call: tuple[str, int], ends: bool) -> None:
    """Some end with EINTR although no handler was called (signal(7), the last section)."""
    program = Program()
    after = program.words(0)
    program.call("epoll_create1", 0)
    program.fork("child")
    program.keep("r15")
    for signal in (SIGSTOP, SIGCONT):
        program.sleep(A_WHILE)
        program.call("kill", "r15", signal)
    program.sleep(A_WHILE)
    program.call("kill", "r15", SIGKILL)
    program.wait("r15")
    program.exit()
    program.label("child")
    program.call(*call)
    program.store(after)
    program.dump(after, 8)
    program.spin()
    output = run_code(program).output
    assert output == (word(-E.INTR) if ends else word(0) if call[0] == "poll" else b"")


@pytest.mark.parametrize("number", [SIGSTOP, SIGCONT, SIGKILL])
def test_the_news_of_a_child_stay_while_they_are_only_looked_at(number: int) -> None:
    """waitid(2): WNOWAIT leaves the child waitable, and a second look finds the same."""
    program = with_spinning_child()
    options = {SIGSTOP: 2, SIGCONT: 8, SIGKILL: 4}[number]
    infos = [program.room(128) for _ in range(4)]
    program.call("kill", "r15", SIGSTOP)
    program.sleep(A_WHILE)
    if number != SIGSTOP:
        program.call("kill", "r15", number)
        program.sleep(A_WHILE)
    for info, more in zip(infos, (WNOWAIT, WNOWAIT, 0, WNOHANG), strict=True):
        program.call("waitid", 1, "r15", info, options | more, 0)
        program.dump(info, 28)
    program.call("kill", "r15", SIGKILL)
    run = run_code(ending_with_child(program))
    shown = [run.output[at : at + 28] for at in range(0, 112, 28)]
    assert shown[0] == shown[1] == shown[2]
    assert int.from_bytes(shown[0][16:20], "little") == 2
    assert int.from_bytes(shown[0][24:28], "little") == number
    assert shown[3] == bytes(28)
    assert run.results("waitid") == [0, 0, 0, 0 if number != SIGKILL else -E.CHILD]
