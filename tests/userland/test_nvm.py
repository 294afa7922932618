"""NVM modules on the command line: files that outlive a run, a power cut and a killed process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hw.trace import TraceFile
from kernel.nvm.check import read
from tests.kernel.killed import killed_case
from userland.nvm import open_image

ROOT = Path(__file__).parents[2]
DOOR = (sys.executable, str(ROOT / "run.py"))
CUT = 75


def run(*words: object, limit: str = "") -> subprocess.CompletedProcess[str]:
    command = [*DOOR, *map(str, words)]
    if limit:
        command = ["sh", "-c", f'ulimit {limit}; exec "$@"', "sh", *command]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def machine(path: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return run("exec", "--nvm", path, *words)


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "disk.nvm"
    done = run("nvm", "format", f"{path}:2")
    assert done.returncode == 0
    assert path.stat().st_size == 2 << 20
    return path


@pytest.mark.parametrize("mmu", ["model", "silicon"])
def test_a_list_is_walked_by_a_later_run_at_the_same_addresses(module: Path, mmu: str) -> None:
    built = machine(module, "--mmu", mmu, "persist", "build", 50)
    assert built.stdout == "built 50 nodes at 0x200000000000\n"
    walked = machine(module, "--mmu", mmu, "persist", "walk")
    assert walked.stdout == "50 nodes, sum 1275\n"
    assert run("nvm", "check", module).returncode == 0
    assert "VAS" in run("nvm", "list", module).stdout


def test_a_file_in_nvm_is_mapped_with_map_sync_and_found_by_a_later_run(module: Path) -> None:
    assert machine(module, "dax", "set", 7).stdout == "/nvm/numbers holds 7\n"
    assert machine(module, "dax", "get").stdout == "/nvm/numbers holds 7\n"
    assert "1 files" in run("nvm", "check", module).stdout
    without = run("exec", "dax", "set", 7)
    assert without.returncode == 1
    assert "cannot open /nvm/numbers: No such file or directory" in without.stderr


@pytest.mark.parametrize("mmu", ["model", "silicon"])
def test_each_node_that_was_flushed_survives_a_power_cut(module: Path, mmu: str) -> None:
    words = ("persist", "build", 500, "flush")
    cut = machine(module, "--mmu", mmu, "--power-cut", "301:7", *words)
    assert cut.returncode == CUT
    assert "the power was cut at persistent write 301" in cut.stderr
    assert run("nvm", "check", module).returncode == 0
    nodes = int(machine(module, "persist", "walk").stdout.split()[0])
    assert 130 < nodes < 150, "two writes for each node, behind those of the calls"


def test_the_same_file_the_same_seed_the_same_trace(module: Path, tmp_path: Path) -> None:
    content, digests = module.read_bytes(), []
    for number in range(2):
        module.write_bytes(content)
        trace = tmp_path / f"{number}.vtrace"
        done = machine(module, "--trace", trace, "persist", "build", 5, "flush")
        assert done.returncode == 0
        with TraceFile(trace) as file:
            inputs = file.header["inputs"]
            digests.append((file.digest(), inputs["nvm"]))
    assert digests[0] == digests[1]


def test_a_second_machine_is_refused_and_so_is_a_repair_meanwhile(module: Path) -> None:
    image = open_image(module, 2)
    try:
        for words in (("exec", "--nvm", module, "hello"), ("nvm", "repair", module)):
            second = run(*words)
            assert second.returncode == 2
            assert "is in use by another machine" in second.stderr
    finally:
        image.close()
    assert machine(module, "hello").returncode == 0


def test_with_pdb_the_file_stays_as_it_is(module: Path) -> None:
    before = module.read_bytes()
    done = machine(module, "--pdb", "persist", "build", 5)
    assert done.returncode == 0
    assert module.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("nvm", "format", "{}:2"), "exists"),
        (("nvm", "format", "{}"), "has no size"),
        (("nvm", "check", "{}.none"), "No such file"),
        (("nvm", "list", ROOT / "run.py"), "no whole MiB"),
        (("exec", "--nvm", "{}:3", "hello"), "is not 3 MiB"),
        (("exec", "--power-cut", "3", "hello"), "needs an NVM module"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(
    module: Path, words: tuple[object, ...], sentence: str
) -> None:
    done = run(*(str(word).format(module) for word in words))
    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_damage_is_told_at_boot_found_by_check_and_mended_by_repair(module: Path) -> None:
    assert machine(module, "persist", "build", 5).returncode == 0
    data = bytearray(module.read_bytes())
    data[5] ^= 1
    module.write_bytes(data)
    refused = machine(module, "persist", "walk")
    assert refused.returncode == 2
    assert "it is damaged: root slot A" in refused.stderr
    assert run("nvm", "check", module).returncode == 1
    assert run("nvm", "repair", module).returncode == 0
    assert machine(module, "persist", "walk").stdout == "5 nodes, sum 15\n"


def test_a_file_that_is_cut_off_is_refused(module: Path) -> None:
    module.write_bytes(module.read_bytes()[: 1 << 20])
    for words in (("exec", "--nvm", module, "hello"), ("nvm", "repair", module)):
        done = run(*words)
        assert done.returncode == 2
        assert "it was made with 2,097,152 bytes, and has 1,048,576" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="the host has no ulimit")
def test_a_full_disk_ends_the_machine_in_a_sentence_and_keeps_the_old_state(module: Path) -> None:
    done = run("exec", "--nvm", module, "persist", "build", 5, limit="-f 200")
    assert done.returncode == 2
    assert f"cannot write {module}: File too large" in done.stderr
    data = module.read_bytes()
    found = read(lambda at, size: data[at : at + size], len(data))
    assert not found.problems
    assert not found.records


@pytest.mark.skipif(sys.platform == "win32", reason="a process is not killed as on POSIX")
def test_what_was_durable_is_there_after_the_process_was_killed() -> None:
    assert killed_case(1, 1) == "killed"


def test_the_shells_tools_know_what_is_persistent(module: Path) -> None:
    shell = ("shell", "--nvm", module, "-c")
    made = "vasseg create s 0x100000000000 8K p640; vas create v p600; vas attach v s"
    assert run(*shell, made).stdout == "1\n1\n"
    listed = run(*shell, "vas list; vas create w 600; vas chmod 600 v").stdout
    assert "p600   1000   1000        0      0 v" in listed
    names = run("nvm", "list", module).stdout
    assert names.count("segment ") == 1
    assert "VAS" not in names
    refused = run("shell", "-c", "vas create x p600")
    assert "there is no NVM (--nvm FILE)" in refused.stderr
