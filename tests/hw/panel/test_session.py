"""What keys do: back undoes forward, conditions mean what they say, and nothing needs a mouse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.panel import commands
from hw.panel.commands import COMMANDS
from hw.panel.keys import bindings, commands_by_key, key_name
from hw.panel.model.conditions import ConditionError, Subject, parse
from hw.panel.model.state import FRAMES, PTES
from hw.panel.picture.overlay import matching
from hw.panel.session import Session
from hw.panel.user import markers, showing
from tests.hw.panel.recordings import closing, drawn, folder, opened

__all__ = ["closing", "folder"]
TRACE = Path(__file__).parent / "cow.vtrace"


def session(path: Path = TRACE) -> Session:
    return Session(opened(path))


def press(session: Session, *keys: str) -> Session:
    for key in keys:
        commands.press(session, key, key if len(key) == 1 else "")
    return session


def write(session: Session, key: str, text: str) -> Session:
    """A key that asks for a line, the line, and Enter."""
    return press(session, key, *text, "return")


# The keymap ---------------------------------------------------------------------------------------


def test_every_key_does_one_thing() -> None:
    keys = [key for binding in bindings() for key in binding.keys]
    assert len(keys) == len(set(keys))
    assert len({binding.command for binding in bindings()}) == len(bindings())


def test_every_command_has_a_key_and_is_in_the_palette_and_in_the_help() -> None:
    assert {binding.command for binding in bindings()} == set(COMMANDS)
    for binding in bindings():
        assert binding.keys
        assert binding.words
        assert binding in matching(binding.words)


def test_lower_case_is_forward_and_shift_is_back() -> None:
    by_key = commands_by_key()
    for letter in "seyfwnc":
        forward, back = by_key[letter], by_key[letter.upper()]
        assert ("previous" in back) or ("back" in back), (forward, back)


def test_keys_are_named_by_what_they_type_or_by_their_name() -> None:
    held = {"shift": False, "ctrl": False, "alt": False}
    assert key_name("s", "s", **held) == "s"
    assert key_name("s", "S", **held | {"shift": True}) == "S"
    assert key_name("/", "?", **held | {"shift": True}) == "?"
    assert key_name("k", "\x0b", **held | {"ctrl": True}) == "ctrl+k"
    assert key_name("left", "", **held | {"alt": True}) == "alt+left"
    assert key_name("f10", "", **held | {"shift": True}) == "shift+f10"
    assert key_name("space", " ", **held) == "space"


@given(st.lists(st.sampled_from(sorted(commands_by_key())), max_size=25))
@settings(max_examples=60)
def test_any_keys_leave_a_session_that_draws(keys: list[str]) -> None:
    some = press(session(), *[key for key in keys if key not in ("q", "ctrl+q")])
    assert drawn(some)
    assert 0 <= some.history.position <= some.history.scanned


# Time ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("forward", "sort"), [("y", "syscall"), ("f", "fault"), ("w", "switch")])
def test_forward_through_all_events_of_a_sort_and_back(forward: str, sort: str) -> None:
    some = session()
    marks = [number + 1 for number in some.history.tracks.marks[sort]]
    for mark in marks:
        press(some, forward)
        assert some.history.position == mark
    press(some, forward)
    assert some.message
    for mark in reversed(marks[:-1]):
        press(some, forward.upper())
        assert some.history.position == mark


def test_a_switch_ends_where_cr3_has_been_written() -> None:
    some = press(session(), "w")
    last = some.history.last
    assert last is not None
    assert last.kind.name == "cr3_load"


def test_arrows_home_and_end() -> None:
    some = press(session(), "9", "right", "right", "shift+right")
    assert some.history.position == 12
    press(some, "left", "shift+left")
    assert some.history.position == 1
    press(some, "end")
    assert some.history.position == some.history.scanned
    press(some, "home")
    assert some.history.position == 0


def test_running_moves_with_time_and_stops_at_a_breakpoint_and_at_the_end() -> None:
    some = press(session(), "space")
    assert some.tick(1.0)
    assert some.history.position == some.speed
    press(some, ">")
    some.tick(0.5)
    assert some.history.position == 16
    write(some, "b", "fault")
    some.tick(60.0)
    assert not some.running
    assert some.history.position == some.history.tracks.marks["fault"][0] + 1
    press(some, "B", "1", "escape", "space")
    some.tick(6000.0)
    assert not some.running
    assert some.history.position == some.history.scanned


def test_breakpoints_search_both_ways() -> None:
    some = write(session(), "b", "fault && write && space==2")
    press(some, "c", "c", "c")
    there = some.history.position
    assert some.history.last is not None
    assert some.history.last["error"] & 2
    press(some, "c", "C")
    assert some.history.position == there
    write(some, "b", "fault && nonsense==1")
    write(some, "b", "fault &&")
    assert "ends too early" in some.message
    press(session(), "c")


def test_search_takes_conditions_and_words() -> None:
    some = write(session(), "/", "call==write && result>40")
    assert some.history.last is not None
    assert some.history.last["result"] > 40
    first = some.history.position
    press(some, "n", "N")
    assert some.history.position == first
    write(some, "/", "child, after")
    assert some.history.last.kind.name == "console_output" or "child, after" in str(
        some.history.last
    )
    write(some, "/", "no such words")
    assert "no such words" in some.message


def test_last_write_goes_to_the_record_that_wrote_what_is_in_view() -> None:
    some = write(session(), "g", "end")
    write(some, "g", "#330")
    write(some, "g", "0x7f0000007000")
    press(some, "1", "l")
    slot = next(e for e in some.history.edits_of_last() if e[0] == PTES)
    assert slot[3] is not None
    assert "last write to PT[007]" in some.message
    press(some, "4", "l")
    assert any(edit[0] == FRAMES for edit in some.history.edits_of_last())


# What is in view ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "va"), [("0x7f0000003000", 0x7F0000003000), ("main", None), ("pfn:0x30", None)]
)
def test_go_puts_addresses_symbols_and_frames_in_view(text: str, va: int | None) -> None:
    some = write(write(session(), "g", "#307"), "g", text)
    view = showing.view(some)
    if va is None:
        va = some.history.about.address_of("main") if text == "main" else 0x7F0000007000
    assert view.va == va
    press(some, "alt+left")
    assert some.focus.va is None
    press(some, "alt+right")
    assert some.focus.va == va


@pytest.mark.parametrize("text", ["0xyz", "no_such_symbol", "fault:999", "#99999", "120%0"])
def test_going_nowhere_is_refused_in_a_sentence(text: str) -> None:
    assert "; " in write(session(), "g", text).message


def test_follow_holds_an_address_while_time_goes_on() -> None:
    some = press(session(), "f", "f", "t")
    held = showing.view(some).va
    press(some, "f", "f", "f")
    assert showing.view(some).va == held
    press(some, "t")
    assert showing.view(some).va != held


def test_markers_show_what_has_changed_between() -> None:
    some = press(write(session(), "g", "#245"), "m", "y", "M")
    rows = "\n".join(markers.difference(some))
    assert f"records 245 to {some.history.position}" in rows
    assert showing.view(some).since
    press(session(), "d")


def test_the_maps_compare_with_the_pinned_space_and_turn_their_axis() -> None:
    from hw.panel.panels import maps

    some = write(write(session(), "g", "#307"), "g", "space:2")
    plain = maps.describe(showing.view(some))
    press(some, "z")
    shown = maps.columns(showing.view(some), 4)
    assert [column.space for column in shown] == [2, 1]
    assert maps.compared_with(showing.view(some), shown, 1, 0x400000) is shown[0]
    turned = maps.describe(showing.view(some))
    assert turned[0].startswith("space 2")
    assert sum("4= 4!=" in line for line in turned) == sum("4= 4!=" in line for line in plain) == 1
    press(some, "z")
    assert maps.describe(showing.view(some)) == plain
    for name in ("log", "linear", "folded"):
        press(some, "a")
        assert name in maps.title(showing.view(some))
        assert drawn(some)


def test_escape_leads_back() -> None:
    some = press(session(), "3", "return")
    assert some.zoomed
    press(some, "escape")
    assert not some.zoomed
    press(some, "?")
    assert some.over == "help"
    press(some, "escape")
    assert some.over == ""


def test_the_palette_carries_out_what_is_picked() -> None:
    some = press(session(), "ctrl+k", *"next fault", "return")
    assert some.history.position == some.history.tracks.marks["fault"][0] + 1


def test_clicks_choose_and_look() -> None:
    from hw.panel.user import pointing

    some = write(session(), "g", "#307")
    pointing.click(some, 640, 120)
    assert some.chosen == "maps"
    assert some.focus.va is not None
    pointing.click(some, 1100, 290)
    assert some.chosen == "frames"
    pointing.click(some, 100, 475)
    assert some.chosen == "log"
    assert some.history.position != 307
    pointing.click(some, 1250, 640)
    assert some.history.position > 400


# Conditions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("falt && wirte", "no word is called falt; did you mean fault? known: "),
        ("fault && wirte", "no word is called wirte; did you mean write?"),
        ("cal==write", "no field is called cal; did you mean call?"),
        ("call==wirte", "no call is called wirte; did you mean write?"),
        ("!(pte || tbl_flush)", "no word is called tbl_flush; did you mean tlb_flush?"),
        ("vaddr in 0x1..0x2", "no field is called vaddr"),
    ],
)
def test_a_breakpoint_that_nothing_can_meet_is_refused(text: str, sentence: str) -> None:
    some = write(session(), "b", text)
    assert some.breakpoints == []
    assert some.message.startswith(sentence)


@pytest.mark.parametrize(
    "text",
    [
        *("fault && vas==2 && write", "call==write && result<0", "pte || tlb_flush", "fetch"),
        *("va in 0x400000..0x404000", "output~hello", "switch", "event", "output", "kind==pte"),
        *("call~wri", "tid==1", "call!=mmap", "vpn==4", "core==0 && cycles>5", "instruction"),
    ],
)
def test_a_breakpoint_of_known_words_is_set(text: str) -> None:
    assert write(session(), "b", text).breakpoints == [text]


def hits(text: str) -> list[int]:
    history = opened(TRACE)
    condition = parse(text)
    subjects = (
        Subject(history.record(n), n, history.tracks, history.about) for n in range(history.scanned)
    )
    return [subject.number for subject in subjects if condition(subject)]


def kind_is(name: str) -> Callable[[int], bool]:
    history = opened(TRACE)
    return lambda number: history.record(number).kind.name == name


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ("fault", "kind==fault"),
        ("!!pte", "pte"),
        ("fault && write", "write && fault"),
        ("fault || pte && frame", "fault"),
        ("(fault || pte) && pte", "pte"),
        ("va in 0x400000..0x500000", "va>=0x400000 && va<0x500000"),
        ("tid==2", "tid>1"),
        ("space==2 && fault", "vas==2 && fault"),
        ("output~child", "console_output && data~child"),
        ("call==write", "call==write && (syscall || wait)"),
    ],
)
def test_conditions_that_say_the_same_find_the_same(one: str, same: str) -> None:
    assert hits(one) == hits(same) != []


def test_negation_splits_all_records() -> None:
    yes, no = hits("fault && space==2"), hits("!(fault && space==2)")
    assert sorted(yes + no) == list(range(opened(TRACE).scanned))


@pytest.mark.parametrize(
    "text", ["", "fault &&", "(fault", "fault)", "== 3", "va in 1", "va in 1..x", "tid < x", "a b"]
)
def test_a_bad_condition_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ConditionError):
        parse(text)


@given(st.text(alphabet="abcfault&|!()<>=~.0x19 in", max_size=20))
@settings(max_examples=200)
def test_any_text_is_a_condition_or_is_refused_in_a_sentence(text: str) -> None:
    try:
        condition = parse(text)
    except ConditionError:
        return
    history = opened(TRACE)
    for number in range(0, history.scanned, 40):
        condition(Subject(history.record(number), number, history.tracks, history.about))
