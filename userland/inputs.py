"""The inputs of a run besides its program: the variables that it finds, and its terminal.

They have fixed values unless the user says otherwise, so that a run does not depend on whose
window it was started from.  A trace carries them in its header.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass, field

from hw.devices import Size
from hw.host import UserError, is_terminal
from kernel.boot import ACCOUNTS
from kernel.task.credentials import Credentials

MOST_UID = (1 << 32) - 2
WINDOW: Size = (24, 80)
"""Rows and columns that a program is told, unless the user asks for others."""
HOST_WINDOW = "host"


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the system, as /etc/passwd has it."""

    name: str
    uid: int
    gid: int
    home: str

    @property
    def credentials(self) -> Credentials:
        return Credentials(self.uid, self.gid, (self.gid,) if self.uid else ())


def _accounts() -> list[Account]:
    lines = ACCOUNTS[b"/etc/passwd"].decode().splitlines()
    rows = [line.split(":") for line in lines]
    return [Account(name, int(uid), int(gid), home) for name, _, uid, gid, _, home, _ in rows]


def account_of(word: str) -> Account:
    """The user with this name or uid; /etc/passwd need not know the uid.  Raises `UserError`."""
    for account in _accounts():
        if word in (account.name, str(account.uid)):
            return account
    if not word.isdecimal() or int(word) > MOST_UID:
        names = ", ".join(account.name for account in _accounts())
        raise UserError(f"there is no user {word}", f"give a number, or one of {names}")
    return Account(word, int(word), int(word), "/")


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a run is given, in the order in which the program finds it."""

    environment: tuple[bytes, ...] = ()
    terminals: tuple[bool, bool, bool] = (False, False, False)
    """Which of input, output and errors are a terminal for the program."""
    window: Size | None = WINDOW
    """Rows and columns; None: those of the host's window, now and whenever they change."""
    user: int = 1000
    module: dict[str, object] = field(default_factory=dict)
    """What is on the NVM module, in a few words."""

    def header(self) -> dict[str, object]:
        """What a trace's header says of them.  The sizes of a host's window are records."""
        return {
            "environment": [one.decode(errors="backslashreplace") for one in self.environment],
            "terminals": list(self.terminals),
            "window": list(self.window) if self.window else HOST_WINDOW,
            "user": self.user,
            **self.module,
        }


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """The options that say what a program is given."""
    group = parser.add_argument_group("what the program finds (the same on every host)")
    group.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME[=VALUE]",
        help="set a variable; without a value, to what it is here; may come again",
    )
    group.add_argument(
        "--window",
        metavar="ROWSxCOLUMNS",
        type=_window,
        help="the terminal's size (default 24x80); 'host': that of this window, as it changes",
    )
    group.add_argument(
        "--no-tty", action="store_true", help="no terminal for the program, even on a terminal"
    )
    group.add_argument(
        "--user", default="user", metavar="NAME|UID", help="who runs it (default user; or root)"
    )


def inputs_of(
    options: argparse.Namespace, defaults: dict[str, str], *, follow: bool = False
) -> Inputs:
    """The inputs that the options ask for; `follow`: the default window is the host's.

    Raises `UserError`.
    """
    account = account_of(options.user)
    if "USER" in defaults:
        defaults = defaults | {"USER": account.name, "HOME": account.home}
    known = {name.encode(): value.encode() for name, value in defaults.items()}
    for word in options.env:
        name, sign, value = word.partition("=")
        if not name:
            raise UserError(f"--env {word} names no variable", "write NAME=VALUE, or NAME")
        if not sign and name not in os.environ:
            raise UserError(f"{name} is not set here", f"write --env {name}=VALUE")
        known[os.fsencode(name)] = os.fsencode(value if sign else os.environ[name])
    streams = (sys.stdin, sys.stdout, sys.stderr)
    reads, writes, complains = (is_terminal(s) and not options.no_tty for s in streams)
    window = options.window or (HOST_WINDOW if follow else WINDOW)
    return Inputs(
        tuple(name + b"=" + value for name, value in known.items()),
        (reads, writes, complains),
        None if isinstance(window, str) else window,
        account.uid,
    )


def _window(text: str) -> Size | str:
    rows, cross, columns = text.partition("x")
    if text == HOST_WINDOW:
        return text
    if not (cross and rows.isdecimal() and columns.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not ROWSxCOLUMNS, such as 24x80, nor host")
    if not (1 <= int(rows) <= 65535 and 1 <= int(columns) <= 65535):
        raise argparse.ArgumentTypeError("a window has 1 to 65535 rows and columns")
    return int(rows), int(columns)
