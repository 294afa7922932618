"""When a server dies and is restarted, no process, open file or byte in a pipe is lost."""

from __future__ import annotations

from typing import Any

import pytest

from kernel import invariants, turns
from kernel.abi.errno import E
from kernel.abi.message import Message, Port, Reply, Server
from kernel.abi.nodes import O_NOFOLLOW, O_PATH
from tests.kernel.asm import Program
from tests.kernel.system import System

SCRIPT = """
cd /tmp; mkdir d; echo one > d/a; exec 5> d/b; echo two >&5
for i in 1 2 3 4 5 6; do echo $i; cat d/a; done | grep -v one | sort -r | tee d/c >&5
mv d/a d/e; ln -s e d/f; cat d/f d/b; wc -l < d/c; ls d; cat /proc/self/comm
head -c 5 /dev/zero | wc -c; (sleep 1; echo late) & wait; uname; rm -r d; ls
"""


def undisturbed() -> bytes:
    return System("sh", "-c", SCRIPT, traced=False, watched=False).run().output


@pytest.mark.parametrize(
    "name", ["console", "devices", "files", "pipes", "proc", "segs", "sysfs", "system"]
)
def test_a_server_that_is_killed_again_and_again_loses_nobody(name: str) -> None:
    expected = undisturbed()
    assert expected.count(b"\n") > 12
    system = System("sh", "-c", SCRIPT, traced=False, watched=False)
    kernel, killed = system.kernel, 0
    while not system.process.zombie:
        turns.run_traps(kernel, 97)
        kernel.ipc.restart(name, "killed by a test")
        killed += 1
        invariants.check(kernel)
    assert killed > 5
    assert (b"".join(system.written), system.process.exit_status) == (expected, 0)


class Faulty:
    """A server with a bug: it crashes on one operation."""

    def __init__(self, server: Server, operation: str) -> None:
        self.name, self.server, self.operation = server.name, server, operation

    def handle(self, message: Message, port: Port) -> Reply:
        if message.operation == self.operation:
            raise ZeroDivisionError("a bug")
        return self.server.handle(message, port)

    def interrupt(self, port: Port) -> None:
        self.server.interrupt(port)

    def restarted(self) -> Server:
        return self.server.restarted()


def test_a_call_that_crashes_a_server_fails_and_the_system_lives_on() -> None:
    program = Program()
    out = program.room(400)
    program.call("uname", out)
    program.call("uname", out)
    program.exit()
    system = System(program)
    servers = system.kernel.ipc.servers
    servers["system"] = Faulty(servers["system"], "uname")
    run = system.run()
    assert run.results("uname") == [-E.IO, 0]
    assert system.kernel.ipc.restarts == ["system"]
    assert any(b"ZeroDivisionError: a bug" in line for line in run.logs)


def test_under_debug_the_bug_of_a_server_is_a_traceback() -> None:
    program = Program()
    program.call("uname", program.room(400))
    system = System(program)
    servers = system.kernel.ipc.servers
    servers["system"] = Faulty(servers["system"], "uname")
    system.kernel.ipc.debug = True
    with pytest.raises(ZeroDivisionError):
        system.run()


def shell(script: str, **wishes: Any) -> bytes:
    return System("sh", "-c", script, traced=False, watched=False, **wishes).run().output


def test_proc_shows_the_version_of_uname_and_every_core() -> None:
    assert shell("cat /proc/version").split()[:3] == [b"Linux", b"version", b"6.6.0-vantage"]
    assert shell("cat /proc/cpuinfo | grep -c processor", cpus=3) == b"3\n"


def test_what_was_there_at_boot_has_the_date_of_the_boot() -> None:
    rows = map(bytes.split, shell("ls -l / /bin /etc /home").splitlines())
    dates = {row[5] for row in rows if len(row) > 6}
    assert dates == {b"2017-03-13"}


def test_the_link_of_a_closed_descriptor_leads_nowhere() -> None:
    """The link in /proc stays open (O_PATH | O_NOFOLLOW) when what it led to is gone."""
    program = Program()
    link, empty, room = program.put(b"/proc/self/fd/1\0"), program.put(b"\0"), program.room(64)
    program.call("open", link, O_PATH | O_NOFOLLOW, 0)
    program.call("readlinkat", 3, empty, room, 64)
    program.call("close", 1)
    program.call("readlinkat", 3, empty, room, 64)
    program.exit()
    system = System(program)
    here, gone = system.run().results("readlinkat")
    assert here > 0
    assert gone == -E.NOENT
    assert system.kernel.ipc.restarts == []
