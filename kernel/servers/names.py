"""The name server: programs publish endpoints under names and look them up."""

from __future__ import annotations

from dataclasses import dataclass, field

from kernel.abi.errno import E
from kernel.abi.message import Message, Port, Reply


@dataclass(slots=True)
class Names:
    """One flat space of names.  A name whose endpoint has ended can be taken again."""

    name: str = "names"
    endpoints: dict[bytes, int] = field(default_factory=dict)

    def handle(self, message: Message, port: Port) -> Reply:
        if message.operation == "publish":
            if port.is_alive(self.endpoints.get(message.data, 0)):
                return Reply(-E.EXIST)
            self.endpoints[message.data] = message.caps[0]
            return Reply()
        if message.operation == "lookup":
            found = self.endpoints.get(message.data)
            return Reply(caps=(found,)) if found else Reply(-E.NOENT)
        return Reply(0 if message.operation == "close" else -E.INVAL)

    def interrupt(self, port: Port) -> None:
        """It has no device."""

    def restarted(self) -> Names:
        return Names()
