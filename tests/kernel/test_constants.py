"""Numbers that programs know: every constant of the kernel that C's headers have too is theirs.

One C program prints the values of the headers.  These are the headers of the C compiler that
Vantage fetches: musl's, and the ones that Linux exports.
"""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
from collections.abc import Iterator

import pytest

import kernel
from kernel.abi.errno import E
from tests.kernel.test_native import COMPILERS
from tests.oracle import empty_folder, needs_linux

HEADERS = """
    arpa/inet asm/prctl dirent elf errno fcntl limits linux/capability linux/close_range
    linux/falloc linux/futex linux/magic linux/membarrier linux/memfd linux/sched netinet/in poll
    sched signal stdint stdio stdlib sys/epoll sys/eventfd sys/file sys/ioctl sys/ipc sys/mman
    sys/personality sys/prctl sys/random sys/resource sys/shm sys/socket sys/stat sys/time sys/types
    sys/un sys/wait termios time unistd
"""
PREFIXES = {
    "kernel.abi.errno.E": "E",
    "kernel.life.life": "__",
    "kernel.servers.termios": "V",
    "kernel.syscalls.futex": "FUTEX_",
    "kernel.syscalls.process": "__",
    "kernel.syscalls.sched": "SCHED_",
    "kernel.task.clock": "CLOCK_",
    "kernel.task.limits": "RLIMIT_",
    "kernel.wait.futex": "FUTEX_",
}
"""What a constant's name in C begins with, where its module's own name says as much."""

RENAMED = {
    "kernel.abi.ioctls.INT_BYTES": "sizeof(int)",
    "kernel.abi.ioctls.WINSIZE_BYTES": "sizeof(struct winsize)",
    "kernel.abi.nodes.MAX_NAME_BYTES": "NAME_MAX",
    "kernel.abi.shm.DS_BYTES": "sizeof(struct shmid_ds)",
    "kernel.abi.sockets.SHUT_DOWN": "SHUT_RDWR + 1",
    "kernel.ipc.paths.MAX_PATH_BYTES": "PATH_MAX",
    "kernel.life.elf.PROGRAM_HEADER_BYTES": "sizeof(Elf64_Phdr)",
    "kernel.life.sigframe.MIN_STACK_BYTES": "MINSIGSTKSZ",
    "kernel.life.sigframe.SIGINFO_BYTES": "sizeof(siginfo_t)",
    "kernel.syscalls.credentials.MAX_GROUPS": "65536",
    "kernel.syscalls.sched.MAX_NICE": "PRIO_MAX - 1",
    "kernel.syscalls.sched.MIN_NICE": "PRIO_MIN",
    "kernel.syscalls.settings.CAPABILITY_VERSION": "_LINUX_CAPABILITY_VERSION_3",
    "kernel.syscalls.transfer.MAX_VECTORS": "IOV_MAX",
    "kernel.wait.futex.OWNER": "FUTEX_TID_MASK",
}
"""What C calls a constant, where that is another name, or has no name but an expression."""

OTHERWISE = {
    "EOF": "the index of a character in termios, and no result of getc()",
    "NULL": "the number of /dev/null",
    "O_ACCMODE": "musl counts O_PATH to it",
    "O_TMPFILE": "the bit alone, without O_DIRECTORY",
    "CLOCK_REALTIME": "in futex.py, FUTEX_CLOCK_REALTIME",
    "EBIG": "E2BIG has no name in Python",
}
"""Names that mean something else in C."""

Constant = tuple[str, str, int]
"""The name in Vantage with its module, the name in C, and the value."""


def constants() -> Iterator[Constant]:
    """Those of all modules of the kernel, under their names in C; many are not known there."""
    for module in sorted(info.name for info in pkgutil.walk_packages(kernel.__path__, "kernel.")):
        for name, value in vars(importlib.import_module(module)).items():
            if name.isupper() and isinstance(value, int) and not isinstance(value, bool):
                for c_name in {name, PREFIXES.get(module, "") + name}:
                    yield f"{module}.{name}", c_name, int(value)
                if f"{module}.{name}" in RENAMED:
                    yield f"{module}.{name}", RENAMED[f"{module}.{name}"], int(value)
    for error in E:
        yield f"E.{error.name}", "E" + error.name, int(error)


@pytest.fixture(scope="module")
def of_c() -> dict[str, int]:
    """The values of C's macros that have the name of a constant of the kernel."""
    names = sorted({c_name for _, c_name, _ in constants()} | {"E2BIG"})
    includes = "".join(f"#include <{header}.h>\n" for header in HEADERS.split())
    prints = "".join(
        f'printf("{name}\\t%lld\\n", (long long)({name}));\n'
        if name in RENAMED.values()
        else f'#ifdef {name}\nprintf("{name}\\t%lld\\n", (long long)({name}));\n#endif\n'
        for name in names
    )
    text = f"#define _GNU_SOURCE\n{includes}int main(void) {{\n{prints}return 0;\n}}\n"
    with empty_folder() as folder:
        source, program = folder / "constants.c", folder / "constants"
        source.write_text(text)
        command = [*COMPILERS["musl"], "-static", "-w", str(source), "-o", str(program)]
        built = subprocess.run(command, capture_output=True, check=False)
        assert built.returncode == 0, built.stderr.decode()
        output = subprocess.run([str(program)], capture_output=True, check=True).stdout.decode()
    return {name: int(value) for name, value in (row.split("\t") for row in output.splitlines())}


@needs_linux
def test_a_constant_that_c_has_too_has_its_value(of_c: dict[str, int]) -> None:
    wrong = {
        (ours, c_name): (hex(value), hex(of_c[c_name]))
        for ours, c_name, value in constants()
        if c_name in of_c and c_name not in OTHERWISE and of_c[c_name] != value
    }
    assert wrong == {}
    assert of_c["E2BIG"] == E.BIG


@needs_linux
def test_the_errors_and_most_numbers_of_calls_are_compared(of_c: dict[str, int]) -> None:
    assert {"E" + error.name for error in E} - set(of_c) == {"EBIG"}
    assert len(of_c) > 400
