"""Which thread runs on which core.

`tasks` knows every thread: on a core, ready, or asleep on a channel.  A policy says which of the
ready ones is next; there are five, by the name that `--sched` has for each.  `usage` counts
processor time.  This floor may know memory and the records of tasks; it does not know why a thread
waits.  Its face: `tasks.Tasks` and `POLICIES`.
"""

from __future__ import annotations

from kernel.sched.eevdf import Eevdf
from kernel.sched.mlfq import Mlfq
from kernel.sched.policy import Policy
from kernel.sched.round_robin import RoundRobin
from kernel.sched.stride import Stride

POLICIES: dict[str, type[Policy]] = {
    made.name: made for made in (Policy, RoundRobin, Mlfq, Stride, Eevdf)
}
