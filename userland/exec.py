"""`run.py exec`: boot, run one program on the host's terminal, and exit as it did."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from hw.host import UserError, is_terminal, run_interruptible
from hw.terminal import GuestTerminal, guest_terminal
from hw.trace import Trace
from kernel.abi.errno import E, KernelError
from kernel.boot import Config, add_machine_options, boot, config_from, spawn, trace_header
from kernel.kernel import Deadlock, Kernel
from kernel.strace import Strace, error_name
from kernel.task.process import Process
from kernel.wait import signals
from userland.live import Link, beside_panel, is_possible, narrating, trace_file
from userland.programs import built_in, describe, read_program

EXAMPLES = """\
examples:
  run.py exec hello                     a program that comes with Vantage
  run.py exec ./a.out one two           a static x86-64 ELF of your own (see run.py cc)
  run.py exec --strace forks            every system call on standard error
  run.py exec --cpus 4 --seed 7 racy    four cores, and another interleaving
  run.py exec --trace t.vtrace cow      record everything that happens
  run.py exec --panel threads           see it live, and go back in it
  run.py exec --captions hello          what happens, a sentence for each event

The exit status is the program's; 128 + n if signal n ended it.
"""

CANNOT_RUN = {
    E.NOEXEC: "it is not a static x86-64 ELF program; build one with `run.py cc FILE.c -o OUT`",
    E.NOMEM: "it does not fit into memory; try a larger --ram",
    E.BIG: "its arguments are too long",
}


@dataclass
class Recording:
    """Where the records of a run go."""

    path: Path | None = None
    strace: bool = False
    program: dict[str, Any] | None = None
    """What the header says of the program."""
    panel: bool = False
    paused: bool = False
    captions: bool = False

    @property
    def watched(self) -> bool:
        """Somebody reads the records while they are made."""
        return self.panel or self.captions


def main(argv: list[str]) -> int:
    """The exec command; returns the exit status of the program."""
    options = _parser().parse_args(argv)
    config = configuration(options)
    program = read_program(options.program)
    environment = [b"PATH=/bin", b"HOME=/", b"TERM=" + os.environ.get("TERM", "dumb").encode()]
    path = b"/bin/" + os.fsencode(Path(options.program).name)
    kernel = boot(config, built_in() | {path: program}, write_out, read_in)
    arguments = [os.fsencode(word) for word in (options.program, *options.arguments)]
    wish = wish_of(options, options.program, program)
    with observed(kernel, wish) as link:
        try:
            process = spawn(kernel, program, arguments, environment, config.user, path)
        except KernelError as error:
            remedy = CANNOT_RUN.get(error.number, error_name(error.number))
            raise UserError(f"cannot run {options.program}", remedy) from error
        return run_on_terminal(kernel, process, debug=options.pdb, link=link)


def wish_of(options: argparse.Namespace, name: str, program: bytes) -> Recording:
    """Who is to look on, from the options."""
    panel = options.panel and is_possible()
    wish = Recording(options.trace, options.strace, None, panel, options.paused, options.captions)
    if wish.path or wish.watched:
        wish.program = describe(name, program)
    return wish


@contextlib.contextmanager
def observed(kernel: Kernel, wish: Recording) -> Iterator[Link | None]:
    """The host's streams are the console's, and who was asked to looks on: a file, the log of
    calls, the panel, or a teller of captions."""
    with contextlib.ExitStack() as stack:
        link = Link(stop_at=0 if wish.paused and wish.panel else None) if wish.watched else None
        if link is not None:
            wish.path = link.path = stack.enter_context(trace_file(wish.path))
        if link is not None and wish.panel:
            words = ["--captions"] if wish.captions else []
            stack.enter_context(beside_panel(kernel, link, *words))
        elif link is not None:
            link.narrator = stack.enter_context(narrating(link))
        stack.enter_context(connect_console(kernel))
        port = stack.enter_context(recording(kernel, wish))
        if link is not None and port is not None:
            link.trace, link.sink = port, port.sink
        yield link


def run_on_terminal(
    kernel: Kernel, process: Process, *, debug: bool = False, link: Link | None = None
) -> int:
    """Run to the end of `process` under Ctrl-C's control; returns a shell's exit status."""
    kernel.debug = debug
    ended: list[Process] = []

    def current() -> Kernel:
        """The system that runs now; another one, if the user has gone back."""
        return getattr(link, "kernel", kernel)

    def work() -> None:
        try:
            if link is not None:
                ended.append(link.run(kernel, process))
            else:
                kernel.run(lambda: process.zombie)
        except Deadlock:
            raise
        except Exception:
            if debug:
                import pdb

                pdb.post_mortem(sys.exc_info()[2])
            raise

    def abort() -> None:
        machine = current().machine
        machine.abort()
        keys = machine.console.keys
        if isinstance(keys, GuestTerminal):
            keys.interrupt()

    try:
        run_interruptible(work, abort)
    except Deadlock as deadlock:
        print(f"run.py exec: {deadlock}", file=sys.stderr)
        return 1
    for message in current().messages:
        print(f"kernel: {message}", file=sys.stderr)
    return exit_status(ended[0] if ended else process)


def exit_status(process: Process) -> int:
    """The program's status as a shell reports it; says which signal ended it."""
    signal = process.exit_status & 0x7F
    if not signal:
        return process.exit_status >> 8
    print(f"{process.name} was ended by {signals.name(signal)}", file=sys.stderr)
    return 128 + signal


