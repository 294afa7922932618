"""Endpoints: rendezvous, replies, capabilities, names, and what happens when somebody dies."""

from __future__ import annotations

import json
import struct
from dataclasses import asdict
from typing import Any

import pytest

from kernel import turns
from kernel.abi.errno import E
from kernel.abi.message import Message, Port, Reply, Server
from tests.kernel.asm import Program
from tests.kernel.system import System, boot_program, run_code, still

LAYOUT = struct.Struct("<7QQQQii")
SLEEP = 1_000_000
SIGUSR1, RESTART = 10, 0x1000_0000


def message(
    program: Program,
    label: int = 0,
    words: tuple[int, ...] = (),
    data: int = 0,
    size: int = 0,
    room: int = 0,
    cap: int = -1,
) -> int:
    """A struct ipc_msg in the program's data; returns its address."""
    six = (*words, *[0] * 6)[:6]
    return program.put(LAYOUT.pack(label, *six, data, size, room, cap, 0))


def seen(output: bytes) -> tuple[Any, ...]:
    """label, words, data_bytes, cap, sender of a struct that was written to the console."""
    fields = LAYOUT.unpack(output[: LAYOUT.size])
    return fields[0], fields[1:7], fields[8], fields[10], fields[11]


def pair() -> Program:
    """An endpoint as descriptor 3, a server in the parent, a client at label `client`."""
    program = Program()
    program.call("ipc_endpoint")
    program.fork("client")
    program.keep("r15")
    return program


def test_a_call_is_answered_and_both_see_all_words() -> None:
    program = pair()
    got = message(program)
    program.call("ipc_recv", 3, got)
    program.keep("rbx")
    program.dump(got, LAYOUT.size)
    program.call("ipc_reply", "rbx", message(program, 8, (9, 8, 7, 6, 5, 4)))
    program.wait()
    program.exit()
    program.label("client")
    sent = message(program, 77, (1, 2, 3, 4, 5, 1 << 63))
    program.call("ipc_call", 3, sent)
    program.dump(sent, LAYOUT.size)
    program.exit()
    run = run_code(program)
    assert seen(run.output) == (77, (1, 2, 3, 4, 5, 1 << 63), 0, -1, 2)
    assert seen(run.output[LAYOUT.size :]) == (8, (9, 8, 7, 6, 5, 4), 0, -1, 0)


@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_it_does_not_matter_who_comes_first(cpus: int) -> None:
    for late in ("server", "client"):
        program = pair()
        if late == "server":
            program.sleep(SLEEP)
        program.call("ipc_recv", 3, message(program))
        program.keep("rbx")
        program.call("ipc_reply", "rbx", message(program, 5))
        program.wait()
        program.exit()
        program.label("client")
        if late == "client":
            program.sleep(SLEEP)
        program.call("ipc_call", 3, message(program))
        program.exit()
        assert run_code(program, cpus=cpus).results("ipc_call") == [0]


def test_a_one_way_message_waits_for_its_receiver_and_for_nothing_else() -> None:
    program = pair()
    program.sleep(SLEEP)
    program.say(b"a")
    program.call("ipc_recv", 3, message(program))
    program.keep("rbx")
    program.call("ipc_reply", "rbx", message(program))
    program.wait()
    program.exit()
    program.label("client")
    program.call("ipc_send", 3, message(program))
    program.say(b"b")
    program.exit()
    run = run_code(program)
    assert run.output == b"ab"
    assert run.results("ipc_recv") == [0]
    assert run.results("ipc_reply") == [-E.INVAL]


def test_messages_come_in_the_order_in_which_they_were_sent() -> None:
    program = Program()
    program.call("ipc_endpoint")
    for label in (1, 2, 3):
        program.call("fork")
        program.jump_unless_zero(f"parent{label}")
        program.sleep(SLEEP * label)
        program.call("ipc_send", 3, message(program, label))
        program.exit()
        program.label(f"parent{label}")
    program.sleep(10 * SLEEP)
    for _ in range(3):
        got = message(program)
        program.call("ipc_recv", 3, got)
        program.dump(got, 1)
    program.exit()
    assert run_code(program).output == b"\x01\x02\x03"


