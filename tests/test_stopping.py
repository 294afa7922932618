"""`run.py test` ends when it is told to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import run

ROOT = Path(run.ROOT)

LONG = """
import pathlib, threading, time
from hw import host

def sleep():
    print("ready", flush=True)
    time.sleep(600)

def run():
    ended = threading.Event()
    print("ready", flush=True)
    host.run_interruptible(ended.wait, ended.set)

def child():
    import subprocess, sys
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]):
        sleep()

def test_long():
    {kind}()

def test_after():
    pathlib.Path(__file__).with_name("mark").touch()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM from outside")
@pytest.mark.parametrize("kind", ["sleep", "run", "child"])
def test_a_run_of_tests_ends_at_sigterm_whatever_it_is_in(kind: str, tmp_path: Path) -> None:
    (tmp_path / "test_long.py").write_text(LONG.format(kind=kind))
    words = ["-s", "-p", "tests.conftest", "--rootdir", str(tmp_path), str(tmp_path)]
    command = [sys.executable, str(ROOT / "run.py"), "test", *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as tests:
        assert tests.stdout is not None
        while "ready" not in tests.stdout.readline():
            assert tests.poll() is None
        tests.terminate()
        assert tests.wait() == 128 + 15
    assert not (tmp_path / "mark").exists()
