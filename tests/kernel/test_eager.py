"""With `--eager` the kernel maps all pages at once: no page faults, and programs cannot tell."""

from __future__ import annotations

import pytest

from tests.kernel.system import SMALL, boot_program

TELL_OF_FRAMES = {"cow", "maps", "memcalls", "overcommit", "prices", "crossings", "vas_lifetime"}
"""These programs print frames, resident pages or costs."""


@pytest.mark.parametrize("name", [name for name in SMALL if name not in TELL_OF_FRAMES])
def test_a_program_has_the_same_result_with_eager(name: str) -> None:
    eager, lazy = (boot_program(name, *SMALL[name], eager=how) for how in (True, False))
    assert (eager.status, eager.output) == (lazy.status, lazy.output)


@pytest.mark.parametrize("name", ["hello", "pages", "forkbench", "sha256", "forks", "basics"])
def test_no_page_is_mapped_by_a_fault(name: str) -> None:
    run = boot_program(name, *SMALL[name], eager=True, checked=True)
    assert run.status == 0
    assert run.faults == []


def test_the_copies_of_fork_share_no_frame() -> None:
    run = boot_program("cow", "4", eager=True, checked=True)
    before = [word for line in run.output.splitlines()[:3] for word in line.split() if b":" in word]
    assert len(before) == 12
    assert all(word.endswith(b":1w") for word in before)


def test_a_mapping_that_does_not_fit_is_refused_at_once_and_leaves_nothing() -> None:
    run = boot_program("pages", "3000", eager=True, checked=True, ram=4)
    assert run.exit_code == 1
    assert b"cannot map 3000 pages: Cannot allocate memory" in run.output


def test_a_fork_that_does_not_fit_is_refused_and_leaves_nothing() -> None:
    run = boot_program("forkbench", "700", "1", eager=True, checked=True, ram=4)
    assert run.exit_code == 1
    assert b"fork" in run.output