def test_data_that_does_not_fit_is_cut_off() -> None:
    program = pair()
    buffer = program.room(16)
    got = message(program, data=buffer, room=5)
    program.call("ipc_recv", 3, got)
    program.keep("rbx")
    program.dump(buffer, 8)
    program.dump(got, LAYOUT.size)
    text = program.put(b"abcdefgh")
    program.call("ipc_reply", "rbx", message(program, data=text, size=8))
    program.wait()
    program.exit()
    program.label("client")
    mine = program.put(b"12345678")
    sent = message(program, data=mine, size=8, room=3)
    program.call("ipc_call", 3, sent)
    program.dump(mine, 8)
    program.exit()
    output = run_code(program).output
    assert output[:8] == b"12345\0\0\0"
    assert seen(output[8:])[2] == 5
    assert output[8 + LAYOUT.size :] == b"abc45678"


def test_a_token_is_worth_nothing_to_another_process_and_only_once_to_its_own() -> None:
    program = pair()
    program.call("ipc_recv", 3, message(program))
    program.keep("rbx")
    program.fork("thief")
    program.wait("rax")
    for _ in range(2):
        program.call("ipc_reply", "rbx", message(program))
    program.call("ipc_reply", 0, message(program))
    program.call("ipc_reply", -1, message(program))
    program.exit()
    program.label("thief")
    program.call("ipc_reply", "rbx", message(program))
    program.call("ipc_reply_recv", "rbx", 3, message(program))
    program.exit()
    program.label("client")
    program.call("ipc_call", 3, message(program))
    program.exit()
    run = run_code(program)
    assert run.results("ipc_reply", 3) == run.results("ipc_reply_recv") == [-E.INVAL]
    assert run.results("ipc_reply", 1) == [0, -E.INVAL, -E.INVAL, -E.INVAL]


def test_a_capability_travels_with_a_message_and_with_a_reply() -> None:
    """The client passes an endpoint of its own; the server sends on it."""
    program = pair()
    got = message(program)
    program.call("ipc_recv", 3, got)
    program.keep("rbx")
    program.dump(got, LAYOUT.size)
    program.call("ipc_reply", "rbx", message(program, cap=3))
    program.call("ipc_send", 4, message(program, 55))
    program.wait()
    program.exit()
    program.label("client")
    program.call("ipc_endpoint")
    sent = message(program, cap=4)
    program.call("ipc_call", 3, sent)
    program.dump(sent, LAYOUT.size)
    got = message(program)
    program.call("ipc_recv", 4, got)
    program.dump(got, 1)
    program.exit()
    output = run_code(program).output
    assert seen(output)[3] == 4
    assert seen(output[LAYOUT.size :])[3] == 5
    assert output[2 * LAYOUT.size :] == bytes([55])


def test_a_program_that_gives_its_console_away_gives_a_working_one() -> None:
    program = pair()
    program.call("ipc_recv", 3, message(program))
    program.call("write", 4, program.put(b"through it"), 10)
    program.call("close", 4)
    program.say(b", still open")
    program.wait()
    program.exit()
    program.label("client")
    program.call("ipc_send", 3, message(program, cap=1))
    program.exit()
    assert run_code(program).output == b"through it, still open"


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("ipc_call", (9, 0), E.BADF),
        ("ipc_call", (0, 0), E.INVAL),
        ("ipc_call", (3, 8), E.FAULT),
        ("ipc_send", (9, 0), E.BADF),
        ("ipc_send", (0, 0), E.INVAL),
        ("ipc_send", (3, (1 << 64) - 8), E.FAULT),
        ("ipc_recv", (9, 0), E.BADF),
        ("ipc_recv", (1, 0), E.INVAL),
        ("ipc_recv", (3, 8), E.FAULT),
        ("ipc_reply", (5, 8), E.FAULT),
        ("ipc_lookup", (8,), E.FAULT),
        ("ipc_publish", (8, 3), E.FAULT),
        ("ipc_publish", (8, 9), E.BADF),
        ("ipc_publish", (8, 0), E.INVAL),
    ],
)
def test_errors_of_the_calls(name: str, arguments: tuple[int, ...], error: E) -> None:
    program = Program()
    program.call("ipc_endpoint")
    program.call(name, *arguments)
    program.exit()
    assert run_code(program).results(name) == [-error]


def test_errors_of_what_a_message_says() -> None:
    program = Program()
    program.call("ipc_endpoint")
    program.call("ipc_send", 3, message(program, size=65_537))
    program.call("ipc_send", 3, message(program, data=8, size=5))
    program.call("ipc_send", 3, message(program, cap=99))
    program.exit()
    assert run_code(program).results("ipc_send") == [-E.INVAL, -E.FAULT, -E.BADF]


