"""How processes and threads come and go, and what they may do to each other."""

from __future__ import annotations

import pytest

from kernel import invariants, turns
from kernel.abi.errno import E
from kernel.life import life
from kernel.task.credentials import Credentials
from tests.kernel.asm import Program, program_of
from tests.kernel.system import System, boot_program, run_code, still

WNOHANG, SIGKILL, SIGUSR1, SIGTERM, SIGCHLD, SIGSEGV = 1, 9, 10, 15, 17, 11
ROOT_USER, OTHER = Credentials(), Credentials(1001, 1001)
SLEEP = 1_000_000


# Waiting ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "status"), [(("exit", 0), 0), (("exit", 7), 0x700), (("exit_group", 300), 44 << 8)]
)
def test_a_parent_learns_how_its_child_ended(end: tuple[str, int], status: int) -> None:
    program = Program()
    where = program.room(16)
    program.fork("child")
    program.wait(-1, where)
    program.dump(where, 4)
    program.exit()
    program.label("child")
    program.call(*end)
    run = run_code(program)
    assert run.results("wait4") == [2]
    assert int.from_bytes(run.output, "little") == status


def test_a_child_killed_by_a_signal_says_which() -> None:
    program = Program()
    where = program.room(16)
    program.fork("child")
    program.wait(-1, where)
    program.dump(where, 4)
    program.exit()
    program.label("child")
    program.store_byte(0x10, 1)
    assert run_code(program).output == bytes([SIGSEGV, 0, 0, 0])


def test_the_kernel_remembers_the_last_processes_that_a_signal_killed() -> None:
    """A run that gets stuck names them (`deadlock.py`); who ends by itself is not among them."""
    program = Program()
    for number in (SIGKILL, SIGTERM, 0, *range(1, 8)):
        program.fork(f"child {number}")
        program.keep("rbx")
        program.call("kill", "rbx", number)
        program.wait("rbx")
    program.exit()
    for number in (SIGKILL, SIGTERM, 0, *range(1, 8)):
        program.label(f"child {number}")
        program.exit() if not number else program.spin()
    system = System(program, ram=4)
    system.run()
    names = ("TERM", "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS")
    pids = (3, *range(5, 12))
    assert system.kernel.life.killed == [
        f"process {pid} (test) by SIG{name}" for pid, name in zip(pids, names, strict=True)
    ]


def test_without_children_there_is_nothing_to_wait_for() -> None:
    run = run_code(program_of(("wait4", -1, 0, 0), ("wait4", 1, 0, 0), ("wait4", -1, 0, WNOHANG)))
    assert run.results("wait4") == [-E.CHILD] * 3


def test_wnohang_does_not_block_and_a_second_wait_finds_no_child() -> None:
    program = Program()
    program.fork("child")
    program.keep("rbx")
    program.wait(-1, 0, WNOHANG)
    program.sleep(3 * SLEEP)
    program.wait("rbx", 0, WNOHANG)
    program.wait("rbx", 0, WNOHANG)
    program.exit()
    program.label("child")
    program.sleep(SLEEP)
    program.exit()
    assert run_code(program).results("wait4") == [0, 2, -E.CHILD]


def test_a_parent_can_wait_for_one_child_or_for_a_group() -> None:
    program = Program()
    program.fork("slow")
    program.keep("rbx")
    program.fork("fast")
    program.wait("rbx")
    program.wait(0)
    program.wait(0)
    program.wait(-5)
    program.exit()
    program.label("slow")
    program.sleep(SLEEP)
    program.exit(1)
    program.label("fast")
    program.exit(2)
    run = run_code(program)
    assert run.results("wait4", 1) == [2, 3, -E.CHILD, -E.CHILD]


