"""What a user's terminal shows beside a panel: one that cannot open, one that closes early, one
that outlives its program.  Captions need no display."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hw.host import UserError
from hw.panel import command as panel
from hw.panel.model.history import History
from hw.panel.words.captions import CAPTIONS
from hw.panel.words.narrator import sentence
from hw.trace import KINDS
from labs import demo, tour
from userland import exec as exec_command
from userland import live, shell
from userland import panel as panel_command

SIGINT = 2
GONE = "import sys; sys.exit('Vantage: no luck')"
STAYS = """
import os, signal, time
os.kill(os.getpid(), signal.SIGINT)  # a Ctrl-C is none of its business, even this early
print("the panel is up", flush=True)
time.sleep(600)
"""
START = """
import sys
sys.path.insert(0, {root!r})
import run
from pathlib import Path
from userland import live
live.RUN, live.has_display = Path({script!r}), lambda: True
sys.exit(run.door({words!r}))
"""


@pytest.fixture
def no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "has_display", lambda: False)
    monkeypatch.setattr(panel_command, "has_display", lambda: False)
    monkeypatch.setattr(tour, "has_display", lambda: False)


def with_panel(source: str, folder: Path, *words: str) -> list[str]:
    """A command that starts Vantage with a panel of this source."""
    script = folder / "panel.py"
    script.write_text(source)
    root = str(live.RUN.parent)
    text = START.format(root=root, script=str(script), words=list(words))
    return [sys.executable, "-c", text]


@pytest.mark.usefixtures("no_display")
def test_without_a_display_there_is_one_sentence_and_nothing_else_changes(capfd: Any) -> None:
    for main, words, output in (
        (exec_command.main, ["--panel", "hello"], "Hello from ring 3."),
        (shell.main, ["--panel", "-c", "echo one two"], "one two"),
        (demo.main, ["views", "--panel"], "3 frames at one address"),
        (tour.main, ["--panel"], tour.NEXT),
    ):
        assert main(words) == 0
        said = capfd.readouterr()
        assert output in said.out
        assert said.err == live.NO_DISPLAY + "\n"
    with pytest.raises(UserError, match="no display"):
        panel_command.main(["hello"])


def test_the_tour_opens_no_panel_where_nobody_sees_its_text(
    capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "show", None)
    monkeypatch.setattr(live, "has_display", lambda: True)
    assert tour.main([]) == 0
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("words", [["exec", "--panel"], ["exec", "--panel", "--paused"]])
def test_a_panel_that_closes_early_leaves_the_program_its_terminal(
    tmp_path: Path, words: list[str]
) -> None:
    command = with_panel(GONE, tmp_path, *words, "upper")
    done = subprocess.run(command, input="so it goes\n", capture_output=True, text=True)
    assert done.returncode == 0
    assert "SO IT GOES" in done.stdout
    assert "Vantage: no luck" in done.stderr
    assert "Traceback" not in done.stderr


if hasattr(os, "killpg"):

    @pytest.mark.parametrize("words", [["exec", "--panel", "hello"], ["demo", "views", "--panel"]])
    def test_ctrl_c_ends_a_panel_that_outlives_its_program(
        tmp_path: Path, words: list[str]
    ) -> None:
        command = with_panel(STAYS, tmp_path, *words)
        running = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert running.stdout is not None
        last = "has ended" if words[0] == "exec" else "the panel is up"
        said = ""
        while last not in said:
            line = running.stdout.readline()
            assert line, said
            said += line
        os.killpg(running.pid, SIGINT)
        said += running.communicate()[0]
        assert running.returncode == (130 if words[0] == "exec" else 0)
        assert "Traceback" not in said


def test_captions_during_a_run_are_those_after_it(tmp_path: Path, capfd: Any) -> None:
    trace = tmp_path / "t"
    assert exec_command.main(["--captions", "--trace", str(trace), "cow"]) == 0
    program = capfd.readouterr().out.splitlines()
    assert panel.main(["captions", str(trace)]) == 0
    told = capfd.readouterr().out.splitlines()
    assert exec_command.main(["cow"]) == 0
    output = capfd.readouterr().out.splitlines()
    assert sorted(program) == sorted(told + output)
    assert [line for line in program if line in told] == told
    assert any("copy on write: frame" in line for line in told)
    assert all(line.endswith(".") for line in told)
    assert panel.main(["captions", str(trace), "--from", "fault:1", "--to", "fault:2"]) == 0
    assert capfd.readouterr().out.splitlines() == told[2:4]


def test_every_kind_of_record_has_a_sentence(tmp_path: Path) -> None:
    assert set(KINDS) <= set(CAPTIONS)
    for words in (["--sched", "mlfq"], ["--sched", "eevdf"], ["--cpus", "2"]):
        trace = tmp_path / words[-1]
        assert exec_command.main([*words, "--trace", str(trace), "threads"]) == 0
        history = History(trace)
        history.scan_all()
        while history.forward():
            told = sentence(history)
            assert told[0].isupper(), told
            assert told.endswith("."), told
        history.close()


def test_a_demo_and_the_tour_have_captions(capfd: Any) -> None:
    assert demo.main(["views", "--captions"]) == 0
    assert "switched from VAS 1 to VAS 2: same registers" in capfd.readouterr().out
    assert tour.main(["--captions", "--no-panel"]) == 0
    said = capfd.readouterr().out
    assert said.index("copy on write: frame") < said.index(tour.NEXT)


def test_a_demo_opens_the_panel_with_its_scenes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "panel.py"
    script.write_text("import sys; open(__file__ + '.words', 'w').write(' '.join(sys.argv[1:]))")
    monkeypatch.setattr(live, "RUN", script)
    monkeypatch.setattr(live, "has_display", lambda: True)
    monkeypatch.setattr(demo, "scenes_of", lambda name, policy: [f"--scenes={name}"])
    assert demo.main(["views", "--panel"]) == 0
    words = Path(f"{script}.words").read_text().split()
    assert words[:2] == ["panel", "replay"]
    assert words[-1] == "--scenes=views"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_what_a_killed_machine_leaves_is_gone_at_the_next_start(tmp_path: Path) -> None:
    """Its panel goes with it, and its trace when the next one needs a folder."""
    place = tmp_path / "tmp"
    place.mkdir()
    text = START.format(
        root=str(live.RUN.parent), script=str(live.RUN), words=["exec", "--panel", "spin"]
    )
    environment = {**os.environ, "TMPDIR": str(place), "SDL_VIDEODRIVER": "dummy"}
    command = [sys.executable, "-c", text]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as machine:
        assert machine.stdout is not None
        machine.stdout.readline()  # it says that it spins
        children = Path(f"/proc/{machine.pid}/task/{machine.pid}/children")
        while not (panels := children.read_text().split()) or not has_opened(panels[0]):
            time.sleep(0.01)
        machine.kill()
    while is_there(panels[0]):
        time.sleep(0.01)
    assert [entry.name.rpartition("-")[0] for entry in place.iterdir()] == ["vantage-live"]
    words = [sys.executable, str(live.RUN), "exec", "--captions", "hello"]
    subprocess.run(words, env=environment, check=True, stdout=subprocess.DEVNULL)
    assert list(place.iterdir()) == []


def is_there(pid: str) -> bool:
    """Does the process run?  One that nobody waits for may stay as a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def has_opened(pid: str) -> bool:
    """Has the panel got as far as its fonts?  By then it dies with its parent."""
    try:
        held = [entry.readlink() for entry in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return False
    return any(path.suffix == ".ttf" for path in held)
