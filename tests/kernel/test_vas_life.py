"""What the RFC left open: signals, fork, vfork, exec and exit inside a VAS, stacks, futexes, and
which user is charged for memory that no process uses any more."""

from __future__ import annotations

from itertools import product

import pytest

from kernel import invariants
from kernel.abi.errno import E
from kernel.checkpoint import load, save
from kernel.task.process import BLOCKED
from kernel.vas.listing import listing
from kernel.wait.signals import SIGKILL, SIGSEGV
from tests.kernel.asm import Program
from tests.kernel.system import Run, System
from tests.kernel.vas_world import HERE, OTHER, PAGE, RW, THERE, R, World

EVERY = pytest.mark.parametrize("sync", ["subtree", "forward", "rfc"])
OURS = pytest.mark.parametrize("sync", ["subtree", "forward"])
USR1 = 10


def inside() -> Program:
    """A program that has created VAS 1 and is inside it."""
    program = Program()
    program.call("vas_create", program.put(b"v\0"), 0o600)
    program.call("vas_attach", 0, 1, RW)
    program.call("vas_switch", 1)
    return program


def run(program: Program, sync: str = "subtree", **wishes: object) -> Run:
    return System(program, **{"ram": 8, "checked": True, "sync": sync, **wishes}).run()


def words(run: Run) -> list[int]:
    data = run.output
    return [int.from_bytes(data[i : i + 8], "little", signed=True) for i in range(0, len(data), 8)]


def map_inside(program: Program, at: int, pages: int = 1) -> None:
    program.call("mmap", at, pages * PAGE, 3, 0x32, -1, 0)


# Signals ----------------------------------------------------------------------------------------


@EVERY
def test_a_handler_runs_in_the_view_that_was_interrupted_and_its_return_restores_it(
    sync: str,
) -> None:
    program = Program()
    during, after, back = program.words(-1), program.words(-1), program.words(-1)
    program.on_signal(USR1, "@handler")
    program.call("vas_create", program.put(b"v\0"), 0o600)
    program.call("vas_attach", 0, 1, RW)
    program.call("vas_switch", 1)
    program.call("kill", 1, USR1)
    program.call("active_vas")
    program.store(after)
    for at in (during, back, after):
        program.dump(at, 8)
    program.exit()
    program.label("handler")
    program.call("active_vas")
    program.store(during)
    program.call("vas_switch", 0)
    program.call("active_vas")
    program.store(back)
    program.raw("c3")
    assert words(run(program, sync)) == [1, 0, 1]


def test_a_handler_may_switch_in_and_the_thread_returns_home() -> None:
    program = Program()
    after = program.words(-1)
    program.on_signal(USR1, "@handler")
    program.call("vas_create", program.put(b"v\0"), 0o600)
    program.call("vas_attach", 0, 1, RW)
    program.call("kill", 1, USR1)
    program.call("active_vas")
    program.store(after)
    program.dump(after, 8)
    program.exit()
    program.label("handler")
    program.call("vas_switch", 1)
    program.raw("c3")
    assert words(run(program)) == [0]


def test_the_frame_goes_to_the_stack_that_the_thread_has_even_if_the_vas_owns_it() -> None:
    program = Program()
    program.on_signal(USR1, "@handler")
    program.call("vas_create", program.put(b"v\0"), 0o600)
    program.call("vas_attach", 0, 1, RW)
    program.call("vas_switch", 1)
    map_inside(program, HERE, 4)
    program.move("rsp", HERE + 4 * PAGE)
    program.call("kill", 1, USR1)
    program.say(b"back")
    program.exit()
    program.label("handler")
    program.say(b"handler ")
    program.raw("c3")
    assert run(program).output == b"handler back"


def test_a_handler_that_leaves_the_view_of_its_own_stack_cannot_return() -> None:
    program = Program()
    program.on_signal(USR1, "@handler")
    program.call("vas_create", program.put(b"v\0"), 0o600)
    program.call("vas_attach", 0, 1, RW)
    program.call("vas_switch", 1)
    map_inside(program, HERE, 4)
    program.move("rsp", HERE + 4 * PAGE)
    program.call("kill", 1, USR1)
    program.exit()
    program.label("handler")
    program.call("vas_switch", 0)
    program.raw("c3")
    assert run(program).signal == SIGSEGV


def test_a_return_to_a_detached_vas_kills_the_thread() -> None:
    program = Program()
    program.on_signal(USR1, "@handler")
    program.call("vas_create", program.put(b"v\0"), 0o600)
    program.call("vas_attach", 0, 1, RW)
    program.call("vas_switch", 1)
    program.call("kill", 1, USR1)
    program.exit()
    program.label("handler")
    program.call("vas_switch", 0)
    program.call("vas_detach", 0, 1)
    program.raw("c3")
    assert run(program).signal == SIGSEGV