def test_a_child_stays_a_zombie_until_it_is_waited_for() -> None:
    program = Program()
    program.fork("child")
    program.keep("rbx")
    program.sleep(SLEEP)
    program.call("null_call")
    program.wait("rbx")
    program.exit()
    program.label("child")
    program.exit()
    system = System(program, ram=1)
    while 2 not in system.kernel.tasks.processes or not system.kernel.tasks.processes[2].zombie:
        turns.run_traps(system.kernel, 1)
    assert [t.tid for t in system.kernel.tasks.threads.values()] == [1]
    invariants.check(system.kernel)
    run = system.run()
    assert run.results("wait4") == [2]
    assert list(system.kernel.tasks.processes) == [1]


def test_orphans_go_to_the_first_process() -> None:
    program = Program()
    program.fork("parent")
    program.wait()
    program.wait()
    program.exit()
    program.label("parent")
    program.fork("orphan")
    program.exit()
    program.label("orphan")
    program.sleep(SLEEP)
    program.call("getppid")
    program.exit()
    run = run_code(program)
    assert run.results("getppid") == [1]
    assert run.results("wait4") == [2, 3]


def test_children_of_a_parent_that_ignores_them_are_not_kept() -> None:
    program = Program()
    program.on_signal(SIGCHLD, 1)
    program.fork("child")
    program.wait()
    program.exit()
    program.label("child")
    program.exit()
    assert run_code(program).results("wait4") == [-E.CHILD]


# Threads ----------------------------------------------------------------------------------------


def test_the_last_thread_ends_the_process_and_gives_its_status() -> None:
    program = Program()
    program.thread("thread")
    program.call("exit", 1)
    program.label("thread")
    program.sleep(SLEEP)
    program.call("exit", 5)
    assert run_code(program).exit_code == 5


@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_exit_group_ends_threads_wherever_they_are(cpus: int) -> None:
    program = Program()
    for _ in range(3):
        program.thread("spin")
    program.thread("sleep")
    program.sleep(SLEEP)
    program.exit(4)
    program.label("spin")
    program.spin()
    program.label("sleep")
    program.sleep(10**15)
    assert run_code(program, cpus=cpus, checked=False).exit_code == 4


def test_a_thread_is_joined_by_its_cleared_tid() -> None:
    program = Program()
    word = program.words(99)
    program.thread("thread", 0x50F00 | 0x200000 | 0x100000, word, word)
    program.keep("rbx")
    program.call("futex", word, 0, 2, 0)
    program.dump(word, 4)
    program.exit()
    program.label("thread")
    program.sleep(SLEEP)
    program.call("exit", 0)
    run = run_code(program)
    assert run.results("clone") == [2]
    assert run.results("futex") == [0]
    assert run.output == bytes(4)


@pytest.mark.parametrize("flags", [0x10000, 0x10100, 0x10800, 0x800])
def test_inconsistent_flags_of_clone_are_refused(flags: int) -> None:
    assert run_code(program_of(("clone", flags, 0, 0, 0, 0))).results("clone") == [-E.INVAL]


def test_vfork_lends_its_memory_and_sleeps_until_the_child_is_gone() -> None:
    program = Program()
    cell = program.words(1)
    program.call("vfork")
    program.jump_if_zero("child")
    program.dump(cell, 1)
    program.wait()
    program.exit()
    program.label("child")
    program.sleep(SLEEP)
    program.store(cell, 2)
    program.exit(3)
    run = run_code(program)
    assert run.output == b"\x02"
    assert run.results("vfork") == [0, 2] or run.results("vfork") == [2]


def test_vfork_sleeps_until_the_child_runs_another_program() -> None:
    program = Program()
    program.call("vfork")
    program.jump_if_zero("child")
    program.say(b"parent\n")
    program.wait()
    program.exit()
    program.label("child")
    name = program.put(b"/bin/hello\0")
    program.call("execve", name, program.words(name, 0), 0)
    program.exit(1)
    run = run_code(program)
    assert b"parent\n" in run.output
    assert b"Hello from ring 3." in run.output
    assert run.results("wait4") == [2]


