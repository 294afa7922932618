"""The system server: name and version of the system (uname(2))."""

from __future__ import annotations

from dataclasses import dataclass

from kernel.abi.errno import E
from kernel.abi.message import Message, Port, Reply

UTSNAME = (b"Linux", b"vantage", b"6.6.0-vantage", b"#1 first class", b"x86_64", b"(none)")
"""Programs ask for the version of Linux whose calls they find: 6.6 has the newest one that is here,
fchmodat2."""


@dataclass(slots=True)
class System:
    """It answers with constants."""

    name: str = "system"

    def handle(self, message: Message, port: Port) -> Reply:
        if message.operation == "uname":
            return Reply(data=b"\0".join(UTSNAME))
        return Reply(0 if message.operation == "close" else -E.INVAL)

    def interrupt(self, port: Port) -> None:
        """It has no device."""

    def restarted(self) -> System:
        return System()
