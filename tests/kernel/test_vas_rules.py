"""Rights to VASes and segments, their use by several processes at once, and their ids."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest

from kernel import invariants
from kernel.abi.errno import E
from kernel.boot import Config
from kernel.task.credentials import Credentials
from tests.kernel.vas_world import GROUP, OTHER, OWNER, ROOT, RW, THERE, R, W, World

# Rights -----------------------------------------------------------------------------------------

USERS = {"owner": OWNER, "group": GROUP, "other": OTHER, "root": ROOT}
NEEDS: dict[str, tuple[str, int, Callable[[World, int], int]]] = {
    "attach to read": ("vas", 4, lambda w, id: w.ask("vas_attach", 0, id, R)),
    "attach to write": ("vas", 2, lambda w, id: w.ask("vas_attach", 0, id, W)),
    "attach for both": ("vas", 6, lambda w, id: w.ask("vas_attach", 0, id, RW)),
    "delete": ("vas", 2, lambda w, id: w.ask("vas_delete", id)),
    "ctl": ("vas", 2, lambda w, id: w.ask("vas_ctl", id, 1, 0)),
    "clone": ("vas", 4, lambda w, id: min(0, w.ask("vas_clone", id, w.text("x"), 0))),
    "attach a segment": ("vas", 2, lambda w, id: w.ask("vas_seg_attach", id, free(w), R)),
    "delete a segment": ("segment", 2, lambda w, id: w.ask("vas_seg_delete", id)),
    "segment ctl": ("segment", 2, lambda w, id: w.ask("vas_seg_ctl", id, 1, 1)),
    "clone a segment": (
        "segment",
        4,
        lambda w, id: min(0, w.ask("vas_seg_clone", id, w.text("x"), 0)),
    ),
    "show a segment to read": ("segment", 4, lambda w, id: w.ask("vas_seg_attach", 0, id, R)),
    "show a segment to write": ("segment", 2, lambda w, id: w.ask("vas_seg_attach", 0, id, W)),
    "show it for both": ("segment", 6, lambda w, id: w.ask("vas_seg_attach", 0, id, RW)),
}


def free(w: World) -> int:
    """A segment that every user may use."""
    return w.segment("free", THERE, mode=0o666)


@pytest.mark.parametrize("what", NEEDS)
@pytest.mark.parametrize("user", USERS)
def test_mode_bits_decide_for_owner_group_and_others_but_not_for_root(user: str, what: str) -> None:
    kind, needed, act = NEEDS[what]
    for bits in (0, 2, 4, 6):
        for rest in (0, 6):
            shift = {"owner": 6, "group": 3, "other": 0, "root": 0}[user]
            mode = sum(rest << s for s in (0, 3, 6) if s != shift) | bits << shift
            world = World()
            id = world.vas(mode=mode) if kind == "vas" else world.segment(mode=mode)
            world.process.credentials = USERS[user]
            allowed = user == "root" or not needed & ~bits
            assert act(world, id) == (0 if allowed else -E.ACCES), f"{mode:o}"


@pytest.mark.parametrize("user", USERS)
def test_only_owner_and_root_set_attributes_and_only_root_gives_away(user: str) -> None:
    world = World()
    vid = world.vas(mode=0o666)
    world.process.credentials = USERS[user]
    same = struct.pack("<III", 0o7777, 1000, 100)
    answer = world.ask("vas_setattr", vid, world.put(same))
    assert answer == (0 if user in ("owner", "root") else -E.ACCES)
    away = world.ask("vas_setattr", vid, world.put(struct.pack("<III", 0o640, 1002, 100)))
    assert away == (0 if user == "root" else -E.ACCES)
    assert world.ask("vas_getattr", vid, world.page) == 0
    mode, uid, gid = struct.unpack("<III", world.process.space.read(world.page, 12))
    assert (mode, uid) == {"owner": (0o666, 1000), "root": (0o640, 1002)}.get(user, (0o666, 1000))
    assert gid == 100


def test_supplementary_groups_count() -> None:
    world = World()
    vid = world.vas(mode=0o640)
    world.process.credentials = Credentials(1002, 200, (7, 100))
    assert world.ask("vas_attach", 0, vid, R) == 0


def test_the_owners_bits_decide_even_if_others_have_more_rights() -> None:
    world = World()
    assert world.ask("vas_attach", 0, world.vas(mode=0o066), R) == -E.ACCES


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        ({"vas_sync": "none"}, "--vas-sync takes subtree, forward, rfc, not none"),
        ({"vas_sharing": "none"}, "--vas-sharing takes attach, switch, not none"),
        ({"vas_limit_mib": -1}, "--vas-limit takes 0 or more MiB, not -1"),
    ],
)
def test_a_wrong_policy_is_refused_in_a_sentence(wish: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Config(**wish)


# The sharing rule ------------------------------------------------------------------------------


@pytest.mark.parametrize("sharing", ["attach", "switch"])
@pytest.mark.parametrize("second", [R, W, RW])
@pytest.mark.parametrize("first", [R, W, RW])
def test_one_writer_alone_or_any_number_of_readers(first: int, second: int, sharing: str) -> None:
    """Processes attach a VAS, VASes attach a segment.  Under `switch` no attach is refused."""
    world = World(sharing=sharing)
    vid, sid = world.vas(), world.segment()
    child = world.fork()
    refused = sharing == "attach" and (first != R or second != R)
    wanted = -E.BUSY if refused else 0
    assert world.ask("vas_attach", 0, vid, first) == 0
    assert world.ask("vas_attach", 0, vid, second, thread=child) == wanted
    assert world.ask("vas_attach", 0, vid, second) == 0, "attached already"
    one, two = world.vas("one"), world.vas("two")
    assert world.ask("vas_seg_attach", one, sid, first) == 0
    assert world.ask("vas_seg_attach", two, sid, second) == wanted
    assert world.ask("vas_seg_detach", one, sid) == 0
    assert world.ask("vas_detach", 0, vid) == 0
    if refused:
        assert world.ask("vas_attach", 0, vid, second, thread=child) == 0, "held until detach"
        assert world.ask("vas_seg_attach", two, sid, second) == 0
    invariants.check(world.kernel)


def test_threads_of_one_process_share_its_attachment() -> None:
    world = World()
    vid = world.inside()
    other = world.clone()
    assert world.ask("active_vas", thread=other) == vid
    assert world.ask("vas_switch", 0, thread=other) == 0
    assert world.ask("vas_switch", vid, thread=other) == 0
    assert (world.thread.space.vid, other.space.vid) == (vid, vid)


# Ids, names and limits -------------------------------------------------------------------------


@pytest.mark.parametrize(("make", "delete"), [("vas", "vas_delete"), ("segment", "vas_seg_delete")])
def test_the_lowest_free_id_comes_first(make: str, delete: str) -> None:
    world = World()
    ids = [getattr(world, make)(f"n{i}") for i in range(6)]
    assert ids == [1, 2, 3, 4, 5, 6]
    for id in (4, 2, 5):
        assert world.ask(delete, id) == 0
    assert [getattr(world, make)(f"m{i}") for i in range(4)] == [2, 4, 5, 7]


def test_a_name_is_found_until_its_deletion_and_free_afterwards() -> None:
    world = World()
    longest = "x" * 255
    vid = world.vas(longest)
    assert world.ask("vas_find", world.text(longest)) == vid
    assert world.ask("vas_delete", vid) == 0
    assert world.ask("vas_find", world.text(longest)) == -E.SRCH
    assert world.vas(longest) == vid


def test_vases_and_segments_have_separate_names() -> None:
    world = World()
    assert (world.vas("same"), world.segment("same")) == (1, 1)


def test_modes_are_masked() -> None:
    world = World()
    vid = world.vas(mode=0o7777)
    assert world.kernel.vases.vases[vid].mode == 0o666


def test_a_process_attaches_as_many_vases_as_it_likes_and_switches_among_them() -> None:
    world = World(ram=16)
    ids = [world.attached(f"v{i}") for i in range(300)]
    for vid in (1, 300, 150):
        assert world.ask("vas_switch", vid) == 0
        assert world.ask("active_vas") == vid
    assert ids == list(range(1, 301))
