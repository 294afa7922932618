"""Programs that were written against the RFC's kernel header, on every policy.

`clients/` has a library in the style of the RFC's author, on <linux/vas.h> and syscall(2), and the
kinds of programs that use it.  `run.py cc` builds them, and so does a stock C library.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from kernel.syscalls import TABLE
from kernel.vas.vases import SHARINGS, SYNCS
from tests.kernel.system import Run, System
from userland import build

HERE = Path(__file__).with_name("clients")
LIBRARY = sorted((HERE / "mvas").glob("*.c"))
HEADER = build.HERE / "include" / "linux" / "vas.h"
CLIENTS = {
    "matrix.c": "4 threads, 0 failures, 0 wrong of 144\n",
    "pool.cc": "9 requests: 9 right, 9 hidden; 0 of 3 workers failed\n",
    "lister.c": (
        "/sys/kernel/vas/1: one 0600 1000:1000 \n"
        "/sys/kernel/vas/3: three 0602 1000:1000 \n"
        "/sys/kernel/vas_segs/1: memory 0640 1000:1000 c0de000-c0e0000\n"
    ),
    "minimal.c": (
        "the program is below it\n"
        "inside: written by the first process\n"
        "at home: nothing\n"
        "inside: written by the first process\n"
        "nothing is left\n"
    ),
    "errors.c": (
        "a negative pid, before a negative vid: Invalid argument\n"
        "a negative vid, before an unknown pid: Invalid argument\n"
        "an unknown pid, before a wrong type: No such process\n"
        "a wrong type, before an unknown vid: Invalid argument\n"
        "a wrong type of a segment: Invalid argument\n"
        "a mode as the type of a segment: done\n"
        "a mode as a type: done\n"
        "the same again, with flags: done\n"
        "attributes to nowhere: Invalid argument\n"
        "attributes from nowhere: Invalid argument\n"
        "deleting what is attached: Device or resource busy\n"
        "finding an empty name: done\n"
        "no name: Invalid argument\n"
        "an unknown name: No such process\n"
        "attributes: done\n"
        "666 of 1000:1000\n"
        "detaching: done\n"
        "deleting: done\n"
        "deleting the segment: done\n"
    ),
}
"""What each prints, under every policy."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clients")


def built(client: str, folder: Path, *flags: str) -> bytes:
    """A client, as `run.py cc` builds it with its library."""
    target = folder / ("-".join([client, *flags]) + ".elf")
    if not target.exists():
        words = [str(path) for path in (HERE / client, *LIBRARY)]
        words += ["-I", str(HERE), "-O1", "-Wall", "-Wextra", "-Werror", *flags]
        assert build.cc([*words, "-o", str(target)]) == 0
    return target.read_bytes()


def run(program: bytes, **wishes: object) -> Run:
    return System(program, **{"traced": False, "turns": 100_000, "init": True, **wishes}).run()


def test_the_header_has_the_kernels_numbers_of_the_rfcs_calls() -> None:
    written = dict(re.findall(r"#define __NR_(\w+) (\d+)", HEADER.read_text()))
    numbers = {row.name: str(number) for number, row in TABLE.items() if 1332 <= number < 1350}
    assert written == numbers
    assert len(written) == 18


@pytest.mark.parametrize("sharing", SHARINGS)
@pytest.mark.parametrize("sync", SYNCS)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_of_2017_does_what_it_did(
    client: str, sync: str, sharing: str, folder: Path
) -> None:
    ended = run(built(client, folder), sync=sync, sharing=sharing)
    assert (ended.output.decode(), ended.exit_code) == (CLIENTS[client], 0)


@pytest.mark.parametrize("mmu", ["model", "silicon"])
@pytest.mark.parametrize("seed", [2, 7])
@pytest.mark.parametrize("client", ["matrix.c", "pool.cc", "minimal.c"])
def test_and_on_several_cores(client: str, seed: int, mmu: str, folder: Path) -> None:
    ended = run(built(client, folder), cpus=4, seed=seed, mmu=mmu)
    assert (ended.output.decode(), ended.exit_code) == (CLIENTS[client], 0)


@pytest.mark.parametrize("sync", SYNCS)
@pytest.mark.parametrize("client", ["matrix.c", "minimal.c"])
def test_all_invariants_hold_after_every_trap(client: str, sync: str, folder: Path) -> None:
    ended = run(built(client, folder), cpus=2, sync=sync, traced=True, checked=True)
    assert (ended.output.decode(), ended.exit_code) == (CLIENTS[client], 0)


@pytest.mark.parametrize("sync", SYNCS)
def test_a_segment_below_the_program(sync: str, folder: Path) -> None:
    ended = run(built("minimal.c", folder, "--pie"), sync=sync)
    wanted = CLIENTS["minimal.c"].replace("below", "above")
    assert (ended.output.decode(), ended.exit_code) == (wanted, 0)


@pytest.mark.parametrize("client", ["matrix.c", "lister.c", "minimal.c", "errors.c"])
def test_the_header_serves_a_stock_c_library_too(client: str, folder: Path) -> None:
    """Its own headers come first; only <linux/vas.h> is ours."""
    target = folder / f"{client}-musl"
    sources = [str(path) for path in (HERE / client, *LIBRARY)]
    headers = ["-I", str(HERE), "-idirafter", str(build.HERE / "include")]
    command = [sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-linux-musl", "-static"]
    command += ["-O1", "-pthread", "-Wall", "-Wextra", "-Werror", *headers, *sources]
    done = subprocess.run([*command, "-o", str(target)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    ended = run(target.read_bytes())
    output = ended.output.decode().replace("Resource busy", "Device or resource busy")
    assert (output, ended.exit_code) == (CLIENTS[client], 0)


def test_both_headers_can_be_included(tmp_path: Path) -> None:
    source = tmp_path / "both.c"
    source.write_text(
        "#include <linux/vas.h>\n#include <vas.h>\n"
        "int main(void) { struct vas_seg_attr a; return vas_seg_getattr(1, &a) != -1; }\n"
    )
    assert build.cc([str(source), "-o", str(tmp_path / "both")]) == 0
