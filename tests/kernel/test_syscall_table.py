"""Each system call is declared once, and everything else agrees with the declaration."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from kernel.abi.errno import E
from kernel.calls import SYSCALL
from kernel.strace import Strace, format_call
from kernel.syscalls import TABLE, SystemCall
from kernel.syscalls.table import Flags, Int, Long, Ptr, syscall
from tests.kernel.asm import NUMBERS, Program
from tests.kernel.system import ROOT, System, run_code
from userland.build import FIRST_OF_OURS

SERVERS = {"core", "files", "names", "pipes", "shm", "sockets", "system"}
C_TYPES = {"int", "fd", "pid_t", "id_t", "unsigned", "long", "size_t", "void *", "const char *"}
ROWS = list(TABLE.values())


def readme_rows() -> list[list[str]]:
    """The table of kernel/README.md: numbers, names, owner, state."""
    text = (ROOT / "kernel" / "README.md").read_text(encoding="utf-8")
    lines = text[text.index("| number | call |") :].splitlines()[2:]
    table = lines[: next(i for i, line in enumerate([*lines, ""]) if not line.startswith("|"))]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def numbers(cell: str) -> list[int]:
    found: list[int] = []
    for part in cell.split(","):
        first, _, last = part.strip().partition("\N{EN DASH}")
        found += range(int(first), int(last or first) + 1)
    return found


def test_the_readme_lists_every_declared_number_once_and_no_other() -> None:
    assert sorted(n for row in readme_rows() for n in numbers(row[0])) == sorted(TABLE)


def test_the_readme_names_the_calls_as_they_are() -> None:
    for row in readme_rows():
        names = [name.strip() for name in row[1].split(",")]
        if len(names) != len(numbers(row[0])):
            continue
        prefix = names[0].split("_")[0]
        full = [prefix + name if name.startswith("_") else name for name in names]
        assert full == [TABLE[number].name for number in numbers(row[0])]


def test_the_readme_says_core_where_no_server_is_asked() -> None:
    for row in readme_rows():
        owners = {TABLE[number].owner for number in numbers(row[0])}
        assert row[2].startswith("core") == (owners == {"core"}), row


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_declaration_is_whole(row: SystemCall) -> None:
    assert TABLE[row.number] is row
    assert re.fullmatch(r"[a-z][a-z0-9_]*", row.name)
    assert row.doc.strip().partition("\n")[0].endswith((".", ";", ",", ":")) or "\n" in row.doc
    assert row.owner in SERVERS
    assert len(row.arguments) <= 6
    assert {kind.c_name for _, kind in row.arguments} <= C_TYPES
    assert row.prototype().startswith(row.name + "(")


def test_names_and_numbers_are_unique_and_go_up_in_the_header() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    text = (ROOT / "userland" / "include" / "vantage_calls.h").read_text(encoding="utf-8")
    defined = [(name, int(n)) for name, n in re.findall(r"#define SYS_(\w+) (\d+)", text)]
    assert dict(defined) == {name: n for name, n in NUMBERS.items() if n >= FIRST_OF_OURS}
    assert all(one[1] < two[1] for one, two in pairwise(defined))


def test_a_number_cannot_be_declared_twice() -> None:
    with pytest.raises(ValueError, match="system call 9 is declared twice"):
        syscall(9)(lambda k, t: 0)


@pytest.mark.parametrize(
    ("kind", "register", "value"),
    [
        (Int, 0xFFFF_FFFF_FFFF_FFFF, -1),
        (Int, 0x1_0000_0005, 5),
        (Int, 0x8000_0000, -(1 << 31)),
        (Flags, 0xFFFF_FFFF_8000_0000, 0x8000_0000),
        (Ptr, 0xFFFF_FFFF_FFFF_FFFF, (1 << 64) - 1),
        (Long, 0xFFFF_FFFF_FFFF_FFFF, -1),
    ],
)
def test_a_register_becomes_what_a_c_function_would_see(
    kind: object, register: int, value: int
) -> None:
    declared = kind.__metadata__[0]  # type: ignore[attr-defined]
    assert declared.decode(register) == value


def test_a_prototype_is_c() -> None:
    assert TABLE[11].prototype() == "munmap(void *addr, size_t length)"
    assert TABLE[39].prototype() == "getpid(void)"
    assert TABLE[59].prototype() == "execve(const char *path, void *argv, void *envp)"


# strace -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "registers", "strings", "line"),
    [
        (1, [1, 0x4051A0, 21], b"", "write(1, 0x4051a0, 21)"),
        (39, [0] * 6, b"", "getpid()"),
        (61, [(1 << 64) - 1, 0, 1, 0], b"", "wait4(-1, 0x0, 1, 0x0)"),
        (59, [0x1000, 0x2000, 0], b"/bin/hello\0", "execve('/bin/hello', 0x2000, 0x0)"),
        (1206, [0x1000, 3], b"caf\xe9\0", "ipc_publish('caf\ufffd', 3)"),
        (1206, [0x1000, 3], b"", "ipc_publish('', 3)"),
    ],
)
def test_a_call_is_shown_as_strace_shows_it(
    number: int, registers: list[int], strings: bytes, line: str
) -> None:
    padded = (registers + [0] * 6)[:6]
    assert format_call(number, padded, strings) == line


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (0, "0"),
        (42, "42"),
        (-2, "-1 ENOENT"),
        (-7, "-1 E2BIG"),
        (-110, "-1 ETIMEDOUT"),
        (1 << 20, "0x100000"),
        (0x7F00_0000_0000, "0x7f0000000000"),
    ],
)
def test_a_result_is_shown_with_the_name_of_its_error(result: int, text: str) -> None:
    lines: list[str] = []
    Strace(lines.append)(SYSCALL, (1, 39, *[0] * 6, result, b"", 0))
    assert lines == [f"[1] getpid() = {text}"]


def test_the_log_of_a_run_reads_like_straces() -> None:
    program = Program()
    program.on_signal(10, 1)
    program.call("write", 1, program.put(b"x"), 1)
    program.call("kill", 1, 10)
    program.call("execve", program.put(b"/none\0"), 0, 0)
    program.load_byte(0x1234)
    system, lines = System(program, ram=4), list[str]()
    system.trace.observer = Strace(lines.append)
    assert system.run().signal == 11
    assert [re.sub("0x6[0-9a-f]+", "ADDRESS", line) for line in lines] == [
        "[1] rt_sigaction(10, ADDRESS, 0x0, 8) = 0",
        "[1] write(1, ADDRESS, 1) = 1",
        "[1] kill(1, 10) = 0",
        "[1] execve('/none', 0x0, 0x0) = -1 ENOENT",
        "[1] page fault at 0x1000: err=0x4 (not present, read, user)",
        "[1] SIGSEGV at 0x1234: killed",
        "[1] ended",
    ]


# Unknown calls ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (41, "socket (41)"),
        (999, "999"),
        (1331, "1331"),
        (1399, "1399"),
        (0xFFFF, "65535"),
        (0x1_0000, "65536"),
        ((1 << 64) - 1, "-1"),
        (1 << 63 | 999, "999"),
    ],
)
def test_an_unknown_call_fails_with_enosys_and_is_logged_once(number: int, shown: str) -> None:
    """The number of a call is the int in EAX, whatever the upper half of RAX holds."""
    program = Program()
    program.call(number)
    program.move("rbx", "rax")
    program.call(number)
    program.call(number)
    at = program.room(8)
    program.store(at)
    program.dump(at, 8)
    program.exit()
    run = run_code(program)
    assert int.from_bytes(run.output, "little", signed=True) == -E.NOSYS
    assert run.logs == [f"system call {shown} is not known here: ENOSYS".encode()]


def test_a_program_cannot_fill_the_kernels_memory_with_numbers_it_makes_up() -> None:
    program = Program()
    program.move("rbx", 5000)
    program.label("again")
    program.raw("4889d8 4805a0860100 0f05 48ffcb")  # rax = rbx + 100000; syscall; dec rbx
    program.raw("0f85")
    program.fixups.append((len(program.code), "again", True))
    program.raw(bytes(4))
    program.exit()
    system = System(program, ram=4)
    system.run()
    assert len(system.kernel.unknown) <= 1024


def test_the_calls_that_never_restart_are_those_of_signal_7() -> None:
    """ "The following interfaces are never restarted", as far as they are here; since Linux 2.6.22
    futex is one of them with a timeout only, as are those of sockets."""
    polls = {"poll", "ppoll", "select", "pselect6", "epoll_wait", "epoll_pwait", "epoll_pwait2"}
    waits = {"pause", "rt_sigsuspend", "rt_sigtimedwait", "nanosleep", "clock_nanosleep"}
    assert {row.name for row in ROWS if not row.restarts} == polls | waits
    moves = {"read", "write", "readv", "writev", "sendto", "recvfrom", "sendmsg", "recvmsg"}
    timed = {row.name for row in ROWS if not row.restarts_timed}
    assert timed == moves | {"futex", "sendmmsg", "recvmmsg"}


def test_the_calls_that_a_stop_ends_are_those_of_signal_7() -> None:
    """ "Interruption of system calls and library functions by stop signals"; Linux 3.7 and earlier
    had more of them."""
    epolls = {"epoll_wait", "epoll_pwait", "epoll_pwait2"}
    assert {row.name for row in ROWS if row.ended_by_stop} == epolls | {"rt_sigtimedwait"}
