"""/proc: what it says of processes, threads and memory, and how names are shown (proc(5))."""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Iterator
from stat import S_ISDIR
from typing import Any

import pytest

from kernel.abi.errno import E
from kernel.abi.names import escaped
from tests.kernel.asm import Program
from tests.kernel.system import System, run_code
from tests.kernel.test_vas_files import names, read
from tests.kernel.vas_world import THREAD, World


def shell(script: str, **wishes: Any) -> str:
    run = System("sh", "-c", script, traced=False, watched=False, **wishes).run()
    return run.output.decode()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"plain name", b"plain name"),
        (b"a\nb\tc", b"a\\012b\\011c"),
        (b"\x1b[2J\x7f", b"\\033[2J\\177"),
        (b"back\\slash", b"back\\134slash"),
        ("Grün".encode(), "Grün".encode()),
        (b"\xc2\x9b31m", b"\\302\\23331m"),
        ("\u202eevil".encode(), b"\\342\\200\\256evil"),
        (b"\xff\xfe", b"\\377\\376"),
    ],
)
def test_a_name_is_shown_without_what_a_terminal_or_a_reader_of_lines_obeys(
    name: bytes, shown: bytes
) -> None:
    assert escaped(name) == shown


def test_all_that_has_no_width_or_turns_the_text_is_escaped_and_its_neighbours_are_not() -> None:
    """Unicode's classes Cf, Zl and Zp, and the code point that it keeps free among them."""
    block = range(0x2000, 0x2100)
    turning = {c for c in block if unicodedata.category(chr(c)) in ("Cf", "Zl", "Zp")} | {0x2065}
    assert {c for c in block if escaped(chr(c).encode()).startswith(b"\\")} == turning
    assert escaped("\ufeff".encode()) == b"\\357\\273\\277"


def test_the_maps_show_offset_device_inode_and_path_of_a_file() -> None:
    rows = [line.split() for line in shell("cat /proc/self/maps").splitlines()]
    of_file = [row for row in rows if row[-1] == "/bin/cat"]
    assert {row[3] for row in of_file} == {"00:01"}
    assert len({row[4] for row in of_file} - {"0"}) == 1
    assert of_file[0][2] == "00000000"
    assert int(of_file[-1][2], 16) > 0
    stack = next(row for row in rows if row[-1] == "[stack]")
    assert stack[2:5] == ["00000000", "00:00", "0"]


def test_a_mapped_file_keeps_its_name_when_its_last_link_is_gone() -> None:
    script = "cp /bin/cat /tmp/mine; /tmp/mine /proc/self/maps; cp /bin/sleep /tmp/gone;"
    script += "/tmp/gone 1 & rm /tmp/gone; cat /proc/$!/maps"
    out = shell(script)
    assert " /tmp/mine\n" in out
    assert " /tmp/gone (deleted)\n" in out


def test_a_new_line_in_a_path_forges_no_line_of_the_maps() -> None:
    out = shell('n=$(printf \'/tmp/a\\n00000000-1 x\'); cp /bin/cat "$n"; "$n" /proc/self/maps')
    assert "/tmp/a\\012" in out
    assert all("-" in line.split()[0] and line[8] == "-" for line in out.splitlines()[:3])


def test_accounts_and_shared_memory_are_where_programs_look() -> None:
    assert shell("ls -ld /dev/shm").startswith("drwxrwxrwt")
    names = [line.split(":")[0] for line in shell("cat /etc/passwd").splitlines()]
    assert {"root", "daemon", "bin", "nobody"} <= set(names)


def test_the_numbers_of_the_kernel_are_the_ones_that_it_keeps_to() -> None:
    assert shell("cat /proc/sys/kernel/osrelease") == shell("uname -r")
    assert shell("cat /proc/sys/vm/max_map_count") == "65530\n"
    assert shell("cat /proc/sys/kernel/none /proc/sys 2>&1").count("No such file") == 1


def test_only_root_makes_a_process_less_likely_to_be_killed() -> None:
    script = "f=/proc/$$/oom_score_adj; echo 500 > $f; cat $f;"
    script += " for n in 7 -1 2000 x; do echo $n > $f; done; cat $f"
    assert shell(script + " 2>/dev/null") == "500\n500\n"


# What the files say -------------------------------------------------------------------------------

