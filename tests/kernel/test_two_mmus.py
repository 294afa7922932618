"""One kernel, two MMUs: the emulator's own page walker agrees with ours on every program."""

from __future__ import annotations

import functools

import pytest

from tests.kernel.system import SMALL, Run, boot_program
from userland.build import PROGRAMS


@functools.cache
def on(mmu: str, name: str, cpus: int, clock: str = "exact") -> Run:
    return boot_program(name, *SMALL[name], mmu=mmu, cpus=cpus, clock=clock, walks=False)


def test_every_program_is_compared() -> None:
    assert set(SMALL) == {source.stem for source in PROGRAMS.iterdir()}


@pytest.mark.parametrize("cpus", [1, 2, 4])
@pytest.mark.parametrize("name", SMALL)
def test_a_program_has_the_same_result_under_both_mmus(name: str, cpus: int) -> None:
    model, silicon = on("model", name, cpus), on("silicon", name, cpus)
    assert model.output == silicon.output
    assert model.output
    assert model.status == silicon.status == 0
    assert model.faults == silicon.faults
    assert model.calls == silicon.calls
    assert model.instructions == silicon.instructions
    assert model.memory == silicon.memory


@pytest.mark.parametrize("cpus", [1, 4])
@pytest.mark.parametrize("name", SMALL)
def test_both_mmus_set_the_same_accessed_and_dirty_bits(name: str, cpus: int) -> None:
    assert on("model", name, cpus).leaves == on("silicon", name, cpus).leaves != []


@pytest.mark.parametrize("name", [name for name in SMALL if name != "racy"])
def test_a_program_has_the_same_result_under_the_fast_clock(name: str) -> None:
    """The fast clock pre-empts threads elsewhere, which only racy may notice."""
    exact, fast = on("model", name, 1), on("model", name, 1, clock="fast")
    assert exact.status == fast.status == 0
    assert exact.output == fast.output


@pytest.mark.parametrize("kind", ["null-write", "execute-data", "divide-error", "stack-overflow"])
@pytest.mark.parametrize("cpus", [1, 2])
def test_a_program_that_is_killed_dies_the_same_death_under_both_mmus(kind: str, cpus: int) -> None:
    runs = [
        boot_program("faults", kind, mmu=mmu, cpus=cpus, walks=False)
        for mmu in ("model", "silicon")
    ]
    assert runs[0].signal == runs[1].signal > 0
    assert runs[0].faults == runs[1].faults
    assert runs[0].leaves == runs[1].leaves
    assert runs[0].memory == runs[1].memory
