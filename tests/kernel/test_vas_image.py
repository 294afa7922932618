"""What a checkpoint says of VASes and segments; its record as bytes; snapshots of the machine."""

from __future__ import annotations

import json
import zlib

import pytest

from kernel.abi.errno import E
from kernel.checkpoint import load, save
from kernel.task import packing
from kernel.task.image import ProcessImage
from kernel.vas.vases import SHARINGS, SYNCS
from tests.kernel.clinic import Clinic, attach_all, byte, pipe
from tests.kernel.vas_world import (
    FIXED,
    HERE,
    PAGE,
    PRIVATE_ANON,
    RW,
    RW_PROT,
    THERE,
)

SHARED_ANON, DONTFORK, READ_ONLY = 0x21, 10, 1
SIGUSR1, SIGUSR2, SIGKILL = 10, 12, 9
NANOSLEEP, PIPE_BYTES = 35, b"on their way"
EVERY_SYNC = pytest.mark.parametrize("sync", SYNCS)


# VASes and segments -----------------------------------------------------------------------------


@pytest.mark.parametrize("sharing", SHARINGS)
@EVERY_SYNC
def test_what_was_attached_is_attached_again(sync: str, sharing: str) -> None:
    clinic = Clinic(sync=sync, sharing=sharing)
    vid, home, own = attach_all(clinic)
    assert clinic.ask("vas_switch", vid) == 0
    clinic.process.space.write(THERE, b"h")
    clinic.thread.space.write(HERE, b"w")
    if sync == "rfc":
        assert clinic.freeze() == -E.BUSY, "its view has memory of its own"
        return
    kept = clinic.frozen()
    if sharing == "attach":
        assert clinic.revive(kept) == -E.BUSY, "the process of before has it for writing"
    process = clinic.become(clinic.thread, kept)
    thread = process.threads[0]
    held = clinic.kernel.vases.held(process.space)
    assert held.segments == {home: 6}
    assert held.attachments[vid].segments == {own: 6}
    assert clinic.ask("active_vas", thread=thread) == vid
    assert (byte(process, THERE), thread.space.read(HERE, 1)) == (b"h", b"w")
    clinic.settle()


def test_the_locks_of_a_view_come_with_it() -> None:
    clinic = Clinic(sharing="switch")
    vid, sid = clinic.vas("room"), clinic.segment("wall", HERE)
    assert clinic.ask("vas_seg_ctl", sid, 1, 1) == 0
    assert clinic.ask("vas_seg_attach", vid, sid, RW) == 0
    assert clinic.ask("vas_attach", 0, vid, RW) == 0
    assert clinic.ask("vas_switch", vid) == 0
    second = clinic.clone()
    kept = clinic.frozen()
    assert clinic.revive(kept) == -E.BUSY, "the process of before is inside"
    process = clinic.become(clinic.thread, kept)
    assert second not in process.threads
    assert clinic.kernel.vases.segment(sid).holders == {t.tid: True for t in process.threads}
    assert len(process.threads) == 2
    clinic.settle()


def test_what_is_gone_or_in_the_way_is_told_beforehand() -> None:
    clinic = Clinic()
    vid, _, _ = attach_all(clinic)
    kept, process = clinic.frozen(), clinic.process
    clinic.kernel.life.exit_process(process, 0)
    assert clinic.ask("vas_attach", 0, vid, RW, thread=clinic.other) == 0
    assert clinic.ask("vas_switch", vid, thread=clinic.other) == 0
    at = clinic.page
    clinic.ask("mmap", at, PAGE, RW_PROT, PRIVATE_ANON | FIXED, -1, 0, thread=clinic.other)
    asker = clinic.stranger_of(clinic.other)
    assert clinic.revive(kept, by=asker) == -E.FAULT, "something in the VAS is where its page was"
    assert any("layout conflict" in text for text in clinic.kernel.log.messages)
    clinic.kernel.vases.vases[vid].mode = 0
    assert clinic.revive(kept, by=asker) == -E.ACCES
    assert clinic.ask("vas_switch", 0, thread=clinic.other) == 0
    assert clinic.ask("vas_detach", 0, vid, thread=clinic.other) == 0
    clinic.kernel.vases.vases[vid].mode = 0o600
    assert clinic.ask("vas_delete", vid, thread=asker) == 0
    assert clinic.revive(kept, by=asker) == -E.SRCH


