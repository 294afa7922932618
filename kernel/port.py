"""What the core does for Python servers: the other side of `kernel.message.Port`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kernel.clock import now_nanoseconds
from kernel.message import Reply

if TYPE_CHECKING:
    from kernel.kernel import Kernel
    from kernel.objects import MemoryObject


@dataclass(slots=True)
class CorePort:
    """`published` are the memory objects that servers made, by their capability ids."""

    kernel: Kernel
    published: dict[int, MemoryObject] = field(default_factory=dict)

    def reply(self, message_id: int, reply: Reply) -> None:
        self.kernel.ipc.reply(message_id, reply)

    def is_alive(self, endpoint: int) -> bool:
        return endpoint in self.kernel.ipc.endpoints

    def now(self) -> int:
        return now_nanoseconds(self.kernel.now())

    # Memory objects ---------------------------------------------------------------------------

    def publish(self, data: bytes) -> int:
        made = self.kernel.objects.file(data)
        made.holds += 1
        self.published[made.id] = made
        return made.id

    def load(self, cap: int, offset: int, size_bytes: int) -> bytes:
        return self.published[cap].load(offset, size_bytes)

    def store(self, cap: int, offset: int, data: bytes) -> None:
        self.published[cap].store(offset, data)

    def resize(self, cap: int, size_bytes: int) -> None:
        self.published[cap].resize(size_bytes)

    def drop(self, cap: int) -> None:
        for pfn in self.published.pop(cap).drop():
            self.kernel.frames.release(pfn)

    # The console --------------------------------------------------------------------------------

    def console_write(self, data: bytes, stream: int) -> None:
        self.kernel.machine.console.write(data, stream)

    def console_read(self, size_bytes: int) -> bytes | None:
        return self.kernel.machine.console.read(size_bytes)
