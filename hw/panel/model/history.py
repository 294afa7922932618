"""History: any moment of a trace, forwards, backwards and by number.

`position` is how many records have been applied. The trace is scanned once, in the order of its
records. The scan keeps the net change of every segment of 256 records, with old and new values, and
at every 64th segment the whole state, a keyframe. To seek, the history starts from a keyframe, adds
net changes, and applies the remaining records. To step back, it undoes the edits of a record. A
recording that still grows is scanned further whenever there is more of it.

A history of a run that goes on without end has a cap. Beyond it the oldest records go, from one
keyframe to the next: their net changes, their marks, and, in a trace that nobody keeps, the parts
of the file that hold them. `oldest` is the first record that is left.
"""

from __future__ import annotations

import pickle
import zlib
from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw.panel.model.about import About
from hw.panel.model.fold import KINDS_OF_BOUNDARY, Fold
from hw.panel.model.state import Edit, State, net
from hw.panel.model.tracks import Tracks
from hw.trace import Record, TraceFile

SEGMENT = 256
KEYFRAME_SEGMENTS = 64
JOURNAL_SEGMENTS = 6
CHUNKS_KEPT, RECORDS_REMEMBERED = 6, 4000
STEP_RECORDS = 2 * SEGMENT
"""A longer step shows only its last records."""


@dataclass(frozen=True, slots=True)
class Cap:
    """What a history keeps: at most so many records and bytes, and what follows a keyframe. The
    bytes are those of the trace file, the net changes and the keyframes."""

    most_records: int
    most_bytes: int


LIVE_CAP = Cap(1 << 20, 96 << 20)
"""The cap beside a run."""


