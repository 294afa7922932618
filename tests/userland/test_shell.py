"""`run.py shell` on a pseudo-terminal of the host: keys, jobs, and the restored terminal."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHELL = (sys.executable, str(ROOT / "run.py"), "shell")
PROMPT, INTERRUPT, STOP, END, ERASE = b"$ ", b"\x03", b"\x1a", b"\x04", b"\x7f"

needs_terminals = pytest.mark.skipif(
    sys.platform == "win32", reason="this host has no pseudo-terminals"
)


class Session:
    """A shell, and its user."""

    def __init__(self, master: int, process: subprocess.Popen[bytes]) -> None:
        self.master, self.process = master, process
        self.screen = bytearray()

    def expect(self, text: bytes) -> bytes:
        """Read what the terminal shows, up to and including `text`."""
        while text not in self.screen:
            self.screen += os.read(self.master, 65536)
        seen, _, rest = bytes(self.screen).partition(text)
        self.screen[:] = rest
        return seen + text

    def type(self, keys: bytes, then: bytes = PROMPT) -> bytes:
        """Type; returns what comes, up to and including `then`."""
        os.write(self.master, keys)
        return self.expect(then)


def heed_hangups() -> None:
    """Under nohup(1) the tests ignore SIGHUP, and so would what they start."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@contextmanager
def session(*options: str) -> Iterator[Session]:
    """A terminal with `run.py shell` in its foreground, which must end by itself."""
    import pty
    import termios

    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    environment = {**os.environ, "TERM": "dumb"}
    command = [*SHELL, *options]
    with subprocess.Popen(
        command,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment,
        start_new_session=True,
        preexec_fn=heed_hangups,
    ) as process:
        try:
            shell = Session(master, process)
            shell.expect(PROMPT)
            yield shell
            process.wait()
            assert termios.tcgetattr(slave) == before, "the terminal is not as it was"
        finally:
            process.kill()
            os.close(master)
            os.close(slave)


@needs_terminals
def test_a_line_can_be_edited_and_the_shell_ends_as_it_says() -> None:
    with session() as shell:
        seen = shell.type(b"echi" + ERASE + b"o one  two\r")
        assert seen == b"echi\b \bo one  two\r\none two\r\n$ "
        os.write(shell.master, b"exit 7\r")
    assert shell.process.returncode == 7


@needs_terminals
@pytest.mark.parametrize(
    "options", [(), ("--cpus", "4"), ("--mmu", "silicon"), ("--clock", "fast")]
)
def test_an_interrupt_ends_the_program_in_the_foreground_only(options: tuple[str, ...]) -> None:
    with session(*options) as shell:
        shell.type(b"spin\r", then=b"spin")
        shell.expect(b"\n")
        shell.expect(b"\n")  # it has printed that it spins
        assert b"^C" in shell.type(INTERRUPT)
        assert b"\r\n130\r\n" in shell.type(b"echo $?\r")
        shell.type(b"sh -c 'echo up; exec sleep 1000'\r", then=b"up\r\n")
        shell.type(INTERRUPT)
        os.write(shell.master, END)
    assert shell.process.returncode == 130


@needs_terminals
def test_a_job_is_stopped_continued_and_waited_for() -> None:
    with session() as shell:
        shell.type(b"cat\r", then=b"cat\r\n")
        assert shell.type(b"one\r", then=b"one\r\none\r\n")
        assert b"Stopped" in shell.type(STOP)
        assert b"Stopped" in shell.type(b"jobs\r")
        shell.type(b"fg\r", then=b"cat\r\n")
        assert shell.type(b"two\r", then=b"two\r\ntwo\r\n")
        shell.type(END)
        assert b"\r\n0\r\n" in shell.type(b"echo $?\r")
        shell.type(b"cat &\r")
        assert b"Stopped" in shell.type(b"sleep 1; jobs\r"), "it may not read in the background"
        shell.type(b"kill -9 %1; wait\r")
        os.write(shell.master, b"exit 0\r")
    assert shell.process.returncode == 0


@needs_terminals
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_the_terminal_is_restored_however_the_machine_ends(number: int) -> None:
    with session() as shell:
        shell.process.send_signal(number)
    assert shell.process.returncode == 128 + number


