"""`run.py exec`: boot, run one program on the host's terminal, and exit with its status."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hw.host import UserError, printable, run_interruptible
from hw.parts import PartedFile, Sink
from hw.terminal import GuestTerminal, guest_terminal
from hw.trace import Trace
from kernel import turns
from kernel.abi.errno import E, KernelError
from kernel.boot import Config, add_machine_options, boot, config_from, spawn, trace_header
from kernel.kernel import Kernel
from kernel.strace import Strace, error_name
from kernel.task.process import Process
from kernel.turns import Deadlock
from kernel.wait import signals
from userland.crash import OF_EXCEPTIONS, Crime
from userland.inputs import Inputs, account_of, add_inputs, inputs_of
from userland.live import Link, beside_panel, is_possible, narrating, trace_file
from userland.nvm import Module, add_nvm, module_of, powered
from userland.programs import built_in, describe, read_program
from userland.streams import Output, read_in

EXAMPLES = """\
examples:
  run.py exec hello                     a program that comes with Vantage
  run.py exec ./a.out one two           a static x86-64 ELF of your own (see run.py cc)
  run.py exec --strace forks            every system call on standard error
  run.py exec --cpus 4 --seed 7 racy    four cores, and another interleaving
  run.py exec --trace t.vtrace cow      record everything that happens
  run.py exec --panel threads           see it live, and go back in it
  run.py exec --captions hello          what happens, a sentence for each event
  run.py exec --user root ./a.out       as root; or as any uid
  run.py exec --nvm disk.nvm:16 persist build   with 16 MiB that outlive the run

The exit status is the program's; 128 + n if signal n ended it.
"""
ENVIRONMENT = {"PATH": "/bin", "HOME": "/", "TERM": "dumb"}

MOST_RECORDS = 1 << 40
CANNOT_RUN = {
    E.NOEXEC: "it is not a static x86-64 ELF program; build one with `run.py cc FILE.c -o OUT`",
    E.NOMEM: "it does not fit into memory; try a larger --ram",
    E.BIG: "its arguments are too long",
}


@dataclass
class Recording:
    """The destinations of a run's records."""

    path: Path | None = None
    strace: bool = False
    program: dict[str, Any] | None = None
    """What the header says of the program."""
    panel: bool = False
    paused: bool = False
    captions: bool = False
    inputs: Inputs = field(default_factory=Inputs)
    in_parts: bool = False
    """The file is a temporary one, whose oldest parts go."""
    history: int | None = None
    """How many records the panel keeps; None: as many as it likes."""

    @property
    def watched(self) -> bool:
        """The panel or a narrator reads the records during the run."""
        return self.panel or self.captions


def main(argv: list[str]) -> int:
    """The exec command; returns the exit status of the program."""
    options = _parser().parse_args(argv)
    with module_of(options, keep=options.pdb) as module:
        return _run(argv, options, module)


def _run(argv: list[str], options: argparse.Namespace, module: Module) -> int:
    config = replace(configuration(options), user=account_of(options.user).credentials)
    config, program = module.fit(config), read_program(options.program)
    inputs = replace(inputs_of(options, ENVIRONMENT), module=module.state())
    path = b"/bin/" + os.fsencode(Path(options.program).name)
    kernel = boot(config, built_in() | {path: program}, Output("output"), read_in)
    arguments = [os.fsencode(word) for word in (options.program, *options.arguments)]
    wish = wish_of(options, options.program, program, inputs)
    with observed(kernel, wish) as link, powered(module, kernel, link):
        module.plug_in(kernel)
        try:
            given = list(inputs.environment)
            kernel.life.start_init()
            process = spawn(kernel, program, arguments, given, config.user, path=path)
        except KernelError as error:
            remedy = CANNOT_RUN.get(error.number, error_name(error.number))
            raise UserError(f"cannot run {options.program}", remedy) from error
        behind = len(options.arguments) + 1
        words = argv[: len(argv) - behind]
        crime = Crime(options.program, program, words, options.arguments, options.trace)
        return run_on_terminal(kernel, process, debug=options.pdb, link=link, crime=crime)


def wish_of(options: argparse.Namespace, name: str, program: bytes, inputs: Inputs) -> Recording:
    """The observers of the run, from the options."""
    panel = options.panel and is_possible()
    observers = options.trace, options.strace, None, panel, options.paused, options.captions
    wish = Recording(*observers, inputs, history=options.history)
    if wish.path or wish.watched:
        wish.program = describe(name, program)
    return wish


@contextlib.contextmanager
def observed(kernel: Kernel, wish: Recording) -> Iterator[Link | None]:
    """Connect the console to the host's streams, and start the observers of the run.

    An observer is a file, the log of calls, the panel, or a narrator that prints captions.
    """
    with contextlib.ExitStack() as stack:
        link = Link(stop_at=0 if wish.paused and wish.panel else None) if wish.watched else None
        if link is not None:
            link.is_scratch = wish.in_parts = wish.path is None
            wish.path = link.path = stack.enter_context(
                trace_file(wish.path, in_parts=wish.in_parts)
            )
        if link is not None and wish.panel:
            words = ["--captions"] if wish.captions else []
            words += ["--history", str(wish.history)] if wish.history is not None else []
            stack.enter_context(beside_panel(kernel, link, *words))
        elif link is not None:
            link.narrator = stack.enter_context(narrating(link))
        stack.enter_context(connect_console(kernel, wish.inputs))
        port = stack.enter_context(recording(kernel, wish))
        if link is not None and port is not None:
            link.trace, link.sink = port, port.sink
        yield link


