"""A run depends on its inputs alone: not on whose window it was started from."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from hw.trace import TraceFile

ROOT = Path(__file__).parents[2]
DOOR = (sys.executable, str(ROOT / "run.py"))

needs_terminals = pytest.mark.skipif(
    sys.platform == "win32", reason="this host has no pseudo-terminals"
)


def on_terminal(*words: str, rows: int = 24, columns: int = 80, term: str = "xterm") -> bytes:
    """What `run.py` shows on a terminal of that size."""
    import fcntl
    import pty
    import termios

    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    environment = {**os.environ, "TERM": term}
    shown = bytearray()
    with subprocess.Popen(
        [*DOOR, *words], stdin=slave, stdout=slave, stderr=slave, env=environment
    ) as process:
        os.close(slave)
        try:
            while data := os.read(master, 65536):
                shown += data
        except OSError:  # Linux says so that nobody has the terminal any more (EIO)
            pass
    os.close(master)
    assert process.returncode == 0, shown
    return bytes(shown)


def through_pipes(*words: str) -> bytes:
    """The same through pipes, as CI does it."""
    environment = {key: value for key, value in os.environ.items() if key != "TERM"}
    done = subprocess.run([*DOOR, *words], input=b"", capture_output=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def digest(path: Path) -> str:
    with TraceFile(path) as recorded:
        assert recorded.complete
        return recorded.digest()


@needs_terminals
@pytest.mark.parametrize(
    "words",
    [
        ("exec", "hello"),
        ("exec", "--cpus", "2", "threads"),
        ("shell", "--no-tty", "-c", "echo hi | tr a-z A-Z; ls /bin"),
    ],
)
def test_the_digest_is_the_same_from_every_window_and_from_none(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    command, *rest = words
    kept = [tmp_path / name for name in ("small", "large", "pipes")]
    on_terminal(command, "--trace", str(kept[0]), *rest)
    on_terminal(command, "--trace", str(kept[1]), *rest, rows=50, columns=132, term="vt100")
    through_pipes(command, "--trace", str(kept[2]), *rest)
    assert len({digest(path) for path in kept}) == 1


@needs_terminals
def test_a_terminal_shows_carriage_returns_though_no_record_has_them(tmp_path: Path) -> None:
    path = tmp_path / "t.vtrace"
    assert b"\r\n" in on_terminal("exec", "--trace", str(path), "hello")
    with TraceFile(path) as recorded:
        written = [record["data"] for record in recorded if record.kind.name == "console_output"]
    assert written
    assert not any(b"\r" in data for data in written)


@needs_terminals
def test_a_window_is_of_the_default_size_unless_the_user_says_otherwise(
    tmp_path: Path,
) -> None:
    def told(*words: str) -> list[tuple[int, int]]:
        command = ("exec", "--trace", str(tmp_path / "t.vtrace"), *words, "hello")
        on_terminal(*command, rows=50, columns=132)
        with TraceFile(tmp_path / "t.vtrace") as recorded:
            sizes = [record for record in recorded if record.kind.name == "console_size"]
        return [(record["rows"], record["columns"]) for record in sizes]

    assert told() == []
    assert told("--window", "30x100") == [(30, 100)]
    assert told("--window", "host") == [(50, 132)]


@needs_terminals
def test_a_program_that_asks_can_be_told_that_it_has_no_terminal(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    shell = ("-c", "test -t 1 && echo yes || echo no")
    assert b"yes" in on_terminal("shell", *shell)
    assert b"no" in on_terminal("shell", "--no-tty", "--trace", str(here), *shell)
    through_pipes("shell", "--trace", str(there), *shell)
    assert digest(here) == digest(there)


def test_variables_are_fixed_unless_they_are_passed_on_purpose(tmp_path: Path) -> None:
    path = tmp_path / "t.vtrace"
    os.environ["VANTAGE_TEST_WORD"] = "from here"
    try:
        passed = ("--env", "A=1=2", "--env", "VANTAGE_TEST_WORD", "--env", "TERM=ansi")
        shown = through_pipes("shell", "--trace", str(path), *passed, "-c", "env")
    finally:
        del os.environ["VANTAGE_TEST_WORD"]
    assert sorted(shown.decode().splitlines())[:1] == ["A=1=2"]
    assert {"TERM=ansi", "VANTAGE_TEST_WORD=from here"} <= set(shown.decode().splitlines())
    with TraceFile(path) as recorded:
        inputs = recorded.header["inputs"]
    assert "VANTAGE_TEST_WORD=from here" in inputs["environment"]
    assert inputs["terminals"] == [False, False, False]
    assert inputs["window"] == [24, 80]
    assert b"TERM=dumb" in through_pipes("shell", "-c", "env")


@pytest.mark.parametrize(
    ("user", "shown"),
    [
        ("user", "1000 1000 user /home/user"),
        ("root", "0 0 root /root"),
        ("0", "0 0 root /root"),
        ("1001", "1001 1001 1001 /"),
    ],
)
def test_a_program_runs_as_the_user_that_is_named(user: str, shown: str, tmp_path: Path) -> None:
    path = tmp_path / "t.vtrace"
    script = "echo $(id -u) $(id -g) $USER $HOME; echo mine > here && echo kept"
    said = through_pipes("shell", "--user", user, "--trace", str(path), "-c", script)
    assert said.decode().splitlines() == [shown, "kept"]
    with TraceFile(path) as recorded:
        assert recorded.header["inputs"]["user"] == int(shown.split()[0])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--env", "=x"), "names no variable"),
        (("--env", "NO_SUCH_VARIABLE_HERE"), "NO_SUCH_VARIABLE_HERE is not set here"),
        (("--window", "80"), "is not ROWSxCOLUMNS"),
        (("--window", "0x80"), "1 to 65535"),
        (("--user", "nobody-here"), "there is no user nobody-here"),
        (("--user", "4294967295"), "there is no user 4294967295"),
    ],
)
def test_a_wrong_input_is_one_sentence(words: tuple[str, ...], sentence: str) -> None:
    command = [*DOOR, "exec", *words, "hello"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
