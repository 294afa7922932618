"""`run.py shell`: boot and start a shell on the host's terminal."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from hw.host import UserError
from kernel import turns
from kernel.abi.errno import KernelError
from kernel.abi.nodes import S_IFLNK, Given
from kernel.boot import Config, add_machine_options, boot, spawn
from kernel.strace import error_name
from userland.exec import (
    CANNOT_RUN,
    add_observers,
    configuration,
    observed,
    run_on_terminal,
    wish_of,
)
from userland.inputs import account_of, add_inputs, inputs_of
from userland.nvm import Module, add_nvm, module_of, powered
from userland.programs import BIN, built_in, read_program
from userland.root import read_tree
from userland.streams import Output, read_in

EXAMPLES = """\
examples:
  run.py shell                                  our own sh and tools
  run.py shell --busybox ./busybox              a static BusyBox, with all its commands
  run.py shell --cpus 4 --root ./files          four cores, and a folder of the host as files
  run.py shell --panel                          see what each command does, and go back in it
  run.py shell --strace                         every system call on standard error
  run.py shell -c 'echo hello | tr a-z A-Z'     one command
  echo 'ls /bin' | run.py shell                 a script on standard input

Ctrl-C goes to the program in the foreground, as in any shell; `exit` or Ctrl-D ends.
"""
SHELL, BUSYBOX = b"/bin/sh", b"/bin/busybox"
ENVIRONMENT = {"PATH": "/bin", "HOME": "/home/user", "USER": "user", "TERM": "dumb"}


def main(argv: list[str]) -> int:
    """The shell command; returns the exit status of the shell."""
    options = _parser().parse_args(argv)
    with module_of(options, keep=options.pdb) as module:
        return _run(options, module)


def _run(options: argparse.Namespace, module: Module) -> int:
    config = replace(configuration(options), user=account_of(options.user).credentials)
    given = read_tree(options.root) if options.root else []
    programs, path = built_in(), SHELL
    if options.busybox:
        programs[BUSYBOX] = read_program(str(options.busybox))
        given += links_to(programs[BUSYBOX], config)
        path = BUSYBOX
        programs = {name: data for name, data in programs.items() if name != SHELL}
    elif SHELL not in programs:
        raise UserError(
            f"there is no {BIN / 'sh'}", "build it with `run.py build`, or use --busybox PATH"
        )
    program = programs[path]
    kernel = boot(module.fit(config), programs, Output("output"), read_in, given)
    command = [] if options.command is None else ["-c", options.command]
    words = [b"sh", *map(os.fsencode, [*command, *options.arguments])]
    typed = options.command is None and not options.arguments
    inputs = inputs_of(options, ENVIRONMENT, follow=typed)
    wish = wish_of(options, "sh", program, replace(inputs, module=module.state()))
    with observed(kernel, wish) as link, powered(module, kernel, link):
        module.plug_in(kernel)
        try:
            given_variables = list(inputs.environment)
            kernel.life.start_init()
            process = spawn(kernel, program, words, given_variables, config.user, path=path)
        except KernelError as error:
            remedy = CANNOT_RUN.get(error.number, error_name(error.number))
            raise UserError("cannot run the shell", remedy) from error
        return run_on_terminal(kernel, process, debug=options.pdb, link=link)


def links_to(busybox: bytes, config: Config) -> list[Given]:
    """A link in /bin for each command of this BusyBox, which lists them in a run of its own."""
    said: list[bytes] = []
    kernel = boot(config, {BUSYBOX: busybox}, said.append)
    try:
        words = [b"busybox", b"--list"]
        process = spawn(kernel, busybox, words, [], config.user, path=BUSYBOX)
    except KernelError as error:
        remedy = CANNOT_RUN.get(error.number, error_name(error.number))
        raise UserError("cannot run this BusyBox", remedy) from error
    turns.run(kernel, lambda: process.zombie)
    names = b"".join(said).split()
    if process.exit_status or b"sh" not in names:
        raise UserError("this is no BusyBox with a shell", "name a static one with --busybox")
    commands = [name for name in names if name != b"busybox"]
    return [Given(b"/bin/" + name, S_IFLNK | 0o777, b"busybox") for name in commands]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="run.py shell",
        description="Start a shell on Vantage, connected to this terminal.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--busybox", type=Path, metavar="PATH", help="the shell of this BusyBox")
    parser.add_argument("--root", type=Path, metavar="DIR", help="a folder to copy into /")
    add_observers(parser)
    add_inputs(parser)
    parser.add_argument("--pdb", action="store_true", help="debug a crash of the kernel itself")
    add_machine_options(parser)
    add_nvm(parser)
    parser.add_argument("-c", dest="command", metavar="COMMAND", help="only run this command")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="a script and its arguments")
    return parser