@EVERY
@pytest.mark.parametrize("ends_inside", [False, True])
def test_a_return_does_not_land_in_another_vas_with_the_same_id(
    sync: str, ends_inside: bool
) -> None:
    """The handler deletes the VAS that was interrupted, and makes one anew: it gets the same id."""
    program = Program()
    name = program.put(b"v\0")
    program.on_signal(USR1, "@handler")
    program.call("vas_create", name, 0o600)
    program.call("vas_attach", 0, 1, RW)
    program.call("vas_switch", 1)
    program.call("kill", 1, USR1)
    program.say(b"landed")
    program.exit()
    program.label("handler")
    program.call("vas_switch", 0)
    program.call("vas_detach", 0, 1)
    program.call("vas_delete", 1)
    program.call("vas_create", name, 0o600)
    program.call("vas_attach", 0, "rax", RW)
    program.call("vas_switch", int(ends_inside))
    program.raw("c3")
    done = run(program, sync)
    assert done.results("vas_create") == [1, 1]
    assert (done.output, done.signal) == (b"", SIGSEGV)


@EVERY
def test_a_return_lands_in_the_same_vas_though_it_was_attached_anew(sync: str) -> None:
    program = Program()
    after = program.words(-1)
    program.on_signal(USR1, "@handler")
    program.call("vas_create", program.put(b"v\0"), 0o600)
    program.call("vas_attach", 0, 1, RW)
    program.call("vas_switch", 1)
    program.call("kill", 1, USR1)
    program.call("active_vas")
    program.store(after)
    program.dump(after, 8)
    program.exit()
    program.label("handler")
    program.call("vas_switch", 0)
    program.call("vas_detach", 0, 1)
    program.call("vas_attach", 0, 1, RW)
    program.raw("c3")
    assert words(run(program, sync)) == [1]


# Fork, vfork, clone ------------------------------------------------------------------------------


@EVERY
def test_a_child_of_fork_with_its_stack_in_the_vas_faults_at_its_first_push(sync: str) -> None:
    """The child has only the memory of the process: the VAS's stack is not mapped."""
    program = inside()
    map_inside(program, HERE)
    program.move("rsp", HERE + PAGE)
    status = program.room(8)
    program.fork("child")
    program.wait(-1, status)
    program.dump(status, 8)
    program.exit()
    program.label("child")
    program.raw("50")  # push rax
    program.exit(0)
    assert words(run(program, sync)) == [SIGSEGV]


@EVERY
def test_a_child_of_fork_whose_code_is_in_the_vas_faults_at_once(sync: str) -> None:
    program = inside()
    status = program.room(8)
    program.call("mmap", HERE, PAGE, 7, 0x32, -1, 0)
    code = bytes.fromhex("b8390000000f05c3")  # mov eax, 57 (fork); syscall; ret
    program.store(HERE, int.from_bytes(code, "little"))
    program.move("rax", HERE)
    program.raw("ffd0")  # call rax: only the parent comes back
    program.wait(-1, status)
    program.dump(status, 8)
    program.exit()
    assert words(run(program, sync)) == [SIGSEGV]


@EVERY
def test_a_child_of_vfork_borrows_the_view(sync: str) -> None:
    program = inside()
    map_inside(program, HERE)
    seen = program.room(8)
    program.call("vfork")
    program.jump_if_zero("child")
    program.dump(seen, 8)
    program.dump(HERE, 1)
    program.exit()
    program.label("child")
    program.call("active_vas")
    program.store(seen)
    program.store_byte(HERE, ord("v"))
    program.call("exit", 0)
    assert run(program, sync).output == (1).to_bytes(8, "little") + b"v"


@EVERY
def test_exec_after_vfork_leaves_the_parents_attachments_alone(sync: str) -> None:
    program = inside()
    program.call("vfork")
    program.jump_if_zero("child")
    program.wait()
    program.call("vas_switch", 0)
    program.call("vas_switch", 1)
    after = program.words(-1)
    program.call("active_vas")
    program.store(after)
    program.dump(after, 8)
    program.exit()
    program.label("child")
    program.call("execve", program.put(b"/bin/touch\0"), program.words(0), 0)
    program.exit(9)
    assert run(program, sync).output[-8:] == (1).to_bytes(8, "little")


