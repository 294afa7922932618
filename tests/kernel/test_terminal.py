"""The terminal as programs see it.

A conversation on a pseudo-terminal of the host and on Vantage's console is the same, and recorded
keys can be replayed.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hw.devices import Arrival, Event
from kernel.task.credentials import Credentials
from kernel.turns import LIVE_INSTRUCTIONS
from tests.kernel.asm import Program
from tests.kernel.system import System
from tests.kernel.test_native import MACHINES, build

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.uname().machine != "x86_64", reason="the host is no x86-64 Linux"
)

TYPED = [
    *(b"hello\r", b"abcdef\r", None, b"part\x04", b"\x04", b"abc\x7f\x7fxy\x17zzz\x15last\r"),
    *(b"poll\r", None),
    *(b"k", b"xyz", b"12", None, None, b"ab", b"\x03"),
    *(b"\x03", b"\x1cline\r", b"\x03"),
    *(b"\x1a", b"again\r"),
]
"""The keys typed after each line that ends in '?'; None for no keys."""


@dataclass
class Typist:
    """Keys for a guest: the next come when it has printed '?' and waits or computes."""

    typed: list[bytes | None]
    screen: bytearray = field(default_factory=bytearray)
    answered: int = 0
    patience: int = 0

    def show(self, data: bytes) -> None:
        self.screen += data

    def poll(self) -> tuple[bytes | None, None] | None:
        """After a while, interrupt a program that computes."""
        if self.screen.count(b"?\r\n") == self.answered:
            return None
        self.patience += 1
        return self._next() if self.patience > 200 else None

    def wait(self, seconds: float | None) -> tuple[bytes | None, None] | None:
        return self._next()

    def waited(self) -> float:
        return 0.0

    def _next(self) -> tuple[bytes, None] | None:
        self.patience = 0
        while self.screen.count(b"?\r\n") > self.answered:
            self.answered += 1
            keys = self.typed[self.answered - 1]
            if keys is not None:
                return keys, None
        return None


def at_the_host(program: Path) -> bytes:
    """What a pseudo-terminal shows during the conversation."""
    import pty

    pid, master = pty.fork()
    if pid == 0:
        os.execv(program, [str(program)])
    screen, answered = bytearray(), 0
    with contextlib.suppress(OSError):  # EIO: the other side of the terminal is closed
        while data := os.read(master, 65536):
            screen += data
            while screen.count(b"?\r\n") > answered:
                time.sleep(0.05)
                keys = TYPED[answered]
                answered += 1
                if keys is not None:
                    os.write(master, keys)
    os.close(master)
    assert os.waitpid(pid, 0)[1] == 0
    return bytes(screen)


@pytest.fixture(scope="session")
def conversation(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """The program, and what a terminal of the host shows when it runs."""
    program = build("terminal/p_terminal", "musl", tmp_path_factory.mktemp("terminal"))
    return program.read_bytes(), at_the_host(program)


def at_vantage(program: bytes | Program, typist: Typist, **wishes: Any) -> System:
    system = System(program, turns=100_000, **wishes)
    console = system.kernel.machine.console
    console.state.terminals = (True, True, True)
    console.keys = typist
    console.sink = console.error_sink = console.terminal_sink = typist.show
    return system


@pytest.mark.parametrize("machine", MACHINES)
def test_a_conversation_is_the_same_as_at_the_host(
    conversation: tuple[bytes, bytes], machine: str
) -> None:
    program, expected = conversation
    typist = Typist(list(TYPED))
    system = at_vantage(program, typist, ram=16, traced=False, **MACHINES[machine])
    system.run()
    assert typist.screen.decode().splitlines() == expected.decode().splitlines()


# Replay ------------------------------------------------------------------------------------------


def replayed(program: bytes | Program, log: list[Arrival], **wishes: Any) -> System:
    """The same system without a user at the terminal; the keys come from a recording."""
    system = System(program, turns=100_000, **wishes)
    console = system.kernel.machine.console
    console.state.terminals = (True, True, True)
    console.replay = log
    return system


@pytest.mark.parametrize("cpus", [1, 4])
def test_what_was_typed_can_be_replayed_exactly(
    conversation: tuple[bytes, bytes], cpus: int
) -> None:
    program, _ = conversation
    live = at_vantage(program, Typist(list(TYPED)), ram=16, cpus=cpus)
    first = live.run()
    log = live.kernel.machine.console.state.log
    second = replayed(program, log, ram=16, cpus=cpus)
    again = second.run()
    assert again.digest == first.digest
    assert again.cycles == first.cycles
    assert second.kernel.machine.console.state.log == log
    typed = [arrival.event.data for arrival in log]
    log[typed.index(b"hello\r")] = log[typed.index(b"hello\r")]._replace(event=Event(b"jello\r"))
    assert replayed(program, log, ram=16, cpus=cpus).run().digest != first.digest


def spinner() -> Program:
    program = Program()
    program.say(b"?\n")
    program.label("again")
    program.count_down(1000)
    program.jump("again")
    return program


@pytest.mark.parametrize("clock", ["exact", "fast"])
@pytest.mark.parametrize("cpus", [1, 2])
def test_an_interrupt_ends_a_busy_program_and_not_the_machine(cpus: int, clock: str) -> None:
    system = at_vantage(spinner(), Typist([b"\x03"]), ram=4, cpus=cpus, clock=clock)
    assert system.run().signal == 2


def test_an_interrupt_is_noticed_within_thousands_of_calls() -> None:
    """A program that does nothing but call takes a trap every few instructions."""
    program = Program()
    program.say(b"?\n")
    program.label("again")
    program.call("getppid")
    program.jump("again")
    typist = Typist([b"\x03"], patience=200)
    system = at_vantage(program, typist, ram=4, traced=False)
    assert system.run().signal == 2
    assert system.kernel.taken < LIVE_INSTRUCTIONS


def test_a_terminal_that_goes_away_hangs_up_on_its_program() -> None:
    program = Program()
    program.say(b"?\n")
    program.call("read", 0, program.room(16), 16)
    program.exit()
    assert at_vantage(program, Typist([b""]), ram=4).run().signal == 1


def test_the_foreground_learns_the_new_size_of_the_window() -> None:
    program = Program()
    size = program.room(16)
    program.on_signal(28, "@handler")
    program.call("pause")
    program.label("handler")
    program.call("ioctl", 0, 0x5413, size)
    program.dump(size, 8)
    program.exit()

    class Window(Typist):
        def wait(self, seconds: float | None) -> Any:
            return None, (50, 132)

    typist = Window([])
    assert at_vantage(program, typist, ram=4).run().exit_code == 0
    assert bytes(typist.screen) == bytes((50, 0, 132, 0, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("terminals", "answers"),
    [((False,) * 3, [-25] * 3), ((False, True, False), [-25, 0, -25]), ((True,) * 3, [0] * 3)],
)
def test_the_console_is_a_terminal_only_if_the_hosts_is(
    terminals: tuple[bool, bool, bool], answers: list[int]
) -> None:
    program = Program()
    for stream in range(3):
        program.call("ioctl", stream, 0x5401, program.room(64))
    program.exit()
    system = System(program, ram=4)
    system.kernel.machine.console.state.terminals = terminals
    assert system.run().results("ioctl") == answers


def test_a_session_without_its_leader_has_no_terminal() -> None:
    """Its foreground group gets SIGHUP, and the terminal is free for the next session leader."""
    program = Program()
    program.fork("leader")
    program.wait()
    program.sleep(10**6)
    program.wait()
    program.exit()
    program.label("leader")
    program.call("ioctl", 0, 0x5422, 0)
    program.call("setsid")
    program.call("ioctl", 0, 0x540E, 0)
    program.fork("member")
    program.sleep(10**6)
    program.exit()
    program.label("member")
    program.on_signal(1, "@handler")
    program.call("pause")
    program.exit(1)
    program.label("handler")
    program.call("ioctl", 0, 0x540F, program.room(16))
    program.exit(2)
    system = System(program, ram=4, user=Credentials())
    system.kernel.machine.console.state.terminals = (True, True, True)
    system.kernel.ipc.ask(system.kernel.ipc.well_known.console.endpoint, 3, "adopt", (0, 0))
    run = system.run()
    assert run.results("ioctl", 2)[1] == 0
    assert run.results("ioctl", 3) == [-25]
