"""Which thread runs next: the policies, by the name that `--sched` has for each."""

from __future__ import annotations

from kernel.sched.eevdf import Eevdf
from kernel.sched.mlfq import Mlfq
from kernel.sched.policy import Policy
from kernel.sched.round_robin import RoundRobin
from kernel.sched.stride import Stride

POLICIES: dict[str, type[Policy]] = {
    made.name: made for made in (Policy, RoundRobin, Mlfq, Stride, Eevdf)
}