class History:
    """A trace file as a line of states.  `state` is the one at `position`."""

    def __init__(self, path: Path, base: State | None = None, cap: Cap | None = None) -> None:
        """`base` is the state before the first record, unless the trace begins with the machine.
        Without a `cap` nothing is forgotten."""
        self.cap = cap
        self.oldest = 0
        """The first record that is kept."""
        self.file = TraceFile(path)
        self.tracks = Tracks()
        self.position = 0
        self.scanned = 0
        """How many records have been scanned so far."""
        self.about = About(self.file.header)
        copies = self.about.config.get("vas_sync") == "rfc"
        first = base.copy() if base else State(copied_views=copies)
        if base is None:
            first.frames.update(self.about.held())
        self._fold = Fold(first, self.about.table_owner)
        self._scan = Fold(first.copy(), self.about.table_owner)
        self._segment_edits: list[Edit] = []
        self._segments: list[bytes] = []
        """The net change of each whole segment from record `oldest` on, packed."""
        self._keyframes: list[bytes] = [_pack(first.shelves)]
        self._packed_bytes = len(self._keyframes[0])
        """The size of all segments and keyframes."""
        self._next_chunk = self.file.first_chunk
        self._offsets: list[int] = []
        self._firsts: list[int] = []
        self._chunks: OrderedDict[int, list[Record]] = OrderedDict()
        self._remembered: dict[int, Record] = {}
        self._journal: list[list[Edit]] = []
        """The edits of each of the last records. It begins where a segment begins."""

    @property
    def state(self) -> State:
        return self._fold.state

    def close(self) -> None:
        self.file.close()

    # The scan -----------------------------------------------------------------------------------

    def scan_chunk(self) -> bool:
        """Scan the next chunk of the file; False if there is none (yet)."""
        found = self.file.chunk_at(self._next_chunk)
        if found is None:
            return False
        records, following = found
        self._offsets.append(self._next_chunk)
        self._firsts.append(self.scanned)
        self._next_chunk = following
        for record in records:
            self._scan_record(record)
        self._keep_chunk(self._offsets[-1], records)
        while self._is_over_cap():
            self._forget_oldest()
        return True

    def scan_all(self) -> None:
        """Scan all that the file has."""
        while self.scan_chunk():
            pass

    def _scan_record(self, record: Record) -> None:
        edits = self._scan.apply(record, self.scanned)
        self._segment_edits += edits
        self.tracks.add(record, self.scanned, self._scan.state)
        self.scanned += 1
        if self.scanned % SEGMENT == 0:
            self._segments.append(_pack(net(self._segment_edits)))
            self._packed_bytes += len(self._segments[-1])
            self._segment_edits = []
            if len(self._segments) % KEYFRAME_SEGMENTS == 0:
                self._keyframes.append(_pack(self._scan.state.shelves))
                self._packed_bytes += len(self._keyframes[-1])

    def reread(self) -> None:
        """Scan all that is kept again: the file has been cut, and continued, behind `oldest`."""
        self.file.reopen()
        self._next_chunk = self._offsets[0] if self._offsets else self.file.first_chunk
        first = State(_unpack(self._keyframes[0]), copied_views=self.state.copied_views)
        self._scan = Fold(first, self.about.table_owner)
        self.tracks = Tracks.from_here(self.oldest, first, self.tracks)
        self.scanned = self.oldest
        self._segment_edits, self._segments, self._keyframes = [], [], self._keyframes[:1]
        self._packed_bytes = len(self._keyframes[0])
        self._offsets, self._firsts = [], []
        self._chunks.clear()
        self._remembered.clear()
        self.rebuild(self.oldest)
        self.scan_all()

    @property
    def most(self) -> int:
        """How many records are kept now."""
        return self.scanned - self.oldest

    # The cap ------------------------------------------------------------------------------------

    def _is_over_cap(self) -> bool:
        """True if there is too much, and records are left when the oldest ones go."""
        if self.cap is None or len(self._keyframes) < 3:
            return False
        size_bytes = self._packed_bytes + self._next_chunk - self._offsets[0]
        is_long = self.scanned - self.oldest > self.cap.most_records
        return is_long or size_bytes > self.cap.most_bytes

    def _forget_oldest(self) -> None:
        """Forget what lies before the second keyframe. If the position is there, it moves on."""
        self.oldest += KEYFRAME_SEGMENTS * SEGMENT
        gone = [*self._segments[:KEYFRAME_SEGMENTS], self._keyframes[0]]
        self._packed_bytes -= sum(map(len, gone))
        del self._segments[:KEYFRAME_SEGMENTS], self._keyframes[0]
        chunks = bisect_right(self._firsts, self.oldest) - 1
        del self._offsets[:chunks], self._firsts[:chunks]
        self.tracks.forget(self.oldest, self._scan.state)
        self._remembered.clear()
        if self.position < self.oldest:
            self.rebuild(self.oldest)
        self.file.delete_before(self._offsets[0])

    @property
    def digest(self) -> str:
        """The digest of the run; empty if the recording was cut off, or if its start is gone."""
        return self.file.digest() if self.file.complete and not self.oldest else ""

    # Records by number --------------------------------------------------------------------------

    def record(self, number: int) -> Record:
        """Record `number`, counted from 0; `oldest` is the first that there is."""
        index = bisect_right(self._firsts, number) - 1
        return self._chunk(self._offsets[index])[number - self._firsts[index]]

    def remembered(self, number: int) -> Record:
        """As `record`, but remembered: for records far apart that are asked for again and again."""
        found = self._remembered.get(number)
        if found is None:
            if len(self._remembered) >= RECORDS_REMEMBERED:
                self._remembered.clear()
            found = self._remembered[number] = self.record(number)
        return found

    def _chunk(self, offset: int) -> list[Record]:
        if offset in self._chunks:
            self._chunks.move_to_end(offset)
            return self._chunks[offset]
        found = self.file.chunk_at(offset)
        assert found is not None
        self._keep_chunk(offset, found[0])
        return found[0]

    def _keep_chunk(self, offset: int, records: list[Record]) -> None:
        self._chunks[offset] = records
        while len(self._chunks) > CHUNKS_KEPT:
            self._chunks.popitem(last=False)

    @property
    def last(self) -> Record | None:
        """The record before the position: what just happened."""
        return self.record(self.position - 1) if self.position > self.oldest else None

    # Moving -------------------------------------------------------------------------------------

    def forward(self) -> bool:
        """Go on by one record; False at the end of what has been scanned."""
        if self.position >= self.scanned:
            return False
        record = self.record(self.position)
        self._journal.append(self._fold.apply(record, self.position))
        self.position += 1
        if len(self._journal) >= JOURNAL_SEGMENTS * SEGMENT:
            del self._journal[:SEGMENT]
        return True

    def back(self) -> bool:
        """Go back by one record; False at the start."""
        if self.position <= self.oldest:
            return False
        self._reach_back(self.position - 1)
        self.position -= 1
        self.state.undo(self._journal.pop())
        return True

    def seek(self, position: int) -> None:
        """Go to the moment after `position` records, or to the nearest that there is."""
        position = max(self.oldest, min(position, self.scanned))
        if not 0 <= position - self._journal_start <= 2 * JOURNAL_SEGMENTS * SEGMENT:
            self.rebuild(position)
        while self.position < position:
            self.forward()
        while self.position > position:
            self.back()

    @property
    def _journal_start(self) -> int:
        return self.position - len(self._journal)

    def rebuild(self, position: int) -> None:
        """Go to `position` from the last keyframe before it, whatever is remembered."""
        segment = min((position - self.oldest) // SEGMENT, len(self._segments))
        keyframe = segment // KEYFRAME_SEGMENTS
        self._fold.state.shelves[:] = _unpack(self._keyframes[keyframe])
        for index in range(keyframe * KEYFRAME_SEGMENTS, segment):
            self.state.redo(self._net_change(index))
        self._journal.clear()
        self.position = self.oldest + segment * SEGMENT
        while self.position < position:
            self.forward()

    def _reach_back(self, number: int) -> None:
        """Make the journal begin at record `number` or earlier, by undoing whole segments."""
        while number < self._journal_start:
            start, kept = self._journal_start, self._journal
            for edits in reversed(kept):
                self.state.undo(edits)
            self.state.undo(self._net_change((start - self.oldest) // SEGMENT - 1))
            self._journal, self.position = [], start - SEGMENT
            while self.position < start:
                self.forward()
            for edits in kept:
                self.state.redo(edits)
            self._journal += kept
            self.position += len(kept)

    def _net_change(self, index: int) -> list[Edit]:
        change: list[Edit] = _unpack(self._segments[index])
        return change

    # What the last step was -----------------------------------------------------------------------

    def step_start(self) -> int:
        """The first record of the step that ends at the position: the one after the previous trap
        or switch."""
        start = self.position - 1
        while start > max(self.oldest, self.position - STEP_RECORDS):
            if self.record(start - 1).kind.name in KINDS_OF_BOUNDARY:
                break
            start -= 1
        return max(self.oldest, start)

    def edits_of_last(self) -> list[Edit]:
        """What the last record changed."""
        if self.position <= self.oldest:
            return []
        self._reach_back(self.position - 1)
        return self._journal[-1]

    def step(self) -> tuple[list[Record], list[Edit]]:
        """The records of the last step, and their edits."""
        if self.position <= self.oldest:
            return [], []
        start = self.step_start()
        self._reach_back(start)
        edits = [edit for row in self._journal[start - self._journal_start :] for edit in row]
        return [self.record(number) for number in range(start, self.position)], net(edits)

    def recent(self, records: int) -> dict[tuple[int, object], int]:
        """(shelf, key) -> how fresh its change is, 3 to 1, over the last `records` records, as far
        as the journal reaches back."""
        rows = self._journal[-records:]
        fresh: dict[tuple[int, object], int] = {}
        for age, edits in enumerate(reversed(rows)):
            for shelf, key, _, _ in edits:
                fresh.setdefault((shelf, key), 3 - 3 * age // max(1, records))
        return fresh


def _pack(value: object) -> bytes:
    return zlib.compress(pickle.dumps(value, protocol=5), 1)


def _unpack(data: bytes) -> Any:
    return pickle.loads(zlib.decompress(data))
