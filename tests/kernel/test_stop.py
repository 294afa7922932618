"""Stop and continue: SIGSTOP, SIGCONT, and what the parent learns of them."""

from __future__ import annotations

import pytest

from kernel.abi.errno import E
from tests.kernel.asm import Program
from tests.kernel.system import run_code

SIGKILL, SIGTERM, SIGCONT, SIGSTOP, SIGTSTP = 9, 15, 18, 19, 20
WNOHANG, WUNTRACED = 1, 2
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
