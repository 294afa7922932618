"""What holds for every test of the kernel."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernel import system


@pytest.fixture(autouse=True)
def everything_is_given_back() -> Iterator[None]:
    """At the end of a test its last system ends, and nothing of any process is left.

    A test that breaks a kernel on purpose clears `LAST`.
    """
    system.LAST.clear()
    yield
    if system.LAST:
        system.LAST.pop().end()
