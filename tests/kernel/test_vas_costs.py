"""What a program makes the kernel do, it pays for; and what it does not need costs nothing."""

from __future__ import annotations

import pytest

from hw import costs
from kernel import invariants
from tests.kernel.vas_world import HERE, PAGE, RW, THERE, R, World


def spent(world: World, name: str, *arguments: int) -> tuple[int, list[int]]:
    """The cycles of a call, and its counts by primitive."""
    core = world.kernel.machine.core.state
    cycles, counts = core.cycles, list(core.counts)
    assert world.ask(name, *arguments) >= 0
    return core.cycles - cycles, [now - then for now, then in zip(core.counts, counts, strict=True)]


def locked(number: int, kind: int = RW) -> World:
    """A system with a VAS of this many lockable segments, attached."""
    world = World(sharing="switch", ram=8)
    vid = world.vas()
    for i in range(number):
        sid = world.segment(f"s{i}", HERE + 2 * i * PAGE, 1)
        assert world.ask("vas_seg_ctl", sid, 1, 1) == 0
        assert world.ask("vas_seg_attach", vid, sid, kind) == 0
    assert world.ask("vas_attach", 0, vid, kind) == 0
    return world


@pytest.mark.parametrize("kind", [R, RW])
@pytest.mark.parametrize("number", [0, 1, 5, 50])
def test_each_lock_taken_and_each_released_is_charged(number: int, kind: int) -> None:
    """To come in, each segment is looked up as well."""
    world, without = locked(number, kind), locked(0, kind)
    for vid in (1, 0):
        _, counts = spent(world, "vas_switch", vid)
        _, least = spent(without, "vas_switch", vid)
        assert counts[costs.LOCK_CHANGE] == number
        looks = counts[costs.TABLE_LOOKUP] - least[costs.TABLE_LOOKUP]
        assert looks == (number if vid else 0)


def test_more_locks_cost_more() -> None:
    prices = [spent(locked(number), "vas_switch", 1)[0] for number in (0, 1, 2, 50)]
    assert prices == sorted(set(prices))
    assert prices[3] - prices[0] >= 50 * costs.TABLE[costs.LOCK_CHANGE].cycles


@pytest.mark.parametrize("sync", ["subtree", "forward"])
@pytest.mark.parametrize("call", ["mmap", "munmap", "brk"])
def test_a_change_at_home_does_not_depend_on_how_many_vases_are_attached(
    sync: str, call: str
) -> None:
    """The model's time does not, and the kernel does not look at views without a neighbour."""
    prices = []
    for number in (0, 1, 40):
        world = World(sync=sync, ram=16)
        for i in range(number):
            vid = world.attached(f"v{i}")
            if i < 10:
                assert world.ask("vas_switch", vid) == 0
                assert world.map(0, flags=0) > 0
                assert world.ask("vas_switch", 0) == 0
        at = world.map(0, flags=0)
        arguments = {
            "mmap": (0, PAGE, 3, 0x22, -1, 0),
            "munmap": (at, PAGE),
            "brk": (world.ask("brk", 0) + PAGE,),
        }
        world.ask("brk", world.ask("brk", 0) + PAGE)
        prices.append(spent(world, call, *arguments[call])[0])
        invariants.check(world.kernel)
    if sync == "subtree":
        assert len(set(prices)) == 1
    else:  # every view hears of every change, and is paid for
        assert prices == sorted(prices)


def test_a_view_with_a_neighbour_is_looked_at_and_paid_for() -> None:
    """Each attached VAS has a segment near what home maps."""
    prices = []
    for number in (0, 1, 10):
        world = World(ram=16)
        for i in range(number):
            vid, sid = world.vas(f"v{i}"), world.segment(f"s{i}", THERE + 2 * i * PAGE, 1)
            assert world.ask("vas_seg_attach", vid, sid, RW) == 0
            assert world.ask("vas_attach", 0, vid, RW) == 0
        assert world.map(THERE + 100 * PAGE) > 0
        _, counts = spent(world, "mmap", THERE + 102 * PAGE, PAGE, 3, 0x32, -1, 0)
        prices.append(counts[costs.REGION_FIND])
        invariants.check(world.kernel)
    assert prices[0] < prices[1] < prices[2]
