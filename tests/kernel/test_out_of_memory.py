"""With too little memory a program gets an errno or SIGKILL.  Nothing breaks, nothing leaks."""

from __future__ import annotations

import pytest

from kernel import invariants, turns
from kernel.abi.errno import E, KernelError
from kernel.boot import spawn
from kernel.task.credentials import Credentials
from kernel.task.process import Process
from tests.kernel.asm import Program
from tests.kernel.system import BUILT_IN, Run, System, still

PAGE, HERE = 4096, 0x10_0000_0000
PRIVATE, FIXED, ANON, RW = 2, 0x10, 0x20, 3


def toucher() -> Program:
    """Maps, touches, forks, touches in both processes, executes, waits: every use of frames."""
    program = Program()
    program.call("mmap", HERE, 8 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0)
    for page in range(3):
        program.store_byte(HERE + page * PAGE, 1)
    program.call("brk", 0)
    program.keep("rbx")
    program.raw("4881c300200000")  # add rbx, 8192
    program.call("brk", "rbx")
    program.fork("child")
    program.store_byte(HERE, 2)
    program.wait()
    program.exit()
    program.label("child")
    for page in range(8):
        program.store_byte(HERE + page * PAGE, 3)
    name = program.put(b"/bin/pie\0")
    program.call("execve", name, program.words(name, 0), 0)
    program.exit(1)
    return program


def starve(system: System, frames_left: int) -> list[int]:
    """Take all but a few frames out of circulation; returns them."""
    table = system.kernel.memory.frames
    taken = table.free[:-frames_left] if frames_left else list(table.free)
    del table.free[: len(taken)]
    for pfn in taken:
        table.refs[pfn], table.owners[pfn] = 1, 1
    return taken


def give_back(system: System, taken: list[int]) -> None:
    table = system.kernel.memory.frames
    for pfn in taken:
        table.refs[pfn], table.owners[pfn] = 0, 0
    table.free[:0] = taken


def run_starved(frames_left: int, cpus: int) -> Run:
    system = System(toucher(), ram=1, cpus=cpus)
    taken = starve(system, frames_left)

    def check(kernel: object) -> None:
        give_back(system, taken)
        invariants.check(system.kernel)
        assert starve(system, len(system.kernel.memory.frames.free) - len(taken)) == taken

    system.kernel.after_trap = check
    run = system.run()
    give_back(system, taken)
    invariants.check(system.kernel)
    files = sum(len(o.pages) for o in invariants.live_objects(system.kernel).values())
    assert (
        len(system.kernel.memory.frames.used())
        == system.kernel.machine.first_free_frame + 1 + files
    )
    return run


@pytest.mark.parametrize("cpus", [1, 2])
def test_a_run_ends_in_order_with_any_amount_of_memory(cpus: int) -> None:
    """With n frames, for every n until the program succeeds: an errno or SIGKILL, no harm."""
    ends = []
    for frames_left in range(70):
        run = run_starved(frames_left, cpus)
        ends.append(run.status)
        if run.status == 0 and b"pointers in data work" in run.output:
            break
        assert run.status in (0, 9), frames_left
        assert all(r in (-E.NOMEM, 2) for r in run.results("fork")), frames_left
    else:
        raise AssertionError("the program never had enough")
    assert 9 in ends
    assert ends[-1] == 0


def try_to_spawn(system: System, image: bytes) -> tuple[Process | None, int]:
    """The process, or the error number."""
    try:
        return spawn(system.kernel, image, [b"it"], [], Credentials()), 0
    except KernelError as error:
        return None, error.number


@pytest.mark.parametrize("name", ["hello", "pie"])
def test_a_spawn_without_memory_fails_and_gives_everything_back(name: str) -> None:
    system = still(ram=1)
    kernel = system.kernel
    image = next(data for path, data in BUILT_IN.items() if path == b"/bin/" + name.encode())
    for frames_left in range(60):
        taken = starve(system, frames_left)
        process, answer = try_to_spawn(system, image)
        give_back(system, taken)
        invariants.check(kernel)
        assert answer in (0, E.NOMEM)
        if process is not None:
            kernel.life.exit_process(process, 0)
            invariants.check(kernel)
            return
    raise AssertionError("there never was enough")


def hog(child_pages: int, parent_pages: int) -> Program:
    """A child takes memory and sleeps for ever; then its parent takes some, and waits for it."""
    program = Program()
    program.call("mmap", HERE, 512 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0)
    program.fork("child")
    program.call("nanosleep", program.words(1, 0), 0)
    for page in range(parent_pages):
        program.store_byte(HERE + page * PAGE, 1)
    program.wait()
    program.exit()
    program.label("child")
    for page in range(child_pages):
        program.store_byte(HERE + page * PAGE, 2)
    program.call("pause")
    return program


@pytest.mark.parametrize("cpus", [1, 2])
@pytest.mark.parametrize(("pages", "chosen"), [((150, 80), 2), ((20, 200), 1)])
def test_the_process_with_the_most_memory_ends_not_the_one_that_asks(
    pages: tuple[int, int], chosen: int, cpus: int
) -> None:
    system = System(hog(*pages), ram=1, cpus=cpus)
    taken = starve(system, 215)
    run = system.run()
    give_back(system, taken)
    (said,) = [log.decode() for log in run.logs if b"out of memory" in log]
    assert said.startswith(f"out of memory: process {chosen} (test) is killed: it has the most")
    assert said.endswith("process 1 (test) asked for a page")
    assert run.status == (0 if chosen == 2 else 9)


def test_a_process_may_ask_to_be_spared() -> None:
    """oom_score_adj of -1000 (proc(5)): the parent that asks for the page ends instead."""
    system = System(hog(150, 80), ram=1)
    taken = starve(system, 215)
    turns.run(system.kernel, lambda: 2 in system.kernel.tasks.processes)
    system.kernel.tasks.processes[2].oom_score_adj = -1000
    assert system.run().status == 9
    give_back(system, taken)


def test_a_deadlock_tells_who_waits_for_what_and_who_was_killed() -> None:
    program = Program()
    program.call("pipe", program.put(bytes(8)))
    program.fork("child")
    program.wait()
    program.call("read", 3, program.put(bytes(8)), 1)
    program.exit()
    program.label("child")
    program.store_byte(0x10, 1)
    with pytest.raises(turns.Deadlock) as told:
        System(program).run()
    assert str(told.value) == (
        "every thread waits and nothing can wake one: thread 1 of process 1 (test) waits in read "
        "for file 2 of pipes. Killed before: process 2 (test) by SIGSEGV"
    )