def run_on_terminal(
    kernel: Kernel,
    process: Process,
    *,
    debug: bool = False,
    link: Link | None = None,
    crime: Crime | None = None,
) -> int:
    """Run to the end of `process` under Ctrl-C's control; returns a shell's exit status."""
    kernel.ipc.debug = debug
    ended: list[Process] = []

    def current() -> Kernel:
        """The system that runs now.  If the user has gone back, it is another one."""
        return getattr(link, "kernel", kernel)

    def work() -> None:
        try:
            if link is not None:
                ended.append(link.run(kernel, process))
            else:
                turns.run(kernel, lambda: process.zombie)
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

    outputs = [sink for sink in console_sinks(kernel) if isinstance(sink, Output)]
    for output in outputs:
        output.failed = abort
    try:
        run_interruptible(work, abort)
        for output in outputs:
            output.check()
    except Deadlock as deadlock:
        print(printable(f"run.py exec: {deadlock}"), file=sys.stderr)
        return 1
    for message in current().log.messages:
        print(printable(f"kernel: {message}"), file=sys.stderr)
    return exit_status(ended[0] if ended else process, crime)


def console_sinks(kernel: Kernel) -> list[Callable[[bytes], None]]:
    console = kernel.machine.console
    return [console.sink, console.error_sink]


def exit_status(process: Process, crime: Crime | None = None) -> int:
    """The program's status as a shell reports it; says which signal ended it, and where."""
    signal = process.exit_status & 0x7F
    if not signal:
        return process.exit_status >> 8
    print(printable(f"{process.name} was ended by {signals.name(signal)}"), file=sys.stderr)
    if crime is not None and signals.name(signal) in OF_EXCEPTIONS and process.exception:
        print(printable(crime.sentence(*process.exception)), file=sys.stderr)
    return 128 + signal


def machine_options(argv: list[str]) -> argparse.Namespace:
    """Parse the machine's options alone."""
    parser = argparse.ArgumentParser()
    add_machine_options(parser)
    add_nvm(parser)
    return parser.parse_args(argv)


def configuration(options: argparse.Namespace) -> Config:
    """Parse the machine's options; a wrong value is reported in a sentence."""
    try:
        return config_from(options)
    except ValueError as error:
        raise UserError(str(error), "see --help") from error


@contextlib.contextmanager
def connect_console(kernel: Kernel, inputs: Inputs) -> Iterator[None]:
    """Connect the console to the host's streams: a terminal where they are one, else pipes."""
    console = kernel.machine.console
    console.error_sink = Output("errors")
    console.state.terminals = inputs.terminals
    if not inputs.terminals[0]:
        yield
        return
    with guest_terminal(inputs.window) as keys:
        console.keys, console.terminal_sink = keys, keys.write
        try:
            yield
        finally:
            console.keys = None


@contextlib.contextmanager
def recording(kernel: Kernel, wish: Recording) -> Iterator[Trace | None]:
    """Attach a trace to the machine, if the user wants a file or the log of calls."""
    if wish.path is None and not wish.strace:
        yield None
        return
    with _open_for_writing(wish.path, in_parts=wish.in_parts) as sink:
        end = "\r\n" if kernel.machine.console.keys else "\n"
        observer = Strace(lambda line: print(printable(line), end=end, file=sys.stderr))
        header = trace_header(kernel, wish.program) | {"inputs": wish.inputs.header()}
        trace = Trace(header, sink, observer if wish.strace else None)
        kernel.machine.attach_trace(trace)
        try:
            yield trace
        finally:
            trace.close()
            if trace.failed is not None:
                words = f"cannot write {wish.path}: {trace.failed.strerror}"
                what = f"run.py exec: {words}; the recording ends after {trace.kept:,} records"
                print(printable(what), file=sys.stderr)


@contextlib.contextmanager
def _open_for_writing(path: Path | None, *, in_parts: bool) -> Iterator[Sink | None]:
    if path is None:
        yield None
        return
    if in_parts:
        with PartedFile(path) as parts:
            yield parts
        return
    try:
        file = path.open("wb", buffering=0)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}", "name another file") from error
    with file:
        yield file


def add_observers(parser: argparse.ArgumentParser) -> None:
    """The options for the observers of a run."""
    parser.add_argument("--strace", action="store_true", help="log every call on standard error")
    parser.add_argument("--trace", type=Path, metavar="FILE", help="record the run in a file")
    parser.add_argument("--panel", action="store_true", help="open the front panel beside it")
    parser.add_argument("--paused", action="store_true", help="with --panel: wait at the start")
    parser.add_argument("--captions", action="store_true", help="print what happens, in sentences")
    parser.add_argument(
        "--history",
        type=count_of_records,
        metavar="N",
        help="with --panel: how many records it can go back (default: about a million)",
    )


def count_of_records(text: str) -> int:
    """A number of records, at least 1, from the command line."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MOST_RECORDS):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to {MOST_RECORDS:,}")
    return int(text)


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
    add_inputs(parser)
    parser.add_argument("--pdb", action="store_true", help="debug a crash of the kernel itself")
    add_machine_options(parser)
    add_nvm(parser)
    return parser
