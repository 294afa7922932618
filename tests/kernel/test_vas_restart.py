"""vas_fork and vas_exec: what a checkpoint keeps of a process, whose it is, and who may use it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from hw import contexts
from hw.engine import GENERAL_REGISTERS
from kernel.abi.errno import E
from kernel.vas.listing import of_vas
from kernel.vas.vases import SYNCS
from tests.kernel.clinic import Clinic, byte, pipe
from tests.kernel.vas_world import (
    FIXED,
    GROUP,
    HERE,
    OTHER,
    OWNER,
    PAGE,
    PRIVATE_ANON,
    ROOT,
    RW,
    RW_PROT,
    THERE,
    R,
    W,
)

SHARED_ANON, DONTFORK, READ_ONLY = 0x21, 10, 1
SIGUSR1, SIGUSR2, SIGKILL = 10, 12, 9
NANOSLEEP, PIPE_BYTES = 35, b"on their way"
EVERY_SYNC = pytest.mark.parametrize("sync", SYNCS)


# Who may, and what it is ------------------------------------------------------------------------


def test_a_checkpoint_is_a_vas_with_a_name_an_owner_and_a_kind() -> None:
    clinic = Clinic()
    first, second = clinic.frozen(), clinic.frozen()
    pid = clinic.process.pid
    vas = clinic.kernel.vases.vases[first]
    assert (vas.name, vas.mode, vas.user, vas.group) == (b"ckpt.%d.1" % pid, 0o600, 1000, 100)
    assert clinic.kernel.vases.vases[second].name == b"ckpt.%d.2" % pid
    assert of_vas(vas)["kind"] == "checkpoint"
    assert clinic.ask("vas_delete", first) == 0
    assert clinic.kernel.vases.vases[clinic.frozen()].name == b"ckpt.%d.1" % pid
    clinic.settle()


def test_errors_of_vas_fork_come_in_order() -> None:
    clinic = Clinic()
    assert clinic.ask("vas_fork", -1) == -E.INVAL
    assert clinic.ask("vas_fork", 99) == -E.SRCH
    clinic.other.process.credentials = OTHER
    assert clinic.freeze() == -E.ACCES
    clinic.other.process.credentials = ROOT
    vid = clinic.frozen()
    assert clinic.kernel.vases.vases[vid].user == OWNER.uid, "its owner is who it was"
    child = clinic.fork()
    assert clinic.freeze() == -E.BUSY
    clinic.kernel.life.exit_process(child.process, 0)
    assert clinic.freeze() == -E.BUSY, "a zombie is a child"
    assert clinic.ask("wait4", -1, 0, 0, 0) == child.pid
    assert clinic.frozen() > 0
    assert any("children" in text for text in clinic.kernel.log.messages)


def test_errors_of_vas_exec_come_in_order() -> None:
    clinic = Clinic()
    vid, plain = clinic.frozen(), clinic.vas("plain")
    assert clinic.ask("vas_exec", -1, vid) == -E.INVAL
    assert clinic.ask("vas_exec", 0, -1) == -E.INVAL
    assert clinic.ask("vas_exec", 99, vid) == -E.SRCH
    assert clinic.revive(plain) == -E.INVAL
    assert clinic.revive(77) == -E.INVAL
    clinic.other.process.credentials = OTHER
    assert clinic.revive(vid) == -E.ACCES, "another user's process"
    assert clinic.ask("vas_exec", 0, vid, thread=clinic.other) == -E.ACCES, "his checkpoint"
    clinic.other.killed = True
    clinic.other.process.credentials = OWNER
    assert clinic.revive(vid) == -E.SRCH, "it is about to end"
    clinic.other.killed = False
    assert clinic.revive(vid) == 0


def test_a_group_that_may_read_it_may_restart_it() -> None:
    clinic = Clinic()
    vid = clinic.frozen()
    clinic.other.process.credentials = GROUP
    assert clinic.ask("vas_exec", 0, vid, thread=clinic.other) == -E.ACCES
    clinic.kernel.vases.vases[vid].mode = 0o640
    process = clinic.become(clinic.other, vid)
    assert process.credentials == GROUP, "a user stays who he is"
    clinic.settle()


def test_root_restarts_a_program_as_who_it_was() -> None:
    clinic = Clinic()
    vid = clinic.frozen()
    clinic.other.process.credentials = clinic.process.credentials = ROOT
    assert clinic.revived(vid).credentials == OWNER


def test_a_checkpoint_is_read_and_not_changed() -> None:
    clinic = Clinic()
    clinic.process.space.write(clinic.page, b"x")
    vid = clinic.frozen()
    for thread in (clinic.thread, clinic.other):
        assert clinic.ask("vas_attach", 0, vid, RW, thread=thread) == -E.ACCES
        assert clinic.ask("vas_attach", 0, vid, W, thread=thread) == -E.ACCES
    assert clinic.ask("vas_attach", 0, vid, R) == -E.FAULT, "its own memory is in the way"
    sid = clinic.segment("s", THERE)
    assert clinic.ask("vas_seg_attach", vid, sid, RW) == -E.BUSY
    space = clinic.other.process.space
    for region in list(space.map):
        space.remove(region.start, region.end)
    assert clinic.ask("vas_attach", 0, vid, R, thread=clinic.other) == 0
    assert clinic.ask("vas_switch", vid, thread=clinic.other) == 0
    assert clinic.other.space.read(clinic.page, 1) == b"x"
    assert not clinic.other.space.fault(clinic.page, 7), "a store"
    assert clinic.ask("mmap", 0, PAGE, RW_PROT, PRIVATE_ANON, -1, 0, thread=clinic.other) == -13
    assert clinic.ask("vas_delete", vid) == -E.BUSY
    clinic.settle()


@EVERY_SYNC
def test_what_a_reader_maps_does_not_come_into_the_checkpoint(sync: str) -> None:
    clinic = Clinic(sync=sync)
    vid = clinic.frozen()
    before = [(region.start, region.end) for region in clinic.kernel.vases.vases[vid].space.map]
    space = clinic.other.process.space
    for region in list(space.map):
        space.remove(region.start, region.end)
    assert clinic.ask("vas_attach", 0, vid, R, thread=clinic.other) == 0
    assert clinic.ask("vas_switch", vid, thread=clinic.other) == 0
    clinic.ask("mmap", THERE, PAGE, RW_PROT, PRIVATE_ANON | FIXED, -1, 0, thread=clinic.other)
    assert clinic.ask("vas_switch", 0, thread=clinic.other) in (0, -E.FAULT)
    clinic.kernel.vases.leave(clinic.other)
    clinic.ask("vas_detach", 0, vid, thread=clinic.other)
    after = [(region.start, region.end) for region in clinic.kernel.vases.vases[vid].space.map]
    assert after == before


def test_a_clone_of_it_is_an_ordinary_vas() -> None:
    clinic = Clinic()
    vid = clinic.frozen()
    twin = clinic.ask("vas_clone", vid, clinic.text("twin"), 0o600)
    assert clinic.kernel.vases.vases[twin].image is None
    assert clinic.revive(twin) == -E.INVAL
    clinic.settle()


# Memory -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("eager", [False, True])
def test_private_memory_is_what_it_was_in_every_restart(eager: bool) -> None:
    clinic = Clinic(eager=eager)
    clinic.process.space.write(clinic.page, b"a")
    vid = clinic.frozen()
    clinic.process.space.write(clinic.page, b"b")
    revived = clinic.revived(vid)
    assert byte(revived, clinic.page) == b"a"
    assert byte(clinic.process, clinic.page) == b"b", "the process goes on undisturbed"
    revived.space.write(clinic.page, b"c")
    assert byte(clinic.revived(vid), clinic.page) == b"a"
    clinic.settle()


def test_a_checkpoint_copies_no_page_and_its_owner_pays_for_each() -> None:
    clinic = Clinic()
    at = clinic.ask("mmap", 0, 50 * PAGE, RW_PROT, PRIVATE_ANON, -1, 0)
    clinic.process.space.write(at, bytes(range(256)) * 16 * 50)
    free = len(clinic.kernel.memory.frames.free)
    vid = clinic.frozen()
    assert free - len(clinic.kernel.memory.frames.free) < 10, "tables, and no copies"
    account = clinic.kernel.vases.accounts[OWNER.uid]
    assert account.charged >= 50
    clinic.settle()
    assert clinic.ask("vas_delete", vid) == 0
    assert account.charged == 0
    assert len(clinic.kernel.memory.frames.free) == free


def test_past_the_owners_limit_there_is_no_checkpoint_and_nothing_is_left() -> None:
    clinic = Clinic(vas_limit=0)
    clinic.kernel.vases.limit_frames = 20
    at = clinic.ask("mmap", 0, 30 * PAGE, RW_PROT, PRIVATE_ANON, -1, 0)
    clinic.process.space.write(at, bytes(30 * PAGE))
    free = len(clinic.kernel.memory.frames.free)
    assert clinic.freeze() == -E.NOMEM
    assert not clinic.kernel.vases.vases
    assert len(clinic.kernel.memory.frames.free) == free
    clinic.process.space.write(at, b"still mine")
    clinic.settle()


def test_without_frames_for_a_restart_both_processes_stay_what_they_were() -> None:
    clinic = Clinic()
    clinic.process.space.write(clinic.page, b"a")
    vid, before = clinic.frozen(), clinic.other.process.space
    frames = clinic.kernel.memory.frames
    kept, frames.free = frames.free, []
    assert clinic.revive(vid) == -E.NOMEM
    frames.free = kept
    assert clinic.other.process.space is before
    clinic.settle()


def test_shared_memory_without_a_name_is_copied_for_each_restart() -> None:
    clinic = Clinic()
    at = clinic.ask("mmap", 0, 2 * PAGE, RW_PROT, SHARED_ANON, -1, 0)
    clinic.process.space.write(at, b"a")
    vid = clinic.frozen()
    clinic.process.space.write(at, b"b")
    one = clinic.revived(vid)
    assert byte(one, at) == b"a"
    one.space.write(at, b"c")
    child = clinic.fork(thread=clinic.other)
    child.space.write(at, b"d")
    assert byte(one, at) == b"d", "it is shared with children"
    assert byte(clinic.process, at) == b"b"
    clinic.other = clinic.stranger()
    assert byte(clinic.revived(vid), at) == b"a"
    clinic.settle()


def test_a_file_that_is_mapped_is_the_file_itself() -> None:
    clinic = Clinic(user=ROOT)
    fd = clinic.ask("open", clinic.text("/bytes"), RW, 0)
    at = clinic.ask("mmap", 0, PAGE, RW_PROT, 1, fd, 0)
    own = clinic.ask("mmap", 0, PAGE, RW_PROT, 2, fd, 0)
    clinic.process.space.write(own, b"z")
    vid = clinic.frozen()
    clinic.process.space.write(at, b"!")
    mapped = [(f.path, f.shared) for f in clinic.image(vid).memory.files]
    assert (b"/bytes", True) in mapped
    assert (b"/bytes", False) in mapped
    process = clinic.revived(vid)
    assert (byte(process, at), byte(process, own)) == (b"!", b"z")
    clinic.settle()


def test_regions_have_their_rights_advice_and_places() -> None:
    clinic = Clinic()
    at = clinic.ask("mmap", HERE, 4 * PAGE, RW_PROT, PRIVATE_ANON | FIXED, -1, 0)
    assert clinic.ask("mprotect", at + PAGE, PAGE, READ_ONLY) == 0
    assert clinic.ask("madvise", at + 2 * PAGE, PAGE, DONTFORK) == 0
    clinic.process.space.write(at + 2 * PAGE, b"k")
    grown = clinic.ask("brk", clinic.ask("brk", 0) + 3 * PAGE)
    shown = [(r.start, r.end, r.prot, r.name, r.floor) for r in clinic.process.space.map]
    process = clinic.revived()
    assert [(r.start, r.end, r.prot, r.name, r.floor) for r in process.space.map] == shown
    assert byte(process, at + 2 * PAGE) == b"k"
    assert clinic.ask("brk", 0, thread=process.threads[0]) == grown
    assert process.space.auxiliary == clinic.process.space.auxiliary


# A thread ---------------------------------------------------------------------------------------


def test_registers_go_through_a_context_and_out_again() -> None:
    clinic = Clinic()
    core = clinic.kernel.machine.core
    registers = {name: 0x1111_0000 + i for i, name in enumerate(GENERAL_REGISTERS)}
    registers |= {"eflags": 0x247, "fs_base": 0x7000_1000, "gs_base": 0x7000_2000}
    image = bytearray(core.fpu_image())
    image[160:416] = bytes(range(256))
    image[32:42] = (1 << 63 | 5).to_bytes(8, "little") + (0x4001).to_bytes(2, "little")
    before = core.registers()
    context = contexts.compose(core, registers, bytes(image))
    told, fpu = contexts.describe(core, context, registers["rip"])
    assert (told, fpu) == (registers, bytes(image))
    assert core.registers() == before, "the core has its own again"


def test_signals_are_handled_blocked_and_pending_as_before() -> None:
    clinic = Clinic()
    thread = clinic.thread
    at = clinic.put((0x1234).to_bytes(8, "little") + bytes(24))
    assert clinic.ask("rt_sigaction", SIGUSR1, at, 0, 8) == 0
    assert (
        clinic.ask("rt_sigprocmask", 0, clinic.put((1 << SIGUSR2 - 1).to_bytes(8, "little")), 0, 8)
        == 0
    )
    assert clinic.ask("tkill", thread.tid, SIGUSR2) == 0
    assert clinic.ask("kill", thread.pid, SIGUSR2) == 0
    process = clinic.revived()
    revived = process.threads[0]
    assert process.actions == clinic.process.actions
    assert revived.mask == thread.mask == 1 << SIGUSR2 - 1
    assert [s.number for s in revived.pending] == [SIGUSR2]
    assert [s.number for s in process.pending] == [SIGUSR2]


def test_a_thread_that_sleeps_has_the_rest_of_its_sleep_left() -> None:
    clinic = Clinic()
    thread, tasks = clinic.thread, clinic.kernel.tasks
    duration = clinic.put((3).to_bytes(8, "little") + bytes(8))
    thread.call_number, thread.call_arguments = NANOSLEEP, (duration, 0, 0, 0, 0, 0)
    clinic.kernel.alarms.wake(thread, tasks.now() + 1000)
    clinic.kernel.machine.core.state.cycles += 400
    call = clinic.image(clinic.frozen()).threads[0].call
    assert call is not None
    assert call.number == NANOSLEEP
    assert call.deadline_left is not None
    assert 400 < call.deadline_left <= 600, "but for what the checkpoint itself takes"
    clinic.kernel.machine.core.state.cycles += 5000
    revived = clinic.revived(1).threads[0]
    assert revived.call is not None
    assert revived.call.deadline is not None
    assert 0 <= tasks.now() + call.deadline_left - revived.call.deadline < 200
    thread.call = revived.call = None


def test_timers_have_the_time_left_that_they_had() -> None:
    clinic = Clinic()
    second = (1).to_bytes(8, "little") + bytes(8)
    assert clinic.ask("setitimer", 0, clinic.put(second + second), 0) == 0
    vid = clinic.frozen()
    left = clinic.image(vid).timers[0].left
    assert left is not None
    clinic.kernel.machine.core.state.cycles += 10**6
    timer = clinic.revived(vid).timers[-3]
    assert timer.deadline is not None
    assert 0 <= clinic.kernel.tasks.now() + left - timer.deadline < 200
    assert timer.interval == clinic.process.timers[-3].interval


def test_all_threads_go_on_and_know_themselves_by_their_old_ids() -> None:
    clinic = Clinic()
    second = clinic.clone()
    clinic.thread.name, second.name = "first", "second"
    second.robust_list, second.clear_tid_address = 0x10, 0x20
    process = clinic.revived()
    one, two = process.threads
    assert (one.tid, one.name, two.name) == (process.pid, "first", "second")
    assert (two.robust_list, two.clear_tid_address) == (0x10, 0x20)
    assert clinic.ask("getpid", thread=two) == clinic.process.pid
    assert clinic.ask("gettid", thread=one) == clinic.thread.tid
    assert clinic.ask("gettid", thread=two) == second.tid
    assert clinic.ask("tkill", second.tid, SIGUSR1, thread=one) == 0
    assert [s.number for s in two.pending] == [SIGUSR1]
    assert not second.pending, "it was not the process of before that got the signal"
    two.robust_list = two.clear_tid_address = 0
    second.robust_list = second.clear_tid_address = 0
    child = clinic.fork(thread=one)
    assert clinic.ask("getppid", thread=child) == clinic.process.pid
    assert clinic.ask("getpid", thread=child) == child.pid


def test_a_restarted_process_can_be_frozen_and_restarted() -> None:
    clinic = Clinic()
    clinic.process.space.write(clinic.page, b"q")
    process = clinic.revived()
    again = clinic.ask("vas_fork", process.pid)
    assert clinic.image(again).id == clinic.process.pid, "the id that the program knows"
    clinic.other = clinic.stranger()
    last = clinic.revived(again)
    assert clinic.ask("getpid", thread=last.threads[0]) == clinic.process.pid
    assert byte(last, clinic.page) == b"q"


def test_the_callers_own_checkpoint_sees_0() -> None:
    clinic = Clinic()
    vid = clinic.ask("vas_fork", 0)
    assert vid > 0
    thread = clinic.image(vid).threads[0]
    assert thread.registers["rax"] == 0
    assert thread.registers["rip"] == clinic.thread.rip + 2
    assert thread.call is None


# What a process has besides ---------------------------------------------------------------------


def test_who_a_process_is_stays_and_what_its_program_has_comes() -> None:
    clinic = Clinic()
    mine, process = clinic.process, clinic.other.process
    assert clinic.ask("umask", 0o027) == 0o022
    assert clinic.ask("chdir", clinic.text("/tmp")) == 0
    mine.limits[3] = (1 << 20, 1 << 20)
    mine.personality, mine.name, mine.gains_nothing = 0x40000, "program", True
    kept = (process.pid, process.parent, process.group, process.session)
    assert clinic.revived() is process
    assert (process.pid, process.parent, process.group, process.session) == kept
    assert (process.name, process.personality, process.gains_nothing) == ("program", 0x40000, True)
    assert process.surroundings.umask == 0o027
    assert process.cwd.badge == mine.cwd.badge
    assert process.limits[3] == (1 << 20, 1 << 20)


def test_nobody_but_root_rises_by_a_restart() -> None:
    clinic = Clinic()
    vid = clinic.frozen()
    clinic.other.process.limits[6] = (5, 5)
    clinic.other.scheduling = dataclasses.replace(clinic.other.scheduling, nice=7)
    process = clinic.revived(vid)
    assert process.limits[6] == (5, 5)
    assert process.threads[0].scheduling.nice == 7


def test_files_have_their_offsets_flags_and_numbers() -> None:
    clinic = Clinic()
    fd = clinic.open_bytes()
    twin = clinic.ask("dup", fd)
    assert clinic.ask("fcntl", twin, 2, 1) == 0
    assert clinic.ask("lseek", fd, 17, 0) == 17
    process = clinic.revived()
    thread = process.threads[0]
    assert clinic.ask("lseek", fd, 0, 1, thread=thread) == 17
    assert clinic.ask("lseek", twin, 5, 1, thread=thread) == 22
    assert clinic.ask("lseek", fd, 0, 1, thread=thread) == 22, "they share the offset"
    assert clinic.ask("lseek", fd, 0, 1) == 17, "and nobody else does"
    assert process.descriptors.closes_on_exec == {twin}


def test_a_file_that_is_gone_is_told_and_nothing_changes() -> None:
    clinic = Clinic(user=ROOT)
    fd = clinic.ask("open", clinic.text("/tmp/x"), RW | 0o100, 0o600)
    assert fd >= 0
    vid = clinic.frozen()
    assert clinic.ask("unlink", clinic.text("/tmp/x")) == 0
    before = clinic.other.process.space
    assert clinic.revive(vid) == -E.NOENT
    assert clinic.other.process.space is before
    assert clinic.freeze() == -E.OPNOTSUPP, "a file without a name"
    clinic.settle()


def test_a_pipe_of_the_process_alone_keeps_what_is_in_it() -> None:
    clinic = Clinic()
    reader, writer = pipe(clinic)
    at = clinic.put(PIPE_BYTES)
    assert clinic.ask("write", writer, at, len(PIPE_BYTES)) == len(PIPE_BYTES)
    vid = clinic.frozen()
    assert clinic.ask("read", reader, at, 2) == 2, "the process goes on"
    for _ in range(2):
        process = clinic.revived(vid)
        thread = process.threads[0]
        assert clinic.ask("read", reader, clinic.page, 100, thread=thread) == len(PIPE_BYTES)
        assert process.space.read(clinic.page, len(PIPE_BYTES)) == PIPE_BYTES
        assert clinic.ask("close", writer, thread=thread) == 0
        assert clinic.ask("read", reader, clinic.page, 100, thread=thread) == 0, "the end"


def test_an_event_counter_keeps_its_value() -> None:
    clinic = Clinic()
    fd = clinic.ask("eventfd2", 5, 1)
    process = clinic.revived()
    thread = process.threads[0]
    for _ in range(5):
        assert clinic.ask("read", fd, clinic.page, 8, thread=thread) == 8
    assert process.space.read_u64(clinic.page) == 1, "a semaphore"


def test_a_pipe_of_others_is_a_standard_stream_or_cannot_be_kept() -> None:
    clinic = Clinic()
    reader, writer = pipe(clinic)
    outer = clinic.process.descriptors.get(writer)
    clinic.other.process.descriptors.add(outer)
    assert clinic.freeze() == -E.OPNOTSUPP
    assert any("a pipe" in text for text in clinic.kernel.log.messages)
    assert clinic.ask("dup2", writer, 1) == 1
    for fd in (reader, writer):
        assert clinic.ask("close", fd) == 0
    vid = clinic.frozen()
    mine = clinic.other.process.descriptors.handles[1]
    assert clinic.revived(vid).descriptors.handles[1] is mine
    clinic.ask("close", 1, thread=clinic.other)
    assert 1 not in clinic.revived(vid).descriptors.handles
    clinic.settle()


@pytest.mark.parametrize(
    "call", [("epoll_create1", 0), ("pidfd_open", 1, 0), ("ipc_endpoint",)], ids=lambda c: c[0]
)
def test_what_cannot_be_kept_is_refused_and_named(call: tuple[Any, ...]) -> None:
    clinic = Clinic()
    name, *arguments = call
    fd = clinic.ask(name, *arguments)
    assert fd >= 0
    assert clinic.freeze() == -E.OPNOTSUPP
    assert any(f"descriptor {fd}" in text for text in clinic.kernel.log.messages)
    assert clinic.ask("close", fd) == 0
    assert clinic.frozen() > 0


def test_sockets_memfds_and_system_v_memory_are_refused() -> None:
    clinic = Clinic()
    assert clinic.ask("socketpair", 1, 1, 0, clinic.put(bytes(8))) == 0
    assert clinic.freeze() == -E.OPNOTSUPP
    assert clinic.ask("close_range", 3, 100, 0) == 0
    fd = clinic.ask("memfd_create", clinic.text("m"), 0)
    assert clinic.freeze() == -E.OPNOTSUPP
    assert clinic.ask("close", fd) == 0
    shmid = clinic.ask("shmget", 0, PAGE, 0o600)
    at = clinic.ask("shmat", shmid, 0, 0)
    assert clinic.freeze() == -E.OPNOTSUPP
    assert clinic.ask("shmdt", at) == 0
    assert clinic.frozen() > 0
