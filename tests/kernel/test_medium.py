"""The medium: damaged, foreign and newer modules, what a repair keeps, and the power cut."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import pytest

from hw import costs
from hw.nvm import ImageFailure
from kernel import checkpoint
from kernel.nvm.check import Contents, read, repair
from kernel.nvm.format import MediumError, frames_for
from tests.kernel import powercut
from tests.kernel.images import MODE, SIZE, MemoryImage, again, booted
from tests.kernel.system import LAST
from tests.kernel.vas_world import HERE, PAGE, RW, THERE

SLOT = 4096


def filled() -> MemoryImage:
    """A module with two segments and a VAS that shows one of them."""
    image = MemoryImage()
    world = booted(image)
    one = world.segment("one", HERE, 3, mode=MODE)
    world.segment("two", THERE, 2, mode=MODE)
    vid = world.vas("vas", mode=MODE)
    assert world.ask("vas_seg_attach", vid, one, RW) == 0
    LAST.clear()
    return image


def names(found: Contents) -> set[bytes]:
    return {record.name for record in found.records}


def metadata(image: MemoryImage) -> Iterator[int]:
    """The place of every byte of the metadata."""
    found = read(image.read, SIZE)
    yield from range(2 * SLOT)
    yield from range(found.root.pfn * PAGE, found.root.pfn * PAGE + found.root.size_bytes)
    for entry in found.entries:
        yield from range(entry.pfn * PAGE, entry.pfn * PAGE + entry.size_bytes)


def test_no_flipped_byte_of_the_metadata_goes_unnoticed_and_a_repair_keeps_what_is_whole() -> None:
    image = filled()
    places = list(metadata(image))
    assert len(places) > 2 * SLOT + 3 * 32 + 3 * 40
    for number, at in enumerate(places):
        damaged = MemoryImage(bytes(image.data))
        damaged.data[at] ^= 1 << number % 8
        found = read(damaged.read, SIZE)
        assert found.problems, f"byte {at:#x}"
        if at >= 2 * SLOT or number % 97 < 2 or at % SLOT < 64:
            done = repair(damaged.read, SIZE)
            assert done.told
            for offset, data in done.writes:
                damaged.write(offset, data)
            mended = read(damaged.read, SIZE)
            assert not mended.problems
            assert len(names(mended)) >= 2


def test_a_damaged_module_is_refused_at_boot_in_a_sentence() -> None:
    image = filled()
    image.data[3] ^= 1
    with pytest.raises(MediumError, match="root slot A") as told:
        booted(image)
    assert "repair" in told.value.remedy


def test_a_foreign_a_newer_a_blank_and_a_short_module_are_refused() -> None:
    image = filled()
    for data, words in (
        (b"GIF89a" + bytes(SIZE - 6), "no NVM of Vantage"),
        (bytes(SIZE), "no NVM of Vantage"),
        (newer(image.data), "version 9"),
        (image.data[: SIZE // 2], "was made with"),
        (image.data + bytes(PAGE), "was made with"),
    ):
        source = MemoryImage(bytes(data))
        for act in (read, repair):
            with pytest.raises(MediumError, match=words) as told:
                act(source.read, len(source.data))
            assert told.value.remedy


def newer(data: bytearray) -> bytes:
    """The same module as a later version would mark it."""
    changed = bytearray(data)
    for at in (0, SLOT):
        changed[at + 8] = 9
        changed[at + 60 : at + 64] = struct.pack("<I", zlib.crc32(changed[at : at + 60]))
    return bytes(changed)


def test_with_both_root_slots_gone_it_says_that_nothing_can_be_found() -> None:
    image = filled()
    image.data[10] ^= 1
    image.data[SLOT + 20] ^= 1
    with pytest.raises(MediumError, match="nothing can be found"):
        read(image.read, SIZE)


def test_objects_that_share_a_frame_are_named_and_one_of_them_is_kept() -> None:
    image = filled()
    found = read(image.read, SIZE)
    entry, record = found.entries[1], found.records[1]
    record.objects[0] = [(0, found.records[0].objects[0][0][1], 2)]
    from kernel.nvm.format import pack_catalogue, pack_record, pack_root

    data = pack_record(record)
    image.write(entry.pfn * PAGE, data)
    found.entries[1] = type(entry)(entry.kind, entry.id, entry.pfn, len(data), zlib.crc32(data))
    catalogue = pack_catalogue(found.entries)
    image.write(found.root.pfn * PAGE, catalogue)
    root = found.root
    root = type(root)(root.frames, root.number, root.pfn, len(catalogue), zlib.crc32(catalogue))
    image.write(found.slot * SLOT, pack_root(root))
    told = read(image.read, SIZE).problems
    assert any("frames in common" in problem for problem in told)
    for offset, written in repair(image.read, SIZE).writes:
        image.write(offset, written)
    assert names(read(image.read, SIZE)) == {b"one", b"vas"}


def test_a_host_that_refuses_a_write_stops_the_machine_and_leaves_the_old_state() -> None:
    image = filled()
    world = again(image)

    def refuse(offset: int, data: bytes) -> None:
        raise ImageFailure("no space left")

    image.write = refuse  # type: ignore[method-assign]
    with pytest.raises(ImageFailure):
        world.segment("three", HERE, 1, mode=MODE)
    assert names(read(image.read, SIZE)) == {b"one", b"two", b"vas"}
    LAST.clear()


@pytest.mark.parametrize("seed", [2, 5, 9])
def test_after_a_power_cut_each_object_is_in_its_old_or_its_new_state(seed: int) -> None:
    assert powercut.cut_everywhere(seed, every=7)


def test_a_system_from_a_checkpoint_goes_on_and_leaves_the_image_alone() -> None:
    image = filled()
    world = again(image, watched=False, traced=False)
    before = bytes(image.data)
    kernel = checkpoint.load(checkpoint.save(world.kernel), lambda data: None)
    assert kernel.persistence is not None
    assert kernel.machine.nvm.image is None
    segment = kernel.vases.segments[1]
    kernel.persistence.remove(kernel.vases.vases[1])
    kernel.persistence.save(segment)
    assert kernel.persistence.medium.root.number > world.kernel.persistence.medium.root.number  # type: ignore[union-attr]
    assert bytes(image.data) == before


def test_a_commit_writes_few_lines_and_none_of_the_pages() -> None:
    world = booted(MemoryImage())
    world.segment("big", HERE, 100, mode=MODE)
    nvm = world.kernel.machine.nvm
    before = nvm.state.writes
    world.ask("vas_seg_setattr", 1, world.put(struct.pack("<III", MODE, 1000, 100)))
    assert nvm.state.writes - before < 8
    assert frames_for(1) == 1


def test_a_page_is_paid_for_by_the_line_and_a_fence_once() -> None:
    world = booted(MemoryImage())
    sid = world.segment("one", HERE, 2, mode=MODE)
    assert world.ask("vas_seg_attach", 0, sid, RW) == 0
    world.run_on(0, world.thread)
    world.touch(0, HERE, 1)
    counts = world.kernel.machine.core.state.counts
    before = counts[costs.NVM_FLUSH], counts[costs.NVM_FENCE]
    assert world.ask("msync", HERE, 2 * PAGE, 4) == 0
    after = counts[costs.NVM_FLUSH], counts[costs.NVM_FENCE]
    assert (after[0] - before[0], after[1] - before[1]) == (64, 1)
