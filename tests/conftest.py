"""What holds for every test."""

from __future__ import annotations

import os

import hypothesis
import pytest

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


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get("VANTAGE_NO_SKIP", "0") not in ("", "0"):
        config.pluginmanager.register(NoSkip(), "vantage-no-skip")
