"""The system server: who this system is (uname)."""

from __future__ import annotations

from dataclasses import dataclass

from kernel.abi.errno import E
from kernel.abi.message import Message, Port, Reply

UTSNAME = (b"Linux", b"vantage", b"4.11.0-vantage", b"#1 first class", b"x86_64", b"(none)")
"""It says Linux because stock C libraries look for a version; 4.11 was current at the RFC."""


@dataclass(slots=True)
class System:
    """Answers with constants."""

    name: str = "system"

    def handle(self, message: Message, port: Port) -> Reply:
        if message.operation == "uname":
            return Reply(data=b"\0".join(UTSNAME))
        return Reply(0 if message.operation == "close" else -E.INVAL)

    def interrupt(self, port: Port) -> None:
        """It has no device."""

    def restarted(self) -> System:
        return System()
