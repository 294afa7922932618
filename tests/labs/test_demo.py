"""The demo command finds, runs, reports and explains demos."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hw.host import UserError
from kernel.boot import boot, run_to_end, spawn
from labs import demo
from labs.claim import Demo, Options, Result
from userland.programs import describe, read_program


@pytest.fixture
def two_demos(monkeypatch: pytest.MonkeyPatch) -> list[Options]:
    """Two demos: one claim holds, one fails; returns the options that they got."""
    asked: list[Options] = []

    def run(options: Options) -> Result:
        asked.append(options)
        return Result("one line", {"figure": 1}, holds=len(asked) == 1)

    made = {name: Demo(name, f"{name} is shown", run) for name in ("gears", "wheels")}
    monkeypatch.setattr(demo, "every_demo", lambda: made)
    return asked


def test_without_a_name_the_demos_are_listed(
    two_demos: list[Options], capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo.main([]) == 0
    assert capsys.readouterr().out.split("\n")[:2] == [
        "gears        gears is shown",
        "wheels       wheels is shown",
    ]
    assert not two_demos


def test_a_demo_gets_the_requested_machine(
    two_demos: list[Options], capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo.main(["wheels", "--no-pcid", "--seed", "7", "--trace", "t.vtrace"]) == 0
    (options,) = two_demos
    assert not options.config.machine.pcid
    assert options.config.seed == 7
    assert options.trace == Path("t.vtrace")
    assert capsys.readouterr().out == "one line\n"


def test_json_replaces_the_text_and_a_claim_that_fails_is_the_status(
    two_demos: list[Options], capsys: pytest.CaptureFixture[str]
) -> None:
    demo.main(["gears", "--json"])
    assert json.loads(capsys.readouterr().out) == {"figure": 1}
    assert demo.main(["gears"]) == 1


def test_json_is_not_mixed_with_sentences(two_demos: list[Options]) -> None:
    with pytest.raises(UserError, match="one of them"):
        demo.main(["gears", "--json", "--captions"])
    assert not two_demos


@pytest.mark.usefixtures("two_demos")
def test_an_unknown_demo_is_refused_in_a_sentence() -> None:
    with pytest.raises(UserError, match=r"no demo 'gear'; did you mean 'gears'\?"):
        demo.main(["gear"])


def test_every_module_of_the_folder_is_a_demo_with_a_line_about_it() -> None:
    for name, found in demo.every_demo().items():
        assert found.name == name
        assert found.doc
        assert "\n" not in found.doc
        assert len(found.doc) < 80


def test_a_run_is_recorded_in_the_requested_file(tmp_path: Path) -> None:
    options = Options(trace=tmp_path / "t.vtrace")
    kernel, program = boot(options.config, {}, lambda _: None), read_program("hello")
    with options.recording(kernel, describe("hello", program)):
        run_to_end(kernel, spawn(kernel, program, [b"hello"], [], options.config.user))
    assert (tmp_path / "t.vtrace").stat().st_size > 0