def test_a_receiver_without_room_for_a_message_does_not_lose_it() -> None:
    """EFAULT leaves the message where it was: its sender must not wait for ever."""
    program = pair()
    program.call("ipc_recv", 3, message(program, data=8, room=8))
    got = message(program)
    program.call("ipc_recv", 3, got)
    program.keep("rbx")
    program.call("ipc_reply", "rbx", got)
    program.wait()
    program.exit()
    program.label("client")
    text = program.put(b"12345678")
    program.call("ipc_call", 3, message(program, data=text, size=8))
    program.exit()
    run = System(program, source=lambda: b"", ram=4).run()
    assert run.results("ipc_recv")[0] == -E.FAULT
    assert run.results("ipc_call") == [0]


# Death ------------------------------------------------------------------------------------------


def test_a_server_that_ends_while_it_owes_a_reply_breaks_the_call() -> None:
    program = pair()
    program.call("ipc_recv", 3, message(program))
    program.fork("heir")
    program.wait()
    program.wait()
    program.exit()
    program.label("heir")
    program.call("ipc_recv", 3, message(program))
    program.exit()
    program.label("client")
    program.fork("second")
    program.call("ipc_call", 3, message(program))
    program.exit()
    program.label("second")
    program.sleep(SLEEP)
    program.call("ipc_call", 3, message(program))
    program.call("kill", 1, 15)
    program.exit()
    run = run_code(program)
    assert run.results("ipc_call", 3) == [-E.PIPE]


def test_the_last_descriptor_ends_an_endpoint() -> None:
    """A thread sleeps in a call while another closes the descriptor."""
    program = Program()
    program.call("ipc_endpoint")
    program.thread("caller")
    program.sleep(SLEEP)
    program.call("close", 3)
    program.sleep(SLEEP)
    program.exit()
    program.label("caller")
    program.call("ipc_call", 3, message(program))
    program.call("exit", 0)
    run = run_code(program)
    assert run.results("ipc_call")[0] in (-E.PIPE, -E.BADF)


def test_a_client_of_a_server_that_died_before_it_took_the_message_learns_of_it() -> None:
    """Nobody but the sleeping callers holds the endpoint: nobody can ever answer."""
    program = Program()
    program.call("ipc_endpoint")
    program.fork("server")
    program.call("ipc_call", 3, message(program))
    program.exit(3)
    program.label("server")
    program.sleep(SLEEP)
    program.exit()
    assert run_code(program).results("ipc_call") == [-E.PIPE]


@pytest.mark.parametrize("flags", [0, RESTART])
def test_a_call_that_a_signal_interrupts_is_withdrawn(flags: int) -> None:
    """The receiver sees one message, whether the call was given up or made anew."""
    program = pair()
    program.sleep(SLEEP)
    program.call("kill", "r15", SIGUSR1)
    program.sleep(SLEEP)
    got = message(program)
    program.call("ipc_recv", 3, got)
    program.keep("rbx")
    program.dump(got, 1)
    program.call("ipc_reply", "rbx", got)
    program.wait()
    program.exit()
    program.label("client")
    program.on_signal(SIGUSR1, "@handler", flags)
    program.call("ipc_call", 3, message(program, 1))
    if not flags:
        program.call("ipc_call", 3, message(program, 2))
    program.exit()
    program.label("handler")
    program.raw("c3")
    run = run_code(program)
    assert run.results("ipc_call") == ([0] if flags else [-E.INTR, 0])
    assert run.output == (b"\x01" if flags else b"\x02")


@pytest.mark.parametrize("cpus", [1, 2])
def test_a_message_is_not_lost_with_the_receiver_that_was_woken_for_it(cpus: int) -> None:
    """Two wait; the first is woken for a message and killed before it runs: the second gets it."""
    program = Program()
    program.call("ipc_endpoint")
    program.fork("receiver")
    program.keep("r15")
    program.sleep(SLEEP)
    program.fork("receiver")
    program.sleep(SLEEP)
    program.thread("sender")
    program.sleep(SLEEP)
    program.exit(1)
    program.label("receiver")
    program.call("ipc_recv", 3, message(program))
    program.exit()
    program.label("sender")
    program.call("ipc_send", 3, message(program))
    program.exit(0)
    system = System(program, ram=4, cpus=cpus)
    kernel = system.kernel
    turns.run_until(kernel, lambda: any(e.queue for e in kernel.ipc.endpoints.values()))
    kernel.life.exit_process(kernel.tasks.processes[2], 9)
    assert system.run().exit_code == 0


