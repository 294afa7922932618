"""/proc: what it says of processes, threads and memory, and how names are shown (proc(5))."""

from __future__ import annotations

from typing import Any

import pytest

from kernel.abi.names import escaped
from tests.kernel.system import System


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
