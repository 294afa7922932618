"""Operations on VASes and segments: make, delete, attach, detach, switch.

All rights and rules are checked here, in the order in which the errors of the RFC's table are
tried.  The sync policy (`kernel.vas.sync`) decides what a view is and how it follows others; the
sharing policy (`kernel.vas.sharing`) decides who may be inside at the same time.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TypeVar

from hw import costs, trace
from hw.machine import Machine
from kernel.abi.errno import E, KernelError
from kernel.log import Log
from kernel.mm.conflict import Conflict
from kernel.mm.frames import Account
from kernel.mm.layout import MAP_LOWEST, MAP_TOP
from kernel.mm.memory import Memory
from kernel.mm.objects import MemoryObject
from kernel.mm.pagetable import PROT_READ, PROT_WRITE
from kernel.mm.regions import Region
from kernel.mm.space import AddressSpace
from kernel.sched.tasks import Tasks
from kernel.task.credentials import Credentials
from kernel.task.process import Process, Thread
from kernel.vas.forward import Forward
from kernel.vas.records import (
    MAX_ATTACHMENTS,
    MAX_OWNED,
    MODE_MASK,
    READ,
    WRITE,
    Attachment,
    Holdings,
    Ids,
    Named,
    Segment,
    Vas,
    own_slot,
)
from kernel.vas.rfc import Rfc
from kernel.vas.sharing import AtAttach, AtSwitch, Sharing
from kernel.vas.sync import Subtree, Sync

VAS = trace.declare("vas", "vid:Q space:Q alive:B name:s", "A VAS was made or is gone.")
SEGMENT = trace.declare(
    "segment", "sid:Q start:Q end:Q object:Q alive:B name:s", "A segment was made or is gone."
)
VAS_ATTACH = trace.declare(
    "vas_attach",
    "home:Q vid:Q view:Q kind:B alive:B",
    "A VAS is attached to a process's own space, or is not any more; kind is 4 read, 2 write.",
)
VAS_SWITCH = trace.declare(
    "vas_switch", "tid:Q old:Q vid:Q space:Q", "A thread sees another VAS from now on; 0: its own."
)
SEG_ATTACH = trace.declare(
    "seg_attach",
    "sid:Q vid:Q home:Q kind:B alive:B",
    "A segment is attached to a VAS; home is not 0 where one process alone sees it.",
)
SYNCS: dict[str, type[Subtree] | type[Forward] | type[Rfc]] = {
    policy.name: policy for policy in (Subtree, Forward, Rfc)
}
SHARINGS = ("attach", "switch")
NOTHING = Holdings()


@dataclass(slots=True)
class Vases:
    """All VASes and segments, by id."""

    machine: Machine
    log: Log
    memory: Memory
    tasks: Tasks
    sync: Sync = field(init=False)
    sharing: Sharing = field(init=False)
    vases: dict[int, Vas] = field(default_factory=dict)
    segments: dict[int, Segment] = field(default_factory=dict)
    vas_names: dict[bytes, int] = field(default_factory=dict)
    segment_names: dict[bytes, int] = field(default_factory=dict)
    vas_ids: Ids = field(default_factory=Ids)
    segment_ids: Ids = field(default_factory=Ids)
    holdings: dict[int, Holdings] = field(default_factory=dict)
    """By the id of a process's own space."""
    accounts: dict[int, Account] = field(default_factory=dict)
    """By uid: what users pay for even after their processes have ended."""
    limit_frames: int = 0
    """Of each user but root."""

    def __post_init__(self) -> None:
        self.choose("subtree", "attach")
        self.limit_frames = self.machine.memory.frames // 2

    def choose(self, sync: str, sharing: str) -> None:
        """Set the policies; before anything is attached."""
        self.sync = SYNCS[sync](self.memory)
        self.sharing = AtSwitch(self.tasks, self.segments) if sharing == "switch" else AtAttach()

    # Look-up --------------------------------------------------------------------------------

    def find(self, names: dict[bytes, int], name: bytes) -> int:
        """The id of a VAS or segment by its name.  Raises ESRCH."""
        self.machine.charge(costs.NAME_LOOKUP)
        if name not in names:
            raise KernelError(E.SRCH)
        return names[name]

    def vas(self, vid: int) -> Vas:
        """Raises EINVAL."""
        return _known(self.vases, vid)

    def segment(self, sid: int) -> Segment:
        """Raises EINVAL."""
        return _known(self.segments, sid)

    def held(self, home: AddressSpace) -> Holdings:
        return self.holdings.get(home.id, NOTHING)

    def attachment(self, process: Process, vid: int) -> Attachment:
        """Raises EINVAL."""
        return _known(self.held(process.space).attachments, vid)

    def process(self, caller: Process, pid: int) -> Process:
        """The process `pid`; 0 is the caller.  Raises ESRCH."""
        process = self.tasks.processes.get(pid) if pid else caller
        if process is None or process.zombie:
            raise KernelError(E.SRCH)
        return process

    def target(self, caller: Process, pid: int) -> Process:
        """The process that is to be attached to or detached from; 0 is the caller.

        Raises ESRCH, and EACCES unless it is the caller's user's, or the caller is root.
        """
        process = self.process(caller, pid)
        who = caller.credentials
        if not who.is_root and who.uid != process.credentials.uid:
            raise KernelError(E.ACCES)
        return process

    def account(self, uid: int) -> Account:
        if uid not in self.accounts:
            self.accounts[uid] = Account(self.limit_frames if uid else None)
        return self.accounts[uid]

    def _payer(self, who: Credentials) -> Account:
        """Whose account something new goes to.  Raises ENOMEM at a limit."""
        account = self.account(who.uid)
        account.admit()
        if not who.is_root and account.owned >= MAX_OWNED:
            raise KernelError(E.NOMEM)
        return account

    # VASes ----------------------------------------------------------------------------------

    def create(self, who: Credentials, name: bytes, mode: int, vid: int = 0) -> Vas:
        """Make a VAS, in constant time.  Raises EEXIST, ENOMEM."""
        self._charge_name()
        if name in self.vas_names:
            raise KernelError(E.EXIST)
        account = self._payer(who)
        vid = vid or self.vas_ids.take()
        try:
            space = self.memory.new_space(runs=False)
        except KernelError:
            self.vas_ids.give(vid)
            raise
        account.charged += len(space.table.used)
        account.owned += 1
        space.table.account = account
        space.base = space.hint = own_slot(vid)
        common = (vid, name, mode & MODE_MASK, who.uid, who.gid, account)
        made = self.vases[vid] = Vas(*common, space=space)
        self.vas_names[name] = vid
        self.machine.emit(VAS, vid, space.id, 1, name)
        return made

    def delete(self, who: Credentials, vid: int) -> None:
        """Raises EINVAL, EBUSY, EACCES, in the RFC's order."""
        vas = self.vas(vid)
        if vas.attached:
            raise KernelError(E.BUSY)
        vas.check(who, WRITE)
        for sid in list(vas.segments):
            self._unlink(vas, sid)
        vas.space.destroy()
        del self.vases[vid], self.vas_names[vas.name]
        vas.account.owned -= 1
        self.vas_ids.give(vid)
        self.machine.emit(VAS, vid, vas.space.id, 0, vas.name)

    def clone(self, who: Credentials, vid: int, name: bytes, mode: int) -> Vas:
        """A VAS with the same segments and a copy of the memory, and with the same gate.

        Raises EINVAL, EACCES, EEXIST, ENOMEM, and EBUSY where a segment admits no more.
        """
        vas = self.vas(vid)
        vas.check(who, READ)
        made = self.create(who, name, mode)
        try:
            for sid, kind in vas.segments.items():
                self.machine.charge(costs.TABLE_LOOKUP)
                self.segments[sid].check(who, kind)
                self.link(made, self.segments[sid], kind)
            twins: dict[int, MemoryObject] = {}
            for region in vas.space.map:
                if not region.segment:
                    self._copy_region(made, region, twins)
            made.entry = vas.entry
        except KernelError:
            made.mode |= 0o200
            self.delete(Credentials(), made.id)
            raise
        return made

    def _copy_region(self, vas: Vas, region: Region, twins: dict[int, MemoryObject]) -> None:
        """Regions of one object become regions of one copy."""
        original = region.object
        if original.id not in twins:
            twin = twins[original.id] = original.twin()
            twin.account = vas.account
            vas.space.map_region(replace(region, object=twin))
            original.copy_into(twin)
        else:
            vas.space.map_region(replace(region, object=twins[original.id]))

    def give(self, named: Named, uid: int) -> None:
        """Another user owns, and pays, from now on."""
        account = self.account(uid)
        if isinstance(named, Vas):
            table = named.space.table
            named.account.charged -= len(table.used)
            account.charged += len(table.used)
            table.account = account
            self.machine.charge(costs.REGION_FIND, len(named.space.map))
            self.machine.charge(costs.TABLE_LOOKUP, len(self.segments))
            segments = {segment.object.id for segment in self.segments.values()}
            for region in named.space.map:
                if region.object.account is named.account and region.object.id not in segments:
                    region.object.pay_from(account)
        elif isinstance(named, Segment):
            named.object.pay_from(account)
        named.account.owned -= 1
        account.owned += 1
        named.user, named.account = uid, account

    # Segments -------------------------------------------------------------------------------

    def make_segment(
        self, who: Credentials, name: bytes, start: int, end: int, mode: int, sid: int = 0
    ) -> Segment:
        """Raises EINVAL, EFAULT, EEXIST, ENOMEM."""
        if start & 0xFFF or end & 0xFFF or start >= end:
            raise KernelError(E.INVAL)
        if start < MAP_LOWEST or end > MAP_TOP:
            raise KernelError(E.FAULT)
        self._charge_name()
        if name in self.segment_names:
            raise KernelError(E.EXIST)
        account = self._payer(who)
        sid = sid or self.segment_ids.take()
        made = self.memory.objects.segment(end - start)
        made.holds += 1
        made.account = account
        account.owned += 1
        common = (sid, name, mode & MODE_MASK, who.uid, who.gid, account)
        segment = Segment(*common, start=start, end=end, object=made)
        self.segments[sid] = segment
        self.segment_names[name] = sid
        self.machine.emit(SEGMENT, sid, start, end, made.id, 1, name)
        return segment

    def delete_segment(self, who: Credentials, sid: int) -> None:
        """Raises EINVAL, EBUSY, EACCES, in the RFC's order."""
        segment = self.segment(sid)
        if segment.attached or segment.holders or segment.queue:
            raise KernelError(E.BUSY)
        segment.check(who, WRITE)
        self.memory.shootdowns.release(segment.object.drop())
        del self.segments[sid], self.segment_names[segment.name]
        segment.account.owned -= 1
        self.segment_ids.give(sid)
        start, end, object_id = segment.start, segment.end, segment.object.id
        self.machine.emit(SEGMENT, sid, start, end, object_id, 0, segment.name)

    def clone_segment(self, who: Credentials, sid: int, name: bytes, mode: int) -> Segment:
        """A segment at the same place with a copy of the contents."""
        segment = self.segment(sid)
        segment.check(who, READ)
        made = self.make_segment(who, name, segment.start, segment.end, mode)
        try:
            segment.object.copy_into(made.object)
        except KernelError:
            made.mode |= 0o200
            self.delete_segment(Credentials(), made.id)
            raise
        return made

    def _region(self, segment: Segment, kind: int) -> Region:
        prot = PROT_READ | (PROT_WRITE if kind & WRITE else 0)
        name = f"[segment {segment.name.decode(errors='replace')}]"
        return Region(
            segment.start,
            segment.end,
            prot,
            segment.object,
            shared=True,
            name=name,
            segment=segment.id,
        )

    # Segments in VASes ------------------------------------------------------------------------

    def attach_segment(self, process: Process, vid: int, sid: int, kind: int) -> None:
        """Raises EINVAL, EACCES, EBUSY, EFAULT, ENOMEM.  Already attached: nothing happens."""
        who, segment = process.credentials, self.segment(sid)
        vas = self.vas(vid) if vid else None
        segment.check(who, kind)
        if vas is None:
            self._attach_to_home(process.space, segment, kind)
            return
        vas.check(who, WRITE)
        if sid in vas.segments:
            return
        if vas.attached or vas.image:
            raise KernelError(E.BUSY)
        self.link(vas, segment, kind)

    def link(self, vas: Vas, segment: Segment, kind: int) -> None:
        """Show a segment in a VAS.  Raises EBUSY, EFAULT."""
        self.sharing.admit(segment, kind)
        region = self._region(segment, kind)
        try:
            vas.space.check_free(region)
        except Conflict as conflict:
            raise self._told(conflict) from None
        segment.take(kind)
        vas.space.map_region(region)
        vas.segments[segment.id] = kind
        self.machine.emit(SEG_ATTACH, segment.id, vas.id, 0, kind, 1)

    def _attach_to_home(self, home: AddressSpace, segment: Segment, kind: int) -> None:
        """vid 0: the process's own space, which no view or switch is needed to see."""
        held = self._holdings(home)
        if segment.id in held.segments:
            return
        self.sharing.admit(segment, kind)
        region = self._region(segment, kind)
        try:
            home.check_free(region)
            home.map_region(region)
        except Conflict as conflict:
            raise self._told(conflict) from None
        segment.take(kind)
        held.segments[segment.id] = kind
        self.machine.emit(SEG_ATTACH, segment.id, 0, home.id, kind, 1)

    def detach_segment(self, process: Process, vid: int, sid: int) -> None:
        """Raises EINVAL, EACCES, EBUSY."""
        if not vid:
            _known(self.held(process.space).segments, sid)
            self._detach_from_home(process.space, sid)
            return
        vas = self.vas(vid)
        _known(vas.segments, sid)
        vas.check(process.credentials, WRITE)
        if vas.attached:
            raise KernelError(E.BUSY)
        self._unlink(vas, sid)

    def _unlink(self, vas: Vas, sid: int) -> None:
        segment = self.segments[sid]
        segment.count(vas.segments.pop(sid), -1)
        vas.space.remove(segment.start, segment.end)
        self.machine.emit(SEG_ATTACH, sid, vas.id, 0, 0, 0)

    def _detach_from_home(self, home: AddressSpace, sid: int) -> None:
        segment = self.segments[sid]
        segment.count(self.held(home).segments.pop(sid), -1)
        home.remove(segment.start, segment.end)
        self.machine.emit(SEG_ATTACH, sid, 0, home.id, 0, 0)

    def attach_privately(self, process: Process, vid: int, sid: int, kind: int) -> None:
        """Show a segment in one attachment alone.

        Raises EINVAL, EACCES, EBUSY, EFAULT, ENOMEM.
        """
        attachment, segment = self.attachment(process, vid), self.segment(sid)
        segment.check(process.credentials, kind)
        if sid in attachment.segments:
            return
        self.sharing.admit(segment, kind)
        region = self._region(segment, kind)
        try:
            attachment.view.check_free(region)
            self.sync.show_private(attachment, region)
        except Conflict as conflict:
            raise self._told(conflict) from None
        segment.take(kind)
        attachment.segments[sid] = kind
        self.machine.emit(SEG_ATTACH, sid, vid, attachment.home.id, kind, 1)

    def detach_privately(self, process: Process, vid: int, sid: int) -> None:
        """Raises EINVAL."""
        attachment = self.attachment(process, vid)
        _known(attachment.segments, sid)
        self._hide(attachment, sid)

    def _hide(self, attachment: Attachment, sid: int) -> None:
        segment = self.segments[sid]
        segment.count(attachment.segments.pop(sid), -1)
        self.sync.hide_private(attachment, segment.start, segment.end)
        self.machine.emit(SEG_ATTACH, sid, attachment.vas.id, attachment.home.id, 0, 0)

    # Attach and detach ------------------------------------------------------------------------

    def attach(self, caller: Process, pid: int, vid: int, kind: int) -> None:
        """Raises EINVAL, ESRCH, EACCES, EBUSY, ENOMEM, EFAULT.  Already attached: nothing."""
        # BEGIN SOLUTION lab5.attach
        self.machine.charge(costs.TABLE_LOOKUP, 2)
        vas, process = self.vas(vid), self.target(caller, pid)
        vas.check(caller.credentials, kind)
        home = process.space
        held = self._holdings(home)
        if vid in held.attachments:
            return
        self.sharing.admit(vas, kind)
        if len(held.attachments) >= MAX_ATTACHMENTS:
            raise KernelError(E.BUSY)
        vas.take(kind)
        try:
            view = self.sync.attach(home, vas, bool(kind & WRITE))
        except KernelError as error:
            vas.count(kind, -1)
            raise self._told(error) from None
        view.vid, view.tagging = vid, vas.tagging
        self.machine.charge(costs.RECORD_CREATE)
        attachment = Attachment(vas, home, kind, view)
        held.attachments[vid] = vas.attachments[home.id] = attachment
        self.machine.emit(VAS_ATTACH, home.id, vid, view.id, kind, 1)
        # END SOLUTION lab5.attach
        # PROMPT lab5.attach: check who may, make the view, and remember it at both ends.

    def _holdings(self, home: AddressSpace) -> Holdings:
        return self.holdings.setdefault(home.id, Holdings())

    def detach(self, caller: Process, pid: int, vid: int) -> None:
        """Raises EINVAL, ESRCH, EACCES, EBUSY while a thread is inside or on its way in, EFAULT.

        Where the VAS has a gate, the attachment stays until exec or exit: EACCES.
        """
        # BEGIN SOLUTION lab5.detach
        self.vas(vid)
        attachment = self.attachment(self.target(caller, pid), vid)
        if attachment.view.users or self.sharing.awaited(attachment):
            raise KernelError(E.BUSY)
        if attachment.entry:
            raise KernelError(E.ACCES)
        try:
            self.sync.detach(attachment)
        except KernelError as error:
            raise self._told(error) from None
        self._end(attachment)
        # END SOLUTION lab5.detach
        # PROMPT lab5.detach: refuse while anybody is inside, merge back, and end the attachment.

    def _end(self, attachment: Attachment) -> None:
        vas, home = attachment.vas, attachment.home
        for sid in list(attachment.segments):
            self._hide(attachment, sid)
        self.memory.retire_space(attachment.view)
        for layer in (attachment.private, attachment.bare):
            if layer is not None:
                layer.destroy()
        del self.holdings[home.id].attachments[vas.id], vas.attachments[home.id]
        vas.count(attachment.kind, -1)
        self.machine.emit(VAS_ATTACH, home.id, vas.id, attachment.view.id, attachment.kind, 0)

    def abandon(self, home: AddressSpace) -> None:
        """The last thread of `home` is gone: detach all that the process had attached."""
        held = self.holdings.get(home.id)
        if held is None:
            return
        self.machine.charge(costs.TABLE_LOOKUP, len(held.attachments) + len(held.segments))
        for attachment in list(held.attachments.values()):
            with suppress(KernelError):  # what cannot be merged back is lost, as in the RFC
                self.sync.detach(attachment)
            self._end(attachment)
        for sid in list(held.segments):
            self._detach_from_home(home, sid)
        del self.holdings[home.id]

    def forked(self, home: AddressSpace) -> None:
        """`home` was copied for a child, which has no part in what is attached here."""
        attachments = self.held(home).attachments
        self.machine.charge(costs.TABLE_LOOKUP, len(attachments))
        for attachment in attachments.values():
            self.sync.forked(attachment)

    # Switch -----------------------------------------------------------------------------------

    def switch(self, thread: Thread, vid: int) -> Attachment | None:
        """Let `thread` see another VAS, 0: its own space.  The same one: nothing happens.

        Returns the attachment where that is news.  Raises EINVAL, EFAULT, `Blocked`.
        """
        # BEGIN SOLUTION lab5.switch
        source, home = thread.space, thread.process.space
        if source.vid == vid:
            return None
        self.machine.charge(costs.TABLE_LOOKUP)
        attachment, target = None, home
        if vid:
            attachment = self.holdings.get(home.id, NOTHING).attachments.get(vid)
            if attachment is None:
                raise KernelError(E.INVAL)
            target = attachment.view
        try:
            self.sync.switch(home, source, target)
        except Conflict as conflict:
            raise self._told(conflict) from None
        self.sharing.enter(thread, attachment)
        self.move(thread, target)
        self.tasks.show(thread)
        return attachment
        # END SOLUTION lab5.switch
        # PROMPT lab5.switch: find the view, take its locks, and make it what the thread sees.

    def move(self, thread: Thread, target: AddressSpace) -> None:
        """The thread sees `target` from now on; its core is told by `Tasks.show`."""
        old, home = thread.space, thread.process.space
        if old is not home:
            old.users -= 1
        if target is not home:
            target.users += 1
            vas = self.vases.get(target.vid)
            target.gated = vas is not None and bool(vas.entry)
        thread.space = target
        self.machine.emit(VAS_SWITCH, thread.tid, old.vid, target.vid, target.id)

    def leave(self, thread: Thread) -> None:
        """The thread ends or runs another program: it is inside no VAS any more."""
        self.sharing.leave(thread)
        if thread.space is not thread.process.space:
            self.move(thread, thread.process.space)

    def join(self, parent: Thread, child: Thread) -> None:
        """`child` shares the memory of `parent`, which is inside a VAS: so is the child."""
        parent.space.users += 1
        self.sharing.join(parent, child)

    # What there is ------------------------------------------------------------------------------

    def spaces(self) -> list[AddressSpace]:
        """Every address space there is because of a VAS: the VASes' own, views, private layers."""
        found = [vas.space for vas in self.vases.values()]
        for held in self.holdings.values():
            for attachment in held.attachments.values():
                found.append(attachment.view)
                found += [one for one in (attachment.private, attachment.bare) if one]
        return found

    def _charge_name(self) -> None:
        """A name was looked for, and is given to something new."""
        self.machine.charge(costs.NAME_LOOKUP)
        self.machine.charge(costs.RECORD_CREATE)

    # Inside -----------------------------------------------------------------------------------

    def _told(self, error: KernelError) -> KernelError:
        """Say in the log which regions collided, if that is what it is."""
        if isinstance(error, Conflict):
            self.log.say(f"layout conflict: {error.text}")
        return error


T = TypeVar("T")


def _known(table: dict[int, T], id: int) -> T:
    found = table.get(id)
    if found is None:
        raise KernelError(E.INVAL)
    return found
