"""Recordings of shipped programs, and histories that close when a test is over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hw.machine import MachineConfig
from hw.panel.layout import compose
from hw.panel.model.history import History
from hw.panel.picture.draw import Command
from hw.panel.session import Session
from hw.panel.user import showing
from hw.panel.user.over import draw_over
from hw.trace import Trace
from kernel import turns
from kernel.boot import Config, boot, spawn, trace_header
from kernel.kernel import Kernel
from userland.programs import built_in, describe, read_program

PROGRAMS = ("cow", "forks", "threads", "racy", "faults")
_open: list[History] = []


def record(path: Path, name: str, traps: int | None = None, cpus: int = 1) -> Kernel:
    """Record a shipped program: to its end, or for a given number of traps."""
    kernel = boot(Config(MachineConfig(cpus=cpus)), built_in(), lambda data: None)
    program = read_program(name)
    with path.open("wb") as sink:
        trace = Trace(trace_header(kernel, describe(name, program)), sink)
        kernel.machine.attach_trace(trace)
        process = spawn(kernel, program, [name.encode()], [], Config().user)
        if traps is None:
            turns.run(kernel, lambda: process.zombie)
        else:
            turns.run_traps(kernel, traps)
        trace.close()
    return kernel


def opened(path: Path) -> History:
    """The history of a file, scanned completely and positioned at its start."""
    history = History(path)
    _open.append(history)
    history.scan_all()
    return history


def drawn(session: Session) -> list[Command]:
    """The draw commands of the whole window."""
    return compose(showing.view(session), *session.size) + draw_over(session)


@pytest.fixture(autouse=True)
def closing() -> Iterator[None]:
    yield
    while _open:
        _open.pop().close()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of each program, under its name."""
    folder = tmp_path_factory.mktemp("traces")
    for name in PROGRAMS:
        record(folder / name, name, cpus=4 if name == "racy" else 1)
    return folder
