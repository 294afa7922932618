"""What non-volatile memory costs: attaching after a reboot, and making a page durable."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hw.files import scratch_folder
from hw.host import FileImage
from hw.machine import MachineConfig
from hw.nvm import ImageFailure
from kernel.boot import Config, boot, plug_in, spawn
from kernel.kernel import Kernel
from kernel.mm.regions import Region
from kernel.task.credentials import Credentials
from kernel.vas.persistent import Persistence
from tests.bench.measure import Reading, best, cost
from userland.nvm import format_file
from userland.programs import read_program

ROOT = Credentials()
PLACE, PAGE, READ_WRITE = 1 << 44, 4096, 6
FEW, MANY, MIB = 100, 100_000, 512
MICRO, MILLI, REPEATS = 1e6, 1e3, 7


@contextmanager
def on_module(path: Path, mib: int) -> Iterator[tuple[Kernel, Persistence]]:
    """A machine that has booted on the file."""
    image = FileImage(path, ImageFailure, keep=False)
    try:
        kernel = boot(Config(MachineConfig(nvm_mib=mib)), {}, lambda data: None)
        plug_in(kernel, image)
        assert kernel.persistence is not None
        yield kernel, kernel.persistence
    finally:
        image.close()


def _make(path: Path, pages: int) -> None:
    """A persistent VAS of so many pages, in a module of its own."""
    format_file(path, MIB)
    with on_module(path, MIB) as (kernel, persistence):
        vas = kernel.vases.create(ROOT, b"vas", 0o600)
        persistence.keep(vas)
        memory = kernel.memory.objects.anonymous()
        memory.account = vas.account
        vas.space.map_region(Region(PLACE, PLACE + pages * PAGE, 3, memory))
        persistence.settle()
        kernel.machine.nvm.write_back()


def _attach(path: Path) -> float:
    """Boot on the file, and attach: the seconds of the second."""
    with on_module(path, MIB) as (kernel, _):
        process = spawn(kernel, read_program("hello"), [b"hello"], [], ROOT)
        vid = next(iter(kernel.vases.vases))
        begun = time.perf_counter()
        kernel.vases.attach(process, 0, vid, READ_WRITE)
        return time.perf_counter() - begun


def _boot(path: Path) -> float:
    begun = time.perf_counter()
    with on_module(path, MIB):
        return time.perf_counter() - begun


def _many_and_few(timing: Callable[[Path], float]) -> tuple[float, float]:
    with scratch_folder("nvm") as folder:
        _make(folder / "many", MANY)
        _make(folder / "few", FEW)
        many, few = best(REPEATS, lambda: timing(folder / "many"), lambda: timing(folder / "few"))
    return many, few


def attach() -> Reading:
    many, few = _many_and_few(_attach)
    return cost(many * MICRO, few * MICRO)


def reboot() -> Reading:
    many, few = _many_and_few(_boot)
    return cost(many * MILLI, few * MILLI)


def commit() -> Reading:
    """msync of a page that has just been stored to, and the host's write and fdatasync of one."""
    with scratch_folder("nvm") as folder:
        format_file(folder / "module", 1)
        with on_module(folder / "module", 1) as (kernel, persistence):
            segment = kernel.vases.make_segment(ROOT, b"s", PLACE, PLACE + PAGE, 0o600)
            persistence.keep(segment)
            pa = segment.object.frame_to_write(0, shared=True) << 12
            nvm, memory = kernel.machine.nvm, kernel.machine.memory
            descriptor = os.open(folder / "plain", os.O_RDWR | os.O_CREAT)
            os.truncate(descriptor, 1 << 20)

            def ours() -> float:
                memory.write(pa, os.urandom(PAGE))
                begun = time.perf_counter()
                nvm.flush_range(pa, PAGE)
                nvm.fence()
                return time.perf_counter() - begun

            def hosts() -> float:
                page = os.urandom(PAGE)
                begun = time.perf_counter()
                os.lseek(descriptor, 8 * PAGE, os.SEEK_SET)
                os.write(descriptor, page)
                getattr(os, "fdatasync", os.fsync)(descriptor)
                return time.perf_counter() - begun

            mine, host = best(10 * REPEATS, ours, hosts)
            os.close(descriptor)
    return cost(mine * MICRO, host * MICRO)


ROWS = (
    (
        "nvm/attach",
        "us",
        "<= 1.5",
        f"Attaching a persistent VAS of {MANY:,} pages after a reboot, against one of {FEW}: 1 "
        "means that nothing is done per page.",
        attach,
    ),
    (
        "nvm/reboot",
        "ms",
        "<= 1.5",
        "Booting on the module that holds it, against one that holds the small one.",
        reboot,
    ),
    (
        "nvm/commit",
        "us",
        "<= 3",
        "Making one page durable, against the host's write and fdatasync of one.",
        commit,
    ),
)