def machine_options(argv: list[str]) -> argparse.Namespace:
    """The machine's options alone, parsed."""
    parser = argparse.ArgumentParser()
    add_machine_options(parser)
    return parser.parse_args(argv)


def configuration(options: argparse.Namespace) -> Config:
    """The parsed machine options, with wrong values as a sentence."""
    try:
        return config_from(options)
    except ValueError as error:
        raise UserError(str(error), "see --help") from error


@contextlib.contextmanager
def connect_console(kernel: Kernel) -> Iterator[None]:
    """The host's streams become the console's: a terminal where they are one, pipes elsewhere."""
    console = kernel.machine.console
    console.error_sink = write_errors
    reads, writes, complains = map(is_terminal, (sys.stdin, sys.stdout, sys.stderr))
    console.state.terminals = (reads, writes, complains)
    if not is_terminal(sys.stdin):
        yield
        return
    with guest_terminal() as keys:
        console.keys, console.terminal_sink = keys, keys.write
        try:
            yield
        finally:
            console.keys = None


@contextlib.contextmanager
def recording(kernel: Kernel, wish: Recording) -> Iterator[Trace | None]:
    """Attach a trace to the machine, if a file or the log of calls is wanted."""
    if wish.path is None and not wish.strace:
        yield None
        return
    with _open_for_writing(wish.path) as sink:
        end = "\r\n" if kernel.machine.console.keys else "\n"
        observer = Strace(lambda line: print(line, end=end, file=sys.stderr))
        header = trace_header(kernel, wish.program)
        trace = Trace(header, sink, observer if wish.strace else None)
        kernel.machine.attach_trace(trace)
        try:
            yield trace
        finally:
            trace.close()


@contextlib.contextmanager
def _open_for_writing(path: Path | None) -> Iterator[BinaryIO | None]:
    if path is None:
        yield None
        return
    try:
        file = path.open("wb")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}", "name another file") from error
    with file:
        yield file


def write_out(data: bytes) -> None:
    """Console output to the host's standard output, at once; nowhere, if that is closed."""
    _write(sys.stdout, data)


def write_errors(data: bytes) -> None:
    """The program's errors to the host's standard error, at once."""
    _write(sys.stderr, data)


def _write(stream: TextIO | None, data: bytes) -> None:
    if stream is not None:
        stream.buffer.write(data)
        stream.buffer.flush()


def read_in() -> bytes:
    """What the host's standard input has; b"" at its end."""
    return os.read(sys.stdin.fileno(), 65536) if sys.stdin else b""


def add_observers(parser: argparse.ArgumentParser) -> None:
    """The options of who looks on."""
    parser.add_argument("--strace", action="store_true", help="log every call on standard error")
    parser.add_argument("--trace", type=Path, metavar="FILE", help="record the run in a file")
    parser.add_argument("--panel", action="store_true", help="open the front panel beside it")
    parser.add_argument("--paused", action="store_true", help="with --panel: wait at the start")
    parser.add_argument("--captions", action="store_true", help="print what happens, in sentences")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="run.py exec",
        description="Run a program on Vantage, connected to this terminal.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("program", help="a built-in by name, or an ELF file by path")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="its arguments")
    add_observers(parser)
    parser.add_argument("--pdb", action="store_true", help="debug a crash of the kernel itself")
    add_machine_options(parser)
    return parser
