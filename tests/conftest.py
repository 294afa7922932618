"""What holds for every test."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator
from functools import partial

import hypothesis
import pytest

from hw.host import heed_interrupts, kill_children, when_terminated

# The same examples in every run, and no time limit: a verdict must not depend on the machine.
hypothesis.settings.register_profile("house", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("house")


class NoSkip:
    """With VANTAGE_NO_SKIP=1, as in CI, a test that was skipped or expected to fail has failed."""

    def __init__(self) -> None:
        self.evaded: dict[str, str] = {}

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._look(report, report.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._look(report, report.nodeid)

    def _look(self, report: pytest.CollectReport | pytest.TestReport, name: str) -> None:
        if report.skipped or hasattr(report, "wasxfail"):
            self.evaded[name] = "expected to fail" if hasattr(report, "wasxfail") else "skipped"

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.evaded and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for name, how in self.evaded.items():
            terminalreporter.write_line(f"NOT RUN: {name} was {how}", red=True)


TERMINATED = 128 + 15
PATIENCE_SECONDS = 4
"""How long a test may take to clean up after a SIGTERM before its children are killed, and how
long after that before the run ends as it is."""


def stop() -> None:
    """At SIGTERM: end the whole run, even if a test waits for a child that does not end."""
    acts: list[Callable[[], object]] = [kill_children, partial(os._exit, TERMINATED)]
    for turn, act in enumerate(acts, 1):
        timer = threading.Timer(turn * PATIENCE_SECONDS, act)
        timer.daemon = True
        timer.start()
    pytest.exit("terminated", TERMINATED)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Generator[None, object, object]:
    """What runs a guest turns a SIGTERM into SystemExit: no failure of that test alone."""
    error = call.excinfo.value if call.excinfo else None
    if isinstance(error, SystemExit) and error.code == TERMINATED:
        stop()
    return (yield)


def pytest_configure(config: pytest.Config) -> None:
    if threading.current_thread() is threading.main_thread():
        heed_interrupts()  # there are tests that send one to a child
        when_terminated(stop)
    if os.environ.get("VANTAGE_NO_SKIP", "0") not in ("", "0"):
        config.pluginmanager.register(NoSkip(), "vantage-no-skip")
