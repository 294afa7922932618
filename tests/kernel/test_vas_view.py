"""Shared page-table subtrees: which tables a view owns, what the kernel pushes to it, the costs."""

from __future__ import annotations

import pytest

from hw import costs
from hw.paging import P, W
from kernel import invariants
from kernel.mm.regions import Region
from kernel.mm.space import AddressSpace
from kernel.vas.records import own_slot
from kernel.vas.tables import SharedTable
from kernel.vas.view import View
from tests.kernel.vas_world import HERE, PAGE, RW, R, World

BESIDE = 0x68_0000
"""In the 2 MiB span of the program's data."""


def view_of(world: World, vid: int = 1) -> View:
    view = world.kernel.vases.held(world.process.space).attachments[vid].view
    assert isinstance(view, View)
    return view


def tables(view: AddressSpace) -> SharedTable:
    assert isinstance(view.table, SharedTable)
    return view.table


def counts(world: World) -> list[int]:
    return list(world.kernel.machine.cores[0].state.counts)


def cost(world: World, name: str, *arguments: int) -> list[int]:
    """How often one successful call charges each primitive."""
    before = counts(world)
    assert world.ask(name, *arguments) >= 0
    return [after - start for after, start in zip(counts(world), before, strict=True)]


def filled(pages: int, segments: int = 0) -> tuple[World, int]:
    """A process with `pages` resident pages, and a VAS with as many."""
    world = World(ram=64)
    at = world.ask("mmap", HERE, pages * PAGE, 3, 0x32, -1, 0)
    world.thread.space.write(at, bytes(pages * PAGE))
    vid = world.inside()
    at = world.ask("mmap", 0, pages * PAGE, 3, 0x22, -1, 0)
    world.thread.space.write(at, bytes(pages * PAGE))
    for i in range(segments):
        sid = world.segment(f"s{i}", own_slot(vid) + (1 << 38) + i * PAGE, 1)
        assert world.ask("vas_local_attach", vid, sid, R) == 0
    assert world.ask("vas_switch", 0) == 0
    assert world.ask("vas_detach", 0, vid) == 0
    return world, vid


def test_attach_costs_the_same_however_many_pages_are_mapped() -> None:
    few, many = (cost(world, "vas_attach", 0, vid, RW) for world, vid in (filled(10), filled(3000)))
    assert few == many
    assert few[costs.TABLE_ALLOCATE] == 1, "the top level"


def test_create_costs_the_same_whatever_there_is() -> None:
    world = World(ram=16)
    at = world.text("first")
    first = cost(world, "vas_create", at, 0o600)
    for i in range(200):
        world.attached(f"v{i}")
    assert cost(world, "vas_create", world.text("last!"), 0o600) == first


def test_a_switch_writes_no_table_and_reads_no_region_however_much_there_is() -> None:
    for world, vid in (filled(10), filled(2000)):
        assert world.ask("vas_attach", 0, vid, RW) == 0
        spent = cost(world, "vas_switch", vid)
        assert spent[costs.TABLE_LOOKUP] == 1
        assert sum(spent) == 1, "CR3 apart, which a still thread lacks"


def test_a_slot_with_one_owner_is_shared_at_the_top() -> None:
    world = World()
    world.inside()
    world.map(0, flags=0)
    world.map(HERE + (1 << 45))
    view = view_of(world)
    assert len(tables(view).used) == 1, "the top level is all that a view has"
    assert tables(view).pushed == 0


def test_in_the_programs_own_2_mib_a_view_has_three_tables_more() -> None:
    world = World()
    vid, sid = world.vas(), world.segment("s", BESIDE)
    assert world.ask("vas_seg_attach", vid, sid, RW) == 0
    assert world.ask("vas_attach", 0, vid, RW) == 0
    table = tables(view_of(world))
    assert sorted(key & 7 for key in table.own) == [1, 2, 3]
    assert world.ask("vas_switch", vid) == 0
    world.thread.space.write(BESIDE, b"segment")
    world.thread.space.write(0x60_0000, b"program")
    assert world.process.space.read(0x60_0000, 7) == b"program"
    assert not world.process.space.table.lookup(BESIDE)
    assert table.pushed >= 2, "every leaf in the span is pushed, and counted"
    invariants.check(world.kernel)