@pytest.mark.parametrize("flags", [0, 0x1000_0000])
def test_a_signal_does_not_end_a_vfork(flags: int) -> None:
    """The child exists already: EINTR would lose it, and a restart would make a second one."""
    program = Program()
    program.on_signal(SIGUSR1, "@handler", flags)
    program.call("vfork")
    program.jump_if_zero("child")
    program.keep("rbx")
    program.wait()
    program.exit()
    program.label("handler")
    program.raw("c3")
    program.label("child")
    program.call("kill", 1, SIGUSR1)
    program.sleep(SLEEP)
    program.exit(0)
    run = run_code(program, turns=100)
    assert run.results("vfork", 1) == [2]
    assert run.results("wait4", 1) == [2]


@pytest.mark.parametrize("call", ["fork", "clone"])
def test_too_many_tasks_are_refused(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(life, "MAX_TASKS", 1)
    assert run_code(program_of((call, 0x50F00, 0, 0, 0, 0))).results(call) == [-E.AGAIN]


# Credentials and permission ---------------------------------------------------------------------


def test_only_root_can_become_another_user() -> None:
    calls = [("setuid", 0), ("setgid", 0), ("setgroups", 0, 0), ("setuid", 1000), ("setgid", 1000)]
    run = run_code(program_of(*calls))
    assert [c.result for c in run.calls] == [-E.PERM, -E.PERM, -E.PERM, 0, 0]


def test_root_gives_its_rights_away_for_good() -> None:
    program = Program()
    groups = program.put(b"\x07\0\0\0\x08\0\0\0")
    for call in (("setgroups", 2, groups), ("setgid", 5), ("setuid", 6), ("setuid", 0)):
        program.call(*call)
    for name in ("getuid", "geteuid", "getgid", "getegid"):
        program.call(name)
    program.call("getgroups", 2, groups)
    program.exit()
    run = run_code(program, user=ROOT_USER)
    assert [c.result for c in run.calls] == [0, 0, 0, -E.PERM, 6, 6, 5, 5, 2]


def test_senseless_credentials_are_refused() -> None:
    program = Program()
    for call in (("setuid", -1), ("setgid", -1), ("setgroups", 65_537, 0), ("setgroups", 1, 0)):
        program.call(*call)
    program.exit()
    run = run_code(program, user=ROOT_USER)
    assert [c.result for c in run.calls] == [-E.INVAL, -E.INVAL, -E.INVAL, -E.FAULT]


def test_too_little_room_for_the_groups() -> None:
    many = Credentials(1000, 1000, (1, 2, 3))
    program = program_of(("getgroups", 0, 0), ("getgroups", 2, 0), ("getgroups", 3, 0))
    assert run_code(program, user=many).results("getgroups") == [3, -E.INVAL, -E.FAULT]


@pytest.mark.parametrize(
    ("sender", "answer"), [(ROOT_USER, 0), (Credentials(1000), 0), (OTHER, -E.PERM)]
)
def test_who_may_send_a_signal(sender: Credentials, answer: int) -> None:
    system = still()
    other = system.kernel.life.clone(system.thread, life.CloneRequest())
    other.process.credentials = sender
    for call in (("kill", 1, 0), ("tgkill", 1, 1, 0), ("kill", 1, SIGTERM)):
        assert system.ask(*call, thread=other) == answer
    assert bool(system.process.pending) == (answer == 0)


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        (("kill", 99, 0), -E.SRCH),
        (("kill", 1, 65), -E.INVAL),
        (("kill", 1, -1), -E.INVAL),
        (("kill", -99, 0), -E.SRCH),
        (("kill", -1, 0), -E.SRCH),
        (("kill", 0, 0), 0),
        (("kill", -1 << 31, 0), -E.SRCH),
        (("tgkill", 1, 99, 0), -E.SRCH),
        (("tgkill", 99, 1, 0), -E.SRCH),
        (("tgkill", 0, 1, 0), -E.INVAL),
        (("tgkill", 1, 1, 65), -E.INVAL),
    ],
)
def test_errors_of_kill(call: tuple[str, int], answer: int) -> None:
    assert run_code(program_of(call)).calls[0].result == answer


