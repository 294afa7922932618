"""A disk that is full: one sentence with the file's name, whole files or none, and no bug."""

from __future__ import annotations

import errno
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from hw import files
from hw.host import UserError
from hw.trace import Record, Trace, TraceError, TraceFile
from kernel.log import LOG
from userland import build

ROOT = Path(__file__).parents[2]
DOOR = (sys.executable, str(ROOT / "run.py"))
FULL = "/dev/full"

needs_full = pytest.mark.skipif(not Path(FULL).exists(), reason="the host has no /dev/full")
needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="the host has no ulimit")


def run(words: str, more: str = "") -> subprocess.CompletedProcess[str]:
    """`run.py` in a shell, with a redirection or so behind it."""
    command = f"{' '.join(map(shlex.quote, DOOR))} {words} {more}"
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)


@needs_full
@pytest.mark.parametrize("words", ["exec hello", "exec --captions hello", "help", "manual"])
def test_output_into_a_full_disk_is_an_error_in_a_sentence(words: str) -> None:
    done = run(words, f"> {FULL}")
    assert done.returncode == 2
    assert "cannot write standard output: No space left on device" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "bug" not in done.stderr


@needs_full
def test_a_trace_into_a_full_disk_does_not_end_the_program() -> None:
    done = run(f"exec --trace {FULL} hello")
    assert done.returncode == 0
    assert "Hello" in done.stdout
    assert f"cannot write {FULL}: No space left on device; the recording ends" in done.stderr


@needs_posix
def test_a_trace_says_where_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "t.vtrace"
    limit = ["sh", "-c", 'ulimit -f 200; exec "$@"', "sh"]
    command = [*limit, *DOOR, "exec", "--trace", str(path), "many", "100"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"cannot write {path}: File too large" in done.stderr
    seen: list[Record] = []
    with TraceFile(path) as recorded, pytest.raises(TraceError, match="cut off"):
        seen.extend(recorded)
    assert f"the recording ends after {len(seen):,} records" in done.stderr
    assert seen


class Small:
    """A file on a disk that has room for so many bytes."""

    def __init__(self, room: int) -> None:
        self.room, self.data = room, bytearray()

    def write(self, data: bytes) -> int:
        taken = bytes(data)[: self.room - len(self.data)]
        self.data += taken
        if data and not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        return len(taken)

    def truncate(self, size: int) -> None:
        del self.data[size:]


def test_what_fits_is_whole_chunks_and_the_digest_is_that_of_the_run(tmp_path: Path) -> None:
    whole, small = Trace({}), Small(20_000)
    port = Trace({}, small)  # type: ignore[arg-type]
    for number in range(10_000):
        for one in (whole, port):
            one.cycles = number
            one.emit(LOG, number.to_bytes(8, "little"))
    port.close()
    assert port.failed is not None
    assert 0 < port.kept < port.total == 10_000
    assert port.digest() == whole.digest()
    path = tmp_path / "t.vtrace"
    path.write_bytes(small.data)
    seen: list[int] = []
    with TraceFile(path) as recorded, pytest.raises(TraceError, match="cut off"):
        seen.extend(record.cycles for record in recorded)
    assert seen == list(range(port.kept))


@needs_posix
@pytest.mark.parametrize("there", [b"", b"what was there"])
def test_a_picture_is_whole_or_as_it_was(there: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    if there:
        path.write_bytes(there)
    trace = ROOT / "tests" / "hw" / "panel" / "cow.vtrace"
    limit = ["sh", "-c", 'ulimit -f 8; exec "$@"', "sh"]
    command = [*limit, *DOOR, "panel", "shot", str(trace), "-o", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"cannot write {path}: File too large" in done.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == (["x.png"] if there else [])
    assert not there or path.read_bytes() == there


@needs_full
def test_a_device_is_written_and_not_replaced() -> None:
    with pytest.raises(UserError, match=f"cannot write {FULL}: No space left"):
        files.write_whole(Path(FULL), b"data")
    assert Path(FULL).is_char_device()


def test_a_link_stays_a_link_and_a_program_stays_one(tmp_path: Path) -> None:
    target, link = tmp_path / "program", tmp_path / "link"
    target.write_bytes(b"old")
    target.chmod(0o755)
    link.symlink_to(target)
    files.write_whole(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert target.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("status", [249, -7])
def test_a_compiler_that_dies_on_a_full_disk_says_so(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The linker maps its output; a page that has no room is SIGBUS."""
    answer = SimpleNamespace(returncode=status)
    monkeypatch.setattr(subprocess, "run", lambda *words, **options: answer)
    with pytest.raises(build.BuildError, match="ended by SIGBUS; is there room in"):
        build.zig("cc")


@needs_full
def test_a_program_goes_to_its_place_whole_or_not_at_all(tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.write_bytes(b"program")
    with pytest.raises(UserError, match=FULL):
        build.keep(made, Path(FULL))
    build.keep(made, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"program"