# Exit and kill -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ending", "sync"),
    [
        *product(("exit", "kill", "fault"), ("subtree", "forward", "rfc")),
        *product(("oom",), ("subtree", "forward")),  # merging back, as the RFC does, takes memory
    ],
)
def test_a_process_that_ends_inside_leaves_the_vas_usable(ending: str, sync: str) -> None:
    program = Program()
    program.call("vas_create", program.put(b"v\0"), 0o600)
    program.fork("child")
    program.keep("rbx")
    if ending == "kill":
        program.sleep(10**6)
        program.call("kill", "rbx", SIGKILL)
    program.wait("rbx")
    program.call("vas_attach", 0, 1, RW)
    program.call("vas_switch", 1)
    program.dump(HERE, 1)
    program.exit()
    program.label("child")
    program.call("vas_attach", 0, 1, RW)
    program.call("vas_switch", 1)
    map_inside(program, HERE)
    program.store_byte(HERE, ord("m"))
    if sync == "rfc":  # under the RFC, memory goes to the VAS when a thread leaves it and detaches
        program.call("vas_switch", 0)
    if ending == "kill":
        program.spin()
    elif ending == "fault":
        program.load_byte(0x10)
    elif ending == "oom":
        program.call("mmap", THERE, 64 << 20, 3, 0x4032, -1, 0)
        program.move("rdi", THERE)
        program.move("rcx", 64 << 20)
        program.raw("f3aa")  # rep stosb
    program.exit()
    done = run(program, sync, checked=ending != "oom", clock="exact")
    assert (done.status, done.output) == (0, b"m")


def test_memory_mapped_inside_outlives_the_process_and_dies_with_the_vas() -> None:
    world = World()
    child = world.fork()
    vid = world.vas()
    assert world.ask("vas_attach", 0, vid, RW, thread=child) == 0
    assert world.ask("vas_switch", vid, thread=child) == 0
    at = world.map(0, child, flags=0)
    child.space.write(at, b"kept")
    world.kernel.life.exit_process(child.process, 0)
    used = len(world.kernel.memory.frames.used())
    assert world.ask("vas_attach", 0, vid, R) == 0
    assert world.ask("vas_switch", vid) == 0
    assert world.thread.space.read(at, 4) == b"kept"
    assert world.ask("vas_switch", 0) == 0
    assert world.ask("vas_detach", 0, vid) == 0
    assert world.ask("vas_delete", vid) == 0
    assert len(world.kernel.memory.frames.used()) < used
    invariants.check(world.kernel)


# Stacks ------------------------------------------------------------------------------------------


def test_a_thread_with_its_stack_in_the_vas_faults_at_its_first_push_outside() -> None:
    program = inside()
    map_inside(program, HERE)
    program.move("rsp", HERE + PAGE)
    program.raw("50")  # push rax: here it works
    program.say(b"in")
    program.call("vas_switch", 0)
    program.say(b" out")
    program.raw("50")
    done = run(program)
    assert (done.signal, done.output) == (SIGSEGV, b"in out")


def test_a_trampoline_page_in_the_original_avoids_the_fault() -> None:
    """The thread can help itself with a trampoline page, mapped by hand at another address."""
    program = inside()
    map_inside(program, HERE)
    program.move("rsp", HERE + PAGE)
    program.raw("50")
    spare = program.room(64) + 64
    program.move("r12", "rsp")
    program.move("rsp", spare)
    program.call("vas_switch", 0)
    program.raw("50 58")
    program.call("vas_switch", 1)
    program.move("rsp", "r12")
    program.raw("58")
    program.exit(3)
    assert run(program).exit_code == 3


@OURS
def test_two_tasks_with_their_stacks_at_one_place_share_a_vas(sync: str) -> None:
    """Each view shows the stack of its own process.  A segment there would be a conflict."""
    world = World(sync=sync)
    vid, sid = world.vas(), world.segment("top", 0x7FFF_FFFF_D000, 1)
    child = world.fork()
    stack = 0x7FFF_FFFF_DF00
    for thread, word in ((world.thread, b"mine"), (child, b"ours")):
        assert world.ask("vas_attach", 0, vid, R, thread=thread) == 0
        assert world.ask("vas_switch", vid, thread=thread) == 0
        thread.space.write(stack, word)
    assert (world.thread.space.read(stack, 4), child.space.read(stack, 4)) == (b"mine", b"ours")
    other = world.vas("other")
    assert world.ask("vas_seg_attach", other, sid, R) == 0
    assert world.ask("vas_attach", 0, other, R) == -E.FAULT
    assert "[stack]" in world.kernel.log.messages[-1]
    assert "[segment top]" in world.kernel.log.messages[-1]
    invariants.check(world.kernel)


