"""What the manual says about checkpoints: which part of a process is where after a restart."""

from __future__ import annotations

NOTES: dict[str, tuple[str, ...]] = {
    "Checkpoint and restart": (
        "vas_fork(pid) freezes a process into a new VAS and returns its id; the process goes on. "
        "vas_exec(pid, vid) lets a process go on as the checkpoint says; its own program ends. The "
        "checkpoint stays as it is, so it can be restarted again and again.",
        "Who may: as for vas_attach to another pid, its user or root. The checkpoint belongs to "
        "the process's user, has mode 0600 and is called ckpt.PID.N. vas_exec needs read on it.",
        "It is a VAS: `vas list` and /sys/kernel/vas show it (the file `kind` says checkpoint), "
        "vas_setattr gives it away, vas_delete deletes it. It can be attached for reading, where "
        "nothing of the attaching process is in its place; for writing that is EACCES, and a "
        "segment is refused with EBUSY. vas_clone of it is an ordinary VAS with a copy of the "
        "memory.",
        "What a call of one's own returns: vas_fork(0) returns the vid, and 0 where it is "
        "restarted. vas_exec(0, vid) does not return. vas_exec(pid, vid) returns 0, whatever that "
        "process was doing; a stopped one stays stopped.",
        "Threads: all of them are in the checkpoint, and all go on, each where it was. A thread "
        "that waited in a call makes the call again, with what it has moved already and the time "
        "that is left; so a futex, a join and a pipe need nothing special.",
        "Ids: the process keeps its pid, and other threads get new tids. The program itself goes "
        "on using the old ones: getpid, gettid and every argument that names a process or thread "
        "are translated for it and its descendants, and a robust futex has the old tid. No new "
        "process gets an id that the program remembers. /proc has the true ids (use /proc/self), "
        "and so have process groups, sessions, and signals on their way to others.",
    ),
    "What a checkpoint keeps": (
        "Registers: general, flags, FS and GS base, x87 and SSE with their control words.",
        "Private memory: copy-on-write, with its places, rights, names, growing stacks and advice, "
        "the break and the auxiliary vector. Locks on memory are not kept, as after fork.",
        "Shared memory without a name (MAP_SHARED with MAP_ANONYMOUS, a deleted file): a copy, "
        "made at once. Each restart has a copy of its own, which its later children share.",
        "A mapped file: the file itself, whose contents are not in the checkpoint. Private pages "
        "that were changed are. System V shared memory: refused, EOPNOTSUPP.",
        "Segments and VASes that are attached: by name and kind, with what vas_local_attach added. "
        "A restart attaches them again, with the process's rights and by the sharing rule: ESRCH, "
        "EACCES, EBUSY. What the restarting process itself has attached is not in the way. Their "
        "memory is not in the checkpoint, and a restart sees it as it is then. A thread that was "
        "inside is inside again, with the locks. Under policy rfc, where a view has memory of its "
        "own, a process is not frozen while a thread is inside: EBUSY.",
        "Signals: actions, masks, alternate stacks, and those that are pending. A process behind a "
        "gate is not frozen: EBUSY.",
        "Timers of alarm, setitimer and timer_create, and sleeps: the time that is left of them "
        "when the checkpoint is made. Processor-time timers count from the restarting process's "
        "own time.",
        "Open files: path, offset, flags and close-on-exec; descriptors that shared an offset "
        "share it again. They are opened anew with the caller's rights: ENOENT, EACCES and so on. "
        "A file is not brought back to what it held. Without a name (memfd, deleted): refused.",
        "Pipes and event counters that no other process has: with what is in them. The console: "
        "by its stream.",
        "Descriptors 0, 1 and 2, if they lead to the console or to others (a pipe, a socket, a "
        "FIFO): the restarting process's own, as a shell's redirections set them; closed if it has "
        "none. Any other descriptor that leads to another process, to an endpoint, to an epoll "
        "instance or to a process (pidfd): refused, EOPNOTSUPP, and the log names it.",
        "Current directory (by path), umask, names, arguments, personality, no_new_privs, "
        "dumpable, subreaper and death signal, robust lists, the words of set_tid_address, "
        "scheduling class, nice value and affinity: kept. Nobody but root gets a nicer value, or "
        "a higher hard limit, than the restarting process has.",
        "Not kept, since it is the process's and not the program's: pid, parent, children, process "
        "group, session, terminal, processor time, out-of-memory score, and credentials. Root "
        "alone restarts a program as the user that it was.",
        "Children: a process that has children, zombies too, is not frozen: EBUSY. Without them it "
        "would not go on as it expects. A parent that waits is not in the way, and a restarted "
        "process is a child of whoever is its parent then.",
        "After an error of vas_exec the process is what it was. If something that was attached "
        "cannot be attached again though all was well a moment ago (memory ran out), it is too "
        "late: the process is killed.",
        "Beside its memory a checkpoint is one record, kernel/task/image.py, whose bytes "
        "(kernel/task/packing.py) have a version and a checksum and name nothing that only one "
        "boot knows. Signal frames on a stack do: they hold the id of the VAS that a handler "
        "interrupted, and after another boot lead home only.",
    ),
}
