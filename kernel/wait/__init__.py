"""What threads wait for: files, futexes, alarms, timers, signals, and job control.

A thread sleeps on a channel of `sched.tasks`.  Each file here owns one kind of event: it says who
waits, and wakes them when the event comes.  This floor may know tasks and the scheduler; it knows
no message and no VAS.
Its face: `ready.Readiness`, `alarms.Alarms`, `ringing.ring`, `futex`, `timers`, `signals`, `jobs`,
`userfault`.
"""