STATUS_ROWS = """
    Name Umask State Tgid Ngid Pid PPid TracerPid Uid Gid FDSize Groups VmPeak VmSize VmLck VmPin
    VmHWM VmRSS RssAnon RssFile RssShmem VmData VmStk VmExe VmLib VmSwap Threads SigQ SigPnd ShdPnd
    SigBlk SigIgn SigCgt CapInh CapPrm CapEff CapBnd CapAmb NoNewPrivs Seccomp Cpus_allowed
    Cpus_allowed_list Mems_allowed Mems_allowed_list voluntary_ctxt_switches
    nonvoluntary_ctxt_switches
"""
"""In the order of Linux's fs/proc/array.c, which readers rely on."""

SYSTEM_NUMBERS = {
    "fs/file-max": 4_194_304,
    "fs/nr_open": 1024,
    "fs/pipe-max-size": 1_048_576,
    "kernel/cap_last_cap": 40,
    "kernel/core_uses_pid": 0,
    "kernel/ngroups_max": 65_536,
    "kernel/pid_max": 4_194_304,
    "kernel/randomize_va_space": 0,
    "kernel/shm_next_id": -1,
    "kernel/shm_rmid_forced": 0,
    "kernel/shmmax": (1 << 64) - (1 << 24) - 1,
    "kernel/shmmni": 4096,
    "kernel/tainted": 0,
    "kernel/threads-max": 4096,
    "vm/legacy_va_layout": 0,
    "vm/max_map_count": 65_530,
    "vm/memfd_noexec": 0,
    "vm/mmap_min_addr": 65_536,
    "vm/nr_hugepages": 0,
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
}
"""Linux's defaults (sysctl(2)), but for the fixed plan of addresses and the sizes of tables."""


def status_of(text: str) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in text.splitlines())


def test_a_status_has_the_rows_of_linux_in_its_order() -> None:
    assert list(status_of(shell("cat /proc/self/status"))) == STATUS_ROWS.split()