def test_a_stack_does_not_grow_into_what_a_view_shows() -> None:
    world = World()
    vid = world.vas()
    stack = next(r for r in world.thread.space.map if r.name == "[stack]")
    sid = world.segment("near", stack.start - 32 * PAGE, 1)
    assert world.ask("vas_seg_attach", vid, sid, RW) == 0
    assert world.ask("vas_attach", 0, vid, RW) == 0
    assert world.thread.space.fault(stack.start - PAGE, 6)
    assert not world.thread.space.fault(stack.start - 20 * PAGE, 6), "sixteen pages stay between"
    invariants.check(world.kernel)


# Futexes -----------------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("cpus", [1, 2])
def test_a_futex_in_a_segment_is_one_across_processes_and_views(cpus: int, sync: str) -> None:
    """The parent sleeps in its own space, which also shows it.  The child wakes it from inside."""
    program = Program()
    program.call("vas_seg_create", program.put(b"s\0"), HERE, HERE + PAGE, 0o600)
    program.call("vas_create", program.put(b"v\0"), 0o600)
    program.call("vas_seg_attach", 1, 1, RW)
    program.fork("child")
    program.call("vas_seg_attach", 0, 1, RW)
    program.call("futex", HERE, 0, 0, 0)
    program.dump(HERE, 1)
    program.exit()
    program.label("child")
    program.sleep(10**6)
    program.call("vas_attach", 0, 1, RW)
    program.call("vas_switch", 1)
    program.store_byte(HERE, ord("w"))
    program.label("again")
    program.call("futex", HERE, 1, 1)
    program.jump_if_zero("again")
    program.exit()
    done = run(program, sync, cpus=cpus, sharing="switch")
    assert (done.status, done.output) == (0, b"w")


# Charges -----------------------------------------------------------------------------------------


def test_an_orphan_hog_ends_in_enomem_and_others_go_on() -> None:
    world = World(ram=8, vas_limit=1)
    account = world.kernel.vases.account(1000)
    made = 0
    while True:
        sid = world.segment(f"s{made}", HERE + made * 16 * PAGE, 16)
        if sid < 0:
            break
        made += 1
        assert world.ask("vas_seg_attach", 0, sid, RW) == 0
        for page in range(16):
            at = HERE + (made - 1) * 16 * PAGE + page * PAGE
            if account.charged < 256:
                world.thread.space.write(at, b"x")
        assert world.ask("vas_seg_detach", 0, sid) == 0
    assert (sid, made, account.charged) == (-E.NOMEM, 16, 256)
    child = world.fork(OTHER)
    assert world.segment("other", THERE, thread=child) == 17
    world.kernel.life.exit_process(child.process, 0)
    assert world.ask("vas_seg_delete", 3) == 0
    assert world.segment("again", THERE) == 3
    assert account.charged == 240
    orphans = [s for s in listing(world.kernel.vases)["segments"] if s["orphan"]]
    assert len(orphans) == 17
    invariants.check(world.kernel)


def test_a_user_cannot_take_all_ids_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kernel.vas.vases.MAX_OWNED", 4)
    world = World()
    vid, sids = world.vas("v"), [world.segment(f"s{i}", HERE) for i in range(3)]
    assert (vid, sids) == (1, [1, 2, 3])
    assert world.segment("one more", HERE) == world.vas("one more") == -E.NOMEM
    other = world.fork(OTHER)
    assert world.segment("other", HERE, thread=other) == 4
    world.kernel.vases.give(world.kernel.vases.segments[2], OTHER.uid)
    assert world.segment("one more", HERE) == 5
    assert world.ask("vas_delete", vid) == 0
    assert world.vas("one more") == 1
    assert world.vas("and another") == -E.NOMEM
    invariants.check(world.kernel)


def test_a_touch_beyond_the_limit_kills_like_a_lack_of_memory() -> None:
    program = inside()
    map_inside(program, HERE, 600)
    program.move("rdi", HERE)
    program.move("rcx", 600 * PAGE)
    program.raw("f3aa")
    done = run(program, checked=False, vas_limit=1)
    assert done.signal == SIGKILL
    assert any(b"out of memory" in line for line in done.logs)


def test_root_gives_a_vas_away_and_the_new_owner_pays() -> None:
    world = World()
    vid = world.inside()
    at = world.map(HERE)
    world.thread.space.write(at, b"x")
    before = world.kernel.vases.account(1000).charged
    world.kernel.vases.give(world.kernel.vases.vases[vid], 1002)
    assert world.kernel.vases.account(1000).charged == 0
    assert world.kernel.vases.account(1002).charged == before
    invariants.check(world.kernel)