def test_a_signal_to_everybody_spares_the_sender_and_the_first_process() -> None:
    program = Program()
    program.fork("sleeper")
    program.fork("sleeper")
    program.fork("killer")
    for _ in range(3):
        program.wait()
    program.exit()
    program.label("sleeper")
    program.sleep(10**15)
    program.label("killer")
    program.sleep(SLEEP)
    program.call("kill", -1, SIGTERM)
    program.exit(0)
    run = run_code(program)
    assert sorted(run.results("wait4")) == [2, 3, 4]
    assert run.status == 0


# Descriptors ------------------------------------------------------------------------------------


def test_descriptors_take_the_lowest_number() -> None:
    run = run_code(program_of(("dup", 1), ("close", 0), ("dup", 1), ("dup", 9), ("close", 9)))
    assert [c.result for c in run.calls] == [3, 0, 0, -E.BADF, -E.BADF]


def test_descriptors_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kernel.task.descriptors.MAX_DESCRIPTORS", 5)
    calls: list[tuple[str | int, ...]] = [("dup", 1), ("dup", 1), ("dup", 1), ("ipc_endpoint",)]
    run = run_code(program_of(*calls, ("close", 3), ("ipc_endpoint",)))
    assert [c.result for c in run.calls] == [3, 4, -E.MFILE, -E.MFILE, 0, 3]


def test_a_child_has_descriptors_of_its_own() -> None:
    program = Program()
    program.fork("child")
    program.wait()
    program.say(b"still open")
    program.exit()
    program.label("child")
    program.call("close", 1)
    program.say(b"closed here")
    program.exit()
    run = run_code(program)
    assert run.output == b"still open"
    assert run.results("write") == [-E.BADF, 10]


# Time and the rest ------------------------------------------------------------------------------


def test_sleeping_takes_as_long_as_asked() -> None:
    program = Program()
    before, after = program.room(16), program.room(16)
    program.call("clock_gettime", 1, before)
    program.sleep(2_500_000_000)
    program.call("clock_gettime", 1, after)
    program.dump(before, 16)
    program.dump(after, 16)
    program.exit()
    output = run_code(program).output
    times = [
        int.from_bytes(output[i : i + 8], "little") * 10**9
        + int.from_bytes(output[i + 8 : i + 16], "little")
        for i in (0, 16)
    ]
    assert 2_500_000_000 <= times[1] - times[0] < 2_501_000_000


def test_an_alarm_that_nobody_waits_for_any_more_does_not_move_the_clock() -> None:
    """A futex with a long timeout is woken early.  Then all threads wait for input."""
    program = Program()
    word, clock = program.words(0), program.room(16)
    program.thread("waker")
    program.call("futex", word, 0, 0, program.words(5000, 0))
    program.call("read", 0, clock, 1)
    program.call("clock_gettime", 1, clock)
    program.dump(clock, 8)
    program.exit()
    program.label("waker")
    program.sleep(SLEEP)
    program.call("futex", word, 1, 1)
    program.call("exit", 0)
    run = run_code(program, source=lambda: b"x")
    assert run.results("futex") == [1, 0]
    assert int.from_bytes(run.output, "little") < 1


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        (("clock_gettime", 99, 0x600000), -E.INVAL),
        (("clock_gettime", 1, 8), -E.FAULT),
        (("nanosleep", 8, 0), -E.FAULT),
        (("getrandom", 0x600000, 9999, 0), 9_999),
        (("getrandom", 0x600000, 8, 4), -E.INVAL),
        (("getrandom", 8, 8, 0), -E.FAULT),
        (("arch_prctl", 99, 0), -E.INVAL),
        (("arch_prctl", 0x1002, 1 << 47), -E.PERM),
        (("arch_prctl", 0x1003, 8), -E.FAULT),
        (("uname", 8), -E.FAULT),
        (("read", 99, 0x600000, 1), -E.BADF),
        (("write", 99, 0x600000, 1), -E.BADF),
        (("write", 1, 8, 1), -E.FAULT),
        (("write", 1, (1 << 64) - 1, 1), -E.FAULT),
        (("write", 1, 0x600000, 0), 0),
        (("read", 0, 8, 1), -E.FAULT),
        (("set_tid_address", 0), 1),
        (("getpid",), 1),
        (("getppid",), 0),
    ],
)
def test_answers_of_small_calls(call: tuple[str | int, ...], answer: int) -> None:
    assert run_code(program_of(call), source=lambda: b"x").calls[0].result == answer


