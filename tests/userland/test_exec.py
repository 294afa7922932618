"""`run.py exec`: a program with the host's terminal, pipes and signals."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from base64 import b64decode
from pathlib import Path

import pytest

from hw.trace import TraceFile
from userland.programs import BIN, describe

ROOT = Path(__file__).parents[2]
EXEC = (sys.executable, str(ROOT / "run.py"), "exec")


def run(*words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*EXEC, *words], input=stdin, capture_output=True, check=False)


def test_arguments_reach_the_program_and_output_reaches_the_user() -> None:
    done = run("hello", "one", "two words")
    assert done.returncode == 0
    assert done.stdout.decode().splitlines()[1:] == [
        "argv[0] = hello",
        "argv[1] = one",
        "argv[2] = two words",
    ]
    assert done.stderr == b""


def test_a_signal_becomes_128_plus_its_number_and_a_sentence() -> None:
    done = run("faults", "null-read")
    assert done.returncode == 128 + signal.SIGSEGV
    assert b"faults was ended by SIGSEGV" in done.stderr


def test_a_crash_says_where_it_was_and_the_command_that_opens_the_moment(tmp_path: Path) -> None:
    """The command is pasted as it stands: a path with a space, options, and another folder."""
    program = tmp_path / "my faults"
    shutil.copy(BIN / "faults", program)
    command = [*EXEC, "--cpus", "2", "--seed", "5", str(program), "null-read", "a 'word"]
    environment = {key: value for key, value in os.environ.items() if "DISPLAY" not in key}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
    )
    assert done.returncode == 128 + signal.SIGSEGV
    ended, where = done.stderr.splitlines()
    assert ended == f"{program} was ended by SIGSEGV"
    assert re.match(
        r"  read of 0x0, rip 0x4\w+ \(\w+(\+0x\w+)?, faults.c:\d+\); to see it: ", where
    )
    paste = where.partition("to see it: ")[2]
    assert "--cpus 2 --seed 5" in paste
    seen = subprocess.run(
        ["sh", "-c", paste],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment,
    )
    assert "at 0x0" in seen.stdout.partition("== Walk ==")[0]
    with TraceFile(tmp_path / "my faults.vtrace") as recorded:
        assert recorded.header["config"]["cpus"] == 2
        assert recorded.header["config"]["seed"] == 5
    done = subprocess.run(
        [*EXEC, "--trace", "a b", str(program), "null-write"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment,
    )
    assert done.stderr.endswith(" panel text 'a b' --at fault:-1\n")


def test_a_reader_that_has_seen_enough_ends_the_run_quietly() -> None:
    command = " ".join([*map(shlex.quote, EXEC), "yes"])
    script = f"({command}; echo $? >&2) | head -1"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "y\n"
    assert done.stderr == "141\n"


def test_a_program_by_path_and_one_that_is_no_program(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("#!/bin/sh\n")
    assert run(str(ROOT / "userland" / "bin" / "hello")).returncode == 0
    done = run(str(text))
    assert done.returncode == 2
    assert b"not a static x86-64 ELF" in done.stderr
    assert b"Traceback" not in done.stderr


def test_an_unknown_program_names_the_known_ones() -> None:
    done = run("no-such-thing")
    assert done.returncode == 2
    assert b"there is no program no-such-thing" in done.stderr
    assert b"hello" in done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--cpus", "9", "hello"), "--cpus takes 1 to 8, not 9"),
        (("--ram", "0", "hello"), "--ram takes 1 to 4096 MiB, not 0"),
        (("--itlb", "4", "hello"), "is not SETSxWAYS"),
        (("--pcids", "0", "hello"), "--pcids takes 1 to 4095, not 0"),
        (("--trace", "/no/such/folder/t", "hello"), "cannot write /no/such/folder/t"),
        (("--ram", "1", "matmul", "400"), "SIGKILL"),
    ],
)
def test_a_wrong_option_is_one_sentence(words: tuple[str, ...], sentence: str) -> None:
    done = run(*words)
    assert done.returncode != 0
    assert sentence in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_strace_shows_calls_waits_and_signals() -> None:
    log = run("--strace", "forks", "1").stderr.decode()
    assert "[2] fork() = 3" in log
    assert "wait4 waits for child" in log
    assert "write(1, " in log
    assert "null-jump" not in log
    assert "SIGSEGV at 0x0: killed" in run("--strace", "faults", "null-jump").stderr.decode()


def test_a_recorded_run_can_be_read_back(tmp_path: Path) -> None:
    path = tmp_path / "run.vtrace"
    assert run("--trace", str(path), "cow").returncode == 0
    with TraceFile(path) as recorded:
        kinds = {record.kind.name for record in recorded}
    assert {"syscall", "fault", "pte", "frame", "tlb_fill", "run", "console_output"} <= kinds
    assert recorded.header["config"]["seed"] == 1
    assert recorded.header["calls"]["57"].startswith("fork(")
    program = recorded.header["program"]
    assert "main" in [name for _, _, name in program["symbols"]]
    (address, code), *_ = program["code"]
    assert b64decode(code) in (BIN / "cow").read_bytes()
    assert any(
        address <= start < address + len(b64decode(code)) for start, _, _ in program["symbols"]
    )


def test_a_file_with_senseless_symbols_counts_as_without_symbols() -> None:
    good = (BIN / "hello").read_bytes()
    assert describe("hello", good)["symbols"]
    for at in range(0x28, 0x40):
        broken = good[:at] + b"\xff" + good[at + 1 :]
        assert isinstance(describe("hello", broken)["symbols"], list)
    nothing: dict[str, object] = {"symbols": [], "code": [], "lines": [], "sources": []}
    assert describe("text", b"no program") == {"name": "text", **nothing}


def test_the_header_of_a_trace_leads_from_code_to_its_source_line() -> None:
    about = describe("cow", (BIN / "cow").read_bytes())
    main = next(start for start, _, name in about["symbols"] if name == "main")
    file, line = next(row[1:] for row in about["lines"] if row[0] == main)
    name, text = about["sources"][file]
    assert name == "userland/programs/cow.c"
    assert "main(" in text.splitlines()[line - 1]


@pytest.mark.parametrize("clock", ["exact", "fast"])
def test_ctrl_c_ends_an_endless_program(clock: str) -> None:
    command = [*EXEC, "--clock", clock, "spin"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()  # it has printed that it spins
        os.kill(child.pid, signal.SIGINT)
        _, errors = child.communicate()
    assert child.returncode == 130
    assert errors.decode() == "Interrupted.\n"


@pytest.mark.parametrize("options", [(), ("--mmu", "silicon"), ("--cpus", "4"), ("--no-pcid",)])
def test_every_machine_option_runs_the_same_program(options: tuple[str, ...]) -> None:
    done = run(*options, "sha256", "3")
    assert done.returncode == 0
    assert done.stdout.startswith(b"76b99ab4")


def test_standard_input_output_and_errors_are_three_streams() -> None:
    done = run("upper", stdin=b"first line\nand a last one without an end")
    assert done.returncode == 0
    assert done.stdout == b"FIRST LINE\nAND A LAST ONE WITHOUT AN END"
    assert done.stderr == b"upper: 2 lines, 40 bytes\n"
    assert run("upper").stderr == b"upper: 0 lines, 0 bytes\n"


def test_the_kernel_says_why_it_killed_a_program() -> None:
    done = run("pages", "100000")
    assert done.returncode == 128 + signal.SIGKILL
    assert b"kernel: out of memory: process 2 (pages) is killed" in done.stderr


@pytest.mark.parametrize("stream", ["<&-", ">&-", "2>&-"])
def test_a_closed_stream_is_no_error(stream: str) -> None:
    command = " ".join([*map(shlex.quote, EXEC), "hello", stream])
    done = subprocess.run(["sh", "-c", command], capture_output=True, check=False)
    assert done.returncode == 0
    assert done.stderr == b""
    assert (b"Hello" in done.stdout) == (stream != ">&-")
