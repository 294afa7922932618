"""execve: what it requires of a file and of its arguments, and what it keeps of the process."""

from __future__ import annotations

import pytest

from kernel.abi.errno import E
from tests.kernel.asm import Part, Program, R, X, program_of, write_elf
from tests.kernel.system import run_code

SIGUSR1, SIGTERM = 10, 15


BAD_FILES = {
    b"/bin/garbage": b"echo hi\n" * 20,
    b"/bin/orphan": b"#!/bin/nothing -x\n",
    b"/bin/loop": b"#!/bin/loop\n",
    b"/bin/empty": b"",
    b"/bin/cut": write_elf([Part(0x400000, bytes(5000), None, R | X)], 0x400000)[:3000],
    b"/bin/big": write_elf([Part(0x400000, b"\x90" * 100, 1 << 40, R | X)], 0x400000),
}


def exec_of(path: bytes, arguments: int = -1, environment: int = 0) -> Program:
    program = Program()
    cell = program.words(5)
    name = program.put(path + b"\0")
    vector = program.words(name, 0) if arguments == -1 else arguments
    program.call("execve", name, vector, environment)
    program.dump(cell, 1)
    program.exit(7)
    return program


@pytest.mark.parametrize(
    ("path", "error"),
    [
        (b"/bin/nothing", E.NOENT),
        (b"", E.NOENT),
        (b"/bin/garbage", E.NOEXEC),
        (b"/bin/empty", E.NOEXEC),
        (b"/bin/orphan", E.NOENT),
        (b"/bin/loop", E.LOOP),
        (b"/tmp", E.ACCES),
        (b"/etc/passwd", E.ACCES),
        (b"/etc/passwd/x", E.NOTDIR),
        (b"/bin/cut", E.NOEXEC),
        (b"/" * 4096, E.NAMETOOLONG),
    ],
)
def test_a_failed_exec_leaves_its_caller_alive_and_unharmed(path: bytes, error: E) -> None:
    run = run_code(exec_of(path), files=BAD_FILES)
    assert run.results("execve") == [-error]
    assert (run.output, run.exit_code) == (b"\x05", 7)


def test_exec_with_bad_pointers_fails_with_efault() -> None:
    for vector, environment in ((8, 0), (0, 8), (1 << 47, 0), ((1 << 64) - 8, 0)):
        run = run_code(exec_of(b"/bin/hello", vector, environment))
        assert run.results("execve") == [-E.FAULT]
        assert run.exit_code == 7
    assert run_code(program_of(("execve", 8, 0, 0))).results("execve") == [-E.FAULT]


@pytest.mark.parametrize("size", [131_072, 200_000])
def test_an_argument_that_is_too_long_is_too_big(size: int) -> None:
    program = Program()
    text = program.put(b"a" * size + b"\0")
    name = program.put(b"/bin/hello\0")
    program.call("execve", name, program.words(name, text, 0), 0)
    program.exit(7)
    run = run_code(program)
    assert run.results("execve") == [-E.BIG]
    assert run.exit_code == 7


def test_too_many_arguments_are_too_big() -> None:
    program = Program()
    name = program.put(b"/bin/hello\0")
    long, longer = (program.put(b"a" * size + b"\0") for size in (100_000, 1 << 17))
    program.call("execve", name, program.words(*[long] * 30, 0), 0)
    program.call("execve", name, program.words(name, longer, 0), 0)
    program.exit(7)
    run = run_code(program)
    assert run.results("execve") == [-E.BIG, -E.BIG]


def test_arguments_and_environment_arrive() -> None:
    program = Program()
    words = [program.put(word + b"\0") for word in (b"/bin/hello", b"one", b"", b"three")]
    program.call("execve", words[0], program.words(*words, 0), program.words(words[1], 0))
    output = run_code(program).output
    assert b"argv[0] = /bin/hello\nargv[1] = one\nargv[2] = \nargv[3] = three\n" in output


def test_exec_without_arguments_works() -> None:
    run = run_code(exec_of(b"/bin/hello", 0))
    assert run.output == b"Hello from ring 3.\nargv[0] = \n"  # as Linux has it since 5.18


@pytest.mark.parametrize("cpus", [1, 2])
def test_exec_ends_the_other_threads_and_resets_handlers(cpus: int) -> None:
    """The calls of the new program show what it inherits."""
    inner = Program()
    at = inner.room(32)
    for number in (SIGUSR1, SIGTERM):
        inner.call("rt_sigaction", number, 0, at, 8)
        inner.dump(at, 8)
    inner.call("rt_sigprocmask", 0, 0, at, 8)
    inner.dump(at, 8)
    inner.call("getpid")
    inner.exit(0)
    program = Program()
    program.on_signal(SIGUSR1, "@handler")
    program.on_signal(SIGTERM, 1)
    mask = program.words(1 << 11)
    program.call("rt_sigprocmask", 0, mask, 0, 8)
    program.thread("other")
    name = program.put(b"/bin/inner\0")
    program.call("execve", name, program.words(name, 0), 0)
    program.exit(1)
    program.label("other")
    program.label("handler")
    program.spin()
    run = run_code(program, cpus=cpus, files={b"/bin/inner": inner.elf()})
    words = [int.from_bytes(run.output[i : i + 8], "little") for i in range(0, 24, 8)]
    assert words == [0, 1, 1 << 11]
    assert run.results("getpid") == [1]
    assert run.exit_code == 0


def test_a_thread_that_executes_another_program_becomes_its_process() -> None:
    inner = program_of(("getpid",), ("gettid",))
    program = Program()
    program.thread("other")
    program.sleep(10**15)
    program.label("other")
    name = program.put(b"/bin/inner\0")
    program.call("execve", name, program.words(name, 0), 0)
    run = run_code(program, files={b"/bin/inner": inner.elf()})
    assert run.results("getpid") == run.results("gettid") == [1]
