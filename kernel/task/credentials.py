"""Credentials: who a process acts as (credentials(7))."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kernel.abi.nodes import S_ISGID, S_ISUID

CAPABILITIES = (1 << 41) - 1
NO_ID = 0xFFFF_FFFF
"""-1 as a uid_t: no id at all."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who a process acts as.

    `uid` and `gid` are the effective ids, which decide what the process may do; for files,
    `file_uid` and `file_gid` decide.  An id that is not given equals the effective one.
    """

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    real_uid: int = NO_ID
    saved_uid: int = NO_ID
    file_uid: int = NO_ID
    real_gid: int = NO_ID
    saved_gid: int = NO_ID
    file_gid: int = NO_ID

    def __post_init__(self) -> None:
        for kind in ("real", "saved", "file"):
            for name, effective in ((f"{kind}_uid", self.uid), (f"{kind}_gid", self.gid)):
                if getattr(self, name) == NO_ID:
                    object.__setattr__(self, name, effective)

    @property
    def is_root(self) -> bool:
        return self.uid == 0

    @property
    def capabilities(self) -> int:
        """What it may do beyond others: all or nothing (capabilities(7))."""
        return CAPABILITIES if self.is_root else 0

    @property
    def is_changed(self) -> bool:
        """Do the effective ids differ from the real ones?"""
        return (self.uid, self.gid) != (self.real_uid, self.real_gid)

    def running(self, mode: int, owner: int, group: int) -> Credentials:
        """What execve(2) of a file makes of them: S_ISUID and S_ISGID give the file's ids."""
        uid = owner if mode & S_ISUID else self.uid
        gid = group if mode & S_ISGID and mode & 0o010 else self.gid
        return replace(
            self, uid=uid, gid=gid, saved_uid=uid, file_uid=uid, saved_gid=gid, file_gid=gid
        )