# The record, and the machine's own snapshots ----------------------------------------------------


def full_image() -> ProcessImage:
    """An image with something of every kind."""
    clinic = Clinic()
    vid, _, _ = attach_all(clinic)
    clinic.open_bytes()
    _, writer = pipe(clinic)
    at = clinic.put(PIPE_BYTES)
    clinic.ask("write", writer, at, len(PIPE_BYTES))
    second = (1).to_bytes(8, "little") + bytes(8)
    clinic.ask("setitimer", 0, clinic.put(second + second), 0)
    clinic.ask(
        "rt_sigaction", SIGUSR1, clinic.put((0x1234).to_bytes(8, "little") + bytes(24)), 0, 8
    )
    clinic.ask("rt_sigprocmask", 0, clinic.put((1 << SIGUSR2 - 1).to_bytes(8, "little")), 0, 8)
    clinic.ask("kill", clinic.process.pid, SIGUSR2)
    clinic.clone()
    clinic.ask("vas_switch", vid)
    return clinic.image(clinic.frozen())


def test_an_image_is_the_same_after_packing() -> None:
    image = full_image()
    data = packing.pack(image)
    assert packing.unpack(data) == image
    assert packing.unpack(data + b"what follows") == image
    assert packing.pack(packing.unpack(data)) == data
    assert data.isascii() or data[20:].isascii()


def sealed(text: bytes, version: int = packing.VERSION) -> bytes:
    head = version.to_bytes(4, "little") + len(text).to_bytes(4, "little")
    return packing.MAGIC + head + zlib.crc32(text).to_bytes(4, "little") + text


def test_foreign_newer_and_damaged_images_are_refused_in_a_sentence() -> None:
    data = packing.pack(full_image())
    text = data[20:]
    assert sealed(text) == data
    for wrong, why in (
        (b"", "no image"),
        (b"x" * 100, "no image"),
        (sealed(text, 2), "version 2, and this kernel reads 1"),
        (data[:-1], "damaged"),
        (data[:50] + bytes([data[50] ^ 1]) + data[51:], "damaged"),
        (sealed(b"{}"), "other fields"),
        (sealed(b"[" * 100_000), "damaged"),
        (sealed(text.replace(b'"umask":18', b'"umask":true')), "bool where int"),
    ):
        with pytest.raises(packing.ImageError, match=why):
            packing.unpack(wrong)


def test_every_field_is_checked_for_its_type() -> None:
    plain = json.loads(packing.pack(full_image())[20:])
    for name in plain:
        for wrong in (None, 1.5, {"a": 1}, [[1]]):
            text = json.dumps({**plain, name: wrong}).encode()
            with pytest.raises(packing.ImageError):
                packing.unpack(sealed(text))


def test_a_checkpoint_survives_a_snapshot_of_the_machine() -> None:
    clinic = Clinic(watched=False, traced=False)
    clinic.process.space.write(clinic.page, b"s")
    vid = clinic.frozen()
    clinic.kernel = load(save(clinic.kernel), clinic.written.append)
    pid, other = clinic.process.pid, clinic.other.process.pid
    clinic.process = clinic.kernel.tasks.processes[pid]
    clinic.other = clinic.kernel.tasks.processes[other].threads[0]
    clinic.process.space.write(clinic.page, b"t")
    assert byte(clinic.revived(vid), clinic.page) == b"s"
    clinic.settle()
