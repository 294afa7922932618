"""A process that is frozen, and another one in which it is brought back."""

from __future__ import annotations

from typing import Any

from kernel import invariants
from kernel.abi.errno import E
from kernel.life.life import CloneRequest
from kernel.syscalls import TABLE
from kernel.task.image import ProcessImage
from kernel.task.process import Process, Thread
from tests.kernel.asm import NUMBERS
from tests.kernel.vas_world import (
    HERE,
    RW,
    THERE,
    World,
)


class Clinic(World):
    """A process that is frozen, and `other`, in which it is brought back.  Neither runs."""

    def __init__(self, **wishes: Any) -> None:
        super().__init__(**{"ram": 8, "init": True, **wishes})
        self.other = self.stranger()
        self.kernel.life.main = self.other.pid  # the first may end, and the system goes on

    def stranger(self) -> Thread:
        """A process of the same user that has nothing in common with the first."""
        child = self.fork()
        child.process.parent = self.kernel.tasks.processes[1]
        self.process.children.remove(child.process)
        child.process.parent.children.append(child.process)
        self.exec(child)
        return child

    def freeze(self, by: Thread | None = None) -> int:
        """The first process's checkpoint, made by `other`."""
        return self.ask("vas_fork", self.process.pid, thread=by or self.other)

    def frozen(self) -> int:
        vid = self.freeze()
        assert vid > 0, E(-vid)
        return vid

    def image(self, vid: int) -> ProcessImage:
        image = self.kernel.vases.vases[vid].image
        assert image is not None
        return image

    def revive(self, vid: int, by: Thread | None = None, pid: int = 0) -> int:
        """`other` becomes the checkpoint; the first process asks for it."""
        return self.ask("vas_exec", pid or self.other.pid, vid, thread=by or self.thread)

    def revived(self, vid: int | None = None) -> Process:
        vid, process = vid or self.frozen(), self.other.process
        result = self.revive(vid)
        assert result == 0, E(-result)
        self.other = process.threads[0]
        invariants.check(self.kernel)
        return process

    def become(self, thread: Thread, vid: int) -> Process:
        """The caller itself becomes the checkpoint: its call has no result."""
        process = thread.process
        result = TABLE[NUMBERS["vas_exec"]].invoke(self.kernel, thread, (0, vid, 0, 0, 0, 0))
        assert result is None
        invariants.check(self.kernel)
        return process

    def stranger_of(self, thread: Thread) -> Thread:
        """One more process, which is the child of nobody that matters."""
        child = self.kernel.life.clone(thread, CloneRequest())
        self.exec(child)
        return child


def byte(process: Process, at: int) -> bytes:
    return process.space.read(at, 1)


def pipe(clinic: Clinic) -> tuple[int, int]:
    at = clinic.put(bytes(8))
    assert clinic.ask("pipe", at) == 0
    data = clinic.process.space.read(at, 8)
    return int.from_bytes(data[:4], "little"), int.from_bytes(data[4:], "little")


def attach_all(clinic: Clinic) -> tuple[int, int, int]:
    """A VAS with a segment in it and one for the process alone, and a segment at home."""
    vid, home = clinic.vas("room"), clinic.segment("home", THERE)
    sid, own = clinic.segment("wall", HERE), clinic.segment("own", HERE + (1 << 30))
    assert clinic.ask("vas_seg_attach", vid, sid, RW) == 0
    assert clinic.ask("vas_attach", 0, vid, RW) == 0
    assert clinic.ask("vas_local_attach", vid, own, RW) == 0
    assert clinic.ask("vas_seg_attach", 0, home, RW) == 0
    return vid, home, own
