"""The tools `vas` and `vasseg`: what they do, and their error messages."""

from __future__ import annotations

import pytest

from kernel.vas.vases import SYNCS
from tests.kernel.system import Run, System

SET_UP = "vas create lib 640; vasseg create books 0x100000000000 64K; vas attach lib books rw; "


def shell(script: str, **wishes: object) -> Run:
    """Everything that a script writes, with its error messages."""
    system = System("sh", "-c", f"PATH=/bin; {script}", **{"turns": 10**6, **wishes})
    system.kernel.machine.console.error_sink = system.written.append
    return system.run()


def lines(script: str, **wishes: object) -> list[str]:
    return shell(script, **wishes).output.decode().splitlines()


def test_what_is_made_is_listed_and_what_is_deleted_is_not() -> None:
    made = lines(SET_UP + "vas list; vasseg list")
    assert made[:2] == ["1", "1"], "the ids"
    assert made[3].split() == ["1", "0640", "1000", "1000", "0", "0", "lib", "1"]
    region = "100000000000-100000010000"
    assert made[5].split() == ["1", "0600", "1000", "1000", "1", "0", "books", region]
    left = lines(SET_UP + "vas detach lib books; vasseg delete books; vas delete lib; vas list")
    assert len(left) == 3, "two ids and a title"


def test_a_name_forges_no_line_and_no_escape_sequence_reaches_the_terminal() -> None:
    forge = "n=$(printf 'a\\n    9 0640\\033[2Jb'); "
    made = lines(
        forge + 'vas create "$n" 640; vas list; vasseg create "$n" 0x100000000000 4096; vasseg list'
    )
    assert made[2].split()[6] == "a\\012"
    assert made[2].rstrip().endswith("\\033[2Jb")
    assert made[5].split()[6] == "a\\012"
    assert len(made) == 6


@pytest.mark.parametrize("sync", SYNCS)
def test_a_program_runs_inside_and_sees_the_memory(sync: str) -> None:
    shown = lines(SET_UP + "vas run lib maps; echo $?", sync=sync)
    assert any("[segment books]" in line for line in shown)
    assert shown[-1] == "0"


def test_a_program_that_runs_inside_gets_its_arguments_and_environment() -> None:
    assert lines(SET_UP + "A=b vas run lib sh -c 'echo $0 $1 $A' x 'y z'")[-1] == "x y z b"


def test_the_exit_status_is_the_programs() -> None:
    assert lines(SET_UP + "vas run lib sh -c 'exit 7'; echo $?")[-1] == "7"


def names(rows: list[str]) -> list[str]:
    """The names in a listing, without its title line."""
    return [row.split()[6] for row in rows if not row.startswith("   ID")]


def test_proc_shows_a_shell_inside() -> None:
    shown = lines(
        SET_UP + "vas run lib sh -c 'cat /proc/$$/vas/1/status; cat /proc/$$/vas/1/vas/name; :'"
    )
    assert shown[-3:] == ["vid:  1", "type: rw", "lib"]


def test_orphans_are_those_that_nothing_attaches() -> None:
    inside = lines(SET_UP + "vas create more; vas run lib sh -c 'vas orphans; :'")[3:]
    assert names(inside) == ["more"]
    assert names(lines(SET_UP + "vas create more; vas orphans")[3:]) == ["lib", "more"]
    assert names(lines(SET_UP + "vasseg orphans")[2:]) == []
    assert names(lines(SET_UP + "vas delete lib; vasseg orphans")[2:]) == ["books"]


def test_a_change_of_mode_shows() -> None:
    shown = lines(SET_UP + "vas chmod 604 lib; vasseg chmod 060 books; vas list; vasseg list")
    assert shown[3].split()[1] == "0604"
    assert shown[5].split()[1] == "060"


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("vas create lib", "vas: there is a VAS 'lib' already"),
        ("vas delete none", "vas: there is no VAS 'none'; `vas list` shows what there is"),
        ("vas chmod 9 lib", "vas: '9' is no mode; give three octal digits of r (4) and w (2)"),
        ("vas attach lib none", "there is no segment 'none'; `vasseg list` shows"),
        ("vas attach lib books x", "vas: 'x' is no kind of access; give r, w or rw"),
        ("vas detach lib 1; vas detach lib 1", "vas: '1' is not attached to 'lib'"),
        ("vas run lib none", "vas: cannot find the program 'none': No such file"),
        ("vas run lib pie", "vas: 'pie' is not a static program with a fixed place"),
        ("vas run lib vas delete lib", "vas: 'vas' is not a static program with a fixed place"),
        ("vas run lib sh -c 'vas delete lib; :'", "vas: a process has 'lib' attached; it must end"),
        ("vas", "vas: usage: vas create NAME"),
        ("vasseg create books 0x100000000000 4K", "vasseg: there is a segment 'books' already"),
        ("vasseg create b 0x1234 4K", "vasseg: START and BYTES must be multiples of 4096"),
        ("vasseg create b 0x1000000 4X", "vasseg: '4X' is no size; give bytes, or a number with"),
        ("vasseg delete books", "vasseg: 'books' is attached; detach it everywhere first"),
        ("vasseg", "vasseg: usage: vasseg create NAME START BYTES"),
        (
            "vasseg create low 0x400000 4K; vas attach lib low; vas run lib echo",
            "vas: 'lib' has memory where the program has its own; the kernel's log names both",
        ),
        ("vas run lib sh -c 'vas run lib echo; :'", "vas: another process has 'lib' attached"),
    ],
)
def test_an_error_is_a_sentence(command: str, sentence: str) -> None:
    assert any(sentence in line for line in lines(SET_UP + command))