def test_a_status_says_who_runs_and_what_was_done_to_its_signals() -> None:
    rows = status_of(shell("trap '' USR1 TERM; umask 027; cat /proc/self/status"))
    assert rows["Name"] == "cat"
    assert rows["Umask"] == "0027"
    assert rows["State"] == "R (running)"
    assert rows["Tgid"] == rows["Pid"]
    assert rows["Uid"] == "\t".join(["1000"] * 4)
    assert rows["Threads"] == "1"
    assert int(rows["SigIgn"], 16) == 1 << 10 - 1 | 1 << 15 - 1
    for name in ("SigPnd", "ShdPnd", "SigBlk", "CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(rows[name], 16) == 0, name
    for name in ("Ngid", "TracerPid", "NoNewPrivs", "Seccomp", "Mems_allowed_list"):
        assert int(rows[name]) == 0, name


def test_a_zombie_has_no_memory_no_thread_and_nothing_blocked() -> None:
    program = Program()
    text = program.room(2048)
    program.fork("child")
    program.sleep(10**6)
    program.call("open", program.put(b"/proc/2/status\0"), 0, 0)
    program.call("read", "rax", text, 2048)
    program.dump(text, 2048)
    program.exit()
    program.label("child")
    program.exit()
    rows = status_of(run_code(program).output.rstrip(b"\0").decode())
    assert rows["State"] == "Z (zombie)"
    assert not [name for name in rows if name.startswith(("Vm", "Rss", "Cpus", "Mems"))]
    assert [int(rows[name], 16) for name in ("SigPnd", "ShdPnd", "SigBlk")] == [0, 0, 0]
    assert (rows["Tgid"], rows["Pid"], rows["PPid"]) == ("2", "2", "1")


def test_the_cores_that_a_thread_may_use_are_a_mask_and_a_list() -> None:
    rows = status_of(shell("cat /proc/self/status", cpus=3))
    assert rows["Cpus_allowed_list"] == "0,1,2"
    assert int(rows["Cpus_allowed"], 16) == 0b111
    assert int(rows["Mems_allowed"], 16) == 1


def test_status_statm_and_stat_agree_on_the_sizes() -> None:
    """As proc_pid_statm(5) says, in pages; proc_pid_stat(5) has 52 fields."""
    own = shell("cat /proc/self/status /proc/self/statm /proc/self/stat").splitlines()
    rows = status_of("\n".join(own[:-2]))
    kib = {name: int(text.split()[0]) for name, text in rows.items() if text.endswith("kB")}
    size, resident, shared, text, zero, data, dirty = map(int, own[-2].split())
    assert (size * 4, resident * 4) == (kib["VmSize"], kib["VmRSS"])
    assert shared * 4 == kib["RssFile"] + kib["RssShmem"]
    assert (text * 4, data * 4) == (kib["VmExe"], kib["VmData"] + kib["VmStk"])
    assert (zero, dirty) == (0, 0)
    assert kib["VmRSS"] == kib["RssAnon"] + kib["RssFile"] + kib["RssShmem"]
    assert 0 < kib["VmExe"] < kib["VmSize"]
    fields = own[-1].split()
    assert len(fields) == 52
    assert fields[1:4] == ["(cat)", "R", rows["PPid"]]
    assert (int(fields[22]), int(fields[23])) == (size * 4096, resident)
    assert (fields[17], fields[18], fields[19], fields[37]) == ("20", "0", "1", "17")


def test_only_pages_of_files_and_shared_memory_are_marked_as_such_in_a_pagemap() -> None:
    """Bit 63: present; bit 61: of a file, or shared (proc_pid_pagemap(5))."""
    program = Program()
    program.call("mmap", 0x1000_0000, 4096, 3, 0x32, -1, 0)
    program.call("mmap", 0x1000_1000, 4096, 3, 0x31, -1, 0)
    for page in (0x1000_0000, 0x1000_1000):
        program.store_byte(page, 1)
    words = program.room(24)
    program.call("open", program.put(b"/proc/self/pagemap\0"), 0, 0)
    program.call("pread64", "rax", words, 24, 0x1000_0000 >> 12 << 3)
    program.dump(words, 24)
    program.exit()
    found = struct.unpack("<3Q", run_code(program).output)
    assert found == (1 << 63, 1 << 63 | 1 << 61, 0)


@pytest.mark.parametrize("name", SYSTEM_NUMBERS)
def test_a_number_of_the_system_is_linuxs_default_or_the_kernels_own_limit(name: str) -> None:
    world = World()
    assert read(world, f"/proc/sys/{name}") == b"%d\n" % SYSTEM_NUMBERS[name]


# The trees ----------------------------------------------------------------------------------------


def folders_below(world: World, path: str) -> Iterator[str]:
    """Of a file system that is made when it is read; /proc/PID/fd holds no folders."""
    yield path
    for name in () if path.endswith("/fd") else names(world, path):
        below = f"{path}/{name.decode()}"
        if S_ISDIR(mode_of(world, below)):
            yield from folders_below(world, below)


def mode_of(world: World, path: str) -> int:
    """Of the path itself, if it is a link."""
    at = world.text(path) + 512
    assert world.ask("newfstatat", -100, world.text(path), at, 0x100) == 0, path
    return int.from_bytes(world.process.space.read(at + 24, 4), "little")


def inode_of(world: World, path: str) -> bytes:
    at = world.text(path) + 512
    assert world.ask("stat", world.text(path), at) == 0, path
    return world.process.space.read(at, 16)


@pytest.mark.parametrize("root", ["/proc", "/sys"])
def test_each_folder_is_the_one_above_those_that_it_lists(root: str) -> None:
    world = World()
    world.attached("v")
    world.segment("s")
    found = list(folders_below(world, root))
    assert len(found) > 5
    for folder in found[1:]:
        above = folder.rpartition("/")[0]
        assert inode_of(world, f"{folder}/..") == inode_of(world, above), folder
        assert inode_of(world, f"{folder}/.") == inode_of(world, folder), folder
    assert len({inode_of(world, folder) for folder in found}) == len(found)
    assert inode_of(world, f"{root}/..") == inode_of(world, "/")


def test_a_thread_that_leads_no_process_is_found_and_not_listed() -> None:
    world = World()
    other = world.ask("clone", THREAD, 0, 0, 0, 0)
    assert other > 0
    assert b"%d" % other not in names(world, "/proc")
    assert read(world, f"/proc/{other}/comm") == read(world, "/proc/self/comm")
    assert names(world, "/proc/self/task") == [b"%d" % world.thread.tid, b"%d" % other]
    for name in ("0", "01", "99999", "x"):
        assert world.ask("open", world.text(f"/proc/{name}"), 0) == -E.NOENT