# Names ------------------------------------------------------------------------------------------


def test_a_name_leads_to_its_endpoint_is_taken_and_is_free_again_when_that_ends() -> None:
    program = Program()
    name, other = program.put(b"box\0"), program.put(b"nothing\0")
    program.call("ipc_endpoint")
    program.call("ipc_publish", name, 3)
    program.call("ipc_publish", name, 3)
    program.call("ipc_lookup", name)
    program.call("ipc_lookup", other)
    program.call("close", 3)
    program.call("close", 4)
    program.call("ipc_lookup", name)
    program.call("ipc_endpoint")
    program.call("ipc_publish", name, 3)
    program.call("ipc_publish", program.put(b"\0"), 3)
    program.call("ipc_publish", program.put(b"n" * 256 + b"\0"), 3)
    program.call("ipc_publish", program.put(b"n" * 255 + b"\0"), 3)
    program.exit()
    run = run_code(program)
    assert run.results("ipc_publish") == [0, -E.EXIST, 0, -E.INVAL, -E.NAMETOOLONG, 0]
    assert run.results("ipc_lookup") == [4, -E.NOENT, -E.NOENT]


def test_there_is_no_descriptor_left_for_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kernel.task.descriptors.MAX_DESCRIPTORS", 4)
    program = Program()
    name = program.put(b"box\0")
    program.call("ipc_endpoint")
    program.call("ipc_publish", name, 3)
    program.call("ipc_lookup", name)
    program.exit()
    assert run_code(program).results("ipc_lookup") == [-E.MFILE]


# Plain data -------------------------------------------------------------------------------------


class Listening:
    """A server that passes on what it hears and says, and keeps a copy."""

    def __init__(self, server: Server, heard: list[Message | Reply]) -> None:
        self.name, self.server, self.heard = server.name, server, heard

    def handle(self, message: Message, port: Port) -> Reply:
        self.heard.append(message)
        reply = self.server.handle(message, port)
        self.heard.append(reply)
        return reply

    def interrupt(self, port: Port) -> None:
        self.server.interrupt(port)

    def restarted(self) -> Server:
        return Listening(self.server.restarted(), self.heard)


@pytest.mark.parametrize("name", ["hello", "pingpong", "forks", "signals"])
def test_every_message_can_be_written_down_and_read_back(name: str) -> None:
    system, heard = System(name, "2"), list[Message | Reply]()
    servers = system.kernel.ipc.servers
    for key in list(servers):
        servers[key] = Listening(servers[key], heard)
    system.run()
    assert heard
    for each in heard:
        fields = {k: v.hex() if isinstance(v, bytes) else v for k, v in asdict(each).items()}
        back = json.loads(json.dumps(fields))
        back["data"] = bytes.fromhex(back["data"])
        for key in {"words", "caps", "groups"} & set(back):
            back[key] = tuple(back[key])
        assert type(each)(**back) == each


class Nobody:
    """A port that must not be needed."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(name)


@pytest.mark.parametrize(
    "name", ["console", "devices", "files", "names", "pipes", "proc", "sockets", "system"]
)
def test_a_server_refuses_what_it_does_not_know_and_lives_on(name: str) -> None:
    kernel = still().kernel
    endpoint = next(e.id for e in kernel.ipc.endpoints.values() if e.server == name)
    for badge in (0, 1, 3, 1 << 50):
        reply = kernel.ipc.ask(endpoint, badge, "dance")
        assert reply.result in (-E.INVAL, -E.PERM, -E.IO)
    assert not kernel.ipc.restarts


def test_the_system_says_who_it_is() -> None:
    program = Program()
    out = program.room(400)
    program.call("uname", out)
    program.dump(out, 390)
    program.exit()
    fields = [f.rstrip(b"\0") for f in struct.unpack("65s" * 6, run_code(program).output)]
    assert fields[:2] == [b"Linux", b"vantage"]
    assert fields[4] == b"x86_64"


def test_a_thousand_calls_leave_nothing_behind() -> None:
    system = System("pingpong", "1000", ram=4)
    assert system.run().output == b"1000 calls, 1000 right answers\n"
    ipc = system.kernel.ipc
    assert (ipc.callers, ipc.received) == ({}, {})
    assert boot_program("pingpong", "30", cpus=4).status == 0