@needs_terminals
def test_the_terminal_is_as_it_was_while_the_machine_is_stopped_and_the_guests_again_after() -> (
    None
):
    import termios

    with session() as shell:
        raw = termios.tcgetattr(shell.master)
        assert not raw[3] & termios.ICANON
        shell.process.send_signal(signal.SIGTSTP)
        _, status = os.waitpid(shell.process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        assert termios.tcgetattr(shell.master)[3] & termios.ICANON
        shell.process.send_signal(signal.SIGCONT)
        while termios.tcgetattr(shell.master) != raw:
            time.sleep(0.01)
        assert b"\r\non again\r\n" in shell.type(b"echo on again\r")
        os.write(shell.master, b"exit 0\r")
    assert shell.process.returncode == 0


@needs_terminals
def test_exec_has_the_terminal_too() -> None:
    import pty
    import termios

    master, slave = pty.openpty()
    command = [sys.executable, str(ROOT / "run.py"), "exec", "upper"]
    with subprocess.Popen(command, stdin=slave, stdout=slave, start_new_session=True) as process:
        shell = Session(master, process)
        while termios.tcgetattr(slave)[3] & termios.ICANON:
            time.sleep(0.01)  # before that the host would edit the line
        os.write(master, b"a line" + ERASE + b"k\r" + END)
        shell.expect(b"A LINK")
        assert process.wait() == 0
    os.close(master)
    os.close(slave)


# Without a terminal -------------------------------------------------------------------------------


def run(*words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*SHELL, *words], input=stdin, capture_output=True, check=False)


def test_commands_come_from_an_option_a_pipe_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "script").write_text("echo $1 | tr a-z A-Z\nexit 3\n")
    assert run("-c", "echo hi; exit 5").stdout == b"hi\n"
    assert run("-c", "echo hi; exit 5").returncode == 5
    assert run(stdin=b"echo from a pipe\n").stdout == b"from a pipe\n"
    done = run("--root", str(tmp_path), "/script", "word")
    assert (done.stdout, done.returncode) == (b"WORD\n", 3)


def test_a_folder_of_the_host_is_copied_with_its_links_and_modes(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "file").write_text("text\n")
    (tmp_path / "inner" / "file").chmod(0o640)
    (tmp_path / "link").symlink_to("inner/file")
    (tmp_path / "out").symlink_to("/etc/hostname")
    done = run("--root", str(tmp_path), "-c", "cat /link; cat /out; ls -l /inner")
    assert done.stdout.startswith(b"-rw-r-----") or b"-rw-r-----" in done.stdout
    assert b"/out" in done.stderr, "a link leads nowhere but to files of Vantage"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--root", "/no/such/folder"), b"/no/such/folder is no folder"),
        (("--busybox", "/no/such/file"), b"there is no program /no/such/file"),
        (("--busybox", str(ROOT / "userland" / "bin" / "hello")), b"no BusyBox with a shell"),
        (("--busybox", str(ROOT / "run.py")), b"not a static x86-64 ELF"),
    ],
)
def test_a_missing_file_is_named_in_one_sentence(words: tuple[str, ...], sentence: bytes) -> None:
    done = run(*words)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert b"Traceback" not in done.stderr


# BusyBox ------------------------------------------------------------------------------------------

BUSYBOX = os.environ.get("VANTAGE_BUSYBOX") or shutil.which("busybox") or ""


@pytest.mark.skipif(not BUSYBOX, reason="the host has no static BusyBox")
def test_busybox_runs_a_script() -> None:
    script = """
        for i in 3 1 2; do echo $i; done | sort | tr '\\n' ' '; echo
        (sleep 1; echo late) & wait; echo $?
        trap 'echo caught' USR1; kill -USR1 $$
        sh -c 'kill -9 $$'; echo $?
        printf '%s\\n' a b c | sed -n 2p | awk '{ print $1 $1 }'
    """
    done = run("--busybox", BUSYBOX, "-c", script)
    assert done.stdout.decode().splitlines() == ["1 2 3 ", "late", "0", "caught", "137", "bb"]


@needs_terminals
@pytest.mark.skipif(not BUSYBOX, reason="the host has no static BusyBox")
def test_busybox_has_job_control() -> None:
    with session("--busybox", BUSYBOX) as shell:
        # Wait for its first output: until then the shell has the terminal in its own mode.
        shell.type(b"sh -c 'echo ready; exec cat'\r", then=b"\nready\r\n")
        shell.type(b"one\r", then=b"one\r\none\r\n")
        assert b"Stopped" in shell.type(STOP)
        shell.type(b"fg\r", then=b"cat")
        shell.expect(b"\r\n")
        shell.type(b"two\r", then=b"two\r\ntwo\r\n")
        shell.type(INTERRUPT)
        shell.type(b"echo up; while :; do :; done\r", then=b"up\r\n")
        shell.type(INTERRUPT)
        os.write(shell.master, b"exit 4\r")
    assert shell.process.returncode == 4
