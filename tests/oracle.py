"""The host as an oracle: the same program, run by Linux and inside Vantage."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hw.machine import FAST
from kernel.task.credentials import Credentials
from tests.kernel.system import System

IS_LINUX = sys.platform == "linux" and platform.machine() == "x86_64"
ROOT = Credentials(0, 0, ())
USER = Credentials(1000, 1000, (1000,))
TURNS = 3_000_000

needs_linux = pytest.mark.skipif(
    not IS_LINUX, reason="compares with Linux on x86-64, which this host does not run"
)


@contextmanager
def empty_folder() -> Iterator[Path]:
    """A folder of the host in which every user has all rights."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder


def on_host(words: Sequence[object], user: Credentials = USER, **environment: str) -> str:
    """The output and status of the command when the host runs it in an empty folder.

    Only root can become another user.  Other users run it as themselves, or by sudo as root.
    """
    command = [str(word) for word in words]
    identity: dict[str, Any] = {}
    if os.geteuid() == 0 and user.uid:
        identity = {"user": user.uid, "group": user.gid, "extra_groups": []}
    elif os.geteuid() != 0 and not user.uid:
        command = ["sudo", "-n", *command]
    with empty_folder() as folder:
        done = subprocess.run(
            command,
            cwd=folder,
            env={"LC_ALL": "C", "HOME": "/", **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
            start_new_session=True,
            **identity,
        )
    return f"{done.stdout.decode()}status {done.returncode}\n"


def inside(script: str, files: dict[bytes, bytes], **wishes: object) -> str:
    """The output and status of our shell when Vantage runs this script in an empty folder."""
    start = "mkdir /tmp/run; cd /tmp/run; exec 2>/dev/null </dev/null; . /script"
    wished: dict[str, Any] = {
        "files": {b"/script": script.encode(), **files},
        "user": USER,
        "turns": TURNS,
        "traced": False,
        "watched": False,
        "clock": FAST,
        **wishes,
    }
    run = System("sh", "-c", start, **wished).run()
    return f"{run.output.decode()}status {run.exit_code}\n"