def test_a_new_table_below_a_mixed_span_is_pushed_to_every_view() -> None:
    world = World()
    vid, sid = world.vas(), world.segment("s", 0x4000_0000)
    assert world.ask("vas_seg_attach", vid, sid, R) == 0
    child = world.fork()
    for thread in (world.thread, child):
        assert world.ask("vas_attach", 0, vid, R, thread=thread) == 0
    before = [tables(a.view).pushed for a in world.kernel.vases.vases[vid].attachments.values()]
    at = world.map(0x8000_0000)
    world.thread.space.write(at, b"x")
    after = [tables(a.view).pushed for a in world.kernel.vases.vases[vid].attachments.values()]
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 0]
    assert world.ask("vas_switch", vid) == 0
    assert world.thread.space.read(at, 1) == b"x"
    assert view_of(world).table.lookup(at) & P
    invariants.check(world.kernel)


@pytest.mark.parametrize("at", [BESIDE, HERE, 1 << 46])
def test_a_read_only_attachment_clears_w_only_in_the_views_own_entry(at: int) -> None:
    world = World()
    vid, sid = world.vas(), world.segment("s", at)
    assert world.ask("vas_seg_attach", vid, sid, RW) == 0
    vas = world.kernel.vases.vases[vid].space
    assert world.ask("vas_attach", 0, vid, RW) == 0
    assert world.ask("vas_switch", vid) == 0
    world.thread.space.write(at, b"x")
    assert world.ask("vas_switch", 0) == 0
    assert world.ask("vas_detach", 0, vid) == 0
    assert world.ask("vas_attach", 0, vid, R) == 0
    view = view_of(world)
    assert vas.table.lookup(at) & W
    assert view.table.lookup(at) & (P | W) == P
    level = min([4, *(key & 7 for key in tables(view).own)])
    assert not view.table.word(at, level) & W, "the lowest entry that is its own"
    assert view.home.table.lookup(0x7FFF_FFFF_D000) & W, "the process may still store"


def test_many_views_of_one_vas_see_one_change() -> None:
    world = World(ram=16)
    vid = world.vas()
    team = [world.thread, *(world.fork() for _ in range(20))]
    for thread in team:
        assert world.ask("vas_attach", 0, vid, R, thread=thread) == 0
        assert world.ask("vas_switch", vid, thread=thread) == 0
    held = world.kernel.vases.vases[vid]
    memory = world.kernel.memory.objects.anonymous()
    memory.pay_from(held.account)
    region = held.space.map_region(Region(1 << 46, (1 << 46) + PAGE, 3, memory))
    held.space.write(region.start, b"all")
    assert all(thread.space.read(region.start, 3) == b"all" for thread in team)
    pushed = [attachment.view.pushed for attachment in held.attachments.values()]
    assert pushed == [1] * len(team), "one entry of the top level each"
    invariants.check(world.kernel)


def test_mappings_without_a_wish_go_to_the_vass_own_slot_and_the_process_s_to_its_own() -> None:
    world = World()
    one = world.attached("one")
    two = world.attached("two")
    homes = {world.map(0, flags=0) >> 39}
    slots = []
    for vid in (one, two):
        assert world.ask("vas_switch", vid) == 0
        slots.append(world.map(0, flags=0) >> 39)
    assert slots == [own_slot(one) >> 39, own_slot(two) >> 39]
    assert len({*slots, *homes}) == 3


def test_a_mapping_without_a_wish_avoids_what_any_view_shows() -> None:
    world = World()
    there = world.map(0, flags=0) + PAGE
    vid, sid = world.vas(), world.segment("s", there, 4)
    assert world.ask("vas_seg_attach", vid, sid, R) == 0
    assert world.ask("vas_attach", 0, vid, R) == 0
    assert world.map(0, flags=0) == there + 4 * PAGE
    assert world.ask("mmap", there, PAGE, 3, 0x22, -1, 0) != there, "a wish is only a wish"
    invariants.check(world.kernel)