@pytest.mark.parametrize(("seconds", "rest"), [(-1, 0), (0, -1), (0, 10**9)])
def test_an_invalid_time_is_refused(seconds: int, rest: int) -> None:
    program = Program()
    program.call("nanosleep", program.words(seconds, rest), 0)
    program.exit()
    assert run_code(program).results("nanosleep") == [-E.INVAL]


def test_the_input_of_the_console_arrives_in_pieces_and_ends() -> None:
    pieces = [b"abcde", b"", b"never"]
    program = Program()
    at = program.room(16)
    for _ in range(4):
        program.call("read", 0, at, 3)
    program.dump(at, 3)
    program.exit()
    run = run_code(program, source=lambda: pieces.pop(0))
    assert run.results("read") == [3, 2, 0, 0]
    assert run.output == b"dec"


def test_the_forks_of_a_tree_all_end_and_nothing_is_left() -> None:
    run = boot_program("forks", "4", cpus=4, ram=4)
    assert run.output == b"A tree of depth 4 has 31 processes: right\n"


def test_init_has_no_thread_and_keeps_nothing_of_its_children() -> None:
    """Process 1 takes the orphans, no signal reaches it, and with the program all others end."""
    program = Program()
    program.fork("child")
    program.wait()
    program.call("getppid")
    program.call("kill", 1, 9)
    program.call("kill", 1, 0)
    program.call("nanosleep", program.words(0, 50_000_000), 0)
    program.wait()
    program.exit()
    program.label("child")
    program.fork("grandchild")
    program.exit(3)
    program.label("grandchild")
    program.call("nanosleep", program.words(0, 10_000_000), 0)
    program.call("getppid")
    program.fork("sleeper")
    program.exit(7)
    program.label("sleeper")
    program.call("pause")
    system = System(program, init=True, checked=True, user=Credentials())
    run = system.run()
    assert run.exit_code == 0
    assert run.results("getppid") == [1, 1]
    assert run.results("kill") == [0, 0]
    assert run.results("wait4") == [3, -E.CHILD]
    assert list(system.kernel.tasks.processes) == [1]
    assert not system.kernel.tasks.threads
    invariants.check(system.kernel)


@pytest.mark.parametrize("core", [0, 1, 2])
def test_a_thread_learns_its_core_and_the_only_node_of_memory(core: int) -> None:
    """getcpu(2): both are stored, and either may be left out."""
    program = Program()
    numbers = program.words(-1, -1)
    mask = program.words(1 << core)
    program.call("sched_setaffinity", 0, 8, mask)
    program.call("getcpu", numbers, numbers + 4, 0)
    program.call("getcpu", numbers + 8, 0, 0)
    program.call("getcpu", 0, numbers + 12, 0)
    program.call("getcpu", 0, 8, 0)
    program.dump(numbers, 16)
    program.exit()
    run = run_code(program, cpus=3)
    found = [int.from_bytes(run.output[at : at + 4], "little") for at in range(0, 16, 4)]
    assert found == [core, 0, core, 0]
    assert run.results("getcpu") == [0, 0, 0, -E.FAULT]