# SpaceJMP's --------------------------------------------------------------------------------------


def test_a_clone_of_a_vas_has_its_segments_and_a_copy_of_its_memory() -> None:
    world = World()
    vid, sid = world.vas(), world.segment()
    assert world.ask("vas_seg_attach", vid, sid, R) == 0
    assert world.ask("vas_attach", 0, vid, RW) == 0
    assert world.ask("vas_switch", vid) == 0
    at = world.map(THERE)
    world.thread.space.write(at, b"first")
    twin = world.ask("vas_clone", vid, world.text("twin"), 0o600)
    world.thread.space.write(at, b"later")
    assert world.ask("vas_attach", 0, twin, RW) == 0
    assert world.ask("vas_switch", twin) == 0
    assert world.thread.space.read(at, 5) == b"first"
    assert world.thread.space.read(HERE, 1) == b"\0", "the segment is there"
    assert world.ask("vas_switch", vid) == 0
    assert world.thread.space.read(at, 5) == b"later"
    invariants.check(world.kernel)


def test_a_clone_of_a_segment_is_a_copy_at_the_same_place() -> None:
    world = World()
    sid = world.segment()
    assert world.ask("vas_seg_attach", 0, sid, RW) == 0
    world.thread.space.write(HERE + PAGE, b"first")
    twin = world.ask("vas_seg_clone", sid, world.text("twin"), 0o600)
    world.thread.space.write(HERE + PAGE, b"later")
    assert world.ask("vas_seg_detach", 0, sid) == 0
    assert world.ask("vas_seg_attach", 0, twin, RW) == 0
    assert world.thread.space.read(HERE + PAGE, 5) == b"first"
    invariants.check(world.kernel)


@OURS
def test_a_private_segment_is_seen_by_one_process_only(sync: str) -> None:
    world = World(sync=sync)
    vid, sid, child = world.vas(), world.segment(), world.fork()
    for thread in (world.thread, child):
        assert world.ask("vas_attach", 0, vid, R, thread=thread) == 0
        assert world.ask("vas_switch", vid, thread=thread) == 0
    assert world.ask("vas_local_attach", vid, sid, RW) == 0
    world.thread.space.write(HERE, b"mine")
    assert child.space.map.find(HERE) is None
    assert world.map(HERE) == -E.ACCES
    assert world.ask("munmap", HERE, PAGE) == -E.PERM
    assert world.ask("vas_local_detach", vid, sid) == 0
    assert world.thread.space.map.find(HERE) is None
    invariants.check(world.kernel)


# Everything at once ------------------------------------------------------------------------------


@pytest.mark.parametrize("sync", ["subtree", "forward", "rfc"])
def test_a_checkpoint_holds_vases_and_attachments(sync: str) -> None:
    world = World(sync=sync, sharing="switch", watched=False)
    vid, sid = world.vas(), world.segment()
    assert world.ask("vas_seg_ctl", sid, 1, 1) == 0
    assert world.ask("vas_seg_attach", vid, sid, RW) == 0
    assert world.ask("vas_attach", 0, vid, RW) == 0
    other = world.clone()
    assert world.ask("vas_switch", vid, thread=other) == 0
    other.space.write(HERE, b"there")
    twin = load(save(world.kernel), lambda _: None)
    invariants.check(twin)
    assert listing(twin.vases) == listing(world.kernel.vases)
    thread = twin.tasks.threads[other.tid]
    assert thread.space.read(HERE, 5) == b"there"
    assert twin.vases.segments[sid].holders == {other.tid: True}
    twin.vases.switch(thread, 0)
    assert thread.space is twin.tasks.processes[1].space
    invariants.check(twin)


def test_nothing_is_left_when_the_process_and_its_vas_are_gone() -> None:
    program = inside()
    map_inside(program, HERE)
    program.store_byte(HERE, 1)
    program.call("vas_switch", 0)
    program.call("vas_detach", 0, 1)
    program.call("vas_delete", 1)
    program.exit()
    system = System(program, ram=4, checked=True)
    system.run()
    kernel = system.kernel
    files = sum(len(made.pages) for made in invariants.live_objects(kernel).values())
    assert len(kernel.memory.frames.used()) == kernel.machine.first_free_frame + 1 + files
    assert not kernel.vases.holdings
    assert not any(account.charged for account in kernel.vases.accounts.values())
    assert not [t for t in kernel.tasks.threads.values() if t.state == BLOCKED]
